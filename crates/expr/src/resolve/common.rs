//! The one type that several expressions are brought to.

use super::{can_coerce, is_preferred};
use crate::casts::CastContext;
use crate::types::format_type_be;
use crate::{EvalError, EvalResult, Oid, SqlType};

/// The type for CASE, UNION and the like; literals of unknown type follow the others, and are text when
/// alone. `context` begins the message of the error 42804: "UNION types integer and text cannot be matched".
pub fn common_type(types: &[Oid], context: &str) -> EvalResult<Oid> {
    select(types).map_err(|(a, b)| {
        let message = format!("{context} types {} and {} cannot be matched", format_type_be(a), format_type_be(b));
        EvalError::new("42804", message)
    })
}

/// The same; else the two that do not go together.
pub(super) fn select(types: &[Oid]) -> Result<Oid, (Oid, Oid)> {
    let unknown = SqlType::UNKNOWN.oid;
    let mut chosen = types.first().copied().unwrap_or(unknown);
    for ty in types.iter().skip(1).copied() {
        if ty == unknown || ty == chosen {
            continue;
        }
        if chosen == unknown {
            chosen = ty;
            continue;
        }
        let category = SqlType::from(chosen).category();
        if SqlType::from(ty).category() != category {
            return Err((chosen, ty));
        }
        let coerces = |from, to| can_coerce(from, to, CastContext::Implicit);
        if !is_preferred(category, chosen) && coerces(chosen, ty) && !coerces(ty, chosen) {
            chosen = ty;
        }
    }
    Ok(if chosen == unknown { SqlType::TEXT.oid } else { chosen })
}

/// The modifier that all share if all are of the common type, else -1.
pub fn common_typmod(types: &[SqlType], common: Oid) -> i32 {
    let Some(first) = types.first() else { return -1 };
    let same = types.iter().all(|ty| ty.oid == common && ty.typmod == first.typmod);
    if same { first.typmod } else { -1 }
}
