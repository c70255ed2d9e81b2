//! JSON: the text of type `json`, checked and taken apart without being changed, and `jsonb`, parsed, with
//! PostgreSQL's order of keys and its order of documents.

mod order;
mod parse;
mod path;
mod write;

use std::sync::Arc;

pub(crate) use parse::{Node, NodeKind, check, parse};
pub(crate) use path::{array_index, node_at, value_at};
pub(crate) use write::{escape_into, write_pretty};

use crate::{EvalResult, Numeric};

/// A jsonb document. The keys of an object are ordered by length, then by their bytes, and occur once.
#[derive(Clone, Debug)]
pub enum Jsonb {
    Null,
    String(Arc<str>),
    Number(Numeric),
    Bool(bool),
    Array(Vec<Jsonb>),
    Object(Vec<(Arc<str>, Jsonb)>),
}

impl Jsonb {
    /// 22P02 where the text is not JSON.
    pub fn parse(text: &str) -> EvalResult<Jsonb> {
        Jsonb::from_node(&parse(text)?)
    }

    pub(crate) fn from_node(node: &Node<'_>) -> EvalResult<Jsonb> {
        Ok(match &node.kind {
            NodeKind::Null => Jsonb::Null,
            NodeKind::Bool(value) => Jsonb::Bool(*value),
            NodeKind::Number => Jsonb::Number(node.text.parse()?),
            NodeKind::String(text) => Jsonb::String(text.as_str().into()),
            NodeKind::Array(elements) => {
                Jsonb::Array(elements.iter().map(Jsonb::from_node).collect::<EvalResult<_>>()?)
            }
            NodeKind::Object(pairs) => {
                let pair = |(key, value): &(String, Node)| Ok((Arc::from(key.as_str()), Jsonb::from_node(value)?));
                Jsonb::object(pairs.iter().map(pair).collect::<EvalResult<_>>()?)
            }
        })
    }

    /// An object of pairs in any order; of pairs with equal keys the last one stays.
    pub fn object(mut pairs: Vec<(Arc<str>, Jsonb)>) -> Jsonb {
        let in_order = pairs.windows(2).all(|two| key_order(&two[0].0, &two[1].0).is_lt());
        if !in_order {
            pairs.sort_by(|a, b| key_order(&a.0, &b.0));
            pairs.reverse();
            pairs.dedup_by(|a, b| a.0 == b.0);
            pairs.reverse();
        }
        Jsonb::Object(pairs)
    }

    pub fn field(&self, key: &str) -> Option<&Jsonb> {
        let Jsonb::Object(pairs) = self else { return None };
        let at = pairs.binary_search_by(|(have, _)| key_order(have, key)).ok()?;
        Some(&pairs[at].1)
    }

    /// Negative positions count from the end. A scalar document counts as an array of it.
    pub fn element(&self, index: i64) -> Option<&Jsonb> {
        match self {
            Jsonb::Array(elements) => elements.get(array_index(index, elements.len())?),
            Jsonb::Object(_) => None,
            scalar => array_index(index, 1).map(|_| scalar),
        }
    }

    pub fn type_name(&self) -> &'static str {
        match self {
            Jsonb::Null => "null",
            Jsonb::String(_) => "string",
            Jsonb::Number(_) => "number",
            Jsonb::Bool(_) => "boolean",
            Jsonb::Array(_) => "array",
            Jsonb::Object(_) => "object",
        }
    }

    /// What `->>` gives: a string without quotes, NULL for null.
    pub fn as_text(&self) -> Option<String> {
        match self {
            Jsonb::Null => None,
            Jsonb::String(text) => Some(text.to_string()),
            other => Some(other.to_string()),
        }
    }

    /// Bytes on the heap, roughly, for memory accounting.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Jsonb::Null | Jsonb::Bool(_) => 0,
            Jsonb::String(text) => text.len() + 16,
            Jsonb::Number(number) => number.heap_bytes(),
            Jsonb::Array(elements) => elements.iter().map(|e| e.heap_bytes() + size_of::<Jsonb>()).sum(),
            Jsonb::Object(pairs) => {
                pairs.iter().map(|(key, v)| key.len() + 32 + v.heap_bytes() + size_of::<Jsonb>()).sum()
            }
        }
    }
}

/// The order of keys within an object.
pub(crate) fn key_order(a: &str, b: &str) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_written_as_postgres_writes_them() {
        for (text, expected) in [
            (
                r#" {"bb":1,"a":[1,2.50,{"x":null}],"c":"q\"\u00e9\n"} "#,
                r#"{"a": [1, 2.50, {"x": null}], "c": "q\"é\n", "bb": 1}"#,
            ),
            (r#"{"a":1,"a":2}"#, r#"{"a": 2}"#),
            ("[]", "[]"),
            ("1e3", "1000"),
            (r#""\ud83d\ude00""#, "\"😀\""),
            ("true", "true"),
        ] {
            assert_eq!(Jsonb::parse(text).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn errors_say_what_was_expected() {
        for (text, detail) in [
            ("", "The input string ended unexpectedly."),
            ("{", "The input string ended unexpectedly."),
            ("abc", "Token \"abc\" is invalid."),
            ("[1,]", "Expected JSON value, but found \"]\"."),
            ("{\"a\" 1}", "Expected \":\", but found \"1\"."),
            ("{a:1}", "Token \"a\" is invalid."),
            ("1 2", "Expected end of input, but found \"2\"."),
            ("[1 2]", "Expected \",\" or \"]\", but found \"2\"."),
            ("{\"a\":1,}", "Expected string, but found \"}\"."),
            ("\"\\x\"", "Escape sequence \"\\x\" is invalid."),
            ("01", "Token \"01\" is invalid."),
            ("1.", "Token \"1.\" is invalid."),
        ] {
            let error = Jsonb::parse(text).unwrap_err().0;
            assert_eq!((error.state.as_str(), error.detail.as_deref()), ("22P02", Some(detail)), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(Jsonb::parse(&deep).unwrap_err().0.state.as_str(), "54001");
    }

    #[test]
    fn documents_have_an_order() {
        let ascending = [
            "[]",
            "null",
            "\"a\"",
            "\"b\"",
            "1",
            "2",
            "false",
            "true",
            "[1]",
            "[2]",
            "[1, 2]",
            "{}",
            "{\"a\": 1}",
            "{\"a\": 2}",
            "{\"a\": 1, \"b\": 1}",
        ];
        for pair in ascending.windows(2) {
            let (a, b) = (Jsonb::parse(pair[0]).unwrap(), Jsonb::parse(pair[1]).unwrap());
            assert!(a < b, "{} {}", pair[0], pair[1]);
        }
    }
}
