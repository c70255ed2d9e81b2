//! Coverage marks: `probe!("resolved_intent_of_dead_coordinator")` says that a rare path was taken, so
//! that a night of simulation can list the paths it never reached.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

static HITS: RwLock<BTreeMap<&'static str, AtomicU64>> = RwLock::new(BTreeMap::new());

/// Marks that this line was reached.
#[macro_export]
macro_rules! probe {
    ($name:literal) => {
        $crate::record_probe($name)
    };
}

pub fn record_probe(name: &'static str) {
    if let Some(count) = HITS.read().get(name) {
        count.fetch_add(1, Ordering::Relaxed);
        return;
    }
    HITS.write().entry(name).or_default().fetch_add(1, Ordering::Relaxed);
}

/// Every probe reached so far in this process, with its count, by name.
pub fn probe_hits() -> Vec<(&'static str, u64)> {
    HITS.read().iter().map(|(name, count)| (*name, count.load(Ordering::Relaxed))).collect()
}
