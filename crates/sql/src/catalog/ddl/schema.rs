//! CREATE and ALTER SCHEMA and DATABASE.

use std::sync::Arc;

use expr::Oid;

use super::drop;
use super::{Editor, role};
use crate::catalog::{DatabaseDescriptor, Descriptor, DescriptorKind, ExtensionDescriptor, SchemaDescriptor, builtin};
use crate::parse::ast::{CreateDatabase, CreateSchema, DatabaseChange, DropObjects, Name};
use crate::{SqlError, SqlResult};

pub(super) async fn create_schema(editor: &mut Editor<'_>, create: &CreateSchema) -> SqlResult<()> {
    let owner = match &create.owner {
        Some(owner) => role::find(editor, owner)?.oid,
        None => editor.cx.user,
    };
    let name = match &create.name {
        Some(name) => name.text.clone(),
        None => editor.catalog.role_by_oid(owner).map_or_else(String::new, |role| role.name.clone()),
    };
    check_schema_name(&name)?;
    if editor.catalog.schema(editor.database(), &name).is_some() {
        let message = format!("schema \"{name}\" already exists");
        if create.if_not_exists {
            editor.notice("42P06", format!("{message}, skipping"));
            return Ok(());
        }
        return Err(SqlError::new("42P06", message));
    }
    if !create.elements.is_empty() {
        return Err(SqlError::not_supported("CREATE SCHEMA with schema elements"));
    }
    let (oid, database) = (editor.oid().await?, editor.database());
    editor.rely_on((DescriptorKind::Database, database));
    editor.save(Descriptor::Schema(Arc::new(SchemaDescriptor { oid, database, name, owner })));
    Ok(())
}

pub(super) fn check_schema_name(name: &str) -> SqlResult<()> {
    if name.starts_with("pg_") {
        return Err(SqlError::new("42939", format!("unacceptable schema name \"{name}\""))
            .with_detail("The prefix \"pg_\" is reserved for system schemas."));
    }
    Ok(())
}

/// Options of PostgreSQL's that mean nothing here; the values that mean something other than what is so are refused.
pub(super) async fn create_database(editor: &mut Editor<'_>, create: &CreateDatabase) -> SqlResult<()> {
    let name = &create.name.text;
    let mut owner = editor.cx.user;
    for (option, value) in &create.options {
        let value = value.as_ref().map(|value| value.to_text());
        match (option.as_str(), value) {
            (_, None) => {}
            ("owner", Some(role)) => owner = role::named(editor, &role)?.oid,
            ("template", Some(template)) => check_template(editor, &template)?,
            ("encoding", Some(encoding)) => check_encoding(&encoding)?,
            (
                "lc_collate" | "lc_ctype" | "locale" | "icu_locale" | "locale_provider" | "tablespace"
                | "connection_limit" | "connection limit" | "allow_connections" | "is_template" | "collation_version"
                | "strategy" | "oid" | "icu_rules",
                Some(_),
            ) => {}
            (other, Some(_)) => {
                return Err(SqlError::new("42601", format!("option \"{other}\" not recognized")));
            }
        }
    }
    check_database_free(editor, name)?;
    let oid = editor.oid().await?;
    let database = DatabaseDescriptor { oid, name: name.clone(), owner };
    editor.save(Descriptor::Database(Arc::new(database)));
    let public = SchemaDescriptor { oid: editor.oid().await?, database: oid, name: "public".into(), owner };
    editor.save(Descriptor::Schema(Arc::new(public)));
    Ok(())
}

/// A new database is empty, as `template0` and `template1` are; the content of another one is not copied.
fn check_template(editor: &Editor<'_>, template: &str) -> SqlResult<()> {
    let is_empty = match editor.catalog.database(template) {
        Some(database) => editor.catalog.relations(database.oid).is_empty(),
        None if matches!(template, "template0" | "template1") => true,
        None => {
            let message = format!("template database \"{template}\" does not exist");
            return Err(SqlError::new("3D000", message));
        }
    };
    if is_empty { Ok(()) } else { Err(SqlError::not_supported("copying a database that is not empty")) }
}

fn check_encoding(encoding: &str) -> SqlResult<()> {
    let plain: String = encoding.chars().filter(char::is_ascii_alphanumeric).collect();
    match plain.to_ascii_lowercase().as_str() {
        "utf8" | "unicode" | "6" => Ok(()),
        _ => Err(SqlError::not_supported(format!("encoding \"{encoding}\"")).with_hint("Use UTF8.")),
    }
}

pub(super) fn check_database_free(editor: &Editor<'_>, name: &str) -> SqlResult<()> {
    if editor.catalog.database(name).is_some() || matches!(name, "template0" | "template1") {
        return Err(SqlError::new("42P04", format!("database \"{name}\" already exists")));
    }
    Ok(())
}

pub(super) fn database_named(editor: &Editor<'_>, name: &str) -> SqlResult<Arc<DatabaseDescriptor>> {
    let database = editor.catalog.database(name).cloned();
    database.ok_or_else(|| SqlError::new("3D000", format!("database \"{name}\" does not exist")))
}

pub(super) fn alter_database(editor: &mut Editor<'_>, name: &Name, change: &DatabaseChange) -> SqlResult<()> {
    database_named(editor, &name.text)?;
    match change {
        DatabaseChange::Options(_) => Ok(()),
        DatabaseChange::Set(_) => Err(SqlError::not_supported("ALTER DATABASE … SET")),
    }
}

pub(super) fn drop_databases(editor: &mut Editor<'_>, drop: &DropObjects) -> SqlResult<()> {
    for name in &drop.names {
        let name = &name.name.text;
        let Some(database) = editor.catalog.database(name).cloned() else {
            let message = format!("database \"{name}\" does not exist");
            if drop.if_exists {
                editor.notice("00000", format!("{message}, skipping"));
                continue;
            }
            return Err(SqlError::new("3D000", message));
        };
        if database.oid == editor.database() {
            return Err(SqlError::new("55006", "cannot drop the currently open database"));
        }
        drop_database(editor, database.oid)?;
    }
    Ok(())
}

/// All that is in a database goes with it; nothing outside depends on any of it.
fn drop_database(editor: &mut Editor<'_>, database: Oid) -> SqlResult<()> {
    for table in editor.catalog.relations(database).into_iter().cloned().collect::<Vec<_>>() {
        if let Some(storage) = table.storage() {
            editor.drop_storage(storage);
        }
        for object in table.constraint_oids().chain(table.named_indexes().map(|index| index.oid)).chain([table.oid]) {
            drop::remove_comment(editor, object, None);
        }
        editor.delete((DescriptorKind::Relation, table.oid));
    }
    for extension in editor.catalog.extensions(database).into_iter().map(|e| e.oid).collect::<Vec<_>>() {
        editor.delete((DescriptorKind::Extension, extension));
    }
    let schemas = editor.catalog.schemas(database).into_iter().map(|schema| schema.oid);
    for schema in schemas.filter(|oid| !builtin::is_builtin_schema(*oid)).collect::<Vec<_>>() {
        drop::remove_comment(editor, schema, None);
        editor.delete((DescriptorKind::Schema, schema));
    }
    drop::remove_comment(editor, database, None);
    editor.delete((DescriptorKind::Database, database));
    Ok(())
}

/// What these extensions offer is built in, as far as it is there at all.
pub(crate) const EXTENSIONS: [(&str, &str); 3] = [("plpgsql", "1.0"), ("uuid-ossp", "1.1"), ("pgcrypto", "1.3")];

pub(super) async fn create_extension(editor: &mut Editor<'_>, name: &Name, if_not_exists: bool) -> SqlResult<()> {
    let Some((_, version)) = EXTENSIONS.iter().find(|(known, _)| *known == name.text) else {
        return Err(SqlError::new("0A000", format!("extension \"{name}\" is not available"))
            .with_detail("Extensions of PostgreSQL cannot be loaded; a few are built in.")
            .with_hint(format!("Available: {}.", EXTENSIONS.map(|(name, _)| name).join(", "))));
    };
    let database = editor.database();
    let exists = name.text == "plpgsql" || editor.catalog.extensions(database).iter().any(|e| e.name == name.text);
    if exists {
        let message = format!("extension \"{name}\" already exists");
        if if_not_exists {
            editor.notice("42710", format!("{message}, skipping"));
            return Ok(());
        }
        return Err(SqlError::new("42710", message));
    }
    let no_schema = || SqlError::new("3F000", "no schema has been selected to create in");
    let schema = editor.cx.path.creation().ok_or_else(no_schema)?;
    let (oid, version) = (editor.oid().await?, (*version).to_owned());
    let extension = ExtensionDescriptor { oid, database, name: name.text.clone(), schema, version };
    editor.save(Descriptor::Extension(Arc::new(extension)));
    Ok(())
}

pub(super) fn drop_extensions(editor: &mut Editor<'_>, drop: &DropObjects) -> SqlResult<()> {
    for name in &drop.names {
        let name = &name.name.text;
        let found = editor.catalog.extensions(editor.database()).into_iter().find(|e| e.name == *name).map(|e| e.oid);
        match found {
            Some(oid) => editor.delete((DescriptorKind::Extension, oid)),
            None if drop.if_exists => editor.notice("00000", format!("extension \"{name}\" does not exist, skipping")),
            None => return Err(SqlError::new("42704", format!("extension \"{name}\" does not exist"))),
        }
    }
    Ok(())
}
