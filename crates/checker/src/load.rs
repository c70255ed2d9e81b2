//! What clients ask for: operations that make the most of a checker. Things are used for a while and then replaced by fresh
//! ones, so that what has to be read stays small, and begins are seen often.
//!
//! Whoever runs them says where they lie and how they are carried out: see `sim` and `cairn workload`.

use crate::causal::CausalOp;
use crate::g2::G2Op;
use crate::judge::Checked;
use crate::long_fork::ForkOp;
use crate::monotonic::MonotonicOp;
use crate::register::RegisterOp;
use crate::sequential::SequentialOp;
use crate::set::SetOp;
use crate::upsert::UpsertOp;

/// `below(n)` draws a number in `0..n`.
pub type Below<'a> = &'a mut dyn FnMut(u64) -> u64;

pub trait Load {
    type Op: Checked;

    /// What some client asks for next.
    fn next_op(&mut self, below: Below<'_>) -> Self::Op;

    /// Reads of everything, for the end.
    fn last_reads(&self) -> Vec<Self::Op>;
}

/// Three registers at a time. To judge one takes time that grows fast with the number of operations.
pub struct Registers {
    /// Registers in use, and how often each was.
    active: [(u32, u32); 3],
    next: u32,
}

const REGISTER_OPS: u32 = 120;

impl Default for Registers {
    fn default() -> Registers {
        Registers { active: [(0, 0), (1, 0), (2, 0)], next: 3 }
    }
}

impl Load for Registers {
    type Op = RegisterOp;

    fn next_op(&mut self, below: Below<'_>) -> RegisterOp {
        let (register, used) = &mut self.active[below(3) as usize];
        if *used == REGISTER_OPS {
            (*register, *used) = (self.next, 0);
            self.next += 1;
        }
        *used += 1;
        let key = *register;
        let (from, to) = (below(5) as u32, below(5) as u32);
        match below(3) {
            0 => RegisterOp::Read { key, value: None },
            1 => RegisterOp::Write { key, value: to },
            _ => RegisterOp::Cas { key, from, to, swapped: None },
        }
    }

    fn last_reads(&self) -> Vec<RegisterOp> {
        (0..self.next).map(|key| RegisterOp::Read { key, value: None }).collect()
    }
}

/// One set at a time; three of five operations insert.
#[derive(Default)]
pub struct Sets {
    set: u32,
    elements: u32,
}

const SET_ELEMENTS: u32 = 60;

impl Load for Sets {
    type Op = SetOp;

    fn next_op(&mut self, below: Below<'_>) -> SetOp {
        if below(5) < 2 {
            // Now and then the one before.
            return SetOp::Read { set: self.set.saturating_sub(u32::from(below(4) == 0)), seen: None };
        }
        if self.elements == SET_ELEMENTS {
            *self = Sets { set: self.set + 1, elements: 0 };
        }
        self.elements += 1;
        SetOp::Add { set: self.set, value: self.elements }
    }

    fn last_reads(&self) -> Vec<SetOp> {
        (0..=self.set).map(|set| SetOp::Read { set, seen: None }).collect()
    }
}

/// Groups of [`Forks::KEYS`] keys, each written once.
#[derive(Default)]
pub struct Forks {
    group: u32,
    written: u32,
}

impl Forks {
    pub const KEYS: u32 = 4;
}

impl Load for Forks {
    type Op = ForkOp;

    fn next_op(&mut self, below: Below<'_>) -> ForkOp {
        if below(10) < 7 {
            return ForkOp::Read { group: self.group, seen: None };
        }
        if self.written == Forks::KEYS {
            *self = Forks { group: self.group + 1, written: 0 };
        }
        self.written += 1;
        ForkOp::Write { group: self.group, key: self.written - 1 }
    }

    fn last_reads(&self) -> Vec<ForkOp> {
        (0..=self.group).map(|group| ForkOp::Read { group, seen: None }).collect()
    }
}

/// Inserts into one group at a time, and as many reads of it.
#[derive(Default)]
pub struct Comments {
    group: u32,
    inserted: u32,
}

const COMMENTS: u32 = 24;

impl Load for Comments {
    type Op = CausalOp;

    fn next_op(&mut self, below: Below<'_>) -> CausalOp {
        if below(2) == 0 {
            return CausalOp::Read { group: self.group, seen: None };
        }
        if self.inserted == COMMENTS {
            *self = Comments { group: self.group + 1, inserted: 0 };
        }
        self.inserted += 1;
        CausalOp::Insert { group: self.group, id: self.inserted }
    }

    fn last_reads(&self) -> Vec<CausalOp> {
        (0..=self.group).map(|group| CausalOp::Read { group, seen: None }).collect()
    }
}

/// Two inserts for each key, one after the other, so that they meet. Rows `2n` and `2n + 1` are of key `n`.
#[derive(Default)]
pub struct Skews {
    next_row: u32,
}

impl Load for Skews {
    type Op = G2Op;

    fn next_op(&mut self, below: Below<'_>) -> G2Op {
        if self.next_row > 4 && below(5) == 0 {
            return G2Op::Read { key: self.next_row / 2 - 1 - below(2) as u32, rows: None };
        }
        self.next_row += 1;
        G2Op::Insert { key: (self.next_row - 1) / 2, row: self.next_row - 1 }
    }

    fn last_reads(&self) -> Vec<G2Op> {
        (0..self.next_row.div_ceil(2)).map(|key| G2Op::Read { key, rows: None }).collect()
    }
}

/// Half of the operations insert, the others read the highest number.
#[derive(Default)]
pub struct Numbers;

impl Load for Numbers {
    type Op = MonotonicOp;

    fn next_op(&mut self, below: Below<'_>) -> MonotonicOp {
        match below(100) {
            0..50 => MonotonicOp::Add(None),
            50..98 => MonotonicOp::Highest(None),
            _ => MonotonicOp::Read(None),
        }
    }

    fn last_reads(&self) -> Vec<MonotonicOp> {
        vec![MonotonicOp::Read(None)]
    }
}

/// Keys of [`Parts::PARTS`] parts; two of three operations read one of the last keys.
#[derive(Default)]
pub struct Parts {
    next_key: u32,
}

impl Parts {
    pub const PARTS: u32 = 3;
}

impl Load for Parts {
    type Op = SequentialOp;

    fn next_op(&mut self, below: Below<'_>) -> SequentialOp {
        let parts = Parts::PARTS;
        if self.next_key > 0 && below(3) > 0 {
            let back = below(u64::from(self.next_key).min(3)) as u32;
            return SequentialOp::Read { key: self.next_key - 1 - back, parts, seen: None };
        }
        self.next_key += 1;
        SequentialOp::Write { key: self.next_key - 1, parts }
    }

    fn last_reads(&self) -> Vec<SequentialOp> {
        (0..self.next_key).map(|key| SequentialOp::Read { key, parts: Parts::PARTS, seen: None }).collect()
    }
}

/// A dozen upserts of each key, one after the other.
#[derive(Default)]
pub struct Upserts {
    next_id: u32,
}

const UPSERTS: u32 = 12;

impl Load for Upserts {
    type Op = UpsertOp;

    fn next_op(&mut self, below: Below<'_>) -> UpsertOp {
        let newest = self.next_id / UPSERTS;
        if below(5) < 2 {
            return UpsertOp::Read { key: newest.saturating_sub(below(2) as u32), rows: None };
        }
        self.next_id += 1;
        UpsertOp::Upsert { key: newest, id: self.next_id - 1, created: None }
    }

    fn last_reads(&self) -> Vec<UpsertOp> {
        (0..=self.next_id / UPSERTS).map(|key| UpsertOp::Read { key, rows: None }).collect()
    }
}
