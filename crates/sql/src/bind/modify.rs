//! UPDATE and DELETE: the target's rows with whatever FROM or USING joins to them.

use expr::Expr;

use super::from::row_columns;
use super::scope::{Clause, Level};
use super::stage::{Applied, any_column, apply_subqueries, substitute};
use super::{Binder, marks, query};
use crate::SqlResult;
use crate::catalog::{ColumnId, Table};
use crate::parse::ast::{self, Assignment, ExprKind, TableRef};
use crate::plan::{Delete, Node, Plan, Update};

impl Binder<'_> {
    pub(super) fn update(&mut self, update: &ast::Update) -> SqlResult<Plan> {
        let outside = self.ctes.len();
        let ctes = match &update.with {
            Some(with) => self.with(with)?,
            None => Vec::new(),
        };
        self.levels.push(Level::default());
        let plan = self.update_in_level(update);
        self.levels.pop();
        self.ctes.truncate(outside);
        Ok(query::with_ctes(ctes, plan?))
    }

    fn update_in_level(&mut self, update: &ast::Update) -> SqlResult<Plan> {
        let table = self.target_table(&update.table, "update")?;
        let mut plan = self.target_rows(&update.table, update.alias.as_ref(), &update.from)?;
        if let Some(filter) = &update.filter {
            plan = self.filtered(plan, filter, Clause::Where)?;
        }
        let mut assignments = Vec::new();
        self.level().clause = Clause::Update;
        for assignment in &update.assignments {
            self.assignment(&table, assignment, &mut assignments)?;
        }
        let subqueries = std::mem::take(&mut self.level().pending.subqueries);
        plan =
            apply_subqueries(plan, assignments.iter_mut().map(|(_, expr)| expr), &subqueries, &mut Applied::default());
        if assignments.iter().any(|(_, expr)| any_column(expr, &mut |index| index >= marks::FIRST)) {
            return Err(crate::SqlError::new("0A000", "set-returning functions are not allowed in UPDATE"));
        }
        self.assign_generated(&table, &mut assignments)?;
        let scope = self.level().scope.clone();
        let (returning, fields) = self.returning(&update.returning, scope)?;
        let checks = self.checks(&table)?;
        let node = Update { table, input: plan, assignments, checks, returning };
        Ok(Plan::new(Node::Update(Box::new(node)), fields))
    }

    pub(super) fn delete(&mut self, delete: &ast::Delete) -> SqlResult<Plan> {
        let outside = self.ctes.len();
        let ctes = match &delete.with {
            Some(with) => self.with(with)?,
            None => Vec::new(),
        };
        self.levels.push(Level::default());
        let plan = self.delete_in_level(delete);
        self.levels.pop();
        self.ctes.truncate(outside);
        Ok(query::with_ctes(ctes, plan?))
    }

    fn delete_in_level(&mut self, delete: &ast::Delete) -> SqlResult<Plan> {
        let table = self.target_table(&delete.table, "delete from")?;
        let mut plan = self.target_rows(&delete.table, delete.alias.as_ref(), &delete.using)?;
        if let Some(filter) = &delete.filter {
            plan = self.filtered(plan, filter, Clause::Where)?;
        }
        let scope = self.level().scope.clone();
        let (returning, fields) = self.returning(&delete.returning, scope)?;
        let node = Delete { table, input: plan, returning };
        Ok(Plan::new(Node::Delete(Box::new(node)), fields))
    }

    /// The target first, so that its columns begin the row.
    fn target_rows(
        &mut self,
        name: &ast::ObjectName,
        alias: Option<&ast::Name>,
        others: &[TableRef],
    ) -> SqlResult<Plan> {
        let alias = alias.map(|name| ast::Alias { name: name.clone(), columns: Vec::new() });
        let mut items = vec![TableRef::Relation { name: name.clone(), only: false, alias, sampled: None }];
        items.extend(others.iter().cloned());
        self.from(&items)
    }

    /// Binds one entry of SET.
    pub(super) fn assignment(
        &mut self,
        table: &Table,
        assignment: &Assignment,
        out: &mut Vec<(ColumnId, Expr)>,
    ) -> SqlResult<()> {
        match assignment {
            Assignment::One(target, written) => self.assign_one(table, target, written, out),
            Assignment::Many(targets, written) => match &written.kind {
                ExprKind::Row(values) => {
                    if values.len() != targets.len() {
                        return Err(self.error_at(
                            written.at,
                            "42601",
                            "number of columns does not match number of values",
                        ));
                    }
                    targets
                        .iter()
                        .zip(values)
                        .try_for_each(|(target, value)| self.assign_one(table, target, value, out))
                }
                _ if targets.len() == 1 => self.assign_one(table, &targets[0], written, out),
                _ => Err(self
                    .error_at(written.at, "0A000", "assigning several columns from a subquery is not supported")
                    .with_hint("Use UPDATE … FROM.")),
            },
        }
    }

    fn assign_one(
        &mut self,
        table: &Table,
        target: &ast::AssignTarget,
        written: &ast::Expr,
        out: &mut Vec<(ColumnId, Expr)>,
    ) -> SqlResult<()> {
        let column = self.assigned_column(table, target)?;
        if out.iter().any(|(id, _)| *id == column.id) {
            return Err(self.error_at(
                target.column.at,
                "42601",
                format!("multiple assignments to same column \"{}\"", column.name),
            ));
        }
        let is_default = matches!(written.kind, ExprKind::Default);
        let always = column.identity == Some(crate::catalog::Identity::Always);
        if !is_default && (column.generated.is_some() || always) {
            let what = if always { "an identity column defined as GENERATED ALWAYS" } else { "a generated column" };
            let error = self.error_at(
                target.column.at,
                "428C9",
                format!("column \"{}\" can only be updated to DEFAULT", column.name),
            );
            return Err(error.with_detail(format!("Column \"{}\" is {what}.", column.name)));
        }
        let value = if is_default {
            self.default_of(column)?
        } else {
            let bound = self.expr(written)?;
            self.assign(bound, column, written.at)?
        };
        out.push((column.id, value));
        Ok(())
    }

    /// Generated columns follow the new values of the columns they are computed from.
    pub(super) fn assign_generated(&mut self, table: &Table, assignments: &mut Vec<(ColumnId, Expr)>) -> SqlResult<()> {
        let ids: Vec<ColumnId> = row_columns(table).map(|column| column.id).collect();
        let mut computed = Vec::new();
        for column in row_columns(table) {
            let Some(mut value) = self.generated(table, column)? else { continue };
            substitute(&mut value, &mut |index| {
                let id = ids.get(index)?;
                assignments.iter().find(|(assigned, _)| assigned == id).map(|(_, expr)| expr.clone())
            });
            computed.push((column.id, value));
        }
        assignments.retain(|(id, _)| !computed.iter().any(|(other, _)| other == id));
        assignments.extend(computed);
        Ok(())
    }
}
