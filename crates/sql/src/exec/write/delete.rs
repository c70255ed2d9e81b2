//! DELETE.

use async_trait::async_trait;
use expr::{Row, SqlType};
use txn::LockMode;

use super::Writer;
use super::foreign_key::ForeignKeys;
use super::update::lock_input;
use crate::SqlResult;
use crate::exec::hash_key::KeySet;
use crate::exec::{BoxOperator, Context, Operator};
use crate::plan;

pub(crate) struct Delete<'p> {
    node: &'p plan::Delete,
    input: BoxOperator<'p>,
    /// The input's rows come locked.
    is_locked: bool,
    work: Option<Work>,
    done: bool,
    changed: u64,
}

struct Work {
    writer: Writer,
    foreign: ForeignKeys,
    seen: Option<KeySet>,
}

impl<'p> Delete<'p> {
    pub fn new(node: &'p plan::Delete, input: BoxOperator<'p>, is_locked: bool) -> Delete<'p> {
        Delete { node, input, is_locked, work: None, done: false, changed: 0 }
    }

    fn start(&self, ctx: &Context) -> SqlResult<Work> {
        let writer = Writer::new(&self.node.table, ctx)?;
        let is_join = self.node.input.fields.len() > writer.format.columns.len();
        let seen = is_join.then(|| KeySet::new(ctx, [SqlType::BYTEA]));
        Ok(Work { writer, foreign: ForeignKeys::new(ctx), seen })
    }
}

#[async_trait]
impl Operator for Delete<'_> {
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
            let mode = (!self.is_locked).then_some(LockMode::Update);
            let mut rows = lock_input(ctx, &work.writer, work.seen.as_mut(), input, mode).await?;
            self.changed += rows.len() as u64;
            let mut out = Vec::new();
            if !self.node.returning.is_empty() {
                for row in &rows {
                    out.push(ctx.compute(&self.node.returning, row).await?);
                }
            }
            let width = work.writer.format.columns.len();
            rows.iter_mut().for_each(|row| row.truncate(width));
            work.writer.delete(ctx, &rows, &mut work.foreign).await?;
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
