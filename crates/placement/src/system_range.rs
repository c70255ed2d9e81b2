//! What this crate needs of the system range's replica on this node.
//!
//! The range keeps *registers* for us: named values that go through its log, beside its data and without
//! timestamps (the oracle cannot need a timestamp to keep its bound). A change names the term in which it
//! was decided and is refused in any other, so that a leader which does not know yet that it was deposed
//! changes nothing.

use bytes::Bytes;
use env::BoxFuture;
use keyspace::{NodeId, Timestamp, TxnId};
use rpc::KvResult;
use tokio::sync::watch;

pub trait SystemRange: Send + Sync + 'static {
    /// The term in which this node leads the range and has applied an entry of its own; `None` while it does not.
    fn term(&self) -> watch::Receiver<Option<u64>>;

    /// Who leads, as far as the replica here knows (none may be here).
    fn leader_hint(&self) -> Option<NodeId>;

    /// Is it certain, at this very moment, that this node leads in `term` and nobody else does in a later one? It is the
    /// only voter, or has a lease.
    fn leads_for_certain(&self, term: u64) -> bool;

    /// Proves that this node led in `term` at some moment after the call began, by asking a quorum if need be.
    fn confirm(&self, term: u64) -> BoxFuture<'_, KvResult<()>>;

    /// A register as it is applied here. Whoever leads has applied everything that was ever acknowledged.
    fn register(&self, name: &str) -> KvResult<Option<Bytes>>;

    /// All registers whose names begin with `prefix`, in order.
    fn registers(&self, prefix: &str) -> KvResult<Vec<(String, Bytes)>>;

    /// Returns when the change is committed and applied.
    fn put(&self, term: u64, name: String, value: Bytes) -> BoxFuture<'_, KvResult<()>>;

    /// Raises a register that holds a number to at least `value`: a late entry does no harm.
    fn raise(&self, term: u64, name: &'static str, value: u64) -> BoxFuture<'_, KvResult<()>>;

    /// The number in a register that [`SystemRange::raise`] wrote; 0 if there is none.
    fn number(&self, name: &str) -> KvResult<u64>;

    /// The state of the catalog's version key. With `raise_to` it is first marked as read at that number, as
    /// any reader does (rule 12), so that no catalog change can commit at or below it any more.
    fn catalog_key(&self, raise_to: Option<Timestamp>) -> KvResult<CatalogKey>;
}

/// What the catalog's version key shows at the system range's leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CatalogKey {
    /// Commit number of the newest version: of the last catalog change.
    pub newest: Timestamp,
    /// Who wrote it.
    pub writer: TxnId,
    /// Whose change is under way: an announced write, or an intent.
    pub pending: Option<TxnId>,
}
