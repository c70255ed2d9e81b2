//! # What nobody else knows of
//!
//! The storage of a table that the transaction creates, empties or rewrites, and the entries of an index that it builds:
//! the ids in those keys are new, and others learn them from the catalog that the transaction commits. Nobody else reads,
//! locks or writes there, and nothing that counts was ever committed there, so what is in such a span is what the
//! transaction itself has buffered. (A writer that failed may have left intents; prewrites meet those as elsewhere.)

use std::collections::BTreeMap;

use bytes::Bytes;
use keyspace::{Key, Span};

/// Rows by which whoever clears up knows what was written ahead of a commit that then failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AheadRows {
    /// Committed before anything else.
    pub note: (Key, Bytes),
    /// Committed with the transaction, which fails if it is there: what is noted and not claimed can be cleared by
    /// whoever claims it first.
    pub claim: Key,
    /// Where the transaction itself says that it has no use for the span any more.
    pub given_up: Key,
}

/// Disjoint spans.
#[derive(Debug, Default)]
pub(crate) struct Owned {
    /// By their start: their end, and whether it can be written ahead of the commit.
    spans: BTreeMap<Key, (Key, Option<AheadRows>)>,
}

impl Owned {
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    pub fn add(&mut self, span: Span, rows: Option<AheadRows>) {
        if !self.contains_span(&span) {
            self.spans.insert(span.start, (span.end, rows));
        }
    }

    pub fn contains(&self, key: &Key) -> bool {
        self.spans.range::<Key, _>(..=key).next_back().is_some_and(|(_, (end, _))| key < end)
    }

    pub fn contains_span(&self, span: &Span) -> bool {
        self.spans.range::<Key, _>(..=&span.start).next_back().is_some_and(|(_, (end, _))| span.end <= *end)
    }

    /// The spans that can be written ahead of the commit, in key order.
    pub fn ahead(&self) -> impl Iterator<Item = (Span, &AheadRows)> {
        self.spans.iter().filter_map(|(start, (end, rows))| {
            let span = Span::new(start.clone(), end.clone());
            rows.as_ref().map(|rows| (span, rows))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::from(text)
    }

    fn span(start: &str, end: &str) -> Span {
        Span::new(key(start), key(end))
    }

    #[test]
    fn a_span_holds_its_start_and_not_its_end() {
        let mut owned = Owned::default();
        assert!(!owned.contains(&key("b")));
        owned.add(span("b", "d"), None);
        owned.add(span("f", "g"), None);
        owned.add(span("bx", "c"), None); // within another one: nothing new
        let all = ["a", "b", "c", "cz", "d", "e", "f", "g"];
        let held: Vec<_> = all.into_iter().filter(|text| owned.contains(&key(text))).collect();
        assert_eq!(held, ["b", "c", "cz", "f"]);
        assert!(owned.contains_span(&span("b", "d")));
        assert!(owned.contains_span(&span("c", "cz")));
        assert!(!owned.contains_span(&span("c", "e")));
        assert!(!owned.contains_span(&span("a", "c")));
    }
}
