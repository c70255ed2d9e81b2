//! Joins on equalities: the right side goes into a hash table, the left side looks its rows up.

use async_trait::async_trait;
use expr::{Datum, Row};

use super::hash_key::{KeyMap, has_null};
use super::{BATCH_ROWS, BoxOperator, Context, HeldRows, Operator, Scope, open};
use crate::SqlResult;
use crate::plan::{Join, JoinKind};

pub(crate) struct HashJoin<'p> {
    join: &'p Join,
    left: BoxOperator<'p>,
    right: BoxOperator<'p>,
    table: Option<Table>,
    /// Left rows that are not probed yet.
    pending: std::vec::IntoIter<Row>,
    left_done: bool,
    /// RIGHT and FULL: the next right row to look at for having had no match.
    unmatched_from: usize,
}

struct Table {
    rows: HeldRows,
    /// Key → its rows, as a chain: the first one here, the next ones in `chain`.
    heads: KeyMap<usize>,
    /// Right row → the next one with the same key.
    chain: Vec<usize>,
    /// RIGHT and FULL: which right rows had a match.
    matched: Vec<bool>,
}

/// The end of a chain.
const NONE: usize = usize::MAX;

impl<'p> HashJoin<'p> {
    pub fn open(join: &'p Join, scope: &Scope<'p>) -> SqlResult<HashJoin<'p>> {
        Ok(HashJoin {
            join,
            left: open(&join.left, scope)?,
            right: open(&join.right, scope)?,
            table: None,
            pending: Vec::new().into_iter(),
            left_done: false,
            unmatched_from: 0,
        })
    }

    async fn build(&mut self, ctx: &Context) -> SqlResult<Table> {
        let mut table = Table {
            rows: HeldRows::new(ctx),
            heads: KeyMap::new(ctx, self.join.equal.iter().map(|key| key.right.ty())),
            chain: Vec::new(),
            matched: Vec::new(),
        };
        while let Some(rows) = self.right.next(ctx).await? {
            ctx.breathe().await?;
            for row in rows {
                let at = table.rows.len();
                let mut next = NONE;
                let key = side_key(self.join, ctx, &row, false).await?;
                if !has_null(&key) {
                    let (head, is_new) = table.heads.entry(&key, || Ok(at))?;
                    if !is_new {
                        next = std::mem::replace(head, at);
                    }
                }
                table.rows.push(row)?;
                table.chain.push(next);
            }
        }
        if keeps_right(self.join.kind) {
            table.matched = vec![false; table.rows.len()];
        }
        Ok(table)
    }

    /// All output of one left row.
    async fn probe(&mut self, ctx: &Context, left: Row, out: &mut Vec<Row>) -> SqlResult<()> {
        let join = self.join;
        let table = self.table.as_mut().unwrap_or_else(|| unreachable!("it is built before the first probe"));
        let key = side_key(join, ctx, &left, true).await?;
        let mut at = if has_null(&key) { NONE } else { table.heads.get(&key).map_or(NONE, |head| *head) };
        let mut found = false;
        let first_out = out.len();
        while at != NONE {
            let mut pair = Vec::with_capacity(left.len() + table.rows.rows()[at].len());
            pair.extend(left.iter().cloned());
            pair.extend(table.rows.rows()[at].iter().cloned());
            let matches = match &join.condition {
                None => true,
                Some(condition) => ctx.holds(condition, &pair).await?,
            };
            if matches {
                found = true;
                match join.kind {
                    JoinKind::Semi | JoinKind::Anti => break,
                    JoinKind::Right | JoinKind::Full => table.matched[at] = true,
                    JoinKind::Inner | JoinKind::Left => {}
                }
                out.push(pair);
            }
            at = table.chain[at];
        }
        // A chain has its newest row first.
        out[first_out..].reverse();
        match join.kind {
            JoinKind::Semi if found => out.push(left),
            JoinKind::Anti if !found => out.push(left),
            JoinKind::Left | JoinKind::Full if !found => out.push(pad_right(left, join.right.fields.len())),
            _ => {}
        }
        Ok(())
    }

    /// RIGHT and FULL: right rows that no left row matched.
    fn unmatched(&mut self) -> Option<Vec<Row>> {
        let table = self.table.as_ref()?;
        let left_width = self.join.left.fields.len();
        let mut out = Vec::new();
        while out.len() < BATCH_ROWS && self.unmatched_from < table.matched.len() {
            if !table.matched[self.unmatched_from] {
                out.push(pad_left(left_width, &table.rows.rows()[self.unmatched_from]));
            }
            self.unmatched_from += 1;
        }
        Some(out).filter(|out| !out.is_empty())
    }
}

pub(crate) fn keeps_right(kind: JoinKind) -> bool {
    matches!(kind, JoinKind::Right | JoinKind::Full)
}

pub(crate) fn pad_right(mut left: Row, width: usize) -> Row {
    left.resize(left.len() + width, Datum::Null);
    left
}

pub(crate) fn pad_left(width: usize, right: &Row) -> Row {
    let mut row = Vec::with_capacity(width + right.len());
    row.resize(width, Datum::Null);
    row.extend(right.iter().cloned());
    row
}

async fn side_key(join: &Join, ctx: &Context, row: &Row, left: bool) -> SqlResult<Vec<Datum>> {
    let mut key = Vec::with_capacity(join.equal.len());
    for pair in &join.equal {
        key.push(ctx.value(if left { &pair.left } else { &pair.right }, row).await?);
    }
    Ok(key)
}

#[async_trait]
impl Operator for HashJoin<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        if self.table.is_none() {
            self.table = Some(self.build(ctx).await?);
        }
        let mut out = Vec::new();
        while out.len() < BATCH_ROWS && !self.left_done {
            match self.pending.next() {
                Some(left) => self.probe(ctx, left, &mut out).await?,
                None => match self.left.next(ctx).await? {
                    Some(rows) => {
                        ctx.breathe().await?;
                        self.pending = rows.into_iter();
                    }
                    None => self.left_done = true,
                },
            }
        }
        if !out.is_empty() {
            return Ok(Some(out));
        }
        Ok(if keeps_right(self.join.kind) { self.unmatched() } else { None })
    }
}
