//! # A cluster in one process, for tests
//!
//! Ranges, locks, intents, records and the oracle over plain maps under one mutex: no Raft, no disk, and the same
//! answers to the same requests. Tests of this crate and of those above it run whole transactions against it:
//!
//! ```
//! # use txn::{TxnOptions, fake};
//! # use keyspace::Key;
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! let client = fake::cluster(fake::env(), [Key::from("m")]);        // two ranges
//! let txn = client.begin(TxnOptions::default()).await?;
//! txn.put(Key::from("a"), Some("1".into()), false)?;
//! txn.put(Key::from("z"), Some("2".into()), false)?;
//! txn.commit().await?;                                                // over both
//! # Ok::<_, txn::TxnError>(()) }).unwrap();
//! ```
//!
//! It is simple where the real thing is fast (one request at a time, everything in memory, old versions stay) and
//! honest where the real thing is careful: the conflict rules, the read-timestamp cache, fences, wait-die, first come
//! first served. [`Fake`] can also be mistreated: messages lost or repeated, leaders moved, ranges split, nodes
//! gone.

mod cache;
mod locks;
mod oracle;
mod service;
mod store;
mod time;

use std::sync::Arc;

use bytes::Bytes;
use env::Env;
use keyspace::{Key, NodeId};
use parking_lot::Mutex;
use rpc::range::KeyValue;

use crate::TxnClient;
use crate::scratch::MemoryScratch;

pub use oracle::FakeOracle;
pub use service::{Fake, Fault, Step};
pub use time::{env, env_with};

/// One node whose ranges begin at `split_keys`.
pub fn cluster(env: Env, split_keys: impl IntoIterator<Item = Key>) -> TxnClient {
    Fake::new(env, 1, split_keys).client(NodeId(1))
}

/// Runs push-down programs: what `expr` is to the real ranges.
pub trait Evaluator: Send + Sync + 'static {
    /// What the program makes of rows of one range in scan order; `Err` is an encoded evaluation error.
    fn evaluate(&self, program: &Bytes, rows: Vec<KeyValue>) -> Result<Vec<KeyValue>, Bytes>;
}

impl Fake {
    /// What sessions on `node` use.
    pub fn client(self: &Arc<Self>, node: NodeId) -> TxnClient {
        let client = TxnClient::new(self.env(), node, self.network(node), self.oracle(), self.directory());
        client.with_scratch(Arc::new(MemoryScratch::default()))
    }
}

type Shared<T> = Arc<Mutex<T>>;
