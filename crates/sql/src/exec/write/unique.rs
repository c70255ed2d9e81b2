//! Unique indexes.
//!
//! The keys that a batch is about to take are locked and looked up in one request per range. Whoever is about to take one
//! of them too is waited for; what is found then is what holds now, at every isolation level (protocol.md, rule 21).

use std::collections::BTreeMap;

use expr::keys;
use expr::{Datum, Row};
use keyspace::{Key, encoding};
use txn::{LockMode, LockSpec, LockWait, Visible};

use super::Writer;

use crate::catalog::{Catalog, IndexColumn, Table, TableDescriptor};
use crate::exec::Context;
use crate::exec::row_format::IndexFormat;
use crate::{SqlError, SqlResult};

/// A key that is about to be taken, and by what.
struct Claim<'a> {
    index: &'a IndexFormat,
    row: &'a Row,
}

/// 23505 if one of the new rows has a key that is taken, or two of them have the same.
pub(super) async fn check_new(ctx: &Context, writer: &Writer, indexes: &[&IndexFormat], rows: &[Row]) -> SqlResult<()> {
    let mut claims = BTreeMap::new();
    for row in rows {
        for index in indexes {
            claim(ctx, writer, &mut claims, index, row)?;
        }
    }
    check_claims(ctx, writer, &claims, &[]).await
}

/// The same for keys that an update changes. A key that another row of the batch gives up is free.
pub(super) async fn check_changed(ctx: &Context, writer: &Writer, pairs: &[(Row, Row)]) -> SqlResult<()> {
    let mut claims = BTreeMap::new();
    let mut freed = Vec::new();
    for (old, new) in pairs {
        for index in writer.unique_indexes() {
            let from = index.key_of(old)?;
            if from != index.key_of(new)? {
                claim(ctx, writer, &mut claims, index, new)?;
                if !has_null(index, old) {
                    freed.push(from);
                }
            }
        }
    }
    freed.sort_unstable();
    check_claims(ctx, writer, &claims, &freed).await
}

/// Locks the keys that rows are about to give up in unique indexes beside the primary one: who refers to the row through
/// one of them, or wants to take it, is waited for, and waits.
pub(super) async fn lock_given_up(ctx: &Context, writer: &Writer, rows: &[Row]) -> SqlResult<()> {
    let mut keys = Vec::new();
    for index in writer.unique_indexes().filter(|index| !index.is_primary()) {
        for row in rows.iter().filter(|row| !has_null(index, row)) {
            keys.push(index.key_of(row)?);
        }
    }
    if !keys.is_empty() {
        keys.sort_unstable();
        ctx.txn().get_many(&keys, Some(FOR_WRITE), Visible::Everything, true).await?;
    }
    Ok(())
}

fn has_null(index: &IndexFormat, row: &Row) -> bool {
    !index.is_primary() && index.key.iter().any(|(_, place)| row[*place].is_null())
}

const FOR_WRITE: LockSpec =
    LockSpec { mode: LockMode::Update, wait: LockWait::Block { timeout: None }, absent_too: true };

fn claim<'a>(
    ctx: &Context,
    writer: &Writer,
    claims: &mut BTreeMap<Key, Claim<'a>>,
    index: &'a IndexFormat,
    row: &'a Row,
) -> SqlResult<()> {
    // NULLs are not equal to each other.
    if has_null(index, row) {
        return Ok(());
    }
    match claims.insert(index.key_of(row)?, Claim { index, row }) {
        None => Ok(()),
        Some(_) => Err(duplicate(ctx, writer, index, row)),
    }
}

async fn check_claims(
    ctx: &Context,
    writer: &Writer,
    claims: &BTreeMap<Key, Claim<'_>>,
    freed: &[Key],
) -> SqlResult<()> {
    if claims.is_empty() && freed.is_empty() {
        return Ok(());
    }
    // Those that are given up are locked along with them: others may refer to the row through such a key.
    let mut keys: Vec<Key> = claims.keys().chain(freed).cloned().collect();
    keys.sort_unstable();
    keys.dedup();
    let found = ctx.txn().get_many(&keys, Some(FOR_WRITE), Visible::Everything, true).await?;
    for (key, found) in keys.iter().zip(found) {
        let Some(claim) = claims.get(key) else { continue };
        if found.is_some() && freed.binary_search(key).is_err() {
            return Err(duplicate(ctx, writer, claim.index, claim.row));
        }
    }
    Ok(())
}

pub(super) fn duplicate(ctx: &Context, writer: &Writer, index: &IndexFormat, row: &Row) -> SqlError {
    let values: Vec<Datum> = index.key.iter().map(|(_, place)| row[*place].clone()).collect();
    let texts = index.key.iter().zip(&values).map(|((column, _), value)| value.text_form(column.ty, &ctx.eval()));
    violation(&ctx.shared.catalog, writer.table(), index.id, &texts.collect::<Vec<_>>())
}

fn violation(catalog: &Catalog, table: &TableDescriptor, index: keyspace::IndexId, values: &[String]) -> SqlError {
    let (name, columns) = match table.index(index) {
        Some(index) => {
            let names = index.columns.iter().filter_map(|part| table.column(part.column));
            (index.name.as_str(), names.map(|column| column.name.as_str()).collect::<Vec<_>>().join(", "))
        }
        None => ("", String::new()),
    };
    let schema = catalog.schema_by_oid(table.schema).map_or("", |schema| &schema.name);
    SqlError::new("23505", format!("duplicate key value violates unique constraint \"{name}\""))
        .with_detail(format!("Key ({columns})=({}) already exists.", values.join(", ")))
        .on_table(schema, &table.name)
        .on_constraint(name)
}

/// A key of the store as SQL has it: an entry of an index.
pub(crate) struct NamedKey<'t> {
    pub table: &'t Table,
    index: keyspace::IndexId,
    values: Vec<String>,
}

impl<'t> NamedKey<'t> {
    /// `None`: it belongs to none of these tables.
    pub fn of(
        tables: impl IntoIterator<Item = &'t Table>,
        key: &Key,
        eval: &expr::EvalContext<'_>,
    ) -> Option<NamedKey<'t>> {
        let mut rest = &key[..];
        let (storage, index) = (encoding::take_uint(&mut rest)?, encoding::take_uint(&mut rest)?);
        let table = tables.into_iter().find(|table| table.storage().is_some_and(|id| id.0 == storage))?;
        let index = table.index(keyspace::IndexId(index))?;
        let mut values = Vec::with_capacity(index.columns.len());
        for part in &index.columns {
            let ty = table.column(part.column)?.ty;
            let column = keys::KeyColumn { ty, descending: part.descending, nulls_first: part.nulls_first };
            values.push(keys::take(&mut rest, &column)?.text_form(ty, eval));
        }
        Some(NamedKey { table, index: index.id, values })
    }

    /// 23505: the violation that the key means; what a commit found out that only had the key.
    pub fn duplicate(&self, catalog: &Catalog) -> SqlError {
        violation(catalog, self.table, self.index, &self.values)
    }

    /// `Key (a, b)=(1, 2)`, of columns that have names.
    pub fn text(&self) -> Option<String> {
        let columns = self.table.index(self.index)?.columns.iter();
        let visible = |part: &IndexColumn| self.table.visible_columns().find(|column| column.id == part.column);
        let names = columns.map(|part| visible(part).map(|column| column.name.as_str())).collect::<Option<Vec<_>>>()?;
        Some(format!("Key ({})=({})", names.join(", "), self.values.join(", ")))
    }
}
