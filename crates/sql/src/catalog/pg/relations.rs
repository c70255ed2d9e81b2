//! The relations of `pg_catalog`, `information_schema` and `cairn`: their columns, as descriptors.

use std::sync::{Arc, LazyLock};

use expr::{Oid, SqlType, types};

use crate::catalog::builtin::{CAIRN, INFORMATION_SCHEMA, PG_CATALOG, ROOT};
use crate::catalog::snapshot::Map;
use crate::catalog::{RelationKind, Table, TableDescriptor};

/// A relation whose rows are made from memory.
pub(crate) struct VirtualRelation {
    pub table: Table,
    /// `pg_class.relkind`: PostgreSQL has a table or a view of this name.
    pub relkind: char,
    pub is_shared: bool,
}

struct Relations {
    all: Vec<VirtualRelation>,
    by_oid: Map<Oid, usize>,
    by_name: Map<Oid, Map<String, usize>>,
}

static RELATIONS: LazyLock<Relations> = LazyLock::new(|| {
    let all: Vec<VirtualRelation> = of_postgres().into_iter().chain(of_cairn()).collect();
    let by_oid = all.iter().enumerate().map(|(at, relation)| (relation.table.oid, at)).collect();
    let mut by_name: Map<Oid, Map<String, usize>> = Map::default();
    for (at, relation) in all.iter().enumerate() {
        by_name.entry(relation.table.schema).or_default().insert(relation.table.name.clone(), at);
    }
    Relations { all, by_oid, by_name }
});

/// By OID.
pub(crate) fn all() -> &'static [VirtualRelation] {
    &RELATIONS.all
}

pub(crate) fn by_oid(oid: Oid) -> Option<&'static VirtualRelation> {
    RELATIONS.by_oid.get(&oid).map(|at| &RELATIONS.all[*at])
}

pub(crate) fn by_name(schema: Oid, name: &str) -> Option<&'static VirtualRelation> {
    RELATIONS.by_name.get(&schema)?.get(name).map(|at| &RELATIONS.all[*at])
}

/// The fields of a line of a data table.
pub(super) fn lines(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines().map(|line| line.split('\t').collect())
}

/// A number in a data table, which is part of the program.
pub(super) fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("a number is expected in a data table, not {text:?}"))
}

fn empty(oid: Oid, schema: Oid, name: &str) -> TableDescriptor {
    let mut table = TableDescriptor::empty(oid, Oid(0), schema, name, RelationKind::Virtual);
    table.owner = ROOT;
    table
}

fn of_postgres() -> Vec<VirtualRelation> {
    let mut columns: Map<u32, Vec<Vec<&str>>> = Map::default();
    for line in lines(include_str!("data/columns.tsv")) {
        columns.entry(number(line[0])).or_default().push(line);
    }
    let read = |line: Vec<&str>| {
        let oid = number(line[0]);
        let schema = if line[1] == "pg_catalog" { PG_CATALOG } else { INFORMATION_SCHEMA };
        let mut table = empty(Oid(oid), schema, line[2]);
        for column in columns.get(&oid).into_iter().flatten() {
            let ty = SqlType { oid: Oid(number(column[3])), typmod: number(column[4]) };
            table.add_column(column[2], ty).not_null = column[5] == "1";
        }
        let relkind = if line[3] == "v" { 'v' } else { 'r' };
        VirtualRelation { table: Arc::new(table), relkind, is_shared: line[4] == "1" }
    };
    lines(include_str!("data/relations.tsv")).map(read).collect()
}

fn of_cairn() -> Vec<VirtualRelation> {
    let mut tables: Vec<TableDescriptor> = Vec::new();
    for line in lines(include_str!("data/cairn.tsv")) {
        let oid = Oid(number(line[0]));
        if tables.last().is_none_or(|last| last.oid != oid) {
            tables.push(empty(oid, CAIRN, line[1]));
        }
        let ty = types::by_name(line[3]).unwrap_or_else(|| panic!("{} is no type", line[3])).oid;
        tables.last_mut().expect("one was pushed").add_column(line[2], ty.into());
    }
    let wrap = |table| VirtualRelation { table: Arc::new(table), relkind: 'v', is_shared: false };
    tables.into_iter().map(wrap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_are_postgresqls() {
        let class = by_name(PG_CATALOG, "pg_class").unwrap();
        assert_eq!((class.table.oid, class.relkind, class.table.columns.len()), (Oid(1259), 'r', 33));
        assert_eq!(class.table.column_named("relname").map(|c| (c.attnum, c.ty)), Some((2, SqlType::NAME)));
        let columns = by_name(INFORMATION_SCHEMA, "columns").unwrap();
        assert_eq!(columns.table.column_named("is_nullable").map(|c| c.ty), Some(SqlType::VARCHAR.with_typmod(7)));
        assert!(by_name(CAIRN, "nodes").is_some());
        for relation in all() {
            assert!(by_oid(relation.table.oid).is_some_and(|found| found.table.name == relation.table.name));
            for column in &relation.table.columns {
                assert!(
                    column.ty.entry().is_some() || column.ty.oid.0 >= 10_000,
                    "{} {}",
                    relation.table.name,
                    column.name
                );
            }
        }
    }
}
