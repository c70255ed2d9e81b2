//! Running one statement: its transaction, its time limit, its retries, its answer.

use std::sync::Arc;
use std::time::Duration;

use env::{BoxFuture, Env, Mono};
use expr::{Datum, EvalContext, Row};
use txn::{Isolation, TxnError, TxnOptions, Waits};

use super::advisory::AdvisoryLocks;
use super::answer::Answer;
use super::block::{Block, Open};
use super::extended::check_result_type;
use super::prepared::{Planned, Prepared};
use super::table_locks::Announcer;
use super::{Active, Functions, Session, TransactionStatus, Watch, block};
use crate::catalog::providers::{CursorRow, PreparedRow};
use crate::catalog::{Catalog, UsedTables};
use crate::exec::{self, Context};
use crate::parse::ast::Statement;
use crate::plan::{Field, Node, Plan};
use crate::{Retry, SqlError, SqlResult};

/// Where a statement stands in its message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Nothing else runs in its implicit transaction: it may run again in a new one.
    pub alone: bool,
    /// Outside a block, the transaction commits before the statement's answer is complete.
    pub commits: bool,
}

/// What the tries of a statement have cost that were given up together with their transaction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    pub waits: Waits,
    pub restarts: u64,
}

/// How a statement went.
pub(super) struct Outcome {
    pub tag: String,
    pub columns: Columns,
}

/// The columns of the rows that were sent.
pub(super) enum Columns {
    None,
    Planned(Arc<Planned>),
    Own(Vec<Field>),
}

impl Columns {
    pub fn fields(&self) -> Option<&[Field]> {
        match self {
            Columns::None => None,
            Columns::Planned(planned) => planned.fields(),
            Columns::Own(fields) => Some(fields),
        }
    }
}

impl Outcome {
    pub fn done(tag: impl Into<String>) -> Outcome {
        Outcome { tag: tag.into(), columns: Columns::None }
    }
}

/// Until when a statement may run, and who may end it before.
#[derive(Clone)]
pub(super) struct Limit {
    watch: Arc<Watch>,
    env: Env,
    advisory: Arc<AdvisoryLocks>,
    deadline: Option<Mono>,
}

impl Limit {
    /// Gives `work` up when the statement is cancelled or its time is over.
    pub async fn run<T, E: Into<SqlError>>(&self, work: impl Future<Output = Result<T, E>>) -> SqlResult<T> {
        let over = async {
            match self.deadline {
                Some(deadline) => self.env.sleep(deadline.since(self.env.now())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            done = work => done.map_err(Into::into),
            error = self.watch.cancelled() => Err(error),
            error = self.advisory.deadlock() => Err(error),
            () = over => Err(SqlError::new("57014", "canceling statement due to statement timeout")),
        }
    }
}

/// Tries of one statement, or of one transaction, before its error is the client's.
pub(super) const TRIES_MAX: u32 = 100;

impl Session {
    /// Runs a statement and sends its answer up to CommandComplete. The caller looks after the block when it fails.
    pub(super) async fn run(
        &mut self,
        prepared: &Arc<Prepared>,
        promised: Option<&Arc<Planned>>,
        params: &[Datum],
        mut answer: Answer<'_>,
        place: Place,
    ) -> SqlResult<()> {
        self.check_block(prepared)?;
        self.state.begin_query(&prepared.source, self.server.now_micros());
        let result = self.run_and_answer(prepared, promised, params, &mut answer, place).await;
        let result = match result {
            Err(error) if error.state() == "23505" => Err(self.or_serialization_failure(error).await),
            result => result,
        };
        let result = result.map_err(|error| self.name_place(error));
        self.state.advisory.end_statement(&self.server, false).await?;
        let state = match self.status() {
            TransactionStatus::Idle => "idle",
            TransactionStatus::InTransaction => "idle in transaction",
            TransactionStatus::Failed => "idle in transaction (aborted)",
        };
        let began_at = self.block.as_ref().map(|block| block.began_at);
        self.state.end_query(state, began_at, self.server.now_micros());
        result
    }

    /// A key is taken that the transaction, when it looked, found free: it is not the client's mistake, it is a conflict that
    /// goes away when the transaction runs again.
    async fn or_serialization_failure(&mut self, error: SqlError) -> SqlError {
        let open = self.block.as_ref().filter(|block| block.explicit).and_then(|block| block.open().cloned());
        let Some(open) = open else { return error };
        match open.txn.check_reads().await {
            Err(conflict @ TxnError::Serialization { .. }) => conflict.into(),
            _ => error,
        }
    }

    async fn run_and_answer(
        &mut self,
        prepared: &Arc<Prepared>,
        promised: Option<&Arc<Planned>>,
        params: &[Datum],
        answer: &mut Answer<'_>,
        place: Place,
    ) -> SqlResult<()> {
        let limit = self.limit();
        self.spent = Spent::default();
        let mut tries = 0;
        loop {
            let is_first = self.block.as_ref().is_none_or(|block| !block.has_read && !block.has_savepoints());
            // Looked at before the try: a COMMIT that fails has closed its block, and must not be taken for a statement
            // outside one, which would be run again and succeed at nothing.
            let in_block = self.block.as_ref().is_some_and(|block| block.explicit);
            let result = self.attempt(prepared, promised, params, answer, place, &limit).await;
            match result {
                Ok(outcome) => {
                    if let Some(fields) = outcome.columns.fields() {
                        if answer.has_held() {
                            let surroundings = self.surroundings();
                            answer.release(fields, &surroundings.eval()).await?;
                        } else {
                            answer.release(fields, &EvalContext::detached()).await?;
                        }
                    }
                    self.report(answer.out())?;
                    return answer.out().complete(&outcome.tag);
                }
                Err(error) if error.0.retry == Retry::Transaction && answer.may_start_over() && tries < TRIES_MAX => {
                    // A block can start over while this statement is all it has done.
                    let may_retry = if in_block { is_first && self.block.is_some() } else { place.alone };
                    if !may_retry {
                        return Err(error);
                    }
                    env::probe!("transaction_started_over");
                    tries += 1;
                    answer.start_over();
                    self.state.advisory.end_statement(&self.server, true).await?;
                    self.start_over(in_block).await;
                    let pause = self.back_off(tries);
                    limit.run(pause).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn attempt(
        &mut self,
        prepared: &Arc<Prepared>,
        promised: Option<&Arc<Planned>>,
        params: &[Datum],
        answer: &mut Answer<'_>,
        place: Place,
        limit: &Limit,
    ) -> SqlResult<Outcome> {
        let outcome = self.dispatch(prepared, promised, params, answer, place, limit).await?;
        if place.commits && self.block.as_ref().is_some_and(|block| !block.explicit) {
            self.commit_block().await?;
        }
        Ok(outcome)
    }

    async fn dispatch(
        &mut self,
        prepared: &Arc<Prepared>,
        promised: Option<&Arc<Planned>>,
        params: &[Datum],
        answer: &mut Answer<'_>,
        place: Place,
        limit: &Limit,
    ) -> SqlResult<Outcome> {
        match &prepared.statement {
            Some(Statement::Query(_) | Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_)) => {
                self.run_planned(prepared, promised, params, answer, limit).await
            }
            Some(_) => self.run_other(prepared, params, answer, place, limit).await,
            None => Err(SqlError::new("XX000", "an empty statement was run")),
        }
    }

    /// What is not planned. Boxed, so that these many futures do not make the one of a query large.
    fn run_other<'a>(
        &'a mut self,
        prepared: &'a Arc<Prepared>,
        params: &'a [Datum],
        answer: &'a mut Answer<'_>,
        place: Place,
        limit: &'a Limit,
    ) -> BoxFuture<'a, SqlResult<Outcome>> {
        Box::pin(async move {
            match &prepared.statement {
                Some(Statement::Utility(utility)) => {
                    self.run_utility(utility, prepared, params, answer, place, limit).await
                }
                Some(Statement::Explain(explain)) => self.explain(explain, prepared, params, answer, limit).await,
                Some(Statement::Ddl(ddl)) => self.run_ddl(ddl, prepared, limit).await,
                Some(Statement::NotSupported { what }) => Err(SqlError::not_supported(what)),
                _ => unreachable!("planned statements have been run"),
            }
        })
    }

    /// Nothing but the end of a failed block runs in it.
    pub(super) fn check_block(&self, prepared: &Prepared) -> SqlResult<()> {
        if self.block.as_ref().is_some_and(|block| block.failed) && !prepared.ends_transaction() {
            return Err(SqlError::new(
                "25P02",
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        Ok(())
    }

    /// The time limit of a statement that starts now.
    pub(super) fn limit(&self) -> Limit {
        let env = self.server.config.env.clone();
        let timeout = self.state.active().statement_timeout;
        let deadline = timeout.map(|timeout| env.now() + timeout);
        Limit { watch: self.watch.clone(), env, advisory: self.state.advisory.clone(), deadline }
    }

    /// Gives up the transaction and keeps the block, if there is one, for another try.
    async fn start_over(&mut self, in_block: bool) {
        if let Some(open) = self.block.as_ref().and_then(Block::open) {
            let (waits, restarts) = open.txn.waits();
            self.spent.waits += waits;
            self.spent.restarts += restarts + 1;
        }
        if !in_block {
            return self.end_block_badly().await;
        }
        if let Some(block) = &mut self.block {
            block.has_read = false;
            if let Some(open) = block.take_open() {
                block::end(open).await;
            }
        }
    }

    /// A short random pause, longer with each try, so that those who met do not meet again.
    fn back_off(&self, tries: u32) -> impl Future<Output = SqlResult<()>> + use<> {
        let env = &self.server.config.env;
        let most_us = 100_u64 << tries.min(8);
        let pause = env.sleep(Duration::from_micros(env.random_below(most_us)));
        async move {
            pause.await;
            Ok(())
        }
    }

    /// The block's transaction at a new statement, and the catalog as it sees it.
    pub(super) async fn start_statement(&mut self, limit: &Limit) -> SqlResult<(Open, Arc<Catalog>)> {
        self.ensure_block();
        let lock_timeout = self.state.active().lock_timeout;
        let Some(block) = &mut self.block else { unreachable!("it was just made") };
        let open = match block.open() {
            Some(open) => {
                open.txn.set_lock_timeout(lock_timeout);
                open.clone()
            }
            None => {
                let options = TxnOptions {
                    isolation: block.modes.level(),
                    read_only: block.modes.read_only,
                    as_of: block.modes.system_time,
                    reads_for: None,
                    lock_timeout,
                };
                let txn = limit.run(self.server.config.txn.begin(options)).await?;
                let used = UsedTables::new(self.server.catalogs.clone());
                self.state.set_txn(&txn, &used);
                txn.set_schema_guard(used.clone());
                let announcer = Announcer::new(self.server.clone(), txn.id());
                let open = Open { txn: Arc::new(txn), used, row_ids: Arc::default(), announcer };
                block.set_open(open.clone());
                open
            }
        };
        self.state.advisory.begin_statement(&self.server, open.txn.id());
        if block.modes.level() == Isolation::ReadCommitted {
            // Portals that are still open read at the number they began with.
            self.settle_portals(limit).await?;
        }
        limit.run(open.txn.begin_statement()).await?;
        let catalog = limit.run(self.server.catalogs.at(open.txn.stamp(), self.catalog.as_ref())).await?;
        self.catalog = Some(catalog.clone());
        Ok((open, catalog))
    }

    pub(super) fn context(&self, open: &Open, catalog: Arc<Catalog>, params: Vec<Datum>) -> Context {
        let config = &self.server.config;
        let shared = exec::Shared {
            env: config.env.clone(),
            txn: open.txn.clone(),
            functions: Functions::new(self.server.clone(), self.state.clone(), catalog.clone()),
            catalog,
            memory: config.memory.child(config.env.knobs().statement_bytes),
            watch: self.watch.clone(),
            active: self.state.active(),
            statement_time: self.server.now_micros(),
            transaction_time: self.block.as_ref().map_or(0, |block| block.began_at),
            row_ids: open.row_ids.clone(),
            formats: exec::Formats::default(),
            breaths: Default::default(),
        };
        Context { shared: Arc::new(shared), params }
    }

    /// For `pg_prepared_statements` and `pg_cursors`, which show the session that asks.
    fn publish_lists(&self) {
        let prepared = self.statements.iter().map(|(name, statement)| PreparedRow {
            name: name.clone(),
            statement: statement.prepared.source.to_string(),
            prepared_at: statement.prepared.prepared_at,
            parameter_types: statement.promised.iter().flat_map(|planned| &planned.params).map(|ty| ty.oid).collect(),
            from_sql: statement.prepared.from_sql,
        });
        let cursor = |(name, portal): (&String, &super::portal::Portal)| {
            let cursor = portal.cursor.as_ref()?;
            Some(CursorRow {
                name: name.clone(),
                statement: portal.prepared.source.to_string(),
                is_holdable: cursor.hold,
                is_binary: cursor.binary,
                is_scrollable: cursor.scroll,
                created_at: cursor.declared_at,
            })
        };
        let (prepared, cursors) = (prepared.collect(), self.portals.iter().filter_map(cursor).collect());
        self.state.lists(|lists| (lists.prepared, lists.cursors) = (prepared, cursors));
    }

    /// What values are read and written under between statements.
    pub(super) fn surroundings(&self) -> Surroundings {
        let catalog = self.catalog.clone().unwrap_or_default();
        let functions = Functions::new(self.server.clone(), self.state.clone(), catalog);
        Surroundings { functions, active: self.state.active(), now: self.server.now_micros() }
    }

    async fn run_planned(
        &mut self,
        prepared: &Arc<Prepared>,
        promised: Option<&Arc<Planned>>,
        params: &[Datum],
        answer: &mut Answer<'_>,
        limit: &Limit,
    ) -> SqlResult<Outcome> {
        let (open, catalog, planned) = self.start_planned(prepared, limit).await?;
        check_result_type(promised.map(|planned| &**planned), &planned)?;
        if planned.shows_session {
            self.publish_lists();
        }
        let rows = self.run_plan(&planned, open, catalog, params, answer, limit).await?;
        for (channel, payload) in self.state.take_notifies() {
            self.notify(&channel, &payload)?;
        }
        Ok(Outcome { tag: tag(&planned.plan, rows), columns: Columns::Planned(planned) })
    }

    /// Runs a plan that may ([`Session::enter`]) to its end in the block's transaction, again as often as locks say so. Gives the number of rows.
    pub(super) async fn run_plan(
        &mut self,
        planned: &Planned,
        open: Open,
        catalog: Arc<Catalog>,
        params: &[Datum],
        answer: &mut Answer<'_>,
        limit: &Limit,
    ) -> SqlResult<u64> {
        if planned.locks {
            answer.hold();
            if planned.writes {
                self.settle_portals(limit).await?;
            }
        }
        let mut slots = params.to_vec();
        slots.resize(planned.slots.max(params.len()), Datum::Null);
        let ctx = self.context(&open, catalog, slots);
        let mut tries = 0;
        loop {
            let result = limit.run(exec::run(&planned.plan, &ctx, answer)).await;
            match result {
                Err(error) if error.0.retry == Retry::Statement => {
                    if !answer.may_start_over() || tries >= TRIES_MAX {
                        return Err(error);
                    }
                    env::probe!("statement_ran_again");
                    tries += 1;
                    answer.start_over();
                    self.state.take_notifies();
                    self.state.advisory.end_statement(&self.server, true).await?;
                    self.state.advisory.begin_statement(&self.server, open.txn.id());
                    limit.run(open.txn.restart_statement()).await?;
                }
                result => return result,
            }
        }
    }

    /// The one row of a plan that only computes.
    pub(super) async fn compute_row(
        &mut self,
        planned: &Planned,
        open: &Open,
        catalog: &Arc<Catalog>,
        limit: &Limit,
    ) -> SqlResult<Row> {
        let ctx = self.context(open, catalog.clone(), vec![Datum::Null; planned.slots]);
        let work = async {
            let mut root = exec::open(&planned.plan, &exec::Scope::default())?;
            exec::collect(&mut *root, &ctx).await
        };
        let rows = limit.run(work).await?;
        Ok(rows.rows().first().cloned().unwrap_or_default())
    }

    /// What must hold before a plan runs: the transaction may write, the schema is remembered.
    pub(super) fn admit(&self, planned: &Planned, open: &Open) -> SqlResult<()> {
        let read_only = self.block.as_ref().is_some_and(|block| block.modes.read_only);
        if planned.locks && read_only {
            return Err(read_only_error(verb(&planned.plan)));
        }
        for (table, how) in &planned.tables {
            open.used.record(table, *how);
        }
        Ok(())
    }
}

/// The session as expressions see it, without a statement.
pub(super) struct Surroundings {
    functions: Functions,
    active: Arc<Active>,
    now: i64,
}

impl Surroundings {
    pub fn eval(&self) -> EvalContext<'_> {
        EvalContext::new(&self.active.eval, &self.functions).with_times(self.now, self.now)
    }
}

pub(super) fn read_only_error(what: &str) -> SqlError {
    SqlError::new("25006", format!("cannot execute {what} in a read-only transaction"))
}

fn verb(plan: &Plan) -> &'static str {
    match &plan.node {
        Node::Insert(_) => "INSERT",
        Node::Update(_) => "UPDATE",
        Node::Delete(_) => "DELETE",
        Node::With { ctes, body } => {
            let mut inner = ctes.iter().map(|cte| verb(&cte.plan)).chain([verb(body)]);
            inner.find(|verb| *verb != "SELECT FOR UPDATE").unwrap_or("SELECT FOR UPDATE")
        }
        _ => "SELECT FOR UPDATE",
    }
}

/// CommandComplete's tag.
pub(super) fn tag(plan: &Plan, rows: u64) -> String {
    match &plan.node {
        Node::Insert(_) => format!("INSERT 0 {rows}"),
        Node::Update(_) => format!("UPDATE {rows}"),
        Node::Delete(_) => format!("DELETE {rows}"),
        Node::With { body, .. } => tag(body, rows),
        _ => format!("SELECT {rows}"),
    }
}
