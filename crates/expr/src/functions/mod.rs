//! Functions: the table of `pg_proc` and the code behind it.
//!
//! The table (data/functions.tsv) has every function, aggregate and window function of PostgreSQL 15's
//! `pg_catalog`, so that names resolve as they do there. What each scalar function does is a Rust function
//! in the files of this folder, one topic each, found by the name of PostgreSQL's internal function
//! (`prosrc`): several entries share one. A function that is not native here is asked of the session's
//! [`Environment`](crate::Environment); what neither knows is 0A000.

mod array;
mod boolean;
mod bytes;
mod cast;
mod comparison;
mod compose;
mod datetime;
mod float;
mod hash;
mod integer;
mod json;
mod json_build;
mod json_change;
mod native;
mod numeric;
mod pattern;
mod regular;
mod session;
mod table;
mod text;

pub use array::nest_arrays;
pub(crate) use array::split as split_text;
pub use cast::apply_typmod;
pub(crate) use cast::cast;
pub(crate) use json::elements_of;
pub(crate) use native::{ArgTypes, call_environment};
pub use native::{Call, Native, ScalarFn, call, native};
pub(crate) use regular::{all_matches, split as regexp_split};
pub use table::{ArgMode, FunctionEntry, FunctionKind, Volatility, all, by_id, by_name};

/// The native functions, a table for each topic.
static TABLES: &[&[native::Table]] = &[
    integer::FUNCTIONS,
    float::FUNCTIONS,
    numeric::FUNCTIONS,
    boolean::FUNCTIONS,
    comparison::FUNCTIONS,
    text::FUNCTIONS,
    compose::FUNCTIONS,
    bytes::FUNCTIONS,
    pattern::FUNCTIONS,
    regular::FUNCTIONS,
    datetime::FUNCTIONS,
    array::FUNCTIONS,
    json::FUNCTIONS,
    json_build::FUNCTIONS,
    json_change::FUNCTIONS,
    session::FUNCTIONS,
    hash::FUNCTIONS,
];
