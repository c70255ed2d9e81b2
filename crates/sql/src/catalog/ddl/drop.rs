//! DROP of schemas, tables, views, sequences, indexes and constraints, and everything that goes with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use expr::Oid;
use keyspace::IndexId;

use super::dependencies::{Dependents, Kind, Object, describe};
use super::editor::{Editor, shown};
use crate::catalog::{CommentDescriptor, Descriptor, DescriptorKind, RelationKind, Table, TableDescriptor, builtin};
use crate::parse::ast::{DropBehavior, DropObjects, ObjectKind, ObjectName};
use crate::{SqlError, SqlResult};

/// DETAIL lines that the client is shown.
const REPORTED_MAX: usize = 100;

pub(super) fn drop_objects(editor: &mut Editor<'_>, drop: &DropObjects) -> SqlResult<()> {
    let mut roots = Vec::new();
    for name in &drop.names {
        let found = match drop.kind {
            ObjectKind::Schema => find_schema(editor, name)?,
            ObjectKind::Index => find_index(editor, name)?,
            _ => find_relation(editor, drop.kind, name)?,
        };
        match found {
            Some(object) => roots.push(object),
            None if drop.if_exists => {
                let what = missing(editor, drop.kind, name);
                editor.notice("00000", format!("{}, skipping", what.0.message));
            }
            None => return Err(missing(editor, drop.kind, name)),
        }
    }
    drop_all(editor, &roots, drop.behavior)
}

/// The words of PostgreSQL's messages and the state for "there is none".
fn words(kind: ObjectKind) -> (&'static str, &'static str) {
    match kind {
        ObjectKind::Schema => ("schema", "3F000"),
        ObjectKind::View => ("view", "42P01"),
        ObjectKind::MaterializedView => ("materialized view", "42P01"),
        ObjectKind::Sequence => ("sequence", "42P01"),
        ObjectKind::Index => ("index", "42704"),
        ObjectKind::ForeignTable => ("foreign table", "42P01"),
        _ => ("table", "42P01"),
    }
}

fn missing(editor: &Editor<'_>, kind: ObjectKind, name: &ObjectName) -> SqlError {
    if let Some(schema) = &name.schema
        && editor.schema_named(&schema.text).is_err()
    {
        return SqlError::new("3F000", format!("schema \"{schema}\" does not exist"));
    }
    let (word, state) = words(kind);
    SqlError::new(state, format!("{word} \"{}\" does not exist", shown(name)))
}

fn find_schema(editor: &Editor<'_>, name: &ObjectName) -> SqlResult<Option<Object>> {
    let Some(schema) = editor.catalog.schema(editor.database(), &name.name.text) else { return Ok(None) };
    if builtin::is_builtin_schema(schema.oid) {
        let message = format!("cannot drop schema {} because it is required by the database system", schema.name);
        return Err(SqlError::new("2BP01", message));
    }
    Ok(Some(Object::Schema(schema.oid)))
}

fn find_index(editor: &Editor<'_>, name: &ObjectName) -> SqlResult<Option<Object>> {
    editor.check_database(name)?;
    let schema = name.schema.as_ref().map(|schema| schema.text.as_str());
    if let Some(table) = editor.find_relation(name) {
        return Err(wrong_kind(&table, ObjectKind::Index));
    }
    let Some((table, index)) = editor.catalog.index_by_name(editor.cx.path, schema, &name.name.text) else {
        return Ok(None);
    };
    if let Some(constraint) = index.constraint {
        let (catalog, path) = (&editor.catalog, editor.cx.path);
        let this = describe(catalog, path, Object::Index { table: table.oid, index: index.oid });
        let constraint = describe(catalog, path, Object::Constraint { table: table.oid, constraint });
        let message = format!("cannot drop {this} because {constraint} requires it");
        return Err(SqlError::new("2BP01", message).with_hint(format!("You can drop {constraint} instead.")));
    }
    Ok(Some(Object::Index { table: table.oid, index: index.oid }))
}

fn find_relation(editor: &Editor<'_>, kind: ObjectKind, name: &ObjectName) -> SqlResult<Option<Object>> {
    editor.check_database(name)?;
    let Some(table) = editor.find_relation(name) else {
        let schema = name.schema.as_ref().map(|schema| schema.text.as_str());
        return match editor.catalog.index_by_name(editor.cx.path, schema, &name.name.text) {
            Some((_, index)) => Err(SqlError::new("42809", format!("\"{}\" is not a {}", index.name, words(kind).0))
                .with_hint("Use DROP INDEX to remove an index.")),
            None => Ok(None),
        };
    };
    if matches!(table.kind, RelationKind::Virtual) {
        return Err(SqlError::new("42501", format!("permission denied: \"{}\" is a system catalog", table.name)));
    }
    let fits = match kind {
        ObjectKind::View => matches!(table.kind, RelationKind::View { .. }),
        ObjectKind::Sequence => matches!(table.kind, RelationKind::Sequence(_)),
        ObjectKind::Table => matches!(table.kind, RelationKind::Table { .. }),
        _ => false,
    };
    if fits { Ok(Some(Object::Relation(table.oid))) } else { Err(wrong_kind(&table, kind)) }
}

/// `"v" is not a table`, with the statement that would do.
fn wrong_kind(table: &Table, wanted: ObjectKind) -> SqlError {
    let hint = match table.kind {
        RelationKind::View { .. } => "Use DROP VIEW to remove a view.",
        RelationKind::Sequence(_) => "Use DROP SEQUENCE to remove a sequence.",
        RelationKind::Table { .. } | RelationKind::Virtual => "Use DROP TABLE to remove a table.",
    };
    let wanted = match wanted {
        ObjectKind::Index => "an index".to_owned(),
        kind => format!("a {}", words(kind).0),
    };
    SqlError::new("42809", format!("\"{}\" is not {wanted}", table.name)).with_hint(hint)
}

/// Drops these and all that depends on them, or fails with the list of it.
pub(super) fn drop_all(editor: &mut Editor<'_>, roots: &[Object], behavior: DropBehavior) -> SqlResult<()> {
    let closure = Closure::of(editor, roots);
    report(editor, &closure, roots, behavior)?;
    remove(editor, &closure);
    Ok(())
}

/// Everything that goes, in the order in which it was found.
#[derive(Default)]
struct Closure {
    objects: Vec<Object>,
    seen: BTreeSet<Object>,
    /// What a dependant depends on: of several the first that was reached.
    causes: BTreeMap<Object, Object>,
    /// What depends on what, as an error or notice says it.
    reasons: Vec<(Object, Object)>,
}

impl Closure {
    fn of(editor: &Editor<'_>, roots: &[Object]) -> Closure {
        let dependents = Dependents::of(&editor.catalog, editor.database());
        let mut closure = Closure::default();
        for root in roots {
            closure.add(*root);
        }
        for root in roots {
            closure.follow(&dependents, *root);
        }
        closure.forget_parts(&dependents, roots);
        closure
    }

    /// Depth first, the oldest dependant first: in this order PostgreSQL tells of them.
    fn follow(&mut self, dependents: &Dependents, object: Object) {
        let all = dependents.of_object(object);
        for (_, dependant) in all.iter().filter(|(kind, _)| *kind == Kind::Normal) {
            self.causes.entry(*dependant).or_insert(object);
        }
        for (kind, dependant) in all {
            if self.add(dependant) {
                if kind == Kind::Normal {
                    self.reasons.push((dependant, self.causes[&dependant]));
                }
                self.follow(dependents, dependant);
            }
        }
    }

    fn add(&mut self, object: Object) -> bool {
        let is_new = self.seen.insert(object);
        if is_new {
            self.objects.push(object);
        }
        is_new
    }

    /// What is part of a relation that goes as a whole is not worth a word, nor is what was named itself.
    fn forget_parts(&mut self, dependents: &Dependents, roots: &[Object]) {
        let seen = &self.seen;
        self.reasons.retain(|(dependant, _)| {
            if dependents.is_part_of_any(*dependant, seen) {
                return false;
            }
            let whole = match dependant {
                Object::Constraint { table, .. } | Object::Default { table, .. } | Object::Index { table, .. } => {
                    *table
                }
                Object::Schema(_) | Object::Relation(_) | Object::Column { .. } => return !roots.contains(dependant),
            };
            !seen.contains(&Object::Relation(whole)) && !roots.contains(dependant)
        });
    }
}

fn report(editor: &Editor<'_>, closure: &Closure, roots: &[Object], behavior: DropBehavior) -> SqlResult<()> {
    let (catalog, path) = (&editor.catalog, editor.cx.path);
    let say = |object| describe(catalog, path, object);
    if closure.reasons.is_empty() {
        return Ok(());
    }
    if behavior == DropBehavior::Restrict {
        let lines = closure.reasons.iter().map(|(who, on)| format!("{} depends on {}", say(*who), say(*on)));
        let message = match roots {
            [root] => format!("cannot drop {} because other objects depend on it", say(*root)),
            _ => "cannot drop desired object(s) because other objects depend on them".to_owned(),
        };
        return Err(SqlError::new("2BP01", message)
            .with_detail(listing(lines.collect()))
            .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
    }
    let lines: Vec<String> = closure.reasons.iter().map(|(who, _)| format!("drop cascades to {}", say(*who))).collect();
    match &lines[..] {
        [line] => editor.notice("00000", line.clone()),
        lines => {
            let message = format!("drop cascades to {} other objects", lines.len());
            editor.notice_error(SqlError::new("00000", message).with_detail(listing(lines.to_vec())));
        }
    }
    Ok(())
}

fn listing(mut lines: Vec<String>) -> String {
    let more = lines.len().saturating_sub(REPORTED_MAX);
    lines.truncate(REPORTED_MAX);
    if more > 0 {
        lines.push(format!("and {more} other objects (see server log for list)"));
    }
    lines.join("\n")
}

/// What goes from a table that stays.
#[derive(Default)]
struct Losses {
    constraints: BTreeSet<Oid>,
    indexes: BTreeSet<Oid>,
    defaults: BTreeSet<crate::catalog::ColumnId>,
    columns: BTreeSet<crate::catalog::ColumnId>,
}

fn remove(editor: &mut Editor<'_>, closure: &Closure) {
    let mut losses: BTreeMap<Oid, Losses> = BTreeMap::new();
    for object in &closure.objects {
        match *object {
            Object::Schema(_) | Object::Relation(_) => {}
            Object::Index { table, index } => {
                losses.entry(table).or_default().indexes.insert(index);
            }
            Object::Column { table, column } => {
                losses.entry(table).or_default().columns.insert(column);
            }
            Object::Constraint { table, constraint } => {
                losses.entry(table).or_default().constraints.insert(constraint);
            }
            Object::Default { table, column } => {
                losses.entry(table).or_default().defaults.insert(column);
            }
        }
    }
    for (oid, losses) in losses {
        if !closure.seen.contains(&Object::Relation(oid)) {
            reduce(editor, oid, &losses);
        }
    }
    for object in &closure.objects {
        if let Object::Relation(oid) = object {
            remove_relation(editor, *oid);
        }
    }
    for object in &closure.objects {
        if let Object::Schema(oid) = object {
            remove_comment(editor, *oid, None);
            editor.lock_with_dependents((DescriptorKind::Schema, *oid));
            editor.delete((DescriptorKind::Schema, *oid));
        }
    }
}

/// A table that stays loses parts.
fn reduce(editor: &mut Editor<'_>, oid: Oid, losses: &Losses) {
    let Some(old) = editor.catalog.table(oid).cloned() else { return };
    let mut table = TableDescriptor::clone(&old);
    let lost_index = |index: &crate::catalog::IndexDescriptor| {
        losses.indexes.contains(&index.oid) || index.constraint.is_some_and(|oid| losses.constraints.contains(&oid))
    };
    for index in old.named_indexes().filter(|index| lost_index(index)) {
        remove_comment(editor, index.oid, None);
        if let Some(storage) = old.storage().filter(|_| index.id != IndexId::PRIMARY) {
            editor.drop_index(storage, index.id);
        }
    }
    for constraint in &losses.constraints {
        remove_comment(editor, *constraint, None);
    }
    for key in old.foreign_keys.iter().filter(|key| losses.constraints.contains(&key.oid)) {
        forget_reference(editor, key.target, oid, &old, &losses.constraints);
    }
    // A table may refer to itself.
    if let Some(now) = editor.catalog.table(oid) {
        table.referenced_by = now.referenced_by.clone();
    }
    if let Some(primary) = table.indexes.first_mut().filter(|index| lost_index(index)) {
        // The rows stay where they are until the caller has moved them; no constraint and no name is left.
        *primary = crate::catalog::IndexDescriptor {
            oid: Oid(0),
            name: String::new(),
            primary: false,
            constraint: None,
            ..primary.clone()
        };
    }
    table.indexes.retain(|index| index.oid == Oid(0) || !lost_index(index));
    table.checks.retain(|check| !losses.constraints.contains(&check.oid));
    table.foreign_keys.retain(|key| !losses.constraints.contains(&key.oid));
    for column in &mut table.columns {
        if losses.defaults.contains(&column.id) || losses.columns.contains(&column.id) {
            column.default = None;
            column.default_uses = Vec::new();
        }
        if losses.columns.contains(&column.id) {
            remove_comment(editor, oid, Some(column.attnum));
            column.dropped = true;
            column.name = format!("........pg.dropped.{}........", column.attnum);
            column.not_null = false;
            column.identity = None;
            column.generated = None;
        }
    }
    if !losses.columns.is_empty() || !losses.constraints.is_empty() {
        editor.lock_with_dependents((DescriptorKind::Relation, oid));
    }
    editor.save_table(table);
}

fn remove_relation(editor: &mut Editor<'_>, oid: Oid) {
    let Some(table) = editor.catalog.table(oid).cloned() else { return };
    for key in &table.foreign_keys {
        if key.target != oid {
            let all = table.foreign_keys.iter().map(|key| key.oid).collect();
            forget_reference(editor, key.target, oid, &table, &all);
        }
    }
    for object in table.constraint_oids().chain(table.named_indexes().map(|index| index.oid)).chain([oid]) {
        remove_comment(editor, object, None);
    }
    if let Some(storage) = table.storage() {
        editor.drop_storage(storage);
    }
    editor.lock_with_dependents((DescriptorKind::Relation, oid));
    editor.delete((DescriptorKind::Relation, oid));
}

/// `target` is no longer referenced by `from`, unless one of its foreign keys that stay still does.
fn forget_reference(editor: &mut Editor<'_>, target: Oid, from: Oid, child: &TableDescriptor, lost: &BTreeSet<Oid>) {
    let still = child.foreign_keys.iter().any(|key| key.target == target && !lost.contains(&key.oid));
    if still {
        return;
    }
    if let Some(parent) = editor.catalog.table(target).cloned() {
        let mut parent = TableDescriptor::clone(&parent);
        parent.referenced_by.retain(|oid| *oid != from);
        editor.save_table(parent);
    }
}

/// The comments on an object, or on one of its columns.
pub(super) fn remove_comment(editor: &mut Editor<'_>, object: Oid, sub: Option<i16>) {
    let Some(old) = editor.catalog.comments_on(object).cloned() else { return };
    let texts: Vec<_> = old.texts.iter().filter(|(at, _)| sub.is_some_and(|sub| *at != sub)).cloned().collect();
    if texts.is_empty() {
        editor.delete((DescriptorKind::Comment, object));
    } else {
        editor.save(Descriptor::Comment(Arc::new(CommentDescriptor { object, texts })));
    }
}
