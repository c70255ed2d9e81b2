//! What NULLs do to a condition: the base of turning outer joins into inner ones.

use expr::functions;
use expr::{Datum, Expr};

use crate::plan::{JoinKind, Node, Plan};

/// Is the condition never true for a row in which all these columns are NULL?
pub fn rejects_nulls(condition: &Expr, column: &dyn Fn(usize) -> bool) -> bool {
    match condition {
        Expr::And(list) => list.iter().any(|part| rejects_nulls(part, column)),
        Expr::Or(list) => list.iter().all(|part| rejects_nulls(part, column)),
        Expr::IsNull { arg, negated: true } => is_null_with(arg, column),
        Expr::IsBool { arg, value: Some(_), negated: false } => is_null_with(arg, column),
        Expr::Not(arg) => is_null_with(arg, column),
        Expr::Const { value: Datum::Bool(false) | Datum::Null, .. } => true,
        other => is_null_with(other, column),
    }
}

/// Is the expression NULL whenever all these columns are?
pub fn is_null_with(expr: &Expr, column: &dyn Fn(usize) -> bool) -> bool {
    match expr {
        Expr::Column { index, .. } => column(*index),
        Expr::Const { value, .. } => value.is_null(),
        Expr::Call { function, args, .. } => {
            functions::by_id(*function).is_some_and(|entry| entry.strict)
                && args.iter().any(|arg| is_null_with(arg, column))
        }
        Expr::Cast { arg, .. } | Expr::Not(arg) | Expr::Field { arg, .. } => is_null_with(arg, column),
        Expr::InList { left, .. } | Expr::AnyAll { left, .. } => is_null_with(left, column),
        Expr::Subscript { array, .. } | Expr::Slice { array, .. } => is_null_with(array, column),
        Expr::And(list) | Expr::Or(list) => !list.is_empty() && list.iter().all(|part| is_null_with(part, column)),
        _ => false,
    }
}

/// Is this output column never NULL?
pub fn is_not_null(plan: &Plan, column: usize) -> bool {
    match &plan.node {
        Node::Scan(scan) => {
            let id = scan.columns[column];
            scan.table.column(id).is_some_and(|column| column.not_null)
                || scan.filter.as_ref().is_some_and(|filter| rejects_nulls(filter, &|index| index == column))
        }
        Node::Filter { input, condition } => {
            rejects_nulls(condition, &|index| index == column) || is_not_null(input, column)
        }
        Node::Sort { input, .. }
        | Node::Limit { input, .. }
        | Node::Distinct { input, .. }
        | Node::LockRows { input, .. } => is_not_null(input, column),
        Node::Project { input, exprs } => is_never_null(&exprs[column], input),
        Node::Values { rows } => {
            rows.iter().all(|row| matches!(&row[column], Expr::Const { value, .. } if !value.is_null()))
        }
        Node::Join(join) => {
            let left = join.left.fields.len();
            match join.kind {
                JoinKind::Inner if column < left => is_not_null(&join.left, column),
                JoinKind::Inner => is_not_null(&join.right, column - left),
                JoinKind::Left if column < left => is_not_null(&join.left, column),
                JoinKind::Right if column >= left => is_not_null(&join.right, column - left),
                JoinKind::Semi | JoinKind::Anti => is_not_null(&join.left, column),
                _ => false,
            }
        }
        _ => false,
    }
}

/// Does the expression never give NULL over the rows of `input`?
pub fn is_never_null(expr: &Expr, input: &Plan) -> bool {
    match expr {
        Expr::Column { index, .. } => is_not_null(input, *index),
        Expr::Const { value, .. } => !value.is_null(),
        Expr::Cast { arg, method: expr::CastMethod::Relabel, .. } => is_never_null(arg, input),
        Expr::IsNull { .. } | Expr::IsBool { .. } | Expr::IsDistinct { .. } => true,
        Expr::Coalesce { args, .. } => args.iter().any(|arg| is_never_null(arg, input)),
        _ => false,
    }
}
