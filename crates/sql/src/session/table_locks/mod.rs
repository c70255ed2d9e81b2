//! Table locks: LOCK TABLE in PostgreSQL's eight modes, and what schema changes take.
//!
//! Statements take the three weak modes (ACCESS SHARE, ROW SHARE, ROW EXCLUSIVE) by writing down which tables they use, which
//! they do anyway ([`UsedTables`]). Only the strong modes are locks: in the queue of the table's key in the system range, where
//! waits, deadlocks and the end of a transaction are what they are for rows. docs/decisions/0006-table-locks.md:
//!
//! ```text
//!   strong:  announce on every node ─► each node enters its transactions that use the table ─► queue up for the lock
//!   weak:    write down the use ─► fence ─► anything announced? no: go on.  yes: queue up for the lock
//! ```
//!
//! Either the announcement finds the use, or the statement finds the announcement. Without a strong lock anywhere a statement pays
//! one fence and one load.

mod announced;
mod of_ddl;
mod weak;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use env::Env;
use expr::Oid;
use futures::future::join_all;
use keyspace::{NodeId, TxnId};
use parking_lot::Mutex;
use txn::{Isolation, Keep, LockMode, LockWait, TxnError};

pub(crate) use self::announced::{Announcement, TableLocks};
pub(crate) use self::weak::modes_of;
use super::block::Open;
use super::neighbours::Question;
use super::run::Limit;
use super::{Server, Session};
use crate::catalog::rows::table_lock_key;
use crate::catalog::{Catalog, RelationKind, Table};
use crate::parse::ast::{Name, ObjectName, Statement, TableLockMode};
use crate::{SqlError, SqlResult, bind};

impl TableLockMode {
    pub fn lock(self) -> LockMode {
        match self {
            TableLockMode::AccessShare => LockMode::AccessShare,
            TableLockMode::RowShare => LockMode::RowShare,
            TableLockMode::RowExclusive => LockMode::RowExclusive,
            TableLockMode::ShareUpdateExclusive => LockMode::ShareUpdateExclusive,
            TableLockMode::Share => LockMode::TableShare,
            TableLockMode::ShareRowExclusive => LockMode::ShareRowExclusive,
            TableLockMode::Exclusive => LockMode::Exclusive,
            TableLockMode::AccessExclusive => LockMode::AccessExclusive,
        }
    }
}

/// Modes that do not conflict with each other: statements take them.
fn is_weak(mode: LockMode) -> bool {
    mode <= LockMode::RowExclusive
}

/// What one transaction has announced. Withdrawn when the transaction is over, which is when this is dropped.
pub(crate) struct Announcer {
    server: Arc<Server>,
    owner: TxnId,
    modes: Mutex<BTreeMap<Oid, LockMode>>,
}

impl Announcer {
    pub fn new(server: Arc<Server>, owner: TxnId) -> Arc<Announcer> {
        Arc::new(Announcer { server, owner, modes: Mutex::default() })
    }

    /// Tells every node that `table` is about to be locked; when this returns, all who use it against the lock are in its queue.
    async fn announce(&self, table: Oid, mode: LockMode) -> SqlResult<()> {
        let mode = {
            let mut modes = self.modes.lock();
            let announced = modes.entry(table).or_insert(mode);
            *announced = announced.with(mode);
            *announced
        };
        let announcement = Announcement { table, owner: self.owner, node: self.server.config.node, mode };
        // Here first: a node that starts now asks everybody, and is either told or among those who are asked.
        let own = self.server.enter_users(announcement);
        own.await?;
        let Some(cluster) = self.server.views().cluster.clone() else { return Ok(()) };
        let nodes = cluster.nodes().await?;
        let others = nodes.iter().filter(|row| row.node != self.server.config.node.0);
        let tell = others.map(|row| self.tell(NodeId(row.node), row.live, announcement));
        join_all(tell).await.into_iter().collect()
    }

    /// Until the node has answered, or its sessions are known to be over.
    async fn tell(&self, node: NodeId, is_live: bool, announcement: Announcement) -> SqlResult<()> {
        let Some(cluster) = &self.server.views().cluster else { return Ok(()) };
        loop {
            let answer = self.server.ask(node, &Question::Announce(announcement)).await;
            // One that does not live has no sessions, or starts just now and will ask by itself.
            if answer.is_ok() || !is_live || cluster.is_session_over(node, self.owner.start()) {
                return Ok(());
            }
            self.server.config.env.sleep(announced::ASK_AGAIN).await;
        }
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        let tables: BTreeSet<Oid> = std::mem::take(self.modes.get_mut()).into_keys().collect();
        if !tables.is_empty() {
            announced::withdraw(&self.server, self.owner, tables);
        }
    }
}

impl Session {
    /// LOCK TABLE. One after the other, in the order written, as PostgreSQL does.
    pub(super) async fn lock_tables(
        &mut self,
        names: &[ObjectName],
        mode: TableLockMode,
        nowait: bool,
        limit: &Limit,
    ) -> SqlResult<()> {
        let mode = mode.lock();
        if !is_weak(mode) && self.block.as_ref().is_some_and(|block| block.modes.read_only) {
            return Err(super::run::read_only_error("LOCK TABLE"));
        }
        let (open, mut catalog) = self.start_statement(limit).await?;
        for name in names {
            // Who waited may find another table under the name, and locks that one too.
            let mut done = BTreeSet::new();
            loop {
                let tables = self.tables_named(name, &catalog)?;
                let left = tables.into_iter().find(|table| !done.contains(&table.oid));
                let Some(table) = left else { break };
                done.insert(table.oid);
                if self.lock_table(&open, &table, mode, nowait, limit).await? {
                    catalog = self.see_what_was_done(&open, limit).await?;
                }
            }
        }
        Ok(())
    }

    /// A table; of a view, the tables that it reads.
    fn tables_named(&self, name: &ObjectName, catalog: &Arc<Catalog>) -> SqlResult<Vec<Table>> {
        let relation = self.find_table(catalog, name)?;
        match &relation.kind {
            RelationKind::Table { .. } => Ok(vec![relation]),
            RelationKind::View { .. } => {
                let columns: Vec<Name> =
                    relation.visible_columns().map(|column| Name::new(column.name.clone(), 0)).collect();
                let statement = Statement::Query(Box::new(super::copy::select(name, &columns)));
                let path = self.search_path(catalog);
                let environment =
                    bind::Environment { catalog, path: &path, source: "", param_types: &[], may_be_historic: false };
                let used = bind::bind(&statement, environment)?.tables.into_iter().map(|(table, _)| table);
                Ok(used.filter(|table| matches!(table.kind, RelationKind::Table { .. })).collect())
            }
            // Made from memory: there is nothing to keep others from.
            RelationKind::Virtual => Ok(Vec::new()),
            RelationKind::Sequence(_) => {
                Err(SqlError::new("42809", format!("\"{}\" is not a table or view", relation.name)))
            }
        }
    }

    /// Locks one table. True: it had to wait, and others may have changed what the statement has seen.
    pub(super) async fn lock_table(
        &mut self,
        open: &Open,
        table: &Table,
        mode: LockMode,
        nowait: bool,
        limit: &Limit,
    ) -> SqlResult<bool> {
        let mode = open.used.lock_held(table.oid).map_or(mode, |held| held.with(mode));
        if is_weak(mode) {
            open.used.record_mode(table.oid, mode);
            return match self.server.table_locks.are_announced() {
                true => self.take_weak(open, &[(table.oid, mode)], nowait, limit).await.map_err(on(table, nowait)),
                false => Ok(false),
            };
        }
        if open.used.lock_held(table.oid) == Some(mode) {
            return Ok(false);
        }
        let timeout = self.state.active().lock_timeout;
        let announced = within(&self.server.config.env, timeout, open.announcer.announce(table.oid, mode));
        limit.run(announced).await?;
        self.take(open, table.oid, mode, nowait, Keep::Validated, limit).await.map_err(on(table, nowait))
    }

    async fn take(
        &mut self,
        open: &Open,
        table: Oid,
        mode: LockMode,
        nowait: bool,
        keep: Keep,
        limit: &Limit,
    ) -> SqlResult<bool> {
        let wait = if nowait { LockWait::NoWait } else { LockWait::Block { timeout: None } };
        let waited = limit.run(open.txn.hold(&table_lock_key(table), mode, wait, keep)).await?;
        open.used.hold_lock(table, mode);
        Ok(waited)
    }

    /// After a wait: the statement goes on behind those it waited for, as far as the level lets it. Gives the catalog.
    pub(super) async fn see_what_was_done(&mut self, open: &Open, limit: &Limit) -> SqlResult<Arc<Catalog>> {
        let has_read = self.block.as_ref().is_some_and(|block| block.has_queried);
        match open.txn.isolation() {
            _ if !has_read => limit.run(open.txn.renew()).await?,
            // Its snapshot stands. What it meets there that has changed is a conflict.
            Isolation::RepeatableRead => {}
            Isolation::ReadCommitted | Isolation::Serializable => limit.run(open.txn.restart_statement()).await?,
        }
        let catalog = limit.run(self.server.catalogs.at(open.txn.stamp(), self.catalog.as_ref())).await?;
        self.catalog = Some(catalog.clone());
        Ok(catalog)
    }
}

async fn within<T>(env: &Env, timeout: Option<Duration>, work: impl Future<Output = SqlResult<T>>) -> SqlResult<T> {
    match timeout {
        None => work.await,
        Some(limit) => match env.timeout(limit, work).await {
            Some(result) => result,
            None => Err(SqlError::new("55P03", "canceling statement due to lock timeout")),
        },
    }
}

/// Says in PostgreSQL's words which table was not to be had.
fn on(table: &Table, nowait: bool) -> impl Fn(SqlError) -> SqlError {
    move |mut error| {
        if nowait && error.state() == "55P03" {
            error.0.message = format!("could not obtain lock on relation \"{}\"", table.name);
            error.0.key = None;
        }
        error
    }
}

impl Server {
    /// The part of an announcement that concerns this node: from here on its statements find it, and those transactions
    /// that use the table already hold their weak lock when this returns.
    pub(super) fn enter_users(
        self: &Arc<Self>,
        announcement: Announcement,
    ) -> impl Future<Output = SqlResult<()>> + Send + use<> {
        self.table_locks.announce(announcement);
        let users = self.sessions.users_of(announcement);
        let key = table_lock_key(announcement.table);
        async move {
            let entered = users.iter().map(|(handle, mode)| handle.hold(&key, *mode));
            let entered: Result<Vec<()>, TxnError> = join_all(entered).await.into_iter().collect();
            entered.map(|_| ()).map_err(SqlError::from)
        }
    }
}
