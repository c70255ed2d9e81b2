//! # SQL
//!
//! ```text
//! text ─parse→ Statement ─bind→ Plan ─optimise→ Plan ─exec→ rows
//!                           └ catalog (a snapshot at the transaction's number)
//! ```
//!
//! * [`parse`]: PostgreSQL's grammar, by recursive descent.
//! * [`catalog`]: descriptors, the snapshot of them, DDL, pg_catalog and information_schema.
//! * [`bind`]: names, types, conversions; makes a [`plan`] tree.
//! * [`optimise`]: a named, ordered list of passes over plans.
//! * [`exec`]: operators that pull batches of rows.
//! * [`session`]: one connection: transactions, settings, prepared statements, portals.
//!
//! This crate knows no replicas, no RocksDB, no Raft, no sockets. Errors leave it as [`SqlError`]; below it
//! they are typed kinds, and `error.rs` alone maps kinds to SQLSTATEs.

pub mod bind;
pub mod catalog;
mod error;
pub mod exec;
pub mod optimise;
pub mod parse;
pub mod plan;
pub mod session;

pub use error::{Retry, Severity, SqlError, SqlFailure, SqlResult};
