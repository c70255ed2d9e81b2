//! How much a range is asked for, and where: what a split by load is decided on.
//!
//! Every key and span that a request names is counted; now and then one is kept, so that of each second there are
//! about [`SAMPLES`] however many there were. A request in front of the sample costs one addition.
//!
//! A cut is worth making if it really halves the load: a range that is busy with one key, or with scans over all of
//! it, would be two ranges that are no less busy, and its transactions would have to commit over both.

use std::sync::atomic::{AtomicU64, Ordering};

use env::Env;
use keyspace::{Key, Span};
use parking_lot::Mutex;

/// Of one second, about.
const SAMPLES: u64 = 64;
const SAMPLES_MAX: usize = 256;
/// A judgement on fewer is none.
const SAMPLES_MIN: usize = 32;
/// Of the load, either side may be left with this much at most, in percent: of what was asked for before.
const SIDE_MAX_PERCENT: usize = 66;

/// What a range was asked for since it was last looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    pub requests: u64,
    pub samples: Vec<Span>,
}

#[derive(Debug, Default)]
pub struct Load {
    requests: AtomicU64,
    /// The request to be kept next.
    next: AtomicU64,
    window: Mutex<Sampling>,
}

#[derive(Debug, Default)]
struct Sampling {
    /// One of so many is kept, as the last window was.
    stride: u64,
    samples: Vec<Span>,
}

impl Load {
    pub fn note_key(&self, env: &Env, key: &Key) {
        self.note(env, || Span::point(key.clone()));
    }

    pub fn note_span(&self, env: &Env, span: &Span) {
        self.note(env, || span.clone());
    }

    fn note(&self, env: &Env, what: impl FnOnce() -> Span) {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        if number < self.next.load(Ordering::Relaxed) {
            return;
        }
        let mut sampling = self.window.lock();
        if number >= self.requests.load(Ordering::Relaxed) {
            // Of the window before, which was taken meanwhile.
            return;
        }
        if sampling.samples.len() == SAMPLES_MAX {
            // More comes than in the last window: every other one is enough, of those that are here too.
            let mut place = 0;
            sampling.samples.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            sampling.stride = 2 * sampling.stride + 1;
        }
        // Not at even distances: what is asked for in turns would be seen in part.
        let skipped = env.random_below(2 * sampling.stride + 1);
        self.next.store(number + 1 + skipped, Ordering::Relaxed);
        sampling.samples.push(what());
    }

    /// What came since the last call, and begins anew.
    pub fn take(&self) -> Window {
        let mut sampling = self.window.lock();
        let requests = self.requests.swap(0, Ordering::Relaxed);
        self.next.store(0, Ordering::Relaxed);
        sampling.stride = requests / SAMPLES;
        Window { requests, samples: std::mem::take(&mut sampling.samples) }
    }
}

/// The key at which a cut leaves each side with about half of the load, if there is one. What lies on both sides of it
/// counts for both.
pub fn halving_key(samples: &[Span]) -> Option<Key> {
    if samples.len() < SAMPLES_MIN {
        return None;
    }
    let mut starts: Vec<&Key> = samples.iter().map(|span| &span.start).collect();
    let mut ends: Vec<&Key> = samples.iter().map(|span| &span.end).collect();
    starts.sort_unstable();
    ends.sort_unstable();
    let busier_side = |cut: &Key| {
        let left = starts.partition_point(|start| *start < cut);
        let right = samples.len() - ends.partition_point(|end| *end <= cut);
        left.max(right)
    };
    let mut cuts = starts.clone();
    cuts.dedup();
    let best = cuts.into_iter().skip(1).min_by_key(|cut| busier_side(cut))?;
    (busier_side(best) * 100 <= samples.len() * SIDE_MAX_PERCENT).then(|| best.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(keys: &[&str]) -> Option<String> {
        let samples: Vec<Span> = keys.iter().cycle().take(60).map(|key| Span::point((*key).into())).collect();
        halving_key(&samples).map(|key| key.to_string())
    }

    #[test]
    fn cuts_only_where_it_helps() {
        assert_eq!(cut(&["a", "b", "c", "d"]).as_deref(), Some("c"));
        assert_eq!(cut(&["a"]), None, "one key has it all");
        assert_eq!(cut(&["a", "m", "m", "m", "m", "z"]), None, "one key has most of it");
        assert_eq!(cut(&["a", "m", "m", "z"]), None, "three quarters would stay together");
        assert_eq!(cut(&["a", "b", "m", "m", "z"]).as_deref(), Some("m"));
        let scans = vec![Span::new("a".into(), "z".into()); 60];
        assert_eq!(halving_key(&scans), None, "scans over everything are not halved");
        let few: Vec<Span> = ["a", "b"].iter().map(|key| Span::point((*key).into())).collect();
        assert_eq!(halving_key(&few), None);
    }

    #[test]
    fn a_window_has_some_of_everything() {
        let (env, load) = (Env::os(), Load::default());
        for second in 0..4 {
            for n in 0..100_000_u32 {
                load.note_key(&env, &Key::from(&n.to_be_bytes()[..]));
            }
            let Window { requests, samples } = load.take();
            assert_eq!(requests, 100_000);
            if second > 0 {
                assert!((20..=200).contains(&samples.len()), "{}", samples.len());
                let late = samples.iter().filter(|span| span.start > Key::from(&50_000_u32.to_be_bytes()[..])).count();
                assert!(late * 5 > samples.len(), "{late} of {}", samples.len());
            }
        }
        assert_eq!(load.take(), Window::default());
    }
}
