//! RENAME, SET SCHEMA and OWNER TO.

use std::sync::Arc;

use expr::Oid;

use super::editor::{no_relation, shown};
use super::{Editor, columns, names, role, schema, text, view};
use crate::catalog::{
    DatabaseDescriptor, Descriptor, DescriptorKind, RelationKind, RoleDescriptor, SchemaDescriptor, Table,
    TableDescriptor, builtin,
};
use crate::parse::ast::{Name, ObjectKind, ObjectName, ObjectReference, Rename, RoleName};
use crate::{SqlError, SqlResult};

pub(super) fn rename(editor: &mut Editor<'_>, rename: &Rename) -> SqlResult<()> {
    let (object, to) = (&rename.object, &rename.to.text);
    match object.kind {
        ObjectKind::Database => rename_database(editor, &object.name.name, to),
        ObjectKind::Schema => rename_schema(editor, &object.name.name, to),
        ObjectKind::Role => rename_role(editor, &object.name.name, to),
        ObjectKind::Table | ObjectKind::View | ObjectKind::Sequence | ObjectKind::Index => {
            rename_relation(editor, object, rename.if_exists, to)
        }
        ObjectKind::Column | ObjectKind::Constraint => {
            let Some(table) = find_or_skip(editor, &object.name, rename.if_exists)? else { return Ok(()) };
            let member = object.member.as_ref().map_or("", |member| &member.text);
            match object.kind {
                ObjectKind::Column => rename_column(editor, &table, member, to),
                _ => rename_constraint(editor, &table, member, to),
            }
        }
        _ => Err(SqlError::not_supported("renaming this kind of object")),
    }
}

fn rename_database(editor: &mut Editor<'_>, name: &Name, to: &str) -> SqlResult<()> {
    let database = schema::database_named(editor, &name.text)?;
    if database.oid == editor.database() {
        return Err(SqlError::new("0A000", "current database cannot be renamed"));
    }
    schema::check_database_free(editor, to)?;
    let renamed = DatabaseDescriptor { name: to.to_owned(), ..DatabaseDescriptor::clone(&database) };
    editor.save(Descriptor::Database(Arc::new(renamed)));
    Ok(())
}

fn rename_schema(editor: &mut Editor<'_>, name: &Name, to: &str) -> SqlResult<()> {
    let oid = editor.schema_named(&name.text)?;
    schema::check_schema_name(to)?;
    if builtin::is_builtin_schema(oid) {
        return Err(SqlError::new("42501", format!("must be owner of schema {name}")));
    }
    if editor.catalog.schema(editor.database(), to).is_some() {
        return Err(SqlError::new("42P06", format!("schema \"{to}\" already exists")));
    }
    let old = editor.catalog.schema_by_oid(oid).expect("it was found by name");
    let renamed = SchemaDescriptor { name: to.to_owned(), ..SchemaDescriptor::clone(old) };
    let before = editor.catalog.relations_in(oid).into_iter().cloned().collect::<Vec<_>>();
    editor.save(Descriptor::Schema(Arc::new(renamed)));
    for table in before {
        view::follow_schema(editor, &table, &name.text)?;
    }
    Ok(())
}

fn rename_role(editor: &mut Editor<'_>, name: &Name, to: &str) -> SqlResult<()> {
    let role = role::named(editor, &name.text)?;
    role::check_name(to)?;
    if editor.catalog.role(to).is_some() {
        return Err(SqlError::new("42710", format!("role \"{to}\" already exists")));
    }
    if role.oid == editor.cx.user {
        return Err(SqlError::new("0A000", "session user cannot be renamed"));
    }
    let renamed = RoleDescriptor { name: to.to_owned(), ..RoleDescriptor::clone(&role) };
    editor.save(Descriptor::Role(Arc::new(renamed)));
    Ok(())
}

/// The table, or a notice that there is none where that is allowed.
pub(super) fn find_or_skip(editor: &Editor<'_>, name: &ObjectName, if_exists: bool) -> SqlResult<Option<Table>> {
    editor.check_database(name)?;
    match editor.find_relation(name) {
        Some(table) => {
            check_not_builtin(&table)?;
            Ok(Some(table))
        }
        None if if_exists => {
            editor.notice("00000", format!("relation \"{}\" does not exist, skipping", shown(name)));
            Ok(None)
        }
        None => Err(no_relation(name)),
    }
}

fn check_not_builtin(table: &TableDescriptor) -> SqlResult<()> {
    if matches!(table.kind, RelationKind::Virtual) {
        return Err(SqlError::new("42501", format!("permission denied: \"{}\" is a system catalog", table.name)));
    }
    Ok(())
}

/// ALTER TABLE may be said of views, sequences and indexes too.
fn rename_relation(editor: &mut Editor<'_>, object: &ObjectReference, if_exists: bool, to: &str) -> SqlResult<()> {
    let schema = object.name.schema.as_ref().map(|schema| schema.text.as_str());
    let index = editor.catalog.index_by_name(editor.cx.path, schema, &object.name.name.text);
    if let Some((table, index)) = index.map(|(table, index)| (table.clone(), index.oid)) {
        return rename_index(editor, &table, index, to);
    }
    let Some(table) = find_or_skip(editor, &object.name, if_exists)? else { return Ok(()) };
    let fits = match object.kind {
        ObjectKind::View => matches!(table.kind, RelationKind::View { .. }),
        ObjectKind::Sequence => matches!(table.kind, RelationKind::Sequence(_)),
        ObjectKind::Index => false,
        _ => true,
    };
    if !fits {
        let word = match object.kind {
            ObjectKind::View => "a view",
            ObjectKind::Sequence => "a sequence",
            _ => "an index",
        };
        return Err(SqlError::new("42809", format!("\"{}\" is not {word}", table.name)));
    }
    editor.check_free(table.schema, to)?;
    let mut renamed = TableDescriptor::clone(&table);
    renamed.name = to.to_owned();
    let renamed = editor.save_table(renamed);
    view::follow(editor, &table, &renamed)
}

/// An index and its constraint have one name.
fn rename_index(editor: &mut Editor<'_>, table: &Table, index: Oid, to: &str) -> SqlResult<()> {
    editor.check_free(table.schema, to)?;
    let mut renamed = TableDescriptor::clone(table);
    let index = renamed.indexes.iter_mut().find(|i| i.oid == index).expect("it was found by name");
    index.name = to.to_owned();
    editor.save_table(renamed);
    Ok(())
}

fn rename_constraint(editor: &mut Editor<'_>, table: &Table, name: &str, to: &str) -> SqlResult<()> {
    if names::has_constraint(table, to) {
        let message = format!("constraint \"{to}\" for relation \"{}\" already exists", table.name);
        return Err(SqlError::new("42710", message));
    }
    let of_index = table.indexes.iter().find(|index| index.constraint.is_some() && index.name == name);
    if let Some(index) = of_index.map(|index| index.oid) {
        return rename_index(editor, table, index, to);
    }
    let mut renamed = TableDescriptor::clone(table);
    let checks = renamed.checks.iter_mut().map(|check| &mut check.name);
    let keys = renamed.foreign_keys.iter_mut().map(|key| &mut key.name);
    let Some(constraint) = checks.chain(keys).find(|constraint| *constraint == name) else {
        let message = format!("constraint \"{name}\" for table \"{}\" does not exist", table.name);
        return Err(SqlError::new("42704", message));
    };
    *constraint = to.to_owned();
    editor.save_table(renamed);
    Ok(())
}

/// The texts of defaults and checks name columns: those of this table follow.
fn rename_column(editor: &mut Editor<'_>, table: &Table, name: &str, to: &str) -> SqlResult<()> {
    let Some(column) = table.column_named(name) else {
        return Err(SqlError::new("42703", format!("column \"{name}\" does not exist")));
    };
    let id = column.id;
    if table.column_named(to).is_some() {
        let message = format!("column \"{to}\" of relation \"{}\" already exists", table.name);
        return Err(SqlError::new("42701", message));
    }
    let mut renamed = TableDescriptor::clone(table);
    columns::check_name(&renamed, to)?;
    columns::column_mut(&mut renamed, id).name = to.to_owned();
    for check in renamed.checks.iter_mut().filter(|check| check.columns.contains(&id)) {
        let condition = crate::parse::parse_expression(&check.condition)?;
        check.condition = text::rename_column(&check.condition, &condition, name, to);
    }
    view::check_no_view_uses(editor, table, id, "renaming a column that a view uses")?;
    editor.save_table(renamed);
    Ok(())
}

pub(super) fn set_schema(
    editor: &mut Editor<'_>,
    object: &ObjectReference,
    if_exists: bool,
    to: &Name,
) -> SqlResult<()> {
    if !matches!(object.kind, ObjectKind::Table | ObjectKind::View | ObjectKind::Sequence) {
        return Err(SqlError::not_supported("SET SCHEMA of this kind of object"));
    }
    let Some(table) = find_or_skip(editor, &object.name, if_exists)? else { return Ok(()) };
    let schema = editor.schema_named(&to.text)?;
    if builtin::is_builtin_schema(schema) {
        return Err(SqlError::new("42501", format!("permission denied for schema {to}")));
    }
    if schema == table.schema {
        return Ok(());
    }
    editor.rely_on((DescriptorKind::Schema, schema));
    move_relation(editor, &table, schema)?;
    let owned = editor.catalog.relations(editor.database()).into_iter().filter(|relation| {
        matches!(&relation.kind, RelationKind::Sequence(s) if s.owned_by.is_some_and(|(owner, _)| owner == table.oid))
    });
    for sequence in owned.cloned().collect::<Vec<_>>() {
        move_relation(editor, &sequence, schema)?;
    }
    Ok(())
}

fn move_relation(editor: &mut Editor<'_>, table: &Table, schema: Oid) -> SqlResult<()> {
    let names = table.named_indexes().map(|index| index.name.as_str()).chain([table.name.as_str()]);
    for name in names {
        if editor.catalog.name_in(schema, name).is_some() {
            let message = format!("relation \"{name}\" already exists in schema \"{}\"", editor.schema_name(schema));
            return Err(SqlError::new("42P07", message));
        }
    }
    let mut moved = TableDescriptor::clone(table);
    moved.schema = schema;
    let moved = editor.save_table(moved);
    view::follow(editor, table, &moved)
}

pub(super) fn set_owner(editor: &mut Editor<'_>, object: &ObjectReference, owner: &RoleName) -> SqlResult<()> {
    let owner = role::find(editor, owner)?.oid;
    editor.rely_on((DescriptorKind::Role, owner));
    match object.kind {
        ObjectKind::Database => {
            let old = schema::database_named(editor, &object.name.name.text)?;
            editor
                .save(Descriptor::Database(Arc::new(DatabaseDescriptor { owner, ..DatabaseDescriptor::clone(&old) })));
        }
        ObjectKind::Schema => {
            let oid = editor.schema_named(&object.name.name.text)?;
            let old = editor.catalog.schema_by_oid(oid).expect("it was found by name");
            if !builtin::is_builtin_schema(oid) {
                let changed = SchemaDescriptor { owner, ..SchemaDescriptor::clone(old) };
                editor.save(Descriptor::Schema(Arc::new(changed)));
            }
        }
        ObjectKind::Table | ObjectKind::View | ObjectKind::Sequence => {
            let table = editor.relation(&object.name)?;
            set_table_owner(editor, &table, owner)?;
        }
        _ => return Err(SqlError::not_supported("OWNER TO of this kind of object")),
    }
    Ok(())
}

/// Its own sequences go along.
pub(super) fn set_table_owner(editor: &mut Editor<'_>, table: &Table, owner: Oid) -> SqlResult<()> {
    check_not_builtin(table)?;
    let owned = editor.catalog.relations(editor.database()).into_iter().filter(|relation| {
        relation.oid == table.oid
            || matches!(&relation.kind, RelationKind::Sequence(s) if s.owned_by.is_some_and(|(of, _)| of == table.oid))
    });
    for relation in owned.cloned().collect::<Vec<_>>() {
        let mut changed = TableDescriptor::clone(&relation);
        changed.owner = owner;
        editor.save_table(changed);
    }
    Ok(())
}
