//! # The engine of tests and of the simulator
//!
//! Two things, because a crash takes one and leaves the other: [`MemoryDisk`] is what survives a crash,
//! [`MemoryEngine`] is an open handle on it, with the state as a running process sees it.
//!
//! ## What a crash leaves
//! The disk keeps a *base* (the state at the last explicit flush) and the *tail* of batches written since.
//! [`MemoryDisk::crash`] draws two cut points in the tail, as nasty as RocksDB may be and never kinder:
//!
//! ```text
//!   base │ L1  U2  L3  U4  L5  U6  L7        L = logged, U = unlogged, synced up to L3
//!        │         ▲ flush cut: L1 U2 L3     RocksDB may have flushed by itself at any batch
//!        │                     ▲ log cut     at or after both the last sync and the flush cut
//!   left │ L1  U2  L3      L5                logged batches between the cuts replay on top
//! ```
//!
//! * The flush cut lies anywhere in the tail, all families at the same batch.
//! * The log cut lies at or after the last synced batch and the flush cut: a suffix of the logged batches
//!   is lost, never a hole.
//! * Unlogged batches after the flush cut are gone.
//!
//! A handle from before the crash answers every call with an error.
//!
//! Faults to order: see [`Faults`].

mod disk;
mod engine;
mod versioned;

pub use disk::{Faults, MemoryDisk};
pub use engine::MemoryEngine;
