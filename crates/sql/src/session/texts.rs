//! The node's cache of statements by their text.
//!
//! A text that comes a second time, from whichever session, finds its syntax tree and the plan last made for it. Texts
//! that come once (literals written into them) are not kept: a text is admitted when its hash has been seen before.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use parking_lot::Mutex;

use super::prepared::Prepared;

/// Locks are per shard: sessions that run different texts seldom meet.
const SHARDS: usize = 16;
const TEXTS_PER_SHARD: usize = 128;
/// Longer texts are not kept.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// Hashes remembered of texts that came once.
const SEEN: usize = 4096;

pub(crate) struct Texts {
    hasher: FixedState,
    shards: Box<[Mutex<Shard>]>,
    seen: Box<[AtomicU64]>,
}

#[derive(Default)]
struct Shard {
    texts: HashMap<Arc<str>, Entry, FixedState>,
    /// In the order they came; the first one that was not used since its last turn goes.
    order: std::collections::VecDeque<Arc<str>>,
}

struct Entry {
    prepared: Arc<Prepared>,
    was_used: bool,
}

impl Texts {
    pub fn new() -> Texts {
        Texts {
            hasher: FixedState::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            seen: (0..SEEN).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// A statement of this text, without declared parameter types.
    pub fn find(&self, text: &str) -> Option<Arc<Prepared>> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let mut shard = self.shard(self.hash(text)).lock();
        let entry = shard.texts.get_mut(text)?;
        entry.was_used = true;
        Some(entry.prepared.clone())
    }

    pub fn keep(&self, prepared: &Arc<Prepared>) {
        let text = &prepared.source;
        if text.len() > TEXT_BYTES_MAX {
            return;
        }
        let hash = self.hash(text);
        let seen = &self.seen[(hash >> 20) as usize % SEEN];
        if seen.swap(hash, Ordering::Relaxed) != hash {
            return;
        }
        let mut shard = self.shard(hash).lock();
        if shard.texts.contains_key(text) {
            return;
        }
        while shard.texts.len() >= TEXTS_PER_SHARD {
            shard.evict();
        }
        shard.order.push_back(text.clone());
        shard.texts.insert(text.clone(), Entry { prepared: prepared.clone(), was_used: false });
    }

    fn hash(&self, text: &str) -> u64 {
        self.hasher.hash_one(text)
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        &self.shards[hash as usize % SHARDS]
    }
}

impl Shard {
    fn evict(&mut self) {
        let Some(text) = self.order.pop_front() else { return };
        match self.texts.get_mut(&text) {
            Some(entry) if entry.was_used => {
                entry.was_used = false;
                self.order.push_back(text);
            }
            _ => {
                self.texts.remove(&text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(text: &str) -> Arc<Prepared> {
        Arc::new(Prepared::new(text.into(), None, Vec::new(), 0))
    }

    #[test]
    fn a_text_is_kept_from_its_second_time_on() {
        let texts = Texts::new();
        texts.keep(&statement("select 1"));
        assert!(texts.find("select 1").is_none());
        texts.keep(&statement("select 1"));
        assert!(texts.find("select 1").is_some());
    }

    #[test]
    fn what_is_used_outlives_what_is_not() {
        let texts = Texts::new();
        let keep = |text: &str| {
            texts.keep(&statement(text));
            texts.keep(&statement(text));
        };
        keep("hot");
        for number in 0..SHARDS * TEXTS_PER_SHARD * 4 {
            keep(&format!("cold {number}"));
            assert!(texts.find("hot").is_some(), "after {number}");
        }
        let held: usize = texts.shards.iter().map(|shard| shard.lock().texts.len()).sum();
        assert!(held <= SHARDS * TEXTS_PER_SHARD);
    }
}
