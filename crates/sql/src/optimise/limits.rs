//! LIMIT: a Sort below one keeps only so many rows, a scan below one need not fetch more.

use super::deeper;
use super::estimate::number;
use crate::plan::{ApplyKind, JoinKind, Node, Plan};

use expr::{Datum, Expr, SqlType};

pub fn push_limits(plan: &mut Plan) {
    if let Node::Limit { input, limit: Some(limit), offset, with_ties: None } = &mut plan.node {
        let most = match offset {
            None => Some(limit.clone()),
            Some(offset) => together(limit, offset),
        };
        if let Some(most) = most {
            push(input, &most);
        }
    }
    if let Node::Apply(apply) = &mut plan.node {
        // One row says that there is one; a second one is an error.
        match apply.kind {
            ApplyKind::Exists => push(&mut apply.inner, &count(1)),
            ApplyKind::Scalar => push(&mut apply.inner, &count(2)),
            _ => {}
        }
    }
    for input in plan.node.inputs_mut() {
        deeper(|| push_limits(input));
    }
}

fn count(count: i64) -> Expr {
    Expr::Const { value: Datum::Int8(count), ty: SqlType::INT8 }
}

/// LIMIT and OFFSET as one count, where both are known.
fn together(limit: &Expr, offset: &Expr) -> Option<Expr> {
    let sum = number(limit)?.checked_add(number(offset)?)?;
    Some(count(i64::try_from(sum).ok()?))
}

/// No more than `most` rows of the plan will be read.
fn push(plan: &mut Plan, most: &Expr) {
    match &mut plan.node {
        Node::Project { input, .. } => push(input, most),
        // Rows that are skipped do not count: what is below goes on.
        Node::Sort { limit, .. } | Node::LockRows { limit, .. } if limit.is_none() => *limit = Some(most.clone()),
        Node::Scan(scan) => {
            let hint = number(most);
            scan.limit_hint = match (scan.limit_hint, hint) {
                (Some(known), Some(hint)) => Some(known.min(hint)),
                (known, hint) => known.or(hint),
            };
        }
        // Each outer row gives at least one.
        Node::LookupJoin { input, kind: JoinKind::Left, .. } => push(input, most),
        _ => {}
    }
}
