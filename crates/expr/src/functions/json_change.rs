//! jsonb documents changed: joined, with parts set, inserted, deleted.

use std::sync::Arc;

use super::json::steps;
use super::native::{Table, scalar};
use crate::json::{Jsonb, Node, NodeKind, array_index, escape_into, parse, write_pretty};
use crate::{ArrayValue, Datum, EvalError, EvalResult};

pub(super) const FUNCTIONS: &[Table] = &[&[
    scalar!("jsonb_concat", |a: &Jsonb, b: &Jsonb| concatenate(a, b)),
    scalar!("jsonb_delete", |json: &Jsonb, key: &str| delete_keys(json, &[key])),
    scalar!("jsonb_delete_array", |json: &Jsonb, keys: &ArrayValue| {
        one_dimension(keys)?;
        let keys: Vec<&str> = keys
            .elements
            .iter()
            .filter_map(|key| if let Datum::Text(key) = key { Some(&**key) } else { None })
            .collect();
        delete_keys(json, &keys)
    }),
    scalar!("jsonb_delete_idx", |json: &Jsonb, index: i32| match json {
        Jsonb::Array(elements) => {
            let mut elements = elements.clone();
            if let Some(at) = array_index(i64::from(index), elements.len()) {
                elements.remove(at);
            }
            Ok(Jsonb::Array(elements))
        }
        Jsonb::Object(_) => Err(EvalError::new("22023", "cannot delete from object using integer index")),
        _ => Err(EvalError::new("22023", "cannot delete from scalar")),
    }),
    scalar!("jsonb_delete_path", |json: &Jsonb, path: &ArrayValue| { delete_path(json, path) }),
    scalar!("jsonb_set", |json: &Jsonb, path: &ArrayValue, new: &Jsonb, create: bool| set(json, path, new, create)),
    scalar!("jsonb_insert", |json: &Jsonb, path: &ArrayValue, new: &Jsonb, after: bool| {
        one_dimension(path)?;
        no_scalar(json, "cannot set path in scalar")?;
        change_at(json, &path_of(path)?, &Change::Insert { new, after })
    }),
    scalar!("jsonb_set_lax", |json: Option<&Jsonb>,
                              path: Option<&ArrayValue>,
                              new: Option<&Jsonb>,
                              create: Option<bool>,
                              treatment: Option<&str>| {
        let (Some(json), Some(path), Some(create)) = (json, path, create) else { return Ok(Datum::Null) };
        let invalid = || {
            EvalError::new(
                "22023",
                "null_value_treatment must be \"delete_key\", \"return_target\", \"use_json_null\", or \"raise_exception\"",
            )
        };
        match (new, treatment.ok_or_else(invalid)?) {
            (Some(new), _) => set(json, path, new, create),
            (None, "raise_exception") => Err(EvalError::new("22004", "JSON value must not be null")
                .with_detail("Exception was raised because null_value_treatment is \"raise_exception\".")
                .with_hint("To avoid, either change the null_value_treatment argument or ensure that an SQL NULL is not passed.")),
            (None, "use_json_null") => set(json, path, &Jsonb::Null, create),
            (None, "delete_key") => delete_path(json, path),
            (None, "return_target") => Ok(json.clone()),
            (None, _) => Err(invalid()),
        }
    }),
    scalar!("jsonb_strip_nulls", |json: &Jsonb| strip(json)),
    scalar!("json_strip_nulls", |json: &str| {
        let mut out = String::with_capacity(json.len());
        strip_text(&mut out, &parse(json)?);
        out
    }),
    scalar!("jsonb_pretty", |json: &Jsonb| {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = write_pretty(&mut out, json, 0);
        out
    }),
]];

fn no_scalar(json: &Jsonb, message: &str) -> EvalResult<()> {
    if matches!(json, Jsonb::Object(_) | Jsonb::Array(_)) { Ok(()) } else { Err(EvalError::new("22023", message)) }
}

fn one_dimension(array: &ArrayValue) -> EvalResult<()> {
    if array.dimensions.len() > 1 { Err(EvalError::new("2202E", "wrong number of array subscripts")) } else { Ok(()) }
}

fn is_empty(json: &Jsonb) -> bool {
    matches!(json, Jsonb::Array(elements) if elements.is_empty())
        || matches!(json, Jsonb::Object(pairs) if pairs.is_empty())
}

fn path_of(path: &ArrayValue) -> EvalResult<Vec<&str>> {
    steps(path).ok_or_else(|| {
        let at = path.elements.iter().position(Datum::is_null).unwrap_or(0) + 1;
        EvalError::new("22004", format!("path element at position {at} is null"))
    })
}

/// Objects are merged, everything else makes an array.
fn concatenate(a: &Jsonb, b: &Jsonb) -> EvalResult<Jsonb> {
    Ok(match (a, b) {
        (Jsonb::Object(a), Jsonb::Object(b)) => Jsonb::object(a.iter().chain(b).cloned().collect()),
        _ => {
            let list = |json: &Jsonb| match json {
                Jsonb::Array(elements) => elements.clone(),
                other => vec![other.clone()],
            };
            Jsonb::Array(list(a).into_iter().chain(list(b)).collect())
        }
    })
}

fn delete_keys(json: &Jsonb, keys: &[&str]) -> EvalResult<Jsonb> {
    Ok(match json {
        Jsonb::Object(pairs) => {
            Jsonb::Object(pairs.iter().filter(|(key, _)| !keys.contains(&&**key)).cloned().collect())
        }
        Jsonb::Array(elements) => {
            let kept = |e: &&Jsonb| !matches!(e, Jsonb::String(text) if keys.contains(&&**text));
            Jsonb::Array(elements.iter().filter(kept).cloned().collect())
        }
        _ => return Err(EvalError::new("22023", "cannot delete from scalar")),
    })
}

fn delete_path(json: &Jsonb, path: &ArrayValue) -> EvalResult<Jsonb> {
    one_dimension(path)?;
    no_scalar(json, "cannot delete path in scalar")?;
    if is_empty(json) { Ok(json.clone()) } else { change_at(json, &path_of(path)?, &Change::Delete) }
}

fn set(json: &Jsonb, path: &ArrayValue, new: &Jsonb, create: bool) -> EvalResult<Jsonb> {
    one_dimension(path)?;
    no_scalar(json, "cannot set path in scalar")?;
    // Without permission to create, an empty document cannot change.
    if is_empty(json) && !create {
        return Ok(json.clone());
    }
    let path = path_of(path)?;
    change_at(json, &path, &Change::Set { new, create })
}

/// What is done at the end of a path.
enum Change<'a> {
    Set { new: &'a Jsonb, create: bool },
    Insert { new: &'a Jsonb, after: bool },
    Delete,
}

/// A path that leads nowhere changes nothing.
fn change_at(json: &Jsonb, path: &[&str], change: &Change<'_>) -> EvalResult<Jsonb> {
    change_level(json, path, 1, change)
}

fn change_level(json: &Jsonb, path: &[&str], position: usize, change: &Change<'_>) -> EvalResult<Jsonb> {
    let Some((step, rest)) = path.split_first() else { return Ok(json.clone()) };
    match json {
        Jsonb::Object(pairs) => {
            let mut pairs = pairs.clone();
            let at = pairs.iter().position(|(key, _)| **key == **step);
            match (at, rest.is_empty(), change) {
                (Some(at), false, _) => pairs[at].1 = change_level(&pairs[at].1, rest, position + 1, change)?,
                (Some(at), true, Change::Set { new, .. }) => pairs[at].1 = (*new).clone(),
                (Some(at), true, Change::Delete) => drop(pairs.remove(at)),
                (Some(_), true, Change::Insert { .. }) => {
                    return Err(EvalError::new("22023", "cannot replace existing key")
                        .with_hint("Try using the function jsonb_set to replace key value."));
                }
                (None, true, Change::Set { new, create: true } | Change::Insert { new, .. }) => {
                    pairs.push((Arc::from(*step), (*new).clone()));
                    return Ok(Jsonb::object(pairs));
                }
                (None, ..) => {}
            }
            Ok(Jsonb::Object(pairs))
        }
        Jsonb::Array(elements) => {
            let index: i64 = step.trim().parse::<i32>().map(i64::from).map_err(|_| {
                EvalError::new("22P02", format!("path element at position {position} is not an integer: \"{step}\""))
            })?;
            change_element(elements, index, rest, position, change)
        }
        scalar => Ok(scalar.clone()),
    }
}

/// Positions before the first or behind the last element are those ends, where something is to be added.
fn change_element(
    elements: &[Jsonb],
    index: i64,
    rest: &[&str],
    position: usize,
    change: &Change<'_>,
) -> EvalResult<Jsonb> {
    let mut elements = elements.to_vec();
    let at = array_index(index, elements.len());
    if !rest.is_empty() {
        if let Some(at) = at {
            elements[at] = change_level(&elements[at], rest, position + 1, change)?;
        }
        return Ok(Jsonb::Array(elements));
    }
    match (at, change) {
        (Some(at), Change::Set { new, .. }) => elements[at] = (*new).clone(),
        (Some(at), Change::Insert { new, after }) => elements.insert(at + usize::from(*after), (*new).clone()),
        (Some(at), Change::Delete) => drop(elements.remove(at)),
        (None, Change::Set { new, create: true } | Change::Insert { new, .. }) => {
            if index < 0 {
                elements.insert(0, (*new).clone())
            } else {
                elements.push((*new).clone())
            }
        }
        (None, _) => {}
    }
    Ok(Jsonb::Array(elements))
}

/// Fields that are null are dropped, elements of arrays are not.
fn strip(json: &Jsonb) -> Jsonb {
    match json {
        Jsonb::Object(pairs) => {
            let kept = pairs.iter().filter(|(_, value)| !matches!(value, Jsonb::Null));
            Jsonb::Object(kept.map(|(key, value)| (key.clone(), strip(value))).collect())
        }
        Jsonb::Array(elements) => Jsonb::Array(elements.iter().map(strip).collect()),
        scalar => scalar.clone(),
    }
}

fn strip_text(out: &mut String, node: &Node<'_>) {
    match &node.kind {
        NodeKind::Object(pairs) => {
            out.push('{');
            let kept = pairs.iter().filter(|(_, value)| !matches!(value.kind, NodeKind::Null));
            for (number, (key, value)) in kept.enumerate() {
                out.push_str(if number > 0 { "," } else { "" });
                // Writing to a string cannot fail.
                let _ = escape_into(out, key);
                out.push(':');
                strip_text(out, value);
            }
            out.push('}');
        }
        NodeKind::Array(elements) => {
            out.push('[');
            for (number, element) in elements.iter().enumerate() {
                out.push_str(if number > 0 { "," } else { "" });
                strip_text(out, element);
            }
            out.push(']');
        }
        NodeKind::String(text) => drop(escape_into(out, text)),
        _ => out.push_str(node.text),
    }
}
