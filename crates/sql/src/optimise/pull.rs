//! Pulling up, out of a subquery, the conditions that refer to the query around it.
//!
//! A subquery knows the outer row through parameter slots. If all of them stand in conditions that its rows must meet,
//! the conditions can as well be the condition of a join between the outer rows and the subquery without them.

use expr::Expr;

use crate::plan::expression::{columns, conjunction, conjuncts, contains, map_columns, type_of};
use crate::plan::{Field, JoinKind, Node, Plan};

/// Takes conditions that refer to `slots` out of the plan; gives them over the plan's columns, or `None` if slots
/// remain elsewhere. New columns may have been appended to the plan's. After `None` the plan is still equal to what it was.
pub fn pull_conditions(plan: &mut Plan, slots: &[usize]) -> Option<Vec<Expr>> {
    let mut out = Vec::new();
    pull(plan, slots, true, &mut out);
    if !refers_to_slots(plan, slots) {
        return Some(out);
    }
    if let Some(condition) = conjunction(out) {
        let fields = plan.fields.clone();
        let input = Box::new(super::take(plan));
        *plan = Plan::new(Node::Filter { input, condition }, fields);
    }
    None
}

pub fn refers_to_slots(plan: &Plan, slots: &[usize]) -> bool {
    let mut found = false;
    plan.all_exprs(&mut |expr| found = found || has_slot(expr, slots));
    found
}

pub fn has_slot(expr: &Expr, slots: &[usize]) -> bool {
    contains(expr, &mut |part| matches!(part, Expr::Param { index, .. } if slots.contains(index)))
}

/// `may_widen`: columns may be appended to the plan, because nothing above counts on its width.
fn pull(plan: &mut Plan, slots: &[usize], may_widen: bool, out: &mut Vec<Expr>) {
    match &mut plan.node {
        Node::Scan(scan) => take_from(&mut scan.filter, slots, out),
        Node::VirtualScan { filter, .. } => take_from(filter, slots, out),
        Node::Filter { input, condition } => {
            let mut all = Some(std::mem::replace(condition, crate::plan::expression::boolean(true)));
            take_from(&mut all, slots, out);
            if let Some(rest) = all {
                *condition = rest;
            }
            let width = input.fields.len();
            pull(input, slots, may_widen, out);
            plan.fields.extend(input.fields[width..].iter().cloned());
        }
        Node::Sort { input, limit: None, .. } => {
            let width = input.fields.len();
            pull(input, slots, may_widen, out);
            plan.fields.extend(input.fields[width..].iter().cloned());
        }
        Node::Project { input, exprs } => pull_through_project(input, exprs, &mut plan.fields, slots, may_widen, out),
        Node::Join(join) => {
            let left = join.left.fields.len();
            let semi = matches!(join.kind, JoinKind::Semi | JoinKind::Anti);
            if matches!(join.kind, JoinKind::Inner) {
                take_from(&mut join.condition, slots, out);
            }
            if matches!(join.kind, JoinKind::Inner | JoinKind::Left | JoinKind::Semi | JoinKind::Anti) {
                // A wider left side would move the right one's columns.
                pull(&mut join.left, slots, false, out);
            }
            if matches!(join.kind, JoinKind::Inner | JoinKind::Right) {
                let mut of_right = Vec::new();
                let width = join.right.fields.len();
                pull(&mut join.right, slots, may_widen && !semi, &mut of_right);
                of_right.iter_mut().for_each(|condition| map_columns(condition, &mut |index| index + left));
                out.extend(of_right);
                plan.fields.extend(join.right.fields[width..].iter().cloned());
            }
        }
        Node::Apply(apply) => pull(&mut apply.outer, slots, false, out),
        _ => {}
    }
}

fn take_from(condition: &mut Option<Expr>, slots: &[usize], out: &mut Vec<Expr>) {
    if !condition.as_ref().is_some_and(|condition| has_slot(condition, slots)) {
        return;
    }
    let all = condition.take().into_iter().flat_map(conjuncts);
    let (taken, rest): (Vec<Expr>, Vec<Expr>) = all.partition(|condition| has_slot(condition, slots));
    out.extend(taken);
    *condition = conjunction(rest);
}

/// Conditions over the projection's input, in the terms of its output.
fn pull_through_project(
    input: &mut Plan,
    exprs: &mut Vec<Expr>,
    fields: &mut Vec<Field>,
    slots: &[usize],
    may_widen: bool,
    out: &mut Vec<Expr>,
) {
    let mut below = Vec::new();
    pull(input, slots, may_widen, &mut below);
    let place = |exprs: &[Expr], column: usize| {
        exprs.iter().position(|expr| matches!(expr, Expr::Column { index, .. } if *index == column))
    };
    for mut condition in below {
        let mut missing = Vec::new();
        columns(&condition, &mut |column| {
            if place(exprs, column).is_none() {
                missing.push(column);
            }
        });
        if !missing.is_empty() && !may_widen {
            // It cannot be said in terms of the output: it goes back to where it was.
            let fields = input.fields.clone();
            let inner = Box::new(super::take(input));
            *input = Plan::new(Node::Filter { input: inner, condition }, fields);
            continue;
        }
        for column in missing {
            if place(exprs, column).is_none() {
                let field = input.fields[column].clone();
                exprs.push(Expr::Column { index: column, ty: field.ty });
                fields.push(field);
            }
        }
        map_columns(&mut condition, &mut |column| place(exprs, column).unwrap_or(column));
        out.push(condition);
    }
}

/// `inner expression = outer expression`, where the outer one is made of slots alone: the two sides, and the operator
/// with the inner side on the left.
pub fn correlated_equality(condition: &Expr, slots: &[usize]) -> Option<(Expr, Expr, expr::FunctionId)> {
    let Expr::Call { function, args, .. } = condition else { return None };
    let [left, right] = &args[..] else { return None };
    let operator = expr::operators::by_function(*function).filter(|operator| operator.name == "=")?;
    let is_inner = |expr: &Expr| !has_slot(expr, slots);
    let is_outer = |expr: &Expr| has_slot(expr, slots) && crate::plan::expression::is_row_free(expr);
    if is_inner(left) && is_outer(right) {
        return Some((left.clone(), right.clone(), operator.function));
    }
    if is_inner(right) && is_outer(left) {
        let mirrored = expr::operators::commutator(*function)?;
        return Some((right.clone(), left.clone(), mirrored));
    }
    None
}

/// Puts expressions in the place of slots.
pub fn fill_slots(expr: &mut Expr, bindings: &[(usize, Expr)]) {
    if let Expr::Param { index, .. } = expr {
        if let Some((_, value)) = bindings.iter().find(|(slot, _)| slot == index) {
            debug_assert_eq!(type_of(value).oid, type_of(expr).oid, "a slot has the type of what fills it");
            *expr = value.clone();
        }
        return;
    }
    crate::plan::expression::parts_mut(expr, &mut |part| fill_slots(part, bindings));
}
