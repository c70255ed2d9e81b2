//! Where ranges of a table are to be cut.

use keyspace::{IndexId, Key, index_span};

use super::{Editor, ExprUse};
use crate::catalog::{Table, TableDescriptor};
use crate::parse::ast::Expr;
use crate::{SqlError, SqlResult};

/// `SPLIT AT VALUES (…), (…)`: each row gives the leading columns of the primary key.
pub(super) fn points(editor: &Editor<'_>, table: &Table, rows: &[Vec<Expr>]) -> SqlResult<Vec<Key>> {
    let Some(primary) = table.primary() else {
        return Err(SqlError::new("42809", format!("\"{}\" is not a table", table.name)));
    };
    let mut points = Vec::with_capacity(rows.len());
    for row in rows {
        if row.len() > primary.columns.len() {
            return Err(SqlError::new("42601", "SPLIT AT has more values than the primary key has columns"));
        }
        let mut values = Vec::with_capacity(row.len());
        for (value, key) in row.iter().zip(&primary.columns) {
            let ty = table.column(key.column).map(|column| column.ty);
            let bound = editor.cx.host.bind_expr(&editor.snapshot(), value, None, ExprUse::SplitPoint, ty)?;
            values.push(editor.cx.host.evaluate(&bound)?);
        }
        points.push(editor.cx.host.key_prefix(table, IndexId::PRIMARY, &values)?);
    }
    Ok(points)
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
