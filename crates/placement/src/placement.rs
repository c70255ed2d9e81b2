//! The shell around the parts: follows leadership of the system range, answers requests, carries decisions
//! out.
//!
//! Everything a leader knows belongs to one term ([`Leading`]). Losing leadership throws it away; gaining it
//! loads what is persisted and waits for heartbeats to tell the rest.

mod carry_out;
mod leading;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use env::{BoxFuture, Env};
use keyspace::{NodeId, RangeId, SYSTEM_RANGE};
use parking_lot::Mutex;
use rpc::cluster::{ClusterReply, ClusterRequest, ClusterResponse, PlacementLine, Survey, Wish};
use rpc::{KvError, KvResult, Network};
use tokio::sync::{Notify, watch};

use crate::timestamps::LocalOracle;
use crate::{LeaderClient, Neighbours, SystemRange, TimestampClient};
use leading::Leading;

/// Decisions that are remembered.
const LOG_LENGTH: usize = 1000;

/// Numbers in one answer at most.
const TIMESTAMPS_MAX: u32 = 1 << 20;

/// One per node. Cheap to clone.
#[derive(Clone)]
pub struct Placement(Arc<Shared>);

struct Shared {
    env: Env,
    cluster: u64,
    node: NodeId,
    range: Arc<dyn SystemRange>,
    network: Arc<dyn Network>,
    neighbours: Neighbours,
    oracle: Arc<LocalOracle>,
    leader: LeaderClient,
    timestamps: TimestampClient,
    leading: Mutex<Option<Arc<Leading>>>,
    log: Mutex<VecDeque<PlacementLine>>,
    /// Something happened that may call for a decision.
    news: Notify,
    stopping: watch::Sender<bool>,
}

impl Placement {
    /// `cluster` is the number of the cluster that this node belongs to, and `node` its own.
    pub fn new(
        env: Env,
        cluster: u64,
        node: NodeId,
        range: Arc<dyn SystemRange>,
        network: Arc<dyn Network>,
        neighbours: Neighbours,
    ) -> Placement {
        let oracle = Arc::new(LocalOracle::new(env.clone(), range.clone()));
        let leader = LeaderClient::new(env.clone(), network.clone(), neighbours.clone());
        let timestamps = TimestampClient::new(env.clone(), oracle.clone(), leader.clone());
        let (leading, log, news, stopping) =
            (Mutex::default(), Mutex::default(), Notify::new(), watch::Sender::new(false));
        Placement(Arc::new(Shared {
            env,
            cluster,
            node,
            range,
            network,
            neighbours,
            oracle,
            leader,
            timestamps,
            leading,
            log,
            news,
            stopping,
        }))
    }

    /// Begins to follow the leadership of the system range.
    pub fn start(&self) {
        let shared = self.0.clone();
        self.0.env.spawn("placement", async move { shared.follow_leadership().await });
    }

    /// Ends what [`Placement::start`] began, and the service of a leader with it.
    pub fn stop(&self) {
        self.0.stopping.send_replace(true);
    }

    pub fn timestamps(&self) -> &TimestampClient {
        &self.0.timestamps
    }

    pub fn leader(&self) -> &LeaderClient {
        &self.0.leader
    }

    /// The last decisions of this node, oldest first.
    pub fn log(&self) -> Vec<PlacementLine> {
        self.0.log.lock().iter().cloned().collect()
    }

    /// Remembers what this node decided about a range that it leads.
    pub fn note(&self, range: RangeId, action: String, why: String) {
        self.0.remember(range, action, why, None);
    }

    /// Nodes and ranges as the leader sees them; `None` when this node does not lead.
    pub fn survey(&self) -> Option<Survey> {
        self.0.leading().map(|leading| leading.survey(self.0.env.now()))
    }

    /// Answers what concerns the system range's leader.
    pub fn call(&self, from: NodeId, request: ClusterRequest) -> BoxFuture<'_, ClusterResponse> {
        Box::pin(async move { self.0.answer(from, request).await })
    }
}

impl Shared {
    async fn answer(&self, from: NodeId, request: ClusterRequest) -> ClusterResponse {
        match request {
            ClusterRequest::Timestamps { count } if count <= TIMESTAMPS_MAX => {
                self.oracle.timestamps(count).await.map(ClusterReply::Timestamps)
            }
            ClusterRequest::Timestamps { .. } => {
                Err(KvError::NotSupported { what: "so many timestamps at once".into() })
            }
            ClusterRequest::AnnounceCatalogChange { txn } => self.oracle.announce(txn).map(|()| ClusterReply::Done),
            ClusterRequest::AllocateIds { kind, count } => {
                let first = self.must_lead()?.allocate(self, kind, count).await?;
                Ok(ClusterReply::Ids { first })
            }
            ClusterRequest::Join(request) => match self.leading() {
                Some(leading) => leading.join(self, request).await,
                // A seed passes it on; among nodes it is asked of the leader.
                None if from == NodeId(0) => self.leader.ask(|| ClusterRequest::Join(request.clone())).await,
                None => Err(self.not_leader()),
            },
            ClusterRequest::Heartbeat(status) => self.must_lead()?.heartbeat(self, status).await,
            ClusterRequest::Locate { key } => {
                let (descriptor, leader) = self.must_lead()?.locate(&key)?;
                Ok(ClusterReply::Located { descriptor, leader })
            }
            ClusterRequest::Survey => match self.leading() {
                Some(leading) => Ok(ClusterReply::Survey(leading.survey(self.env.now()))),
                // A stranger learns whom else it could ask.
                None if from == NodeId(0) => {
                    Ok(ClusterReply::Survey(Survey { nodes: self.neighbours.list(), ranges: Vec::new() }))
                }
                None => Err(self.not_leader()),
            },
            ClusterRequest::WaitsFor { edges } => {
                self.must_lead()?.report_waits(from, edges, self.env.now());
                Ok(ClusterReply::Done)
            }
            ClusterRequest::SetDuty { node, duty } => self.must_lead()?.set_duty(self, node, duty).await,
            ClusterRequest::Duties => Ok(ClusterReply::Duties { duties: self.must_lead()?.duties(self) }),
            ClusterRequest::Move { range, wish } => self.take_wish(range, wish).await,
            ClusterRequest::PlacementLog => {
                Ok(ClusterReply::PlacementLog { lines: self.log.lock().iter().cloned().collect() })
            }
            ClusterRequest::StandingWaits { .. }
            | ClusterRequest::RefuseSessions
            | ClusterRequest::Waits
            | ClusterRequest::Sessions { .. }
            | ClusterRequest::MayHoldLocks { .. }
            | ClusterRequest::BreakWait { .. }
            | ClusterRequest::CreateReplica { .. }
            | ClusterRequest::Hello { .. } => {
                Err(KvError::NotSupported { what: "a question to the node itself".into() })
            }
        }
    }

    async fn take_wish(&self, range: RangeId, wish: Wish) -> ClusterResponse {
        let leading = self.must_lead()?;
        if let Some(decision) = leading.wish(self.env.now(), range, wish)? {
            // Where the range's own leader is to be looked for again, the asker must not take it for a word about the system range.
            self.carry_out(&leading, decision).await.map_err(|error| match error.is_routing() {
                true => KvError::Unavailable { range, why: error.to_string() },
                false => error,
            })?;
        }
        self.news.notify_one();
        Ok(ClusterReply::Done)
    }

    fn leading(&self) -> Option<Arc<Leading>> {
        self.leading.lock().clone()
    }

    fn must_lead(&self) -> KvResult<Arc<Leading>> {
        self.leading().ok_or_else(|| self.not_leader())
    }

    fn not_leader(&self) -> KvError {
        KvError::NotLeader { range: SYSTEM_RANGE, leader: self.range.leader_hint() }
    }

    async fn follow_leadership(self: Arc<Self>) {
        let (mut terms, mut stopping) = (self.range.term(), self.stopping.subscribe());
        loop {
            let term = *terms.borrow_and_update();
            if self.leading().map(|leading| leading.term()) != term {
                self.end();
                if let Some(term) = term {
                    match self.begin(term).await {
                        Ok(()) => tracing::info!(term, "leads the system range"),
                        Err(error) => {
                            tracing::warn!(term, %error, "could not begin to lead the system range");
                            self.env.sleep(Duration::from_millis(50)).await;
                            // The term may stand, and what failed may succeed.
                            if *terms.borrow() == Some(term) {
                                continue;
                            }
                        }
                    }
                }
            }
            let has_ended = tokio::select! {
                biased;
                _stopped = stopping.wait_for(|stopping| *stopping) => true,
                changed = terms.changed() => changed.is_err(),
            };
            if has_ended {
                self.end();
                return;
            }
        }
    }

    fn end(&self) {
        self.oracle.follow();
        if let Some(leading) = self.leading.lock().take() {
            tracing::info!(term = leading.term(), "leads the system range no longer");
            self.news.notify_one();
        }
    }

    async fn begin(self: &Arc<Self>, term: u64) -> KvResult<()> {
        let leading = Arc::new(Leading::load(term, &*self.range, &self.env)?);
        self.oracle.lead(term).await?;
        *self.leading.lock() = Some(leading.clone());
        let shared = self.clone();
        self.env.spawn("placement leader", async move { shared.lead(leading).await });
        Ok(())
    }

    /// Decides and carries out, again and again, until the term is over.
    async fn lead(&self, leading: Arc<Leading>) {
        let mut deadlocks_searched = self.env.now();
        while self.leading().is_some_and(|now| Arc::ptr_eq(&now, &leading)) {
            let now = self.env.now();
            if now.since(deadlocks_searched) >= leading::DEADLOCK_SEARCH {
                deadlocks_searched = now;
                self.break_deadlocks(&leading).await;
            }
            self.bury_the_dead(&leading).await;
            self.close_doors(&leading).await;
            let decisions = leading.plan(self);
            futures::future::join_all(decisions.into_iter().map(|decision| self.carry_out(&leading, decision))).await;
            let _news = self.env.timeout(self.env.knobs().node_heartbeat, self.news.notified()).await;
        }
    }

    /// Nodes that are silent for too long lose their sessions. What they began before a number taken now is over.
    async fn bury_the_dead(&self, leading: &Leading) {
        let dead = leading.newly_dead(self.env.now());
        if dead.is_empty() {
            return;
        }
        if let Ok(reply) = self.oracle.timestamps(1).await {
            tracing::info!(?dead, "nodes are silent for too long: their sessions are over");
            leading.bury(&dead, reply.first, self.env.now());
        }
    }

    /// False if the same has just been done, or failed, for this range.
    fn remember(&self, range: RangeId, action: String, why: String, failure: Option<String>) -> bool {
        let mut log = self.log.lock();
        let last = log.iter().rev().find(|last| last.range == range);
        if last.is_some_and(|last| last.action == action && last.why == why && last.failure == failure) {
            return false;
        }
        if log.len() == LOG_LENGTH {
            log.pop_front();
        }
        log.push_back(PlacementLine { wall_ms: self.env.wall_ms(), node: self.node, range, action, why, failure });
        true
    }
}

impl std::fmt::Debug for Placement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Placement({:?})", self.0.leader)
    }
}
