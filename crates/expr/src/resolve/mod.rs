//! Which overload is meant: PostgreSQL's rules, over the tables alone.
//!
//! * [`function`] and [`operator`] choose by the types of the arguments: an exact match; else those that
//!   all arguments can be coerced to, the one with most exact matches, then with most preferred types, then
//!   by what the literals of unknown type could be (`func_select_candidate`). Polymorphic types are then
//!   replaced by what the arguments make of them.
//! * [`common_type`] is the type of CASE, UNION, VALUES, ARRAY, COALESCE, GREATEST and IN lists.
//!
//! Sources: PostgreSQL's documentation, chapter "Type Conversion".

mod common;
mod function;
mod operator;
mod polymorphic;
mod select;

pub use common::{common_type, common_typmod};
pub use function::{ArgSource, CallShape, ResolvedFunction, as_coercion, function};
pub use operator::{ResolvedOperator, operator};

use crate::casts::{self, CastContext};
use crate::{Oid, SqlType, TypeCategory, types};

/// Whether a value of type `from` may stand where `to` is wanted.
pub fn can_coerce(from: Oid, to: Oid, context: CastContext) -> bool {
    can_coerce_all(&[from], &[to], context)
}

/// The same for the arguments of a call, whose polymorphic types must agree with each other.
pub fn can_coerce_all(from: &[Oid], to: &[Oid], context: CastContext) -> bool {
    let mut is_generic = false;
    let each = from.iter().zip(to).all(|(from, to)| {
        if polymorphic::is_polymorphic(*to) {
            is_generic = true;
            return true;
        }
        from == to
            || SqlType::from(*to) == SqlType::ANY
            || SqlType::from(*from) == SqlType::UNKNOWN
            || casts::pathway(*from, *to, context).is_some()
            || is_composite(*from) && SqlType::from(*to) == SqlType::RECORD
            || SqlType::from(*from) == SqlType::RECORD && is_composite(*to)
    });
    each && (!is_generic || polymorphic::agrees(from, to))
}

/// A type of the catalog's that is not in the table is the row type of a table.
fn is_composite(oid: Oid) -> bool {
    types::by_oid(oid).is_none_or(|entry| entry.category == TypeCategory::Composite)
}

fn is_preferred(category: TypeCategory, oid: Oid) -> bool {
    types::by_oid(oid).is_some_and(|entry| entry.preferred && entry.category == category)
}

/// `integer, unknown`: how messages name the arguments of a call.
fn type_list(oids: &[Oid]) -> String {
    oids.iter().map(|oid| types::format_type_be(*oid)).collect::<Vec<_>>().join(", ")
}
