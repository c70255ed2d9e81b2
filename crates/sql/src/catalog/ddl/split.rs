//! Where ranges of a table are to be cut.

use expr::SqlType;
use keyspace::{IndexId, Key, index_span};

use super::Editor;
use crate::catalog::{Table, TableDescriptor};
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

/// Cuts for a new table that is to lie in this many ranges (a test setting): before each secondary index, so that a row
/// and its entries lie apart.
pub(super) fn even_points(table: &TableDescriptor, ranges: u32) -> Vec<Key> {
    let Some(storage) = table.storage() else { return Vec::new() };
    let wanted = ranges.saturating_sub(1) as usize;
    table
        .named_indexes()
        .filter(|index| index.id != IndexId::PRIMARY)
        .take(wanted)
        .map(|index| index_span(storage, index.id).start)
        .collect()
}
