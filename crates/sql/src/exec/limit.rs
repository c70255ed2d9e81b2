//! LIMIT, OFFSET and FETCH FIRST … WITH TIES.

use async_trait::async_trait;
use expr::{Datum, Expr, Row, SortKey};

use super::sort::{SortedKey, compare_keys, sort_key};
use super::{BoxOperator, Context, Operator};
use crate::{SqlError, SqlResult};

pub(crate) struct Limit<'p> {
    input: BoxOperator<'p>,
    limit: Option<&'p Expr>,
    offset: Option<&'p Expr>,
    ties: Option<&'p [SortKey]>,
    state: State,
}

enum State {
    NotStarted,
    Running {
        skip: u64,
        /// `None`: no limit.
        left: Option<u64>,
        /// The sort key of the last row within the limit.
        last: Option<SortedKey>,
    },
    Done,
}

impl<'p> Limit<'p> {
    pub fn new(
        input: BoxOperator<'p>,
        limit: Option<&'p Expr>,
        offset: Option<&'p Expr>,
        ties: Option<&'p [SortKey]>,
    ) -> Limit<'p> {
        Limit { input, limit, offset, ties, state: State::NotStarted }
    }

    async fn start(&mut self, ctx: &Context) -> SqlResult<()> {
        let left = row_count(ctx, self.limit, "2201W", "LIMIT must not be negative").await?;
        let skip = row_count(ctx, self.offset, "2201X", "OFFSET must not be negative").await?.unwrap_or(0);
        self.state = if left == Some(0) { State::Done } else { State::Running { skip, left, last: None } };
        Ok(())
    }
}

/// The value of LIMIT or OFFSET; NULL is none.
pub(crate) async fn row_count(
    ctx: &Context,
    expr: Option<&Expr>,
    state: &'static str,
    negative: &str,
) -> SqlResult<Option<u64>> {
    let Some(expr) = expr else { return Ok(None) };
    match ctx.value(expr, &[]).await? {
        Datum::Null => Ok(None),
        Datum::Int8(count) => match u64::try_from(count) {
            Ok(count) => Ok(Some(count)),
            Err(_) => Err(SqlError::new(state, negative)),
        },
        other => unreachable!("the binder makes a bigint of LIMIT and OFFSET, not {other:?}"),
    }
}

#[async_trait]
impl Operator for Limit<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        if matches!(self.state, State::NotStarted) {
            self.start(ctx).await?;
        }
        loop {
            let State::Running { skip, left, last } = &mut self.state else { return Ok(None) };
            let Some(mut rows) = self.input.next(ctx).await? else {
                self.state = State::Done;
                return Ok(None);
            };
            let skipped = (*skip).min(rows.len() as u64);
            *skip -= skipped;
            rows.drain(..skipped as usize);
            if rows.is_empty() {
                continue;
            }
            let Some(left) = left else { return Ok(Some(rows)) };
            let within = (*left).min(rows.len() as u64) as usize;
            *left -= within as u64;
            if *left > 0 {
                return Ok(Some(rows));
            }
            let Some(keys) = self.ties else {
                rows.truncate(within);
                self.state = State::Done;
                return Ok(Some(rows));
            };
            // The limit was reached in this batch or before it: rows follow as long as they tie with the last one.
            if within > 0 {
                *last = Some(sort_key(ctx, keys, &rows[within - 1]).await?);
            }
            let last = last.as_ref().unwrap_or_else(|| unreachable!("a limit above zero was reached at some row"));
            let mut keep = within;
            while keep < rows.len() {
                let key = sort_key(ctx, keys, &rows[keep]).await?;
                if compare_keys(keys, &key, last).is_ne() {
                    break;
                }
                keep += 1;
            }
            let more = keep == rows.len();
            rows.truncate(keep);
            if !more {
                self.state = State::Done;
            }
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
        }
    }
}
