//! What a node tells the system range's leader by itself: that it lives, what it holds, who waits for whom.

use std::sync::Arc;

use env::{Env, Mono};
use keyspace::NodeId;
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
}

/// When the leader last answered.
#[derive(Debug, Default)]
pub struct Contact(Mutex<Option<Mono>>);

impl Contact {
    pub fn last(&self) -> Option<Mono> {
        *self.0.lock()
    }
}

/// The addresses that were kept.
pub fn load_neighbours(engine: &dyn Engine) -> storage::Result<Vec<NodeInfo>> {
    match engine.get(Family::Local, NEIGHBOURS)? {
        Some(record) => codec::decode_record(record).map_err(|error| storage::Error::Corrupt(format!("the list of nodes: {error}"))),
        None => Ok(Vec::new()),
    }
}

impl Heartbeat {
    pub async fn run(self, mut stopping: watch::Receiver<bool>) {
        let mut reported_waits = false;
        loop {
            tokio::select! {
                biased;
                _stopped = stopping.wait_for(|stopping| *stopping) => return,
                () = self.beat(&mut reported_waits) => {}
            }
            let rest = self.env.sleep(self.env.knobs().node_heartbeat);
            tokio::select! {
                biased;
                _stopped = stopping.wait_for(|stopping| *stopping) => return,
                () = rest => {}
            }
        }
    }

    async fn beat(&self, reported_waits: &mut bool) {
        let (env, leader) = (&self.env, self.placement.leader());
        if let Some(hint) = self.store.leader_view(keyspace::SYSTEM_RANGE).and_then(|view| view.leader) {
            leader.hint(hint);
        }
        let status = NodeStatus { node: self.node, info: self.info.clone(), replicas: self.store.statuses(), oldest_read: None };
        let answer = leader.ask_within(env.knobs().node_expiry, || ClusterRequest::Heartbeat(status.clone())).await;
        match answer {
            Ok(ClusterReply::Heartbeat { nodes }) => {
                *self.contact.0.lock() = Some(env.now());
                self.learn(&nodes).await;
            }
            Ok(_) => tracing::warn!("a heartbeat got an answer of another kind"),
            Err(error) => tracing::info!(%error, "the system range's leader does not answer"),
        }
        let edges = self.store.wait_edges();
        if !edges.is_empty() || *reported_waits {
            *reported_waits = !edges.is_empty();
            let report = leader.ask_within(env.knobs().node_heartbeat, || ClusterRequest::WaitsFor { edges: edges.clone() }).await;
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

/// Durable when it returns.
pub async fn keep_neighbours(env: &Env, engine: Arc<dyn Engine>, neighbours: &Neighbours) -> storage::Result<()> {
    let mut batch = Batch::new();
    batch.put(Family::Local, NEIGHBOURS, codec::encode_record(&neighbours.list()));
    engine.write(&batch, Durability::Logged)?;
    env.blocking(move || engine.sync()).await
}
