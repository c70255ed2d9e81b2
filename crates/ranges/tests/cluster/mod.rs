//! A small cluster in one thread: stores over memory disks that lose what was not synced, and a network that
//! delays, loses and cuts. The tests are clients of it.
#![expect(clippy::disallowed_methods, reason = "the tests stand where the operating system stands")]
#![allow(dead_code, reason = "each test uses some of it")]

pub mod host;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use env::{Env, Host as _, Knobs};
use host::TestHost;
use keyspace::{Epoch, Key, NodeId, RangeId, ReplicaId, Span, Timestamp, TxnId};
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use ranges::{Outside, Store, StoreConfig};
use rpc::range::*;
use rpc::{BoxFuture, KvError, KvResult, Network, NetworkError, RaftEnvelope, Request, Response};
use storage::{MemoryDisk, MemoryEngine};

/// What all nodes share.
pub struct World {
    stores: Mutex<BTreeMap<NodeId, Store>>,
    random: Mutex<SmallRng>,
    loss_permille: AtomicU64,
    cut: Mutex<BTreeSet<(NodeId, NodeId)>>,
    clock: AtomicU64,
    /// Clients' and the oracle's numbers stop while this is set.
    pub oracle_down: std::sync::atomic::AtomicBool,
    /// Transactions that their clients know nothing of any more.
    pub gone: Mutex<BTreeSet<TxnId>>,
}

pub struct Cluster {
    pub world: Arc<World>,
    nodes: BTreeMap<NodeId, TestNode>,
    knobs: Knobs,
    lives: u64,
    seed: u64,
}

struct TestNode {
    disk: MemoryDisk,
    host: Option<Arc<TestHost>>,
}

impl World {
    /// A number of the oracle.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.clock.fetch_add(10, Ordering::SeqCst) + 10)
    }

    pub fn txn(&self) -> TxnId {
        self.now().into()
    }

    pub fn store(&self, node: u64) -> Store {
        self.stores.lock().get(&NodeId(node)).cloned().expect("the node is up")
    }

    fn live(&self) -> Vec<(NodeId, Store)> {
        self.stores.lock().iter().map(|(node, store)| (*node, store.clone())).collect()
    }

    /// The range that holds `key` as the best informed live node knows it, and the nodes to ask, best first.
    fn locate(&self, key: &Key) -> Option<(RangeDescriptor, Vec<NodeId>)> {
        let live = self.live();
        let known = live.iter().filter_map(|(_, store)| store.lookup(key));
        let (descriptor, leader) = known
            .max_by_key(|(descriptor, leader)| (descriptor.epoch.span, descriptor.epoch.config, leader.is_some()))?;
        let mut nodes: Vec<NodeId> = leader.into_iter().collect();
        nodes.extend(descriptor.replicas.iter().map(|replica| replica.node));
        nodes.retain(|node| live.iter().any(|(known, _)| known == node));
        Some(((*descriptor).clone(), nodes))
    }

    /// Asks whoever leads the range of `key`, again and again while routing fails.
    pub async fn ask(&self, key: &Key, body: RangeBody) -> RangeResponse {
        let mut last = KvError::OracleUnavailable;
        for _ in 0..300 {
            if let Some((descriptor, nodes)) = self.locate(key) {
                for node in nodes {
                    let Some(store) = self.stores.lock().get(&node).cloned() else { continue };
                    let request = RangeRequest { range: descriptor.id, epoch: descriptor.epoch, body: body.clone() };
                    let answer = tokio::time::timeout(Duration::from_secs(8), store.handle(CLIENT, request));
                    match answer.await {
                        Ok(Err(error)) if error.is_routing() || matches!(error, KvError::Stopping { .. }) => {
                            last = error
                        }
                        Ok(answer) => return answer,
                        Err(_) => last = KvError::Unavailable { range: descriptor.id, why: "no answer".into() },
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(last)
    }
}

pub const CLIENT: NodeId = NodeId(99);

struct Wires {
    from: NodeId,
    world: Arc<World>,
}

impl Network for Wires {
    fn call(&self, to: NodeId, _: Request) -> BoxFuture<'_, Result<Response, NetworkError>> {
        Box::pin(async move { Err(NetworkError::Unreachable(to)) })
    }

    fn send_raft(&self, to: NodeId, envelopes: Vec<RaftEnvelope>) {
        for envelope in envelopes {
            let (lost, delay) = {
                let mut random = self.world.random.lock();
                let lost = random.random_range(0..1000) < self.world.loss_permille.load(Ordering::SeqCst);
                (lost, Duration::from_micros(random.random_range(200..3_000)))
            };
            if lost || self.world.cut.lock().contains(&(self.from, to)) {
                continue;
            }
            let world = self.world.clone();
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                let store = world.stores.lock().get(&to).cloned();
                if let Some(store) = store {
                    store.raft(vec![envelope]);
                }
            });
        }
    }
}

struct Around(Arc<World>);

impl Outside for Around {
    fn fresh_timestamp(&self) -> BoxFuture<'_, KvResult<Timestamp>> {
        Box::pin(async move {
            match self.0.oracle_down.load(Ordering::SeqCst) {
                true => Err(KvError::OracleUnavailable),
                false => Ok(self.0.now()),
            }
        })
    }

    fn ask(&self, key: Key, body: RangeBody) -> BoxFuture<'_, RangeResponse> {
        Box::pin(async move { self.0.ask(&key, body).await })
    }

    fn may_hold_locks(&self, _: NodeId, txn: TxnId) -> BoxFuture<'_, KvResult<bool>> {
        Box::pin(async move { Ok(!self.0.gone.lock().contains(&txn)) })
    }
}

impl Cluster {
    /// Nodes 1 to `nodes`, empty.
    pub fn new(seed: u64, nodes: u64, knobs: impl FnOnce(&mut Knobs)) -> Cluster {
        let mut all = Knobs { txn_expiry: Duration::from_secs(2), ..Knobs::default() };
        knobs(&mut all);
        let world = Arc::new(World {
            stores: Mutex::default(),
            random: Mutex::new(SmallRng::seed_from_u64(seed)),
            loss_permille: AtomicU64::new(0),
            cut: Mutex::default(),
            clock: AtomicU64::new(1000),
            oracle_down: Default::default(),
            gone: Mutex::default(),
        });
        let mut cluster = Cluster { world, nodes: BTreeMap::new(), knobs: all, lives: 0, seed };
        for node in 1..=nodes {
            cluster.nodes.insert(NodeId(node), TestNode { disk: MemoryDisk::new(), host: None });
            cluster.start(node);
        }
        cluster
    }

    pub fn start(&mut self, node: u64) {
        self.lives += 1;
        let id = NodeId(node);
        let seed = self.seed * 1000 + self.lives;
        let entry = self.nodes.get_mut(&id).expect("a known node");
        assert!(entry.host.is_none(), "it runs already");
        let host = Arc::new(TestHost::new(seed));
        let config = StoreConfig {
            env: Env::new(host.clone(), self.knobs.clone()),
            node: id,
            engine: Arc::new(MemoryEngine::open(&entry.disk)),
            network: Arc::new(Wires { from: id, world: self.world.clone() }),
            on_fatal: Box::new(move |error| panic!("node {node}: {error}")),
        };
        entry.host = Some(host);
        let store = Store::open(config).expect("the store opens");
        store.connect(Arc::new(Around(self.world.clone())));
        self.world.stores.lock().insert(id, store);
    }

    /// Power off: what was not synced may be lost.
    pub fn crash(&mut self, node: u64) {
        let entry = self.nodes.get_mut(&NodeId(node)).expect("a known node");
        entry.host.take().expect("it runs").crash();
        self.world.stores.lock().remove(&NodeId(node));
        let mut random = self.world.random.lock();
        entry.disk.crash(&mut |bound| if bound == 0 { 0 } else { random.random_range(0..bound) });
    }

    pub async fn restart(&mut self, node: u64) {
        self.crash(node);
        settle().await;
        self.start(node);
    }

    pub fn lose_messages(&self, permille: u64) {
        self.world.loss_permille.store(permille, Ordering::SeqCst);
    }

    /// Cuts a node off from all others, or heals.
    pub fn isolate(&self, node: u64, cut: bool) {
        let mut cuts = self.world.cut.lock();
        for other in self.nodes.keys().filter(|other| other.0 != node) {
            for pair in [(NodeId(node), *other), (*other, NodeId(node))] {
                if cut {
                    cuts.insert(pair)
                } else {
                    cuts.remove(&pair)
                };
            }
        }
    }

    /// Cuts the link between two nodes, or heals it.
    pub fn cut(&self, one: u64, other: u64, cut: bool) {
        let mut cuts = self.world.cut.lock();
        for pair in [(NodeId(one), NodeId(other)), (NodeId(other), NodeId(one))] {
            if cut {
                cuts.insert(pair)
            } else {
                cuts.remove(&pair)
            };
        }
    }

    /// The term of a valid lease that `node` has of `range`.
    pub fn leased(&self, node: u64, range: u64) -> Option<u64> {
        let view = self.store(node).leases().into_iter().find(|view| view.range == RangeId(range))?;
        let now = self.nodes[&NodeId(node)].host.as_ref()?.mono();
        view.lease.filter(|(_, until)| now < *until).map(|(term, _)| term)
    }

    /// The latest term in which `node` was elected for `range` and believes that it leads.
    pub fn elected(&self, node: u64, range: u64) -> Option<u64> {
        self.store(node).leases().into_iter().find(|view| view.range == RangeId(range))?.elected_in
    }

    /// Asks `node` itself for `key`, at a new number; `None` if it has nothing to say for a moment.
    pub async fn ask_node(&self, node: u64, key: &str) -> Option<RangeResponse> {
        let (descriptor, _) = self.store(node).lookup(&key.into())?;
        let reads = vec![ReadOp::Get { key: key.into(), program: None }];
        let read = ReadRequest { at: self.world.now(), txn: None, reads, lock: None, bytes_max: 0 };
        let request = RangeRequest { range: descriptor.id, epoch: descriptor.epoch, body: RangeBody::Read(read) };
        tokio::time::timeout(Duration::from_millis(1), self.store(node).handle(CLIENT, request)).await.ok()
    }

    /// One range over everything on the first `replicas` nodes.
    pub async fn bootstrap(&self, replicas: u64) {
        self.bootstrap_ranges(replicas, &[(2, Span::all())]).await;
    }

    pub async fn bootstrap_ranges(&self, replicas: u64, ranges: &[(u64, Span)]) {
        let describe = |(id, span): &(u64, Span)| RangeDescriptor {
            id: RangeId(*id),
            epoch: Epoch { config: 1, span: 1 },
            span: span.clone(),
            replicas: (1..=replicas).map(|node| replica(node, id * 100 + node, ReplicaRole::Voter)).collect(),
        };
        for (_, store) in self.world.live().iter().take(replicas as usize) {
            store.bootstrap(ranges.iter().map(describe).collect()).await.expect("first ranges");
        }
    }

    /// The node that leads the range of `key`, once there is one that serves.
    pub async fn leader(&self, key: &str) -> u64 {
        let key = Key::from(key);
        for _ in 0..600 {
            for (node, store) in self.world.live() {
                let serves = store
                    .lookup(&key)
                    .and_then(|(range, _)| store.leader_view(range.id))
                    .is_some_and(|view| view.serves);
                let cut_links = self.world.cut.lock().iter().filter(|(from, _)| *from == node).count();
                if serves && cut_links + 1 < self.nodes.len().max(2) {
                    return node.0;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("nobody leads the range of {key}");
    }

    pub fn store(&self, node: u64) -> Store {
        self.world.store(node)
    }

    pub fn client(&self) -> Client {
        Client(self.world.clone())
    }

    /// All live replicas of the range of `key` show the same state.
    pub async fn check_replicas_agree(&self, key: &str) {
        let key = Key::from(key);
        for _ in 0..200 {
            let mut sums = BTreeSet::new();
            let (descriptor, _) = self.world.locate(&key).expect("the range is known");
            let mut all = true;
            for replica in &descriptor.replicas {
                let Some(store) = self.world.stores.lock().get(&replica.node).cloned() else { continue };
                let body = RangeBody::Admin(AdminRequest::Checksum);
                match store.handle(CLIENT, RangeRequest { range: descriptor.id, epoch: descriptor.epoch, body }).await {
                    Ok(RangeReply::Admin(AdminReply::Checksum { applied, hash })) => drop(sums.insert((applied, hash))),
                    _ => all = false,
                }
            }
            if all && sums.len() == 1 {
                return;
            }
            let indexes: BTreeSet<u64> = sums.iter().map(|(applied, _)| *applied).collect();
            assert!(indexes.len() == sums.len(), "replicas differ at the same index: {sums:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the replicas do not come together");
    }
}

pub fn replica(node: u64, id: u64, role: ReplicaRole) -> ReplicaDescriptor {
    ReplicaDescriptor { node: NodeId(node), replica: ReplicaId(id), role }
}

/// Lets everything that is ready run.
pub async fn settle() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// A client that speaks the protocol by hand.
#[derive(Clone)]
pub struct Client(pub Arc<World>);

impl Client {
    pub async fn put(&self, key: &str, value: &str) -> KvResult<Timestamp> {
        let txn = self.0.txn();
        self.commit(txn, txn.start(), &[(key, Some(value))]).await
    }

    /// A one-range commit that fetches fresh numbers as it is pushed.
    pub async fn commit(&self, txn: TxnId, at: Timestamp, rows: &[(&str, Option<&str>)]) -> KvResult<Timestamp> {
        let mut at = at;
        loop {
            match self.commit_at(txn, at, rows).await {
                Err(KvError::Pushed { .. }) => at = self.0.now(),
                outcome => return outcome,
            }
        }
    }

    pub async fn commit_at(&self, txn: TxnId, at: Timestamp, rows: &[(&str, Option<&str>)]) -> KvResult<Timestamp> {
        let commit = CommitRequest { writes: writes(txn, at, rows) };
        match self.0.ask(&rows[0].0.into(), RangeBody::CommitOneRange(commit)).await? {
            RangeReply::Committed { at } => Ok(at),
            other => panic!("{other:?}"),
        }
    }

    pub async fn get(&self, key: &str) -> KvResult<Option<String>> {
        self.get_at(key, self.0.now()).await
    }

    pub async fn get_at(&self, key: &str, at: Timestamp) -> KvResult<Option<String>> {
        let op = ReadOp::Get { key: key.into(), program: None };
        let mut reply = self.read(None, at, vec![op], None).await?;
        Ok(reply.results.remove(0).rows.pop().map(|row| text(&row.value)))
    }

    pub async fn read(
        &self,
        txn: Option<TxnId>,
        at: Timestamp,
        reads: Vec<ReadOp>,
        lock: Option<LockSpec>,
    ) -> KvResult<ReadReply> {
        let key = match &reads[0] {
            ReadOp::Get { key, .. } => key.clone(),
            ReadOp::Scan(scan) => scan.span.start.clone(),
        };
        let read = ReadRequest { at, txn, reads, lock, bytes_max: 0 };
        match self.0.ask(&key, RangeBody::Read(read)).await? {
            RangeReply::Read(reply) => Ok(reply),
            other => panic!("{other:?}"),
        }
    }

    /// All keys and values of a span within one range.
    pub async fn scan(&self, start: &str, end: &str) -> KvResult<Vec<(String, String)>> {
        let reply = self.read(None, self.0.now(), vec![scan_op(start, end, 0)], None).await?;
        Ok(reply.results[0].rows.iter().map(|row| (text(&row.key), text(&row.value))).collect())
    }

    pub async fn lock(&self, txn: TxnId, key: &str, mode: LockMode, wait: LockWait) -> KvResult<ReadReply> {
        let op = ReadOp::Get { key: key.into(), program: None };
        self.read(Some(txn), txn.start(), vec![op], Some(LockSpec { mode, wait, absent_too: true })).await
    }

    /// The transaction is over, as far as the range of `key` is concerned.
    pub async fn release(&self, txn: TxnId, key: &str) -> KvResult<()> {
        let body = RangeBody::ReleaseLocks(ReleaseLocksRequest { txn, keys: None, weaken: Vec::new() });
        self.0.ask(&key.into(), body).await.map(drop)
    }

    pub async fn prewrite(&self, writes: Writes, anchor: &str, stage: Option<&[&str]>) -> KvResult<()> {
        let key = writes.mutations[0].key.clone();
        let stage = stage.map(|keys| StageRecord { keys: keys.iter().map(|key| Key::from(*key)).collect() });
        match self.0.ask(&key, RangeBody::Prewrite(PrewriteRequest { writes, anchor: anchor.into(), stage })).await? {
            RangeReply::Prewritten => Ok(()),
            other => panic!("{other:?}"),
        }
    }

    pub async fn record(&self, txn: TxnId, anchor: &str, op: RecordOp) -> KvResult<TxnState> {
        let body = RangeBody::Record(RecordRequest { txn, anchor: anchor.into(), op });
        match self.0.ask(&anchor.into(), body).await? {
            RangeReply::Record(record) => Ok(record.state),
            other => panic!("{other:?}"),
        }
    }

    pub async fn resolve(&self, txn: TxnId, commit_at: Option<Timestamp>, keys: &[&str]) -> KvResult<()> {
        let keys: Vec<Key> = keys.iter().map(|key| Key::from(*key)).collect();
        let body = RangeBody::Resolve(ResolveRequest { txn, commit_at, keys: ResolveKeys::These(keys.clone()) });
        self.0.ask(&keys[0], body).await.map(drop)
    }

    pub async fn refresh(&self, txn: TxnId, start: &str, end: &str, from: Timestamp, to: Timestamp) -> KvResult<()> {
        let body =
            RangeBody::Refresh(RefreshRequest { txn, spans: vec![Span::new(start.into(), end.into())], from, to });
        self.0.ask(&start.into(), body).await.map(drop)
    }

    pub async fn admin(&self, key: &str, request: AdminRequest) -> KvResult<AdminReply> {
        match self.0.ask(&key.into(), RangeBody::Admin(request)).await? {
            RangeReply::Admin(reply) => Ok(reply),
            other => panic!("{other:?}"),
        }
    }
}

pub fn writes(txn: TxnId, at: Timestamp, rows: &[(&str, Option<&str>)]) -> Writes {
    let mutation = |(key, value): &(&str, Option<&str>)| Mutation {
        key: (*key).into(),
        value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())),
        changes_key: value.is_none(),
        must_be_absent: false,
    };
    Writes {
        txn,
        at,
        snapshot: Timestamp::MAX,
        mutations: rows.iter().map(mutation).collect(),
        locked: Vec::new(),
        attempt: 1,
    }
}

pub fn scan_op(start: &str, end: &str, rows_max: u64) -> ReadOp {
    ReadOp::Scan(ScanOp { span: Span::new(start.into(), end.into()), reverse: false, rows_max, program: None })
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
