//! Several nodes in one process: for tests and for the in-process cluster.
//!
//! Each node has an [`InProcessEndpoint`], named by an address as if it were a real one. Every message is
//! encoded and decoded on its way, so that nothing works here that would not work between processes. A
//! function set by the test decides each message's [`Fate`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::future;
use keyspace::NodeId;
use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

use crate::cluster::{ClusterRequest, ClusterResponse, NodeInfo};
use crate::network::is_open_to_strangers;
use crate::{
    AskError, BoxFuture, Network, NetworkError, RaftEnvelope, Request, Response, Scheduler, Service, Transport, codec,
};

/// Time after which a silent connection is given up, as the keep-alive of real connections would.
const SILENCE: Duration = Duration::from_secs(5);

/// What becomes of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Deliver,
    /// The receiver never sees it; a caller learns after some seconds that there is no answer.
    Drop,
    Delay(Duration),
    /// As if the receiver's process were not there: the sender learns at once.
    Refuse,
}

/// One message under way.
#[derive(Clone, Copy, Debug)]
pub struct Passage<'a> {
    pub from: &'a str,
    pub to: &'a str,
    pub is_raft: bool,
    /// The answer to a request travels too.
    pub is_answer: bool,
}

type Judge = dyn Fn(Passage<'_>) -> Fate + Send + Sync;

/// The wires. Cheap to clone.
#[derive(Clone)]
pub struct InProcessNetwork(Arc<Wires>);

struct Wires {
    scheduler: Scheduler,
    endpoints: RwLock<BTreeMap<String, Weak<InProcessEndpoint>>>,
    judge: RwLock<Option<Arc<Judge>>>,
}

impl InProcessNetwork {
    pub fn new(scheduler: Scheduler) -> InProcessNetwork {
        InProcessNetwork(Arc::new(Wires { scheduler, endpoints: RwLock::default(), judge: RwLock::default() }))
    }

    /// A node's side of the wires. A later endpoint at the same address takes the earlier one's place: the
    /// node was restarted.
    pub fn endpoint(&self, address: &str) -> Arc<InProcessEndpoint> {
        let endpoint = Arc::new(InProcessEndpoint {
            wires: self.0.clone(),
            address: address.to_owned(),
            cluster: AtomicU64::new(0),
            node: AtomicU64::new(0),
            service: RwLock::default(),
            addresses: Mutex::default(),
        });
        self.0.endpoints.write().insert(address.to_owned(), Arc::downgrade(&endpoint));
        endpoint
    }

    /// From now on `judge` decides about every message between two different addresses.
    pub fn set_judge(&self, judge: impl Fn(Passage<'_>) -> Fate + Send + Sync + 'static) {
        *self.0.judge.write() = Some(Arc::new(judge));
    }

    /// Nothing passes between `isolated` and everyone else.
    pub fn isolate(&self, isolated: &[&str]) {
        let isolated: Vec<String> = isolated.iter().map(|address| (*address).to_owned()).collect();
        let inside = move |address: &str| isolated.iter().any(|one| one == address);
        self.set_judge(
            move |passage| {
                if inside(passage.from) == inside(passage.to) { Fate::Deliver } else { Fate::Drop }
            },
        );
    }

    /// Everything is delivered again.
    pub fn heal(&self) {
        *self.0.judge.write() = None;
    }
}

impl fmt::Debug for InProcessNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InProcessNetwork({:?})", self.0.endpoints.read().keys().collect::<Vec<_>>())
    }
}

impl Wires {
    fn fate(&self, passage: Passage<'_>) -> Fate {
        if passage.from == passage.to {
            return Fate::Deliver;
        }
        let judge = self.judge.read().clone();
        judge.map_or(Fate::Deliver, |judge| judge(passage))
    }

    /// Waits as the message's fate says; false if it does not arrive.
    async fn carry(&self, passage: Passage<'_>) -> Result<bool, ()> {
        match self.fate(passage) {
            Fate::Deliver => Ok(true),
            Fate::Drop => Ok(false),
            Fate::Refuse => Err(()),
            Fate::Delay(duration) => {
                self.scheduler.sleep(duration).await;
                Ok(true)
            }
        }
    }

    fn at(&self, address: &str) -> Option<Arc<InProcessEndpoint>> {
        self.endpoints.read().get(address).and_then(Weak::upgrade)
    }
}

/// One node's side of an [`InProcessNetwork`].
pub struct InProcessEndpoint {
    wires: Arc<Wires>,
    address: String,
    cluster: AtomicU64,
    node: AtomicU64,
    service: RwLock<Option<Arc<dyn Service>>>,
    addresses: Mutex<BTreeMap<NodeId, String>>,
}

impl fmt::Debug for InProcessEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InProcessEndpoint({})", self.address)
    }
}

enum Lost {
    /// Nobody is there.
    Refused,
    Silent,
}

impl InProcessEndpoint {
    fn node(&self) -> NodeId {
        NodeId(self.node.load(Ordering::Acquire))
    }

    fn service(&self) -> Option<Arc<dyn Service>> {
        self.service.read().clone()
    }

    fn address_of(&self, node: NodeId) -> Option<String> {
        self.addresses.lock().get(&node).cloned()
    }

    /// There and back. Runs as a task of its own, so that the request goes on when its caller gives up.
    async fn exchange(&self, to: String, expected: Option<NodeId>, request: Request) -> Result<Response, Lost> {
        let (answer, answered) = oneshot::channel();
        let (wires, from, node) = (self.wires.clone(), self.address.clone(), self.node());
        let cluster = self.cluster.load(Ordering::Acquire);
        self.wires.scheduler.spawn("in-process request", async move {
            let there = Passage { from: &from, to: &to, is_raft: false, is_answer: false };
            let outcome = match wires.carry(there).await {
                Err(()) => Err(Lost::Refused),
                Ok(false) => {
                    wires.scheduler.sleep(SILENCE).await;
                    Err(Lost::Silent)
                }
                Ok(true) => answer_at(&wires, &to, expected, cluster, node, request).await,
            };
            let outcome = match outcome {
                Ok(response) => {
                    let back = Passage { from: &to, to: &from, is_raft: false, is_answer: true };
                    match wires.carry(back).await {
                        Err(()) => Err(Lost::Refused),
                        Ok(true) => Ok(response),
                        Ok(false) => {
                            wires.scheduler.sleep(SILENCE).await;
                            Err(Lost::Silent)
                        }
                    }
                }
                lost => lost,
            };
            let _caller_gave_up = answer.send(outcome);
        });
        answered.await.unwrap_or(Err(Lost::Refused))
    }
}

/// Hands the request to whoever is at `to` now.
async fn answer_at(
    wires: &Wires,
    to: &str,
    expected: Option<NodeId>,
    cluster: u64,
    from: NodeId,
    request: Request,
) -> Result<Response, Lost> {
    let endpoint = wires.at(to).ok_or(Lost::Refused)?;
    let is_another =
        expected.is_some_and(|node| node != endpoint.node() || cluster != endpoint.cluster.load(Ordering::Acquire));
    let service = endpoint.service().filter(|_| !is_another).ok_or(Lost::Refused)?;
    assert!(
        expected.is_some() || is_open_to_strangers(&request),
        "an address can only be asked what strangers may ask"
    );
    let request = codec::decode_request(codec::encode_request(&request)).expect("what was encoded can be decoded");
    let response = service.call(from, request).await;
    Ok(codec::decode_response(codec::encode_response(&response)).expect("what was encoded can be decoded"))
}

impl Network for InProcessEndpoint {
    fn call(&self, to: NodeId, request: Request) -> BoxFuture<'_, Result<Response, NetworkError>> {
        if to == self.node() {
            let Some(service) = self.service() else {
                return Box::pin(future::ready(Err(NetworkError::Unreachable(to))));
            };
            return Box::pin(async move { Ok(service.call(to, request).await) });
        }
        let Some(address) = self.address_of(to) else {
            return Box::pin(future::ready(Err(NetworkError::Unreachable(to))));
        };
        Box::pin(
            async move { self.exchange(address, Some(to), request).await.map_err(|_| NetworkError::Unreachable(to)) },
        )
    }

    fn send_raft(&self, to: NodeId, envelopes: Vec<RaftEnvelope>) {
        let Some(address) = (if to == self.node() { Some(self.address.clone()) } else { self.address_of(to) }) else {
            return;
        };
        let (wires, from) = (self.wires.clone(), self.node());
        let hand_over = move |wires: &Wires, address: &str| {
            let Some(endpoint) = wires.at(address).filter(|endpoint| endpoint.node() == to) else {
                return;
            };
            if let Some(service) = endpoint.service() {
                let copy = |envelope| {
                    codec::decode_raft(codec::encode_raft(&envelope)).expect("what was encoded can be decoded")
                };
                service.raft(from, envelopes.into_iter().map(copy).collect());
            }
        };
        let passage = Passage { from: &self.address, to: &address, is_raft: true, is_answer: false };
        match wires.fate(passage) {
            Fate::Drop | Fate::Refuse => {}
            Fate::Deliver => hand_over(&wires, &address),
            Fate::Delay(duration) => {
                let scheduler = wires.scheduler.clone();
                scheduler.spawn("in-process raft", async move {
                    wires.scheduler.sleep(duration).await;
                    hand_over(&wires, &address);
                });
            }
        }
    }
}

impl Transport for InProcessEndpoint {
    fn serve(&self, service: Arc<dyn Service>) {
        *self.service.write() = Some(service);
    }

    fn identify(&self, cluster: u64, node: NodeId) {
        self.cluster.store(cluster, Ordering::Release);
        self.node.store(node.0, Ordering::Release);
    }

    fn learn(&self, nodes: &[NodeInfo]) {
        let mut addresses = self.addresses.lock();
        for info in nodes {
            addresses.insert(info.node, info.rpc_address.clone());
        }
    }

    fn ask(&self, address: &str, request: ClusterRequest) -> BoxFuture<'_, Result<ClusterResponse, AskError>> {
        let address = address.to_owned();
        Box::pin(async move {
            match self.exchange(address.clone(), None, Request::Cluster(request)).await {
                Ok(Response::Cluster(response)) => Ok(response),
                Ok(Response::Range(_)) => {
                    Err(AskError::Refused { address, why: "the answer is of another kind".into() })
                }
                Err(Lost::Refused) => Err(AskError::NoAnswer { address, why: "connection refused".into() }),
                Err(Lost::Silent) => Err(AskError::NoAnswer { address, why: "no answer".into() }),
            }
        })
    }

    fn close(&self) {
        *self.service.write() = None;
        let mut endpoints = self.wires.endpoints.write();
        // A restarted node may have taken the address already.
        if endpoints.get(&self.address).is_some_and(|there| std::ptr::eq(there.as_ptr(), self)) {
            endpoints.remove(&self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::tokio_scheduler;
    use crate::testing::Echo;
    use keyspace::{RangeId, ReplicaId};

    fn info(node: u64, address: &str) -> NodeInfo {
        NodeInfo {
            node: NodeId(node),
            rpc_address: address.into(),
            sql_address: String::new(),
            http_address: String::new(),
            silent_ms: 0,
            live: true,
        }
    }

    fn pair() -> (InProcessNetwork, Vec<Arc<InProcessEndpoint>>, Vec<Arc<Echo>>) {
        let network = InProcessNetwork::new(tokio_scheduler(100));
        let (mut endpoints, mut echoes) = (Vec::new(), Vec::new());
        for (node, address) in [(1, "a"), (2, "b")] {
            let (endpoint, echo) = (network.endpoint(address), Arc::new(Echo::default()));
            endpoint.serve(echo.clone());
            endpoint.identify(7, NodeId(node));
            endpoint.learn(&[info(1, "a"), info(2, "b")]);
            endpoints.push(endpoint);
            echoes.push(echo);
        }
        (network, endpoints, echoes)
    }

    #[tokio::test]
    async fn calls_and_raft_messages_arrive_until_a_partition_and_after_it() {
        let (network, nodes, echoes) = pair();
        let envelope = RaftEnvelope {
            range: RangeId(1),
            from: (NodeId(1), ReplicaId(1)),
            to: (NodeId(2), ReplicaId(2)),
            message: vec![1].into(),
        };
        assert_eq!(Echo::ask(&*nodes[0], NodeId(2), 5).await, Ok((NodeId(1), 5)));
        assert_eq!(Echo::ask(&*nodes[0], NodeId(1), 6).await, Ok((NodeId(1), 6)));
        nodes[0].send_raft(NodeId(2), vec![envelope.clone()]);
        assert_eq!(echoes[1].raft_messages(), 1);

        network.isolate(&["b"]);
        nodes[0].send_raft(NodeId(2), vec![envelope.clone()]);
        assert_eq!(Echo::ask(&*nodes[0], NodeId(2), 5).await, Err(NetworkError::Unreachable(NodeId(2))));
        assert_eq!(echoes[1].raft_messages(), 1);

        network.heal();
        nodes[0].send_raft(NodeId(2), vec![envelope]);
        assert_eq!(echoes[1].raft_messages(), 2);

        nodes[1].close();
        assert_eq!(Echo::ask(&*nodes[0], NodeId(2), 5).await, Err(NetworkError::Unreachable(NodeId(2))));
    }

    #[tokio::test]
    async fn a_request_is_carried_out_when_its_answer_is_lost() {
        let (network, nodes, echoes) = pair();
        network.set_judge(|passage| if passage.is_answer { Fate::Drop } else { Fate::Deliver });
        assert_eq!(Echo::ask(&*nodes[0], NodeId(2), 5).await, Err(NetworkError::Unreachable(NodeId(2))));
        assert_eq!(echoes[1].calls(), 1);
    }

    #[tokio::test]
    async fn strangers_are_answered_by_address() {
        let (network, _nodes, _echoes) = pair();
        let stranger = network.endpoint("c");
        let answer = stranger.ask("b", ClusterRequest::Survey).await.unwrap();
        assert!(answer.is_ok());
        assert!(matches!(stranger.ask("d", ClusterRequest::Survey).await, Err(AskError::NoAnswer { .. })));
    }
}
