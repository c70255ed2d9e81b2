//! `pg_index`.

use std::sync::LazyLock;

use expr::{Oid, Row, SqlType};

use super::VirtualContext;
use super::fixed;
use super::relations::{VirtualRelation, lines, number};
use super::row::{Equal, Int2Vector, OidVector, row};
use crate::catalog::snapshot::Map;
use crate::catalog::{IndexDescriptor, IndexState, Table, TableDescriptor};

pub(super) fn rows(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let of = |table: &Table| {
        let indexes = table.named_indexes().map(|index| one(equal.relation, table, index));
        indexes.collect::<Vec<_>>()
    };
    if let Some(oid) = equal.oid("indexrelid") {
        return cx.catalog.index(oid).map(|(table, index)| one(equal.relation, table, index)).into_iter().collect();
    }
    match equal.oid("indrelid") {
        Some(oid) => cx.catalog.table(oid).map(of).unwrap_or_default(),
        None => cx.own_relations().into_iter().flat_map(of).collect(),
    }
}

fn one(pg_index: &VirtualRelation, table: &TableDescriptor, index: &IndexDescriptor) -> Row {
    let columns = index.columns.iter().map(|key| key.column).chain(index.include.iter().copied());
    let attnums = columns.map(|id| table.column(id).map_or(0, |column| column.attnum)).collect();
    let types =
        || index.columns.iter().map(|key| table.column(key.column).map_or(SqlType::UNKNOWN, |column| column.ty));
    let option = |descending: bool, nulls_first: bool| i16::from(descending) | i16::from(nulls_first) << 1;
    let is_public = index.state == IndexState::Public;
    row! { pg_index;
        indexrelid: index.oid,
        indrelid: table.oid,
        indnatts: (index.columns.len() + index.include.len()) as i16,
        indnkeyatts: index.columns.len() as i16,
        indisunique: index.unique,
        indnullsnotdistinct: false,
        indisprimary: index.primary,
        indisexclusion: false,
        indimmediate: true,
        indisclustered: false,
        indisvalid: is_public,
        indcheckxmin: false,
        indisready: true,
        indislive: true,
        indisreplident: false,
        indkey: Int2Vector(attnums),
        indcollation: OidVector(types().map(|ty| ty.entry().map_or(Oid(0), |entry| entry.collation)).collect()),
        indclass: OidVector(types().map(operator_class).collect()),
        indoption: Int2Vector(index.columns.iter().map(|key| option(key.descending, key.nulls_first)).collect()),
    }
}

/// The default B-tree operator class of a type.
fn operator_class(ty: SqlType) -> Oid {
    static CLASSES: LazyLock<Map<Oid, Oid>> = LazyLock::new(|| {
        let rows = lines(fixed::OPCLASS).filter(|line| line[1] == "403" && line[7] == "1");
        rows.map(|line| (Oid(number(line[6])), Oid(number(line[0])))).collect()
    });
    let stands_for = match ty.base() {
        SqlType::VARCHAR => SqlType::TEXT.oid,
        other if other.entry().is_some_and(|entry| entry.is_array()) => SqlType::ANYARRAY.oid,
        other => other.oid,
    };
    CLASSES.get(&stands_for).copied().unwrap_or_default()
}
