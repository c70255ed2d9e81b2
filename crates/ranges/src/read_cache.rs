//! The read-timestamp cache of one range: for each key the highest number at which it was read. A write
//! may not commit at or below a read of its key by somebody else.
//!
//! * **Raise before reading.** A reader raises the cache, then looks for announced writers, then takes its
//!   snapshot; a writer announces itself, then reads the cache (protocol.md, rule 12). There is no latch.
//! * **Ties.** At the very number of a read only its own transaction may write. The reader is kept with the
//!   number, also when the cache coarsens (rule 13).
//! * **Bounded.** Points and spans live in two generations. When the young one is full the old one is
//!   forgotten: its highest number becomes the low-water mark, which holds for every key. Forgetting never
//!   lowers an answer.
//! * **A new leader** knows no earlier reads and starts with a fresh oracle number as its low-water mark
//!   (rule 15).
//!
//! Points are the hot path: a hash map per shard, one short lock, no allocation beyond the shared key.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::ops::Bound;
use std::sync::atomic::{Ordering, fence};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use keyspace::{Key, Span, Timestamp, TxnId};
use parking_lot::Mutex;

const SHARDS: usize = 16;

/// A read: at which number, and by which transaction if it was one alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Read {
    pub at: Timestamp,
    pub reader: Option<TxnId>,
}

impl Read {
    /// The later of two; at the same number by two readers, nobody's own.
    fn merge(self, other: Read) -> Read {
        match self.at.cmp(&other.at) {
            std::cmp::Ordering::Less => other,
            std::cmp::Ordering::Greater => self,
            std::cmp::Ordering::Equal if self.reader == other.reader => self,
            std::cmp::Ordering::Equal => Read { at: self.at, reader: None },
        }
    }

    /// Does this read forbid `writer` to commit at `at`?
    fn forbids(self, at: Timestamp, writer: TxnId) -> bool {
        self.at > at || (self.at == at && self.reader != Some(writer))
    }
}

#[derive(Debug)]
pub struct ReadCache {
    points: [Mutex<Generations<Points>>; SHARDS],
    spans: Mutex<Generations<Segments>>,
    hasher: FixedState,
}

impl ReadCache {
    /// Holds about `entries` points and spans exactly.
    pub fn new(entries: usize) -> ReadCache {
        let per_shard = (entries / SHARDS / 2).max(1);
        ReadCache {
            points: std::array::from_fn(|_| Mutex::new(Generations::new(per_shard))),
            spans: Mutex::new(Generations::new((entries / 2).max(1))),
            hasher: FixedState::default(),
        }
    }

    /// `key` is about to be read. Ends with the fence that orders it before the look at announcements.
    pub fn raise_point(&self, key: &Key, read: Read) {
        self.shard(key).lock().raise(|points| points.raise(key, read), read);
        fence(Ordering::SeqCst);
    }

    /// `span` is about to be read.
    pub fn raise(&self, span: &Span, read: Read) {
        match span.as_point() {
            Some(key) => self.raise_point(key, read),
            None if span.is_empty() => {}
            None => {
                self.spans.lock().raise(|segments| segments.raise(span, read), read);
                fence(Ordering::SeqCst);
            }
        }
    }

    /// The read that forbids `writer` to commit `key` at `at`, if there is one. The writer has announced
    /// itself before; begins with the fence that orders the two.
    pub fn obstacle(&self, key: &Key, at: Timestamp, writer: TxnId) -> Option<Timestamp> {
        if env::sabotage("write_under_reads") {
            return None;
        }
        fence(Ordering::SeqCst);
        let point = self.shard(key).lock().highest(|points| points.get(key));
        let span = self.spans.lock().highest(|segments| segments.get(key));
        let obstacle = |read: Read| read.forbids(at, writer).then_some(read.at);
        obstacle(point).max(obstacle(span))
    }

    /// Nothing in the range may be written at or below `at` any more.
    pub fn raise_low_water(&self, at: Timestamp) {
        let read = Read { at, reader: None };
        for shard in &self.points {
            shard.lock().raise_low_water(read);
        }
        self.spans.lock().raise_low_water(read);
    }

    fn shard(&self, key: &Key) -> &Mutex<Generations<Points>> {
        &self.points[self.hasher.hash_one(key) as usize % SHARDS]
    }
}

/// What can hold reads exactly.
trait Entries: Default {
    fn len(&self) -> usize;
}

/// A young and an old set of entries over a low-water mark that holds for all keys.
#[derive(Debug)]
struct Generations<E> {
    young: E,
    old: E,
    young_max: Read,
    old_max: Read,
    low_water: Read,
    entries_max: usize,
}

impl<E: Entries> Generations<E> {
    fn new(entries_max: usize) -> Generations<E> {
        let none = Read::default();
        Generations {
            young: E::default(),
            old: E::default(),
            young_max: none,
            old_max: none,
            low_water: none,
            entries_max,
        }
    }

    fn raise(&mut self, insert: impl FnOnce(&mut E), read: Read) {
        // The pending raise lands before anything is folded away: it is in no generation yet.
        insert(&mut self.young);
        self.young_max = self.young_max.merge(read);
        if self.young.len() >= self.entries_max {
            env::probe!("read_cache_forgot_a_generation");
            if !env::sabotage("forget_evicted_reads") {
                self.low_water = self.low_water.merge(self.old_max);
            }
            self.old = std::mem::take(&mut self.young);
            self.old_max = std::mem::take(&mut self.young_max);
        }
    }

    fn raise_low_water(&mut self, read: Read) {
        self.low_water = self.low_water.merge(read);
    }

    fn highest(&self, get: impl Fn(&E) -> Read) -> Read {
        get(&self.young).merge(get(&self.old)).merge(self.low_water)
    }
}

#[derive(Debug, Default)]
struct Points(HashMap<Key, Read, FixedState>);

impl Points {
    fn raise(&mut self, key: &Key, read: Read) {
        match self.0.get_mut(key) {
            Some(known) => *known = known.merge(read),
            None => {
                self.0.insert(key.clone(), read);
            }
        }
    }

    fn get(&self, key: &Key) -> Read {
        self.0.get(key).copied().unwrap_or_default()
    }
}

impl Entries for Points {
    fn len(&self) -> usize {
        self.0.len()
    }
}

/// Spans cut into segments that do not overlap, by their first key.
#[derive(Debug, Default)]
struct Segments(BTreeMap<Key, Segment>);

#[derive(Clone, Debug)]
struct Segment {
    end: Key,
    read: Read,
}

impl Segments {
    fn get(&self, key: &Key) -> Read {
        let before = self.0.range::<[u8], _>((Bound::Unbounded, Bound::Included(&**key))).next_back();
        before.filter(|(_, segment)| *key < segment.end).map_or(Read::default(), |(_, segment)| segment.read)
    }

    fn raise(&mut self, span: &Span, read: Read) {
        self.cut(&span.start);
        self.cut(&span.end);
        // Now every segment lies wholly within the span or outside of it.
        let mut gaps = Vec::new();
        let mut covered = span.start.clone();
        let inside = self.0.range_mut::<Key, _>((Bound::Included(&span.start), Bound::Excluded(&span.end)));
        for (start, segment) in inside {
            if covered < *start {
                gaps.push((covered, start.clone()));
            }
            segment.read = segment.read.merge(read);
            covered = segment.end.clone();
        }
        if covered < span.end {
            gaps.push((covered, span.end.clone()));
        }
        for (start, end) in gaps {
            self.0.insert(start, Segment { end, read });
        }
        self.join(span);
    }

    /// Makes `key` a boundary if it lies inside a segment.
    fn cut(&mut self, key: &Key) {
        let Some((_, segment)) = self.0.range_mut::<[u8], _>((Bound::Unbounded, Bound::Excluded(&**key))).next_back()
        else {
            return;
        };
        if *key < segment.end {
            let right = Segment { end: std::mem::replace(&mut segment.end, key.clone()), read: segment.read };
            self.0.insert(key.clone(), right);
        }
    }

    /// Neighbours within `span` that tell the same become one: repeated scans do not grow the map.
    fn join(&mut self, span: &Span) {
        let starts: Vec<Key> = self
            .0
            .range::<Key, _>((Bound::Included(&span.start), Bound::Excluded(&span.end)))
            .map(|(start, _)| start.clone())
            .collect();
        for pair in starts.windows(2).rev() {
            let (left, right) = (&pair[0], &pair[1]);
            let right_segment = self.0[right].clone();
            let left_segment = self.0.get_mut(left).expect("a start that was just listed");
            if left_segment.end == *right && left_segment.read == right_segment.read {
                left_segment.end = right_segment.end;
                self.0.remove(right);
            }
        }
    }
}

impl Entries for Segments {
    fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    //! The language: `read SPAN at=N [by=T]`, `write KEY at=N by=T` (prints `ok` or the number that stands
    //! in the way), `lowwater N`. A span is `a` for the point or `a-c` for `[a, c)`.

    use std::error::Error;

    use super::*;

    struct Story(ReadCache);

    impl goldenscript::Runner for Story {
        type Command = goldenscript::Command;

        fn run(&mut self, command: &Self::Command, _: &goldenscript::Context) -> Result<String, Box<dyn Error>> {
            let mut args = command.consume_args();
            let number =
                |name: &str, args: &mut goldenscript::ArgumentConsumer<'_>| -> Result<Option<u64>, Box<dyn Error>> {
                    Ok(args.take_key(name).map(str::parse).transpose()?)
                };
            let at = Timestamp(number("at", &mut args)?.unwrap_or(0));
            let by = number("by", &mut args)?.map(TxnId);
            let target = args.next_pos().ok_or("SPAN, KEY or N")?;
            args.reject_next()?;
            let answer = match command.name.as_str() {
                "read" => {
                    let span = match target.split_once('-') {
                        Some((start, end)) => Span::new(start.into(), end.into()),
                        None => Span::point(target.into()),
                    };
                    self.0.raise(&span, Read { at, reader: by });
                    String::new()
                }
                "write" => match self.0.obstacle(&target.into(), at, by.ok_or("by=T")?) {
                    None => "ok".into(),
                    Some(above) => format!("needs a number above {}", above.0),
                },
                "lowwater" => {
                    self.0.raise_low_water(Timestamp(target.parse()?));
                    String::new()
                }
                "shrink" => {
                    self.0 = ReadCache::new(target.parse()?);
                    String::new()
                }
                other => return Err(format!("no command {other}").into()),
            };
            Ok(answer)
        }
    }

    #[test]
    fn stories() {
        for entry in std::fs::read_dir("testscripts/read_cache").unwrap() {
            goldenscript::run(&mut Story(ReadCache::new(1024)), entry.unwrap().path()).unwrap();
        }
    }

    /// Against the obvious implementation, a list of everything ever read: the cache may forbid more (it
    /// coarsens), never less; and without coarsening exactly as much.
    #[test]
    fn never_forbids_less_than_a_list_of_all_reads() {
        use rand::{Rng, SeedableRng};
        for (entries, exact) in [(100_000, true), (64, false)] {
            let mut rng = rand::rngs::SmallRng::seed_from_u64(7);
            let cache = ReadCache::new(entries);
            let mut list: Vec<(Span, Read)> = Vec::new();
            let key = |n: u32| Key::from(format!("{n:03}").as_str());
            for step in 0..4_000u64 {
                let reader = rng.random_bool(0.8).then(|| TxnId(rng.random_range(0..5)));
                let read = Read { at: Timestamp(step / 2 + rng.random_range(0..20)), reader };
                let start = rng.random_range(0..200);
                let span = if rng.random_bool(0.5) {
                    Span::point(key(start))
                } else {
                    Span::new(key(start), key(start + rng.random_range(1..30)))
                };
                cache.raise(&span, read);
                list.push((span, read));
                let (target, writer) = (key(rng.random_range(0..230)), TxnId(rng.random_range(0..5)));
                let at = Timestamp(rng.random_range(0..step / 2 + 25));
                let reads = list.iter().filter(|(span, _)| span.contains(&target)).map(|(_, read)| *read);
                let highest = reads.fold(Read::default(), Read::merge);
                let expected = highest.forbids(at, writer).then_some(highest.at);
                let told = cache.obstacle(&target, at, writer);
                assert!(told >= expected, "step {step}: {told:?} < {expected:?}");
                assert!(!exact || told == expected, "step {step}: {told:?} != {expected:?}");
            }
        }
    }
}
