//! The live state of a [`MemoryEngine`](super::MemoryEngine): each key with its values by sequence number,
//! so that a snapshot is a number. What no snapshot can see goes: at once where there is none, which is mostly so,
//! else as soon as it is closed.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use bytes::Bytes;

use super::disk::{Entries, family_index};
use crate::{Batch, Family, Operation};

#[derive(Default)]
pub(super) struct Versioned {
    families: [BTreeMap<Bytes, Versions>; 5],
    sequence: u64,
    /// Open snapshots, ascending: how many at each sequence number.
    snapshots: VecDeque<(u64, usize)>,
    /// Keys that were overwritten or deleted at a sequence number, and had to be kept as they were for a snapshot: to
    /// be looked at once no open snapshot is older.
    garbage: VecDeque<(u64, Family, Bytes)>,
}

/// A sequence number and what was written then; `None` is a deletion.
type Version = (u64, Option<Bytes>);

struct Versions {
    last: Version,
    /// Ascending; those that some snapshot may still see.
    older: Vec<Version>,
}

impl Versioned {
    pub(super) fn new(entries: Entries) -> Versioned {
        let versions = |value| Versions { last: (0, Some(value)), older: Vec::new() };
        let families = entries.map(|family| family.into_iter().map(|(key, value)| (key, versions(value))).collect());
        Versioned { families, ..Versioned::default() }
    }

    pub(super) fn apply(&mut self, batch: &Batch) {
        self.sequence += 1;
        for operation in batch.operations() {
            match operation {
                Operation::Put { family, key, value } => self.set(*family, key.clone(), Some(value.clone())),
                Operation::Delete { family, key } => self.set(*family, key.clone(), None),
                Operation::DeleteRange { family, start, end } => {
                    if start < end {
                        let map = &self.families[family_index(*family)];
                        let keys: Vec<Bytes> =
                            map.range(start.clone()..end.clone()).map(|(key, _)| key.clone()).collect();
                        for key in keys {
                            self.set(*family, key, None);
                        }
                    }
                }
            }
        }
        self.collect_garbage();
    }

    pub(super) fn open_snapshot(&mut self) -> u64 {
        match self.snapshots.back_mut() {
            Some((sequence, count)) if *sequence == self.sequence => *count += 1,
            _ => self.snapshots.push_back((self.sequence, 1)),
        }
        self.sequence
    }

    pub(super) fn close_snapshot(&mut self, sequence: u64) {
        let place = self.snapshots.binary_search_by_key(&sequence, |(sequence, _)| *sequence);
        let place = place.expect("a snapshot is closed once");
        self.snapshots[place].1 -= 1;
        if self.snapshots[place].1 == 0 {
            self.snapshots.remove(place);
            self.collect_garbage();
        }
    }

    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(super) fn get(&self, family: Family, key: &[u8], sequence: u64) -> Option<&Bytes> {
        self.families[family_index(family)].get(key)?.visible(sequence)
    }

    /// What `sequence` shows, in order.
    pub(super) fn from<'s>(
        &'s self,
        family: Family,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        sequence: u64,
    ) -> impl Iterator<Item = (&'s Bytes, &'s Bytes)> + use<'s> {
        let map = (!is_empty(from, to)).then(|| self.families[family_index(family)].range::<[u8], _>((from, to)));
        let entries = map.into_iter().flatten();
        entries.filter_map(move |(key, versions)| Some((key, versions.visible(sequence)?)))
    }

    /// The first entry that begins with `prefix` and is not below `from`, which does too.
    pub(super) fn first_with_prefix(
        &self,
        family: Family,
        prefix: &[u8],
        from: &[u8],
        sequence: u64,
    ) -> Option<(&Bytes, &Bytes)> {
        let bounds = (Bound::Included(from), Bound::Unbounded);
        let entries = self.families[family_index(family)].range::<[u8], _>(bounds);
        entries
            .take_while(|(key, _)| key.starts_with(prefix))
            .find_map(|(key, versions)| Some((key, versions.visible(sequence)?)))
    }

    pub(super) fn last(
        &self,
        family: Family,
        start: &[u8],
        to: Bound<&[u8]>,
        sequence: u64,
    ) -> Option<(&Bytes, &Bytes)> {
        if is_empty(Bound::Included(start), to) {
            return None;
        }
        let range = self.families[family_index(family)].range::<[u8], _>((Bound::Included(start), to));
        range.rev().find_map(|(key, versions)| Some((key, versions.visible(sequence)?)))
    }

    fn set(&mut self, family: Family, key: Bytes, value: Option<Bytes>) {
        let sequence = self.sequence;
        let mut versions = match self.families[family_index(family)].entry(key) {
            Entry::Occupied(versions) => versions,
            Entry::Vacant(place) => {
                if value.is_some() {
                    place.insert(Versions { last: (sequence, value), older: Vec::new() });
                }
                return;
            }
        };
        let Versions { last, older } = versions.get_mut();
        let replaced = std::mem::replace(last, (sequence, value));
        // Snapshots are of this moment at the latest; whichever is newer than the value sees it.
        if replaced.0 != sequence && self.snapshots.back().is_some_and(|(newest, _)| replaced.0 <= *newest) {
            older.push(replaced);
        }
        if !older.is_empty() {
            self.garbage.push_back((sequence, family, versions.key().clone()));
        } else if last.1.is_none() {
            versions.remove();
        }
    }

    fn collect_garbage(&mut self) {
        let oldest = self.snapshots.front().map_or(self.sequence, |(sequence, _)| *sequence);
        while self.garbage.front().is_some_and(|(sequence, ..)| *sequence <= oldest) {
            let (_, family, key) = self.garbage.pop_front().expect("it was just looked at");
            let map = &mut self.families[family_index(family)];
            let Some(Versions { last, older }) = map.get_mut(&key) else { continue };
            if last.0 > oldest {
                let seen = older.partition_point(|(sequence, _)| *sequence <= oldest);
                older.drain(..seen.saturating_sub(1));
            } else {
                older.clear();
                if last.1.is_none() {
                    map.remove(&key);
                }
            }
        }
    }
}

impl Versions {
    fn visible(&self, sequence: u64) -> Option<&Bytes> {
        if self.last.0 <= sequence {
            return self.last.1.as_ref();
        }
        self.older.iter().rev().find(|(written, _)| *written <= sequence)?.1.as_ref()
    }
}

/// BTreeMap::range panics on bounds the wrong way round; for us they are an empty range.
fn is_empty(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to) | Bound::Included(to)) => from >= to,
        _ => false,
    }
}
