//! The choice among candidates that all fit: PostgreSQL's `func_select_candidate`.

use super::{can_coerce_all, is_preferred};
use crate::casts::CastContext;
use crate::{Oid, SqlType, TypeCategory, types};

const UNKNOWN: Oid = SqlType::UNKNOWN.oid;

/// A candidate's argument types, as many as the call has.
pub(super) trait Candidate {
    fn args(&self) -> &[Oid];
}

/// The candidates that all arguments can be coerced to without being asked.
pub(super) fn matching<C: Candidate>(candidates: Vec<C>, args: &[Oid]) -> Vec<C> {
    candidates.into_iter().filter(|c| can_coerce_all(args, c.args(), CastContext::Implicit)).collect()
}

/// The best one; `None` where none is better than all others.
pub(super) fn best<C: Candidate>(mut candidates: Vec<C>, args: &[Oid]) -> Option<C> {
    let exact = |want: Oid, have: Oid| want == have;
    candidates = with_most(candidates, args, exact);
    if candidates.len() > 1 {
        let preferred = |want: Oid, have: Oid| want == have || is_preferred(SqlType::from(have).category(), want);
        candidates = with_most(candidates, args, preferred);
    }
    if candidates.len() > 1 && args.contains(&UNKNOWN) {
        candidates = by_category_of_unknowns(candidates, args);
        if candidates.len() > 1 {
            return by_type_of_the_others(candidates, args);
        }
    }
    if candidates.len() == 1 { candidates.pop() } else { None }
}

/// Those with the most arguments of known type that `fits(candidate's, given)`.
fn with_most<C: Candidate>(candidates: Vec<C>, args: &[Oid], fits: impl Fn(Oid, Oid) -> bool) -> Vec<C> {
    let count =
        |c: &C| c.args().iter().zip(args).filter(|(want, have)| **have != UNKNOWN && fits(**want, **have)).count();
    let most = candidates.iter().map(count).max().unwrap_or(0);
    candidates.into_iter().filter(|c| count(c) == most).collect()
}

/// Looks at each argument of unknown type: string if any candidate takes a string there, else the category
/// that all candidates agree on; candidates of another category, or not of its preferred type where one
/// has that, are dropped.
fn by_category_of_unknowns<C: Candidate>(candidates: Vec<C>, args: &[Oid]) -> Vec<C> {
    let mut wanted = Vec::new();
    for at in (0..args.len()).filter(|at| args[*at] == UNKNOWN) {
        let slots = candidates.iter().map(|c| c.args()[at]);
        let categories: Vec<TypeCategory> = slots.clone().map(|oid| SqlType::from(oid).category()).collect();
        let category = match categories[..] {
            _ if categories.contains(&TypeCategory::String) => TypeCategory::String,
            [first, ..] if categories.iter().all(|category| *category == first) => first,
            _ => return candidates,
        };
        wanted.push((at, category, slots.clone().any(|oid| is_preferred(category, oid))));
    }
    let keeps = |c: &C| {
        wanted.iter().all(|(at, category, preferred)| {
            let oid = c.args()[*at];
            let entry = types::by_oid(oid);
            SqlType::from(oid).category() == *category && (!preferred || entry.is_some_and(|entry| entry.preferred))
        })
    };
    let kept = candidates.iter().filter(|c| keeps(c)).count();
    if kept == 0 { candidates } else { candidates.into_iter().filter(|c| keeps(c)).collect() }
}

/// If all arguments of known type have the same type, takes the unknown ones to be of it too.
fn by_type_of_the_others<C: Candidate>(candidates: Vec<C>, args: &[Oid]) -> Option<C> {
    let mut known = args.iter().copied().filter(|oid| *oid != UNKNOWN);
    let first = known.next()?;
    if known.any(|oid| oid != first) {
        return None;
    }
    let assumed = vec![first; args.len()];
    let mut fitting = candidates.into_iter().filter(|c| can_coerce_all(&assumed, c.args(), CastContext::Implicit));
    let only = fitting.next()?;
    if fitting.next().is_some() { None } else { Some(only) }
}
