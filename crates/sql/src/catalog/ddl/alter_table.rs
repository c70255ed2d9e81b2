//! ALTER TABLE: its actions one after the other on the descriptor, then what they ask of the rows, once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use expr::{Expr, Oid};
use keyspace::IndexId;

use super::constraints::{self, KeySpec};
use super::create_table::{self, table_key};
use super::dependencies::Object;
use super::drop::drop_all;
use super::{AfterCommit, Editor, alter_column, columns, rename, rewrite, role, split};
use crate::catalog::{ColumnId, DescriptorKind, IndexDescriptor, RelationKind, Table, TableDescriptor};
use crate::parse::ast::{
    AlterTable, AlterTableAction, ColumnChange, ColumnConstraintKind, ColumnDefinition, DropBehavior, Name, ObjectKind,
    Setting, TableConstraint, TableConstraintKind,
};
use crate::{SqlError, SqlResult};

pub(super) async fn alter(editor: &mut Editor<'_>, alter: &AlterTable) -> SqlResult<()> {
    let Some(table) = rename::find_or_skip(editor, &alter.name, alter.if_exists)? else { return Ok(()) };
    check_kind(&table, alter.kind)?;
    editor.lock_with_dependents((DescriptorKind::Relation, table.oid));
    let is_empty = rewrite::is_empty(editor, &table).await?;
    let mut alteration = Alteration::new(table, is_empty);
    for action in &alter.actions {
        alteration.apply(editor, action).await?;
    }
    alteration.finish(editor).await
}

fn check_kind(table: &TableDescriptor, kind: ObjectKind) -> SqlResult<()> {
    let is_table = matches!(table.kind, RelationKind::Table { .. });
    let (fits, wanted) = match kind {
        ObjectKind::View => (matches!(table.kind, RelationKind::View { .. }), "a view"),
        ObjectKind::Sequence => (matches!(table.kind, RelationKind::Sequence(_)), "a sequence"),
        ObjectKind::Index => (false, "an index"),
        _ => (true, "a table"),
    };
    if fits && (is_table || kind != ObjectKind::Table) {
        return Ok(());
    }
    if kind == ObjectKind::Table {
        // PostgreSQL lets ALTER TABLE change the owner, among others, of views and sequences.
        return Ok(());
    }
    Err(SqlError::new("42809", format!("\"{}\" is not {wanted}", table.name)))
}

/// One ALTER TABLE under way.
pub(super) struct Alteration {
    /// As it was before the statement.
    original: Table,
    is_empty: bool,
    /// The rows have to be written anew.
    must_rewrite: bool,
    /// To be built, unless the rows are written again anyway.
    new_indexes: Vec<IndexId>,
    /// New values of columns over the original's visible columns.
    values: BTreeMap<ColumnId, Expr>,
    /// Constraints and columns that rows which exist must be seen to obey.
    unchecked: BTreeSet<Oid>,
    unchecked_not_null: BTreeSet<ColumnId>,
}

impl Alteration {
    fn new(original: Table, is_empty: bool) -> Alteration {
        Alteration {
            original,
            is_empty,
            must_rewrite: false,
            new_indexes: Vec::new(),
            values: BTreeMap::new(),
            unchecked: BTreeSet::new(),
            unchecked_not_null: BTreeSet::new(),
        }
    }

    pub fn original(&self) -> &Table {
        &self.original
    }

    pub fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// The table with the actions so far.
    pub fn table(&self, editor: &Editor<'_>) -> TableDescriptor {
        let table = editor.catalog.table(self.original.oid);
        TableDescriptor::clone(table.expect("an altered table is in the catalog"))
    }

    pub fn rewrite(&mut self) {
        self.must_rewrite = true;
    }

    pub fn set_value(&mut self, column: ColumnId, value: Expr) {
        self.values.insert(column, value);
        self.must_rewrite = true;
    }

    pub fn check_not_null(&mut self, column: ColumnId) {
        self.unchecked_not_null.insert(column);
    }

    pub fn check_constraint(&mut self, constraint: Oid) {
        self.unchecked.insert(constraint);
    }

    async fn apply(&mut self, editor: &mut Editor<'_>, action: &AlterTableAction) -> SqlResult<()> {
        if !matches!(self.original.kind, RelationKind::Table { .. }) {
            return self.apply_to_other(editor, action).await;
        }
        match action {
            AlterTableAction::AddColumn { if_not_exists, column } => {
                self.add_column(editor, *if_not_exists, column).await
            }
            AlterTableAction::DropColumn { name, if_exists, behavior } => {
                self.drop_column(editor, name, *if_exists, *behavior)
            }
            AlterTableAction::AlterColumn { name, change } => alter_column::apply(self, editor, name, change).await,
            AlterTableAction::AddConstraint(constraint) => self.add_constraint(editor, constraint).await,
            AlterTableAction::DropConstraint { name, if_exists, behavior } => {
                self.drop_constraint(editor, name, *if_exists, *behavior)
            }
            AlterTableAction::ValidateConstraint { name } => self.validate_constraint(editor, name),
            AlterTableAction::AlterConstraint { name, deferral } => {
                let mut table = self.table(editor);
                let Some(key) = table.foreign_keys.iter_mut().find(|key| key.name == name.text) else {
                    return Err(no_constraint(&table, &name.text));
                };
                key.deferrable = deferral.deferrable;
                key.initially_deferred = deferral.initially_deferred;
                editor.save_table(table);
                Ok(())
            }
            AlterTableAction::SetOptions(settings) => self.set_options(editor, settings),
            AlterTableAction::ResetOptions(settings) => {
                let mut table = self.table(editor);
                table.options.retain(|(name, _)| !settings.iter().any(|setting| setting.name.text == *name));
                editor.save_table(table);
                Ok(())
            }
            AlterTableAction::SplitAt(rows) => {
                let table = Arc::new(self.table(editor));
                let points = split::points(editor, &table, rows)?;
                editor.after_commit(AfterCommit::SplitAt(points));
                Ok(())
            }
            AlterTableAction::OwnerTo(_)
            | AlterTableAction::SetTablespace(_)
            | AlterTableAction::SetLogged(_)
            | AlterTableAction::NoEffect(_)
            | AlterTableAction::NotSupported(_) => self.apply_to_other(editor, action).await,
        }
    }

    /// What can be said of views and sequences too.
    async fn apply_to_other(&mut self, editor: &mut Editor<'_>, action: &AlterTableAction) -> SqlResult<()> {
        match action {
            AlterTableAction::OwnerTo(owner) => {
                let owner = role::find(editor, owner)?.oid;
                editor.rely_on((DescriptorKind::Role, owner));
                let table = Arc::new(self.table(editor));
                rename::set_table_owner(editor, &table, owner)
            }
            AlterTableAction::SetTablespace(name) if name.as_str() != "pg_default" => {
                Err(SqlError::new("42704", format!("tablespace \"{name}\" does not exist")))
            }
            AlterTableAction::SetTablespace(_) | AlterTableAction::SetLogged(_) | AlterTableAction::NoEffect(_) => {
                Ok(())
            }
            AlterTableAction::NotSupported(what) => Err(SqlError::not_supported(what)),
            AlterTableAction::AlterColumn {
                name,
                change: change @ (ColumnChange::SetDefault(_) | ColumnChange::DropDefault),
            } if matches!(self.original.kind, RelationKind::View { .. }) => {
                alter_column::apply(self, editor, name, change).await
            }
            _ => Err(not_on_this_kind(&self.original, action)),
        }
    }

    fn set_options(&self, editor: &mut Editor<'_>, settings: &[Setting]) -> SqlResult<()> {
        let mut table = self.table(editor);
        for (name, value) in create_table::storage_options(settings)? {
            table.options.retain(|(known, _)| *known != name);
            table.options.push((name, value));
        }
        editor.save_table(table);
        Ok(())
    }

    // ---- columns ----

    async fn add_column(
        &mut self,
        editor: &mut Editor<'_>,
        if_not_exists: bool,
        definition: &ColumnDefinition,
    ) -> SqlResult<()> {
        let mut table = self.table(editor);
        let name = &definition.name.text;
        if table.column_named(name).is_some() {
            let message = format!("column \"{name}\" of relation \"{}\" already exists", table.name);
            if if_not_exists {
                editor.notice("42701", format!("{message}, skipping"));
                return Ok(());
            }
            return Err(SqlError::new("42701", message));
        }
        let id = columns::add(editor, &mut table, definition).await?;
        self.fill_new_column(editor, &mut table, id)?;
        for spec in create_table::column_keys(definition) {
            self.add_key(editor, &mut table, spec).await?;
        }
        for constraint in &definition.constraints {
            if let ColumnConstraintKind::Check { condition, .. } = &constraint.kind {
                let oid = constraints::add_check(editor, &mut table, constraint.name.as_ref(), condition, true).await?;
                self.unchecked.insert(oid);
            }
        }
        let before = table.foreign_keys.len();
        create_table::add_column_references(editor, &mut table, definition, true).await?;
        self.unchecked.extend(table.foreign_keys[before..].iter().map(|key| key.oid));
        editor.save_table(table);
        Ok(())
    }

    /// Rows that exist get the default: noted once if it is one value, computed for each of them if it is not.
    fn fill_new_column(&mut self, editor: &Editor<'_>, table: &mut TableDescriptor, id: ColumnId) -> SqlResult<()> {
        if self.is_empty {
            return Ok(());
        }
        let column = table.column(id).expect("it was just added").clone();
        let default = editor.bind_default(&column)?;
        if alter_column::is_volatile(&default) {
            self.set_value(id, default);
            return Ok(());
        }
        let value = editor.cx.host.evaluate(&default)?;
        if value.is_null() {
            if column.not_null {
                self.unchecked_not_null.insert(id);
            }
            return Ok(());
        }
        columns::column_mut(table, id).missing = Some(editor.cx.host.to_text(&value, column.ty)?);
        // For the case that the rows are written again after all: something later may ask for it.
        self.values.insert(id, Expr::Const { value, ty: column.ty });
        Ok(())
    }

    fn drop_column(
        &mut self,
        editor: &mut Editor<'_>,
        name: &Name,
        if_exists: bool,
        behavior: DropBehavior,
    ) -> SqlResult<()> {
        let table = self.table(editor);
        let Some(column) = table.column_named(&name.text) else {
            let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
            if if_exists {
                editor.notice("00000", format!("{message}, skipping"));
                return Ok(());
            }
            return Err(SqlError::new("42703", message));
        };
        let id = column.id;
        self.values.remove(&id);
        self.unchecked_not_null.remove(&id);
        drop_all(editor, &[Object::Column { table: table.oid, column: id }], behavior)
    }

    // ---- constraints ----

    async fn add_constraint(&mut self, editor: &mut Editor<'_>, constraint: &TableConstraint) -> SqlResult<()> {
        let mut table = self.table(editor);
        let name = constraint.name.as_ref();
        match &constraint.kind {
            TableConstraintKind::PrimaryKey { .. } | TableConstraintKind::Unique { .. } => {
                let spec = table_key(constraint).expect("it is a key");
                self.add_key(editor, &mut table, spec).await?;
            }
            TableConstraintKind::UsingIndex { primary, index } => {
                return self.use_index(editor, name, *primary, index).await;
            }
            TableConstraintKind::Check { condition, .. } => {
                let valid = !constraint.not_valid;
                let oid = constraints::add_check(editor, &mut table, name, condition, valid).await?;
                if valid {
                    self.unchecked.insert(oid);
                }
            }
            TableConstraintKind::ForeignKey { columns, references } => {
                let columns: Vec<&str> = columns.iter().map(Name::as_str).collect();
                let (deferral, valid) = (constraint.deferral, !constraint.not_valid);
                let oid = constraints::add_foreign_key(editor, &mut table, name, &columns, references, deferral, valid)
                    .await?;
                if valid {
                    self.unchecked.insert(oid);
                }
            }
            TableConstraintKind::Exclude => return Err(SqlError::not_supported("an exclusion constraint")),
        }
        editor.save_table(table);
        Ok(())
    }

    async fn add_key(&mut self, editor: &Editor<'_>, table: &mut TableDescriptor, spec: KeySpec<'_>) -> SqlResult<()> {
        let is_primary = spec.primary;
        let id = constraints::add_key(editor, table, spec, !self.is_empty).await?;
        if is_primary {
            self.must_rewrite = true;
            let key = table.indexes[0].columns.iter().map(|key| key.column);
            self.unchecked_not_null.extend(key);
        } else {
            self.new_indexes.push(id);
        }
        Ok(())
    }

    /// `ADD CONSTRAINT … UNIQUE USING INDEX`: the index becomes the constraint's.
    async fn use_index(
        &mut self,
        editor: &mut Editor<'_>,
        name: Option<&Name>,
        primary: bool,
        index: &Name,
    ) -> SqlResult<()> {
        let mut table = self.table(editor);
        let Some(at) = table.named_indexes().position(|known| known.name == index.text) else {
            return Err(SqlError::new("42704", format!("index \"{index}\" does not exist")));
        };
        let at = at + table.indexes.iter().take_while(|index| index.oid == Oid(0)).count();
        let found = table.indexes[at].clone();
        if !found.unique {
            return Err(SqlError::new("42809", format!("\"{index}\" is not a unique index"))
                .with_detail("Cannot create a primary key or unique constraint using such an index."));
        }
        if found.constraint.is_some() {
            return Err(SqlError::new("55000", format!("index \"{index}\" is already associated with a constraint")));
        }
        if primary {
            return self.use_primary(editor, table, at, name).await;
        }
        let constraint = editor.oid().await?;
        let index = &mut table.indexes[at];
        index.constraint = Some(constraint);
        if let Some(name) = name.filter(|name| name.text != index.name) {
            let old = std::mem::replace(&mut index.name, name.text.clone());
            renaming_notice(editor, &old, &name.text);
            editor.check_free(self.original.schema, &name.text)?;
        }
        editor.save_table(table);
        Ok(())
    }

    async fn use_primary(
        &mut self,
        editor: &mut Editor<'_>,
        mut table: TableDescriptor,
        at: usize,
        name: Option<&Name>,
    ) -> SqlResult<()> {
        let index = table.indexes.remove(at);
        let names: Vec<String> = key_names(&table, &index);
        let columns = names.iter().map(String::as_str).collect();
        let own = Name::new(index.name.clone(), 0);
        let name = name.unwrap_or(&own);
        if name.text != index.name {
            renaming_notice(editor, &index.name, &name.text);
        }
        // The index gives its name up before the key takes it.
        editor.save_table(table.clone());
        let (include, deferral) = (Vec::new(), Default::default());
        let spec = KeySpec { name: Some(name), primary: true, columns, include, nulls_not_distinct: false, deferral };
        self.add_key(editor, &mut table, spec).await?;
        editor.save_table(table);
        Ok(())
    }

    fn drop_constraint(
        &mut self,
        editor: &mut Editor<'_>,
        name: &Name,
        if_exists: bool,
        behavior: DropBehavior,
    ) -> SqlResult<()> {
        let table = self.table(editor);
        let found = table.constraint_oids().find(|oid| table.constraint_name(*oid) == Some(name.as_str()));
        match found {
            Some(constraint) => {
                self.unchecked.remove(&constraint);
                drop_all(editor, &[Object::Constraint { table: table.oid, constraint }], behavior)
            }
            None if if_exists => {
                let message = format!("constraint \"{name}\" of relation \"{}\" does not exist, skipping", table.name);
                editor.notice("00000", message);
                Ok(())
            }
            None => Err(no_constraint(&table, &name.text)),
        }
    }

    fn validate_constraint(&mut self, editor: &mut Editor<'_>, name: &Name) -> SqlResult<()> {
        let mut table = self.table(editor);
        let checks = table.checks.iter_mut().map(|check| (&check.name, check.oid, &mut check.validated));
        let keys = table.foreign_keys.iter_mut().map(|key| (&key.name, key.oid, &mut key.validated));
        let Some((_, oid, validated)) = checks.chain(keys).find(|(known, ..)| **known == name.text) else {
            return Err(no_constraint(&table, &name.text));
        };
        if !*validated {
            *validated = true;
            self.unchecked.insert(oid);
            editor.save_table(table);
        }
        Ok(())
    }

    // ---- rows ----

    async fn finish(mut self, editor: &mut Editor<'_>) -> SqlResult<()> {
        let mut table = self.table(editor);
        let RelationKind::Table { storage } = table.kind else { return Ok(()) };
        if table.primary().is_some_and(|index| index.constraint.is_none()) && table.row_id().is_none() {
            // The primary key was dropped.
            table.indexes.remove(0);
            table.add_row_id();
            self.must_rewrite = true;
        }
        let has_new_form = self.original.primary().map(|index| &index.columns) != table.primary().map(|i| &i.columns);
        let must_copy = self.must_rewrite && !self.is_empty;
        if must_copy || has_new_form {
            editor.drop_storage(storage);
            table.kind = RelationKind::Table { storage: editor.table_storage().await? };
            if must_copy {
                table.columns.iter_mut().for_each(|column| column.missing = None);
            }
        }
        if *self.original != table {
            editor.save_table(table.clone());
        }
        let table = Arc::new(table);
        if must_copy {
            for column in std::mem::take(&mut self.unchecked_not_null) {
                self.check_not_null_before(editor, &table, column).await?;
            }
            rewrite::copy_rows(editor, &self.original, &table, &self.values).await?;
        } else if !self.is_empty {
            // (One may be gone again, by a later action of the same statement.)
            for index in self.new_indexes.iter().filter(|id| table.index(**id).is_some()) {
                rewrite::build_index(editor, &table, *index).await?;
            }
        }
        self.check(editor, &table).await
    }

    /// Looks for NULLs before the rows are written again: NOT NULL has its own words for rows that exist.
    async fn check_not_null_before(&self, editor: &mut Editor<'_>, table: &Table, id: ColumnId) -> SqlResult<()> {
        let is_new = self.original.column(id).is_none_or(|column| column.dropped);
        match self.values.get(&id) {
            Some(_) => Ok(()),
            None if is_new => Err(null_in(table, id)),
            None => {
                editor.flush().await?;
                rewrite::check_not_null(editor, &self.original, id).await
            }
        }
    }

    async fn check(&self, editor: &mut Editor<'_>, table: &Table) -> SqlResult<()> {
        if self.is_empty {
            return Ok(());
        }
        editor.flush().await?;
        for column in &self.unchecked_not_null {
            rewrite::check_not_null(editor, table, *column).await?;
        }
        for check in table.checks.iter().filter(|check| self.unchecked.contains(&check.oid)) {
            let condition = editor.bind_check(table, &check.condition)?;
            rewrite::check_condition(editor, table, &check.name, condition).await?;
        }
        for key in table.foreign_keys.iter().filter(|key| self.unchecked.contains(&key.oid)) {
            rewrite::check_foreign_key(editor, table, key).await?;
        }
        Ok(())
    }
}

fn not_on_this_kind(table: &TableDescriptor, action: &AlterTableAction) -> SqlError {
    let action = match action {
        AlterTableAction::AddColumn { .. } => "ADD COLUMN",
        AlterTableAction::DropColumn { .. } => "DROP COLUMN",
        AlterTableAction::AlterColumn { .. } => "ALTER COLUMN",
        AlterTableAction::AddConstraint(_) => "ADD CONSTRAINT",
        AlterTableAction::DropConstraint { .. } => "DROP CONSTRAINT",
        AlterTableAction::ValidateConstraint { .. } => "VALIDATE CONSTRAINT",
        AlterTableAction::AlterConstraint { .. } => "ALTER CONSTRAINT",
        AlterTableAction::SplitAt(_) => "SPLIT AT",
        _ => "SET",
    };
    let message = format!("ALTER action {action} cannot be performed on relation \"{}\"", table.name);
    let kinds = if matches!(table.kind, RelationKind::View { .. }) { "views" } else { "sequences" };
    SqlError::new("42809", message).with_detail(format!("This operation is not supported for {kinds}."))
}

fn null_in(table: &TableDescriptor, id: ColumnId) -> SqlError {
    let column = table.column(id).map_or("", |column| &column.name);
    SqlError::new("23502", format!("column \"{column}\" of relation \"{}\" contains null values", table.name))
        .on_column(column)
}

pub(super) fn key_names(table: &TableDescriptor, index: &IndexDescriptor) -> Vec<String> {
    let columns = index.columns.iter().filter_map(|key| table.column(key.column));
    columns.map(|column| column.name.clone()).collect()
}

fn no_constraint(table: &TableDescriptor, name: &str) -> SqlError {
    SqlError::new("42704", format!("constraint \"{name}\" of relation \"{}\" does not exist", table.name))
}

fn renaming_notice(editor: &Editor<'_>, from: &str, to: &str) {
    let message = format!("ALTER TABLE / ADD CONSTRAINT USING INDEX will rename index \"{from}\" to \"{to}\"");
    editor.notice("00000", message);
}
