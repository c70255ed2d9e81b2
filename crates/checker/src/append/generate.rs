//! Transactions to run: few keys at a time, some of them hot, each replaced by a fresh one when its list has become
//! long. Short lists keep reads cheap, and fresh keys show what happens at the begin of a list.

use super::{Step, Txn};
use crate::load::{Below, Load};

/// Shape of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Keys in use at one time. The first is used twice as often as the second, and so on.
    pub keys: u32,
    pub steps_max: u32,
    /// Appends to one key before it is replaced.
    pub appends_max: u32,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes { keys: 10, steps_max: 4, appends_max: 128 }
    }
}

#[derive(Clone, Debug)]
pub struct Generator {
    sizes: Sizes,
    /// Keys in use, with what was appended last.
    active: Vec<(u32, u32)>,
    next_key: u32,
}

impl Generator {
    pub fn new(sizes: Sizes) -> Generator {
        assert!(sizes.keys > 0 && sizes.steps_max > 0 && sizes.appends_max > 0, "a load has a size");
        Generator { sizes, active: (0..sizes.keys).map(|key| (key, 0)).collect(), next_key: sizes.keys }
    }

    fn next_step(&mut self, below: Below<'_>) -> Step {
        let slot = self.draw_slot(below);
        let (key, last) = &mut self.active[slot];
        if below(2) == 0 {
            return Step::Read { key: *key, seen: None };
        }
        *last += 1;
        let step = Step::Append { key: *key, value: *last };
        if *last == self.sizes.appends_max {
            self.active[slot] = (self.next_key, 0);
            self.next_key += 1;
        }
        step
    }

    /// Half of the time the first, else half of the time the second, …
    fn draw_slot(&self, below: Below<'_>) -> usize {
        let last = self.active.len() - 1;
        (0..last).find(|_| below(2) == 0).unwrap_or(last)
    }
}

impl Load for Generator {
    type Op = Txn;

    fn next_op(&mut self, below: Below<'_>) -> Txn {
        let steps = 1 + below(u64::from(self.sizes.steps_max));
        Txn((0..steps).map(|_| self.next_step(below)).collect())
    }

    fn last_reads(&self) -> Vec<Txn> {
        (0..self.next_key).map(|key| Txn(vec![Step::Read { key, seen: None }])).collect()
    }
}
