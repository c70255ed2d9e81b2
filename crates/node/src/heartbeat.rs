//! What a node tells the system range's leader by itself: that it lives, what it holds, who waits for whom; and
//! what it is told in answer: who else is there, whose sessions are over, what is garbage.

use std::collections::BTreeMap;
use std::sync::Arc;

use env::{Env, Mono};
use keyspace::{NodeId, Timestamp};
use parking_lot::Mutex;
use placement::{Neighbours, Placement};
use ranges::Store;
use rpc::cluster::{ClusterReply, ClusterRequest, NodeInfo, NodeStatus};
use rpc::{Transport, codec};
use storage::{Batch, Durability, Engine, Family};
use tokio::sync::watch;

/// Where the addresses of the other nodes are kept, so that a restarted node finds them.
const NEIGHBOURS: &[u8] = b"n/neighbours";

pub struct Heartbeat {
    pub env: Env,
    pub node: NodeId,
    pub info: NodeInfo,
    pub store: Store,
    pub placement: Placement,
    pub neighbours: Neighbours,
    pub transport: Arc<dyn Transport>,
    pub engine: Arc<dyn Engine>,
    pub contact: Arc<Contact>,
    /// Its sessions have transactions open.
    pub sql: Arc<sql::session::Server>,
}

/// What the leader and this node know of each other.
#[derive(Debug, Default)]
pub struct Contact {
    last: Mutex<Option<Mono>>,
    life: Mutex<Timestamp>,
    garbage_floor: Mutex<Timestamp>,
    /// Sessions of a node that began before its number are over.
    sessions_over: Mutex<BTreeMap<NodeId, Timestamp>>,
}

impl Contact {
    /// When the leader last answered.
    pub fn last(&self) -> Option<Mono> {
        *self.last.lock()
    }

    /// Nobody reads at or below it any more, as the leader says.
    pub fn garbage_floor(&self) -> Timestamp {
        *self.garbage_floor.lock()
    }

    pub fn is_session_over(&self, node: NodeId, began: Timestamp) -> bool {
        self.sessions_over.lock().get(&node).is_some_and(|before| began < *before)
    }

    /// A number that was issued before the first session of this process began.
    pub fn set_life(&self, life: Timestamp) {
        *self.life.lock() = life;
    }
}

/// The addresses that were kept.
pub fn load_neighbours(engine: &dyn Engine) -> storage::Result<Vec<NodeInfo>> {
    match engine.get(Family::Local, NEIGHBOURS)? {
        Some(record) => {
            codec::decode_record(record).map_err(|error| storage::Error::Corrupt(format!("the list of nodes: {error}")))
        }
        None => Ok(Vec::new()),
    }
}

impl Heartbeat {
    pub async fn run(self, mut stopping: watch::Receiver<bool>) {
        let mut reported = Reported::default();
        loop {
            tokio::select! {
                biased;
                _stopped = stopping.wait_for(|stopping| *stopping) => return,
                () = self.beat(&mut reported) => {}
            }
            let rest = self.env.sleep(self.env.knobs().node_heartbeat);
            tokio::select! {
                biased;
                _stopped = stopping.wait_for(|stopping| *stopping) => return,
                () = rest => {}
            }
        }
    }

    async fn beat(&self, reported: &mut Reported) {
        let (env, leader) = (&self.env, self.placement.leader());
        if let Some(hint) = self.store.leader_view(keyspace::SYSTEM_RANGE).and_then(|view| view.leader) {
            leader.hint(hint);
        }
        let life = *self.contact.life.lock();
        let status = NodeStatus {
            node: self.node,
            info: self.info.clone(),
            replicas: self.store.statuses(),
            life,
            oldest_read: self.sql.oldest_read(),
        };
        let answer = leader.ask_within(env.knobs().node_expiry, || ClusterRequest::Heartbeat(status.clone())).await;
        match answer {
            Ok(ClusterReply::Heartbeat { nodes, sessions_over, garbage_floor }) => {
                *self.contact.last.lock() = Some(env.now());
                *self.contact.garbage_floor.lock() = garbage_floor;
                for (node, before) in sessions_over {
                    if reported.sessions_over.get(&node) != Some(&before) {
                        self.store.end_sessions(node, before);
                        self.contact.sessions_over.lock().insert(node, before);
                        reported.sessions_over.insert(node, before);
                    }
                }
                self.learn(&nodes).await;
            }
            Ok(_) => tracing::warn!("a heartbeat got an answer of another kind"),
            Err(error) => tracing::info!(%error, "the system range's leader does not answer"),
        }
        let edges = self.store.wait_edges();
        if !edges.is_empty() || reported.waits {
            reported.waits = !edges.is_empty();
            let report = leader
                .ask_within(env.knobs().node_heartbeat, || ClusterRequest::WaitsFor { edges: edges.clone() })
                .await;
            if let Err(error) = report {
                tracing::debug!(%error, "waits could not be reported");
            }
        }
    }

    async fn learn(&self, nodes: &[NodeInfo]) {
        if !self.neighbours.learn(nodes) {
            return;
        }
        self.transport.learn(nodes);
        if let Err(error) = keep_neighbours(&self.env, self.engine.clone(), &self.neighbours).await {
            // The log loop meets the same disk and stops the node.
            tracing::error!(%error, "the list of nodes could not be written");
        }
    }
}

/// What was said and done last time.
#[derive(Default)]
struct Reported {
    waits: bool,
    sessions_over: BTreeMap<NodeId, Timestamp>,
}

/// Durable when it returns.
pub async fn keep_neighbours(env: &Env, engine: Arc<dyn Engine>, neighbours: &Neighbours) -> storage::Result<()> {
    let mut batch = Batch::new();
    batch.put(Family::Local, NEIGHBOURS, codec::encode_record(&neighbours.list()));
    engine.write(&batch, Durability::Logged)?;
    env.blocking(move || engine.sync()).await
}
