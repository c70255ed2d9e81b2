//! A session's transaction: the block from BEGIN to COMMIT, or the implicit one around statements outside a block.
//!
//! A block costs nothing until a statement needs a number: BEGIN, SAVEPOINT and SET only write down what was said, and the
//! transaction underneath begins with the first statement that reads or writes.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use keyspace::Timestamp;
use txn::{Isolation, Savepoint, Transaction};

use super::Notice;
use super::advisory::AtSavepoint;
use super::settings::{Active, Layers};
use super::table_locks::Announcer;
use crate::catalog::ddl::AfterCommit;
use crate::catalog::{Catalog, TableModes, UsedTables};
use crate::parse::ast::{IsolationLevel, TransactionMode};
use crate::{SqlError, SqlResult};

pub(crate) struct Block {
    /// BEGIN opened it; else it ends with its statement, its message, or Sync.
    pub explicit: bool,
    pub failed: bool,
    pub modes: Modes,
    /// A statement has taken a number: the isolation level stands.
    pub has_read: bool,
    /// A statement has read at it, or is about to: LOCK TABLE, which does not, leaves a level that keeps its snapshot free to
    /// begin with what those did that it waited for.
    pub has_queried: bool,
    open: Option<Open>,
    /// As they were at its begin.
    settings: Layers,
    savepoints: Vec<Mark>,
    /// Microseconds since 2000: `now()`.
    pub began_at: i64,
    pub after_commit: AfterEnd,
}

/// A transaction that has begun. Portals that run in it share it.
#[derive(Clone)]
pub(crate) struct Open {
    pub txn: Arc<Transaction>,
    pub used: Arc<UsedTables>,
    /// Counts hidden row ids.
    pub row_ids: Arc<AtomicU64>,
    /// The table locks it has told other nodes of.
    pub announcer: Arc<Announcer>,
}

/// What is done when the block has committed, and forgotten when it has not.
#[derive(Clone, Default)]
pub(crate) struct AfterEnd {
    pub ddl: Vec<AfterCommit>,
    pub notify: Vec<(String, String)>,
    /// LISTEN (true) and UNLISTEN; `None` is UNLISTEN *.
    pub listen: Vec<(Option<String>, bool)>,
}

struct Mark {
    name: String,
    /// `None`: the transaction had not begun yet.
    savepoint: Option<Savepoint>,
    after_commit: AfterEnd,
    tables: TableModes,
    kept: Kept,
}

/// What the session keeps outside of the transaction, as it is at a savepoint.
#[derive(Clone)]
pub(crate) struct Kept {
    pub settings: Layers,
    pub advisory: AtSavepoint,
    /// With what the transaction had changed in it by then.
    pub catalog: Option<Arc<Catalog>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Modes {
    pub isolation: IsolationLevel,
    pub read_only: bool,
    pub deferrable: bool,
    /// AS OF SYSTEM TIME: the number it reads at, and then only reads.
    pub system_time: Option<Timestamp>,
}

impl Modes {
    pub fn of(defaults: &Active) -> Modes {
        Modes {
            isolation: defaults.default_isolation,
            read_only: defaults.default_read_only,
            deferrable: defaults.default_deferrable,
            system_time: None,
        }
    }

    pub fn apply(&mut self, modes: &[TransactionMode]) {
        for mode in modes {
            match mode {
                TransactionMode::Isolation(level) => self.isolation = *level,
                TransactionMode::ReadOnly(read_only) => self.read_only = *read_only,
                TransactionMode::Deferrable(deferrable) => self.deferrable = *deferrable,
            }
        }
    }

    /// READ UNCOMMITTED is READ COMMITTED, as in PostgreSQL.
    pub fn level(&self) -> Isolation {
        match self.isolation {
            IsolationLevel::ReadUncommitted | IsolationLevel::ReadCommitted => Isolation::ReadCommitted,
            IsolationLevel::RepeatableRead => Isolation::RepeatableRead,
            IsolationLevel::Serializable => Isolation::Serializable,
        }
    }
}

impl Block {
    pub fn new(explicit: bool, modes: Modes, settings: Layers, began_at: i64) -> Block {
        Block {
            explicit,
            failed: false,
            modes,
            has_read: false,
            has_queried: false,
            open: None,
            settings,
            savepoints: Vec::new(),
            began_at,
            after_commit: AfterEnd::default(),
        }
    }

    pub fn open(&self) -> Option<&Open> {
        self.open.as_ref()
    }

    pub fn set_open(&mut self, open: Open) {
        assert!(self.open.is_none(), "a block has one transaction");
        self.has_read = true;
        self.open = Some(open);
    }

    /// The transaction is given up for a new one that does the same again.
    pub fn take_open(&mut self) -> Option<Open> {
        self.has_queried = false;
        self.open.take()
    }

    /// Settings as they were before the block.
    pub fn settings(&self) -> &Layers {
        &self.settings
    }

    pub fn has_savepoints(&self) -> bool {
        !self.savepoints.is_empty()
    }

    /// `SET TRANSACTION`. 25001 once a statement has read.
    pub fn set_modes(&mut self, modes: &[TransactionMode]) -> SqlResult<()> {
        let too_late = |what| SqlError::new("25001", format!("{what} must be called before any query"));
        for mode in modes {
            match mode {
                TransactionMode::Isolation(level) if self.has_read && *level != self.modes.isolation => {
                    return Err(too_late("SET TRANSACTION ISOLATION LEVEL"));
                }
                TransactionMode::ReadOnly(false) if self.has_read && self.modes.read_only => {
                    return Err(SqlError::new("25001", "transaction read-write mode must be set before any query"));
                }
                TransactionMode::ReadOnly(false) if self.modes.system_time.is_some() => {
                    return Err(SqlError::new("42601", "AS OF SYSTEM TIME specified with READ WRITE mode"));
                }
                TransactionMode::Deferrable(_) if self.has_read => {
                    return Err(too_late("SET TRANSACTION [NOT] DEFERRABLE"));
                }
                _ => {}
            }
        }
        self.modes.apply(modes);
        Ok(())
    }

    /// From here on the block reads what was at `at`, and writes nothing.
    pub fn go_back_to(&mut self, at: Timestamp) -> SqlResult<()> {
        if self.has_read && self.modes.system_time != Some(at) {
            let message = match self.modes.system_time {
                Some(set) => format!("inconsistent AS OF SYSTEM TIME timestamp; expected: {set}, got: {at}"),
                None => "AS OF SYSTEM TIME must be given before any query of the transaction".to_owned(),
            };
            return Err(SqlError::new("25001", message));
        }
        self.modes.system_time = Some(at);
        self.modes.read_only = true;
        Ok(())
    }

    // ---- savepoints ----

    pub fn savepoint(&mut self, name: &str, kept: Kept) {
        let savepoint = self.open.as_ref().map(|open| open.txn.savepoint());
        let after_commit = self.after_commit.clone();
        let tables = self.open.as_ref().map(|open| open.used.modes_at_savepoint()).unwrap_or_default();
        self.savepoints.push(Mark { name: name.to_owned(), savepoint, after_commit, tables, kept });
    }

    /// The savepoint and all after it are forgotten; what was done stays.
    pub fn release(&mut self, name: &str) -> SqlResult<()> {
        let at = self.find(name)?;
        self.savepoints.truncate(at);
        Ok(())
    }

    /// What was done since the savepoint is undone; the savepoint stays. Gives what the session is to
    /// go back to.
    pub async fn rollback_to(&mut self, name: &str) -> SqlResult<Kept> {
        let at = self.find(name)?;
        self.savepoints.truncate(at + 1);
        let mark = &self.savepoints[at];
        let kept = mark.kept.clone();
        self.after_commit = mark.after_commit.clone();
        if let Some(open) = &self.open {
            match mark.savepoint {
                Some(savepoint) => {
                    open.used.rollback_modes_to(mark.tables.clone());
                    open.txn.rollback_to(savepoint).await?;
                }
                // Nothing had been read before it: the next statement begins anew, under the same level.
                None => {
                    if let Some(open) = self.open.take() {
                        end(open).await;
                    }
                }
            }
        }
        self.failed = false;
        Ok(kept)
    }

    fn find(&self, name: &str) -> SqlResult<usize> {
        let at = self.savepoints.iter().rposition(|mark| mark.name == name);
        at.ok_or_else(|| SqlError::new("3B001", format!("savepoint \"{name}\" does not exist")))
    }

    /// How many savepoints are open: portals made under more than are left go with them.
    pub fn depth(&self) -> usize {
        self.savepoints.len()
    }
}

/// Rolls back. Portals that still hold the transaction let it go later, which rolls it back as well.
pub(crate) async fn end(open: Open) {
    if let Some(txn) = Arc::into_inner(open.txn) {
        txn.rollback().await;
    }
}

/// A warning in the words that PostgreSQL has for it.
pub(crate) fn warning(state: &'static str, message: impl Into<String>) -> Notice {
    Notice { severity: "WARNING", error: SqlError::new(state, message) }
}
