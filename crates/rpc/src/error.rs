//! Typed errors of requests. Each kind tells its caller what to do; `sql` alone turns kinds into SQLSTATEs.

use keyspace::{Key, NodeId, RangeId, Timestamp, TxnId};
use thiserror::Error;

use crate::range::RangeDescriptor;

pub type KvResult<T> = Result<T, KvError>;

/// The message may or may not have arrived.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NetworkError {
    #[error("node {0} cannot be reached")]
    Unreachable(NodeId),
    #[error("node {0} did not answer in time")]
    Timeout(NodeId),
    /// The other side speaks another version, belongs to another cluster, or sent what cannot be decoded.
    #[error("node {node} was refused: {why}")]
    Refused { node: NodeId, why: String },
}

/// A question to an address ([`Transport::ask`](crate::Transport::ask)) got no answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AskError {
    #[error("nobody answers at {address}: {why}")]
    NoAnswer { address: String, why: String },
    /// Somebody is there who does not want us, or is no node.
    #[error("{address} refused: {why}")]
    Refused { address: String, why: String },
}

/// Why a range did not do what it was asked. "Definite" kinds say that nothing happened and nothing will;
/// [`KvError::is_ambiguous`] marks those that do not know.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum KvError {
    // --- ask elsewhere: handled by txn's router, never seen by sql ---
    /// This replica does not lead. Ask `leader`, or look again if it is not known.
    #[error("node does not lead {range}")]
    NotLeader { range: RangeId, leader: Option<NodeId> },
    /// The request was addressed under another descriptor; here are the ones that hold now.
    #[error("the range changed")]
    StaleEpoch { current: Vec<RangeDescriptor> },
    /// No replica of this range is here.
    #[error("{range} is not on this node")]
    RangeNotFound { range: RangeId },
    /// A write was proposed and nobody knows its fate (leadership was lost, the entry may yet commit).
    /// Repeat the same request: it is idempotent.
    #[error("the fate of a write to {range} is not known")]
    Ambiguous { range: RangeId },

    // --- conflicts: handled by the transaction's retry rules ---
    /// The commit number is refused for good: somebody read or committed at or above it. A fresh number must
    /// be above `above`.
    #[error("the number was overtaken; one above {above} is needed")]
    Pushed { key: Key, above: Timestamp },
    /// A version newer than the transaction's snapshot exists: first committer wins.
    #[error("a newer version of {key} was committed at {newest}")]
    WriteTooOld { key: Key, newest: Timestamp, by: TxnId },
    /// A refresh found a version or intent in the interval.
    #[error("what was read at {key} has changed")]
    ReadChanged { key: Key, at: Timestamp, by: TxnId },
    /// A lock that the transaction had is gone and cannot be taken again without waiting. `by`: who has it, or wrote under it.
    #[error("the lock on {key} was lost")]
    LockLost { key: Key, by: TxnId },
    /// NOWAIT, or lock_timeout passed.
    #[error("could not lock {key}, held by {holder}")]
    LockNotAvailable { key: Key, holder: TxnId, timed_out: bool },
    /// This transaction was chosen to break a deadlock.
    #[error("deadlock: {cycle:?}")]
    Deadlock { cycle: Vec<TxnId> },
    /// In the commit phase the younger of two transactions gives way (rule 10).
    #[error("gave way to {holder} on {key}")]
    GaveWay { key: Key, holder: TxnId },

    // --- the transaction's fate ---
    /// Somebody else has aborted it (it showed no sign of life).
    #[error("the transaction was aborted")]
    TxnAborted,
    /// A repeated commit found that the first one succeeded.
    #[error("the transaction is committed at {at}")]
    TxnCommitted { at: Timestamp },
    /// The timestamp is below what garbage collection has left intact.
    #[error("{at} is older than the oldest version kept ({floor})")]
    BelowGarbageFloor { at: Timestamp, floor: Timestamp },
    /// A key exists that the request said must not (conditional write).
    #[error("{key} exists")]
    KeyExists { key: Key },

    // --- no answer ---
    /// No quorum answered in time. For a commit the outcome is unknown unless the caller learns it later.
    #[error("{range} is unavailable: {why}")]
    Unavailable { range: RangeId, why: String },
    #[error("no answer from the timestamp oracle")]
    OracleUnavailable,
    /// The request is larger than the range accepts in one piece.
    #[error("a request of {bytes} bytes is too large")]
    TooLarge { bytes: usize },
    /// A push-down program failed on a row: `sql`'s own error, encoded by `expr`, opaque to everyone between.
    #[error("evaluation failed")]
    Evaluation { error: bytes::Bytes },
    /// Data that was read back is not what was written.
    #[error("corrupt data: {what}")]
    Corrupt { what: String },
    /// The node's disk failed or it is shutting down.
    #[error("the node is stopping: {why}")]
    Stopping { why: String },
    /// The cluster's version, or this build, does not know the request.
    #[error("not supported: {what}")]
    NotSupported { what: String },
}

impl KvError {
    /// Might the request have been carried out, or be carried out later?
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, KvError::Ambiguous { .. } | KvError::Unavailable { .. } | KvError::Stopping { .. })
    }

    /// Should the router look for another replica or descriptor and ask again?
    pub fn is_routing(&self) -> bool {
        matches!(
            self,
            KvError::NotLeader { .. }
                | KvError::StaleEpoch { .. }
                | KvError::RangeNotFound { .. }
                | KvError::Ambiguous { .. }
        )
    }
}
