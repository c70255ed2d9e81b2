//! `=`, `<>`, `<`, `<=`, `>`, `>=` and the three-way comparison of each type, larger and smaller.

use std::cmp::Ordering;

use super::native::{Date, OidArg, Table, Time, TimeTz, Timestamp, TimestampTz, scalar};
use crate::compare::{compare, compare_arrays, compare_bpchar, compare_fields, compare_floats, compare_timetz};
use crate::datetime::TimeZone;
use crate::{ArrayValue, Datum, EvalResult, Interval, Jsonb, Numeric};

/// The six comparisons, named `{prefix}eq` … with `$gap` before the four that order.
macro_rules! six {
    ($prefix:literal, $gap:literal, $gap_eq:literal, $a:ty, $b:ty, |$x:ident, $y:ident| $order:expr) => {
        &[
            scalar!(concat!($prefix, $gap_eq, "eq"), |$x: $a, $y: $b| $order == Ordering::Equal),
            scalar!(concat!($prefix, $gap_eq, "ne"), |$x: $a, $y: $b| $order != Ordering::Equal),
            scalar!(concat!($prefix, $gap, "lt"), |$x: $a, $y: $b| $order == Ordering::Less),
            scalar!(concat!($prefix, $gap, "le"), |$x: $a, $y: $b| $order != Ordering::Greater),
            scalar!(concat!($prefix, $gap, "gt"), |$x: $a, $y: $b| $order == Ordering::Greater),
            scalar!(concat!($prefix, $gap, "ge"), |$x: $a, $y: $b| $order != Ordering::Less),
        ]
    };
}

/// The six for values of one type that are compared as [`compare`] does.
macro_rules! six_generic {
    ($prefix:literal, $gap:literal) => {
        six!($prefix, $gap, $gap, &Datum, &Datum, |a, b| compare(a, b, a.natural_type()))
    };
}

/// Date against timestamp, without going out of range: a date beyond all timestamps is still ordered.
fn date_timestamp(date: Date, timestamp: i64) -> Ordering {
    crate::datetime::compare_date_timestamp(date.0, timestamp)
}

fn timestamp_timestamptz(local: i64, utc: i64, zone: &TimeZone) -> Ordering {
    zone.to_utc(local).map_or(local.cmp(&utc), |moment| moment.cmp(&utc))
}

fn date_timestamptz(date: Date, utc: i64, zone: &TimeZone) -> Ordering {
    match crate::datetime::arithmetic::date_to_timestamp(date.0) {
        Ok(local) => timestamp_timestamptz(local, utc, zone),
        // Beyond all timestamps but one.
        Err(_) if utc == i64::MAX => Ordering::Less,
        Err(_) => Ordering::Greater,
    }
}

macro_rules! six_zoned {
    ($prefix:literal, $suffix:literal, $a:ty, $b:ty, |$call:ident, $x:ident, $y:ident| $order:expr) => {
        &[
            scalar!(concat!($prefix, "_eq_", $suffix), |$call; $x: $a, $y: $b| $order == Ordering::Equal),
            scalar!(concat!($prefix, "_ne_", $suffix), |$call; $x: $a, $y: $b| $order != Ordering::Equal),
            scalar!(concat!($prefix, "_lt_", $suffix), |$call; $x: $a, $y: $b| $order == Ordering::Less),
            scalar!(concat!($prefix, "_le_", $suffix), |$call; $x: $a, $y: $b| $order != Ordering::Greater),
            scalar!(concat!($prefix, "_gt_", $suffix), |$call; $x: $a, $y: $b| $order == Ordering::Greater),
            scalar!(concat!($prefix, "_ge_", $suffix), |$call; $x: $a, $y: $b| $order != Ordering::Less),
            scalar!(concat!($prefix, "_cmp_", $suffix), |$call; $x: $a, $y: $b| $order as i32),
        ]
    };
}

pub(super) const FUNCTIONS: &[Table] = &[
    six!("int2", "", "", i16, i16, |a, b| a.cmp(&b)),
    six!("int4", "", "", i32, i32, |a, b| a.cmp(&b)),
    six!("int8", "", "", i64, i64, |a, b| a.cmp(&b)),
    six!("int24", "", "", i64, i64, |a, b| a.cmp(&b)),
    six!("int42", "", "", i64, i64, |a, b| a.cmp(&b)),
    six!("int28", "", "", i64, i64, |a, b| a.cmp(&b)),
    six!("int82", "", "", i64, i64, |a, b| a.cmp(&b)),
    six!("int48", "", "", i64, i64, |a, b| a.cmp(&b)),
    six!("int84", "", "", i64, i64, |a, b| a.cmp(&b)),
    six!("float4", "", "", f64, f64, |a, b| compare_floats(a, b)),
    six!("float8", "", "", f64, f64, |a, b| compare_floats(a, b)),
    six!("float48", "", "", f64, f64, |a, b| compare_floats(a, b)),
    six!("float84", "", "", f64, f64, |a, b| compare_floats(a, b)),
    six!("numeric", "_", "_", &Numeric, &Numeric, |a, b| a.cmp(b)),
    six!("bool", "", "", bool, bool, |a, b| a.cmp(&b)),
    six!("text", "_", "", &str, &str, |a, b| a.as_bytes().cmp(b.as_bytes())),
    six!("name", "", "", &str, &str, |a, b| a.as_bytes().cmp(b.as_bytes())),
    six!("char", "", "", &str, &str, |a, b| a.as_bytes().cmp(b.as_bytes())),
    six!("bpchar", "", "", &str, &str, |a, b| compare_bpchar(a, b)),
    six!("bytea", "", "", &[u8], &[u8], |a, b| a.cmp(b)),
    six!("oid", "", "", OidArg, OidArg, |a, b| a.0.cmp(&b.0)),
    six!("date", "_", "_", Date, Date, |a, b| a.0.cmp(&b.0)),
    six!("time", "_", "_", Time, Time, |a, b| a.0.cmp(&b.0)),
    six!("timetz", "_", "_", TimeTz, TimeTz, |a, b| compare_timetz((a.0, a.1), (b.0, b.1))),
    // Both kinds of timestamp share these.
    six_generic!("timestamp", "_"),
    six!("interval", "_", "_", &Interval, &Interval, |a, b| a.comparison_micros().cmp(&b.comparison_micros())),
    six!("uuid", "_", "_", [u8; 16], [u8; 16], |a, b| a.cmp(&b)),
    six!("jsonb", "_", "_", &Jsonb, &Jsonb, |a, b| a.cmp(b)),
    six!("array", "_", "_", &ArrayValue, &ArrayValue, |a, b| compare_arrays(a, b)),
    six!("oidvector", "", "", &ArrayValue, &ArrayValue, |a, b| compare_arrays(a, b)),
    six!("record", "_", "_", &[Datum], &[Datum], |a, b| compare_fields(a, b)),
    six!("record_image", "_", "_", &[Datum], &[Datum], |a, b| compare_fields(a, b)),
    six_zoned!("date", "timestamp", Date, Timestamp, |_call, a, b| date_timestamp(a, b.0)),
    six_zoned!("timestamp", "date", Timestamp, Date, |_call, a, b| date_timestamp(b, a.0).reverse()),
    six_zoned!("date", "timestamptz", Date, TimestampTz, |call, a, b| date_timestamptz(
        a,
        b.0,
        &call.ctx.settings.time_zone
    )),
    six_zoned!("timestamptz", "date", TimestampTz, Date, |call, a, b| date_timestamptz(
        b,
        a.0,
        &call.ctx.settings.time_zone
    )
    .reverse()),
    six_zoned!("timestamp", "timestamptz", Timestamp, TimestampTz, |call, a, b| timestamp_timestamptz(
        a.0,
        b.0,
        &call.ctx.settings.time_zone
    )),
    six_zoned!("timestamptz", "timestamp", TimestampTz, Timestamp, |call, a, b| timestamp_timestamptz(
        b.0,
        a.0,
        &call.ctx.settings.time_zone
    )
    .reverse()),
    NAMES_AND_TEXTS,
    PATTERN_ORDER,
    THREE_WAY,
    EXTREMES,
];

fn bytes(a: &str, b: &str) -> Ordering {
    a.as_bytes().cmp(b.as_bytes())
}

const NAMES_AND_TEXTS: Table = &[
    scalar!("nameeqtext", |a: &str, b: &str| a == b),
    scalar!("namenetext", |a: &str, b: &str| a != b),
    scalar!("namelttext", |a: &str, b: &str| bytes(a, b).is_lt()),
    scalar!("nameletext", |a: &str, b: &str| bytes(a, b).is_le()),
    scalar!("namegttext", |a: &str, b: &str| bytes(a, b).is_gt()),
    scalar!("namegetext", |a: &str, b: &str| bytes(a, b).is_ge()),
    scalar!("texteqname", |a: &str, b: &str| a == b),
    scalar!("textnename", |a: &str, b: &str| a != b),
    scalar!("textltname", |a: &str, b: &str| bytes(a, b).is_lt()),
    scalar!("textlename", |a: &str, b: &str| bytes(a, b).is_le()),
    scalar!("textgtname", |a: &str, b: &str| bytes(a, b).is_gt()),
    scalar!("textgename", |a: &str, b: &str| bytes(a, b).is_ge()),
    scalar!("xideq", |a: &Datum, b: &Datum| compare(a, b, a.natural_type()).is_eq()),
    scalar!("xidneq", |a: &Datum, b: &Datum| compare(a, b, a.natural_type()).is_ne()),
    scalar!("cideq", |a: OidArg, b: OidArg| a.0 == b.0),
    scalar!("aclitem_eq", |a: &str, b: &str| a == b),
];

const PATTERN_ORDER: Table = &[
    scalar!("text_pattern_lt", |a: &str, b: &str| bytes(a, b).is_lt()),
    scalar!("text_pattern_le", |a: &str, b: &str| bytes(a, b).is_le()),
    scalar!("text_pattern_gt", |a: &str, b: &str| bytes(a, b).is_gt()),
    scalar!("text_pattern_ge", |a: &str, b: &str| bytes(a, b).is_ge()),
    scalar!("bpchar_pattern_lt", |a: &str, b: &str| compare_bpchar(a, b).is_lt()),
    scalar!("bpchar_pattern_le", |a: &str, b: &str| compare_bpchar(a, b).is_le()),
    scalar!("bpchar_pattern_gt", |a: &str, b: &str| compare_bpchar(a, b).is_gt()),
    scalar!("bpchar_pattern_ge", |a: &str, b: &str| compare_bpchar(a, b).is_ge()),
];

/// -1, 0, 1: what indexes compare by.
const THREE_WAY: Table = &[
    scalar!("btint2cmp", |a: i16, b: i16| a.cmp(&b) as i32),
    scalar!("btint4cmp", |a: i32, b: i32| a.cmp(&b) as i32),
    scalar!("btint8cmp", |a: i64, b: i64| a.cmp(&b) as i32),
    scalar!("btfloat4cmp", |a: f64, b: f64| compare_floats(a, b) as i32),
    scalar!("btfloat8cmp", |a: f64, b: f64| compare_floats(a, b) as i32),
    scalar!("btboolcmp", |a: bool, b: bool| a.cmp(&b) as i32),
    scalar!("btoidcmp", |a: OidArg, b: OidArg| a.0.cmp(&b.0) as i32),
    scalar!("bttextcmp", |a: &str, b: &str| bytes(a, b) as i32),
    scalar!("btnamecmp", |a: &str, b: &str| bytes(a, b) as i32),
    scalar!("btcharcmp", |a: &str, b: &str| bytes(a, b) as i32),
    scalar!("bpcharcmp", |a: &str, b: &str| compare_bpchar(a, b) as i32),
    scalar!("byteacmp", |a: &[u8], b: &[u8]| a.cmp(b) as i32),
    scalar!("numeric_cmp", |a: &Numeric, b: &Numeric| a.cmp(b) as i32),
    scalar!("date_cmp", |a: Date, b: Date| a.0.cmp(&b.0) as i32),
    scalar!("time_cmp", |a: Time, b: Time| a.0.cmp(&b.0) as i32),
    scalar!("timetz_cmp", |a: TimeTz, b: TimeTz| compare_timetz((a.0, a.1), (b.0, b.1)) as i32),
    scalar!("timestamp_cmp", |a: &Datum, b: &Datum| compare(a, b, a.natural_type()) as i32),
    scalar!("interval_cmp", |a: &Interval, b: &Interval| a.comparison_micros().cmp(&b.comparison_micros()) as i32),
    scalar!("uuid_cmp", |a: [u8; 16], b: [u8; 16]| a.cmp(&b) as i32),
    scalar!("jsonb_cmp", |a: &Jsonb, b: &Jsonb| a.cmp(b) as i32),
    scalar!("btarraycmp", |a: &ArrayValue, b: &ArrayValue| compare_arrays(a, b) as i32),
    scalar!("btrecordcmp", |a: &[Datum], b: &[Datum]| compare_fields(a, b) as i32),
];

/// The larger (smaller) of two values of a type that [`compare`] orders.
fn extreme(a: &Datum, b: &Datum, wanted: Ordering) -> EvalResult<Datum> {
    Ok(if compare(a, b, a.natural_type()) == wanted { a.clone() } else { b.clone() })
}

macro_rules! extremes {
    ($($larger:literal, $smaller:literal;)*) => {
        &[$(
            scalar!($larger, |a: &Datum, b: &Datum| extreme(a, b, Ordering::Greater)),
            scalar!($smaller, |a: &Datum, b: &Datum| extreme(a, b, Ordering::Less)),
        )*]
    };
}

const EXTREMES: Table = extremes! {
    "text_larger", "text_smaller";
    "numeric_larger", "numeric_smaller";
    "float4larger", "float4smaller";
    "float8larger", "float8smaller";
    "date_larger", "date_smaller";
    "time_larger", "time_smaller";
    "timetz_larger", "timetz_smaller";
    "timestamp_larger", "timestamp_smaller";
    "interval_larger", "interval_smaller";
    "oidlarger", "oidsmaller";
    "array_larger", "array_smaller";
};
