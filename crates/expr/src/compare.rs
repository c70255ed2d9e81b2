//! The order of values, and hashes that agree with it.
//!
//! The order is that of PostgreSQL's default operator classes: NaN above all numbers, -0 equal to 0, text
//! by its bytes (collation C), char(n) without the blanks at its end, intervals with months of 30 days.
//! NULL comes last and equals itself, as sorting and grouping want it.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use crate::{ArrayValue, Datum, SqlType};

/// The order of two values of one type (or of two integer or floating-point types).
pub fn compare(a: &Datum, b: &Datum, ty: SqlType) -> Ordering {
    match (a, b) {
        (Datum::Text(a), Datum::Text(b)) if ty.oid == SqlType::BPCHAR.oid => compare_bpchar(a, b),
        (Datum::Array(a), Datum::Array(b)) => compare_arrays(a, b),
        _ => compare_natural(a, b),
    }
}

pub(crate) fn compare_bpchar(a: &str, b: &str) -> Ordering {
    a.trim_end_matches(' ').as_bytes().cmp(b.trim_end_matches(' ').as_bytes())
}

pub(crate) fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// The order of values that say their type themselves.
fn compare_natural(a: &Datum, b: &Datum) -> Ordering {
    use Datum as D;
    match (a, b) {
        (D::Null, D::Null) => Ordering::Equal,
        (D::Null, _) => Ordering::Greater,
        (_, D::Null) => Ordering::Less,
        (D::Int4(a), D::Int4(b)) => a.cmp(b),
        (D::Int8(a), D::Int8(b)) => a.cmp(b),
        (D::Text(a), D::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (D::Bool(a), D::Bool(b)) => a.cmp(b),
        (D::Numeric(a), D::Numeric(b)) => a.cmp(b),
        (D::Bytea(a), D::Bytea(b)) => a.cmp(b),
        (D::Date(a), D::Date(b)) => a.cmp(b),
        (D::Time(a), D::Time(b)) => a.cmp(b),
        (D::TimeTz(a, az), D::TimeTz(b, bz)) => compare_timetz((*a, *az), (*b, *bz)),
        (D::Timestamp(a), D::Timestamp(b)) | (D::TimestampTz(a), D::TimestampTz(b)) => a.cmp(b),
        (D::Interval(a), D::Interval(b)) => a.comparison_micros().cmp(&b.comparison_micros()),
        (D::Uuid(a), D::Uuid(b)) => a.cmp(b),
        (D::Oid(a), D::Oid(b)) => a.cmp(b),
        (D::Jsonb(a), D::Jsonb(b)) => a.cmp(b),
        (D::Array(a), D::Array(b)) => compare_arrays(a, b),
        (D::Record(a), D::Record(b)) => compare_fields(a, b),
        _ => match (integer(a), integer(b), float(a), float(b)) {
            (Some(a), Some(b), ..) => a.cmp(&b),
            (_, _, Some(a), Some(b)) => compare_floats(a, b),
            _ => variant(a).cmp(&variant(b)),
        },
    }
}

fn integer(value: &Datum) -> Option<i64> {
    match value {
        Datum::Int2(value) => Some(i64::from(*value)),
        Datum::Int4(value) => Some(i64::from(*value)),
        Datum::Int8(value) => Some(*value),
        Datum::Oid(value) => Some(i64::from(*value)),
        _ => None,
    }
}

fn float(value: &Datum) -> Option<f64> {
    match value {
        Datum::Float4(value) => Some(f64::from(*value)),
        Datum::Float8(value) => Some(*value),
        _ => None,
    }
}

/// Values of different types are never compared by a bound expression; the order is still total.
fn variant(value: &Datum) -> u32 {
    value.natural_type().oid.0
}

/// By the moment in UTC, then by the zone.
pub(crate) fn compare_timetz((a, a_zone): (i64, i32), (b, b_zone): (i64, i32)) -> Ordering {
    let utc = |time: i64, zone: i32| time + i64::from(zone) * 1_000_000;
    utc(a, a_zone).cmp(&utc(b, b_zone)).then(a_zone.cmp(&b_zone))
}

/// Element by element, then by the number of elements, then by shape.
pub(crate) fn compare_arrays(a: &ArrayValue, b: &ArrayValue) -> Ordering {
    let elements = a.elements.iter().zip(&b.elements).map(|(x, y)| compare(x, y, a.element));
    elements
        .into_iter()
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
        .then_with(|| a.elements.len().cmp(&b.elements.len()))
        .then_with(|| a.dimensions.len().cmp(&b.dimensions.len()))
        .then_with(|| a.dimensions.cmp(&b.dimensions))
}

pub(crate) fn compare_fields(a: &[Datum], b: &[Datum]) -> Ordering {
    let fields = a.iter().zip(b).map(|(x, y)| compare_natural(x, y));
    fields.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// Feeds a value to a hasher: values that compare equal give the same hash, also across the integer
/// types and across the floating-point types.
pub fn hash_into(value: &Datum, ty: SqlType, hasher: &mut impl Hasher) {
    match value {
        Datum::Null => hasher.write_u8(0),
        Datum::Bool(value) => hasher.write_u8(1 + u8::from(*value)),
        Datum::Int2(value) => hasher.write_i64(i64::from(*value)),
        Datum::Int4(value) => hasher.write_i64(i64::from(*value)),
        Datum::Int8(value) => hasher.write_i64(*value),
        Datum::Oid(value) => hasher.write_i64(i64::from(*value)),
        Datum::Float4(value) => hash_float(f64::from(*value), hasher),
        Datum::Float8(value) => hash_float(*value, hasher),
        Datum::Numeric(value) => value.hash(hasher),
        Datum::Text(text) if ty.oid == SqlType::BPCHAR.oid => text.trim_end_matches(' ').hash(hasher),
        Datum::Text(text) => text.hash(hasher),
        Datum::Bytea(bytes) => bytes.hash(hasher),
        Datum::Date(date) => hasher.write_i32(*date),
        Datum::Time(time) => hasher.write_i64(*time),
        Datum::TimeTz(time, zone) => {
            hasher.write_i64(*time);
            hasher.write_i32(*zone);
        }
        Datum::Timestamp(value) | Datum::TimestampTz(value) => hasher.write_i64(*value),
        Datum::Interval(interval) => hasher.write_i128(interval.comparison_micros()),
        Datum::Uuid(bytes) => hasher.write(bytes),
        Datum::Jsonb(document) => document.hash(hasher),
        Datum::Array(array) => {
            hasher.write_usize(array.elements.len());
            array.elements.iter().for_each(|element| hash_into(element, array.element, hasher));
        }
        Datum::Record(fields) => fields.iter().for_each(|field| hash_into(field, field.natural_type(), hasher)),
    }
}

fn hash_float(value: f64, hasher: &mut impl Hasher) {
    let value = if value == 0.0 {
        0.0
    } else if value.is_nan() {
        f64::NAN
    } else {
        value
    };
    hasher.write_u64(value.to_bits());
}

/// Whether two values group together: equal, or both NULL.
pub fn same_group(a: &Datum, b: &Datum, ty: SqlType) -> bool {
    compare(a, b, ty) == Ordering::Equal
}

impl Datum {
    /// Bytes on the heap, roughly, for memory accounting.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Datum::Text(text) => text.len() + 16,
            Datum::Bytea(bytes) => bytes.len() + 32,
            Datum::Numeric(value) => value.heap_bytes(),
            Datum::Interval(_) => 16,
            Datum::Jsonb(document) => document.heap_bytes() + 48,
            Datum::Array(array) => {
                72 + array.elements.iter().map(|e| e.heap_bytes() + size_of::<Datum>()).sum::<usize>()
            }
            Datum::Record(fields) => 16 + fields.iter().map(|f| f.heap_bytes() + size_of::<Datum>()).sum::<usize>(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EvalContext;

    fn ascending(ty: SqlType, texts: &[&str]) {
        let ctx = EvalContext::detached();
        let values: Vec<Datum> =
            texts.iter().map(|text| Datum::parse(text, ty, &ctx).unwrap()).chain([Datum::Null]).collect();
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                assert_eq!(compare(a, b, ty), i.cmp(&j), "{ty} {a:?} {b:?}");
            }
        }
    }

    fn equal(ty: SqlType, a: &str, b: &str) {
        let ctx = EvalContext::detached();
        let hash = |datum: &Datum| {
            use std::hash::BuildHasher;
            let mut hasher = foldhash::fast::FixedState::default().build_hasher();
            hash_into(datum, ty, &mut hasher);
            hasher.finish()
        };
        let (a, b) = (Datum::parse(a, ty, &ctx).unwrap(), Datum::parse(b, ty, &ctx).unwrap());
        assert!(same_group(&a, &b, ty) && hash(&a) == hash(&b), "{a:?} {b:?}");
    }

    #[test]
    fn the_order_is_that_of_postgres() {
        ascending(SqlType::FLOAT8, &["-Infinity", "-1", "0", "1", "Infinity", "NaN"]);
        ascending(SqlType::NUMERIC, &["-Infinity", "-1.5", "0", "1e30", "Infinity", "NaN"]);
        ascending(SqlType::TEXT, &["", "A", "B", "a", "aa", "ä"]);
        ascending(SqlType::DATE, &["-infinity", "0044-03-15 BC", "2024-01-01", "infinity"]);
        ascending(SqlType::INTERVAL, &["-1 day", "0", "29 days", "1 mon", "31 days"]);
        ascending(SqlType::INT4_ARRAY, &["{}", "{1}", "{1,2}", "{1,NULL}", "{2}"]);
        ascending(SqlType::BOOL, &["f", "t"]);
        equal(SqlType::BPCHAR, "a ", "a   ");
        equal(SqlType::NUMERIC, "1.0", "1.000");
        equal(SqlType::FLOAT8, "-0", "0");
        equal(SqlType::INTERVAL, "1 mon", "30 days");
        equal(SqlType::JSONB, "{\"a\": 1.0}", "{\"a\": 1.00}");
    }
}
