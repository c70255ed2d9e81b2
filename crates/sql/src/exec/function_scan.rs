//! Functions in FROM: `f(…)` and `ROWS FROM (f(…), g(…)) WITH ORDINALITY`.

use async_trait::async_trait;
use expr::{Datum, Row};

use super::set_rows::SetRows;
use super::{BATCH_ROWS, Context, Operator};
use crate::SqlResult;
use crate::plan::SetCall;

pub(crate) struct FunctionScan<'p> {
    calls: &'p [SetCall],
    ordinality: bool,
    /// `None` until the calls have started.
    rows: Option<SetRows>,
    /// Rows given so far.
    given: i64,
}

impl<'p> FunctionScan<'p> {
    pub fn new(calls: &'p [SetCall], ordinality: bool) -> FunctionScan<'p> {
        FunctionScan { calls, ordinality, rows: None, given: 0 }
    }
}

#[async_trait]
impl Operator for FunctionScan<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        ctx.breathe().await?;
        let rows = match &mut self.rows {
            Some(rows) => rows,
            none => none.insert(SetRows::start(ctx, self.calls.iter(), &[]).await?),
        };
        let width = self.calls.iter().map(|call| call.columns.len()).sum::<usize>() + usize::from(self.ordinality);
        let mut batch = Vec::new();
        while batch.len() < BATCH_ROWS {
            let mut row = Row::with_capacity(width);
            if !rows.next(&mut row)? {
                break;
            }
            self.given += 1;
            if self.ordinality {
                row.push(Datum::Int8(self.given));
            }
            batch.push(row);
        }
        Ok((!batch.is_empty()).then_some(batch))
    }
}
