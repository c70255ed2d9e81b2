//! Roles and privileges. An owner has all privileges on what is his; nothing else is kept yet.

use expr::Row;

use super::relations;
use crate::catalog::RoleDescriptor;
use crate::catalog::Table;
use crate::catalog::pg::VirtualContext;
use crate::catalog::pg::row::{Equal, row};

const TABLE_PRIVILEGES: [&str; 7] = ["INSERT", "SELECT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"];
const COLUMN_PRIVILEGES: [&str; 4] = ["INSERT", "SELECT", "UPDATE", "REFERENCES"];

pub(super) fn enabled(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let current = cx.catalog.role_by_oid(cx.user);
    let is_enabled = |role: &&RoleDescriptor| {
        let is_member =
            |current: &RoleDescriptor| current.member_of.iter().any(|membership| membership.role == role.oid);
        role.oid == cx.user || current.is_some_and(|current| current.superuser || is_member(current))
    };
    let roles = cx.catalog.roles().into_iter().map(|role| &**role).filter(is_enabled);
    roles.map(|role| row! { equal.relation; role_name: &role.name }).collect()
}

/// Memberships, those with the admin option alone or all.
fn memberships<'a>(cx: &VirtualContext<'a>, admin_only: bool) -> Vec<(&'a str, &'a str, bool)> {
    let mut found = Vec::new();
    for role in cx.catalog.roles() {
        for membership in role.member_of.iter().filter(|membership| membership.admin || !admin_only) {
            found.push((role.name.as_str(), cx.role_name(membership.role), membership.admin));
        }
    }
    found
}

fn yes_or_no(is: bool) -> &'static str {
    super::yes_or_no(is)
}

pub(super) fn applicable(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |(grantee, role, admin): (&str, &str, bool)| {
        row! { equal.relation; grantee: grantee, role_name: role, is_grantable: yes_or_no(admin) }
    };
    memberships(cx, false).into_iter().map(make).collect()
}

pub(super) fn administrable(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |(grantee, role, admin): (&str, &str, bool)| {
        row! { equal.relation; grantee: grantee, role_name: role, is_grantable: yes_or_no(admin) }
    };
    memberships(cx, true).into_iter().map(make).collect()
}

fn has_privileges(table: &Table) -> bool {
    !matches!(table.kind, crate::catalog::RelationKind::Sequence(_))
}

pub(super) fn table_privileges(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let of = |table: &Table| {
        let make = |privilege: &&str| {
            row! { equal.relation;
                grantor: cx.role_name(table.owner),
                grantee: cx.role_name(table.owner),
                table_catalog: cx.database_name(),
                table_schema: cx.schema_name(table.schema),
                table_name: &table.name,
                privilege_type: *privilege,
                is_grantable: "YES",
                with_hierarchy: yes_or_no(*privilege == "SELECT"),
            }
        };
        TABLE_PRIVILEGES.iter().map(make).collect::<Vec<_>>()
    };
    relations(cx, equal, "table_schema", "table_name")
        .into_iter()
        .filter(|table| has_privileges(table))
        .flat_map(of)
        .collect()
}

pub(super) fn role_table_grants(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let of = |table: &Table| {
        let make = |privilege: &&str| {
            row! { equal.relation;
                grantor: cx.role_name(table.owner),
                grantee: cx.role_name(table.owner),
                table_catalog: cx.database_name(),
                table_schema: cx.schema_name(table.schema),
                table_name: &table.name,
                privilege_type: *privilege,
                is_grantable: "YES",
                with_hierarchy: yes_or_no(*privilege == "SELECT"),
            }
        };
        TABLE_PRIVILEGES.iter().map(make).collect::<Vec<_>>()
    };
    relations(cx, equal, "table_schema", "table_name")
        .into_iter()
        .filter(|table| has_privileges(table))
        .flat_map(of)
        .collect()
}

pub(super) fn column_privileges(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for table in relations(cx, equal, "table_schema", "table_name").into_iter().filter(|table| has_privileges(table)) {
        for column in table.visible_columns() {
            for privilege in COLUMN_PRIVILEGES {
                rows.push(row! { equal.relation;
                    grantor: cx.role_name(table.owner),
                    grantee: cx.role_name(table.owner),
                    table_catalog: cx.database_name(),
                    table_schema: cx.schema_name(table.schema),
                    table_name: &table.name,
                    column_name: &column.name,
                    privilege_type: privilege,
                    is_grantable: "YES",
                });
            }
        }
    }
    rows
}
