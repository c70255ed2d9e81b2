//! DDL: carried out by the catalog, over what the session lends it.

use std::sync::Arc;

use env::BoxFuture;
use expr::{Datum, EvalContext, Expr, Row, SqlType};
use keyspace::{IndexId, Key, Timestamp, TxnId};

use super::prepared::Prepared;
use super::run::{Limit, Outcome, read_only_error};
use super::{Notice, Server, Session};
use crate::catalog::ddl::{self, AfterCommit, DdlContext, DdlHost};
use crate::catalog::{Catalog, Table};
use crate::exec::{self, Context};
use crate::parse::ast::{Ddl, TypeName};
use crate::plan::Plan;
use crate::{Retry, SqlError, SqlResult};

/// Times that a DDL statement starts again because what it locked has changed.
const TRIES_MAX: u32 = 20;

impl Session {
    pub(super) async fn run_ddl(&mut self, statement: &Ddl, prepared: &Prepared, limit: &Limit) -> SqlResult<Outcome> {
        let mut tries = 0;
        let (open, catalog) = self.start_statement(limit).await?;
        if self.block.as_ref().is_some_and(|block| block.modes.read_only) {
            return Err(read_only_error("a statement that changes the catalog"));
        }
        let mut catalog = self.lock_for_ddl(statement, &open, catalog, limit).await?;
        loop {
            self.settle_portals(limit).await?;
            let path = self.search_path(&catalog);
            let ctx = self.context(&open, catalog.clone(), Vec::new());
            let host = Host { ctx: &ctx };
            let context = DdlContext {
                txn: &open.txn,
                source: &prepared.source,
                catalog: &catalog,
                path: &path,
                user: self.state.role().oid,
                ids: &self.server.ids,
                used: &open.used,
                host: &host,
            };
            let result = limit.run(ddl::execute(context, statement)).await;
            match result {
                Err(error) if error.0.retry == Retry::Statement && tries < TRIES_MAX => {
                    tries += 1;
                    limit.run(open.txn.restart_statement()).await?;
                    catalog = limit.run(self.server.catalogs.at(open.txn.stamp(), self.catalog.as_ref())).await?;
                    self.catalog = Some(catalog.clone());
                }
                Err(error) => return Err(error),
                Ok(outcome) => {
                    self.catalog = Some(outcome.catalog);
                    if let Some(block) = &mut self.block {
                        block.after_commit.ddl.extend(outcome.after_commit);
                    }
                    return Ok(Outcome::done(outcome.tag));
                }
            }
        }
    }

    /// What follows from DDL that has committed. It is not the client's to fail.
    pub(super) async fn follow_up(&mut self, steps: Vec<AfterCommit>) {
        for step in steps {
            match step {
                AfterCommit::SplitAt(keys) => split_at(&self.server, keys).await,
                AfterCommit::SplitRowIds { table, ranges } => {
                    // Ids are made of the oracle's milliseconds: cut where the next few inserts will be.
                    let now_ms = self.server.config.env.wall_ms();
                    let starts =
                        (1..ranges).map(|number| TxnId(Timestamp::new(now_ms + 15 + 5 * u64::from(number), 0).0));
                    let keys = starts.map(|start| {
                        let format = exec::TableFormat::of(&table)?;
                        format.primary().prefix_of(&[exec::write::row_id(start, 0)])
                    });
                    match keys.collect() {
                        Ok(keys) => split_at(&self.server, keys).await,
                        Err(error) => {
                            tracing::warn!(table = table.name, error = error.0.message, "a table was not split")
                        }
                    }
                }
            }
        }
    }

    pub(super) fn bind_type(&self, ty: &TypeName, source: &str) -> SqlResult<SqlType> {
        crate::bind::resolve_type(ty, source)
    }
}

async fn split_at(server: &Server, keys: Vec<Key>) {
    for key in keys {
        if let Err(error) = server.config.txn.split_at(key.clone()).await {
            tracing::warn!(%key, %error, "a range was not split");
        }
    }
}

/// What the session lends to DDL.
struct Host<'a> {
    ctx: &'a Context,
}

impl DdlHost for Host<'_> {
    fn evaluate(&self, expr: &Expr) -> SqlResult<Datum> {
        Ok(expr.eval(&[], &self.ctx.eval())?)
    }

    fn run<'a>(
        &'a self,
        catalog: &'a Arc<Catalog>,
        plan: &'a Plan,
        each: &'a mut (dyn FnMut(Vec<Row>) -> SqlResult<()> + Send),
    ) -> BoxFuture<'a, SqlResult<u64>> {
        let ctx = self.ctx.with_catalog(catalog.clone());
        Box::pin(async move {
            let mut root = exec::open(plan, &exec::Scope::default())?;
            let mut rows = 0;
            while let Some(batch) = root.next(&ctx).await? {
                rows += batch.len() as u64;
                each(batch)?;
            }
            Ok(root.changed().unwrap_or(rows))
        })
    }

    fn to_text(&self, value: &Datum, ty: SqlType) -> SqlResult<String> {
        Ok(value.text_form(ty, &EvalContext::detached()))
    }

    fn key_prefix(&self, table: &Table, index: IndexId, values: &[Datum]) -> SqlResult<Key> {
        let format = self.ctx.shared.formats.of(table)?;
        let index = format.indexes.iter().find(|format| format.id == index);
        index.ok_or_else(|| SqlError::new("XX000", "there is no such index"))?.prefix_of(values)
    }

    fn password_verifier(&self, password: &str) -> SqlResult<String> {
        let _ = password;
        Err(SqlError::not_supported("a role's password"))
    }

    fn notice(&self, notice: Notice) {
        self.ctx.shared.functions.state.notice(notice);
    }

    fn split_new_tables(&self) -> u32 {
        self.ctx.shared.env.knobs().split_new_tables
    }
}
