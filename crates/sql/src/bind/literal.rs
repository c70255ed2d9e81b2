//! Constants as written, and as the type their surroundings give them.

use expr::{CastMethod, Datum, EvalContext, EvalResult, Expr, Numeric, SqlType};

/// `42`, `4200000000`, `4.2`: the smallest of int4, int8 and numeric that holds it, as PostgreSQL has it.
pub(super) fn number(digits: &str) -> Expr {
    if let Ok(value) = digits.parse::<i32>() {
        return Expr::Const { value: Datum::Int4(value), ty: SqlType::INT4 };
    }
    if let Ok(value) = digits.parse::<i64>() {
        return Expr::Const { value: Datum::Int8(value), ty: SqlType::INT8 };
    }
    match digits.parse::<Numeric>() {
        Ok(value) => Expr::Const { value: Datum::Numeric(value), ty: SqlType::NUMERIC },
        // Out of range: said when it is computed.
        Err(_) => from_text(Datum::text(digits), SqlType::NUMERIC, false),
    }
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

/// A constant of unknown type as a value of `to`. A text whose meaning depends on settings or on the catalog is read by
/// a cast when the plan runs; any other is read here, so that its error points at it.
pub(super) fn typed(value: Datum, to: SqlType, explicit: bool) -> EvalResult<Expr> {
    let is_text = to == SqlType::TEXT || to == SqlType::VARCHAR;
    if value.is_null() || is_text {
        return Ok(Expr::Const { value, ty: to.base() });
    }
    match &value {
        Datum::Text(text) if to.typmod < 0 && means_one_thing(text, to) => {
            Ok(Expr::Const { value: Datum::parse(text, to, &EvalContext::detached())?, ty: to })
        }
        _ => Ok(from_text(value, to, explicit)),
    }
}

/// Is the text read alike under all settings?
fn means_one_thing(text: &str, to: SqlType) -> bool {
    match to.base() {
        SqlType::BOOL
        | SqlType::INT2
        | SqlType::INT4
        | SqlType::INT8
        | SqlType::FLOAT4
        | SqlType::FLOAT8
        | SqlType::NUMERIC
        | SqlType::NAME
        | SqlType::UUID
        | SqlType::OID
        | SqlType::BYTEA
        | SqlType::JSON
        | SqlType::JSONB => true,
        // The year first leaves no doubt about day and month.
        SqlType::DATE | SqlType::TIMESTAMP => {
            let bytes = text.trim_start().as_bytes();
            bytes.len() >= 10 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-' && bytes[7] == b'-'
        }
        _ => false,
    }
}

fn from_text(value: Datum, to: SqlType, explicit: bool) -> Expr {
    let arg = Box::new(Expr::Const { value, ty: SqlType::UNKNOWN });
    Expr::Cast { arg, method: CastMethod::InOut, ty: to, explicit }
}
