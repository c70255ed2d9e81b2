//! `pg_class`, `pg_namespace`, `pg_sequence`.

use expr::{Oid, Row};

use super::VirtualContext;
use super::relations::{self, VirtualRelation};
use super::row::{Equal, row};
use crate::catalog::{IndexDescriptor, Named, RelationKind, SchemaDescriptor, Table, TableDescriptor};

/// Access methods.
const HEAP: Oid = Oid(2);
const BTREE: Oid = Oid(403);

pub(super) fn rows(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    if let Some(oid) = equal.oid("oid") {
        return one(cx, equal.relation, oid).into_iter().collect();
    }
    let schemas = equal.oid("relnamespace").map(|schema| vec![schema]);
    if let Some(name) = equal.text("relname") {
        let schemas = schemas.unwrap_or_else(|| cx.schemas().iter().map(|schema| schema.oid).collect());
        let oids = schemas.into_iter().filter_map(|schema| cx.catalog.name_in(schema, name)).map(|named| match named {
            Named::Relation(oid) | Named::Index { oid, .. } => oid,
        });
        return oids.filter_map(|oid| one(cx, equal.relation, oid)).collect();
    }
    let mut rows = Vec::new();
    let mut add = |table: &Table| {
        rows.push(relation(equal.relation, table));
        rows.extend(table.named_indexes().map(|i| index(equal.relation, table, i)));
    };
    match schemas {
        Some(schemas) => schemas.iter().flat_map(|schema| cx.catalog.relations_in(*schema)).for_each(&mut add),
        None => cx.all_relations().for_each(&mut add),
    }
    rows
}

fn one(cx: &VirtualContext<'_>, pg_class: &VirtualRelation, oid: Oid) -> Option<Row> {
    if let Some(table) = cx.catalog.table(oid) {
        return (table.database == cx.database() || table.database == Oid(0)).then(|| relation(pg_class, table));
    }
    let (table, found) = cx.catalog.index(oid)?;
    (table.database == cx.database()).then(|| index(pg_class, table, found))
}

/// `pg_class.relkind` of a table, view or sequence.
pub(super) fn relkind(table: &TableDescriptor) -> char {
    match table.kind {
        RelationKind::Table { .. } => 'r',
        RelationKind::View { .. } => 'v',
        RelationKind::Sequence(_) => 'S',
        RelationKind::Virtual => relations::by_oid(table.oid).map_or('r', |relation| relation.relkind),
    }
}

fn relation(pg_class: &VirtualRelation, table: &TableDescriptor) -> Row {
    let kind = relkind(table);
    let builtin = relations::by_oid(table.oid);
    let options = table.options.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
    let natts = table.columns.iter().filter(|column| !column.hidden).count() as i16;
    row! { pg_class;
        oid: table.oid,
        relname: &table.name,
        relnamespace: table.schema,
        reltype: Oid(0),
        reloftype: Oid(0),
        relowner: table.owner,
        relam: if kind == 'r' { HEAP } else { Oid(0) },
        relfilenode: if kind == 'v' { Oid(0) } else { table.oid },
        reltablespace: if builtin.is_some_and(|relation| relation.is_shared) { Oid(1664) } else { Oid(0) },
        relpages: i32::from(kind == 'S'),
        reltuples: if kind == 'S' { 1.0_f32 } else { -1.0 },
        relallvisible: 0,
        reltoastrelid: Oid(0),
        relhasindex: table.named_indexes().next().is_some(),
        relisshared: builtin.is_some_and(|relation| relation.is_shared),
        relpersistence: 'p',
        relkind: kind,
        relnatts: natts,
        relchecks: table.checks.len() as i16,
        relhasrules: kind == 'v',
        relhastriggers: !table.foreign_keys.is_empty() || !table.referenced_by.is_empty(),
        relhassubclass: false,
        relrowsecurity: false,
        relforcerowsecurity: false,
        relispopulated: true,
        relreplident: if kind == 'r' && builtin.is_none() { 'd' } else { 'n' },
        relispartition: false,
        relrewrite: Oid(0),
        relfrozenxid: Oid(0),
        relminmxid: Oid(0),
        reloptions: (!options.is_empty()).then_some(options),
    }
}

fn index(pg_class: &VirtualRelation, table: &TableDescriptor, index: &IndexDescriptor) -> Row {
    row! { pg_class;
        oid: index.oid,
        relname: &index.name,
        relnamespace: table.schema,
        reltype: Oid(0),
        reloftype: Oid(0),
        relowner: table.owner,
        relam: BTREE,
        relfilenode: index.oid,
        reltablespace: Oid(0),
        relpages: 1,
        reltuples: 0.0_f32,
        relallvisible: 0,
        reltoastrelid: Oid(0),
        relhasindex: false,
        relisshared: false,
        relpersistence: 'p',
        relkind: 'i',
        relnatts: (index.columns.len() + index.include.len()) as i16,
        relchecks: 0_i16,
        relhasrules: false,
        relhastriggers: false,
        relhassubclass: false,
        relrowsecurity: false,
        relforcerowsecurity: false,
        relispopulated: true,
        relreplident: 'n',
        relispartition: false,
        relrewrite: Oid(0),
        relfrozenxid: Oid(0),
        relminmxid: Oid(0),
    }
}

pub(super) fn namespaces(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |schema: &SchemaDescriptor| {
        row! { equal.relation; oid: schema.oid, nspname: &schema.name, nspowner: schema.owner }
    };
    if let Some(oid) = equal.oid("oid") {
        let found = cx.catalog.schema_by_oid(oid);
        let here = found.filter(|schema| schema.database == cx.database() || schema.database == Oid(0));
        return here.map(|schema| make(schema)).into_iter().collect();
    }
    if let Some(name) = equal.text("nspname") {
        return cx.catalog.schema(cx.database(), name).map(|schema| make(schema)).into_iter().collect();
    }
    cx.schemas().into_iter().map(make).collect()
}

pub(super) fn sequences(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |table: &Table| match &table.kind {
        RelationKind::Sequence(sequence) => Some(row! { equal.relation;
            seqrelid: table.oid,
            seqtypid: sequence.ty.oid,
            seqstart: sequence.start,
            seqincrement: sequence.increment,
            seqmax: sequence.max,
            seqmin: sequence.min,
            seqcache: sequence.cache,
            seqcycle: sequence.cycle,
        }),
        _ => None,
    };
    match equal.oid("seqrelid") {
        Some(oid) => cx.catalog.table(oid).and_then(make).into_iter().collect(),
        None => cx.own_relations().into_iter().filter_map(make).collect(),
    }
}
