//! Hash tables keyed by rows of values: what GROUP BY, DISTINCT, joins and set operations look up by.
//!
//! Values become bytes that are equal exactly if PostgreSQL's `=` of their type says so (1.0 and 1.00, 0.0 and -0.0, NaN
//! and NaN, integers of any width); NULLs are equal to each other, as grouping wants it. A join asks [`has_null`]
//! first.

use env::Reservation;
use expr::keys::{self, KeyColumn};
use expr::{Datum, Jsonb, Numeric, SqlType};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::Context;
use crate::SqlResult;

/// The bytes of a row of values, in a buffer that is used again.
pub(crate) fn put_key<'a>(out: &mut Vec<u8>, types: &[SqlType], values: impl IntoIterator<Item = &'a Datum>) {
    out.clear();
    for (at, value) in values.into_iter().enumerate() {
        put(out, value, types.get(at).copied());
    }
}

pub(crate) fn has_null(values: &[Datum]) -> bool {
    values.iter().any(Datum::is_null)
}

mod tag {
    pub const NULL: u8 = 0;
    pub const BOOL: u8 = 1;
    pub const INTEGER: u8 = 2;
    pub const FLOAT: u8 = 3;
    pub const NUMERIC: u8 = 4;
    pub const TEXT: u8 = 5;
    pub const BYTES: u8 = 6;
    pub const DATE: u8 = 7;
    pub const TIME: u8 = 8;
    pub const TIMETZ: u8 = 9;
    pub const TIMESTAMP: u8 = 10;
    pub const INTERVAL: u8 = 11;
    pub const UUID: u8 = 12;
    pub const JSONB: u8 = 13;
    pub const ARRAY: u8 = 14;
    pub const RECORD: u8 = 15;
}

/// One value, which tells itself where it ends. Only char(n) needs its type: trailing blanks do not count.
fn put(out: &mut Vec<u8>, value: &Datum, ty: Option<SqlType>) {
    let mut fixed = |tag: u8, bytes: &[u8]| {
        out.push(tag);
        out.extend_from_slice(bytes);
    };
    match value {
        Datum::Null => fixed(tag::NULL, &[]),
        Datum::Bool(value) => fixed(tag::BOOL, &[u8::from(*value)]),
        Datum::Int2(value) => fixed(tag::INTEGER, &i64::from(*value).to_le_bytes()),
        Datum::Int4(value) => fixed(tag::INTEGER, &i64::from(*value).to_le_bytes()),
        Datum::Int8(value) => fixed(tag::INTEGER, &value.to_le_bytes()),
        Datum::Oid(value) => fixed(tag::INTEGER, &i64::from(*value).to_le_bytes()),
        Datum::Float4(value) => fixed(tag::FLOAT, &float_bits(f64::from(*value))),
        Datum::Float8(value) => fixed(tag::FLOAT, &float_bits(*value)),
        Datum::Numeric(value) => put_numeric(out, value),
        Datum::Text(text) => {
            let is_padded = ty.is_some_and(|ty| ty.oid == SqlType::BPCHAR.oid);
            let text = if is_padded { text.trim_end_matches(' ') } else { text };
            put_bytes(out, tag::TEXT, text.as_bytes());
        }
        Datum::Bytea(bytes) => put_bytes(out, tag::BYTES, bytes),
        Datum::Date(value) => fixed(tag::DATE, &value.to_le_bytes()),
        Datum::Time(value) => fixed(tag::TIME, &value.to_le_bytes()),
        Datum::TimeTz(time, zone) => {
            fixed(tag::TIMETZ, &time.to_le_bytes());
            out.extend_from_slice(&zone.to_le_bytes());
        }
        Datum::Timestamp(value) | Datum::TimestampTz(value) => fixed(tag::TIMESTAMP, &value.to_le_bytes()),
        Datum::Interval(value) => fixed(tag::INTERVAL, &value.comparison_micros().to_le_bytes()),
        Datum::Uuid(bytes) => fixed(tag::UUID, bytes),
        Datum::Jsonb(document) => {
            out.push(tag::JSONB);
            put_json(out, document);
        }
        Datum::Array(array) => {
            fixed(tag::ARRAY, &(array.dimensions.len() as u32).to_le_bytes());
            for (length, lower) in &array.dimensions {
                out.extend_from_slice(&length.to_le_bytes());
                out.extend_from_slice(&lower.to_le_bytes());
            }
            array.elements.iter().for_each(|element| put(out, element, Some(array.element)));
        }
        Datum::Record(fields) => {
            fixed(tag::RECORD, &(fields.len() as u32).to_le_bytes());
            fields.iter().for_each(|field| put(out, field, None));
        }
    }
}

fn float_bits(value: f64) -> [u8; 8] {
    let canonical = if value.is_nan() {
        f64::NAN
    } else if value == 0.0 {
        0.0
    } else {
        value
    };
    canonical.to_bits().to_le_bytes()
}

/// Its form in keys does not know scales and ends by itself.
fn put_numeric(out: &mut Vec<u8>, value: &Numeric) {
    out.push(tag::NUMERIC);
    let column = KeyColumn { ty: SqlType::NUMERIC, descending: false, nulls_first: false };
    let put = keys::put(out, &Datum::Numeric(value.clone()), &column);
    put.unwrap_or_else(|error| unreachable!("a numeric can be part of a key: {error}"));
}

fn put_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_json(out: &mut Vec<u8>, document: &Jsonb) {
    match document {
        Jsonb::Null => out.push(0),
        Jsonb::Bool(value) => out.push(1 + u8::from(*value)),
        Jsonb::Number(number) => put_numeric(out, number),
        Jsonb::String(text) => put_bytes(out, tag::TEXT, text.as_bytes()),
        Jsonb::Array(elements) => {
            put_bytes(out, tag::ARRAY, &[]);
            out.extend_from_slice(&(elements.len() as u32).to_le_bytes());
            elements.iter().for_each(|element| put_json(out, element));
        }
        Jsonb::Object(pairs) => {
            put_bytes(out, tag::RECORD, &[]);
            out.extend_from_slice(&(pairs.len() as u32).to_le_bytes());
            for (key, value) in pairs {
                put_bytes(out, tag::TEXT, key.as_bytes());
                put_json(out, value);
            }
        }
    }
}

/// From a key to something, charged to the statement.
pub(crate) struct KeyMap<V> {
    map: HashMap<Box<[u8]>, V, FixedState>,
    types: Vec<SqlType>,
    buffer: Vec<u8>,
    held: Reservation,
}

/// A table's overhead for one entry.
const ENTRY_BYTES: usize = 32;

impl<V> KeyMap<V> {
    /// For keys of these types.
    pub fn new(ctx: &Context, types: impl IntoIterator<Item = SqlType>) -> KeyMap<V> {
        let types = types.into_iter().collect();
        KeyMap { map: HashMap::default(), types, buffer: Vec::new(), held: ctx.reservation() }
    }

    pub fn get<'a>(&mut self, key: impl IntoIterator<Item = &'a Datum>) -> Option<&mut V> {
        put_key(&mut self.buffer, &self.types, key);
        self.map.get_mut(&self.buffer[..])
    }

    /// The entry of `key`, made by `value` if there is none; and whether it was made.
    pub fn entry<'a>(
        &mut self,
        key: impl IntoIterator<Item = &'a Datum>,
        value: impl FnOnce() -> SqlResult<V>,
    ) -> SqlResult<(&mut V, bool)> {
        put_key(&mut self.buffer, &self.types, key);
        let is_new = !self.map.contains_key(&self.buffer[..]);
        if is_new {
            self.held.grow(self.buffer.len() + size_of::<V>() + ENTRY_BYTES)?;
            self.map.insert(self.buffer.as_slice().into(), value()?);
        }
        let entry = self.map.get_mut(&self.buffer[..]).unwrap_or_else(|| unreachable!("it is there by now"));
        Ok((entry, is_new))
    }
}

pub(crate) struct KeySet(KeyMap<()>);

impl KeySet {
    pub fn new(ctx: &Context, types: impl IntoIterator<Item = SqlType>) -> KeySet {
        KeySet(KeyMap::new(ctx, types))
    }

    /// Was it not there yet?
    pub fn insert<'a>(&mut self, key: impl IntoIterator<Item = &'a Datum>) -> SqlResult<bool> {
        Ok(self.0.entry(key, || Ok(()))?.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(ty: SqlType, a: Datum, b: Datum) -> bool {
        let (mut x, mut y) = (Vec::new(), Vec::new());
        put_key(&mut x, &[ty], [&a]);
        put_key(&mut y, &[ty], [&b]);
        x == y
    }

    #[test]
    fn equal_values_have_equal_bytes() {
        let number = |text: &str| Datum::Numeric(text.parse().unwrap());
        assert!(same(SqlType::NUMERIC, number("1.0"), number("1.000")));
        assert!(!same(SqlType::NUMERIC, number("1.0"), number("1.001")));
        assert!(same(SqlType::FLOAT8, Datum::Float8(-0.0), Datum::Float8(0.0)));
        assert!(same(SqlType::FLOAT8, Datum::Float8(f64::NAN), Datum::Float8(-f64::NAN)));
        assert!(same(SqlType::INT8, Datum::Int8(7), Datum::Int4(7)));
        assert!(same(SqlType::BPCHAR, Datum::text("a"), Datum::text("a  ")));
        assert!(!same(SqlType::TEXT, Datum::text("a"), Datum::text("a  ")));
        assert!(same(SqlType::TEXT, Datum::Null, Datum::Null));
        assert!(!same(SqlType::TEXT, Datum::Null, Datum::text("")));
    }

    #[test]
    fn values_do_not_run_into_each_other() {
        let key = |a: &str, b: &str| {
            let mut out = Vec::new();
            put_key(&mut out, &[SqlType::TEXT; 2], [&Datum::text(a), &Datum::text(b)]);
            out
        };
        assert_ne!(key("ab", "c"), key("a", "bc"));
    }
}
