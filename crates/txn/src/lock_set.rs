//! # The row locks a transaction holds
//!
//! Locks live in the memory of range leaders and can be lost with one. The transaction therefore remembers each lock
//! with the number up to which it knows the key's versions, and the commit validates those it does not write
//! (rule 19). It also remembers where it *asked* for locks: a place in a queue, or a grant whose answer was lost, is
//! given up at the end by asking those ranges to release everything of the transaction.

use std::collections::BTreeMap;

use keyspace::{Key, Span, Timestamp};
use rpc::range::{LockMode, LockedKey};
use smallvec::SmallVec;

use crate::Sequence;

#[derive(Clone, Copy, Debug)]
struct Grant {
    since: Sequence,
    mode: LockMode,
    /// No version above it existed when the lock was granted.
    seen: Timestamp,
    /// `false` for a lock that a statement took before it had to run again, and has not asked for since: it keeps others
    /// away, but nothing that was read under it is used.
    counts: bool,
}

/// Oldest first: a later grant is stronger, or saw more.
type Grants = SmallVec<[Grant; 1]>;

#[derive(Debug, Default)]
pub(crate) struct LockSet {
    keys: BTreeMap<Key, Grants>,
    /// Where locks were asked for; merged into one span per neighbourhood beyond [`ASKED_MAX`].
    asked: Vec<Span>,
}

const ASKED_MAX: usize = 64;

/// What is left of locks after a savepoint was rolled back, in key order.
#[derive(Debug, Default)]
pub(crate) struct Undone {
    /// No longer locked at all.
    pub released: Vec<Key>,
    /// Locked in this mode only.
    pub weakened: Vec<(Key, LockMode)>,
}

fn strongest(grants: &Grants) -> Option<LockMode> {
    grants.iter().map(|grant| grant.mode).reduce(LockMode::with)
}

impl LockSet {
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.asked.is_empty()
    }

    /// A request that locks in `span` is about to be sent.
    pub fn ask(&mut self, span: Span) {
        if self.asked.iter().any(|asked| asked.contains_span(&span)) {
            return;
        }
        self.asked.push(span);
        if self.asked.len() > ASKED_MAX {
            self.asked.sort_by(|a, b| a.start.cmp(&b.start));
            self.asked = std::mem::take(&mut self.asked).chunks(2).map(hull).collect();
        }
    }

    pub fn grant(&mut self, key: &Key, mode: LockMode, seen: Timestamp, since: Sequence) {
        let new = Grant { since, mode, seen, counts: true };
        let Some(grants) = self.keys.get_mut(key) else {
            self.keys.insert(key.clone(), SmallVec::from_buf([new]));
            return;
        };
        let last = grants.last_mut().expect("a key without a grant is not in the set");
        let mode = last.mode.with(mode);
        if last.counts && last.mode == mode {
            // The lock was held all along: it still guards from the first grant on, and that is what is validated.
            return;
        }
        // Under KEY SHARE others were free to write, short of the key; under anything else the row stood still.
        let seen = if last.counts && last.mode != LockMode::KeyShare { last.seen } else { seen };
        if last.since == since {
            *last = Grant { since, mode, seen, counts: true };
        } else {
            grants.push(Grant { since, mode, seen, counts: true });
        }
    }

    /// Locks taken at or after `from` stop counting, and are still held.
    pub fn restart(&mut self, from: Sequence) {
        for grants in self.keys.values_mut() {
            for grant in grants.iter_mut().filter(|grant| grant.since >= from) {
                grant.counts = false;
            }
        }
    }

    /// Forgets what was granted at or after `from`.
    pub fn undo(&mut self, from: Sequence) -> Undone {
        let mut undone = Undone::default();
        self.keys.retain(|key, grants| {
            let before = strongest(grants);
            grants.retain(|grant| grant.since < from);
            match strongest(grants) {
                None => undone.released.push(key.clone()),
                left if left == before => {}
                Some(left) => undone.weakened.push((key.clone(), left)),
            }
            !grants.is_empty()
        });
        undone
    }

    pub fn forget(&mut self, key: &Key) {
        self.keys.remove(key);
    }

    /// Locks that something was read under, in key order.
    pub fn counting(&self) -> impl Iterator<Item = LockedKey> {
        self.keys.iter().filter_map(|(key, grants)| {
            let grant = grants.iter().rev().find(|grant| grant.counts)?;
            Some(LockedKey { key: key.clone(), mode: grant.mode, seen: grant.seen })
        })
    }

    pub fn holds(&self, key: &Key) -> bool {
        self.keys.contains_key(key)
    }

    pub fn list(&self) -> Vec<(Key, LockMode)> {
        self.keys.iter().filter_map(|(key, grants)| Some((key.clone(), strongest(grants)?))).collect()
    }

    pub fn touches_only(&self, range: &Span) -> bool {
        self.asked.iter().all(|asked| range.contains_span(asked))
    }

    /// Spans whose ranges may know locks of this transaction, in key order, without overlaps.
    pub fn touched(&self) -> Vec<Span> {
        let mut spans = self.asked.clone();
        spans.sort_by(|a, b| a.start.cmp(&b.start));
        let mut touched: Vec<Span> = Vec::with_capacity(spans.len());
        for span in spans {
            match touched.last_mut() {
                Some(last) if span.start <= last.end => *last = hull(&[last.clone(), span]),
                _ => touched.push(span),
            }
        }
        touched
    }
}

fn hull(spans: &[Span]) -> Span {
    let start = spans.iter().map(|span| &span.start).min().cloned().unwrap_or_default();
    let end = spans.iter().map(|span| &span.end).max().cloned().unwrap_or_default();
    Span::new(start, end)
}
