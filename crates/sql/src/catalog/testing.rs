//! Catalogs for tests, made by hand.

use std::sync::Arc;

use expr::{Oid, SqlType};
use keyspace::{IndexId, TableId, Timestamp};

use super::*;

/// A database `cairn` of user `root` with these schemas and relations.
pub fn catalog(database: Oid, schemas: &[(Oid, &str)], tables: Vec<TableDescriptor>) -> Catalog {
    let mut catalog = Catalog::default();
    let owner = Oid(10);
    catalog.put(Timestamp(1), Descriptor::Role(Arc::new(bootstrap::superuser(owner, "root"))));
    let name = "cairn".to_owned();
    catalog.put(Timestamp(1), Descriptor::Database(Arc::new(DatabaseDescriptor { oid: database, name, owner })));
    for (oid, name) in schemas {
        let name = (*name).to_owned();
        catalog.put(Timestamp(1), Descriptor::Schema(Arc::new(SchemaDescriptor { oid: *oid, database, name, owner })));
    }
    for mut table in tables {
        table.database = database;
        catalog.put(Timestamp(1), Descriptor::Relation(Arc::new(table)));
    }
    catalog.set_base(Timestamp(1));
    catalog
}

/// A table with these columns, without a primary key: its rows are kept under a hidden row id. Its storage id is its
/// OID.
pub fn table(oid: Oid, schema: Oid, name: &str, columns: &[(&str, SqlType)]) -> TableDescriptor {
    let mut table =
        TableDescriptor::empty(oid, Oid(0), schema, name, RelationKind::Table { storage: TableId(u64::from(oid.0)) });
    for (name, ty) in columns {
        table.add_column(name, *ty);
    }
    table.add_row_id();
    table
}

/// Makes these columns the primary key of a table from [`table`].
pub fn with_primary_key(mut table: TableDescriptor, oid: Oid, columns: &[&str]) -> TableDescriptor {
    table.columns.retain(|column| !column.hidden);
    let mut key = Vec::new();
    for name in columns {
        let column = table.columns.iter_mut().find(|column| column.name == *name).expect("a column of the table");
        column.not_null = true;
        key.push(IndexColumn { column: column.id, descending: false, nulls_first: false });
    }
    table.indexes[0] = IndexDescriptor {
        id: IndexId::PRIMARY,
        oid,
        name: format!("{}_pkey", table.name),
        unique: true,
        primary: true,
        columns: key,
        include: Vec::new(),
        constraint: Some(Oid(oid.0 + 1)),
        state: IndexState::Public,
    };
    table
}
