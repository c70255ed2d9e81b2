//! Window functions: partitions are gathered, sorted, and each call is computed over its frame of each row.
//!
//! Output: the input row, then the calls' values, in the order of the window of the last call (as PostgreSQL leaves it to
//! whoever wants another order to say so). Frames are walked per row: simple and right first; what is cheap to do better is
//! done, namely the frame from the start of the partition, whose state is carried on from row to row.

use std::cmp::Ordering;

use async_trait::async_trait;
use expr::{Accumulator, Aggregate, Datum, Expr, Row, compare, functions};

use super::sort::{SortedKey, compare_keys, sort_key};
use super::{BATCH_ROWS, BoxOperator, Context, HeldRows, Operator, collect};
use crate::plan::{FrameBound, FrameExclude, FrameUnit, WindowCall, WindowFunction};
use crate::{SqlError, SqlResult};

pub(crate) struct Window<'p> {
    input: BoxOperator<'p>,
    calls: &'p [WindowCall],
    done: Option<std::vec::IntoIter<Row>>,
}

/// The rows of one partition in the window's order.
struct Partition<'r> {
    rows: &'r [Row],
    order: Vec<SortedKey>,
    /// Of each row: the first row of its peers, and the row after their last one.
    peers: Vec<(usize, usize)>,
}

impl<'p> Window<'p> {
    pub fn new(input: BoxOperator<'p>, calls: &'p [WindowCall]) -> Window<'p> {
        Window { input, calls, done: None }
    }

    async fn run(&mut self, ctx: &Context) -> SqlResult<Vec<Row>> {
        let held = collect(self.input.as_mut(), ctx).await?;
        let width = held.rows().first().map_or(0, Vec::len);
        let mut rows: Vec<Row> = held.rows().to_vec();
        let mut more = HeldRows::new(ctx);
        for call in self.calls {
            let sorted = sort_by_window(ctx, call, rows).await?;
            rows = Vec::with_capacity(sorted.len());
            let mut start = 0;
            while start < sorted.len() {
                ctx.breathe().await?;
                let same = |at: usize| order_of(&call.partition_by, &sorted[at].0, &sorted[start].0).is_eq();
                let end = (start..sorted.len()).find(|at| !same(*at)).unwrap_or(sorted.len());
                let part: Vec<Row> = sorted[start..end].iter().map(|(_, _, row)| row.clone()).collect();
                let order = sorted[start..end].iter().map(|(_, key, _)| key.clone()).collect();
                let values = Partition::new(&part, order, call).compute(ctx, call).await?;
                for (mut row, value) in part.into_iter().zip(values) {
                    more.push(vec![value.clone()])?;
                    row.push(value);
                    rows.push(row);
                }
                start = end;
            }
        }
        debug_assert!(rows.iter().all(|row| row.len() == width + self.calls.len()), "one value for each call");
        Ok(rows)
    }
}

/// NULLs are peers of each other, and come last.
fn order_of<'k>(types: impl IntoIterator<Item = &'k Expr>, a: &[Datum], b: &[Datum]) -> Ordering {
    let pairs = types.into_iter().zip(a).zip(b);
    pairs.map(|((expr, a), b)| compare(a, b, expr.ty())).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

async fn sort_by_window(ctx: &Context, call: &WindowCall, rows: Vec<Row>) -> SqlResult<Vec<(Row, SortedKey, Row)>> {
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let partition = ctx.compute(&call.partition_by, &row).await?;
        let order = sort_key(ctx, &call.order_by, &row).await?;
        out.push((partition, order, row));
    }
    out.sort_by(|a, b| order_of(&call.partition_by, &a.0, &b.0).then_with(|| compare_keys(&call.order_by, &a.1, &b.1)));
    Ok(out)
}

impl<'r> Partition<'r> {
    fn new(rows: &'r [Row], order: Vec<SortedKey>, call: &WindowCall) -> Partition<'r> {
        let mut peers = Vec::with_capacity(rows.len());
        let mut start = 0;
        while start < rows.len() {
            let same =
                |at: usize| order_of(call.order_by.iter().map(|key| &key.expr), &order[at], &order[start]).is_eq();
            let end = (start..rows.len()).find(|at| !same(*at)).unwrap_or(rows.len());
            peers.extend(std::iter::repeat_n((start, end), end - start));
            start = end;
        }
        Partition { rows, order, peers }
    }

    async fn compute(&self, ctx: &Context, call: &WindowCall) -> SqlResult<Vec<Datum>> {
        match &call.function {
            WindowFunction::Aggregate(aggregate) => self.aggregate(ctx, call, aggregate).await,
            WindowFunction::Builtin(function) => {
                let name = functions::by_id(*function).map_or("", |entry| entry.name);
                self.builtin(ctx, call, name).await
            }
        }
    }

    async fn aggregate(&self, ctx: &Context, call: &WindowCall, aggregate: &Aggregate) -> SqlResult<Vec<Datum>> {
        let mut args = Vec::with_capacity(self.rows.len());
        for row in self.rows {
            let counts = match &aggregate.filter {
                Some(filter) => ctx.holds(filter, row).await?,
                None => true,
            };
            args.push(if counts { Some(ctx.compute(&aggregate.args, row).await?) } else { None });
        }
        let grows =
            matches!(call.frame.start, FrameBound::UnboundedPreceding) && call.frame.exclude == FrameExclude::NoOthers;
        let mut carried = (Accumulator::new(aggregate)?, 0);
        let mut out = Vec::with_capacity(self.rows.len());
        for at in 0..self.rows.len() {
            let (start, end) = self.frame(ctx, call, at).await?;
            if grows && end >= carried.1 {
                for args in args[carried.1..end].iter().flatten() {
                    carried.0.update(args)?;
                }
                carried.1 = end;
                out.push(carried.0.clone().finish()?);
                continue;
            }
            let mut accumulator = Accumulator::new(aggregate)?;
            for within in (start..end).filter(|within| !self.is_excluded(call, at, *within)) {
                if let Some(args) = &args[within] {
                    accumulator.update(args)?;
                }
            }
            out.push(accumulator.finish()?);
        }
        Ok(out)
    }

    async fn builtin(&self, ctx: &Context, call: &WindowCall, name: &str) -> SqlResult<Vec<Datum>> {
        let count = self.rows.len();
        let mut out = Vec::with_capacity(count);
        let mut dense = 0;
        for (at, row) in self.rows.iter().enumerate() {
            let (first, after) = self.peers[at];
            dense += i64::from(first == at);
            out.push(match name {
                "row_number" => Datum::Int8(at as i64 + 1),
                "rank" => Datum::Int8(first as i64 + 1),
                "dense_rank" => Datum::Int8(dense),
                "percent_rank" => Datum::Float8(if count < 2 { 0.0 } else { first as f64 / (count - 1) as f64 }),
                "cume_dist" => Datum::Float8(after as f64 / count as f64),
                "ntile" => match int_arg(ctx, call.args.first(), row).await? {
                    None => Datum::Null,
                    Some(buckets) if buckets < 1 => {
                        return Err(SqlError::new("22014", "argument of ntile must be greater than zero"));
                    }
                    Some(buckets) => Datum::Int4(bucket(at, count, buckets)),
                },
                "lag" | "lead" => self.neighbour(ctx, call, at, name == "lag").await?,
                "first_value" | "last_value" | "nth_value" => self.value_in_frame(ctx, call, at, name).await?,
                other => return Err(SqlError::not_supported(format!("window function {other}"))),
            });
        }
        Ok(out)
    }

    async fn neighbour(&self, ctx: &Context, call: &WindowCall, at: usize, back: bool) -> SqlResult<Datum> {
        let row = &self.rows[at];
        let offset = match call.args.get(1) {
            None => Some(1),
            offset => int_arg(ctx, offset, row).await?,
        };
        let Some(offset) = offset else { return Ok(Datum::Null) };
        let wanted = if back { (at as i64).checked_sub(offset) } else { (at as i64).checked_add(offset) };
        let found = wanted.and_then(|wanted| usize::try_from(wanted).ok()).and_then(|wanted| self.rows.get(wanted));
        match (found, call.args.first(), call.args.get(2)) {
            (Some(found), Some(value), _) => ctx.value(value, found).await,
            (None, _, Some(default)) => ctx.value(default, row).await,
            _ => Ok(Datum::Null),
        }
    }

    async fn value_in_frame(&self, ctx: &Context, call: &WindowCall, at: usize, name: &str) -> SqlResult<Datum> {
        let (start, end) = self.frame(ctx, call, at).await?;
        let mut within = (start..end).filter(|within| !self.is_excluded(call, at, *within));
        let chosen = match name {
            "first_value" => within.next(),
            "last_value" => within.next_back(),
            _ => match int_arg(ctx, call.args.get(1), &self.rows[at]).await? {
                None => return Ok(Datum::Null),
                Some(number) if number < 1 => {
                    return Err(SqlError::new("22016", "argument of nth_value must be greater than zero"));
                }
                Some(number) => within.nth(number as usize - 1),
            },
        };
        match (chosen, call.args.first()) {
            (Some(chosen), Some(value)) => ctx.value(value, &self.rows[chosen]).await,
            _ => Ok(Datum::Null),
        }
    }

    /// The rows of the frame of row `at`, as a range of positions.
    async fn frame(&self, ctx: &Context, call: &WindowCall, at: usize) -> SqlResult<(usize, usize)> {
        let start = match &call.frame.start {
            FrameBound::UnboundedPreceding => 0,
            FrameBound::UnboundedFollowing => self.rows.len(),
            FrameBound::CurrentRow if call.frame.unit == FrameUnit::Rows => at,
            FrameBound::CurrentRow => self.peers[at].0,
            FrameBound::Preceding(offset) => self.offset(ctx, call, at, offset, true, true).await?,
            FrameBound::Following(offset) => self.offset(ctx, call, at, offset, false, true).await?,
        };
        let end = match &call.frame.end {
            FrameBound::UnboundedPreceding => 0,
            FrameBound::UnboundedFollowing => self.rows.len(),
            FrameBound::CurrentRow if call.frame.unit == FrameUnit::Rows => at + 1,
            FrameBound::CurrentRow => self.peers[at].1,
            FrameBound::Preceding(offset) => self.offset(ctx, call, at, offset, true, false).await?,
            FrameBound::Following(offset) => self.offset(ctx, call, at, offset, false, false).await?,
        };
        Ok((start, end.max(start)))
    }

    /// Where a bound of `offset` rows or groups before or after row `at` lies; `is_start`: its first row, else the one after.
    async fn offset(
        &self,
        ctx: &Context,
        call: &WindowCall,
        at: usize,
        offset: &Expr,
        back: bool,
        is_start: bool,
    ) -> SqlResult<usize> {
        if call.frame.unit == FrameUnit::Range {
            return Err(SqlError::not_supported("RANGE with an offset"));
        }
        let Some(offset) = int_arg(ctx, Some(offset), &self.rows[at]).await? else {
            return Err(SqlError::new("22004", "frame offset must not be null"));
        };
        if offset < 0 {
            return Err(SqlError::new("22013", "frame offset must not be negative"));
        }
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        if call.frame.unit == FrameUnit::Rows {
            let row = if back { at.checked_sub(offset) } else { at.checked_add(offset) };
            return Ok(match row {
                None if back => 0,
                None => self.rows.len(),
                Some(row) => (row + usize::from(!is_start)).min(self.rows.len()),
            });
        }
        let mut group = self.peers[at];
        for _ in 0..offset {
            if back && group.0 == 0 {
                return Ok(0);
            }
            if !back && group.1 == self.rows.len() {
                return Ok(self.rows.len());
            }
            group = self.peers[if back { group.0 - 1 } else { group.1 }];
        }
        Ok(if is_start { group.0 } else { group.1 })
    }

    fn is_excluded(&self, call: &WindowCall, at: usize, within: usize) -> bool {
        debug_assert_eq!(self.order.len(), self.rows.len());
        let (first, after) = self.peers[at];
        let is_peer = (first..after).contains(&within);
        match call.frame.exclude {
            FrameExclude::NoOthers => false,
            FrameExclude::CurrentRow => within == at,
            FrameExclude::Group => is_peer,
            FrameExclude::Ties => is_peer && within != at,
        }
    }
}

/// The bucket, from 1, of row `at` of `count` when they are dealt to `buckets` as evenly as can be, the larger ones first.
fn bucket(at: usize, count: usize, buckets: i64) -> i32 {
    let buckets = usize::try_from(buckets).unwrap_or(usize::MAX);
    let (size, larger) = (count / buckets, count % buckets);
    let in_larger = larger * (size + 1);
    let bucket = if at < in_larger { at / (size + 1) } else { larger + (at - in_larger) / size.max(1) };
    i32::try_from(bucket + 1).unwrap_or(i32::MAX)
}

async fn int_arg(ctx: &Context, arg: Option<&Expr>, row: &Row) -> SqlResult<Option<i64>> {
    let Some(arg) = arg else { return Ok(None) };
    Ok(match ctx.value(arg, row).await? {
        Datum::Int4(value) => Some(i64::from(value)),
        Datum::Int8(value) => Some(value),
        _ => None,
    })
}

#[async_trait]
impl Operator for Window<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        if self.done.is_none() {
            self.done = Some(self.run(ctx).await?.into_iter());
        }
        let Some(done) = &mut self.done else { unreachable!("it was just made") };
        let batch: Vec<Row> = done.take(BATCH_ROWS).collect();
        Ok(Some(batch).filter(|batch| !batch.is_empty()))
    }
}
