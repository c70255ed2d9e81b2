//! Values as text and in binary: what goes over the wire, into literals and through casts to text.
//!
//! [`Datum::parse`] and [`Datum::to_text`] are PostgreSQL's input and output functions,
//! [`Datum::from_binary`] and [`Datum::to_binary`] its receive and send functions.

mod array;
mod binary;
mod bytea;
mod character;
mod float;
mod number;
mod reg;

use std::fmt::Write;

pub(crate) use array::{DIMENSIONS_MAX, ELEMENTS_MAX, array_from_elements, too_large, too_many_dimensions};
pub(crate) use bytea::{parse as parse_bytea, parse_hex, write_escaped, write_hex};
pub(crate) use character::{apply_length, char_count, char_end};
pub(crate) use float::{general as write_general, write_f32, write_f64};
pub(crate) use number::{parse_f32, parse_f64, parse_i16, parse_i32, parse_i64};
pub(crate) use reg::quote_identifier;

use crate::datetime::*;
use crate::{Datum, EvalContext, EvalError, EvalResult, Jsonb, SqlType};

pub(crate) fn invalid_syntax(type_name: &str, text: &str) -> EvalError {
    EvalError::new("22P02", format!("invalid input syntax for type {type_name}: \"{text}\""))
}

pub(crate) fn unsupported_type(ty: SqlType) -> EvalError {
    EvalError::new("0A000", format!("type {} is not supported yet", ty.base()))
}

impl Datum {
    /// PostgreSQL's input function of the type, with the type's modifier applied as on assignment (a text
    /// that is too long for varchar(n) is an error unless only blanks are cut).
    pub fn parse(text: &str, ty: SqlType, ctx: &EvalContext<'_>) -> EvalResult<Datum> {
        Ok(match ty.base() {
            SqlType::TEXT | SqlType::UNKNOWN | SqlType::CSTRING => Datum::text(text),
            SqlType::VARCHAR | SqlType::BPCHAR => return apply_length(text, ty, false).map(Datum::text),
            SqlType::NAME => Datum::text(character::name_of(text)),
            SqlType::CHAR => Datum::text(text.chars().next().map_or(String::new(), String::from)),
            SqlType::BOOL => Datum::Bool(number::parse_bool(text)?),
            SqlType::INT2 => Datum::Int2(parse_i16(text)?),
            SqlType::INT4 => Datum::Int4(parse_i32(text)?),
            SqlType::INT8 => Datum::Int8(parse_i64(text)?),
            SqlType::FLOAT4 => Datum::Float4(parse_f32(text)?),
            SqlType::FLOAT8 => Datum::Float8(parse_f64(text)?),
            SqlType::NUMERIC => Datum::Numeric(text.parse::<crate::Numeric>()?.apply_typmod(ty.typmod)?),
            SqlType::BYTEA => Datum::Bytea(bytea::parse(text)?.into()),
            SqlType::DATE => Datum::Date(parse_date(text, ctx)?),
            SqlType::TIME => Datum::Time(parse_time(text, ty.typmod, ctx)?),
            SqlType::TIMETZ => {
                let (time, zone) = parse_timetz(text, ty.typmod, ctx)?;
                Datum::TimeTz(time, zone)
            }
            SqlType::TIMESTAMP => Datum::Timestamp(parse_timestamp(text, ty.typmod, ctx)?),
            SqlType::TIMESTAMPTZ => Datum::TimestampTz(parse_timestamptz(text, ty.typmod, ctx)?),
            SqlType::INTERVAL => Datum::Interval(Box::new(parse_interval(text, ty.typmod, ctx)?)),
            SqlType::UUID => Datum::Uuid(character::parse_uuid(text)?),
            SqlType::JSON => {
                crate::json::check(text)?;
                Datum::text(text)
            }
            SqlType::JSONB => Datum::Jsonb(Jsonb::parse(text)?.into()),
            SqlType::OID | SqlType::XID | SqlType::CID => Datum::Oid(number::parse_oid(text, ty)?),
            SqlType::VOID => Datum::text(""),
            SqlType::ACLITEM | SqlType::TID | SqlType::XML => Datum::text(text),
            SqlType::RECORD => {
                return Err(EvalError::new("0A000", "input of anonymous composite types is not implemented"));
            }
            base if reg::is_reg_type(base) => Datum::Oid(reg::parse(text, base, ctx)?),
            base if is_text_like(base) => Datum::text(text),
            base if base.entry().is_some_and(|entry| entry.is_vector()) => array::parse_vector(text, base)?,
            base if base.entry().is_some_and(|entry| entry.is_array()) => array::parse(text, ty, ctx)?,
            base => return Err(unsupported_type(base)),
        })
    }

    /// PostgreSQL's output function: appends the text form. NULL has none: nothing is appended.
    pub fn to_text(&self, ty: SqlType, ctx: &EvalContext<'_>, out: &mut String) {
        match self {
            Datum::Null => {}
            Datum::Bool(value) => out.push(if *value { 't' } else { 'f' }),
            Datum::Int2(value) => number::write_int(out, i64::from(*value)),
            Datum::Int4(value) => number::write_int(out, i64::from(*value)),
            Datum::Int8(value) => number::write_int(out, *value),
            Datum::Float4(value) => write_f32(out, *value, ctx.settings.extra_float_digits),
            Datum::Float8(value) => write_f64(out, *value, ctx.settings.extra_float_digits),
            // Writing to a string cannot fail.
            Datum::Numeric(value) => drop(write!(out, "{value}")),
            Datum::Text(text) => out.push_str(text),
            Datum::Bytea(bytes) => bytea::write(out, bytes, ctx.settings.bytea_output),
            Datum::Date(date) => write_date(out, *date, ctx),
            Datum::Time(time) => write_time(out, *time),
            Datum::TimeTz(time, zone) => write_timetz(out, *time, *zone),
            Datum::Timestamp(timestamp) => write_timestamp(out, *timestamp, ctx),
            Datum::TimestampTz(utc) => write_timestamptz(out, *utc, ctx),
            Datum::Interval(interval) => write_interval(out, interval, ctx.settings.interval_style),
            Datum::Uuid(bytes) => character::write_uuid(out, bytes),
            Datum::Oid(oid) => reg::write(out, *oid, ty, ctx),
            Datum::Jsonb(document) => drop(write!(out, "{document}")),
            Datum::Array(array) if ty.entry().is_some_and(|entry| entry.is_vector()) => {
                array::write_vector(out, array, ctx)
            }
            Datum::Array(array) => array::write(out, array, ctx),
            Datum::Record(fields) => array::write_record(out, fields, ctx),
        }
    }

    /// The same appended to bytes; without a detour for what is frequent.
    pub fn to_text_bytes(&self, ty: SqlType, ctx: &EvalContext<'_>, out: &mut Vec<u8>) {
        match self {
            Datum::Text(text) => out.extend_from_slice(text.as_bytes()),
            Datum::Int2(value) => number::append_int(out, i64::from(*value)),
            Datum::Int4(value) => number::append_int(out, i64::from(*value)),
            Datum::Int8(value) => number::append_int(out, *value),
            Datum::Bool(value) => out.push(if *value { b't' } else { b'f' }),
            other => {
                let mut text = String::with_capacity(32);
                other.to_text(ty, ctx, &mut text);
                out.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// The text form as a string of its own.
    pub fn text_form(&self, ty: SqlType, ctx: &EvalContext<'_>) -> String {
        match self {
            Datum::Text(text) => text.to_string(),
            _ => {
                let mut out = String::new();
                self.to_text(ty, ctx, &mut out);
                out
            }
        }
    }

    /// The type that a value shows by itself: for fields of anonymous records, whose types stand nowhere.
    pub fn natural_type(&self) -> SqlType {
        match self {
            Datum::Null => SqlType::UNKNOWN,
            Datum::Bool(_) => SqlType::BOOL,
            Datum::Int2(_) => SqlType::INT2,
            Datum::Int4(_) => SqlType::INT4,
            Datum::Int8(_) => SqlType::INT8,
            Datum::Float4(_) => SqlType::FLOAT4,
            Datum::Float8(_) => SqlType::FLOAT8,
            Datum::Numeric(_) => SqlType::NUMERIC,
            Datum::Text(_) => SqlType::TEXT,
            Datum::Bytea(_) => SqlType::BYTEA,
            Datum::Date(_) => SqlType::DATE,
            Datum::Time(_) => SqlType::TIME,
            Datum::TimeTz(..) => SqlType::TIMETZ,
            Datum::Timestamp(_) => SqlType::TIMESTAMP,
            Datum::TimestampTz(_) => SqlType::TIMESTAMPTZ,
            Datum::Interval(_) => SqlType::INTERVAL,
            Datum::Uuid(_) => SqlType::UUID,
            Datum::Oid(_) => SqlType::OID,
            Datum::Jsonb(_) => SqlType::JSONB,
            Datum::Array(array) => array.element.base().array().unwrap_or(SqlType::ANYARRAY),
            Datum::Record(_) => SqlType::RECORD,
        }
    }
}

/// Types that are text with another name here: pg_node_tree, refcursor.
fn is_text_like(ty: SqlType) -> bool {
    matches!(ty.oid.0, 194 | 1790)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(ty: SqlType, text: &str, expected: &str) {
        let ctx = EvalContext::detached();
        let datum = Datum::parse(text, ty, &ctx).unwrap_or_else(|error| panic!("{ty} {text:?}: {error}"));
        assert_eq!(datum.text_form(ty, &ctx), expected, "{ty} {text:?}");
        let mut bytes = Vec::new();
        datum.to_text_bytes(ty, &ctx, &mut bytes);
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        let mut binary = Vec::new();
        datum.to_binary(ty, &ctx, &mut binary).unwrap();
        let back = Datum::from_binary(&binary, ty, &ctx).unwrap_or_else(|error| panic!("{ty} {text:?}: {error}"));
        assert_eq!(back.text_form(ty, &ctx), expected, "{ty} {text:?} through binary");
    }

    #[test]
    fn what_is_read_is_written() {
        use SqlType as T;
        for (ty, text, expected) in [
            (T::BOOL, " yes ", "t"),
            (T::INT4, " -42 ", "-42"),
            (T::INT8, "-9223372036854775808", "-9223372036854775808"),
            (T::FLOAT8, "1e15", "1e+15"),
            (T::FLOAT8, "123456789012345", "123456789012345"),
            (T::FLOAT8, "0.0001", "0.0001"),
            (T::FLOAT8, "0.00001", "1e-05"),
            (T::FLOAT8, "-0", "-0"),
            (T::FLOAT8, "inf", "Infinity"),
            (T::FLOAT4, "0.1", "0.1"),
            (T::FLOAT4, "1234567", "1.234567e+06"),
            (T::NUMERIC, "1.50", "1.50"),
            (T::BYTEA, "\\x00FF", "\\x00ff"),
            (T::BYTEA, "a\\000\\\\", "\\x61005c"),
            (T::DATE, "2024-02-29", "2024-02-29"),
            (T::DATE, "0044-03-15 BC", "0044-03-15 BC"),
            (T::DATE, "infinity", "infinity"),
            (T::TIMESTAMP, "2024-01-02T03:04:05.678", "2024-01-02 03:04:05.678"),
            (T::TIMESTAMP, "294276-12-31 23:59:59.999999", "294276-12-31 23:59:59.999999"),
            (T::TIMESTAMPTZ, "2024-01-02 03:04:05+02", "2024-01-02 01:04:05+00"),
            (T::TIME, "04:05:06.789", "04:05:06.789"),
            (T::TIME, "4:05 PM", "16:05:00"),
            (T::TIMETZ, "04:05:06-08", "04:05:06-08"),
            (T::INTERVAL, "1 mon -2 days", "1 mon -2 days"),
            (T::UUID, "{A0EEBC99-9C0B4EF8BB6D6BB9BD380A11}", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            (T::JSONB, "{\"b\":1, \"a\":[]}", "{\"a\": [], \"b\": 1}"),
            (T::INT4_ARRAY, "{1,NULL,3}", "{1,NULL,3}"),
            (T::INT4_ARRAY, "[0:1]={1,2}", "[0:1]={1,2}"),
            (T::INT4_ARRAY, "{{1,2},{3,4}}", "{{1,2},{3,4}}"),
            (T::TEXT_ARRAY, "{a,\"b c\",\"\",\"NULL\",\"q\\\"\"}", "{a,\"b c\",\"\",\"NULL\",\"q\\\"\"}"),
            (T::INT2VECTOR, "1 2 3", "1 2 3"),
            (T::BPCHAR.with_typmod(9), "ab", "ab   "),
            (T::VARCHAR.with_typmod(6), "ab  ", "ab"),
            (T::NAME, &"x".repeat(100), &"x".repeat(63)),
            (T::REGTYPE, "int[]", "integer[]"),
            (T::REGPROC, "now", "now"),
            (T::OID, "4294967295", "4294967295"),
        ] {
            check(ty, text, expected);
        }
    }

    #[test]
    fn errors_have_the_words_of_postgres() {
        use SqlType as T;
        let ctx = EvalContext::detached();
        for (ty, text, state, message) in [
            (T::INT4, "abc", "22P02", "invalid input syntax for type integer: \"abc\""),
            (T::INT4, "2147483648", "22003", "value \"2147483648\" is out of range for type integer"),
            (T::FLOAT8, "1e400", "22003", "\"1e400\" is out of range for type double precision"),
            (T::BOOL, "maybe", "22P02", "invalid input syntax for type boolean: \"maybe\""),
            (T::DATE, "2023-02-29", "22008", "date/time field value out of range: \"2023-02-29\""),
            (T::DATE, "hello", "22007", "invalid input syntax for type date: \"hello\""),
            (T::TIMESTAMP, "13/13/2020", "22008", "date/time field value out of range: \"13/13/2020\""),
            (T::UUID, "x", "22P02", "invalid input syntax for type uuid: \"x\""),
            (T::BYTEA, "\\x0", "22023", "invalid hexadecimal data: odd number of digits"),
            (T::INT4_ARRAY, "1,2", "22P02", "malformed array literal: \"1,2\""),
            (T::VARCHAR.with_typmod(6), "abc", "22001", "value too long for type character varying(2)"),
            (T::REGTYPE, "nosuch", "42704", "type \"nosuch\" does not exist"),
        ] {
            let error = Datum::parse(text, ty, &ctx).unwrap_err().0;
            assert_eq!((error.state.as_str(), &error.message[..]), (state, message));
        }
    }

    proptest! {
        #[test]
        fn floats_go_round(value: f64, small: f32) {
            let ctx = EvalContext::detached();
            let text = Datum::Float8(value).text_form(SqlType::FLOAT8, &ctx);
            if let Datum::Float8(back) = Datum::parse(&text, SqlType::FLOAT8, &ctx).unwrap() {
                prop_assert!(back == value || back.is_nan() && value.is_nan(), "{text}");
            }
            let text = Datum::Float4(small).text_form(SqlType::FLOAT4, &ctx);
            if let Datum::Float4(back) = Datum::parse(&text, SqlType::FLOAT4, &ctx).unwrap() {
                prop_assert!(back == small || back.is_nan() && small.is_nan(), "{text}");
            }
        }

        #[test]
        fn timestamps_go_round(value in -211_813_488_000_000_000_i64..9_223_371_331_200_000_000) {
            let ctx = EvalContext::detached();
            let text = Datum::Timestamp(value).text_form(SqlType::TIMESTAMP, &ctx);
            match Datum::parse(&text, SqlType::TIMESTAMP, &ctx).unwrap() {
                Datum::Timestamp(back) => prop_assert_eq!(back, value, "{}", text),
                other => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn garbage_never_panics(text: String, bytes: Vec<u8>) {
            let ctx = EvalContext::detached();
            for entry in crate::types::all() {
                let _ = Datum::parse(&text, entry.oid.into(), &ctx);
                let _ = Datum::from_binary(&bytes, entry.oid.into(), &ctx);
            }
        }

        #[test]
        fn almost_times_never_panic(text in "[-+0-9:./ JTtZaepmbcdnowisyrh]{0,24}") {
            let ctx = EvalContext::detached();
            for ty in [SqlType::DATE, SqlType::TIME, SqlType::TIMETZ, SqlType::TIMESTAMP, SqlType::TIMESTAMPTZ, SqlType::INTERVAL] {
                let _ = Datum::parse(&text, ty, &ctx);
            }
        }
    }
}
