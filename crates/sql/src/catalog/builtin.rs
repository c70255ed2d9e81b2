//! What every database has without a row in the catalog: the schemas `pg_catalog`, `information_schema` and `cairn`
//! with their relations, whose rows are made from memory.

use std::sync::{Arc, LazyLock};

use expr::Oid;

use super::pg::relations;
use super::{SchemaDescriptor, Table};

pub const PG_CATALOG: Oid = Oid(11);
pub const INFORMATION_SCHEMA: Oid = Oid(13_207);
/// Below PostgreSQL's own numbers for what is made while a cluster is initialised.
pub const CAIRN: Oid = Oid(9_000);

/// The superuser that exists from the start (PostgreSQL's number for it).
pub const ROOT: Oid = Oid(10);

pub fn schemas() -> &'static [Arc<SchemaDescriptor>] {
    static SCHEMAS: LazyLock<Vec<Arc<SchemaDescriptor>>> = LazyLock::new(|| {
        let names = [(PG_CATALOG, "pg_catalog"), (INFORMATION_SCHEMA, "information_schema"), (CAIRN, "cairn")];
        let make = |(oid, name): (Oid, &str)| {
            Arc::new(SchemaDescriptor { oid, database: Oid(0), name: name.to_owned(), owner: ROOT })
        };
        names.into_iter().map(make).collect()
    });
    &SCHEMAS
}

pub fn is_builtin_schema(oid: Oid) -> bool {
    schemas().iter().any(|schema| schema.oid == oid)
}

pub fn relation(oid: Oid) -> Option<&'static Table> {
    relations::by_oid(oid).map(|relation| &relation.table)
}

pub fn relation_named(schema: Oid, name: &str) -> Option<&'static Table> {
    relations::by_name(schema, name).map(|relation| &relation.table)
}

/// By name.
pub fn relations_in(schema: Oid) -> Vec<&'static Table> {
    let all = relations::all().iter().map(|relation| &relation.table);
    let mut tables: Vec<_> = all.filter(|table| table.schema == schema).collect();
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    tables
}
