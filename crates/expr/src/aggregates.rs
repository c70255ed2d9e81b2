//! Aggregates: those rows of `pg_proc` that are aggregates, with their rows of `pg_aggregate`
//! (data/aggregates.tsv). An [`AggregateKind`] is the `pg_proc` OID.

use std::sync::LazyLock;

use crate::functions::{self, FunctionEntry, FunctionKind};
use crate::table::{Fields, Rows, StaticMap};
use crate::{AggregateKind, FunctionId, Oid};

#[derive(Clone, Debug)]
pub struct AggregateEntry {
    pub id: AggregateKind,
    /// Name, arguments and result.
    pub function: &'static FunctionEntry,
    /// `n` ordinary, `o` ordered-set, `h` hypothetical-set.
    pub kind: char,
    pub direct_args: u16,
    pub transition: FunctionId,
    pub finish: Option<FunctionId>,
    pub state: Oid,
    /// The operator whose order gives the result its first row has (min, max).
    pub sort_operator: Option<Oid>,
    pub initial: &'static str,
}

static AGGREGATES: LazyLock<StaticMap<u32, AggregateEntry>> = LazyLock::new(|| {
    let entries = Rows::of(include_str!("../data/aggregates.tsv")).map(read);
    entries.map(|entry| (entry.id.0, entry)).collect()
});

fn read(mut row: Fields) -> AggregateEntry {
    let id: u32 = row.number();
    AggregateEntry {
        id: AggregateKind(id),
        function: functions::by_id(FunctionId(id)).expect("each aggregate is a function"),
        kind: row.letter(),
        direct_args: row.number(),
        transition: FunctionId(row.number()),
        finish: Some(FunctionId(row.number())).filter(|id| id.0 != 0),
        state: row.oid(),
        sort_operator: Some(row.oid()).filter(|oid| oid.0 != 0),
        initial: row.text(),
    }
}

/// All aggregates of a name. Resolution goes over [`functions::by_name`], which has them too; this is the
/// question whether a name is an aggregate at all.
pub fn by_name(name: &str) -> impl Iterator<Item = &'static AggregateEntry> {
    let overloads = functions::by_name(name).iter().filter(|entry| entry.kind == FunctionKind::Aggregate);
    overloads.filter_map(|entry| by_kind(AggregateKind(entry.id.0)))
}

pub fn by_kind(kind: AggregateKind) -> Option<&'static AggregateEntry> {
    AGGREGATES.get(&kind.0)
}

/// By OID.
pub fn all() -> Vec<&'static AggregateEntry> {
    let mut entries: Vec<_> = AGGREGATES.values().collect();
    entries.sort_by_key(|entry| entry.id.0);
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SqlType;

    #[test]
    fn aggregates_are_functions() {
        assert!(
            by_name("sum")
                .any(|entry| *entry.function.args == [SqlType::INT8.oid]
                    && entry.function.result == SqlType::NUMERIC.oid)
        );
        assert_eq!(by_name("lower").count(), 0, "lower is a function of text and of ranges, not an aggregate");
        assert!(all().iter().all(|entry| entry.function.kind == FunctionKind::Aggregate));
    }
}
