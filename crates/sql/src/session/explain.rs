//! EXPLAIN, and EXPLAIN ANALYZE, which runs the statement and keeps its rows to itself.

use std::sync::Arc;

use expr::{Datum, EvalContext};

use super::Session;
use super::answer::Answer;
use super::prepared::{Planned, Prepared};
use super::run::{Columns, Limit, Outcome};
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
        let profile = Profile::default();
        let mut execution = None;
        if statement.analyze {
            let started = env.now();
            let mut slots = params.to_vec();
            slots.resize(planned.slots.max(params.len()), Datum::Null);
            let ctx = self.context(&open, catalog, slots);
            let work = async {
                let mut root = exec::open(&planned.plan, &Scope::profiled(&profile))?;
                while root.next(&ctx).await?.is_some() {}
                SqlResult::Ok(())
            };
            limit.run(work).await.map_err(|mut error| {
                // The figures of a first try would be counted again.
                error.0.retry = if error.0.retry == Retry::Statement { Retry::Transaction } else { error.0.retry };
                error
            })?;
            execution = Some(env.now().since(started));
        }
        let mut lines = describe(&planned.plan, statement, &profile);
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
