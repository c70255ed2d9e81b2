//! How numbers get from the oracle to those who ask.
//!
//! [`LocalOracle`] is the shell around the oracle of this node: it persists bounds and proves leadership.
//! [`TimestampClient`] is what a node's transactions ask: where the oracle is on this node and needs no
//! other voter's word (there is none, or it has a lease), a number is a few instructions; else one request is in flight at a time, and everyone
//! who came meanwhile shares the next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use env::{Env, hesitate, moment, probe};
use keyspace::{SYSTEM_RANGE, Timestamp, TxnId};
use parking_lot::Mutex;
use rpc::cluster::{ClusterReply, ClusterRequest, TimestampReply};
use rpc::{KvError, KvResult};
use tokio::sync::oneshot;

use crate::oracle::{Oracle, Taken};
use crate::{LeaderClient, SystemRange};

const BOUND: &str = "oracle/bound";

/// The oracle of this node, which serves while this node leads the system range.
pub struct LocalOracle {
    env: Env,
    range: Arc<dyn SystemRange>,
    oracle: Mutex<Oracle>,
    extending: AtomicBool,
    /// Persisted bounds are applied one after the other.
    persisting: tokio::sync::Mutex<()>,
}

impl LocalOracle {
    pub fn new(env: Env, range: Arc<dyn SystemRange>) -> LocalOracle {
        let oracle = Mutex::new(Oracle::new(env.knobs().oracle_window));
        LocalOracle { env, range, oracle, extending: AtomicBool::new(false), persisting: tokio::sync::Mutex::new(()) }
    }

    /// Leadership of `term` has begun. Returns when numbers are served.
    pub async fn lead(&self, term: u64) -> KvResult<()> {
        self.follow();
        let persisted = if env::sabotage("forget_the_bound") { 0 } else { self.range.number(BOUND)? };
        if persisted > 0 {
            probe!("the_oracle_moved");
        }
        let bound = self.oracle.lock().lead(term, persisted, self.env.wall_ms(), self.env.now());
        self.persist(term, bound).await
    }

    pub fn follow(&self) {
        self.oracle.lock().follow();
    }

    /// Numbers without a wait: `None` where the log or other voters have to be asked.
    pub fn try_take(self: &Arc<Self>, count: u32) -> Option<KvResult<TimestampReply>> {
        // Taken first, proven after: whoever else could have led before now would show.
        match self.take(count) {
            Ok(Taken::Numbers { term, reply, .. }) if self.range.leads_for_certain(term) => Some(Ok(reply)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }
    }

    pub async fn timestamps(self: &Arc<Self>, count: u32) -> KvResult<TimestampReply> {
        loop {
            match self.take(count)? {
                Taken::Numbers { term, reply, .. } => {
                    moment!(&self.env, "numbers_taken");
                    hesitate!(&self.env, "hesitated_before_the_proof_of_numbers", 0.01);
                    if !env::sabotage("numbers_without_quorum")
                        && let Err(error) = self.range.confirm(term).await
                    {
                        probe!("a_number_of_an_old_leader_was_withheld");
                        return Err(error);
                    }
                    return Ok(reply);
                }
                Taken::Exhausted { term, bound } => {
                    probe!("oracle_window_exhausted");
                    self.persist(term, bound).await?;
                }
                Taken::NotServing => return Err(self.not_leader()),
            }
        }
    }

    /// All numbers given out so far are below it; zero while this node does not serve.
    pub fn next(&self) -> Timestamp {
        self.oracle.lock().next().unwrap_or_default()
    }

    pub fn announce(&self, txn: TxnId) -> KvResult<()> {
        if env::sabotage("announce_nothing") {
            return Ok(());
        }
        if self.oracle.lock().announce(txn, self.env.now()) { Ok(()) } else { Err(self.not_leader()) }
    }

    fn take(self: &Arc<Self>, count: u32) -> KvResult<Taken> {
        let (wall_ms, now) = (self.env.wall_ms(), self.env.now());
        let taken = self.oracle.lock().take(count, wall_ms, now, |raise_to| self.range.catalog_key(raise_to))?;
        if let Taken::Numbers { term, extend: Some(bound), .. } = taken
            && !self.extending.swap(true, Ordering::AcqRel)
        {
            let this = self.clone();
            self.env.spawn("oracle window", async move {
                if let Err(error) = this.persist(term, bound).await {
                    tracing::debug!(%error, "the oracle's bound was not raised");
                }
                this.extending.store(false, Ordering::Release);
            });
        }
        Ok(taken)
    }

    async fn persist(&self, term: u64, bound: u64) -> KvResult<()> {
        let _one_at_a_time = self.persisting.lock().await;
        self.range.raise(term, BOUND, bound).await?;
        self.oracle.lock().bound_persisted(term, bound);
        Ok(())
    }

    fn not_leader(&self) -> KvError {
        KvError::NotLeader { range: SYSTEM_RANGE, leader: self.range.leader_hint() }
    }
}

/// Numbers for the transactions of one node. Cheap to clone.
#[derive(Clone)]
pub struct TimestampClient(Arc<Shared>);

struct Shared {
    env: Env,
    local: Arc<LocalOracle>,
    leader: LeaderClient,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<oneshot::Sender<KvResult<TimestampReply>>>,
    in_flight: bool,
}

/// Numbers in one request at most: far more waiters than a node has.
const BATCH_MAX: usize = 10_000;

impl TimestampClient {
    pub fn new(env: Env, local: Arc<LocalOracle>, leader: LeaderClient) -> TimestampClient {
        TimestampClient(Arc::new(Shared { env, local, leader, queue: Mutex::default() }))
    }

    /// One number, issued after this call began.
    pub async fn fresh(&self) -> KvResult<TimestampReply> {
        if let Some(Ok(reply)) = self.0.local.try_take(1) {
            return Ok(reply);
        }
        let (send, receive) = oneshot::channel();
        let starts = {
            let mut queue = self.0.queue.lock();
            queue.waiting.push_back(send);
            !std::mem::replace(&mut queue.in_flight, true)
        };
        if starts {
            let shared = self.0.clone();
            self.0.env.spawn("timestamps", async move { shared.fetch_while_asked().await });
        }
        receive.await.unwrap_or(Err(KvError::OracleUnavailable))
    }

    /// A schema change is about to ask for its number (rule 31).
    pub async fn announce_catalog_change(&self, txn: TxnId) -> KvResult<()> {
        match self.0.local.announce(txn) {
            Ok(()) => Ok(()),
            Err(_) => self.0.leader.ask(|| ClusterRequest::AnnounceCatalogChange { txn }).await.map(drop),
        }
    }
}

impl Shared {
    /// One request at a time, for all who wait when it leaves.
    async fn fetch_while_asked(&self) {
        loop {
            let asked: Vec<_> = {
                let mut queue = self.queue.lock();
                let count = queue.waiting.len().min(BATCH_MAX);
                if count == 0 {
                    queue.in_flight = false;
                    return;
                }
                queue.waiting.drain(..count).collect()
            };
            let count = u32::try_from(asked.len()).expect("a batch is small");
            let batch = self.fetch(count).await;
            for (place, asker) in asked.into_iter().enumerate() {
                let _gave_up = asker.send(share(&batch, place));
            }
        }
    }

    async fn fetch(&self, count: u32) -> KvResult<TimestampReply> {
        match self.leader.ask(|| ClusterRequest::Timestamps { count }).await? {
            ClusterReply::Timestamps(reply) if reply.count == count => Ok(reply),
            _ => Err(KvError::OracleUnavailable),
        }
    }
}

/// The number of the waiter in this place.
fn share(batch: &KvResult<TimestampReply>, place: usize) -> KvResult<TimestampReply> {
    let batch = batch.as_ref().map_err(KvError::clone)?;
    Ok(TimestampReply { first: Timestamp(batch.first.0 + place as u64), count: 1, ..*batch })
}

impl std::fmt::Debug for TimestampClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TimestampClient")
    }
}
