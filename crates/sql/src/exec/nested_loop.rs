//! Joins without an equality: each left row meets each right row.

use async_trait::async_trait;
use expr::Row;

use super::hash_join::{keeps_right, pad_left, pad_right};
use super::{BATCH_ROWS, BoxOperator, Context, HeldRows, Operator, Scope, collect, open};
use crate::SqlResult;
use crate::plan::{Join, JoinKind};

pub(crate) struct NestedLoop<'p> {
    join: &'p Join,
    left: BoxOperator<'p>,
    right: BoxOperator<'p>,
    held: Option<HeldRows>,
    matched: Vec<bool>,
    pending: std::vec::IntoIter<Row>,
    current: Option<Current>,
    left_done: bool,
    unmatched_from: usize,
}

/// A left row on its way over the right rows.
struct Current {
    left: Row,
    at: usize,
    found: bool,
}

impl<'p> NestedLoop<'p> {
    pub fn open(join: &'p Join, scope: &Scope<'p>) -> SqlResult<NestedLoop<'p>> {
        Ok(NestedLoop {
            join,
            left: open(&join.left, scope)?,
            right: open(&join.right, scope)?,
            held: None,
            matched: Vec::new(),
            pending: Vec::new().into_iter(),
            current: None,
            left_done: false,
            unmatched_from: 0,
        })
    }

    /// Goes on with `current` until it is done or the batch is full.
    async fn advance(&mut self, ctx: &Context, mut current: Current, out: &mut Vec<Row>) -> SqlResult<Option<Current>> {
        let join = self.join;
        let right = self.held.as_ref().unwrap_or_else(|| unreachable!("the right side is read first")).rows();
        while current.at < right.len() {
            if out.len() >= BATCH_ROWS {
                return Ok(Some(current));
            }
            if current.at.is_multiple_of(BATCH_ROWS) {
                ctx.breathe().await?;
            }
            let at = current.at;
            current.at += 1;
            let mut pair = Vec::with_capacity(current.left.len() + right[at].len());
            pair.extend(current.left.iter().cloned());
            pair.extend(right[at].iter().cloned());
            let matches = match &join.condition {
                None => true,
                Some(condition) => ctx.holds(condition, &pair).await?,
            };
            if !matches {
                continue;
            }
            current.found = true;
            match join.kind {
                JoinKind::Semi => {
                    out.push(current.left);
                    return Ok(None);
                }
                JoinKind::Anti => return Ok(None),
                JoinKind::Right | JoinKind::Full => self.matched[at] = true,
                JoinKind::Inner | JoinKind::Left => {}
            }
            out.push(pair);
        }
        if !current.found {
            match join.kind {
                JoinKind::Anti => out.push(current.left),
                JoinKind::Left | JoinKind::Full => out.push(pad_right(current.left, join.right.fields.len())),
                JoinKind::Inner | JoinKind::Right | JoinKind::Semi => {}
            }
        }
        Ok(None)
    }

    fn unmatched(&mut self) -> Option<Vec<Row>> {
        let right = self.held.as_ref()?.rows();
        let left_width = self.join.left.fields.len();
        let mut out = Vec::new();
        while out.len() < BATCH_ROWS && self.unmatched_from < right.len() {
            if !self.matched[self.unmatched_from] {
                out.push(pad_left(left_width, &right[self.unmatched_from]));
            }
            self.unmatched_from += 1;
        }
        Some(out).filter(|out| !out.is_empty())
    }
}

#[async_trait]
impl Operator for NestedLoop<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        if self.held.is_none() {
            let held = collect(&mut *self.right, ctx).await?;
            self.matched = vec![false; if keeps_right(self.join.kind) { held.len() } else { 0 }];
            self.held = Some(held);
        }
        let mut out = Vec::new();
        while out.len() < BATCH_ROWS && !self.left_done {
            let current = match self.current.take() {
                Some(current) => current,
                None => match self.pending.next() {
                    Some(left) => Current { left, at: 0, found: false },
                    None => {
                        match self.left.next(ctx).await? {
                            Some(rows) => self.pending = rows.into_iter(),
                            None => self.left_done = true,
                        }
                        continue;
                    }
                },
            };
            self.current = self.advance(ctx, current, &mut out).await?;
        }
        if !out.is_empty() {
            return Ok(Some(out));
        }
        Ok(if keeps_right(self.join.kind) { self.unmatched() } else { None })
    }
}
