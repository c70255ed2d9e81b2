//! The read-timestamp cache: the highest number at which somebody else has read a key.

use std::collections::BTreeMap;

use keyspace::{Key, Span, Timestamp, TxnId};

/// Spans remembered exactly.
const SPANS_MAX: usize = 256;

#[derive(Default)]
pub(super) struct ReadCache {
    points: BTreeMap<Key, Reads>,
    spans: Vec<(Span, Reads)>,
    low_water: Timestamp,
}

/// The latest read, whose it was, and the latest read of anybody else.
#[derive(Clone, Copy, Default)]
struct Reads {
    latest: Timestamp,
    reader: Option<TxnId>,
    by_others: Timestamp,
}

impl Reads {
    fn add(&mut self, at: Timestamp, reader: Option<TxnId>) {
        if self.latest == at && self.reader == reader {
            return;
        }
        if reader.is_some() && self.reader == reader {
            self.latest = self.latest.max(at);
        } else if at > self.latest {
            self.by_others = self.latest;
            self.latest = at;
            self.reader = reader;
        } else {
            self.by_others = self.by_others.max(at);
        }
    }

    fn by_others_than(&self, txn: TxnId) -> Timestamp {
        if self.reader == Some(txn) { self.by_others } else { self.latest }
    }
}

impl ReadCache {
    /// `reader`: `None` pushes everybody.
    pub fn raise(&mut self, span: &Span, at: Timestamp, reader: Option<TxnId>) {
        if let Some(key) = span.as_point() {
            self.points.entry(key.clone()).or_default().add(at, reader);
        } else if let Some((_, reads)) = self.spans.iter_mut().find(|(known, _)| known == span) {
            reads.add(at, reader);
        } else {
            let mut reads = Reads::default();
            reads.add(at, reader);
            self.spans.push((span.clone(), reads));
        }
        if self.spans.len() > SPANS_MAX {
            let oldest = self.spans.drain(..SPANS_MAX / 2).map(|(_, reads)| reads.latest).max();
            self.low_water = self.low_water.max(oldest.unwrap_or_default());
        }
    }

    pub fn read_by_others(&self, key: &Key, txn: TxnId) -> Timestamp {
        let point = self.points.get(key).map_or(Timestamp::ZERO, |reads| reads.by_others_than(txn));
        let spans =
            self.spans.iter().filter(|(span, _)| span.contains(key)).map(|(_, reads)| reads.by_others_than(txn));
        spans.fold(point.max(self.low_water), Ord::max)
    }
}
