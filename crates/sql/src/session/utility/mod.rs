//! Statements that are not planned: transaction control, settings, cursors, COPY, maintenance.

mod call;
mod cursor;
mod discard;
mod maintenance;
mod prepare;
mod range;
mod variable;

use std::sync::Arc;

pub(super) use maintenance::{require_copyable, require_table};

use expr::{Datum, EvalContext, SqlType};

use super::Session;
use super::answer::Answer;
use super::prepared::Prepared;
use super::run::{Columns, Limit, Outcome, Place};
use crate::parse::ast::{Statement, Utility};
use crate::plan::Field;
use crate::{SqlError, SqlResult};

impl Session {
    pub(super) async fn run_utility(
        &mut self,
        utility: &Utility,
        prepared: &Arc<Prepared>,
        params: &[Datum],
        answer: &mut Answer<'_>,
        place: Place,
        limit: &Limit,
    ) -> SqlResult<Outcome> {
        let done = |tag: &str| Ok(Outcome::done(tag));
        match utility {
            Utility::Begin { modes, system_time, is_start } => {
                let at = self.system_time_of(modes, system_time.as_ref(), limit).await?;
                self.begin(modes)?;
                self.go_back_to(at)?;
                done(if *is_start { "START TRANSACTION" } else { "BEGIN" })
            }
            Utility::Commit { chain } => Ok(Outcome::done(self.commit(*chain).await?)),
            Utility::Rollback { chain } => {
                self.rollback(*chain).await?;
                done("ROLLBACK")
            }
            Utility::Savepoint(name) => {
                self.savepoint(name.as_str()).await?;
                done("SAVEPOINT")
            }
            Utility::Release(name) => {
                self.release(name.as_str())?;
                done("RELEASE")
            }
            Utility::RollbackTo(name) => {
                self.rollback_to(name.as_str()).await?;
                done("ROLLBACK")
            }
            Utility::SetTransaction { modes, system_time } => {
                let at = self.system_time_of(modes, system_time.as_ref(), limit).await?;
                self.set_transaction(modes)?;
                self.go_back_to(at)?;
                done("SET")
            }
            Utility::SetSessionCharacteristics { modes } => {
                self.ensure_block();
                self.set_characteristics(modes);
                done("SET")
            }
            Utility::Call { name, args } => self.call(name, args, prepared, place, limit).await,
            // Constraints are checked at the end of their statement, which a later check would find to hold as well.
            Utility::SetConstraints { .. } => done("SET CONSTRAINTS"),
            Utility::Set(variable) => {
                self.ensure_block();
                self.set_variable(variable, limit).await?;
                done("SET")
            }
            Utility::Reset(name) => {
                self.ensure_block();
                self.reset_variable(name.as_deref(), limit).await?;
                done("RESET")
            }
            Utility::Show(name) => self.show_variable(name.as_deref(), answer).await,
            Utility::Prepare { name, types, statement } => {
                self.prepare(name.as_str(), types, statement, prepared).await?;
                done("PREPARE")
            }
            Utility::Execute { name, args } => {
                self.execute_prepared(name.as_str(), args, prepared, answer, limit).await
            }
            Utility::Deallocate(name) => self.deallocate(name.as_ref()),
            Utility::DeclareCursor(declare) => {
                self.declare_cursor(declare, prepared, params, limit).await?;
                done("DECLARE CURSOR")
            }
            Utility::Fetch(fetch) => self.fetch_cursor(fetch, answer, limit).await,
            Utility::CloseCursor(name) => self.close_cursor(name.as_ref()),
            Utility::Discard(what) => self.discard(*what).await,
            Utility::Copy(copy) => self.copy(copy, prepared, answer, limit).await,
            _ => self.run_maintenance(utility, place, limit).await,
        }
    }

    /// The columns of a statement that the planner does not see, for Describe.
    pub(super) fn fields_of_unplanned(&mut self, prepared: &Prepared) -> SqlResult<Option<Vec<Field>>> {
        let utility = match &prepared.statement {
            Some(Statement::Explain(_)) => return Ok(Some(vec![text_field("QUERY PLAN")])),
            Some(Statement::Utility(utility)) => utility,
            _ => return Ok(None),
        };
        match &**utility {
            Utility::Show(name) => self.fields_of_show(name.as_deref()).map(Some),
            Utility::Fetch(fetch) if !fetch.is_move => {
                let cursor = self.portals.get(fetch.cursor.as_str()).and_then(|portal| portal.cursor.as_ref());
                Ok(cursor.map(|cursor| cursor.fields.clone()))
            }
            Utility::Execute { name, .. } => {
                let statement = self.statements.get(name.as_str());
                let promised = statement.and_then(|statement| statement.promised.as_ref());
                Ok(promised.and_then(|planned| planned.fields().map(<[Field]>::to_vec)))
            }
            _ => Ok(None),
        }
    }
}

pub(super) fn text_field(name: &str) -> Field {
    Field { name: name.to_owned(), ty: SqlType::TEXT, origin: None }
}

/// Sends rows of text.
async fn send_texts(
    answer: &mut Answer<'_>,
    fields: Vec<Field>,
    rows: Vec<Vec<String>>,
    tag: &str,
) -> SqlResult<Outcome> {
    let rows = rows.into_iter().map(|row| row.into_iter().map(|text| Datum::text(text.as_str())).collect()).collect();
    answer.rows(&fields, rows, &EvalContext::detached()).await?;
    Ok(Outcome { tag: tag.to_owned(), columns: Columns::Own(fields) })
}

pub(super) fn no_such_statement(name: &str) -> SqlError {
    SqlError::new("26000", format!("prepared statement \"{name}\" does not exist"))
}
