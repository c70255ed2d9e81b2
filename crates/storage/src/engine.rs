//! The contract of the storage engine; `lib.rs` states its guarantees.

use bytes::Bytes;

use crate::{Batch, Result};

/// Bytes at the end of each key in [`Family::Data`] that tell the versions of one key apart.
pub const SUFFIX_LEN: usize = 8;

/// An ordered key space of its own within the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Family {
    /// Key and inverted commit timestamp ([`SUFFIX_LEN`] bytes) → committed version.
    Data = 1,
    /// Key → provisional write.
    Intents = 2,
    /// Anchor key and transaction id → transaction record.
    Txns = 3,
    /// State of replicas and of the node.
    Local = 4,
    /// The raft log and hard states: the write-ahead log of everything else.
    Log = 5,
}

impl Family {
    pub const ALL: [Family; 5] = [Family::Data, Family::Intents, Family::Txns, Family::Local, Family::Log];

    pub fn from_u8(number: u8) -> Option<Family> {
        Family::ALL.into_iter().find(|family| *family as u8 == number)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Survives a crash after the next [`Engine::sync`].
    Logged,
    /// Survives a crash after the next [`Engine::flush`].
    Unlogged,
}

/// All calls may block on the disk; none is async. `write` is cheap (memory, and a buffered append for
/// logged batches); `sync`, `flush` and `ingest` belong on a thread that may block.
pub trait Engine: Send + Sync + 'static {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>>;

    /// [`Snapshot::seek_suffix`] in the state now, which is not older than this call: for a single look-up, cheaper
    /// than a snapshot.
    fn seek_suffix(&self, prefix: &[u8], suffix: [u8; SUFFIX_LEN]) -> Result<Option<([u8; SUFFIX_LEN], Bytes)>>;

    /// Gives back what is kept ready for further look-ups and holds on to files and memory that are replaced.
    /// To be called about once a second.
    fn let_go(&self) {}

    /// The state now; later writes do not show in it.
    fn snapshot(&self) -> Box<dyn Snapshot>;

    fn write(&self, batch: &Batch, durability: Durability) -> Result<()>;

    /// Makes all logged batches written before this call durable. One fsync.
    fn sync(&self) -> Result<()>;

    /// Makes everything written before this call durable, all families at one cut.
    fn flush(&self) -> Result<()>;

    /// The failure that ended this engine, whoever met it; also one of work in the background. Cheap.
    fn health(&self) -> Result<()>;

    /// Bytes this engine takes on disk, and bytes free where it lives. `None` where there is no disk.
    fn disk_usage(&self) -> Option<DiskUsage> {
        None
    }

    /// About how many bytes the entries of `start..end` take, by file metadata; recent writes may be missing.
    fn approximate_bytes(&self, family: Family, start: &[u8], end: &[u8]) -> Result<u64>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskUsage {
    pub used_bytes: u64,
    pub free_bytes: u64,
}

/// A consistent view of all families.
pub trait Snapshot: Send + Sync {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>>;

    /// The hot path. Keys of [`Family::Data`] are a prefix and an 8-byte suffix, and no prefix starts with
    /// another. Gives the first entry that has this prefix and a suffix not below `suffix`: one seek on a
    /// cursor that the snapshot keeps, and no seek where a filter knows that the prefix is absent.
    fn seek_suffix(&self, prefix: &[u8], suffix: [u8; SUFFIX_LEN]) -> Result<Option<([u8; SUFFIX_LEN], Bytes)>>;

    /// An iterator over `start..end` that is not yet positioned: `seek` first.
    fn iter(&self, family: Family, start: &[u8], end: &[u8]) -> Box<dyn Iter + '_>;
}

/// A cursor within the bounds it was made with. After a positioning call either [`Iter::valid`] is true and
/// `key` and `value` may be asked, or the end was reached; a failed read is an error, never an end.
pub trait Iter: Send {
    /// To the first key not below `key`.
    fn seek(&mut self, key: &[u8]) -> Result<()>;
    /// To the last key not above `key`.
    fn seek_for_prev(&mut self, key: &[u8]) -> Result<()>;
    fn next(&mut self) -> Result<()>;
    fn prev(&mut self) -> Result<()>;
    fn valid(&self) -> bool;
    fn key(&self) -> &[u8];
    fn value(&self) -> &[u8];
}
