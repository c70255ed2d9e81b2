//! Rows for which a condition is true.

use async_trait::async_trait;
use expr::{Expr, Row};

use super::{BoxOperator, Context, Operator};
use crate::SqlResult;

pub(crate) struct Filter<'p> {
    input: BoxOperator<'p>,
    condition: &'p Expr,
}

impl<'p> Filter<'p> {
    pub fn new(input: BoxOperator<'p>, condition: &'p Expr) -> Filter<'p> {
        Filter { input, condition }
    }
}

#[async_trait]
impl Operator for Filter<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        while let Some(rows) = self.input.next(ctx).await? {
            ctx.breathe().await?;
            let mut kept = Vec::with_capacity(rows.len());
            for row in rows {
                if ctx.holds(self.condition, &row).await? {
                    kept.push(row);
                }
            }
            if !kept.is_empty() {
                return Ok(Some(kept));
            }
        }
        Ok(None)
    }
}
