//! Changing rows: what INSERT, UPDATE, DELETE, COPY and referential actions have in common.
//!
//! Writes go to the transaction's buffer, the primary index's entry and those of all other indexes, also of ones that are
//! being built. Before a batch is written, its constraints are checked for all of its rows with one request per range:
//! NOT NULL and CHECK without any, uniqueness with locks on the keys (a key that somebody else is about to write is
//! waited for). Foreign keys are checked when the statement has come to its end ([`foreign_key`]).

mod check;
mod conflict;
mod delete;
mod foreign_key;
mod insert;
mod unique;

pub(crate) use unique::NamedKey;
mod update;

use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(crate) use delete::Delete;
use expr::{Datum, Row};
pub(crate) use insert::Insert;
use keyspace::{IndexId, Key, TxnId};
use smallvec::SmallVec;
pub(crate) use update::{Update, update_lock};

use self::foreign_key::ForeignKeys;
use super::Context;
use super::row_format::{IndexFormat, TableFormat};
use crate::catalog::Table;
use crate::{SqlError, SqlResult};

/// Writes rows of one table. Rows are table rows: the live columns in their order, the hidden row id last.
pub(crate) struct Writer {
    pub format: Arc<TableFormat>,
    /// Places of columns that take no NULL.
    not_null: Vec<usize>,
    /// Place of the hidden row id.
    row_id: Option<usize>,
}

/// A hidden row id: the transaction's start number and a counter.
pub(crate) fn row_id(txn: TxnId, number: u64) -> Datum {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&txn.0.to_be_bytes());
    id[8..].copy_from_slice(&number.to_be_bytes());
    Datum::Uuid(id)
}

impl Writer {
    pub fn new(table: &Table, ctx: &Context) -> SqlResult<Writer> {
        let format = ctx.shared.formats.of(table)?;
        let is_not_null = |id: &crate::catalog::ColumnId| table.column(*id).is_some_and(|column| column.not_null);
        let places = format.columns.iter().enumerate();
        let not_null = places.filter(|(_, id)| is_not_null(id)).map(|(place, _)| place).collect();
        let row_id = table.row_id().and_then(|column| format.place(column.id));
        Ok(Writer { format, not_null, row_id })
    }

    pub fn table(&self) -> &Table {
        &self.format.table
    }

    /// Gives a new row its hidden id, so that rows lie in the order they were inserted in.
    pub fn identify(&self, ctx: &Context, row: &mut Row) {
        if let Some(place) = self.row_id {
            row[place] = row_id(ctx.txn().id(), ctx.shared.row_ids.fetch_add(1, Ordering::Relaxed));
        }
    }

    /// Writes new rows whose constraints have been checked, apart from uniqueness and foreign keys.
    pub async fn insert(&self, ctx: &Context, rows: &[Row], foreign: &mut ForeignKeys) -> SqlResult<()> {
        let unique: SmallVec<[&IndexFormat; 4]> = self.unique_indexes().collect();
        unique::check_new(ctx, self, &unique, rows).await?;
        for row in rows {
            for index in &self.format.indexes {
                ctx.txn().put(index.key_of(row)?, Some(index.value_of(row)), false)?;
            }
        }
        foreign.inserted(ctx, self, rows).await
    }

    /// Entries of rows that exist in an index that is new.
    pub async fn add_to_index(&self, ctx: &Context, id: IndexId, rows: &[Row]) -> SqlResult<()> {
        let index = self.format.indexes.iter().find(|index| index.id == id);
        let index = index.ok_or_else(|| SqlError::new("XX000", "the index that is built is not there"))?;
        if index.unique {
            unique::check_new(ctx, self, std::slice::from_ref(&index), rows).await?;
        }
        for row in rows {
            ctx.txn().put(index.key_of(row)?, Some(index.value_of(row)), false)?;
        }
        Ok(())
    }

    /// Replaces rows, which are locked: `(old, new)`.
    pub async fn update(&self, ctx: &Context, pairs: &[(Row, Row)], foreign: &mut ForeignKeys) -> SqlResult<()> {
        unique::check_changed(ctx, self, pairs).await?;
        // All old entries go before the first new one comes: a row may take the place that another one leaves.
        for (old, new) in pairs {
            for index in &self.format.indexes {
                let (from, to) = (index.key_of(old)?, index.key_of(new)?);
                if from != to {
                    ctx.txn().put(from, None, true)?;
                }
            }
        }
        for (old, new) in pairs {
            let changes_key = self.changes_key(old, new)?;
            for index in &self.format.indexes {
                let (from, to) = (index.key_of(old)?, index.key_of(new)?);
                let value = index.value_of(new);
                if index.is_primary() || from != to || value != index.value_of(old) {
                    ctx.txn().put(to, Some(value), changes_key && index.unique)?;
                }
            }
        }
        foreign.updated(ctx, self, pairs).await
    }

    /// Removes rows, which are locked.
    pub async fn delete(&self, ctx: &Context, rows: &[Row], foreign: &mut ForeignKeys) -> SqlResult<()> {
        unique::lock_given_up(ctx, self, rows).await?;
        for row in rows {
            for index in &self.format.indexes {
                ctx.txn().put(index.key_of(row)?, None, true)?;
            }
        }
        foreign.deleted(ctx, self, rows).await
    }

    /// Does an update change what others may refer to: a column of a unique index? (protocol.md, rule 20)
    pub fn changes_key(&self, old: &Row, new: &Row) -> SqlResult<bool> {
        for index in self.format.indexes.iter().filter(|index| index.unique) {
            if index.key_of(old)? != index.key_of(new)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Indexes that let no two rows have one key.
    fn unique_indexes(&self) -> impl Iterator<Item = &IndexFormat> {
        // A hidden row id is unique by itself.
        let has_row_id = self.row_id.is_some();
        self.format.indexes.iter().filter(move |index| index.unique && !(has_row_id && index.is_primary()))
    }

    pub fn row_key(&self, row: &Row) -> SqlResult<Key> {
        self.format.primary().key_of(row)
    }
}

/// New values in place of old ones.
pub(crate) fn assign(row: &Row, places: &[usize], values: Row) -> Row {
    let mut new = row.clone();
    for (place, value) in places.iter().zip(values) {
        new[*place] = value;
    }
    new
}
