//! Columns: types, serial, identity, defaults.

use expr::{Oid, SqlType, TypeCategory, types};

use super::Editor;
use super::names;
use super::sequence::{self, SequenceSpec};
use crate::catalog::{ColumnDescriptor, ColumnId, Identity, RelationKind, TableDescriptor};
use crate::parse::ast::{self, ColumnConstraintKind, ColumnDefinition, ExprKind, SequenceOption, SourceExpr};
use crate::{SqlError, SqlResult};

/// Columns of a table, dropped ones included.
const COLUMNS_MAX: usize = 1600;

/// Names that every table has already.
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "cmax", "xmax", "cmin", "xmin", "ctid"];

/// Adds the column of a definition, with its default but without its keys, checks and references. A serial or identity
/// column brings its sequence along.
pub(super) async fn add(
    editor: &mut Editor<'_>,
    table: &mut TableDescriptor,
    definition: &ColumnDefinition,
) -> SqlResult<ColumnId> {
    let name = &definition.name.text;
    check_name(table, name)?;
    if table.columns.len() >= COLUMNS_MAX {
        return Err(SqlError::new("54011", format!("tables can have at most {COLUMNS_MAX} columns")));
    }
    let serial = serial_type(&definition.ty);
    let ty = match serial {
        Some(ty) => ty,
        None => bind_type(editor, &definition.ty, name)?,
    };
    check_collation(ty, definition.collation.as_deref())?;
    let id = table.add_column(name, ty).id;
    let mut nullability = Nullability::default();
    if serial.is_some() {
        own_sequence(editor, table, id, &[], None).await?;
        nullability.not_null = true;
    }
    for constraint in &definition.constraints {
        apply(editor, table, id, &constraint.kind, &mut nullability).await?;
    }
    column_mut(table, id).not_null |= nullability.not_null;
    Ok(id)
}

pub(super) fn check_name(table: &TableDescriptor, name: &str) -> SqlResult<()> {
    if table.column_named(name).is_some() {
        return Err(SqlError::new("42701", format!("column \"{name}\" specified more than once")));
    }
    if SYSTEM_COLUMNS.contains(&name) {
        return Err(SqlError::new("42701", format!("column name \"{name}\" conflicts with a system column name")));
    }
    Ok(())
}

pub(super) fn column_mut(table: &mut TableDescriptor, id: ColumnId) -> &mut ColumnDescriptor {
    table.columns.iter_mut().find(|column| column.id == id).expect("the column is one of the table's")
}

/// `serial` and its sisters, which are no types.
fn serial_type(ty: &ast::TypeName) -> Option<SqlType> {
    let [name] = &ty.names[..] else { return None };
    if ty.dimensions > 0 || ty.setof {
        return None;
    }
    Some(match name.as_str() {
        "smallserial" | "serial2" => SqlType::INT2,
        "serial" | "serial4" => SqlType::INT4,
        "bigserial" | "serial8" => SqlType::INT8,
        _ => return None,
    })
}

pub(super) fn bind_type(editor: &Editor<'_>, ty: &ast::TypeName, column: &str) -> SqlResult<SqlType> {
    let bound = editor.bind_type(ty)?;
    let category = bound.entry().map_or(TypeCategory::User, |entry| entry.category);
    if category == TypeCategory::Pseudo || bound == SqlType::UNKNOWN {
        let name = types::format_type(bound.oid, None);
        return Err(SqlError::new("42P16", format!("column \"{column}\" has pseudo-type {name}")));
    }
    Ok(bound)
}

/// Text is compared byte by byte: the collations that do so are the ones there are.
pub(super) fn check_collation(ty: SqlType, collation: Option<&[ast::Name]>) -> SqlResult<()> {
    let Some([.., name]) = collation else { return Ok(()) };
    let is_collatable = ty.entry().is_some_and(|entry| entry.collation != Oid(0));
    if !is_collatable {
        let ty = types::format_type(ty.oid, None);
        return Err(SqlError::new("42804", format!("collations are not supported by type {ty}")));
    }
    match name.as_str() {
        "default" | "C" | "POSIX" | "ucs_basic" | "C.UTF-8" | "C.utf8" => Ok(()),
        other => Err(SqlError::new("0A000", format!("collation \"{other}\" is not supported"))
            .with_hint("Use \"C\", which is also the default.")),
    }
}

/// What a column's constraints say of NULL: they must not contradict each other.
#[derive(Default)]
struct Nullability {
    not_null: bool,
    null: bool,
}

async fn apply(
    editor: &mut Editor<'_>,
    table: &mut TableDescriptor,
    id: ColumnId,
    constraint: &ColumnConstraintKind,
    nullability: &mut Nullability,
) -> SqlResult<()> {
    let (name, table_name) = (column_mut(table, id).name.clone(), table.name.clone());
    let of = |what: &str| format!("{what} for column \"{name}\" of table \"{table_name}\"");
    match constraint {
        ColumnConstraintKind::NotNull => nullability.not_null = true,
        ColumnConstraintKind::Null => nullability.null = true,
        ColumnConstraintKind::Default(expr) => {
            let column = table.column(id).expect("it was just added");
            if column.identity.is_some() {
                return Err(SqlError::new("42601", of("both default and identity specified")));
            }
            if column.default.is_some() {
                return Err(SqlError::new("42601", of("multiple default values specified")));
            }
            set_default(editor, table, id, expr)?;
        }
        ColumnConstraintKind::GeneratedStored(_) => return Err(SqlError::not_supported("a generated column")),
        ColumnConstraintKind::Identity { always, options } => {
            let column = table.column(id).expect("it was just added");
            if column.identity.is_some() {
                return Err(SqlError::new("42601", of("multiple identity specifications")));
            }
            if column.default.is_some() {
                return Err(SqlError::new("42601", of("both default and identity specified")));
            }
            let identity = if *always { Identity::Always } else { Identity::ByDefault };
            own_sequence(editor, table, id, options, Some(identity)).await?;
            nullability.not_null = true;
        }
        ColumnConstraintKind::Check { .. }
        | ColumnConstraintKind::PrimaryKey { .. }
        | ColumnConstraintKind::Unique { .. }
        | ColumnConstraintKind::References(_) => {}
    }
    if nullability.null && nullability.not_null {
        return Err(SqlError::new("42601", of("conflicting NULL/NOT NULL declarations")));
    }
    Ok(())
}

/// Gives the column a sequence that it owns, and the default that draws from it.
pub(super) async fn own_sequence(
    editor: &mut Editor<'_>,
    table: &mut TableDescriptor,
    id: ColumnId,
    options: &[SequenceOption],
    identity: Option<Identity>,
) -> SqlResult<()> {
    let column = table.column(id).expect("the column is one of the table's");
    let (column_name, ty) = (column.name.clone(), column.ty);
    if !matches!(ty, SqlType::INT2 | SqlType::INT4 | SqlType::INT8) {
        return Err(SqlError::new("22023", "identity column type must be smallint, integer, or bigint"));
    }
    let named = options.iter().find_map(|option| match option {
        SequenceOption::SequenceName(name) => Some(name.name.text.clone()),
        _ => None,
    });
    let name = match named {
        Some(name) => {
            editor.check_free(table.schema, &name)?;
            name
        }
        None => {
            names::choose_relation(&editor.catalog, table.schema, &table.name, Some(&column_name), "seq", |_| false)
        }
    };
    let mut descriptor = SequenceSpec::new(ty).with(editor, options)?.into_descriptor(editor.storage().await?);
    descriptor.owned_by = Some((table.oid, id));
    let oid = editor.oid().await?;
    let mut relation =
        TableDescriptor::empty(oid, table.database, table.schema, &name, RelationKind::Sequence(descriptor));
    relation.owner = table.owner;
    sequence::save(editor, relation);
    let column = column_mut(table, id);
    column.identity = identity;
    column.default = Some(nextval(oid));
    // An identity's sequence goes with its column, whatever happens; a default can be changed.
    column.default_uses = if identity.is_some() { Vec::new() } else { vec![oid] };
    Ok(())
}

/// The text of a default that draws from a sequence: by OID, so that a new name of the sequence changes nothing.
fn nextval(sequence: Oid) -> String {
    format!("nextval('{sequence}'::regclass)")
}

pub(super) fn set_default(
    editor: &mut Editor<'_>,
    table: &mut TableDescriptor,
    id: ColumnId,
    default: &SourceExpr,
) -> SqlResult<()> {
    let column = table.column(id).expect("the column is one of the table's");
    let sequence = match drawn_sequence(&default.expr) {
        Some(text) => Some(sequence::by_text(editor, text)?),
        None => None,
    };
    let written = ColumnDescriptor { default: Some(default.text.clone()), ..column.clone() };
    editor.bind_default(&written)?;
    let is_null = matches!(default.expr.kind, ExprKind::Null);
    let column = column_mut(table, id);
    (column.default, column.default_uses) = match sequence {
        Some(sequence) => (Some(nextval(sequence)), vec![sequence]),
        None if is_null => (None, Vec::new()),
        None => (Some(default.text.clone()), Vec::new()),
    };
    Ok(())
}

/// The name in `nextval('name')` and `nextval('name'::regclass)`.
fn drawn_sequence(expr: &ast::Expr) -> Option<&str> {
    let ExprKind::Call(call) = &expr.kind else { return None };
    let [.., function] = &call.name[..] else { return None };
    let [arg] = &call.args[..] else { return None };
    if function.as_str() != "nextval" {
        return None;
    }
    match &arg.kind {
        ExprKind::Text(text) => Some(text),
        ExprKind::Cast(inner, _) => match &inner.kind {
            ExprKind::Text(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}
