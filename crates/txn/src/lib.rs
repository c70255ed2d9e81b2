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

mod error;
mod skeleton;

pub use error::{TxnError, TxnResult};
pub use rpc::cluster::IdKind;
pub use rpc::range::{KeyValue, LockMode, LockSpec, LockWait};
pub use skeleton::*;
