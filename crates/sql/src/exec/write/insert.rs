//! INSERT.

use async_trait::async_trait;
use expr::{Datum, Row};

use super::Writer;
use super::conflict::Conflicts;
use super::foreign_key::ForeignKeys;
use crate::exec::{BoxOperator, Context, Operator};
use crate::plan;
use crate::{SqlError, SqlResult};

pub(crate) struct Insert<'p> {
    node: &'p plan::Insert,
    input: BoxOperator<'p>,
    /// Until all rows are in.
    work: Option<Work>,
    done: bool,
    changed: u64,
}

struct Work {
    writer: Writer,
    /// Place in a table row of each input column.
    places: Vec<usize>,
    foreign: ForeignKeys,
    conflicts: Option<Conflicts>,
}

impl<'p> Insert<'p> {
    pub fn new(node: &'p plan::Insert, input: BoxOperator<'p>) -> Insert<'p> {
        Insert { node, input, work: None, done: false, changed: 0 }
    }

    fn start(&self, ctx: &Context) -> SqlResult<Work> {
        let writer = Writer::new(&self.node.table, ctx)?;
        let place = |id| writer.format.place(id);
        let places = self.node.columns.iter().map(|id| place(*id)).collect::<Option<Vec<_>>>();
        let places = places.ok_or_else(|| SqlError::new("XX000", "INSERT names a column that is not there"))?;
        let conflicts = match &self.node.on_conflict {
            Some(clause) => Some(Conflicts::new(ctx, &writer, clause)?),
            None => None,
        };
        Ok(Work { writer, places, foreign: ForeignKeys::new(ctx), conflicts })
    }
}

impl Work {
    /// A table row: the values at their places, NULL elsewhere.
    fn place(&self, values: Row) -> Row {
        let mut row = vec![Datum::Null; self.writer.format.columns.len()];
        for (place, value) in self.places.iter().zip(values) {
            row[*place] = value;
        }
        row
    }

    /// Table rows from input rows, checked.
    async fn complete(&self, ctx: &Context, node: &plan::Insert, input: Vec<Row>) -> SqlResult<Vec<Row>> {
        let mut rows = Vec::with_capacity(input.len());
        for values in input {
            let mut row = self.place(values);
            self.writer.identify(ctx, &mut row);
            self.writer.check_row(ctx, &row, &node.checks).await?;
            rows.push(row);
        }
        Ok(rows)
    }
}

#[async_trait]
impl Operator for Insert<'_> {
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
            if let Some(index) = self.node.only_index {
                let rows: Vec<Row> = input.into_iter().map(|values| work.place(values)).collect();
                work.writer.add_to_index(ctx, index, &rows).await?;
                self.changed += rows.len() as u64;
                continue;
            }
            let rows = work.complete(ctx, self.node, input).await?;
            let rows = match &mut work.conflicts {
                None => {
                    work.writer.insert(ctx, &rows, &mut work.foreign).await?;
                    rows
                }
                Some(conflicts) => {
                    conflicts.insert(ctx, &work.writer, &self.node.checks, rows, &mut work.foreign).await?
                }
            };
            self.changed += rows.len() as u64;
            if self.node.returning.is_empty() || rows.is_empty() {
                continue;
            }
            let mut out = Vec::with_capacity(rows.len());
            for row in &rows {
                out.push(ctx.compute(&self.node.returning, row).await?);
            }
            self.work = Some(work);
            return Ok(Some(out));
        }
        self.done = true;
        work.foreign.finish(ctx).await?;
        Ok(None)
    }

    fn changed(&self) -> Option<u64> {
        Some(self.changed)
    }
}
