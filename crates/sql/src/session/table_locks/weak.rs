//! The weak locks of statements: written down always, taken only while somebody locks the table against them.

use std::sync::Arc;

use expr::Oid;
use txn::{Keep, LockMode};

use crate::SqlResult;
use crate::catalog::{Catalog, Table, TableUse};
use crate::session::Session;
use crate::session::block::Open;
use crate::session::prepared::{Planned, Prepared};
use crate::session::run::Limit;

/// The tables that a use of `table` touches, and how: checks of foreign keys look for rows of the other table.
pub(crate) fn modes_of(table: &Table, how: TableUse) -> impl Iterator<Item = (Oid, LockMode)> {
    let own = match how {
        TableUse::Read => LockMode::AccessShare,
        TableUse::Lock => LockMode::RowShare,
        TableUse::Write | TableUse::Define => LockMode::RowExclusive,
    };
    let targets = table.foreign_keys.iter().filter(move |_| how == TableUse::Write).map(|key| key.target);
    std::iter::once((table.oid, own)).chain(targets.map(|target| (target, LockMode::RowShare)))
}

impl Session {
    /// A statement's transaction, catalog and plan, once its tables are open to it.
    pub(in crate::session) async fn start_planned(
        &mut self,
        prepared: &Prepared,
        limit: &Limit,
    ) -> SqlResult<(Open, Arc<Catalog>, Arc<Planned>)> {
        let (open, mut catalog) = self.start_prepared(prepared, limit).await?;
        loop {
            let planned = self.plan(prepared, &catalog)?;
            match self.enter(&planned, &open, limit).await? {
                None => return Ok((open, catalog, planned)),
                Some(changed) => catalog = changed,
            }
        }
    }

    /// What must be done before a plan runs: it may, and nobody locks its tables against it. A catalog: it had to wait, and is to be
    /// planned anew.
    pub(in crate::session) async fn enter(
        &mut self,
        planned: &Planned,
        open: &Open,
        limit: &Limit,
    ) -> SqlResult<Option<Arc<Catalog>>> {
        self.admit(planned, open)?;
        if self.server.table_locks.are_announced() && !open.txn.is_historic() {
            let wanted: Vec<_> = planned.tables.iter().flat_map(|(table, how)| modes_of(table, *how)).collect();
            if Box::pin(self.take_weak(open, &wanted, false, limit)).await? {
                return Box::pin(self.see_what_was_done(open, limit)).await.map(Some);
            }
        }
        if let Some(block) = &mut self.block {
            block.has_queried = true;
        }
        Ok(None)
    }

    /// Those of the weak locks that somebody may be in the way of. True: it had to wait.
    pub(super) async fn take_weak(
        &mut self,
        open: &Open,
        wanted: &[(Oid, LockMode)],
        nowait: bool,
        limit: &Limit,
    ) -> SqlResult<bool> {
        if let Some(cluster) = &self.server.views().cluster {
            self.server.table_locks.forget(|it| cluster.is_session_over(it.node, it.owner.start()));
        }
        let mut waited = false;
        for (table, mode) in wanted {
            let is_held = open.used.lock_held(*table).is_some_and(|held| held.includes(*mode));
            if !is_held && self.server.table_locks.is_against(*table, *mode, open.txn.id()) {
                waited |= self.take(open, *table, *mode, nowait, Keep::ToTheEnd, limit).await?;
            }
        }
        Ok(waited)
    }
}
