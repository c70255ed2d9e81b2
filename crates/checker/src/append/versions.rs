//! What the reads say together: for each key the order of its elements, who appended each, and who read
//! which version.

use super::{Step, Txn};
use crate::{Call, Map, Outcome};

/// Everything known of a history. Transactions that failed are no nodes of the graph, only what they
/// appended is known; all others have a number each, in the order of their begin.
pub(super) struct Versions<'a> {
    pub txns: Vec<&'a Call<'a, Txn>>,
    pub keys: Vec<KeyVersions>,
    pub writes: Map<(u32, u32), Write>,
    pub failed: Vec<&'a Call<'a, Txn>>,
}

/// One append of a history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write {
    pub writer: Writer,
    /// The last of its transaction's appends to this key?
    pub is_last: bool,
    /// Was it in any read?
    pub seen: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    Txn(u32),
    /// Place in `Versions::failed`.
    Failed(u32),
}

pub(super) struct KeyVersions {
    pub key: u32,
    /// The longest read. Version `n` is its first `n` elements; version 0 is the empty list.
    pub order: Vec<u32>,
    /// The transaction that read it.
    pub longest_by: u32,
    /// Reads that are a version: (version, transaction), sorted.
    pub readers: Vec<(u32, u32)>,
    /// Reads that are none: (transaction, step).
    pub strangers: Vec<(u32, u32)>,
    /// Transactions with appends that nobody read.
    pub unseen: Vec<u32>,
}

impl<'a> Versions<'a> {
    /// The error says why nothing can be concluded.
    pub fn of(calls: &'a [Call<'a, Txn>]) -> Result<Versions<'a>, String> {
        let (failed, txns): (Vec<_>, Vec<_>) = calls.iter().partition(|call| call.outcome == Outcome::Fail);
        let mut versions = Versions { txns, failed, keys: Vec::new(), writes: Map::default() };
        versions.collect_writes()?;
        versions.collect_reads();
        versions.mark_seen();
        Ok(versions)
    }

    pub fn write(&self, key: u32, value: u32) -> Option<Write> {
        self.writes.get(&(key, value)).copied()
    }

    /// The transaction that appended this, if it is one that may have committed.
    pub fn writer(&self, key: u32, value: u32) -> Option<u32> {
        match self.write(key, value)?.writer {
            Writer::Txn(txn) => Some(txn),
            Writer::Failed(_) => None,
        }
    }

    /// What an acknowledged transaction did; nothing of one whose answers nobody has.
    pub fn reads(&self, txn: u32) -> impl Iterator<Item = (u32, u32, &'a [u32])> + use<'a> {
        let call: &'a Call<'a, Txn> = self.txns[txn as usize];
        let steps = if call.is_ok() { &call.op.0[..] } else { &[] };
        (0_u32..).zip(steps).filter_map(|(position, step)| match step {
            Step::Read { key, seen: Some(seen) } => Some((position, *key, &seen[..])),
            _ => None,
        })
    }

    fn collect_writes(&mut self) -> Result<(), String> {
        let numbered = (0_u32..).zip(&self.txns).map(|(number, call)| (Writer::Txn(number), *call));
        let failed = (0_u32..).zip(&self.failed).map(|(number, call)| (Writer::Failed(number), *call));
        for (writer, call) in numbered.chain(failed) {
            for (position, step) in call.op.0.iter().enumerate() {
                let Step::Append { key, value } = step else { continue };
                let later = &call.op.0[position + 1..];
                let is_last =
                    !later.iter().any(|other| matches!(other, Step::Append { key: again, .. } if again == key));
                let write = Write { writer, is_last, seen: false };
                if self.writes.insert((*key, *value), write).is_some() {
                    return Err(format!("{value} is appended to key {key} twice: nobody can tell who wrote what"));
                }
            }
        }
        Ok(())
    }

    /// The longest read of each key, and which versions the others are.
    fn collect_reads(&mut self) {
        let mut numbers: Map<u32, usize> = Map::default();
        let mut keys: Vec<(u32, &[u32], u32)> = Vec::new();
        for txn in 0..self.txns.len() as u32 {
            for (_, key, seen) in self.reads(txn) {
                let number = *numbers.entry(key).or_insert_with(|| {
                    keys.push((key, &[], txn));
                    keys.len() - 1
                });
                if seen.len() > keys[number].1.len() {
                    keys[number] = (key, seen, txn);
                }
            }
        }
        let start = |(key, longest, longest_by): (u32, &[u32], u32)| KeyVersions {
            key,
            order: longest.to_vec(),
            longest_by,
            readers: Vec::new(),
            strangers: Vec::new(),
            unseen: Vec::new(),
        };
        let mut keys: Vec<KeyVersions> = keys.into_iter().map(start).collect();
        for txn in 0..self.txns.len() as u32 {
            for (step, key, seen) in self.reads(txn) {
                let versions = &mut keys[numbers[&key]];
                if versions.order.starts_with(seen) {
                    versions.readers.push((seen.len() as u32, txn));
                } else {
                    versions.strangers.push((txn, step));
                }
            }
        }
        for versions in &mut keys {
            versions.readers.sort_unstable();
            versions.readers.dedup();
        }
        self.keys = keys;
    }

    fn mark_seen(&mut self) {
        for versions in &self.keys {
            for value in &versions.order {
                if let Some(write) = self.writes.get_mut(&(versions.key, *value)) {
                    write.seen = true;
                }
            }
        }
        let numbers: Map<u32, usize> =
            self.keys.iter().enumerate().map(|(number, versions)| (versions.key, number)).collect();
        for (number, call) in (0_u32..).zip(&self.txns) {
            for step in &call.op.0 {
                let Step::Append { key, value } = step else { continue };
                if let Some(at) = numbers.get(key)
                    && !self.writes[&(*key, *value)].seen
                    && self.keys[*at].unseen.last() != Some(&number)
                {
                    self.keys[*at].unseen.push(number);
                }
            }
        }
    }
}
