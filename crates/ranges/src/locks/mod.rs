//! Locks as the request path sees them: take one, perhaps after a wait; give them up.
//!
//! A [`LockTable`] per range under a short mutex, one [`WaitsFor`] graph for all ranges of the node. The
//! graph is touched only when somebody has to wait, so two sessions that do not meet share no lock of ours.
//!
//! Whoever asks under the id of a transaction that has ended, or of a session that is over, is refused: a lock
//! request that was delayed on its way, or waited elsewhere, must not leave a lock behind that nobody will ever
//! give up.

mod table;
mod waits_for;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use env::{Env, Mono, probe};
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use keyspace::{Key, NodeId, RangeId, Timestamp, TxnId};
use parking_lot::Mutex;
use rpc::KvError;
use rpc::cluster::WaitEdge;
use rpc::range::{LockMode, LockWait};
use tokio::sync::oneshot;

pub use table::{Acquired, Changes, LockTable, WaitId};
pub use waits_for::{WaitsFor, Wanted};

/// Ended transactions a range remembers at least, to refuse their late lock requests.
const ENDED_MIN: usize = 16_384;

/// Holders that a range remembers to have looked at.
const LOOKED_AT_MAX: usize = 4096;

/// How a wait ended.
#[derive(Debug)]
enum Outcome {
    Granted,
    Deadlock(Vec<TxnId>),
    /// The transaction ended while it waited.
    Ended,
    /// The range is no longer led from here, or the key moved to another range.
    Gone,
}

/// The waits of a node, over all its ranges.
#[derive(Debug, Default)]
pub struct Deadlocks {
    next_id: AtomicU64,
    graph: Mutex<WaitsFor>,
    /// Whom to tell when a wait is broken from outside.
    breakers: Mutex<HashMap<WaitId, oneshot::Sender<Outcome>, FixedState>>,
    /// What the ranges of this node were told of sessions: a range that comes later starts with it.
    sessions_over: Mutex<SessionsOver>,
}

/// Sessions that are over: those on a node that began before a number.
type SessionsOver = BTreeMap<NodeId, Timestamp>;

impl Deadlocks {
    pub fn edges(&self) -> Vec<WaitEdge> {
        self.graph.lock().edges()
    }

    /// Ends a wait as the victim of `cycle`, if it still stands. Its queue place goes as its waiter wakes.
    pub fn break_wait(&self, txn: TxnId, wait: u64, cycle: Vec<TxnId>) -> bool {
        let id = WaitId(wait);
        if self.graph.lock().stands(txn, id).is_none() {
            return false;
        }
        self.end(id, Outcome::Deadlock(cycle))
    }

    /// Registers a wait that is not for a lock of a table (an intent, say); it ends when dropped.
    pub fn wait_for(
        self: &Arc<Self>,
        range: RangeId,
        waiter: TxnId,
        holder: TxnId,
        wanted: Wanted,
    ) -> Result<Wait, KvError> {
        let (id, broken) = self.begin();
        let wait = Wait { deadlocks: self.clone(), id, broken };
        match self.graph.lock().set(id, waiter, range, wanted, vec![holder]) {
            Some(cycle) => Err(KvError::Deadlock { cycle }),
            None => Ok(wait),
        }
    }

    fn begin(&self) -> (WaitId, oneshot::Receiver<Outcome>) {
        let id = WaitId(self.next_id.fetch_add(1, Ordering::Relaxed) + 1);
        let (tell, told) = oneshot::channel();
        self.breakers.lock().insert(id, tell);
        (id, told)
    }

    fn end(&self, id: WaitId, outcome: Outcome) -> bool {
        self.graph.lock().remove(id);
        let waiter = self.breakers.lock().remove(&id);
        waiter.is_some_and(|tell| tell.send(outcome).is_ok())
    }
}

/// A wait registered in the graph; dropping it takes it out.
#[derive(Debug)]
pub struct Wait {
    deadlocks: Arc<Deadlocks>,
    id: WaitId,
    broken: oneshot::Receiver<Outcome>,
}

impl Wait {
    /// Returns when the wait was chosen as the victim of a deadlock; never otherwise.
    pub async fn broken(&mut self) -> KvError {
        match (&mut self.broken).await {
            Ok(Outcome::Deadlock(cycle)) => KvError::Deadlock { cycle },
            Ok(Outcome::Granted | Outcome::Ended | Outcome::Gone) | Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.deadlocks.end(self.id, Outcome::Gone);
    }
}

/// What became of a request that does not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    New,
    /// The transaction had the key before, in this mode or a weaker one.
    Held,
    Busy {
        holder: TxnId,
    },
}

impl Taken {
    pub fn is_ok(self) -> bool {
        !matches!(self, Taken::Busy { .. })
    }
}

/// Locks that a request took by itself, beside those of the transaction's statements. Given up when dropped
/// unless the request succeeded: its client does not know of them.
pub struct OwnLocks<'l> {
    locks: &'l Locks,
    txn: TxnId,
    keys: Vec<Key>,
}

impl OwnLocks<'_> {
    pub fn add(&mut self, key: &Key) {
        self.keys.push(key.clone());
    }

    /// From now on they belong to the transaction.
    pub fn keep(mut self) {
        self.keys.clear();
    }
}

impl Drop for OwnLocks<'_> {
    fn drop(&mut self) {
        if !self.keys.is_empty() {
            self.locks.release(self.txn, &self.keys);
        }
    }
}

/// The locks of one range.
#[derive(Debug)]
pub struct Locks {
    env: Env,
    range: RangeId,
    deadlocks: Arc<Deadlocks>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    table: LockTable,
    ended: Ended,
    sessions_over: SessionsOver,
    /// When holders that are in somebody's way were first seen there, or looked at last.
    looked_at: HashMap<TxnId, Mono, FixedState>,
}

impl State {
    /// Nobody will give up what this transaction takes.
    fn is_over(&self, txn: TxnId, node: NodeId) -> bool {
        self.ended.contains(txn) || self.sessions_over.get(&node).is_some_and(|before| txn.start() < *before)
    }
}

/// Transactions that ended lately, in two generations so that forgetting costs nothing.
#[derive(Clone, Debug, Default)]
struct Ended {
    young: HashSet<TxnId, FixedState>,
    old: HashSet<TxnId, FixedState>,
}

impl Ended {
    fn insert(&mut self, txn: TxnId) {
        if self.young.len() >= ENDED_MIN {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(txn);
    }

    fn contains(&self, txn: TxnId) -> bool {
        self.young.contains(&txn) || self.old.contains(&txn)
    }
}

impl Locks {
    pub fn new(env: Env, range: RangeId, deadlocks: Arc<Deadlocks>) -> Locks {
        let sessions_over = deadlocks.sessions_over.lock().clone();
        Locks { env, range, deadlocks, state: Mutex::new(State { sessions_over, ..State::default() }) }
    }

    /// Locks `key` for `txn`. Says whether it had to wait.
    ///
    /// # Errors
    /// `LockNotAvailable` (NOWAIT, SKIP LOCKED, or the time is up), `Deadlock`, `TxnAborted` for a
    /// transaction that ended here, `NotLeader` when the range went away meanwhile.
    pub async fn acquire(
        &self,
        txn: TxnId,
        node: NodeId,
        key: &Key,
        mode: LockMode,
        wait: LockWait,
    ) -> Result<bool, KvError> {
        let holder = match self.acquire_now(txn, node, key, mode)? {
            Taken::New | Taken::Held => return Ok(false),
            Taken::Busy { holder } => holder,
        };
        let timeout = match wait {
            LockWait::NoWait | LockWait::SkipLocked => {
                return Err(KvError::LockNotAvailable { key: key.clone(), holder, timed_out: false });
            }
            LockWait::Block { timeout } => timeout,
        };
        let Some(mut queued) = self.enqueue(txn, node, key, mode)? else { return Ok(false) };
        let outcome = match timeout {
            None => (&mut queued.told).await,
            Some(limit) => match self.env.timeout(limit, &mut queued.told).await {
                Some(outcome) => outcome,
                None => return queued.timed_out(key, holder),
            },
        };
        queued.finished(outcome.unwrap_or(Outcome::Gone))
    }

    /// Locks `key` if nobody is in the way.
    pub fn acquire_now(&self, txn: TxnId, node: NodeId, key: &Key, mode: LockMode) -> Result<Taken, KvError> {
        let mut state = self.state.lock();
        if state.is_over(txn, node) {
            return Err(KvError::TxnAborted);
        }
        let was_held = state.table.held(txn, key).is_some();
        let acquired = state.table.acquire(txn, node, key, mode, None);
        if acquired == Acquired::GrantedBeforeOthers {
            let changes = state.table.overtaken(key);
            self.publish(&mut state, changes);
        }
        match acquired {
            Acquired::Granted | Acquired::GrantedBeforeOthers if was_held => Ok(Taken::Held),
            Acquired::Granted | Acquired::GrantedBeforeOthers => Ok(Taken::New),
            Acquired::Busy { holder } => Ok(Taken::Busy { holder }),
            Acquired::Waiting { .. } => unreachable!("a request that does not wait is granted or refused"),
        }
    }

    /// Keeps book of what a request of `txn` takes by itself.
    pub fn own(&self, txn: TxnId) -> OwnLocks<'_> {
        OwnLocks { locks: self, txn, keys: Vec::new() }
    }

    /// Does `txn` hold `key` in `mode` or one that includes it?
    pub fn holds(&self, txn: TxnId, key: &[u8], mode: LockMode) -> bool {
        self.state.lock().table.held(txn, key).is_some_and(|held| held.includes(mode))
    }

    /// Who holds `key` in a mode that `txn` has to wait for, with the nodes of their sessions.
    pub fn holders_in_the_way(&self, txn: TxnId, key: &[u8], mode: LockMode) -> Vec<(TxnId, NodeId)> {
        self.state.lock().table.holders_in_the_way(txn, key, mode)
    }

    /// Is it time to find out whether this holder, which is in somebody's way, is still there? An `interval` after it was
    /// first seen, and then once per interval.
    pub fn is_to_be_looked_at(&self, holder: TxnId, now: Mono, interval: Duration) -> bool {
        let mut state = self.state.lock();
        if state.looked_at.len() >= LOOKED_AT_MAX {
            state.looked_at.clear();
        }
        let last = state.looked_at.entry(holder).or_insert(now);
        let is_due = now.since(*last) >= interval;
        if is_due {
            *last = now;
        }
        is_due
    }

    /// Gives up these keys (a savepoint was rolled back).
    pub fn release(&self, txn: TxnId, keys: &[Key]) {
        let mut state = self.state.lock();
        let changes = state.table.release(txn, Some(keys));
        self.publish(&mut state, changes);
    }

    /// Keeps these keys in these modes only (a savepoint was rolled back behind which they were strengthened).
    pub fn weaken(&self, txn: TxnId, keys: &[(Key, LockMode)]) {
        if keys.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        let changes = state.table.weaken(txn, keys);
        self.publish(&mut state, changes);
    }

    /// The transaction is over: everything goes, and what it still asks for is refused.
    pub fn end(&self, txn: TxnId) {
        let mut state = self.state.lock();
        state.ended.insert(txn);
        let changes = state.table.release(txn, None);
        self.publish(&mut state, changes);
    }

    /// Ends the transactions of earlier lives of a node, here and for whatever they ask later.
    pub fn end_session(&self, node: NodeId, before: Timestamp) {
        raise(&mut self.deadlocks.sessions_over.lock(), node, before);
        let mut state = self.state.lock();
        raise(&mut state.sessions_over, node, before);
        for txn in state.table.owned_by_session(node, before) {
            probe!("locks_of_a_dead_session_released");
            state.ended.insert(txn);
            let changes = state.table.release(txn, None);
            self.publish(&mut state, changes);
        }
    }

    /// Leadership is lost, and the locks with it.
    pub fn clear(&self) {
        let waits = self.state.lock().table.clear();
        for id in waits {
            self.deadlocks.end(id, Outcome::Gone);
        }
    }

    /// Moves the locks at and above `at` to `right`; who waits there asks again at the new range.
    pub fn split_into(&self, at: &Key, right: &Locks) {
        let (waits, table, ended) = {
            let mut state = self.state.lock();
            let (table, waits) = state.table.split_off(at);
            (waits, table, state.ended.clone())
        };
        let mut moved = right.state.lock();
        (moved.table, moved.ended) = (table, ended);
        drop(moved);
        for id in waits {
            self.deadlocks.end(id, Outcome::Gone);
        }
    }

    /// Keys with a lock or a wait.
    pub fn len(&self) -> usize {
        self.state.lock().table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Joins the queue, unless the lock came free meanwhile.
    fn enqueue(&self, txn: TxnId, node: NodeId, key: &Key, mode: LockMode) -> Result<Option<Queued<'_>>, KvError> {
        let (id, told) = self.deadlocks.begin();
        let queued = Queued { locks: self, id, told };
        let mut state = self.state.lock();
        if state.is_over(txn, node) {
            drop(state);
            return Err(KvError::TxnAborted);
        }
        match state.table.acquire(txn, node, key, mode, Some(id)) {
            Acquired::Granted => {
                drop(state);
                Ok(None)
            }
            Acquired::GrantedBeforeOthers => {
                let changes = state.table.overtaken(key);
                self.publish(&mut state, changes);
                drop(state);
                Ok(None)
            }
            Acquired::Busy { .. } => unreachable!("a request that waits is granted or queued"),
            Acquired::Waiting { blockers } => {
                let cycle = self.deadlocks.graph.lock().set(id, txn, self.range, Some((key.clone(), mode)), blockers);
                drop(state);
                match cycle {
                    Some(cycle) => {
                        probe!("deadlock_within_a_node");
                        Err(KvError::Deadlock { cycle })
                    }
                    None => Ok(Some(queued)),
                }
            }
        }
    }

    /// Wakes those whose turn has come; keeps the graph exact for the others.
    fn publish(&self, state: &mut State, changes: Changes) {
        let mut todo = vec![changes];
        while let Some(changes) = todo.pop() {
            for id in changes.granted {
                self.deadlocks.end(id, Outcome::Granted);
            }
            for id in changes.withdrawn {
                self.deadlocks.end(id, Outcome::Ended);
            }
            for (id, blockers) in changes.blocked {
                let cycle = self.deadlocks.graph.lock().update(id, blockers);
                if let Some(cycle) = cycle {
                    self.deadlocks.end(id, Outcome::Deadlock(cycle));
                    todo.push(state.table.cancel(id));
                }
            }
        }
    }
}

fn raise(over: &mut SessionsOver, node: NodeId, before: Timestamp) {
    let known = over.entry(node).or_default();
    *known = before.max(*known);
}

/// A place in a queue; given up when dropped (the statement was cancelled, or its time is up).
struct Queued<'a> {
    locks: &'a Locks,
    id: WaitId,
    told: oneshot::Receiver<Outcome>,
}

impl Queued<'_> {
    fn finished(self, outcome: Outcome) -> Result<bool, KvError> {
        match outcome {
            Outcome::Granted => Ok(true),
            Outcome::Deadlock(cycle) => Err(KvError::Deadlock { cycle }),
            Outcome::Ended => Err(KvError::TxnAborted),
            Outcome::Gone => Err(KvError::NotLeader { range: self.locks.range, leader: None }),
        }
    }

    /// The grant may have crossed the time limit on its way.
    fn timed_out(mut self, key: &Key, holder: TxnId) -> Result<bool, KvError> {
        match self.told.try_recv() {
            Ok(outcome) => self.finished(outcome),
            Err(_) => Err(KvError::LockNotAvailable { key: key.clone(), holder, timed_out: true }),
        }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.locks.deadlocks.end(self.id, Outcome::Gone);
        let mut state = self.locks.state.lock();
        let changes = state.table.cancel(self.id);
        self.locks.publish(&mut state, changes);
    }
}

#[cfg(test)]
mod tests;
