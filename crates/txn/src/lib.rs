//! # A transaction, seen from its client
//!
//! `sql` sees keys and values in one big ordered map, read at one number and changed all at once. This
//! crate makes it so: it routes requests to ranges, buffers writes until commit and merges them over
//! reads, keeps what was read so that it can be refreshed, and runs the commit protocol.
//!
//! It knows no tables. What it has to ask of its user is asked through [`SchemaGuard`]; what it needs of
//! the cluster through [`Oracle`], [`Directory`] and [`rpc::Network`].
//!
//! ## One statement
//!
//! ```text
//! txn.begin_statement()            READ COMMITTED: a fresh number; all: a new write sequence
//!   txn.scan / get / put …         reads see the snapshot and the writes of EARLIER statements
//!   Err(StatementRestart)?         a locked row has a newer version: txn.restart_statement(), run it again
//! txn.commit()
//! ```
//!
//! ## Where things are
//!
//! | file | what |
//! | --- | --- |
//! | `client.rs`, `transaction.rs` | what `sql` holds in its hands |
//! | `route.rs` | from keys to the leaders of their ranges |
//! | `buffer.rs`, `scratch.rs` | writes until commit, in memory and spilled |
//! | `read.rs`, `scan.rs`, `read_ahead.rs` | point reads and scans, own writes merged in |
//! | `hold.rs` | locks on what is no row |
//! | `read_set.rs`, `lock_set.rs`, `moving.rs` | what must still hold when the transaction moves to a later number |
//! | `commit.rs`, `commit/`, `resolve.rs`, `release.rs` | the end |
//! | `fake/` | a cluster in one process, for tests (feature `fake`) |

mod client;
mod transaction;

mod oracle;
mod route;

mod buffer;
mod scratch;

mod read;
mod read_ahead;
mod scan;

mod hold;
mod lock_set;
mod lockers;
mod moving;
mod owned;
mod read_set;

mod commit;
mod release;
mod resolve;

mod error;
mod metrics;

#[cfg(any(test, feature = "fake"))]
pub mod fake;

// What `sql` names of the messages, so that it need not know them.
pub use rpc::cluster::IdKind;
pub use rpc::range::{KeyValue, LockMode, LockSpec, LockWait, Waits};

pub use client::{Isolation, TxnClient, TxnOptions};
pub use error::{Conflict, TxnError, TxnResult};
pub use hold::{Keep, LockHandle, Sight};
pub use oracle::{Oracle, SchemaGuard, Stamp};
pub use owned::AheadRows;
pub use route::Directory;
pub use scan::{Scan, ScanSpec};
pub use scratch::{MemoryScratch, Scratch, ScratchFile};
pub use transaction::{Savepoint, Sequence, Transaction, Visible};
