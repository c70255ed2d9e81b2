//! # The writes of a transaction until it commits
//!
//! An ordered map from key to what the transaction wrote there. A key has one version per [`Sequence`] that wrote
//! it and that somebody may still go back to: a read of a statement sees only the writes of earlier ones, and
//! savepoints undo. At commit the newest version of each key is what is sent.
//!
//! Beyond a limit the map is written out as a sorted [`run`] and begins anew, so that a transaction may write more than
//! memory holds. Whoever reads merges the map and the runs; a later source is newer. Runs are not rewritten: what a
//! savepoint undoes of them is remembered as a stretch of sequences that no longer count.

mod merge;
mod run;

use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use env::{Budget, Reservation};
use keyspace::{Key, Span};
use smallvec::SmallVec;

use self::merge::Merge;
use self::run::Run;
use crate::scratch::Scratch;
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

#[derive(Clone, Debug)]
struct Version {
    sequence: Sequence,
    write: Write,
}

/// Oldest first; sequences ascend.
type Versions = SmallVec<[Version; 1]>;

/// Memory of one version besides its key and value: map node, version, journal entry, the heap's own.
const VERSION_BYTES: usize = 200;

/// What is taken from the shared budget at once.
const RESERVE_BYTES: usize = 64 << 10;

pub(crate) struct Buffer {
    keys: BTreeMap<Key, Versions>,
    /// Every write in `keys` in order, to find quickly what a savepoint undoes.
    journal: Vec<(Sequence, Key)>,
    /// Memory that `keys` and `journal` take.
    bytes: usize,
    limit_bytes: usize,
    reserved: Option<Reservation>,
    scratch: Option<Arc<dyn Scratch>>,
    /// Oldest first.
    runs: Vec<Run>,
    /// Stretches of sequences of which nothing in `runs` counts any more: first and last.
    undone: Vec<(Sequence, Sequence)>,
}

/// A stretch of own writes, in the order of the scan.
#[derive(Debug, Default)]
pub(crate) struct OwnPage {
    pub entries: Vec<(Key, Option<Bytes>)>,
    /// What of the span the entries do not cover.
    pub rest: Option<Span>,
}

impl Buffer {
    pub fn new(limit_bytes: usize, scratch: Option<Arc<dyn Scratch>>, budget: Option<&Budget>) -> Buffer {
        Buffer {
            keys: BTreeMap::new(),
            journal: Vec::new(),
            bytes: 0,
            limit_bytes,
            reserved: budget.map(Budget::reservation),
            scratch,
            runs: Vec::new(),
            undone: Vec::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.runs.is_empty()
    }

    /// Memory taken.
    pub fn bytes(&self) -> usize {
        self.bytes + self.runs.iter().map(Run::index_bytes).sum::<usize>()
    }

    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    // ---- writing ----

    /// Buffers a write. `keep_from`: versions below it that have a successor below it too can never be asked for
    /// again.
    pub fn put(&mut self, key: Key, write: Write, sequence: Sequence, keep_from: Sequence) -> TxnResult<()> {
        if write.must_be_absent && self.get(&key, Sequence::MAX)?.flatten().is_some() {
            return Err(TxnError::KeyExists { key });
        }
        self.make_room(version_bytes(&key, &write))?;
        let versions = self.keys.entry(key.clone()).or_default();
        let write = match versions.last() {
            Some(last) => write.over(&last.write),
            None => write,
        };
        self.bytes += version_bytes(&key, &write);
        match versions.last_mut() {
            Some(last) if last.sequence == sequence => {
                self.bytes -= version_bytes(&key, &last.write);
                last.write = write;
            }
            _ => {
                assert!(versions.last().is_none_or(|last| last.sequence < sequence), "sequences only grow");
                // Nobody can see between two versions that are both older than every statement and savepoint.
                if let [.., older, newer] = &versions[..]
                    && older.sequence < keep_from
                    && newer.sequence < keep_from
                {
                    let gone = versions.remove(versions.len() - 2);
                    self.bytes -= version_bytes(&key, &gone.write);
                }
                versions.push(Version { sequence, write });
                self.journal.push((sequence, key));
            }
        }
        Ok(())
    }

    /// Spills if `bytes` more are too many.
    fn make_room(&mut self, bytes: usize) -> TxnResult<()> {
        let wanted = self.bytes + bytes;
        let fits_limit = wanted <= self.limit_bytes || self.keys.is_empty();
        if fits_limit && self.reserve(wanted).is_ok() {
            return Ok(());
        }
        let Some(scratch) = self.scratch.clone() else {
            return Err(TxnError::OutOfMemory {
                why: format!("the transaction's writes do not fit into {} bytes", self.limit_bytes),
            });
        };
        self.spill(&*scratch)?;
        self.reserve(bytes).map_err(|why| TxnError::OutOfMemory { why: why.to_string() })
    }

    fn reserve(&mut self, wanted: usize) -> Result<(), env::BudgetExceeded> {
        match &mut self.reserved {
            Some(reserved) if wanted > reserved.bytes() => {
                let missing = wanted - reserved.bytes();
                reserved.grow(missing.next_multiple_of(RESERVE_BYTES)).or_else(|_| reserved.grow(missing))
            }
            _ => Ok(()),
        }
    }

    fn spill(&mut self, scratch: &dyn Scratch) -> TxnResult<()> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let run = Run::write(scratch, self.keys.len(), self.keys.iter())?;
        tracing::debug!(keys = run.keys, bytes = run.bytes, "a write buffer was written out");
        self.runs.push(run);
        self.keys.clear();
        self.journal.clear();
        self.bytes = 0;
        if let Some(reserved) = &mut self.reserved {
            reserved.clear();
        }
        Ok(())
    }

    /// Forgets every write at or above `from`, the running sequence being `to`.
    pub fn undo(&mut self, from: Sequence, to: Sequence) {
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
        self.runs.retain(|run| run.first_sequence < from);
        if self.runs.is_empty() {
            self.undone.clear();
        } else {
            self.undone.retain(|(first, _)| *first < from);
            self.undone.push((from, to));
        }
    }

    // ---- reading ----

    /// Could a read of `span` below `below` see an own write? Answers `true` also where only newer ones are there, or
    /// only nearby.
    pub fn may_show(&self, span: &Span, below: Sequence) -> bool {
        if span.is_empty() || !self.shows_anything(below) {
            return false;
        }
        let in_runs = self.runs.iter().any(|run| span.start <= *run.last_key() && *run.first_key() < span.end);
        in_runs || self.keys.range::<Key, _>(&span.start..&span.end).next().is_some()
    }

    /// Is there a write below `below` at all? Costs nothing: the running statement's own writes are not to make
    /// its scans slower.
    pub fn shows_anything(&self, below: Sequence) -> bool {
        self.journal.first().is_some_and(|(sequence, _)| *sequence < below)
            || self.runs.iter().any(|run| run.first_sequence < below)
    }

    pub fn writes(&self, key: &Key) -> TxnResult<bool> {
        Ok(self.get(key, Sequence::MAX)?.is_some())
    }

    /// The newest own write of `key` below `below`: `Some(None)` is a delete.
    pub fn get(&self, key: &[u8], below: Sequence) -> TxnResult<Option<Option<Bytes>>> {
        let in_memory = self.keys.get(key).and_then(|versions| visible(versions, below));
        if let Some(write) = in_memory {
            return Ok(Some(write.value.clone()));
        }
        for run in self.runs.iter().rev() {
            let Some(mut versions) = run.get(key)? else { continue };
            versions.retain(|version| self.counts(version));
            if let Some(write) = visible(&versions, below) {
                return Ok(Some(write.value.clone()));
            }
        }
        Ok(None)
    }

    /// Own writes in `span` that are visible below `below`, at most `rows_max` of them.
    pub fn page(&self, span: &Span, reverse: bool, below: Sequence, rows_max: usize) -> TxnResult<OwnPage> {
        let mut page = OwnPage::default();
        if !self.may_show(span, below) {
            return Ok(page);
        }
        let mut merge = Merge::over(self, span, reverse)?;
        while let Some((key, versions)) = merge.next()? {
            let Some(write) = visible(&versions, below) else { continue };
            if page.entries.len() == rows_max {
                let last = &page.entries[rows_max - 1].0;
                page.rest = Some(if reverse {
                    Span::new(span.start.clone(), last.clone())
                } else {
                    Span::new(last.successor(), span.end.clone())
                });
                break;
            }
            page.entries.push((key, write.value.clone()));
        }
        Ok(page)
    }

    /// Adds the newest write of each key in `span` to the batch, in key order, until it is full; answers with where to
    /// go on.
    pub fn fill_batch<T>(
        &self,
        span: &Span,
        batch: &mut Batch<T>,
        mut form: impl FnMut(Key, Write) -> T,
    ) -> TxnResult<Option<Key>> {
        let mut merge = Merge::over(self, span, false)?;
        while let Some((key, versions)) = merge.next()? {
            let Some(write) = standing_for_all(versions) else { continue };
            let size = key.len() + write.value.as_ref().map_or(0, Bytes::len) + MUTATION_BYTES;
            if size > batch.bytes_left && !batch.writes.is_empty() {
                return Ok(Some(key));
            }
            batch.bytes_left = batch.bytes_left.saturating_sub(size);
            batch.writes.push(form(key, write));
        }
        Ok(None)
    }

    fn counts(&self, version: &Version) -> bool {
        !self.undone.iter().any(|(first, last)| (*first..=*last).contains(&version.sequence))
    }

    fn memory(&self, span: &Span) -> btree_map::Range<'_, Key, Versions> {
        self.keys.range::<Key, _>((Bound::Included(&span.start), Bound::Excluded(&span.end)))
    }
}

/// Writes that go into one request. The first one goes in whatever its size.
pub(crate) struct Batch<T> {
    pub writes: Vec<T>,
    bytes_left: usize,
}

impl<T> Batch<T> {
    pub fn new(bytes_max: usize) -> Batch<T> {
        Batch { writes: Vec::new(), bytes_left: bytes_max }
    }
}

/// Bytes of a mutation on the wire and in the log, besides key and value.
const MUTATION_BYTES: usize = 64;

fn version_bytes(key: &Key, write: &Write) -> usize {
    key.len() + write.value.as_ref().map_or(0, Bytes::len) + VERSION_BYTES
}

fn visible(versions: &Versions, below: Sequence) -> Option<&Write> {
    versions.iter().rev().find(|version| version.sequence < below).map(|version| &version.write)
}

/// One write for all that a transaction did to a key.
fn standing_for_all(versions: Versions) -> Option<Write> {
    versions.into_iter().map(|version| version.write).reduce(|earlier, later| later.over(&earlier))
}

#[cfg(test)]
mod tests;
