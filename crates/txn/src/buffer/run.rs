//! # A part of a write buffer that was written out
//!
//! A sorted run: keys in order, each with all its versions, in blocks of about [`BLOCK_BYTES`] that end at a key. What
//! stays in memory is the first key of each block and a Bloom filter, about two bytes per key.
//!
//! ```text
//! block:    entry* checksum 4
//! entry:    key length 4 │ key │ versions 2 │ version*
//! version:  sequence 8 │ flags 1 │ value length 4 │ value
//! ```

use std::cell::RefCell;

use bytes::{Buf, Bytes};
use keyspace::Key;

use super::{Version, Versions, Write};
use crate::scratch::{Scratch, ScratchFile};
use crate::{Sequence, TxnError, TxnResult};

const BLOCK_BYTES: usize = 32 << 10;

const HAS_VALUE: u8 = 1;
const CHANGES_KEY: u8 = 2;
const MUST_BE_ABSENT: u8 = 4;

pub(super) struct Run {
    file: Box<dyn ScratchFile>,
    blocks: Vec<Block>,
    last_key: Key,
    filter: Filter,
    /// The block that [`Run::get`] read last: keys are mostly asked for in order, and a block holds hundreds.
    last_read: RefCell<Option<(usize, Vec<Entry>)>>,
    pub first_sequence: Sequence,
    /// Bytes of keys and values in the file.
    pub bytes: usize,
    pub keys: usize,
}

struct Block {
    first_key: Key,
    offset: u64,
    len: usize,
}

/// A key with its versions, as read back.
pub(super) type Entry = (Key, Versions);

impl Run {
    /// Writes `entries`, which are in key order and not empty.
    pub fn write<'a>(
        scratch: &dyn Scratch,
        keys: usize,
        entries: impl Iterator<Item = (&'a Key, &'a Versions)>,
    ) -> TxnResult<Run> {
        let file = scratch.create().map_err(cannot_write)?;
        let mut run = Run {
            file,
            blocks: Vec::new(),
            last_key: Key::MIN,
            filter: Filter::for_keys(keys),
            last_read: RefCell::new(None),
            first_sequence: Sequence::MAX,
            bytes: 0,
            keys,
        };
        let mut block = Vec::with_capacity(BLOCK_BYTES + (BLOCK_BYTES >> 2));
        let mut first_key = None;
        for (key, versions) in entries {
            assert!(run.last_key < *key, "a run is written in key order");
            first_key.get_or_insert_with(|| detached(key));
            put_entry(&mut block, key, versions);
            run.filter.add(key);
            run.last_key = key.clone();
            run.first_sequence = run.first_sequence.min(versions[0].sequence);
            if block.len() >= BLOCK_BYTES {
                run.end_block(&mut block, first_key.take())?;
            }
        }
        run.end_block(&mut block, first_key.take())?;
        run.last_key = detached(&run.last_key);
        Ok(run)
    }

    fn end_block(&mut self, block: &mut Vec<u8>, first_key: Option<Key>) -> TxnResult<()> {
        let Some(first_key) = first_key else { return Ok(()) };
        self.bytes += block.len();
        let checksum = crc32fast::hash(block);
        block.extend_from_slice(&checksum.to_be_bytes());
        let offset = self.file.append(block).map_err(cannot_write)?;
        self.blocks.push(Block { first_key, offset, len: block.len() });
        block.clear();
        Ok(())
    }

    pub fn first_key(&self) -> &Key {
        &self.blocks[0].first_key
    }

    pub fn last_key(&self) -> &Key {
        &self.last_key
    }

    /// Memory that the index and the filter take.
    pub fn index_bytes(&self) -> usize {
        let block = |block: &Block| block.first_key.len() + size_of::<Block>();
        self.filter.bits.len() * 8 + self.blocks.iter().map(block).sum::<usize>()
    }

    pub fn get(&self, key: &[u8]) -> TxnResult<Option<Versions>> {
        if *key < **self.first_key() || *key > *self.last_key || !self.filter.may_hold(key) {
            return Ok(None);
        }
        let number = self.block_of(key);
        let mut last_read = self.last_read.borrow_mut();
        let entries = match &mut *last_read {
            Some((kept, entries)) if *kept == number => entries,
            other => &mut other.insert((number, self.read_block(number)?)).1,
        };
        let at = entries.binary_search_by(|(other, _)| (**other).cmp(key)).ok();
        Ok(at.map(|at| entries[at].1.clone()))
    }

    /// The block in which `key` is, if it is anywhere; the first for a key before all.
    fn block_of(&self, key: &[u8]) -> usize {
        self.blocks.partition_point(|block| *block.first_key <= *key).saturating_sub(1)
    }

    fn read_block(&self, number: usize) -> TxnResult<Vec<Entry>> {
        let block = &self.blocks[number];
        let bytes = self.file.read(block.offset, block.len).map_err(|error| corrupt(&error.to_string()))?;
        read_entries(bytes).ok_or_else(|| corrupt("a block does not have its checksum or its form"))
    }
}

/// Goes through a run from some key, in either direction.
pub(super) struct RunCursor<'a> {
    run: &'a Run,
    reverse: bool,
    /// The block to be read next; for `reverse` one more than its number.
    next_block: usize,
    /// What is left of the block that was read, the next entry last.
    entries: Vec<Entry>,
}

impl<'a> RunCursor<'a> {
    /// Begins at the first key at or above `start`.
    pub fn forward(run: &'a Run, start: &[u8]) -> TxnResult<RunCursor<'a>> {
        let mut cursor = RunCursor { run, reverse: false, next_block: run.block_of(start), entries: Vec::new() };
        while cursor.peek()?.is_some_and(|key| **key < *start) {
            let keep = cursor.entries.partition_point(|(key, _)| **key >= *start);
            cursor.entries.truncate(keep);
        }
        Ok(cursor)
    }

    /// Begins at the last key below `end`.
    pub fn backward(run: &'a Run, end: &[u8]) -> TxnResult<RunCursor<'a>> {
        let mut cursor = RunCursor { run, reverse: true, next_block: run.block_of(end) + 1, entries: Vec::new() };
        while cursor.peek()?.is_some_and(|key| **key >= *end) {
            let keep = cursor.entries.partition_point(|(key, _)| **key < *end);
            cursor.entries.truncate(keep);
        }
        Ok(cursor)
    }

    pub fn peek(&mut self) -> TxnResult<Option<&Key>> {
        while self.entries.is_empty() {
            let Some(number) = self.step() else { return Ok(None) };
            self.entries = self.run.read_block(number)?;
            if !self.reverse {
                self.entries.reverse();
            }
        }
        Ok(self.entries.last().map(|(key, _)| key))
    }

    fn step(&mut self) -> Option<usize> {
        if self.reverse {
            self.next_block = self.next_block.checked_sub(1)?;
            return Some(self.next_block);
        }
        let number = self.next_block;
        self.next_block += 1;
        (number < self.run.blocks.len()).then_some(number)
    }

    pub fn next(&mut self) -> Option<Entry> {
        self.entries.pop()
    }
}

// ---- the form of blocks ----

fn put_entry(out: &mut Vec<u8>, key: &Key, versions: &Versions) {
    out.extend_from_slice(&(key.len() as u32).to_be_bytes());
    out.extend_from_slice(key);
    let count =
        u16::try_from(versions.len()).expect("a key has few versions: those in between are dropped as they age");
    out.extend_from_slice(&count.to_be_bytes());
    for version in versions {
        let write = &version.write;
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let flags = flag(write.value.is_some(), HAS_VALUE)
            | flag(write.changes_key, CHANGES_KEY)
            | flag(write.must_be_absent, MUST_BE_ABSENT);
        let value = write.value.as_deref().unwrap_or_default();
        out.extend_from_slice(&version.sequence.0.to_be_bytes());
        out.push(flags);
        out.extend_from_slice(&(value.len() as u32).to_be_bytes());
        out.extend_from_slice(value);
    }
}

fn read_entries(mut block: Bytes) -> Option<Vec<Entry>> {
    let checksum = block.split_off(block.len().checked_sub(4)?);
    if crc32fast::hash(&block) != u32::from_be_bytes(checksum[..].try_into().ok()?) {
        return None;
    }
    let mut entries = Vec::with_capacity(block.len() / 128 + 1);
    while block.has_remaining() {
        let key_len = block.try_get_u32().ok()? as usize;
        let key = take(&mut block, key_len)?;
        let count = block.try_get_u16().ok()?;
        let mut versions = Versions::with_capacity(usize::from(count));
        for _ in 0..count {
            let sequence = Sequence(block.try_get_u64().ok()?);
            let flags = block.try_get_u8().ok()?;
            let value_len = block.try_get_u32().ok()? as usize;
            let value = take(&mut block, value_len)?;
            let write = Write {
                value: (flags & HAS_VALUE != 0).then_some(value),
                changes_key: flags & CHANGES_KEY != 0,
                must_be_absent: flags & MUST_BE_ABSENT != 0,
            };
            versions.push(Version { sequence, write });
        }
        entries.push((Key(key), versions));
    }
    Some(entries)
}

fn take(block: &mut Bytes, len: usize) -> Option<Bytes> {
    (block.len() >= len).then(|| block.split_to(len))
}

/// The key in memory of its own: not a slice that keeps something larger alive.
fn detached(key: &Key) -> Key {
    Key(Bytes::copy_from_slice(key))
}

fn cannot_write(error: std::io::Error) -> TxnError {
    TxnError::OutOfMemory { why: format!("the write buffer is full and cannot be written out: {error}") }
}

fn corrupt(why: &str) -> TxnError {
    TxnError::Corrupt { what: format!("a write buffer that was written out: {why}") }
}

// ---- the filter ----

/// A Bloom filter with ten bits and four probes per key: about one look-up in a hundred is in vain.
struct Filter {
    bits: Vec<u64>,
}

const BITS_PER_KEY: usize = 10;
const PROBES: u64 = 4;

impl Filter {
    fn for_keys(keys: usize) -> Filter {
        Filter { bits: vec![0; (keys * BITS_PER_KEY).div_ceil(64).max(1)] }
    }

    fn add(&mut self, key: &[u8]) {
        for (word, bit) in self.places(key) {
            self.bits[word] |= bit;
        }
    }

    fn may_hold(&self, key: &[u8]) -> bool {
        self.places(key).all(|(word, bit)| self.bits[word] & bit != 0)
    }

    fn places(&self, key: &[u8]) -> impl Iterator<Item = (usize, u64)> + use<> {
        use std::hash::BuildHasher;
        let hash = foldhash::fast::FixedState::default().hash_one(key);
        let (first, step) = (hash, hash.rotate_left(32) | 1);
        let count = self.bits.len() as u64 * 64;
        (0..PROBES).map(move |probe| {
            let place = first.wrapping_add(step.wrapping_mul(probe)) % count;
            ((place / 64) as usize, 1 << (place % 64))
        })
    }
}
