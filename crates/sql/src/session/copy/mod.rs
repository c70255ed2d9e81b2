//! COPY.

use super::Session;
use super::answer::Answer;
use super::prepared::Prepared;
use super::run::{Limit, Outcome};
use crate::parse::ast::CopyStatement;
use crate::{SqlError, SqlResult};

impl Session {
    pub(super) async fn copy(
        &mut self,
        _copy: &CopyStatement,
        _within: &Prepared,
        _answer: &mut Answer<'_>,
        _limit: &Limit,
    ) -> SqlResult<Outcome> {
        Err(SqlError::not_supported("COPY"))
    }
}
