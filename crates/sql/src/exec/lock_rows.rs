//! FOR UPDATE and its weaker relatives, above joins and filters.

use async_trait::async_trait;
use expr::{Datum, Expr, Row};
use txn::{LockSpec, Visible};

use super::limit::row_count;
use super::{BoxOperator, Context, Operator};
use crate::SqlResult;
use crate::plan::LockTarget;

pub(crate) struct LockRows<'p> {
    input: BoxOperator<'p>,
    targets: &'p [LockTarget],
    limit: Option<&'p Expr>,
    /// Rows that may still be locked; `None`: all that come.
    left: Option<u64>,
    is_started: bool,
    /// Read, and not wanted so far.
    waiting: Vec<Row>,
}

impl<'p> LockRows<'p> {
    pub fn new(input: BoxOperator<'p>, targets: &'p [LockTarget], limit: Option<&'p Expr>) -> LockRows<'p> {
        LockRows { input, targets, limit, left: None, is_started: false, waiting: Vec::new() }
    }

    /// As many rows as may be locked now; empty at the end.
    async fn rows(&mut self, ctx: &Context) -> SqlResult<Vec<Row>> {
        if self.left == Some(0) {
            return Ok(Vec::new());
        }
        if self.waiting.is_empty() {
            self.waiting = self.input.next(ctx).await?.unwrap_or_default();
        }
        let count = self.left.map_or(self.waiting.len(), |left| self.waiting.len().min(left as usize));
        let rest = self.waiting.split_off(count);
        Ok(std::mem::replace(&mut self.waiting, rest))
    }
}

#[async_trait]
impl Operator for LockRows<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        if !std::mem::replace(&mut self.is_started, true) {
            self.left = row_count(ctx, self.limit, "2201W", "LIMIT must not be negative").await?;
        }
        loop {
            let mut rows = self.rows(ctx).await?;
            if rows.is_empty() {
                return Ok(None);
            }
            ctx.breathe().await?;
            for target in self.targets {
                lock_target(ctx, target, &mut rows).await?;
            }
            if let Some(left) = &mut self.left {
                *left -= rows.len() as u64;
            }
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
        }
    }
}

/// Locks one table's rows; drops those that SKIP LOCKED passes over. The nullable side of an outer join has no row to lock.
async fn lock_target(ctx: &Context, target: &LockTarget, rows: &mut Vec<Row>) -> SqlResult<()> {
    let format = ctx.shared.formats.of(&target.table)?;
    let primary = format.primary();
    let mut keys = Vec::with_capacity(rows.len());
    let mut has_row = Vec::with_capacity(rows.len());
    let mut sparse = vec![Datum::Null; format.columns.len()];
    for row in rows.iter() {
        let parts = || target.key.iter().map(|at| &row[*at]);
        let is_there = !parts().any(Datum::is_null);
        has_row.push(is_there);
        if is_there {
            for ((_, place), part) in primary.key.iter().zip(parts()) {
                sparse[*place] = part.clone();
            }
            keys.push(primary.key_of(&sparse)?);
        }
    }
    let lock = LockSpec { mode: target.mode, wait: target.wait, absent_too: false };
    let found = ctx.txn().get_many(&keys, Some(lock), Visible::EarlierStatements, false).await?;
    let (mut found, mut has_row) = (found.into_iter(), has_row.into_iter());
    rows.retain(|_| !has_row.next().unwrap_or(false) || found.next().flatten().is_some());
    Ok(())
}
