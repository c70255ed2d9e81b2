//! COMMENT ON.

use std::sync::Arc;

use expr::Oid;

use super::editor::no_relation;
use super::{Editor, role, schema};
use crate::catalog::{CommentDescriptor, Descriptor, DescriptorKind, RelationKind};
use crate::parse::ast::{ObjectKind, ObjectName, ObjectReference};
use crate::{SqlError, SqlResult};

pub(super) fn set(editor: &mut Editor<'_>, object: &ObjectReference, text: Option<&str>) -> SqlResult<()> {
    let (object, sub) = resolve(editor, object)?;
    let mut texts = editor.catalog.comments_on(object).map_or_else(Vec::new, |old| old.texts.clone());
    texts.retain(|(at, _)| *at != sub);
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        texts.push((sub, text.to_owned()));
    }
    texts.sort();
    if texts.is_empty() {
        editor.delete((DescriptorKind::Comment, object));
    } else {
        editor.save(Descriptor::Comment(Arc::new(CommentDescriptor { object, texts })));
    }
    Ok(())
}

/// The object's OID, and the attribute number if it is a column.
fn resolve(editor: &mut Editor<'_>, object: &ObjectReference) -> SqlResult<(Oid, i16)> {
    let name = &object.name;
    let whole = |oid| Ok((oid, 0));
    match object.kind {
        ObjectKind::Table | ObjectKind::View | ObjectKind::Sequence => whole(relation(editor, object.kind, name)?),
        ObjectKind::Index => {
            let schema = name.schema.as_ref().map(|schema| schema.text.as_str());
            let index = editor.catalog.index_by_name(editor.cx.path, schema, &name.name.text);
            let found = index.map(|(table, index)| (table.oid, index.oid));
            let (table, index) = found.ok_or_else(|| no_relation(name))?;
            editor.rely_on((DescriptorKind::Relation, table));
            whole(index)
        }
        ObjectKind::Column => {
            let table = editor.relation(name)?;
            let member = object.member.as_ref().map_or("", |member| &member.text);
            let Some(column) = table.column_named(member) else {
                let message = format!("column \"{member}\" of relation \"{}\" does not exist", table.name);
                return Err(SqlError::new("42703", message));
            };
            editor.rely_on((DescriptorKind::Relation, table.oid));
            Ok((table.oid, column.attnum))
        }
        ObjectKind::Constraint => {
            let table = editor.relation(name)?;
            let member = object.member.as_ref().map_or("", |member| &member.text);
            let found = table.constraint_oids().find(|oid| table.constraint_name(*oid) == Some(member));
            let Some(constraint) = found else {
                let message = format!("constraint \"{member}\" for table \"{}\" does not exist", table.name);
                return Err(SqlError::new("42704", message));
            };
            editor.rely_on((DescriptorKind::Relation, table.oid));
            whole(constraint)
        }
        ObjectKind::Schema => {
            let schema = editor.schema_named(&name.name.text)?;
            editor.rely_on((DescriptorKind::Schema, schema));
            whole(schema)
        }
        ObjectKind::Database => whole(schema::database_named(editor, &name.name.text)?.oid),
        ObjectKind::Role => whole(role::named(editor, &name.name.text)?.oid),
        ObjectKind::Extension => {
            let found = editor.catalog.extensions(editor.database()).into_iter().find(|e| e.name == name.name.text);
            let found = found.map(|extension| extension.oid);
            whole(found.ok_or_else(|| SqlError::new("42704", format!("extension \"{name}\" does not exist")))?)
        }
        _ => Err(SqlError::not_supported("a comment on this kind of object")),
    }
}

fn relation(editor: &mut Editor<'_>, kind: ObjectKind, name: &ObjectName) -> SqlResult<Oid> {
    let table = editor.relation(name)?;
    let (fits, word) = match kind {
        ObjectKind::View => (matches!(table.kind, RelationKind::View { .. }), "view"),
        ObjectKind::Sequence => (matches!(table.kind, RelationKind::Sequence(_)), "sequence"),
        _ => (matches!(table.kind, RelationKind::Table { .. }), "table"),
    };
    if !fits {
        return Err(SqlError::new("42809", format!("\"{}\" is not a {word}", table.name)));
    }
    editor.rely_on((DescriptorKind::Relation, table.oid));
    Ok(table.oid)
}
