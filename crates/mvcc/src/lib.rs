//! # Versions, intents and transaction records
//!
//! What a range keeps for its span, as pure functions over a storage [`Snapshot`] and [`Batch`]: nothing
//! here waits, tells the time or decides. The rules that decide are in `ranges`; this crate knows how
//! things lie in the engine and how to find them.
//!
//! ```text
//!   Family::Data      key ++ !timestamp (8 bytes)  →  version: flags, writer, value      newest first
//!   Family::Intents   key                          →  intent: a write of an undecided transaction
//!   Family::Txns      anchor key ++ id (8 bytes)   →  record: pending, staging, committed, aborted
//! ```
//!
//! ## One key over time
//! A transaction is named by its start number and commits at a number of its own, so a version carries
//! both. A reader at `@25` seeks `key ++ !25`, and the first entry it meets with that key is what it sees:
//!
//! ```text
//!   time     version              get @5   @15   @25   @35
//!   @30      deleted by txn28                           none
//!   @20      "b"     by txn12                     "b"
//!   @10      "a"     by txn10            "a"
//!                                 none
//! ```
//!
//! ## Bounds
//! Stored keys are prefix-free and not empty (see `keyspace`), so all versions of a key lie together. A
//! bound of a span is one of: a key, a prefix of keys, the end of a prefix, the successor of a key. Since
//! `key ++ 00` sorts *among* the versions of `key`, bounds are translated with care: see `bounds.rs`.
//!
//! ## Guarantees
//! Everything that is read back is checked: a wrong version byte, unknown flag or short value is
//! [`Error::Corrupt`] and never a panic.
//!
//! [`Snapshot`]: storage::Snapshot
//! [`Batch`]: storage::Batch

mod bounds;
mod checksum;
mod codec;
mod garbage;
mod intent;
mod read;
mod record;
mod scan;
mod size;
mod transfer;
mod version;

pub use checksum::checksum;
pub use garbage::{Collected, collect_records, collect_versions};
pub use intent::{Intent, Intents, get_intent, intents_of, put_intent, remove_intent, resolve_intent};
pub use read::{changed_in, get, get_now, is_vacant, key_changed_since, newest, version_by_writer};
pub use record::{Record, get_record, put_record, records, remove_record};
pub use scan::{Direction, Limits, Rest, Row, Scan, Visit, scan};
pub use size::{Measured, approximate_bytes, measure, row_at};
pub use storage::{Error, Result};
pub use transfer::{Cursor, clear_span, export_chunk, import_chunk};
pub use version::{Version, VersionHead, put_version, remove_version};
