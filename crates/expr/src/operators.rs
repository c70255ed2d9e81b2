//! Operators: the rows of `pg_operator` (data/operators.tsv). An operator is a name for a function.

use std::sync::LazyLock;

use crate::table::{Fields, Rows, StaticMap};
use crate::{FunctionId, Oid};

#[derive(Clone, Debug)]
pub struct OperatorEntry {
    pub oid: Oid,
    pub name: &'static str,
    /// `None` for a prefix operator.
    pub left: Option<Oid>,
    pub right: Oid,
    pub result: Oid,
    /// What gives the same with its operands exchanged.
    pub commutator: Option<Oid>,
    pub negator: Option<Oid>,
    pub function: FunctionId,
    pub can_merge: bool,
    pub can_hash: bool,
    /// The selectivity estimators' names; "-" is none.
    pub restrict: &'static str,
    pub join: &'static str,
}

struct Operators {
    /// By name, then OID.
    entries: Vec<OperatorEntry>,
    by_oid: StaticMap<u32, usize>,
    by_function: StaticMap<u32, usize>,
}

static OPERATORS: LazyLock<Operators> = LazyLock::new(|| {
    let mut entries: Vec<OperatorEntry> = Rows::of(include_str!("../data/operators.tsv")).map(read).collect();
    entries.sort_by_key(|entry| (entry.name, entry.oid));
    let mut by_oid = StaticMap::default();
    let mut by_function = StaticMap::default();
    for (at, entry) in entries.iter().enumerate() {
        by_oid.insert(entry.oid.0, at);
        by_function.entry(entry.function.0).or_insert(at);
    }
    Operators { entries, by_oid, by_function }
});

fn read(mut row: Fields) -> OperatorEntry {
    let optional = |oid: Oid| Some(oid).filter(|oid| *oid != Oid(0));
    let (oid, name, _kind) = (row.oid(), row.text(), row.letter());
    OperatorEntry {
        oid,
        name,
        can_merge: row.flag(),
        can_hash: row.flag(),
        left: optional(row.oid()),
        right: row.oid(),
        result: row.oid(),
        commutator: optional(row.oid()),
        negator: optional(row.oid()),
        function: FunctionId(row.number()),
        restrict: row.text(),
        join: row.text(),
    }
}

pub fn all() -> &'static [OperatorEntry] {
    &OPERATORS.entries
}

/// All operators of a name, prefix and binary.
pub fn by_name(name: &str) -> &'static [OperatorEntry] {
    let entries = &OPERATORS.entries;
    let start = entries.partition_point(|entry| entry.name < name);
    let len = entries[start..].partition_point(|entry| entry.name == name);
    &entries[start..start + len]
}

pub fn by_oid(oid: Oid) -> Option<&'static OperatorEntry> {
    OPERATORS.by_oid.get(&oid.0).map(|at| &OPERATORS.entries[*at])
}

/// The operator that `function` implements: what the planner needs to turn a comparison around.
pub fn by_function(function: FunctionId) -> Option<&'static OperatorEntry> {
    OPERATORS.by_function.get(&function.0).map(|at| &OPERATORS.entries[*at])
}

/// The function of the commutator of the operator behind `function`.
pub fn commutator(function: FunctionId) -> Option<FunctionId> {
    Some(by_oid(by_function(function)?.commutator?)?.function)
}

/// The function of the negator of the operator behind `function`.
pub fn negator(function: FunctionId) -> Option<FunctionId> {
    Some(by_oid(by_function(function)?.negator?)?.function)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SqlType;

    #[test]
    fn comparisons_know_their_mirror_images() {
        let less = by_name("<").iter().find(|op| op.left == Some(SqlType::INT4.oid) && op.right == SqlType::INT8.oid);
        let less = less.expect("int4 < int8");
        let mirror = by_oid(less.commutator.unwrap()).unwrap();
        assert_eq!((mirror.name, mirror.left, mirror.right), (">", Some(SqlType::INT8.oid), SqlType::INT4.oid));
        assert_eq!(commutator(less.function), Some(mirror.function));
        assert_eq!(by_oid(less.negator.unwrap()).unwrap().name, ">=");
        assert!(by_name("-").iter().any(|op| op.left.is_none()), "the prefix minus");
    }
}
