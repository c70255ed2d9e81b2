//! # What a node keeps on disk
//!
//! One [`Engine`] per node: an ordered map from bytes to bytes in five [`Family`]s, of which one (the
//! raft log) is written ahead and synced, and four (the applied state) are rebuilt from it after a crash.
//!
//! ```text
//!   propose ──► write(Log, Logged) ──► sync ──► committed ──► write(Data…, Unlogged) ──► flush, now and then
//!               the write-ahead log     fsync                  memory only until a flush
//! ```
//!
//! ## Guarantees
//! * A [`Batch`] is atomic, across families, also over a crash.
//! * After [`Engine::sync`] every *logged* batch written before the call survives a crash. Without it a
//!   crash keeps some prefix of the logged batches: a suffix is lost, never a hole.
//! * *Unlogged* batches survive a crash only up to some flush; all families are cut at the same batch.
//!   After [`Engine::flush`] everything written before the call survives.
//! * The first failed write or fsync is fatal ([`Error::is_fatal`]): the engine answers every later call
//!   with an error, and the process must stop. It is never retried (after a failed fsync the kernel may have dropped
//!   the very pages that a second, successful fsync would be about).
//!
//! Only this crate names RocksDB.

mod batch;
mod engine;
mod error;
pub mod memory;
pub mod raftlog;
pub mod rocks;

pub use batch::{Batch, Operation};
pub use engine::{DiskUsage, Durability, Engine, Family, Iter, SUFFIX_LEN, Snapshot};
pub use error::{Error, Result};
pub use memory::{MemoryDisk, MemoryEngine};
pub use raftlog::{LogEntry, RaftLog};
pub use rocks::{Identity, Member, RocksEngine, RocksOptions, StoreDirectory};
