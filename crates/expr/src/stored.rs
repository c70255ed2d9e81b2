//! Values as bytes that say themselves what they are: in rows, in push-down programs and in their results.
//!
//! One byte names the form, the rest follows from it. Integers are written with as few bytes as they need (zigzag, then
//! seven bits a byte); everything of variable length begins with its length, so that a reader can pass over it.

use std::sync::Arc;

use bytes::Bytes;

use crate::{ArrayValue, Datum, Interval, Jsonb, Numeric, Oid, SqlType};

/// What was read back is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a stored value is malformed")
    }
}

impl std::error::Error for Malformed {}

/// How deep arrays, records and documents may lie in each other.
const DEPTH_MAX: u32 = 512;

mod tag {
    pub const NULL: u8 = 0;
    pub const FALSE: u8 = 1;
    pub const TRUE: u8 = 2;
    pub const INT2: u8 = 3;
    pub const INT4: u8 = 4;
    pub const INT8: u8 = 5;
    pub const FLOAT4: u8 = 6;
    pub const FLOAT8: u8 = 7;
    pub const NUMERIC: u8 = 8;
    pub const NUMERIC_BIG: u8 = 9;
    pub const TEXT: u8 = 10;
    pub const BYTEA: u8 = 11;
    pub const DATE: u8 = 12;
    pub const TIME: u8 = 13;
    pub const TIMETZ: u8 = 14;
    pub const TIMESTAMP: u8 = 15;
    pub const TIMESTAMPTZ: u8 = 16;
    pub const INTERVAL: u8 = 17;
    pub const UUID: u8 = 18;
    pub const OID: u8 = 19;
    pub const JSONB: u8 = 20;
    pub const ARRAY: u8 = 21;
    pub const RECORD: u8 = 22;
    pub const NUMERIC_NAN: u8 = 23;
    pub const NUMERIC_INFINITY: u8 = 24;
    pub const NUMERIC_NEG_INFINITY: u8 = 25;
}

pub fn put(out: &mut Vec<u8>, value: &Datum) {
    match value {
        Datum::Null => out.push(tag::NULL),
        Datum::Bool(false) => out.push(tag::FALSE),
        Datum::Bool(true) => out.push(tag::TRUE),
        Datum::Int2(value) => put_tagged_int(out, tag::INT2, i64::from(*value)),
        Datum::Int4(value) => put_tagged_int(out, tag::INT4, i64::from(*value)),
        Datum::Int8(value) => put_tagged_int(out, tag::INT8, *value),
        Datum::Float4(value) => {
            out.push(tag::FLOAT4);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        Datum::Float8(value) => {
            out.push(tag::FLOAT8);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        Datum::Numeric(value) => put_numeric(out, value),
        Datum::Text(text) => put_tagged_bytes(out, tag::TEXT, text.as_bytes()),
        Datum::Bytea(bytes) => put_tagged_bytes(out, tag::BYTEA, bytes),
        Datum::Date(value) => put_tagged_int(out, tag::DATE, i64::from(*value)),
        Datum::Time(value) => put_tagged_int(out, tag::TIME, *value),
        Datum::TimeTz(time, zone) => {
            put_tagged_int(out, tag::TIMETZ, *time);
            put_int(out, i64::from(*zone));
        }
        Datum::Timestamp(value) => put_tagged_int(out, tag::TIMESTAMP, *value),
        Datum::TimestampTz(value) => put_tagged_int(out, tag::TIMESTAMPTZ, *value),
        Datum::Interval(value) => {
            put_tagged_int(out, tag::INTERVAL, i64::from(value.months));
            put_int(out, i64::from(value.days));
            put_int(out, value.micros);
        }
        Datum::Uuid(bytes) => {
            out.push(tag::UUID);
            out.extend_from_slice(bytes);
        }
        Datum::Oid(value) => put_tagged_int(out, tag::OID, i64::from(*value)),
        Datum::Jsonb(document) => put_tagged_body(out, tag::JSONB, |body| put_jsonb(body, document)),
        Datum::Array(array) => put_tagged_body(out, tag::ARRAY, |body| {
            put_type(body, array.element);
            put_uint(body, array.dimensions.len() as u64);
            for (length, lower) in &array.dimensions {
                put_int(body, i64::from(*length));
                put_int(body, i64::from(*lower));
            }
            put_list(body, &array.elements);
        }),
        Datum::Record(fields) => put_tagged_body(out, tag::RECORD, |body| put_list(body, fields)),
    }
}

pub fn take(input: &mut &[u8]) -> Result<Datum, Malformed> {
    take_nested(input, 0)
}

/// Passes over one value.
pub fn skip(input: &mut &[u8]) -> Result<(), Malformed> {
    match take_u8(input)? {
        tag::NULL | tag::FALSE | tag::TRUE | tag::NUMERIC_NAN | tag::NUMERIC_INFINITY | tag::NUMERIC_NEG_INFINITY => {
            Ok(())
        }
        tag::INT2 | tag::INT4 | tag::INT8 | tag::DATE | tag::TIME | tag::TIMESTAMP | tag::TIMESTAMPTZ | tag::OID => {
            take_uint(input).map(drop)
        }
        tag::TIMETZ => take_uint(input).and_then(|_| take_uint(input)).map(drop),
        tag::INTERVAL => (0..3).try_for_each(|_| take_uint(input).map(drop)),
        tag::FLOAT4 => take_slice(input, 4).map(drop),
        tag::FLOAT8 => take_slice(input, 8).map(drop),
        tag::UUID => take_slice(input, 16).map(drop),
        tag::NUMERIC => take_slice(input, 1).and_then(|_| take_body(input)).map(drop),
        tag::NUMERIC_BIG | tag::TEXT | tag::BYTEA | tag::JSONB | tag::ARRAY | tag::RECORD => take_body(input).map(drop),
        _ => Err(Malformed),
    }
}

fn take_nested(input: &mut &[u8], depth: u32) -> Result<Datum, Malformed> {
    if depth > DEPTH_MAX {
        return Err(Malformed);
    }
    Ok(match take_u8(input)? {
        tag::NULL => Datum::Null,
        tag::FALSE => Datum::Bool(false),
        tag::TRUE => Datum::Bool(true),
        tag::INT2 => Datum::Int2(narrow(take_int(input)?)?),
        tag::INT4 => Datum::Int4(narrow(take_int(input)?)?),
        tag::INT8 => Datum::Int8(take_int(input)?),
        tag::FLOAT4 => Datum::Float4(f32::from_bits(u32::from_le_bytes(take_array(input)?))),
        tag::FLOAT8 => Datum::Float8(f64::from_bits(u64::from_le_bytes(take_array(input)?))),
        tag::NUMERIC => {
            let scale = u16::from(take_u8(input)?);
            Datum::Numeric(Numeric::from_scaled(mantissa(take_body(input)?)?, scale))
        }
        tag::NUMERIC_BIG => Datum::Numeric(take_big(take_body(input)?)?),
        tag::NUMERIC_NAN => Datum::Numeric(Numeric::NAN),
        tag::NUMERIC_INFINITY => Datum::Numeric(Numeric::INFINITY),
        tag::NUMERIC_NEG_INFINITY => Datum::Numeric(Numeric::NEG_INFINITY),
        tag::TEXT => Datum::Text(Arc::from(std::str::from_utf8(take_body(input)?).map_err(|_| Malformed)?)),
        tag::BYTEA => Datum::Bytea(Bytes::copy_from_slice(take_body(input)?)),
        tag::DATE => Datum::Date(narrow(take_int(input)?)?),
        tag::TIME => Datum::Time(take_int(input)?),
        tag::TIMETZ => Datum::TimeTz(take_int(input)?, narrow(take_int(input)?)?),
        tag::TIMESTAMP => Datum::Timestamp(take_int(input)?),
        tag::TIMESTAMPTZ => Datum::TimestampTz(take_int(input)?),
        tag::INTERVAL => {
            let (months, days, micros) = (narrow(take_int(input)?)?, narrow(take_int(input)?)?, take_int(input)?);
            Datum::Interval(Box::new(Interval { months, days, micros }))
        }
        tag::UUID => Datum::Uuid(take_array(input)?),
        tag::OID => Datum::Oid(u32::try_from(take_int(input)?).map_err(|_| Malformed)?),
        tag::JSONB => Datum::Jsonb(Arc::new(whole(take_body(input)?, |body| take_jsonb(body, depth + 1))?)),
        tag::ARRAY => Datum::Array(Arc::new(whole(take_body(input)?, |body| take_array_value(body, depth + 1))?)),
        tag::RECORD => Datum::Record(whole(take_body(input)?, |body| take_list(body, depth + 1))?.into()),
        _ => return Err(Malformed),
    })
}

// ---- the parts ----

pub(crate) fn put_uint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn take_uint(input: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take_u8(input)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Malformed)
}

pub(crate) fn put_int(out: &mut Vec<u8>, value: i64) {
    put_uint(out, (value << 1 ^ value >> 63) as u64);
}

pub(crate) fn take_int(input: &mut &[u8]) -> Result<i64, Malformed> {
    let zigzag = take_uint(input)?;
    Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
}

pub(crate) fn put_body(out: &mut Vec<u8>, body: &[u8]) {
    put_uint(out, body.len() as u64);
    out.extend_from_slice(body);
}

pub(crate) fn take_body<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let length = usize::try_from(take_uint(input)?).map_err(|_| Malformed)?;
    take_slice(input, length)
}

pub(crate) fn take_u8(input: &mut &[u8]) -> Result<u8, Malformed> {
    let (first, rest) = input.split_first().ok_or(Malformed)?;
    *input = rest;
    Ok(*first)
}

pub(crate) fn put_type(out: &mut Vec<u8>, ty: SqlType) {
    put_uint(out, u64::from(ty.oid.0));
    put_int(out, i64::from(ty.typmod));
}

pub(crate) fn take_type(input: &mut &[u8]) -> Result<SqlType, Malformed> {
    let oid = u32::try_from(take_uint(input)?).map_err(|_| Malformed)?;
    Ok(SqlType { oid: Oid(oid), typmod: narrow(take_int(input)?)? })
}

fn take_slice<'a>(input: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    let (taken, rest) = input.split_at_checked(length).ok_or(Malformed)?;
    *input = rest;
    Ok(taken)
}

fn take_array<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (taken, rest) = input.split_first_chunk::<N>().ok_or(Malformed)?;
    *input = rest;
    Ok(*taken)
}

fn narrow<T: TryFrom<i64>>(value: i64) -> Result<T, Malformed> {
    T::try_from(value).map_err(|_| Malformed)
}

/// Reads a body to its very end.
fn whole<T>(mut body: &[u8], read: impl FnOnce(&mut &[u8]) -> Result<T, Malformed>) -> Result<T, Malformed> {
    let value = read(&mut body)?;
    if body.is_empty() { Ok(value) } else { Err(Malformed) }
}

fn put_tagged_int(out: &mut Vec<u8>, tag: u8, value: i64) {
    out.push(tag);
    put_int(out, value);
}

fn put_tagged_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    put_body(out, bytes);
}

fn put_tagged_body(out: &mut Vec<u8>, tag: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let mut body = Vec::new();
    write(&mut body);
    put_tagged_bytes(out, tag, &body);
}

fn put_list(out: &mut Vec<u8>, list: &[Datum]) {
    put_uint(out, list.len() as u64);
    list.iter().for_each(|value| put(out, value));
}

fn take_list(input: &mut &[u8], depth: u32) -> Result<Vec<Datum>, Malformed> {
    let count = take_count(input)?;
    (0..count).map(|_| take_nested(input, depth)).collect()
}

/// A count of things that take a byte at least.
pub(crate) fn take_count(input: &mut &[u8]) -> Result<usize, Malformed> {
    let count = usize::try_from(take_uint(input)?).map_err(|_| Malformed)?;
    if count > input.len() { Err(Malformed) } else { Ok(count) }
}

fn put_numeric(out: &mut Vec<u8>, value: &Numeric) {
    if let Some((mantissa, scale)) = value.as_scaled()
        && let Ok(scale) = u8::try_from(scale)
    {
        out.extend_from_slice(&[tag::NUMERIC, scale]);
        let bytes = mantissa.to_be_bytes();
        let sign = if mantissa < 0 { 0xff } else { 0 };
        let skip = bytes.windows(2).take_while(|two| two[0] == sign && (two[1] ^ sign) & 0x80 == 0).count();
        put_body(out, &bytes[skip..]);
        return;
    }
    let parts = value.with_digits(|negative, weight, digits| (negative, weight, digits.to_vec()));
    match parts {
        Some((negative, weight, digits)) => put_tagged_body(out, tag::NUMERIC_BIG, |body| {
            body.push(u8::from(negative));
            put_int(body, i64::from(weight));
            put_int(body, i64::from(value.scale().unwrap_or(0)));
            digits.iter().for_each(|digit| put_uint(body, u64::from(*digit)));
        }),
        None if value.is_nan() => out.push(tag::NUMERIC_NAN),
        None if value.signum() > 0 => out.push(tag::NUMERIC_INFINITY),
        None => out.push(tag::NUMERIC_NEG_INFINITY),
    }
}

fn mantissa(bytes: &[u8]) -> Result<i128, Malformed> {
    if bytes.is_empty() || bytes.len() > 16 {
        return Err(Malformed);
    }
    let start = if bytes[0] & 0x80 != 0 { -1 } else { 0 };
    Ok(bytes.iter().fold(start, |value, byte| value << 8 | i128::from(*byte)))
}

fn take_big(mut body: &[u8]) -> Result<Numeric, Malformed> {
    let negative = take_u8(&mut body)? != 0;
    let (weight, scale) = (narrow(take_int(&mut body)?)?, narrow(take_int(&mut body)?)?);
    let mut digits = Vec::with_capacity(body.len());
    while !body.is_empty() {
        digits.push(u16::try_from(take_uint(&mut body)?).map_err(|_| Malformed)?);
    }
    Numeric::from_parts(negative, weight, &digits, scale).map_err(|_| Malformed)
}

fn take_array_value(input: &mut &[u8], depth: u32) -> Result<ArrayValue, Malformed> {
    let element = take_type(input)?;
    let dimensions = (0..take_count(input)?)
        .map(|_| Ok((narrow(take_int(input)?)?, narrow(take_int(input)?)?)))
        .collect::<Result<_, _>>()?;
    Ok(ArrayValue { element, dimensions, elements: take_list(input, depth)? })
}

fn put_jsonb(out: &mut Vec<u8>, document: &Jsonb) {
    match document {
        Jsonb::Null => out.push(0),
        Jsonb::Bool(value) => out.push(1 + u8::from(*value)),
        Jsonb::String(text) => put_tagged_bytes(out, 3, text.as_bytes()),
        Jsonb::Number(number) => {
            out.push(4);
            put_numeric(out, number);
        }
        Jsonb::Array(elements) => {
            out.push(5);
            put_uint(out, elements.len() as u64);
            elements.iter().for_each(|element| put_jsonb(out, element));
        }
        Jsonb::Object(pairs) => {
            out.push(6);
            put_uint(out, pairs.len() as u64);
            for (key, value) in pairs {
                put_body(out, key.as_bytes());
                put_jsonb(out, value);
            }
        }
    }
}

fn take_jsonb(input: &mut &[u8], depth: u32) -> Result<Jsonb, Malformed> {
    if depth > DEPTH_MAX {
        return Err(Malformed);
    }
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(Arc::<str>::from).map_err(|_| Malformed);
    Ok(match take_u8(input)? {
        0 => Jsonb::Null,
        1 => Jsonb::Bool(false),
        2 => Jsonb::Bool(true),
        3 => Jsonb::String(text(take_body(input)?)?),
        4 => match take_nested(input, depth)? {
            Datum::Numeric(number) => Jsonb::Number(number),
            _ => return Err(Malformed),
        },
        5 => Jsonb::Array((0..take_count(input)?).map(|_| take_jsonb(input, depth + 1)).collect::<Result<_, _>>()?),
        6 => {
            let pairs = (0..take_count(input)?).map(|_| Ok((text(take_body(input)?)?, take_jsonb(input, depth + 1)?)));
            Jsonb::Object(pairs.collect::<Result<_, Malformed>>()?)
        }
        _ => return Err(Malformed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(value: &Datum) -> String {
        let mut bytes = Vec::new();
        put(&mut bytes, value);
        let mut rest = &bytes[..];
        skip(&mut rest).unwrap();
        assert!(rest.is_empty(), "skip reads exactly one value: {value:?}");
        let mut rest = &bytes[..];
        let back = take(&mut rest).unwrap();
        assert!(rest.is_empty());
        format!("{back:?}")
    }

    #[test]
    fn every_form_comes_back() {
        let array = ArrayValue {
            element: SqlType::INT4,
            dimensions: vec![(2, 1)],
            elements: vec![Datum::Int4(1), Datum::Null],
        };
        let document = Jsonb::parse(r#"{"a": [1, 2.50, null, true, "x"], "b": {}}"#).unwrap();
        let numbers = [
            "0",
            "-1.50",
            "123456789012345678901234567890123456789012345.6789",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e-300",
        ];
        let mut values = vec![
            Datum::Null,
            Datum::Bool(true),
            Datum::Int2(-2),
            Datum::Int4(i32::MIN),
            Datum::Int8(i64::MAX),
            Datum::Float4(-0.0),
            Datum::Float8(f64::NAN),
            Datum::text("grüße"),
            Datum::Bytea(Bytes::from_static(&[0, 255])),
            Datum::Date(i32::MAX),
            Datum::Time(1),
            Datum::TimeTz(1, -3600),
            Datum::Timestamp(i64::MIN),
            Datum::TimestampTz(5),
            Datum::Interval(Box::new(Interval { months: -1, days: 2, micros: -3 })),
            Datum::Uuid([7; 16]),
            Datum::Oid(u32::MAX),
            Datum::Jsonb(Arc::new(document)),
            Datum::Array(Arc::new(array)),
            Datum::Record(vec![Datum::Int4(1), Datum::text("a")].into()),
        ];
        values.extend(numbers.iter().map(|text| Datum::Numeric(text.parse().unwrap())));
        for value in values {
            assert_eq!(round_trip(&value), format!("{value:?}"));
        }
    }

    proptest! {
        #[test]
        fn integers_come_back(value: i64) {
            let mut bytes = Vec::new();
            put_int(&mut bytes, value);
            prop_assert_eq!(take_int(&mut &bytes[..]), Ok(value));
        }

        #[test]
        fn garbage_is_an_error(bytes: Vec<u8>) {
            let _ = take(&mut &bytes[..]);
            let _ = skip(&mut &bytes[..]);
        }
    }
}
