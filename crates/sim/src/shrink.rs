//! Which faults does a failure need? The story of a failing seed is told again and again with some of them left
//! out, until none can be spared.
//!
//! Without one fault everything that comes after it is another story, so that which violation is found may change:
//! any counts. What comes out need not be the smallest set there is, but each of its faults is needed.

use std::collections::BTreeSet;

use crate::faults::FaultNumber;
use crate::{SimOptions, SimReport, simulate};

/// What is left of a failing seed.
pub struct Shrunk {
    /// The failing run with no fault to spare.
    pub report: SimReport,
    /// Runs that it took.
    pub runs: u64,
}

/// `None`: nothing is wrong with the seed. `told` hears of each failing run that needs less than those before.
pub fn shrink(options: &SimOptions, mut told: impl FnMut(&SimReport)) -> Option<Shrunk> {
    let mut search = Search { best: simulate(options), runs: 1 };
    if search.best.is_clean() {
        return None;
    }
    told(&search.best);
    if search.fails(SimOptions { wild: false, ..search.best.options.clone() }) {
        told(&search.best);
    }
    let mut parts = 2;
    loop {
        let begun = search.begun();
        let size = begun.len().div_ceil(parts).max(1);
        // The last ones first: often the failure was there before they began to matter.
        if begun.chunks(size).rev().any(|part| search.fails_without(part)) {
            told(&search.best);
            parts = parts.saturating_sub(1).max(2);
        } else if size == 1 {
            return Some(Shrunk { report: search.best, runs: search.runs });
        } else {
            parts = begun.len().min(parts * 2);
        }
    }
}

struct Search {
    /// The failing run with the fewest faults so far.
    best: SimReport,
    runs: u64,
}

impl Search {
    /// Faults that had begun when the failure was found. Others are not needed.
    fn begun(&self) -> Vec<FaultNumber> {
        self.best.faults.iter().map(|(number, _)| *number).collect()
    }

    fn fails_without(&mut self, part: &[FaultNumber]) -> bool {
        let only: BTreeSet<FaultNumber> = self.begun().into_iter().filter(|number| !part.contains(number)).collect();
        self.fails(SimOptions { only_faults: Some(only), ..self.best.options.clone() })
    }

    fn fails(&mut self, options: SimOptions) -> bool {
        self.runs += 1;
        let report = simulate(&options);
        let fails = !report.is_clean();
        if fails {
            self.best = report;
        }
        fails
    }
}
