//! Constants are computed once; conditions take the shapes that later passes look for.

use expr::operators;
use expr::{Datum, Expr, SqlType};

use super::deeper;
use crate::plan::Plan;
use crate::plan::expression::{boolean, constant, parts_mut, same};

pub fn simplify(plan: &mut Plan) {
    plan.node.exprs_mut(&mut simplify_expr);
    for input in plan.node.inputs_mut() {
        deeper(|| simplify(input));
    }
}

pub fn simplify_expr(expr: &mut Expr) {
    if matches!(expr, Expr::Const { .. } | Expr::Column { .. } | Expr::Param { .. }) {
        return;
    }
    parts_mut(expr, &mut |part| deeper(|| simplify_expr(part)));
    match expr {
        Expr::And(list) => {
            let list = flat(std::mem::take(list), true);
            *expr = junction(list, true);
        }
        Expr::Or(list) => {
            let list = in_lists(flat(std::mem::take(list), false));
            *expr = junction(list, false);
        }
        Expr::Not(arg) => {
            if let Some(simpler) = negation(arg) {
                *expr = simpler;
            }
        }
        Expr::Cast { arg, ty, .. } => {
            if let Some(wider) = widened(arg, *ty) {
                *expr = wider;
            }
        }
        _ => {}
    }
}

/// An integer constant as a wider integer: what LIMIT and comparisons of mixed widths are written with.
fn widened(arg: &Expr, ty: SqlType) -> Option<Expr> {
    let Expr::Const { value, .. } = arg else { return None };
    let number = match value {
        Datum::Int2(n) => i64::from(*n),
        Datum::Int4(n) => i64::from(*n),
        _ => return None,
    };
    match ty {
        SqlType::INT4 => Some(constant(Datum::Int4(i32::try_from(number).ok()?), ty)),
        SqlType::INT8 => Some(constant(Datum::Int8(number), ty)),
        _ => None,
    }
}

/// Nested ANDs (ORs) as one list.
fn flat(list: Vec<Expr>, and: bool) -> Vec<Expr> {
    let nested = |expr: &Expr| matches!((expr, and), (Expr::And(_), true) | (Expr::Or(_), false));
    if !list.iter().any(nested) {
        return list;
    }
    let mut out = Vec::with_capacity(list.len() + 2);
    for item in list {
        match (item, and) {
            (Expr::And(inner), true) | (Expr::Or(inner), false) => out.extend(inner),
            (other, _) => out.push(other),
        }
    }
    out
}

/// AND (OR) without the constants that decide nothing; a constant that decides all is all that remains.
fn junction(mut list: Vec<Expr>, and: bool) -> Expr {
    let value_of = |expr: &Expr| match expr {
        Expr::Const { value: Datum::Bool(value), .. } => Some(*value),
        _ => None,
    };
    if list.iter().any(|expr| value_of(expr) == Some(!and)) {
        return boolean(!and);
    }
    list.retain(|expr| value_of(expr) != Some(and));
    match list.len() {
        0 => boolean(and),
        1 => list.swap_remove(0),
        _ if and => Expr::And(list),
        _ => Expr::Or(list),
    }
}

/// `a = 1 OR a = 2 OR a IN (3, 4)` as `a IN (1, 2, 3, 4)`.
fn in_lists(list: Vec<Expr>) -> Vec<Expr> {
    let equalities = list.iter().filter(|expr| is_equality_with_free_side(expr)).count();
    if equalities < 2 {
        return list;
    }
    let mut out: Vec<Expr> = Vec::with_capacity(list.len());
    for item in list {
        if !is_equality_with_free_side(&item) {
            out.push(item);
            continue;
        }
        let (left, mut values, equals) = match item {
            Expr::Call { function, mut args, .. } => {
                let value = args.pop().unwrap_or_else(|| boolean(false));
                let left = args.pop().unwrap_or_else(|| boolean(false));
                (Box::new(left), vec![value], function)
            }
            Expr::InList { left, list, equals, .. } => (left, list, equals),
            other => {
                out.push(other);
                continue;
            }
        };
        let joined = out.iter_mut().find_map(|known| match known {
            Expr::InList { left: known, list, equals: function, negated: false } if *function == equals && same(known, &left) => Some(list),
            _ => None,
        });
        match joined {
            Some(list) => list.append(&mut values),
            None => out.push(Expr::InList { left, list: values, equals, negated: false }),
        }
    }
    out
}

/// `column = expression without columns`, or a list of such.
fn is_equality_with_free_side(expr: &Expr) -> bool {
    use crate::plan::expression::is_row_free;
    match expr {
        Expr::Call { function, args, .. } => match &args[..] {
            [left, right] => {
                let equals = operators::by_function(*function).is_some_and(|operator| operator.name == "=");
                equals && !is_row_free(left) && is_row_free(right)
            }
            _ => false,
        },
        Expr::InList { left, list, negated: false, .. } => !is_row_free(left) && list.iter().all(is_row_free),
        _ => false,
    }
}

/// NOT moved inside, where that says the same also for NULL.
fn negation(arg: &mut Expr) -> Option<Expr> {
    let none = || boolean(false);
    Some(match arg {
        Expr::Const { value: Datum::Bool(value), .. } => boolean(!*value),
        Expr::Const { value: Datum::Null, .. } => constant(Datum::Null, SqlType::BOOL),
        Expr::Not(inner) => std::mem::replace(&mut **inner, none()),
        Expr::IsNull { negated, .. } | Expr::IsBool { negated, .. } | Expr::IsDistinct { negated, .. } | Expr::InList { negated, .. } => {
            *negated = !*negated;
            std::mem::replace(arg, none())
        }
        Expr::And(list) => Expr::Or(list.drain(..).map(negated).collect()),
        Expr::Or(list) => Expr::And(list.drain(..).map(negated).collect()),
        Expr::Call { function, .. } => {
            *function = operators::negator(*function)?;
            std::mem::replace(arg, none())
        }
        _ => return None,
    })
}

fn negated(mut expr: Expr) -> Expr {
    match negation(&mut expr) {
        Some(simpler) => simpler,
        None => Expr::Not(Box::new(expr)),
    }
}
