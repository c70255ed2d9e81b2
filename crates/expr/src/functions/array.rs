//! Arrays: their shape, their elements, putting them together and taking them apart.

use std::sync::Arc;

use super::native::{Call, Table, scalar};
use crate::compare::compare;
use crate::io::{DIMENSIONS_MAX, ELEMENTS_MAX, array_from_elements, too_large, too_many_dimensions};
use crate::{ArrayValue, Datum, EvalError, EvalResult, SqlType};

pub(super) const FUNCTIONS: &[Table] = &[SHAPE, ELEMENTS, BUILD, CONTAINMENT, TEXT];

fn dimension(array: &ArrayValue, number: i32) -> Option<(i32, i32)> {
    array.dimensions.get(usize::try_from(number.checked_sub(1)?).ok()?).copied()
}

const SHAPE: Table = &[
    scalar!("array_length", |array: &ArrayValue, at: i32| dimension(array, at).map(|(length, _)| length)),
    scalar!("array_lower", |array: &ArrayValue, at: i32| dimension(array, at).map(|(_, lower)| lower)),
    scalar!("array_upper", |array: &ArrayValue, at: i32| dimension(array, at)
        .map(|(length, lower)| lower + length - 1)),
    scalar!("array_cardinality", |array: &ArrayValue| array.elements.len() as i32),
    scalar!("array_ndims", |array: &ArrayValue| {
        let count = array.dimensions.len() as i32;
        (count > 0).then_some(count)
    }),
    scalar!("array_dims", |array: &ArrayValue| {
        let shown = |(length, lower): &(i32, i32)| format!("[{lower}:{}]", lower + length - 1);
        (!array.dimensions.is_empty()).then(|| array.dimensions.iter().map(shown).collect::<String>())
    }),
];

/// Equal, or both NULL.
fn same(a: &Datum, b: &Datum, element: SqlType) -> bool {
    compare(a, b, element).is_eq()
}

fn one_dimension(array: &ArrayValue, doing: &str) -> EvalResult<()> {
    if array.dimensions.len() > 1 {
        return Err(EvalError::new(
            "0A000",
            format!(
                "{doing} elements {} multidimensional arrays is not supported",
                if doing == "searching for" { "in" } else { "from" }
            ),
        ));
    }
    Ok(())
}

/// The subscripts at which an element is found, from `start` on.
fn positions<'a>(array: &'a ArrayValue, wanted: &'a Datum, start: Option<i32>) -> impl Iterator<Item = i32> + 'a {
    let lower = array.dimensions.first().map_or(1, |(_, lower)| *lower);
    let numbered = array.elements.iter().zip(lower..);
    let from_start = numbered.filter(move |(_, at)| start.is_none_or(|start| *at >= start));
    from_start.filter(|(element, _)| same(element, wanted, array.element)).map(|(_, at)| at)
}

const ELEMENTS: Table = &[
    scalar!("array_position", |array: Option<&ArrayValue>, wanted: &Datum| {
        let Some(array) = array else { return Ok(Datum::Null) };
        one_dimension(array, "searching for")?;
        positions(array, wanted, None).next()
    }),
    scalar!("array_position_start", |array: Option<&ArrayValue>, wanted: &Datum, start: Option<i32>| {
        let Some(array) = array.filter(|array| !array.elements.is_empty()) else { return Ok(Datum::Null) };
        one_dimension(array, "searching for")?;
        if wanted.is_null() && !array.elements.iter().any(Datum::is_null) {
            return Ok(Datum::Null);
        }
        let start = start.ok_or_else(|| EvalError::new("22004", "initial position must not be null"))?;
        positions(array, wanted, Some(start)).next()
    }),
    scalar!("array_positions", |array: Option<&ArrayValue>, wanted: &Datum| {
        let Some(array) = array else { return Ok(Datum::Null) };
        one_dimension(array, "searching for")?;
        array_from_elements(SqlType::INT4, positions(array, wanted, None).map(Datum::Int4).collect())
    }),
    scalar!("array_remove", |array: Option<&ArrayValue>, unwanted: &Datum| {
        let Some(array) = array else { return Ok(Datum::Null) };
        one_dimension(array, "removing")?;
        let kept: Vec<Datum> = array.elements.iter().filter(|e| !same(e, unwanted, array.element)).cloned().collect();
        with_lower(array.element, kept, array.dimensions.first().map_or(1, |(_, lower)| *lower))
    }),
    scalar!("array_replace", |array: Option<&ArrayValue>, from: &Datum, to: &Datum| {
        let Some(array) = array else { return Ok(Datum::Null) };
        let replaced = |e: &Datum| if same(e, from, array.element) { to.clone() } else { e.clone() };
        shaped(array.element, array.dimensions.clone(), array.elements.iter().map(replaced).collect())
    }),
    scalar!("trim_array", |array: &ArrayValue, count: i32| {
        let length = array.dimensions.first().map_or(0, |(length, _)| *length);
        if !(0..=length).contains(&count) {
            return Err(EvalError::new("2202E", format!("number of elements to trim must be between 0 and {length}")));
        }
        let kept = length - count;
        let width = array.elements.len() / (length.max(1) as usize);
        let mut dimensions: Vec<(i32, i32)> = array.dimensions.iter().map(|(length, _)| (*length, 1)).collect();
        if kept == 0 {
            return Ok(array_from_elements(array.element, Vec::new()));
        }
        dimensions[0].0 = kept;
        shaped(array.element, dimensions, array.elements[..width * kept as usize].to_vec())
    }),
    scalar!("width_bucket_array", |operand: &Datum, thresholds: &ArrayValue| {
        if thresholds.dimensions.len() > 1 {
            return Err(EvalError::new("2202E", "thresholds must be one-dimensional array"));
        }
        if thresholds.elements.iter().any(Datum::is_null) {
            return Err(EvalError::new("22004", "thresholds array must not contain NULLs"));
        }
        thresholds.elements.partition_point(|t| compare(t, operand, thresholds.element).is_le()) as i32
    }),
];

fn shaped(element: SqlType, dimensions: Vec<(i32, i32)>, elements: Vec<Datum>) -> Datum {
    Datum::Array(Arc::new(ArrayValue { element, dimensions, elements }))
}

fn with_lower(element: SqlType, elements: Vec<Datum>, lower: i32) -> Datum {
    let dimensions = if elements.is_empty() { Vec::new() } else { vec![(elements.len() as i32, lower)] };
    shaped(element, dimensions, elements)
}

const BUILD: Table = &[
    scalar!("array_append", |call; array: Option<&ArrayValue>, value: &Datum| extend(call, array, value, false)),
    scalar!("array_prepend", |call; value: &Datum, array: Option<&ArrayValue>| extend(call, array, value, true)),
    scalar!("array_cat", |a: &Datum, b: &Datum| concatenate(a, b)),
    scalar!("array_fill", |call; value: &Datum, lengths: Option<&ArrayValue>| fill(call, value, lengths, None)),
    scalar!("array_fill_with_lower_bounds", |call; value: &Datum, lengths: Option<&ArrayValue>, lowers: Option<&ArrayValue>| {
        let lowers = lowers.ok_or_else(|| EvalError::new("22004", "dimension array or low bound array cannot be null"))?;
        fill(call, value, lengths, Some(lowers))
    }),
];

/// A NULL array is an empty one.
fn extend(call: &Call<'_>, array: Option<&ArrayValue>, value: &Datum, in_front: bool) -> EvalResult<Datum> {
    let element = array.map_or_else(|| call.result.element().unwrap_or(SqlType::TEXT).base(), |array| array.element);
    let (dimensions, elements) = array.map_or((&[][..], &[][..]), |array| (&array.dimensions[..], &array.elements[..]));
    let lower = match dimensions {
        [] => 1,
        [(length, lower)] => {
            lower.checked_add(*length).ok_or_else(|| crate::numeric::out_of_range("integer"))?;
            *lower
        }
        _ => return Err(EvalError::new("22000", "argument must be empty or one-dimensional array")),
    };
    let mut all = Vec::with_capacity(elements.len() + 1);
    if in_front {
        all.push(value.clone());
    }
    all.extend_from_slice(elements);
    if !in_front {
        all.push(value.clone());
    }
    Ok(with_lower(element, all, lower))
}

/// Arrays of one shape follow each other; an array of one dimension less is an element of the other.
fn concatenate(a: &Datum, b: &Datum) -> EvalResult<Datum> {
    let (a, b) = match (a, b) {
        (Datum::Array(a), Datum::Array(b)) => (a, b),
        (Datum::Null, other) | (other, _) => return Ok(other.clone()),
    };
    if a.elements.is_empty() {
        return Ok(Datum::Array(b.clone()));
    }
    if b.elements.is_empty() {
        return Ok(Datum::Array(a.clone()));
    }
    let incompatible =
        |detail: String| EvalError::new("2202E", "cannot concatenate incompatible arrays").with_detail(detail);
    let differing =
        || incompatible("Arrays with differing dimensions are not compatible for concatenation.".to_owned());
    let (da, db) = (&a.dimensions[..], &b.dimensions[..]);
    let (mut dimensions, inner_a, inner_b, first) = match da.len() as i32 - db.len() as i32 {
        0 => (da.to_vec(), &da[1..], &db[1..], da[0].0.checked_add(db[0].0)),
        1 => (da.to_vec(), &da[1..], db, da[0].0.checked_add(1)),
        -1 => (db.to_vec(), da, &db[1..], db[0].0.checked_add(1)),
        _ => {
            let detail =
                format!("Arrays of {} and {} dimensions are not compatible for concatenation.", da.len(), db.len());
            return Err(incompatible(detail));
        }
    };
    if inner_a != inner_b {
        return Err(differing());
    }
    dimensions[0].0 = first.ok_or_else(too_large)?;
    Ok(shaped(a.element, dimensions, a.elements.iter().chain(&b.elements).cloned().collect()))
}

fn fill(
    call: &Call<'_>,
    value: &Datum,
    lengths: Option<&ArrayValue>,
    lowers: Option<&ArrayValue>,
) -> EvalResult<Datum> {
    let lengths =
        lengths.ok_or_else(|| EvalError::new("22004", "dimension array or low bound array cannot be null"))?;
    let numbers = |array: &ArrayValue| -> EvalResult<Vec<i32>> {
        if array.dimensions.len() > 1 {
            return Err(EvalError::new("2202E", "wrong number of array subscripts")
                .with_detail("Dimension array must be one dimensional."));
        }
        let number = |element: &Datum| match element {
            Datum::Int4(number) => Ok(*number),
            _ => Err(EvalError::new("22004", "dimension values cannot be null")),
        };
        array.elements.iter().map(number).collect()
    };
    let element = call.arg_type(0).base();
    let lengths = numbers(lengths)?;
    if lengths.len() > DIMENSIONS_MAX {
        return Err(too_many_dimensions(lengths.len()));
    }
    let lowers = match lowers {
        Some(lowers) => numbers(lowers)?,
        None => vec![1; lengths.len()],
    };
    if lowers.len() != lengths.len() {
        return Err(EvalError::new("2202E", "wrong number of array subscripts")
            .with_detail("Low bound array has different size than dimensions array."));
    }
    let total = lengths.iter().try_fold(1_usize, |total, length| total.checked_mul(usize::try_from(*length).ok()?));
    let total = total.filter(|total| *total as i64 <= ELEMENTS_MAX).ok_or_else(too_large)?;
    if lengths.is_empty() || total == 0 {
        return Ok(array_from_elements(element, Vec::new()));
    }
    Ok(shaped(element, lengths.into_iter().zip(lowers).collect(), vec![value.clone(); total]))
}

/// NULL is an element of nothing.
fn contains(array: &ArrayValue, wanted: &Datum) -> bool {
    !wanted.is_null() && array.elements.iter().any(|element| !element.is_null() && same(element, wanted, array.element))
}

const CONTAINMENT: Table = &[
    scalar!("arraycontains", |a: &ArrayValue, b: &ArrayValue| b.elements.iter().all(|element| contains(a, element))),
    scalar!("arraycontained", |a: &ArrayValue, b: &ArrayValue| a.elements.iter().all(|element| contains(b, element))),
    scalar!("arrayoverlap", |a: &ArrayValue, b: &ArrayValue| b.elements.iter().any(|element| contains(a, element))),
];

const TEXT: Table = &[
    scalar!("array_to_text", |call; array: &ArrayValue, separator: &str| joined(call, array, separator, None)),
    scalar!("array_to_text_null", |call; array: Option<&ArrayValue>, separator: Option<&str>, null: Option<&str>| {
        match (array, separator) {
            (Some(array), Some(separator)) => Some(joined(call, array, separator, null)),
            _ => None,
        }
    }),
    scalar!("text_to_array", |text: Option<&str>, separator: Option<&str>| {
        check_pieces(text, separator)?;
        text.map(|text| array_from_elements(SqlType::TEXT, split(text, separator, None)))
    }),
    scalar!("text_to_array_null", |text: Option<&str>, separator: Option<&str>, null: Option<&str>| {
        check_pieces(text, separator)?;
        text.map(|text| array_from_elements(SqlType::TEXT, split(text, separator, null)))
    }),
];

/// NULLs are left out unless a text stands for them.
fn joined(call: &Call<'_>, array: &ArrayValue, separator: &str, null: Option<&str>) -> String {
    let mut out = String::new();
    let mut first = true;
    for element in array.elements.iter().filter(|element| !element.is_null() || null.is_some()) {
        if !std::mem::take(&mut first) {
            out.push_str(separator);
        }
        match null {
            Some(null) if element.is_null() => out.push_str(null),
            _ => element.to_text(array.element, call.ctx, &mut out),
        }
    }
    out
}

/// Before so many pieces are made.
fn check_pieces(text: Option<&str>, separator: Option<&str>) -> EvalResult<()> {
    let text = text.unwrap_or_default();
    let pieces = match separator {
        None => text.len(),
        Some("") => 1,
        Some(separator) => text.matches(separator).count() + 1,
    };
    if pieces as i64 > ELEMENTS_MAX { Err(too_large()) } else { Ok(()) }
}

/// Without a separator each character is a piece; pieces equal to `null` are NULL.
pub(crate) fn split(text: &str, separator: Option<&str>, null: Option<&str>) -> Vec<Datum> {
    let piece = |piece: &str| if null == Some(piece) { Datum::Null } else { Datum::text(piece) };
    match separator {
        _ if text.is_empty() => Vec::new(),
        None => text.chars().map(|c| piece(c.encode_utf8(&mut [0; 4]))).collect(),
        Some("") => vec![piece(text)],
        Some(separator) => text.split(separator).map(piece).collect(),
    }
}

/// Puts arrays of one shape together into one with a dimension more.
pub fn nest_arrays(element: SqlType, values: Vec<Datum>) -> EvalResult<Datum> {
    let mismatch =
        || EvalError::new("2202E", "multidimensional arrays must have array expressions with matching dimensions");
    let mut inner: Option<Vec<(i32, i32)>> = None;
    let (mut elements, mut count) = (Vec::new(), 0);
    for value in values {
        // A NULL among arrays is passed over, as an empty array is.
        let Datum::Array(array) = value else { continue };
        if array.elements.is_empty() {
            continue;
        }
        match &inner {
            None => inner = Some(array.dimensions.clone()),
            Some(first) if *first != array.dimensions => return Err(mismatch()),
            Some(_) => {}
        }
        count += 1;
        elements.extend(array.elements.iter().cloned());
    }
    let inner = inner.unwrap_or_default();
    if elements.is_empty() {
        return Ok(array_from_elements(element, Vec::new()));
    }
    if inner.len() + 1 > DIMENSIONS_MAX {
        return Err(too_many_dimensions(inner.len() + 1));
    }
    Ok(shaped(element, std::iter::once((count, 1)).chain(inner).collect(), elements))
}
