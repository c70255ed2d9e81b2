//! What the entries of an index hold.

use super::Scan;
use crate::catalog::{ColumnId, IndexColumn, IndexDescriptor, TableDescriptor};

/// The columns of an index and, where it alone does not identify a row, those of the primary key.
pub fn key_columns<'t>(table: &'t TableDescriptor, index: &'t IndexDescriptor) -> Vec<&'t IndexColumn> {
    let mut out: Vec<&IndexColumn> = index.columns.iter().collect();
    if let Some(primary) = table.primary() {
        for part in &primary.columns {
            if !out.iter().any(|known| known.column == part.column) {
                out.push(part);
            }
        }
    }
    out
}

/// Does an entry of the index have all these columns?
pub fn covers(table: &TableDescriptor, index: &IndexDescriptor, columns: &[ColumnId]) -> bool {
    let is_primary = table.primary().is_some_and(|primary| primary.id == index.id);
    let key = key_columns(table, index);
    is_primary
        || columns.iter().all(|column| key.iter().any(|part| part.column == *column) || index.include.contains(column))
}

impl Scan {
    /// Are the entries of the index all that has to be read?
    pub fn is_covered(&self) -> bool {
        self.table.index(self.index).is_none_or(|index| covers(&self.table, index, &self.columns))
    }
}
