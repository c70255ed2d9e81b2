//! Constants are computed once; conditions take the shapes that later passes look for.

use expr::functions::{self, Volatility};
use expr::operators;
use expr::{Datum, EvalContext, Expr, SqlType};

use super::deeper;
use crate::plan::Plan;
use crate::plan::expression::{boolean, constant, parts, parts_mut, same, type_of};

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
        _ => fold(expr),
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
            Expr::InList { left: known, list, equals: function, negated: false }
                if *function == equals && same(known, &left) =>
            {
                Some(list)
            }
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
        Expr::IsNull { negated, .. }
        | Expr::IsBool { negated, .. }
        | Expr::IsDistinct { negated, .. }
        | Expr::InList { negated, .. } => {
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

/// Computes what depends on nothing but constants. An error is left for the time when (and if) it is reached.
fn fold(expr: &mut Expr) {
    if !all_constant(expr) || !is_foldable(expr) {
        return;
    }
    if let Ok(value) = expr.eval(&[], &EvalContext::detached()) {
        *expr = constant(value, type_of(expr));
    }
}

fn all_constant(expr: &Expr) -> bool {
    let mut all = true;
    parts(expr, &mut |part| all = all && matches!(part, Expr::Const { .. }));
    all
}

/// Does the result depend on the arguments alone, not on settings, the catalog or the clock?
fn is_foldable(expr: &Expr) -> bool {
    match expr {
        Expr::Call { function, .. } => functions::by_id(*function)
            .is_some_and(|entry| entry.volatility == Volatility::Immutable && !entry.returns_set),
        // Text forms of times and of floating point depend on settings, those of reg* types on the catalog.
        Expr::Cast { arg, ty, .. } => {
            let from = type_of(arg);
            is_plain(from) && is_plain(*ty) && !(is_float(from) && ty.is_string())
        }
        Expr::Row { .. } | Expr::Field { .. } => false,
        _ => true,
    }
}

fn is_float(ty: SqlType) -> bool {
    matches!(ty.base(), SqlType::FLOAT4 | SqlType::FLOAT8)
}

fn is_plain(ty: SqlType) -> bool {
    let ty = ty.element().unwrap_or(ty);
    matches!(
        ty.base(),
        SqlType::BOOL
            | SqlType::INT2
            | SqlType::INT4
            | SqlType::INT8
            | SqlType::FLOAT4
            | SqlType::FLOAT8
            | SqlType::NUMERIC
            | SqlType::TEXT
            | SqlType::VARCHAR
            | SqlType::BPCHAR
            | SqlType::NAME
            | SqlType::UUID
            | SqlType::OID
            | SqlType::UNKNOWN
    )
}
