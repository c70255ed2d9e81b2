//! What virtual relations show that the catalog does not know: registered by those who know it.

use std::sync::Arc;

use bytes::Bytes;
use env::BoxFuture;
use expr::Oid;
use keyspace::{Key, NodeId, TableId, Timestamp, TxnId};

use txn::LockMode;

use crate::{SqlError, SqlResult};

/// Where the rows come from; parts that nobody registered have none. One per node.
#[derive(Clone, Default)]
pub struct Views {
    /// `cairn.nodes` and `cairn.ranges`, and how large tables are: from `node`.
    pub cluster: Option<Arc<dyn ClusterView>>,
    /// `pg_stat_activity`, `pg_settings`, …: from `session`.
    pub sessions: Option<Arc<dyn SessionView>>,
}

pub trait ClusterView: Send + Sync {
    fn nodes(&self) -> BoxFuture<'_, SqlResult<Vec<NodeRow>>>;
    fn ranges(&self) -> BoxFuture<'_, SqlResult<Vec<RangeRow>>>;

    /// Who waits for whom, on all nodes that can be reached.
    fn waits(&self) -> BoxFuture<'_, SqlResult<Vec<WaitRow>>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// What the sessions of all other nodes answer, of those that answer at once.
    fn ask_all_sessions(&self, question: Bytes) -> BoxFuture<'_, Vec<Bytes>> {
        let _ = question;
        Box::pin(std::future::ready(Vec::new()))
    }

    /// `waiter` cannot go on before `holder` does, because one session is behind both: for the detection of deadlocks, as long as
    /// what is returned is kept. It says the circle if this wait is to be given up.
    fn link(&self, waiter: TxnId, holder: TxnId) -> BoxFuture<'static, Vec<TxnId>> {
        let _ = (waiter, holder);
        Box::pin(std::future::pending())
    }

    /// Asks the sessions of another node (`session::Server::answer`); 57P03 if it does not answer.
    fn ask_sessions(&self, node: NodeId, question: Bytes) -> BoxFuture<'_, SqlResult<Bytes>> {
        let _ = question;
        Box::pin(std::future::ready(Err(SqlError::new("57P03", format!("{node} does not answer")))))
    }

    /// Has the session ended with its node, which is dead or lives another life? `began`: a number of the session.
    fn is_session_over(&self, node: NodeId, began: Timestamp) -> bool {
        let _ = (node, began);
        false
    }

    /// About how many bytes are stored under a storage id, as far as this node has heard; no message is sent.
    fn stored_bytes(&self, storage: TableId) -> u64 {
        let _ = storage;
        0
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    pub node: u64,
    pub rpc_address: String,
    pub sql_address: String,
    pub http_address: String,
    pub live: bool,
    pub silent_ms: u64,
    pub replicas: u64,
    pub leaders: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitRow {
    pub waiter: TxnId,
    pub holder: TxnId,
    /// What is to be locked.
    pub key: Key,
    pub mode: LockMode,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeRow {
    pub range: u64,
    pub start: Key,
    pub end: Key,
    pub leader: Option<u64>,
    /// Nodes, learners among them.
    pub replicas: Vec<u64>,
    pub voters: Vec<u64>,
    pub size_bytes: u64,
    pub keys: u64,
}

pub trait SessionView: Send + Sync {
    /// All sessions of this node.
    fn activity(&self) -> Vec<ActivityRow>;
    /// `session` is the one that asks.
    fn settings(&self, session: u32) -> Vec<SettingRow>;

    /// The open transactions of this node's sessions.
    fn transactions(&self) -> Vec<TransactionRow> {
        Vec::new()
    }

    /// The ids under which this node's sessions hold locks, or wait for them.
    fn owners(&self) -> Vec<OwnerRow> {
        Vec::new()
    }

    fn prepared_statements(&self, session: u32) -> Vec<PreparedRow> {
        let _ = session;
        Vec::new()
    }

    fn cursors(&self, session: u32) -> Vec<CursorRow> {
        let _ = session;
        Vec::new()
    }
}

/// Times are microseconds of UTC since 2000-01-01.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActivityRow {
    pub session: u32,
    pub database: Oid,
    pub user: Oid,
    pub application_name: String,
    pub client_address: Option<String>,
    pub client_port: Option<i32>,
    pub session_start: i64,
    pub transaction_start: Option<i64>,
    pub query_start: Option<i64>,
    pub state_change: Option<i64>,
    /// `active`, `idle`, `idle in transaction`, `idle in transaction (aborted)`.
    pub state: &'static str,
    pub query: String,
}

/// An open transaction and what it has locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionRow {
    pub node: NodeId,
    pub session: u32,
    /// Where the session is: its locks are on tables of this database.
    pub database: Oid,
    pub id: TxnId,
    /// Under which the session's advisory locks wait; zero if it never had one.
    pub advisory: TxnId,
    pub isolation: String,
    pub state: String,
    pub started: Option<i64>,
    pub query: String,
    pub buffered_bytes: u64,
    /// Keys: of rows, and those that stand for tables.
    pub locks: Vec<(Key, LockMode)>,
    /// Weak table locks, by use.
    pub uses: Vec<(Oid, LockMode)>,
}

/// Under which ids a session holds locks; zero: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerRow {
    pub session: u32,
    pub txn: TxnId,
    pub advisory: TxnId,
}

impl OwnerRow {
    pub fn owns(&self, txn: TxnId) -> bool {
        txn != TxnId(0) && (txn == self.txn || txn == self.advisory)
    }
}

/// A row of `pg_settings`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SettingRow {
    pub name: String,
    pub setting: String,
    pub unit: Option<String>,
    pub category: String,
    pub short_desc: String,
    pub context: String,
    pub vartype: String,
    pub source: String,
    pub min_val: Option<String>,
    pub max_val: Option<String>,
    pub enumvals: Option<Vec<String>>,
    pub boot_val: Option<String>,
    pub reset_val: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedRow {
    pub name: String,
    pub statement: String,
    pub prepared_at: i64,
    pub parameter_types: Vec<Oid>,
    pub from_sql: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorRow {
    pub name: String,
    pub statement: String,
    pub is_holdable: bool,
    pub is_binary: bool,
    pub is_scrollable: bool,
    pub created_at: i64,
}
