//! The face of the crate: all replicas of one node.
//!
//! A [`Store`] opens what is on disk, runs the log loop and answers requests. The rest of the node reaches
//! its replicas through it, and it reaches the rest of the cluster through two seams: [`rpc::Network`] for
//! messages between replicas, and [`Outside`] for what only a client of the whole cluster can do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use env::{Counter, Env, Histogram, Metrics, Mono};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use keyspace::{Key, NodeId, RangeId, ReplicaId, SYSTEM_RANGE, Timestamp, TxnId};
use parking_lot::RwLock;
use rpc::cluster::{ReplicaStatus, WaitEdge};
use rpc::range::{RangeBody, RangeDescriptor, RangeRequest, RangeResponse, ReplicaRole};
use rpc::{BoxFuture, KvError, KvResult, Network, RaftEnvelope};
use storage::Engine;
use tokio::sync::{mpsc, oneshot, watch};

use crate::committed::Committed;
use crate::consensus::Timing;
use crate::leadership::LeaderView;
use crate::locks::Deadlocks;
use crate::log_loop::{Input, LogLoop, waiting_identity};
use crate::replica::Replica;
use crate::state::{Applied, INITIAL_INDEX, INITIAL_TERM, Identity, Members};

/// What a store needs of the cluster around it. The node gives it: it has a router and a client of the oracle.
pub trait Outside: Send + Sync + 'static {
    /// A number that the oracle issues after this call began.
    fn fresh_timestamp(&self) -> BoxFuture<'_, KvResult<Timestamp>>;

    /// Asks the leader of the range that holds `key`, wherever it is. A key of another range in the same
    /// request would be refused.
    fn ask(&self, key: Key, body: RangeBody) -> BoxFuture<'_, RangeResponse>;

    /// May `txn`, which belongs to a session of `node`, still hold locks that it is going to give up? An error says that the node
    /// could not be asked.
    fn may_hold_locks(&self, node: NodeId, txn: TxnId) -> BoxFuture<'_, KvResult<bool>>;
}

/// What a store is made of.
pub struct StoreConfig {
    pub env: Env,
    pub node: NodeId,
    pub engine: Arc<dyn Engine>,
    pub network: Arc<dyn Network>,
    /// Called once when the disk failed: the process must stop.
    pub on_fatal: Box<dyn Fn(storage::Error) + Send + Sync>,
}

/// What a replica holds of its range's leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseView {
    pub range: RangeId,
    /// The term in which it was elected and, as far as it knows, leads.
    pub elected_in: Option<u64>,
    /// The term of its lease, and its end.
    pub lease: Option<(u64, Mono)>,
}

/// The replicas of one node. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
}

/// What the request path and the log loop both use.
pub struct Shared {
    pub env: Env,
    pub node: NodeId,
    pub engine: Arc<dyn Engine>,
    pub network: Arc<dyn Network>,
    pub on_fatal: Box<dyn Fn(storage::Error) + Send + Sync>,
    pub outside: OnceLock<Arc<dyn Outside>>,
    pub inbox: mpsc::UnboundedSender<Input>,
    pub deadlocks: Arc<Deadlocks>,
    pub committed: Committed,
    /// The term in which the system range is led from here; also while no replica of it is here.
    pub system_term: Arc<watch::Sender<Option<u64>>>,
    /// Messages of other replicas that the loop has not taken yet.
    pub messages_waiting: AtomicUsize,
    pub metrics: StoreMetrics,
    replicas: RwLock<Replicas>,
}

/// What the loop counts.
pub struct StoreMetrics {
    sync_seconds: Histogram,
    pub entries_synced: Counter,
    pub entries_applied: Counter,
    pub messages_dropped: Counter,
}

impl StoreMetrics {
    fn new(metrics: &Metrics) -> StoreMetrics {
        StoreMetrics {
            sync_seconds: metrics.seconds("log_sync_seconds", "Time one sync of the raft log took"),
            entries_synced: metrics.counter("log_entries_synced", "Raft log entries written and synced"),
            entries_applied: metrics.counter("log_entries_applied", "Raft log entries applied"),
            messages_dropped: metrics
                .counter("raft_messages_dropped", "Raft messages dropped because too many were waiting"),
        }
    }

    pub fn note_sync(&self, took: Duration) {
        self.sync_seconds.observe(took.as_secs_f64());
    }
}

/// Messages that may wait for the loop; raft sends again what is dropped.
const MESSAGES_WAITING_MAX: usize = 100_000;

#[derive(Default)]
struct Replicas {
    by_id: HashMap<RangeId, Arc<Replica>, FixedState>,
    /// First keys of ranges that have a state here.
    by_start: BTreeMap<Key, RangeId>,
}

impl Store {
    /// Opens the replicas on disk and starts the loop that drives them.
    ///
    /// # Errors
    /// The disk fails or cannot be read. A single replica that is damaged does not keep the others from
    /// working: see [`Store::defects`].
    pub fn open(config: StoreConfig) -> storage::Result<Store> {
        let StoreConfig { env, node, engine, network, on_fatal } = config;
        let (inbox, inputs) = mpsc::unbounded_channel();
        let metrics = StoreMetrics::new(env.metrics());
        let shared = Arc::new(Shared {
            env,
            node,
            engine,
            network,
            on_fatal,
            outside: OnceLock::new(),
            inbox,
            deadlocks: Arc::default(),
            committed: Committed::default(),
            system_term: Arc::new(watch::Sender::new(None)),
            messages_waiting: AtomicUsize::new(0),
            metrics,
            replicas: RwLock::default(),
        });
        let mut log_loop = LogLoop::new(shared.clone(), inputs);
        log_loop.load()?;
        shared.env.spawn_thread("log loop", log_loop.run());
        Ok(Store { shared })
    }

    /// Gives the store its way to the rest of the cluster. No range is served before.
    pub fn connect(&self, outside: Arc<dyn Outside>) {
        let first = self.shared.outside.set(outside).is_ok();
        assert!(first, "a store is connected once");
    }

    // ---- requests ----

    /// Answers a request of a transaction or an operator, sent by `from`.
    pub async fn handle(&self, from: NodeId, request: RangeRequest) -> RangeResponse {
        crate::evaluate::handle(self, from, request).await
    }

    /// Takes messages of other replicas. Does not block.
    pub fn raft(&self, envelopes: Vec<RaftEnvelope>) {
        let count = envelopes.len();
        if self.shared.messages_waiting.load(Ordering::Relaxed) + count > MESSAGES_WAITING_MAX {
            self.shared.metrics.messages_dropped.inc_by(count as u64);
            return;
        }
        self.shared.messages_waiting.fetch_add(count, Ordering::Relaxed);
        let _stopped = self.shared.inbox.send(Input::Messages(envelopes));
    }

    // ---- replicas ----

    /// Has this store never held a replica?
    pub fn is_empty(&self) -> bool {
        self.shared.replicas.read().by_id.is_empty()
    }

    /// Creates the first ranges of a cluster on this node, which must be among the replicas of each.
    pub async fn bootstrap(&self, ranges: Vec<RangeDescriptor>) -> KvResult<()> {
        for descriptor in ranges {
            let us = descriptor.replicas.iter().find(|replica| replica.node == self.shared.node);
            let replica = us.expect("a first range has a replica on the node that creates it").replica;
            let with_role = |role| {
                let mut ids: Vec<u64> = descriptor
                    .replicas
                    .iter()
                    .filter(|replica| replica.role == role)
                    .map(|replica| replica.replica.0)
                    .collect();
                ids.sort_unstable();
                ids
            };
            let members = Members {
                voters: with_role(ReplicaRole::Voter),
                learners: with_role(ReplicaRole::Learner),
                ..Members::default()
            };
            let identity = Identity { replica, descriptor, members, garbage_floor: Timestamp::ZERO };
            let applied = Applied { index: INITIAL_INDEX, term: INITIAL_TERM, ..Applied::default() };
            self.create(identity, applied).await?;
        }
        Ok(())
    }

    /// Creates a replica that waits for its first snapshot. Repeating it is harmless.
    pub async fn create_replica(&self, range: RangeDescriptor, replica: ReplicaId) -> KvResult<()> {
        self.create(waiting_identity(&range, replica), Applied::default()).await
    }

    async fn create(&self, identity: Identity, applied: Applied) -> KvResult<()> {
        let (reply, created) = oneshot::channel();
        self.shared.send(Input::Create { identity, applied, reply })?;
        created.await.unwrap_or_else(|_| Err(stopping()))
    }

    pub fn statuses(&self) -> Vec<ReplicaStatus> {
        let mut replicas: Vec<Arc<Replica>> = self.shared.replicas.read().by_id.values().cloned().collect();
        replicas.sort_unstable_by_key(|replica| replica.range);
        replicas.iter().map(|replica| replica.status()).collect()
    }

    /// Replicas that are out of use, and why.
    pub fn defects(&self) -> Vec<(RangeId, ReplicaId, String)> {
        let replicas = self.shared.replicas.read();
        let mut defects: Vec<_> = replicas
            .by_id
            .values()
            .filter_map(|replica| Some((replica.range, replica.id, replica.defect()?)))
            .collect();
        defects.sort_unstable();
        defects
    }

    /// The ranges that have a replica here, by their first keys, each with its leader as far as it is known.
    pub fn local_descriptors(&self) -> Vec<(RangeDescriptor, Option<NodeId>)> {
        let replicas = self.shared.replicas.read();
        let describe = |range: &RangeId| {
            let replica = replicas.by_id.get(range)?;
            Some(((*replica.descriptor()).clone(), replica.leader()))
        };
        replicas.by_start.values().filter_map(describe).collect()
    }

    /// The range here that holds `key`, and its leader as far as it is known.
    pub fn lookup(&self, key: &Key) -> Option<(Arc<RangeDescriptor>, Option<NodeId>)> {
        let replica = self.shared.replica_of(key)?;
        Some((replica.descriptor(), replica.leader()))
    }

    // ---- leadership ----

    /// Who leads a range, as its replica here sees it; `None` if there is none here.
    pub fn leader_view(&self, range: RangeId) -> Option<LeaderView> {
        Some(self.shared.replica(range)?.leadership.view())
    }

    /// The same, whenever it changes.
    pub fn watch_leadership(&self, range: RangeId) -> Option<watch::Receiver<LeaderView>> {
        Some(self.shared.replica(range)?.leadership.subscribe())
    }

    /// Is it certain, at this very moment, that this node leads `range` in `term` and nobody else in a later one? It is its
    /// only voter, or it has a lease.
    pub fn leads_for_certain(&self, range: RangeId, term: u64) -> bool {
        let Some(replica) = self.shared.replica(range) else { return false };
        let is_sole = replica.leadership.ticket().is_some_and(|ticket| ticket.term == term && ticket.sole_voter);
        is_sole || replica.leadership.is_leased_in(term, || self.shared.env.now())
    }

    /// The leases of the replicas here, valid or not any more, for those who watch. Ends are on this node's clock.
    pub fn leases(&self) -> Vec<LeaseView> {
        let replicas = self.shared.replicas.read();
        let mut leases: Vec<LeaseView> = replicas
            .by_id
            .values()
            .map(|replica| LeaseView {
                range: replica.range,
                elected_in: Some(replica.leadership.view()).filter(|view| view.elected).map(|view| view.term),
                lease: replica.leadership.lease(),
            })
            .collect();
        leases.sort_unstable_by_key(|view| view.range);
        leases
    }

    /// Is this node the leader of `range` in `term` at some moment after this call began? A quorum is asked
    /// where there are several voters and there is no lease. What the oracle needs before it gives out a batch.
    pub async fn confirm_leadership(&self, range: RangeId, term: u64) -> bool {
        if self.leads_for_certain(range, term) {
            return true;
        }
        let (reply, confirmed) = oneshot::channel();
        if self.shared.inbox.send(Input::Confirm { range, term, reply }).is_err() {
            return false;
        }
        confirmed.await.unwrap_or(false)
    }

    // ---- locks ----

    /// Edges of the waits-for graph of this node, for the detection of deadlocks across nodes.
    pub fn wait_edges(&self) -> Vec<WaitEdge> {
        self.shared.deadlocks.edges()
    }

    /// Those of `edges`, reported earlier, whose very wait still stands and still has that holder before it.
    pub fn standing_waits(&self, edges: &[WaitEdge]) -> Vec<WaitEdge> {
        let now: BTreeSet<WaitEdge> = self.wait_edges().into_iter().collect();
        edges.iter().filter(|edge| now.contains(edge)).cloned().collect()
    }

    /// A wait that no range knows of: `waiter` cannot go on before `holder` does, because one session is behind both. It lasts
    /// as long as what is returned, which says the circle if this wait is chosen as the victim of a deadlock.
    pub fn link(&self, waiter: TxnId, holder: TxnId) -> BoxFuture<'static, Vec<TxnId>> {
        let wait = self.shared.deadlocks.wait_for(keyspace::SYSTEM_RANGE, waiter, holder, None);
        Box::pin(async move {
            let error = match wait {
                Ok(mut wait) => wait.broken().await,
                Err(error) => error,
            };
            match error {
                KvError::Deadlock { cycle } => cycle,
                _ => std::future::pending().await,
            }
        })
    }

    /// Makes `txn` the victim of a deadlock if this very wait of it still stands here.
    pub fn break_wait(&self, txn: TxnId, wait: u64, cycle: Vec<TxnId>) -> bool {
        self.shared.deadlocks.break_wait(txn, wait, cycle)
    }

    /// The sessions on `node` that began before `before` are over (the node was declared dead, or it began
    /// another life): their locks are given up. Their transactions fail their validation if they still live.
    pub fn end_sessions(&self, node: NodeId, before: Timestamp) {
        let replicas: Vec<Arc<Replica>> = self.shared.replicas.read().by_id.values().cloned().collect();
        for replica in replicas {
            replica.locks.end_session(node, before);
        }
    }

    // ---- the end ----

    /// Hands the ranges that are led from here to other voters, where there are some whose logs are close
    /// behind, so that nobody has to wait for an election when this node goes. Returns when that is done, or
    /// when `limit` has passed; says how many ranges are still led from here although others vote.
    pub async fn hand_over(&self, limit: Duration) -> usize {
        let env = self.shared.env.clone();
        let deadline = env.now() + limit;
        loop {
            let left = self.ask_others_to_lead();
            if left == 0 || env.now() >= deadline {
                return left;
            }
            env.sleep(HAND_OVER_RETRY).await;
        }
    }

    fn ask_others_to_lead(&self) -> usize {
        let mut left = 0;
        for status in self.statuses().into_iter().filter(|status| status.is_leader) {
            let others = status
                .descriptor
                .replicas
                .iter()
                .filter(|other| other.replica != status.replica && other.role == ReplicaRole::Voter);
            let others: Vec<ReplicaId> = others.map(|other| other.replica).collect();
            left += usize::from(!others.is_empty());
            if let Some(to) = others.into_iter().find(|other| status.caught_up.contains(other)) {
                let _stopped = self.shared.send(Input::Transfer { range: status.descriptor.id, to });
            }
        }
        left
    }

    /// Makes all durable and ends the loop. Requests under way fail.
    pub async fn stop(&self) {
        let (reply, stopped) = oneshot::channel();
        if self.shared.inbox.send(Input::Stop(reply)).is_ok() {
            let _it_ended_by_itself = stopped.await;
        }
    }
}

const HAND_OVER_RETRY: Duration = Duration::from_millis(100);

impl Shared {
    pub fn replica(&self, range: RangeId) -> Option<Arc<Replica>> {
        self.replicas.read().by_id.get(&range).cloned()
    }

    /// The replica of the range that holds `key`.
    pub fn replica_of(&self, key: &Key) -> Option<Arc<Replica>> {
        let replicas = self.replicas.read();
        let (_, range) = replicas.by_start.range::<Key, _>(..=key).next_back()?;
        replicas.by_id.get(range).filter(|replica| replica.contains(key)).cloned()
    }

    /// Descriptors here that overlap `span`: what a sender with an outdated one should know.
    pub fn descriptors_in(&self, span: &keyspace::Span) -> Vec<RangeDescriptor> {
        let replicas = self.replicas.read();
        let all = replicas.by_start.values().filter_map(|range| replicas.by_id.get(range));
        all.map(|replica| replica.descriptor())
            .filter(|descriptor| descriptor.span.overlaps(span))
            .map(|descriptor| (*descriptor).clone())
            .collect()
    }

    pub fn send(&self, input: Input) -> KvResult<()> {
        self.inbox.send(input).map_err(|_| stopping())
    }

    pub fn timing(&self) -> Timing {
        let knobs = self.env.knobs();
        Timing {
            election_ticks: knobs.election_ticks,
            heartbeat_ticks: knobs.heartbeat_ticks,
            silence: knobs.election_timeout(),
        }
    }

    /// How long a leader may rely on what a quorum told it; `None`: not at all.
    pub fn lease(&self) -> Option<Duration> {
        self.env.knobs().lease()
    }

    pub(crate) fn add_replica(&self, identity: &Identity) -> Arc<Replica> {
        let is_system = identity.descriptor.id == SYSTEM_RANGE;
        let leading = if is_system { self.system_term.clone() } else { Arc::new(watch::Sender::new(None)) };
        let replica = Arc::new(Replica::new(&self.env, identity, self.deadlocks.clone(), leading));
        self.replicas.write().by_id.insert(replica.range, replica.clone());
        if !identity.members.voters.is_empty() {
            self.reindex(&replica);
        }
        replica
    }

    /// The span of a replica has changed.
    pub(crate) fn reindex(&self, replica: &Replica) {
        let start = replica.descriptor().span.start.clone();
        let mut replicas = self.replicas.write();
        replicas.by_start.retain(|_, range| *range != replica.range);
        replicas.by_start.insert(start, replica.range);
    }

    pub(crate) fn remove_replica(&self, range: RangeId) {
        let mut replicas = self.replicas.write();
        replicas.by_id.remove(&range);
        replicas.by_start.retain(|_, known| *known != range);
    }
}

pub fn stopping() -> KvError {
    KvError::Stopping { why: "the node is shutting down".to_owned() }
}
