//! UNION, INTERSECT and EXCEPT, with and without ALL.

use async_trait::async_trait;
use expr::{Row, SqlType};

use super::distinct::Distinct;
use super::hash_key::KeyMap;
use super::{BoxOperator, Context, Operator};
use crate::SqlResult;
use crate::plan::SetKind;

pub(crate) fn open<'p>(
    kind: SetKind,
    all: bool,
    types: Vec<SqlType>,
    left: BoxOperator<'p>,
    right: BoxOperator<'p>,
) -> BoxOperator<'p> {
    match (kind, all) {
        (SetKind::Union, true) => Box::new(Append { inputs: [left, right], at: 0 }),
        (SetKind::Union, false) => {
            Box::new(Distinct::new(Box::new(Append { inputs: [left, right], at: 0 }), types, None))
        }
        (SetKind::Intersect | SetKind::Except, _) => Box::new(Match { kind, all, types, left, right, counts: None }),
    }
}

/// One input after the other.
struct Append<'p> {
    inputs: [BoxOperator<'p>; 2],
    at: usize,
}

#[async_trait]
impl Operator for Append<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        while let Some(input) = self.inputs.get_mut(self.at) {
            if let Some(rows) = input.next(ctx).await? {
                return Ok(Some(rows));
            }
            self.at += 1;
        }
        Ok(None)
    }
}

/// Rows of the left side that are, or are not, on the right side. With ALL each row of the right side counts for one of
/// the left side; without, each row comes once.
struct Match<'p> {
    kind: SetKind,
    all: bool,
    types: Vec<SqlType>,
    left: BoxOperator<'p>,
    right: BoxOperator<'p>,
    /// How often a row is still to be matched; and whether it was put out.
    counts: Option<KeyMap<Count>>,
}

#[derive(Default)]
struct Count {
    right: u64,
    is_out: bool,
}

impl Match<'_> {
    async fn read_right(&mut self, ctx: &Context) -> SqlResult<KeyMap<Count>> {
        let mut counts: KeyMap<Count> = KeyMap::new(ctx, self.types.iter().copied());
        while let Some(rows) = self.right.next(ctx).await? {
            ctx.breathe().await?;
            for row in rows {
                counts.entry(&row, || Ok(Count::default()))?.0.right += 1;
            }
        }
        Ok(counts)
    }
}

#[async_trait]
impl Operator for Match<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        if self.counts.is_none() {
            self.counts = Some(self.read_right(ctx).await?);
        }
        let counts = self.counts.as_mut().unwrap_or_else(|| unreachable!("it was just read"));
        while let Some(rows) = self.left.next(ctx).await? {
            ctx.breathe().await?;
            let mut kept = Vec::new();
            for row in rows {
                let keep = match (self.kind, self.all) {
                    (SetKind::Intersect, true) => counts.get(&row).is_some_and(take_one),
                    (SetKind::Intersect, false) => {
                        counts.get(&row).is_some_and(|count| !std::mem::replace(&mut count.is_out, true))
                    }
                    (_, true) => !counts.get(&row).is_some_and(take_one),
                    (_, false) => {
                        let (count, _) = counts.entry(&row, || Ok(Count::default()))?;
                        count.right == 0 && !std::mem::replace(&mut count.is_out, true)
                    }
                };
                if keep {
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

fn take_one(count: &mut Count) -> bool {
    let is_there = count.right > 0;
    count.right = count.right.saturating_sub(1);
    is_there
}
