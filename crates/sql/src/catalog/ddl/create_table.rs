//! CREATE TABLE.

use super::constraints::{self, KeySpec};
use super::{Editor, columns, names};
use crate::catalog::{DescriptorKind, IndexDescriptor, RelationKind, Table, TableDescriptor};
use crate::parse::ast::{
    ColumnConstraintKind, ColumnDefinition, CreateTable, Name, ObjectName, Persistence, Setting, TableConstraint,
    TableConstraintKind, TableElement,
};
use crate::{SqlError, SqlResult};

pub(super) async fn create(editor: &mut Editor<'_>, create: &CreateTable) -> SqlResult<()> {
    if let Some(what) = create.unsupported {
        return Err(SqlError::not_supported(what));
    }
    if !create.inherits.is_empty() {
        return Err(SqlError::not_supported("INHERITS"));
    }
    let options = storage_options(&create.options)?;
    let Some(mut table) = start(editor, &create.name, create.if_not_exists, create.persistence).await? else {
        return Ok(());
    };
    table.options = options;
    for element in &create.elements {
        match element {
            TableElement::Column(column) => {
                columns::add(editor, &mut table, column).await?;
            }
            TableElement::Like { table: source, including, excluding } => {
                like(editor, &mut table, source, including, excluding).await?;
            }
            TableElement::Constraint(_) => {}
        }
    }
    add_constraints(editor, &mut table, &create.elements).await?;
    finish(editor, table);
    Ok(())
}

/// A table without columns, unless one of that name is there and may be.
pub(super) async fn start(
    editor: &mut Editor<'_>,
    name: &ObjectName,
    if_not_exists: bool,
    persistence: Persistence,
) -> SqlResult<Option<TableDescriptor>> {
    if persistence == Persistence::Temporary {
        return Err(SqlError::not_supported("a temporary table"));
    }
    let schema = editor.creation_schema(name)?;
    let name = &name.name.text;
    if if_not_exists && editor.catalog.name_in(schema, name).is_some() {
        editor.notice("42P07", format!("relation \"{name}\" already exists, skipping"));
        return Ok(None);
    }
    editor.check_free(schema, name)?;
    editor.rely_on((DescriptorKind::Schema, schema));
    let kind = RelationKind::Table { storage: editor.table_storage().await? };
    let mut table = TableDescriptor::empty(editor.oid().await?, editor.database(), schema, name, kind);
    table.owner = editor.cx.user;
    Ok(Some(table))
}

/// A table without a primary key keeps its rows under a hidden row id.
pub(super) fn finish(editor: &mut Editor<'_>, mut table: TableDescriptor) -> Table {
    if !table.indexes.iter().any(|index| index.primary) {
        table.add_row_id();
    }
    editor.save_table(table)
}

/// Keys first, then checks, then references: a table may refer to its own key.
async fn add_constraints(
    editor: &mut Editor<'_>,
    table: &mut TableDescriptor,
    elements: &[TableElement],
) -> SqlResult<()> {
    for primary in [true, false] {
        for element in elements {
            for spec in key_specs(element).into_iter().filter(|spec| spec.primary == primary) {
                if !repeats_key(table, &spec) {
                    constraints::add_key(editor, table, spec, false).await?;
                }
            }
        }
    }
    for element in elements {
        match element {
            TableElement::Column(column) => add_column_checks(editor, table, column).await?,
            TableElement::Constraint(constraint) => add_table_check(editor, table, constraint).await?,
            TableElement::Like { .. } => {}
        }
    }
    for element in elements {
        match element {
            TableElement::Column(column) => add_column_references(editor, table, column, true).await?,
            TableElement::Constraint(constraint) => add_table_reference(editor, table, constraint, true).await?,
            TableElement::Like { .. } => {}
        }
    }
    Ok(())
}

fn key_specs(element: &TableElement) -> Vec<KeySpec<'_>> {
    match element {
        TableElement::Column(column) => column_keys(column),
        TableElement::Constraint(constraint) => table_key(constraint).into_iter().collect(),
        TableElement::Like { .. } => Vec::new(),
    }
}

pub(super) fn column_keys(column: &ColumnDefinition) -> Vec<KeySpec<'_>> {
    let mut keys = Vec::new();
    for constraint in &column.constraints {
        let (primary, nulls_not_distinct) = match &constraint.kind {
            ColumnConstraintKind::PrimaryKey { .. } => (true, false),
            ColumnConstraintKind::Unique { nulls_not_distinct, .. } => (false, *nulls_not_distinct),
            _ => continue,
        };
        keys.push(KeySpec {
            name: constraint.name.as_ref(),
            primary,
            columns: vec![column.name.as_str()],
            include: Vec::new(),
            nulls_not_distinct,
            deferral: constraint.deferral,
        });
    }
    keys
}

pub(super) fn table_key(constraint: &TableConstraint) -> Option<KeySpec<'_>> {
    let (primary, columns, include, nulls_not_distinct) = match &constraint.kind {
        TableConstraintKind::PrimaryKey { columns, include, .. } => (true, columns, include, false),
        TableConstraintKind::Unique { columns, include, nulls_not_distinct, .. } => {
            (false, columns, include, *nulls_not_distinct)
        }
        _ => return None,
    };
    Some(KeySpec {
        name: constraint.name.as_ref(),
        primary,
        columns: columns.iter().map(Name::as_str).collect(),
        include: include.iter().map(Name::as_str).collect(),
        nulls_not_distinct,
        deferral: constraint.deferral,
    })
}

/// An unnamed UNIQUE on the columns of another key (`a int PRIMARY KEY UNIQUE`) adds nothing.
fn repeats_key(table: &TableDescriptor, spec: &KeySpec<'_>) -> bool {
    let is_same = |index: &IndexDescriptor| {
        let names = index.columns.iter().filter_map(|key| table.column(key.column)).map(|column| column.name.as_str());
        index.constraint.is_some() && names.eq(spec.columns.iter().copied())
    };
    spec.name.is_none() && !spec.primary && table.indexes.iter().any(is_same)
}

pub(super) async fn add_column_checks(
    editor: &Editor<'_>,
    table: &mut TableDescriptor,
    column: &ColumnDefinition,
) -> SqlResult<()> {
    for constraint in &column.constraints {
        if let ColumnConstraintKind::Check { condition, .. } = &constraint.kind {
            constraints::add_check(editor, table, constraint.name.as_ref(), condition, true).await?;
        }
    }
    Ok(())
}

async fn add_table_check(
    editor: &Editor<'_>,
    table: &mut TableDescriptor,
    constraint: &TableConstraint,
) -> SqlResult<()> {
    match &constraint.kind {
        TableConstraintKind::Check { condition, .. } => {
            constraints::add_check(editor, table, constraint.name.as_ref(), condition, true).await?;
            Ok(())
        }
        TableConstraintKind::Exclude => Err(SqlError::not_supported("an exclusion constraint")),
        TableConstraintKind::UsingIndex { .. } => Err(SqlError::new("42601", "the table has no index yet")),
        _ => Ok(()),
    }
}

pub(super) async fn add_column_references(
    editor: &mut Editor<'_>,
    table: &mut TableDescriptor,
    column: &ColumnDefinition,
    validated: bool,
) -> SqlResult<()> {
    for constraint in &column.constraints {
        if let ColumnConstraintKind::References(references) = &constraint.kind {
            let (name, columns) = (constraint.name.as_ref(), [column.name.as_str()]);
            let deferral = constraint.deferral;
            constraints::add_foreign_key(editor, table, name, &columns, references, deferral, validated).await?;
        }
    }
    Ok(())
}

async fn add_table_reference(
    editor: &mut Editor<'_>,
    table: &mut TableDescriptor,
    constraint: &TableConstraint,
    validated: bool,
) -> SqlResult<()> {
    if let TableConstraintKind::ForeignKey { columns, references } = &constraint.kind {
        let columns: Vec<&str> = columns.iter().map(Name::as_str).collect();
        let (name, deferral) = (constraint.name.as_ref(), constraint.deferral);
        constraints::add_foreign_key(editor, table, name, &columns, references, deferral, validated).await?;
    }
    Ok(())
}

/// `LIKE source [INCLUDING …]`: its columns, and what else is asked for.
async fn like(
    editor: &mut Editor<'_>,
    table: &mut TableDescriptor,
    source: &ObjectName,
    including: &[String],
    excluding: &[String],
) -> SqlResult<()> {
    let source = editor.relation(source)?;
    if matches!(source.kind, RelationKind::Sequence(_)) {
        return Err(SqlError::new("42809", format!("relation \"{}\" is invalid in LIKE clause", source.name)));
    }
    let wants = |what: &str| {
        let named = |list: &[String]| list.iter().any(|item| item.eq_ignore_ascii_case(what));
        (named(including) || named_all(including)) && !named(excluding) && !named_all(excluding)
    };
    for column in source.visible_columns() {
        columns::check_name(table, &column.name)?;
        let id = table.add_column(&column.name, column.ty).id;
        columns::column_mut(table, id).not_null = column.not_null;
        if wants("defaults") && column.identity.is_none() {
            let copy = columns::column_mut(table, id);
            copy.default = column.default.clone();
            copy.default_uses = column.default_uses.clone();
        }
        if let Some(identity) = column.identity.filter(|_| wants("identity")) {
            columns::own_sequence(editor, table, id, &[], Some(identity)).await?;
        }
    }
    if wants("constraints") {
        for check in &source.checks {
            let (oid, columns) = (editor.oid().await?, same_columns(&source, table, &check.columns));
            table.checks.push(crate::catalog::CheckDescriptor { oid, columns, ..check.clone() });
        }
    }
    if wants("indexes") {
        for index in source.named_indexes() {
            copy_index(editor, &source, table, index).await?;
        }
    }
    Ok(())
}

fn named_all(list: &[String]) -> bool {
    list.iter().any(|item| item.eq_ignore_ascii_case("all"))
}

fn same_columns(
    source: &TableDescriptor,
    table: &TableDescriptor,
    columns: &[crate::catalog::ColumnId],
) -> Vec<crate::catalog::ColumnId> {
    let names = columns.iter().filter_map(|id| source.column(*id)).map(|column| column.name.as_str());
    names.filter_map(|name| table.column_named(name)).map(|column| column.id).collect()
}

async fn copy_index(
    editor: &Editor<'_>,
    source: &TableDescriptor,
    table: &mut TableDescriptor,
    index: &IndexDescriptor,
) -> SqlResult<()> {
    let names_of = |columns: &mut dyn Iterator<Item = crate::catalog::ColumnId>| -> Vec<&str> {
        columns.filter_map(|id| source.column(id)).map(|column| column.name.as_str()).collect()
    };
    let columns = names_of(&mut index.columns.iter().map(|key| key.column));
    let include = names_of(&mut index.include.iter().copied());
    if index.constraint.is_some() {
        let (primary, deferral) = (index.primary, Default::default());
        let spec = KeySpec { name: None, primary, columns, include, nulls_not_distinct: false, deferral };
        constraints::add_key(editor, table, spec, false).await?;
        return Ok(());
    }
    let joined = names::join_columns(columns.iter().copied());
    let taken = |name: &str| constraints::has_index(table, name);
    let name = names::choose_relation(&editor.catalog, table.schema, &table.name, Some(&joined), "idx", taken);
    let mut copy = index.clone();
    copy.oid = editor.oid().await?;
    copy.name = name;
    copy.id = constraints::index_id(editor, table, false).await?;
    for key in &mut copy.columns {
        key.column = same_columns(source, table, &[key.column])[0];
    }
    copy.include = same_columns(source, table, &index.include);
    table.indexes.push(copy);
    Ok(())
}

/// Storage parameters that PostgreSQL has: kept, without effect. Others are an error.
pub(super) fn storage_options(settings: &[Setting]) -> SqlResult<Vec<(String, String)>> {
    const KNOWN: [&str; 12] = [
        "fillfactor",
        "toast_tuple_target",
        "parallel_workers",
        "vacuum_truncate",
        "vacuum_index_cleanup",
        "user_catalog_table",
        "log_autovacuum_min_duration",
        "deduplicate_items",
        "buffering",
        "fastupdate",
        "pages_per_range",
        "autosummarize",
    ];
    let mut options = Vec::new();
    for setting in settings {
        let name = &setting.name.text;
        let value = setting.value.as_ref().map_or_else(|| "true".to_owned(), |value| value.to_text());
        let is_toast = setting.namespace.as_ref().is_some_and(|space| space.as_str() == "toast");
        if setting.namespace.is_none() && name == "oids" {
            if value != "false" && value != "off" && value != "0" {
                return Err(SqlError::new("0A000", "tables declared WITH OIDS are not supported"));
            }
            continue;
        }
        if !KNOWN.contains(&name.as_str()) && !name.starts_with("autovacuum_") {
            return Err(SqlError::new("22023", format!("unrecognized parameter \"{name}\"")));
        }
        if !is_toast {
            options.push((name.clone(), value));
        }
    }
    Ok(options)
}
