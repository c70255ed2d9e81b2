//! The live state of a [`MemoryEngine`](super::MemoryEngine): each key with its values by sequence number,
//! so that a snapshot is a number. Old values go as soon as no snapshot can see them.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use bytes::Bytes;

use super::disk::{Entries, family_index};
use crate::{Batch, Family, Operation};

#[derive(Default)]
pub(super) struct Versioned {
    families: [BTreeMap<Bytes, Versions>; 5],
    sequence: u64,
    /// Open snapshots: how many at each sequence number.
    snapshots: BTreeMap<u64, usize>,
    /// Keys that were overwritten or deleted at a sequence number: to be looked at once no open snapshot is older.
    garbage: VecDeque<(u64, Family, Bytes)>,
}

/// Ascending by sequence number; `None` is a deletion. Never empty.
type Versions = Vec<(u64, Option<Bytes>)>;

impl Versioned {
    pub(super) fn new(entries: Entries) -> Versioned {
        let families =
            entries.map(|family| family.into_iter().map(|(key, value)| (key, vec![(0, Some(value))])).collect());
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
        *self.snapshots.entry(self.sequence).or_default() += 1;
        self.sequence
    }

    pub(super) fn close_snapshot(&mut self, sequence: u64) {
        let count = self.snapshots.get_mut(&sequence).expect("a snapshot is closed once");
        *count -= 1;
        if *count == 0 {
            self.snapshots.remove(&sequence);
            self.collect_garbage();
        }
    }

    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(super) fn get(&self, family: Family, key: &[u8], sequence: u64) -> Option<&Bytes> {
        visible(self.families[family_index(family)].get(key)?, sequence)
    }

    pub(super) fn first(
        &self,
        family: Family,
        from: Bound<&[u8]>,
        end: &[u8],
        sequence: u64,
    ) -> Option<(&Bytes, &Bytes)> {
        if is_empty(from, Bound::Excluded(end)) {
            return None;
        }
        let mut range = self.families[family_index(family)].range::<[u8], _>((from, Bound::Excluded(end)));
        range.find_map(|(key, versions)| Some((key, visible(versions, sequence)?)))
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
        range.rev().find_map(|(key, versions)| Some((key, visible(versions, sequence)?)))
    }

    fn set(&mut self, family: Family, key: Bytes, value: Option<Bytes>) {
        let sequence = self.sequence;
        let versions = self.families[family_index(family)].entry(key.clone()).or_default();
        let leaves_garbage = !versions.is_empty() || value.is_none();
        match versions.last_mut() {
            Some(last) if last.0 == sequence => last.1 = value,
            _ => versions.push((sequence, value)),
        }
        if leaves_garbage {
            self.garbage.push_back((sequence, family, key));
        }
    }

    fn collect_garbage(&mut self) {
        let oldest = self.snapshots.keys().next().copied().unwrap_or(self.sequence);
        while self.garbage.front().is_some_and(|(sequence, ..)| *sequence <= oldest) {
            let (_, family, key) = self.garbage.pop_front().expect("it was just looked at");
            let map = &mut self.families[family_index(family)];
            let Some(versions) = map.get_mut(&key) else { continue };
            let seen = versions.partition_point(|(sequence, _)| *sequence <= oldest);
            versions.drain(..seen.saturating_sub(1));
            if let [(sequence, None)] = versions[..]
                && sequence <= oldest
            {
                map.remove(&key);
            }
        }
    }
}

fn visible(versions: &Versions, sequence: u64) -> Option<&Bytes> {
    versions.iter().rev().find(|(written, _)| *written <= sequence)?.1.as_ref()
}

/// BTreeMap::range panics on bounds the wrong way round; for us they are an empty range.
fn is_empty(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to) | Bound::Included(to)) => from >= to,
        _ => false,
    }
}
