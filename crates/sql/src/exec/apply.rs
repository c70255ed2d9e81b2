//! Subqueries that run for each row of the outer side.
//!
//! The outer row's values go into parameter slots, then the inner plan runs. An inner plan that depends on no outer row
//! runs once and its answer is kept.

use std::sync::Arc;

use async_trait::async_trait;
use expr::{Datum, Expr, FunctionId, Row, SqlType};

use super::eval::is_inequality;
use super::{BATCH_ROWS, BoxOperator, Context, HeldRows, Operator, Scope, collect, open};
use crate::plan::{self, ApplyKind};
use crate::{SqlError, SqlResult};

pub(crate) struct Apply<'p> {
    node: &'p plan::Apply,
    scope: Scope<'p>,
    outer: BoxOperator<'p>,
    /// The slots as the last outer row filled them.
    inner_ctx: Option<Context>,
    /// The answer of an inner plan that no outer row changes.
    kept: Option<Kept>,
    /// LATERAL: outer rows not yet joined, and the one that is being joined.
    pending: std::vec::IntoIter<Row>,
    joining: Option<Joining<'p>>,
    outer_done: bool,
}

enum Kept {
    Value(Datum),
    Rows(Arc<HeldRows>),
}

struct Joining<'p> {
    outer: Row,
    inner: Inner<'p>,
    found: bool,
}

enum Inner<'p> {
    Running(BoxOperator<'p>),
    Kept { rows: Arc<HeldRows>, at: usize },
}

impl Inner<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        match self {
            Inner::Running(operator) => operator.next(ctx).await,
            Inner::Kept { rows, at } => {
                let end = rows.len().min(*at + BATCH_ROWS);
                let batch = rows.rows()[*at..end].to_vec();
                *at = end;
                Ok(Some(batch).filter(|batch| !batch.is_empty()))
            }
        }
    }
}

impl<'p> Apply<'p> {
    pub fn open(node: &'p plan::Apply, scope: &Scope<'p>) -> SqlResult<Apply<'p>> {
        Ok(Apply {
            node,
            scope: scope.clone(),
            outer: open(&node.outer, scope)?,
            inner_ctx: None,
            kept: None,
            pending: Vec::new().into_iter(),
            joining: None,
            outer_done: false,
        })
    }

    fn is_constant(&self) -> bool {
        self.node.bindings.is_empty()
    }

    /// The context of the inner plan for this outer row.
    async fn bind(&mut self, ctx: &Context, row: &Row) -> SqlResult<()> {
        let inner = self.inner_ctx.get_or_insert_with(|| ctx.clone());
        for (slot, expr) in &self.node.bindings {
            inner.bind(*slot, ctx.value(expr, row).await?);
        }
        Ok(())
    }

    fn inner_ctx(&self) -> &Context {
        self.inner_ctx.as_ref().unwrap_or_else(|| unreachable!("an outer row was bound first"))
    }

    async fn guarded(&mut self, ctx: &Context, row: &Row) -> SqlResult<bool> {
        match &self.node.guard {
            None => Ok(true),
            Some(guard) => ctx.holds(guard, row).await,
        }
    }

    /// The subquery's value for an outer row (all kinds but LATERAL).
    async fn value(&mut self, ctx: &Context, row: &Row) -> SqlResult<Datum> {
        if !self.guarded(ctx, row).await? {
            return Ok(Datum::Null);
        }
        if let ApplyKind::Compare { left, operators, all } = &self.node.kind {
            return self.compare(ctx, row, left, operators, *all).await;
        }
        if let Some(Kept::Value(value)) = &self.kept {
            return Ok(value.clone());
        }
        self.bind(ctx, row).await?;
        let mut inner = open(&self.node.inner, &self.scope)?;
        let value = match &self.node.kind {
            ApplyKind::Scalar => scalar(&mut *inner, self.inner_ctx()).await?,
            ApplyKind::Exists => Datum::Bool(inner.next(self.inner_ctx()).await?.is_some()),
            ApplyKind::Array => {
                let element = self.node.inner.fields[0].ty;
                array(&mut *inner, self.inner_ctx(), element).await?
            }
            ApplyKind::Compare { .. } | ApplyKind::Lateral { .. } => unreachable!("handled elsewhere"),
        };
        if self.is_constant() {
            self.kept = Some(Kept::Value(value.clone()));
        }
        Ok(value)
    }

    /// `left op ANY|ALL (subquery)`, three-valued: NULL where a comparison was NULL and none decided.
    async fn compare(
        &mut self,
        ctx: &Context,
        row: &Row,
        left: &'p [Expr],
        operators: &'p [FunctionId],
        all: bool,
    ) -> SqlResult<Datum> {
        let rows = self.inner_rows(ctx, row).await?;
        let left = ctx.compute(left, row).await?;
        let mut unknown = false;
        for right in rows.rows() {
            match compare_rows(ctx, operators, &left, right).await? {
                None => unknown = true,
                // The first TRUE decides ANY, the first FALSE decides ALL.
                Some(verdict) if verdict != all => return Ok(Datum::Bool(!all)),
                Some(_) => {}
            }
        }
        Ok(if unknown { Datum::Null } else { Datum::Bool(all) })
    }

    /// All rows of the inner plan for this outer row.
    async fn inner_rows(&mut self, ctx: &Context, row: &Row) -> SqlResult<Arc<HeldRows>> {
        if let Some(Kept::Rows(rows)) = &self.kept {
            return Ok(rows.clone());
        }
        self.bind(ctx, row).await?;
        let mut inner = open(&self.node.inner, &self.scope)?;
        let rows = Arc::new(collect(&mut *inner, self.inner_ctx()).await?);
        if self.is_constant() {
            self.kept = Some(Kept::Rows(rows.clone()));
        }
        Ok(rows)
    }

    // ---- LATERAL ----

    async fn start_joining(&mut self, ctx: &Context, outer: Row) -> SqlResult<Joining<'p>> {
        let inner = if self.is_constant() {
            Inner::Kept { rows: self.inner_rows(ctx, &outer).await?, at: 0 }
        } else {
            self.bind(ctx, &outer).await?;
            Inner::Running(open(&self.node.inner, &self.scope)?)
        };
        Ok(Joining { outer, inner, found: false })
    }

    async fn next_lateral(
        &mut self,
        ctx: &Context,
        left_join: bool,
        condition: Option<&'p Expr>,
    ) -> SqlResult<Option<Vec<Row>>> {
        let width = self.node.inner.fields.len();
        let mut out = Vec::new();
        while out.len() < BATCH_ROWS && !self.outer_done {
            let Some(mut joining) = self.joining.take() else {
                match self.pending.next() {
                    Some(outer) => self.joining = Some(self.start_joining(ctx, outer).await?),
                    None => match self.outer.next(ctx).await? {
                        Some(rows) => self.pending = rows.into_iter(),
                        None => self.outer_done = true,
                    },
                }
                continue;
            };
            ctx.breathe().await?;
            let Some(rows) = joining.inner.next(self.inner_ctx()).await? else {
                if left_join && !joining.found {
                    out.push(super::hash_join::pad_right(joining.outer, width));
                }
                continue;
            };
            for row in rows {
                let mut pair = Vec::with_capacity(joining.outer.len() + row.len());
                pair.extend(joining.outer.iter().cloned());
                pair.extend(row);
                let matches = match condition {
                    None => true,
                    Some(condition) => ctx.holds(condition, &pair).await?,
                };
                if matches {
                    joining.found = true;
                    out.push(pair);
                }
            }
            self.joining = Some(joining);
        }
        Ok(Some(out).filter(|out| !out.is_empty()))
    }
}

/// NULL for no row, 21000 for more than one.
async fn scalar(inner: &mut (dyn Operator + '_), ctx: &Context) -> SqlResult<Datum> {
    let Some(mut rows) = inner.next(ctx).await? else { return Ok(Datum::Null) };
    if rows.len() > 1 || inner.next(ctx).await?.is_some() {
        return Err(SqlError::new("21000", "more than one row returned by a subquery used as an expression"));
    }
    Ok(rows.swap_remove(0).swap_remove(0))
}

async fn array(inner: &mut (dyn Operator + '_), ctx: &Context, element: SqlType) -> SqlResult<Datum> {
    let rows = collect(inner, ctx).await?;
    let elements: Vec<Datum> = rows.rows().iter().map(|row| row[0].clone()).collect();
    super::eval::array_of(element, elements)
}

/// `(a, b) op (c, d)`, three-valued: rows differ if a column does, they are equal if all columns are.
async fn compare_rows(
    ctx: &Context,
    operators: &[FunctionId],
    left: &[Datum],
    right: &[Datum],
) -> SqlResult<Option<bool>> {
    let decides = operators.first().is_some_and(|operator| is_inequality(*operator));
    let mut unknown = false;
    for ((operator, left), right) in operators.iter().zip(left).zip(right) {
        match ctx.call(*operator, left.clone(), right.clone()).await? {
            Datum::Null => unknown = true,
            Datum::Bool(verdict) if verdict == decides => return Ok(Some(verdict)),
            _ => {}
        }
    }
    Ok(if unknown { None } else { Some(!decides) })
}

#[async_trait]
impl Operator for Apply<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        if let ApplyKind::Lateral { left_join, condition } = &self.node.kind {
            return self.next_lateral(ctx, *left_join, condition.as_ref()).await;
        }
        let Some(mut rows) = self.outer.next(ctx).await? else { return Ok(None) };
        for row in &mut rows {
            ctx.breathe().await?;
            let value = self.value(ctx, row).await?;
            row.push(value);
        }
        Ok(Some(rows))
    }
}
