//! What a transaction has used of the catalog.
//!
//! Invariant: a transaction commits at a number at which the schema that it used is the schema. When it has to move to
//! a number with another catalog version, each table it used is compared with what the table is there. Changes that
//! make no difference to what was done with it (a new name, an owner, an index that a reader did not use) are
//! no reason to fail.

use std::collections::BTreeMap;
use std::sync::Arc;

use env::BoxFuture;
use expr::Oid;
use keyspace::TxnId;
use parking_lot::Mutex;
use txn::{LockMode, SchemaGuard, Stamp, TxnResult};

use super::{CatalogCache, RelationKind, Table, TableDescriptor};

/// How a table was used; the stronger of two counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableUse {
    Read,
    /// Rows are locked.
    Lock,
    Write,
    /// Its descriptor row was changed by this transaction under a lock, which the commit validates.
    Define,
}

/// One per transaction, handed to it with `Transaction::set_schema_guard`.
pub struct UsedTables {
    cache: Arc<CatalogCache>,
    used: Mutex<BTreeMap<Oid, (Table, TableUse)>>,
    locks: Mutex<TableModes>,
}

/// The table locks of a transaction (session/table_locks).
#[derive(Clone, Debug, Default)]
pub struct TableModes {
    /// LOCK TABLE in a weak mode: a use like that of a statement.
    stated: BTreeMap<Oid, LockMode>,
    /// Held in the queue of the table's key.
    held: BTreeMap<Oid, LockMode>,
}

impl UsedTables {
    pub fn new(cache: Arc<CatalogCache>) -> Arc<UsedTables> {
        Arc::new(UsedTables { cache, used: Mutex::default(), locks: Mutex::default() })
    }

    /// Called by each statement for the tables of its plan before it runs.
    pub fn record(&self, table: &Table, how: TableUse) {
        if matches!(table.kind, RelationKind::Virtual) {
            return;
        }
        let mut used = self.used.lock();
        match used.get_mut(&table.oid) {
            Some((_, known)) => *known = how.max(*known),
            None => {
                used.insert(table.oid, (table.clone(), how));
            }
        }
    }

    pub fn define(&self, table: &Table) {
        self.record(table, TableUse::Define);
    }

    /// What the transaction uses, with how.
    pub fn uses(&self) -> Vec<(Table, TableUse)> {
        self.used.lock().values().cloned().collect()
    }

    // ---- table locks ----

    pub fn record_mode(&self, table: Oid, mode: LockMode) {
        join(&mut self.locks.lock().stated, table, mode);
    }

    pub fn stated_modes(&self) -> Vec<(Oid, LockMode)> {
        self.locks.lock().stated.iter().map(|(table, mode)| (*table, *mode)).collect()
    }

    pub fn hold_lock(&self, table: Oid, mode: LockMode) {
        join(&mut self.locks.lock().held, table, mode);
    }

    pub fn lock_held(&self, table: Oid) -> Option<LockMode> {
        self.locks.lock().held.get(&table).copied()
    }

    pub fn modes_at_savepoint(&self) -> TableModes {
        self.locks.lock().clone()
    }

    pub fn rollback_modes_to(&self, modes: TableModes) {
        *self.locks.lock() = modes;
    }

    pub fn cache(&self) -> &Arc<CatalogCache> {
        &self.cache
    }
}

fn join(modes: &mut BTreeMap<Oid, LockMode>, table: Oid, mode: LockMode) {
    let known = modes.entry(table).or_insert(mode);
    *known = known.with(mode);
}

impl SchemaGuard for UsedTables {
    fn changed_at(&self, stamp: Stamp, txn: TxnId) -> BoxFuture<'_, TxnResult<Option<String>>> {
        Box::pin(async move {
            // What others have committed below the number is what holds at it, and looking there is no read at it: it
            // would push the very change that asks.
            let catalog = self.cache.at_for(Stamp { at: stamp.at.before(), ..stamp }, None, Some(txn)).await?;
            let used = self.used.lock();
            let changed = used.values().find(|(table, how)| match how {
                TableUse::Define => false,
                how => catalog.table(table.oid).is_none_or(|now| !is_unchanged(table, now, *how)),
            });
            Ok(changed.map(|(table, _)| format!("Table \"{}\" was changed by a concurrent transaction.", table.name)))
        })
    }
}

/// Is `now` the same as `then` for who used it this way?
fn is_unchanged(then: &Table, now: &Table, how: TableUse) -> bool {
    Arc::ptr_eq(then, now) || (has_same_rows(then, now) && (how <= TableUse::Lock || has_same_rules(then, now)))
}

/// What a reader relies on: where the rows are, what their columns are, and the indexes it may have used.
fn has_same_rows(then: &TableDescriptor, now: &TableDescriptor) -> bool {
    then.kind == now.kind
        && then.columns.len() == now.columns.len()
        && then.columns.iter().zip(&now.columns).all(|(then, now)| {
            then.id == now.id && then.ty == now.ty && then.missing == now.missing && then.dropped == now.dropped
        })
        && then.indexes.iter().all(|index| {
            now.index(index.id).is_some_and(|now| now.columns == index.columns && now.include == index.include)
        })
}

/// What a writer relies on besides: every index it keeps up, every condition it checks.
fn has_same_rules(then: &TableDescriptor, now: &TableDescriptor) -> bool {
    then.indexes.len() == now.indexes.len()
        && then.indexes.iter().zip(&now.indexes).all(|(then, now)| then.unique == now.unique)
        && then.columns.iter().zip(&now.columns).all(|(then, now)| then.not_null == now.not_null)
        && then.checks.len() == now.checks.len()
        && then.checks.iter().zip(&now.checks).all(|(then, now)| then.oid == now.oid && then.condition == now.condition)
        && then.foreign_keys.len() == now.foreign_keys.len()
        && then.foreign_keys.iter().zip(&now.foreign_keys).all(|(then, now)| then.oid == now.oid)
        && then.referenced_by == now.referenced_by
}

#[cfg(test)]
mod tests {
    use expr::SqlType;
    use keyspace::{IndexId, TableId};

    use super::*;
    use crate::catalog::{ColumnId, IndexColumn, IndexDescriptor, IndexState, testing};

    fn table() -> TableDescriptor {
        testing::table(Oid(16_400), Oid(2200), "t", &[("a", SqlType::INT4), ("b", SqlType::TEXT)])
    }

    fn verdicts(change: impl FnOnce(&mut TableDescriptor)) -> (bool, bool) {
        let mut changed = table();
        change(&mut changed);
        let (then, now) = (Arc::new(table()), Arc::new(changed));
        (is_unchanged(&then, &now, TableUse::Read), is_unchanged(&then, &now, TableUse::Write))
    }

    #[test]
    fn what_matters_to_readers_and_to_writers() {
        assert_eq!(verdicts(|_| ()), (true, true));
        assert_eq!(verdicts(|t| t.name = "u".into()), (true, true), "a new name moves nothing");
        assert_eq!(verdicts(|t| t.columns[0].not_null = true), (true, false), "the writer did not check it");
        assert_eq!(verdicts(|t| t.kind = RelationKind::Table { storage: TableId(9) }), (false, false), "truncated");
        assert_eq!(verdicts(|t| t.columns[1].dropped = true), (false, false));
        let index = IndexDescriptor {
            id: IndexId(2),
            oid: Oid(16_401),
            name: "t_a_idx".into(),
            unique: false,
            primary: false,
            columns: vec![IndexColumn { column: ColumnId(1), descending: false, nulls_first: false }],
            include: Vec::new(),
            constraint: None,
            state: IndexState::WriteOnly,
        };
        assert_eq!(verdicts(|t| t.indexes.push(index)), (true, false), "the writer did not keep the index up");
        assert_eq!(verdicts(|t| t.referenced_by.push(Oid(5))), (true, false), "the writer did not look for children");
    }
}
