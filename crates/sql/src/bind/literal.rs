//! Constants as written, and as the type their surroundings give them.

use expr::{CastMethod, Datum, EvalResult, Expr, SqlType};

/// `42`, `4200000000`, `4.2`: the smallest of int4, int8 and numeric that holds it, as PostgreSQL has it.
pub(super) fn number(digits: &str) -> Expr {
    if let Ok(value) = digits.parse::<i32>() {
        return Expr::Const { value: Datum::Int4(value), ty: SqlType::INT4 };
    }
    if let Ok(value) = digits.parse::<i64>() {
        return Expr::Const { value: Datum::Int8(value), ty: SqlType::INT8 };
    }
    from_text(Datum::text(digits), SqlType::NUMERIC, false)
}

pub(super) fn text(text: &str) -> Expr {
    Expr::Const { value: Datum::text(text), ty: SqlType::UNKNOWN }
}

pub(super) fn null() -> Expr {
    Expr::Const { value: Datum::Null, ty: SqlType::UNKNOWN }
}

pub(super) fn boolean(value: bool) -> Expr {
    Expr::Const { value: Datum::Bool(value), ty: SqlType::BOOL }
}

pub(super) fn int8(value: i64) -> Expr {
    Expr::Const { value: Datum::Int8(value), ty: SqlType::INT8 }
}

/// A constant of unknown type as a value of `to`. Text stays text (a modifier is applied when it is computed); for other
/// types the text form is read by the cast, which the optimiser computes once.
pub(super) fn typed(value: Datum, to: SqlType, explicit: bool) -> EvalResult<Expr> {
    let is_text = to == SqlType::TEXT || to == SqlType::VARCHAR;
    Ok(if value.is_null() || is_text { Expr::Const { value, ty: to.base() } } else { from_text(value, to, explicit) })
}

fn from_text(value: Datum, to: SqlType, explicit: bool) -> Expr {
    let arg = Box::new(Expr::Const { value, ty: SqlType::UNKNOWN });
    Expr::Cast { arg, method: CastMethod::InOut, ty: to, explicit }
}
