//! The answer to one statement on its way to the client.
//!
//! Rows of a statement that may have to run again (it locks or writes) are held until it has ended, or until they are
//! too many; as long as nothing has left, the server can run the statement again by itself.

use expr::{EvalContext, Row};

use super::Output;
use crate::SqlResult;
use crate::exec::row_bytes;
use crate::plan::Field;

/// Bytes of rows that are held before they leave.
const HELD_BYTES_MAX: usize = 4 << 20;

pub(crate) struct Answer<'a> {
    out: &'a mut dyn Output,
    /// RowDescription comes before the rows (simple protocol), or went out at Describe.
    describes: bool,
    described: bool,
    holds: bool,
    held: Vec<Row>,
    held_bytes: usize,
    has_left: bool,
}

impl<'a> Answer<'a> {
    pub fn new(out: &'a mut dyn Output, describes: bool) -> Answer<'a> {
        Answer { out, describes, described: false, holds: false, held: Vec::new(), held_bytes: 0, has_left: false }
    }

    /// Rows are held from here on.
    pub fn hold(&mut self) {
        self.holds = true;
    }

    pub fn out(&mut self) -> &mut dyn Output {
        self.out
    }

    /// Can the statement run again as if nothing had happened?
    pub fn may_start_over(&self) -> bool {
        !self.has_left
    }

    /// Forgets what is held.
    pub fn start_over(&mut self) {
        assert!(!self.has_left, "rows that have left cannot be taken back");
        self.held.clear();
        self.held_bytes = 0;
    }

    pub fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// `eval` says how values look.
    pub async fn rows(&mut self, fields: &[Field], rows: Vec<Row>, eval: &EvalContext<'_>) -> SqlResult<()> {
        if !self.holds {
            return self.send(fields, &rows, eval).await;
        }
        self.held_bytes += rows.iter().map(row_bytes).sum::<usize>();
        self.held.extend(rows);
        if self.held_bytes > HELD_BYTES_MAX {
            self.holds = false;
            self.release(fields, eval).await?;
        }
        Ok(())
    }

    /// The statement has come to its end: describes it and sends what is held.
    pub async fn release(&mut self, fields: &[Field], eval: &EvalContext<'_>) -> SqlResult<()> {
        let rows = std::mem::take(&mut self.held);
        self.held_bytes = 0;
        self.send(fields, &rows, eval).await
    }

    /// COPY has started to talk to the client, or something else that cannot be taken back.
    pub fn leave(&mut self) {
        self.has_left = true;
    }

    async fn send(&mut self, fields: &[Field], rows: &[Row], eval: &EvalContext<'_>) -> SqlResult<()> {
        if self.describes && !self.described {
            self.described = true;
            self.out.fields(fields)?;
        }
        if !rows.is_empty() {
            self.has_left = true;
            self.out.rows(fields, rows, eval).await?;
        }
        Ok(())
    }
}
