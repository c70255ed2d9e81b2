//! Requests to one range, answered by its leader.

use std::time::Duration;

use bytes::Bytes;
use keyspace::{Epoch, Key, NodeId, RangeId, ReplicaId, Span, Timestamp, TxnId};

use crate::KvResult;

/// Where a range lies and who holds it. The range itself is the only authority on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeDescriptor {
    pub id: RangeId,
    pub epoch: Epoch,
    pub span: Span,
    pub replicas: Vec<ReplicaDescriptor>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaDescriptor {
    pub node: NodeId,
    pub replica: ReplicaId,
    pub role: ReplicaRole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaRole {
    Voter,
    /// Receives the log, does not vote: a replica that is catching up.
    Learner,
}

/// A request under the descriptor its sender knows.
#[derive(Clone, Debug)]
pub struct RangeRequest {
    pub range: RangeId,
    pub epoch: Epoch,
    pub body: RangeBody,
}

pub type RangeResponse = KvResult<RangeReply>;

#[derive(Clone, Debug)]
pub enum RangeBody {
    Read(ReadRequest),
    Refresh(RefreshRequest),
    ReleaseLocks(ReleaseLocksRequest),
    CommitOneRange(CommitRequest),
    Prewrite(PrewriteRequest),
    Record(RecordRequest),
    Resolve(ResolveRequest),
    CheckKeys(CheckKeysRequest),
    Admin(AdminRequest),
}

#[derive(Clone, Debug)]
pub enum RangeReply {
    Read(ReadReply),
    Refreshed,
    Released,
    /// The final versions are applied at `at`.
    Committed {
        at: Timestamp,
    },
    Prewritten,
    Record(TxnRecord),
    Resolved,
    Checked(CheckKeysReply),
    Admin(AdminReply),
}

// ---- reading and locking ----

/// Gets and scans at one timestamp, with or without locks. Repeating it is harmless.
///
/// The leader first raises the read-timestamp cache over everything read, then waits for announced
/// writers and foreign intents at or below `at`, then takes its snapshot, reads, and confirms that it
/// still leads under the same epoch (protocol.md, rule 12).
#[derive(Clone, Debug)]
pub struct ReadRequest {
    pub at: Timestamp,
    /// Who reads: its own intents are visible to it and its own reads do not push its own writes.
    /// `None` for readers outside a transaction, which push everyone (rule 17).
    pub txn: Option<TxnId>,
    pub reads: Vec<ReadOp>,
    /// Lock each key that is returned (for a scan: each row the program lets through).
    pub lock: Option<LockSpec>,
    /// Bytes of rows after which the answer stops and says where to resume.
    pub bytes_max: usize,
}

#[derive(Clone, Debug)]
pub enum ReadOp {
    Get { key: Key, program: Option<Bytes> },
    Scan(ScanOp),
}

#[derive(Clone, Debug)]
pub struct ScanOp {
    pub span: Span,
    pub reverse: bool,
    /// Rows to return at most, after the program; 0 is no limit.
    pub rows_max: u64,
    /// An `expr` push-down program: filter, projection, partial aggregate. The value of a returned row is
    /// then what the program made of it.
    pub program: Option<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockSpec {
    pub mode: LockMode,
    pub wait: LockWait,
    /// Lock the keys of `Get`s also where no row is (an INSERT that is about to create it).
    pub absent_too: bool,
}

/// PostgreSQL's four row lock modes, weakest first, then its eight table lock modes in their order. A key is locked in modes
/// of one kind only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockMode {
    KeyShare,
    Share,
    NoKeyUpdate,
    Update,
    AccessShare,
    RowShare,
    RowExclusive,
    ShareUpdateExclusive,
    TableShare,
    ShareRowExclusive,
    Exclusive,
    AccessExclusive,
}

impl LockMode {
    pub const ALL: [LockMode; 12] = [
        LockMode::KeyShare,
        LockMode::Share,
        LockMode::NoKeyUpdate,
        LockMode::Update,
        LockMode::AccessShare,
        LockMode::RowShare,
        LockMode::RowExclusive,
        LockMode::ShareUpdateExclusive,
        LockMode::TableShare,
        LockMode::ShareRowExclusive,
        LockMode::Exclusive,
        LockMode::AccessExclusive,
    ];

    /// May two transactions hold these two at once?
    pub fn is_compatible_with(self, other: LockMode) -> bool {
        use LockMode::{
            AccessExclusive, AccessShare, Exclusive, KeyShare, NoKeyUpdate, RowExclusive, RowShare, Share,
            ShareUpdateExclusive, TableShare, Update,
        };
        // Of the stronger one, by PostgreSQL's tables ("Explicit Locking").
        let (weaker, stronger) = (self.min(other), self.max(other));
        match stronger {
            KeyShare | Share => true,
            NoKeyUpdate => weaker == KeyShare,
            Update => false,
            AccessShare | RowShare | RowExclusive => true,
            ShareUpdateExclusive => weaker <= RowExclusive,
            TableShare => matches!(weaker, AccessShare | RowShare | TableShare),
            LockMode::ShareRowExclusive => matches!(weaker, AccessShare | RowShare),
            Exclusive => weaker == AccessShare,
            AccessExclusive => false,
        }
    }

    /// What somebody holds who holds both.
    pub fn with(self, other: LockMode) -> LockMode {
        use LockMode::{RowExclusive, ShareRowExclusive, ShareUpdateExclusive, TableShare};
        match (self.min(other), self.max(other)) {
            // The only two of which neither keeps away all that the other does.
            (RowExclusive | ShareUpdateExclusive, TableShare) => ShareRowExclusive,
            (_, stronger) => stronger,
        }
    }

    pub fn includes(self, other: LockMode) -> bool {
        self.with(other) == self
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockWait {
    /// Wait in the key's queue, at most this long if a limit is given.
    Block {
        timeout: Option<Duration>,
    },
    NoWait,
    SkipLocked,
}

#[derive(Clone, Debug, Default)]
pub struct ReadReply {
    /// One for each entry of `reads`, in order; fewer when `bytes_max` cut the answer (the missing ones
    /// were not read and not locked).
    pub results: Vec<ReadResult>,
    /// A locked key has a version above `at`: the newest such version. The locks are held; the statement
    /// must run again at a fresh number above this one (unless its level says 40001).
    pub newer: Option<Newer>,
    /// The request waited for a lock.
    pub waited: bool,
    /// How long it waited, for those who want to see why a statement is slow.
    pub waits: Waits,
}

/// A version that a statement did not know of, and who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Newer {
    pub at: Timestamp,
    pub key: Key,
    pub by: TxnId,
}

/// Time spent behind others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// For locks.
    pub locks: Duration,
    /// For writers that were about to commit, and for intents.
    pub writers: Duration,
}

impl std::ops::AddAssign for Waits {
    fn add_assign(&mut self, more: Waits) {
        self.locks += more.locks;
        self.writers += more.writers;
    }
}

#[derive(Clone, Debug, Default)]
pub struct ReadResult {
    pub rows: Vec<KeyValue>,
    /// What is left of the scan when a limit cut it.
    pub resume: Option<Span>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    pub key: Key,
    pub value: Bytes,
    /// When this version was committed; for one's own intents the transaction's start.
    pub at: Timestamp,
}

/// Nobody else committed into `spans` in `(from, to]`, and nobody will: the cache is raised to `to` first
/// (rule 14). Else [`KvError::ReadChanged`](crate::KvError::ReadChanged). Repeating it is harmless.
#[derive(Clone, Debug)]
pub struct RefreshRequest {
    pub txn: TxnId,
    pub spans: Vec<Span>,
    pub from: Timestamp,
    pub to: Timestamp,
}

/// Gives up locks and places in queues of a transaction that ended, or rolled back to a savepoint. Locks
/// go by themselves when writes of the transaction are applied or its intents are resolved.
#[derive(Clone, Debug)]
pub struct ReleaseLocksRequest {
    pub txn: TxnId,
    /// `None`: all that the transaction has in this range, and it is over: what it still asks for here, a lock
    /// request that was delayed on its way, is refused with `TxnAborted`.
    pub keys: Option<Vec<Key>>,
    /// Keys that are held in this mode from now on, where they were in a stronger one.
    pub weaken: Vec<(Key, LockMode)>,
}

// ---- committing ----

/// One key's new value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutation {
    pub key: Key,
    /// `None` deletes.
    pub value: Option<Bytes>,
    /// The row was deleted or a column of one of its keys changed: what KEY SHARE locks guard (rule 20).
    pub changes_key: bool,
    /// Fail with [`KvError::KeyExists`](crate::KvError::KeyExists) if a live version is there.
    pub must_be_absent: bool,
}

/// A key that was locked; validated at commit (rule 19). Mostly keys that are not written; a written one comes along
/// when its lock was granted on an older view than `Writes::snapshot`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedKey {
    pub key: Key,
    pub mode: LockMode,
    /// The number up to which the transaction knew the key's versions when the lock was granted. A version above it (for
    /// `KeyShare`: one that changes a key) means that the lock was lost in between.
    pub seen: Timestamp,
}

/// What prewrites and one-range commits have in common.
#[derive(Clone, Debug)]
pub struct Writes {
    pub txn: TxnId,
    /// The number to commit at; the oracle gave it to this transaction.
    pub at: Timestamp,
    /// The number up to which the transaction knows what it overwrites: a version above it is
    /// [`KvError::WriteTooOld`](crate::KvError::WriteTooOld).
    pub snapshot: Timestamp,
    pub mutations: Vec<Mutation>,
    pub locked: Vec<LockedKey>,
    /// Counts the tries of one transaction to commit; a higher one replaces a lower one.
    pub attempt: u32,
}

/// All of a transaction in one range: final versions in one consensus round, no intents, no record.
///
/// Repeated: waits for its own first attempt, finds its own start number among the versions of its keys
/// and answers `Committed` again (rule 7).
#[derive(Clone, Debug)]
pub struct CommitRequest {
    pub writes: Writes,
}

/// Intents for this range's part of a transaction. Repeated: finds its own intent at that number and
/// answers `Prewritten` before any other check (rule 4).
#[derive(Clone, Debug)]
pub struct PrewriteRequest {
    pub writes: Writes,
    /// The key whose range holds the transaction record; the same for the life of the id (rule 8).
    pub anchor: Key,
    /// When this prewrite's range is the anchor's: stage the record in the same command (one-round
    /// commit). The keys of all ranges are listed.
    pub stage: Option<StageRecord>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageRecord {
    pub keys: Vec<Key>,
}

/// About the transaction record at `anchor`. Each is a compare-and-set that is repeated without harm.
#[derive(Clone, Debug)]
pub struct RecordRequest {
    pub txn: TxnId,
    pub anchor: Key,
    pub op: RecordOp,
}

#[derive(Clone, Debug)]
pub enum RecordOp {
    /// Pending → Committed (two rounds), or Staging of this attempt and number → Committed.
    Commit { at: Timestamp, attempt: u32 },
    /// Anything undecided → Aborted. Answers with the record as it then is: it may say Committed.
    Abort,
    /// "I am alive": writes or refreshes a Pending record.
    Heartbeat,
    /// What is known. Waits up to `wait` for a decision while the transaction is alive; when it has shown
    /// no sign of life for `txn_expiry` a missing or Pending record is made Aborted; a Staging one is
    /// returned for the asker to recover.
    Query { wait: Duration },
    /// Verdict of a recovery: only if the record still is Staging with this attempt and number.
    Recover { commit: bool, at: Timestamp, attempt: u32 },
    /// All intents are resolved and applied: the record may go once it is below the garbage floor.
    Forget,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnRecord {
    pub state: TxnState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxnState {
    /// No record, and the transaction is young enough to be alive.
    Missing,
    Pending,
    Staging {
        at: Timestamp,
        attempt: u32,
        keys: Vec<Key>,
    },
    Committed {
        at: Timestamp,
    },
    Aborted,
}

/// Turns the intents of a decided transaction into versions, or removes them. Only after the decision is
/// applied at the anchor (rule 2). Repeating it is harmless: what is not there is skipped.
#[derive(Clone, Debug)]
pub struct ResolveRequest {
    pub txn: TxnId,
    /// `None` removes the intents.
    pub commit_at: Option<Timestamp>,
    pub keys: ResolveKeys,
}

#[derive(Clone, Debug)]
pub enum ResolveKeys {
    These(Vec<Key>),
    /// Every intent of the transaction in this span of the range: for transactions of very many keys.
    Within(Span),
}

/// Recovery's question (rule 1): is the intent of `txn` there at a number not above `at`? Each key that is
/// absent is fenced before the answer: its read cache is raised above `at` as a foreign read.
#[derive(Clone, Debug)]
pub struct CheckKeysRequest {
    pub txn: TxnId,
    pub at: Timestamp,
    pub keys: Vec<Key>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKeysReply {
    AllPresent,
    Absent {
        key: Key,
    },
    /// A version with the transaction's start number is there: it is committed (rule 2).
    Committed {
        at: Timestamp,
    },
}

// ---- administration ----

#[derive(Clone, Debug)]
pub enum AdminRequest {
    Describe,
    /// Cuts the range in two at `at`, which becomes the first key of `right`. Repeated: answers with the
    /// descriptors as they are.
    Split {
        at: Key,
        right: RangeId,
        right_replicas: Vec<ReplicaId>,
    },
    ChangeReplicas {
        add: Vec<ReplicaDescriptor>,
        remove: Vec<ReplicaId>,
    },
    TransferLeader {
        to: NodeId,
    },
    /// A hash over the versions at or above the garbage floor, by this replica, at its applied index.
    Checksum,
}

#[derive(Clone, Debug)]
pub enum AdminReply {
    Descriptors(Vec<RangeDescriptor>),
    Done,
    Checksum { applied: u64, hash: u64 },
}
