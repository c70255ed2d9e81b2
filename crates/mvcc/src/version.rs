//! One committed version of a key: `key ++ !timestamp` → format, flags, writer, value.

use bytes::Bytes;
use keyspace::{Timestamp, TxnId};
use storage::{Batch, Family, SUFFIX_LEN};

use crate::codec::Reader;
use crate::{Error, Result};

const FORMAT: u8 = 1;
const DELETED: u8 = 1;
const CHANGES_KEY: u8 = 2;
/// Format, flags, writer.
pub const HEADER_LEN: usize = 1 + 1 + 8;

/// All about a version but its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionHead {
    /// The commit number.
    pub at: Timestamp,
    /// Who wrote it.
    pub writer: TxnId,
    pub deleted: bool,
    /// The row was deleted or one of its key columns changed: what KEY SHARE locks guard against.
    pub changes_key: bool,
}

/// A version that is not a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub value: Bytes,
    pub at: Timestamp,
    pub writer: TxnId,
}

/// Writes a version; `None` deletes.
pub fn put_version(
    batch: &mut Batch,
    key: &[u8],
    at: Timestamp,
    writer: TxnId,
    value: Option<&[u8]>,
    changes_key: bool,
) {
    assert!(!key.is_empty(), "the empty key is only a bound");
    let mut stored = Vec::with_capacity(HEADER_LEN + value.map_or(0, <[u8]>::len));
    let deleted = if value.is_none() { DELETED } else { 0 };
    stored.push(FORMAT);
    stored.push(deleted | if changes_key { CHANGES_KEY } else { 0 });
    stored.extend_from_slice(&writer.0.to_be_bytes());
    stored.extend_from_slice(value.unwrap_or_default());
    batch.put(Family::Data, data_key(key, at), stored);
}

/// Removes one version, as if it had never been.
pub fn remove_version(batch: &mut Batch, key: &[u8], at: Timestamp) {
    batch.delete(Family::Data, data_key(key, at));
}

pub fn data_key(key: &[u8], at: Timestamp) -> Vec<u8> {
    let mut data_key = Vec::with_capacity(key.len() + SUFFIX_LEN);
    data_key.extend_from_slice(key);
    data_key.extend_from_slice(&suffix(at));
    data_key
}

/// Later timestamps sort first.
pub fn suffix(at: Timestamp) -> [u8; SUFFIX_LEN] {
    (!at.0).to_be_bytes()
}

pub fn suffix_timestamp(suffix: [u8; SUFFIX_LEN]) -> Timestamp {
    Timestamp(!u64::from_be_bytes(suffix))
}

pub fn split_data_key(data_key: &[u8]) -> Result<(&[u8], Timestamp)> {
    match data_key.split_last_chunk::<SUFFIX_LEN>() {
        Some((key, suffix)) if !key.is_empty() => Ok((key, suffix_timestamp(*suffix))),
        _ => Err(Error::Corrupt("a key in the data is too short".to_owned())),
    }
}

/// The head; the value is what follows [`HEADER_LEN`] bytes.
pub fn decode_head(at: Timestamp, stored: &[u8]) -> Result<VersionHead> {
    let mut reader = Reader::new("a version", stored);
    reader.expect_version(FORMAT)?;
    let flags = reader.flags(DELETED | CHANGES_KEY)?;
    let writer = TxnId(reader.u64()?);
    let deleted = flags & DELETED != 0;
    if deleted && !reader.is_empty() {
        return Err(reader.corrupt("deletes and has a value"));
    }
    Ok(VersionHead { at, writer, deleted, changes_key: flags & CHANGES_KEY != 0 })
}
