//! The one place where kinds of failure become SQLSTATEs.

use expr::{EvalError, SqlState};
use keyspace::Key;
use txn::Conflict;

pub type SqlResult<T> = Result<T, SqlError>;

/// What PostgreSQL's ErrorResponse carries. Boxed: it is rare and travels through every result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlError(pub Box<SqlFailure>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlFailure {
    pub severity: Severity,
    pub state: SqlState,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// 1-based, in characters of the statement.
    pub position: Option<u32>,
    pub schema: Option<String>,
    pub table: Option<String>,
    pub column: Option<String>,
    pub data_type: Option<String>,
    pub constraint: Option<String>,
    /// "while doing what" lines.
    pub context: Option<String>,
    /// Where transactions met; the session names its table and row before the client sees the error.
    pub key: Option<Key>,
    /// The server may run the statement (or the transaction) again by itself as long as nothing has left it.
    pub retry: Retry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Severity {
    #[default]
    Error,
    /// Ends the session.
    Fatal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Retry {
    #[default]
    No,
    /// The statement, at a fresh number, with its locks kept (`Transaction::restart_statement`).
    Statement,
    /// The transaction, under a new id.
    Transaction,
}

impl SqlError {
    pub fn new(state: &'static str, message: impl Into<String>) -> SqlError {
        SqlError(Box::new(SqlFailure {
            severity: Severity::Error,
            state: SqlState::new(state),
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            schema: None,
            table: None,
            column: None,
            data_type: None,
            constraint: None,
            context: None,
            key: None,
            retry: Retry::No,
        }))
    }

    /// 0A000: what is not there says so and, where there is one, the way round.
    pub fn not_supported(what: impl std::fmt::Display) -> SqlError {
        SqlError::new("0A000", format!("{what} is not supported"))
    }

    pub fn with_detail(mut self, detail: impl Into<String>) -> SqlError {
        self.0.detail = Some(detail.into());
        self
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> SqlError {
        self.0.hint = Some(hint.into());
        self
    }

    /// Keeps a position that is already there: the innermost knows best.
    pub fn at(mut self, position: Option<u32>) -> SqlError {
        self.0.position = self.0.position.or(position);
        self
    }

    pub fn on_table(mut self, schema: &str, table: &str) -> SqlError {
        self.0.schema = Some(schema.to_owned());
        self.0.table = Some(table.to_owned());
        self
    }

    pub fn on_column(mut self, column: &str) -> SqlError {
        self.0.column = Some(column.to_owned());
        self
    }

    pub fn on_constraint(mut self, constraint: &str) -> SqlError {
        self.0.constraint = Some(constraint.to_owned());
        self
    }

    /// Two transactions met at `key`.
    fn met_at(mut self, key: Option<Key>) -> SqlError {
        self.0.key = key;
        self
    }

    pub fn retryable(mut self, retry: Retry) -> SqlError {
        self.0.retry = retry;
        self
    }

    pub fn state(&self) -> &str {
        self.0.state.as_str()
    }
}

impl std::fmt::Display for SqlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.0.message, self.0.state.as_str())
    }
}

impl std::error::Error for SqlError {}

impl From<EvalError> for SqlError {
    fn from(error: EvalError) -> SqlError {
        let failure = *error.0;
        let mut out = SqlError::new("XX000", failure.message);
        out.0.state = failure.state;
        out.0.detail = failure.detail;
        out.0.hint = failure.hint;
        out
    }
}

impl From<env::BudgetExceeded> for SqlError {
    fn from(error: env::BudgetExceeded) -> SqlError {
        SqlError::new("53200", "out of memory")
            .with_detail(error.to_string())
            .with_hint("Make the statement smaller, or raise statement_memory.")
    }
}

/// PostgreSQL's hint beside 40001.
pub(crate) const TRY_AGAIN: &str = "The transaction might succeed if retried.";
pub(crate) const SCHEMA_CHANGED: &str = "could not serialize access due to a concurrent schema change";

impl From<txn::TxnError> for SqlError {
    fn from(error: txn::TxnError) -> SqlError {
        use txn::TxnError as E;
        let serialization = "could not serialize access due to concurrent update";
        match error {
            E::StatementRestart { newer } => SqlError::new("40001", serialization)
                .met_at(Some(newer.key))
                .with_detail(format!("{} Other transaction: {}.", Conflict::Overwritten, newer.by.0))
                .with_hint(TRY_AGAIN)
                .retryable(Retry::Statement),
            E::Serialization { why, key, other } => {
                let message = match why {
                    Conflict::ReadChanged | Conflict::WasRead => {
                        "could not serialize access due to read/write dependencies among transactions"
                    }
                    _ => serialization,
                };
                let mut detail = why.to_string();
                if let Some(other) = other {
                    detail.push_str(&format!(" Other transaction: {}.", other.0));
                }
                SqlError::new("40001", message)
                    .met_at(key)
                    .with_detail(detail)
                    .with_hint(TRY_AGAIN)
                    .retryable(Retry::Transaction)
            }
            E::SchemaChanged { what } => SqlError::new("40001", SCHEMA_CHANGED)
                .with_detail(what)
                .with_hint(TRY_AGAIN)
                .retryable(Retry::Transaction),
            E::Deadlock { cycle } => SqlError::new("40P01", "deadlock detected")
                .with_detail(cycle.iter().map(ToString::to_string).collect::<Vec<_>>().join(" waits for "))
                .with_hint("See server log for query details."),
            E::LockNotAvailable { timed_out: true, .. } => {
                SqlError::new("55P03", "canceling statement due to lock timeout")
            }
            E::LockNotAvailable { timed_out: false, key, holder } => {
                SqlError::new("55P03", "could not obtain lock on row")
                    .met_at(Some(key))
                    .with_detail(format!("Transaction {holder} holds it."))
            }
            E::OutcomeUnknown { why } => SqlError::new("40003", "the outcome of the transaction is unknown")
                .with_detail(why)
                .with_hint("It may have been committed: look before you repeat it."),
            E::Unavailable { why } => {
                SqlError::new("57P03", why).with_hint("A quorum of replicas must be up; see cairn status.")
            }
            E::Evaluation { error } => match expr::EvalError::decode(&error) {
                Some(error) => error.into(),
                None => SqlError::new("XX000", "a pushed-down expression failed with an unreadable error"),
            },
            E::KeyExists { .. } => SqlError::new("23505", "duplicate key value violates unique constraint"),
            E::SnapshotTooOld { at, floor } => SqlError::new("72000", "snapshot too old")
                .with_detail(format!("Reading at {at}; versions are kept from {floor} on."))
                .with_hint("Versions that have been replaced are kept for gc_ttl."),
            E::ReadOnly => SqlError::new("25006", "cannot execute a writing statement in a read-only transaction"),
            E::OutOfMemory { why } => SqlError::new("53200", "out of memory").with_detail(why),
            E::Corrupt { what } => SqlError::new("XX001", what),
            E::NotSupported { what } => SqlError::not_supported(what),
        }
    }
}
