//! FROM: tables, views, CTEs, subqueries, functions and joins.

use expr::{Expr, SqlType};

use super::marks::Mark;
use super::scope::{Clause, Column, Level, Relation, Scope};
use super::stage::{Applied, any_column, apply_subqueries};
use super::subquery::PendingSubquery;
use super::{Binder, marks, type_of};
use crate::catalog::{RelationKind, Table, TableUse};
use crate::parse::ast::{self, JoinConstraint, JoinType, Statement, TableRef};
use crate::plan::{Apply, ApplyKind, Field, Join, JoinKind, KeyRanges, Node, Plan, Scan, SetCall};
use crate::{SqlError, SqlResult};

/// An item of FROM: its rows, its names, and what it needs of the items to its left (LATERAL).
struct Item {
    plan: Plan,
    scope: Scope,
    bindings: Vec<(usize, Expr)>,
}

impl Binder<'_> {
    /// Binds FROM and makes its names the level's scope.
    pub(super) fn from(&mut self, items: &[TableRef]) -> SqlResult<Plan> {
        let mut together: Option<Item> = None;
        for item in items {
            let left = together.as_ref().map(|item| item.scope.clone()).unwrap_or_default();
            let right = self.table_ref(item, &left)?;
            together = Some(match together {
                None => right,
                Some(left) => {
                    self.refuse_same_names(&left.scope, &right.scope)?;
                    self.joined(left, right, JoinKind::Inner, None)?
                }
            });
        }
        let Some(item) = together else {
            return Ok(Plan::one_row());
        };
        self.level().scope = item.scope;
        Ok(item.plan)
    }

    fn refuse_same_names(&self, left: &Scope, right: &Scope) -> SqlResult<()> {
        let named = |scope: &Scope| {
            scope
                .relations
                .iter()
                .filter(|relation| !relation.anonymous)
                .map(|relation| (relation.schema.clone(), relation.name.clone()))
                .collect::<Vec<_>>()
        };
        let known = named(left);
        match named(right).into_iter().find(|name| known.contains(name)) {
            Some((_, name)) => Err(SqlError::new("42712", format!("table name \"{name}\" specified more than once"))),
            None => Ok(()),
        }
    }

    /// `left`: what LATERAL items may refer to.
    fn table_ref(&mut self, item: &TableRef, left: &Scope) -> SqlResult<Item> {
        match item {
            TableRef::Relation { name, alias, sampled, .. } => {
                if let Some(at) = sampled {
                    return Err(self.error_at(*at, "0A000", "TABLESAMPLE is not supported"));
                }
                self.relation(name, alias.as_ref())
            }
            TableRef::Query { query, lateral, alias, at } => {
                let (plan, bindings) =
                    self.beside(if *lateral { left.clone() } else { Scope::default() }, |binder| binder.query(query))?;
                let scope = self.named_scope(&plan, alias.as_ref(), *at)?;
                Ok(Item { plan, scope, bindings })
            }
            TableRef::Functions(functions) => self.functions(functions, left),
            TableRef::Join(join) => self.join(join, left),
        }
    }

    /// Binds with `scope` as the level's names; gives what was referred to of them.
    fn beside<T>(
        &mut self,
        scope: Scope,
        bind: impl FnOnce(&mut Self) -> SqlResult<T>,
    ) -> SqlResult<(T, Vec<(usize, Expr)>)> {
        let level = self.level();
        let outside = (std::mem::replace(&mut level.scope, scope), std::mem::take(&mut level.bindings));
        let result = bind(self);
        let level = self.level();
        level.scope = outside.0;
        let bindings = std::mem::replace(&mut level.bindings, outside.1);
        Ok((result?, bindings))
    }

    fn relation(&mut self, name: &ast::ObjectName, alias: Option<&ast::Alias>) -> SqlResult<Item> {
        if name.schema.is_none()
            && let Some(plan) = self.cte(&name.name)
        {
            let alias_or_name = alias.cloned().unwrap_or(ast::Alias { name: name.name.clone(), columns: Vec::new() });
            let scope = self.named_scope(&plan, Some(&alias_or_name), name.at())?;
            return Ok(Item { plan, scope, bindings: Vec::new() });
        }
        let table = self.resolve_table(name)?;
        let plan = match &table.kind {
            RelationKind::View { definition, .. } => self.view(&table, definition)?,
            RelationKind::Sequence(_) => {
                return Err(self.error_at(name.at(), "0A000", "reading a sequence as a table is not supported"));
            }
            RelationKind::Table { .. } | RelationKind::Virtual => {
                self.uses(&table, TableUse::Read);
                scan(&table)
            }
        };
        let schema = self.catalog().schema_by_oid(table.schema).map(|schema| schema.name.clone());
        let mut columns = Vec::with_capacity(plan.width());
        for (index, field) in plan.fields.iter().enumerate() {
            let hidden = field.origin.is_some_and(|(oid, attnum)| oid == table.oid && attnum == 0);
            columns.push(Column { name: field.name.clone(), ty: field.ty, index, origin: field.origin, hidden });
        }
        let mut relation =
            Relation { name: table.name.clone(), schema, columns, table: Some(table.oid), anonymous: false };
        if let Some(alias) = alias {
            relation.name.clone_from(&alias.name.text);
            relation.schema = None;
            self.rename_columns(&mut relation.columns, alias)?;
        }
        let scope = Scope { visible: relation.columns.clone(), width: plan.width(), relations: vec![relation] };
        Ok(Item { plan, scope, bindings: Vec::new() })
    }

    pub(super) fn resolve_table(&self, name: &ast::ObjectName) -> SqlResult<Table> {
        let schema = name.schema.as_ref().map(ast::Name::as_str);
        if let Some(database) = &name.database {
            let own = self
                .catalog()
                .database_by_oid(self.environment.path.database)
                .is_some_and(|own| own.name == database.text);
            if !own {
                return Err(self.error_at(
                    name.at(),
                    "0A000",
                    format!("cross-database references are not implemented: {name}"),
                ));
            }
        }
        match self.catalog().resolve_relation(self.environment.path, schema, name.name.as_str()) {
            Some(table) => Ok(table.clone()),
            None => {
                let written = schema.map_or_else(|| name.name.text.clone(), |schema| format!("{schema}.{}", name.name));
                Err(self.error_at(name.at(), "42P01", format!("relation \"{written}\" does not exist")))
            }
        }
    }

    fn cte(&mut self, name: &ast::Name) -> Option<Plan> {
        let cte = self.ctes.iter_mut().rev().find(|cte| cte.name == name.text)?;
        cte.used = true;
        let node = if cte.working { Node::WorkingTable { id: cte.id } } else { Node::CteScan { id: cte.id } };
        Some(Plan::new(node, cte.fields.clone()))
    }

    /// A view is its query, bound where nothing around it can be seen.
    fn view(&mut self, table: &Table, definition: &str) -> SqlResult<Plan> {
        if self.views.contains(&table.oid) || self.views.len() > 100 {
            return Err(SqlError::new(
                "42P17",
                format!("infinite recursion detected in rules for relation \"{}\"", table.name),
            ));
        }
        let statements = crate::parse::parse(definition)?;
        let [crate::parse::ParsedStatement { statement: Statement::Query(query), .. }] = &statements[..] else {
            return Err(SqlError::new("XX000", format!("the definition of view \"{}\" is not a query", table.name)));
        };
        self.uses(table, TableUse::Read);
        self.views.push(table.oid);
        let levels = std::mem::take(&mut self.levels);
        let ctes = std::mem::take(&mut self.ctes);
        let plan = self.query(query);
        self.levels = levels;
        self.ctes = ctes;
        self.views.pop();
        let mut plan = plan.map_err(|mut error| {
            // It points into the view's text, which the client did not send.
            error.0.position = None;
            error
        })?;
        for (field, column) in plan.fields.iter_mut().zip(table.visible_columns()) {
            field.name.clone_from(&column.name);
            field.origin = Some((table.oid, column.attnum));
        }
        Ok(plan)
    }

    /// The names of a subquery's columns under its alias.
    fn named_scope(&self, plan: &Plan, alias: Option<&ast::Alias>, at: ast::At) -> SqlResult<Scope> {
        let columns = plan.fields.iter().enumerate().map(|(index, field)| Column {
            name: field.name.clone(),
            ty: field.ty,
            index,
            origin: field.origin,
            hidden: false,
        });
        let mut columns: Vec<Column> = columns.collect();
        let Some(alias) = alias else {
            return Err(self
                .error_at(at, "42601", "subquery in FROM must have an alias")
                .with_hint("For example, FROM (SELECT ...) [AS] foo."));
        };
        self.rename_columns(&mut columns, alias)?;
        let relation = Relation {
            name: alias.name.text.clone(),
            schema: None,
            columns: columns.clone(),
            table: None,
            anonymous: false,
        };
        Ok(Scope { relations: vec![relation], visible: columns, width: plan.width() })
    }

    fn rename_columns(&self, columns: &mut [Column], alias: &ast::Alias) -> SqlResult<()> {
        let shown = columns.iter().filter(|column| !column.hidden).count();
        if alias.columns.len() > shown {
            let message = format!(
                "table \"{}\" has {shown} columns available but {} columns specified",
                alias.name,
                alias.columns.len()
            );
            return Err(self.error_at(alias.name.at, "42P10", message));
        }
        for (column, name) in columns.iter_mut().filter(|column| !column.hidden).zip(&alias.columns) {
            column.name.clone_from(&name.text);
        }
        Ok(())
    }

    fn functions(&mut self, functions: &ast::FunctionsRef, left: &Scope) -> SqlResult<Item> {
        let ((bound, mut subqueries), mut bindings) = self.beside(left.clone(), |binder| {
            let outside = std::mem::take(&mut binder.level().pending.subqueries);
            let bound = binder.in_clause(Clause::FromFunction, |binder| binder.calls_in_from(functions));
            let subqueries = std::mem::replace(&mut binder.level().pending.subqueries, outside);
            Ok((bound?, subqueries))
        })?;
        // Arguments are over the row of the items to the left, which an Apply hands in as parameters.
        let single = bound.len() == 1;
        let mut calls = Vec::with_capacity(bound.len());
        let mut fields = Vec::new();
        for (mut call, names) in bound {
            for arg in &mut call.args {
                self.outer_arguments(arg, left.width, &mut bindings);
            }
            let scalar = names.len() == 1;
            for (name, ty) in names.into_iter().zip(&call.columns) {
                let name = match &functions.alias {
                    Some(alias) if single && scalar => alias.name.text.clone(),
                    _ => name,
                };
                fields.push(Field { name, ty: *ty, origin: None });
            }
            calls.push(call);
        }
        if functions.ordinality {
            fields.push(Field { name: "ordinality".to_owned(), ty: SqlType::INT8, origin: None });
        }
        for subquery in &mut subqueries {
            for (_, expr) in &mut subquery.bindings {
                self.outer_arguments(expr, left.width, &mut bindings);
            }
            if let ApplyKind::Compare { left: operands, .. } = &mut subquery.kind {
                operands.iter_mut().for_each(|operand| self.outer_arguments(operand, left.width, &mut bindings));
            }
        }
        let plan = self.function_scan(calls, functions.ordinality, fields, &subqueries);
        let name = functions.calls.first().and_then(|function| function.call.name.last().cloned());
        let alias = functions.alias.clone().or_else(|| name.map(|name| ast::Alias { name, columns: Vec::new() }));
        let scope = self.named_scope(&plan, alias.as_ref(), functions.at)?;
        Ok(Item { plan, scope, bindings })
    }

    fn calls_in_from(&mut self, functions: &ast::FunctionsRef) -> SqlResult<Vec<(SetCall, Vec<String>)>> {
        let mut out = Vec::with_capacity(functions.calls.len());
        for function in &functions.calls {
            if !function.columns.is_empty() {
                return Err(self.error_at(function.at, "0A000", "a column definition list is not supported"));
            }
            let several_arrays = function.call.args.len() > 1
                && !function.call.variadic
                && function.call.name.last().is_some_and(|name| name.text == "unnest");
            if !several_arrays {
                out.push(self.call_in_from(&function.call, function.at)?);
                continue;
            }
            // unnest(a, b) is ROWS FROM (unnest(a), unnest(b)).
            for array in &function.call.args {
                let call = ast::Call { args: vec![array.clone()], ..function.call.clone() };
                out.push(self.call_in_from(&call, function.at)?);
            }
        }
        Ok(out)
    }

    /// Subqueries in the arguments are computed once, beside the scan, and handed in as parameters.
    fn function_scan(
        &mut self,
        mut calls: Vec<SetCall>,
        ordinality: bool,
        fields: Vec<Field>,
        subqueries: &[PendingSubquery],
    ) -> Plan {
        if subqueries.is_empty() {
            return Plan::new(Node::FunctionScan { calls, ordinality }, fields);
        }
        let args = calls.iter_mut().flat_map(|call| &mut call.args);
        let outer = apply_subqueries(Plan::one_row(), args, subqueries, &mut Applied::default());
        let width = outer.width();
        let mut bindings = Vec::new();
        for arg in calls.iter_mut().flat_map(|call| &mut call.args) {
            self.outer_arguments(arg, width, &mut bindings);
        }
        let mut together = outer.fields.clone();
        together.extend(fields.iter().cloned());
        let columns =
            fields.iter().enumerate().map(|(at, field)| Expr::Column { index: width + at, ty: field.ty }).collect();
        let inner = Box::new(Plan::new(Node::FunctionScan { calls, ordinality }, fields));
        let kind = ApplyKind::Lateral { left_join: false, condition: None };
        let apply = Apply { outer: Box::new(outer), inner, bindings, kind, guard: None };
        Plan::new(Node::Apply(apply), together).project(columns)
    }

    /// Turns columns of the items to the left into parameter slots; marks stay.
    fn outer_arguments(&mut self, arg: &mut Expr, width: usize, bindings: &mut Vec<(usize, Expr)>) {
        super::stage::substitute_typed(arg, &mut |index, ty| {
            if index >= marks::FIRST {
                return None;
            }
            debug_assert!(index < width, "it refers to the items to its left");
            let known = bindings
                .iter()
                .find(|(_, bound)| matches!(bound, Expr::Column { index: known, .. } if *known == index));
            let slot = match known {
                Some((slot, _)) => *slot,
                None => {
                    let slot = self.new_slot();
                    bindings.push((slot, Expr::Column { index, ty }));
                    slot
                }
            };
            Some(Expr::Param { index: slot, ty })
        });
    }

    fn join(&mut self, join: &ast::JoinRef, outer: &Scope) -> SqlResult<Item> {
        let left = self.table_ref(&join.left, outer)?;
        let beside = outer.clone().joined(left.scope.clone());
        let right = self.table_ref(&join.right, &beside)?;
        self.refuse_same_names(&left.scope, &right.scope)?;
        let kind = match join.join {
            JoinType::Inner | JoinType::Cross => JoinKind::Inner,
            JoinType::Left => JoinKind::Left,
            JoinType::Right => JoinKind::Right,
            JoinType::Full => JoinKind::Full,
        };
        // What the right side needs of the left one is numbered after what lies further out.
        let (own, further): (Vec<_>, Vec<_>) = right
            .bindings
            .into_iter()
            .partition(|(_, expr)| matches!(expr, Expr::Column { index, .. } if *index >= outer.width));
        let own = own.into_iter().map(|(slot, expr)| (slot, shifted(expr, outer.width))).collect();
        let mut bindings = left.bindings;
        bindings.extend(further);
        let left = Item { plan: left.plan, scope: left.scope, bindings: Vec::new() };
        let right = Item { plan: right.plan, scope: right.scope, bindings: own };
        let names = match &join.constraint {
            JoinConstraint::None | JoinConstraint::On(_) => Vec::new(),
            JoinConstraint::Using { columns, .. } => columns.iter().map(|name| (name.text.clone(), name.at)).collect(),
            JoinConstraint::Natural => common_names(&left.scope, &right.scope, join.at),
        };
        let is_merge = matches!(join.constraint, JoinConstraint::Using { .. } | JoinConstraint::Natural);
        let mut item = match &join.constraint {
            JoinConstraint::On(written) => self.joined(left, right, kind, Some(written))?,
            _ if is_merge => self.merged(left, right, kind, &names, join)?,
            _ => self.joined(left, right, kind, None)?,
        };
        if let Some(alias) = &join.alias {
            let mut columns = item.scope.visible.clone();
            self.rename_columns(&mut columns, alias)?;
            let relation = Relation {
                name: alias.name.text.clone(),
                schema: None,
                columns: columns.clone(),
                table: None,
                anonymous: false,
            };
            item.scope = Scope { relations: vec![relation], visible: columns, width: item.scope.width };
        }
        item.bindings.extend(bindings);
        Ok(item)
    }

    /// Two items side by side; `right.bindings` make it an Apply.
    fn joined(&mut self, left: Item, right: Item, kind: JoinKind, on: Option<&ast::Expr>) -> SqlResult<Item> {
        let scope = left.scope.clone().joined(right.scope.clone());
        let (condition, subqueries) = match on {
            Some(written) => {
                let (condition, subqueries) = self.on_condition(written, &scope)?;
                (Some(condition), subqueries)
            }
            None => (None, Vec::new()),
        };
        let plan = match condition {
            Some(condition) if !subqueries.is_empty() => {
                let at = on.map_or(0, |written| written.at);
                self.join_with_subqueries(left.plan, right, kind, condition, subqueries, at)?
            }
            condition => self.join_plans(left.plan, right, kind, condition)?,
        };
        Ok(Item { plan, scope, bindings: left.bindings })
    }

    fn on_condition(&mut self, written: &ast::Expr, scope: &Scope) -> SqlResult<(Expr, Vec<PendingSubquery>)> {
        let ((bound, subqueries), bindings) = self.beside(scope.clone(), |binder| {
            let outside = std::mem::take(&mut binder.level().pending.subqueries);
            let bound = binder.in_clause(Clause::JoinCondition, |binder| binder.expr(written));
            let subqueries = std::mem::replace(&mut binder.level().pending.subqueries, outside);
            Ok((binder.condition(bound?, "JOIN/ON", written.at)?, subqueries))
        })?;
        if !bindings.is_empty()
            || any_column(&bound, &mut |index| {
                index >= marks::FIRST && !matches!(Mark::of(index), Some(Mark::Subquery(_)))
            })
        {
            return Err(self.error_at(written.at, "0A000", "this is not supported in a join condition"));
        }
        Ok((bound, subqueries))
    }

    /// ON with subqueries. An inner join is filtered by it afterwards; an outer join runs its inner side, with the
    /// subqueries on it and filtered, for each row of the side that is kept.
    fn join_with_subqueries(
        &mut self,
        left: Plan,
        right: Item,
        kind: JoinKind,
        mut condition: Expr,
        mut subqueries: Vec<PendingSubquery>,
        at: ast::At,
    ) -> SqlResult<Plan> {
        let (left_width, right_width) = (left.width(), right.plan.width());
        if kind == JoinKind::Inner {
            let plan = self.join_plans(left, right, kind, None)?;
            let plan = apply_subqueries(plan, [&mut condition], &subqueries, &mut Applied::default());
            return Ok(plan.filter(condition).keep(left_width + right_width));
        }
        let (kept, other) = match kind {
            JoinKind::Left => (left, right.plan),
            JoinKind::Right if right.bindings.is_empty() => (right.plan, left),
            _ => return Err(self.error_at(at, "0A000", "a subquery in the condition of this join is not supported")),
        };
        // Of the pair's columns: which are the kept side's, and where the other side's stand in its own row.
        let (kept_range, other_start) = if kind == JoinKind::Left {
            (0..left_width, left_width)
        } else {
            (left_width..left_width + right_width, 0)
        };
        let mut bindings = right.bindings;
        let mut adapt = |binder: &mut Self, expr: &mut Expr| {
            super::stage::substitute_typed(expr, &mut |index, ty| {
                if index >= marks::FIRST {
                    return None;
                }
                if !kept_range.contains(&index) {
                    return Some(Expr::Column { index: index - other_start, ty });
                }
                let slot = binder.new_slot();
                bindings.push((slot, Expr::Column { index: index - kept_range.start, ty }));
                Some(Expr::Param { index: slot, ty })
            });
        };
        adapt(self, &mut condition);
        for subquery in &mut subqueries {
            subquery.bindings.iter_mut().for_each(|(_, expr)| adapt(self, expr));
            if let ApplyKind::Compare { left: operands, .. } = &mut subquery.kind {
                operands.iter_mut().for_each(|operand| adapt(self, operand));
            }
        }
        let other_width = other.width();
        let inner = apply_subqueries(other, [&mut condition], &subqueries, &mut Applied::default());
        let inner = inner.filter(condition).keep(other_width);
        let mut fields = kept.fields.clone();
        fields.extend(inner.fields.iter().cloned());
        let lateral = ApplyKind::Lateral { left_join: true, condition: None };
        let apply = Apply { outer: Box::new(kept), inner: Box::new(inner), bindings, kind: lateral, guard: None };
        let plan = Plan::new(Node::Apply(apply), fields);
        if kind == JoinKind::Left {
            return Ok(plan);
        }
        let order = (right_width..right_width + left_width).chain(0..right_width);
        let columns = order.map(|index| Expr::Column { index, ty: plan.fields[index].ty }).collect();
        Ok(plan.project(columns))
    }

    fn join_plans(&mut self, left: Plan, right: Item, kind: JoinKind, condition: Option<Expr>) -> SqlResult<Plan> {
        let mut fields = left.fields.clone();
        fields.extend(right.plan.fields.iter().cloned());
        if right.bindings.is_empty() {
            let node = Node::Join(Join {
                kind,
                left: Box::new(left),
                right: Box::new(right.plan),
                equal: Vec::new(),
                condition,
            });
            return Ok(Plan::new(node, fields));
        }
        if !matches!(kind, JoinKind::Inner | JoinKind::Left) {
            let error = SqlError::new("42P10", "invalid reference to FROM-clause entry in LATERAL");
            return Err(error.with_detail("The combining JOIN type must be INNER or LEFT for a LATERAL reference."));
        }
        let kind = ApplyKind::Lateral { left_join: kind == JoinKind::Left, condition };
        let node = Node::Apply(Apply {
            outer: Box::new(left),
            inner: Box::new(right.plan),
            bindings: right.bindings,
            kind,
            guard: None,
        });
        Ok(Plan::new(node, fields))
    }

    /// USING and NATURAL: equal columns appear once, first.
    fn merged(
        &mut self,
        left: Item,
        right: Item,
        kind: JoinKind,
        names: &[(String, ast::At)],
        join: &ast::JoinRef,
    ) -> SqlResult<Item> {
        let (left_visible, mut right_visible) = (left.scope.visible.clone(), right.scope.visible.clone());
        let left_width = left.scope.width;
        let scope = left.scope.clone().joined(right.scope.clone());
        for column in &mut right_visible {
            column.index += left_width;
        }
        let mut conditions = Vec::with_capacity(names.len());
        let mut merged = Vec::with_capacity(names.len());
        for (name, at) in names {
            let (a, b) = (
                self.one_named(&left_visible, name, "left", *at)?,
                self.one_named(&right_visible, name, "right", *at)?,
            );
            let condition = self.binary("=", a.expr(), b.expr(), join.at)?;
            conditions.push(condition);
            let (exprs, ty) = self.unify(vec![(a.expr(), *at), (b.expr(), *at)], "JOIN/USING")?;
            merged.push((name.clone(), a, b, exprs, ty));
        }
        let condition = match conditions.len() {
            0 => None,
            1 => conditions.pop(),
            _ => Some(Expr::And(conditions)),
        };
        let mut plan = self.join_plans(
            left.plan,
            Item { plan: right.plan, scope: Scope::default(), bindings: right.bindings },
            kind,
            condition,
        )?;
        let mut computed = Vec::new();
        let mut visible = Vec::with_capacity(merged.len());
        for (name, a, b, exprs, ty) in &merged {
            let plain = match kind {
                JoinKind::Right => (type_of(&b.expr()).oid == ty.oid).then_some(b),
                JoinKind::Full => None,
                _ => (type_of(&a.expr()).oid == ty.oid).then_some(a),
            };
            visible.push(match plain {
                Some(column) => Column { name: name.clone(), ..column.clone() },
                None => {
                    let value = match kind {
                        JoinKind::Full => Expr::Coalesce { args: exprs.clone(), ty: *ty },
                        JoinKind::Right => exprs[1].clone(),
                        _ => exprs[0].clone(),
                    };
                    computed.push(value);
                    Column {
                        name: name.clone(),
                        ty: *ty,
                        index: scope.width + computed.len() - 1,
                        origin: None,
                        hidden: false,
                    }
                }
            });
        }
        let width = scope.width + computed.len();
        if !computed.is_empty() {
            let mut exprs: Vec<Expr> =
                plan.fields.iter().enumerate().map(|(index, field)| Expr::Column { index, ty: field.ty }).collect();
            exprs.append(&mut computed);
            plan = plan.project(exprs);
        }
        let rest = |column: &&Column| !names.iter().any(|(name, _)| *name == column.name);
        visible.extend(left_visible.iter().filter(rest).cloned());
        visible.extend(right_visible.iter().filter(rest).cloned());
        let mut relations = scope.relations;
        if let JoinConstraint::Using { alias: Some(alias), columns } = &join.constraint {
            let columns = visible[..columns.len()].to_vec();
            relations.push(Relation { name: alias.text.clone(), schema: None, columns, table: None, anonymous: false });
        }
        Ok(Item { plan, scope: Scope { relations, visible, width }, bindings: left.bindings })
    }

    fn one_named(&self, columns: &[Column], name: &str, side: &str, at: ast::At) -> SqlResult<Column> {
        let mut found = columns.iter().filter(|column| !column.hidden && column.name == name);
        match (found.next(), found.next()) {
            (Some(column), None) => Ok(column.clone()),
            (Some(_), Some(_)) => Err(self.error_at(
                at,
                "42702",
                format!("common column name \"{name}\" appears more than once in {side} table"),
            )),
            (None, _) => Err(self.error_at(
                at,
                "42703",
                format!("column \"{name}\" specified in USING clause does not exist in {side} table"),
            )),
        }
    }

    /// A scope of its own over a table's row: for defaults, checks, RETURNING.
    pub(super) fn table_scope(table: &Table, alias: Option<&str>, shift: usize) -> Scope {
        let columns: Vec<Column> = row_columns(table)
            .enumerate()
            .map(|(index, column)| Column {
                name: column.name.clone(),
                ty: column.ty,
                index: index + shift,
                origin: Some((table.oid, column.attnum)),
                hidden: column.hidden,
            })
            .collect();
        let name = alias.unwrap_or(&table.name).to_owned();
        let relation =
            Relation { name, schema: None, columns: columns.clone(), table: Some(table.oid), anonymous: false };
        Scope { relations: vec![relation], width: shift + columns.len(), visible: columns }
    }

    /// Runs `bind` in a level of its own with these names.
    pub(super) fn in_level<T>(
        &mut self,
        scope: Scope,
        clause: Clause,
        bind: impl FnOnce(&mut Self) -> SqlResult<T>,
    ) -> SqlResult<(T, Level)> {
        self.levels.push(Level { scope, clause, ..Level::default() });
        let result = bind(self);
        let level = self.levels.pop().expect("it was pushed above");
        Ok((result?, level))
    }
}

/// A table's row as plans have it: its live columns in their order, the hidden row id last.
pub(super) fn row_columns(table: &Table) -> impl Iterator<Item = &crate::catalog::ColumnDescriptor> {
    let shown = table.columns.iter().filter(|column| !column.dropped && !column.hidden);
    shown.chain(table.columns.iter().filter(|column| !column.dropped && column.hidden))
}

/// All of a table.
pub(super) fn scan(table: &Table) -> Plan {
    let columns: Vec<_> = row_columns(table).map(|column| column.id).collect();
    let fields = row_columns(table).map(|column| Field {
        name: column.name.clone(),
        ty: column.ty,
        origin: Some((table.oid, column.attnum)),
    });
    let fields: Vec<Field> = fields.collect();
    let node = match &table.kind {
        RelationKind::Virtual => Node::VirtualScan { table: table.clone(), columns, equal: Vec::new(), filter: None },
        _ => Node::Scan(Scan {
            table: table.clone(),
            index: table.primary().map_or(keyspace::IndexId::PRIMARY, |index| index.id),
            columns,
            ranges: KeyRanges::All,
            filter: None,
            reverse: false,
            limit_hint: None,
            lock: None,
        }),
    };
    Plan::new(node, fields)
}

fn shifted(mut expr: Expr, by: usize) -> Expr {
    if let Expr::Column { index, .. } = &mut expr {
        *index -= by;
    }
    expr
}

fn common_names(left: &Scope, right: &Scope, at: ast::At) -> Vec<(String, ast::At)> {
    let mut out: Vec<(String, ast::At)> = Vec::new();
    for column in left.visible.iter().filter(|column| !column.hidden) {
        let common = right.visible.iter().any(|other| !other.hidden && other.name == column.name);
        if common && !out.iter().any(|(name, _)| *name == column.name) {
            out.push((column.name.clone(), at));
        }
    }
    out
}
