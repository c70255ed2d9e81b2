//! Other columns, computed from the input's.

use async_trait::async_trait;
use expr::{Expr, Row};

use super::{BoxOperator, Context, Operator};
use crate::SqlResult;

pub(crate) struct Project<'p> {
    input: BoxOperator<'p>,
    exprs: &'p [Expr],
}

impl<'p> Project<'p> {
    pub fn new(input: BoxOperator<'p>, exprs: &'p [Expr]) -> Project<'p> {
        Project { input, exprs }
    }
}

#[async_trait]
impl Operator for Project<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        let Some(mut rows) = self.input.next(ctx).await? else { return Ok(None) };
        ctx.breathe().await?;
        ctx.shared.functions.expect_rows(rows.len());
        for row in &mut rows {
            *row = ctx.compute(self.exprs, row).await?;
        }
        Ok(Some(rows))
    }
}
