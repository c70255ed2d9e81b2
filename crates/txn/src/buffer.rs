//! # The writes of a transaction until it commits
//!
//! An ordered map from key to what the transaction wrote there. A key has one version per [`Sequence`] that wrote
//! it and that somebody may still go back to: a read of a statement sees only the writes of earlier ones, and
//! savepoints undo. At commit the newest version of each key is what is sent.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use keyspace::{Key, Span};
use smallvec::SmallVec;

use crate::{Sequence, TxnError, TxnResult};

/// What is written to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    /// `None` deletes.
    pub value: Option<Bytes>,
    pub changes_key: bool,
    pub must_be_absent: bool,
}

impl Write {
    /// This write on top of an earlier one of the same transaction: one write that stands for both.
    fn over(mut self, earlier: &Write) -> Write {
        self.changes_key |= earlier.changes_key;
        self.must_be_absent = earlier.must_be_absent;
        self
    }
}

#[derive(Debug)]
struct Version {
    sequence: Sequence,
    write: Write,
}

/// Oldest first; sequences ascend.
type Versions = SmallVec<[Version; 1]>;

/// Memory of one version besides its key and value: map node, version, journal entry.
const VERSION_BYTES: usize = 160;

#[derive(Default)]
pub(crate) struct Buffer {
    keys: BTreeMap<Key, Versions>,
    /// Every write in order, to find quickly what a savepoint undoes.
    journal: Vec<(Sequence, Key)>,
    bytes: usize,
}

/// A stretch of own writes, in the order of the scan.
#[derive(Debug, Default)]
pub(crate) struct OwnPage {
    pub entries: Vec<(Key, Option<Bytes>)>,
    /// What of the span the entries do not cover.
    pub rest: Option<Span>,
}

impl Buffer {
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Buffers a write. `keep_from`: versions below it that have a successor below it too can never be asked for
    /// again.
    pub fn put(&mut self, key: Key, write: Write, sequence: Sequence, keep_from: Sequence) -> TxnResult<()> {
        let size = key.len() + write.value.as_ref().map_or(0, Bytes::len) + VERSION_BYTES;
        let versions = self.keys.entry(key.clone()).or_default();
        let write = match versions.last() {
            Some(last) if write.must_be_absent && last.write.value.is_some() => return Err(TxnError::KeyExists { key }),
            Some(last) => write.over(&last.write),
            None => write,
        };
        match versions.last_mut() {
            Some(last) if last.sequence == sequence => {
                self.bytes -= version_bytes(&key, &last.write);
                last.write = write;
            }
            _ => {
                assert!(versions.last().is_none_or(|last| last.sequence < sequence), "sequences only grow");
                // Nobody can see between two versions that are both older than every statement and savepoint.
                if let [.., older, newer] = &versions[..] {
                    if older.sequence < keep_from && newer.sequence < keep_from {
                        let at = versions.len() - 2;
                        let gone = versions.remove(at);
                        self.bytes -= version_bytes(&key, &gone.write);
                    }
                }
                versions.push(Version { sequence, write });
                self.journal.push((sequence, key));
            }
        }
        self.bytes += size;
        Ok(())
    }

    pub fn writes(&self, key: &Key) -> bool {
        self.keys.contains_key(key)
    }

    /// The newest own write of `key` below `below`: `Some(None)` is a delete.
    pub fn get(&self, key: &[u8], below: Sequence) -> Option<Option<Bytes>> {
        visible(self.keys.get(key)?, below).map(|write| write.value.clone())
    }

    /// Could a read of `span` below `below` see an own write? Answers `true` also where only newer ones are there.
    pub fn may_show(&self, span: &Span, below: Sequence) -> bool {
        self.shows_anything(below)
            && !span.is_empty()
            && self.keys.range::<Key, _>(&span.start..&span.end).next().is_some()
    }

    /// Is there a write below `below` at all? Costs nothing: the running statement's own writes are not to make
    /// its scans slower.
    pub fn shows_anything(&self, below: Sequence) -> bool {
        self.journal.first().is_some_and(|(sequence, _)| *sequence < below)
    }

    /// Own writes in `span` that are visible below `below`, at most `rows_max` of them.
    pub fn page(&self, span: &Span, reverse: bool, below: Sequence, rows_max: usize) -> OwnPage {
        if span.is_empty() || !self.shows_anything(below) {
            return OwnPage::default();
        }
        let range = self.keys.range::<Key, _>((Bound::Included(&span.start), Bound::Excluded(&span.end)));
        let own = |(key, versions): (&Key, &Versions)| Some((key.clone(), visible(versions, below)?.value.clone()));
        let mut page = OwnPage::default();
        let mut entries: Box<dyn Iterator<Item = _>> =
            if reverse { Box::new(range.rev().filter_map(own)) } else { Box::new(range.filter_map(own)) };
        page.entries.extend(entries.by_ref().take(rows_max));
        if let (Some((last, _)), Some(_)) = (page.entries.last(), entries.next()) {
            page.rest = Some(if reverse {
                Span::new(span.start.clone(), last.clone())
            } else {
                Span::new(last.successor(), span.end.clone())
            });
        }
        page
    }

    /// Forgets every write at or above `from`.
    pub fn undo(&mut self, from: Sequence) {
        while let Some((_, key)) = self.journal.pop_if(|(sequence, _)| *sequence >= from) {
            let Some(versions) = self.keys.get_mut(&key) else { continue };
            while versions.last().is_some_and(|version| version.sequence >= from) {
                let version = versions.pop().expect("it has a last version");
                self.bytes -= version_bytes(&key, &version.write);
            }
            if versions.is_empty() {
                self.keys.remove(&key);
            }
        }
    }

    /// The newest write of each key, in key order.
    pub fn newest(&self) -> impl Iterator<Item = (&Key, &Write)> {
        self.keys.iter().filter_map(|(key, versions)| Some((key, &versions.last()?.write)))
    }
}

fn version_bytes(key: &Key, write: &Write) -> usize {
    key.len() + write.value.as_ref().map_or(0, Bytes::len) + VERSION_BYTES
}

fn visible(versions: &Versions, below: Sequence) -> Option<&Write> {
    versions.iter().rev().find(|version| version.sequence < below).map(|version| &version.write)
}
