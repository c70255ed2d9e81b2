//! `anyelement` and its kin: whether the arguments agree, and what the types then are.
//!
//! Two families: in the first (anyelement, anyarray, anynonarray, anyenum) all arguments must be exactly of
//! one type or arrays of it; in the second (anycompatible …) they are brought to a common type.

use super::common;
use crate::casts::CastContext;
use crate::types::{self, TypeKind, format_type_be};
use crate::{EvalError, EvalResult, Oid, SqlType};

pub(super) fn is_polymorphic(oid: Oid) -> bool {
    kind(oid).is_some()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Poly {
    Element,
    NonArray,
    Enum,
    Array,
    Range,
    Compatible,
    CompatibleNonArray,
    CompatibleArray,
    CompatibleRange,
}

fn kind(oid: Oid) -> Option<Poly> {
    Some(match SqlType::from(oid) {
        SqlType::ANYELEMENT => Poly::Element,
        SqlType::ANYNONARRAY => Poly::NonArray,
        SqlType::ANYENUM => Poly::Enum,
        SqlType::ANYARRAY => Poly::Array,
        SqlType::ANYRANGE | SqlType::ANYMULTIRANGE => Poly::Range,
        SqlType::ANYCOMPATIBLE => Poly::Compatible,
        SqlType::ANYCOMPATIBLENONARRAY => Poly::CompatibleNonArray,
        SqlType::ANYCOMPATIBLEARRAY => Poly::CompatibleArray,
        SqlType::ANYCOMPATIBLERANGE | SqlType::ANYCOMPATIBLEMULTIRANGE => Poly::CompatibleRange,
        _ => return None,
    })
}

/// What the arguments make of the two families; `None` where all their arguments are of unknown type.
#[derive(Default)]
struct Bound {
    element: Option<Oid>,
    /// Types of the second family's elements.
    compatible: Vec<Oid>,
    common: Option<Oid>,
}

fn element_of(array: Oid) -> Option<Oid> {
    types::by_oid(array).filter(|entry| entry.is_array()).map(|entry| entry.element)
}

fn is_array(oid: Oid) -> bool {
    element_of(oid).is_some()
}

/// `None` where the arguments do not agree.
fn bind(actual: &[Oid], declared: &[Oid]) -> Option<Bound> {
    let mut bound = Bound::default();
    let mut array = None;
    let (mut non_array, mut is_enum, mut compatible_non_array) = (false, false, false);
    for (actual, kind) in actual.iter().zip(declared).filter_map(|(a, d)| Some((*a, kind(*d)?))) {
        non_array |= kind == Poly::NonArray;
        is_enum |= kind == Poly::Enum;
        compatible_non_array |= kind == Poly::CompatibleNonArray;
        if actual == SqlType::UNKNOWN.oid {
            continue;
        }
        match kind {
            Poly::Element | Poly::NonArray | Poly::Enum if *bound.element.get_or_insert(actual) != actual => {
                return None;
            }
            Poly::Element | Poly::NonArray | Poly::Enum => {}
            Poly::Array if *array.get_or_insert(actual) != actual => return None,
            Poly::Array => {}
            Poly::Compatible | Poly::CompatibleNonArray => bound.compatible.push(actual),
            Poly::CompatibleArray => bound.compatible.push(element_of(actual)?),
            // There are no ranges yet.
            Poly::Range | Poly::CompatibleRange => return None,
        }
    }
    if let Some(array) = array {
        // A value of the pseudo-type itself (pg_stats has such columns) agrees with itself alone.
        let element =
            if SqlType::from(array) == SqlType::ANYARRAY { SqlType::ANYELEMENT.oid } else { element_of(array)? };
        if *bound.element.get_or_insert(element) != element {
            return None;
        }
    }
    if non_array && bound.element.is_some_and(is_array) {
        return None;
    }
    if is_enum && bound.element.is_some_and(|oid| types::by_oid(oid).is_some_and(|entry| entry.kind != TypeKind::Enum))
    {
        return None;
    }
    if !bound.compatible.is_empty() {
        let common = common::select(&bound.compatible).ok()?;
        let coerces = |from: &Oid| super::can_coerce(*from, common, CastContext::Implicit);
        if !bound.compatible.iter().all(coerces) || compatible_non_array && is_array(common) {
            return None;
        }
        bound.common = Some(common);
    }
    Some(bound)
}

pub(super) fn agrees(actual: &[Oid], declared: &[Oid]) -> bool {
    bind(actual, declared).is_some()
}

/// The declared argument and result types with every polymorphic type replaced.
pub(super) fn replace(actual: &[Oid], declared: &[Oid], result: Oid) -> EvalResult<(Vec<Oid>, Oid)> {
    let bound = bind(actual, declared).unwrap_or_default();
    let as_array = |element: Oid| {
        if SqlType::from(element) == SqlType::ANYELEMENT {
            return Ok(SqlType::ANYARRAY.oid);
        }
        SqlType::from(element).array().map(|array| array.oid).ok_or_else(|| {
            EvalError::new("42704", format!("could not find array type for data type {}", format_type_be(element)))
        })
    };
    let undetermined =
        || EvalError::new("42804", "could not determine polymorphic type because input has type unknown");
    let resolve = |oid: Oid| match kind(oid) {
        None => Ok(oid),
        Some(Poly::Element | Poly::NonArray | Poly::Enum) => bound.element.ok_or_else(undetermined),
        Some(Poly::Array) => as_array(bound.element.ok_or_else(undetermined)?),
        Some(Poly::Compatible | Poly::CompatibleNonArray) => Ok(bound.common.unwrap_or(SqlType::TEXT.oid)),
        Some(Poly::CompatibleArray) => as_array(bound.common.unwrap_or(SqlType::TEXT.oid)),
        Some(Poly::Range | Poly::CompatibleRange) => Err(undetermined()),
    };
    let resolve_arg = |(declared, actual): (&Oid, &Oid)| match kind(*declared) {
        // An array stays the type that it is: int2vector is not int2[].
        Some(Poly::Array) if *actual != SqlType::UNKNOWN.oid => Ok(*actual),
        _ => resolve(*declared),
    };
    let args = declared.iter().zip(actual).map(resolve_arg).collect::<EvalResult<Vec<Oid>>>()?;
    Ok((args, resolve(result)?))
}
