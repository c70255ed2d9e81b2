//! The strong table locks that a node knows of, held or about to be.
//!
//! Being listed here keeps nobody away: it makes statements ask for their weak locks, which are granted at once if nobody is
//! in the way. So an announcement that outlives its transaction costs time and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::time::Duration;

use expr::Oid;
use keyspace::{NodeId, TxnId};
use parking_lot::Mutex;
use txn::LockMode;

use crate::SqlResult;
use crate::session::Server;
use crate::session::neighbours::{Answer, Question};

/// Between two tries to reach a node.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(50);

/// A withdrawal that does not arrive is repeated so many times; the node forgets by itself when the owner's session is over.
const WITHDRAWALS_MAX: u32 = 100;

/// `owner`, of a session on `node`, locks `table` or is about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    pub table: Oid,
    pub owner: TxnId,
    pub node: NodeId,
    pub mode: LockMode,
}

#[derive(Default)]
pub(crate) struct TableLocks {
    /// How many are listed: what statements look at.
    count: AtomicUsize,
    listed: Mutex<BTreeMap<(Oid, TxnId), Announcement>>,
}

impl TableLocks {
    /// A statement has written down which tables it uses. Does it have to look who locks them?
    pub fn are_announced(&self) -> bool {
        // Either this load sees the announcement, or who announces sees what was written down before.
        fence(Ordering::SeqCst);
        self.count.load(Ordering::Relaxed) > 0
    }

    pub fn announce(&self, announcement: Announcement) {
        let mut listed = self.listed.lock();
        listed.insert((announcement.table, announcement.owner), announcement);
        self.count.store(listed.len(), Ordering::Relaxed);
        drop(listed);
        fence(Ordering::SeqCst);
    }

    pub fn withdraw(&self, owner: TxnId, tables: &BTreeSet<Oid>) {
        let mut listed = self.listed.lock();
        listed.retain(|(table, other), _| *other != owner || !tables.contains(table));
        self.count.store(listed.len(), Ordering::Relaxed);
    }

    /// Forgets those whose sessions are over.
    pub fn forget(&self, is_over: impl Fn(&Announcement) -> bool) {
        let mut listed = self.listed.lock();
        listed.retain(|_, announcement| !is_over(announcement));
        self.count.store(listed.len(), Ordering::Relaxed);
    }

    /// Does anybody but `owner` lock the table against `mode`?
    pub fn is_against(&self, table: Oid, mode: LockMode, owner: TxnId) -> bool {
        let listed = self.listed.lock();
        let of_table = listed.range((table, TxnId(0))..=(table, TxnId(u64::MAX)));
        of_table.into_iter().any(|((_, other), it)| *other != owner && !mode.is_compatible_with(it.mode))
    }

    pub fn of_node(&self, node: NodeId) -> Vec<Announcement> {
        self.listed.lock().values().filter(|it| it.node == node).copied().collect()
    }
}

/// Here at once, on other nodes as they can be reached.
pub(super) fn withdraw(server: &Arc<Server>, owner: TxnId, tables: BTreeSet<Oid>) {
    server.table_locks.withdraw(owner, &tables);
    if server.views().cluster.is_none() {
        return;
    }
    let server = server.clone();
    let env = server.config.env.clone();
    env.clone().spawn("withdraw table locks", async move {
        let question = Question::Withdraw { owner, tables: tables.into_iter().collect() };
        for _ in 0..WITHDRAWALS_MAX {
            if tell_all(&server, &question).await.is_ok() {
                return;
            }
            env.sleep(ASK_AGAIN * 10).await;
        }
    });
}

async fn tell_all(server: &Arc<Server>, question: &Question) -> SqlResult<()> {
    let Some(cluster) = server.views().cluster.clone() else { return Ok(()) };
    for node in cluster.nodes().await?.iter().filter(|row| row.live && row.node != server.config.node.0) {
        server.ask(NodeId(node.node), question).await?;
    }
    Ok(())
}

impl Server {
    /// Before the first session of the node: what locks are others about to take, or hold? Who announces from now on knows this
    /// node already.
    pub async fn learn_table_locks(self: &Arc<Self>) -> SqlResult<()> {
        let Some(cluster) = self.views().cluster.clone() else { return Ok(()) };
        for node in cluster.nodes().await?.iter().filter(|row| row.live && row.node != self.config.node.0) {
            if let Answer::Announced(list) = self.ask(NodeId(node.node), &Question::Announced).await? {
                list.into_iter().for_each(|announcement| self.table_locks.announce(announcement));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_concerns_those_it_conflicts_with() {
        let locks = TableLocks::default();
        assert!(!locks.are_announced());
        let share = Announcement { table: Oid(7), owner: TxnId(1), node: NodeId(2), mode: LockMode::TableShare };
        locks.announce(share);
        assert!(locks.are_announced());
        assert!(locks.is_against(Oid(7), LockMode::RowExclusive, TxnId(5)));
        assert!(!locks.is_against(Oid(7), LockMode::RowExclusive, TxnId(1)), "one's own");
        assert!(!locks.is_against(Oid(7), LockMode::AccessShare, TxnId(5)), "readers go on");
        assert!(!locks.is_against(Oid(8), LockMode::RowExclusive, TxnId(5)));
        locks.announce(Announcement { mode: LockMode::AccessExclusive, ..share });
        assert!(locks.is_against(Oid(7), LockMode::AccessShare, TxnId(5)));
        assert_eq!(locks.of_node(NodeId(2)).len(), 1);
        locks.withdraw(TxnId(1), &BTreeSet::from([Oid(7)]));
        assert!(!locks.are_announced());
    }
}
