//! Row locks: holders and a queue per key, first come first served, with a look for deadlocks at each wait.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use keyspace::{Key, Span, TxnId};
use rpc::range::LockMode;

#[derive(Default)]
pub(super) struct LockTable {
    keys: BTreeMap<Key, Entry>,
    /// Transactions that are over. A request of one that comes late must not leave a lock behind.
    ended: BTreeSet<TxnId>,
}

#[derive(Default)]
struct Entry {
    holders: Vec<(TxnId, LockMode)>,
    queue: VecDeque<(TxnId, LockMode)>,
}

impl Entry {
    /// Who keeps `txn` from having the lock now: holders, and those who came before it.
    fn in_the_way(&self, txn: TxnId, mode: LockMode) -> Option<TxnId> {
        let conflicts = |(other, held): &&(TxnId, LockMode)| *other != txn && !mode.is_compatible_with(*held);
        let holds = self.holders.iter().any(|(holder, _)| *holder == txn);
        let ahead = self.queue.iter().take_while(|(waiter, _)| *waiter != txn && !holds);
        self.holders.iter().find(conflicts).or_else(|| ahead.clone().find(conflicts)).map(|(other, _)| *other)
    }
}

impl LockTable {
    /// Who keeps `txn` from having the lock now?
    pub fn in_the_way(&self, key: &Key, txn: TxnId, mode: LockMode) -> Option<TxnId> {
        self.keys.get(key)?.in_the_way(txn, mode)
    }

    pub fn take(&mut self, key: &Key, txn: TxnId, mode: LockMode) {
        let entry = self.keys.entry(key.clone()).or_default();
        entry.queue.retain(|(waiter, _)| *waiter != txn);
        match entry.holders.iter_mut().find(|(holder, _)| *holder == txn) {
            Some((_, held)) => *held = mode.with(*held),
            None => entry.holders.push((txn, mode)),
        }
    }

    pub fn enqueue(&mut self, key: &Key, txn: TxnId, mode: LockMode) {
        let entry = self.keys.entry(key.clone()).or_default();
        if entry.queue.iter().all(|(waiter, _)| *waiter != txn) {
            entry.queue.push_back((txn, mode));
        }
    }

    pub fn leave_queue(&mut self, key: &Key, txn: TxnId) {
        if let Some(entry) = self.keys.get_mut(key) {
            entry.queue.retain(|(waiter, _)| *waiter != txn);
        }
        self.keys.retain(|_, entry| !(entry.holders.is_empty() && entry.queue.is_empty()));
    }

    /// The transactions that wait for each other in a circle through `txn`, if there is one.
    pub fn cycle(&self, txn: TxnId) -> Option<Vec<TxnId>> {
        let mut seen = BTreeSet::new();
        let mut path = vec![txn];
        self.search(txn, txn, &mut seen, &mut path).then_some(path)
    }

    fn search(&self, from: TxnId, target: TxnId, seen: &mut BTreeSet<TxnId>, path: &mut Vec<TxnId>) -> bool {
        for next in self.waits_for(from) {
            if next == target {
                return true;
            }
            if seen.insert(next) {
                path.push(next);
                if self.search(next, target, seen, path) {
                    return true;
                }
                path.pop();
            }
        }
        false
    }

    fn waits_for(&self, txn: TxnId) -> Vec<TxnId> {
        let of_entry = |entry: &Entry| {
            let mode = entry.queue.iter().find(|(waiter, _)| *waiter == txn)?.1;
            entry.in_the_way(txn, mode)
        };
        self.keys.values().filter_map(of_entry).collect()
    }

    pub fn release(&mut self, txn: TxnId, key: &Key) {
        self.release_where(txn, |held| held == key);
    }

    pub fn weaken(&mut self, txn: TxnId, key: &Key, mode: LockMode) {
        let holders = self.keys.get_mut(key).map(|entry| &mut entry.holders);
        if let Some((_, held)) = holders.and_then(|holders| holders.iter_mut().find(|(holder, _)| *holder == txn)) {
            *held = if held.includes(mode) { mode } else { *held };
        }
    }

    /// The transaction is over.
    pub fn end(&mut self, txn: TxnId, span: &Span) {
        self.ended.insert(txn);
        self.release_where(txn, |held| span.contains(held));
    }

    pub fn is_over(&self, txn: TxnId) -> bool {
        self.ended.contains(&txn)
    }

    fn release_where(&mut self, txn: TxnId, is_meant: impl Fn(&Key) -> bool) {
        self.keys.retain(|key, entry| {
            if is_meant(key) {
                entry.holders.retain(|(holder, _)| *holder != txn);
                entry.queue.retain(|(waiter, _)| *waiter != txn);
            }
            !(entry.holders.is_empty() && entry.queue.is_empty())
        });
    }

    /// All locks and queues of the keys in `span` are lost, as with a leader that dies.
    pub fn lose(&mut self, span: &Span) {
        self.keys.retain(|key, _| !span.contains(key));
    }

    /// One line per key: holders, then who waits.
    pub fn describe(&self) -> Vec<String> {
        let list = |txns: &mut dyn Iterator<Item = &(TxnId, LockMode)>| {
            txns.map(|(txn, mode)| format!("{txn}:{mode:?}")).collect::<Vec<_>>().join(" ")
        };
        let line = |(key, entry): (&Key, &Entry)| {
            let waiting = list(&mut entry.queue.iter());
            let waiting = if waiting.is_empty() { waiting } else { format!(", then {waiting}") };
            format!("{}: {}{waiting}", key.escape_ascii(), list(&mut entry.holders.iter()))
        };
        self.keys.iter().map(line).collect()
    }
}
