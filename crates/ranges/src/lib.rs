//! # The replicas of one node
//!
//! One replica of one range: consensus, apply, locks, the read-timestamp cache, request evaluation.
pub mod announcements;
pub mod codec;
pub mod command;
pub mod consensus;
pub mod locks;
pub mod read_cache;
pub mod state;
