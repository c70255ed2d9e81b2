//! How large a span is, and where to cut it.

use keyspace::{Key, Span, row_boundary};
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

/// What a span holds, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Of all versions, their keys included; intents are not counted.
    pub bytes: u64,
    pub versions: u64,
    /// Where to cut so that both sides are about as large: between two rows, and above the first of them. `None` if
    /// there are fewer than two.
    pub middle: Option<Key>,
}

/// Reads the whole span.
pub fn measure(snapshot: &dyn Snapshot, span: &Span) -> Result<Measured> {
    let mut samples = Samples { kept: Vec::new(), stride: 1, seen: 0 };
    let mut measured = Measured::default();
    let mut last: Option<Vec<u8>> = None;
    let mut iter = snapshot.iter(Family::Data, &span.start, &entries_end(&span.end));
    iter.seek(&span.start)?;
    while iter.valid() {
        let (key, _) = split_data_key(iter.key())?;
        if key >= &span.end[..] {
            break;
        }
        // Entries of the key that a start bound succeeds may be on this side of it.
        if span.contains(key) {
            match &mut last {
                None => last = Some(key.to_vec()),
                Some(before) if before[..] != *key => {
                    samples.offer(measured.bytes, before, key);
                    before.clear();
                    before.extend_from_slice(key);
                }
                Some(_) => {}
            }
            measured.bytes += (iter.key().len() + iter.value().len()) as u64;
            measured.versions += 1;
        }
        iter.next()?;
    }
    measured.middle = samples.nearest(measured.bytes / 2);
    Ok(measured)
}

/// Where the first row of a span at or above `at` begins. Not the first row of the span; `None` if there is none.
pub fn row_at(snapshot: &dyn Snapshot, span: &Span, at: &Key) -> Result<Option<Key>> {
    let first = |from: &Key| -> Result<Option<Key>> {
        let mut iter = snapshot.iter(Family::Data, from, &entries_end(&span.end));
        iter.seek(from)?;
        while iter.valid() {
            let (key, _) = split_data_key(iter.key())?;
            if key >= &span.end[..] {
                return Ok(None);
            }
            if key >= &from[..] {
                return Ok(Some(Key::from(key)));
            }
            iter.next()?;
        }
        Ok(None)
    };
    let at = at.max(&span.start);
    if *at >= span.end {
        return Ok(None);
    }
    let found = first(at)?;
    Ok(if found == first(&span.start)? { None } else { found })
}

/// Every n-th key with the bytes before it; n doubles whenever there are too many.
struct Samples {
    kept: Vec<(u64, Key)>,
    stride: u64,
    seen: u64,
}

impl Samples {
    fn offer(&mut self, bytes_before: u64, before: &[u8], key: &[u8]) {
        if self.seen.is_multiple_of(self.stride) {
            self.kept.push((bytes_before, row_boundary(before, key)));
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
