//! `information_schema`: the standard's views of the same facts.
//!
//! Everything is shown to everybody: privileges are not checked yet.

mod columns;
mod constraints;
mod roles;
mod tables;

use expr::Row;

use super::VirtualContext;
use super::row::Equal;
use crate::catalog::{Table, TableDescriptor};
use crate::{SqlError, SqlResult};

/// Of things that there are not: no rows is the truth.
const EMPTY: &[&str] = &[
    "attributes",
    "check_constraint_routine_usage",
    "column_column_usage",
    "column_domain_usage",
    "column_options",
    "data_type_privileges",
    "domain_constraints",
    "domain_udt_usage",
    "domains",
    "foreign_data_wrapper_options",
    "foreign_data_wrappers",
    "foreign_server_options",
    "foreign_servers",
    "foreign_table_options",
    "foreign_tables",
    "role_udt_grants",
    "role_usage_grants",
    "routine_column_usage",
    "routine_routine_usage",
    "routine_sequence_usage",
    "routine_table_usage",
    "transforms",
    "triggered_update_columns",
    "triggers",
    "udt_privileges",
    "user_defined_types",
    "user_mapping_options",
    "user_mappings",
    "view_routine_usage",
];

pub(super) fn rows(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> SqlResult<Vec<Row>> {
    let rows = match equal.relation.table.name.as_str() {
        "information_schema_catalog_name" => tables::catalog_name(cx, equal),
        "schemata" => tables::schemata(cx, equal),
        "tables" => tables::tables(cx, equal),
        "views" => tables::views(cx, equal),
        "sequences" => tables::sequences(cx, equal),
        "view_table_usage" => tables::view_tables(cx, equal),
        "character_sets" => tables::character_sets(cx, equal),
        "collations" => tables::collations(cx, equal),
        "columns" => columns::columns(cx, equal),
        "element_types" => columns::element_types(cx, equal),
        "table_constraints" => constraints::table_constraints(cx, equal),
        "key_column_usage" => constraints::key_columns(cx, equal),
        "constraint_column_usage" => constraints::used_columns(cx, equal),
        "constraint_table_usage" => constraints::used_tables(cx, equal),
        "referential_constraints" => constraints::references(cx, equal),
        "check_constraints" => constraints::checks(cx, equal),
        "enabled_roles" => roles::enabled(cx, equal),
        "applicable_roles" => roles::applicable(cx, equal),
        "administrable_role_authorizations" => roles::administrable(cx, equal),
        "table_privileges" => roles::table_privileges(cx, equal),
        "role_table_grants" => roles::role_table_grants(cx, equal),
        "column_privileges" => roles::column_privileges(cx, equal),
        name if EMPTY.contains(&name) => Vec::new(),
        name => return Err(SqlError::not_supported(format!("relation \"information_schema.{name}\""))),
    };
    Ok(rows)
}

fn yes_or_no(is: bool) -> &'static str {
    if is { "YES" } else { "NO" }
}

/// Relations that the conditions on `table_schema` and `table_name`, or whatever these columns are called here, leave.
fn relations<'a>(cx: &VirtualContext<'a>, equal: &Equal<'_>, schema: &str, name: &str) -> Vec<&'a Table> {
    let schema = equal.text(schema).map(|name| cx.catalog.schema(cx.database(), name).map(|schema| schema.oid));
    match (schema, equal.text(name)) {
        (Some(None), _) => Vec::new(),
        (Some(Some(schema)), Some(name)) => {
            let named = cx.catalog.name_in(schema, name);
            let oid = named.and_then(|named| match named {
                crate::catalog::Named::Relation(oid) => Some(oid),
                crate::catalog::Named::Index { .. } => None,
            });
            oid.and_then(|oid| cx.catalog.table(oid)).into_iter().collect()
        }
        (Some(Some(schema)), None) => cx.catalog.relations_in(schema),
        (None, Some(name)) => cx.all_relations().filter(|table| table.name == name).collect(),
        (None, None) => cx.all_relations().collect(),
    }
}

/// Built-in relations take no rows from anybody.
fn is_own(table: &TableDescriptor) -> bool {
    !matches!(table.kind, crate::catalog::RelationKind::Virtual)
}
