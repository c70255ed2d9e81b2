//! EXPLAIN, and EXPLAIN ANALYZE, which runs the statement and keeps its rows to itself.

use std::sync::Arc;
use std::time::Duration;

use expr::{Datum, EvalContext};

use super::Session;
use super::answer::Answer;
use super::prepared::{Planned, Prepared};
use super::run::{Columns, Limit, Outcome, TRIES_MAX};
use super::utility::text_field;
use crate::catalog::Catalog;
use crate::exec::{self, Profile, Scope};
use crate::parse::ast::{Ddl, Explain, ExplainFormat, Statement, Utility};
use crate::plan::{ExplainStyle, Plan, explain};
use crate::{Retry, SqlError, SqlResult};

impl Session {
    pub(super) async fn explain(
        &mut self,
        statement: &Explain,
        within: &Arc<Prepared>,
        params: &[Datum],
        answer: &mut Answer<'_>,
        limit: &Limit,
    ) -> SqlResult<Outcome> {
        check_options(statement)?;
        let (open, mut catalog) = self.start_statement_at(statement.statement.system_time(), limit).await?;
        let (waits_before, restarts_before) = open.txn.waits();
        let env = self.server.config.env.clone();
        let planning = env.now();
        let planned = loop {
            let Some(planned) = self.plan_explained(&statement.statement, within, &catalog)? else {
                return send(answer, vec!["Utility statements have no plan structure".to_owned()]).await;
            };
            let entered = if statement.analyze { self.enter(&planned, &open, limit).await? } else { None };
            match entered {
                None => break planned,
                Some(changed) => catalog = changed,
            }
        };
        let planning = env.now().since(planning);
        let mut profile = Profile::default();
        let mut execution = None;
        if statement.analyze {
            let started = env.now();
            let mut slots = params.to_vec();
            slots.resize(planned.slots.max(params.len()), Datum::Null);
            let ctx = self.context(&open, catalog, slots);
            let mut tries = 0;
            loop {
                let work = async {
                    let mut root = exec::open(&planned.plan, &Scope::profiled(&profile))?;
                    while root.next(&ctx).await?.is_some() {}
                    SqlResult::Ok(())
                };
                match limit.run(work).await {
                    Err(error) if error.0.retry == Retry::Statement && tries < TRIES_MAX => {
                        tries += 1;
                        // The figures of a first try would be counted again.
                        profile = Profile::default();
                        self.state.take_notifies();
                        self.state.advisory.end_statement(&self.server, true).await?;
                        self.state.advisory.begin_statement(&self.server, open.txn.id());
                        limit.run(open.txn.restart_statement()).await?;
                    }
                    result => break result?,
                }
            }
            execution = Some(env.now().since(started));
        }
        let mut lines = describe(&planned.plan, statement, &profile);
        if statement.analyze {
            let (mut waits, restarts) = open.txn.waits();
            waits += self.spent.waits;
            let in_this = |total: Duration, before: Duration| total.saturating_sub(before).as_secs_f64() * 1000.0;
            let locks = in_this(waits.locks, waits_before.locks);
            let writers = in_this(waits.writers, waits_before.writers);
            let restarts = restarts + self.spent.restarts - restarts_before;
            if statement.timing && locks + writers > 0.0 {
                lines.push(format!("Waits: locks={locks:.3} ms writers={writers:.3} ms"));
            }
            if restarts > 0 {
                lines.push(format!("Restarts: {restarts}"));
            }
        }
        if statement.summary.unwrap_or(statement.analyze) {
            lines.push(format!("Planning Time: {:.3} ms", planning.as_secs_f64() * 1000.0));
            if let Some(execution) = execution {
                lines.push(format!("Execution Time: {:.3} ms", execution.as_secs_f64() * 1000.0));
            }
        }
        send(answer, lines).await
    }

    /// `None` for a statement that has no plan.
    fn plan_explained(
        &mut self,
        statement: &Statement,
        within: &Arc<Prepared>,
        catalog: &Arc<Catalog>,
    ) -> SqlResult<Option<Arc<Planned>>> {
        let planned = match statement {
            Statement::Query(_) | Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) => {
                let validity = self.validity(catalog);
                self.make_plan(statement, within, catalog, validity)?
            }
            Statement::Ddl(ddl) => match &**ddl {
                Ddl::CreateTableAs(create) => {
                    let query = Statement::Query(Box::new(create.query.query.clone()));
                    let validity = self.validity(catalog);
                    self.make_plan(&query, within, catalog, validity)?
                }
                _ => return Ok(None),
            },
            Statement::Utility(utility) => match &**utility {
                Utility::Execute { name, .. } => {
                    let found = self.statements.get(name.as_str());
                    let found = found.ok_or_else(|| super::utility::no_such_statement(name.as_str()))?;
                    let prepared = found.prepared.clone();
                    return self.plan(&prepared, catalog).map(Some);
                }
                Utility::DeclareCursor(declare) => {
                    let query = Statement::Query(declare.query.clone());
                    let validity = self.validity(catalog);
                    self.make_plan(&query, within, catalog, validity)?
                }
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(planned)))
    }
}

/// The plan in lines, with what its operators have done if they have run.
fn describe(plan: &Plan, statement: &Explain, profile: &Profile) -> Vec<String> {
    let actual = |plan: &Plan| {
        let Some(figures) = profile.of(plan) else { return Some("(never executed)".to_owned()) };
        let loops = figures.loops.max(1);
        let rows = figures.rows as f64 / loops as f64;
        Some(if statement.timing {
            let ms = figures.time.as_secs_f64() * 1000.0 / loops as f64;
            format!("(actual time={ms:.3} rows={rows:.0} loops={loops})")
        } else {
            format!("(actual rows={rows:.0} loops={loops})")
        })
    };
    let style = ExplainStyle {
        costs: statement.costs,
        verbose: statement.verbose,
        actual: if statement.analyze { Some(&actual) } else { None },
    };
    explain(plan, &style)
}

fn check_options(statement: &Explain) -> SqlResult<()> {
    if let Some(option) = &statement.unknown {
        return Err(SqlError::new("42601", format!("unrecognized EXPLAIN option \"{}\"", option.name)));
    }
    if statement.wal && !statement.analyze {
        return Err(SqlError::new("22023", "EXPLAIN option WAL requires ANALYZE"));
    }
    if statement.format != ExplainFormat::Text {
        return Err(SqlError::not_supported("EXPLAIN in another format than TEXT"));
    }
    Ok(())
}

async fn send(answer: &mut Answer<'_>, lines: Vec<String>) -> SqlResult<Outcome> {
    let fields = vec![text_field("QUERY PLAN")];
    let rows = lines.into_iter().map(|line| vec![Datum::text(line)]).collect();
    answer.rows(&fields, rows, &EvalContext::detached()).await?;
    Ok(Outcome { tag: "EXPLAIN".to_owned(), columns: Columns::Own(fields) })
}
