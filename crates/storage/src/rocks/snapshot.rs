//! Reads at a point in time.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rocksdb::{DB, DBRawIteratorWithThreadMode, ReadOptions, SnapshotWithThreadMode};

use super::cursors::VersionCursor;
use super::engine::Inner;
use crate::{Family, Iter, Result, SUFFIX_LEN, Snapshot};

type Cursor<'a> = DBRawIteratorWithThreadMode<'a, DB>;

// The `'static` is a lie that the struct keeps from everyone else: cursor and snapshot borrow from the
// database that `inner` keeps alive. Fields are dropped in the order in which they
// stand: cursor, snapshot, database.
pub(super) struct RocksSnapshot {
    /// The cursor of all look-ups in [`Family::Data`], made with the first.
    versions: Mutex<Option<VersionCursor>>,
    /// For point reads.
    options: ReadOptions,
    snapshot: SnapshotWithThreadMode<'static, DB>,
    inner: Arc<Inner>,
}

impl RocksSnapshot {
    pub(super) fn new(inner: Arc<Inner>) -> RocksSnapshot {
        let snapshot = inner.db.snapshot();
        // SAFETY: the snapshot holds a reference to `inner.db`, which lies in the allocation of the Arc and
        // does not move or go as long as the Arc in the same struct does; the snapshot is dropped before it.
        let snapshot = unsafe {
            std::mem::transmute::<SnapshotWithThreadMode<'_, DB>, SnapshotWithThreadMode<'static, DB>>(snapshot)
        };
        let options = read_options(&snapshot);
        RocksSnapshot { versions: Mutex::new(None), options, snapshot, inner }
    }

    fn version_cursor(&self) -> VersionCursor {
        // SAFETY: the cursor is dropped first of all fields, while `inner` lives.
        unsafe { VersionCursor::new(&self.inner, read_options(&self.snapshot)) }
    }
}

fn read_options(snapshot: &SnapshotWithThreadMode<'_, DB>) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_snapshot(snapshot);
    options
}

impl Snapshot for RocksSnapshot {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>> {
        self.inner.get(family, key, &self.options)
    }

    fn seek_suffix(&self, prefix: &[u8], suffix: [u8; SUFFIX_LEN]) -> Result<Option<([u8; SUFFIX_LEN], Bytes)>> {
        self.inner.poison.check()?;
        let mut versions = self.versions.lock();
        let cursor = versions.get_or_insert_with(|| self.version_cursor());
        cursor.seek(prefix, suffix).map_err(|error| self.inner.poison.read_failed(&error))
    }

    fn iter(&self, family: Family, start: &[u8], end: &[u8]) -> Box<dyn Iter + '_> {
        let mut options = read_options(&self.snapshot);
        options.set_total_order_seek(true);
        options.set_iterate_lower_bound(start);
        options.set_iterate_upper_bound(end);
        let is_empty = start >= end;
        let cursor = self.inner.db.raw_iterator_cf_opt(self.inner.family(family), options);
        Box::new(RocksIter { snapshot: self, cursor, is_empty })
    }
}

struct RocksIter<'s> {
    snapshot: &'s RocksSnapshot,
    cursor: Cursor<'s>,
    /// Bounds the wrong way round: nothing lies between them, and RocksDB is not asked.
    is_empty: bool,
}

impl RocksIter<'_> {
    fn position(&mut self, step: impl FnOnce(&mut Cursor<'_>)) -> Result<()> {
        let inner = &self.snapshot.inner;
        inner.poison.check()?;
        if self.is_empty {
            return Ok(());
        }
        step(&mut self.cursor);
        if self.cursor.valid() {
            return Ok(());
        }
        self.cursor.status().map_err(|error| inner.poison.read_failed(&error))
    }
}

impl Iter for RocksIter<'_> {
    fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.position(|cursor| cursor.seek(key))
    }

    fn seek_for_prev(&mut self, key: &[u8]) -> Result<()> {
        self.position(|cursor| cursor.seek_for_prev(key))
    }

    fn next(&mut self) -> Result<()> {
        self.position(|cursor| cursor.next())
    }

    fn prev(&mut self) -> Result<()> {
        self.position(|cursor| cursor.prev())
    }

    fn valid(&self) -> bool {
        self.cursor.valid()
    }

    fn key(&self) -> &[u8] {
        self.cursor.key().expect("a cursor is asked only while it is valid")
    }

    fn value(&self) -> &[u8] {
        self.cursor.value().expect("a cursor is asked only while it is valid")
    }
}
