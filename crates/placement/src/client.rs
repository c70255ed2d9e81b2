//! Finding the leader of the system range, and asking it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use env::Env;
use keyspace::NodeId;
use parking_lot::{Mutex, RwLock};
use rpc::cluster::{ClusterReply, ClusterRequest, NodeInfo};
use rpc::{KvError, KvResult, Network, NetworkError, Request, Response};

/// The nodes this node knows of. Shared by everyone on the node; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Neighbours(Arc<RwLock<BTreeMap<NodeId, NodeInfo>>>);

impl Neighbours {
    pub fn list(&self) -> Vec<NodeInfo> {
        self.0.read().values().cloned().collect()
    }

    pub fn get(&self, node: NodeId) -> Option<NodeInfo> {
        self.0.read().get(&node).cloned()
    }

    /// Adds nodes and replaces what was known of them. True if an address is new.
    pub fn learn(&self, nodes: &[NodeInfo]) -> bool {
        let mut known = self.0.write();
        let mut is_news = false;
        for info in nodes {
            let before = known.insert(info.node, info.clone());
            is_news |= before.is_none_or(|before| addresses(&before) != addresses(info));
        }
        is_news
    }

    /// The first node after `node`, in a circle.
    fn after(&self, node: Option<NodeId>) -> Option<NodeId> {
        let known = self.0.read();
        let next = node.and_then(|node| known.keys().find(|other| **other > node));
        next.or_else(|| known.keys().next()).copied()
    }
}

fn addresses(info: &NodeInfo) -> [&str; 3] {
    [&info.rpc_address, &info.sql_address, &info.http_address]
}

const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Sends requests to the leader of the system range, wherever it is. Cheap to clone.
#[derive(Clone)]
pub struct LeaderClient(Arc<Shared>);

struct Shared {
    env: Env,
    network: Arc<dyn Network>,
    neighbours: Neighbours,
    /// Who led when we last heard.
    leader: Mutex<Option<NodeId>>,
}

impl LeaderClient {
    pub fn new(env: Env, network: Arc<dyn Network>, neighbours: Neighbours) -> LeaderClient {
        LeaderClient(Arc::new(Shared { env, network, neighbours, leader: Mutex::new(None) }))
    }

    pub fn leader(&self) -> Option<NodeId> {
        *self.0.leader.lock()
    }

    /// A replica of the system range on this node knows who leads.
    pub fn hint(&self, leader: NodeId) {
        *self.0.leader.lock() = Some(leader);
    }

    /// Asks again, and others, until there is an answer or `range_unavailable` has passed. `request` must be
    /// harmless to repeat.
    pub async fn ask(&self, request: impl Fn() -> ClusterRequest) -> KvResult<ClusterReply> {
        self.ask_within(self.0.env.knobs().range_unavailable, request).await
    }

    pub async fn ask_within(&self, limit: Duration, request: impl Fn() -> ClusterRequest) -> KvResult<ClusterReply> {
        let shared = &self.0;
        let deadline = shared.env.now() + limit;
        let mut pause = PAUSE_MIN;
        loop {
            let asked = self.leader().or_else(|| shared.neighbours.after(None)).ok_or(KvError::OracleUnavailable)?;
            match self.ask_node(asked, request()).await {
                Ok(Ok(reply)) => {
                    *shared.leader.lock() = Some(asked);
                    return Ok(reply);
                }
                Ok(Err(KvError::NotLeader { leader, .. })) => self.try_next(asked, leader),
                Ok(Err(error))
                    if error.is_routing()
                        || matches!(error, KvError::Stopping { .. } | KvError::Unavailable { .. }) =>
                {
                    self.try_next(asked, None);
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => self.try_next(asked, None),
            }
            if shared.env.now() >= deadline {
                return Err(KvError::OracleUnavailable);
            }
            shared.env.sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn ask_node(&self, node: NodeId, request: ClusterRequest) -> Result<KvResult<ClusterReply>, NetworkError> {
        let call = self.0.network.call(node, Request::Cluster(request));
        match self.0.env.timeout(self.0.env.knobs().rpc_timeout, call).await {
            Some(Ok(Response::Cluster(response))) => Ok(response),
            Some(Ok(Response::Range(_))) => {
                Err(NetworkError::Refused { node, why: "an answer of another kind".into() })
            }
            Some(Err(error)) => Err(error),
            None => Err(NetworkError::Timeout(node)),
        }
    }

    fn try_next(&self, asked: NodeId, leader: Option<NodeId>) {
        let mut guess = self.0.leader.lock();
        // Somebody else may have found it meanwhile.
        if guess.is_none_or(|guess| guess == asked) {
            *guess = leader.filter(|leader| *leader != asked).or_else(|| self.0.neighbours.after(Some(asked)));
        }
    }
}

impl std::fmt::Debug for LeaderClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LeaderClient({:?})", self.leader())
    }
}
