//! How plain values are written and read, and the two macros that string them together.

use std::time::Duration;

use bytes::{Buf, Bytes};
use keyspace::{Epoch, IndexId, Key, NodeId, RangeId, ReplicaId, Span, TableId, Timestamp, TxnId};

use super::DecodeError;

/// A value that has a form on the wire.
pub trait Wire: Sized {
    fn put(&self, out: &mut Output<'_>);
    fn take(input: &mut Input) -> Result<Self, DecodeError>;
}

/// Where a message is written.
pub struct Output<'a> {
    pub(super) bytes: &'a mut Vec<u8>,
    /// What the reader understands.
    pub version: u8,
}

/// What is left of a message that is being read.
pub struct Input {
    bytes: Bytes,
    /// What the writer wrote.
    pub version: u8,
}

impl Output<'_> {
    pub fn push(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

impl Input {
    pub fn new(bytes: Bytes, version: u8) -> Input {
        Input { bytes, version }
    }

    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    pub fn take_byte(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.bytes.first().ok_or(DecodeError::Truncated)?;
        self.bytes.advance(1);
        Ok(byte)
    }

    pub fn take_varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for (at, byte) in self.bytes.iter().copied().enumerate().take(10) {
            let bits = u64::from(byte & 0x7f);
            if at == 9 && bits > 1 {
                return Err(DecodeError::Invalid("a number has more than 64 bits"));
            }
            value |= bits << (7 * at);
            if byte < 0x80 {
                self.bytes.advance(at + 1);
                return Ok(value);
            }
        }
        match self.bytes.len() {
            0..10 => Err(DecodeError::Truncated),
            _ => Err(DecodeError::Invalid("a number has more than 64 bits")),
        }
    }

    fn take_bytes(&mut self) -> Result<Bytes, DecodeError> {
        let len = self.take_varint()?;
        match usize::try_from(len) {
            Ok(len) if len <= self.bytes.len() => Ok(self.bytes.split_to(len)),
            _ => Err(DecodeError::Truncated),
        }
    }

    fn take_fixed(&mut self) -> Result<u64, DecodeError> {
        let bytes = *self.bytes.first_chunk::<8>().ok_or(DecodeError::Truncated)?;
        self.bytes.advance(8);
        Ok(u64::from_le_bytes(bytes))
    }
}

/// A struct is its fields, in the order given here.
macro_rules! wire_struct {
    ($name:ident { $($field:ident),+ $(,)? }) => {
        impl $crate::codec::Wire for $name {
            fn put(&self, out: &mut $crate::codec::Output<'_>) {
                let $name { $($field),+ } = self;
                $( $field.put(out); )+
            }

            fn take(input: &mut $crate::codec::Input) -> Result<Self, $crate::codec::DecodeError> {
                $( let $field = $crate::codec::Wire::take(input)?; )+
                Ok($name { $($field),+ })
            }
        }

        #[cfg(test)]
        impl $crate::codec::wire::Sample for $name {
            fn sample(choices: &mut $crate::codec::wire::Choices<'_>) -> Self {
                $( let $field = $crate::codec::wire::Sample::sample(choices); )+
                $name { $($field),+ }
            }
        }
    };
}

/// An enum is the number of its variant and the variant's fields. Numbers are never used again for
/// something else.
macro_rules! wire_enum {
    ($name:ident { $($tag:literal => $variant:ident $(( $($item:ident),+ ))? $({ $($field:ident),+ })? ),+ $(,)? }) => {
        impl $crate::codec::Wire for $name {
            fn put(&self, out: &mut $crate::codec::Output<'_>) {
                match self {
                    $( $name::$variant $(( $($item),+ ))? $({ $($field),+ })? => {
                        out.push($tag);
                        $( $( $item.put(out); )+ )?
                        $( $( $field.put(out); )+ )?
                    } )+
                }
            }

            fn take(input: &mut $crate::codec::Input) -> Result<Self, $crate::codec::DecodeError> {
                match input.take_byte()? {
                    $( $tag => {
                        $( $( let $item = $crate::codec::Wire::take(input)?; )+ )?
                        $( $( let $field = $crate::codec::Wire::take(input)?; )+ )?
                        Ok($name::$variant $(( $($item),+ ))? $({ $($field),+ })?)
                    } )+
                    tag => Err($crate::codec::DecodeError::UnknownVariant { of: stringify!($name), tag }),
                }
            }
        }

        #[cfg(test)]
        impl $crate::codec::wire::Sample for $name {
            fn sample(choices: &mut $crate::codec::wire::Choices<'_>) -> Self {
                const TAGS: &[u8] = &[$($tag),+];
                match TAGS[choices.below(TAGS.len())] {
                    $( $tag => {
                        $( $( let $item = $crate::codec::wire::Sample::sample(choices); )+ )?
                        $( $( let $field = $crate::codec::wire::Sample::sample(choices); )+ )?
                        $name::$variant $(( $($item),+ ))? $({ $($field),+ })?
                    } )+
                    _ => unreachable!("every number is in the list"),
                }
            }
        }
    };
}

/// A type around one number of 64 bits.
macro_rules! wire_number {
    ($($name:ident: $put:ident $take:ident),+ $(,)?) => { $(
        impl Wire for $name {
            fn put(&self, out: &mut Output<'_>) {
                $put(out, self.0);
            }

            fn take(input: &mut Input) -> Result<Self, DecodeError> {
                input.$take().map($name)
            }
        }

        #[cfg(test)]
        impl Sample for $name {
            fn sample(choices: &mut Choices<'_>) -> Self {
                $name(u64::sample(choices))
            }
        }
    )+ };
}

pub(crate) use {wire_enum, wire_struct};

fn varint(out: &mut Output<'_>, value: u64) {
    out.put_varint(value);
}

fn fixed(out: &mut Output<'_>, value: u64) {
    out.bytes.extend_from_slice(&value.to_le_bytes());
}

wire_number!(
    NodeId: varint take_varint,
    RangeId: varint take_varint,
    ReplicaId: varint take_varint,
    TableId: varint take_varint,
    IndexId: varint take_varint,
    Timestamp: fixed take_fixed,
    TxnId: fixed take_fixed,
);

wire_struct!(Epoch { config, span });
wire_struct!(Span { start, end });

impl Wire for u64 {
    fn put(&self, out: &mut Output<'_>) {
        out.put_varint(*self);
    }

    fn take(input: &mut Input) -> Result<Self, DecodeError> {
        input.take_varint()
    }
}

impl Wire for u32 {
    fn put(&self, out: &mut Output<'_>) {
        out.put_varint(u64::from(*self));
    }

    fn take(input: &mut Input) -> Result<Self, DecodeError> {
        u32::try_from(input.take_varint()?).map_err(|_| DecodeError::Invalid("a number has more than 32 bits"))
    }
}

impl Wire for usize {
    fn put(&self, out: &mut Output<'_>) {
        out.put_varint(*self as u64);
    }

    fn take(input: &mut Input) -> Result<Self, DecodeError> {
        usize::try_from(input.take_varint()?).map_err(|_| DecodeError::Invalid("a size does not fit into memory"))
    }
}

impl Wire for bool {
    fn put(&self, out: &mut Output<'_>) {
        out.push(u8::from(*self));
    }

    fn take(input: &mut Input) -> Result<Self, DecodeError> {
        match input.take_byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Invalid("a truth value is neither 0 nor 1")),
        }
    }
}

impl Wire for Duration {
    fn put(&self, out: &mut Output<'_>) {
        out.put_varint(self.as_secs());
        out.put_varint(u64::from(self.subsec_nanos()));
    }

    fn take(input: &mut Input) -> Result<Self, DecodeError> {
        let seconds = input.take_varint()?;
        match u32::take(input)? {
            nanos @ 0..1_000_000_000 => Ok(Duration::new(seconds, nanos)),
            _ => Err(DecodeError::Invalid("a duration has more nanoseconds than a second")),
        }
    }
}

impl Wire for Bytes {
    fn put(&self, out: &mut Output<'_>) {
        out.put_varint(self.len() as u64);
        out.bytes.extend_from_slice(self);
    }

    fn take(input: &mut Input) -> Result<Self, DecodeError> {
        input.take_bytes()
    }
}

impl Wire for Key {
    fn put(&self, out: &mut Output<'_>) {
        self.0.put(out);
    }

    fn take(input: &mut Input) -> Result<Self, DecodeError> {
        input.take_bytes().map(Key)
    }
}

impl Wire for String {
    fn put(&self, out: &mut Output<'_>) {
        out.put_varint(self.len() as u64);
        out.bytes.extend_from_slice(self.as_bytes());
    }

    fn take(input: &mut Input) -> Result<Self, DecodeError> {
        String::from_utf8(input.take_bytes()?.into()).map_err(|_| DecodeError::Invalid("a text is not UTF-8"))
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Output<'_>) {
        out.push(u8::from(self.is_some()));
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(input: &mut Input) -> Result<Self, DecodeError> {
        Ok(if bool::take(input)? { Some(T::take(input)?) } else { None })
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Output<'_>) {
        out.put_varint(self.len() as u64);
        for item in self {
            item.put(out);
        }
    }

    fn take(input: &mut Input) -> Result<Self, DecodeError> {
        let len = input.take_varint()?;
        // Every item takes a byte at least, so a longer list cannot follow. The list grows as items are
        // really there.
        let len = usize::try_from(len).ok().filter(|len| *len <= input.remaining()).ok_or(DecodeError::Truncated)?;
        let mut items = Vec::with_capacity(len.min(64));
        for _ in 0..len {
            items.push(T::take(input)?);
        }
        Ok(items)
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, out: &mut Output<'_>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(input: &mut Input) -> Result<Self, DecodeError> {
        Ok((A::take(input)?, B::take(input)?))
    }
}

impl<T: Wire, E: Wire> Wire for Result<T, E> {
    fn put(&self, out: &mut Output<'_>) {
        match self {
            Ok(value) => {
                out.push(0);
                value.put(out);
            }
            Err(error) => {
                out.push(1);
                error.put(out);
            }
        }
    }

    fn take(input: &mut Input) -> Result<Self, DecodeError> {
        match input.take_byte()? {
            0 => Ok(Ok(T::take(input)?)),
            1 => Ok(Err(E::take(input)?)),
            tag => Err(DecodeError::UnknownVariant { of: "Result", tag }),
        }
    }
}

#[cfg(test)]
pub(crate) use sample::{Choices, Sample};

/// Values of every shape out of a string of choices, so that a test reaches each variant of each message
/// without a list that somebody would have to keep.
#[cfg(test)]
mod sample {
    use super::*;

    pub(crate) struct Choices<'a>(&'a [u8]);

    impl<'a> Choices<'a> {
        pub fn new(bytes: &'a [u8]) -> Choices<'a> {
            Choices(bytes)
        }

        /// Zero when the choices are used up.
        pub fn byte(&mut self) -> u8 {
            match self.0.split_first() {
                Some((first, rest)) => {
                    self.0 = rest;
                    *first
                }
                None => 0,
            }
        }

        pub fn below(&mut self, bound: usize) -> usize {
            usize::from(self.byte()) % bound
        }
    }

    pub(crate) trait Sample {
        fn sample(choices: &mut Choices<'_>) -> Self;
    }

    impl Sample for u64 {
        fn sample(choices: &mut Choices<'_>) -> Self {
            let (byte, shift) = (choices.byte(), choices.below(8) * 8);
            match shift {
                56 => u64::MAX - u64::from(byte),
                shift => u64::from(byte) << shift,
            }
        }
    }

    impl Sample for u32 {
        fn sample(choices: &mut Choices<'_>) -> Self {
            u64::sample(choices) as u32
        }
    }

    impl Sample for usize {
        fn sample(choices: &mut Choices<'_>) -> Self {
            u64::sample(choices) as usize
        }
    }

    impl Sample for bool {
        fn sample(choices: &mut Choices<'_>) -> Self {
            choices.below(2) == 1
        }
    }

    impl Sample for Duration {
        fn sample(choices: &mut Choices<'_>) -> Self {
            Duration::new(u64::sample(choices), u32::sample(choices) % 1_000_000_000)
        }
    }

    impl Sample for Bytes {
        fn sample(choices: &mut Choices<'_>) -> Self {
            (0..choices.below(6)).map(|_| choices.byte()).collect()
        }
    }

    impl Sample for Key {
        fn sample(choices: &mut Choices<'_>) -> Self {
            Key(Bytes::sample(choices))
        }
    }

    impl Sample for String {
        fn sample(choices: &mut Choices<'_>) -> Self {
            (0..choices.below(6)).map(|_| char::from(choices.byte())).collect()
        }
    }

    impl<T: Sample> Sample for Option<T> {
        fn sample(choices: &mut Choices<'_>) -> Self {
            bool::sample(choices).then(|| T::sample(choices))
        }
    }

    impl<T: Sample> Sample for Vec<T> {
        fn sample(choices: &mut Choices<'_>) -> Self {
            (0..choices.below(3)).map(|_| T::sample(choices)).collect()
        }
    }

    impl<A: Sample, B: Sample> Sample for (A, B) {
        fn sample(choices: &mut Choices<'_>) -> Self {
            (A::sample(choices), B::sample(choices))
        }
    }

    impl<T: Sample, E: Sample> Sample for Result<T, E> {
        fn sample(choices: &mut Choices<'_>) -> Self {
            if bool::sample(choices) { Err(E::sample(choices)) } else { Ok(T::sample(choices)) }
        }
    }
}
