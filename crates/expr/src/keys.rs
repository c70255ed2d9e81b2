//! Columns in keys: bytes whose order is PostgreSQL's order of the values.
//!
//! ```text
//! NULL           00 (nulls first) or fe (nulls last)
//! integers       78 … 88, then the digits (keyspace::encoding::put_int): no marker of their own
//! all others     01, then the value
//! ```
//!
//! A descending column has the bits of its value flipped; where NULLs stand is said by the index, not by the direction.
//! What the key of a value does not tell apart (`1.0` and `1.00`, `-0` and `0`, trailing blanks of `char(n)`) PostgreSQL
//! holds to be equal; a row keeps such columns in its value too ([`restores`]).

use keyspace::encoding::{self, invert};

use crate::{Datum, EvalError, EvalResult, Numeric, SqlType};

/// One column of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyColumn {
    pub ty: SqlType,
    pub descending: bool,
    pub nulls_first: bool,
}

const NULL_FIRST: u8 = 0x00;
const VALUE: u8 = 0x01;
const NULL_LAST: u8 = 0xfe;

/// Can a value of this type be read back from a key exactly as it was?
pub fn restores(ty: SqlType) -> bool {
    matches!(form(ty), Some(Form::Bool | Form::Int | Form::Text | Form::Bytes | Form::Uuid))
}

/// Can the type be part of a key at all?
pub fn is_sortable(ty: SqlType) -> bool {
    form(ty).is_some()
}

enum Form {
    Bool,
    Int,
    Float,
    Text,
    /// `char(n)`: trailing blanks do not count.
    Padded,
    Bytes,
    Uuid,
    Numeric,
    TimeTz,
    Interval,
}

fn form(ty: SqlType) -> Option<Form> {
    Some(match ty.base() {
        SqlType::BOOL => Form::Bool,
        SqlType::INT2
        | SqlType::INT4
        | SqlType::INT8
        | SqlType::OID
        | SqlType::DATE
        | SqlType::TIME
        | SqlType::TIMESTAMP
        | SqlType::TIMESTAMPTZ => Form::Int,
        SqlType::REGCLASS | SqlType::REGTYPE | SqlType::REGPROC | SqlType::REGNAMESPACE | SqlType::REGROLE => Form::Int,
        SqlType::FLOAT4 | SqlType::FLOAT8 => Form::Float,
        SqlType::TEXT | SqlType::VARCHAR | SqlType::NAME | SqlType::CHAR => Form::Text,
        SqlType::BPCHAR => Form::Padded,
        SqlType::BYTEA => Form::Bytes,
        SqlType::UUID => Form::Uuid,
        SqlType::NUMERIC => Form::Numeric,
        SqlType::TIMETZ => Form::TimeTz,
        SqlType::INTERVAL => Form::Interval,
        _ => return None,
    })
}

/// Appends a value. 0A000 for types that have no form here.
pub fn put(out: &mut Vec<u8>, value: &Datum, column: &KeyColumn) -> EvalResult<()> {
    let start = out.len();
    match value {
        Datum::Null => {
            out.push(if column.nulls_first { NULL_FIRST } else { NULL_LAST });
            return Ok(());
        }
        Datum::Bool(value) => encoding::put_int(out, i64::from(*value)),
        Datum::Int2(value) => encoding::put_int(out, i64::from(*value)),
        Datum::Int4(value) | Datum::Date(value) => encoding::put_int(out, i64::from(*value)),
        Datum::Int8(value) | Datum::Time(value) | Datum::Timestamp(value) | Datum::TimestampTz(value) => {
            encoding::put_int(out, *value)
        }
        Datum::Oid(value) => encoding::put_int(out, i64::from(*value)),
        other => {
            out.push(VALUE);
            put_marked(out, other, column.ty)?;
            if column.descending {
                invert(&mut out[start + 1..]);
            }
            return Ok(());
        }
    }
    if column.descending {
        invert(&mut out[start..]);
    }
    Ok(())
}

fn put_marked(out: &mut Vec<u8>, value: &Datum, ty: SqlType) -> EvalResult<()> {
    match value {
        Datum::Float4(value) => encoding::put_f64(out, f64::from(*value)),
        Datum::Float8(value) => encoding::put_f64(out, *value),
        Datum::Text(text) if ty.base() == SqlType::BPCHAR => {
            encoding::put_bytes(out, text.trim_end_matches(' ').as_bytes())
        }
        Datum::Text(text) => encoding::put_bytes(out, text.as_bytes()),
        Datum::Bytea(bytes) => encoding::put_bytes(out, bytes),
        Datum::Uuid(bytes) => out.extend_from_slice(bytes),
        Datum::Numeric(value) => put_numeric(out, value),
        Datum::TimeTz(time, zone) => {
            encoding::put_int(out, time + i64::from(*zone) * 1_000_000);
            encoding::put_int(out, i64::from(*zone));
        }
        Datum::Interval(interval) => {
            let ordered = interval.comparison_micros() as u128 ^ 1 << 127;
            out.extend_from_slice(&ordered.to_be_bytes());
        }
        _ => return Err(EvalError::new("0A000", format!("a value of type {ty} cannot be part of a key"))),
    }
    Ok(())
}

/// Takes a value that [`put`] appended; `None` where the bytes are no such value. Of types that [`restores`] does not
/// name an equal value comes back, not the same one.
pub fn take(input: &mut &[u8], column: &KeyColumn) -> Option<Datum> {
    match *input.first()? {
        NULL_FIRST if column.nulls_first => {
            *input = &input[1..];
            return Some(Datum::Null);
        }
        NULL_LAST if !column.nulls_first => {
            *input = &input[1..];
            return Some(Datum::Null);
        }
        _ => {}
    }
    if !column.descending {
        return take_value(input, column.ty);
    }
    // Only the value is flipped, not its marker.
    let mut copy = input.to_vec();
    let from = usize::from(copy[0] == VALUE);
    invert(&mut copy[from..]);
    let mut rest = &copy[..];
    let value = take_value(&mut rest, column.ty)?;
    *input = &input[input.len() - rest.len()..];
    Some(value)
}

fn take_value(input: &mut &[u8], ty: SqlType) -> Option<Datum> {
    let form = form(ty)?;
    if matches!(form, Form::Bool | Form::Int) {
        return int_of_type(encoding::take_int(input)?, ty);
    }
    let (marker, rest) = input.split_first()?;
    if *marker != VALUE {
        return None;
    }
    *input = rest;
    Some(match form {
        Form::Bool | Form::Int => return None,
        Form::Float => {
            let value = encoding::take_f64(input)?;
            if ty.base() == SqlType::FLOAT4 { Datum::Float4(value as f32) } else { Datum::Float8(value) }
        }
        Form::Text | Form::Padded => Datum::text(String::from_utf8(encoding::take_bytes(input)?).ok()?),
        Form::Bytes => Datum::Bytea(encoding::take_bytes(input)?.into()),
        Form::Uuid => {
            let (bytes, rest) = input.split_first_chunk::<16>()?;
            *input = rest;
            Datum::Uuid(*bytes)
        }
        Form::Numeric => Datum::Numeric(take_numeric(input)?),
        Form::TimeTz => {
            let (utc, zone) = (encoding::take_int(input)?, encoding::take_int(input)?);
            Datum::TimeTz(utc - zone * 1_000_000, i32::try_from(zone).ok()?)
        }
        Form::Interval => {
            let (bytes, rest) = input.split_first_chunk::<16>()?;
            *input = rest;
            let micros = (u128::from_be_bytes(*bytes) ^ 1 << 127) as i128;
            let days = micros / 86_400_000_000;
            let interval = crate::Interval {
                months: 0,
                days: i32::try_from(days).ok()?,
                micros: (micros - days * 86_400_000_000) as i64,
            };
            Datum::Interval(Box::new(interval))
        }
    })
}

fn int_of_type(value: i64, ty: SqlType) -> Option<Datum> {
    Some(match ty.base() {
        SqlType::BOOL => Datum::Bool(value != 0),
        SqlType::INT2 => Datum::Int2(value.try_into().ok()?),
        SqlType::INT4 => Datum::Int4(value.try_into().ok()?),
        SqlType::INT8 => Datum::Int8(value),
        SqlType::DATE => Datum::Date(value.try_into().ok()?),
        SqlType::TIME => Datum::Time(value),
        SqlType::TIMESTAMP => Datum::Timestamp(value),
        SqlType::TIMESTAMPTZ => Datum::TimestampTz(value),
        _ => Datum::Oid(value.try_into().ok()?),
    })
}

mod rank {
    pub const NEG_INFINITY: u8 = 0x08;
    pub const NEGATIVE: u8 = 0x10;
    pub const ZERO: u8 = 0x20;
    pub const POSITIVE: u8 = 0x30;
    pub const INFINITY: u8 = 0x40;
    pub const NAN: u8 = 0x50;
}

/// Rank, then (flipped for negative numbers) the weight of the first base-10000 digit and the digits, each one more than it
/// is, ended by a zero: a number that goes on is larger than one that ends.
fn put_numeric(out: &mut Vec<u8>, value: &Numeric) {
    let finite = value.with_digits(|negative, weight, digits| {
        if digits.is_empty() {
            out.push(rank::ZERO);
            return;
        }
        out.push(if negative { rank::NEGATIVE } else { rank::POSITIVE });
        let start = out.len();
        encoding::put_int(out, i64::from(weight));
        digits.iter().for_each(|digit| out.extend_from_slice(&(digit + 1).to_be_bytes()));
        out.extend_from_slice(&[0, 0]);
        if negative {
            invert(&mut out[start..]);
        }
    });
    if finite.is_none() {
        out.push(if value.is_nan() {
            rank::NAN
        } else if value.signum() > 0 {
            rank::INFINITY
        } else {
            rank::NEG_INFINITY
        });
    }
}

fn take_numeric(input: &mut &[u8]) -> Option<Numeric> {
    let (first, rest) = input.split_first()?;
    *input = rest;
    let negative = match *first {
        rank::NEG_INFINITY => return Some(Numeric::NEG_INFINITY),
        rank::ZERO => return Some(Numeric::ZERO),
        rank::INFINITY => return Some(Numeric::INFINITY),
        rank::NAN => return Some(Numeric::NAN),
        rank::NEGATIVE => true,
        rank::POSITIVE => false,
        _ => return None,
    };
    let mut copy = input.to_vec();
    if negative {
        invert(&mut copy);
    }
    let mut rest = &copy[..];
    let weight = i32::try_from(encoding::take_int(&mut rest)?).ok()?;
    let mut digits = Vec::new();
    loop {
        let (digit, after) = rest.split_first_chunk::<2>()?;
        rest = after;
        match u16::from_be_bytes(*digit) {
            0 => break,
            digit => digits.push(digit - 1),
        }
    }
    *input = &input[input.len() - rest.len()..];
    let last = digits.last().copied().unwrap_or(0);
    let trailing = if last % 1000 == 0 {
        3
    } else if last % 100 == 0 {
        2
    } else {
        i32::from(last % 10 == 0)
    };
    let scale = ((digits.len() as i32 - 1 - weight) * 4 - trailing).max(0);
    Numeric::from_parts(negative, weight, &digits, scale).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ascending(ty: SqlType) -> KeyColumn {
        KeyColumn { ty, descending: false, nulls_first: false }
    }

    fn key(value: &Datum, column: &KeyColumn) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, value, column).unwrap();
        out
    }

    fn check_order(ty: SqlType, values: &[Datum]) {
        for descending in [false, true] {
            for nulls_first in [false, true] {
                let column = KeyColumn { ty, descending, nulls_first };
                for pair in values.windows(2) {
                    let (a, b) = (key(&pair[0], &column), key(&pair[1], &column));
                    assert_eq!(a < b, !descending, "{pair:?} {column:?}");
                    assert!(!a.starts_with(&b) && !b.starts_with(&a), "{pair:?}");
                }
                for value in values {
                    let null = key(&Datum::Null, &column);
                    assert_eq!(null < key(value, &column), nulls_first, "{value:?} {column:?}");
                    let bytes = key(value, &column);
                    let mut rest = &bytes[..];
                    let back = take(&mut rest, &column).unwrap();
                    assert!(rest.is_empty());
                    assert_eq!(key(&back, &column), bytes);
                    if restores(ty) {
                        assert_eq!(format!("{back:?}"), format!("{value:?}"));
                    }
                }
            }
        }
    }

    #[test]
    fn order_of_keys_is_order_of_values() {
        let ints = [i64::MIN, -257, -1, 0, 1, 255, 256, i64::MAX];
        check_order(SqlType::INT8, &ints.map(Datum::Int8));
        check_order(SqlType::INT2, &[i16::MIN, -1, 0, i16::MAX].map(Datum::Int2));
        check_order(SqlType::BOOL, &[Datum::Bool(false), Datum::Bool(true)]);
        let floats = [f64::NEG_INFINITY, -1.5, 0.0, 1e-300, 2.0, f64::INFINITY, f64::NAN];
        check_order(SqlType::FLOAT8, &floats.map(Datum::Float8));
        check_order(SqlType::TEXT, &["", "\0", "a", "a\0", "ab", "b", "ü"].map(Datum::text));
        check_order(SqlType::BPCHAR, &["", "a  ", "ab"].map(Datum::text));
        let numbers = [
            "-Infinity",
            "-10000",
            "-9999.5",
            "-1",
            "-0.0001",
            "0",
            "0.00001",
            "0.5",
            "1",
            "1.0001",
            "9999",
            "10000",
            "1e40",
            "Infinity",
            "NaN",
        ];
        check_order(SqlType::NUMERIC, &numbers.map(|text| Datum::Numeric(text.parse().unwrap())));
        check_order(SqlType::UUID, &[Datum::Uuid([0; 16]), Datum::Uuid([255; 16])]);
        let intervals = [-5_i64, 0, 86_400_000_001]
            .map(|micros| Datum::Interval(Box::new(crate::Interval { months: 0, days: 0, micros })));
        check_order(SqlType::INTERVAL, &intervals);
    }

    #[test]
    fn equal_values_have_equal_keys() {
        let same = |ty, a: Datum, b: Datum| assert_eq!(key(&a, &ascending(ty)), key(&b, &ascending(ty)));
        same(SqlType::NUMERIC, Datum::Numeric("1.0".parse().unwrap()), Datum::Numeric("1.000".parse().unwrap()));
        same(SqlType::FLOAT8, Datum::Float8(-0.0), Datum::Float8(0.0));
        same(SqlType::BPCHAR, Datum::text("a"), Datum::text("a   "));
    }

    #[test]
    fn what_has_no_order_is_refused() {
        let array = crate::ArrayValue { element: SqlType::INT4, dimensions: Vec::new(), elements: Vec::new() };
        let error = put(&mut Vec::new(), &Datum::Array(std::sync::Arc::new(array)), &ascending(SqlType::INT4_ARRAY))
            .unwrap_err();
        assert_eq!(error.0.state.as_str(), "0A000");
    }

    proptest! {
        #[test]
        fn numerics_keep_their_order(a in -10_i128.pow(30)..10_i128.pow(30), b in -10_i128.pow(30)..10_i128.pow(30), x in 0_u16..20, y in 0_u16..20) {
            let (a, b) = (Numeric::from_scaled(a, x), Numeric::from_scaled(b, y));
            let column = ascending(SqlType::NUMERIC);
            let (ka, kb) = (key(&Datum::Numeric(a.clone()), &column), key(&Datum::Numeric(b.clone()), &column));
            prop_assert_eq!(ka.cmp(&kb), a.cmp(&b));
            match take(&mut &ka[..], &column) {
                Some(Datum::Numeric(back)) => prop_assert!(back == a),
                other => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>, descending: bool) {
            for ty in [SqlType::INT4, SqlType::TEXT, SqlType::NUMERIC, SqlType::FLOAT8, SqlType::UUID, SqlType::INTERVAL, SqlType::TIMETZ, SqlType::BYTEA] {
                let _ = take(&mut &bytes[..], &KeyColumn { ty, descending, nulls_first: true });
            }
        }
    }
}
