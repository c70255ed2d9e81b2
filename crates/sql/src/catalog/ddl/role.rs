//! CREATE, ALTER and DROP ROLE; membership; GRANT and REVOKE.
//!
//! Roles and memberships are kept; privileges on objects are not checked yet: GRANT and REVOKE see that what they name
//! exists.

use std::sync::Arc;

use expr::Oid;

use super::drop;
use super::editor::no_relation;
use super::{Editor, schema};
use crate::catalog::{Descriptor, DescriptorKind, Membership, RoleDescriptor, builtin};
use crate::parse::ast::{
    AlterRole, CreateRole, DropObjects, Grant, GrantObjects, ObjectKind, RoleChange, RoleName, RoleOption, SetVariable,
};
use crate::{SqlError, SqlResult};

type Role = Arc<RoleDescriptor>;

pub(super) fn named(editor: &Editor<'_>, name: &str) -> SqlResult<Role> {
    let role = editor.catalog.role(name).cloned();
    role.ok_or_else(|| SqlError::new("42704", format!("role \"{name}\" does not exist")))
}

pub(super) fn find(editor: &Editor<'_>, name: &RoleName) -> SqlResult<Role> {
    match name {
        RoleName::Named(name) => named(editor, &name.text),
        RoleName::CurrentUser | RoleName::SessionUser => {
            let role = editor.catalog.role_by_oid(editor.cx.user).cloned();
            role.ok_or_else(|| SqlError::new("42704", format!("role with OID {} does not exist", editor.cx.user)))
        }
        RoleName::Public => Err(SqlError::new("42704", "role \"public\" does not exist")),
    }
}

pub(super) async fn create(editor: &mut Editor<'_>, create: &CreateRole) -> SqlResult<()> {
    let name = &create.name.text;
    check_name(name)?;
    if editor.catalog.role(name).is_some() {
        return Err(SqlError::new("42710", format!("role \"{name}\" already exists")));
    }
    let mut role = RoleDescriptor {
        oid: editor.oid().await?,
        name: name.clone(),
        superuser: false,
        inherit: true,
        create_role: false,
        create_db: false,
        login: create.login,
        replication: false,
        bypass_rls: false,
        connection_limit: -1,
        password: None,
        valid_until: None,
        member_of: Vec::new(),
        settings: Vec::new(),
    };
    apply(editor, &mut role, &create.options)?;
    editor.save(Descriptor::Role(Arc::new(role)));
    Ok(())
}

pub(super) fn check_name(name: &str) -> SqlResult<()> {
    if name.starts_with("pg_") {
        return Err(SqlError::new("42939", format!("role name \"{name}\" is reserved"))
            .with_detail("Role names starting with \"pg_\" are reserved."));
    }
    if matches!(name, "public" | "none") {
        return Err(SqlError::new("42939", format!("role name \"{name}\" is reserved")));
    }
    Ok(())
}

fn apply(editor: &mut Editor<'_>, role: &mut RoleDescriptor, options: &[RoleOption]) -> SqlResult<()> {
    for option in options {
        match option {
            RoleOption::Superuser(yes) => role.superuser = *yes,
            RoleOption::CreateDb(yes) => role.create_db = *yes,
            RoleOption::CreateRole(yes) => role.create_role = *yes,
            RoleOption::Inherit(yes) => role.inherit = *yes,
            RoleOption::Login(yes) => role.login = *yes,
            RoleOption::Replication(yes) => role.replication = *yes,
            RoleOption::BypassRls(yes) => role.bypass_rls = *yes,
            RoleOption::ConnectionLimit(limit) => {
                let limit = i32::try_from(*limit).ok().filter(|limit| *limit >= -1);
                let invalid = || SqlError::new("22023", "invalid connection limit");
                role.connection_limit = limit.ok_or_else(invalid)?;
            }
            RoleOption::Password(password) => {
                role.password = match password {
                    Some(password) => Some(editor.cx.host.password_verifier(password)?),
                    None => None,
                }
            }
            RoleOption::ValidUntil(until) => role.valid_until = Some(until.clone()),
            RoleOption::InRole(groups) => {
                for group in groups {
                    let group = find(editor, group)?;
                    add_member(editor, role, &group, false)?;
                }
            }
            RoleOption::Role(members) => add_members(editor, role, members, false)?,
            RoleOption::Admin(members) => add_members(editor, role, members, true)?,
        }
    }
    Ok(())
}

fn add_members(editor: &mut Editor<'_>, group: &RoleDescriptor, members: &[RoleName], admin: bool) -> SqlResult<()> {
    for member in members {
        let mut member = RoleDescriptor::clone(&*find(editor, member)?);
        add_member(editor, &mut member, group, admin)?;
        editor.save(Descriptor::Role(Arc::new(member)));
    }
    Ok(())
}

fn add_member(editor: &Editor<'_>, member: &mut RoleDescriptor, group: &RoleDescriptor, admin: bool) -> SqlResult<()> {
    if member.oid == group.oid || is_member(editor, group, member.oid) {
        let message = format!("role \"{}\" is a member of role \"{}\"", group.name, member.name);
        return Err(SqlError::new("0LP01", message));
    }
    match member.member_of.iter_mut().find(|membership| membership.role == group.oid) {
        Some(membership) => {
            if membership.admin >= admin {
                let message = format!("role \"{}\" is already a member of role \"{}\"", member.name, group.name);
                editor.notice("00000", message);
            }
            membership.admin |= admin;
        }
        None => member.member_of.push(Membership { role: group.oid, admin, grantor: editor.cx.user }),
    }
    Ok(())
}

/// Directly or through others.
fn is_member(editor: &Editor<'_>, role: &RoleDescriptor, of: Oid) -> bool {
    role.member_of.iter().any(|membership| {
        membership.role == of
            || editor.catalog.role_by_oid(membership.role).is_some_and(|group| is_member(editor, group, of))
    })
}

pub(super) fn alter(editor: &mut Editor<'_>, alter: &AlterRole) -> SqlResult<()> {
    let mut role = RoleDescriptor::clone(&*find(editor, &alter.name)?);
    match &alter.change {
        RoleChange::Options(options) => apply(editor, &mut role, options)?,
        RoleChange::Set { database: Some(_), .. } => {
            return Err(SqlError::not_supported("ALTER ROLE … IN DATABASE … SET"));
        }
        RoleChange::Set { database: None, variable } => set(&mut role, variable),
    }
    editor.save(Descriptor::Role(Arc::new(role)));
    Ok(())
}

fn set(role: &mut RoleDescriptor, variable: &SetVariable) {
    if variable.name == "all" {
        role.settings.clear();
        return;
    }
    role.settings.retain(|(name, _)| *name != variable.name);
    if let Some(value) = &variable.value {
        let texts: Vec<String> = value.iter().map(|value| value.to_text()).collect();
        role.settings.push((variable.name.clone(), texts.join(", ")));
    }
}

pub(super) fn drop_roles(editor: &mut Editor<'_>, drop: &DropObjects) -> SqlResult<()> {
    for name in &drop.names {
        let name = &name.name.text;
        let Some(role) = editor.catalog.role(name).cloned() else {
            let message = format!("role \"{name}\" does not exist");
            if drop.if_exists {
                editor.notice("00000", format!("{message}, skipping"));
                continue;
            }
            return Err(SqlError::new("42704", message));
        };
        if role.oid == editor.cx.user {
            return Err(SqlError::new("55006", "current user cannot be dropped"));
        }
        check_owns_nothing(editor, &role)?;
        forget_member_of(editor, role.oid);
        drop::remove_comment(editor, role.oid, None);
        editor.lock_with_dependents((DescriptorKind::Role, role.oid));
        editor.delete((DescriptorKind::Role, role.oid));
    }
    Ok(())
}

fn check_owns_nothing(editor: &Editor<'_>, role: &RoleDescriptor) -> SqlResult<()> {
    let fail = |detail: String| {
        let message = format!("role \"{}\" cannot be dropped because some objects depend on it", role.name);
        Err(SqlError::new("2BP01", message).with_detail(detail))
    };
    if role.oid == builtin::ROOT {
        let message = format!("cannot drop role {} because it is required by the database system", role.name);
        return Err(SqlError::new("2BP01", message));
    }
    let mut lines = Vec::new();
    for database in editor.catalog.databases() {
        if database.owner == role.oid {
            lines.push(format!("owner of database {}", database.name));
        }
        let schemas = editor.catalog.schemas(database.oid).into_iter().filter(|schema| schema.owner == role.oid);
        lines.extend(schemas.map(|schema| format!("owner of schema {}", schema.name)));
        for table in editor.catalog.relations(database.oid) {
            if table.owner == role.oid {
                lines.push(format!("owner of {} {}", super::dependencies::kind_word(table), table.name));
            }
        }
    }
    if lines.is_empty() { Ok(()) } else { fail(lines.join("\n")) }
}

fn forget_member_of(editor: &mut Editor<'_>, group: Oid) {
    let is_in = |role: &&Role| role.member_of.iter().any(|membership| membership.role == group);
    for member in
        editor.catalog.roles().into_iter().filter(is_in).map(|role| RoleDescriptor::clone(role)).collect::<Vec<_>>()
    {
        let mut member = member;
        member.member_of.retain(|membership| membership.role != group);
        editor.save(Descriptor::Role(Arc::new(member)));
    }
}

/// Everybody's and everything's existence is checked; memberships are kept.
pub(super) fn grant(editor: &mut Editor<'_>, grant: &Grant) -> SqlResult<()> {
    for grantee in &grant.grantees {
        if !matches!(grantee, RoleName::Public) {
            find(editor, grantee)?;
        }
    }
    match &grant.objects {
        None => change_membership(editor, grant),
        Some(GrantObjects::Named(kind, names)) => {
            for name in names {
                match kind {
                    ObjectKind::Table | ObjectKind::Sequence | ObjectKind::View => {
                        editor.find_relation(name).ok_or_else(|| no_relation(name))?;
                    }
                    ObjectKind::Schema => {
                        editor.schema_named(&name.name.text)?;
                    }
                    ObjectKind::Database => {
                        schema::database_named(editor, &name.name.text)?;
                    }
                    _ => {}
                }
            }
            Ok(())
        }
        Some(GrantObjects::AllInSchema(_, schemas)) => {
            for schema in schemas {
                editor.schema_named(&schema.text)?;
            }
            Ok(())
        }
        Some(GrantObjects::Default(_)) => Ok(()),
    }
}

fn change_membership(editor: &mut Editor<'_>, grant: &Grant) -> SqlResult<()> {
    for (group, _) in &grant.privileges {
        let group = named(editor, group)?;
        for grantee in &grant.grantees {
            let mut member = RoleDescriptor::clone(&*find(editor, grantee)?);
            if grant.revoke {
                let before = member.member_of.len();
                if grant.grant_option {
                    member.member_of.iter_mut().filter(|m| m.role == group.oid).for_each(|m| m.admin = false);
                } else {
                    member.member_of.retain(|membership| membership.role != group.oid);
                }
                if member.member_of.len() == before && !grant.grant_option {
                    let message = format!("role \"{}\" is not a member of role \"{}\"", member.name, group.name);
                    editor.warning("01000", message);
                }
            } else {
                add_member(editor, &mut member, &group, grant.grant_option)?;
            }
            editor.save(Descriptor::Role(Arc::new(member)));
        }
    }
    Ok(())
}
