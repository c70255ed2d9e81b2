//! `pg_constraint`.

use expr::{Oid, Row};

use super::VirtualContext;
use super::relations::VirtualRelation;
use super::row::{Equal, row};
use crate::catalog::ddl::unique_index_on;
use crate::catalog::{
    Catalog, CheckDescriptor, ColumnId, ForeignKeyDescriptor, IndexDescriptor, ReferentialAction, Table,
    TableDescriptor,
};

pub(super) fn rows(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let of = |table: &Table| of_table(cx.catalog, equal.relation, table);
    if let Some(oid) = equal.oid("oid") {
        return cx.catalog.constraint(oid).map(of).unwrap_or_default();
    }
    if let Some(oid) = equal.oid("conrelid") {
        return cx.catalog.table(oid).map(of).unwrap_or_default();
    }
    if let Some(oid) = equal.oid("conindid") {
        // The index's own constraint, and the references that rely on it.
        let Some((table, _)) = cx.catalog.index(oid) else { return Vec::new() };
        let children = table.referenced_by.iter().filter_map(|child| cx.catalog.table(*child));
        return std::iter::once(table).chain(children.filter(|child| child.oid != table.oid)).flat_map(of).collect();
    }
    if let Some(oid) = equal.oid("confrelid").filter(|oid| *oid != Oid(0)) {
        let Some(table) = cx.catalog.table(oid) else { return Vec::new() };
        return table.referenced_by.iter().filter_map(|child| cx.catalog.table(*child)).flat_map(of).collect();
    }
    cx.own_relations().into_iter().flat_map(of).collect()
}

fn of_table(catalog: &Catalog, relation: &VirtualRelation, table: &TableDescriptor) -> Vec<Row> {
    let checks = table.checks.iter().map(|c| check(relation, table, c));
    let keys = table.named_indexes().filter_map(|index| Some(key(relation, table, index, index.constraint?)));
    let foreign_keys = table.foreign_keys.iter().map(|key| foreign_key(catalog, relation, table, key));
    checks.chain(keys).chain(foreign_keys).collect()
}

pub(super) fn attnums(table: &TableDescriptor, columns: impl IntoIterator<Item = ColumnId>) -> Vec<i16> {
    columns.into_iter().filter_map(|id| table.column(id)).map(|column| column.attnum).collect()
}

fn check(relation: &VirtualRelation, table: &TableDescriptor, check: &CheckDescriptor) -> Row {
    row! { relation;
        oid: check.oid,
        conname: &check.name,
        connamespace: table.schema,
        contype: 'c',
        condeferrable: false,
        condeferred: false,
        convalidated: check.validated,
        conrelid: table.oid,
        contypid: Oid(0),
        conindid: Oid(0),
        conparentid: Oid(0),
        confrelid: Oid(0),
        confupdtype: ' ',
        confdeltype: ' ',
        confmatchtype: ' ',
        conislocal: true,
        coninhcount: 0,
        connoinherit: false,
        conkey: attnums(table, check.columns.iter().copied()),
        conbin: &check.condition,
    }
}

fn key(relation: &VirtualRelation, table: &TableDescriptor, index: &IndexDescriptor, constraint: Oid) -> Row {
    row! { relation;
        oid: constraint,
        conname: &index.name,
        connamespace: table.schema,
        contype: if index.primary { 'p' } else { 'u' },
        condeferrable: false,
        condeferred: false,
        convalidated: true,
        conrelid: table.oid,
        contypid: Oid(0),
        conindid: index.oid,
        conparentid: Oid(0),
        confrelid: Oid(0),
        confupdtype: ' ',
        confdeltype: ' ',
        confmatchtype: ' ',
        conislocal: true,
        coninhcount: 0,
        connoinherit: true,
        conkey: attnums(table, index.columns.iter().map(|key| key.column)),
    }
}

fn foreign_key(
    catalog: &Catalog,
    relation: &VirtualRelation,
    table: &TableDescriptor,
    key: &ForeignKeyDescriptor,
) -> Row {
    let target = catalog.table(key.target);
    let theirs = target.map(|target| attnums(target, key.target_columns.iter().copied()));
    let index = target.and_then(|target| unique_index_on(target, &key.target_columns));
    let equalities = equality_operators(table, target.map(|target| &**target), key);
    row! { relation;
        oid: key.oid,
        conname: &key.name,
        connamespace: table.schema,
        contype: 'f',
        condeferrable: key.deferrable,
        condeferred: key.initially_deferred,
        convalidated: key.validated,
        conrelid: table.oid,
        contypid: Oid(0),
        conindid: index.unwrap_or_default(),
        conparentid: Oid(0),
        confrelid: key.target,
        confupdtype: action(key.on_update),
        confdeltype: action(key.on_delete),
        confmatchtype: if key.match_full { 'f' } else { 's' },
        conislocal: true,
        coninhcount: 0,
        connoinherit: true,
        conkey: attnums(table, key.columns.iter().copied()),
        confkey: theirs,
        conpfeqop: equalities.clone(),
        conppeqop: equalities.clone(),
        conffeqop: equalities,
    }
}

/// The `=` of each referenced column's type with the referencing one's.
fn equality_operators(
    table: &TableDescriptor,
    target: Option<&TableDescriptor>,
    key: &ForeignKeyDescriptor,
) -> Vec<Oid> {
    let Some(target) = target else { return Vec::new() };
    let pairs = key.columns.iter().zip(&key.target_columns);
    let find = |(own, theirs): (&ColumnId, &ColumnId)| {
        let (own, theirs) = (table.column(*own)?.ty, target.column(*theirs)?.ty);
        expr::resolve::operator("=", Some(theirs.oid), own.oid).ok().map(|found| found.operator.oid)
    };
    pairs.filter_map(find).collect()
}

fn action(action: ReferentialAction) -> char {
    match action {
        ReferentialAction::NoAction => 'a',
        ReferentialAction::Restrict => 'r',
        ReferentialAction::Cascade => 'c',
        ReferentialAction::SetNull => 'n',
        ReferentialAction::SetDefault => 'd',
    }
}
