//! INSERT: a value for every column, in the columns' order.

use expr::casts::CastContext;
use expr::{Datum, Expr, SqlType, types};

use super::from::row_columns;
use super::scope::{Clause, Level, Scope};
use super::stage::{Applied, any_column, apply_subqueries};
use super::{Binder, marks, query, type_of};
use crate::catalog::{ColumnDescriptor, ColumnId, Identity, IndexDescriptor, RelationKind, Table, TableUse};
use crate::parse::ast::{self, ConflictTarget, ExprKind, Overriding, QueryBody};
use crate::plan::{ConflictAction, Field, Insert, Node, OnConflict, Plan, SetKind};
use crate::{SqlError, SqlResult};

impl Binder<'_> {
    pub(super) fn insert(&mut self, insert: &ast::Insert) -> SqlResult<Plan> {
        let outside = self.ctes.len();
        let ctes = match &insert.with {
            Some(with) => self.with(with)?,
            None => Vec::new(),
        };
        let plan = self.insert_here(insert)?;
        self.ctes.truncate(outside);
        Ok(query::with_ctes(ctes, plan))
    }

    fn insert_here(&mut self, insert: &ast::Insert) -> SqlResult<Plan> {
        let table = self.target_table(&insert.table, "insert into")?;
        let targets = self.insert_targets(insert, &table)?;
        let input = match &insert.source {
            None => {
                let row = vec![self.whole_row(&table, &[], Vec::new())?];
                values(&table, row)
            }
            Some(source) => match &source.body {
                QueryBody::Values(rows)
                    if source.with.is_none()
                        && source.order_by.is_empty()
                        && source.limit.is_none()
                        && source.offset.is_none() =>
                {
                    self.insert_values(insert, &table, &targets, rows)?
                }
                _ => self.insert_query(insert, &table, &targets, source)?,
            },
        };
        let input = self.with_generated(&table, input)?;
        let on_conflict = match &insert.on_conflict {
            Some(clause) => Some(self.on_conflict(insert, clause, &table)?),
            None => None,
        };
        let alias = insert.alias.as_ref().map(ast::Name::as_str);
        let (returning, fields) = self.returning(&insert.returning, Binder::table_scope(&table, alias, 0))?;
        let checks = self.checks(&table)?;
        let columns = shown(&table).map(|column| column.id).collect();
        let node = Insert { table, input, columns, checks, on_conflict, returning, only_index: None };
        Ok(Plan::new(Node::Insert(Box::new(node)), fields))
    }

    /// A table that rows can be written to.
    pub(super) fn target_table(&mut self, name: &ast::ObjectName, doing: &str) -> SqlResult<Table> {
        let table = self.resolve_table(name)?;
        match &table.kind {
            RelationKind::Table { .. } => {
                self.uses(&table, TableUse::Write);
                Ok(table)
            }
            RelationKind::View { .. } => Err(SqlError::new("55000", format!("cannot {doing} view \"{}\"", table.name))
                .with_detail("Views are not automatically updatable here.")
                .with_hint("Name the view's table instead.")),
            RelationKind::Sequence(_) => {
                Err(SqlError::new("42809", format!("cannot change sequence \"{}\"", table.name)))
            }
            RelationKind::Virtual => {
                Err(SqlError::new("42501", format!("permission denied: \"{}\" is a system catalog", table.name)))
            }
        }
    }

    fn insert_targets(&mut self, insert: &ast::Insert, table: &Table) -> SqlResult<Vec<ColumnId>> {
        if insert.columns.is_empty() {
            return Ok(shown(table).map(|column| column.id).collect());
        }
        let mut out = Vec::with_capacity(insert.columns.len());
        for target in &insert.columns {
            let column = self.assigned_column(table, target)?.id;
            if out.contains(&column) {
                return Err(self.error_at(
                    target.column.at,
                    "42701",
                    format!("column \"{}\" specified more than once", target.column),
                ));
            }
            out.push(column);
        }
        Ok(out)
    }

    pub(super) fn assigned_column<'t>(
        &self,
        table: &'t Table,
        target: &ast::AssignTarget,
    ) -> SqlResult<&'t ColumnDescriptor> {
        if !target.indirection.is_empty() {
            return Err(self.error_at(
                target.column.at,
                "0A000",
                "assigning to an element or a field of a column is not supported",
            ));
        }
        table.column_named(target.column.as_str()).ok_or_else(|| {
            let message = format!("column \"{}\" of relation \"{}\" does not exist", target.column, table.name);
            self.error_at(target.column.at, "42703", message)
        })
    }

    fn insert_values(
        &mut self,
        insert: &ast::Insert,
        table: &Table,
        targets: &[ColumnId],
        rows: &[Vec<ast::Expr>],
    ) -> SqlResult<Plan> {
        let (bound, level) = self.in_level(Scope::default(), Clause::Values, |binder| {
            let mut bound = Vec::with_capacity(rows.len());
            for row in rows {
                if row.len() != rows[0].len() {
                    let at = row.first().map_or(0, |expr| expr.at);
                    return Err(binder.error_at(at, "42601", "VALUES lists must all be the same length"));
                }
                let end = row.get(targets.len()).or(row.last()).map_or(0, |expr| expr.start());
                binder.check_count(insert, row.len(), targets.len(), end)?;
                let mut cells = Vec::with_capacity(row.len());
                for (written, id) in row.iter().zip(targets) {
                    let column = table.column(*id).expect("targets are columns of the table");
                    cells.push(binder.insert_cell(insert, column, written)?);
                }
                bound.push(binder.whole_row(table, &targets[..row.len()], cells)?);
            }
            Ok(bound)
        })?;
        if level.pending.subqueries.is_empty() {
            return Ok(values(table, bound));
        }
        let fields = row_fields(table);
        let rows = bound.into_iter().map(|mut row| {
            let input = apply_subqueries(Plan::one_row(), &mut row, &level.pending.subqueries, &mut Applied::default());
            Plan::new(Node::Project { input: Box::new(input), exprs: row }, fields.clone())
        });
        let together = rows.reduce(|left, right| {
            let node =
                Node::SetOperation { kind: SetKind::Union, all: true, left: Box::new(left), right: Box::new(right) };
            Plan::new(node, fields.clone())
        });
        together.ok_or_else(|| SqlError::new("42601", "VALUES without rows"))
    }

    fn insert_cell(&mut self, insert: &ast::Insert, column: &ColumnDescriptor, written: &ast::Expr) -> SqlResult<Expr> {
        let is_default = matches!(written.kind, ExprKind::Default);
        if is_default || self.overridden(insert, column, written.at)? {
            return self.default_of(column);
        }
        let bound = self.expr(written)?;
        self.assign(bound, column, written.at)
    }

    /// May a value be given for this column? True: it may, and is ignored (OVERRIDING USER VALUE).
    fn overridden(&self, insert: &ast::Insert, column: &ColumnDescriptor, at: ast::At) -> SqlResult<bool> {
        let _ = at;
        if column.generated.is_some() {
            let error =
                SqlError::new("428C9", format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name));
            return Err(error.with_detail(format!("Column \"{}\" is a generated column.", column.name)));
        }
        match (column.identity, insert.overriding) {
            (Some(_), Some(Overriding::UserValue)) => Ok(true),
            (Some(Identity::Always), None) => {
                let error = SqlError::new(
                    "428C9",
                    format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name),
                );
                let error = error.with_detail(format!(
                    "Column \"{}\" is an identity column defined as GENERATED ALWAYS.",
                    column.name
                ));
                Err(error.with_hint("Use OVERRIDING SYSTEM VALUE to override."))
            }
            _ => Ok(false),
        }
    }

    fn check_count(&self, insert: &ast::Insert, given: usize, wanted: usize, at: ast::At) -> SqlResult<()> {
        if given > wanted {
            return Err(self.error_at(at, "42601", "INSERT has more expressions than target columns"));
        }
        if given < wanted && !insert.columns.is_empty() {
            let at = insert.columns[given].column.at;
            return Err(self.error_at(at, "42601", "INSERT has more target columns than expressions"));
        }
        Ok(())
    }

    fn insert_query(
        &mut self,
        insert: &ast::Insert,
        table: &Table,
        targets: &[ColumnId],
        source: &ast::Query,
    ) -> SqlResult<Plan> {
        let plan = self.open_query(source)?;
        self.check_count(insert, plan.width(), targets.len(), source.at)?;
        let columns: Vec<&ColumnDescriptor> = targets[..plan.width()]
            .iter()
            .map(|id| table.column(*id).expect("targets are columns of the table"))
            .collect();
        // A parameter or literal in the select list becomes what the column is.
        let types: Vec<SqlType> = plan
            .fields
            .iter()
            .zip(&columns)
            .map(|(field, column)| if field.ty == SqlType::UNKNOWN { column.ty.base() } else { field.ty })
            .collect();
        let plan = self.convert(plan, &types, source.at)?;
        let mut cells = Vec::with_capacity(columns.len());
        for (index, column) in columns.iter().enumerate() {
            let given = Expr::Column { index, ty: plan.fields[index].ty };
            let ignored = self.overridden(insert, column, source.at)?;
            cells.push(if ignored { self.default_of(column)? } else { self.assign(given, column, source.at)? });
        }
        let row = self.whole_row(table, &targets[..cells.len()], cells)?;
        let fields = row_fields(table);
        Ok(Plan::new(Node::Project { input: Box::new(plan), exprs: row }, fields))
    }

    /// Values of all shown columns: the given ones, defaults for the others.
    fn whole_row(&mut self, table: &Table, given: &[ColumnId], cells: Vec<Expr>) -> SqlResult<Vec<Expr>> {
        let mut cells: Vec<Option<Expr>> = cells.into_iter().map(Some).collect();
        let mut row = Vec::with_capacity(table.columns.len());
        for column in shown(table) {
            row.push(match given.iter().position(|id| *id == column.id) {
                Some(position) => cells[position].take().expect("a column is given once"),
                None => self.default_of(column)?,
            });
        }
        Ok(row)
    }

    /// A value as a column of a table takes it.
    pub(super) fn assign(&mut self, expr: Expr, column: &ColumnDescriptor, at: ast::At) -> SqlResult<Expr> {
        match self.try_coerce(expr, column.ty, CastContext::Assignment, at)? {
            Ok(expr) => Ok(expr),
            Err(expr) => {
                let message = format!(
                    "column \"{}\" is of type {} but expression is of type {}",
                    column.name,
                    types::format_type_be(column.ty.oid),
                    types::format_type_be(type_of(&expr).oid)
                );
                Err(self.error_at(at, "42804", message).with_hint("You will need to rewrite or cast the expression."))
            }
        }
    }

    fn with_generated(&mut self, table: &Table, input: Plan) -> SqlResult<Plan> {
        if !table.columns.iter().any(|column| column.generated.is_some() && !column.dropped) {
            return Ok(input);
        }
        let mut exprs = Vec::with_capacity(input.width());
        for (index, column) in shown(table).enumerate() {
            exprs.push(self.generated(table, column)?.unwrap_or(Expr::Column { index, ty: column.ty }));
        }
        let fields = input.fields.clone();
        Ok(Plan::new(Node::Project { input: Box::new(input), exprs }, fields))
    }

    fn on_conflict(&mut self, insert: &ast::Insert, clause: &ast::OnConflict, table: &Table) -> SqlResult<OnConflict> {
        let arbiters = match &clause.target {
            None if clause.update.is_some() => {
                let error = self.error_at(
                    clause.at,
                    "42601",
                    "ON CONFLICT DO UPDATE requires inference specification or constraint name",
                );
                return Err(error.with_hint("For example, ON CONFLICT (column_name)."));
            }
            None => Vec::new(),
            Some(target) => self.arbiters(target, table)?,
        };
        let Some(update) = &clause.update else {
            return Ok(OnConflict { arbiters, action: ConflictAction::DoNothing });
        };
        let width = row_columns(table).count();
        let alias = insert.alias.as_ref().map(ast::Name::as_str);
        let existing = Binder::table_scope(table, alias, 0);
        let mut excluded = Binder::table_scope(table, Some("excluded"), width);
        let mut scope = existing;
        scope.relations.append(&mut excluded.relations);
        scope.width = 2 * width;
        let (bound, level) = self.in_level(scope, Clause::Update, |binder| {
            let mut assignments = Vec::new();
            for assignment in &update.assignments {
                binder.assignment(table, assignment, &mut assignments)?;
            }
            let condition = match &update.filter {
                Some(written) => {
                    let bound = binder.expr(written)?;
                    Some(binder.condition(bound, "WHERE", written.at)?)
                }
                None => None,
            };
            Ok((assignments, condition))
        })?;
        if !level.pending.subqueries.is_empty() {
            return Err(self.error_at(clause.at, "0A000", "a subquery in ON CONFLICT DO UPDATE is not supported"));
        }
        let (mut assignments, condition) = bound;
        self.assign_generated(table, &mut assignments)?;
        Ok(OnConflict { arbiters, action: ConflictAction::Update { assignments, condition } })
    }

    fn arbiters(&self, target: &ConflictTarget, table: &Table) -> SqlResult<Vec<keyspace::IndexId>> {
        match target {
            ConflictTarget::Constraint(name) => {
                let found = table.indexes.iter().find(|index| index.constraint.is_some() && index.name == name.text);
                found.map(|index| vec![index.id]).ok_or_else(|| {
                    let message = format!("constraint \"{name}\" for table \"{}\" does not exist", table.name);
                    self.error_at(name.at, "42704", message)
                })
            }
            ConflictTarget::Columns { items, filter, at } => {
                if let Some(filter) = filter {
                    return Err(self.error_at(filter.at, "0A000", "partial indexes in ON CONFLICT are not supported"));
                }
                let mut columns = Vec::with_capacity(items.len());
                for item in items {
                    let ExprKind::Column(names) = &item.expr.kind else {
                        return Err(self.error_at(
                            item.expr.at,
                            "0A000",
                            "expressions in ON CONFLICT are not supported",
                        ));
                    };
                    let name = names.last().map_or("", ast::Name::as_str);
                    let column = table.column_named(name).ok_or_else(|| {
                        self.error_at(item.expr.at, "42703", format!("column \"{name}\" does not exist"))
                    })?;
                    if !columns.contains(&column.id) {
                        columns.push(column.id);
                    }
                }
                let fits = |index: &&IndexDescriptor| {
                    index.unique
                        && index.columns.len() == columns.len()
                        && index.columns.iter().all(|part| columns.contains(&part.column))
                };
                let found: Vec<_> = table.indexes.iter().filter(fits).map(|index| index.id).collect();
                if found.is_empty() {
                    let message = "there is no unique or exclusion constraint matching the ON CONFLICT specification";
                    return Err(self.error_at(*at, "42P10", message).at(None));
                }
                Ok(found)
            }
        }
    }

    /// RETURNING over a row in `scope`.
    pub(super) fn returning(&mut self, targets: &[ast::Target], scope: Scope) -> SqlResult<(Vec<Expr>, Vec<Field>)> {
        if targets.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let at = targets[0].expr.at;
        let (bound, level): (_, Level) = self.in_level(scope, Clause::Returning, |binder| {
            let mut bound = binder.targets(targets)?;
            for target in &mut bound {
                let expr =
                    std::mem::replace(&mut target.expr, Expr::Const { value: Datum::Null, ty: SqlType::UNKNOWN });
                target.expr = binder.settle(expr, target.at)?;
            }
            Ok(bound)
        })?;
        if !level.pending.subqueries.is_empty()
            || bound.iter().any(|target| any_column(&target.expr, &mut |index| index >= marks::FIRST))
        {
            return Err(self.error_at(at, "0A000", "a subquery in RETURNING is not supported"));
        }
        let fields = bound
            .iter()
            .map(|target| Field { name: target.name.clone(), ty: type_of(&target.expr), origin: target.origin })
            .collect();
        Ok((bound.into_iter().map(|target| target.expr).collect(), fields))
    }
}

/// Columns that statements can name, in their order.
fn shown(table: &Table) -> impl Iterator<Item = &ColumnDescriptor> {
    table.visible_columns()
}

fn row_fields(table: &Table) -> Vec<Field> {
    shown(table).map(|column| Field { name: column.name.clone(), ty: column.ty, origin: None }).collect()
}

fn values(table: &Table, rows: Vec<Vec<Expr>>) -> Plan {
    Plan::new(Node::Values { rows }, row_fields(table))
}
