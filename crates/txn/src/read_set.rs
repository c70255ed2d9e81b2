//! # What a SERIALIZABLE transaction has read
//!
//! When a transaction moves to a later number, every span it has read is refreshed: nobody may have committed into it
//! in between. The set is bounded: beyond [`SPANS_MAX`] spans neighbours are merged. A larger span than what was read
//! can fail a refresh that need not fail; it can never let one pass that must not.
//!
//! What the running statement reads is kept apart, because a statement that runs again forgets it.

use keyspace::{Key, Span};
use smallvec::SmallVec;

/// Spans kept exactly.
pub(crate) const SPANS_MAX: usize = 4096;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Read {
    Point(Key),
    Range(Span),
}

impl Read {
    fn start(&self) -> &Key {
        match self {
            Read::Point(key) => key,
            Read::Range(span) => &span.start,
        }
    }

    fn into_span(self) -> Span {
        match self {
            Read::Point(key) => Span::point(key),
            Read::Range(span) => span,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct ReadSet {
    /// In the order they were made; those before `statement` belong to earlier statements.
    reads: SmallVec<[Read; 2]>,
    statement: usize,
    /// Reads at which the list is next brought into order.
    tidy_at: usize,
}

impl ReadSet {
    pub fn is_empty(&self) -> bool {
        self.reads.is_empty()
    }

    pub fn add_key(&mut self, key: &Key) {
        self.reads.push(Read::Point(key.clone()));
        self.bound();
    }

    pub fn add_span(&mut self, span: Span) {
        if span.is_empty() {
            return;
        }
        // The pages of one scan become one span.
        if self.reads.len() > self.statement
            && let Some(Read::Range(last)) = self.reads.last_mut()
        {
            if last.end == span.start {
                last.end = span.end;
                return;
            }
            if span.end == last.start {
                last.start = span.start;
                return;
            }
        }
        self.reads.push(Read::Range(span));
        self.bound();
    }

    /// What was read so far can no longer be taken back.
    pub fn begin_statement(&mut self) {
        self.statement = self.reads.len();
    }

    /// Forgets what the running statement has read.
    pub fn restart_statement(&mut self) {
        self.reads.truncate(self.statement);
    }

    /// Everything read, in key order, without overlaps.
    pub fn spans(&mut self) -> Vec<Span> {
        self.reads.sort_by(|a, b| a.start().cmp(b.start()));
        // Order now crosses statements: nothing may be taken back from here on, and nothing is, because this is
        // called when the running statement has been forgotten or is done.
        self.statement = self.reads.len();
        coalesce(self.reads.iter().cloned().map(Read::into_span))
    }

    /// Keeps each part below [`SPANS_MAX`] by merging neighbours.
    fn bound(&mut self) {
        if self.reads.len() < self.tidy_at.max(2 * SPANS_MAX) {
            return;
        }
        let running = self.reads.drain(self.statement..).collect();
        let earlier = std::mem::take(&mut self.reads).into_vec();
        self.reads = tidy(earlier).into();
        self.statement = self.reads.len();
        self.reads.extend(tidy(running));
        self.tidy_at = self.reads.len() + SPANS_MAX;
    }
}

fn tidy(mut reads: Vec<Read>) -> Vec<Read> {
    reads.sort_by(|a, b| a.start().cmp(b.start()));
    reads.dedup();
    if reads.len() <= SPANS_MAX {
        return reads;
    }
    let mut spans = coalesce(reads.into_iter().map(Read::into_span));
    while spans.len() > SPANS_MAX {
        spans = merge_closest(spans, SPANS_MAX / 2);
    }
    spans.into_iter().map(Read::Range).collect()
}

/// Joins ordered spans that touch or overlap.
fn coalesce(ordered: impl Iterator<Item = Span>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for span in ordered {
        match spans.last_mut() {
            Some(last) if span.start <= last.end => {
                if span.end > last.end {
                    last.end = span.end;
                }
            }
            _ => spans.push(span),
        }
    }
    spans
}

/// Leaves `keep` spans by closing the gaps between those neighbours whose keys have the most in common: rows of one
/// index before rows of two, rows of one table before two tables.
fn merge_closest(spans: Vec<Span>, keep: usize) -> Vec<Span> {
    let in_common = |pair: &[Span]| pair[0].end.iter().zip(pair[1].start.iter()).take_while(|(a, b)| a == b).count();
    let mut gaps: Vec<(usize, usize)> = spans.windows(2).enumerate().map(|(at, pair)| (in_common(pair), at)).collect();
    gaps.sort_by(|a, b| b.cmp(a));
    let mut close = vec![false; spans.len()];
    for (_, at) in gaps.into_iter().take(spans.len().saturating_sub(keep)) {
        close[at + 1] = true;
    }
    let mut merged: Vec<Span> = Vec::with_capacity(keep);
    for (at, span) in spans.into_iter().enumerate() {
        match merged.last_mut() {
            Some(last) if close[at] => last.end = span.end,
            _ => merged.push(span),
        }
    }
    merged
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
    fn pages_become_one_span_in_both_directions() {
        let mut reads = ReadSet::default();
        reads.add_span(span("a", "c"));
        reads.add_span(span("c", "f"));
        reads.add_span(span("x", "z"));
        reads.add_span(span("t", "x"));
        assert_eq!(reads.reads.len(), 2);
        assert_eq!(reads.spans(), [span("a", "f"), span("t", "z")]);
    }

    #[test]
    fn a_statement_that_runs_again_forgets_only_its_own() {
        let mut reads = ReadSet::default();
        reads.add_key(&key("k"));
        reads.add_span(span("a", "b"));
        reads.begin_statement();
        reads.add_span(span("b", "c"));
        reads.add_key(&key("m"));
        reads.restart_statement();
        assert_eq!(reads.spans(), [span("a", "b"), Span::point(key("k"))]);
    }

    #[test]
    fn the_set_is_bounded_and_still_covers_everything() {
        let mut reads = ReadSet::default();
        let name = |n: u32| Key::from(format!("{:02}/{:06}", n % 7, n).into_bytes());
        for n in 0..50_000 {
            reads.add_key(&name(n));
            assert!(reads.reads.len() <= 4 * SPANS_MAX);
        }
        let spans = reads.spans();
        let covers = |key: Key| spans[spans.partition_point(|span| span.end <= key)].contains(&key);
        assert!((0..50_000).all(|n| covers(name(n))));
        assert!(spans.windows(2).all(|pair| pair[0].end < pair[1].start));
        // Nothing was merged across the seven prefixes.
        assert!(spans.iter().all(|span| span.start[..2] == span.end[..2]));
    }
}
