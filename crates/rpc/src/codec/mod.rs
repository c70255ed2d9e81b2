//! # The form of a message on the wire
//!
//! A message is one version byte and then its fields in order, without names or padding:
//!
//! ```text
//! u64, usize, ids       LEB128, seven bits a byte, low ones first
//! Timestamp, TxnId      eight bytes, little-endian (they are large: the varint would take nine)
//! u8, bool              one byte
//! Bytes, Key, String    length, then the bytes
//! Option                0, or 1 and the value
//! Vec                   length, then the items
//! struct                its fields
//! enum                  one byte for the variant, then its fields
//! ```
//!
//! Messages of this kind are a few dozen bytes and there are very many of them; protobuf would need a
//! mirror of each type and a copy of each key. Here byte strings are slices of the frame they came in.
//!
//! **Decoding trusts nothing**: it never panics, never takes more memory than a small multiple of what
//! arrived, and wants every byte accounted for.
//!
//! **How a message grows**: a new variant takes the next free number; who does not know it answers with a
//! typed refusal ([`DecodeError::UnknownVariant`]) and the sender does without. A new field goes to the end of its
//! struct, raises [`VERSION`], and is written and read only when [`Output::version`] and [`Input::version`]
//! (the highest that both peers speak, settled when they connect) have it. Numbers are never reused.

mod cluster;
mod error;
mod range;
mod wire;

use bytes::Bytes;
use thiserror::Error;

pub use wire::{Input, Output, Wire};

use crate::{RaftEnvelope, Request, Response};

/// The version of the messages that this build writes.
pub const VERSION: u8 = 1;

/// The lowest version that this build can still read and write.
pub const VERSION_MIN: u8 = 1;

/// Why bytes are not a message.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    #[error("the message ends too early")]
    Truncated,
    #[error("{bytes} bytes follow the end of the message")]
    TrailingBytes { bytes: usize },
    /// The sender is newer, or the bytes are not a message.
    #[error("{of} number {tag} is not known here")]
    UnknownVariant { of: &'static str, tag: u8 },
    #[error("version {0} is not known here")]
    UnknownVersion(u8),
    #[error("{0}")]
    Invalid(&'static str),
}

wire::wire_enum!(Request {
    1 => Range(request),
    2 => Cluster(request),
});

wire::wire_enum!(Response {
    1 => Range(result),
    2 => Cluster(result),
});

wire::wire_struct!(RaftEnvelope { range, from, to, message });

pub fn encode_request(request: &Request) -> Bytes {
    encode(request, VERSION)
}

pub fn decode_request(bytes: Bytes) -> Result<Request, DecodeError> {
    decode(bytes)
}

pub fn encode_response(response: &Response) -> Bytes {
    encode(response, VERSION)
}

pub fn decode_response(bytes: Bytes) -> Result<Response, DecodeError> {
    decode(bytes)
}

pub fn encode_raft(envelope: &RaftEnvelope) -> Bytes {
    encode(envelope, VERSION)
}

pub fn decode_raft(bytes: Bytes) -> Result<RaftEnvelope, DecodeError> {
    decode(bytes)
}

/// Any of this crate's types, and lists and pairs of them, in the form they have on the wire: also how
/// `placement` and `node` keep them on disk.
pub fn encode_record(record: &impl Wire) -> Bytes {
    encode(record, VERSION)
}

pub fn decode_record<T: Wire>(bytes: Bytes) -> Result<T, DecodeError> {
    decode(bytes)
}

pub(crate) fn encode(message: &impl Wire, version: u8) -> Bytes {
    let mut bytes = Vec::with_capacity(128);
    encode_into(message, version, &mut bytes);
    bytes.into()
}

/// Appends the message to `bytes`.
pub(crate) fn encode_into(message: &impl Wire, version: u8, bytes: &mut Vec<u8>) {
    assert!((VERSION_MIN..=VERSION).contains(&version), "the greeting settles on a version that this build speaks");
    bytes.push(version);
    message.put(&mut Output { bytes, version });
}

pub(crate) fn decode<T: Wire>(mut bytes: Bytes) -> Result<T, DecodeError> {
    let version = *bytes.first().ok_or(DecodeError::Truncated)?;
    if !(VERSION_MIN..=VERSION).contains(&version) {
        return Err(DecodeError::UnknownVersion(version));
    }
    let body = bytes.split_off(1);
    let mut input = Input::new(body, version);
    let message = T::take(&mut input)?;
    match input.remaining() {
        0 => Ok(message),
        bytes => Err(DecodeError::TrailingBytes { bytes }),
    }
}

#[cfg(test)]
mod tests {
    use super::wire::Sample;
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Debug;

    fn round_trip<T: Wire + Debug>(message: &T) {
        let bytes = encode(message, VERSION);
        let back: T = decode(bytes.clone()).expect("what was encoded can be decoded");
        // Not every message can be compared; every one can be printed in full.
        assert_eq!(format!("{back:?}"), format!("{message:?}"));
        for cut in 0..bytes.len() {
            assert!(decode::<T>(bytes.slice(..cut)).is_err(), "a cut message is refused: {message:?}");
        }
    }

    fn damage<T: Wire>(message: &T, at: usize, with: u8) {
        let mut bytes = encode(message, VERSION).to_vec();
        let at = at % bytes.len();
        bytes[at] ^= with;
        let _may_be_another_message = decode::<T>(bytes.into());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn every_message_survives_the_wire(choices in prop::collection::vec(any::<u8>(), 0..400)) {
            round_trip(&Request::sample(&mut wire::Choices::new(&choices)));
            round_trip(&Response::sample(&mut wire::Choices::new(&choices)));
            round_trip(&RaftEnvelope::sample(&mut wire::Choices::new(&choices)));
        }

        #[test]
        fn garbage_is_refused_and_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let bytes = Bytes::from([&[VERSION][..], &bytes].concat());
            let _ = decode_request(bytes.clone());
            let _ = decode_response(bytes.clone());
            let _ = decode_raft(bytes);
        }

        #[test]
        fn damaged_messages_never_panic(choices in prop::collection::vec(any::<u8>(), 0..400), at: usize, with in 1_u8..) {
            damage(&Request::sample(&mut wire::Choices::new(&choices)), at, with);
            damage(&Response::sample(&mut wire::Choices::new(&choices)), at, with);
        }
    }

    #[test]
    fn a_length_beyond_the_message_takes_no_memory() {
        // Response, Range, Ok, Read, then a list of 2^62 results.
        let mut bytes = vec![VERSION, 1, 0, 1];
        bytes.extend([0x80; 8]);
        bytes.push(0x40);
        assert_eq!(decode_response(bytes.into()).unwrap_err(), DecodeError::Truncated);
    }

    #[test]
    fn what_is_newer_is_refused_by_name() {
        assert_eq!(
            decode_request(vec![VERSION, 9].into()).unwrap_err(),
            DecodeError::UnknownVariant { of: "Request", tag: 9 }
        );
        assert_eq!(decode_request(vec![200, 1].into()).unwrap_err(), DecodeError::UnknownVersion(200));
        let mut bytes = encode_request(&Request::sample(&mut wire::Choices::new(&[]))).to_vec();
        bytes.push(0);
        assert_eq!(decode_request(bytes.into()).unwrap_err(), DecodeError::TrailingBytes { bytes: 1 });
    }
}
