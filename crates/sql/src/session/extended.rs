//! The extended query protocol: Parse, Bind, Describe, Execute, Close, Sync.

use std::sync::Arc;

use bytes::Bytes;
use expr::{Datum, EvalContext, Oid};

use super::answer::Answer;
use super::parameters::read_parameter;
use super::portal::{Portal, Progress, RunningQuery};
use super::prepared::{Planned, Prepared};
use super::run::{Place, tag};
use super::{Output, Session};
use crate::exec;
use crate::parse;
use crate::plan::Field;
use crate::{SqlError, SqlResult};

/// A statement by the name the client gave it.
pub(super) struct NamedStatement {
    pub prepared: Arc<Prepared>,
    /// What the client may have been told of its columns and parameters.
    pub promised: Option<Arc<Planned>>,
}

impl Session {
    /// Parse. `param_types` may be shorter than the statement's parameters, and 0 where the client leaves a type to us.
    pub async fn parse(&mut self, name: &str, text: &str, param_types: &[Oid]) -> SqlResult<()> {
        self.watch.start_statement();
        let prepared = self.parse_one(text, param_types)?;
        self.check_block(&prepared)?;
        if !name.is_empty() && self.statements.contains_key(name) {
            return Err(SqlError::new("42P05", format!("prepared statement \"{name}\" already exists")));
        }
        let promised = self.promise(&prepared).await?;
        self.statements.insert(name.to_owned(), NamedStatement { prepared, promised });
        Ok(())
    }

    fn parse_one(&mut self, text: &str, param_types: &[Oid]) -> SqlResult<Arc<Prepared>> {
        let is_plain = param_types.iter().all(|oid| oid.0 == 0);
        if let Some(known) = Some(&self.server.texts).filter(|_| is_plain).and_then(|texts| texts.find(text)) {
            return Ok(known);
        }
        let mut statements = parse::parse(text)?;
        if statements.len() > 1 {
            return Err(SqlError::new("42601", "cannot insert multiple commands into a prepared statement"));
        }
        let statement = statements.pop().map(|parsed| parsed.statement);
        let declared = if is_plain { Vec::new() } else { param_types.to_vec() };
        let prepared = Arc::new(Prepared::new(text.into(), statement, declared, self.server.now_micros()));
        if is_plain && prepared.is_planned() {
            self.server.texts.keep(&prepared);
        }
        Ok(prepared)
    }

    /// Plans the statement as of now: its errors, its parameters' types, its columns. `None` for statements without a plan.
    pub(super) async fn promise(&mut self, prepared: &Arc<Prepared>) -> SqlResult<Option<Arc<Planned>>> {
        if !prepared.is_planned() || self.block.as_ref().is_some_and(|block| block.failed) {
            return Ok(None);
        }
        let limit = self.limit();
        let open = self.block.as_ref().and_then(|block| block.open().cloned());
        let catalog = match open {
            Some(open) => limit.run(self.server.catalogs.at(open.txn.stamp(), self.catalog.as_ref())).await?,
            None => {
                let stamp = self.stamp_of(prepared, &limit).await?;
                limit.run(self.server.catalogs.at(stamp, self.catalog.as_ref())).await?
            }
        };
        self.catalog = Some(catalog.clone());
        self.plan(prepared, &catalog).map(Some)
    }

    /// Describe 'S': the parameters' types, and the result's columns unless it has none (NoData).
    pub async fn describe_statement(&mut self, name: &str) -> SqlResult<(Vec<Oid>, Option<Vec<Field>>)> {
        let statement = self.statement(name)?;
        self.check_block(&statement.prepared)?;
        let statement = self.statement(name)?;
        match &statement.promised {
            Some(planned) => {
                let params = planned.params.iter().map(|ty| ty.oid).collect();
                Ok((params, planned.fields().map(<[Field]>::to_vec)))
            }
            None => {
                let prepared = statement.prepared.clone();
                Ok((prepared.declared.clone(), self.fields_of_unplanned(&prepared)?))
            }
        }
    }

    /// Bind. `param_formats` as in the message: none (all text), one for all, or one each; the result formats are the
    /// caller's.
    pub async fn bind(
        &mut self,
        portal: &str,
        statement: &str,
        params: Vec<Option<Bytes>>,
        param_formats: &[i16],
    ) -> SqlResult<()> {
        self.watch.start_statement();
        let NamedStatement { prepared, promised } = self.statement(statement)?;
        let (prepared, promised) = (prepared.clone(), promised.clone());
        self.check_block(&prepared)?;
        let types = promised.as_ref().map_or(&[][..], |planned| &planned.params);
        if params.len() != types.len() {
            let message = format!(
                "bind message supplies {} parameters, but prepared statement \"{statement}\" requires {}",
                params.len(),
                types.len()
            );
            return Err(SqlError::new("08P01", message));
        }
        if !matches!(param_formats.len(), 0 | 1) && param_formats.len() != params.len() {
            let (formats, params) = (param_formats.len(), params.len());
            let message = format!("bind message has {formats} parameter formats but {params} parameters");
            return Err(SqlError::new("08P01", message));
        }
        if !portal.is_empty() && self.portals.contains_key(portal) {
            return Err(SqlError::new("42P03", format!("cursor \"{portal}\" already exists")));
        }
        let format = |at: usize| match param_formats {
            [] => 0,
            [all] => *all,
            each => each[at],
        };
        let surroundings = (!params.is_empty()).then(|| self.surroundings());
        let eval = match &surroundings {
            Some(surroundings) => surroundings.eval(),
            None => EvalContext::detached(),
        };
        let mut values = Vec::with_capacity(params.len());
        for (at, (param, ty)) in params.iter().zip(types).enumerate() {
            values.push(match param {
                None => Datum::Null,
                Some(bytes) => read_parameter(at, bytes, format(at), *ty, &eval)?,
            });
        }
        let depth = self.depth();
        self.portals.insert(portal.to_owned(), Portal::new(prepared, promised, values, depth));
        Ok(())
    }

    /// Describe 'P'.
    pub async fn describe_portal(&mut self, portal: &str) -> SqlResult<Option<Vec<Field>>> {
        let found = self.portal(portal)?;
        if let Some(cursor) = &found.cursor {
            return Ok(Some(cursor.fields.clone()));
        }
        let (prepared, promised) = (found.prepared.clone(), found.promised.clone());
        self.check_block(&prepared)?;
        match promised {
            Some(planned) => Ok(planned.fields().map(<[Field]>::to_vec)),
            None => self.fields_of_unplanned(&prepared),
        }
    }

    /// Execute: rows, then CommandComplete, EmptyQueryResponse or PortalSuspended; never RowDescription. `max_rows` 0 is all.
    pub async fn execute(&mut self, portal: &str, max_rows: u32, out: &mut dyn Output) -> SqlResult<()> {
        self.watch.start_statement();
        let commits = std::mem::take(&mut self.sync_follows);
        let found = self.portal(portal)?;
        let (prepared, promised) = (found.prepared.clone(), found.promised.clone());
        if prepared.statement.is_none() {
            return out.empty_query();
        }
        self.check_block(&prepared)?;
        let found = self.portal(portal)?;
        let piecemeal = max_rows > 0 && promised.as_ref().is_some_and(|planned| !planned.writes);
        match &found.progress {
            Progress::NotStarted if !piecemeal => {
                let params = std::mem::take(&mut self.portal(portal)?.params);
                let alone = commits && self.block.is_none();
                let place = Place { alone, commits };
                self.run(&prepared, promised.as_ref(), &params, Answer::new(out, false), place).await?;
                if let Some(portal) = self.portals.get_mut(portal) {
                    portal.progress = Progress::Done;
                }
                Ok(())
            }
            Progress::NotStarted => {
                self.start_portal(portal).await?;
                self.fetch_portal(portal, max_rows, out).await
            }
            Progress::Running { .. } => self.fetch_portal(portal, max_rows, out).await,
            Progress::Done if promised.as_ref().is_some_and(|planned| !planned.writes) => out.complete("SELECT 0"),
            Progress::Done => Err(SqlError::new("55000", format!("portal \"{portal}\" cannot be run"))),
        }
    }

    /// Its operators are made; nothing has run yet.
    pub(super) async fn start_portal(&mut self, name: &str) -> SqlResult<()> {
        let limit = self.limit();
        let prepared = self.portal(name)?.prepared.clone();
        let (open, catalog, planned) = self.start_planned(&prepared, &limit).await?;
        let portal = self.portal(name)?;
        let (promised, mut params) = (portal.promised.clone(), std::mem::take(&mut portal.params));
        check_result_type(promised.as_deref(), &planned)?;
        params.resize(planned.slots.max(params.len()), Datum::Null);
        let ctx = self.context(&open, catalog, params);
        let query = RunningQuery::start(planned.clone(), ctx);
        self.portal(name)?.progress = Progress::Running { query, planned };
        Ok(())
    }

    async fn fetch_portal(&mut self, name: &str, max_rows: u32, out: &mut dyn Output) -> SqlResult<()> {
        let limit = self.limit();
        let surroundings = self.surroundings();
        let portal = self.portal(name)?;
        let Progress::Running { query, planned } = &mut portal.progress else {
            unreachable!("only a running portal is fetched")
        };
        let most = if max_rows == 0 { usize::MAX } else { max_rows as usize };
        let planned = planned.clone();
        let mut sent = 0;
        while sent < most {
            let rows = limit.run(query.fetch((most - sent).min(exec::BATCH_ROWS))).await?;
            if rows.is_empty() {
                break;
            }
            sent += rows.len();
            limit.run(out.rows(&planned.plan.fields, &rows, &surroundings.eval())).await?;
        }
        if sent == most && most != usize::MAX {
            return out.suspended();
        }
        portal.progress = Progress::Done;
        self.report(out)?;
        out.complete(&tag(&planned.plan, sent as u64))
    }

    /// Close 'S'. What does not exist is closed.
    pub fn close_statement(&mut self, name: &str) {
        self.statements.remove(name);
    }

    /// Close 'P'.
    pub fn close_portal(&mut self, name: &str) {
        self.portals.remove(name);
    }

    /// Sync: ends the implicit transaction of a pipeline. An error is to be sent before ReadyForQuery.
    pub async fn sync(&mut self, out: &mut dyn Output) -> SqlResult<()> {
        self.sync_follows = false;
        if self.block.as_ref().is_some_and(|block| !block.explicit)
            && let Err(error) = self.commit_block().await
        {
            self.end_block_badly().await;
            return Err(error);
        }
        self.report(out)
    }

    /// An extended-protocol message failed: ends the implicit transaction, or marks the block failed.
    pub async fn fail(&mut self) {
        self.sync_follows = false;
        self.statement_failed().await;
    }

    fn statement(&self, name: &str) -> SqlResult<&NamedStatement> {
        self.statements.get(name).ok_or_else(|| {
            let message = match name {
                "" => "unnamed prepared statement does not exist".to_owned(),
                name => format!("prepared statement \"{name}\" does not exist"),
            };
            SqlError::new("26000", message)
        })
    }

    pub(super) fn portal(&mut self, name: &str) -> SqlResult<&mut Portal> {
        let portal = self.portals.get_mut(name);
        portal.ok_or_else(|| SqlError::new("34000", format!("portal \"{name}\" does not exist")))
    }
}

/// The client was told of columns that the statement no longer has.
pub(super) fn check_result_type(promised: Option<&Planned>, planned: &Planned) -> SqlResult<()> {
    let Some(promised) = promised else { return Ok(()) };
    let same = match (promised.fields(), planned.fields()) {
        (Some(then), Some(now)) => then.len() == now.len() && then.iter().zip(now).all(|(then, now)| then.ty == now.ty),
        (None, None) => true,
        _ => false,
    };
    if same { Ok(()) } else { Err(SqlError::new("0A000", "cached plan must not change result type")) }
}
