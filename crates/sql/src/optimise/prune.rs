//! Columns that nobody reads are not made.
//!
//! Going down, each node says what it needs of its input; coming up, the input says where those columns now are. A node
//! may give more than was asked for (a scan keeps what its filter reads), never less.

use expr::Expr;

use super::{deeper, take};
use crate::plan::expression::{columns, is_volatile, map_columns};
use crate::plan::{ApplyKind, JoinKind, KeyRanges, Node, Plan, Scan, SetExpr, SetKind, WindowFunction};

pub fn prune(plan: &mut Plan) {
    exact(plan);
}

/// Where each column of before is now.
type Places = Vec<Option<usize>>;

/// Prunes below a plan whose own columns all stay, in their order.
fn exact(plan: &mut Plan) {
    let fields = plan.fields.clone();
    let all = vec![true; fields.len()];
    let places = deeper(|| keep(plan, &all));
    exactly(plan, &places, fields);
}

/// Restores the columns of before: those of `places`, in order.
fn exactly(plan: &mut Plan, places: &Places, fields: Vec<crate::plan::Field>) {
    let as_before =
        plan.fields.len() == fields.len() && places.iter().enumerate().all(|(at, place)| *place == Some(at));
    if as_before {
        plan.fields = fields;
        return;
    }
    let exprs =
        places.iter().zip(&fields).map(|(place, field)| Expr::Column { index: found(*place), ty: field.ty }).collect();
    let input = Box::new(take(plan));
    *plan = Plan::new(Node::Project { input, exprs }, fields);
}

fn found(place: Option<usize>) -> usize {
    place.unwrap_or_else(|| unreachable!("a column that is read was pruned"))
}

/// Marks the columns that an expression reads.
fn read(needed: &mut [bool], expr: &Expr) {
    columns(expr, &mut |column| needed[column] = true);
}

fn moved(expr: &mut Expr, places: &Places) {
    map_columns(expr, &mut |column| found(places[column]));
}

/// The input's fields under their new places.
fn renumbered(fields: &mut Vec<crate::plan::Field>, places: &Places, width: usize) {
    let old = std::mem::take(fields);
    let mut new: Vec<Option<crate::plan::Field>> = vec![None; width];
    for (field, place) in old.into_iter().zip(places) {
        if let Some(place) = place {
            new[*place] = Some(field);
        }
    }
    fields.extend(new.into_iter().map(|field| field.unwrap_or_else(|| unreachable!("every column has a place"))));
}

/// Prunes a plan down to (at least) the needed columns.
fn keep(plan: &mut Plan, needed: &[bool]) -> Places {
    debug_assert_eq!(needed.len(), plan.fields.len());
    match &mut plan.node {
        Node::Scan(scan) => keep_of_scan(scan, &mut plan.fields, needed),
        Node::VirtualScan { columns, filter, .. } => keep_listed(columns, filter, &mut plan.fields, needed),
        Node::Filter { input, condition } => {
            let mut wanted = needed.to_vec();
            read(&mut wanted, condition);
            let places = deeper(|| keep(input, &wanted));
            moved(condition, &places);
            plan.fields.clone_from(&input.fields);
            places
        }
        Node::Sort { input, keys, .. } => {
            let mut wanted = needed.to_vec();
            keys.iter().for_each(|key| read(&mut wanted, &key.expr));
            let places = deeper(|| keep(input, &wanted));
            keys.iter_mut().for_each(|key| moved(&mut key.expr, &places));
            plan.fields.clone_from(&input.fields);
            places
        }
        Node::Limit { input, with_ties, .. } => {
            let mut wanted = needed.to_vec();
            with_ties.iter().flatten().for_each(|key| read(&mut wanted, &key.expr));
            let places = deeper(|| keep(input, &wanted));
            with_ties.iter_mut().flatten().for_each(|key| moved(&mut key.expr, &places));
            plan.fields.clone_from(&input.fields);
            places
        }
        Node::Distinct { input, on: Some(on) } => {
            let mut wanted = needed.to_vec();
            on.iter().for_each(|expr| read(&mut wanted, expr));
            let places = deeper(|| keep(input, &wanted));
            on.iter_mut().for_each(|expr| moved(expr, &places));
            plan.fields.clone_from(&input.fields);
            places
        }
        Node::LockRows { input, targets, .. } => {
            let mut wanted = needed.to_vec();
            targets.iter().flat_map(|target| &target.key).for_each(|column| wanted[*column] = true);
            let places = deeper(|| keep(input, &wanted));
            targets.iter_mut().flat_map(|target| &mut target.key).for_each(|column| *column = found(places[*column]));
            plan.fields.clone_from(&input.fields);
            places
        }
        Node::Project { .. } => keep_of_project(plan, needed),
        Node::ProjectSet { input, exprs } => {
            let mut wanted = vec![false; input.fields.len()];
            for expr in exprs.iter() {
                match expr {
                    SetExpr::Scalar(expr) => read(&mut wanted, expr),
                    SetExpr::Set(call) => call.args.iter().for_each(|arg| read(&mut wanted, arg)),
                }
            }
            let places = deeper(|| keep(input, &wanted));
            for expr in exprs {
                match expr {
                    SetExpr::Scalar(expr) => moved(expr, &places),
                    SetExpr::Set(call) => call.args.iter_mut().for_each(|arg| moved(arg, &places)),
                }
            }
            identity(needed.len())
        }
        Node::Join(_) => keep_of_join(plan, needed),
        Node::LookupJoin { .. } => keep_of_lookup(plan, needed),
        Node::Apply(_) => keep_of_apply(plan, needed),
        Node::Aggregate { .. } => keep_of_aggregate(plan, needed),
        Node::Window { .. } => keep_of_window(plan, needed),
        Node::SetOperation { kind: SetKind::Union, all: true, left, right } => {
            let left_places = deeper(|| keep(left, needed));
            let right_places = deeper(|| keep(right, needed));
            let kept: Vec<usize> = (0..needed.len()).filter(|column| needed[*column]).collect();
            let fields: Vec<_> = kept.iter().map(|column| plan.fields[*column].clone()).collect();
            let chosen = |places: &Places| kept.iter().map(|column| places[*column]).collect::<Places>();
            exactly(left, &chosen(&left_places), fields.clone());
            exactly(right, &chosen(&right_places), fields.clone());
            plan.fields = fields;
            let mut places = vec![None; needed.len()];
            kept.iter().enumerate().for_each(|(at, column)| places[*column] = Some(at));
            places
        }
        Node::With { ctes, body } => {
            ctes.iter_mut().for_each(|cte| exact(&mut cte.plan));
            let places = deeper(|| keep(body, needed));
            plan.fields.clone_from(&body.fields);
            places
        }
        // All columns of the inputs matter: they are compared, or written.
        node => {
            for input in node.inputs_mut() {
                exact(input);
            }
            identity(needed.len())
        }
    }
}

fn identity(width: usize) -> Places {
    (0..width).map(Some).collect()
}

/// A list of table columns, of which those stay that are needed here or in the filter over them.
fn keep_listed(
    list: &mut Vec<crate::catalog::ColumnId>,
    filter: &mut Option<Expr>,
    fields: &mut Vec<crate::plan::Field>,
    needed: &[bool],
) -> Places {
    let mut wanted = needed.to_vec();
    filter.iter().for_each(|filter| read(&mut wanted, filter));
    if wanted.iter().all(|wanted| *wanted) {
        return identity(wanted.len());
    }
    let mut places = vec![None; wanted.len()];
    let mut next = 0;
    for (place, _) in places.iter_mut().zip(&wanted).filter(|(_, wanted)| **wanted) {
        *place = Some(next);
        next += 1;
    }
    let mut at = 0;
    list.retain(|_| {
        at += 1;
        wanted[at - 1]
    });
    filter.iter_mut().for_each(|filter| moved(filter, &places));
    renumbered(fields, &places, next);
    places
}

fn keep_of_scan(scan: &mut Scan, fields: &mut Vec<crate::plan::Field>, needed: &[bool]) -> Places {
    keep_listed(&mut scan.columns, &mut scan.filter, fields, needed)
}

fn keep_of_project(plan: &mut Plan, needed: &[bool]) -> Places {
    let Node::Project { input, exprs } = &mut plan.node else { unreachable!("the caller has looked") };
    let mut wanted = vec![false; input.fields.len()];
    let mut places = vec![None; exprs.len()];
    let mut next = 0;
    for (at, expr) in exprs.iter().enumerate() {
        // What is volatile may have been written for what it does.
        if needed[at] || is_volatile(expr) {
            read(&mut wanted, expr);
            places[at] = Some(next);
            next += 1;
        }
    }
    let input_places = deeper(|| keep(input, &wanted));
    let mut at = 0;
    exprs.retain(|_| {
        at += 1;
        places[at - 1].is_some()
    });
    exprs.iter_mut().for_each(|expr| moved(expr, &input_places));
    renumbered(&mut plan.fields, &places, next);
    // Two projections in a row are one; one that only passes its input on is none.
    if let Node::Project { input: inner, exprs: below } = &mut input.node
        && !below.iter().any(is_volatile)
        && (below.iter().all(is_cheap) || exprs.iter().all(is_cheap))
    {
        exprs.iter_mut().for_each(|expr| crate::plan::expression::substitute(expr, below));
        let inner = take(inner);
        **input = inner;
    }
    let passes_on = exprs.len() == input.fields.len()
        && exprs.iter().enumerate().all(|(at, expr)| matches!(expr, Expr::Column { index, .. } if *index == at));
    if passes_on {
        let fields = std::mem::take(&mut plan.fields);
        let inner = take(input);
        *plan = Plan { fields, ..inner };
    }
    places
}

/// Costs nothing to compute twice.
fn is_cheap(expr: &Expr) -> bool {
    matches!(expr, Expr::Column { .. } | Expr::Const { .. } | Expr::Param { .. })
}

fn keep_of_join(plan: &mut Plan, needed: &[bool]) -> Places {
    let Node::Join(join) = &mut plan.node else { unreachable!("the caller has looked") };
    let (left, right) = (join.left.fields.len(), join.right.fields.len());
    let mut wanted = needed.to_vec();
    wanted.resize(left + right, false);
    join.condition.iter().for_each(|condition| read(&mut wanted, condition));
    let (of_left, of_right) = wanted.split_at_mut(left);
    for key in &join.equal {
        read(of_left, &key.left);
        read(of_right, &key.right);
    }
    let left_places = deeper(|| keep(&mut join.left, of_left));
    let right_places = deeper(|| keep(&mut join.right, of_right));
    let offset = join.left.fields.len();
    let places: Places =
        left_places.iter().copied().chain(right_places.iter().map(|place| place.map(|place| place + offset))).collect();
    for key in &mut join.equal {
        moved(&mut key.left, &left_places);
        moved(&mut key.right, &right_places);
    }
    join.condition.iter_mut().for_each(|condition| moved(condition, &places));
    if matches!(join.kind, JoinKind::Semi | JoinKind::Anti) {
        plan.fields.clone_from(&join.left.fields);
        return left_places;
    }
    plan.fields = join.left.fields.iter().chain(&join.right.fields).cloned().collect();
    places
}

fn keep_of_lookup(plan: &mut Plan, needed: &[bool]) -> Places {
    let Node::LookupJoin { input, kind, scan, condition } = &mut plan.node else {
        unreachable!("the caller has looked")
    };
    let (outer, inner) = (input.fields.len(), scan.columns.len());
    let mut wanted = needed.to_vec();
    wanted.resize(outer + inner, false);
    condition.iter().for_each(|condition| read(&mut wanted, condition));
    let (of_outer, of_inner) = wanted.split_at_mut(outer);
    if let KeyRanges::Some(ranges) = &scan.ranges {
        for range in ranges {
            range.equal.iter().for_each(|expr| read(of_outer, expr));
            range.lower.iter().chain(&range.upper).for_each(|(expr, _)| read(of_outer, expr));
        }
    }
    let is_filter = matches!(kind, JoinKind::Semi | JoinKind::Anti);
    let mut inner_fields = if is_filter { vec![unread(); inner] } else { plan.fields[outer..].to_vec() };
    let inner_places = keep_of_scan(scan, &mut inner_fields, of_inner);
    let outer_places = deeper(|| keep(input, of_outer));
    if let KeyRanges::Some(ranges) = &mut scan.ranges {
        for range in ranges {
            range.equal.iter_mut().for_each(|expr| moved(expr, &outer_places));
            range.lower.iter_mut().chain(&mut range.upper).for_each(|(expr, _)| moved(expr, &outer_places));
        }
    }
    let offset = input.fields.len();
    let places: Places = outer_places
        .iter()
        .copied()
        .chain(inner_places.iter().map(|place| place.map(|place| place + offset)))
        .collect();
    condition.iter_mut().for_each(|condition| moved(condition, &places));
    plan.fields.clone_from(&input.fields);
    if is_filter {
        return outer_places;
    }
    plan.fields.extend(inner_fields);
    places
}

fn unread() -> crate::plan::Field {
    crate::plan::Field { name: String::new(), ty: expr::SqlType::VOID, origin: None }
}

fn keep_of_apply(plan: &mut Plan, needed: &[bool]) -> Places {
    let Node::Apply(apply) = &mut plan.node else { unreachable!("the caller has looked") };
    let outer = apply.outer.fields.len();
    let lateral = matches!(apply.kind, ApplyKind::Lateral { .. });
    if !lateral && !needed[outer] && !apply.inner.has_effects() {
        // Nobody reads what the subquery says.
        let inner = take(&mut apply.outer);
        *plan = inner;
        let mut places = deeper(|| keep(plan, &needed[..outer]));
        places.push(None);
        return places;
    }
    let mut wanted = needed.to_vec();
    match &apply.kind {
        ApplyKind::Compare { left, .. } => left.iter().for_each(|expr| read(&mut wanted, expr)),
        ApplyKind::Lateral { condition, .. } => condition.iter().for_each(|expr| read(&mut wanted, expr)),
        ApplyKind::Scalar | ApplyKind::Exists | ApplyKind::Array => {}
    }
    apply.bindings.iter().for_each(|(_, expr)| read(&mut wanted, expr));
    apply.guard.iter().for_each(|expr| read(&mut wanted, expr));
    let inner_places = match &apply.kind {
        ApplyKind::Lateral { .. } => deeper(|| keep(&mut apply.inner, &wanted[outer..])),
        ApplyKind::Exists => {
            let nothing = vec![false; apply.inner.fields.len()];
            deeper(|| keep(&mut apply.inner, &nothing));
            vec![Some(0)]
        }
        ApplyKind::Scalar | ApplyKind::Array | ApplyKind::Compare { .. } => {
            exact(&mut apply.inner);
            vec![Some(0)]
        }
    };
    let outer_places = deeper(|| keep(&mut apply.outer, &wanted[..outer]));
    let offset = apply.outer.fields.len();
    let places: Places = outer_places
        .iter()
        .copied()
        .chain(inner_places.iter().map(|place| place.map(|place| place + offset)))
        .collect();
    match &mut apply.kind {
        ApplyKind::Compare { left, .. } => left.iter_mut().for_each(|expr| moved(expr, &places)),
        ApplyKind::Lateral { condition, .. } => condition.iter_mut().for_each(|expr| moved(expr, &places)),
        ApplyKind::Scalar | ApplyKind::Exists | ApplyKind::Array => {}
    }
    apply.bindings.iter_mut().for_each(|(_, expr)| moved(expr, &places));
    apply.guard.iter_mut().for_each(|expr| moved(expr, &places));
    let verdict = plan.fields.pop();
    plan.fields.clone_from(&apply.outer.fields);
    if lateral {
        plan.fields.extend(apply.inner.fields.iter().cloned());
    } else {
        plan.fields.extend(verdict);
    }
    places
}

fn keep_of_aggregate(plan: &mut Plan, needed: &[bool]) -> Places {
    let Node::Aggregate { input, keys, aggregates, .. } = &mut plan.node else { unreachable!("the caller has looked") };
    let keys_width = keys.len();
    let mut wanted = vec![false; input.fields.len()];
    keys.iter().for_each(|key| read(&mut wanted, key));
    let mut places: Places = vec![None; needed.len()];
    let mut next = 0;
    for (at, place) in places.iter_mut().enumerate() {
        // Keys make the groups whether they are read or not; what follows the aggregates (numbers of grouping sets) stays.
        let is_aggregate = (keys_width..keys_width + aggregates.len()).contains(&at);
        if !is_aggregate || needed[at] {
            *place = Some(next);
            next += 1;
        }
    }
    let mut at = keys_width;
    aggregates.retain(|_| {
        at += 1;
        places[at - 1].is_some()
    });
    for aggregate in aggregates.iter() {
        aggregate.args.iter().chain(&aggregate.filter).for_each(|expr| read(&mut wanted, expr));
        aggregate.order_by.iter().for_each(|key| read(&mut wanted, &key.expr));
    }
    let input_places = deeper(|| keep(input, &wanted));
    plan.node.exprs_mut(&mut |expr| moved(expr, &input_places));
    renumbered(&mut plan.fields, &places, next);
    places
}

fn keep_of_window(plan: &mut Plan, needed: &[bool]) -> Places {
    let Node::Window { input, calls } = &mut plan.node else { unreachable!("the caller has looked") };
    let width = input.fields.len();
    let mut wanted = needed[..width].to_vec();
    for call in calls.iter() {
        call.args.iter().chain(&call.filter).chain(&call.partition_by).for_each(|expr| read(&mut wanted, expr));
        call.order_by.iter().for_each(|key| read(&mut wanted, &key.expr));
        if let WindowFunction::Aggregate(aggregate) = &call.function {
            aggregate.args.iter().chain(&aggregate.filter).for_each(|expr| read(&mut wanted, expr));
            aggregate.order_by.iter().for_each(|key| read(&mut wanted, &key.expr));
        }
    }
    let count = calls.len();
    let input_places = deeper(|| keep(input, &wanted));
    let offset = input.fields.len();
    let mut fields = input.fields.clone();
    fields.extend(plan.fields.drain(width..));
    plan.fields = fields;
    plan.node.exprs_mut(&mut |expr| moved(expr, &input_places));
    input_places.into_iter().chain((0..count).map(|call| Some(offset + call))).collect()
}
