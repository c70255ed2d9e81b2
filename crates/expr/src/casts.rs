//! Casts: the rows of `pg_cast` (data/casts.tsv), and the ways to convert one type into another that
//! follow from them: relabelling, a function, the text form, element by element.

use std::sync::LazyLock;

use crate::table::{Fields, Rows, StaticMap};
use crate::{CastMethod, FunctionId, Oid, SqlType, types};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CastEntry {
    pub oid: Oid,
    pub from: Oid,
    pub to: Oid,
    /// The `pg_proc` OID of the conversion function, where the method is that.
    pub function: Option<FunctionId>,
    pub context: CastContext,
    pub method: CastMethod,
}

/// Where a cast may be used without being written: each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CastContext {
    /// In any expression.
    Implicit,
    /// When a value is stored into a column.
    Assignment,
    /// Only as `CAST (…)` or `::`.
    Explicit,
}

impl CastContext {
    pub fn letter(self) -> char {
        match self {
            CastContext::Implicit => 'i',
            CastContext::Assignment => 'a',
            CastContext::Explicit => 'e',
        }
    }
}

static CASTS: LazyLock<StaticMap<(u32, u32), CastEntry>> = LazyLock::new(|| {
    let entries = Rows::of(include_str!("../data/casts.tsv")).map(read);
    entries.map(|entry| ((entry.from.0, entry.to.0), entry)).collect()
});

fn read(mut row: Fields) -> CastEntry {
    CastEntry {
        oid: row.oid(),
        from: row.oid(),
        to: row.oid(),
        function: Some(FunctionId(row.number())).filter(|id| id.0 != 0),
        context: match row.letter() {
            'i' => CastContext::Implicit,
            'a' => CastContext::Assignment,
            _ => CastContext::Explicit,
        },
        method: match row.letter() {
            'f' => CastMethod::Function,
            'i' => CastMethod::InOut,
            _ => CastMethod::Relabel,
        },
    }
}

/// The rows of `pg_cast` by OID.
pub fn all() -> Vec<&'static CastEntry> {
    let mut entries: Vec<_> = CASTS.values().collect();
    entries.sort_by_key(|entry| entry.oid);
    entries
}

/// The row of `pg_cast`; an entry with equal types applies a type modifier.
pub fn find(from: Oid, to: Oid) -> Option<&'static CastEntry> {
    CASTS.get(&(from.0, to.0))
}

/// How a value of type `from` becomes one of type `to` in a context; `None` where that is not allowed.
/// PostgreSQL's `find_coercion_pathway`: what `pg_cast` has, else arrays element by element, else through
/// the text form to a string type (on assignment) or from one (when explicit).
pub fn pathway(from: Oid, to: Oid, context: CastContext) -> Option<CastMethod> {
    if from == to {
        return Some(CastMethod::Relabel);
    }
    if let Some(entry) = find(from, to) {
        return (context >= entry.context).then_some(entry.method);
    }
    let array = |oid| types::by_oid(oid).filter(|entry| entry.is_array());
    // Into the vectors of the catalog there is no such way: they have one dimension and no NULLs.
    if let (Some(from), Some(to)) = (
        array(from).map(|entry| entry.element),
        array(to).filter(|entry| !entry.is_vector()).map(|entry| entry.element),
    ) {
        return pathway(from, to, context).map(|method| match method {
            CastMethod::Relabel => CastMethod::Relabel,
            _ => CastMethod::Array,
        });
    }
    let is_string = |oid| SqlType::from(oid).is_string();
    let through_text =
        context >= CastContext::Assignment && is_string(to) || context >= CastContext::Explicit && is_string(from);
    through_text.then_some(CastMethod::InOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_limit_casts() {
        use CastContext::*;
        let way = |from: SqlType, to: SqlType, context| pathway(from.oid, to.oid, context);
        assert_eq!(way(SqlType::INT4, SqlType::INT8, Implicit), Some(CastMethod::Function));
        assert_eq!(way(SqlType::INT8, SqlType::INT4, Implicit), None);
        assert_eq!(way(SqlType::INT8, SqlType::INT4, Assignment), Some(CastMethod::Function));
        assert_eq!(way(SqlType::INT4, SqlType::BOOL, Assignment), None);
        assert_eq!(way(SqlType::INT4, SqlType::BOOL, Explicit), Some(CastMethod::Function));
        assert_eq!(way(SqlType::VARCHAR, SqlType::TEXT, Implicit), Some(CastMethod::Relabel));
        assert_eq!(way(SqlType::INT4, SqlType::TEXT, Implicit), None);
        assert_eq!(way(SqlType::INT4, SqlType::TEXT, Assignment), Some(CastMethod::InOut));
        assert_eq!(way(SqlType::TEXT, SqlType::INT4, Assignment), None);
        assert_eq!(way(SqlType::TEXT, SqlType::INT4, Explicit), Some(CastMethod::InOut));
        assert_eq!(way(SqlType::INT4_ARRAY, SqlType::INT8_ARRAY, Implicit), Some(CastMethod::Array));
        assert_eq!(way(SqlType::VARCHAR_ARRAY, SqlType::TEXT_ARRAY, Implicit), Some(CastMethod::Relabel));
        assert_eq!(way(SqlType::BOOL, SqlType::DATE, Explicit), None);
    }
}
