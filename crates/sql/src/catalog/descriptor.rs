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

/// A user or group. Roles belong to the cluster, not to a database.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleDescriptor {
    pub oid: Oid,
    pub name: String,
    pub superuser: bool,
    pub inherit: bool,
    pub create_role: bool,
    pub create_db: bool,
    pub login: bool,
    pub replication: bool,
    pub bypass_rls: bool,
    /// -1: no limit.
    pub connection_limit: i32,
    /// A SCRAM verifier in PostgreSQL's form; never the password itself.
    pub password: Option<String>,
    /// `VALID UNTIL`, as given.
    pub valid_until: Option<String>,
    pub member_of: Vec<Membership>,
    /// `ALTER ROLE … SET`.
    pub settings: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    pub role: Oid,
    pub admin: bool,
    pub grantor: Oid,
}

/// `COMMENT ON` an object and its parts: kept apart from the objects, so that a comment changes no plan.
#[derive(Clone, Debug, PartialEq)]
pub struct CommentDescriptor {
    /// The database, schema, relation, index, constraint or role.
    pub object: Oid,
    /// By attribute number; 0 is the object itself. Sorted.
    pub texts: Vec<(i16, String)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ExtensionDescriptor {
    pub oid: Oid,
    pub database: Oid,
    pub name: String,
    pub schema: Oid,
    pub version: String,
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
    /// `WITH (…)`, as given.
    pub options: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum RelationKind {
    /// Rows under this storage id, which a rewrite or TRUNCATE replaces.
    Table {
        storage: TableId,
    },
    View {
        definition: String,
        depends_on: Vec<Dependency>,
    },
    Sequence(SequenceDescriptor),
    /// pg_catalog, information_schema, cairn: rows made from memory.
    Virtual,
}

/// Something that another object's definition needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    pub object: Oid,
    /// `None`: the object as a whole.
    pub column: Option<ColumnId>,
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
    /// Sequences that the default names, by OID (as it does itself: `nextval(16390::regclass)`).
    pub default_uses: Vec<Oid>,
    /// `GENERATED ALWAYS AS (…) STORED`: the expression's SQL.
    pub generated: Option<String>,
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
    /// A relation without columns; the owner is the first role.
    pub fn empty(oid: Oid, database: Oid, schema: Oid, name: &str, kind: RelationKind) -> TableDescriptor {
        TableDescriptor {
            oid,
            database,
            schema,
            name: name.to_owned(),
            owner: Oid(10),
            kind,
            columns: Vec::new(),
            next_column: ColumnId(1),
            indexes: Vec::new(),
            next_index: IndexId::PRIMARY,
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            referenced_by: Vec::new(),
            options: Vec::new(),
        }
    }

    /// Appends a column that takes NULL and has no default.
    pub fn add_column(&mut self, name: &str, ty: SqlType) -> &mut ColumnDescriptor {
        let attnum = self.columns.iter().map(|column| column.attnum).max().unwrap_or(0) + 1;
        self.push_column(name, ty, attnum)
    }

    /// Keeps the rows under a hidden row id (16 bytes: the transaction's start number and a counter): the primary index
    /// of a table without a primary key. It has no OID and no name.
    pub fn add_row_id(&mut self) {
        let column = self.push_column("rowid", SqlType::UUID, 0);
        column.not_null = true;
        column.hidden = true;
        let key = IndexColumn { column: column.id, descending: false, nulls_first: false };
        self.next_index = self.next_index.max(IndexId(IndexId::PRIMARY.0 + 1));
        self.indexes.insert(
            0,
            IndexDescriptor {
                id: IndexId::PRIMARY,
                oid: Oid(0),
                name: String::new(),
                unique: true,
                primary: false,
                columns: vec![key],
                include: Vec::new(),
                constraint: None,
                state: IndexState::Public,
            },
        );
    }

    fn push_column(&mut self, name: &str, ty: SqlType, attnum: i16) -> &mut ColumnDescriptor {
        let id = self.next_column;
        self.next_column = ColumnId(id.0 + 1);
        self.columns.push(ColumnDescriptor {
            id,
            attnum,
            name: name.to_owned(),
            ty,
            not_null: false,
            default: None,
            default_uses: Vec::new(),
            generated: None,
            missing: None,
            identity: None,
            hidden: false,
            dropped: false,
        });
        self.columns.last_mut().expect("it was just pushed")
    }

    pub fn column(&self, id: ColumnId) -> Option<&ColumnDescriptor> {
        self.columns.iter().find(|column| column.id == id)
    }

    /// A column that statements can name.
    pub fn column_named(&self, name: &str) -> Option<&ColumnDescriptor> {
        self.visible_columns().find(|column| column.name == name)
    }

    /// Columns that `SELECT *` shows.
    pub fn visible_columns(&self) -> impl Iterator<Item = &ColumnDescriptor> {
        self.columns.iter().filter(|column| !column.hidden && !column.dropped)
    }

    /// The hidden row id, where the table has no primary key.
    pub fn row_id(&self) -> Option<&ColumnDescriptor> {
        self.columns.iter().find(|column| column.hidden)
    }

    pub fn index(&self, id: IndexId) -> Option<&IndexDescriptor> {
        self.indexes.iter().find(|index| index.id == id)
    }

    /// The index that holds the rows.
    pub fn primary(&self) -> Option<&IndexDescriptor> {
        self.indexes.first()
    }

    /// All but the one on the hidden row id, which SQL does not know of.
    pub fn named_indexes(&self) -> impl Iterator<Item = &IndexDescriptor> {
        self.indexes.iter().filter(|index| index.oid != Oid(0))
    }

    pub fn constraint_oids(&self) -> impl Iterator<Item = Oid> {
        let of_indexes = self.indexes.iter().filter_map(|index| index.constraint);
        let checks = self.checks.iter().map(|check| check.oid);
        of_indexes.chain(checks).chain(self.foreign_keys.iter().map(|key| key.oid))
    }

    pub fn constraint_name(&self, oid: Oid) -> Option<&str> {
        let of_indexes = self.indexes.iter().filter(|index| index.constraint == Some(oid)).map(|index| &index.name);
        let checks = self.checks.iter().filter(|check| check.oid == oid).map(|check| &check.name);
        let foreign_keys = self.foreign_keys.iter().filter(|key| key.oid == oid).map(|key| &key.name);
        of_indexes.chain(checks).chain(foreign_keys).next().map(String::as_str)
    }

    pub fn storage(&self) -> Option<TableId> {
        match &self.kind {
            RelationKind::Table { storage } => Some(*storage),
            RelationKind::Sequence(sequence) => Some(sequence.storage),
            RelationKind::View { .. } | RelationKind::Virtual => None,
        }
    }
}
