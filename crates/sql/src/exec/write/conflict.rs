//! INSERT … ON CONFLICT.
//!
//! The arbiters' keys of a batch are locked and looked up as for any insert. What is taken is skipped or updated, the rest
//! is inserted. A row that this command has put in or changed itself cannot be changed by it again.

use std::collections::BTreeMap;

use expr::rows::Layout;
use expr::{Datum, Row};
use keyspace::{IndexId, Key};
use txn::{LockMode, LockSpec, LockWait, Visible};

use super::foreign_key::ForeignKeys;
use super::{Writer, assign};
use crate::exec::Context;
use crate::exec::hash_key::KeySet;
use crate::exec::row_format::{IndexFormat, malformed};
use crate::plan::{Check, ConflictAction, OnConflict};
use crate::{SqlError, SqlResult};

pub(super) struct Conflicts {
    arbiters: Vec<Arbiter>,
    action: Action,
    /// Keys of rows that this command has put in or changed.
    touched: KeySet,
    row_layout: Layout,
    /// There are unique indexes besides the arbiters: an update may free what a later row needs, or take it.
    order_matters: bool,
}

struct Arbiter {
    id: IndexId,
    /// The primary key's columns in an entry; not needed for the primary index.
    to_key: Layout,
    key_places: Vec<usize>,
}

enum Action {
    DoNothing,
    Update { places: Vec<usize>, exprs: Vec<expr::Expr>, condition: Option<expr::Expr> },
}

/// What is to be done with a proposed row.
enum Verdict {
    Insert,
    Skip,
    /// The row under this key is in its way.
    Conflict(Key),
}

impl Conflicts {
    pub fn new(ctx: &Context, writer: &Writer, clause: &OnConflict) -> SqlResult<Conflicts> {
        let format = &writer.format;
        let key_places: Vec<usize> = format.primary().key.iter().map(|(_, place)| *place).collect();
        let key_columns: Vec<_> = key_places.iter().map(|place| format.columns[*place]).collect();
        let is_arbiter = |index: &&IndexFormat| clause.arbiters.is_empty() || clause.arbiters.contains(&index.id);
        let mut arbiters = Vec::new();
        for index in writer.unique_indexes().filter(is_arbiter) {
            let to_key = index.layout(&format.table, &key_columns, &key_places)?;
            arbiters.push(Arbiter { id: index.id, to_key, key_places: key_places.clone() });
        }
        let action = match &clause.action {
            ConflictAction::DoNothing => Action::DoNothing,
            ConflictAction::Update { assignments, condition } => {
                let places = assignments.iter().map(|(id, _)| format.place(*id)).collect::<Option<Vec<_>>>();
                Action::Update {
                    places: places
                        .ok_or_else(|| SqlError::new("XX000", "ON CONFLICT sets a column that is not there"))?,
                    exprs: assignments.iter().map(|(_, expr)| expr.clone()).collect(),
                    condition: condition.clone(),
                }
            }
        };
        let all: Vec<usize> = (0..format.columns.len()).collect();
        let row_layout = format.primary().layout(&format.table, &format.columns, &all)?;
        let order_matters = writer.unique_indexes().count() > arbiters.len();
        Ok(Conflicts { order_matters, arbiters, action, touched: KeySet::new(ctx, [expr::SqlType::BYTEA]), row_layout })
    }

    /// Inserts what can be inserted; gives the rows that were inserted or updated, in the order they were proposed.
    pub async fn insert(
        &mut self,
        ctx: &Context,
        writer: &Writer,
        checks: &[Check],
        rows: Vec<Row>,
        foreign: &mut ForeignKeys,
    ) -> SqlResult<Vec<Row>> {
        let verdicts = self.judge(ctx, writer, &rows).await?;
        let in_the_way = self.fetch(ctx, &verdicts).await?;
        let mut inserts = Vec::new();
        let mut updates = Vec::new();
        let mut out = Vec::new();
        for (row, verdict) in rows.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Skip => {}
                Verdict::Insert => {
                    if self.order_matters && !updates.is_empty() {
                        writer.update(ctx, &std::mem::take(&mut updates), foreign).await?;
                    }
                    self.touch(&writer.row_key(&row)?)?;
                    inserts.push(row.clone());
                    out.push(row);
                }
                Verdict::Conflict(key) => {
                    if self.order_matters && !inserts.is_empty() {
                        writer.insert(ctx, &std::mem::take(&mut inserts), foreign).await?;
                    }
                    let old = in_the_way.get(&key).ok_or_else(|| malformed(&key))?;
                    self.touch(&key)?;
                    if let Some(new) = self.updated(ctx, old, row).await? {
                        writer.check_row(ctx, &new, checks).await?;
                        updates.push((old.clone(), new.clone()));
                        out.push(new);
                    }
                }
            }
        }
        if !inserts.is_empty() {
            writer.insert(ctx, &inserts, foreign).await?;
        }
        if !updates.is_empty() {
            writer.update(ctx, &updates, foreign).await?;
        }
        Ok(out)
    }

    async fn judge(&self, ctx: &Context, writer: &Writer, rows: &[Row]) -> SqlResult<Vec<Verdict>> {
        // Every arbiter key of every row, all in one request.
        let mut keys: Vec<Key> = Vec::new();
        let mut of_rows: Vec<Vec<(usize, Key)>> = Vec::with_capacity(rows.len());
        for row in rows {
            let mut own = Vec::new();
            for (at, arbiter) in self.arbiters.iter().enumerate() {
                let index = index_of(writer, arbiter.id);
                if index.is_primary() || !index.key.iter().any(|(_, place)| row[*place].is_null()) {
                    let key = index.key_of(row)?;
                    keys.push(key.clone());
                    own.push((at, key));
                }
            }
            of_rows.push(own);
        }
        keys.sort_unstable();
        keys.dedup();
        let wait = LockWait::Block { timeout: None };
        let lock = LockSpec { mode: LockMode::Update, wait, absent_too: true };
        let found = ctx.txn().get_many(&keys, Some(lock), Visible::Everything, false).await?;
        let mut taken: BTreeMap<Key, Option<bytes::Bytes>> = keys.into_iter().zip(found).collect();
        let mut verdicts = Vec::with_capacity(rows.len());
        for own in of_rows {
            let mut verdict = Verdict::Insert;
            for (at, key) in &own {
                if let Some(Some(value)) = taken.get(key) {
                    verdict = self.conflict(writer, &self.arbiters[*at], key, value)?;
                    break;
                }
            }
            if matches!(verdict, Verdict::Insert) {
                // A later row of the batch with the same key meets this one: an empty value stands for it.
                taken.extend(own.into_iter().map(|(_, key)| (key, Some(bytes::Bytes::new()))));
            }
            verdicts.push(verdict);
        }
        Ok(verdicts)
    }

    fn conflict(&self, writer: &Writer, arbiter: &Arbiter, key: &Key, value: &bytes::Bytes) -> SqlResult<Verdict> {
        if matches!(self.action, Action::DoNothing) {
            return Ok(Verdict::Skip);
        }
        if value.is_empty() {
            return Err(touched_twice());
        }
        if index_of(writer, arbiter.id).is_primary() {
            return Ok(Verdict::Conflict(key.clone()));
        }
        let mut parts = Row::new();
        arbiter.to_key.decode(key, value, &mut parts).map_err(|_| malformed(key))?;
        let mut sparse = vec![Datum::Null; writer.format.columns.len()];
        for (place, part) in arbiter.key_places.iter().zip(parts) {
            sparse[*place] = part;
        }
        Ok(Verdict::Conflict(writer.row_key(&sparse)?))
    }

    /// The rows in the way, locked.
    async fn fetch(&self, ctx: &Context, verdicts: &[Verdict]) -> SqlResult<BTreeMap<Key, Row>> {
        let in_the_way = verdicts.iter().filter_map(|verdict| match verdict {
            Verdict::Conflict(key) => Some(key.clone()),
            _ => None,
        });
        let mut keys: Vec<Key> = in_the_way.collect();
        if keys.is_empty() {
            return Ok(BTreeMap::new());
        }
        keys.sort_unstable();
        keys.dedup();
        let wait = LockWait::Block { timeout: None };
        let lock = LockSpec { mode: LockMode::Update, wait, absent_too: false };
        let values = ctx.txn().get_many(&keys, Some(lock), Visible::Everything, false).await?;
        let mut rows = BTreeMap::new();
        for (key, value) in keys.into_iter().zip(values) {
            let value = value.ok_or_else(|| malformed(&key))?;
            let mut row = Row::new();
            self.row_layout.decode(&key, &value, &mut row).map_err(|_| malformed(&key))?;
            rows.insert(key, row);
        }
        Ok(rows)
    }

    /// The existing row as DO UPDATE makes it; `None` where its WHERE says no.
    async fn updated(&self, ctx: &Context, old: &Row, proposed: Row) -> SqlResult<Option<Row>> {
        let Action::Update { places, exprs, condition } = &self.action else { return Ok(None) };
        let mut both = old.clone();
        both.extend(proposed);
        if let Some(condition) = condition
            && !ctx.holds(condition, &both).await?
        {
            return Ok(None);
        }
        let values = ctx.compute(exprs, &both).await?;
        Ok(Some(assign(old, places, values)))
    }

    fn touch(&mut self, key: &Key) -> SqlResult<()> {
        let is_new = self.touched.insert(&[Datum::Bytea(key.0.clone())])?;
        if is_new { Ok(()) } else { Err(touched_twice()) }
    }
}

fn index_of(writer: &Writer, id: IndexId) -> &IndexFormat {
    let found = writer.format.indexes.iter().find(|index| index.id == id);
    found.unwrap_or_else(|| unreachable!("arbiters are indexes of the table"))
}

fn touched_twice() -> SqlError {
    SqlError::new("21000", "ON CONFLICT DO UPDATE command cannot affect row a second time").with_hint(
        "Ensure that no rows proposed for insertion within the same command have duplicate constrained values.",
    )
}
