//! Conversions between types, and of values to the modifier of their type.

use std::sync::Arc;

use crate::casts::{self, CastContext};
use crate::datetime::arithmetic::{adjust_interval, date_to_timestamp, round_time, round_timestamp, timestamp_to_date};
use crate::datetime::{DAY, is_finite_timestamp, timestamp_out_of_range};
use crate::io::apply_length;
use crate::numeric::out_of_range;
use crate::{ArrayValue, CastMethod, Datum, EvalContext, EvalError, EvalResult, Jsonb, Numeric, SqlType};

/// Converts a value of type `from` to `to`, then brings it to the modifier of `to`.
pub(crate) fn cast(
    value: Datum,
    from: SqlType,
    to: SqlType,
    method: CastMethod,
    explicit: bool,
    ctx: &EvalContext<'_>,
) -> EvalResult<Datum> {
    if value.is_null() {
        return Ok(Datum::Null);
    }
    let converted = match method {
        CastMethod::Relabel => relabel(value, to),
        CastMethod::Function => convert(value, from, to, ctx)?,
        CastMethod::InOut => through_text(&value, from, to, ctx)?,
        CastMethod::Array => elements(&value, from, to, explicit, ctx)?,
    };
    if to.typmod < 0 { Ok(converted) } else { apply_typmod(converted, to, explicit) }
}

/// Brings a value to the length, precision or scale that its type declares. What is too long is cut when
/// `explicit`, else an error.
pub fn apply_typmod(value: Datum, ty: SqlType, explicit: bool) -> EvalResult<Datum> {
    if ty.typmod < 0 {
        return Ok(value);
    }
    Ok(match value {
        Datum::Text(text) => match apply_length(&text, ty, explicit)? {
            brought if brought.len() == text.len() => Datum::Text(text),
            brought => Datum::text(&*brought),
        },
        Datum::Numeric(value) => Datum::Numeric(value.apply_typmod(ty.typmod)?),
        Datum::Timestamp(value) => Datum::Timestamp(round_timestamp(value, ty.typmod)),
        Datum::TimestampTz(value) => Datum::TimestampTz(round_timestamp(value, ty.typmod)),
        Datum::Time(value) => Datum::Time(round_time(value, ty.typmod)),
        Datum::TimeTz(value, zone) => Datum::TimeTz(round_time(value, ty.typmod), zone),
        Datum::Interval(value) => Datum::Interval(Box::new(adjust_interval(*value, ty.typmod)?)),
        Datum::Array(array) => {
            let element = SqlType { oid: array.element.oid, typmod: ty.typmod };
            let elements = array.elements.iter().map(|value| apply_typmod(value.clone(), element, explicit));
            let elements = elements.collect::<EvalResult<Vec<_>>>()?;
            Datum::Array(Arc::new(ArrayValue {
                element: array.element,
                dimensions: array.dimensions.clone(),
                elements,
            }))
        }
        other => other,
    })
}

/// PostgreSQL keeps the bytes; the representation here may have another name.
fn relabel(value: Datum, to: SqlType) -> Datum {
    match (value, to.base()) {
        (Datum::Int4(value), ty) if ty != SqlType::INT4 => Datum::Oid(value as u32),
        (Datum::Oid(value), SqlType::INT4) => Datum::Int4(value as i32),
        (Datum::Array(array), ty) => match ty.element() {
            // The elements of varchar[] become those of text[].
            Some(element) if element.base() != array.element.base() => {
                let elements = array.elements.iter().map(|value| relabel(value.clone(), element)).collect();
                Datum::Array(Arc::new(ArrayValue {
                    element: element.base(),
                    dimensions: array.dimensions.clone(),
                    elements,
                }))
            }
            _ => Datum::Array(array),
        },
        (value, _) => value,
    }
}

fn through_text(value: &Datum, from: SqlType, to: SqlType, ctx: &EvalContext<'_>) -> EvalResult<Datum> {
    let text = value.text_form(from, ctx);
    // The modifier is applied afterwards, as an explicit cast does it; but the fields of an interval say what a number
    // without a unit is: interval '5' minute.
    let is_interval = to.base() == SqlType::INTERVAL;
    Datum::parse(&text, if is_interval { to } else { to.base() }, ctx)
}

fn elements(value: &Datum, from: SqlType, to: SqlType, explicit: bool, ctx: &EvalContext<'_>) -> EvalResult<Datum> {
    let (Datum::Array(array), Some(target)) = (value, to.element()) else {
        return Err(no_such_cast(from, to));
    };
    let method =
        casts::pathway(array.element.oid, target.oid, CastContext::Explicit).ok_or_else(|| no_such_cast(from, to))?;
    let convert = |value: &Datum| cast(value.clone(), array.element, target, method, explicit, ctx);
    let elements = array.elements.iter().map(convert).collect::<EvalResult<Vec<_>>>()?;
    Ok(Datum::Array(Arc::new(ArrayValue { element: target.base(), dimensions: array.dimensions.clone(), elements })))
}

fn no_such_cast(from: SqlType, to: SqlType) -> EvalError {
    EvalError::new("42846", format!("cannot cast type {} to {}", from.base(), to.base()))
}

fn int_of(value: &Datum) -> Option<i64> {
    match value {
        Datum::Int2(v) => Some(i64::from(*v)),
        Datum::Int4(v) => Some(i64::from(*v)),
        Datum::Int8(v) => Some(*v),
        Datum::Oid(v) => Some(i64::from(*v)),
        Datum::Bool(v) => Some(i64::from(*v)),
        _ => None,
    }
}

fn float_of(value: &Datum) -> Option<f64> {
    match value {
        Datum::Float4(v) => Some(f64::from(*v)),
        Datum::Float8(v) => Some(*v),
        _ => None,
    }
}

/// A double to an integer type: to the nearest, even on ties.
fn rounded(value: f64, low: f64, high: f64, name: &str) -> EvalResult<i64> {
    let nearest = value.round_ties_even();
    // `high` itself is one above the largest.
    if nearest.is_nan() || nearest < low || nearest >= high { Err(out_of_range(name)) } else { Ok(nearest as i64) }
}

const I64_LIMIT: f64 = 9_223_372_036_854_775_808.0;

/// The conversions that `pg_cast` has functions for.
fn convert(value: Datum, from: SqlType, to: SqlType, ctx: &EvalContext<'_>) -> EvalResult<Datum> {
    use SqlType as T;
    let target = to.base();
    if from.base() == target {
        // The entry that applies a modifier: done by the caller.
        return Ok(value);
    }
    if let Datum::Jsonb(document) = &value {
        return from_jsonb(document, target);
    }
    Ok(match target {
        T::INT2 => Datum::Int2(
            i16::try_from(to_int(&value, "smallint", -32_768.0, 32_768.0)?).map_err(|_| out_of_range("smallint"))?,
        ),
        T::INT4 => match (&value, from.base()) {
            (Datum::Text(text), _) => Datum::Int4(text.bytes().next().map_or(0, |byte| i32::from(byte as i8))),
            _ => Datum::Int4(
                i32::try_from(to_int(&value, "integer", -2_147_483_648.0, 2_147_483_648.0)?)
                    .map_err(|_| out_of_range("integer"))?,
            ),
        },
        T::INT8 => Datum::Int8(to_int(&value, "bigint", -I64_LIMIT, I64_LIMIT)?),
        T::FLOAT8 => Datum::Float8(match (&value, int_of(&value), float_of(&value)) {
            (Datum::Numeric(v), ..) => v.to_f64()?,
            (_, Some(v), _) => v as f64,
            (.., Some(v)) => v,
            _ => return Err(no_such_cast(from, to)),
        }),
        T::FLOAT4 => Datum::Float4(match (&value, int_of(&value), float_of(&value)) {
            (Datum::Numeric(v), ..) => v.to_f32()?,
            (_, Some(v), _) => v as f32,
            (.., Some(v)) => narrow(v)?,
            _ => return Err(no_such_cast(from, to)),
        }),
        T::NUMERIC => Datum::Numeric(match (&value, int_of(&value)) {
            (_, Some(v)) => Numeric::from(v),
            (Datum::Float8(v), _) => Numeric::from_f64(*v),
            (Datum::Float4(v), _) => Numeric::from_f32(*v),
            _ => return Err(no_such_cast(from, to)),
        }),
        T::BOOL => Datum::Bool(int_of(&value).ok_or_else(|| no_such_cast(from, to))? != 0),
        T::OID => match (oid(&value), &value) {
            (Some(oid), _) => oid,
            (None, Datum::Int8(_)) => return Err(out_of_range("OID")),
            _ => return Err(no_such_cast(from, to)),
        },
        T::DATE => Datum::Date(match value {
            Datum::Timestamp(v) => timestamp_to_date(v),
            Datum::TimestampTz(v) => timestamp_to_date(local(v, ctx)?),
            _ => return Err(no_such_cast(from, to)),
        }),
        T::TIMESTAMP => Datum::Timestamp(match value {
            Datum::Date(v) => date_to_timestamp(v)?,
            Datum::TimestampTz(v) => local(v, ctx)?,
            _ => return Err(no_such_cast(from, to)),
        }),
        T::TIMESTAMPTZ => Datum::TimestampTz(match value {
            Datum::Date(v) => utc(date_to_timestamp(v)?, ctx)?,
            Datum::Timestamp(v) => utc(v, ctx)?,
            _ => return Err(no_such_cast(from, to)),
        }),
        T::TIME => match to_time(&value, ctx)? {
            Some(time) => Datum::Time(time),
            None => return Ok(Datum::Null),
        },
        T::TIMETZ => return to_timetz(&value, from, to, ctx),
        T::INTERVAL => match value {
            Datum::Time(v) => Datum::Interval(Box::new(crate::Interval { micros: v, ..crate::Interval::ZERO })),
            _ => return Err(no_such_cast(from, to)),
        },
        T::CHAR => to_char_type(&value)?.ok_or_else(|| no_such_cast(from, to))?,
        T::NAME => Datum::parse(trimmed(&value, from), T::NAME, ctx)?,
        T::REGCLASS => Datum::parse(trimmed(&value, from), T::REGCLASS, ctx)?,
        T::TEXT | T::VARCHAR | T::BPCHAR => match &value {
            Datum::Bool(v) => Datum::text(if *v { "true" } else { "false" }),
            Datum::Text(text) if from.oid == T::BPCHAR.oid => match text.trim_end_matches(' ') {
                trimmed if trimmed.len() == text.len() => Datum::Text(text.clone()),
                trimmed => Datum::text(trimmed),
            },
            Datum::Text(text) => Datum::Text(text.clone()),
            _ => return Err(no_such_cast(from, to)),
        },
        T::JSONB => Datum::Jsonb(Jsonb::parse(&value.text_form(from, ctx))?.into()),
        T::JSON => Datum::text(value.text_form(from, ctx)),
        _ => match (&value, oid(&value)) {
            // The reg* types take integers as they are.
            (Datum::Int2(_) | Datum::Int8(_), Some(oid)) => oid,
            _ => return Err(no_such_cast(from, to)),
        },
    })
}

fn to_int(value: &Datum, name: &str, low: f64, high: f64) -> EvalResult<i64> {
    if let Some(value) = int_of(value) {
        return Ok(value);
    }
    match value {
        Datum::Float4(v) => rounded(f64::from(*v), low, high, name),
        Datum::Float8(v) => rounded(*v, low, high, name),
        Datum::Numeric(v) => match name {
            "smallint" => v.to_i16().map(i64::from),
            "integer" => v.to_i32().map(i64::from),
            _ => v.to_i64(),
        },
        other => Err(super::native::mismatch("a number", other)),
    }
}

fn narrow(value: f64) -> EvalResult<f32> {
    let single = value as f32;
    if single.is_infinite() && value.is_finite() {
        return Err(EvalError::new("22003", "value out of range: overflow"));
    }
    if single == 0.0 && value != 0.0 {
        return Err(EvalError::new("22003", "value out of range: underflow"));
    }
    Ok(single)
}

fn oid(value: &Datum) -> Option<Datum> {
    match value {
        Datum::Int8(v) => u32::try_from(*v).ok().map(Datum::Oid),
        Datum::Int4(v) => Some(Datum::Oid(*v as u32)),
        Datum::Int2(v) => Some(Datum::Oid(i32::from(*v) as u32)),
        _ => None,
    }
}

pub(super) fn local(utc: i64, ctx: &EvalContext<'_>) -> EvalResult<i64> {
    ctx.settings.time_zone.to_local(utc).ok_or_else(timestamp_out_of_range)
}

pub(super) fn utc(local: i64, ctx: &EvalContext<'_>) -> EvalResult<i64> {
    ctx.settings.time_zone.to_utc(local).ok_or_else(timestamp_out_of_range)
}

/// The time of day; an infinite timestamp has none.
fn to_time(value: &Datum, ctx: &EvalContext<'_>) -> EvalResult<Option<i64>> {
    Ok(match value {
        Datum::Timestamp(v) if is_finite_timestamp(*v) => Some(v.rem_euclid(DAY)),
        Datum::TimestampTz(v) if is_finite_timestamp(*v) => Some(local(*v, ctx)?.rem_euclid(DAY)),
        Datum::Interval(v) => Some(v.micros.rem_euclid(DAY)),
        Datum::TimeTz(v, _) => Some(*v),
        _ => None,
    })
}

fn to_timetz(value: &Datum, from: SqlType, to: SqlType, ctx: &EvalContext<'_>) -> EvalResult<Datum> {
    let zone = &ctx.settings.time_zone;
    Ok(match value {
        Datum::TimestampTz(v) if is_finite_timestamp(*v) => {
            Datum::TimeTz(local(*v, ctx)?.rem_euclid(DAY), -zone.offset_at(*v))
        }
        Datum::TimestampTz(_) => Datum::Null,
        Datum::Time(v) => {
            // The zone's offset is that of this time today.
            let today = local(ctx.transaction_time, ctx)?.div_euclid(DAY) * DAY;
            Datum::TimeTz(*v, -zone.offset_of_local(today + v))
        }
        _ => return Err(no_such_cast(from, to)),
    })
}

fn to_char_type(value: &Datum) -> EvalResult<Option<Datum>> {
    Ok(match value {
        Datum::Text(text) => Some(Datum::text(text.chars().next().map_or(String::new(), String::from))),
        Datum::Int4(code) if i8::try_from(*code).is_err() => return Err(out_of_range("\"char\"")),
        Datum::Int4(0) => Some(Datum::text("")),
        Datum::Int4(code) => {
            u8::try_from(*code).ok().filter(u8::is_ascii).map(|code| Datum::text(char::from(code).to_string()))
        }
        _ => None,
    })
}

/// The text, without the blanks that pad a char(n).
fn trimmed(value: &Datum, from: SqlType) -> &str {
    match value {
        Datum::Text(text) if from.oid == SqlType::BPCHAR.oid => text.trim_end_matches(' '),
        Datum::Text(text) => text,
        _ => "",
    }
}

fn from_jsonb(document: &Jsonb, to: SqlType) -> EvalResult<Datum> {
    let wrong = || {
        let found = match document {
            Jsonb::Null => "null",
            Jsonb::Number(_) => "numeric",
            other => other.type_name(),
        };
        EvalError::new("22023", format!("cannot cast jsonb {found} to type {to}"))
    };
    Ok(match (document, to) {
        (Jsonb::Bool(value), SqlType::BOOL) => Datum::Bool(*value),
        (Jsonb::Number(value), SqlType::NUMERIC) => Datum::Numeric(value.clone()),
        (Jsonb::Number(value), SqlType::INT2) => Datum::Int2(value.to_i16()?),
        (Jsonb::Number(value), SqlType::INT4) => Datum::Int4(value.to_i32()?),
        (Jsonb::Number(value), SqlType::INT8) => Datum::Int8(value.to_i64()?),
        (Jsonb::Number(value), SqlType::FLOAT4) => Datum::Float4(value.to_f32()?),
        (Jsonb::Number(value), SqlType::FLOAT8) => Datum::Float8(value.to_f64()?),
        (document, SqlType::JSON | SqlType::TEXT) => Datum::text(document.to_string()),
        _ => return Err(wrong()),
    })
}

/// The casts that are also called by name: `int4(x)`, `timestamptz(x, 3)`.
pub(super) fn by_call(call: &super::Call<'_>, args: &[&Datum]) -> EvalResult<Datum> {
    let Some((value, modifier)) = args.split_first() else { return Ok(Datum::Null) };
    let (from, to) = (call.arg_type(0), call.result.base());
    let converted = convert((*value).clone(), from, to, call.ctx)?;
    match modifier.first() {
        Some(Datum::Int4(typmod)) => {
            let explicit = !matches!(modifier.get(1), Some(Datum::Bool(false)));
            apply_typmod(converted, to.with_typmod(*typmod), explicit)
        }
        _ => Ok(converted),
    }
}
