//! Rows of expressions.

use async_trait::async_trait;
use expr::{Expr, Row};

use super::{BATCH_ROWS, Context, Operator};
use crate::SqlResult;

pub(crate) struct Values<'p> {
    rest: &'p [Vec<Expr>],
}

impl<'p> Values<'p> {
    pub fn new(rows: &'p [Vec<Expr>]) -> Values<'p> {
        Values { rest: rows }
    }
}

#[async_trait]
impl Operator for Values<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        ctx.breathe().await?;
        let (now, rest) = self.rest.split_at(self.rest.len().min(BATCH_ROWS));
        self.rest = rest;
        ctx.shared.functions.expect_rows(now.len());
        let mut rows = Vec::with_capacity(now.len());
        for exprs in now {
            rows.push(ctx.compute(exprs, &[]).await?);
        }
        Ok(Some(rows))
    }
}
