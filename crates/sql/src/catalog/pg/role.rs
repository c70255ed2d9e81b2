//! `pg_authid`, `pg_roles` and their kin.

use expr::{Datum, EvalContext, Oid, Row, SqlType};

use super::VirtualContext;
use super::row::{Equal, row};
use crate::catalog::RoleDescriptor;

/// What stands for a password that is not shown.
const HIDDEN: &str = "********";

fn found<'a>(cx: &VirtualContext<'a>, equal: &Equal<'_>, oid: &str, name: &str) -> Vec<&'a RoleDescriptor> {
    if let Some(oid) = equal.oid(oid) {
        return cx.catalog.role_by_oid(oid).map(|role| &**role).into_iter().collect();
    }
    match equal.text(name) {
        Some(name) => cx.catalog.role(name).map(|role| &**role).into_iter().collect(),
        None => cx.catalog.roles().into_iter().map(|role| &**role).collect(),
    }
}

fn valid_until(role: &RoleDescriptor) -> Datum {
    let parse = |text: &String| Datum::parse(text, SqlType::TIMESTAMPTZ, &EvalContext::detached()).ok();
    role.valid_until.as_ref().and_then(parse).unwrap_or_default()
}

fn config(role: &RoleDescriptor) -> Option<Vec<String>> {
    let settings = role.settings.iter().map(|(name, value)| format!("{name}={value}"));
    Some(settings.collect()).filter(|settings: &Vec<String>| !settings.is_empty())
}

pub(super) fn authid(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |role: &RoleDescriptor| {
        row! { equal.relation;
            oid: role.oid,
            rolname: &role.name,
            rolsuper: role.superuser,
            rolinherit: role.inherit,
            rolcreaterole: role.create_role,
            rolcreatedb: role.create_db,
            rolcanlogin: role.login,
            rolreplication: role.replication,
            rolbypassrls: role.bypass_rls,
            rolconnlimit: role.connection_limit,
            rolpassword: role.password.as_ref(),
            rolvaliduntil: valid_until(role),
        }
    };
    found(cx, equal, "oid", "rolname").into_iter().map(make).collect()
}

pub(super) fn roles(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |role: &RoleDescriptor| {
        row! { equal.relation;
            oid: role.oid,
            rolname: &role.name,
            rolsuper: role.superuser,
            rolinherit: role.inherit,
            rolcreaterole: role.create_role,
            rolcreatedb: role.create_db,
            rolcanlogin: role.login,
            rolreplication: role.replication,
            rolbypassrls: role.bypass_rls,
            rolconnlimit: role.connection_limit,
            rolpassword: HIDDEN,
            rolvaliduntil: valid_until(role),
            rolconfig: config(role),
        }
    };
    found(cx, equal, "oid", "rolname").into_iter().map(make).collect()
}

pub(super) fn users(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |role: &RoleDescriptor| {
        row! { equal.relation;
            usename: &role.name,
            usesysid: role.oid,
            usecreatedb: role.create_db,
            usesuper: role.superuser,
            userepl: role.replication,
            usebypassrls: role.bypass_rls,
            passwd: HIDDEN,
            valuntil: valid_until(role),
            useconfig: config(role),
        }
    };
    found(cx, equal, "usesysid", "usename").into_iter().filter(|role| role.login).map(make).collect()
}

pub(super) fn shadow(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |role: &RoleDescriptor| {
        row! { equal.relation;
            usename: &role.name,
            usesysid: role.oid,
            usecreatedb: role.create_db,
            usesuper: role.superuser,
            userepl: role.replication,
            usebypassrls: role.bypass_rls,
            passwd: role.password.as_ref(),
            valuntil: valid_until(role),
            useconfig: config(role),
        }
    };
    found(cx, equal, "usesysid", "usename").into_iter().filter(|role| role.login).map(make).collect()
}

/// Direct members of a role.
fn members_of(cx: &VirtualContext<'_>, group: Oid) -> Vec<Oid> {
    let is_in = |role: &&RoleDescriptor| role.member_of.iter().any(|membership| membership.role == group);
    cx.catalog.roles().into_iter().map(|role| &**role).filter(is_in).map(|role| role.oid).collect()
}

pub(super) fn groups(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |role: &RoleDescriptor| {
        row! { equal.relation; groname: &role.name, grosysid: role.oid, grolist: members_of(cx, role.oid) }
    };
    found(cx, equal, "grosysid", "groname").into_iter().filter(|role| !role.login).map(make).collect()
}

pub(super) fn members(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let of = |role: &RoleDescriptor| {
        let make = |membership: &crate::catalog::Membership| {
            row! { equal.relation;
                roleid: membership.role,
                member: role.oid,
                grantor: membership.grantor,
                admin_option: membership.admin,
            }
        };
        role.member_of.iter().map(make).collect::<Vec<_>>()
    };
    cx.catalog.roles().into_iter().flat_map(|role| of(role)).collect()
}

pub(super) fn settings(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |role: &RoleDescriptor| {
        let config = config(role)?;
        Some(row! { equal.relation; setdatabase: Oid(0), setrole: role.oid, setconfig: config })
    };
    cx.catalog.roles().into_iter().filter_map(|role| make(role)).collect()
}
