//! What is wrong by itself, without any order of transactions:
//!
//! * `internal`: a transaction contradicts itself;
//! * `future-read`: it reads what it appends only later;
//! * `G1a`: somebody read what a failed transaction appended;
//! * `G1b`: somebody read another transaction's state between two of its appends to one key;
//! * `duplicate-elements`: an element is there twice;
//! * `incompatible-order`: two reads of a key of which neither begins with the other;
//! * `dirty-update`: an acknowledged append went on top of a failed one;
//! * `lost-update`: two transactions read the same version of a key, and both appended to it;
//! * `garbage-read`: an element that nobody appended;
//! * `lost-append`: acknowledged, and not in the longest list that anybody read, by a read that began later. (The cycles that
//!   follow from it are reported too, and say less.)

use super::versions::{KeyVersions, Versions, Writer};
use super::{Step, Txn};
use crate::{Call, Level, Set, Verdict};

pub(super) fn check(versions: &Versions, verdict: &mut Verdict) {
    for call in versions.txns.iter().filter(|call| call.is_ok()) {
        check_internal(call, verdict);
    }
    for key in &versions.keys {
        check_elements(versions, key, &key.order, key.longest_by, verdict);
        check_order(versions, key, verdict);
        check_dirty_update(versions, key, verdict);
        check_lost_appends(versions, key, verdict);
    }
    for txn in 0..versions.txns.len() as u32 {
        for (_, key, seen) in versions.reads(txn) {
            check_intermediate(versions, txn, key, seen, verdict);
        }
    }
    check_lost_updates(versions, verdict);
}

/// What a transaction knows of one key after some of its steps.
#[derive(Default)]
struct Known<'a> {
    /// What it read last, if it did, and what it appended then.
    read: Option<&'a [u32]>,
    since: Vec<u32>,
    /// All that it appended.
    own: Vec<u32>,
}

fn check_internal(call: &Call<'_, Txn>, verdict: &mut Verdict) {
    let mut keys: Vec<(u32, Known<'_>)> = Vec::new();
    for (position, step) in call.op.0.iter().enumerate() {
        let (Step::Append { key, .. } | Step::Read { key, .. }) = step;
        let at = keys.iter().position(|(other, _)| other == key).unwrap_or_else(|| {
            keys.push((*key, Known::default()));
            keys.len() - 1
        });
        let known = &mut keys[at].1;
        match step {
            Step::Append { value, .. } => {
                known.since.push(*value);
                known.own.push(*value);
            }
            Step::Read { seen: Some(seen), .. } => {
                if let Some((level, why)) = known.contradiction(seen) {
                    verdict.add("internal", level, || format!("key {key}: {why}\n  {call}"));
                }
                let later = call.op.0[position..].iter().filter_map(|step| match step {
                    Step::Append { key: other, value } if other == key => Some(value),
                    _ => None,
                });
                if let Some(value) = later.into_iter().find(|value| seen.contains(value)) {
                    verdict.add("future-read", Level::ReadUncommitted, || {
                        format!("key {key}: {value} is read before the same transaction appends it\n  {call}")
                    });
                }
                (known.read, known.since) = (Some(seen.as_slice()), Vec::new());
            }
            Step::Read { seen: None, .. } => {}
        }
    }
}

impl Known<'_> {
    fn contradiction(&self, seen: &[u32]) -> Option<(Level, &'static str)> {
        if !seen.ends_with(&self.own) {
            return Some((Level::ReadCommitted, "a read does not end with what the transaction itself has appended"));
        }
        let before = self.read?;
        let expected = before.len() + self.since.len();
        let same = seen.len() == expected && seen.starts_with(before) && seen.ends_with(&self.since);
        (!same).then_some((Level::SnapshotIsolation, "two reads of one transaction see different versions"))
    }
}

/// Each element of a read by itself.
fn check_elements(versions: &Versions, key: &KeyVersions, seen: &[u32], reader: u32, verdict: &mut Verdict) {
    let call = versions.txns[reader as usize];
    let mut before: Set<u32> = Set::default();
    for value in seen {
        let key = key.key;
        if !before.insert(*value) {
            verdict.add("duplicate-elements", Level::ReadUncommitted, || {
                format!("key {key}: {value} is there twice\n  {call}")
            });
        }
        match versions.write(key, *value).map(|write| write.writer) {
            None => verdict.add("garbage-read", Level::ReadUncommitted, || {
                format!("key {key}: {value} was never appended\n  {call}")
            }),
            Some(Writer::Failed(failed)) => verdict.add("G1a", Level::ReadCommitted, || {
                let writer = versions.failed[failed as usize];
                format!(
                    "key {key}: {value} was read, and its transaction failed\n  read by {call}\n  appended by {writer}"
                )
            }),
            Some(Writer::Txn(_)) => {}
        }
    }
}

fn check_order(versions: &Versions, key: &KeyVersions, verdict: &mut Verdict) {
    for (txn, step) in &key.strangers {
        let call = versions.txns[*txn as usize];
        let Step::Read { seen: Some(seen), .. } = &call.op.0[*step as usize] else { continue };
        check_elements(versions, key, seen, *txn, verdict);
        verdict.add("incompatible-order", Level::ReadUncommitted, || {
            let (key, longest) = (key.key, versions.txns[key.longest_by as usize]);
            format!("key {key}: of these two reads neither begins with the other\n  {call}\n  {longest}")
        });
    }
}

/// An element of a failed transaction below one of an acknowledged one.
fn check_dirty_update(versions: &Versions, key: &KeyVersions, verdict: &mut Verdict) {
    let mut dirty = None;
    for value in &key.order {
        match versions.write(key.key, *value).map(|write| write.writer) {
            Some(Writer::Failed(failed)) => dirty = Some((value, failed)),
            Some(Writer::Txn(txn)) if versions.txns[txn as usize].is_ok() => {
                let Some((below, failed)) = dirty.take() else { continue };
                verdict.add("dirty-update", Level::ReadCommitted, || {
                    let (above, below_by) = (versions.txns[txn as usize], versions.failed[failed as usize]);
                    let key = key.key;
                    format!("key {key}: {value} was appended to the failed {below}\n  {above}\n  {below_by}")
                });
            }
            _ => {}
        }
    }
}

fn check_lost_appends(versions: &Versions, key: &KeyVersions, verdict: &mut Verdict) {
    let read = versions.txns[key.longest_by as usize];
    let lost = key.unseen.iter().map(|txn| versions.txns[*txn as usize]);
    for call in lost.filter(|call| call.precedes(read)) {
        verdict.add("lost-append", Level::StrictSerializable, || {
            format!("key {}: what was appended is not in the longest list read\n  {call}\n  {read}", key.key)
        });
    }
}

/// Only the last element counts: the others are final in a later version.
fn check_intermediate(versions: &Versions, txn: u32, key: u32, seen: &[u32], verdict: &mut Verdict) {
    let Some(last) = seen.last() else { return };
    let Some(write) = versions.write(key, *last) else { return };
    if write.is_last || write.writer == Writer::Txn(txn) {
        return;
    }
    if let Writer::Txn(writer) = write.writer {
        verdict.add("G1b", Level::ReadCommitted, || {
            let (reader, writer) = (versions.txns[txn as usize], versions.txns[writer as usize]);
            format!(
                "key {key}: a read ends with {last}, after which the same transaction appended more\n  read by {reader}\n  \
                 appended by {writer}"
            )
        });
    }
}

fn check_lost_updates(versions: &Versions, verdict: &mut Verdict) {
    // (key, version that was read, transaction)
    let mut updates: Vec<(u32, u32, u32)> = Vec::new();
    for txn in 0..versions.txns.len() as u32 {
        let steps = &versions.txns[txn as usize].op.0;
        for (position, key, seen) in versions.reads(txn) {
            let (before, after) = (&steps[..position as usize], &steps[position as usize + 1..]);
            let is_first =
                !before.iter().any(|(Step::Append { key: other, .. } | Step::Read { key: other, .. })| *other == key);
            let appends = after.iter().any(|step| matches!(step, Step::Append { key: other, .. } if *other == key));
            if is_first && appends {
                updates.push((key, seen.len() as u32, txn));
            }
        }
    }
    updates.sort_unstable();
    for pair in updates.windows(2) {
        let [(key, version, one), (other_key, other_version, other)] = pair else { continue };
        if (key, version) != (other_key, other_version) {
            continue;
        }
        verdict.add("lost-update", Level::SnapshotIsolation, || {
            let (one, other) = (versions.txns[*one as usize], versions.txns[*other as usize]);
            format!("key {key}: both read it with {version} elements and then appended to it\n  {one}\n  {other}")
        });
    }
}
