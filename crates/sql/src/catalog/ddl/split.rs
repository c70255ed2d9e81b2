//! Where ranges of a table are to be cut.

use expr::{Datum, SqlType};
use keyspace::{IndexId, Key};

use super::{AfterCommit, Editor};
use crate::catalog::Table;
use crate::exec::write::row_id;
use crate::parse::ast::{self, ExprKind, Name, Query, QueryBody, TypeName};
use crate::plan::Node;
use crate::{SqlError, SqlResult};

/// `SPLIT AT VALUES (…), (…)`: each row gives the leading columns of the primary key.
pub(super) fn points(editor: &Editor<'_>, table: &Table, rows: &[Vec<ast::Expr>]) -> SqlResult<Vec<Key>> {
    let Some(primary) = table.primary() else {
        return Err(SqlError::new("42809", format!("\"{}\" is not a table", table.name)));
    };
    let mut points = Vec::with_capacity(rows.len());
    for row in rows {
        if row.len() > primary.columns.len() {
            return Err(SqlError::new("42601", "SPLIT AT has more values than the primary key has columns"));
        }
        let types =
            primary.columns.iter().map(|key| table.column(key.column).expect("a key's columns are the table's").ty);
        let values = bind_row(editor, row, types)?;
        let values = values.iter().map(|value| editor.cx.host.evaluate(value)).collect::<SqlResult<Vec<_>>>()?;
        points.push(editor.cx.host.key_prefix(table, IndexId::PRIMARY, &values)?);
    }
    Ok(points)
}

/// The expressions as a row of VALUES, each converted to its column's type.
fn bind_row(
    editor: &Editor<'_>,
    row: &[ast::Expr],
    types: impl Iterator<Item = SqlType>,
) -> SqlResult<Vec<expr::Expr>> {
    let at = row.first().map_or(0, |expr| expr.at);
    let convert = |(expr, ty): (&ast::Expr, SqlType)| {
        let name = ty.entry().map_or("", |entry| entry.name);
        let names = vec![Name::new("pg_catalog", expr.at), Name::new(name, expr.at)];
        let to = TypeName { names, modifiers: Vec::new(), dimensions: 0, setof: false, of_column: false, at: expr.at };
        ast::Expr::new(ExprKind::Cast(Box::new(expr.clone()), Box::new(to)), expr.at)
    };
    let row = row.iter().zip(types).map(convert).collect();
    let query = Query {
        with: None,
        body: QueryBody::Values(vec![row]),
        order_by: Vec::new(),
        limit: None,
        offset: None,
        with_ties: false,
        locking: Vec::new(),
        at,
    };
    match editor.bind_query(&query)?.plan.node {
        Node::Values { mut rows } => Ok(rows.pop().unwrap_or_default()),
        _ => Err(SqlError::not_supported("a query in SPLIT AT")),
    }
}

/// A table whose rows lie under a new storage id is cut into as many ranges as the test setting
/// `Knobs::split_new_tables` says: through its rows; entries of its secondary indexes lie in the last range. `before` is
/// what the table was, if it was.
pub(super) fn spread(editor: &mut Editor<'_>, table: &Table, before: Option<&Table>) {
    let ranges = editor.cx.host.split_new_tables();
    let Some(storage) = table.storage() else { return };
    if ranges < 2 {
        return;
    }
    if before.is_some_and(|before| before.storage() == Some(storage)) {
        return;
    }
    let is_rewritten = before.is_some();
    if is_rewritten || table.row_id().is_none() {
        let points = rows_apart(editor, table, ranges);
        editor.after_commit(AfterCommit::SplitAt(points));
    }
    if table.row_id().is_some() {
        editor.after_commit(AfterCommit::SplitRowIds { table: table.clone(), ranges });
    }
}

/// Cuts through the rows: at small numbers, which is what tests begin with, or letters, or evenly.
fn rows_apart(editor: &Editor<'_>, table: &Table, ranges: u32) -> Vec<Key> {
    let Some(primary) = table.primary() else { return Vec::new() };
    let first = primary.columns.first().and_then(|part| table.column(part.column));
    let Some(ty) = first.map(|column| column.ty) else { return Vec::new() };
    // Rows that this transaction writes again get ids of its own, one after the other.
    let own = editor.cx.txn.id();
    let value = |number: u32| {
        let small = i64::from(number) * 3;
        let share = u8::try_from(256 * number / ranges).unwrap_or(u8::MAX);
        Some(match ty.base() {
            _ if table.row_id().is_some() => row_id(own, small as u64),
            SqlType::INT2 => Datum::Int2(small as i16),
            SqlType::INT4 => Datum::Int4(small as i32),
            SqlType::INT8 => Datum::Int8(small),
            SqlType::FLOAT8 => Datum::Float8(small as f64),
            SqlType::NUMERIC => Datum::Numeric(small.into()),
            SqlType::TEXT | SqlType::VARCHAR | SqlType::BPCHAR => {
                Datum::text(char::from(b'a' + (26 * number / ranges).min(25) as u8).to_string())
            }
            SqlType::UUID => Datum::Uuid([share; 16]),
            SqlType::BYTEA => Datum::Bytea(vec![share].into()),
            _ => return None,
        })
    };
    let values = (1..ranges).filter_map(value);
    values.filter_map(|value| editor.cx.host.key_prefix(table, IndexId::PRIMARY, &[value]).ok()).collect()
}
