//! How the rows of a table lie in keys and values.
//!
//! ```text
//! primary index    /table/1/key columns                     → the columns that the key does not give back exactly
//! other index      /table/i/index columns /primary key      → included columns, and likewise
//! unique index     /table/i/index columns                   → the same, and the primary key
//!   with a NULL    /table/i/index columns /primary key        (NULLs are not equal to each other)
//! ```
//!
//! Everything here speaks of a *table row*: the live columns in their order, the hidden row id last.

use std::sync::Arc;

use expr::keys::{self, KeyColumn};
use expr::rows::{self, Layout};
use expr::stored::Malformed;
use expr::{Datum, EvalContext};
use keyspace::{IndexId, Key, encoding};

use crate::catalog::{ColumnDescriptor, ColumnId, IndexDescriptor, Table, TableDescriptor};
use crate::{SqlError, SqlResult};

/// Formats of a table's indexes, the primary one first.
pub(crate) struct TableFormat {
    pub table: Table,
    /// The columns of a table row.
    pub columns: Vec<ColumnId>,
    pub indexes: Vec<IndexFormat>,
}

pub(crate) struct IndexFormat {
    pub id: IndexId,
    pub unique: bool,
    /// `/table/index`.
    prefix: Vec<u8>,
    /// Index columns, with their place in a table row.
    pub key: Vec<(KeyColumn, usize)>,
    /// Columns of the primary key that follow where the index columns alone do not name a row.
    suffix: Vec<(KeyColumn, usize)>,
    /// Columns of the value by ascending id, with their place in a table row.
    value: Vec<(ColumnId, usize)>,
}

/// The live columns in their order, the hidden row id last.
pub(crate) fn row_columns(table: &TableDescriptor) -> impl Iterator<Item = &ColumnDescriptor> {
    let hidden = table.columns.iter().filter(|column| !column.dropped && column.hidden);
    table.visible_columns().chain(hidden)
}

impl TableFormat {
    pub fn of(table: &Table) -> SqlResult<TableFormat> {
        let columns: Vec<ColumnId> = row_columns(table).map(|column| column.id).collect();
        let indexes = table.indexes.iter().map(|index| IndexFormat::of(table, index, &columns));
        Ok(TableFormat { table: table.clone(), indexes: indexes.collect::<SqlResult<_>>()?, columns })
    }

    pub fn primary(&self) -> &IndexFormat {
        &self.indexes[0]
    }

    pub fn place(&self, column: ColumnId) -> Option<usize> {
        self.columns.iter().position(|id| *id == column)
    }
}

impl IndexFormat {
    fn of(table: &Table, index: &IndexDescriptor, columns: &[ColumnId]) -> SqlResult<IndexFormat> {
        let storage = table.storage().ok_or_else(|| no_rows(table))?;
        let primary = table.primary().ok_or_else(|| no_rows(table))?;
        let is_primary = index.id == primary.id;
        let mut prefix = Vec::with_capacity(12);
        encoding::put_uint(&mut prefix, storage.0);
        encoding::put_uint(&mut prefix, index.id.0);
        let part = |key: &crate::catalog::IndexColumn| {
            let place = columns.iter().position(|id| *id == key.column).ok_or_else(|| no_rows(table))?;
            let ty = table.column(key.column).ok_or_else(|| no_rows(table))?.ty;
            Ok((KeyColumn { ty, descending: key.descending, nulls_first: key.nulls_first }, place))
        };
        let key = index.columns.iter().map(part).collect::<SqlResult<Vec<_>>>()?;
        let mut suffix = Vec::new();
        if !is_primary {
            for column in &primary.columns {
                let (column, place) = part(column)?;
                if key.iter().all(|(_, taken)| *taken != place) {
                    suffix.push((column, place));
                }
            }
        }
        // What the key gives back need not be in the value. In a unique index the suffix is there only beside a NULL.
        let in_key = |place: usize| {
            let always = if index.unique { &[][..] } else { &suffix[..] };
            key.iter().chain(always).any(|(column, at)| *at == place && keys::restores(column.ty))
        };
        let is_kept = |place: usize, id: ColumnId| {
            is_primary || index.include.contains(&id) || key.iter().chain(&suffix).any(|(_, at)| *at == place)
        };
        let mut value: Vec<(ColumnId, usize)> = columns
            .iter()
            .enumerate()
            .filter(|(place, id)| is_kept(*place, **id) && !in_key(*place))
            .map(|(place, id)| (*id, place))
            .collect();
        value.sort();
        Ok(IndexFormat { id: index.id, unique: index.unique, prefix, key, suffix, value })
    }

    pub fn is_primary(&self) -> bool {
        self.suffix.is_empty() && self.id == IndexId::PRIMARY
    }

    /// `/table/index`, in front of every key.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// The key of a row's entry.
    pub fn put_key(&self, row: &[Datum], out: &mut Vec<u8>) -> SqlResult<()> {
        out.extend_from_slice(&self.prefix);
        let mut has_null = false;
        for (column, place) in &self.key {
            has_null |= row[*place].is_null();
            keys::put(out, &row[*place], column)?;
        }
        if !self.unique || has_null {
            for (column, place) in &self.suffix {
                keys::put(out, &row[*place], column)?;
            }
        }
        Ok(())
    }

    pub fn key_of(&self, row: &[Datum]) -> SqlResult<Key> {
        let mut out = Vec::with_capacity(self.prefix.len() + 16 * self.key.len());
        self.put_key(row, &mut out)?;
        Ok(Key::from(out))
    }

    /// The key that values of all index columns name, where they alone name a row: in a unique index, without NULLs.
    pub fn point(&self, values: &[Datum]) -> SqlResult<Option<Key>> {
        if !self.unique || values.len() < self.key.len() || values.iter().any(Datum::is_null) {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(self.prefix.len() + 16 * self.key.len());
        out.extend_from_slice(&self.prefix);
        for ((column, _), value) in self.key.iter().zip(values) {
            keys::put(&mut out, value, column)?;
        }
        Ok(Some(Key::from(out)))
    }

    /// What all keys begin with whose first columns have these values.
    pub fn prefix_of(&self, values: &[Datum]) -> SqlResult<Key> {
        let mut out = self.prefix.clone();
        for ((column, _), value) in self.key.iter().zip(values) {
            keys::put(&mut out, value, column)?;
        }
        Ok(Key::from(out))
    }

    /// The value of a row's entry.
    pub fn value_of(&self, row: &[Datum]) -> bytes::Bytes {
        let mut out = Vec::with_capacity(1 + 12 * self.value.len());
        rows::start(&mut out);
        for (id, place) in &self.value {
            rows::put_column(&mut out, id.0, &row[*place]);
        }
        out.into()
    }

    /// Does an entry hold all these columns of the table row?
    pub fn covers(&self, places: &[usize]) -> bool {
        places.iter().all(|place| self.value.iter().any(|(_, at)| at == place) || self.place_in_key(*place).is_some())
    }

    /// Where in the key a column is that the key gives back exactly, whatever the row.
    fn place_in_key(&self, place: usize) -> Option<usize> {
        let always = if self.unique { &[][..] } else { &self.suffix[..] };
        let mut parts = self.key.iter().chain(always);
        parts.position(|(column, at)| *at == place && keys::restores(column.ty))
    }

    /// How to read these columns of the table row, in this order, from an entry.
    pub fn layout(&self, table: &TableDescriptor, columns: &[ColumnId], places: &[usize]) -> SqlResult<Layout> {
        let always = if self.unique { &[][..] } else { &self.suffix[..] };
        let mut key: Vec<(KeyColumn, Option<usize>)> =
            self.key.iter().chain(always).map(|(column, _)| (*column, None)).collect();
        let mut value = Vec::new();
        for (wanted, (id, place)) in columns.iter().zip(places).enumerate() {
            match self.place_in_key(*place) {
                // The same column may be wanted twice; the second time it comes out of the first.
                Some(part) if key[part].1.is_none() => key[part].1 = Some(wanted),
                Some(_) => return Err(SqlError::new("XX000", "a scan asks for a column twice")),
                None => value.push((id.0, wanted, missing_value(table, *id)?)),
            }
        }
        value.sort_by_key(|(id, ..)| *id);
        Ok(Layout { key, value, width: columns.len() })
    }
}

/// What rows have that are older than the column.
fn missing_value(table: &TableDescriptor, id: ColumnId) -> SqlResult<Datum> {
    let column = table.column(id).ok_or_else(|| no_rows(table))?;
    match &column.missing {
        None => Ok(Datum::Null),
        Some(text) => Ok(Datum::parse(text, column.ty, &EvalContext::detached())?),
    }
}

fn no_rows(table: &TableDescriptor) -> SqlError {
    SqlError::new("XX000", format!("relation \"{}\" has no rows of its own in the way it was used", table.name))
}

pub(crate) fn malformed(key: &Key) -> SqlError {
    let Malformed = Malformed;
    SqlError::new("XX001", format!("the row at {key} cannot be read"))
}

/// Formats that a statement has made so far: a table is described once.
#[derive(Default)]
pub(crate) struct Formats(parking_lot::Mutex<Vec<Arc<TableFormat>>>);

impl Formats {
    pub fn of(&self, table: &Table) -> SqlResult<Arc<TableFormat>> {
        let mut known = self.0.lock();
        if let Some(format) = known.iter().find(|format| Arc::ptr_eq(&format.table, table)) {
            return Ok(format.clone());
        }
        let format = Arc::new(TableFormat::of(table)?);
        known.push(format.clone());
        Ok(format)
    }
}

#[cfg(test)]
mod tests {
    use expr::{Oid, Row, SqlType};

    use super::*;
    use crate::catalog::{IndexColumn, IndexState, testing};

    fn table(unique: bool) -> Table {
        let columns = [("a", SqlType::INT4), ("b", SqlType::NUMERIC), ("c", SqlType::TEXT)];
        let mut table = testing::table(Oid(16_400), Oid(2200), "t", &columns);
        let part = |column| IndexColumn { column: ColumnId(column), descending: false, nulls_first: false };
        table.indexes.push(IndexDescriptor {
            id: IndexId(2),
            oid: Oid(16_401),
            name: "t_b".into(),
            unique,
            primary: false,
            columns: vec![part(2)],
            include: vec![ColumnId(3)],
            constraint: None,
            state: IndexState::Public,
        });
        Arc::new(table)
    }

    fn row(a: i32, b: Option<&str>, c: &str, id: u8) -> Row {
        let b = b.map_or(Datum::Null, |text| Datum::Numeric(text.parse().unwrap()));
        vec![Datum::Int4(a), b, Datum::text(c), Datum::Uuid([id; 16])]
    }

    #[test]
    fn rows_come_back_from_each_index() {
        for unique in [false, true] {
            let format = TableFormat::of(&table(unique)).unwrap();
            for row in [row(1, Some("1.50"), "x", 7), row(2, None, "y", 8)] {
                for index in &format.indexes {
                    let places: Vec<usize> = (0..4).filter(|place| index.covers(&[*place])).collect();
                    let columns: Vec<ColumnId> = places.iter().map(|place| format.columns[*place]).collect();
                    let layout = index.layout(&format.table, &columns, &places).unwrap();
                    let mut read = Row::new();
                    layout.decode(&index.key_of(&row).unwrap(), &index.value_of(&row), &mut read).unwrap();
                    let wanted: Row = places.iter().map(|place| row[*place].clone()).collect();
                    assert_eq!(format!("{read:?}"), format!("{wanted:?}"), "unique: {unique}");
                }
            }
            let secondary = &format.indexes[1];
            assert!(!secondary.covers(&[0]), "a is in the row only");
            assert!(secondary.covers(&[1, 2, 3]));
        }
    }

    #[test]
    fn a_unique_entry_is_named_by_its_columns_unless_one_is_null() {
        let format = TableFormat::of(&table(true)).unwrap();
        let unique = &format.indexes[1];
        let key = |row: &Row| unique.key_of(row).unwrap();
        assert_eq!(key(&row(1, Some("1.5"), "x", 7)), key(&row(2, Some("1.50"), "y", 8)));
        assert_ne!(key(&row(1, None, "x", 7)), key(&row(1, None, "x", 8)));
        let point = unique.point(&[Datum::Numeric("1.500".parse().unwrap())]).unwrap();
        assert_eq!(point, Some(key(&row(1, Some("1.5"), "x", 7))));
        assert_eq!(unique.point(&[Datum::Null]).unwrap(), None);
    }
}
