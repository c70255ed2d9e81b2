//! ORDER BY, and ORDER BY with a limit (top-n).
//!
//! A sort holds all its input; a top-n at most twice the rows it was asked for.

use std::cmp::Ordering;

use async_trait::async_trait;
use env::Reservation;
use expr::{Datum, Expr, Row, SortKey, compare};

use super::limit::row_count;
use super::{BATCH_ROWS, BoxOperator, Context, Operator, datum_bytes, row_bytes};
use crate::SqlResult;

/// The values of a row's sort expressions.
pub(crate) type SortedKey = Vec<Datum>;

pub(crate) async fn sort_key(ctx: &Context, keys: &[SortKey], row: &Row) -> SqlResult<SortedKey> {
    let mut out = Vec::with_capacity(keys.len());
    for key in keys {
        out.push(ctx.value(&key.expr, row).await?);
    }
    Ok(out)
}

pub(crate) fn compare_keys(keys: &[SortKey], a: &[Datum], b: &[Datum]) -> Ordering {
    for ((key, a), b) in keys.iter().zip(a).zip(b) {
        let order = compare_values(key, a, b);
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

fn compare_values(key: &SortKey, a: &Datum, b: &Datum) -> Ordering {
    let nulls = |first: bool| if first { Ordering::Less } else { Ordering::Greater };
    match (a.is_null(), b.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) => nulls(key.nulls_first),
        (false, true) => nulls(!key.nulls_first),
        (false, false) if key.descending => compare(b, a, key.expr.ty()),
        (false, false) => compare(a, b, key.expr.ty()),
    }
}

pub(crate) struct Sort<'p> {
    input: BoxOperator<'p>,
    keys: &'p [SortKey],
    limit: Option<&'p Expr>,
    sorted: Option<Sorted>,
}

struct Sorted {
    /// The last row first.
    rows: Vec<Row>,
    _held: Reservation,
}

impl<'p> Sort<'p> {
    pub fn new(input: BoxOperator<'p>, keys: &'p [SortKey], limit: Option<&'p Expr>) -> Sort<'p> {
        Sort { input, keys, limit, sorted: None }
    }

    async fn run(&mut self, ctx: &Context) -> SqlResult<Sorted> {
        let limit = row_count(ctx, self.limit, "2201W", "LIMIT must not be negative").await?;
        let keep = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let mut rows: Vec<(SortedKey, Row)> = Vec::new();
        let mut held = ctx.reservation();
        // The first rows of what was seen so far are known up to this key: what sorts after it need not be kept.
        let mut bound: Option<SortedKey> = None;
        if keep != Some(0) {
            while let Some(batch) = self.input.next(ctx).await? {
                ctx.breathe().await?;
                for row in batch {
                    let key = sort_key(ctx, self.keys, &row).await?;
                    if bound.as_ref().is_some_and(|bound| compare_keys(self.keys, &key, bound).is_ge()) {
                        continue;
                    }
                    held.grow(row_bytes(&row) + key.iter().map(datum_bytes).sum::<usize>())?;
                    rows.push((key, row));
                }
                if let Some(keep) = keep.filter(|keep| rows.len() >= keep.saturating_mul(2).max(BATCH_ROWS)) {
                    self.sort(&mut rows);
                    rows.truncate(keep);
                    bound = rows.last().map(|(key, _)| key.clone());
                    held.clear();
                    let bytes =
                        |(key, row): &(SortedKey, Row)| row_bytes(row) + key.iter().map(datum_bytes).sum::<usize>();
                    held.grow(rows.iter().map(bytes).sum())?;
                }
            }
        }
        self.sort(&mut rows);
        rows.truncate(keep.unwrap_or(usize::MAX));
        Ok(Sorted { rows: rows.into_iter().rev().map(|(_, row)| row).collect(), _held: held })
    }

    /// Stable: rows with equal keys stay in the order they came in.
    fn sort(&self, rows: &mut [(SortedKey, Row)]) {
        rows.sort_by(|(a, _), (b, _)| compare_keys(self.keys, a, b));
    }
}

#[async_trait]
impl Operator for Sort<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        if self.sorted.is_none() {
            self.sorted = Some(self.run(ctx).await?);
        }
        let Some(sorted) = &mut self.sorted else { unreachable!("it was just made") };
        let from = sorted.rows.len().saturating_sub(BATCH_ROWS);
        let mut batch = sorted.rows.split_off(from);
        batch.reverse();
        Ok(Some(batch).filter(|batch| !batch.is_empty()))
    }
}
