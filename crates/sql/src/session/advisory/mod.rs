//! Advisory locks: named by numbers, of the session or of the transaction, for the whole cluster.
//!
//! Each lock has two keys in the system range ([`record`]):
//!
//! * the *queue*, a lock in memory of the range's leader: who waits, waits there, first come first served, and is part of the
//!   detection of deadlocks. It is taken under the id of a transaction that lasts as long as the session holds anything,
//!   and that never writes;
//! * the *record*, a row that names the holders. Locks in memory end with their leader; the record does not. Whoever has come to
//!   the head of the queue looks there before he calls the lock his own.
//!
//! A lock ends with its unlock, its transaction, its session, or its node: a holder whose node is dead, or lives another
//! life, does not count.
//!
//! The session's transaction and the owner of its advisory locks have two ids, and deadlocks are circles of ids. So there is a
//! [`Link`] while the session does something: mostly the owner cannot go on before the transaction does (a statement runs, which
//! may wait for a row); while an advisory lock is waited for it is the other way round.
//!
//! A session never waits for itself: its locks of both kinds have one owner and are counted. One that is held exclusive and
//! shared is held exclusive until both are given up.

mod record;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use env::BoxFuture;
use keyspace::TxnId;
use tokio::sync::Mutex;
use txn::{Isolation, LockMode, LockSpec, LockWait, Transaction, TxnError, TxnOptions, Visible};

pub(crate) use self::record::LockName;
use super::Server;
use crate::{SqlError, SqlResult};

/// Who has been at the head of the queue and found a holder of whom the queue knows nothing looks again this often.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Session,
    Transaction,
}

/// What one call asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub name: LockName,
    pub is_shared: bool,
    pub scope: Scope,
    pub wait: bool,
}

/// The advisory locks of one session.
#[derive(Default)]
pub(crate) struct AdvisoryLocks {
    /// Something is held, or was when last looked at: what spares all other sessions the rest.
    is_used: AtomicBool,
    owner: AtomicU64,
    held: Mutex<Held>,
    link: parking_lot::Mutex<Option<Link>>,
}

/// See [`ClusterView::link`](crate::catalog::providers::ClusterView::link).
type Link = BoxFuture<'static, Vec<TxnId>>;

#[derive(Default)]
struct Held {
    owner: Option<Transaction>,
    /// Also those with nothing to count: being taken, or left behind by a statement that was cancelled.
    locks: BTreeMap<LockName, Counts>,
    /// What the running statement has taken, to be undone when it runs again.
    taken: Vec<Wanted>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    session: Count,
    transaction: Count,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    exclusive: u32,
    shared: u32,
}

/// The locks of a block at a savepoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct AtSavepoint(BTreeMap<LockName, Count>);

impl Counts {
    fn is_nothing(&self) -> bool {
        *self == Counts::default()
    }

    /// Does what is held include this mode?
    fn covers(&self, is_shared: bool) -> bool {
        self.session.exclusive + self.transaction.exclusive > 0
            || is_shared && self.session.shared + self.transaction.shared > 0
    }

    fn of(&mut self, scope: Scope, is_shared: bool) -> &mut u32 {
        let count = match scope {
            Scope::Session => &mut self.session,
            Scope::Transaction => &mut self.transaction,
        };
        if is_shared { &mut count.shared } else { &mut count.exclusive }
    }
}

impl AdvisoryLocks {
    /// The id that the queues know the session under; zero if it never had a lock.
    pub fn owner(&self) -> TxnId {
        TxnId(self.owner.load(Ordering::Relaxed))
    }

    // ---- deadlocks ----

    /// A statement of `txn` begins: what the session holds here it holds at least until that has gone on.
    pub fn begin_statement(&self, server: &Server, txn: TxnId) {
        if self.is_used.load(Ordering::Relaxed) {
            self.link(server, self.owner(), txn);
        }
    }

    fn link(&self, server: &Server, waiter: TxnId, holder: TxnId) {
        let is_one = waiter == TxnId(0) || holder == TxnId(0);
        let cluster = server.views().cluster.as_ref().filter(|_| !is_one);
        // The old one first: both together are a circle.
        *self.link.lock() = None;
        *self.link.lock() = cluster.map(|cluster| cluster.link(waiter, holder));
    }

    /// Returns when the running statement is to be given up for a deadlock; never otherwise.
    pub async fn deadlock(&self) -> SqlError {
        let cycle = poll_fn(|cx| match &mut *self.link.lock() {
            Some(link) if self.is_used.load(Ordering::Relaxed) => link.as_mut().poll(cx),
            _ => Poll::Pending,
        });
        let cycle = cycle.await;
        *self.link.lock() = None;
        TxnError::Deadlock { cycle }.into()
    }

    // ---- locks ----

    /// Takes a lock; `false`: somebody has it and it was not to be waited for. `txn`: whose statement asks.
    pub async fn lock(
        &self,
        server: &Arc<Server>,
        wanted: Wanted,
        timeout: Option<Duration>,
        txn: TxnId,
    ) -> SqlResult<bool> {
        let held = &mut *self.held.lock().await;
        self.is_used.store(true, Ordering::Relaxed);
        let counts = *held.locks.entry(wanted.name).or_default();
        if !counts.covers(wanted.is_shared) {
            // The statement may be given up at any await from here on: what has no count then goes at its end.
            held.begin(server, &self.owner).await?;
            self.link(server, txn, self.owner());
            let got = held.acquire(server, wanted, timeout).await;
            self.link(server, self.owner(), txn);
            if !matches!(got, Ok(true)) {
                if counts.is_nothing() {
                    held.give_up(server, wanted.name).await?;
                }
                return got;
            }
        }
        *held.locks.entry(wanted.name).or_default().of(wanted.scope, wanted.is_shared) += 1;
        held.taken.push(wanted);
        Ok(true)
    }

    /// `pg_advisory_unlock`; `false`: the session does not have it.
    pub async fn unlock(&self, server: &Arc<Server>, name: LockName, is_shared: bool) -> SqlResult<bool> {
        let held = &mut *self.held.lock().await;
        let Some(counts) = held.locks.get_mut(&name) else { return Ok(false) };
        let count = counts.of(Scope::Session, is_shared);
        if *count == 0 {
            return Ok(false);
        }
        *count -= 1;
        held.sweep(server).await?;
        Ok(true)
    }

    /// `pg_advisory_unlock_all`: what the session holds beyond its transaction.
    pub async fn unlock_all(&self, server: &Arc<Server>) -> SqlResult<()> {
        if !self.is_used.load(Ordering::Relaxed) {
            return Ok(());
        }
        let held = &mut *self.held.lock().await;
        held.locks.values_mut().for_each(|counts| counts.session = Count::default());
        held.sweep(server).await
    }

    /// The transaction is over, whichever way.
    pub async fn end_transaction(&self, server: &Arc<Server>) -> SqlResult<()> {
        if !self.is_used.load(Ordering::Relaxed) {
            return Ok(());
        }
        let held = &mut *self.held.lock().await;
        held.taken.clear();
        held.locks.values_mut().for_each(|counts| counts.transaction = Count::default());
        held.sweep(server).await?;
        self.is_used.store(!held.locks.is_empty(), Ordering::Relaxed);
        Ok(())
    }

    /// A statement is over, or about to run again: then its calls have not been.
    pub async fn end_statement(&self, server: &Arc<Server>, runs_again: bool) -> SqlResult<()> {
        if !self.is_used.load(Ordering::Relaxed) {
            return Ok(());
        }
        *self.link.lock() = None;
        let held = &mut *self.held.lock().await;
        let taken = std::mem::take(&mut held.taken);
        if !runs_again {
            return held.sweep(server).await;
        }
        // The locks stay: it is about to ask for them again.
        for wanted in taken {
            if let Some(counts) = held.locks.get_mut(&wanted.name) {
                let count = counts.of(wanted.scope, wanted.is_shared);
                *count = count.saturating_sub(1);
            }
        }
        Ok(())
    }

    pub async fn at_savepoint(&self) -> AtSavepoint {
        if !self.is_used.load(Ordering::Relaxed) {
            return AtSavepoint::default();
        }
        let held = self.held.lock().await;
        AtSavepoint(held.locks.iter().map(|(name, counts)| (*name, counts.transaction)).collect())
    }

    /// ROLLBACK TO: the transaction's locks since then are given up, the session's stay.
    pub async fn rollback_to(&self, server: &Arc<Server>, mark: &AtSavepoint) -> SqlResult<()> {
        if !self.is_used.load(Ordering::Relaxed) {
            return Ok(());
        }
        let held = &mut *self.held.lock().await;
        held.taken.clear();
        for (name, counts) in &mut held.locks {
            counts.transaction = mark.0.get(name).copied().unwrap_or_default();
        }
        held.sweep(server).await
    }

    /// The session ends. What cannot be given up now is tried again in the background until it can.
    pub fn close(self: Arc<AdvisoryLocks>, server: Arc<Server>) {
        if !self.is_used.load(Ordering::Relaxed) {
            return;
        }
        let env = server.config.env.clone();
        env.clone().spawn("advisory locks of a session", async move {
            let held = &mut *self.held.lock().await;
            held.locks.values_mut().for_each(|counts| *counts = Counts::default());
            while let Err(error) = held.sweep(&server).await {
                tracing::warn!(%error, "advisory locks of a session that is over could not be given up yet");
                env.sleep(Duration::from_secs(1)).await;
            }
        });
    }
}

impl Held {
    /// Sees to it that there is an owner.
    async fn begin(&mut self, server: &Server, id: &AtomicU64) -> SqlResult<()> {
        if self.owner.is_none() {
            let options = TxnOptions { isolation: Isolation::ReadCommitted, ..TxnOptions::default() };
            let owner = self.owner.insert(server.config.txn.begin(options).await?);
            id.store(owner.id().0, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn acquire(&mut self, server: &Arc<Server>, wanted: Wanted, timeout: Option<Duration>) -> SqlResult<bool> {
        let Some(owner) = &self.owner else { return Err(SqlError::new("XX000", "an advisory lock has no owner")) };
        let env = &server.config.env;
        let deadline = timeout.map(|timeout| env.now() + timeout);
        owner.begin_statement().await?;
        let mode = if wanted.is_shared { LockMode::Share } else { LockMode::Update };
        let wait = if wanted.wait { LockWait::Block { timeout } } else { LockWait::NoWait };
        let lock = LockSpec { mode, wait, absent_too: true };
        match owner.get_many(&[wanted.name.queue_key()], Some(lock), Visible::Everything, true).await {
            Ok(_) => {}
            Err(TxnError::LockNotAvailable { timed_out: false, .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let me = record::Holder { node: server.config.node, began: owner.id().start(), is_shared: wanted.is_shared };
        while !record::join(server, wanted.name, me).await? {
            env::probe!("advisory_lock_outlived_its_queue");
            if !wanted.wait {
                return Ok(false);
            }
            if deadline.is_some_and(|deadline| env.now() >= deadline) {
                return Err(SqlError::new("55P03", "canceling statement due to lock timeout"));
            }
            env.sleep(LOOK_AGAIN).await;
        }
        Ok(true)
    }

    /// Gives up what nothing counts on any more. Boxed: it is rare, and part of the ends of all statements.
    fn sweep<'a>(&'a mut self, server: &'a Arc<Server>) -> BoxFuture<'a, SqlResult<()>> {
        Box::pin(async move {
            let idle = self.locks.iter().filter(|(_, counts)| counts.is_nothing()).map(|(name, _)| *name);
            for name in idle.collect::<Vec<_>>() {
                self.give_up(server, name).await?;
            }
            Ok(())
        })
    }

    async fn give_up(&mut self, server: &Arc<Server>, name: LockName) -> SqlResult<()> {
        if let Some(owner) = &self.owner {
            record::leave(server, name, owner.id().start()).await?;
            owner.release_lock(&name.queue_key()).await?;
        }
        self.locks.remove(&name);
        if self.locks.is_empty()
            && let Some(owner) = self.owner.take()
        {
            owner.rollback().await;
        }
        Ok(())
    }
}
