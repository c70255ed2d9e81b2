//! Cursors for look-ups of versions, and some of them kept ready.
//!
//! To make a cursor costs as much as to seek with it: RocksDB builds an iterator over every memtable, file and level.
//! A cursor that is refreshed instead sees the newest state and builds nothing, unless a flush or compaction has changed what
//! there is. A cursor at rest holds on to the memtables and files of its time, so they are given back
//! [once a second](Cursors::clear).

use bytes::Bytes;
use parking_lot::Mutex;
use rocksdb::{DB, DBRawIteratorWithThreadMode, ReadOptions};

use super::engine::Inner;
use crate::{Family, Result, SUFFIX_LEN};

/// As many as threads that look something up at the same moment, about.
const KEPT_MAX: usize = 16;

/// A prefix cursor on [`Family::Data`].
pub(super) struct VersionCursor {
    cursor: DBRawIteratorWithThreadMode<'static, DB>,
    /// Room to put a prefix and a suffix together.
    target: Vec<u8>,
}

impl VersionCursor {
    /// # Safety
    /// The cursor borrows from the database in `inner`: it must be dropped before that is.
    pub unsafe fn new(inner: &Inner, mut options: ReadOptions) -> VersionCursor {
        options.set_prefix_same_as_start(true);
        let cursor = inner.db.raw_iterator_cf_opt(inner.family(Family::Data), options);
        // SAFETY: the caller drops it in time; the database lies in an allocation that does not move.
        let cursor = unsafe {
            std::mem::transmute::<DBRawIteratorWithThreadMode<'_, DB>, DBRawIteratorWithThreadMode<'static, DB>>(cursor)
        };
        VersionCursor { cursor, target: Vec::with_capacity(64) }
    }

    /// See [`crate::Snapshot::seek_suffix`].
    pub fn seek(
        &mut self,
        prefix: &[u8],
        suffix: [u8; SUFFIX_LEN],
    ) -> std::result::Result<Option<([u8; SUFFIX_LEN], Bytes)>, rocksdb::Error> {
        self.target.clear();
        self.target.extend_from_slice(prefix);
        self.target.extend_from_slice(&suffix);
        self.cursor.seek(&self.target[..]);
        let Some((key, value)) = self.cursor.item() else {
            self.cursor.status()?;
            return Ok(None);
        };
        // Beyond the last entry of the prefix a prefix cursor may stand anywhere.
        match key.split_last_chunk::<SUFFIX_LEN>() {
            Some((found, suffix)) if found == prefix => Ok(Some((*suffix, Bytes::copy_from_slice(value)))),
            _ => Ok(None),
        }
    }
}

/// Cursors at rest. The engine drops them before its database.
#[derive(Default)]
pub(super) struct Cursors {
    kept: Mutex<Vec<VersionCursor>>,
}

impl Cursors {
    /// A cursor on the state now. It goes [back](Cursors::put_back), unless a read with it failed.
    pub fn take(&self, inner: &Inner) -> Result<VersionCursor> {
        let kept = self.kept.lock().pop();
        match kept {
            Some(mut cursor) => {
                cursor.cursor.refresh().map_err(|error| inner.poison.read_failed(&error))?;
                Ok(cursor)
            }
            // SAFETY: the caller puts it back here or drops it, both while it borrows `inner`; and `inner` drops what is
            // here before its database.
            None => Ok(unsafe { VersionCursor::new(inner, ReadOptions::default()) }),
        }
    }

    pub fn put_back(&self, cursor: VersionCursor) {
        let mut kept = self.kept.lock();
        if kept.len() < KEPT_MAX {
            kept.push(cursor);
        }
    }

    pub fn clear(&self) {
        let kept = std::mem::take(&mut *self.kept.lock());
        drop(kept); // outside the lock: the last holder of a memtable frees it
    }
}
