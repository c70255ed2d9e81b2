//! json and jsonb: taking documents apart.

use super::native::{Table, scalar};
use crate::json::{Jsonb, Node, NodeKind, array_index, node_at, parse, value_at};
use crate::{ArrayValue, Datum, EvalError, EvalResult};

pub(super) const FUNCTIONS: &[Table] = &[TEXT_STEPS, STEPS, QUESTIONS];

/// The text of a part, as a value of type json.
fn part(node: Option<&Node<'_>>) -> Option<Datum> {
    node.map(|node| Datum::text(node.text))
}

fn part_text(node: Option<&Node<'_>>) -> Option<String> {
    node.and_then(Node::as_text)
}

fn field<'n, 'a>(node: &'n Node<'a>, key: &str) -> Option<&'n Node<'a>> {
    match &node.kind {
        NodeKind::Object(_) => node_at(node, &[key]),
        _ => None,
    }
}

fn element<'n, 'a>(node: &'n Node<'a>, index: i32) -> Option<&'n Node<'a>> {
    match &node.kind {
        NodeKind::Array(elements) => elements.get(array_index(i64::from(index), elements.len())?),
        _ => None,
    }
}

/// The steps of a path; `None` if one of them is NULL.
pub(super) fn steps(path: &ArrayValue) -> Option<Vec<&str>> {
    path.elements.iter().map(|step| if let Datum::Text(text) = step { Some(&**text) } else { None }).collect()
}

const TEXT_STEPS: Table = &[
    scalar!("json_object_field", |json: &str, key: &str| part(field(&parse(json)?, key))),
    scalar!("json_object_field_text", |json: &str, key: &str| part_text(field(&parse(json)?, key))),
    scalar!("json_array_element", |json: &str, index: i32| part(element(&parse(json)?, index))),
    scalar!("json_array_element_text", |json: &str, index: i32| part_text(element(&parse(json)?, index))),
    scalar!("json_extract_path", |json: &str, path: &ArrayValue| match steps(path) {
        Some(steps) => Ok(part(node_at(&parse(json)?, &steps))),
        None => Ok(None),
    }),
    scalar!("json_extract_path_text", |json: &str, path: &ArrayValue| match steps(path) {
        Some(steps) => Ok(part_text(node_at(&parse(json)?, &steps))),
        None => Ok(None),
    }),
    scalar!("json_typeof", |json: &str| parse(json)?.type_name()),
    scalar!("json_array_length", |json: &str| match parse(json)?.kind {
        NodeKind::Array(elements) => Ok(elements.len() as i32),
        NodeKind::Object(_) => Err(EvalError::new("22023", "cannot get array length of a non-array")),
        _ => Err(EvalError::new("22023", "cannot get array length of a scalar")),
    }),
];

const STEPS: Table = &[
    scalar!("jsonb_object_field", |json: &Jsonb, key: &str| json.field(key).cloned()),
    scalar!("jsonb_object_field_text", |json: &Jsonb, key: &str| json.field(key).and_then(Jsonb::as_text)),
    scalar!("jsonb_array_element", |json: &Jsonb, index: i32| json.element(i64::from(index)).cloned()),
    scalar!("jsonb_array_element_text", |json: &Jsonb, index: i32| json
        .element(i64::from(index))
        .and_then(Jsonb::as_text)),
    scalar!("jsonb_extract_path", |json: &Jsonb, path: &ArrayValue| {
        steps(path).and_then(|steps| value_at(json, &steps).cloned())
    }),
    scalar!("jsonb_extract_path_text", |json: &Jsonb, path: &ArrayValue| {
        steps(path).and_then(|steps| value_at(json, &steps).and_then(Jsonb::as_text))
    }),
    scalar!("jsonb_typeof", |json: &Jsonb| json.type_name()),
    scalar!("jsonb_array_length", |json: &Jsonb| match json {
        Jsonb::Array(elements) => Ok(elements.len() as i32),
        Jsonb::Object(_) => Err(EvalError::new("22023", "cannot get array length of a non-array")),
        _ => Err(EvalError::new("22023", "cannot get array length of a scalar")),
    }),
];

/// A key of an object, a string of an array, or the string itself.
fn exists(json: &Jsonb, key: &str) -> bool {
    match json {
        Jsonb::Object(_) => json.field(key).is_some(),
        Jsonb::Array(elements) => elements.iter().any(|e| matches!(e, Jsonb::String(text) if **text == *key)),
        Jsonb::String(text) => **text == *key,
        _ => false,
    }
}

fn keys(array: &ArrayValue) -> impl Iterator<Item = &str> {
    array.elements.iter().filter_map(|key| if let Datum::Text(text) = key { Some(&**text) } else { None })
}

/// Each part of `b` is found in `a`, at the same place of the structure.
fn contains(a: &Jsonb, b: &Jsonb) -> bool {
    match (a, b) {
        (Jsonb::Object(_), Jsonb::Object(wanted)) => {
            wanted.iter().all(|(key, value)| a.field(key).is_some_and(|have| contains_value(have, value)))
        }
        (Jsonb::Array(have), Jsonb::Array(wanted)) => {
            wanted.iter().all(|value| have.iter().any(|element| contains_value(element, value)))
        }
        // A scalar document is like an array of it, but no array is like a scalar.
        (Jsonb::Array(have), scalar) if !matches!(scalar, Jsonb::Object(_)) => {
            have.iter().any(|element| element == scalar)
        }
        (Jsonb::Object(_), _) | (_, Jsonb::Object(_) | Jsonb::Array(_)) => false,
        _ => a == b,
    }
}

fn contains_value(a: &Jsonb, b: &Jsonb) -> bool {
    match (a, b) {
        (Jsonb::Object(_), Jsonb::Object(_)) | (Jsonb::Array(_), Jsonb::Array(_)) => contains(a, b),
        (Jsonb::Object(_) | Jsonb::Array(_), _) | (_, Jsonb::Object(_) | Jsonb::Array(_)) => false,
        _ => a == b,
    }
}

const QUESTIONS: Table = &[
    scalar!("jsonb_exists", |json: &Jsonb, key: &str| exists(json, key)),
    scalar!("jsonb_exists_any", |json: &Jsonb, list: &ArrayValue| keys(list).any(|key| exists(json, key))),
    scalar!("jsonb_exists_all", |json: &Jsonb, list: &ArrayValue| keys(list).all(|key| exists(json, key))),
    scalar!("jsonb_contains", |a: &Jsonb, b: &Jsonb| contains(a, b)),
    scalar!("jsonb_contained", |a: &Jsonb, b: &Jsonb| contains(b, a)),
];

/// The elements of a document that must be an array.
pub(crate) fn elements_of<'n, 'a>(node: &'n Node<'a>, name: &str) -> EvalResult<&'n [Node<'a>]> {
    match &node.kind {
        NodeKind::Array(elements) => Ok(elements),
        NodeKind::Object(_) => Err(EvalError::new("22023", format!("cannot call {name} on a non-array"))),
        _ => Err(EvalError::new("22023", format!("cannot call {name} on a scalar"))),
    }
}
