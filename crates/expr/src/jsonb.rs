//! jsonb: a parsed document with PostgreSQL's key order and comparison.

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jsonb {
    pub(crate) value: serde_json::Value,
}
