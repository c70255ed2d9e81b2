//! What a transaction can fail with, told apart by what its user has to do.

use bytes::Bytes;
use keyspace::{Key, Timestamp, TxnId};
use rpc::KvError;
use rpc::range::Newer;
use thiserror::Error;

pub type TxnResult<T> = Result<T, TxnError>;

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TxnError {
    /// Locks were granted on rows that have newer versions than the statement's number. Undo the
    /// statement with [`Transaction::restart_statement`](crate::Transaction::restart_statement) and run it again; the
    /// locks are kept. Only if no row of the statement has left the server.
    #[error("a row was changed by a concurrent transaction")]
    StatementRestart { newer: Newer },
    /// 40001: the whole transaction has to run again under a new id. `key` is where.
    #[error("could not serialize access: {why}")]
    Serialization { why: Conflict, key: Option<Key>, other: Option<TxnId> },
    /// The schema that was used is not the schema at the number the transaction has to move to. 40001 to the
    /// client, a retry inside where nothing has left.
    #[error("the schema changed: {what}")]
    SchemaChanged { what: String },
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

/// Why a transaction could not be serialized.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Conflict {
    #[error("What this transaction had read was changed by a concurrent one.")]
    ReadChanged,
    #[error("What this transaction writes was read by a concurrent one.")]
    WasRead,
    #[error("A row was changed by a concurrent transaction.")]
    Overwritten,
    #[error("A row lock was lost with the node that kept it, or a row was changed under it.")]
    LockLost,
    #[error("A concurrent transaction that began earlier was committing the same key.")]
    GaveWay,
    #[error("Another transaction found this one without a sign of life and aborted it.")]
    Aborted,
    #[error("Every number that was tried was overtaken.")]
    Attempts,
    #[error("Ranges were split during the commit.")]
    Splits,
}

impl TxnError {
    pub(crate) fn serialization(why: Conflict, key: Option<Key>, other: Option<TxnId>) -> TxnError {
        TxnError::Serialization { why, key, other }
    }
}

/// What a range's answer means to a transaction whose fate is not in doubt.
impl From<KvError> for TxnError {
    fn from(error: KvError) -> TxnError {
        let conflict = TxnError::serialization;
        match error {
            KvError::Pushed { key, .. } => conflict(Conflict::WasRead, Some(key), None),
            KvError::WriteTooOld { key, by, .. } => conflict(Conflict::Overwritten, Some(key), Some(by)),
            KvError::ReadChanged { key, by, .. } => conflict(Conflict::ReadChanged, Some(key), Some(by)),
            KvError::LockLost { key, by } => conflict(Conflict::LockLost, Some(key), Some(by)),
            KvError::GaveWay { key, holder } => conflict(Conflict::GaveWay, Some(key), Some(holder)),
            KvError::TxnAborted => conflict(Conflict::Aborted, None, None),
            KvError::LockNotAvailable { key, holder, timed_out } => {
                TxnError::LockNotAvailable { key, holder, timed_out }
            }
            KvError::Deadlock { cycle } => TxnError::Deadlock { cycle },
            KvError::BelowGarbageFloor { at, floor } => TxnError::SnapshotTooOld { at, floor },
            KvError::KeyExists { key } => TxnError::KeyExists { key },
            KvError::Evaluation { error } => TxnError::Evaluation { error },
            KvError::Corrupt { what } => TxnError::Corrupt { what },
            KvError::NotSupported { what } => TxnError::NotSupported { what },
            KvError::TooLarge { bytes } => TxnError::NotSupported { what: format!("a row of {bytes} bytes") },
            KvError::TxnCommitted { at } => {
                TxnError::Corrupt { what: format!("a request of a transaction that is committed at {at}") }
            }
            KvError::NotLeader { .. }
            | KvError::StaleEpoch { .. }
            | KvError::RangeNotFound { .. }
            | KvError::Ambiguous { .. }
            | KvError::Unavailable { .. }
            | KvError::OracleUnavailable
            | KvError::Stopping { .. } => TxnError::Unavailable { why: error.to_string() },
        }
    }
}
