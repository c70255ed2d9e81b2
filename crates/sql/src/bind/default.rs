//! Expressions that the catalog keeps as text: defaults, checks, generated columns.

use expr::casts::CastContext;
use expr::{Expr, SqlType};

use super::scope::{Clause, Scope};
use super::{Binder, Environment, marks};
use crate::catalog::{Catalog, ColumnDescriptor, SearchPath, Table};
use crate::{SqlError, SqlResult};

/// The default of a column as an expression of its type; `None` where it has none.
pub fn bind_column_default(catalog: &Catalog, path: &SearchPath, column: &ColumnDescriptor) -> SqlResult<Option<Expr>> {
    let Some(text) = &column.default else { return Ok(None) };
    bind_text(catalog, path, text, Scope::default(), Clause::Default, Some(column.ty)).map(Some)
}

/// An expression over a table's row (its live columns in their order, the hidden row id last), as `ty` if that is given:
/// a check, a generated column, `ALTER COLUMN … USING`.
pub fn bind_over_row(
    catalog: &Catalog,
    path: &SearchPath,
    table: &Table,
    text: &str,
    ty: Option<SqlType>,
) -> SqlResult<Expr> {
    bind_text(catalog, path, text, Binder::table_scope(table, None, 0), Clause::Check, ty)
}

/// An expression over nothing, with its type: `AS OF SYSTEM TIME …`.
pub fn bind_alone(catalog: &Catalog, path: &SearchPath, text: &str) -> SqlResult<(Expr, SqlType)> {
    let expr = bind_text(catalog, path, text, Scope::default(), Clause::SystemTime, None)?;
    let ty = super::type_of(&expr);
    Ok((expr, ty))
}

fn bind_text(
    catalog: &Catalog,
    path: &SearchPath,
    text: &str,
    scope: Scope,
    clause: Clause,
    ty: Option<SqlType>,
) -> SqlResult<Expr> {
    let written = crate::parse::parse_expression(text)?;
    let mut binder = Binder::new(Environment { catalog, path, source: text, param_types: &[], may_be_historic: false });
    let bound = binder.in_level(scope, clause, |binder| {
        let bound = binder.expr(&written)?;
        match ty {
            Some(ty) => binder.coerce(bound, ty, CastContext::Assignment, written.at),
            None => Ok(bound),
        }
    });
    let (expr, _) = bound.map_err(|mut error| {
        // It points into text that the client did not send.
        error.0.position = None;
        error
    })?;
    if !binder.params.is_empty() {
        return Err(SqlError::new("42P02", format!("there is no parameter $1 in {}", clause.name())));
    }
    if super::stage::any_column(&expr, &mut |index| index >= marks::FIRST) {
        return Err(SqlError::new(
            "0A000",
            format!("cannot use subquery or set-returning function in {}", clause.name()),
        ));
    }
    Ok(expr)
}

impl Binder<'_> {
    /// The value of a column that a statement does not mention.
    pub(super) fn default_of(&mut self, column: &ColumnDescriptor) -> SqlResult<Expr> {
        let bound = bind_column_default(self.catalog(), self.environment.path, column)?;
        Ok(bound.unwrap_or(Expr::Const { value: expr::Datum::Null, ty: column.ty.base() }))
    }

    pub(super) fn checks(&self, table: &Table) -> SqlResult<Vec<crate::plan::Check>> {
        let check = |check: &crate::catalog::CheckDescriptor| {
            let condition =
                bind_over_row(self.catalog(), self.environment.path, table, &check.condition, Some(SqlType::BOOL))?;
            Ok(crate::plan::Check { name: check.name.as_str().into(), condition })
        };
        table.checks.iter().map(check).collect()
    }

    /// The expression of a generated column over the table's row.
    pub(super) fn generated(&self, table: &Table, column: &ColumnDescriptor) -> SqlResult<Option<Expr>> {
        let Some(text) = &column.generated else { return Ok(None) };
        bind_over_row(self.catalog(), self.environment.path, table, text, Some(column.ty)).map(Some)
    }
}
