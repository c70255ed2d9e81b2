//! Conditions move down to where their columns come from.
//!
//! A condition above an outer join that cannot be true for the rows the join makes up (those with NULLs on one side)
//! makes the join an inner one on that side.

use expr::{Datum, Expr};

use super::nulls::rejects_nulls;
use super::{deeper, make_empty, take};
use crate::plan::expression::{columns, conjunction, conjuncts, contains, is_volatile, map_columns, substitute};
use crate::plan::{Apply, ApplyKind, Join, JoinKind, Node, Plan, SetExpr, SetKind};

pub fn push_filters(plan: &mut Plan) {
    push(plan, Vec::new());
}

/// Makes `conditions`, which are over the plan's columns, hold for all its rows.
fn push(plan: &mut Plan, conditions: Vec<Expr>) {
    deeper(|| push_into(plan, conditions));
}

fn push_into(plan: &mut Plan, mut conditions: Vec<Expr>) {
    if conditions.iter().any(is_never_true) && !plan.has_effects() {
        return make_empty(plan);
    }
    let above = match &mut plan.node {
        Node::Filter { input, condition } => {
            let condition = std::mem::replace(condition, crate::plan::expression::boolean(true));
            conditions.extend(conjuncts(condition));
            conditions.retain(|condition| !matches!(condition, Expr::Const { value: Datum::Bool(true), .. }));
            // The columns may have been renamed on the way up; their names belong to whoever is on top.
            let fields = std::mem::take(&mut plan.fields);
            *plan = take(input);
            plan.fields = fields;
            return push_into(plan, conditions);
        }
        Node::Scan(scan) => {
            let here = scan.filter.take().into_iter().flat_map(conjuncts).chain(conditions);
            scan.filter = conjunction(here);
            return;
        }
        Node::VirtualScan { filter, .. } => {
            let here = filter.take().into_iter().flat_map(conjuncts).chain(conditions);
            *filter = conjunction(here);
            return;
        }
        Node::Project { input, exprs } => {
            let (mut down, up) =
                split(conditions, |condition| !refers_to(condition, |index| is_volatile(&exprs[index])));
            down.iter_mut().for_each(|condition| substitute(condition, exprs));
            push(input, down);
            up
        }
        Node::ProjectSet { input, exprs } => {
            let scalar = |index: usize| matches!(&exprs[index], SetExpr::Scalar(expr) if !is_volatile(expr));
            let (mut down, up) = split(conditions, |condition| !refers_to(condition, |index| !scalar(index)));
            let scalars: Vec<Expr> = exprs
                .iter()
                .map(|expr| match expr {
                    SetExpr::Scalar(expr) => expr.clone(),
                    SetExpr::Set(_) => crate::plan::expression::boolean(false),
                })
                .collect();
            down.iter_mut().for_each(|condition| substitute(condition, &scalars));
            push(input, down);
            up
        }
        Node::Join(join) => push_join(join, conditions),
        Node::Apply(apply) => push_apply(apply, conditions),
        Node::Aggregate { input, keys, grouping_sets, .. } => {
            // Without keys there is a row even if there is no input; sets leave keys out of some rows.
            let movable = grouping_sets.is_none() && !keys.is_empty();
            let on_keys = |index: usize| index < keys.len() && !is_volatile(&keys[index]);
            let (mut down, up) =
                split(conditions, |condition| movable && !refers_to(condition, |index| !on_keys(index)));
            down.iter_mut().for_each(|condition| substitute(condition, keys));
            push(input, down);
            up
        }
        Node::Window { input, calls } => {
            let in_each = |index: usize| {
                calls.iter().all(|call| {
                    call.partition_by
                        .iter()
                        .any(|expr| matches!(expr, Expr::Column { index: own, .. } if *own == index))
                })
            };
            let (down, up) = split(conditions, |condition| !refers_to(condition, |index| !in_each(index)));
            push(input, down);
            up
        }
        Node::Sort { input, limit: None, .. } | Node::Distinct { input, on: None } => {
            let (down, up) = split(conditions, |_| true);
            push(input, down);
            up
        }
        Node::SetOperation { kind, left, right, .. } => {
            let (down, up) = split(conditions, |_| true);
            push(right, if *kind == SetKind::Except { Vec::new() } else { down.clone() });
            push(left, down);
            up
        }
        Node::With { ctes, body } => {
            ctes.iter_mut().for_each(|cte| push(&mut cte.plan, Vec::new()));
            push(body, conditions);
            return;
        }
        node => {
            for input in node.inputs_mut() {
                push(input, Vec::new());
            }
            conditions
        }
    };
    if let Some(condition) = conjunction(above) {
        let fields = plan.fields.clone();
        let input = Box::new(take(plan));
        *plan = Plan::new(Node::Filter { input, condition }, fields);
    }
}

fn is_never_true(condition: &Expr) -> bool {
    matches!(condition, Expr::Const { value: Datum::Bool(false) | Datum::Null, .. })
}

/// Those that may move, and those that stay. What is volatile stays.
fn split(conditions: Vec<Expr>, may_move: impl Fn(&Expr) -> bool) -> (Vec<Expr>, Vec<Expr>) {
    conditions.into_iter().partition(|condition| may_move(condition) && !is_volatile(condition))
}

fn refers_to(condition: &Expr, column: impl Fn(usize) -> bool) -> bool {
    contains(condition, &mut |part| matches!(part, Expr::Column { index, .. } if column(*index)))
}

/// Which sides of a join a condition is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Neither: a constant or a parameter.
    None,
    Left,
    Right,
    Both,
}

pub fn side_of(condition: &Expr, left: usize) -> Side {
    let (mut on_left, mut on_right) = (false, false);
    columns(condition, &mut |index| if index < left { on_left = true } else { on_right = true });
    match (on_left, on_right) {
        (false, false) => Side::None,
        (true, false) => Side::Left,
        (false, true) => Side::Right,
        (true, true) => Side::Both,
    }
}

/// Gives back what must stay above the join.
fn push_join(join: &mut Join, conditions: Vec<Expr>) -> Vec<Expr> {
    let left = join.left.fields.len();
    for condition in &conditions {
        // What the condition says about rows made up for one side.
        let without_left = rejects_nulls(condition, &|index| index < left);
        let without_right = rejects_nulls(condition, &|index| index >= left);
        join.kind = match join.kind {
            JoinKind::Left if without_right => JoinKind::Inner,
            JoinKind::Right if without_left => JoinKind::Inner,
            JoinKind::Full if without_left && without_right => JoinKind::Inner,
            JoinKind::Full if without_left => JoinKind::Left,
            JoinKind::Full if without_right => JoinKind::Right,
            kind => kind,
        };
    }
    let on: Vec<Expr> = join.condition.take().into_iter().flat_map(conjuncts).collect();
    let (mut to_left, mut to_right, mut stay, mut above) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for condition in conditions {
        let side = side_of(&condition, left);
        let volatile = is_volatile(&condition);
        match (join.kind, side) {
            _ if volatile => above.push(condition),
            (JoinKind::Inner, Side::Left | Side::None) => to_left.push(condition),
            (JoinKind::Inner, Side::Right) => to_right.push(condition),
            (JoinKind::Inner, Side::Both) => stay.push(condition),
            (JoinKind::Left | JoinKind::Semi | JoinKind::Anti, Side::Left | Side::None) => to_left.push(condition),
            (JoinKind::Right, Side::Right | Side::None) => to_right.push(condition),
            _ => above.push(condition),
        }
    }
    for condition in on {
        let side = side_of(&condition, left);
        let volatile = is_volatile(&condition);
        match (join.kind, side) {
            _ if volatile => stay.push(condition),
            (JoinKind::Inner | JoinKind::Right | JoinKind::Semi, Side::Left) => to_left.push(condition),
            (JoinKind::Inner | JoinKind::Left | JoinKind::Semi | JoinKind::Anti, Side::Right) => {
                to_right.push(condition)
            }
            (JoinKind::Inner | JoinKind::Semi, Side::None) => to_left.push(condition),
            _ => stay.push(condition),
        }
    }
    to_right.iter_mut().for_each(|condition| map_columns(condition, &mut |index| index - left));
    push(&mut join.left, to_left);
    push(&mut join.right, to_right);
    join.condition = conjunction(
        stay.into_iter().filter(|condition| !matches!(condition, Expr::Const { value: Datum::Bool(true), .. })),
    );
    above
}

fn push_apply(apply: &mut Apply, conditions: Vec<Expr>) -> Vec<Expr> {
    let outer = apply.outer.fields.len();
    let (mut to_outer, mut to_inner, mut above) = (Vec::new(), Vec::new(), Vec::new());
    let mut conditions = conditions;
    // A lateral left join whose made-up rows are thrown away is an inner one.
    if let ApplyKind::Lateral { left_join, condition } = &mut apply.kind {
        if conditions.iter().any(|condition| rejects_nulls(condition, &|index| index >= outer)) {
            *left_join = false;
        }
        if !*left_join {
            conditions.extend(condition.take().into_iter().flat_map(conjuncts));
        }
    }
    let lateral = match &apply.kind {
        ApplyKind::Lateral { left_join, .. } => Some(*left_join),
        _ => None,
    };
    for condition in conditions {
        if is_volatile(&condition) {
            above.push(condition);
            continue;
        }
        match (side_of(&condition, outer), lateral) {
            (Side::Left | Side::None, _) => to_outer.push(condition),
            (Side::Right, Some(false)) => to_inner.push(condition),
            _ => above.push(condition),
        }
    }
    if let ApplyKind::Lateral { left_join: true, condition } = &mut apply.kind {
        let (right, rest) = split(condition.take().into_iter().flat_map(conjuncts).collect(), |condition| {
            side_of(condition, outer) == Side::Right
        });
        to_inner.extend(right);
        *condition = conjunction(rest);
    }
    if let ApplyKind::Lateral { left_join: false, condition } = &mut apply.kind {
        *condition = conjunction(std::mem::take(&mut above));
    }
    to_inner.iter_mut().for_each(|condition| map_columns(condition, &mut |index| index - outer));
    push(&mut apply.outer, to_outer);
    push(&mut apply.inner, to_inner);
    above
}
