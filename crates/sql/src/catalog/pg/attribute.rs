//! `pg_attribute` and `pg_attrdef`.

use expr::{Datum, Oid, Row, SqlType};

use super::VirtualContext;
use super::relations::VirtualRelation;
use super::row::{Equal, array, row};
use crate::catalog::{ColumnDescriptor, Identity, IndexDescriptor, RelationKind, Table, TableDescriptor};

pub(super) fn rows(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    if let Some(oid) = equal.oid("attrelid") {
        match (cx.catalog.table(oid), cx.catalog.index(oid)) {
            (Some(table), _) => of_table(equal.relation, table, &mut rows),
            (None, Some((table, index))) => of_index(equal.relation, table, index, &mut rows),
            (None, None) => {}
        }
        return rows;
    }
    for table in cx.all_relations() {
        of_table(equal.relation, table, &mut rows);
        for index in table.named_indexes() {
            of_index(equal.relation, table, index, &mut rows);
        }
    }
    rows
}

fn of_table(pg_attribute: &VirtualRelation, table: &Table, rows: &mut Vec<Row>) {
    let columns = table.columns.iter().filter(|column| !column.hidden);
    rows.extend(columns.map(|column| attribute(pg_attribute, table.oid, column.attnum, column, true)));
}

fn of_index(pg_attribute: &VirtualRelation, table: &Table, index: &IndexDescriptor, rows: &mut Vec<Row>) {
    let columns = index.columns.iter().map(|key| key.column).chain(index.include.iter().copied());
    let columns = columns.filter_map(|id| table.column(id));
    rows.extend(
        columns.enumerate().map(|(at, column)| attribute(pg_attribute, index.oid, at as i16 + 1, column, false)),
    );
}

fn attribute(relation: &VirtualRelation, of: Oid, attnum: i16, column: &ColumnDescriptor, of_table: bool) -> Row {
    let entry = column.ty.entry();
    let missing = column.missing.as_ref().filter(|_| of_table && !column.dropped);
    let dimensions = entry.is_some_and(|entry| entry.is_array() && !entry.is_vector());
    let identity = match column.identity.filter(|_| of_table) {
        Some(Identity::Always) => 'a',
        Some(Identity::ByDefault) => 'd',
        None => '\0',
    };
    row! { relation;
        attrelid: of,
        attname: &column.name,
        atttypid: if column.dropped { Oid(0) } else { column.ty.oid },
        attstattarget: if column.dropped { 0 } else { -1 },
        attlen: entry.map_or(-1, |entry| entry.len),
        attnum: attnum,
        attndims: i32::from(dimensions),
        attcacheoff: -1,
        atttypmod: column.ty.typmod,
        attbyval: entry.is_some_and(|entry| entry.by_value),
        attalign: entry.map_or('i', |entry| entry.align),
        attstorage: entry.map_or('x', |entry| entry.storage),
        attcompression: '\0',
        attnotnull: of_table && column.not_null,
        atthasdef: of_table && has_default(column),
        atthasmissing: missing.is_some(),
        attidentity: identity,
        attgenerated: if of_table && column.generated.is_some() { 's' } else { '\0' },
        attisdropped: column.dropped,
        attislocal: true,
        attinhcount: 0,
        attcollation: entry.map_or(Oid(0), |entry| entry.collation),
        attmissingval: missing.map(|text| array(SqlType::TEXT, vec![Datum::text(text.as_str())])),
    }
}

/// An identity column draws from its sequence without a default of its own.
pub(super) fn has_default(column: &ColumnDescriptor) -> bool {
    !column.dropped && column.identity.is_none() && (column.default.is_some() || column.generated.is_some())
}

/// Defaults have no OIDs of their own: one is made from the table's and the column's.
pub(super) fn default_oid(table: &TableDescriptor, attnum: i16) -> Oid {
    Oid(0x8000_0000 | (table.oid.0.wrapping_mul(1601).wrapping_add(attnum as u32) & 0x7fff_ffff))
}

pub(super) fn defaults(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let of = |table: &Table| {
        let columns = table.columns.iter().filter(|column| has_default(column));
        let row = |column: &ColumnDescriptor| {
            row! { equal.relation;
                oid: default_oid(table, column.attnum),
                adrelid: table.oid,
                adnum: column.attnum,
                adbin: super::describe::default_text(cx.catalog, cx.path, table, column),
            }
        };
        columns.map(row).collect::<Vec<_>>()
    };
    match equal.oid("adrelid") {
        Some(oid) => cx.catalog.table(oid).map(of).unwrap_or_default(),
        None => {
            let tables =
                cx.own_relations().into_iter().filter(|table| !matches!(table.kind, RelationKind::Sequence(_)));
            tables.flat_map(of).collect()
        }
    }
}
