//! Subqueries inside expressions: each becomes a mark, and an `Apply` when its stage comes.

use expr::{Expr, SqlType, resolve};

use super::marks::Mark;
use super::{Binder, type_of};
use crate::SqlResult;
use crate::parse::ast::{self, OperatorName};
use crate::plan::{ApplyKind, Plan};

/// A subquery that waits for its `Apply`.
#[derive(Clone, Debug)]
pub(super) struct PendingSubquery {
    pub inner: Plan,
    /// Parameter slot ← column of the level that the subquery stands in.
    pub bindings: Vec<(usize, Expr)>,
    pub kind: ApplyKind,
    pub ty: SqlType,
}

impl Binder<'_> {
    /// Binds a query below the current level; gives its plan and what it needs of this level.
    fn inner_query(&mut self, query: &ast::Query) -> SqlResult<(Plan, Vec<(usize, Expr)>)> {
        let outside = std::mem::take(&mut self.level().bindings);
        let inner = self.query(query)?;
        let bindings = std::mem::replace(&mut self.level().bindings, outside);
        Ok((inner, bindings))
    }

    fn pend(&mut self, inner: Plan, bindings: Vec<(usize, Expr)>, kind: ApplyKind, ty: SqlType) -> Expr {
        let level = self.level();
        level.pending.subqueries.push(PendingSubquery { inner, bindings, kind, ty });
        let mark = Mark::Subquery(level.pending.subqueries.len() - 1);
        self.marked(mark, ty)
    }

    fn single_column(&self, plan: &Plan, at: ast::At) -> SqlResult<SqlType> {
        match &plan.fields[..] {
            [field] => Ok(field.ty),
            _ => Err(self.error_at(at, "42601", "subquery must return only one column")),
        }
    }

    pub(super) fn scalar_query(&mut self, query: &ast::Query, at: ast::At) -> SqlResult<Expr> {
        let (inner, bindings) = self.inner_query(query)?;
        let ty = self.single_column(&inner, at)?;
        Ok(self.pend(inner, bindings, ApplyKind::Scalar, ty))
    }

    pub(super) fn exists(&mut self, query: &ast::Query) -> SqlResult<Expr> {
        let (inner, bindings) = self.inner_query(query)?;
        Ok(self.pend(inner, bindings, ApplyKind::Exists, SqlType::BOOL))
    }

    pub(super) fn array_query(&mut self, query: &ast::Query, at: ast::At) -> SqlResult<Expr> {
        let (inner, bindings) = self.inner_query(query)?;
        let element = self.single_column(&inner, at)?;
        let ty = if element.element().is_some() { Some(element) } else { element.array() };
        let ty =
            ty.ok_or_else(|| self.error_at(at, "42704", format!("could not find array type for data type {element}")))?;
        Ok(self.pend(inner, bindings, ApplyKind::Array, ty.base()))
    }

    pub(super) fn in_query(
        &mut self,
        arg: &ast::Expr,
        query: &ast::Query,
        negated: bool,
        at: ast::At,
    ) -> SqlResult<Expr> {
        let found = self.compare_query(arg, "=", query, false, at)?;
        Ok(if negated { Expr::Not(Box::new(found)) } else { found })
    }

    pub(super) fn any_query(
        &mut self,
        left: &ast::Expr,
        operator: &OperatorName,
        query: &ast::Query,
        all: bool,
        at: ast::At,
    ) -> SqlResult<Expr> {
        let symbol = self.operator_symbol(operator, at)?;
        self.compare_query(left, symbol, query, all, at)
    }

    /// `left op ANY|ALL (query)`. A row on the left is compared field by field; only = and <> mean something then.
    fn compare_query(
        &mut self,
        left: &ast::Expr,
        symbol: &str,
        query: &ast::Query,
        all: bool,
        at: ast::At,
    ) -> SqlResult<Expr> {
        let left = match self.expr(left)? {
            Expr::Row { fields, .. } => fields,
            single => vec![single],
        };
        let (mut inner, bindings) = self.inner_query(query)?;
        if left.len() != inner.fields.len() {
            let few = if left.len() < inner.fields.len() { "too many" } else { "too few" };
            return Err(self.error_at(at, "42601", format!("subquery has {few} columns")));
        }
        if left.len() > 1 && !matches!((symbol, all), ("=", false) | ("<>", true)) {
            return Err(self.error_at(
                at,
                "0A000",
                format!("row comparison {symbol} with a subquery is not supported"),
            ));
        }
        let mut operands = Vec::with_capacity(left.len());
        let mut operators = Vec::with_capacity(left.len());
        let mut columns = Vec::with_capacity(left.len());
        let mut converted = false;
        for (position, operand) in left.into_iter().enumerate() {
            let given = inner.fields[position].ty;
            let found = resolve::operator(symbol, Some(type_of(&operand).oid), given.oid).map_err(self.placed(at))?;
            let wanted = found.left.map_or_else(|| type_of(&operand), SqlType::from);
            operands.push(self.implicit(operand, wanted, at)?);
            operators.push(found.operator.function);
            let column = Expr::Column { index: position, ty: given };
            let wanted = SqlType::from(found.right);
            converted |= wanted.oid != given.oid;
            columns.push(self.implicit(column, wanted, at)?);
        }
        if converted {
            inner = inner.project(columns);
        }
        Ok(self.pend(inner, bindings, ApplyKind::Compare { left: operands, operators, all }, SqlType::BOOL))
    }
}
