//! Documents made of values: to_json, row_to_json, json_build_object and their kin.

use std::sync::Arc;

use super::native::{Call, Table, scalar};
use crate::datetime::write_json_moment;
use crate::json::{Jsonb, escape_into, parse};
use crate::{ArrayValue, Datum, EvalContext, EvalError, EvalResult, Numeric, SqlType};

pub(super) const FUNCTIONS: &[Table] = &[&[
    scalar!("to_json", |call; value: &Datum| text_of(value, call.arg_type(0), call.ctx)),
    scalar!("to_jsonb", |call; value: &Datum| jsonb_of(value, call.arg_type(0), call.ctx)),
    scalar!("array_to_json", |call; value: &Datum| text_of(value, call.arg_type(0), call.ctx)),
    scalar!("array_to_json_pretty", |call; value: &Datum, pretty: bool| lines_of(call, value, pretty)),
    scalar!("row_to_json", |call; value: &Datum| text_of(value, call.arg_type(0), call.ctx)),
    scalar!("row_to_json_pretty", |call; value: &Datum, pretty: bool| lines_of(call, value, pretty)),
    ("json_build_array", |call, args| build_array_text(call, args).map(Datum::text)),
    scalar!("json_build_array_noargs", || "[]"),
    ("json_build_object", |call, args| build_object_text(call, args).map(Datum::text)),
    scalar!("json_build_object_noargs", || "{}"),
    ("jsonb_build_array", |call, args| build_array(call, args).map(|json| Datum::Jsonb(json.into()))),
    scalar!("jsonb_build_array_noargs", || Jsonb::Array(Vec::new())),
    ("jsonb_build_object", |call, args| build_object(call, args).map(|json| Datum::Jsonb(json.into()))),
    scalar!("jsonb_build_object_noargs", || Jsonb::Object(Vec::new())),
    scalar!("json_object", |list: &ArrayValue| object_text(&pairs_of_list(list)?)),
    scalar!("json_object_two_arg", |keys: &ArrayValue, values: &ArrayValue| object_text(&pairs_of_two(keys, values)?)),
    scalar!("jsonb_object", |list: &ArrayValue| object_of(pairs_of_list(list)?)),
    scalar!("jsonb_object_two_arg", |keys: &ArrayValue, values: &ArrayValue| object_of(pairs_of_two(keys, values)?)),
]];

/// How a value is written in JSON.
enum Form {
    Bare,
    Quoted,
}

/// Dates and times as ISO 8601, whatever DateStyle is.
fn scalar_text(value: &Datum, ty: SqlType, ctx: &EvalContext<'_>) -> (Form, String) {
    match value {
        Datum::Bool(value) => (Form::Bare, value.to_string()),
        Datum::Int2(_) | Datum::Int4(_) | Datum::Int8(_) => (Form::Bare, value.text_form(ty, ctx)),
        Datum::Float4(v) if v.is_finite() => (Form::Bare, value.text_form(ty, ctx)),
        Datum::Float8(v) if v.is_finite() => (Form::Bare, value.text_form(ty, ctx)),
        Datum::Numeric(v) if v.is_finite() => (Form::Bare, v.to_string()),
        Datum::Date(_) | Datum::Timestamp(_) | Datum::TimestampTz(_) => {
            let mut out = String::new();
            write_json_moment(&mut out, value, ctx);
            (Form::Quoted, out)
        }
        _ => (Form::Quoted, value.text_form(ty, ctx)),
    }
}

/// Appends a value as JSON text, without blanks.
pub(crate) fn write_json(out: &mut String, value: &Datum, ty: SqlType, ctx: &EvalContext<'_>) {
    write_json_lines(out, value, ty, ctx, false);
}

/// `lines`: the elements of the outermost array or record stand on lines of their own.
fn write_json_lines(out: &mut String, value: &Datum, ty: SqlType, ctx: &EvalContext<'_>, lines: bool) {
    let separator = if lines { ",\n " } else { "," };
    match value {
        Datum::Null => out.push_str("null"),
        Datum::Text(text) if ty.oid == SqlType::JSON.oid => out.push_str(text),
        Datum::Jsonb(document) => out.push_str(&document.to_string()),
        Datum::Array(array) => write_dimension(out, array, 0, &mut array.elements.iter(), ctx, separator),
        Datum::Record(fields) => {
            out.push('{');
            for (at, field) in fields.iter().enumerate() {
                out.push_str(if at > 0 { separator } else { "" });
                out.push_str(&format!("\"f{}\":", at + 1));
                write_json(out, field, field.natural_type(), ctx);
            }
            out.push('}');
        }
        scalar => match scalar_text(scalar, ty, ctx) {
            (Form::Bare, text) => out.push_str(&text),
            // Writing to a string cannot fail.
            (Form::Quoted, text) => drop(escape_into(out, &text)),
        },
    }
}

fn write_dimension<'a>(
    out: &mut String,
    array: &ArrayValue,
    depth: usize,
    elements: &mut impl Iterator<Item = &'a Datum>,
    ctx: &EvalContext<'_>,
    separator: &str,
) {
    out.push('[');
    let length = array.dimensions.get(depth).map_or(0, |(length, _)| *length);
    for at in 0..length {
        out.push_str(if at > 0 { separator } else { "" });
        if depth + 1 < array.dimensions.len() {
            write_dimension(out, array, depth + 1, elements, ctx, ",");
        } else if let Some(element) = elements.next() {
            write_json(out, element, array.element, ctx);
        }
    }
    out.push(']');
}

fn text_of(value: &Datum, ty: SqlType, ctx: &EvalContext<'_>) -> String {
    let mut out = String::new();
    write_json(&mut out, value, ty, ctx);
    out
}

fn lines_of(call: &Call<'_>, value: &Datum, pretty: bool) -> String {
    let mut out = String::new();
    write_json_lines(&mut out, value, call.arg_type(0), call.ctx, pretty);
    out
}

/// A value as a document.
pub(crate) fn jsonb_of(value: &Datum, ty: SqlType, ctx: &EvalContext<'_>) -> EvalResult<Jsonb> {
    Ok(match value {
        Datum::Null => Jsonb::Null,
        Datum::Bool(value) => Jsonb::Bool(*value),
        Datum::Int2(v) => Jsonb::Number(Numeric::from(i32::from(*v))),
        Datum::Int4(v) => Jsonb::Number(Numeric::from(*v)),
        Datum::Int8(v) => Jsonb::Number(Numeric::from(*v)),
        Datum::Numeric(v) if v.is_finite() => Jsonb::Number(v.clone()),
        Datum::Text(text) if ty.oid == SqlType::JSON.oid => Jsonb::from_node(&parse(text)?)?,
        Datum::Jsonb(document) => (**document).clone(),
        Datum::Array(array) => dimension_of(array, 0, &mut array.elements.iter(), ctx)?,
        Datum::Record(fields) => {
            let field = |(at, field): (usize, &Datum)| {
                Ok((Arc::from(format!("f{}", at + 1)), jsonb_of(field, field.natural_type(), ctx)?))
            };
            Jsonb::object(fields.iter().enumerate().map(field).collect::<EvalResult<_>>()?)
        }
        scalar => match scalar_text(scalar, ty, ctx) {
            (Form::Bare, text) => Jsonb::Number(text.parse()?),
            (Form::Quoted, text) => Jsonb::String(text.into()),
        },
    })
}

fn dimension_of<'a>(
    array: &ArrayValue,
    depth: usize,
    elements: &mut impl Iterator<Item = &'a Datum>,
    ctx: &EvalContext<'_>,
) -> EvalResult<Jsonb> {
    let length = array.dimensions.get(depth).map_or(0, |(length, _)| *length);
    let mut list = Vec::new();
    for _ in 0..length {
        if depth + 1 < array.dimensions.len() {
            list.push(dimension_of(array, depth + 1, elements, ctx)?);
        } else if let Some(element) = elements.next() {
            list.push(jsonb_of(element, array.element, ctx)?);
        }
    }
    Ok(Jsonb::Array(list))
}

fn build_array_text(call: &Call<'_>, args: &[&Datum]) -> EvalResult<String> {
    let mut out = String::from("[");
    for (at, value) in args.iter().enumerate() {
        out.push_str(if at > 0 { ", " } else { "" });
        write_json(&mut out, value, call.arg_type(at), call.ctx);
    }
    out.push(']');
    Ok(out)
}

fn build_array(call: &Call<'_>, args: &[&Datum]) -> EvalResult<Jsonb> {
    let element = |(at, value): (usize, &&Datum)| jsonb_of(value, call.arg_type(at), call.ctx);
    Ok(Jsonb::Array(args.iter().enumerate().map(element).collect::<EvalResult<_>>()?))
}

/// A key from a value: a scalar's text.
pub(crate) fn key_of(value: &Datum, ty: SqlType, ctx: &EvalContext<'_>) -> EvalResult<String> {
    match value {
        Datum::Array(_) | Datum::Record(_) | Datum::Jsonb(_) => Err(not_a_key()),
        Datum::Text(_) if ty.oid == SqlType::JSON.oid => Err(not_a_key()),
        scalar => Ok(scalar_text(scalar, ty, ctx).1),
    }
}

fn not_a_key() -> EvalError {
    EvalError::new("22023", "key value must be scalar, not array, composite, or json")
}

fn even(args: &[&Datum], name: &str) -> EvalResult<()> {
    if args.len().is_multiple_of(2) {
        return Ok(());
    }
    Err(EvalError::new("22023", "argument list must have even number of elements")
        .with_hint(format!("The arguments of {name}() must consist of alternating keys and values.")))
}

fn build_object_text(call: &Call<'_>, args: &[&Datum]) -> EvalResult<String> {
    even(args, "json_build_object")?;
    let mut out = String::from("{");
    for (number, pair) in args.chunks_exact(2).enumerate() {
        let at = number * 2;
        out.push_str(if number > 0 { ", " } else { "" });
        if pair[0].is_null() {
            return Err(EvalError::new("22023", format!("argument {} cannot be null", at + 1))
                .with_hint("Object keys should be text."));
        }
        // Writing to a string cannot fail.
        let _ = escape_into(&mut out, &key_of(pair[0], call.arg_type(at), call.ctx)?);
        out.push_str(" : ");
        write_json(&mut out, pair[1], call.arg_type(at + 1), call.ctx);
    }
    out.push('}');
    Ok(out)
}

fn build_object(call: &Call<'_>, args: &[&Datum]) -> EvalResult<Jsonb> {
    even(args, "jsonb_build_object")?;
    let pair = |(number, pair): (usize, &[&Datum])| {
        let at = number * 2;
        if pair[0].is_null() {
            return Err(EvalError::new("22023", format!("argument {}: key must not be null", at + 1)));
        }
        let key = key_of(pair[0], call.arg_type(at), call.ctx)?;
        Ok((Arc::from(key), jsonb_of(pair[1], call.arg_type(at + 1), call.ctx)?))
    };
    Ok(Jsonb::object(args.chunks_exact(2).enumerate().map(pair).collect::<EvalResult<_>>()?))
}

type Pairs = Vec<(Arc<str>, Option<Arc<str>>)>;

fn pair(key: &Datum, value: &Datum) -> EvalResult<(Arc<str>, Option<Arc<str>>)> {
    let Datum::Text(key) = key else { return Err(EvalError::new("22004", "null value not allowed for object key")) };
    let value = if let Datum::Text(value) = value { Some(value.clone()) } else { None };
    Ok((key.clone(), value))
}

/// `{k, v, k, v}` or `{{k, v}, {k, v}}`.
fn pairs_of_list(list: &ArrayValue) -> EvalResult<Pairs> {
    match list.dimensions[..] {
        [] => return Ok(Vec::new()),
        [(length, _)] if length % 2 != 0 => {
            return Err(EvalError::new("2202E", "array must have even number of elements"));
        }
        [_] | [_, (2, _)] => {}
        [_, _] => return Err(EvalError::new("2202E", "array must have two columns")),
        _ => return Err(EvalError::new("2202E", "wrong number of array subscripts")),
    }
    list.elements.chunks_exact(2).map(|two| pair(&two[0], &two[1])).collect()
}

fn pairs_of_two(keys: &ArrayValue, values: &ArrayValue) -> EvalResult<Pairs> {
    if keys.dimensions.len() > 1 || keys.dimensions.len() != values.dimensions.len() {
        return Err(EvalError::new("2202E", "wrong number of array subscripts"));
    }
    if keys.elements.len() != values.elements.len() {
        return Err(EvalError::new("2202E", "mismatched array dimensions"));
    }
    keys.elements.iter().zip(&values.elements).map(|(key, value)| pair(key, value)).collect()
}

fn object_text(pairs: &Pairs) -> String {
    let mut out = String::from("{");
    for (at, (key, value)) in pairs.iter().enumerate() {
        out.push_str(if at > 0 { ", " } else { "" });
        // Writing to a string cannot fail.
        let _ = escape_into(&mut out, key);
        out.push_str(" : ");
        match value {
            Some(value) => drop(escape_into(&mut out, value)),
            None => out.push_str("null"),
        }
    }
    out.push('}');
    out
}

fn object_of(pairs: Pairs) -> Jsonb {
    let value = |value: Option<Arc<str>>| value.map_or(Jsonb::Null, Jsonb::String);
    Jsonb::object(pairs.into_iter().map(|(key, v)| (key, value(v))).collect())
}
