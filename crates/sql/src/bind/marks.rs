//! Columns that do not exist yet.
//!
//! While the clauses of a SELECT are bound, what a later stage will compute is written as a column with a number above
//! [`FIRST`]: the kind in the upper part, a running number in the lower. Stages replace them; none is left in a plan.

/// Numbers of real columns are below this.
pub(super) const FIRST: usize = 1 << 40;

const KIND: u32 = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Aggregate(usize),
    Window(usize),
    Subquery(usize),
    Set(usize),
    /// A bit of `GROUPING(…)`.
    Grouping(usize),
}

impl Mark {
    pub fn column(self) -> usize {
        let (kind, number) = match self {
            Mark::Aggregate(number) => (1, number),
            Mark::Window(number) => (2, number),
            Mark::Subquery(number) => (3, number),
            Mark::Set(number) => (4, number),
            Mark::Grouping(number) => (5, number),
        };
        assert!(number < FIRST, "a statement has fewer marks than 2^40");
        kind << KIND | number
    }

    pub fn of(column: usize) -> Option<Mark> {
        let number = column & (FIRST - 1);
        match column >> KIND {
            1 => Some(Mark::Aggregate(number)),
            2 => Some(Mark::Window(number)),
            3 => Some(Mark::Subquery(number)),
            4 => Some(Mark::Set(number)),
            5 => Some(Mark::Grouping(number)),
            _ => None,
        }
    }
}
