//! The face of this crate; being filled in.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::{BoxFuture, Env};
use keyspace::{Key, NodeId, Span, Timestamp, TxnId};
use rpc::Network;
use rpc::cluster::IdKind;
use rpc::range::{KeyValue, LockMode, LockSpec, RangeDescriptor};

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
    /// The next `fresh` may begin now: the session's previous transaction is decided.
    fn announce_catalog_change(&self, txn: TxnId) -> BoxFuture<'_, TxnResult<()>>;
    fn allocate_ids(&self, kind: IdKind, count: u32) -> BoxFuture<'_, TxnResult<u64>>;
}

/// Where ranges are (`placement`'s directory, handed in by `node`). Answers may be old: ranges refuse
/// what is addressed wrongly and say what is right.
pub trait Directory: Send + Sync + 'static {
    fn locate(&self, key: &Key) -> BoxFuture<'_, TxnResult<(RangeDescriptor, Option<NodeId>)>>;
}

/// Asked when a transaction has to move to another number and the catalog there is another one.
pub trait SchemaGuard: Send + Sync + 'static {
    /// Does everything that the transaction has used of the catalog hold at `stamp` too?
    fn holds_at(&self, stamp: Stamp) -> BoxFuture<'_, TxnResult<bool>>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isolation {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

#[derive(Clone, Debug)]
pub struct TxnOptions {
    pub isolation: Isolation,
    pub read_only: bool,
    /// Read at this number instead of a fresh one (`AS OF SYSTEM TIME`); implies read-only.
    pub as_of: Option<Timestamp>,
    pub lock_timeout: Option<Duration>,
}

/// One per node; cheap to clone.
#[derive(Clone)]
pub struct TxnClient {
    _inner: Arc<()>,
}

impl TxnClient {
    pub fn new(_env: Env, _node: NodeId, _network: Arc<dyn Network>, _oracle: Arc<dyn Oracle>, _directory: Arc<dyn Directory>) -> TxnClient {
        unimplemented!()
    }

    pub async fn begin(&self, _options: TxnOptions) -> TxnResult<Transaction> {
        unimplemented!()
    }

    pub fn oracle(&self) -> &dyn Oracle {
        unimplemented!()
    }

    /// Splits the range that holds `at` there (`ALTER TABLE … SPLIT AT`).
    pub async fn split_at(&self, _at: Key) -> TxnResult<()> {
        unimplemented!()
    }
}

/// One open transaction. All methods take `&self`: operators of one statement share it. Dropping it
/// without commit rolls it back in the background.
pub struct Transaction {
    _inner: Arc<()>,
}

/// Numbers the statements (and commands within them) of a transaction: a read sees buffered writes with a smaller one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Sequence(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Savepoint(pub Sequence);

/// What a read sees of the transaction's own buffered writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visible {
    /// Those of earlier statements: ordinary reads (an UPDATE must not see its own rows again).
    EarlierStatements,
    /// All so far, this statement's included: uniqueness and foreign key checks.
    Everything,
}

#[derive(Clone, Debug)]
pub struct ScanSpec {
    pub span: Span,
    pub reverse: bool,
    /// Rows after the program that the reader wants at most; 0 is no limit.
    pub rows_max: u64,
    /// A push-down program; must be `None` where [`Transaction::has_buffered_writes_in`] the span.
    pub program: Option<Bytes>,
    pub lock: Option<LockSpec>,
    pub visible: Visible,
    /// Reads that are not refreshed when the transaction moves (foreign key checks, rule 20; sequences).
    pub untracked: bool,
}

impl Transaction {
    pub fn id(&self) -> TxnId {
        unimplemented!()
    }

    /// The number that statements read at now, with its catalog.
    pub fn stamp(&self) -> Stamp {
        unimplemented!()
    }

    pub fn isolation(&self) -> Isolation {
        unimplemented!()
    }

    pub fn set_schema_guard(&self, _guard: Arc<dyn SchemaGuard>) {
        unimplemented!()
    }

    pub fn set_lock_timeout(&self, _timeout: Option<Duration>) {
        unimplemented!()
    }

    /// Starts a statement: a new sequence; under READ COMMITTED a fresh number (not for the first statement, whose
    /// number is that of `begin`).
    pub async fn begin_statement(&self) -> TxnResult<()> {
        unimplemented!()
    }

    /// After `StatementRestart`: drops what the statement wrote and read, moves to a fresh number, refreshes the reads of
    /// earlier statements (SERIALIZABLE), keeps the locks. `Serialization` if the level or a refresh forbids it.
    pub async fn restart_statement(&self) -> TxnResult<()> {
        unimplemented!()
    }

    /// The next command of the same statement (triggers, CTEs that write) gets a sequence of its own.
    pub fn next_command(&self) -> Sequence {
        unimplemented!()
    }

    /// One value per key, in the order asked; one request per range. With `lock` also locks the keys that exist (or all:
    /// `LockSpec::absent_too`).
    pub async fn get_many(&self, _keys: &[Key], _lock: Option<LockSpec>, _visible: Visible, _untracked: bool) -> TxnResult<Vec<Option<Bytes>>> {
        unimplemented!()
    }

    /// Pages of a scan in key order (or reverse), own writes merged in.
    pub fn scan(&self, _spec: ScanSpec) -> Scan {
        unimplemented!()
    }

    pub fn has_buffered_writes_in(&self, _span: &Span) -> bool {
        unimplemented!()
    }

    /// Buffers a write: `None` deletes. `changes_key`: the row goes or a column of one of its keys changes (rule 20).
    pub fn put(&self, _key: Key, _value: Option<Bytes>, _changes_key: bool) -> TxnResult<()> {
        unimplemented!()
    }

    /// Buffers a write that must not find a live version at commit, without having read it: fails the commit with `KeyExists`.
    pub fn put_new(&self, _key: Key, _value: Bytes) -> TxnResult<()> {
        unimplemented!()
    }

    /// Bytes the buffered writes take.
    pub fn buffered_bytes(&self) -> usize {
        unimplemented!()
    }

    /// Marks this point. Nested by order.
    pub fn savepoint(&self) -> Savepoint {
        unimplemented!()
    }

    /// Drops writes and locks taken since; reads stay in the refresh set (rule 23).
    pub async fn rollback_to(&self, _savepoint: Savepoint) -> TxnResult<()> {
        unimplemented!()
    }

    /// This transaction changes the catalog: its commit is announced first (rule 31) and writes `version_key`, whose value becomes
    /// the commit number (8 bytes big-endian).
    pub fn mark_catalog_change(&self, _version_key: Key) {
        unimplemented!()
    }

    pub fn changes_catalog(&self) -> bool {
        unimplemented!()
    }

    /// The number it committed at (the last statement's for a transaction that wrote nothing).
    pub async fn commit(self) -> TxnResult<Timestamp> {
        unimplemented!()
    }

    pub async fn rollback(self) {
        unimplemented!()
    }

    /// Locks held now, weakest mode asked for, for `cairn.locks`.
    pub fn locks(&self) -> Vec<(Key, LockMode)> {
        unimplemented!()
    }
}

/// A scan in progress.
pub struct Scan {
    _inner: Arc<()>,
}

impl Scan {
    /// The next rows; empty at the end.
    pub async fn next_page(&mut self) -> TxnResult<Vec<KeyValue>> {
        unimplemented!()
    }
}
