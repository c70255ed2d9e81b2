//! Rows of a relation that is made from memory: `pg_catalog`, `information_schema`, `cairn`.
//!
//! They are made at the first call, all at once: the equalities of the plan let the relation make only what is asked
//! for, the filter is applied to what it made.

use async_trait::async_trait;
use expr::{Expr, Row};

use super::{BATCH_ROWS, Context, Operator};
use crate::catalog::pg::{self, VirtualContext};
use crate::catalog::{ColumnId, Table};
use crate::{SqlError, SqlResult};

pub(crate) struct VirtualScan<'p> {
    table: &'p Table,
    columns: &'p [ColumnId],
    equal: &'p [(ColumnId, Expr)],
    filter: Option<&'p Expr>,
    /// `None` until they are made.
    rest: Option<std::vec::IntoIter<Row>>,
}

impl<'p> VirtualScan<'p> {
    pub fn new(
        table: &'p Table,
        columns: &'p [ColumnId],
        equal: &'p [(ColumnId, Expr)],
        filter: Option<&'p Expr>,
    ) -> VirtualScan<'p> {
        VirtualScan { table, columns, equal, filter, rest: None }
    }

    async fn make(&self, ctx: &Context) -> SqlResult<Vec<Row>> {
        let mut equal = Vec::with_capacity(self.equal.len());
        for (column, value) in self.equal {
            equal.push((*column, ctx.value(value, &[]).await?));
        }
        let functions = &ctx.shared.functions;
        let cx = VirtualContext {
            catalog: &ctx.shared.catalog,
            path: functions.path(),
            user: functions.state.role().oid,
            views: functions.server.views(),
            session: functions.state.id,
        };
        let made = pg::rows(&cx, self.table.oid, &equal).await?;
        let place = |id: &ColumnId| self.table.columns.iter().position(|column| column.id == *id);
        let places: Option<Vec<usize>> = self.columns.iter().map(place).collect();
        let places = places.ok_or_else(|| SqlError::new("XX000", "a scan reads a column that is not there"))?;
        Ok(made.into_iter().map(|row| places.iter().map(|place| row[*place].clone()).collect()).collect())
    }
}

#[async_trait]
impl Operator for VirtualScan<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        if self.rest.is_none() {
            self.rest = Some(self.make(ctx).await?.into_iter());
        }
        let Some(rest) = &mut self.rest else { return Ok(None) };
        let mut out = Vec::new();
        while out.is_empty() && rest.len() > 0 {
            ctx.breathe().await?;
            for row in rest.by_ref().take(BATCH_ROWS) {
                let passes = match self.filter {
                    Some(filter) => ctx.holds(filter, &row).await?,
                    None => true,
                };
                if passes {
                    out.push(row);
                }
            }
        }
        Ok((!out.is_empty()).then_some(out))
    }
}
