//! Look-ups of single keys, and the question whether anything in a span has changed.

use bytes::Bytes;
use keyspace::{Key, Span, Timestamp, TxnId};
use storage::{Engine, Family, SUFFIX_LEN, Snapshot};

use crate::bounds::{after_entries, entries_end};
use crate::version::{HEADER_LEN, data_key, decode_head, split_data_key, suffix, suffix_timestamp};
use crate::{Result, Version, VersionHead};

/// The value of `key` as of `at`; `None` where there is none or it is deleted. One seek.
pub fn get(snapshot: &dyn Snapshot, key: &[u8], at: Timestamp) -> Result<Option<Version>> {
    version_at(snapshot.seek_suffix(key, suffix(at))?)
}

/// [`get`] in the state now, which is not older than this call: for a single look-up, cheaper than a snapshot.
pub fn get_now(engine: &dyn Engine, key: &[u8], at: Timestamp) -> Result<Option<Version>> {
    version_at(engine.seek_suffix(key, suffix(at))?)
}

/// The newest version of `key`, deletions included. One seek.
pub fn newest(snapshot: &dyn Snapshot, key: &[u8]) -> Result<Option<VersionHead>> {
    Ok(seek(snapshot, key, Timestamp::MAX)?.map(|(head, _)| head))
}

/// Is there no version of any key from `first` to `last`? One seek: cheaper than to look up many keys that are new.
pub fn is_vacant(snapshot: &dyn Snapshot, first: &[u8], last: &[u8]) -> Result<bool> {
    let mut iter = snapshot.iter(Family::Data, first, &after_entries(last));
    iter.seek(first)?;
    Ok(!iter.valid())
}

/// The newest version above `above` that deleted the row or changed its key (rule 20).
pub fn key_changed_since(snapshot: &dyn Snapshot, key: &[u8], above: Timestamp) -> Result<Option<VersionHead>> {
    find_down_to(snapshot, key, above, |head| head.at > above && (head.deleted || head.changes_key))
}

/// The version that the transaction `writer` wrote, if it did. Its number is not below the start of
/// `writer`, so only newer versions are looked at (rule 7).
pub fn version_by_writer(snapshot: &dyn Snapshot, key: &[u8], writer: TxnId) -> Result<Option<VersionHead>> {
    find_down_to(snapshot, key, writer.start(), |head| head.writer == writer)
}

/// A key of `span` that has a version in `(from, to]`, and its newest such version. Intents are another
/// question.
pub fn changed_in(
    snapshot: &dyn Snapshot,
    span: &Span,
    from: Timestamp,
    to: Timestamp,
) -> Result<Option<(Key, VersionHead)>> {
    if let Some(key) = span.as_point() {
        let found = seek(snapshot, key, to)?.filter(|(head, _)| head.at > from);
        return Ok(found.map(|(head, _)| (key.clone(), head)));
    }
    let mut iter = snapshot.iter(Family::Data, &span.start, &entries_end(&span.end));
    iter.seek(&span.start)?;
    while iter.valid() {
        let (key, at) = split_data_key(iter.key())?;
        if key >= &span.end[..] {
            break;
        }
        if key < &span.start[..] {
            let next = after_entries(key);
            iter.seek(&next)?;
        } else if at > to {
            let visible = data_key(key, to);
            iter.seek(&visible)?;
        } else if at > from {
            return Ok(Some((key.into(), decode_head(at, iter.value())?)));
        } else {
            iter.next()?; // mostly the only version of its key
        }
    }
    Ok(None)
}

fn version_at(found: Option<([u8; SUFFIX_LEN], Bytes)>) -> Result<Option<Version>> {
    let Some((found, stored)) = found else { return Ok(None) };
    let head = decode_head(suffix_timestamp(found), &stored)?;
    if head.deleted {
        return Ok(None);
    }
    Ok(Some(Version { value: stored.slice(HEADER_LEN..), at: head.at, writer: head.writer }))
}

fn seek(snapshot: &dyn Snapshot, key: &[u8], at: Timestamp) -> Result<Option<(VersionHead, Bytes)>> {
    let Some((found, stored)) = snapshot.seek_suffix(key, suffix(at))? else { return Ok(None) };
    let head = decode_head(suffix_timestamp(found), &stored)?;
    Ok(Some((head, stored)))
}

/// The newest version not below `lowest` that is `wanted`.
fn find_down_to(
    snapshot: &dyn Snapshot,
    key: &[u8],
    lowest: Timestamp,
    wanted: impl Fn(&VersionHead) -> bool,
) -> Result<Option<VersionHead>> {
    let mut at = Timestamp::MAX;
    while let Some((head, _)) = seek(snapshot, key, at)? {
        if head.at < lowest {
            break;
        }
        if wanted(&head) {
            return Ok(Some(head));
        }
        if head.at == Timestamp::ZERO {
            break;
        }
        at = head.at.before();
    }
    Ok(None)
}
