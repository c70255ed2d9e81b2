//! Objects as the SQL that would make them: `pg_get_constraintdef`, `pg_get_indexdef`, `pg_get_expr`.

use expr::Oid;

use super::deparse;
use crate::catalog::quote::quote_ident;
use crate::catalog::{
    Catalog, ColumnDescriptor, ColumnId, ForeignKeyDescriptor, IndexDescriptor, ReferentialAction, SearchPath, Table,
    TableDescriptor,
};

fn column_list(table: &TableDescriptor, columns: impl IntoIterator<Item = ColumnId>) -> String {
    let names = columns.into_iter().filter_map(|id| table.column(id)).map(|column| quote_ident(&column.name));
    names.collect::<Vec<_>>().join(", ")
}

/// The name alone where the search path finds it, else with its schema.
pub(crate) fn relation_name(catalog: &Catalog, path: &SearchPath, table: &TableDescriptor) -> String {
    if catalog.is_visible(path, table.schema, &table.name) {
        quote_ident(&table.name)
    } else {
        qualified_name(catalog, table)
    }
}

pub(crate) fn qualified_name(catalog: &Catalog, table: &TableDescriptor) -> String {
    let schema = catalog.schema_by_oid(table.schema).map_or("", |schema| &schema.name);
    format!("{}.{}", quote_ident(schema), quote_ident(&table.name))
}

/// An expression that the catalog keeps, as PostgreSQL would write it; as it was written if it can no longer be read.
pub(crate) fn expression_text(
    catalog: &Catalog,
    path: &SearchPath,
    table: Option<&Table>,
    text: &str,
    pretty: bool,
) -> String {
    deparse::expression(catalog, path, table, text, None, pretty).unwrap_or_else(|| text.to_owned())
}

/// What a column is given where a statement does not mention it: a literal has the column's type.
pub(crate) fn default_text(
    catalog: &Catalog,
    path: &SearchPath,
    table: &Table,
    column: &ColumnDescriptor,
) -> Option<String> {
    let text = column.default.as_ref().or(column.generated.as_ref())?;
    let ty = Some(column.ty.base());
    Some(deparse::expression(catalog, path, Some(table), text, ty, false).unwrap_or_else(|| text.clone()))
}

pub(crate) fn constraint_definition(
    catalog: &Catalog,
    path: &SearchPath,
    table: &Table,
    constraint: Oid,
    pretty: bool,
) -> Option<String> {
    if let Some(check) = table.checks.iter().find(|check| check.oid == constraint) {
        let condition = expression_text(catalog, path, Some(table), &check.condition, pretty);
        let not_valid = if check.validated { "" } else { " NOT VALID" };
        return Some(format!("CHECK ({condition}){not_valid}"));
    }
    if let Some(index) = table.indexes.iter().find(|index| index.constraint == Some(constraint)) {
        let kind = if index.primary { "PRIMARY KEY" } else { "UNIQUE" };
        let columns = column_list(table, index.columns.iter().map(|key| key.column));
        return Some(format!("{kind} ({columns}){}", include_clause(table, index)));
    }
    let key = table.foreign_keys.iter().find(|key| key.oid == constraint)?;
    Some(foreign_key(catalog, path, table, key))
}

fn foreign_key(catalog: &Catalog, path: &SearchPath, table: &Table, key: &ForeignKeyDescriptor) -> String {
    let own = column_list(table, key.columns.iter().copied());
    let (target, theirs) = match catalog.table(key.target) {
        Some(target) => (relation_name(catalog, path, target), column_list(target, key.target_columns.iter().copied())),
        None => (key.target.to_string(), String::new()),
    };
    let mut out = format!("FOREIGN KEY ({own}) REFERENCES {target}({theirs})");
    if key.match_full {
        out.push_str(" MATCH FULL");
    }
    for (event, what) in [("UPDATE", key.on_update), ("DELETE", key.on_delete)] {
        if let Some(what) = action(what) {
            out.push_str(&format!(" ON {event} {what}"));
        }
    }
    for (is, words) in [
        (key.deferrable, " DEFERRABLE"),
        (key.initially_deferred, " INITIALLY DEFERRED"),
        (!key.validated, " NOT VALID"),
    ] {
        if is {
            out.push_str(words);
        }
    }
    out
}

/// `None`: NO ACTION, which goes without saying.
pub(super) fn action(action: ReferentialAction) -> Option<&'static str> {
    match action {
        ReferentialAction::NoAction => None,
        ReferentialAction::Restrict => Some("RESTRICT"),
        ReferentialAction::Cascade => Some("CASCADE"),
        ReferentialAction::SetNull => Some("SET NULL"),
        ReferentialAction::SetDefault => Some("SET DEFAULT"),
    }
}

fn include_clause(table: &TableDescriptor, index: &IndexDescriptor) -> String {
    if index.include.is_empty() {
        return String::new();
    }
    format!(" INCLUDE ({})", column_list(table, index.include.iter().copied()))
}

/// `column`: that one of the index, from 1, instead of the whole statement.
pub(crate) fn index_definition(
    catalog: &Catalog,
    path: &SearchPath,
    table: &Table,
    index: &IndexDescriptor,
    column: Option<usize>,
    pretty: bool,
) -> String {
    if let Some(column) = column {
        let ids = index.columns.iter().map(|key| key.column).chain(index.include.iter().copied());
        return ids.skip(column - 1).take(1).map(|id| column_list(table, [id])).collect();
    }
    let keys = index.columns.iter().map(|key| {
        let order = match (key.descending, key.nulls_first) {
            (false, false) => "",
            (false, true) => " NULLS FIRST",
            (true, true) => " DESC",
            (true, false) => " DESC NULLS LAST",
        };
        format!("{}{order}", column_list(table, [key.column]))
    });
    let relation = if pretty { relation_name(catalog, path, table) } else { qualified_name(catalog, table) };
    format!(
        "CREATE {}INDEX {} ON {relation} USING btree ({}){}",
        if index.unique { "UNIQUE " } else { "" },
        quote_ident(&index.name),
        keys.collect::<Vec<_>>().join(", "),
        include_clause(table, index)
    )
}
