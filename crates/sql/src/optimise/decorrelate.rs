//! Subqueries that would run once per row become joins.
//!
//! ```text
//! WHERE EXISTS (…), x IN (…)        semi join
//! WHERE NOT EXISTS (…)              anti join
//! WHERE x NOT IN (…)                anti join, where neither side can be NULL
//! (SELECT sum(y) … WHERE k = o.k)   left join with the sums of all groups
//! (SELECT y … WHERE key = o.k)      left join, where the key is unique
//! LATERAL (…)                       join, where what it takes from the left are conditions
//! ```
//!
//! A subquery that finds its rows by an index is left as it is when it would otherwise have to be computed for all groups:
//! looking a few up is cheaper than reading the table.

use expr::{Aggregate, Datum, Expr, SqlType};

use super::nulls::{is_never_null, is_not_null};
use super::pull::{correlated_equality, fill_slots, has_slot, pull_conditions};
use super::{deeper, sargs, take};
use crate::plan::expression::{boolean, conjunction, conjuncts, constant, is_volatile, map_columns};
use crate::plan::{Apply, ApplyKind, Field, Join, JoinKind, Node, Plan};

pub fn decorrelate(plan: &mut Plan) {
    for input in plan.node.inputs_mut() {
        deeper(|| decorrelate(input));
    }
    match &plan.node {
        Node::Filter { input, .. } if matches!(input.node, Node::Apply(_)) => filter_over_apply(plan),
        Node::Apply(apply) => match apply.kind {
            ApplyKind::Scalar => scalar(plan),
            ApplyKind::Lateral { .. } => lateral(plan),
            _ => {}
        },
        _ => {}
    }
}

fn apply_of(plan: Plan) -> Apply {
    match plan.node {
        Node::Apply(apply) => apply,
        _ => unreachable!("the caller has looked"),
    }
}

/// What a subquery that is a condition asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Match,
    NoMatch,
}

/// `Filter (… AND exists AND …)` over the `Apply` that gives `exists`.
fn filter_over_apply(plan: &mut Plan) {
    let Node::Filter { input, condition } = &mut plan.node else { return };
    let Node::Apply(apply) = &mut input.node else { return };
    if !matches!(apply.kind, ApplyKind::Exists | ApplyKind::Compare { all: false, .. }) || apply.guard.is_some() {
        return;
    }
    let verdict = apply.outer.fields.len();
    let mut rest = conjuncts(std::mem::replace(condition, boolean(true)));
    let wanted =
        rest.iter().enumerate().find_map(|(at, condition)| asks_for(condition, verdict).map(|wanted| (at, wanted)));
    let possible = wanted.filter(|(_, wanted)| *wanted == Wanted::Match || can_be_anti(apply));
    let Some((at, wanted)) = possible else {
        *condition = conjunction(rest).unwrap_or_else(|| boolean(true));
        return;
    };
    let Some(conditions) = join_conditions(apply) else {
        *condition = conjunction(rest).unwrap_or_else(|| boolean(true));
        return;
    };
    rest.remove(at);
    let apply = apply_of(take(input));
    let kind = if wanted == Wanted::Match { JoinKind::Semi } else { JoinKind::Anti };
    let outer_fields = apply.outer.fields.clone();
    let join =
        Join { kind, left: apply.outer, right: apply.inner, equal: Vec::new(), condition: conjunction(conditions) };
    let join = Plan::new(Node::Join(join), outer_fields);
    // The verdict's column stays where it was, now that its value is known.
    let mut exprs = own_columns(&join.fields);
    exprs.push(boolean(wanted == Wanted::Match));
    let fields = std::mem::take(&mut plan.fields);
    let mut below = Plan::new(Node::Project { input: Box::new(join), exprs }, fields.clone());
    decorrelate_again(&mut below);
    *plan = match conjunction(rest) {
        None => below,
        Some(condition) => Plan::new(Node::Filter { input: Box::new(below), condition }, fields),
    };
    if matches!(&plan.node, Node::Filter { input, .. } if matches!(input.node, Node::Apply(_))) {
        filter_over_apply(plan);
    }
}

/// What stood below the subquery may be a subquery under a condition as well, once the conditions are pushed again.
fn decorrelate_again(plan: &mut Plan) {
    super::push_filters::push_filters(plan);
    let Node::Project { input, .. } = &mut plan.node else { return };
    let Node::Join(join) = &mut input.node else { return };
    if matches!(join.left.node, Node::Filter { .. } | Node::Apply(_)) {
        decorrelate(&mut join.left);
    }
}

fn asks_for(condition: &Expr, verdict: usize) -> Option<Wanted> {
    match condition {
        Expr::Column { index, .. } if *index == verdict => Some(Wanted::Match),
        Expr::IsBool { arg, value: Some(true), negated: false } => match **arg {
            Expr::Column { index, .. } if index == verdict => Some(Wanted::Match),
            _ => None,
        },
        Expr::Not(arg) => match **arg {
            Expr::Column { index, .. } if index == verdict => Some(Wanted::NoMatch),
            _ => None,
        },
        _ => None,
    }
}

/// NOT IN is true only if every comparison is false: with a NULL on either side it never is.
fn can_be_anti(apply: &Apply) -> bool {
    match &apply.kind {
        ApplyKind::Compare { left, .. } => {
            left.iter().all(|operand| is_never_null(operand, &apply.outer))
                && (0..left.len()).all(|column| is_not_null(&apply.inner, column))
        }
        _ => true,
    }
}

/// The conditions, over outer row ++ inner row, under which an inner row is a match.
fn join_conditions(apply: &mut Apply) -> Option<Vec<Expr>> {
    let outer = apply.outer.fields.len();
    if apply.bindings.iter().any(|(_, expr)| is_volatile(expr)) || apply.inner.has_effects() {
        return None;
    }
    if apply.kind_is_exists() {
        keep_existence(&mut apply.inner);
    }
    let slots: Vec<usize> = apply.bindings.iter().map(|(slot, _)| *slot).collect();
    let mut conditions = pull_conditions(&mut apply.inner, &slots)?;
    for condition in &mut conditions {
        map_columns(condition, &mut |index| index + outer);
        fill_slots(condition, &apply.bindings);
    }
    if let ApplyKind::Compare { left, operators, .. } = &apply.kind {
        for (column, (operand, operator)) in left.iter().zip(operators).enumerate() {
            let right = Expr::Column { index: outer + column, ty: apply.inner.fields[column].ty };
            conditions.push(Expr::Call { function: *operator, args: vec![operand.clone(), right], ty: SqlType::BOOL });
        }
    }
    Some(conditions)
}

impl Apply {
    fn kind_is_exists(&self) -> bool {
        matches!(self.kind, ApplyKind::Exists)
    }
}

/// Whether there is a row does not depend on the select list, on the order, or on how often a row is there.
fn keep_existence(plan: &mut Plan) {
    loop {
        let input = match &mut plan.node {
            Node::Project { input, exprs } if !exprs.iter().any(is_volatile) => input,
            Node::Sort { input, .. } | Node::Distinct { input, .. } => input,
            Node::Limit { input, limit, offset: None, with_ties: None } if limit.as_ref().is_none_or(is_positive) => {
                input
            }
            _ => return,
        };
        let inner = take(input);
        *plan = inner;
    }
}

fn is_positive(expr: &Expr) -> bool {
    matches!(expr, Expr::Const { value: Datum::Int8(n), .. } if *n > 0)
        || matches!(expr, Expr::Const { value: Datum::Int4(n), .. } if *n > 0)
}

fn own_columns(fields: &[Field]) -> Vec<Expr> {
    fields.iter().enumerate().map(|(index, field)| Expr::Column { index, ty: field.ty }).collect()
}

// Scalar subqueries.

/// `Apply` of a subquery that gives one value.
fn scalar(plan: &mut Plan) {
    let Node::Apply(apply) = &mut plan.node else { return };
    let eligible = !apply.bindings.is_empty()
        && apply.guard.is_none()
        && !apply.bindings.iter().any(|(_, expr)| is_volatile(expr))
        && !apply.inner.has_effects();
    if !eligible {
        return;
    }
    let slots: Vec<usize> = apply.bindings.iter().map(|(slot, _)| *slot).collect();
    if let Some(joined) = grouped(apply, &slots).or_else(|| unique(apply, &slots)) {
        let fields = std::mem::take(&mut plan.fields);
        *plan = joined;
        plan.fields = fields;
    }
}

/// `Project? (Aggregate without keys (…))`: computed for all groups at once.
fn grouped(apply: &mut Apply, slots: &[usize]) -> Option<Plan> {
    let outer = apply.outer.fields.len();
    let (project, aggregate) = match &apply.inner.node {
        Node::Project { input, exprs } => match &input.node {
            Node::Aggregate { .. } => (Some(exprs.clone()), &**input),
            _ => return None,
        },
        Node::Aggregate { .. } => (None, &*apply.inner),
        _ => return None,
    };
    let Node::Aggregate { input, keys, grouping_sets: None, aggregates, .. } = &aggregate.node else { return None };
    let has_slots = |exprs: &[Expr]| exprs.iter().any(|expr| has_slot(expr, slots));
    let value = project.as_ref().and_then(|exprs| exprs.first());
    let aggregate_has_slots = aggregates.iter().any(|aggregate| {
        has_slots(&aggregate.args)
            || aggregate.filter.as_ref().is_some_and(|filter| has_slot(filter, slots))
            || aggregate.order_by.iter().any(|key| has_slot(&key.expr, slots))
    });
    if !keys.is_empty()
        || aggregate_has_slots
        || value.is_some_and(|value| has_slot(value, slots))
        || finds_by_index(input, slots)
    {
        return None;
    }
    let mut input = (**input).clone();
    let conditions = pull_conditions(&mut input, slots)?;
    let pairs: Vec<(Expr, Expr, expr::FunctionId)> =
        conditions.iter().map(|condition| correlated_equality(condition, slots)).collect::<Option<_>>()?;
    if pairs.is_empty() {
        return None;
    }
    let aggregates: Vec<Aggregate> = aggregates.clone();
    let value = value.cloned();
    let keys: Vec<Expr> = pairs.iter().map(|(inner, ..)| inner.clone()).collect();
    let width = keys.len();
    let key_field =
        |expr: &Expr| Field { name: String::new(), ty: crate::plan::expression::type_of(expr), origin: None };
    let fields = keys.iter().map(key_field).chain(aggregate.fields.iter().cloned()).collect();
    let node = Node::Aggregate {
        input: Box::new(input),
        keys,
        grouping_sets: None,
        aggregates: aggregates.clone(),
        ordered: false,
    };
    let groups = Plan::new(node, fields);
    let mut on = Vec::with_capacity(width);
    for (at, (inner, mut outer_side, equals)) in pairs.into_iter().enumerate() {
        fill_slots(&mut outer_side, &apply.bindings);
        let key = Expr::Column { index: outer + at, ty: crate::plan::expression::type_of(&inner) };
        on.push(Expr::Call { function: equals, args: vec![key, outer_side], ty: SqlType::BOOL });
    }
    let outer_plan = take(&mut apply.outer);
    let outer_fields = outer_plan.fields.clone();
    let joined_fields = outer_fields.iter().chain(&groups.fields).cloned().collect();
    let join = Join {
        kind: JoinKind::Left,
        left: Box::new(outer_plan),
        right: Box::new(groups),
        equal: Vec::new(),
        condition: conjunction(on),
    };
    let join = Plan::new(Node::Join(join), joined_fields);
    // An outer row without a group has the aggregates of no rows: NULL, and 0 for counts.
    let of_group = |number: usize| {
        let column = Expr::Column { index: outer + width + number, ty: aggregates[number].ty };
        match is_count(&aggregates[number]) {
            true => Expr::Coalesce { args: vec![column, constant(Datum::Int8(0), SqlType::INT8)], ty: SqlType::INT8 },
            false => column,
        }
    };
    let columns: Vec<Expr> = (0..aggregates.len()).map(of_group).collect();
    let result = match value {
        Some(mut value) => {
            crate::plan::expression::substitute(&mut value, &columns);
            value
        }
        None => columns.into_iter().next()?,
    };
    let mut exprs = own_columns(&outer_fields);
    exprs.push(result);
    Some(Plan::new(Node::Project { input: Box::new(join), exprs }, Vec::new()))
}

fn is_count(aggregate: &Aggregate) -> bool {
    expr::aggregates::by_kind(aggregate.function)
        .is_some_and(|entry| matches!(entry.function.name, "count" | "regr_count"))
}

/// Does a scan of the subquery find its rows by what it takes from the outer row?
fn finds_by_index(plan: &Plan, slots: &[usize]) -> bool {
    match &plan.node {
        Node::Scan(scan) => sargs::finds_by(scan, &|value| has_slot(value, slots)),
        Node::VirtualScan { .. } => true,
        node => node.inputs().into_iter().any(|input| finds_by_index(input, slots)),
    }
}

/// `Project? (Scan)` of at most one row, because its conditions give a unique key a value.
fn unique(apply: &mut Apply, slots: &[usize]) -> Option<Plan> {
    let outer = apply.outer.fields.len();
    let scan = match &apply.inner.node {
        Node::Project { input, exprs } if !exprs.iter().any(|expr| has_slot(expr, slots) || is_volatile(expr)) => {
            &input.node
        }
        node => node,
    };
    let Node::Scan(scan) = scan else { return None };
    if !sargs::is_single_row(scan) {
        return None;
    }
    let mut conditions = pull_conditions(&mut apply.inner, slots)?;
    for condition in &mut conditions {
        map_columns(condition, &mut |index| index + outer);
        fill_slots(condition, &apply.bindings);
    }
    let (outer_plan, inner) = (take(&mut apply.outer), take(&mut apply.inner));
    let outer_fields = outer_plan.fields.clone();
    let value = Expr::Column { index: outer, ty: inner.fields[0].ty };
    let fields = outer_fields.iter().chain(&inner.fields).cloned().collect();
    let join = Join {
        kind: JoinKind::Left,
        left: Box::new(outer_plan),
        right: Box::new(inner),
        equal: Vec::new(),
        condition: conjunction(conditions),
    };
    let join = Plan::new(Node::Join(join), fields);
    let mut exprs = own_columns(&outer_fields);
    exprs.push(value);
    Some(Plan::new(Node::Project { input: Box::new(join), exprs }, Vec::new()))
}

// LATERAL.

fn lateral(plan: &mut Plan) {
    let Node::Apply(apply) = &mut plan.node else { return };
    let ApplyKind::Lateral { left_join, condition } = &mut apply.kind else { return };
    if apply.bindings.iter().any(|(_, expr)| is_volatile(expr)) || apply.inner.has_effects() {
        return;
    }
    let slots: Vec<usize> = apply.bindings.iter().map(|(slot, _)| *slot).collect();
    let outer = apply.outer.fields.len();
    let width = apply.inner.fields.len();
    let Some(mut conditions) = pull_conditions(&mut apply.inner, &slots) else { return };
    for condition in &mut conditions {
        map_columns(condition, &mut |index| index + outer);
        fill_slots(condition, &apply.bindings);
    }
    conditions.extend(condition.take().into_iter().flat_map(conjuncts));
    let kind = if *left_join { JoinKind::Left } else { JoinKind::Inner };
    let (left, right) = (take(&mut apply.outer), take(&mut apply.inner));
    let widened = right.fields.len() > width;
    let fields: Vec<Field> = left.fields.iter().chain(&right.fields).cloned().collect();
    let join = Join {
        kind,
        left: Box::new(left),
        right: Box::new(right),
        equal: Vec::new(),
        condition: conjunction(conditions),
    };
    let own = std::mem::take(&mut plan.fields);
    let join = Plan::new(Node::Join(join), fields);
    *plan = if widened {
        let exprs = own_columns(&own);
        Plan::new(Node::Project { input: Box::new(join), exprs }, own)
    } else {
        Plan { fields: own, ..join }
    };
}
