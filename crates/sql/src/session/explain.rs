//! EXPLAIN.

use std::sync::Arc;

use expr::Datum;

use super::Session;
use super::answer::Answer;
use super::prepared::Prepared;
use super::run::{Limit, Outcome};
use crate::parse::ast::Explain;
use crate::{SqlError, SqlResult};

impl Session {
    pub(super) async fn explain(
        &mut self,
        _explain: &Explain,
        _within: &Arc<Prepared>,
        _params: &[Datum],
        _answer: &mut Answer<'_>,
        _limit: &Limit,
    ) -> SqlResult<Outcome> {
        Err(SqlError::not_supported("EXPLAIN"))
    }
}
