//! Set-returning functions in a select list: each input row becomes as many rows as the longest of the sets has, and
//! none when all of them are empty.

use async_trait::async_trait;
use expr::{Expr, Row};

use super::set_rows::SetRows;
use super::{BATCH_ROWS, BoxOperator, Context, Operator};
use crate::SqlResult;
use crate::plan::{SetCall, SetExpr};

pub(crate) struct ProjectSet<'p> {
    input: BoxOperator<'p>,
    exprs: &'p [SetExpr],
    /// Input rows that are not yet begun, and the one that is under way.
    pending: std::vec::IntoIter<Row>,
    current: Option<(Row, SetRows)>,
}

impl<'p> ProjectSet<'p> {
    pub fn new(input: BoxOperator<'p>, exprs: &'p [SetExpr]) -> ProjectSet<'p> {
        ProjectSet { input, exprs, pending: Vec::new().into_iter(), current: None }
    }

    /// Begins the next input row; `false` at the end of the input.
    async fn begin(&mut self, ctx: &Context) -> SqlResult<bool> {
        let row = match self.pending.next() {
            Some(row) => row,
            None => {
                let Some(rows) = self.input.next(ctx).await? else { return Ok(false) };
                self.pending = rows.into_iter();
                match self.pending.next() {
                    Some(row) => row,
                    None => return Ok(false),
                }
            }
        };
        let exprs = self.exprs;
        let sets = SetRows::start(ctx, exprs.iter().filter_map(set), &row).await?;
        self.current = Some((row, sets));
        Ok(true)
    }
}

fn set(expr: &SetExpr) -> Option<&SetCall> {
    match expr {
        SetExpr::Set(call) => Some(call),
        SetExpr::Scalar(_) => None,
    }
}

/// The output row: what the calls gave is in `sets`, in their order.
async fn assembled(ctx: &Context, exprs: &[SetExpr], input: &Row, sets: Row) -> SqlResult<Row> {
    let mut out = Row::with_capacity(exprs.len() + sets.len());
    let mut sets = sets.into_iter();
    for expr in exprs {
        match expr {
            SetExpr::Scalar(Expr::Column { index, .. }) => out.push(input[*index].clone()),
            SetExpr::Scalar(expr) => out.push(ctx.value(expr, input).await?),
            SetExpr::Set(call) => out.extend(sets.by_ref().take(call.columns.len())),
        }
    }
    Ok(out)
}

#[async_trait]
impl Operator for ProjectSet<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        let mut batch = Vec::new();
        let mut begun = 0;
        while batch.len() < BATCH_ROWS {
            let Some((input, sets)) = &mut self.current else {
                begun += 1;
                if begun % BATCH_ROWS == 1 {
                    ctx.breathe().await?;
                }
                if self.begin(ctx).await? {
                    continue;
                }
                break;
            };
            let mut row = Row::new();
            if sets.next(&mut row)? {
                batch.push(assembled(ctx, self.exprs, input, row).await?);
            } else {
                self.current = None;
            }
        }
        if self.current.is_some() {
            ctx.breathe().await?;
        }
        Ok((!batch.is_empty()).then_some(batch))
    }
}
