//! CREATE INDEX.
//!
//! Built within the transaction: every row that exists gets an entry. (An index that is added online goes through
//! [`IndexState::WriteOnly`]; who writes rows keeps such an index up already.)

use super::editor::no_relation;
use super::{Editor, constraints, names, rename, rewrite};
use crate::catalog::{DescriptorKind, IndexColumn, IndexDescriptor, IndexState, RelationKind, TableDescriptor};
use crate::parse::ast::{CreateIndex, Direction, IndexElement, IndexExpr, Name};
use crate::{SqlError, SqlResult};

pub(super) async fn create(editor: &mut Editor<'_>, create: &CreateIndex) -> SqlResult<()> {
    check_supported(create)?;
    let Some(old) = rename::find_or_skip(editor, &create.table, false)? else { return Err(no_relation(&create.table)) };
    if !matches!(old.kind, RelationKind::Table { .. }) {
        return Err(SqlError::new("42809", format!("cannot create index on relation \"{}\"", old.name))
            .with_detail("This operation is only supported for tables."));
    }
    if let Some(name) = &create.name
        && editor.catalog.name_in(old.schema, &name.text).is_some()
    {
        let message = format!("relation \"{name}\" already exists");
        if create.if_not_exists {
            editor.notice("42P07", format!("{message}, skipping"));
            return Ok(());
        }
        return Err(SqlError::new("42P07", message));
    }
    let mut table = TableDescriptor::clone(&old);
    let is_empty = rewrite::is_empty(editor, &old).await?;
    let index = describe(editor, &mut table, create, !is_empty).await?;
    let id = index.id;
    table.indexes.push(index);
    editor.lock((DescriptorKind::Relation, old.oid));
    let table = editor.save_table(table);
    if is_empty { Ok(()) } else { rewrite::build_index(editor, &table, id).await }
}

fn check_supported(create: &CreateIndex) -> SqlResult<()> {
    match create.method.as_ref().map(Name::as_str) {
        // A hash index finds equal values only; an ordered one does that too.
        None | Some("btree" | "hash") => {}
        Some(method @ ("gin" | "gist" | "brin" | "spgist")) => {
            return Err(SqlError::not_supported(format!("access method \"{method}\"")).with_hint("Use btree."));
        }
        Some(method) => return Err(SqlError::new("42704", format!("access method \"{method}\" does not exist"))),
    }
    if create.filter.is_some() {
        return Err(SqlError::not_supported("a partial index"));
    }
    if create.nulls_not_distinct {
        return Err(SqlError::not_supported("NULLS NOT DISTINCT"));
    }
    Ok(())
}

async fn describe(
    editor: &Editor<'_>,
    table: &mut TableDescriptor,
    create: &CreateIndex,
    has_rows: bool,
) -> SqlResult<IndexDescriptor> {
    let columns = create.columns.iter().map(|element| key(table, element)).collect::<SqlResult<Vec<_>>>()?;
    let include: Vec<&str> = create.include.iter().map(Name::as_str).collect();
    let include = constraints::included_columns(table, &include)?;
    let name = match &create.name {
        Some(name) => name.text.clone(),
        None => {
            let keys = columns.iter().filter_map(|key| table.column(key.column)).map(|column| column.name.as_str());
            let joined = names::join_columns(keys);
            let taken = |name: &str| constraints::has_index(table, name);
            names::choose_relation(&editor.catalog, table.schema, &table.name, Some(&joined), "idx", taken)
        }
    };
    Ok(IndexDescriptor {
        id: constraints::index_id(editor, table, has_rows).await?,
        oid: editor.oid().await?,
        name,
        unique: create.unique,
        primary: false,
        columns,
        include,
        constraint: None,
        state: IndexState::Public,
    })
}

fn key(table: &TableDescriptor, element: &IndexElement) -> SqlResult<IndexColumn> {
    let IndexExpr::Column(name) = &element.expr else {
        return Err(SqlError::not_supported("an index on an expression"));
    };
    let Some(column) = table.column_named(&name.text) else {
        return Err(SqlError::new("42703", format!("column \"{name}\" does not exist")));
    };
    constraints::check_indexable(column.ty)?;
    super::columns::check_collation(column.ty, element.collation.as_deref())?;
    check_operator_class(element)?;
    let descending = element.direction == Direction::Descending;
    Ok(IndexColumn { column: column.id, descending, nulls_first: element.nulls_first.unwrap_or(descending) })
}

/// The default class of each type, and those that order as it does (text compares byte by byte in any case).
fn check_operator_class(element: &IndexElement) -> SqlResult<()> {
    let Some(name) = element.operator_class.as_ref().and_then(|names| names.last()) else { return Ok(()) };
    let name = name.as_str();
    if name.ends_with("_ops") && !name.contains("gin") && !name.contains("gist") && !name.contains("trgm") {
        return Ok(());
    }
    Err(SqlError::new("42704", format!("operator class \"{name}\" does not exist for access method \"btree\"")))
}
