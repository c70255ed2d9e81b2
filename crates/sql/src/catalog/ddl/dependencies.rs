//! What would be left hanging if an object went.

use std::collections::{BTreeMap, BTreeSet};

use expr::Oid;

use crate::catalog::quote::quote_ident;
use crate::catalog::{Catalog, ColumnId, RelationKind, SearchPath, Table, TableDescriptor};

/// Something that can be dropped, or that goes when something else does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Object {
    Schema(Oid),
    /// A table, view or sequence.
    Relation(Oid),
    Index {
        table: Oid,
        index: Oid,
    },
    Column {
        table: Oid,
        column: ColumnId,
    },
    Constraint {
        table: Oid,
        constraint: Oid,
    },
    Default {
        table: Oid,
        column: ColumnId,
    },
}

impl Object {
    /// Its own, or that of the table whose part it is.
    fn oid(self) -> Oid {
        match self {
            Object::Schema(oid) | Object::Relation(oid) => oid,
            Object::Index { index, .. } => index,
            Object::Constraint { constraint, .. } => constraint,
            Object::Column { table, .. } | Object::Default { table, .. } => table,
        }
    }
}

/// How it depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// DROP … RESTRICT fails because of it.
    Normal,
    /// It goes silently: a column's own sequence, a table's constraint.
    Part,
}

/// Who depends on whom, in one database.
#[derive(Default)]
pub(super) struct Dependents {
    by_object: BTreeMap<Object, BTreeSet<(Kind, Object)>>,
}

impl Dependents {
    pub fn of(catalog: &Catalog, database: Oid) -> Dependents {
        let mut dependents = Dependents::default();
        for table in catalog.relations(database) {
            dependents.add(Object::Schema(table.schema), Kind::Normal, Object::Relation(table.oid));
            dependents.add_relation(catalog, table);
        }
        dependents
    }

    fn add_relation(&mut self, catalog: &Catalog, table: &Table) {
        let this = Object::Relation(table.oid);
        match &table.kind {
            RelationKind::View { depends_on, .. } => {
                for dependency in depends_on {
                    self.add(part(dependency.object, dependency.column), Kind::Normal, this);
                }
            }
            RelationKind::Sequence(sequence) => {
                if let Some((owner, column)) = sequence.owned_by {
                    self.add(part(owner, Some(column)), Kind::Part, this);
                }
            }
            RelationKind::Table { .. } | RelationKind::Virtual => {}
        }
        for column in table.visible_columns() {
            let default = Object::Default { table: table.oid, column: column.id };
            self.add(part(table.oid, Some(column.id)), Kind::Part, default);
            for sequence in &column.default_uses {
                self.add(Object::Relation(*sequence), Kind::Normal, default);
            }
        }
        self.add_constraints(catalog, table);
    }

    fn add_constraints(&mut self, catalog: &Catalog, table: &Table) {
        let constraint = |oid| Object::Constraint { table: table.oid, constraint: oid };
        for key in &table.foreign_keys {
            let key_object = constraint(key.oid);
            for column in &key.columns {
                self.add(part(table.oid, Some(*column)), Kind::Part, key_object);
            }
            self.add(Object::Relation(key.target), Kind::Normal, key_object);
            let Some(target) = catalog.table(key.target) else { continue };
            for column in &key.target_columns {
                self.add(part(key.target, Some(*column)), Kind::Normal, key_object);
            }
            if let Some(index) = unique_index_on(target, &key.target_columns) {
                self.add(Object::Index { table: target.oid, index }, Kind::Normal, key_object);
            }
        }
        for check in &table.checks {
            for column in &check.columns {
                self.add(part(table.oid, Some(*column)), Kind::Part, constraint(check.oid));
            }
        }
        for index in table.named_indexes() {
            let object = Object::Index { table: table.oid, index: index.oid };
            let holder = index.constraint.map_or(object, constraint);
            if holder != object {
                self.add(holder, Kind::Part, object);
            }
            for column in index.columns.iter().map(|c| c.column).chain(index.include.iter().copied()) {
                self.add(part(table.oid, Some(column)), Kind::Part, holder);
            }
        }
    }

    fn add(&mut self, on: Object, kind: Kind, dependant: Object) {
        self.by_object.entry(on).or_default().insert((kind, dependant));
    }

    /// What depends on an object and its columns, the oldest first.
    pub fn of_object(&self, object: Object) -> Vec<(Kind, Object)> {
        let mut all = self.by_object.get(&object).cloned().unwrap_or_default();
        if let Object::Relation(table) = object {
            let columns = part(table, Some(ColumnId(0)))..=part(table, Some(ColumnId(u32::MAX)));
            all.extend(self.by_object.range(columns).flat_map(|(_, dependants)| dependants.iter().copied()));
        }
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by_key(|(kind, dependant)| (dependant.oid(), *dependant, *kind));
        all
    }

    /// Does it go silently with one of these?
    pub fn is_part_of_any(&self, object: Object, seen: &BTreeSet<Object>) -> bool {
        let whole = |on: Object| match on {
            Object::Column { table, .. } => seen.contains(&on) || seen.contains(&Object::Relation(table)),
            on => seen.contains(&on),
        };
        self.by_object.iter().any(|(on, dependants)| dependants.contains(&(Kind::Part, object)) && whole(*on))
    }

    /// The same for a schema or relation by its OID.
    pub fn on(&self, oid: Oid) -> Vec<(Kind, Object)> {
        let mut all = self.of_object(Object::Relation(oid));
        all.extend(self.of_object(Object::Schema(oid)));
        all
    }
}

fn part(table: Oid, column: Option<ColumnId>) -> Object {
    match column {
        Some(column) => Object::Column { table, column },
        None => Object::Relation(table),
    }
}

/// The unique index on exactly these columns that a foreign key relies on, the primary key first.
pub(crate) fn unique_index_on(table: &TableDescriptor, columns: &[ColumnId]) -> Option<Oid> {
    let wanted: BTreeSet<ColumnId> = columns.iter().copied().collect();
    let mut candidates: Vec<_> = table.named_indexes().filter(|index| index.unique).collect();
    candidates.sort_by_key(|index| !index.primary);
    let fits = |index: &&crate::catalog::IndexDescriptor| {
        index.columns.len() == wanted.len() && index.columns.iter().all(|c| wanted.contains(&c.column))
    };
    candidates.into_iter().find(fits).map(|index| index.oid)
}

/// As PostgreSQL's messages name an object: with its schema where the search path would not find it.
pub(super) fn describe(catalog: &Catalog, path: &SearchPath, object: Object) -> String {
    let relation = |oid: Oid| match catalog.table(oid) {
        Some(table) => format!("{} {}", kind_word(table), qualified(catalog, path, table.schema, &table.name)),
        None => format!("relation {oid}"),
    };
    let column_name = |table: Oid, column: ColumnId| {
        let column = catalog.table(table).and_then(|table| table.column(column));
        column.map_or_else(String::new, |column| column.name.clone())
    };
    match object {
        Object::Schema(oid) => format!("schema {}", catalog.schema_by_oid(oid).map_or("", |schema| &schema.name)),
        Object::Relation(oid) => relation(oid),
        Object::Index { table, index } => match (catalog.table(table), catalog.index(index)) {
            (Some(table), Some((_, index))) => {
                format!("index {}", qualified(catalog, path, table.schema, &index.name))
            }
            _ => format!("index {index}"),
        },
        Object::Column { table, column } => format!("column {} of {}", column_name(table, column), relation(table)),
        Object::Constraint { table, constraint } => {
            let name = catalog.table(table).and_then(|table| table.constraint_name(constraint)).unwrap_or_default();
            format!("constraint {name} on {}", relation(table))
        }
        Object::Default { table, column } => {
            format!("default value for column {} of {}", column_name(table, column), relation(table))
        }
    }
}

pub(super) fn kind_word(table: &TableDescriptor) -> &'static str {
    match table.kind {
        RelationKind::Table { .. } | RelationKind::Virtual => "table",
        RelationKind::View { .. } => "view",
        RelationKind::Sequence(_) => "sequence",
    }
}

pub(crate) fn qualified(catalog: &Catalog, path: &SearchPath, schema: Oid, name: &str) -> String {
    if catalog.is_visible(path, schema, name) {
        return quote_ident(name);
    }
    let schema = catalog.schema_by_oid(schema).map_or("", |schema| &schema.name);
    format!("{}.{}", quote_ident(schema), quote_ident(name))
}
