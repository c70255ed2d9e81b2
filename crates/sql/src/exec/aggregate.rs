//! GROUP BY: one state per group and aggregate, groups found by hashing their keys.
//!
//! Output: the keys, then the aggregates. Without keys there is exactly one group, also over no rows. Grouping sets are
//! computed side by side in one pass: a row goes into a group of each set, with NULL for the keys the set leaves out.

use async_trait::async_trait;
use env::Reservation;
use expr::{Accumulator, Aggregate as Call, Datum, Expr, Row, SqlType};

use super::hash_key::{KeyMap, KeySet};
use super::sort::{SortedKey, compare_keys, sort_key};
use super::{BATCH_ROWS, BoxOperator, Context, Operator, row_bytes};
use crate::SqlResult;

pub(crate) struct Aggregate<'p> {
    input: BoxOperator<'p>,
    keys: &'p [Expr],
    sets: Option<&'p [Vec<usize>]>,
    calls: &'p [Call],
    done: Option<std::vec::IntoIter<Row>>,
}

/// The states of one group.
struct Group {
    key: Row,
    states: Vec<CallState>,
}

/// One aggregate over one group.
struct CallState {
    accumulator: Accumulator,
    /// DISTINCT: arguments seen so far.
    seen: Option<KeySet>,
    /// ORDER BY: what is fed to the accumulator when all rows are there.
    ordered: Option<Vec<(SortedKey, Row)>>,
}

impl<'p> Aggregate<'p> {
    pub fn new(
        input: BoxOperator<'p>,
        keys: &'p [Expr],
        sets: Option<&'p [Vec<usize>]>,
        calls: &'p [Call],
    ) -> Aggregate<'p> {
        Aggregate { input, keys, sets, calls, done: None }
    }

    async fn run(&mut self, ctx: &Context) -> SqlResult<Vec<Row>> {
        let mut groups: Vec<Group> = Vec::new();
        let types = std::iter::once(SqlType::INT8).chain(self.keys.iter().map(Expr::ty));
        let mut index: KeyMap<usize> = KeyMap::new(ctx, types);
        let mut held = ctx.reservation();
        let all: Vec<usize> = (0..self.keys.len()).collect();
        let sets: Vec<&[usize]> = match self.sets {
            Some(sets) => sets.iter().map(Vec::as_slice).collect(),
            None => vec![&all],
        };
        // A set without keys has its group also when there are no rows.
        for (number, _) in sets.iter().enumerate().filter(|(_, set)| set.is_empty()) {
            group(self.calls, ctx, number, vec![Datum::Null; self.keys.len()], &mut index, &mut groups, &mut held)?;
        }
        while let Some(rows) = self.input.next(ctx).await? {
            ctx.breathe().await?;
            for row in &rows {
                let key = ctx.compute(self.keys, row).await?;
                for (number, set) in sets.iter().enumerate() {
                    let kept = key.iter().enumerate().map(|(at, value)| match set.contains(&at) {
                        true => value.clone(),
                        false => Datum::Null,
                    });
                    let at = group(self.calls, ctx, number, kept.collect(), &mut index, &mut groups, &mut held)?;
                    feed(self.calls, ctx, &mut groups[at], row, &mut held).await?;
                }
            }
        }
        groups.into_iter().map(|group| finish(self.calls, group)).collect()
    }
}

fn group(
    calls: &[Call],
    ctx: &Context,
    set: usize,
    key: Row,
    index: &mut KeyMap<usize>,
    groups: &mut Vec<Group>,
    held: &mut Reservation,
) -> SqlResult<usize> {
    let number = Datum::Int8(set as i64);
    let next = groups.len();
    let (at, is_new) = index.entry(std::iter::once(&number).chain(&key), || Ok(next))?;
    let at = *at;
    if is_new {
        held.grow(row_bytes(&key) + calls.len() * size_of::<CallState>())?;
        let states = calls.iter().map(|call| CallState::new(call, ctx)).collect::<SqlResult<_>>()?;
        groups.push(Group { key, states });
    }
    Ok(at)
}

/// Gives a row to a group's aggregates.
async fn feed(calls: &[Call], ctx: &Context, group: &mut Group, row: &Row, held: &mut Reservation) -> SqlResult<()> {
    for (call, state) in calls.iter().zip(&mut group.states) {
        if let Some(filter) = &call.filter
            && !ctx.holds(filter, row).await?
        {
            continue;
        }
        let args = ctx.compute(&call.args, row).await?;
        if let Some(seen) = &mut state.seen
            && !seen.insert(&args)?
        {
            continue;
        }
        match &mut state.ordered {
            Some(ordered) => {
                let key = sort_key(ctx, &call.order_by, row).await?;
                held.grow(row_bytes(&key) + row_bytes(&args))?;
                ordered.push((key, args));
            }
            None => {
                let before = state.accumulator.bytes();
                state.accumulator.update(&args)?;
                held.grow(state.accumulator.bytes().saturating_sub(before))?;
            }
        }
    }
    Ok(())
}

fn finish(calls: &[Call], group: Group) -> SqlResult<Row> {
    let mut row = group.key;
    for (call, mut state) in calls.iter().zip(group.states) {
        if let Some(mut ordered) = state.ordered.take() {
            ordered.sort_by(|(a, _), (b, _)| compare_keys(&call.order_by, a, b));
            for (_, args) in &ordered {
                state.accumulator.update(args)?;
            }
        }
        row.push(state.accumulator.finish()?);
    }
    Ok(row)
}

impl CallState {
    fn new(call: &Call, ctx: &Context) -> SqlResult<CallState> {
        Ok(CallState {
            accumulator: Accumulator::new(call)?,
            seen: call.distinct.then(|| KeySet::new(ctx, call.args.iter().map(Expr::ty))),
            ordered: (!call.order_by.is_empty()).then(Vec::new),
        })
    }
}

#[async_trait]
impl Operator for Aggregate<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        if self.done.is_none() {
            self.done = Some(self.run(ctx).await?.into_iter());
        }
        let Some(done) = &mut self.done else { unreachable!("it was just made") };
        let batch: Vec<Row> = done.take(BATCH_ROWS).collect();
        Ok(Some(batch).filter(|batch| !batch.is_empty()))
    }
}
