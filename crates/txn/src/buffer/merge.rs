//! The map in memory and the runs on disk as one ordered sequence of keys with all their versions.

use std::collections::btree_map;
use std::iter::Peekable;

use keyspace::{Key, Span};
use smallvec::SmallVec;

use super::run::{Entry, RunCursor};
use super::{Buffer, Versions};
use crate::TxnResult;

pub(super) struct Merge<'a> {
    buffer: &'a Buffer,
    span: Span,
    reverse: bool,
    /// Oldest first.
    runs: SmallVec<[RunCursor<'a>; 2]>,
    memory: Peekable<Memory<'a>>,
}

struct Memory<'a> {
    range: btree_map::Range<'a, Key, Versions>,
    reverse: bool,
}

impl<'a> Iterator for Memory<'a> {
    type Item = (&'a Key, &'a Versions);

    fn next(&mut self) -> Option<Self::Item> {
        if self.reverse { self.range.next_back() } else { self.range.next() }
    }
}

impl<'a> Merge<'a> {
    pub fn over(buffer: &'a Buffer, span: &Span, reverse: bool) -> TxnResult<Merge<'a>> {
        let cursor = |run| {
            if reverse { RunCursor::backward(run, &span.end) } else { RunCursor::forward(run, &span.start) }
        };
        let runs = buffer.runs.iter().map(cursor).collect::<TxnResult<_>>()?;
        let memory = Memory { range: buffer.memory(span), reverse }.peekable();
        Ok(Merge { buffer, span: span.clone(), reverse, runs, memory })
    }

    /// The next key that has versions which count.
    pub fn next(&mut self) -> TxnResult<Option<Entry>> {
        loop {
            let Some(key) = self.next_key()? else { return Ok(None) };
            let mut versions = Versions::new();
            for run in &mut self.runs {
                if run.peek()? == Some(&key) {
                    let (_, of_run) = run.next().expect("it was just looked at");
                    versions.extend(of_run.into_iter().filter(|version| self.buffer.counts(version)));
                }
            }
            if let Some((_, of_memory)) = self.memory.next_if(|(other, _)| **other == key) {
                versions.extend(of_memory.iter().cloned());
            }
            if !versions.is_empty() {
                return Ok(Some((key, versions)));
            }
        }
    }

    fn next_key(&mut self) -> TxnResult<Option<Key>> {
        let mut next = self.memory.peek().map(|(key, _)| (*key).clone());
        for run in &mut self.runs {
            let Some(key) = run.peek()?.filter(|key| self.span.contains(key)) else { continue };
            let comes_first = next.as_ref().is_none_or(|next| if self.reverse { key > next } else { key < next });
            if comes_first {
                next = Some(key.clone());
            }
        }
        Ok(next)
    }
}
