//! How large a span is, and where to cut it.

use keyspace::{Key, Span};
use storage::{Engine, Family, Snapshot};

use crate::Result;
use crate::bounds::entries_end;
use crate::version::split_data_key;

/// Samples kept while looking for the middle.
const SAMPLES_MAX: usize = 512;

/// About how many bytes the versions and intents of a span take. Cheap; blind to recent writes.
pub fn approximate_bytes(engine: &dyn Engine, span: &Span) -> Result<u64> {
    let data = engine.approximate_bytes(Family::Data, &span.start, &entries_end(&span.end))?;
    let intents = engine.approximate_bytes(Family::Intents, &span.start, &span.end)?;
    Ok(data + intents)
}

/// A key near the middle of a span by size, to become the first key of the right half. Not the first key
/// of the span; `None` if the span has fewer than two keys. Reads the whole span.
pub fn split_key(snapshot: &dyn Snapshot, span: &Span) -> Result<Option<Key>> {
    let mut samples = Samples { kept: Vec::new(), stride: 1, seen: 0 };
    let mut bytes = 0;
    let mut last: Option<Vec<u8>> = None;
    let mut iter = snapshot.iter(Family::Data, &span.start, &entries_end(&span.end));
    iter.seek(&span.start)?;
    while iter.valid() {
        let (key, _) = split_data_key(iter.key())?;
        if key >= &span.end[..] {
            break;
        }
        if span.contains(key) && last.as_deref() != Some(key) {
            if last.is_some() {
                samples.offer(bytes, key);
            }
            last = Some(key.to_vec());
        }
        bytes += (iter.key().len() + iter.value().len()) as u64;
        iter.next()?;
    }
    Ok(samples.nearest(bytes / 2))
}

/// Every n-th key with the bytes before it; n doubles whenever there are too many.
struct Samples {
    kept: Vec<(u64, Key)>,
    stride: u64,
    seen: u64,
}

impl Samples {
    fn offer(&mut self, bytes_before: u64, key: &[u8]) {
        if self.seen.is_multiple_of(self.stride) {
            self.kept.push((bytes_before, key.into()));
        }
        self.seen += 1;
        if self.kept.len() >= SAMPLES_MAX {
            let mut number = 0;
            self.kept.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            self.stride *= 2;
        }
    }

    fn nearest(self, middle: u64) -> Option<Key> {
        self.kept.into_iter().min_by_key(|(before, _)| before.abs_diff(middle)).map(|(_, key)| key)
    }
}
