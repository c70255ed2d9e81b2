//! ALTER TABLE … ALTER COLUMN.

use expr::{Expr, SqlType, types};

use super::alter_table::Alteration;
use super::{Editor, columns, constraints, sequence, view};
use crate::catalog::quote::quote_ident;
use crate::catalog::{ColumnDescriptor, ColumnId, Identity, TableDescriptor};
use crate::parse::ast::{self, ColumnChange, Name, SourceExpr};
use crate::{SqlError, SqlResult};

pub(super) async fn apply(
    alteration: &mut Alteration,
    editor: &mut Editor<'_>,
    name: &Name,
    change: &ColumnChange,
) -> SqlResult<()> {
    let mut table = alteration.table(editor);
    let Some(column) = table.column_named(&name.text).cloned() else {
        let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
        return Err(SqlError::new("42703", message));
    };
    let id = column.id;
    let is_identity =
        || SqlError::new("42601", format!("column \"{name}\" of relation \"{}\" is an identity column", table.name));
    match change {
        ColumnChange::SetDefault(_) | ColumnChange::DropDefault if column.identity.is_some() => {
            return Err(is_identity());
        }
        ColumnChange::SetDefault(default) => columns::set_default(editor, &mut table, id, default)?,
        ColumnChange::DropDefault => clear_default(&mut table, id),
        ColumnChange::SetNotNull => {
            if !column.not_null {
                columns::column_mut(&mut table, id).not_null = true;
                alteration.check_not_null(id);
            }
        }
        ColumnChange::DropNotNull if column.identity.is_some() => return Err(is_identity()),
        ColumnChange::DropNotNull => drop_not_null(&mut table, id)?,
        ColumnChange::SetType { ty, collation, using } => {
            let to = columns::bind_type(editor, ty, &name.text)?;
            columns::check_collation(to, collation.as_deref())?;
            set_type(alteration, editor, &mut table, id, to, using.as_ref())?;
        }
        ColumnChange::AddIdentity { always, options } => {
            if column.identity.is_some() {
                let message = format!("column \"{name}\" of relation \"{}\" is already an identity column", table.name);
                return Err(SqlError::new("55000", message));
            }
            if column.default.is_some() {
                let message = format!("column \"{name}\" of relation \"{}\" already has a default value", table.name);
                return Err(SqlError::new("55000", message));
            }
            if !column.not_null {
                let message = format!(
                    "column \"{name}\" of relation \"{}\" must be declared NOT NULL before identity can be added",
                    table.name
                );
                return Err(SqlError::new("55000", message));
            }
            let identity = if *always { Identity::Always } else { Identity::ByDefault };
            columns::own_sequence(editor, &mut table, id, options, Some(identity)).await?;
        }
        ColumnChange::SetIdentity { always, options } => {
            if column.identity.is_none() {
                return Err(not_identity(&table, &name.text));
            }
            if let Some(always) = always {
                let identity = if *always { Identity::Always } else { Identity::ByDefault };
                columns::column_mut(&mut table, id).identity = Some(identity);
            }
            if !options.is_empty()
                && let Some(sequence) = sequence::owned_by(editor, table.oid, id)
            {
                sequence::change(editor, &sequence, options).await?;
            }
        }
        ColumnChange::DropIdentity { if_exists } => {
            if column.identity.is_none() {
                let error = not_identity(&table, &name.text);
                if !*if_exists {
                    return Err(error);
                }
                editor.notice("00000", format!("{}, skipping", error.0.message));
                return Ok(());
            }
            clear_default(&mut table, id);
            columns::column_mut(&mut table, id).identity = None;
            if let Some(sequence) = sequence::owned_by(editor, table.oid, id) {
                let object = super::dependencies::Object::Relation(sequence.oid);
                editor.save_table(table.clone());
                super::drop::drop_all(editor, &[object], ast::DropBehavior::Restrict)?;
            }
        }
        ColumnChange::DropExpression { if_exists } => {
            let message = format!("column \"{name}\" of relation \"{}\" is not a stored generated column", table.name);
            if !*if_exists {
                return Err(SqlError::new("55000", message));
            }
            editor.notice("00000", format!("{message}, skipping"));
        }
        ColumnChange::NoEffect(_) => {}
    }
    editor.save_table(table);
    Ok(())
}

fn not_identity(table: &TableDescriptor, name: &str) -> SqlError {
    SqlError::new("55000", format!("column \"{name}\" of relation \"{}\" is not an identity column", table.name))
}

fn clear_default(table: &mut TableDescriptor, id: ColumnId) {
    let column = columns::column_mut(table, id);
    column.default = None;
    column.default_uses = Vec::new();
}

fn drop_not_null(table: &mut TableDescriptor, id: ColumnId) -> SqlResult<()> {
    let in_key = table.indexes.iter().any(|index| index.primary && index.columns.iter().any(|key| key.column == id));
    let column = columns::column_mut(table, id);
    if in_key {
        return Err(SqlError::new("42P16", format!("column \"{}\" is in a primary key", column.name)));
    }
    column.not_null = false;
    Ok(())
}

fn set_type(
    alteration: &mut Alteration,
    editor: &Editor<'_>,
    table: &mut TableDescriptor,
    id: ColumnId,
    to: SqlType,
    using: Option<&SourceExpr>,
) -> SqlResult<()> {
    let column = table.column(id).expect("the column is one of the table's").clone();
    let from = column.ty;
    if from == to && using.is_none() {
        return Ok(());
    }
    let original = alteration.original().clone();
    view::check_type_is_free(editor, &original, &column)?;
    let keys = table.indexes.iter().flat_map(|index| &index.columns);
    if keys.into_iter().any(|key| key.column == id) {
        constraints::check_indexable(to)?;
    }
    check_default(editor, &column, to)?;
    if using.is_none() && !expr::resolve::can_coerce(from.oid, to.oid, expr::casts::CastContext::Assignment) {
        let (name, ty) = (&column.name, types::format_type(to.oid, None));
        return Err(SqlError::new("42804", format!("column \"{name}\" cannot be cast automatically to type {ty}"))
            .with_hint(format!("You might need to specify \"USING {}::{to}\".", quote_ident(name))));
    }
    columns::column_mut(table, id).ty = to;
    for check in table.checks.iter().filter(|check| check.columns.contains(&id)) {
        editor.bind_check(table, &check.condition)?;
        alteration.check_constraint(check.oid);
    }
    for key in table.foreign_keys.iter().filter(|key| key.columns.contains(&id)) {
        alteration.check_constraint(key.oid);
    }
    if using.is_none() && keeps_values(from, to) {
        return Ok(());
    }
    let source = match using {
        Some(using) => using.text.clone(),
        None => quote_ident(&column.name),
    };
    let value = editor.bind_over(&original, &source, to)?;
    if alteration.is_empty() {
        alteration.rewrite();
    } else {
        alteration.set_value(id, value);
    }
    columns::column_mut(table, id).missing = None;
    Ok(())
}

/// A default must be of the new type too.
fn check_default(editor: &Editor<'_>, column: &ColumnDescriptor, to: SqlType) -> SqlResult<()> {
    if editor.bind_default(&ColumnDescriptor { ty: to, ..column.clone() }).is_err() {
        let ty = types::format_type(to.oid, None);
        let message = format!("default for column \"{}\" cannot be cast automatically to type {ty}", column.name);
        return Err(SqlError::new("42804", message));
    }
    Ok(())
}

/// Every value of the old type is stored as the same value of the new one is.
fn keeps_values(from: SqlType, to: SqlType) -> bool {
    let is_text = |ty: SqlType| matches!(ty.base(), SqlType::TEXT | SqlType::VARCHAR);
    is_text(from) && is_text(to) && (to.typmod < 0 || (from.typmod >= 0 && to.typmod >= from.typmod))
}

/// Does it have to be computed for each row?
pub(super) fn is_volatile(expr: &Expr) -> bool {
    use expr::functions::Volatility;
    let own = match expr {
        Expr::Call { function, .. } => {
            expr::functions::by_id(*function).is_none_or(|entry| entry.volatility == Volatility::Volatile)
        }
        _ => false,
    };
    own || expr.children().into_iter().any(is_volatile)
}
