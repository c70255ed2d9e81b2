//! If two logs of a range have an entry of the same index and term, they are the same up to there. Looked up
//! on the disks, not asked of the nodes; of what was compared before only what was written since.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use bytes::Bytes;
use parking_lot::Mutex;
use storage::memory::Changes;
use storage::raftlog::{Record, entry_span, read_record};
use storage::{Family, LogEntry, MemoryDisk, Operation};

use super::own_term::check_own_term;
use crate::World;
use crate::cluster::SimCluster;

#[derive(Default)]
pub struct LogMatching {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    disks: Vec<Logs>,
    /// Of a range and two disks: up to where their logs were found to be the same, or only one has an entry.
    same: BTreeMap<(u64, usize, usize), u64>,
}

/// All logs of one disk, by the keys they have there.
#[derive(Default)]
struct Logs {
    entries: BTreeMap<Bytes, (u64, LogEntry)>,
    /// Range, and the index after which its log begins.
    begins: BTreeMap<Bytes, (u64, u64)>,
    /// Of each range the lowest index at which something has changed since it was compared.
    changed: BTreeMap<u64, u64>,
}

impl LogMatching {
    pub fn check(&self, world: &World, cluster: &SimCluster, ranges: &[u64]) {
        let disks: Vec<&MemoryDisk> = (0..cluster.len()).map(|node| cluster.disk(node)).collect();
        for what in self.seen.lock().look(&disks, ranges) {
            world.violation("log_matching", what);
        }
    }
}

impl Seen {
    /// What is wrong.
    fn look(&mut self, disks: &[&MemoryDisk], ranges: &[u64]) -> Vec<String> {
        self.disks.resize_with(disks.len(), Logs::default);
        let mut wrong = Vec::new();
        for (node, (logs, disk)) in self.disks.iter_mut().zip(disks).enumerate() {
            if let Err(error) = logs.follow(disk.look(Family::Log)) {
                wrong.push(format!("node {}: {error}", node + 1));
            }
        }
        wrong.extend(ranges.iter().filter_map(|range| Some(format!("range {range}: {}", self.compare(*range).err()?))));
        wrong
    }

    fn compare(&mut self, range: u64) -> Result<(), String> {
        let changed: Vec<Option<u64>> = self.disks.iter_mut().map(|logs| logs.changed.remove(&range)).collect();
        for (node, from) in changed.iter().enumerate() {
            if let Some(from) = from {
                let log = &self.disks[node];
                let checked = log.check_order(range, *from).and_then(|()| check_own_term(log.entries(range, *from)));
                checked.map_err(|what| format!("node {}: {what}", node + 1))?;
            }
        }
        for node in 0..changed.len() {
            for other in node + 1..changed.len() {
                let Some(lowest) = changed[node].into_iter().chain(changed[other]).min() else { continue };
                let same = self.same.entry((range, node, other)).or_default();
                *same = (*same).min(lowest.saturating_sub(1));
                let agreed = compare(&self.disks[node], &self.disks[other], range, *same)
                    .map_err(|what| format!("nodes {} and {} {what}", node + 1, other + 1))?;
                *same = agreed.max(*same);
            }
        }
        Ok(())
    }
}

impl Logs {
    fn follow(&mut self, changes: Changes) -> storage::Result<()> {
        match changes {
            Changes::Everything(entries) => {
                let known = self.entries.values().map(|(range, _)| *range);
                let changed = known.chain(self.changed.keys().copied()).map(|range| (range, 0)).collect();
                *self = Logs { changed, ..Logs::default() };
                entries.iter().try_for_each(|(key, value)| self.put(key, value))
            }
            Changes::Written(batches) => {
                let operations = batches.iter().flat_map(|batch| batch.operations());
                operations
                    .filter(|operation| operation.family() == Family::Log)
                    .try_for_each(|operation| self.operate(operation))
            }
        }
    }

    fn operate(&mut self, operation: &Operation) -> storage::Result<()> {
        match operation {
            Operation::Put { key, value, .. } => return self.put(key, value),
            Operation::Delete { key, .. } => self.delete(key, &[key, &[0][..]].concat().into()),
            Operation::DeleteRange { start, end, .. } => self.delete(start, end),
        }
        Ok(())
    }

    fn put(&mut self, key: &Bytes, value: &Bytes) -> storage::Result<()> {
        match read_record(key, value)? {
            (range, Record::Entry(entry)) => {
                note(&mut self.changed, range, entry.index);
                self.entries.insert(key.clone(), (range, entry));
            }
            (range, Record::Begin(index)) => {
                note(&mut self.changed, range, index);
                self.begins.insert(key.clone(), (range, index));
            }
            (_, Record::HardState) => {}
        }
        Ok(())
    }

    fn delete(&mut self, start: &Bytes, end: &Bytes) {
        if start >= end {
            return;
        }
        let span = start.clone()..end.clone();
        for (_, (range, entry)) in self.entries.extract_if(span.clone(), |_, _| true) {
            note(&mut self.changed, range, entry.index);
        }
        for (_, (range, _)) in self.begins.extract_if(span, |_, _| true) {
            note(&mut self.changed, range, 0);
        }
    }

    fn entries(&self, range: u64, index: u64) -> impl DoubleEndedIterator<Item = &LogEntry> {
        self.entries.range(entry_span(range, index)).map(|(_, (_, entry))| entry)
    }

    /// From the last entry that has not changed on, entries follow one another.
    fn check_order(&self, range: u64, changed: u64) -> Result<(), String> {
        let begin = self.begins.values().find(|(of, _)| *of == range).map_or(0, |(_, index)| *index);
        if let Some(first) = self.entries(range, 0).next()
            && first.index != begin + 1
        {
            return Err(format!("the log begins after {begin}, and its first entry is {}", first.index));
        }
        let from = changed.saturating_sub(1).max(begin + 1);
        match (from..).zip(self.entries(range, from)).find(|(index, entry)| *index != entry.index) {
            Some((index, _)) => Err(format!("the log has a hole: entry {index} is missing")),
            None => Ok(()),
        }
    }
}

fn note(changed: &mut BTreeMap<u64, u64>, range: u64, index: u64) {
    let lowest = changed.entry(range).or_insert(index);
    *lowest = index.min(*lowest);
}

/// The last index at which both have the same term fixes everything below; up to `same` that is known already.
/// Gives that index.
fn compare(log: &Logs, other: &Logs, range: u64, same: u64) -> Result<u64, String> {
    let both = Both::new(log.entries(range, same + 1), other.entries(range, same + 1));
    let pairs: Vec<(&LogEntry, &LogEntry)> = both.collect();
    let Some(agreed) = pairs.iter().rposition(|(here, there)| here.term == there.term) else { return Ok(0) };
    match pairs[..=agreed].iter().find(|(here, there)| here != there) {
        Some((here, there)) => Err(format!(
            "agree on index {} and differ on {} (terms {} and {})",
            pairs[agreed].0.index, here.index, here.term, there.term
        )),
        None => Ok(pairs[agreed].0.index),
    }
}

/// Entries of the same index of two logs.
struct Both<A: Iterator, B: Iterator> {
    here: std::iter::Peekable<A>,
    there: std::iter::Peekable<B>,
}

impl<'l, A: Iterator<Item = &'l LogEntry>, B: Iterator<Item = &'l LogEntry>> Both<A, B> {
    fn new(here: A, there: B) -> Both<A, B> {
        Both { here: here.peekable(), there: there.peekable() }
    }
}

impl<'l, A: Iterator<Item = &'l LogEntry>, B: Iterator<Item = &'l LogEntry>> Iterator for Both<A, B> {
    type Item = (&'l LogEntry, &'l LogEntry);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.here.peek()?.index.cmp(&self.there.peek()?.index) {
                Ordering::Less => self.here.next(),
                Ordering::Greater => self.there.next(),
                Ordering::Equal => return Some((self.here.next()?, self.there.next()?)),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use storage::{Batch, Durability, Engine, MemoryEngine, RaftLog};

    use super::*;

    const RANGE: u64 = 7;

    struct Replica {
        disk: MemoryDisk,
        engine: Arc<MemoryEngine>,
        log: RaftLog,
    }

    impl Replica {
        fn new() -> Replica {
            let disk = MemoryDisk::new();
            let engine = Arc::new(MemoryEngine::open(&disk));
            let log = RaftLog::open(engine.clone(), RANGE).expect("an empty log can be opened");
            Replica { disk, engine, log }
        }

        /// Entries from `first` on: their terms, and their data.
        fn append(&mut self, first: u64, entries: &[(u64, &'static str)]) {
            let entry = |(index, (term, data)): (u64, &(u64, &'static str))| LogEntry {
                index,
                term: *term,
                kind: 0,
                data: Bytes::from_static(data.as_bytes()),
            };
            let entries: Vec<LogEntry> = (first..).zip(entries).map(entry).collect();
            let mut batch = Batch::new();
            self.log.append(&entries, &mut batch);
            self.write(&batch);
        }

        fn cut(&mut self, through: u64) {
            let mut batch = Batch::new();
            self.log.truncate_prefix(through, &mut batch).expect("the log can be read");
            self.write(&batch);
        }

        fn write(&self, batch: &Batch) {
            self.engine.write(batch, Durability::Logged).expect("the disk works");
        }
    }

    fn look(seen: &mut Seen, replicas: [&Replica; 2]) -> Vec<String> {
        seen.look(&replicas.map(|replica| &replica.disk), &[RANGE])
    }

    #[test]
    fn logs_may_differ_above_what_they_share() {
        let (mut a, mut b, mut seen) = (Replica::new(), Replica::new(), Seen::default());
        a.append(1, &[(1, "a"), (1, "b"), (2, "c")]);
        b.append(1, &[(1, "a"), (1, "b"), (1, "d"), (1, "e")]);
        assert!(look(&mut seen, [&a, &b]).is_empty());
        b.append(3, &[(2, "c"), (3, "f")]);
        a.append(4, &[(3, "f")]);
        a.cut(2);
        assert!(look(&mut seen, [&a, &b]).is_empty());
        a.disk.crash(&mut |_| 0);
        assert!(look(&mut seen, [&a, &b]).is_empty(), "nothing was synced: the log is empty");
    }

    #[test]
    fn a_difference_is_found_whenever_it_comes() {
        for earlier in [false, true] {
            let (mut a, mut b, mut seen) = (Replica::new(), Replica::new(), Seen::default());
            a.append(1, &[(1, "a"), (1, "b"), (2, "c")]);
            b.append(1, &[(1, "a"), (1, "b"), (2, "c")]);
            if earlier {
                assert!(look(&mut seen, [&a, &b]).is_empty());
            }
            b.append(2, &[(1, "B"), (2, "c")]);
            a.append(4, &[(2, "d")]);
            let wrong = look(&mut seen, [&a, &b]);
            assert!(wrong.iter().any(|what| what.contains("agree on index 3 and differ on 2")), "{wrong:?}");
        }
    }

    #[test]
    fn a_hole_is_found() {
        let (mut a, b, mut seen) = (Replica::new(), Replica::new(), Seen::default());
        a.append(1, &[(1, "a"), (1, "b"), (1, "c")]);
        assert!(look(&mut seen, [&a, &b]).is_empty());
        let mut batch = Batch::new();
        batch.delete(Family::Log, entry_span(RANGE, 2).start);
        a.write(&batch);
        let wrong = look(&mut seen, [&a, &b]);
        assert!(wrong.iter().any(|what| what.contains("entry 2 is missing")), "{wrong:?}");
    }
}
