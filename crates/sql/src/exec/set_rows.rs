//! The rows of functions that return sets, side by side: what `ROWS FROM` and a select list have in common.
//!
//! The calls advance in step; one that has come to its end gives NULLs until the last one has (PostgreSQL since 10).

use expr::functions::{self, Call};
use expr::{Datum, Expr, Row, SqlType, set_returning};

use super::Context;
use crate::plan::SetCall;
use crate::{SqlError, SqlResult};

/// Calls under way for one set of arguments.
pub(super) struct SetRows {
    calls: Vec<Running>,
}

struct Running {
    /// `None` after its end.
    rows: Option<set_returning::Rows>,
    width: usize,
}

impl SetRows {
    /// Computes the arguments over `row` and starts the calls.
    pub async fn start<'c>(
        ctx: &Context,
        calls: impl Iterator<Item = &'c SetCall>,
        row: &[Datum],
    ) -> SqlResult<SetRows> {
        let mut running = Vec::new();
        for call in calls {
            running.push(Running { rows: Some(rows_of(ctx, call, row).await?), width: call.columns.len() });
        }
        Ok(SetRows { calls: running })
    }

    /// Appends the next row of each call to `out`; `false`, with nothing appended, when all have ended.
    pub fn next(&mut self, out: &mut Row) -> SqlResult<bool> {
        let start = out.len();
        let mut any = false;
        for call in &mut self.calls {
            match call.next()? {
                Some(row) => {
                    any = true;
                    out.extend(row);
                }
                None => out.resize(out.len() + call.width, Datum::Null),
            }
        }
        if !any {
            out.truncate(start);
        }
        Ok(any)
    }
}

impl Running {
    fn next(&mut self) -> SqlResult<Option<Row>> {
        let Some(row) = self.rows.as_mut().and_then(Iterator::next) else {
            self.rows = None;
            return Ok(None);
        };
        let row = row?;
        if row.len() != self.width {
            return Err(SqlError::new(
                "XX000",
                "a set-returning function gave another number of columns than it declares",
            ));
        }
        Ok(Some(row))
    }
}

async fn rows_of(ctx: &Context, call: &SetCall, row: &[Datum]) -> SqlResult<set_returning::Rows> {
    let returns_set = functions::by_id(call.function).is_some_and(|entry| entry.returns_set);
    if !returns_set {
        return one_row(ctx, call, row).await;
    }
    let values = ctx.compute(&call.args, row).await?;
    let given: Vec<&Datum> = values.iter().collect();
    if !set_returning::is_native(call.function) {
        let rows = ctx.shared.functions.call_set(call.function, &given)?;
        return Ok(Box::new(rows.into_iter().map(Ok)));
    }
    let types: Vec<SqlType> = call.args.iter().map(Expr::ty).collect();
    let result = call.columns.first().copied().unwrap_or(SqlType::RECORD);
    Ok(set_returning::call(call.function, &Call::new(&ctx.eval(), &types, result), &given)?)
}

/// A function that returns no set gives one row; one with several OUT columns, their values.
async fn one_row(ctx: &Context, call: &SetCall, row: &[Datum]) -> SqlResult<set_returning::Rows> {
    let ty = if let [ty] = call.columns[..] { ty } else { SqlType::RECORD };
    let expr = Expr::Call { function: call.function, args: call.args.clone(), ty };
    let width = call.columns.len();
    let row = match ctx.value(&expr, row).await? {
        Datum::Record(fields) if width != 1 => fields.to_vec(),
        Datum::Null if width != 1 => vec![Datum::Null; width],
        value => vec![value],
    };
    Ok(Box::new(std::iter::once(Ok(row))))
}
