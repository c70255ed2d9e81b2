//! The decoded catalog at one version, with hash look-ups.
//!
//! A [`Catalog`] does not change once it is shared: sessions of a node hold the same one as long as their numbers have
//! the same catalog version. A transaction that runs DDL sees a copy with its own changes; it costs the maps, not the
//! descriptors, which are shared.

use std::collections::BTreeMap;
use std::sync::Arc;

use expr::Oid;
use foldhash::fast::FixedState;
use keyspace::{IndexId, Timestamp};

use super::*;

pub(crate) type Map<K, V> = hashbrown::HashMap<K, V, FixedState>;

#[derive(Clone, Debug, Default)]
pub struct Catalog {
    version: Timestamp,
    /// What a transaction has changed and not committed; `None`: taken out.
    own: BTreeMap<(DescriptorKind, Oid), Option<Descriptor>>,
    databases: Map<Oid, Database>,
    database_names: Map<String, Oid>,
    schemas: Map<Oid, Schema>,
    relations: Map<Oid, Relation>,
    indexes: Map<Oid, (Oid, IndexId)>,
    /// Constraint → its table.
    constraints: Map<Oid, Oid>,
    roles: Map<Oid, (Timestamp, Arc<RoleDescriptor>)>,
    role_names: Map<String, Oid>,
    comments: Map<Oid, (Timestamp, Arc<CommentDescriptor>)>,
    extensions: Map<Oid, (Timestamp, Arc<ExtensionDescriptor>)>,
}

#[derive(Clone, Debug)]
struct Database {
    row: Timestamp,
    descriptor: Arc<DatabaseDescriptor>,
    schemas: Map<String, Oid>,
}

#[derive(Clone, Debug)]
struct Schema {
    row: Timestamp,
    descriptor: Arc<SchemaDescriptor>,
    names: Map<String, Named>,
}

#[derive(Clone, Debug)]
struct Relation {
    /// The number its row was committed at.
    row: Timestamp,
    table: Table,
}

/// What a name in a schema stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    Relation(Oid),
    Index { oid: Oid, table: Oid, index: IndexId },
}

/// Where unqualified names are looked for, in order; `pg_catalog` first where the setting does not name it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SearchPath {
    pub database: Oid,
    pub schemas: Vec<Oid>,
    /// `pg_catalog` stands first without having been named: nothing is created there.
    pub implicit_catalog: bool,
}

impl SearchPath {
    /// The schemas that the setting names and that exist (`current_schemas(false)`).
    pub fn explicit(&self) -> &[Oid] {
        &self.schemas[usize::from(self.implicit_catalog)..]
    }

    /// Where unqualified names are created (`current_schema`).
    pub fn creation(&self) -> Option<Oid> {
        self.explicit().first().copied()
    }
}

impl Catalog {
    /// Commit number of the last change in it; `None` when a transaction's uncommitted changes are in it, so that no plan
    /// made under it may be kept for others.
    pub fn version(&self) -> Option<Timestamp> {
        self.own.is_empty().then_some(self.version)
    }

    /// Commit number of the last committed change in it.
    pub(crate) fn base(&self) -> Timestamp {
        self.version
    }

    pub(crate) fn set_base(&mut self, version: Timestamp) {
        self.version = version;
    }

    /// A transaction changes a descriptor, or adds one.
    pub(crate) fn put_own(&mut self, descriptor: Descriptor) {
        self.own.insert((descriptor.kind(), descriptor.oid()), Some(descriptor.clone()));
        self.put(Timestamp::ZERO, descriptor);
    }

    /// A transaction takes a descriptor out.
    pub(crate) fn remove_own(&mut self, kind: DescriptorKind, oid: Oid) {
        self.own.insert((kind, oid), None);
        self.remove(kind, oid);
    }

    /// The transaction's changes on another committed catalog. Nobody else has changed what it changed: it has the locks.
    pub(crate) fn rebase(&self, base: &Catalog) -> Catalog {
        assert!(base.own.is_empty(), "a base is a committed catalog");
        let mut catalog = base.clone();
        for ((kind, oid), own) in &self.own {
            match own {
                Some(descriptor) => catalog.put_own(descriptor.clone()),
                None => catalog.remove_own(*kind, *oid),
            }
        }
        catalog
    }

    // ---- databases ----

    pub fn database(&self, name: &str) -> Option<&Arc<DatabaseDescriptor>> {
        self.database_by_oid(*self.database_names.get(name)?)
    }

    pub fn database_by_oid(&self, oid: Oid) -> Option<&Arc<DatabaseDescriptor>> {
        self.databases.get(&oid).map(|database| &database.descriptor)
    }

    /// By name.
    pub fn databases(&self) -> Vec<&Arc<DatabaseDescriptor>> {
        sorted(self.databases.values().map(|database| &database.descriptor), |database| database.name.clone())
    }

    // ---- schemas ----

    /// `pg_catalog`, `information_schema` and `cairn` are in each database.
    pub fn schema(&self, database: Oid, name: &str) -> Option<&Arc<SchemaDescriptor>> {
        match self.databases.get(&database).and_then(|database| database.schemas.get(name)) {
            Some(oid) => self.schema_by_oid(*oid),
            None => builtin::schemas().iter().find(|schema| schema.name == name),
        }
    }

    pub fn schema_by_oid(&self, oid: Oid) -> Option<&Arc<SchemaDescriptor>> {
        match self.schemas.get(&oid) {
            Some(schema) => Some(&schema.descriptor),
            None => builtin::schemas().iter().find(|schema| schema.oid == oid),
        }
    }

    /// Those of users, by name, then the built-in ones.
    pub fn schemas(&self, database: Oid) -> Vec<&Arc<SchemaDescriptor>> {
        let own = self.databases.get(&database).into_iter().flat_map(|database| database.schemas.values());
        let mut schemas =
            sorted(own.filter_map(|oid| self.schemas.get(oid)).map(|s| &s.descriptor), |schema| schema.name.clone());
        schemas.extend(builtin::schemas());
        schemas
    }

    /// What the setting `search_path` means in a database: `"$user"` is the user's schema, names that do not exist are
    /// passed over.
    pub fn search_path<S: AsRef<str>>(&self, database: Oid, user: &str, setting: &[S]) -> SearchPath {
        let mut schemas: Vec<Oid> = Vec::with_capacity(setting.len() + 1);
        for name in setting {
            let name = if name.as_ref() == "$user" { user } else { name.as_ref() };
            if let Some(schema) = self.schema(database, name)
                && !schemas.contains(&schema.oid)
            {
                schemas.push(schema.oid);
            }
        }
        let implicit_catalog = !schemas.contains(&builtin::PG_CATALOG);
        if implicit_catalog {
            schemas.insert(0, builtin::PG_CATALOG);
        }
        SearchPath { database, schemas, implicit_catalog }
    }

    // ---- relations ----

    pub fn table(&self, oid: Oid) -> Option<&Table> {
        match self.relations.get(&oid) {
            Some(relation) => Some(&relation.table),
            None => builtin::relation(oid),
        }
    }

    /// A table, view or sequence by its name; `schema` as written before the dot.
    pub fn resolve_relation(&self, path: &SearchPath, schema: Option<&str>, name: &str) -> Option<&Table> {
        match self.resolve_name(path, schema, name)? {
            Named::Relation(oid) => self.table(oid),
            Named::Index { .. } => None,
        }
    }

    /// What a name in the space of relations stands for: the first schema of the path that has it.
    pub fn resolve_name(&self, path: &SearchPath, schema: Option<&str>, name: &str) -> Option<Named> {
        match schema {
            Some(schema) => self.name_in(self.schema(path.database, schema)?.oid, name),
            None => path.schemas.iter().find_map(|schema| self.name_in(*schema, name)),
        }
    }

    pub fn name_in(&self, schema: Oid, name: &str) -> Option<Named> {
        match self.schemas.get(&schema) {
            Some(schema) => schema.names.get(name).copied(),
            None => builtin::relation_named(schema, name).map(|table| Named::Relation(table.oid)),
        }
    }

    /// Would the unqualified name find this very relation (`pg_table_is_visible`)?
    pub fn is_visible(&self, path: &SearchPath, schema: Oid, name: &str) -> bool {
        let first = path.schemas.iter().find(|schema| self.name_in(**schema, name).is_some());
        first == Some(&schema)
    }

    /// Tables, views and sequences of a schema, by name.
    pub fn relations_in(&self, schema: Oid) -> Vec<&Table> {
        let Some(own) = self.schemas.get(&schema) else { return builtin::relations_in(schema) };
        let tables = own.names.values().filter_map(|named| match named {
            Named::Relation(oid) => self.table(*oid),
            Named::Index { .. } => None,
        });
        sorted(tables, |table| table.name.clone())
    }

    /// Tables, views and sequences of a database, by OID; built-in ones are not among them.
    pub fn relations(&self, database: Oid) -> Vec<&Table> {
        let all = self.relations.values().map(|relation| &relation.table);
        sorted(all.filter(|table| table.database == database), |table| table.oid)
    }

    // ---- indexes and constraints ----

    pub fn index_by_name(
        &self,
        path: &SearchPath,
        schema: Option<&str>,
        name: &str,
    ) -> Option<(&Table, &IndexDescriptor)> {
        match self.resolve_name(path, schema, name)? {
            Named::Index { oid, .. } => self.index(oid),
            Named::Relation(_) => None,
        }
    }

    pub fn index(&self, oid: Oid) -> Option<(&Table, &IndexDescriptor)> {
        let (table, index) = self.indexes.get(&oid)?;
        let table = self.table(*table)?;
        Some((table, table.index(*index)?))
    }

    /// The table that has this constraint.
    pub fn constraint(&self, oid: Oid) -> Option<&Table> {
        self.table(*self.constraints.get(&oid)?)
    }

    // ---- roles, comments, extensions ----

    pub fn role(&self, name: &str) -> Option<&Arc<RoleDescriptor>> {
        self.role_by_oid(*self.role_names.get(name)?)
    }

    pub fn role_by_oid(&self, oid: Oid) -> Option<&Arc<RoleDescriptor>> {
        self.roles.get(&oid).map(|(_, role)| role)
    }

    /// By name.
    pub fn roles(&self) -> Vec<&Arc<RoleDescriptor>> {
        sorted(self.roles.values().map(|(_, role)| role), |role| role.name.clone())
    }

    /// `sub`: an attribute number, 0 for the object itself.
    pub fn comment(&self, object: Oid, sub: i16) -> Option<&str> {
        let (_, comment) = self.comments.get(&object)?;
        comment.texts.iter().find(|(at, _)| *at == sub).map(|(_, text)| text.as_str())
    }

    pub fn comments_on(&self, object: Oid) -> Option<&Arc<CommentDescriptor>> {
        self.comments.get(&object).map(|(_, comment)| comment)
    }

    /// By object.
    pub fn comments(&self) -> Vec<&Arc<CommentDescriptor>> {
        sorted(self.comments.values().map(|(_, comment)| comment), |comment| comment.object)
    }

    /// By name.
    pub fn extensions(&self, database: Oid) -> Vec<&Arc<ExtensionDescriptor>> {
        let all = self.extensions.values().map(|(_, extension)| extension);
        sorted(all.filter(|extension| extension.database == database), |extension| extension.name.clone())
    }

    // ---- making one ----

    /// The descriptor as it is in here, with the number of its row.
    pub(crate) fn get(&self, kind: DescriptorKind, oid: Oid) -> Option<(Timestamp, Descriptor)> {
        Some(match kind {
            DescriptorKind::Database => {
                let database = self.databases.get(&oid)?;
                (database.row, Descriptor::Database(database.descriptor.clone()))
            }
            DescriptorKind::Schema => {
                let schema = self.schemas.get(&oid)?;
                (schema.row, Descriptor::Schema(schema.descriptor.clone()))
            }
            DescriptorKind::Relation => {
                let relation = self.relations.get(&oid)?;
                (relation.row, Descriptor::Relation(relation.table.clone()))
            }
            DescriptorKind::Role => {
                let (row, role) = self.roles.get(&oid)?;
                (*row, Descriptor::Role(role.clone()))
            }
            DescriptorKind::Comment => {
                let (row, comment) = self.comments.get(&oid)?;
                (*row, Descriptor::Comment(comment.clone()))
            }
            DescriptorKind::Extension => {
                let (row, extension) = self.extensions.get(&oid)?;
                (*row, Descriptor::Extension(extension.clone()))
            }
        })
    }

    /// Takes a descriptor in, in place of an earlier one with its OID. What contains it must be there.
    pub(crate) fn put(&mut self, row: Timestamp, descriptor: Descriptor) {
        match descriptor {
            Descriptor::Database(descriptor) => self.put_database(row, descriptor),
            Descriptor::Schema(descriptor) => self.put_schema(row, descriptor),
            Descriptor::Relation(table) => {
                self.remove(DescriptorKind::Relation, table.oid);
                self.put_relation(row, table);
            }
            Descriptor::Role(role) => {
                self.remove(DescriptorKind::Role, role.oid);
                self.role_names.insert(role.name.clone(), role.oid);
                self.roles.insert(role.oid, (row, role));
            }
            Descriptor::Comment(comment) => {
                self.comments.insert(comment.object, (row, comment));
            }
            Descriptor::Extension(extension) => {
                self.extensions.insert(extension.oid, (row, extension));
            }
        }
    }

    fn put_database(&mut self, row: Timestamp, descriptor: Arc<DatabaseDescriptor>) {
        let schemas = match self.databases.remove(&descriptor.oid) {
            Some(old) => {
                self.database_names.remove(&old.descriptor.name);
                old.schemas
            }
            None => Map::default(),
        };
        self.database_names.insert(descriptor.name.clone(), descriptor.oid);
        self.databases.insert(descriptor.oid, Database { row, descriptor, schemas });
    }

    fn put_schema(&mut self, row: Timestamp, descriptor: Arc<SchemaDescriptor>) {
        let old = self.schemas.remove(&descriptor.oid);
        if let Some(database) = self.databases.get_mut(&descriptor.database) {
            if let Some(old) = &old {
                database.schemas.remove(&old.descriptor.name);
            }
            database.schemas.insert(descriptor.name.clone(), descriptor.oid);
        }
        let names = old.map(|old| old.names).unwrap_or_default();
        self.schemas.insert(descriptor.oid, Schema { row, descriptor, names });
    }

    fn put_relation(&mut self, row: Timestamp, table: Table) {
        if let Some(schema) = self.schemas.get_mut(&table.schema) {
            schema.names.insert(table.name.clone(), Named::Relation(table.oid));
            for index in table.named_indexes() {
                let named = Named::Index { oid: index.oid, table: table.oid, index: index.id };
                schema.names.insert(index.name.clone(), named);
            }
        }
        for index in table.named_indexes() {
            self.indexes.insert(index.oid, (table.oid, index.id));
        }
        for constraint in table.constraint_oids() {
            self.constraints.insert(constraint, table.oid);
        }
        self.relations.insert(table.oid, Relation { row, table });
    }

    /// Takes a descriptor out; nothing if it is not there.
    pub(crate) fn remove(&mut self, kind: DescriptorKind, oid: Oid) {
        match kind {
            DescriptorKind::Database => {
                if let Some(old) = self.databases.remove(&oid) {
                    self.database_names.remove(&old.descriptor.name);
                }
            }
            DescriptorKind::Schema => {
                if let Some(old) = self.schemas.remove(&oid)
                    && let Some(database) = self.databases.get_mut(&old.descriptor.database)
                {
                    database.schemas.remove(&old.descriptor.name);
                }
            }
            DescriptorKind::Relation => self.remove_relation(oid),
            DescriptorKind::Role => {
                if let Some((_, old)) = self.roles.remove(&oid) {
                    self.role_names.remove(&old.name);
                }
            }
            DescriptorKind::Comment => {
                self.comments.remove(&oid);
            }
            DescriptorKind::Extension => {
                self.extensions.remove(&oid);
            }
        }
    }

    fn remove_relation(&mut self, oid: Oid) {
        let Some(Relation { table, .. }) = self.relations.remove(&oid) else { return };
        if let Some(schema) = self.schemas.get_mut(&table.schema) {
            schema.names.remove(&table.name);
            for index in table.named_indexes() {
                schema.names.remove(&index.name);
            }
        }
        for index in table.named_indexes() {
            self.indexes.remove(&index.oid);
        }
        for constraint in table.constraint_oids() {
            self.constraints.remove(&constraint);
        }
    }
}

fn sorted<'a, T: 'a, K: Ord>(items: impl Iterator<Item = &'a T>, key: impl Fn(&T) -> K) -> Vec<&'a T> {
    let mut items: Vec<&T> = items.collect();
    items.sort_by_cached_key(|item| key(item));
    items
}

#[cfg(test)]
mod tests {
    use expr::SqlType;
    use keyspace::TableId;

    use super::*;
    use crate::catalog::testing;

    const DB: Oid = Oid(16_384);
    const PUBLIC: Oid = Oid(2200);
    const SHOP: Oid = Oid(16_400);

    fn catalog() -> Catalog {
        testing::catalog(
            DB,
            &[(PUBLIC, "public"), (SHOP, "shop")],
            vec![
                testing::table(Oid(16_401), PUBLIC, "t", &[("a", SqlType::INT4)]),
                testing::table(Oid(16_402), SHOP, "t", &[("a", SqlType::TEXT)]),
                testing::with_primary_key(
                    testing::table(Oid(16_403), SHOP, "item", &[("id", SqlType::INT8)]),
                    Oid(16_500),
                    &["id"],
                ),
            ],
        )
    }

    fn found(catalog: &Catalog, path: &[&str], schema: Option<&str>, name: &str) -> Option<u32> {
        let path = catalog.search_path(DB, "root", path);
        catalog.resolve_relation(&path, schema, name).map(|table| table.oid.0)
    }

    #[test]
    fn the_first_schema_of_the_path_that_has_the_name_wins() {
        let catalog = catalog();
        assert_eq!(found(&catalog, &["public", "shop"], None, "t"), Some(16_401));
        assert_eq!(found(&catalog, &["shop", "public"], None, "t"), Some(16_402));
        assert_eq!(found(&catalog, &["public"], None, "item"), None);
        assert_eq!(found(&catalog, &["nowhere"], None, "t"), None);
        assert_eq!(found(&catalog, &["public"], Some("shop"), "item"), Some(16_403));
        assert_eq!(found(&catalog, &["public"], Some("nowhere"), "item"), None);
    }

    #[test]
    fn visibility_is_what_the_path_would_find() {
        let catalog = catalog();
        let path = catalog.search_path(DB, "root", &["$user", "public", "shop"]);
        assert_eq!(path.creation(), Some(PUBLIC), "there is no schema root");
        assert!(catalog.is_visible(&path, PUBLIC, "t"));
        assert!(!catalog.is_visible(&path, SHOP, "t"), "public's t hides it");
        assert!(catalog.is_visible(&path, SHOP, "item"));
    }

    #[test]
    fn a_descriptor_that_is_replaced_leaves_no_name_behind() {
        let mut catalog = catalog();
        let mut renamed = TableDescriptor::clone(catalog.table(Oid(16_403)).unwrap());
        renamed.name = "article".into();
        renamed.indexes[0].name = "article_pkey".into();
        catalog.put(Timestamp(7), Descriptor::Relation(Arc::new(renamed)));
        assert_eq!(found(&catalog, &["shop"], None, "item"), None);
        assert_eq!(found(&catalog, &["shop"], None, "article"), Some(16_403));
        let path = catalog.search_path(DB, "root", &["shop"]);
        assert_eq!(catalog.index_by_name(&path, None, "article_pkey").map(|(table, _)| table.oid), Some(Oid(16_403)));
        assert!(catalog.resolve_relation(&path, None, "article_pkey").is_none(), "an index is no table");

        catalog.remove(DescriptorKind::Relation, Oid(16_403));
        assert!(catalog.index(Oid(16_500)).is_none() && catalog.constraint(Oid(16_501)).is_none());
        assert!(catalog.index_by_name(&path, None, "article_pkey").is_none());
        assert_eq!(catalog.relations(DB).len(), 2);
    }

    #[test]
    fn own_changes_follow_to_another_base() {
        let mut own = catalog();
        own.remove_own(DescriptorKind::Relation, Oid(16_401));
        own.put_own(Descriptor::Relation(Arc::new(testing::table(Oid(16_600), PUBLIC, "mine", &[]))));
        assert_eq!(own.version(), None);

        let mut base = catalog();
        base.put(Timestamp(9), Descriptor::Relation(Arc::new(testing::table(Oid(16_700), PUBLIC, "theirs", &[]))));
        base.set_base(Timestamp(9));
        let moved = own.rebase(&base);
        assert_eq!(found(&moved, &["public"], None, "t"), None, "dropped here");
        assert_eq!(found(&moved, &["public"], None, "mine"), Some(16_600));
        assert_eq!(found(&moved, &["public"], None, "theirs"), Some(16_700));
        assert_eq!((moved.base(), moved.version()), (Timestamp(9), None));
    }

    #[test]
    fn renaming_a_schema_keeps_what_is_in_it() {
        let mut catalog = catalog();
        let renamed = SchemaDescriptor { oid: SHOP, database: DB, name: "store".into(), owner: Oid(10) };
        catalog.put(Timestamp(8), Descriptor::Schema(Arc::new(renamed)));
        assert_eq!(found(&catalog, &["public"], Some("store"), "item"), Some(16_403));
        assert_eq!(found(&catalog, &["public"], Some("shop"), "item"), None);
        assert_eq!(catalog.table(Oid(16_403)).and_then(|t| t.storage()), Some(TableId(16_403)));
    }
}
