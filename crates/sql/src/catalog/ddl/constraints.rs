//! Keys, checks and references: made parts of a table's descriptor. Whether rows that exist obey them is `validate`'s.

use std::collections::BTreeSet;

use expr::{Oid, SqlType, types};
use keyspace::IndexId;

use super::dependencies::unique_index_on;
use super::editor::no_relation;
use super::{Editor, columns, names, walk};
use crate::catalog::{
    CheckDescriptor, ColumnId, DescriptorKind, ForeignKeyDescriptor, IndexColumn, IndexDescriptor, IndexState,
    RelationKind, Table, TableDescriptor,
};
use crate::parse::ast::{self, Deferral, Name, ObjectName, References, SourceExpr};
use crate::{SqlError, SqlResult};

/// A PRIMARY KEY or UNIQUE constraint as written.
pub(super) struct KeySpec<'a> {
    pub name: Option<&'a Name>,
    pub primary: bool,
    pub columns: Vec<&'a str>,
    pub include: Vec<&'a str>,
    pub nulls_not_distinct: bool,
    pub deferral: Deferral,
}

/// Adds the constraint with its index. A primary key becomes the index that holds the rows, in place of the one on the
/// hidden row id; if rows exist, the caller moves them, or builds the index.
pub(super) async fn add_key(
    editor: &Editor<'_>,
    table: &mut TableDescriptor,
    spec: KeySpec<'_>,
    has_rows: bool,
) -> SqlResult<IndexId> {
    if spec.deferral.deferrable {
        return Err(SqlError::not_supported("a deferrable unique constraint"));
    }
    if spec.nulls_not_distinct {
        return Err(SqlError::not_supported("NULLS NOT DISTINCT"));
    }
    if spec.primary && table.indexes.iter().any(|index| index.primary) {
        let message = format!("multiple primary keys for table \"{}\" are not allowed", table.name);
        return Err(SqlError::new("42P16", message));
    }
    let what = if spec.primary { "primary key constraint" } else { "unique constraint" };
    let keys = key_columns(table, &spec.columns, what)?;
    let include = included_columns(table, &spec.include)?;
    let name = key_name(editor, table, &spec)?;
    let (oid, constraint) = (editor.oid().await?, editor.oid().await?);
    if spec.primary {
        for column in &keys {
            columns::column_mut(table, *column).not_null = true;
        }
    }
    let columns = keys.into_iter().map(|column| IndexColumn { column, descending: false, nulls_first: false });
    let mut index = IndexDescriptor {
        id: IndexId::PRIMARY,
        oid,
        name,
        unique: true,
        primary: spec.primary,
        columns: columns.collect(),
        include,
        constraint: Some(constraint),
        state: IndexState::Public,
    };
    if spec.primary {
        set_primary(table, index);
        return Ok(IndexId::PRIMARY);
    }
    index.id = index_id(editor, table, has_rows).await?;
    let id = index.id;
    table.indexes.push(index);
    Ok(id)
}

/// The index holds the rows from now on; a hidden row id is no longer needed.
fn set_primary(table: &mut TableDescriptor, index: IndexDescriptor) {
    table.columns.retain(|column| !column.hidden);
    match table.indexes.first_mut().filter(|first| first.id == IndexId::PRIMARY) {
        Some(first) => *first = index,
        None => table.indexes.insert(0, index),
    }
    table.next_index = table.next_index.max(IndexId(IndexId::PRIMARY.0 + 1));
}

/// The id of a new index. Where rows exist it is one that no other index, not even one whose CREATE INDEX failed, ever
/// has: entries are then written ahead of the commit. Otherwise a small number will do, and makes short keys.
pub(super) async fn index_id(editor: &Editor<'_>, table: &mut TableDescriptor, has_rows: bool) -> SqlResult<IndexId> {
    let id = table.next_index.max(IndexId(IndexId::PRIMARY.0 + 1));
    // The two kinds do not meet: storage ids begin there.
    if has_rows || id.0 >= keyspace::FIRST_USER_TABLE.0 {
        return Ok(IndexId(editor.storage().await?.0));
    }
    table.next_index = IndexId(id.0 + 1);
    Ok(id)
}

fn key_columns(table: &TableDescriptor, names: &[&str], what: &str) -> SqlResult<Vec<ColumnId>> {
    let mut keys = Vec::with_capacity(names.len());
    for name in names {
        let Some(column) = table.column_named(name) else {
            return Err(SqlError::new("42703", format!("column \"{name}\" named in key does not exist")));
        };
        if keys.contains(&column.id) {
            return Err(SqlError::new("42701", format!("column \"{name}\" appears twice in {what}")));
        }
        check_indexable(column.ty)?;
        keys.push(column.id);
    }
    Ok(keys)
}

pub(super) fn included_columns(table: &TableDescriptor, names: &[&str]) -> SqlResult<Vec<ColumnId>> {
    let find = |name: &&str| {
        let column = table.column_named(name);
        column
            .map(|column| column.id)
            .ok_or_else(|| SqlError::new("42703", format!("column \"{name}\" named in key does not exist")))
    };
    names.iter().map(find).collect()
}

/// Types without an order cannot be in an index.
pub(super) fn check_indexable(ty: SqlType) -> SqlResult<()> {
    if expr::resolve::operator("<", Some(ty.oid), ty.oid).is_ok() {
        return Ok(());
    }
    let ty = types::format_type(ty.oid, None);
    Err(SqlError::new("42704", format!("data type {ty} has no default operator class for access method \"btree\""))
        .with_hint(
            "You must specify an operator class for the index or define a default operator class for the data type.",
        ))
}

fn key_name(editor: &Editor<'_>, table: &TableDescriptor, spec: &KeySpec<'_>) -> SqlResult<String> {
    let taken = |name: &str| table.name == name || names::has_constraint(table, name) || has_index(table, name);
    if let Some(name) = spec.name {
        check_constraint_name(table, &name.text)?;
        if taken(&name.text) {
            return Err(SqlError::new("42P07", format!("relation \"{name}\" already exists")));
        }
        editor.check_free(table.schema, &name.text)?;
        return Ok(name.text.clone());
    }
    let joined = names::join_columns(spec.columns.iter().copied());
    let (second, label) = if spec.primary { (None, "pkey") } else { (Some(joined.as_str()), "key") };
    Ok(names::choose_relation(&editor.catalog, table.schema, &table.name, second, label, taken))
}

pub(super) fn has_index(table: &TableDescriptor, name: &str) -> bool {
    table.named_indexes().any(|index| index.name == name)
}

fn check_constraint_name(table: &TableDescriptor, name: &str) -> SqlResult<()> {
    if names::has_constraint(table, name) {
        let message = format!("constraint \"{name}\" for relation \"{}\" already exists", table.name);
        return Err(SqlError::new("42710", message));
    }
    Ok(())
}

pub(super) async fn add_check(
    editor: &Editor<'_>,
    table: &mut TableDescriptor,
    name: Option<&Name>,
    condition: &SourceExpr,
    validated: bool,
) -> SqlResult<Oid> {
    editor.bind_check(table, &condition.text)?;
    let columns = columns_in(table, &condition.expr);
    let name = match name {
        Some(name) => {
            if editor.catalog.table(table.oid).is_none() && names::has_constraint(table, &name.text) {
                return Err(SqlError::new("42710", format!("check constraint \"{name}\" already exists")));
            }
            check_constraint_name(table, &name.text)?;
            name.text.clone()
        }
        None => {
            let only = match &columns[..] {
                [column] => table.column(*column).map(|column| column.name.as_str()),
                _ => None,
            };
            names::choose(&table.name, only, "check", |name| names::has_constraint(table, name))
        }
    };
    let oid = editor.oid().await?;
    table.checks.push(CheckDescriptor { oid, name, condition: condition.text.clone(), columns, validated });
    Ok(oid)
}

/// The table's columns that an expression names, each once.
pub(super) fn columns_in(table: &TableDescriptor, expr: &ast::Expr) -> Vec<ColumnId> {
    let mut names = BTreeSet::new();
    walk::column_names(expr, &mut |name| {
        names.insert(name.text.clone());
    });
    let used = table.visible_columns().filter(|column| names.contains(&column.name));
    used.map(|column| column.id).collect()
}

/// Adds a reference of `table` to another table, or to itself; the other one's descriptor learns of it.
pub(super) async fn add_foreign_key(
    editor: &mut Editor<'_>,
    table: &mut TableDescriptor,
    name: Option<&Name>,
    columns: &[&str],
    references: &References,
    deferral: Deferral,
    validated: bool,
) -> SqlResult<Oid> {
    let target = referenced_table(editor, table, &references.table)?;
    let own = referencing_columns(table, columns)?;
    let theirs = referenced_columns(&target, &references.columns)?;
    if own.len() != theirs.len() {
        let message = "number of referencing and referenced columns for foreign key disagree";
        return Err(SqlError::new("42830", message));
    }
    if unique_index_on(&target, &theirs).is_none() || theirs.iter().collect::<BTreeSet<_>>().len() != theirs.len() {
        let message =
            format!("there is no unique constraint matching given keys for referenced table \"{}\"", target.name);
        return Err(SqlError::new("42830", message));
    }
    let name = foreign_key_name(table, name, columns)?;
    check_comparable(table, &own, &target, &theirs, &name)?;
    let oid = editor.oid().await?;
    table.foreign_keys.push(ForeignKeyDescriptor {
        oid,
        name,
        columns: own,
        target: target.oid,
        target_columns: theirs,
        on_delete: references.on_delete,
        on_update: references.on_update,
        match_full: references.match_full,
        deferrable: deferral.deferrable,
        initially_deferred: deferral.initially_deferred,
        validated,
    });
    if target.oid == table.oid {
        if !table.referenced_by.contains(&table.oid) {
            table.referenced_by.push(table.oid);
        }
    } else if !target.referenced_by.contains(&table.oid) {
        let mut target = TableDescriptor::clone(&target);
        target.referenced_by.push(table.oid);
        editor.save_table(target);
    } else {
        editor.lock((DescriptorKind::Relation, target.oid));
    }
    Ok(oid)
}

fn referenced_table(editor: &Editor<'_>, table: &TableDescriptor, name: &ObjectName) -> SqlResult<Table> {
    editor.check_database(name)?;
    // The table itself may not be in the catalog yet.
    let schema = match &name.schema {
        Some(schema) => Some(editor.schema_named(&schema.text)?),
        None => None,
    };
    let found = editor.find_relation(name);
    let is_self = name.name.text == table.name
        && match (schema, &found) {
            (Some(schema), _) => schema == table.schema,
            (None, Some(found)) => found.oid == table.oid,
            (None, None) => true,
        };
    if is_self {
        return Ok(std::sync::Arc::new(table.clone()));
    }
    let target = found.ok_or_else(|| no_relation(name))?;
    if !matches!(target.kind, RelationKind::Table { .. }) {
        return Err(SqlError::new("42809", format!("referenced relation \"{}\" is not a table", target.name)));
    }
    Ok(target)
}

fn referencing_columns(table: &TableDescriptor, names: &[&str]) -> SqlResult<Vec<ColumnId>> {
    find_key_columns(table, names.iter().copied())
}

fn referenced_columns(target: &TableDescriptor, names: &[Name]) -> SqlResult<Vec<ColumnId>> {
    if !names.is_empty() {
        return find_key_columns(target, names.iter().map(Name::as_str));
    }
    match target.indexes.iter().find(|index| index.primary) {
        Some(index) => Ok(index.columns.iter().map(|column| column.column).collect()),
        None => {
            let message = format!("there is no primary key for referenced table \"{}\"", target.name);
            Err(SqlError::new("42704", message))
        }
    }
}

fn find_key_columns<'a>(table: &TableDescriptor, names: impl Iterator<Item = &'a str>) -> SqlResult<Vec<ColumnId>> {
    let find = |name: &str| {
        let missing =
            || SqlError::new("42703", format!("column \"{name}\" referenced in foreign key constraint does not exist"));
        table.column_named(name).map(|column| column.id).ok_or_else(missing)
    };
    names.map(find).collect()
}

fn foreign_key_name(table: &TableDescriptor, name: Option<&Name>, columns: &[&str]) -> SqlResult<String> {
    match name {
        Some(name) => {
            check_constraint_name(table, &name.text)?;
            Ok(name.text.clone())
        }
        None => {
            let joined = names::join_columns(columns.iter().copied());
            Ok(names::choose(&table.name, Some(&joined), "fkey", |name| names::has_constraint(table, name)))
        }
    }
}

/// Each pair of columns must have an equality.
fn check_comparable(
    table: &TableDescriptor,
    own: &[ColumnId],
    target: &TableDescriptor,
    theirs: &[ColumnId],
    constraint: &str,
) -> SqlResult<()> {
    for (own, theirs) in own.iter().zip(theirs) {
        let own = table.column(*own).expect("found above");
        let theirs = target.column(*theirs).expect("found above");
        if expr::resolve::operator("=", Some(theirs.ty.oid), own.ty.oid).is_ok() {
            continue;
        }
        let type_name = |ty: SqlType| types::format_type(ty.oid, None);
        let message = format!("foreign key constraint \"{constraint}\" cannot be implemented");
        let detail = format!(
            "Key columns \"{}\" and \"{}\" are of incompatible types: {} and {}.",
            own.name,
            theirs.name,
            type_name(own.ty),
            type_name(theirs.ty)
        );
        return Err(SqlError::new("42804", message).with_detail(detail));
    }
    Ok(())
}
