//! One node, from its start to its end.

use std::sync::Arc;
use std::time::Duration;

use env::{Budget, Env};
use keyspace::{Epoch, Key, NodeId, RangeId, ReplicaId, SYSTEM_RANGE, Span, system_span};
use parking_lot::Mutex;
use placement::{Neighbours, Placement};
use ranges::{Store, StoreConfig};
use rpc::cluster::{NodeInfo, RangeSurvey, ReplicaStatus, Survey};
use rpc::range::{RangeDescriptor, ReplicaDescriptor, ReplicaRole};
use rpc::{Network, Transport};
use storage::Engine;
use tokio::sync::watch;
use txn::TxnClient;

use crate::directory::{ClusterDirectory, ClusterOutside};
use crate::form::{self, Place};
use crate::garbage::GarbageCollection;
use crate::heartbeat::{Contact, Heartbeat, keep_neighbours, load_neighbours};
use crate::oracle::ClusterOracle;
use crate::service::{Membership, NodeService};
use crate::splits::Splits;
use crate::status::Outlook;
use crate::system_range::LocalSystemRange;
use crate::view::ClusterSight;
use crate::{Home, NodeConfig, NodeError};

/// Time a stopping node gives its leaders to move.
const HAND_OVER: Duration = Duration::from_secs(3);

/// Cheap to clone; every clone is the same node.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    env: Env,
    place: Place,
    info: NodeInfo,
    transport: Arc<dyn Transport>,
    store: Store,
    outside: Arc<ClusterOutside>,
    placement: Placement,
    neighbours: Neighbours,
    txn: TxnClient,
    sql: Arc<sql::session::Server>,
    contact: Arc<Contact>,
    stage: Mutex<Stage>,
    ready: watch::Sender<bool>,
    stopping: watch::Sender<bool>,
    failure: watch::Receiver<Option<storage::Error>>,
}

/// Where the node is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// What it waits for.
    Starting(String),
    Ready,
    Stopping,
}

impl Node {
    /// Finds its cluster or makes one, opens its replicas, and goes to work. Returns before the node is ready
    /// for clients ([`Node::until_ready`]): that takes a quorum.
    pub async fn start(
        config: NodeConfig,
        env: Env,
        engine: Arc<dyn Engine>,
        home: Arc<dyn Home>,
        transport: Arc<dyn Transport>,
    ) -> Result<Node, NodeError> {
        let service = Arc::new(NodeService::default());
        transport.serve(service.clone());
        let place = form::find_place(&config, &env, &*home, &transport).await?;
        transport.identify(place.cluster, place.node);

        let info = config.addresses.info(place.node);
        let neighbours = Neighbours::default();
        neighbours.learn(&load_neighbours(&*engine)?);
        neighbours.learn(&place.nodes);
        neighbours.learn(std::slice::from_ref(&info));
        transport.learn(&neighbours.list());
        if !place.nodes.is_empty() {
            keep_neighbours(&env, engine.clone(), &neighbours).await?;
        }

        let (failed, failure) = watch::channel(None);
        let network: Arc<dyn Network> = transport.clone();
        let store = Store::open(StoreConfig {
            env: env.clone(),
            node: place.node,
            engine: engine.clone(),
            network: network.clone(),
            on_fatal: Box::new(move |error| {
                failed.send_replace(Some(error));
            }),
        })?;
        if place.founder {
            found(&store, place.node).await?;
            form::settle(&*home, &place)?;
        }

        let system_range = Arc::new(LocalSystemRange(store.clone()));
        let placement =
            Placement::new(env.clone(), place.cluster, place.node, system_range, network.clone(), neighbours.clone());
        let directory = ClusterDirectory { store: store.clone(), placement: placement.clone() };
        let outside = Arc::new(ClusterOutside::new(env.clone(), network.clone(), directory.clone()));
        store.connect(outside.clone());
        let oracle = Arc::new(ClusterOracle(placement.clone()));
        let seen_network = network.clone();
        let txn =
            TxnClient::new(env.clone(), place.node, network, oracle, Arc::new(directory)).with_scratch(home.scratch());
        let sql = sql::session::Server::new(sql::session::ServerConfig {
            env: env.clone(),
            node: place.node,
            txn: txn.clone(),
            version: config.version.clone(),
            memory: Budget::new(config.statement_memory_bytes),
        });
        let contact = Arc::new(Contact::default());
        sql.register_cluster(Arc::new(ClusterSight {
            env: env.clone(),
            node: place.node,
            store: store.clone(),
            placement: placement.clone(),
            neighbours: neighbours.clone(),
            network: seen_network,
            txn: txn.clone(),
            contact: contact.clone(),
        }));
        service.begin(Membership {
            cluster: place.cluster,
            node: place.node,
            store: store.clone(),
            placement: placement.clone(),
            neighbours: neighbours.clone(),
            txn: txn.clone(),
            sql: sql.clone(),
            refusal: env.knobs().node_expiry,
        });
        placement.start();
        let (ready, stopping) = (watch::Sender::new(false), watch::Sender::new(false));
        let heartbeat = Heartbeat {
            env: env.clone(),
            node: place.node,
            info: info.clone(),
            store: store.clone(),
            placement: placement.clone(),
            neighbours: neighbours.clone(),
            transport: transport.clone(),
            engine,
            contact: contact.clone(),
            sql: sql.clone(),
        };
        env.spawn("heartbeat", heartbeat.run(stopping.subscribe()));
        let garbage = GarbageCollection { env: env.clone(), store: store.clone(), contact: contact.clone() };
        env.spawn("garbage", garbage.run(stopping.subscribe()));
        let splits = Splits { env: env.clone(), store: store.clone(), txn: txn.clone(), placement: placement.clone() };
        env.spawn("splits", splits.run(stopping.subscribe()));
        let stage = Mutex::new(Stage::Starting("the node is starting".into()));
        let node = Node(Arc::new(Inner {
            env,
            place,
            info,
            transport,
            store,
            outside,
            placement,
            neighbours,
            txn,
            sql,
            contact,
            stage,
            ready,
            stopping,
            failure,
        }));
        node.0.env.spawn("node start", node.clone().become_ready());
        Ok(node)
    }

    pub fn id(&self) -> NodeId {
        self.0.place.node
    }

    pub fn cluster(&self) -> u64 {
        self.0.place.cluster
    }

    pub fn info(&self) -> &NodeInfo {
        &self.0.info
    }

    pub fn env(&self) -> &Env {
        &self.0.env
    }

    pub fn store(&self) -> &Store {
        &self.0.store
    }

    pub fn placement(&self) -> &Placement {
        &self.0.placement
    }

    pub fn txn(&self) -> &TxnClient {
        &self.0.txn
    }

    pub fn sql(&self) -> &Arc<sql::session::Server> {
        &self.0.sql
    }

    /// Why the node takes no clients (yet, or any more).
    pub fn ready(&self) -> Result<(), String> {
        match &*self.0.stage.lock() {
            Stage::Ready if self.0.sql.is_refusing() => Err("the node is being drained".into()),
            Stage::Ready => Ok(()),
            Stage::Starting(why) => Err(why.clone()),
            Stage::Stopping => Err("the node is stopping".into()),
        }
    }

    /// Waits until clients can be served. False if the node was stopped before.
    pub async fn until_ready(&self) -> bool {
        let (mut ready, mut stopping) = (self.0.ready.subscribe(), self.0.stopping.subscribe());
        tokio::select! {
            biased;
            ready = ready.wait_for(|ready| *ready) => ready.is_ok(),
            _stopped = stopping.wait_for(|stopping| *stopping) => false,
        }
    }

    /// Waits until the disk fails; the process must stop then.
    pub async fn failed(&self) -> storage::Error {
        let mut failure = self.0.failure.clone();
        let failed = failure.wait_for(Option::is_some).await;
        match failed.map(|error| error.clone()) {
            Ok(Some(error)) => error,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Nodes and ranges as far as this node knows, without asking anybody.
    pub fn survey(&self) -> Survey {
        self.0
            .placement
            .survey()
            .unwrap_or_else(|| Survey { nodes: self.0.neighbours.list(), ranges: self.local_ranges() })
    }

    /// For `/status.json`.
    pub fn status(&self) -> serde_json::Value {
        let now = self.0.env.now();
        let outlook = Outlook {
            survey: &self.survey(),
            silence: self.0.contact.last().map(|last| now.since(last)),
            expiry: self.0.env.knobs().node_expiry,
            not_ready: self.ready().err(),
            node: self.id(),
        };
        outlook.to_json()
    }

    /// Hands leadership over, makes everything durable, and ends. The caller has stopped taking clients.
    pub async fn stop(&self) {
        *self.0.stage.lock() = Stage::Stopping;
        self.0.ready.send_replace(false);
        self.0.stopping.send_replace(true);
        let left = self.0.store.hand_over(HAND_OVER).await;
        if left > 0 {
            tracing::info!(ranges = left, "nobody could take over some of the leaders");
        }
        self.0.placement.stop();
        self.0.store.stop().await;
        self.let_go();
    }

    /// The parts of a node that is gone let go of each other, so that its memory is freed. Where the process ends
    /// with it nobody has to care; a simulation ends many in one process.
    pub fn let_go(&self) {
        self.0.outside.close();
        self.0.transport.close();
    }

    async fn become_ready(self) {
        let mut stopping = self.0.stopping.subscribe();
        loop {
            let attempt = tokio::select! {
                biased;
                _stopped = stopping.wait_for(|stopping| *stopping) => return,
                attempt = self.prepare() => attempt,
            };
            let next = match attempt {
                Ok(()) => Stage::Ready,
                Err(why) => Stage::Starting(format!("the node waits for a quorum: {why}")),
            };
            if self.enter(next) {
                return;
            }
            self.0.env.sleep(Duration::from_millis(200)).await;
        }
    }

    /// What has to be done before the first session begins.
    async fn prepare(&self) -> Result<(), String> {
        let life = self.0.placement.timestamps().fresh().await.map_err(|error| error.to_string())?;
        self.0.contact.set_life(life.first);
        sql::catalog::bootstrap(&self.0.txn).await.map_err(|error| error.to_string())?;
        self.0.sql.learn_table_locks().await.map_err(|error| error.to_string())
    }

    /// True when there is nothing more to wait for.
    fn enter(&self, next: Stage) -> bool {
        let mut stage = self.0.stage.lock();
        if *stage == Stage::Stopping {
            return true;
        }
        let is_ready = next == Stage::Ready;
        match &next {
            Stage::Starting(why) => tracing::info!(why, "not ready yet"),
            Stage::Ready | Stage::Stopping => tracing::info!(node = %self.id(), "ready"),
        }
        *stage = next;
        self.0.ready.send_replace(is_ready);
        is_ready
    }

    fn local_ranges(&self) -> Vec<RangeSurvey> {
        let leaders = self.0.store.local_descriptors();
        let survey = |status: ReplicaStatus| {
            let leader = leaders
                .iter()
                .find(|(descriptor, _)| descriptor.id == status.descriptor.id)
                .and_then(|(_, leader)| *leader);
            RangeSurvey { leader, size_bytes: status.size_bytes, keys: status.keys, descriptor: status.descriptor }
        };
        self.0.store.statuses().into_iter().map(survey).collect()
    }
}

/// Makes the two ranges every cluster begins with, unless an earlier try has made them.
async fn found(store: &Store, node: NodeId) -> Result<(), NodeError> {
    if !store.is_empty() {
        return Ok(());
    }
    let range = |id: RangeId, span: Span| RangeDescriptor {
        id,
        epoch: Epoch { config: 1, span: 1 },
        span,
        replicas: vec![ReplicaDescriptor { node, replica: ReplicaId(id.0), role: ReplicaRole::Voter }],
    };
    let system = system_span();
    let user = Span::new(system.end.clone(), Key::MAX);
    let first = vec![range(SYSTEM_RANGE, system), range(RangeId(2), user)];
    store.bootstrap(first).await.map_err(|error| NodeError::NotBootstrapped(error.to_string()))
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({})", self.id())
    }
}
