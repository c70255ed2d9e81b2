//! One statement's changes: made on a copy of the catalog, then locked, then written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use expr::casts::CastContext;
use expr::{Datum, Expr, Oid, SqlType, types};
use keyspace::{IndexId, Key, TableId, catalog_version_key, index_span, table_span};
use txn::{LockMode, LockSpec, LockWait, Visible};

use super::dependencies::Dependents;
use super::{AfterCommit, DdlContext, DdlOutcome, walk};
use crate::bind::{self, Bound, Environment};
use crate::catalog::rows::{self, NameClass, descriptor_key, name_key, name_value};
use crate::catalog::{
    Catalog, ColumnDescriptor, Descriptor, DescriptorKind, RelationKind, Table, TableDescriptor, builtin,
};
use crate::error::{SCHEMA_CHANGED, TRY_AGAIN};
use crate::parse::ast::{ObjectName, Query, Statement, TypeName};
use crate::session::Notice;
use crate::{Retry, SqlError, SqlResult};

pub(super) struct Editor<'a> {
    pub cx: DdlContext<'a>,
    /// As the statement has made it so far.
    pub catalog: Catalog,
    locks: BTreeMap<Key, LockMode>,
    writes: BTreeMap<Key, Option<Bytes>>,
    /// Objects of which the statement must know everything that depends on them.
    exclusive: BTreeSet<Oid>,
    after_commit: Vec<AfterCommit>,
    has_changed: bool,
}

/// What kind of object is locked or written: its descriptor's kind and OID.
type Object = (DescriptorKind, Oid);

impl<'a> Editor<'a> {
    pub fn new(cx: DdlContext<'a>) -> Editor<'a> {
        let catalog = Catalog::clone(cx.catalog);
        Editor {
            cx,
            catalog,
            locks: BTreeMap::new(),
            writes: BTreeMap::new(),
            exclusive: BTreeSet::new(),
            after_commit: Vec::new(),
            has_changed: false,
        }
    }

    // ---- numbers ----

    pub async fn oid(&self) -> SqlResult<Oid> {
        Ok(self.cx.ids.oid().await?)
    }

    pub async fn storage(&self) -> SqlResult<TableId> {
        Ok(self.cx.ids.storage().await?)
    }

    /// A place for a table's rows that nobody else can know before the transaction has committed.
    pub async fn table_storage(&self) -> SqlResult<TableId> {
        let storage = self.storage().await?;
        self.cx.txn.own(table_span(storage), Some(rows::ahead_rows(storage, None)));
        Ok(storage)
    }

    /// Nobody else can know the id of this index before the transaction has committed.
    pub fn own_index(&self, storage: TableId, index: IndexId) {
        self.cx.txn.own(index_span(storage, index), Some(rows::ahead_rows(storage, Some(index))));
    }

    // ---- deciding ----

    /// Nobody else may change it until the transaction ends.
    pub fn lock(&mut self, object: Object) {
        self.lock_key(descriptor_key(object.0, object.1), LockMode::Update);
    }

    /// It stays there until the transaction ends; others may rely on it too.
    pub fn rely_on(&mut self, object: Object) {
        if !builtin::is_builtin_schema(object.1) {
            self.lock_key(descriptor_key(object.0, object.1), LockMode::KeyShare);
        }
    }

    /// Like [`Editor::lock`], and what depends on the object when the lock is granted is what depended on it when the
    /// statement decided: who adds a dependant [relies on](Editor::rely_on) it without changing its row, so that the
    /// lock alone would not tell.
    pub fn lock_with_dependents(&mut self, object: Object) {
        self.lock(object);
        self.exclusive.insert(object.1);
    }

    fn lock_key(&mut self, key: Key, mode: LockMode) {
        let held = self.locks.entry(key).or_insert(mode);
        *held = mode.max(*held);
    }

    fn write(&mut self, key: Key, value: Option<Bytes>) {
        self.writes.insert(key, value);
        self.has_changed = true;
    }

    /// Writes a new descriptor or a new version of one, and what has changed of its names.
    pub fn save(&mut self, descriptor: Descriptor) {
        let object = (descriptor.kind(), descriptor.oid());
        let old = self.catalog.get(object.0, object.1).map(|(_, old)| old);
        if old.is_some() {
            self.lock(object);
        }
        let (before, after) = (old.as_ref().map(names_of).unwrap_or_default(), names_of(&descriptor));
        self.save_names(&before, &after);
        self.write(descriptor_key(object.0, object.1), Some(descriptor.encode().into()));
        if let Descriptor::Relation(table) = &descriptor {
            self.cx.used.define(table);
        }
        self.catalog.put_own(descriptor);
    }

    pub fn save_table(&mut self, table: TableDescriptor) -> Table {
        let table = Arc::new(table);
        let before = self.catalog.table(table.oid).cloned();
        super::split::spread(self, &table, before.as_ref());
        self.save(Descriptor::Relation(table.clone()));
        table
    }

    /// Takes a descriptor and its names away.
    pub fn delete(&mut self, object: Object) {
        let Some((_, old)) = self.catalog.get(object.0, object.1) else { return };
        self.lock(object);
        self.save_names(&names_of(&old), &Names::new());
        self.write(descriptor_key(object.0, object.1), None);
        if let Descriptor::Relation(table) = &old {
            self.cx.used.define(table);
        }
        self.catalog.remove_own(object.0, object.1);
    }

    fn save_names(&mut self, before: &Names, after: &Names) {
        for (name, oid) in after {
            if before.get(name) != Some(oid) {
                let key = name_key(name.0, name.1, &name.2);
                self.lock_key(key.clone(), LockMode::Update);
                self.write(key, Some(name_value(*oid)));
            }
        }
        for name in before.keys().filter(|name| !after.contains_key(name)) {
            let key = name_key(name.0, name.1, &name.2);
            self.lock_key(key.clone(), LockMode::Update);
            // A name that was given to another object in the same statement stays.
            if !matches!(self.writes.get(&key), Some(Some(_))) {
                self.write(key, None);
            }
        }
    }

    /// A row that only this transaction writes: a sequence's value, a note for garbage collection.
    pub fn write_row(&mut self, key: Key, value: Bytes) {
        self.write(key, Some(value));
    }

    /// The rows under a storage id are no longer reachable (rule 35).
    pub fn drop_storage(&mut self, storage: TableId) {
        self.write(rows::dropped_key(storage, None), Some(rows::dropped_value()));
    }

    /// The same for the entries of one index of a table that stays.
    pub fn drop_index(&mut self, storage: TableId, index: IndexId) {
        self.write(rows::dropped_key(storage, Some(index)), Some(rows::dropped_value()));
    }

    pub fn after_commit(&mut self, action: AfterCommit) {
        self.after_commit.push(action);
    }

    pub fn notice(&self, state: &'static str, message: impl Into<String>) {
        self.notice_error(SqlError::new(state, message));
    }

    pub fn notice_error(&self, error: SqlError) {
        self.cx.host.notice(Notice { severity: "NOTICE", error });
    }

    pub fn warning(&self, state: &'static str, message: impl Into<String>) {
        self.cx.host.notice(Notice { severity: "WARNING", error: SqlError::new(state, message) });
    }

    /// The catalog as changed so far, to bind expressions against.
    pub fn snapshot(&self) -> Arc<Catalog> {
        Arc::new(self.catalog.clone())
    }

    // ---- what is written in expressions ----

    /// The type that a type name means.
    pub fn bind_type(&self, ty: &TypeName) -> SqlResult<SqlType> {
        bind::resolve_type(ty, self.cx.source)
    }

    /// The value that a column's default gives; NULL if it has none.
    pub fn bind_default(&self, column: &ColumnDescriptor) -> SqlResult<Expr> {
        let Some(text) = &column.default else { return Ok(Expr::Const { value: Datum::Null, ty: column.ty }) };
        let mut names_column = false;
        walk::column_names(&crate::parse::parse_expression(text)?, &mut |_| names_column = true);
        if names_column {
            return Err(SqlError::new("0A000", "cannot use column reference in DEFAULT expression"));
        }
        // Once as it is, for the words about its type.
        let no_table = Arc::new(TableDescriptor::empty(Oid(0), Oid(0), Oid(0), "", RelationKind::Virtual));
        let own = bind::type_of(&bind::bind_over_row(&self.catalog, self.cx.path, &no_table, text, None)?);
        if own != SqlType::UNKNOWN && !expr::resolve::can_coerce(own.oid, column.ty.oid, CastContext::Assignment) {
            let (name, wanted) = (&column.name, types::format_type(column.ty.oid, None));
            let own = types::format_type(own.oid, None);
            let message = format!("column \"{name}\" is of type {wanted} but default expression is of type {own}");
            return Err(SqlError::new("42804", message).with_hint("You will need to rewrite or cast the expression."));
        }
        let bound = bind::bind_column_default(&self.catalog, self.cx.path, column)?;
        Ok(bound.unwrap_or(Expr::Const { value: Datum::Null, ty: column.ty }))
    }

    /// A condition over the visible columns of a table.
    pub fn bind_check(&self, table: &TableDescriptor, text: &str) -> SqlResult<Expr> {
        let table = Arc::new(table.clone());
        let bound = bind::bind_over_row(&self.catalog, self.cx.path, &table, text, None)?;
        match bind::type_of(&bound) {
            SqlType::BOOL => Ok(bound),
            SqlType::UNKNOWN => bind::bind_over_row(&self.catalog, self.cx.path, &table, text, Some(SqlType::BOOL)),
            other => {
                let ty = types::format_type(other.oid, None);
                Err(SqlError::new("42804", format!("argument of CHECK must be type boolean, not type {ty}")))
            }
        }
    }

    /// An expression over the visible columns of a table.
    pub fn bind_over(&self, table: &TableDescriptor, text: &str, ty: SqlType) -> SqlResult<Expr> {
        bind::bind_over_row(&self.catalog, self.cx.path, &Arc::new(table.clone()), text, Some(ty))
    }

    pub fn bind_query(&self, query: &Query) -> SqlResult<Bound> {
        let statement = Statement::Query(Box::new(query.clone()));
        let environment = Environment {
            catalog: &self.catalog,
            path: self.cx.path,
            source: self.cx.source,
            param_types: &[],
            may_be_historic: false,
        };
        bind::bind(&statement, environment)
    }

    // ---- names ----

    pub fn database(&self) -> Oid {
        self.cx.path.database
    }

    /// A qualified name may name its database, if it is this one.
    pub fn check_database(&self, name: &ObjectName) -> SqlResult<()> {
        let Some(database) = &name.database else { return Ok(()) };
        let here = self.catalog.database_by_oid(self.database());
        if here.is_some_and(|here| here.name == database.text) {
            return Ok(());
        }
        Err(SqlError::new("0A000", format!("cross-database references are not implemented: \"{name}\"")))
    }

    /// The schema that a new object with this name goes to.
    pub fn creation_schema(&self, name: &ObjectName) -> SqlResult<Oid> {
        self.check_database(name)?;
        let Some(schema) = &name.schema else {
            let schema = self.cx.path.creation();
            return schema.ok_or_else(|| SqlError::new("3F000", "no schema has been selected to create in"));
        };
        let schema = self.schema_named(&schema.text)?;
        if builtin::is_builtin_schema(schema) {
            return Err(SqlError::new("42501", format!("permission denied to create \"{name}\""))
                .with_detail("System catalog modifications are currently disallowed."));
        }
        Ok(schema)
    }

    pub fn schema_named(&self, name: &str) -> SqlResult<Oid> {
        let schema = self.catalog.schema(self.database(), name);
        Ok(schema.ok_or_else(|| SqlError::new("3F000", format!("schema \"{name}\" does not exist")))?.oid)
    }

    pub fn schema_name(&self, schema: Oid) -> &str {
        self.catalog.schema_by_oid(schema).map_or("", |schema| &schema.name)
    }

    /// Any table, view or sequence; 42P01 if there is none.
    pub fn relation(&self, name: &ObjectName) -> SqlResult<Table> {
        self.check_database(name)?;
        self.find_relation(name).ok_or_else(|| no_relation(name))
    }

    pub fn find_relation(&self, name: &ObjectName) -> Option<Table> {
        let schema = name.schema.as_ref().map(|schema| schema.text.as_str());
        self.catalog.resolve_relation(self.cx.path, schema, &name.name.text).cloned()
    }

    /// The name is free, or it is an error.
    pub fn check_free(&self, schema: Oid, name: &str) -> SqlResult<()> {
        match self.catalog.name_in(schema, name) {
            None => Ok(()),
            Some(_) => Err(SqlError::new("42P07", format!("relation \"{name}\" already exists"))),
        }
    }

    // ---- locking and writing ----

    /// Locks what was decided upon and writes it to the transaction's buffer. The statement may go on deciding after
    /// that, and ends with another one.
    pub async fn flush(&mut self) -> SqlResult<()> {
        let mut modes: BTreeMap<LockMode, Vec<Key>> = BTreeMap::new();
        for (key, mode) in std::mem::take(&mut self.locks) {
            modes.entry(mode).or_default().push(key);
        }
        for (mode, keys) in modes.into_iter().rev() {
            let lock = LockSpec { mode, wait: LockWait::Block { timeout: None }, absent_too: true };
            self.cx.txn.get_many(&keys, Some(lock), Visible::Everything, false).await?;
        }
        self.check_dependents().await?;
        for (key, value) in std::mem::take(&mut self.writes) {
            let is_gone = value.is_none();
            self.cx.txn.put(key, value, is_gone)?;
        }
        if self.has_changed {
            self.cx.txn.mark_catalog_change(catalog_version_key());
        }
        Ok(())
    }

    /// See [`Editor::lock_with_dependents`].
    async fn check_dependents(&mut self) -> SqlResult<()> {
        let exclusive = std::mem::take(&mut self.exclusive);
        if exclusive.is_empty() {
            return Ok(());
        }
        let cache = self.cx.used.cache();
        let fresh = cache.client().oracle().fresh().await?;
        let now = cache.at(fresh, None).await?;
        let then = cache.at(self.cx.txn.stamp(), None).await?;
        if now.base() == then.base() {
            return Ok(());
        }
        let (now, then) = (Dependents::of(&now, self.database()), Dependents::of(&then, self.database()));
        let Some(changed) = exclusive.into_iter().find(|object| now.on(*object) != then.on(*object)) else {
            return Ok(());
        };
        let name =
            self.catalog.table(changed).map_or_else(|| changed.to_string(), |table| format!("\"{}\"", table.name));
        Err(SqlError::new("40001", SCHEMA_CHANGED)
            .with_detail(format!("What depends on {name} was changed by a concurrent transaction."))
            .with_hint(TRY_AGAIN)
            .retryable(Retry::Statement))
    }

    pub async fn finish(mut self, tag: String) -> SqlResult<DdlOutcome> {
        self.flush().await?;
        Ok(DdlOutcome { tag, catalog: Arc::new(self.catalog), after_commit: self.after_commit })
    }
}

pub(super) fn no_relation(name: &ObjectName) -> SqlError {
    SqlError::new("42P01", format!("relation \"{}\" does not exist", shown(name)))
}

/// As PostgreSQL's messages show a name: with its schema if that was written.
pub(super) fn shown(name: &ObjectName) -> String {
    match &name.schema {
        Some(schema) => format!("{schema}.{}", name.name),
        None => name.name.text.clone(),
    }
}

/// The names an object takes up: class, parent, name → OID.
type Names = BTreeMap<(NameClass, Oid, String), Oid>;

fn names_of(descriptor: &Descriptor) -> Names {
    let none = Oid(0);
    let one = |class, parent, name: &String, oid| Names::from([((class, parent, name.clone()), oid)]);
    match descriptor {
        Descriptor::Database(database) => one(NameClass::Database, none, &database.name, database.oid),
        Descriptor::Schema(schema) => one(NameClass::Schema, schema.database, &schema.name, schema.oid),
        Descriptor::Role(role) => one(NameClass::Role, none, &role.name, role.oid),
        Descriptor::Extension(extension) => {
            one(NameClass::Extension, extension.database, &extension.name, extension.oid)
        }
        Descriptor::Comment(_) => Names::new(),
        Descriptor::Relation(table) => {
            let mut names = one(NameClass::Relation, table.schema, &table.name, table.oid);
            for index in table.named_indexes() {
                names.insert((NameClass::Relation, table.schema, index.name.clone()), index.oid);
            }
            names
        }
    }
}
