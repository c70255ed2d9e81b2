//! One connection: its transaction, settings, prepared statements and portals.
//!
//! `pgfront` speaks to it in the terms of the protocol and hands it a [`Output`] to stream into.

mod output;

pub use output::{CopyFormat, Notice, Output, TransactionStatus};
