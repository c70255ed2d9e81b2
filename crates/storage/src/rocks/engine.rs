//! The open database.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rocksdb::{ColumnFamily, DB, FlushOptions, Range, ReadOptions, WriteBatch, WriteOptions};

use super::cursors::Cursors;
use super::directory::StoreDirectory;
use super::options::{database_options, family_descriptors, family_name};
use super::poison::{Poison, disk_error};
use super::snapshot::RocksSnapshot;
use crate::{
    Batch, DiskUsage, Durability, Engine, Error, Family, Operation, Result, RocksOptions, SUFFIX_LEN, Snapshot,
};

/// A handle; clones share the database, which closes with the last of them and their snapshots.
#[derive(Clone)]
pub struct RocksEngine {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    /// First, so that it is dropped first: its cursors borrow from the database.
    cursors: Cursors,
    pub(super) db: DB,
    pub(super) poison: Poison,
    logged: WriteOptions,
    unlogged: WriteOptions,
    // Last, so that it is dropped last: the directory is ours until the database is closed.
    directory: Mutex<StoreDirectory>,
}

impl RocksEngine {
    /// Opens the store in a directory, or makes one in it, and recovers it to the last batch that survived.
    pub fn open(directory: StoreDirectory, options: &RocksOptions) -> Result<RocksEngine> {
        let path = directory.data();
        let db = DB::open_cf_descriptors(&database_options(options), &path, family_descriptors(options))
            .map_err(|error| open_failed(&path, &error))?;
        let mut unlogged = WriteOptions::default();
        unlogged.disable_wal(true);
        let inner = Inner {
            cursors: Cursors::default(),
            db,
            poison: Poison::default(),
            logged: WriteOptions::default(),
            unlogged,
            directory: Mutex::new(directory),
        };
        Ok(RocksEngine { inner: Arc::new(inner) })
    }

    /// The directory, to ask for and write its identity.
    pub fn with_directory<T>(&self, work: impl FnOnce(&mut StoreDirectory) -> T) -> T {
        work(&mut self.inner.directory.lock())
    }
}

fn open_failed(path: &Path, error: &rocksdb::Error) -> Error {
    let message = format!("{}: {error}", path.display());
    match error.kind() {
        rocksdb::ErrorKind::Corruption => Error::Corrupt(message),
        _ => disk_error(&message),
    }
}

impl Engine for RocksEngine {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>> {
        self.inner.get(family, key, &ReadOptions::default())
    }

    fn seek_suffix(&self, prefix: &[u8], suffix: [u8; SUFFIX_LEN]) -> Result<Option<([u8; SUFFIX_LEN], Bytes)>> {
        self.inner.poison.check()?;
        let mut cursor = self.inner.cursors.take(&self.inner)?;
        let found = cursor.seek(prefix, suffix).map_err(|error| self.inner.poison.read_failed(&error))?;
        self.inner.cursors.put_back(cursor);
        Ok(found)
    }

    fn let_go(&self) {
        self.inner.cursors.clear();
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        Box::new(RocksSnapshot::new(self.inner.clone()))
    }

    fn write(&self, batch: &Batch, durability: Durability) -> Result<()> {
        self.inner.poison.check()?;
        let options = match durability {
            Durability::Logged => &self.inner.logged,
            Durability::Unlogged => &self.inner.unlogged,
        };
        let written = self.inner.db.write_opt(self.inner.translate(batch), options);
        written.map_err(|error| self.inner.poison.write_failed(&error))
    }

    fn sync(&self) -> Result<()> {
        self.inner.poison.check()?;
        self.inner.db.flush_wal(true).map_err(|error| self.inner.poison.write_failed(&error))?;
        self.inner.check_background()
    }

    fn flush(&self) -> Result<()> {
        self.inner.poison.check()?;
        let families = Family::ALL.map(|family| self.inner.family(family));
        let mut options = FlushOptions::default();
        options.set_wait(true);
        self.inner.db.flush_cfs_opt(&families, &options).map_err(|error| self.inner.poison.write_failed(&error))?;
        for family in families {
            self.inner.wait_for_flushes(family)?;
        }
        self.sync() // a family without unflushed entries is not flushed; its last batch may be in the log alone
    }

    fn health(&self) -> Result<()> {
        self.inner.poison.check()?;
        self.inner.check_background()
    }

    fn disk_usage(&self) -> Option<DiskUsage> {
        self.inner.directory.lock().disk_usage()
    }

    fn approximate_bytes(&self, family: Family, start: &[u8], end: &[u8]) -> Result<u64> {
        self.inner.poison.check()?;
        if start >= end {
            return Ok(0);
        }
        let sizes = self.inner.db.get_approximate_sizes_cf(self.inner.family(family), &[Range::new(start, end)]);
        Ok(sizes[0])
    }
}

/// A flush that is waited for is looked after this often.
const FLUSH_POLL: Duration = Duration::from_micros(300);

impl Inner {
    pub(super) fn family(&self, family: Family) -> &ColumnFamily {
        self.db.cf_handle(family_name(family)).expect("all families exist since the database was opened")
    }

    pub(super) fn get(&self, family: Family, key: &[u8], options: &ReadOptions) -> Result<Option<Bytes>> {
        self.poison.check()?;
        match self.db.get_pinned_cf_opt(self.family(family), key, options) {
            Ok(found) => Ok(found.map(|pinned| Bytes::copy_from_slice(&pinned))),
            Err(error) => Err(self.poison.read_failed(&error)),
        }
    }

    fn translate(&self, batch: &Batch) -> WriteBatch {
        const BYTES_PER_OPERATION: usize = 12;
        let bytes = batch.bytes() + batch.operations().len() * BYTES_PER_OPERATION + 12;
        let mut translated = WriteBatch::with_capacity_bytes(bytes);
        for operation in batch.operations() {
            match operation {
                Operation::Put { family, key, value } => translated.put_cf(self.family(*family), key, value),
                Operation::Delete { family, key } => translated.delete_cf(self.family(*family), key),
                Operation::DeleteRange { family, start, end } => {
                    // RocksDB takes an empty range for a mistake.
                    if start < end {
                        translated.delete_range_cf(self.family(*family), start, end);
                    }
                }
            }
        }
        translated
    }

    /// Waits until everything that was in memtables of the family when this was called is in files.
    ///
    /// RocksDB's own waiting cannot be relied upon for several families: it compares each of them with the number of the
    /// last memtable of any of them (`DBImpl::AtomicFlushMemTables` pairs a list with an unordered map, as of 11.8), and
    /// comes back while a flush is under way. The log would be cut off at what a crash can still lose.
    fn wait_for_flushes(&self, family: &ColumnFamily) -> Result<()> {
        loop {
            let waiting = self.db.property_int_value_cf(family, rocksdb::properties::NUM_IMMUTABLE_MEM_TABLE);
            match waiting {
                Ok(None | Some(0)) => return Ok(()),
                Ok(Some(_)) => self.check_background()?,
                Err(error) => return Err(self.poison.write_failed(&error)),
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "RocksDB's threads are being waited for, which live in no other time"
            )]
            std::thread::sleep(FLUSH_POLL);
        }
    }

    /// A flush or compaction that failed behind our back is as fatal as one that we waited for.
    fn check_background(&self) -> Result<()> {
        match self.db.property_int_value(rocksdb::properties::BACKGROUND_ERRORS) {
            Ok(None | Some(0)) => Ok(()),
            Ok(Some(errors)) => {
                Err(self.poison.end(Error::Disk(format!(
                    "{errors} background jobs of RocksDB failed, as when no space is left; its line in the log above says why"
                ))))
            }
            Err(error) => Err(self.poison.write_failed(&error)),
        }
    }
}
