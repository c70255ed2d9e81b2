//! # The raft log of one range, over [`Family::Log`]
//!
//! ```text
//!   range ++ 01              hard state: bytes that only the consensus code can read
//!   range ++ 02              where the log begins: index and term of the last entry that was cut off
//!   range ++ 10 ++ index     entry: term, kind, data
//! ```
//!
//! Each value begins with a CRC-32 over its key and the rest, so that an entry that lands under another
//! key is found out too. Numbers are big-endian.
//!
//! ## Guarantees
//! * Methods that change the log put what is to be written into a [`Batch`] and change the memory at
//!   once. One batch may gather the changes of many ranges; nothing is durable before the caller has
//!   written it `Logged` and synced.
//! * What is read back is contiguous and its checksum holds, else [`Error::Corrupt`]. RocksDB loses only a
//!   suffix of what was not synced; a hole therefore means that acknowledged entries are gone, and the
//!   replica must not go on as if nothing had happened.
//! * The newest entries stay in memory until [`RaftLog::shrink_cache`] lets them go; only older ones are
//!   read from the engine. Entries whose batch is not written yet must not be let go.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Batch, Engine, Error, Family, Result};

/// One entry. What `kind` and `data` mean is the consensus code's affair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    pub index: u64,
    pub term: u64,
    pub kind: u8,
    pub data: Bytes,
}

/// Bytes of entries kept in memory when a log is opened.
const CACHE_BYTES_AT_OPEN: usize = 1 << 20;

const HARD_STATE: u8 = 0x01;
const BEGIN: u8 = 0x02;
const ENTRY: u8 = 0x10;
const ENTRY_VERSION: u8 = 1;
/// Checksum, version byte, term, kind.
const ENTRY_HEADER_LEN: usize = 4 + 1 + 8 + 1;

pub struct RaftLog {
    engine: Arc<dyn Engine>,
    range: u64,
    /// Index and term of the entry before the first.
    begin: (u64, u64),
    last: u64,
    /// The newest entries, contiguous, ending at `last`.
    cache: VecDeque<LogEntry>,
    cache_bytes: usize,
    hard_state: Option<Bytes>,
}

impl RaftLog {
    /// Loads the log of `range`; an unknown range has an empty one. Reads and checks every entry.
    pub fn open(engine: Arc<dyn Engine>, range: u64) -> Result<RaftLog> {
        let snapshot = engine.snapshot();
        let key = state_key(range, HARD_STATE);
        let hard_state = match snapshot.get(Family::Log, &key)? {
            Some(value) => Some(checked(&key, &value)?),
            None => None,
        };
        let key = state_key(range, BEGIN);
        let begin = match snapshot.get(Family::Log, &key)? {
            Some(value) => decode_begin(&key, &value)?,
            None => (0, 0),
        };
        let mut log = RaftLog {
            engine: engine.clone(),
            range,
            begin,
            last: begin.0,
            cache: VecDeque::new(),
            cache_bytes: 0,
            hard_state,
        };
        let (start, end) = (entry_key(range, 0), state_key(range, ENTRY + 1));
        let mut iter = snapshot.iter(Family::Log, &start, &end);
        iter.seek(&start)?;
        while iter.valid() {
            let entry = decode_entry(range, iter.key(), iter.value())?;
            if entry.index != log.last + 1 {
                return Err(log.gap(log.last + 1, entry.index));
            }
            log.last = entry.index;
            log.cache_bytes += entry.data.len();
            log.cache.push_back(entry);
            while log.cache_bytes > CACHE_BYTES_AT_OPEN && log.cache.len() > 1 {
                log.pop_cached();
            }
            iter.next()?;
        }
        log.check_invariants();
        Ok(log)
    }

    /// The first index that can be read; `last_index() + 1` if the log is empty.
    pub fn first_index(&self) -> u64 {
        self.begin.0 + 1
    }

    /// The last index; where nothing is, the index up to which the log was cut off.
    pub fn last_index(&self) -> u64 {
        self.last
    }

    /// The term of an entry, of the one cut off last included; `None` outside the log.
    pub fn term(&self, index: u64) -> Result<Option<u64>> {
        if index == self.begin.0 {
            return Ok(Some(self.begin.1));
        }
        if index < self.begin.0 || index > self.last {
            return Ok(None);
        }
        match self.cached(index) {
            Some(entry) => Ok(Some(entry.term)),
            None => Ok(Some(self.read(index)?.term)),
        }
    }

    pub fn hard_state(&self) -> Option<&Bytes> {
        self.hard_state.as_ref()
    }

    /// Entries of `range` in order until their data exceed `bytes_max`; at least one if there is one.
    /// The range must lie within the log.
    pub fn entries(&self, range: Range<u64>, bytes_max: u64) -> Result<Vec<LogEntry>> {
        assert!(self.first_index() <= range.start, "an entry that was cut off is not asked for");
        assert!(range.end <= self.last + 1, "an entry that does not exist is not asked for");
        let mut entries = Vec::new();
        let mut budget = Budget { left: bytes_max, first: true };
        let cache_start = self.last + 1 - self.cache.len() as u64;
        if range.start < cache_start {
            let on_disk = range.start..range.end.min(cache_start);
            if !self.read_range(on_disk, &mut budget, &mut entries)? {
                return Ok(entries);
            }
        }
        for index in range.start.max(cache_start)..range.end {
            let entry = &self.cache[(index - cache_start) as usize];
            if !budget.admits(entry) {
                break;
            }
            entries.push(entry.clone());
        }
        Ok(entries)
    }

    /// Adds entries, which are contiguous and begin at most one after the last. Entries from the first
    /// one's index on that are there already are replaced: the leader of a later term knows better.
    pub fn append(&mut self, entries: &[LogEntry], batch: &mut Batch) {
        let Some(first) = entries.first() else { return };
        assert!(first.index > self.begin.0, "what was cut off is committed and never replaced");
        assert!(first.index <= self.last + 1, "entries are appended without a gap");
        let old_last = self.last;
        self.truncate_cache_from(first.index);
        self.last = first.index - 1;
        for entry in entries {
            assert!(entry.index == self.last + 1, "entries are contiguous");
            batch.put(Family::Log, entry_key(self.range, entry.index), encode_entry(self.range, entry));
            self.cache_bytes += entry.data.len();
            self.cache.push_back(entry.clone());
            self.last = entry.index;
        }
        if self.last < old_last {
            batch.delete_range(Family::Log, entry_key(self.range, self.last + 1), entry_key(self.range, old_last + 1));
        }
        self.check_invariants();
    }

    pub fn set_hard_state(&mut self, bytes: Bytes, batch: &mut Batch) {
        let key = state_key(self.range, HARD_STATE);
        let value = with_checksum(&key, &bytes);
        batch.put(Family::Log, key, value);
        self.hard_state = Some(bytes);
    }

    /// Cuts off everything up to `through`, which is applied and flushed. Does nothing if it is gone already.
    pub fn truncate_prefix(&mut self, through: u64, batch: &mut Batch) -> Result<()> {
        if through <= self.begin.0 {
            return Ok(());
        }
        assert!(through <= self.last, "only what exists is cut off");
        let term = self.term(through)?.expect("an index within the log has a term");
        batch.delete_range(Family::Log, entry_key(self.range, self.first_index()), entry_key(self.range, through + 1));
        self.put_begin((through, term), batch);
        while self.cache.front().is_some_and(|entry| entry.index <= through) {
            self.pop_cached();
        }
        self.check_invariants();
        Ok(())
    }

    /// Empties the log and lets it begin after `index`: a snapshot at that index was taken in.
    pub fn reset(&mut self, index: u64, term: u64, batch: &mut Batch) {
        batch.delete_range(Family::Log, entry_key(self.range, 0), state_key(self.range, ENTRY + 1));
        self.put_begin((index, term), batch);
        self.last = index;
        self.cache.clear();
        self.cache_bytes = 0;
        self.check_invariants();
    }

    /// Removes all that is kept of the range: its replica leaves this node.
    pub fn destroy(self, batch: &mut Batch) {
        batch.delete_range(Family::Log, state_key(self.range, 0), state_key(self.range, 0xff));
    }

    /// Forgets cached entries up to `through`. Their batch must have been written.
    pub fn shrink_cache(&mut self, through: u64) {
        while self.cache.front().is_some_and(|entry| entry.index <= through) {
            self.pop_cached();
        }
    }

    /// Bytes of data of the entries in memory.
    pub fn cache_bytes(&self) -> usize {
        self.cache_bytes
    }

    fn put_begin(&mut self, begin: (u64, u64), batch: &mut Batch) {
        let key = state_key(self.range, BEGIN);
        let body = [begin.0.to_be_bytes(), begin.1.to_be_bytes()].concat();
        let value = with_checksum(&key, &body);
        batch.put(Family::Log, key, value);
        self.begin = begin;
    }

    fn cached(&self, index: u64) -> Option<&LogEntry> {
        let start = self.cache.front()?.index;
        self.cache.get(usize::try_from(index.checked_sub(start)?).ok()?)
    }

    fn pop_cached(&mut self) {
        if let Some(entry) = self.cache.pop_front() {
            self.cache_bytes -= entry.data.len();
        }
    }

    fn truncate_cache_from(&mut self, index: u64) {
        while self.cache.back().is_some_and(|entry| entry.index >= index) {
            let entry = self.cache.pop_back().expect("it was just looked at");
            self.cache_bytes -= entry.data.len();
        }
    }

    fn read(&self, index: u64) -> Result<LogEntry> {
        let key = entry_key(self.range, index);
        match self.engine.get(Family::Log, &key)? {
            Some(value) => decode_entry(self.range, &key, &value),
            None => Err(Error::Corrupt(format!("entry {index} of range {} is missing from its log", self.range))),
        }
    }

    /// `false` when the budget ended before the range did.
    fn read_range(&self, range: Range<u64>, budget: &mut Budget, entries: &mut Vec<LogEntry>) -> Result<bool> {
        let (start, end) = (entry_key(self.range, range.start), entry_key(self.range, range.end));
        let snapshot = self.engine.snapshot();
        let mut iter = snapshot.iter(Family::Log, &start, &end);
        iter.seek(&start)?;
        for index in range {
            if !iter.valid() {
                return Err(self.gap(index, self.last));
            }
            let entry = decode_entry(self.range, iter.key(), iter.value())?;
            if entry.index != index {
                return Err(self.gap(index, entry.index));
            }
            if !budget.admits(&entry) {
                return Ok(false);
            }
            entries.push(entry);
            iter.next()?;
        }
        Ok(true)
    }

    fn gap(&self, expected: u64, found: u64) -> Error {
        Error::Corrupt(format!(
            "the log of range {} has a hole: entry {expected} is missing, {found} is there",
            self.range
        ))
    }

    fn check_invariants(&self) {
        assert!(self.begin.0 <= self.last, "a log does not end before it begins");
        if let (Some(front), Some(back)) = (self.cache.front(), self.cache.back()) {
            assert!(front.index > self.begin.0, "nothing that was cut off is cached");
            assert!(back.index == self.last, "the cache ends where the log ends");
        }
    }
}

/// What one key of [`Family::Log`] holds, for those who look at a disk from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    HardState,
    /// The log begins after this index.
    Begin(u64),
    Entry(LogEntry),
}

/// The range and what is kept of it under this key, checked.
pub fn read_record(key: &[u8], value: &Bytes) -> Result<(u64, Record)> {
    let (range, kind) = key
        .split_first_chunk::<8>()
        .and_then(|(range, rest)| Some((u64::from_be_bytes(*range), *rest.first()?)))
        .ok_or_else(|| Error::Corrupt(format!("a raft log has the key {}", key.escape_ascii())))?;
    let record = match kind {
        ENTRY => Record::Entry(decode_entry(range, key, value)?),
        BEGIN => Record::Begin(decode_begin(key, value)?.0),
        _ => checked(key, value).map(|_| Record::HardState)?,
    };
    Ok((range, record))
}

/// The keys of a range's entries from `index` on.
pub fn entry_span(range: u64, index: u64) -> Range<Bytes> {
    entry_key(range, index).into()..state_key(range, ENTRY + 1).into()
}

/// How many bytes of entries a reader still wants.
struct Budget {
    left: u64,
    first: bool,
}

impl Budget {
    fn admits(&mut self, entry: &LogEntry) -> bool {
        let bytes = entry.data.len() as u64;
        let admitted = self.first || bytes <= self.left;
        self.first = false;
        self.left = self.left.saturating_sub(bytes);
        admitted
    }
}

fn state_key(range: u64, kind: u8) -> Vec<u8> {
    let mut key = Vec::with_capacity(9);
    key.extend_from_slice(&range.to_be_bytes());
    key.push(kind);
    key
}

fn entry_key(range: u64, index: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(17);
    key.extend_from_slice(&range.to_be_bytes());
    key.push(ENTRY);
    key.extend_from_slice(&index.to_be_bytes());
    key
}

fn checksum(key: &[u8], body: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(body);
    hasher.finalize().to_be_bytes()
}

fn with_checksum(key: &[u8], body: &[u8]) -> Vec<u8> {
    [&checksum(key, body), body].concat()
}

fn checked(key: &[u8], value: &Bytes) -> Result<Bytes> {
    match value.split_first_chunk::<4>() {
        Some((sum, body)) if *sum == checksum(key, body) => Ok(value.slice(4..)),
        _ => Err(Error::Corrupt(format!("a bad checksum under {} in the raft log", key.escape_ascii()))),
    }
}

fn decode_begin(key: &[u8], value: &Bytes) -> Result<(u64, u64)> {
    let body = checked(key, value)?;
    let (index, term) = body
        .split_first_chunk::<8>()
        .and_then(|(index, rest)| Some((index, <&[u8; 8]>::try_from(rest).ok()?)))
        .ok_or_else(|| Error::Corrupt("the begin of a raft log has a wrong length".to_owned()))?;
    Ok((u64::from_be_bytes(*index), u64::from_be_bytes(*term)))
}

fn encode_entry(range: u64, entry: &LogEntry) -> Vec<u8> {
    let mut value = Vec::with_capacity(ENTRY_HEADER_LEN + entry.data.len());
    value.extend_from_slice(&[0; 4]);
    value.push(ENTRY_VERSION);
    value.extend_from_slice(&entry.term.to_be_bytes());
    value.push(entry.kind);
    value.extend_from_slice(&entry.data);
    let sum = checksum(&entry_key(range, entry.index), &value[4..]);
    value[..4].copy_from_slice(&sum);
    value
}

fn decode_entry(range: u64, key: &[u8], value: &[u8]) -> Result<LogEntry> {
    let corrupt = |what: &str| Error::Corrupt(format!("{what} in an entry of the log of range {range}"));
    let index = key.last_chunk::<8>().map(|index| u64::from_be_bytes(*index)).ok_or_else(|| corrupt("a short key"))?;
    let (sum, body) = value.split_first_chunk::<4>().ok_or_else(|| corrupt("a short value"))?;
    if *sum != checksum(key, body) {
        return Err(corrupt(&format!("a bad checksum at {index}")));
    }
    let (header, data) = body.split_first_chunk::<10>().ok_or_else(|| corrupt("a short value"))?;
    let [version, term @ .., kind] = *header;
    if version != ENTRY_VERSION {
        return Err(corrupt(&format!("an unknown version {version}")));
    }
    Ok(LogEntry { index, term: u64::from_be_bytes(term), kind, data: Bytes::copy_from_slice(data) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Durability, MemoryDisk, MemoryEngine};

    fn entry(index: u64, term: u64, data: &str) -> LogEntry {
        LogEntry { index, term, kind: 0, data: Bytes::copy_from_slice(data.as_bytes()) }
    }

    fn data_of(entries: &[LogEntry]) -> Vec<&str> {
        entries.iter().map(|entry| std::str::from_utf8(&entry.data).unwrap()).collect()
    }

    fn open(disk: &MemoryDisk) -> (Arc<MemoryEngine>, Result<RaftLog>) {
        let engine = Arc::new(MemoryEngine::open(disk));
        let log = RaftLog::open(engine.clone(), 7);
        (engine, log)
    }

    /// Entries 1a 2b 3c at term 1.
    fn filled(disk: &MemoryDisk) -> (Arc<MemoryEngine>, RaftLog) {
        let (engine, log) = open(disk);
        let mut log = log.unwrap();
        let mut batch = Batch::new();
        log.append(&[entry(1, 1, "a"), entry(2, 1, "b"), entry(3, 1, "c")], &mut batch);
        log.set_hard_state(Bytes::from_static(b"vote"), &mut batch);
        engine.write(&batch, Durability::Logged).unwrap();
        engine.sync().unwrap();
        (engine, log)
    }

    #[test]
    fn a_synced_log_survives_a_crash() {
        let disk = MemoryDisk::new();
        let (engine, mut log) = filled(&disk);
        let mut unsynced = Batch::new();
        log.append(&[entry(4, 1, "d")], &mut unsynced);
        engine.write(&unsynced, Durability::Logged).unwrap();
        disk.crash(&mut |_| 0); // the unluckiest choice
        let log = open(&disk).1.unwrap();
        assert_eq!((log.first_index(), log.last_index()), (1, 3));
        assert_eq!(data_of(&log.entries(1..4, u64::MAX).unwrap()), ["a", "b", "c"]);
        assert_eq!(log.hard_state().unwrap(), "vote");
    }

    #[test]
    fn a_later_term_replaces_the_tail_also_on_disk() {
        let disk = MemoryDisk::new();
        let (engine, mut log) = filled(&disk);
        let mut batch = Batch::new();
        log.append(&[entry(2, 2, "B")], &mut batch);
        engine.write(&batch, Durability::Logged).unwrap();
        let reopened = open(&disk).1.unwrap();
        for log in [&log, &reopened] {
            assert_eq!(log.last_index(), 2);
            assert_eq!(log.term(2).unwrap(), Some(2));
            assert_eq!(log.term(3).unwrap(), None);
            assert_eq!(data_of(&log.entries(1..3, u64::MAX).unwrap()), ["a", "B"]);
        }
    }

    #[test]
    fn a_cut_log_remembers_the_term_before_its_first_entry() {
        let disk = MemoryDisk::new();
        let (engine, mut log) = filled(&disk);
        let mut batch = Batch::new();
        log.truncate_prefix(2, &mut batch).unwrap();
        engine.write(&batch, Durability::Logged).unwrap();
        let reopened = open(&disk).1.unwrap();
        for log in [&log, &reopened] {
            assert_eq!((log.first_index(), log.last_index()), (3, 3));
            assert_eq!((log.term(1).unwrap(), log.term(2).unwrap()), (None, Some(1)));
        }
        let mut batch = Batch::new();
        let mut log = reopened;
        log.reset(10, 4, &mut batch);
        assert_eq!((log.first_index(), log.last_index(), log.term(10).unwrap()), (11, 10, Some(4)));
    }

    #[test]
    fn entries_come_from_cache_and_disk_within_the_budget() {
        let disk = MemoryDisk::new();
        let (_engine, mut log) = filled(&disk);
        for cached_from in [0, 1, 2, 3] {
            log.shrink_cache(cached_from);
            assert_eq!(data_of(&log.entries(1..4, u64::MAX).unwrap()), ["a", "b", "c"]);
            assert_eq!(data_of(&log.entries(2..4, 0).unwrap()), ["b"]);
            assert_eq!(data_of(&log.entries(1..4, 2).unwrap()), ["a", "b"]);
            assert_eq!(log.term(1).unwrap(), Some(1));
        }
        assert_eq!(log.cache_bytes(), 0);
    }

    #[test]
    fn holes_and_flipped_bits_are_corruption() {
        let disk = MemoryDisk::new();
        let (engine, _log) = filled(&disk);
        engine.flush().unwrap();
        for bit in 0..(ENTRY_HEADER_LEN + 1) * 8 {
            assert!(disk.damage(Family::Log, &entry_key(7, 2), bit));
            assert!(matches!(open(&disk).1, Err(Error::Corrupt(_))), "bit {bit}");
            assert!(disk.damage(Family::Log, &entry_key(7, 2), bit));
        }
        let (engine, log) = open(&disk);
        assert!(log.is_ok());
        let mut batch = Batch::new();
        batch.delete(Family::Log, entry_key(7, 2));
        engine.write(&batch, Durability::Logged).unwrap();
        assert!(matches!(open(&disk).1, Err(Error::Corrupt(what)) if what.contains("hole")));
    }

    #[test]
    fn ranges_do_not_meet() {
        let disk = MemoryDisk::new();
        let (engine, log) = filled(&disk);
        let mut other = RaftLog::open(engine.clone(), 8).unwrap();
        assert_eq!(other.last_index(), 0);
        let mut batch = Batch::new();
        other.append(&[entry(1, 9, "x")], &mut batch);
        log.destroy(&mut batch);
        engine.write(&batch, Durability::Logged).unwrap();
        assert_eq!(open(&disk).1.unwrap().last_index(), 0);
        assert_eq!(RaftLog::open(Arc::new(MemoryEngine::open(&disk)), 8).unwrap().last_index(), 1);
    }
}
