//! Who is about to write which key, and from which number on: the writers' half of the handshake without
//! a latch (protocol.md, rules 11 and 12).
//!
//! A writer announces all its keys at once, then reads the read-timestamp cache, proposes, and withdraws
//! when its entry is applied (or known never to be). A reader raises the cache first and then looks here:
//! it waits for every announced writer that may commit at or below its number.
//!
//! An *active* announcement is also exclusive among writers: between the evaluation of a write and its
//! application no other writer (nor a repetition of the same one) evaluates against the key. Since all keys
//! are announced in one step and nobody waits while holding some, this cannot deadlock.
//!
//! A *refused* writer stays announced with its refusal as lower bound until it comes back with a fresh
//! number or its time is up: readers above the bound wait. Without this a key that is read all the time
//! could not be written (rule 11). It does not exclude other writers.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use env::Mono;
use keyspace::{Key, Span, Timestamp, TxnId};
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::oneshot;

#[derive(Debug, Default)]
pub struct Announcements {
    /// Announced keys; readers look no further when it is zero.
    count: AtomicUsize,
    keys: Mutex<BTreeMap<Key, SmallVec<[Entry; 1]>>>,
}

#[derive(Debug)]
struct Entry {
    txn: TxnId,
    /// The lowest number at which it may commit.
    lowest: Timestamp,
    /// `None` while active; when a refused one ceases to count.
    until: Option<Mono>,
    waiters: Waiters,
}

/// Those who wait for one writer, shared by all its keys.
type Waiters = Arc<Mutex<Vec<oneshot::Sender<()>>>>;

/// Resolves when the writer withdrew or was refused, or at the latest, for a refused one, at `until`.
#[derive(Debug)]
pub struct Waiting {
    pub writer: TxnId,
    pub until: Option<Mono>,
    pub changed: oneshot::Receiver<()>,
}

/// Keys announced by one writer; withdrawn when dropped.
#[derive(Debug)]
pub struct Announced {
    home: Arc<Announcements>,
    keys: Vec<Key>,
    waiters: Waiters,
}

impl Announcements {
    /// Announces a write of `keys` at `lowest` or above, replacing what a refused try of the same
    /// transaction left. Hands back whom to wait for if another writer is active on one of them.
    pub fn announce(
        self: &Arc<Self>,
        txn: TxnId,
        lowest: Timestamp,
        keys: Vec<Key>,
    ) -> Result<Announced, (Vec<Key>, Waiting)> {
        let mut map = self.keys.lock();
        let busy = keys.iter().find_map(|key| map.get(key)?.iter().find(|entry| entry.until.is_none()));
        if let Some(entry) = busy {
            return Err((keys, entry.wait()));
        }
        let waiters = Waiters::default();
        for key in &keys {
            let entries = match map.get_mut(key) {
                Some(entries) => entries,
                None => map.entry(key.clone()).or_default(),
            };
            entries.retain(|entry| {
                let stays = entry.txn != txn;
                if !stays {
                    entry.wake();
                }
                stays
            });
            entries.push(Entry { txn, lowest, until: None, waiters: waiters.clone() });
        }
        self.count.store(map.len(), Ordering::SeqCst);
        drop(map);
        fence(Ordering::SeqCst);
        Ok(Announced { home: self.clone(), keys, waiters })
    }

    /// A writer that may commit `key` at or below `at`, other than `reader` itself.
    pub fn below(&self, key: &Key, at: Timestamp, reader: Option<TxnId>, now: impl Fn() -> Mono) -> Option<Waiting> {
        if self.count.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let map = self.keys.lock();
        in_the_way(map.get(key)?, at, reader, &now).map(Entry::wait)
    }

    /// The same for every key of `span`.
    pub fn below_in(
        &self,
        span: &Span,
        at: Timestamp,
        reader: Option<TxnId>,
        now: impl Fn() -> Mono,
    ) -> Option<Waiting> {
        if self.count.load(Ordering::SeqCst) == 0 || span.is_empty() {
            return None;
        }
        let map = self.keys.lock();
        let mut keys = map.range::<Key, _>((Bound::Included(&span.start), Bound::Excluded(&span.end)));
        keys.find_map(|(_, entries)| in_the_way(entries, at, reader, &now)).map(Entry::wait)
    }

    /// Waits for this very transaction's write of `key`, if one is under way.
    pub fn active(&self, key: &Key) -> Option<Waiting> {
        if self.count.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let map = self.keys.lock();
        map.get(key)?.iter().find(|entry| entry.until.is_none()).map(Entry::wait)
    }

    /// Drops what refused writers left behind. Cheap when there is nothing.
    pub fn expire(&self, now: Mono) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut map = self.keys.lock();
        map.retain(|_, entries| {
            entries.retain(|entry| entry.until.is_none_or(|until| now < until));
            !entries.is_empty()
        });
        self.count.store(map.len(), Ordering::SeqCst);
    }
}

/// The first writer of a key that a reader has to wait for. Of two refused writers that each read what the other is going
/// to write, the one that was refused first goes on and the other waits for it.
fn in_the_way<'e>(
    entries: &'e [Entry],
    at: Timestamp,
    reader: Option<TxnId>,
    now: &impl Fn() -> Mono,
) -> Option<&'e Entry> {
    let mut reader_came_first = false;
    entries.iter().find(|entry| {
        reader_came_first |= Some(entry.txn) == reader;
        entry.concerns(at, reader, now) && !(reader_came_first && entry.until.is_some())
    })
}

impl Entry {
    fn concerns(&self, at: Timestamp, reader: Option<TxnId>, now: &impl Fn() -> Mono) -> bool {
        Some(self.txn) != reader && self.lowest <= at && self.until.is_none_or(|until| now() < until)
    }

    fn wait(&self) -> Waiting {
        let (tell, changed) = oneshot::channel();
        self.waiters.lock().push(tell);
        Waiting { writer: self.txn, until: self.until, changed }
    }

    fn wake(&self) {
        for waiter in self.waiters.lock().drain(..) {
            let _gone = waiter.send(());
        }
    }
}

impl Announced {
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The range refused the write for now: a number above `bound` is needed. Stays announced until `until`.
    pub fn refuse(mut self, bound: Timestamp, until: Mono) {
        let keys = std::mem::take(&mut self.keys);
        let mut map = self.home.keys.lock();
        for key in &keys {
            let entries = map.get_mut(key).expect("what was announced stands until it is withdrawn");
            for entry in entries.iter_mut().filter(|entry| Arc::ptr_eq(&entry.waiters, &self.waiters)) {
                entry.lowest = Timestamp(bound.0.saturating_add(1));
                entry.until = Some(until);
                entry.wake();
            }
        }
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        if self.keys.is_empty() {
            return;
        }
        let mut map = self.home.keys.lock();
        for key in &self.keys {
            let Some(entries) = map.get_mut(key) else { continue };
            entries.retain(|entry| !Arc::ptr_eq(&entry.waiters, &self.waiters));
            if entries.is_empty() {
                map.remove(key);
            }
        }
        self.home.count.store(map.len(), Ordering::SeqCst);
        drop(map);
        for waiter in self.waiters.lock().drain(..) {
            let _gone = waiter.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Vec<Key> {
        names.iter().map(|name| Key::from(*name)).collect()
    }

    const NOW: fn() -> Mono = || Mono(100);

    #[test]
    fn readers_wait_for_writers_at_or_below_their_number() {
        let home = Arc::new(Announcements::default());
        let writer = home.announce(TxnId(1), Timestamp(10), keys(&["a", "c"])).unwrap();
        let key = Key::from("a");
        assert!(home.below(&key, Timestamp(9), None, NOW).is_none());
        assert!(home.below(&key, Timestamp(10), Some(TxnId(1)), NOW).is_none(), "one's own write");
        let mut wait = home.below(&key, Timestamp(10), Some(TxnId(2)), NOW).unwrap();
        assert!(home.below_in(&Span::new("b".into(), "d".into()), Timestamp(10), None, NOW).is_some());
        assert!(home.below_in(&Span::new("b".into(), "c".into()), Timestamp(10), None, NOW).is_none());
        assert!(wait.changed.try_recv().is_err());
        drop(writer);
        assert!(wait.changed.try_recv().is_ok());
        assert!(home.below(&key, Timestamp(10), None, NOW).is_none());
        assert_eq!(home.count.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn active_writers_exclude_each_other_and_announce_all_or_nothing() {
        let home = Arc::new(Announcements::default());
        let first = home.announce(TxnId(1), Timestamp(10), keys(&["b"])).unwrap();
        let (kept, mut wait) = home.announce(TxnId(2), Timestamp(11), keys(&["a", "b"])).unwrap_err();
        assert!(home.active(&"a".into()).is_none(), "nothing of a refused announcement stays");
        drop(first);
        assert!(wait.changed.try_recv().is_ok());
        drop(home.announce(TxnId(2), Timestamp(11), kept).unwrap());
    }

    #[test]
    fn of_two_refused_writers_the_first_reads_on() {
        let home = Arc::new(Announcements::default());
        let key = Key::from("a");
        for txn in [1, 2] {
            home.announce(TxnId(txn), Timestamp(10), keys(&["a"])).unwrap().refuse(Timestamp(20), Mono(200));
        }
        let span = Span::new("a".into(), "b".into());
        assert!(home.below(&key, Timestamp(30), Some(TxnId(1)), NOW).is_none());
        assert!(home.below_in(&span, Timestamp(30), Some(TxnId(1)), NOW).is_none());
        assert_eq!(home.below(&key, Timestamp(30), Some(TxnId(2)), NOW).unwrap().writer, TxnId(1));
        assert_eq!(home.below_in(&span, Timestamp(30), Some(TxnId(2)), NOW).unwrap().writer, TxnId(1));
        let active = home.announce(TxnId(3), Timestamp(25), keys(&["a"])).unwrap();
        assert_eq!(home.below(&key, Timestamp(30), Some(TxnId(1)), NOW).unwrap().writer, TxnId(3));
        drop(active);
    }

    #[test]
    fn a_refused_writer_holds_readers_above_its_bound_for_a_while() {
        let home = Arc::new(Announcements::default());
        let key = Key::from("a");
        home.announce(TxnId(1), Timestamp(10), keys(&["a"])).unwrap().refuse(Timestamp(20), Mono(200));
        assert!(home.below(&key, Timestamp(20), None, NOW).is_none(), "what pushed it reads on");
        let mut wait = home.below(&key, Timestamp(21), None, NOW).unwrap();
        assert_eq!(wait.until, Some(Mono(200)));
        assert!(home.below(&key, Timestamp(21), None, || Mono(200)).is_none(), "its time is up");
        let other = home.announce(TxnId(2), Timestamp(30), keys(&["a"])).expect("other writers go on");
        drop(other);
        let again = home.announce(TxnId(1), Timestamp(25), keys(&["a"])).unwrap();
        assert!(wait.changed.try_recv().is_ok(), "it came back");
        assert!(home.below(&key, Timestamp(24), None, NOW).is_none());
        drop(again);
        assert_eq!(home.count.load(Ordering::SeqCst), 0);
    }
}
