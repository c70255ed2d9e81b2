//! Booleans, and what asks of NULLs.

use super::native::{Table, scalar};
use crate::{Datum, EvalResult};

pub(super) const FUNCTIONS: &[Table] = &[&[
    scalar!("booland_statefunc", |a: bool, b: bool| a && b),
    scalar!("boolor_statefunc", |a: bool, b: bool| a || b),
    ("pg_num_nulls", |_, args| count(args, true)),
    ("pg_num_nonnulls", |_, args| count(args, false)),
]];

/// Of the arguments, or of the elements of the array of a VARIADIC call.
fn count(args: &[&Datum], nulls: bool) -> EvalResult<Datum> {
    let counted = match args {
        [Datum::Array(array)] => array.elements.iter().filter(|element| element.is_null() == nulls).count(),
        _ => args.iter().filter(|arg| arg.is_null() == nulls).count(),
    };
    Ok(Datum::Int4(counted as i32))
}
