//! Garbage collection below a floor (rule 16).
//!
//! Nobody reads at or below the floor any more, except that the newest version at or below it is what
//! readers just above see. So of each key stay: all versions above the floor, and the newest one at or
//! below it unless it is a deletion. The state that a reader above the floor sees is the same before and
//! after.

use keyspace::{Key, Span, Timestamp};
use storage::{Batch, Family, Snapshot};

use crate::bounds::{after_entries, entries_end};
use crate::version::{decode_head, split_data_key};
use crate::{Record, Result, records, remove_record};

/// One chunk of work.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Removes the garbage that was found.
    pub batch: Batch,
    /// Versions that the batch removes.
    pub versions: u64,
    /// Bytes of their values, which the batch does not name.
    pub value_bytes: u64,
    /// What is left to look at, after the batch is applied.
    pub resume: Option<Span>,
}

/// Finds versions of `span` that nobody above `floor` can see, until `versions_max` are found or
/// `visited_max` entries were looked at.
pub fn collect_versions(
    snapshot: &dyn Snapshot,
    span: &Span,
    floor: Timestamp,
    versions_max: u64,
    visited_max: u64,
) -> Result<Collected> {
    let mut collector =
        Collector { floor, collected: Collected::default(), key: Vec::new(), covered: false, deletion: None };
    let mut visited = 0;
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
            continue;
        }
        let is_new_key = key != collector.key;
        // Within a key the visits are not limited: else a key of very many versions could never be passed.
        if collector.collected.versions >= versions_max || (is_new_key && visited >= visited_max) {
            if is_new_key {
                collector.leave_key();
            }
            // A deletion goes only together with or after all that it hides: it is met again next time.
            collector.collected.resume = Some(Span::new(Key::from(key), span.end.clone()));
            return Ok(collector.collected);
        }
        if is_new_key {
            collector.enter_key(key);
        }
        collector.visit(iter.key(), at, iter.value())?;
        visited += 1;
        iter.next()?;
    }
    collector.leave_key();
    Ok(collector.collected)
}

struct Collector {
    floor: Timestamp,
    collected: Collected,
    key: Vec<u8>,
    /// A newer version at or below the floor was met.
    covered: bool,
    /// The entry of the newest version at or below the floor, where it is a deletion.
    deletion: Option<(Vec<u8>, usize)>,
}

impl Collector {
    fn enter_key(&mut self, key: &[u8]) {
        self.leave_key();
        self.key.clear();
        self.key.extend_from_slice(key);
        self.covered = false;
    }

    fn visit(&mut self, data_key: &[u8], at: Timestamp, stored: &[u8]) -> Result<()> {
        if at > self.floor {
            return Ok(());
        }
        if self.covered {
            self.remove(data_key.to_vec(), stored.len());
        } else {
            self.covered = true;
            if decode_head(at, stored)?.deleted {
                self.deletion = Some((data_key.to_vec(), stored.len()));
            }
        }
        Ok(())
    }

    fn leave_key(&mut self) {
        if let Some((data_key, value_bytes)) = self.deletion.take() {
            self.remove(data_key, value_bytes);
        }
    }

    fn remove(&mut self, data_key: Vec<u8>, value_bytes: usize) {
        self.collected.value_bytes += value_bytes as u64;
        self.collected.batch.delete(Family::Data, data_key);
        self.collected.versions += 1;
    }
}

/// Removes records that nobody can ask about any more: their ids are not above the floor, and they are
/// aborted, or committed with all intents resolved.
pub fn collect_records(snapshot: &dyn Snapshot, span: &Span, floor: Timestamp, records_max: usize) -> Result<Batch> {
    let mut batch = Batch::new();
    for (anchor, txn, record) in records(snapshot, span, records_max)? {
        let is_settled = matches!(record, Record::Aborted | Record::Committed { resolved: true, .. });
        if is_settled && txn.start() <= floor {
            remove_record(&mut batch, &anchor, txn);
        }
    }
    Ok(batch)
}
