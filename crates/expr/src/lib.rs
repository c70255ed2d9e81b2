//! # SQL values and what is computed from them
//!
//! * [`Datum`] is one value, [`SqlType`] its type (PostgreSQL's OID and type modifier), [`Row`] a row.
//! * [`types`], [`functions`], [`operators`], [`casts`] and [`aggregates`] are PostgreSQL's own tables;
//!   [`resolve`] chooses an overload from them.
//! * [`Expr`] is a bound, typed expression; [`Expr::eval`] computes it over a row.
//!
//! The same code runs in `sql` and, as a push-down program, in `ranges`: an opaque, versioned byte string
//! that carries the expressions with their context (statement time, time zone, settings).

mod accumulate;
pub mod aggregates;
pub mod casts;
mod children;
mod compare;
mod context;
mod datetime;
mod datum;
mod error;
mod eval;
pub mod functions;
mod io;
mod json;
pub mod keys;
mod numeric;
pub mod operators;
pub mod program;
mod regular;
pub mod resolve;
pub mod rows;
pub mod set_returning;
pub mod stored;
mod table;
mod tree;
pub mod types;

pub use accumulate::Accumulator;
pub use compare::{compare, hash_into, same_group};
pub use context::{ByteaOutput, Environment, EvalContext, NoEnvironment, Settings};
pub use datetime::arithmetic::timestamptz_plus_interval;
pub use datetime::{
    DateFormat, DateOrder, DateStyle, IntervalStyle, TimeZone, UNIX_EPOCH_SECONDS, abbreviations, zone_names,
};
pub use datum::{ArrayValue, Datum, Interval, Row};
pub use error::{EvalError, EvalResult, SqlState};
pub use json::Jsonb;
pub use numeric::Numeric;
pub use tree::{Aggregate, AggregateKind, CastMethod, Expr, FunctionId, Quantifier, SortKey};
pub use types::{Oid, SqlType, TypeCategory};
