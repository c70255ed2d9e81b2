//! # The engine of production: RocksDB
//!
//! One database with five column families, so that one write-ahead log orders them all and one flush cuts
//! them all at the same batch (`atomic_flush`). Logged batches go through the write-ahead log, unlogged
//! ones only into the memtables. How the settings serve the contract of [`Engine`](crate::Engine):
//!
//! | guarantee | setting |
//! | --- | --- |
//! | a batch is atomic over families and crashes | one database; atomic flush |
//! | a crash loses a suffix of the log, never a hole | point-in-time recovery; no recycling of log files |
//! | a sync is one fsync | `flush_wal(true)`; no manual flushing of the log |
//! | the first failure is the last | [`Poison`](poison::Poison): whatever fails to write or sync ends the engine |
//!
//! RocksDB tries to recover from failed background jobs by itself, and its Rust binding has no switch against that. So the
//! engine asks for the count of background errors at each sync and flush, and ends when there is one.
//!
//! Reads of the newest version of a key are the hot path ([`Snapshot::seek_suffix`](crate::Snapshot::seek_suffix)): the key without its suffix
//! is RocksDB's prefix, with bloom filters over prefixes in files and memtables, and a snapshot keeps one
//! prefix cursor for all its look-ups. Scans use cursors of their own with exact bounds and total order.

mod cursors;
mod directory;
mod engine;
mod options;
mod poison;
mod snapshot;

pub use directory::{Identity, Member, StoreDirectory};
pub use engine::RocksEngine;
pub use options::RocksOptions;
