//! From the conditions of a scan to spans of keys.
//!
//! A condition on a column never lets its NULLs through, so bounds on a column leave out the end at which its NULLs stand.

use expr::keys::{self, KeyColumn};
use expr::{Datum, Row};
use keyspace::{Key, Span};

use super::Context;
use super::row_format::IndexFormat;
use crate::SqlResult;
use crate::plan::{KeyRange, KeyRanges};

/// What a scan has to read: disjoint, in key order.
#[derive(Debug, PartialEq)]
pub(crate) enum Targets {
    /// Keys that name at most one entry each.
    Points(Vec<Key>),
    Spans(Vec<Span>),
}

impl Targets {
    pub fn of_index(index: &IndexFormat) -> Targets {
        Targets::Spans(vec![Span::prefix(Key::from(index.prefix()))])
    }
}

/// The part of an index that `ranges` describe; `outer` is the row that the expressions are over.
pub(crate) async fn targets(ctx: &Context, index: &IndexFormat, ranges: &KeyRanges, outer: &Row) -> SqlResult<Targets> {
    let list = match ranges {
        KeyRanges::All => return Ok(Targets::of_index(index)),
        KeyRanges::Nothing => return Ok(Targets::Points(Vec::new())),
        KeyRanges::Some(list) => list,
    };
    let mut points = Vec::new();
    let mut spans = Vec::new();
    for range in list {
        match target(ctx, index, range, outer).await? {
            Target::Nothing => {}
            Target::Point(key) => points.push(key),
            Target::Span(span) => spans.push(span),
        }
    }
    if spans.is_empty() {
        points.sort_unstable();
        points.dedup();
        return Ok(Targets::Points(points));
    }
    spans.extend(points.into_iter().map(Span::point));
    Ok(Targets::Spans(disjoint(spans)))
}

enum Target {
    Nothing,
    Point(Key),
    Span(Span),
}

async fn target(ctx: &Context, index: &IndexFormat, range: &KeyRange, outer: &Row) -> SqlResult<Target> {
    let equal = ctx.compute(&range.equal, outer).await?;
    if equal.iter().any(Datum::is_null) {
        return Ok(Target::Nothing);
    }
    if let (None, None) = (&range.lower, &range.upper)
        && let Some(key) = index.point(&equal)?
    {
        return Ok(Target::Point(key));
    }
    let mut prefix = index.prefix().to_vec();
    for ((column, _), value) in index.key.iter().zip(&equal) {
        keys::put(&mut prefix, value, column)?;
    }
    let Some((column, _)) = index.key.get(equal.len()) else { return Ok(Target::Span(Span::prefix(prefix.into()))) };
    let mut bounds = [None, None];
    for (bound, given) in bounds.iter_mut().zip([&range.lower, &range.upper]) {
        if let Some((expr, inclusive)) = given {
            let value = ctx.value(expr, outer).await?;
            if value.is_null() {
                return Ok(Target::Nothing);
            }
            *bound = Some((value, *inclusive));
        }
    }
    let [lower, upper] = bounds;
    let span = bounded(prefix, column, lower, upper)?;
    Ok(if span.is_empty() { Target::Nothing } else { Target::Span(span) })
}

type Bound = Option<(Datum, bool)>;

/// The keys below `prefix` whose next column lies between two values.
fn bounded(prefix: Vec<u8>, column: &KeyColumn, lower: Bound, upper: Bound) -> SqlResult<Span> {
    if lower.is_none() && upper.is_none() {
        return Ok(Span::prefix(prefix.into()));
    }
    // In a descending column the larger values come first.
    let (first, last) = if column.descending { (upper, lower) } else { (lower, upper) };
    let at = |value: &Datum| -> SqlResult<Key> {
        let mut key = prefix.clone();
        keys::put(&mut key, value, column)?;
        Ok(Key::from(key))
    };
    let nulls = || at(&Datum::Null);
    let start = match first {
        Some((value, true)) => at(&value)?,
        Some((value, false)) => at(&value)?.prefix_end(),
        None if column.nulls_first => nulls()?.prefix_end(),
        None => Key::from(prefix.clone()),
    };
    let end = match last {
        Some((value, true)) => at(&value)?.prefix_end(),
        Some((value, false)) => at(&value)?,
        None if column.nulls_first => Key::from(prefix.clone()).prefix_end(),
        None => nulls()?,
    };
    Ok(Span::new(start, end))
}

/// Sorted, with what overlaps or touches made one.
fn disjoint(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut out: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match out.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.clone().max(span.end),
            _ => out.push(span),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use expr::SqlType;

    use super::*;

    /// Which of NULL, 1 … 5 lie between the bounds.
    fn found(descending: bool, nulls_first: bool, lower: Option<(i32, bool)>, upper: Option<(i32, bool)>) -> String {
        let column = KeyColumn { ty: SqlType::INT4, descending, nulls_first };
        let bound = |bound: Option<(i32, bool)>| bound.map(|(value, inclusive)| (Datum::Int4(value), inclusive));
        let span = bounded(b"p".to_vec(), &column, bound(lower), bound(upper)).unwrap();
        let values = [Datum::Null].into_iter().chain((1..=5).map(Datum::Int4));
        let mut out = String::new();
        for value in values {
            let mut key = b"p".to_vec();
            keys::put(&mut key, &value, &column).unwrap();
            key.push(b'x');
            if span.contains(&key) {
                out.push_str(&match value {
                    Datum::Int4(value) => value.to_string(),
                    _ => "N".to_owned(),
                });
            }
        }
        out
    }

    #[test]
    fn bounds_leave_out_nulls_and_know_directions() {
        for descending in [false, true] {
            for nulls_first in [false, true] {
                let found = |lower, upper| found(descending, nulls_first, lower, upper);
                assert_eq!(found(Some((2, true)), Some((4, true))), "234");
                assert_eq!(found(Some((2, false)), Some((4, false))), "3");
                assert_eq!(found(Some((4, true)), None), "45");
                assert_eq!(found(Some((4, false)), None), "5");
                assert_eq!(found(None, Some((2, true))), "12");
                assert_eq!(found(None, Some((2, false))), "1");
                assert_eq!(found(None, None), "N12345", "no condition, no exclusion");
                assert_eq!(found(Some((4, true)), Some((2, true))), "");
            }
        }
    }

    #[test]
    fn overlapping_spans_become_one() {
        let span = |start: &str, end: &str| Span::new(Key::from(start), Key::from(end));
        let spans = vec![span("c", "f"), span("a", "b"), span("e", "g"), span("g", "h")];
        assert_eq!(disjoint(spans), [span("a", "b"), span("c", "h")]);
    }
}
