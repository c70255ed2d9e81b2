//! Why a node does not start. Each is one sentence for an operator.

use thiserror::Error;

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NodeError {
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The flags contradict each other or the directory.
    #[error("{0}")]
    Config(String),
    #[error("cannot listen on {address}: {why}; choose another address (--sql-addr, --rpc-addr, --http-addr)")]
    Listen { address: String, why: String },
    /// Nobody let us in. `tried` says what each address answered.
    #[error("could not join a cluster within {seconds} s: {tried}; is a node running at each address of --join?")]
    NotJoined { seconds: u64, tried: String },
    #[error("could not make the first ranges: {0}")]
    NotBootstrapped(String),
}
