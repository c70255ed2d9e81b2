//! # SQL values and what is computed from them
//!
//! * [`Datum`] is one value, [`SqlType`] its type (PostgreSQL's OID and type modifier), [`Row`] a row.
//! * [`Expr`] is a bound, typed expression; [`Expr::eval`] computes it over a row.
//!
//! The same code runs in `sql` and, as a push-down program, in `ranges`: an opaque, versioned byte string
//! that carries the expressions with their context (statement time, time zone, settings).

mod datum;
mod error;
mod jsonb;
mod numeric;
mod tree;
mod types;

pub use datum::{ArrayValue, Datum, Interval, Row};
pub use error::{EvalError, EvalResult, SqlState};
pub use jsonb::Jsonb;
pub use numeric::Numeric;
pub use tree::{Aggregate, AggregateKind, CastMethod, Expr, FunctionId, Quantifier, SortKey};
pub use types::{Oid, SqlType, TypeCategory};
