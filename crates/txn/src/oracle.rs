//! What this crate asks of the cluster apart from ranges: numbers, and whether the schema moved with them.

use env::BoxFuture;
use keyspace::{Timestamp, TxnId};
use rpc::cluster::IdKind;

use crate::TxnResult;

/// A number of the oracle and the catalog that holds at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub at: Timestamp,
    /// Commit number of the last catalog change at or below `at`, unless `unsettled`.
    pub catalog: Timestamp,
    pub unsettled: bool,
}

/// Where numbers come from (`placement`'s client, handed in by `node`).
pub trait Oracle: Send + Sync + 'static {
    /// A number issued after this call began.
    fn fresh(&self) -> BoxFuture<'_, TxnResult<Stamp>>;
    /// `txn` is about to fetch the number of a catalog change: from now on, until the change is staged or half a
    /// second passes, every number is marked unsettled (rule 31).
    fn announce_catalog_change(&self, txn: TxnId) -> BoxFuture<'_, TxnResult<()>>;
    fn allocate_ids(&self, kind: IdKind, count: u32) -> BoxFuture<'_, TxnResult<u64>>;
}

/// Asked when a transaction has to move to another number and the catalog there is another one.
pub trait SchemaGuard: Send + Sync + 'static {
    /// What of the catalog that the transaction has used is another thing at `stamp`, in a few words; `None`: all of it holds.
    /// `txn` is the one that asks; it may be in the middle of its commit.
    fn changed_at(&self, stamp: Stamp, txn: TxnId) -> BoxFuture<'_, TxnResult<Option<String>>>;
}
