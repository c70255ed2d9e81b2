//! Statements that are parsed, and plans that are made for them.

use std::sync::Arc;

use expr::{Oid, SqlType};
use keyspace::Timestamp;
use parking_lot::Mutex;

use crate::bind::Bound;
use crate::catalog::{Table, TableUse};
use crate::parse::ast::{Statement, Utility};
use crate::plan::{Field, Node, Plan};

/// A statement of the client's, by the extended protocol, by PREPARE, or one of a simple message.
pub(crate) struct Prepared {
    /// The whole text that positions count in.
    pub source: Arc<str>,
    /// `None`: an empty statement.
    pub statement: Option<Statement>,
    /// Parameter types that the client gave; 0 leaves one to us.
    pub declared: Vec<Oid>,
    /// By PREPARE (`pg_prepared_statements.from_sql`).
    pub from_sql: bool,
    /// Microseconds since 2000.
    pub prepared_at: i64,
    plan: Mutex<Option<Arc<Planned>>>,
}

/// A plan and what must hold for it to be used again.
pub(crate) struct Planned {
    pub validity: Validity,
    pub plan: Plan,
    pub params: Vec<SqlType>,
    pub slots: usize,
    pub tables: Vec<(Table, TableUse)>,
    pub writes: bool,
    /// It may be run again before it ends: it locks rows, or it writes.
    pub locks: bool,
    /// It reads what the session knows of itself.
    pub shows_session: bool,
}

/// The plan is right for a catalog and for the settings that names and constants were resolved under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    /// `None`: made in a transaction that has changed the catalog; never used again.
    pub catalog: Option<Timestamp>,
    pub database: Oid,
    pub settings: Arc<PlanSettings>,
}

/// Interned by the session, so that comparing two is nearly always comparing pointers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PlanSettings {
    pub user: String,
    pub search_path: Vec<String>,
    pub eval: expr::Settings,
}

impl Validity {
    pub fn holds(&self, now: &Validity) -> bool {
        self.catalog.is_some()
            && self.catalog == now.catalog
            && self.database == now.database
            && (Arc::ptr_eq(&self.settings, &now.settings) || self.settings == now.settings)
    }
}

impl Prepared {
    pub fn new(source: Arc<str>, statement: Option<Statement>, declared: Vec<Oid>, prepared_at: i64) -> Prepared {
        Prepared { source, statement, declared, from_sql: false, prepared_at, plan: Mutex::new(None) }
    }

    pub fn plan_for(&self, now: &Validity) -> Option<Arc<Planned>> {
        self.plan.lock().as_ref().filter(|planned| planned.validity.holds(now)).cloned()
    }

    pub fn keep_plan(&self, planned: Arc<Planned>) {
        *self.plan.lock() = Some(planned);
    }

    pub fn forget_plan(&self) {
        *self.plan.lock() = None;
    }

    /// Does it go through the planner?
    pub fn is_planned(&self) -> bool {
        matches!(
            self.statement,
            Some(Statement::Query(_) | Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_))
        )
    }

    /// What ends or mends a failed block runs in it; nothing else does.
    pub fn ends_transaction(&self) -> bool {
        let Some(Statement::Utility(utility)) = &self.statement else { return false };
        matches!(
            **utility,
            Utility::Commit { .. } | Utility::Rollback { .. } | Utility::RollbackTo(_) | Utility::PrepareTransaction(_)
        )
    }
}

impl Planned {
    pub fn new(validity: Validity, bound: Bound) -> Planned {
        let Bound { plan, params, slots, tables } = bound;
        let writes = writes(&plan);
        let locks = writes || locks(&plan);
        let shows_session = shows_session(&plan);
        Planned { validity, plan, params, slots, tables, writes, locks, shows_session }
    }

    /// The columns of its answer; none for a statement that gives no rows.
    pub fn fields(&self) -> Option<&[Field]> {
        returns_rows(&self.plan).then_some(&self.plan.fields)
    }
}

fn returns_rows(plan: &Plan) -> bool {
    match &plan.node {
        Node::Insert(insert) => !insert.returning.is_empty(),
        Node::Update(update) => !update.returning.is_empty(),
        Node::Delete(delete) => !delete.returning.is_empty(),
        Node::With { body, .. } => returns_rows(body),
        _ => true,
    }
}

fn writes(plan: &Plan) -> bool {
    matches!(plan.node, Node::Insert(_) | Node::Update(_) | Node::Delete(_))
        || plan.node.inputs().into_iter().any(writes)
}

fn shows_session(plan: &Plan) -> bool {
    let here = match &plan.node {
        Node::VirtualScan { table, .. } => matches!(&*table.name, "pg_prepared_statements" | "pg_cursors"),
        _ => false,
    };
    here || plan.node.inputs().into_iter().any(shows_session)
}

fn locks(plan: &Plan) -> bool {
    let here = match &plan.node {
        Node::LockRows { .. } => true,
        Node::Scan(scan) => scan.lock.is_some(),
        Node::LookupJoin { scan, .. } => scan.lock.is_some(),
        _ => false,
    };
    here || plan.node.inputs().into_iter().any(locks)
}
