//! Records of tagged fields: how descriptors are written.
//!
//! ```text
//! record = field*        field = uint(tag) uint(length) value
//! ```
//!
//! A reader skips tags that it does not know and knows what the absence of one means, so that a field can be added
//! while nodes of two versions serve one cluster. Tags are never reused. A repeated field is a list; an absent
//! one is an empty list, a missing option or `false`; the absence of anything else is an error.

use std::sync::Arc;

use expr::{Oid, SqlType};
use keyspace::encoding::{put_uint, take_uint};
use keyspace::{IndexId, TableId};

use super::ColumnId;

/// A struct that is written as tagged fields.
pub(super) trait Record: Sized {
    fn write(&self, out: &mut Vec<u8>);
    /// `None`: malformed.
    fn read(bytes: &[u8]) -> Option<Self>;
}

/// What one field holds.
pub(super) trait Value: Sized {
    fn encode(&self, out: &mut Vec<u8>);
    fn decode(bytes: &[u8]) -> Option<Self>;
    /// What it means that the field is not there.
    fn absent() -> Option<Self> {
        None
    }
}

/// A field of a record: a value, an optional value or a list of values.
pub(super) trait Field: Sized {
    fn put(&self, tag: u64, out: &mut Vec<u8>);
    fn absent() -> Option<Self>;
    /// Takes one occurrence of the field in.
    fn take(slot: &mut Option<Self>, bytes: &[u8]) -> Option<()>;
}

fn put_field<T: Value>(tag: u64, value: &T, out: &mut Vec<u8>) {
    put_uint(out, tag);
    let mut body = Vec::new();
    value.encode(&mut body);
    put_uint(out, body.len() as u64);
    out.extend_from_slice(&body);
}

/// The next field's tag and bytes.
pub(super) fn take_field<'a>(input: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let tag = take_uint(input)?;
    let length = usize::try_from(take_uint(input)?).ok()?;
    let (body, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some((tag, body))
}

impl<T: Value> Field for T {
    fn put(&self, tag: u64, out: &mut Vec<u8>) {
        put_field(tag, self, out);
    }

    fn absent() -> Option<T> {
        <T as Value>::absent()
    }

    fn take(slot: &mut Option<T>, bytes: &[u8]) -> Option<()> {
        *slot = Some(T::decode(bytes)?);
        Some(())
    }
}

impl<T: Value> Field for Option<T> {
    fn put(&self, tag: u64, out: &mut Vec<u8>) {
        if let Some(value) = self {
            put_field(tag, value, out);
        }
    }

    fn absent() -> Option<Option<T>> {
        Some(None)
    }

    fn take(slot: &mut Option<Option<T>>, bytes: &[u8]) -> Option<()> {
        *slot = Some(Some(T::decode(bytes)?));
        Some(())
    }
}

impl<T: Value> Field for Vec<T> {
    fn put(&self, tag: u64, out: &mut Vec<u8>) {
        for value in self {
            put_field(tag, value, out);
        }
    }

    fn absent() -> Option<Vec<T>> {
        Some(Vec::new())
    }

    fn take(slot: &mut Option<Vec<T>>, bytes: &[u8]) -> Option<()> {
        slot.get_or_insert_default().push(T::decode(bytes)?);
        Some(())
    }
}

/// Writes `Record` for a struct from its list of tags, and `Value` with it: records nest.
macro_rules! record {
    ($name:ident { $($tag:literal $field:ident),* $(,)? }) => {
        impl $crate::catalog::record::Record for $name {
            fn write(&self, out: &mut Vec<u8>) {
                let $name { $($field),* } = self;
                $($crate::catalog::record::Field::put($field, $tag, out);)*
            }

            fn read(mut bytes: &[u8]) -> Option<$name> {
                $(let mut $field = $crate::catalog::record::Field::absent();)*
                while !bytes.is_empty() {
                    let (tag, body) = $crate::catalog::record::take_field(&mut bytes)?;
                    match tag {
                        $($tag => $crate::catalog::record::Field::take(&mut $field, body)?,)*
                        _ => {}
                    }
                }
                Some($name { $($field: $field?),* })
            }
        }

        impl $crate::catalog::record::Value for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                $crate::catalog::record::Record::write(self, out);
            }

            fn decode(bytes: &[u8]) -> Option<$name> {
                $crate::catalog::record::Record::read(bytes)
            }
        }
    };
}

/// Writes `Value` for an enum without fields from its list of codes.
macro_rules! codes {
    ($name:ident { $($code:literal $variant:ident),* $(,)? }) => {
        impl $crate::catalog::record::Value for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                out.push(match self { $($name::$variant => $code),* });
            }

            fn decode(bytes: &[u8]) -> Option<$name> {
                match bytes {
                    $([$code] => Some($name::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

pub(super) use {codes, record};

impl Value for u64 {
    fn encode(&self, out: &mut Vec<u8>) {
        put_uint(out, *self);
    }

    fn decode(mut bytes: &[u8]) -> Option<u64> {
        let value = take_uint(&mut bytes)?;
        bytes.is_empty().then_some(value)
    }
}

/// Numbers that are written as a `u64`: small ones of both signs stay short.
macro_rules! integers {
    ($($name:ty: $to:expr, $from:expr;)*) => {
        $(impl Value for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                let to: fn($name) -> u64 = $to;
                to(*self).encode(out);
            }

            fn decode(bytes: &[u8]) -> Option<$name> {
                let from: fn(u64) -> Option<$name> = $from;
                from(u64::decode(bytes)?)
            }
        })*
    };
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

integers! {
    u32: |value| value.into(), |value| value.try_into().ok();
    i64: zigzag, |value| Some(unzigzag(value));
    i32: |value| zigzag(value.into()), |value| unzigzag(value).try_into().ok();
    i16: |value| zigzag(value.into()), |value| unzigzag(value).try_into().ok();
    Oid: |value| value.0.into(), |value| Some(Oid(value.try_into().ok()?));
    ColumnId: |value| value.0.into(), |value| Some(ColumnId(value.try_into().ok()?));
    IndexId: |value| value.0, |value| Some(IndexId(value));
    TableId: |value| value.0, |value| Some(TableId(value));
}

impl Value for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn decode(bytes: &[u8]) -> Option<bool> {
        match bytes {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    fn absent() -> Option<bool> {
        Some(false)
    }
}

impl Value for String {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<String> {
        Some(std::str::from_utf8(bytes).ok()?.to_owned())
    }
}

impl Value for SqlType {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.oid, self.typmod).encode(out);
    }

    fn decode(bytes: &[u8]) -> Option<SqlType> {
        let (oid, typmod) = Value::decode(bytes)?;
        Some(SqlType { oid, typmod })
    }
}

/// A pair is a record with the tags 1 and 2.
impl<A: Field, B: Field> Value for (A, B) {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.put(1, out);
        self.1.put(2, out);
    }

    fn decode(mut bytes: &[u8]) -> Option<(A, B)> {
        let (mut a, mut b) = (A::absent(), B::absent());
        while !bytes.is_empty() {
            match take_field(&mut bytes)? {
                (1, body) => A::take(&mut a, body)?,
                (2, body) => B::take(&mut b, body)?,
                _ => {}
            }
        }
        Some((a?, b?))
    }
}

impl<T: Value> Value for Arc<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        T::encode(self, out);
    }

    fn decode(bytes: &[u8]) -> Option<Arc<T>> {
        T::decode(bytes).map(Arc::new)
    }
}
