//! Functions: the table of `pg_proc` and the code behind it.
//!
//! The table (data/functions.tsv) has every function, aggregate and window function of PostgreSQL 15's
//! `pg_catalog`, so that names resolve as they do there. What each scalar function does is a Rust function
//! in the files of this folder, one topic each, found by the name of PostgreSQL's internal function
//! (`prosrc`): several entries share one. A function that is not native here is asked of the session's
//! [`Environment`](crate::Environment); what neither knows is 0A000.

mod table;

pub use table::{ArgMode, FunctionEntry, FunctionKind, Volatility, all, by_id, by_name};
