//! An open handle on a [`MemoryDisk`].

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::disk::MemoryDisk;
use super::versioned::Versioned;
use crate::{Batch, Durability, Engine, Error, Family, Iter, Result, SUFFIX_LEN, Snapshot};

/// Opening a disk again makes older handles useless: one engine at a time.
pub struct MemoryEngine {
    inner: Arc<Inner>,
}

struct Inner {
    disk: MemoryDisk,
    generation: u64,
    live: RwLock<Versioned>,
    /// The fatal error that was met; every later call answers with it.
    poison: Mutex<Option<Error>>,
}

impl MemoryEngine {
    pub fn open(disk: &MemoryDisk) -> MemoryEngine {
        let (generation, entries) = disk.open();
        let inner = Inner {
            disk: disk.clone(),
            generation,
            live: RwLock::new(Versioned::new(entries)),
            poison: Mutex::new(None),
        };
        MemoryEngine { inner: Arc::new(inner) }
    }
}

impl Engine for MemoryEngine {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>> {
        self.inner.check_read()?;
        let live = self.inner.live.read();
        Ok(live.get(family, key, live.sequence()).cloned())
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        let sequence = self.inner.live.write().open_snapshot();
        Box::new(MemorySnapshot { inner: self.inner.clone(), sequence })
    }

    fn write(&self, batch: &Batch, durability: Durability) -> Result<()> {
        self.inner.check()?;
        // Disk and live state must see batches in one order: the lock of the live state is held over both.
        let mut live = self.inner.live.write();
        self.inner.disk.write(self.inner.generation, batch, durability).map_err(|error| self.inner.fail(error))?;
        live.apply(batch);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.inner.check()?;
        self.inner.disk.sync(self.inner.generation).map_err(|error| self.inner.fail(error))
    }

    fn flush(&self) -> Result<()> {
        self.inner.check()?;
        self.inner.disk.flush(self.inner.generation).map_err(|error| self.inner.fail(error))
    }

    fn seek_suffix(&self, prefix: &[u8], suffix: [u8; SUFFIX_LEN]) -> Result<Option<([u8; SUFFIX_LEN], Bytes)>> {
        self.inner.check_read()?;
        let live = self.inner.live.read();
        Ok(seek_suffix(&live, prefix, suffix, live.sequence()))
    }

    fn health(&self) -> Result<()> {
        self.inner.check()
    }

    fn approximate_bytes(&self, family: Family, start: &[u8], end: &[u8]) -> Result<u64> {
        let snapshot = self.snapshot();
        let mut iter = snapshot.iter(family, start, end);
        let mut bytes = 0;
        iter.seek(start)?;
        while iter.valid() {
            bytes += (iter.key().len() + iter.value().len()) as u64;
            iter.next()?;
        }
        Ok(bytes)
    }
}

impl Inner {
    fn check(&self) -> Result<()> {
        match &*self.poison.lock() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    fn check_read(&self) -> Result<()> {
        self.check()?;
        self.disk.read(self.generation)
    }

    fn fail(&self, error: Error) -> Error {
        if error.is_fatal() {
            self.poison.lock().get_or_insert_with(|| error.clone());
        }
        error
    }
}

struct MemorySnapshot {
    inner: Arc<Inner>,
    sequence: u64,
}

impl Drop for MemorySnapshot {
    fn drop(&mut self) {
        self.inner.live.write().close_snapshot(self.sequence);
    }
}

impl Snapshot for MemorySnapshot {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>> {
        self.inner.check_read()?;
        Ok(self.inner.live.read().get(family, key, self.sequence).cloned())
    }

    fn seek_suffix(&self, prefix: &[u8], suffix: [u8; SUFFIX_LEN]) -> Result<Option<([u8; SUFFIX_LEN], Bytes)>> {
        self.inner.check_read()?;
        Ok(seek_suffix(&self.inner.live.read(), prefix, suffix, self.sequence))
    }

    fn iter(&self, family: Family, start: &[u8], end: &[u8]) -> Box<dyn Iter + '_> {
        Box::new(MemoryIter {
            snapshot: self,
            family,
            start: start.into(),
            end: end.into(),
            entry: None,
            ahead: VecDeque::new(),
            page: 1,
        })
    }
}

fn seek_suffix(
    live: &Versioned,
    prefix: &[u8],
    suffix: [u8; SUFFIX_LEN],
    sequence: u64,
) -> Option<([u8; SUFFIX_LEN], Bytes)> {
    let from = [prefix, &suffix].concat();
    let (key, value) = live.first_with_prefix(Family::Data, prefix, &from, sequence)?;
    Some((*key.last_chunk().filter(|_| key.len() == prefix.len() + SUFFIX_LEN)?, value.clone()))
}

/// Entries read in one go at most.
const PAGE_MAX: usize = 64;

/// Reads ahead, further the further it gets: what its snapshot shows does not change.
struct MemoryIter<'s> {
    snapshot: &'s MemorySnapshot,
    family: Family,
    start: Box<[u8]>,
    end: Box<[u8]>,
    entry: Option<(Bytes, Bytes)>,
    /// What follows `entry`, as far as it was read.
    ahead: VecDeque<(Bytes, Bytes)>,
    page: usize,
}

impl MemoryIter<'_> {
    fn read_page(&mut self, from: Bound<&[u8]>) -> Result<()> {
        self.snapshot.inner.check_read()?;
        let live = self.snapshot.inner.live.read();
        let entries = live.from(self.family, from, Bound::Excluded(&self.end), self.snapshot.sequence);
        self.ahead.clear();
        self.ahead.extend(entries.take(self.page).map(|(key, value)| (key.clone(), value.clone())));
        self.page = (2 * self.page).min(PAGE_MAX);
        self.entry = self.ahead.pop_front();
        Ok(())
    }

    fn move_to_last(&mut self, to: Bound<&[u8]>) -> Result<()> {
        self.snapshot.inner.check_read()?;
        self.ahead.clear();
        let live = self.snapshot.inner.live.read();
        let found = live.last(self.family, &self.start, to, self.snapshot.sequence);
        self.entry = found.map(|(key, value)| (key.clone(), value.clone()));
        Ok(())
    }

    fn entry(&self) -> &(Bytes, Bytes) {
        self.entry.as_ref().expect("a cursor is asked only while it is valid")
    }
}

impl Iter for MemoryIter<'_> {
    fn seek(&mut self, key: &[u8]) -> Result<()> {
        let from = key.max(&self.start).to_vec();
        self.page = 1;
        self.read_page(Bound::Included(&from))
    }

    fn seek_for_prev(&mut self, key: &[u8]) -> Result<()> {
        if *key >= *self.end {
            let end = self.end.clone();
            return self.move_to_last(Bound::Excluded(&end));
        }
        self.move_to_last(Bound::Included(key))
    }

    fn next(&mut self) -> Result<()> {
        if let Some(next) = self.ahead.pop_front() {
            self.snapshot.inner.check_read()?;
            self.entry = Some(next);
            return Ok(());
        }
        let key = self.entry().0.clone();
        self.read_page(Bound::Excluded(&key))
    }

    fn prev(&mut self) -> Result<()> {
        let key = self.entry().0.clone();
        self.move_to_last(Bound::Excluded(&key))
    }

    fn valid(&self) -> bool {
        self.entry.is_some()
    }

    fn key(&self) -> &[u8] {
        &self.entry().0
    }

    fn value(&self) -> &[u8] {
        &self.entry().1
    }
}
