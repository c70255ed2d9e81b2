//! `pg_type` and `pg_range`.

use std::sync::LazyLock;

use expr::types::{self, TypeEntry};
use expr::{Oid, Row, functions};

use super::relations::{VirtualRelation, by_name, lines, number};
use super::row::{Equal, Fixed, row};
use crate::catalog::builtin::{PG_CATALOG, ROOT};

pub(super) fn rows(equal: &Equal<'_>) -> Vec<Row> {
    static TYPES: LazyLock<Fixed> = LazyLock::new(|| {
        let relation = by_name(PG_CATALOG, "pg_type").expect("pg_type is a relation");
        Fixed::new(types::all().iter().map(|entry| one(relation, entry)).collect())
    });
    TYPES.rows(equal.pairs)
}

/// A function by the name that `pg_type` has for it.
fn function(name: &str) -> Oid {
    match functions::by_name(name) {
        [first, ..] => Oid(first.id.0),
        [] => Oid(0),
    }
}

fn one(relation: &VirtualRelation, entry: &TypeEntry) -> Row {
    let kind = entry.kind.letter();
    let analyze = match kind {
        'r' => "range_typanalyze",
        'm' => "multirange_typanalyze",
        _ if entry.is_array() && !entry.is_vector() => "array_typanalyze",
        _ if entry.name == "tsvector" => "ts_typanalyze",
        _ => "-",
    };
    row! { relation;
        oid: entry.oid,
        typname: entry.name,
        typnamespace: PG_CATALOG,
        typowner: ROOT,
        typlen: entry.len,
        typbyval: entry.by_value,
        typtype: kind,
        typcategory: entry.category.letter(),
        typispreferred: entry.preferred,
        typisdefined: true,
        typdelim: entry.delimiter,
        typrelid: Oid(0),
        typsubscript: function(entry.subscript),
        typelem: entry.element,
        typarray: entry.array,
        typinput: function(entry.input),
        typoutput: function(entry.output),
        typreceive: function(entry.receive),
        typsend: function(entry.send),
        typmodin: function(entry.modifier_in),
        typmodout: function(entry.modifier_out),
        typanalyze: function(analyze),
        typalign: entry.align,
        typstorage: entry.storage,
        typnotnull: false,
        typbasetype: Oid(0),
        typtypmod: -1,
        typndims: 0,
        typcollation: entry.collation,
    }
}

pub(super) fn ranges(equal: &Equal<'_>) -> Vec<Row> {
    let make = |line: Vec<&str>| {
        let oid = |at: usize| Oid(number(line[at]));
        row! { equal.relation;
            rngtypid: oid(0),
            rngsubtype: oid(1),
            rngmultitypid: oid(2),
            rngcollation: oid(3),
            rngsubopc: oid(4),
            rngcanonical: oid(5),
            rngsubdiff: oid(6),
        }
    };
    lines(include_str!("data/range.tsv")).map(make).collect()
}
