//! The whole state of a span in chunks: what a replica that starts or lags is sent.
//!
//! A chunk is a checksum, a format byte and entries, each with its family. Every entry is checked against
//! the span before it is believed: a snapshot never writes outside its range.

use bytes::Bytes;
use keyspace::Span;
use storage::{Batch, Family, Snapshot};

use crate::bounds::entries_end;
use crate::codec::{Reader, put_bytes};
use crate::record::split_record_key;
use crate::version::split_data_key;
use crate::{Error, Result};

const FORMAT: u8 = 1;
/// In the order in which they are sent.
const FAMILIES: [Family; 3] = [Family::Data, Family::Intents, Family::Txns];

/// Where the next chunk begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    family: Family,
    /// The first entry to send, of this family.
    entry: Bytes,
}

impl Cursor {
    /// The begin of a span's state.
    pub fn start(span: &Span) -> Cursor {
        Cursor { family: FAMILIES[0], entry: span.start.0.clone() }
    }
}

/// A chunk of about `bytes_max` bytes (at least one entry, if there is one) and where the next begins.
pub fn export_chunk(
    snapshot: &dyn Snapshot,
    span: &Span,
    cursor: &Cursor,
    bytes_max: usize,
) -> Result<(Bytes, Option<Cursor>)> {
    let mut chunk = vec![0; 4];
    chunk.push(FORMAT);
    let mut entry = cursor.entry.clone();
    for family in FAMILIES.into_iter().skip_while(|family| *family != cursor.family) {
        let mut iter = snapshot.iter(family, &span.start, &family_end(family, span));
        iter.seek(&entry)?;
        while iter.valid() {
            if span.contains(entry_owner(family, iter.key())?) {
                if chunk.len() >= bytes_max.max(6) {
                    let entry = Bytes::copy_from_slice(iter.key());
                    return Ok((seal(chunk), Some(Cursor { family, entry })));
                }
                chunk.push(family as u8);
                put_bytes(&mut chunk, iter.key());
                put_bytes(&mut chunk, iter.value());
            }
            iter.next()?;
        }
        entry = span.start.0.clone();
    }
    Ok((seal(chunk), None))
}

/// Writes the entries of a chunk. The span must have been cleared before the first one.
pub fn import_chunk(chunk: &[u8], span: &Span, batch: &mut Batch) -> Result<()> {
    let mut reader = Reader::new("a snapshot chunk", chunk);
    let sum = reader.u32()?;
    if sum != crc32fast::hash(chunk.get(4..).unwrap_or_default()) {
        return Err(reader.corrupt("has a bad checksum"));
    }
    reader.expect_version(FORMAT)?;
    while !reader.is_empty() {
        let family = Family::from_u8(reader.u8()?)
            .filter(|family| FAMILIES.contains(family))
            .ok_or_else(|| reader.corrupt("names an unknown family"))?;
        let (key, value) = (reader.bytes()?, reader.bytes()?);
        if !span.contains(entry_owner(family, key)?) {
            return Err(reader.corrupt("has a key outside its span"));
        }
        batch.put(family, Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    }
    Ok(())
}

/// Removes the whole state of a span whose bounds are keys, prefixes or ends of prefixes, as bounds of
/// ranges are. Not for spans that anybody may still read.
pub fn clear_span(span: &Span, batch: &mut Batch) {
    for family in FAMILIES {
        batch.delete_range(family, span.start.0.clone(), span.end.0.clone());
    }
}

/// The key that an entry belongs to: what decides in which range it lies.
fn entry_owner(family: Family, entry: &[u8]) -> Result<&[u8]> {
    match family {
        Family::Data => Ok(split_data_key(entry)?.0),
        Family::Txns => Ok(split_record_key(entry)?.0),
        Family::Intents => Ok(entry),
        Family::Local | Family::Log => Err(Error::Corrupt("a family that is not part of a span's state".to_owned())),
    }
}

fn family_end(family: Family, span: &Span) -> Vec<u8> {
    if family == Family::Intents { span.end.to_vec() } else { entries_end(&span.end) }
}

fn seal(mut chunk: Vec<u8>) -> Bytes {
    let sum = crc32fast::hash(&chunk[4..]);
    chunk[..4].copy_from_slice(&sum.to_be_bytes());
    chunk.into()
}
