//! Descriptors: the decoded rows of the catalog.

use std::sync::Arc;

use expr::{Oid, SqlType};
use keyspace::{IndexId, TableId};

/// Names a column within its table for ever: never reused, also not after DROP COLUMN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnId(pub u32);

#[derive(Clone, Debug, PartialEq)]
pub struct DatabaseDescriptor {
    pub oid: Oid,
    pub name: String,
    pub owner: Oid,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SchemaDescriptor {
    pub oid: Oid,
    pub database: Oid,
    pub name: String,
    pub owner: Oid,
}

/// A table, view or sequence: what has a row in pg_class (indexes are part of their table).
#[derive(Clone, Debug, PartialEq)]
pub struct TableDescriptor {
    pub oid: Oid,
    pub database: Oid,
    pub schema: Oid,
    pub name: String,
    pub owner: Oid,
    pub kind: RelationKind,
    /// In `attnum` order, dropped and hidden ones included.
    pub columns: Vec<ColumnDescriptor>,
    pub next_column: ColumnId,
    /// The primary index first (always there for tables: on the primary key or on the hidden row id).
    pub indexes: Vec<IndexDescriptor>,
    pub next_index: IndexId,
    pub checks: Vec<CheckDescriptor>,
    pub foreign_keys: Vec<ForeignKeyDescriptor>,
    /// Tables with foreign keys to this one.
    pub referenced_by: Vec<Oid>,
    /// `WITH (…)`, `COMMENT ON` and the like, as given.
    pub options: Vec<(String, String)>,
    pub comments: Vec<(u32, String)>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum RelationKind {
    /// Rows under this storage id, which a rewrite or TRUNCATE replaces.
    Table { storage: TableId },
    View { definition: String },
    Sequence(SequenceDescriptor),
    /// pg_catalog, information_schema, cairn: rows made from memory.
    Virtual,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SequenceDescriptor {
    /// The sequence's value is one key under this storage id, advanced outside transactions.
    pub storage: TableId,
    pub ty: SqlType,
    pub start: i64,
    pub increment: i64,
    pub min: i64,
    pub max: i64,
    pub cache: i64,
    pub cycle: bool,
    pub owned_by: Option<(Oid, ColumnId)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDescriptor {
    pub id: ColumnId,
    /// PostgreSQL's attribute number, from 1; 0 for the hidden row id.
    pub attnum: i16,
    pub name: String,
    pub ty: SqlType,
    pub not_null: bool,
    /// The default's SQL, bound when needed.
    pub default: Option<String>,
    /// What rows written before the column was added have: a constant, computed once, in text form.
    pub missing: Option<String>,
    pub identity: Option<Identity>,
    pub hidden: bool,
    pub dropped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    Always,
    ByDefault,
}

#[derive(Clone, Debug, PartialEq)]
pub struct IndexDescriptor {
    pub id: IndexId,
    pub oid: Oid,
    pub name: String,
    pub unique: bool,
    pub primary: bool,
    pub columns: Vec<IndexColumn>,
    pub include: Vec<ColumnId>,
    /// It is the index of a PRIMARY KEY or UNIQUE constraint of this OID.
    pub constraint: Option<Oid>,
    pub state: IndexState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexColumn {
    pub column: ColumnId,
    pub descending: bool,
    pub nulls_first: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexState {
    /// Kept up by writers, not yet read: its backfill is under way (rule 36).
    WriteOnly,
    Public,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CheckDescriptor {
    pub oid: Oid,
    pub name: String,
    /// The condition's SQL.
    pub condition: String,
    pub columns: Vec<ColumnId>,
    pub validated: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ForeignKeyDescriptor {
    pub oid: Oid,
    pub name: String,
    pub columns: Vec<ColumnId>,
    pub target: Oid,
    pub target_columns: Vec<ColumnId>,
    pub on_delete: ReferentialAction,
    pub on_update: ReferentialAction,
    pub match_full: bool,
    pub deferrable: bool,
    pub initially_deferred: bool,
    pub validated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferentialAction {
    NoAction,
    Restrict,
    Cascade,
    SetNull,
    SetDefault,
}

pub type Table = Arc<TableDescriptor>;

impl TableDescriptor {
    pub fn column(&self, id: ColumnId) -> Option<&ColumnDescriptor> {
        self.columns.iter().find(|column| column.id == id)
    }

    /// Columns that `SELECT *` shows.
    pub fn visible_columns(&self) -> impl Iterator<Item = &ColumnDescriptor> {
        self.columns.iter().filter(|column| !column.hidden && !column.dropped)
    }

    pub fn index(&self, id: IndexId) -> Option<&IndexDescriptor> {
        self.indexes.iter().find(|index| index.id == id)
    }

    pub fn primary(&self) -> Option<&IndexDescriptor> {
        self.indexes.first()
    }

    pub fn storage(&self) -> Option<TableId> {
        match &self.kind {
            RelationKind::Table { storage } => Some(*storage),
            RelationKind::Sequence(sequence) => Some(sequence.storage),
            RelationKind::View { .. } | RelationKind::Virtual => None,
        }
    }
}
