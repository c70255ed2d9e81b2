//! What a transaction can fail with, told apart by what its user has to do.

use bytes::Bytes;
use keyspace::{Key, Timestamp, TxnId};
use thiserror::Error;

pub type TxnResult<T> = Result<T, TxnError>;

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TxnError {
    /// Locks were granted on rows that have newer versions than the statement's number. Undo the
    /// statement with [`Transaction::restart_statement`](crate::Transaction::restart_statement) and run it again; the
    /// locks are kept. Only if no row of the statement has left the server.
    #[error("a row was changed by a concurrent transaction")]
    StatementRestart { above: Timestamp },
    /// 40001: the whole transaction has to run again under a new id. `key` is where.
    #[error("could not serialize access: {why}")]
    Serialization { why: String, key: Option<Key>, other: Option<TxnId> },
    /// The schema that was used is not the schema at the number the transaction has to move to. 40001 to the
    /// client, a retry inside where nothing has left.
    #[error("the schema changed")]
    SchemaChanged,
    /// 40P01.
    #[error("deadlock detected")]
    Deadlock { cycle: Vec<TxnId> },
    /// 55P03.
    #[error("could not obtain lock")]
    LockNotAvailable { key: Key, holder: TxnId, timed_out: bool },
    /// 40003: the commit was sent and nobody can say whether it happened, because a range stays unreachable.
    #[error("the outcome of the transaction is unknown")]
    OutcomeUnknown { why: String },
    /// 57P03 / 53xxx: a range or the oracle does not answer. Nothing of this request has happened.
    #[error("{why}")]
    Unavailable { why: String },
    /// A push-down program failed: `expr`'s error, encoded.
    #[error("evaluation failed")]
    Evaluation { error: Bytes },
    /// A conditional write found the key.
    #[error("the key exists")]
    KeyExists { key: Key },
    /// The snapshot is older than what garbage collection kept.
    #[error("the snapshot is too old")]
    SnapshotTooOld { at: Timestamp, floor: Timestamp },
    /// 25006.
    #[error("the transaction is read-only")]
    ReadOnly,
    /// 53200: the write buffer could not grow.
    #[error("out of memory: {why}")]
    OutOfMemory { why: String },
    #[error("corrupt data: {what}")]
    Corrupt { what: String },
    #[error("not supported: {what}")]
    NotSupported { what: String },
}
