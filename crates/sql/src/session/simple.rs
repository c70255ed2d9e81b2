//! The simple query protocol.

use std::sync::Arc;

use super::answer::Answer;
use super::prepared::Prepared;
use super::run::Place;
use super::{Output, Session};
use crate::SqlResult;
use crate::parse::{self, ParsedStatement};

impl Session {
    /// A simple Query message: several statements, one after the other, in one implicit transaction block. After an
    /// error, which is returned and not written to `out`, the rest of the text is not run.
    pub async fn simple(&mut self, text: &str, out: &mut dyn Output) -> SqlResult<()> {
        self.watch.start_statement();
        // A simple query does away with the unnamed statement and portal.
        self.statements.remove("");
        self.portals.remove("");
        let result = self.simple_text(text, out).await;
        if result.is_err() {
            self.statement_failed().await;
            self.report(out)?;
        }
        result
    }

    async fn simple_text(&mut self, text: &str, out: &mut dyn Output) -> SqlResult<()> {
        let statements = match self.server.texts.find(text) {
            Some(known) => return self.simple_statement(&known, out, Place { alone: true, commits: true }).await,
            None => parse::parse(text)?,
        };
        if statements.is_empty() {
            return out.empty_query();
        }
        let source: Arc<str> = text.into();
        let count = statements.len();
        for (at, ParsedStatement { statement, .. }) in statements.into_iter().enumerate() {
            let prepared = Prepared::new(source.clone(), Some(statement), Vec::new(), self.server.now_micros());
            let prepared = Arc::new(prepared);
            if count == 1 && prepared.is_planned() {
                self.server.texts.keep(&prepared);
            }
            let place = Place { alone: count == 1, commits: at + 1 == count };
            self.simple_statement(&prepared, out, place).await?;
        }
        Ok(())
    }

    async fn simple_statement(
        &mut self,
        prepared: &Arc<Prepared>,
        out: &mut dyn Output,
        place: Place,
    ) -> SqlResult<()> {
        self.watch.check()?;
        self.run(prepared, None, &[], Answer::new(out, true), place).await
    }
}
