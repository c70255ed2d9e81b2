//! The intents of one range in memory: which keys have one, of whom, at which number. A read then touches
//! the intents in the engine only where there are some.
//!
//! Kept by every replica as it applies, in this order: an intent is in the engine, then here, and only then
//! its announcement is withdrawn; it leaves the engine first and then this index. Whoever looks at
//! announcements, then here, then at the engine misses none.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};

use keyspace::{Key, Span, Timestamp, TxnId};
use parking_lot::RwLock;

/// All of an intent but its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentHead {
    pub txn: TxnId,
    pub at: Timestamp,
    pub anchor: Key,
    pub attempt: u32,
    /// It deletes the row or changes one of its keys (rule 20).
    pub changes_key: bool,
}

#[derive(Debug, Default)]
pub struct IntentIndex {
    count: AtomicUsize,
    intents: RwLock<BTreeMap<Key, IntentHead>>,
}

impl IntentIndex {
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::SeqCst) == 0
    }

    pub fn get(&self, key: &[u8]) -> Option<IntentHead> {
        if self.is_empty() {
            return None;
        }
        self.intents.read().get(key).cloned()
    }

    /// An intent of somebody else in `span` at or below `at`.
    pub fn foreign_in(&self, span: &Span, at: Timestamp, reader: Option<TxnId>) -> Option<(Key, IntentHead)> {
        if self.is_empty() || span.is_empty() {
            return None;
        }
        let intents = self.intents.read();
        let mut within = intents.range::<Key, _>((Bound::Included(&span.start), Bound::Excluded(&span.end)));
        within
            .find(|(_, intent)| intent.at <= at && Some(intent.txn) != reader)
            .map(|(key, intent)| (key.clone(), intent.clone()))
    }

    /// Keys of `span` with an intent of `txn`, at most `keys_max`.
    pub fn of_txn(&self, span: &Span, txn: TxnId, keys_max: usize) -> Vec<Key> {
        if self.is_empty() || span.is_empty() {
            return Vec::new();
        }
        let intents = self.intents.read();
        let within = intents.range::<Key, _>((Bound::Included(&span.start), Bound::Excluded(&span.end)));
        within.filter(|(_, intent)| intent.txn == txn).map(|(key, _)| key.clone()).take(keys_max).collect()
    }

    pub fn insert(&self, key: Key, intent: IntentHead) {
        let mut intents = self.intents.write();
        intents.insert(key, intent);
        self.count.store(intents.len(), Ordering::SeqCst);
    }

    pub fn remove(&self, key: &[u8]) {
        let mut intents = self.intents.write();
        intents.remove(key);
        self.count.store(intents.len(), Ordering::SeqCst);
    }

    pub fn replace(&self, all: BTreeMap<Key, IntentHead>) {
        let mut intents = self.intents.write();
        *intents = all;
        self.count.store(intents.len(), Ordering::SeqCst);
    }

    /// The intents at and above `at`, for the right-hand side of a split.
    pub fn split_off(&self, at: &Key) -> BTreeMap<Key, IntentHead> {
        let mut intents = self.intents.write();
        let right = intents.split_off(at);
        self.count.store(intents.len(), Ordering::SeqCst);
        right
    }
}

impl From<&mvcc::Intent> for IntentHead {
    fn from(intent: &mvcc::Intent) -> IntentHead {
        IntentHead {
            txn: intent.txn,
            at: intent.at,
            anchor: intent.anchor.clone(),
            attempt: intent.attempt,
            changes_key: intent.changes_key,
        }
    }
}

/// Reads the index of a span from the engine.
pub fn load(snapshot: &dyn storage::Snapshot, span: &Span) -> storage::Result<BTreeMap<Key, IntentHead>> {
    let mut all = BTreeMap::new();
    let mut intents = mvcc::Intents::new(snapshot, span)?;
    while let Some((key, intent)) = intents.next()? {
        all.insert(key, IntentHead::from(&intent));
    }
    Ok(all)
}
