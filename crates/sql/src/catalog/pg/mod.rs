//! `pg_catalog`, `information_schema` and `cairn`: relations whose rows are made from the catalog snapshot, from the tables
//! that PostgreSQL 15 starts with, and from what the node says of itself.
//!
//! A client's introspection is a join of ten of them, so look-ups by the usual columns (an OID, a name, the table that
//! something belongs to) go through the snapshot's maps, and what never changes is hashed once. A relation that is
//! known but not made here is an error (0A000); one that could have no rows in this database is empty.

mod attribute;
mod cairn;
mod class;
mod constraint;
mod database;
mod deparse;
mod depend;
mod describe;
mod fixed;
mod index;
mod information_schema;
mod locks;
pub(crate) mod relations;
mod role;
mod row;
mod stat;
mod types;
mod view;

use expr::{Datum, Oid, Row};

use self::row::Equal;
use super::builtin::{CAIRN, INFORMATION_SCHEMA};
use super::providers::Views;
use super::{Catalog, ColumnId, DatabaseDescriptor, SchemaDescriptor, SearchPath, Table};
use crate::{SqlError, SqlResult};

pub(crate) use describe::{constraint_definition, default_text, expression_text, index_definition};

/// What a statement's virtual relations are made from.
#[derive(Clone, Copy)]
pub struct VirtualContext<'a> {
    pub catalog: &'a Catalog,
    pub path: &'a SearchPath,
    /// The current role.
    pub user: Oid,
    pub views: &'a Views,
    /// `Session::id`.
    pub session: u32,
}

impl<'a> VirtualContext<'a> {
    fn database(&self) -> Oid {
        self.path.database
    }

    fn database_descriptor(&self) -> Option<&'a DatabaseDescriptor> {
        self.catalog.database_by_oid(self.path.database).map(|database| &**database)
    }

    fn database_name(&self) -> &'a str {
        self.database_descriptor().map_or("", |database| &database.name)
    }

    fn schema_name(&self, oid: Oid) -> &'a str {
        self.catalog.schema_by_oid(oid).map_or("", |schema| &schema.name)
    }

    fn role_name(&self, oid: Oid) -> &'a str {
        self.catalog.role_by_oid(oid).map_or("", |role| &role.name)
    }

    /// Tables, views and sequences of users in this database.
    fn own_relations(&self) -> Vec<&'a Table> {
        self.catalog.relations(self.database())
    }

    /// The same and the built-in ones.
    fn all_relations(&self) -> impl Iterator<Item = &'a Table> {
        relations::all().iter().map(|relation| &relation.table).chain(self.own_relations())
    }

    fn schemas(&self) -> Vec<&'a SchemaDescriptor> {
        self.catalog.schemas(self.database()).into_iter().map(|schema| &**schema).collect()
    }
}

/// The rows of a virtual relation that have these values, all columns of each in their order. Values are of the columns'
/// types.
pub async fn rows(cx: &VirtualContext<'_>, table: Oid, equal: &[(ColumnId, Datum)]) -> SqlResult<Vec<Row>> {
    let relation =
        relations::by_oid(table).ok_or_else(|| SqlError::new("XX000", format!("{table} is no virtual relation")))?;
    if equal.iter().any(|(_, value)| value.is_null()) {
        return Ok(Vec::new());
    }
    let place = |id: &ColumnId| relation.table.columns.iter().position(|column| column.id == *id);
    let pairs: Vec<(usize, Datum)> = equal.iter().filter_map(|(id, datum)| Some((place(id)?, datum.clone()))).collect();
    let equal = Equal { relation, pairs: &pairs };
    let mut rows = make(cx, &equal).await?;
    if !pairs.is_empty() {
        rows.retain(|row| equal.holds(row));
    }
    Ok(rows)
}

async fn make(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> SqlResult<Vec<Row>> {
    let table = &equal.relation.table;
    if table.schema == CAIRN {
        return cairn::rows(cx, equal).await;
    }
    if table.schema == INFORMATION_SCHEMA {
        return information_schema::rows(cx, equal);
    }
    let rows = match table.name.as_str() {
        "pg_class" => class::rows(cx, equal),
        "pg_attribute" => attribute::rows(cx, equal),
        "pg_attrdef" => attribute::defaults(cx, equal),
        "pg_index" => index::rows(cx, equal),
        "pg_constraint" => constraint::rows(cx, equal),
        "pg_namespace" => class::namespaces(cx, equal),
        "pg_sequence" => class::sequences(cx, equal),
        "pg_type" => types::rows(equal),
        "pg_range" => types::ranges(equal),
        "pg_depend" => depend::rows(cx, equal),
        "pg_rewrite" => depend::rules(cx, equal),
        "pg_description" => depend::descriptions(cx, equal),
        "pg_shdescription" => depend::shared_descriptions(cx, equal),
        "pg_database" => database::rows(cx, equal),
        "pg_extension" => database::extensions(cx, equal),
        "pg_available_extensions" => database::available_extensions(cx, equal),
        "pg_authid" => role::authid(cx, equal),
        "pg_roles" => role::roles(cx, equal),
        "pg_user" => role::users(cx, equal),
        "pg_shadow" => role::shadow(cx, equal),
        "pg_group" => role::groups(cx, equal),
        "pg_auth_members" => role::members(cx, equal),
        "pg_db_role_setting" => role::settings(cx, equal),
        "pg_tables" => view::tables(cx, equal),
        "pg_views" => view::views(cx, equal),
        "pg_indexes" => view::indexes(cx, equal),
        "pg_sequences" => view::sequences(cx, equal),
        "pg_stat_all_tables" => stat::tables(cx, equal),
        "pg_stat_user_tables" => stat::user_tables(cx, equal),
        "pg_stat_user_indexes" => stat::user_indexes(cx, equal),
        "pg_stat_database" => stat::databases(cx, equal),
        "pg_stat_activity" => stat::activity(cx, equal),
        "pg_settings" => stat::settings(cx, equal),
        "pg_locks" => return locks::pg_locks(cx, equal).await,
        "pg_prepared_statements" => stat::prepared(cx, equal),
        "pg_cursors" => stat::cursors(cx, equal),
        name => return fixed::rows(name, equal),
    };
    Ok(rows)
}

#[cfg(test)]
mod tests;
