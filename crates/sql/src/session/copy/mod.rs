//! COPY between the client and a table or a query.
//!
//! * [`options`]: what was asked for, checked.
//! * [`text`], [`csv`], [`binary`]: the three formats, cut into fields and put together from them.
//! * [`from`]: rows come from the client, and go the way of INSERT.
//! * [`to`]: rows go to the client.

mod binary;
mod csv;
mod from;
mod lines;
mod options;
mod text;
mod to;

pub(super) use self::to::select;
use super::Session;
use super::answer::Answer;
use super::prepared::Prepared;
use super::run::{Limit, Outcome};
use crate::parse::ast::{CopyStatement, CopyTarget};
use crate::{SqlError, SqlResult};

impl Session {
    pub(super) async fn copy(
        &mut self,
        copy: &CopyStatement,
        within: &Prepared,
        answer: &mut Answer<'_>,
        limit: &Limit,
    ) -> SqlResult<Outcome> {
        match &copy.target {
            CopyTarget::Client => {}
            CopyTarget::File(_) | CopyTarget::Program(_) => {
                return Err(SqlError::not_supported("COPY with files or programs of the server")
                    .with_hint("Use COPY FROM STDIN or TO STDOUT, or psql's \\copy."));
            }
        }
        let options = options::Options::check(copy)?;
        if copy.from {
            self.copy_from(copy, &options, within, answer, limit).await
        } else {
            self.copy_to(copy, &options, within, answer, limit).await
        }
    }
}

/// The columns of one row as bytes, in one buffer that is used again.
#[derive(Default)]
pub(super) struct Fields {
    bytes: Vec<u8>,
    /// Where each field lies in `bytes`; `None` is NULL.
    bounds: Vec<Option<(usize, usize)>>,
    start: usize,
}

impl Fields {
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bounds.clear();
        self.start = 0;
    }

    pub fn push(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The field that is being put together has come to its end.
    pub fn end(&mut self, is_null: bool) {
        self.bounds.push((!is_null).then_some((self.start, self.bytes.len())));
        self.start = self.bytes.len();
    }

    /// The field that is being put together.
    pub fn current(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub fn len(&self) -> usize {
        self.bounds.len()
    }

    pub fn get(&self, at: usize) -> Option<&[u8]> {
        self.bounds[at].map(|(start, end)| &self.bytes[start..end])
    }
}

/// 22P04: the data are not in the format that was named.
pub(super) fn bad_format(message: impl Into<String>) -> SqlError {
    SqlError::new("22P04", message)
}
