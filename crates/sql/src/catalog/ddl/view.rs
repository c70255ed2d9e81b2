//! CREATE VIEW, and what happens to views when what they name is renamed.
//!
//! A view is kept as the text of its query, in which every relation is named with its schema, so that the search path of
//! the one who reads it does not matter.

use std::collections::BTreeSet;

use expr::Oid;

use super::{Editor, text, walk};
use crate::catalog::quote::quote_ident;
use crate::catalog::{ColumnDescriptor, ColumnId, Dependency, DescriptorKind, RelationKind, Table, TableDescriptor};
use crate::parse::ast::{CreateView, Name, ObjectName, Persistence, Query, Statement};
use crate::plan::{Field, Node, Plan};
use crate::{SqlError, SqlResult};

pub(super) async fn create(editor: &mut Editor<'_>, create: &CreateView) -> SqlResult<()> {
    if create.persistence == Persistence::Temporary {
        return Err(SqlError::not_supported("a temporary view"));
    }
    if create.recursive {
        return Err(
            SqlError::not_supported("CREATE RECURSIVE VIEW").with_hint("Use WITH RECURSIVE in the view's query.")
        );
    }
    if create.check_option {
        return Err(SqlError::not_supported("WITH CHECK OPTION"));
    }
    let (schema, name) = (editor.creation_schema(&create.name)?, &create.name.name.text);
    let old = match editor.catalog.name_in(schema, name) {
        Some(_) if create.or_replace => Some(replaceable(editor, &create.name)?),
        Some(_) => return Err(SqlError::new("42P07", format!("relation \"{name}\" already exists"))),
        None => None,
    };
    editor.rely_on((DescriptorKind::Schema, schema));
    let query = &create.query.query;
    let plan = editor.bind_query(query)?.plan;
    let fields = columns_of(&plan, &create.columns)?;
    let kind = RelationKind::View {
        definition: qualify(editor, &create.query.text)?,
        depends_on: dependencies(editor, &plan, query),
    };
    rely_on_all(editor, &kind);
    let view = match old {
        Some(old) => replace(&old, kind, &fields)?,
        None => {
            let mut view = TableDescriptor::empty(editor.oid().await?, editor.database(), schema, name, kind);
            view.owner = editor.cx.user;
            fields.iter().for_each(|field| {
                view.add_column(&field.name, field.ty);
            });
            view
        }
    };
    editor.save_table(view);
    Ok(())
}

fn replaceable(editor: &Editor<'_>, name: &ObjectName) -> SqlResult<Table> {
    let old = editor.relation(name)?;
    match old.kind {
        RelationKind::View { .. } => Ok(old),
        _ => Err(SqlError::new("42809", format!("\"{}\" is not a view", old.name))),
    }
}

/// The new query may add columns at the end; those there are stay as they are.
fn replace(old: &TableDescriptor, kind: RelationKind, fields: &[Field]) -> SqlResult<TableDescriptor> {
    let invalid = |message: String| SqlError::new("42P16", message);
    let mut view = old.clone();
    view.kind = kind;
    let before: Vec<_> = old.visible_columns().collect();
    if fields.len() < before.len() {
        return Err(invalid("cannot drop columns from view".into()));
    }
    for (column, field) in before.iter().zip(fields) {
        if column.name != field.name {
            let message = format!("cannot change name of view column \"{}\" to \"{}\"", column.name, field.name);
            return Err(invalid(message)
                .with_hint("Use ALTER VIEW ... RENAME COLUMN ... to change name of view column instead."));
        }
        if column.ty != field.ty {
            let (from, to) = (column.ty, field.ty);
            return Err(invalid(format!(
                "cannot change data type of view column \"{}\" from {from} to {to}",
                column.name
            )));
        }
    }
    for field in &fields[before.len()..] {
        view.add_column(&field.name, field.ty);
    }
    Ok(view)
}

fn columns_of(plan: &Plan, names: &[Name]) -> SqlResult<Vec<Field>> {
    if names.len() > plan.fields.len() {
        return Err(SqlError::new("42601", "CREATE VIEW specifies more column names than columns"));
    }
    let mut fields = plan.fields.clone();
    for (field, name) in fields.iter_mut().zip(names) {
        field.name = name.text.clone();
    }
    let mut seen = BTreeSet::new();
    for field in &mut fields {
        if !seen.insert(field.name.clone()) {
            return Err(SqlError::new("42701", format!("column \"{}\" specified more than once", field.name)));
        }
        if field.ty == expr::SqlType::UNKNOWN {
            field.ty = expr::SqlType::TEXT;
        }
    }
    Ok(fields)
}

/// What the catalog keeps; positions are the text's.
fn parse_query(definition: &str) -> SqlResult<Query> {
    match crate::parse::parse(definition)?.pop().map(|parsed| parsed.statement) {
        Some(Statement::Query(query)) => Ok(*query),
        _ => Err(SqlError::new("XX000", "a view's definition is no query")),
    }
}

/// The text with each relation's schema in front of its name.
fn qualify(editor: &Editor<'_>, definition: &str) -> SqlResult<String> {
    // Positions in the statement's tree are the statement's; the definition is parsed by itself.
    let query = parse_query(definition)?;
    Ok(text::change_relations(definition, &query, |name| {
        if name.schema.is_some() {
            return None;
        }
        let table = editor.find_relation(name)?;
        Some(qualified(editor, &table))
    }))
}

fn qualified(editor: &Editor<'_>, table: &TableDescriptor) -> String {
    format!("{}.{}", quote_ident(editor.schema_name(table.schema)), quote_ident(&table.name))
}

/// The relations that the query names, and the columns of them that its plan reads.
fn dependencies(editor: &Editor<'_>, plan: &Plan, query: &Query) -> Vec<Dependency> {
    let mut found = BTreeSet::new();
    let mut named = Vec::new();
    walk::relations(query, &mut |name| named.extend(editor.find_relation(name)));
    for table in named.iter().filter(|table| !matches!(table.kind, RelationKind::Virtual)) {
        found.insert(Dependency { object: table.oid, column: None });
    }
    scanned_columns(plan, &mut |table, column| {
        if named.iter().any(|named| named.oid == table) {
            found.insert(Dependency { object: table, column: Some(column) });
        }
    });
    found.into_iter().collect()
}

fn scanned_columns(plan: &Plan, found: &mut dyn FnMut(Oid, ColumnId)) {
    if let Node::Scan(scan) = &plan.node
        && !matches!(scan.table.kind, RelationKind::Virtual)
    {
        scan.columns.iter().for_each(|column| found(scan.table.oid, *column));
    }
    plan.node.inputs().into_iter().for_each(|input| scanned_columns(input, found));
}

fn rely_on_all(editor: &mut Editor<'_>, kind: &RelationKind) {
    let RelationKind::View { depends_on, .. } = kind else { return };
    for dependency in depends_on {
        editor.rely_on((DescriptorKind::Relation, dependency.object));
    }
}

/// Views that name the relation.
fn users_of(editor: &Editor<'_>, relation: Oid) -> Vec<Table> {
    let uses = |view: &&Table| match &view.kind {
        RelationKind::View { depends_on, .. } => depends_on.iter().any(|d| d.object == relation),
        _ => false,
    };
    editor.catalog.relations(editor.database()).into_iter().filter(uses).cloned().collect()
}

/// A relation has a new name or schema: the views that name it follow.
pub(super) fn follow(editor: &mut Editor<'_>, before: &Table, after: &Table) -> SqlResult<()> {
    let old_schema = editor.schema_name(before.schema).to_owned();
    rewrite_users(editor, after, &old_schema, &before.name)
}

/// The relation's schema had another name.
pub(super) fn follow_schema(editor: &mut Editor<'_>, table: &Table, old_schema: &str) -> SqlResult<()> {
    rewrite_users(editor, table, old_schema, &table.name)
}

fn rewrite_users(editor: &mut Editor<'_>, table: &Table, old_schema: &str, old_name: &str) -> SqlResult<()> {
    let replacement = qualified(editor, table);
    for view in users_of(editor, table.oid) {
        let mut view = TableDescriptor::clone(&view);
        let RelationKind::View { definition, .. } = &mut view.kind else { continue };
        let query = parse_query(definition)?;
        *definition = text::change_relations(definition, &query, |name| {
            let is_it = name.name.text == old_name && name.schema.as_ref().is_some_and(|s| s.text == old_schema);
            is_it.then(|| replacement.clone())
        });
        editor.save_table(view);
    }
    Ok(())
}

/// The view that reads a column, if there is one.
fn user_of_column(editor: &Editor<'_>, table: Oid, column: ColumnId) -> Option<Table> {
    let wanted = Dependency { object: table, column: Some(column) };
    let uses = |view: &Table| match &view.kind {
        RelationKind::View { depends_on, .. } => depends_on.contains(&wanted),
        _ => false,
    };
    users_of(editor, table).into_iter().find(uses)
}

/// The text of a view cannot follow every change of a column.
pub(super) fn check_no_view_uses(editor: &Editor<'_>, table: &Table, column: ColumnId, what: &str) -> SqlResult<()> {
    match user_of_column(editor, table.oid, column) {
        Some(view) => Err(SqlError::not_supported(what)
            .with_detail(format!("View \"{}\" uses it.", view.name))
            .with_hint("Drop the view and create it again afterwards.")),
        None => Ok(()),
    }
}

pub(super) fn check_type_is_free(editor: &Editor<'_>, table: &Table, column: &ColumnDescriptor) -> SqlResult<()> {
    match user_of_column(editor, table.oid, column.id) {
        Some(view) => {
            let detail = format!("rule _RETURN on view {} depends on column \"{}\"", view.name, column.name);
            Err(SqlError::new("0A000", "cannot alter type of a column used by a view or rule").with_detail(detail))
        }
        None => Ok(()),
    }
}
