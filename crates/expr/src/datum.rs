//! One SQL value.

use std::sync::Arc;

use bytes::Bytes;

use crate::SqlType;

/// A value; what type it has stands beside it, in the column or the expression. Text-like types
/// (text, varchar, bpchar, name, "char", unknown, json) share `Text`; oid and the reg* types share `Oid`.
#[derive(Clone, Debug, Default)]
pub enum Datum {
    #[default]
    Null,
    Bool(bool),
    Int2(i16),
    Int4(i32),
    Int8(i64),
    Float4(f32),
    Float8(f64),
    Numeric(crate::Numeric),
    Text(Arc<str>),
    Bytea(Bytes),
    /// Days since 2000-01-01; `i32::MIN` is -infinity, `i32::MAX` infinity.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since midnight, and seconds west of UTC.
    TimeTz(i64, i32),
    /// Microseconds since 2000-01-01 00:00; `i64::MIN` is -infinity, `i64::MAX` infinity.
    Timestamp(i64),
    /// The same, in UTC.
    TimestampTz(i64),
    Interval(Box<Interval>),
    Uuid([u8; 16]),
    Oid(u32),
    Jsonb(Arc<crate::Jsonb>),
    Array(Arc<ArrayValue>),
    Record(Arc<[Datum]>),
}

/// PostgreSQL's interval: three parts that are not converted into each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    pub months: i32,
    pub days: i32,
    pub micros: i64,
}

/// An array of any number of dimensions, elements in row-major order.
#[derive(Clone, Debug)]
pub struct ArrayValue {
    pub element: SqlType,
    /// `(length, lower bound)` of each dimension; empty for the empty array.
    pub dimensions: Vec<(i32, i32)>,
    pub elements: Vec<Datum>,
}

pub type Row = Vec<Datum>;

impl Datum {
    pub fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }

    pub fn text(text: impl Into<Arc<str>>) -> Datum {
        Datum::Text(text.into())
    }
}
