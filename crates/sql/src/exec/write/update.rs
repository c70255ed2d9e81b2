//! UPDATE.

use async_trait::async_trait;
use expr::{Datum, Row, SqlType};
use txn::{LockMode, LockWait};

use super::foreign_key::ForeignKeys;
use super::{Writer, assign};
use crate::exec::hash_key::KeySet;
use crate::exec::scan::{Located, lock};
use crate::exec::{BoxOperator, Context, Operator};
use crate::plan;
use crate::{SqlError, SqlResult};

pub(crate) struct Update<'p> {
    node: &'p plan::Update,
    input: BoxOperator<'p>,
    mode: LockMode,
    /// The input's rows come locked.
    is_locked: bool,
    work: Option<Work>,
    done: bool,
    changed: u64,
}

struct Work {
    writer: Writer,
    places: Vec<usize>,
    /// What the rows are to be locked in, unless they are.
    lock: Option<LockMode>,
    foreign: ForeignKeys,
    /// Rows changed so far, where a join may bring one several times: the first time counts.
    seen: Option<KeySet>,
}

impl<'p> Update<'p> {
    pub fn new(node: &'p plan::Update, input: BoxOperator<'p>, mode: LockMode, is_locked: bool) -> Update<'p> {
        Update { node, input, mode, is_locked, work: None, done: false, changed: 0 }
    }

    fn start(&self, ctx: &Context) -> SqlResult<Work> {
        let writer = Writer::new(&self.node.table, ctx)?;
        let places = self.node.assignments.iter().map(|(id, _)| writer.format.place(*id)).collect::<Option<Vec<_>>>();
        let places = places.ok_or_else(|| SqlError::new("XX000", "UPDATE sets a column that is not there"))?;
        let is_join = self.node.input.fields.len() > writer.format.columns.len();
        let seen = is_join.then(|| KeySet::new(ctx, [SqlType::BYTEA]));
        let lock = (!self.is_locked).then_some(self.mode);
        Ok(Work { writer, places, lock, foreign: ForeignKeys::new(ctx), seen })
    }
}

impl Work {
    /// `(old row, new row, the rest of the input row)` of rows that are locked.
    async fn change(&mut self, ctx: &Context, node: &plan::Update, input: Vec<Row>) -> SqlResult<Vec<(Row, Row, Row)>> {
        let input = lock_input(ctx, &self.writer, self.seen.as_mut(), input, self.lock).await?;
        let width = self.writer.format.columns.len();
        let mut changes = Vec::with_capacity(input.len());
        for mut row in input {
            let mut values = Vec::with_capacity(node.assignments.len());
            for (_, expr) in &node.assignments {
                values.push(ctx.value(expr, &row).await?);
            }
            let rest = row.split_off(width);
            let new = assign(&row, &self.places, values);
            self.writer.check_row(ctx, &new, &node.checks).await?;
            changes.push((row, new, rest));
        }
        Ok(changes)
    }
}

/// A row whose key others refer to is locked against them only when the key may change.
pub(crate) fn update_lock(node: &plan::Update) -> LockMode {
    let unique = node.table.indexes.iter().filter(|index| index.unique);
    let mut keys = unique.flat_map(|index| &index.columns);
    let may_change_key = keys.any(|key| node.assignments.iter().any(|(id, _)| *id == key.column));
    if may_change_key { LockMode::Update } else { LockMode::NoKeyUpdate }
}

/// Locks the target rows that input rows begin with, each once; rows that are not new to `seen` are dropped.
pub(super) async fn lock_input(
    ctx: &Context,
    writer: &Writer,
    mut seen: Option<&mut KeySet>,
    input: Vec<Row>,
    mode: Option<LockMode>,
) -> SqlResult<Vec<Row>> {
    if mode.is_none() && seen.is_none() {
        return Ok(input);
    }
    let mut located = Vec::with_capacity(input.len());
    for row in input {
        let key = writer.row_key(&row)?;
        let is_new = match &mut seen {
            Some(seen) => seen.insert(&[Datum::Bytea(key.0.clone())])?,
            None => true,
        };
        if is_new {
            located.push(Located { key, row });
        }
    }
    if let Some(mode) = mode {
        lock(ctx, &mut located, mode, LockWait::Block { timeout: None }).await?;
    }
    Ok(located.into_iter().map(|located| located.row).collect())
}

#[async_trait]
impl Operator for Update<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        if self.done {
            return Ok(None);
        }
        let mut work = match self.work.take() {
            Some(work) => work,
            None => self.start(ctx)?,
        };
        while let Some(input) = self.input.next(ctx).await? {
            ctx.breathe().await?;
            let changes = work.change(ctx, self.node, input).await?;
            self.changed += changes.len() as u64;
            let mut pairs = Vec::with_capacity(changes.len());
            let mut out = Vec::new();
            for (old, new, rest) in changes {
                if !self.node.returning.is_empty() {
                    let mut row = new.clone();
                    row.extend(rest);
                    out.push(ctx.compute(&self.node.returning, &row).await?);
                }
                pairs.push((old, new));
            }
            work.writer.update(ctx, &pairs, &mut work.foreign).await?;
            if !out.is_empty() {
                self.work = Some(work);
                return Ok(Some(out));
            }
        }
        self.done = true;
        work.foreign.finish(ctx).await?;
        Ok(None)
    }

    fn changed(&self) -> Option<u64> {
        Some(self.changed)
    }
}
