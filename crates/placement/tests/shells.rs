//! Several nodes' shells over a system range that is a few lines of memory: leadership moves at any moment,
//! and what was handed out must still be in order.
#![expect(clippy::disallowed_methods, reason = "a test is its own host")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use env::{BoxFuture, Env};
use keyspace::{Key, NodeId, RangeId, ReplicaId, SYSTEM_RANGE, Span, Timestamp, TxnId};
use parking_lot::Mutex;
use placement::{CatalogKey, Neighbours, Placement, SystemRange};
use rpc::cluster::{ClusterReply, ClusterRequest, IdKind, JoinRequest, NodeInfo, NodeStatus, ReplicaStatus};
use rpc::range::RangeDescriptor;
use rpc::{KvError, KvResult, Network, NetworkError, RaftEnvelope, Request, Response};
use tokio::sync::watch;

/// The log of the system range, and who leads it.
#[derive(Default)]
struct Group {
    leader: Mutex<Option<(NodeId, u64)>>,
    registers: Mutex<BTreeMap<String, Bytes>>,
    catalog: Mutex<(CatalogKey, Timestamp)>,
}

struct Replica {
    node: NodeId,
    group: Arc<Group>,
    term: watch::Sender<Option<u64>>,
    is_sole: bool,
}

impl Replica {
    fn must_lead(&self, term: u64) -> KvResult<()> {
        let leader = *self.group.leader.lock();
        let refusal = KvError::NotLeader { range: SYSTEM_RANGE, leader: leader.map(|(node, _)| node) };
        if leader == Some((self.node, term)) { Ok(()) } else { Err(refusal) }
    }

    async fn change(
        &self,
        term: u64,
        name: String,
        change: impl FnOnce(Option<&Bytes>) -> Bytes + Send,
    ) -> KvResult<()> {
        tokio::time::sleep(Duration::from_micros(200)).await;
        self.must_lead(term)?;
        let mut registers = self.group.registers.lock();
        let value = change(registers.get(&name));
        registers.insert(name, value);
        Ok(())
    }
}

fn number(bytes: Option<&Bytes>) -> u64 {
    bytes.map_or(0, |bytes| u64::from_be_bytes(bytes[..].try_into().unwrap()))
}

impl SystemRange for Replica {
    fn term(&self) -> watch::Receiver<Option<u64>> {
        self.term.subscribe()
    }

    fn leader_hint(&self) -> Option<NodeId> {
        self.group.leader.lock().map(|(node, _)| node)
    }

    fn leads_for_certain(&self, term: u64) -> bool {
        self.is_sole && self.must_lead(term).is_ok()
    }

    fn confirm(&self, term: u64) -> BoxFuture<'_, KvResult<()>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_micros(100)).await;
            self.must_lead(term)
        })
    }

    fn register(&self, name: &str) -> KvResult<Option<Bytes>> {
        Ok(self.group.registers.lock().get(name).cloned())
    }

    fn registers(&self, prefix: &str) -> KvResult<Vec<(String, Bytes)>> {
        let registers = self.group.registers.lock();
        Ok(registers.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(n, v)| (n.clone(), v.clone())).collect())
    }

    fn put(&self, term: u64, name: String, value: Bytes) -> BoxFuture<'_, KvResult<()>> {
        Box::pin(self.change(term, name, |_| value))
    }

    fn raise(&self, term: u64, name: &'static str, value: u64) -> BoxFuture<'_, KvResult<()>> {
        Box::pin(self.change(term, name.into(), move |before| number(before).max(value).to_be_bytes().to_vec().into()))
    }

    fn number(&self, name: &str) -> KvResult<u64> {
        Ok(number(self.group.registers.lock().get(name)))
    }

    fn catalog_key(&self, raise_to: Option<Timestamp>) -> KvResult<CatalogKey> {
        let mut catalog = self.group.catalog.lock();
        catalog.1 = catalog.1.max(raise_to.unwrap_or_default());
        Ok(catalog.0)
    }
}

/// Calls that take a moment, between nodes that are all there.
#[derive(Default)]
struct Wires(Mutex<BTreeMap<NodeId, Placement>>);

struct End {
    node: NodeId,
    wires: Arc<Wires>,
}

impl Network for End {
    fn call(&self, to: NodeId, request: Request) -> rpc::BoxFuture<'_, Result<Response, NetworkError>> {
        Box::pin(async move {
            let placement = self.wires.0.lock().get(&to).cloned().ok_or(NetworkError::Unreachable(to))?;
            tokio::time::sleep(Duration::from_micros(50)).await;
            match request {
                Request::Cluster(request) => Ok(Response::Cluster(placement.call(self.node, request).await)),
                Request::Range(request) => Ok(Response::Range(Err(KvError::RangeNotFound { range: request.range }))),
            }
        })
    }

    fn send_raft(&self, _to: NodeId, _envelopes: Vec<RaftEnvelope>) {}
}

struct Cluster {
    group: Arc<Group>,
    replicas: Vec<Arc<Replica>>,
    placements: Vec<Placement>,
    ends: Vec<Arc<End>>,
    term: AtomicU64,
}

fn info(node: u64) -> NodeInfo {
    let address = |port: u64| format!("host{node}:{port}");
    NodeInfo {
        node: NodeId(node),
        rpc_address: address(1),
        sql_address: address(2),
        http_address: address(3),
        silent_ms: 0,
        live: true,
    }
}

impl Cluster {
    fn start(nodes: u64) -> Cluster {
        let env = Env::os();
        let (group, wires) = (Arc::new(Group::default()), Arc::new(Wires::default()));
        let mut cluster = Cluster {
            group: group.clone(),
            replicas: vec![],
            placements: vec![],
            ends: vec![],
            term: AtomicU64::new(0),
        };
        for node in 1..=nodes {
            let replica = Replica {
                node: NodeId(node),
                group: group.clone(),
                term: watch::Sender::new(None),
                is_sole: nodes == 1,
            };
            let (replica, end) = (Arc::new(replica), Arc::new(End { node: NodeId(node), wires: wires.clone() }));
            let neighbours = Neighbours::default();
            neighbours.learn(&(1..=nodes).map(info).collect::<Vec<_>>());
            let placement = Placement::new(env.clone(), 7, NodeId(node), replica.clone(), end.clone(), neighbours);
            wires.0.lock().insert(NodeId(node), placement.clone());
            placement.start();
            cluster.replicas.push(replica);
            cluster.placements.push(placement);
            cluster.ends.push(end);
        }
        cluster
    }

    /// The old leader learns of it later than everyone else.
    async fn elect(&self, node: u64) {
        let term = self.term.fetch_add(1, Ordering::SeqCst) + 1;
        *self.group.leader.lock() = Some((NodeId(node), term));
        self.replicas[node as usize - 1].term.send_replace(Some(term));
        tokio::time::sleep(Duration::from_micros(500)).await;
        for replica in self.replicas.iter().filter(|replica| replica.node != NodeId(node)) {
            replica.term.send_replace(None);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_rise_in_real_time_while_leaders_change() {
    let cluster = Arc::new(Cluster::start(3));
    cluster.elect(1).await;
    // The highest number anybody has: one that begins later must get a higher one.
    let highest = Arc::new(AtomicU64::new(0));
    let mut clients = Vec::new();
    for client in 0..12 {
        let (cluster, highest) = (cluster.clone(), highest.clone());
        clients.push(tokio::spawn(async move {
            for _ in 0..300 {
                let before = highest.load(Ordering::SeqCst);
                let reply = cluster.placements[client % 3].timestamps().fresh().await.expect("somebody leads");
                assert!(reply.first.0 > before, "{} was given out after {before}", reply.first.0);
                highest.fetch_max(reply.first.0, Ordering::SeqCst);
            }
        }));
    }
    for round in 0..30 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        cluster.elect(round % 3 + 1).await;
    }
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn a_sole_voter_gives_numbers_without_a_wait() {
    let cluster = Cluster::start(1);
    cluster.elect(1).await;
    let clock = cluster.placements[0].timestamps();
    let first = clock.fresh().await.unwrap().first;
    let begin = std::time::Instant::now();
    for _ in 0..10_000 {
        assert!(clock.fresh().await.unwrap().first > first);
    }
    println!("{:?} for a number", begin.elapsed() / 10_000);
}

#[tokio::test]
async fn nodes_join_once_and_the_directory_survives_a_leader() {
    let cluster = Cluster::start(2);
    cluster.elect(1).await;
    let seed = &cluster.placements[1];
    let range = RangeDescriptor { id: RangeId(2), epoch: Default::default(), span: Span::all(), replicas: vec![] };
    let replica = ReplicaStatus {
        descriptor: range.clone(),
        replica: ReplicaId(2),
        is_leader: true,
        term: 6,
        applied: 0,
        size_bytes: 0,
        keys: 0,
        caught_up: vec![],
    };
    let status = NodeStatus {
        node: NodeId(1),
        info: info(1),
        replicas: vec![replica],
        life: Timestamp::ZERO,
        oldest_read: None,
    };
    let leader = cluster.placements[0].leader();
    leader.ask(|| ClusterRequest::Heartbeat(status.clone())).await.unwrap();

    let request =
        JoinRequest { token: 77, rpc_address: "host2:1".into(), sql_address: "b".into(), http_address: "c".into() };
    for _repeated in 0..2 {
        let reply = seed.call(NodeId(0), ClusterRequest::Join(request.clone())).await.unwrap();
        let ClusterReply::Joined { node, nodes, cluster: 7 } = reply else { panic!("{reply:?}") };
        assert_eq!((node, nodes.len()), (NodeId(2), 2));
    }
    let stranger =
        NodeStatus { node: NodeId(9), info: info(9), replicas: vec![], life: Timestamp::ZERO, oldest_read: None };
    let refusal = leader.ask(|| ClusterRequest::Heartbeat(stranger.clone())).await.unwrap_err();
    assert_eq!(refusal, KvError::NotSupported { what: "n9 is not a member of this cluster".into() });

    cluster.elect(2).await;
    let located = leader.ask(|| ClusterRequest::Locate { key: Key::from("x") }).await.unwrap();
    assert!(matches!(located, ClusterReply::Located { descriptor, leader: None } if descriptor == range));
    let ids = leader.ask(|| ClusterRequest::AllocateIds { kind: IdKind::Node, count: 1 }).await.unwrap();
    assert!(matches!(ids, ClusterReply::Ids { first: 3 }));
}

#[tokio::test]
async fn the_founder_is_a_member_also_when_somebody_joins_before_its_first_heartbeat() {
    let cluster = Cluster::start(2);
    cluster.elect(1).await;
    let leader = cluster.placements[0].leader();
    let request =
        JoinRequest { token: 77, rpc_address: "host2:1".into(), sql_address: "b".into(), http_address: "c".into() };
    leader.ask(|| ClusterRequest::Join(request.clone())).await.unwrap();
    let status =
        NodeStatus { node: NodeId(1), info: info(1), replicas: vec![], life: Timestamp::ZERO, oldest_read: None };
    let reply = leader.ask(|| ClusterRequest::Heartbeat(status.clone())).await.unwrap();
    let ClusterReply::Heartbeat { nodes, .. } = reply else { panic!("{reply:?}") };
    assert_eq!(nodes.iter().map(|node| node.node).collect::<Vec<_>>(), [NodeId(1), NodeId(2)]);
}

#[tokio::test]
async fn a_catalog_change_is_unsettled_until_it_shows() {
    let cluster = Cluster::start(1);
    cluster.elect(1).await;
    let clock = cluster.placements[0].timestamps();
    assert!(!clock.fresh().await.unwrap().unsettled);
    clock.announce_catalog_change(TxnId(5)).await.unwrap();
    let number = clock.fresh().await.unwrap();
    assert!(number.unsettled);
    assert!(number.first > cluster.group.catalog.lock().1, "it may commit at its number");
    cluster.group.catalog.lock().0 = CatalogKey { newest: number.first, writer: TxnId(5), pending: None };
    let after = clock.fresh().await.unwrap();
    assert_eq!((after.unsettled, after.catalog), (false, number.first));
}
