//! What a change asks of rows that exist: to be written again in a new form, or to be looked through.
//!
//! A rewrite is a plan like any other: the rows of the table as it was, inserted into the table as it is to be, under a new
//! storage id. So every index gets its entries, every key is found unique, and nothing has to be known here of how
//! rows are stored. Whoever still reads at an earlier number finds the old rows under the old id. A new index alone is
//! built the same way, from an INSERT that writes its entries only.

use std::collections::BTreeMap;

use expr::{Expr, SqlType};
use keyspace::{IndexId, index_span};
use txn::{ScanSpec, Visible};

use super::Editor;
use super::dependencies::kind_word;
use crate::catalog::{ColumnDescriptor, ColumnId, ForeignKeyDescriptor, RelationKind, Table, TableDescriptor};
use crate::plan::{Field, Insert, Join, JoinKey, JoinKind, KeyRanges, Node, Plan, Scan};
use crate::{SqlError, SqlResult};

/// Is there no row that this transaction sees? Nobody adds or changes rows until the transaction ends, or it fails: so
/// every statement that looks at rows begins.
pub(super) async fn is_empty(editor: &Editor<'_>, table: &TableDescriptor) -> SqlResult<bool> {
    let RelationKind::Table { storage } = table.kind else { return Ok(true) };
    editor.cx.txn.pin(index_span(storage, IndexId::PRIMARY));
    let mut scan = editor.cx.txn.scan(ScanSpec {
        span: index_span(storage, IndexId::PRIMARY),
        reverse: false,
        rows_max: 1,
        program: None,
        lock: None,
        visible: Visible::Everything,
        untracked: false,
    });
    Ok(scan.next_page().await?.is_empty())
}

/// Writes the rows of `old` under the new storage id of `new`. A column that is in `values` gets that (over the visible
/// columns of `old`), another one what it had. Both descriptors are the same relation; `new` is saved already.
pub(super) async fn copy_rows(
    editor: &mut Editor<'_>,
    old: &Table,
    new: &Table,
    values: &BTreeMap<ColumnId, Expr>,
) -> SqlResult<()> {
    let visible: Vec<&ColumnDescriptor> = old.visible_columns().collect();
    let mut exprs = Vec::new();
    let mut columns = Vec::new();
    for column in new.visible_columns() {
        let expr = match values.get(&column.id) {
            Some(expr) => expr.clone(),
            None => match visible.iter().position(|old| old.id == column.id) {
                Some(index) => Expr::Column { index, ty: visible[index].ty },
                None => Expr::Const { value: expr::Datum::Null, ty: column.ty },
            },
        };
        exprs.push(expr);
        columns.push(column.id);
    }
    let fields = new.visible_columns().map(field).collect();
    let input = plan(Node::Project { input: Box::new(scan(old, None)), exprs }, fields);
    insert(editor, new, input, columns, None).await
}

/// Gives every row of `table` its entry in the index, which is among its indexes already, and new.
pub(super) async fn build_index(editor: &mut Editor<'_>, table: &Table, index: IndexId) -> SqlResult<()> {
    let storage = table.storage().expect("an index is built on a table");
    editor.own_index(storage, index);
    let columns: Vec<&ColumnDescriptor> = table.visible_columns().chain(table.row_id()).collect();
    let ids = columns.iter().map(|column| column.id).collect();
    insert(editor, table, scan_of(table, &columns, None), ids, Some(index)).await
}

async fn insert(
    editor: &mut Editor<'_>,
    table: &Table,
    input: Plan,
    columns: Vec<ColumnId>,
    only_index: Option<IndexId>,
) -> SqlResult<()> {
    let (checks, on_conflict, returning) = (Vec::new(), None, Vec::new());
    let insert = Insert { table: table.clone(), input, columns, checks, on_conflict, returning, only_index };
    let insert = plan(Node::Insert(Box::new(insert)), Vec::new());
    editor.flush().await?;
    let result = editor.cx.host.run(&editor.snapshot(), &insert, &mut |_| Ok(())).await;
    result.map(|_| ()).map_err(|error| as_build_error(error, table))
}

/// What INSERT says of a duplicate, as building an index says it.
fn as_build_error(mut error: SqlError, table: &TableDescriptor) -> SqlError {
    if error.state() != "23505" {
        return error;
    }
    let index = error.0.constraint.clone().unwrap_or_default();
    error.0.message = format!("could not create unique index \"{index}\"");
    error.0.detail = error.0.detail.map(|detail| detail.replace(" already exists.", " is duplicated."));
    error.0.table = Some(table.name.clone());
    error
}

/// 23514 if a row violates the condition, which is over the table's visible columns.
pub(super) async fn check_condition(
    editor: &Editor<'_>,
    table: &Table,
    constraint: &str,
    condition: Expr,
) -> SqlResult<()> {
    let violated = Expr::Not(Box::new(condition));
    if !any_row(editor, scan(table, Some(violated))).await? {
        return Ok(());
    }
    let message = format!("check constraint \"{constraint}\" of relation \"{}\" is violated by some row", table.name);
    Err(SqlError::new("23514", message)
        .on_table(editor.schema_name(table.schema), &table.name)
        .on_constraint(constraint))
}

/// 23502 if the column has a NULL.
pub(super) async fn check_not_null(editor: &Editor<'_>, table: &Table, column: ColumnId) -> SqlResult<()> {
    let Some(index) = table.visible_columns().position(|visible| visible.id == column) else { return Ok(()) };
    let column = table.column(column).expect("it is a visible one");
    let arg = Box::new(Expr::Column { index, ty: column.ty });
    if !any_row(editor, scan(table, Some(Expr::IsNull { arg, negated: false }))).await? {
        return Ok(());
    }
    let message = format!("column \"{}\" of relation \"{}\" contains null values", column.name, table.name);
    Err(SqlError::new("23502", message).on_table(editor.schema_name(table.schema), &table.name).on_column(&column.name))
}

/// 23503 if a row refers to none.
pub(super) async fn check_foreign_key(editor: &Editor<'_>, table: &Table, key: &ForeignKeyDescriptor) -> SqlResult<()> {
    let target = editor.catalog.table(key.target).expect("a foreign key's target is in the catalog").clone();
    let mut has_values = Vec::new();
    let mut equal = Vec::new();
    for (own, theirs) in key.columns.iter().zip(&key.target_columns) {
        let (own, theirs) = (column(table, *own), column(&target, *theirs));
        has_values.push(Expr::IsNull { arg: Box::new(own.clone()), negated: true });
        equal.push(join_key(own, theirs)?);
    }
    let fields = table.visible_columns().map(field).collect();
    let join = Join {
        kind: JoinKind::Anti,
        left: Box::new(scan(table, Some(Expr::And(has_values)))),
        right: Box::new(scan(&target, None)),
        equal,
        condition: None,
    };
    let orphans = plan(Node::Join(join), fields);
    let Some(row) = first_row(editor, orphans).await? else { return Ok(()) };
    let mut names = Vec::new();
    let mut values = Vec::new();
    for column in &key.columns {
        let index = table.visible_columns().position(|visible| visible.id == *column).expect("a visible column");
        let descriptor = table.column(*column).expect("a visible column");
        names.push(descriptor.name.clone());
        values.push(editor.cx.host.to_text(&row[index], descriptor.ty)?);
    }
    let message =
        format!("insert or update on table \"{}\" violates foreign key constraint \"{}\"", table.name, key.name);
    let (names, values) = (names.join(", "), values.join(", "));
    let detail = format!("Key ({names})=({values}) is not present in {} \"{}\".", kind_word(&target), target.name);
    Err(SqlError::new("23503", message)
        .with_detail(detail)
        .on_table(editor.schema_name(table.schema), &table.name)
        .on_constraint(&key.name))
}

fn column(table: &TableDescriptor, id: ColumnId) -> Expr {
    let index = table.visible_columns().position(|visible| visible.id == id).expect("keys are on visible columns");
    Expr::Column { index, ty: table.column(id).expect("a visible column").ty }
}

/// Both sides brought to the types that their equality compares.
fn join_key(left: Expr, right: Expr) -> SqlResult<JoinKey> {
    let (Expr::Column { ty: own, .. }, Expr::Column { ty: theirs, .. }) = (&left, &right) else {
        unreachable!("both are columns");
    };
    let operator = expr::resolve::operator("=", Some(own.oid), theirs.oid)?;
    let equals = operator.operator.function;
    let (own, theirs) = (*own, *theirs);
    let to_left = operator.left.expect("equality has two sides");
    Ok(JoinKey { left: convert(left, own, to_left)?, right: convert(right, theirs, operator.right)?, equals })
}

fn convert(arg: Expr, from: SqlType, to: expr::Oid) -> SqlResult<Expr> {
    if from.oid == to {
        return Ok(arg);
    }
    let ty = SqlType::from(to);
    let method = expr::casts::pathway(from.oid, to, expr::casts::CastContext::Implicit)
        .ok_or_else(|| SqlError::new("42804", format!("type {from} cannot be compared with type {ty}")))?;
    Ok(Expr::Cast { arg: Box::new(arg), method, ty, explicit: false })
}

async fn any_row(editor: &Editor<'_>, rows: Plan) -> SqlResult<bool> {
    Ok(first_row(editor, rows).await?.is_some())
}

async fn first_row(editor: &Editor<'_>, rows: Plan) -> SqlResult<Option<expr::Row>> {
    let one = Expr::Const { value: expr::Datum::Int8(1), ty: SqlType::INT8 };
    let fields = rows.fields.clone();
    let limited = plan(Node::Limit { input: Box::new(rows), limit: Some(one), offset: None, with_ties: None }, fields);
    let mut found = None;
    let snapshot = editor.snapshot();
    editor
        .cx
        .host
        .run(&snapshot, &limited, &mut |rows| {
            found = found.take().or_else(|| rows.into_iter().next());
            Ok(())
        })
        .await?;
    Ok(found)
}

fn scan(table: &Table, filter: Option<Expr>) -> Plan {
    scan_of(table, &table.visible_columns().collect::<Vec<_>>(), filter)
}

fn scan_of(table: &Table, columns: &[&ColumnDescriptor], filter: Option<Expr>) -> Plan {
    let node = Scan {
        table: table.clone(),
        index: IndexId::PRIMARY,
        columns: columns.iter().map(|column| column.id).collect(),
        ranges: KeyRanges::All,
        filter,
        reverse: false,
        limit_hint: None,
        lock: None,
    };
    plan(Node::Scan(node), columns.iter().map(|column| field(column)).collect())
}

fn field(column: &ColumnDescriptor) -> Field {
    Field { name: column.name.clone(), ty: column.ty, origin: None }
}

fn plan(node: Node, fields: Vec<Field>) -> Plan {
    Plan { node, fields, rows: 0.0, cost: 0.0 }
}
