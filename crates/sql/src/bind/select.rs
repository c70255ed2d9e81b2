//! One SELECT, stage by stage.

use std::collections::{BTreeMap, BTreeSet};

use expr::{Aggregate, Expr, SortKey, SqlType};

use super::marks::Mark;
use super::scope::{Clause, Level};
use super::stage::{Applied, any_column, apply_subqueries, same, substitute};
use super::subquery::PendingSubquery;
use super::target::BoundTarget;
use super::{Binder, type_of};
use crate::catalog::TableUse;
use crate::parse::ast::{self, Distinctness, LockStrength, OrderItem};
use crate::plan::{ApplyKind, Field, LockTarget, Node, Plan, SetCall, SetExpr, WindowCall, WindowFunction};
use crate::{SqlError, SqlResult};

/// What was met in the expressions of a level and waits for its stage.
#[derive(Default)]
pub(super) struct Pending {
    pub aggregates: Vec<Aggregate>,
    pub windows: Vec<WindowCall>,
    pub subqueries: Vec<PendingSubquery>,
    pub sets: Vec<PendingSet>,
    pub groupings: Vec<(Vec<Expr>, ast::At)>,
    pub named_windows: Vec<(ast::Name, ast::WindowSpec)>,
}

/// A set-returning function in an expression.
pub(super) struct PendingSet {
    pub call: SetCall,
    pub at: ast::At,
    /// It is grouped by, and so was computed before.
    pub is_below_groups: bool,
}

/// Where the columns of set-returning functions are in the row, by number.
type SetPlaces = BTreeMap<usize, (usize, Vec<SqlType>)>;

/// What stands around a SELECT in its query.
pub(super) struct Around<'q> {
    pub order_by: &'q [OrderItem],
    pub limit: Option<&'q ast::Expr>,
    pub offset: Option<&'q ast::Expr>,
    pub with_ties: bool,
    pub locking: &'q [ast::Locking],
}

/// Everything above FROM and WHERE, bound over the columns of FROM.
struct Upper {
    targets: Vec<BoundTarget>,
    having: Option<Expr>,
    /// Sort expressions; those that are select list entries by their position.
    order_by: Vec<(SortKey, Option<usize>)>,
    distinct_on: Vec<(Expr, Option<usize>)>,
}

impl Upper {
    /// The expressions that are computed over groups.
    fn exprs(&mut self) -> impl Iterator<Item = &mut Expr> {
        let targets = self.targets.iter_mut().map(|target| &mut target.expr);
        let order_by = self.order_by.iter_mut().map(|(key, _)| &mut key.expr);
        let distinct = self.distinct_on.iter_mut().map(|(expr, _)| expr);
        targets.chain(order_by).chain(distinct)
    }
}

impl Binder<'_> {
    pub(super) fn select(&mut self, select: &ast::Select, around: &Around<'_>) -> SqlResult<Plan> {
        if let Some(into) = &select.into {
            return Err(self.error_at(into.at(), "42601", "SELECT ... INTO is not allowed here"));
        }
        if let Some(written) = &select.system_time {
            self.check_system_time(written)?;
        }
        self.levels.push(Level::default());
        let plan = self.select_in_level(select, around);
        self.levels.pop();
        plan
    }

    /// One statement reads at one number.
    fn check_system_time(&self, written: &ast::SourceExpr) -> SqlResult<()> {
        let message = match &self.system_time {
            Some(text) if *text == written.text => return Ok(()),
            Some(_) => "cannot specify AS OF SYSTEM TIME with different timestamps",
            None => "AS OF SYSTEM TIME must be provided on a top-level statement",
        };
        Err(self.error_at(written.expr.at, "42601", message))
    }

    fn select_in_level(&mut self, select: &ast::Select, around: &Around<'_>) -> SqlResult<Plan> {
        let mut plan = self.from(&select.from)?;
        self.level().pending.named_windows.clone_from(&select.windows);
        if let Some(filter) = &select.filter {
            plan = self.filtered(plan, filter, Clause::Where)?;
        }
        let mut upper = self.upper(select, around)?;
        let targets = upper.targets.clone();
        let mut grouping = self.group_by(&select.group_by, &targets)?;
        let mut pending = std::mem::take(&mut self.level().pending);
        plan = grouped_sets(plan, &mut grouping.keys, &mut upper, &mut pending);
        let grouped = !select.group_by.is_empty() || !pending.aggregates.is_empty() || upper.having.is_some();
        if grouped {
            plan = self.aggregated(plan, &mut grouping, &mut upper, &mut pending)?;
        }
        let mut applied = Applied::default();
        if let Some(mut having) = upper.having.take() {
            plan = apply_subqueries(plan, [&mut having], &pending.subqueries, &mut applied);
            plan = plan.filter(having);
        }
        plan = windows(plan, &mut upper, &mut pending, &mut applied);
        plan = sets(plan, &mut upper, &mut pending, &mut applied);
        plan = apply_subqueries(plan, upper.exprs(), &pending.subqueries, &mut applied);
        let locks = self.lock_targets(select, around, grouped)?;
        self.output(plan, select, around, upper, locks)
    }

    /// WHERE, and the WHERE of UPDATE and DELETE: subqueries are put on the plan below the filter.
    pub(super) fn filtered(&mut self, plan: Plan, written: &ast::Expr, clause: Clause) -> SqlResult<Plan> {
        let bound = self.in_clause(clause, |binder| binder.expr(written))?;
        let mut condition = self.condition(bound, clause.name(), written.at)?;
        let subqueries = std::mem::take(&mut self.level().pending.subqueries);
        let plan = apply_subqueries(plan, [&mut condition], &subqueries, &mut Applied::default());
        Ok(plan.filter(condition))
    }

    fn upper(&mut self, select: &ast::Select, around: &Around<'_>) -> SqlResult<Upper> {
        let targets = self.in_clause(Clause::SelectList, |binder| binder.targets(&select.targets))?;
        let having = match &select.having {
            Some(written) => {
                let bound = self.in_clause(Clause::Having, |binder| binder.expr(written))?;
                Some(self.condition(bound, "HAVING", written.at)?)
            }
            None => None,
        };
        let mut order_by = Vec::with_capacity(around.order_by.len());
        for item in around.order_by {
            let (expr, position) = self.ordered(&item.expr, &targets, Clause::OrderBy)?;
            order_by.push((self.sort_key(item, expr)?, position));
        }
        let mut distinct_on = Vec::new();
        if let Distinctness::On(list) = &select.distinct {
            for written in list {
                distinct_on.push(self.ordered(written, &targets, Clause::DistinctOn)?);
            }
        }
        Ok(Upper { targets, having, order_by, distinct_on })
    }

    /// An ORDER BY or DISTINCT ON expression, and which entry of the select list it is.
    fn ordered(
        &mut self,
        written: &ast::Expr,
        targets: &[BoundTarget],
        clause: Clause,
    ) -> SqlResult<(Expr, Option<usize>)> {
        if let Some(position) = self.target_reference(written, targets, true)? {
            return Ok((targets[position].expr.clone(), Some(position)));
        }
        let bound = self.in_clause(clause, |binder| binder.expr(written))?;
        let bound = self.settle(bound, written.at)?;
        let position = targets.iter().position(|target| same(&target.expr, &bound));
        Ok((bound, position))
    }

    fn aggregated(
        &mut self,
        mut plan: Plan,
        grouping: &mut super::grouping::Grouping,
        upper: &mut Upper,
        pending: &mut Pending,
    ) -> SqlResult<Plan> {
        // What the aggregation itself computes may hold subqueries: they are evaluated per row below it.
        let mut applied = Applied::default();
        plan = apply_subqueries(plan, aggregate_exprs(&mut pending.aggregates), &pending.subqueries, &mut applied);
        // A key with a subquery is matched as it was written, so the keys are adapted last.
        for expr in upper.exprs() {
            self.regroup(expr, grouping)?;
        }
        if let Some(having) = &mut upper.having {
            self.regroup(having, grouping)?;
        }
        for call in &mut pending.windows {
            for expr in window_exprs(call) {
                self.regroup(expr, grouping)?;
            }
        }
        for call in &mut pending.sets {
            for arg in &mut call.call.args {
                self.regroup(arg, grouping)?;
            }
        }
        let keys_hold: Vec<bool> = (0..pending.subqueries.len())
            .map(|number| {
                grouping
                    .keys
                    .iter()
                    .any(|key| any_column(key, &mut |index| Mark::of(index) == Some(Mark::Subquery(number))))
            })
            .collect();
        let mut below = pending.subqueries.clone();
        for (number, subquery) in pending.subqueries.iter_mut().enumerate() {
            if keys_hold[number] || applied.has(number) {
                continue;
            }
            for (_, expr) in &mut subquery.bindings {
                self.regroup(expr, grouping)?;
            }
            if let ApplyKind::Compare { left, .. } = &mut subquery.kind {
                for expr in left {
                    self.regroup(expr, grouping)?;
                }
            }
        }
        plan = apply_subqueries(plan, &mut grouping.keys, &below, &mut applied);
        below.clear();
        let keys = grouping.keys.len();
        let mut number_aggregates = |expr: &mut Expr| {
            substitute(expr, &mut |index| match Mark::of(index) {
                Some(Mark::Aggregate(number)) => {
                    Some(Expr::Column { index: keys + number, ty: pending.aggregates[number].ty })
                }
                _ => None,
            });
        };
        upper.exprs().for_each(&mut number_aggregates);
        upper.having.iter_mut().for_each(&mut number_aggregates);
        pending.windows.iter_mut().flat_map(window_exprs).for_each(&mut number_aggregates);
        set_args(&mut pending.sets).for_each(&mut number_aggregates);
        for subquery in &mut pending.subqueries {
            subquery.bindings.iter_mut().for_each(|(_, expr)| number_aggregates(expr));
            if let ApplyKind::Compare { left, .. } = &mut subquery.kind {
                left.iter_mut().for_each(&mut number_aggregates);
            }
        }
        let mut fields: Vec<Field> = grouping.keys.iter().map(|key| key_field(&plan, key)).collect();
        fields.extend(pending.aggregates.iter().map(|aggregate| Field {
            name: "?column?".to_owned(),
            ty: aggregate.ty,
            origin: None,
        }));
        let node = Node::Aggregate {
            input: Box::new(plan),
            keys: grouping.keys.clone(),
            grouping_sets: grouping.sets.clone(),
            aggregates: pending.aggregates.clone(),
            ordered: false,
        };
        Ok(Plan::new(node, fields))
    }

    /// Select list, DISTINCT, ORDER BY, locks, LIMIT; what was only sorted or locked by is dropped at the end.
    fn output(
        &mut self,
        plan: Plan,
        select: &ast::Select,
        around: &Around<'_>,
        upper: Upper,
        locks: Vec<(LockTarget, Vec<Expr>)>,
    ) -> SqlResult<Plan> {
        let width = upper.targets.len();
        let mut exprs: Vec<Expr> = upper.targets.iter().map(|target| target.expr.clone()).collect();
        let distinct = matches!(select.distinct, Distinctness::Distinct);
        let place = |exprs: &mut Vec<Expr>, expr: Expr, position: Option<usize>| {
            let known = position.or_else(|| exprs.iter().position(|other| same(other, &expr)));
            known.unwrap_or_else(|| {
                exprs.push(expr);
                exprs.len() - 1
            })
        };
        let mut keys = Vec::with_capacity(upper.order_by.len());
        for ((key, position), item) in upper.order_by.into_iter().zip(around.order_by) {
            let ty = type_of(&key.expr);
            let index = place(&mut exprs, key.expr, position);
            if distinct && index >= width {
                let message = "for SELECT DISTINCT, ORDER BY expressions must appear in select list";
                return Err(self.error_at(item.expr.at, "42P10", message));
            }
            keys.push(SortKey { expr: Expr::Column { index, ty }, ..key });
        }
        let mut on = Vec::with_capacity(upper.distinct_on.len());
        for (expr, position) in upper.distinct_on {
            let ty = type_of(&expr);
            on.push(Expr::Column { index: place(&mut exprs, expr, position), ty });
        }
        let mut lock_targets = Vec::with_capacity(locks.len());
        for (mut target, columns) in locks {
            target.key = columns.into_iter().map(|column| place(&mut exprs, column, None)).collect();
            lock_targets.push(target);
        }
        let fields: Vec<Field> = exprs
            .iter()
            .enumerate()
            .map(|(index, expr)| match upper.targets.get(index) {
                Some(target) => Field { name: target.name.clone(), ty: type_of(expr), origin: target.origin },
                None => Field { name: "?column?".to_owned(), ty: type_of(expr), origin: None },
            })
            .collect();
        let mut plan = Plan::new(Node::Project { input: Box::new(plan), exprs }, fields);
        if distinct {
            plan = distinct_rows(plan, None).sort(keys.clone());
        } else if on.is_empty() {
            plan = plan.sort(keys.clone());
        } else {
            self.check_distinct_on(&on, &keys)?;
            let mut all = keys.clone();
            all.extend(on.iter().filter(|expr| !keys.iter().any(|key| same(&key.expr, expr))).map(|expr| SortKey {
                expr: expr.clone(),
                descending: false,
                nulls_first: false,
            }));
            plan = distinct_rows(plan.sort(all), Some(on));
        }
        if !lock_targets.is_empty() {
            let fields = plan.fields.clone();
            plan = Plan::new(Node::LockRows { input: Box::new(plan), targets: lock_targets, limit: None }, fields);
        }
        plan = self.limited(plan, around, &keys)?;
        Ok(plan.keep(width))
    }

    fn check_distinct_on(&self, on: &[Expr], keys: &[SortKey]) -> SqlResult<()> {
        let leading = &keys[..keys.len().min(on.len())];
        if leading.iter().all(|key| on.iter().any(|expr| same(expr, &key.expr))) {
            return Ok(());
        }
        Err(SqlError::new("42P10", "SELECT DISTINCT ON expressions must match initial ORDER BY expressions"))
    }

    /// The tables that FOR UPDATE and its relatives lock, with the columns of their keys in the row of FROM.
    fn lock_targets(
        &mut self,
        select: &ast::Select,
        around: &Around<'_>,
        grouped: bool,
    ) -> SqlResult<Vec<(LockTarget, Vec<Expr>)>> {
        let mut out = Vec::new();
        for locking in around.locking {
            let clause = locking.strength.sql();
            let refused = if !matches!(select.distinct, Distinctness::All) {
                Some("DISTINCT clause")
            } else if !select.group_by.is_empty() {
                Some("GROUP BY clause")
            } else if select.having.is_some() {
                Some("HAVING clause")
            } else if grouped {
                Some("aggregate functions")
            } else {
                None
            };
            if let Some(what) = refused {
                return Err(SqlError::new("0A000", format!("{clause} is not allowed with {what}")));
            }
            out.extend(self.locked_relations(locking)?);
        }
        Ok(out)
    }

    fn locked_relations(&mut self, locking: &ast::Locking) -> SqlResult<Vec<(LockTarget, Vec<Expr>)>> {
        let clause = locking.strength.sql();
        let relations = self.level().scope.relations.clone();
        for name in &locking.of {
            if !relations.iter().any(|relation| relation.name == name.name.text) {
                let message = format!("relation \"{}\" in {clause} clause not found in FROM clause", name.name);
                return Err(self.error_at(name.at(), "42P01", message));
            }
        }
        let mode = match locking.strength {
            LockStrength::KeyShare => txn::LockMode::KeyShare,
            LockStrength::Share => txn::LockMode::Share,
            LockStrength::NoKeyUpdate => txn::LockMode::NoKeyUpdate,
            LockStrength::Update => txn::LockMode::Update,
        };
        let mut out = Vec::new();
        for relation in &relations {
            let named = locking.of.iter().any(|name| name.name.text == relation.name);
            if !locking.of.is_empty() && !named {
                continue;
            }
            let table = relation.table.and_then(|oid| self.catalog().table(oid)).cloned();
            let Some(table) = table.filter(|table| table.storage().is_some()) else {
                return Err(SqlError::not_supported(format!(
                    "{clause} of \"{}\", which is not a table,",
                    relation.name
                )));
            };
            let Some(primary) = table.primary() else { continue };
            let column_of = |part: &crate::catalog::IndexColumn| {
                let attnum = table.column(part.column)?.attnum;
                relation
                    .columns
                    .iter()
                    .find(|column| column.origin == Some((table.oid, attnum)))
                    .map(super::scope::Column::expr)
            };
            let Some(columns) = primary.columns.iter().map(column_of).collect::<Option<Vec<Expr>>>() else {
                return Err(SqlError::new("XX000", "a table's key is not among its columns"));
            };
            self.uses(&table, TableUse::Lock);
            out.push((LockTarget { table, key: Vec::new(), mode, wait: locking.wait }, columns));
        }
        Ok(out)
    }
}

fn distinct_rows(input: Plan, on: Option<Vec<Expr>>) -> Plan {
    let fields = input.fields.clone();
    Plan::new(Node::Distinct { input: Box::new(input), on }, fields)
}

fn key_field(plan: &Plan, key: &Expr) -> Field {
    match key {
        Expr::Column { index, .. } => plan.fields[*index].clone(),
        other => Field { name: "?column?".to_owned(), ty: type_of(other), origin: None },
    }
}

fn aggregate_exprs(aggregates: &mut [Aggregate]) -> impl Iterator<Item = &mut Expr> {
    aggregates.iter_mut().flat_map(one_aggregate_exprs)
}

fn one_aggregate_exprs(aggregate: &mut Aggregate) -> impl Iterator<Item = &mut Expr> {
    aggregate.args.iter_mut().chain(&mut aggregate.filter).chain(aggregate.order_by.iter_mut().map(|key| &mut key.expr))
}

fn window_exprs(call: &mut WindowCall) -> Vec<&mut Expr> {
    let mut out: Vec<&mut Expr> = call.args.iter_mut().chain(&mut call.filter).chain(&mut call.partition_by).collect();
    out.extend(call.order_by.iter_mut().map(|key| &mut key.expr));
    if let WindowFunction::Aggregate(aggregate) = &mut call.function {
        out.extend(one_aggregate_exprs(aggregate));
    }
    out
}

/// Set-returning functions of the select list, below the rest of it.
fn sets(plan: Plan, upper: &mut Upper, pending: &mut Pending, applied: &mut Applied) -> Plan {
    let mut places = SetPlaces::new();
    let all = (0..pending.sets.len()).filter(|number| !pending.sets[*number].is_below_groups).collect();
    let plan = project_sets(plan, &all, &mut places, pending, applied);
    upper.exprs().for_each(|expr| replace_sets(expr, &places));
    plan
}

/// Those that are grouped by come below the grouping.
fn grouped_sets(plan: Plan, keys: &mut [Expr], upper: &mut Upper, pending: &mut Pending) -> Plan {
    let mut wanted = BTreeSet::new();
    keys.iter().for_each(|key| wanted.extend(sets_in(key)));
    if wanted.is_empty() {
        return plan;
    }
    // The calls in the arguments of a call were bound, and so numbered, before it.
    for number in (0..pending.sets.len()).rev() {
        if wanted.contains(&number) {
            pending.sets[number].call.args.iter().for_each(|arg| wanted.extend(sets_in(arg)));
        }
    }
    let mut places = SetPlaces::new();
    let plan = project_sets(plan, &wanted, &mut places, pending, &mut Applied::default());
    for number in wanted {
        let set = &mut pending.sets[number];
        (set.is_below_groups, set.call.args) = (true, Vec::new());
    }
    let having = upper.having.take();
    upper.having = having.map(|mut having| {
        replace_sets(&mut having, &places);
        having
    });
    keys.iter_mut().chain(upper.exprs()).for_each(|expr| replace_sets(expr, &places));
    plan
}

fn sets_in(expr: &Expr) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    any_column(expr, &mut |index| {
        if let Some(Mark::Set(number)) = Mark::of(index) {
            found.insert(number);
        }
        false
    });
    found
}

/// Calls that stand side by side are in one `ProjectSet`; those in the arguments of others in one further down.
fn project_sets(
    mut plan: Plan,
    wanted: &BTreeSet<usize>,
    places: &mut SetPlaces,
    pending: &mut Pending,
    applied: &mut Applied,
) -> Plan {
    let mut depths: BTreeMap<usize, usize> = BTreeMap::new();
    for number in wanted {
        let inner = pending.sets[*number].call.args.iter().flat_map(sets_in);
        let depth = inner.map(|inner| depths.get(&inner).map_or(0, |depth| depth + 1)).max().unwrap_or(0);
        depths.insert(*number, depth);
    }
    for depth in 0..=depths.values().copied().max().unwrap_or(0) {
        let numbers: Vec<usize> = wanted.iter().copied().filter(|number| depths[number] == depth).collect();
        if numbers.is_empty() {
            break;
        }
        for number in &numbers {
            let args = &mut pending.sets[*number].call.args;
            args.iter_mut().for_each(|arg| replace_sets(arg, places));
            plan = apply_subqueries(plan, args, &pending.subqueries, applied);
        }
        let columns =
            plan.fields.iter().enumerate().map(|(index, field)| SetExpr::Scalar(Expr::Column { index, ty: field.ty }));
        let mut exprs: Vec<SetExpr> = columns.collect();
        let mut fields = plan.fields.clone();
        for number in numbers {
            let call = &pending.sets[number].call;
            places.insert(number, (fields.len(), call.columns.clone()));
            fields.extend(call.columns.iter().map(|ty| Field { name: "?column?".to_owned(), ty: *ty, origin: None }));
            exprs.push(SetExpr::Set(call.clone()));
        }
        plan = Plan::new(Node::ProjectSet { input: Box::new(plan), exprs }, fields);
    }
    plan
}

/// Puts the columns of a `ProjectSet` in the place of the marks of its calls.
fn replace_sets(expr: &mut Expr, places: &SetPlaces) {
    substitute(expr, &mut |index| {
        let Some(Mark::Set(number)) = Mark::of(index) else { return None };
        let (first, columns) = places.get(&number)?;
        let mut fields = columns.iter().enumerate().map(|(offset, ty)| Expr::Column { index: first + offset, ty: *ty });
        Some(match columns.len() {
            1 => fields.next().expect("there is one"),
            _ => Expr::Row { fields: fields.collect(), ty: SqlType::RECORD },
        })
    });
}

fn set_args(sets: &mut [PendingSet]) -> impl Iterator<Item = &mut Expr> {
    sets.iter_mut().flat_map(|set| &mut set.call.args)
}

/// Window calls: their results follow the columns they are computed from.
fn windows(mut plan: Plan, upper: &mut Upper, pending: &mut Pending, applied: &mut Applied) -> Plan {
    if pending.windows.is_empty() {
        return plan;
    }
    plan = apply_subqueries(plan, pending.windows.iter_mut().flat_map(window_exprs), &pending.subqueries, applied);
    let width = plan.width();
    let mut replace = |expr: &mut Expr| {
        substitute(expr, &mut |index| match Mark::of(index) {
            Some(Mark::Window(number)) => Some(Expr::Column { index: width + number, ty: pending.windows[number].ty }),
            _ => None,
        });
    };
    upper.exprs().for_each(&mut replace);
    set_args(&mut pending.sets).for_each(&mut replace);
    let mut fields = plan.fields.clone();
    fields.extend(pending.windows.iter().map(|call| Field { name: "?column?".to_owned(), ty: call.ty, origin: None }));
    Plan::new(Node::Window { input: Box::new(plan), calls: pending.windows.clone() }, fields)
}
