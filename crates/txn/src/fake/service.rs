//! The nodes and ranges of the fake, what travels between them, and what can go wrong on the way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use env::{BoxFuture, Env};
use keyspace::{Epoch, Key, NodeId, RangeId, ReplicaId, Span, TxnId};
use parking_lot::Mutex;
use rpc::cluster::{ClusterReply, ClusterRequest};
use rpc::range::{
    AdminReply, AdminRequest, LockWait, RangeBody, RangeDescriptor, RangeReply, RangeRequest, RangeResponse,
    ReplicaDescriptor, ReplicaRole,
};
use rpc::{KvError, KvResult, Network, NetworkError, RaftEnvelope, Request, Response};
use tokio::sync::Notify;

use super::store::{Stop, Store};
use super::{Evaluator, FakeOracle, Shared};
use crate::{Directory, Oracle, TxnError, TxnResult};

/// The kinds of messages that a fault can be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Read,
    Refresh,
    ReleaseLocks,
    CommitOneRange,
    Prewrite,
    CommitRecord,
    AbortRecord,
    Heartbeat,
    CheckKeys,
    Resolve,
    Forget,
}

/// What happens to the next message of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not arrive.
    LoseRequest,
    /// It is carried out and nobody hears of it.
    LoseAnswer,
    /// It arrives twice; the first answer counts.
    Repeat,
    /// It is carried out twice, the second time long after everybody has forgotten it.
    RepeatAfter(Duration),
    /// It is held up before it arrives.
    Delay(Duration),
}

/// A whole cluster.
pub struct Fake {
    env: Env,
    oracle: Arc<FakeOracle>,
    store: Shared<Store>,
    map: Mutex<Map>,
    changed: Notify,
    faults: Mutex<VecDeque<(Step, Option<Key>, Fault)>>,
    traffic: Mutex<Vec<String>>,
    latency_us_max: AtomicU64,
}

struct Map {
    ranges: BTreeMap<Key, Range>,
    down: BTreeSet<NodeId>,
    nodes: u64,
}

#[derive(Clone)]
struct Range {
    descriptor: RangeDescriptor,
    leader: NodeId,
}

impl Fake {
    /// Ranges begin at `split_keys`; every node holds all of them, and they are led in turn.
    pub fn new(env: Env, nodes: u64, split_keys: impl IntoIterator<Item = Key>) -> Arc<Fake> {
        let starts: BTreeSet<Key> = std::iter::once(Key::MIN).chain(split_keys).collect();
        let ends = starts.iter().skip(1).cloned().chain([Key::MAX]);
        let replicas = |range: u64| {
            (1..=nodes).map(move |node| ReplicaDescriptor {
                node: NodeId(node),
                replica: ReplicaId(range * 10 + node),
                role: ReplicaRole::Voter,
            })
        };
        let range = |(number, (start, end)): (usize, (&Key, Key))| {
            let id = number as u64 + 1;
            let descriptor = RangeDescriptor {
                id: RangeId(id),
                epoch: Epoch { config: 1, span: 1 },
                span: Span::new(start.clone(), end),
                replicas: replicas(id).collect(),
            };
            (start.clone(), Range { descriptor, leader: NodeId(number as u64 % nodes + 1) })
        };
        let ranges = starts.iter().zip(ends).enumerate().map(range).collect();
        let oracle = Arc::new(FakeOracle::new(env.clone()));
        let store = Store::new(oracle.clone(), env.knobs().txn_expiry);
        Arc::new(Fake {
            env,
            oracle,
            store: Arc::new(Mutex::new(store)),
            map: Mutex::new(Map { ranges, down: BTreeSet::new(), nodes }),
            changed: Notify::new(),
            faults: Mutex::default(),
            traffic: Mutex::default(),
            latency_us_max: AtomicU64::new(0),
        })
    }

    pub fn env(&self) -> Env {
        self.env.clone()
    }

    pub fn oracle(&self) -> Arc<FakeOracle> {
        self.oracle.clone()
    }

    pub fn network(self: &Arc<Self>, _from: NodeId) -> Arc<dyn Network> {
        Arc::new(FakeNetwork(self.clone()))
    }

    pub fn directory(self: &Arc<Self>) -> Arc<dyn Directory> {
        Arc::new(FakeDirectory(self.clone()))
    }

    /// Runs the push-down programs of scans.
    pub fn set_evaluator(&self, evaluator: Arc<dyn Evaluator>) {
        self.store.lock().evaluator = Some(evaluator);
    }

    // ---- mistreatment ----

    /// Every message, and every answer, is on its way for up to this long. At first they take no time at all, and
    /// tasks that do not have to wait run without a break.
    pub fn set_latency(&self, latency_max: Duration) {
        self.latency_us_max.store(latency_max.as_micros() as u64, Ordering::Relaxed);
    }

    /// The next message of this kind, to the range of `key` if given, suffers this.
    pub fn inject(&self, step: Step, key: Option<Key>, fault: Fault) {
        self.faults.lock().push_back((step, key, fault));
    }

    /// A node that is down answers nobody; ranges it leads have no leader until one is chosen.
    pub fn set_down(&self, node: NodeId, is_down: bool) {
        let mut map = self.map.lock();
        if is_down {
            map.down.insert(node);
        } else {
            map.down.remove(&node);
        }
        drop(map);
        self.changed.notify_waiters();
    }

    /// Another node leads the range of `key`. `planned`: locks move with it; else they are lost.
    pub fn move_leader(&self, key: &Key, to: NodeId, planned: bool) {
        let span = {
            let mut map = self.map.lock();
            let range = map.range_mut(key);
            range.leader = to;
            range.descriptor.span.clone()
        };
        if !planned {
            self.store.lock().locks.lose(&span);
        }
        self.changed.notify_waiters();
    }

    /// Cuts the range of `at` there.
    pub fn split(&self, at: Key) {
        let mut map = self.map.lock();
        let right = RangeId(map.ranges.values().map(|range| range.descriptor.id.0).max().unwrap_or(0) + 1);
        map.split(at, right);
        drop(map);
        self.changed.notify_waiters();
    }

    // ---- looking inside ----

    /// Versions, intents, records and locks, one per line.
    pub fn describe(&self) -> Vec<String> {
        let store = self.store.lock();
        let mut lines = store.describe();
        lines.extend(store.locks.describe().into_iter().map(|line| format!("lock {line}")));
        lines
    }

    /// The messages that arrived since the last call, as short lines.
    pub fn take_traffic(&self) -> Vec<String> {
        std::mem::take(&mut self.traffic.lock())
    }

    // ---- the network ----

    async fn call(self: Arc<Self>, to: NodeId, request: Request) -> Result<Response, NetworkError> {
        self.travel().await;
        let answer = self.deliver(to, request).await;
        self.travel().await;
        answer
    }

    async fn travel(&self) {
        let latency_us_max = self.latency_us_max.load(Ordering::Relaxed);
        if latency_us_max > 0 {
            self.env.sleep(Duration::from_micros(self.env.random_below(latency_us_max))).await;
        }
    }

    async fn deliver(self: &Arc<Self>, to: NodeId, request: Request) -> Result<Response, NetworkError> {
        if self.map.lock().down.contains(&to) {
            return Err(NetworkError::Unreachable(to));
        }
        let request = match request {
            Request::Range(request) => request,
            Request::Cluster(request) => return Ok(Response::Cluster(self.cluster(request).await)),
        };
        match self.fault_for(&request) {
            None => Ok(Response::Range(self.range(to, request).await)),
            Some(Fault::LoseRequest) => Err(self.silence(to).await),
            Some(Fault::LoseAnswer) => {
                let _lost = self.range(to, request).await;
                Err(self.silence(to).await)
            }
            Some(Fault::Repeat) => {
                let answer = self.range(to, request.clone()).await;
                let _again = self.range(to, request).await;
                Ok(Response::Range(answer))
            }
            Some(Fault::RepeatAfter(pause)) => {
                let answer = self.range(to, request.clone()).await;
                let this = self.clone();
                self.env.spawn("a message from the past", async move {
                    this.env.sleep(pause).await;
                    let _again = this.range(to, request).await;
                });
                Ok(Response::Range(answer))
            }
            Some(Fault::Delay(pause)) => {
                self.env.sleep(pause).await;
                Ok(Response::Range(self.range(to, request).await))
            }
        }
    }

    /// Nothing is heard until the one who asked has waited long enough.
    async fn silence(&self, from: NodeId) -> NetworkError {
        self.env.sleep(self.env.knobs().rpc_timeout).await;
        NetworkError::Timeout(from)
    }

    fn fault_for(&self, request: &RangeRequest) -> Option<Fault> {
        let step = step_of(&request.body)?;
        let map = self.map.lock();
        let mut faults = self.faults.lock();
        let is_meant = |(at, key, _): &(Step, Option<Key>, Fault)| {
            *at == step && key.as_ref().is_none_or(|key| map.range(key).descriptor.id == request.range)
        };
        let position = faults.iter().position(is_meant)?;
        faults.remove(position).map(|(_, _, fault)| fault)
    }

    // ---- the service ----

    async fn cluster(&self, request: ClusterRequest) -> KvResult<ClusterReply> {
        match request {
            ClusterRequest::Locate { key } => {
                let map = self.map.lock();
                let range = map.range(&key);
                Ok(ClusterReply::Located { descriptor: range.descriptor.clone(), leader: Some(range.leader) })
            }
            other => Err(KvError::NotSupported { what: format!("{other:?} by the fake") }),
        }
    }

    async fn range(&self, node: NodeId, request: RangeRequest) -> RangeResponse {
        let mut place = Place { fake: self, txn: None, key: None };
        let mut waits_until = None;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let stop = match self.evaluate(node, &request) {
                Ok(reply) => {
                    self.note(&request, None);
                    self.changed.notify_waiters();
                    return Ok(reply);
                }
                Err(stop) => stop,
            };
            let pause = match stop {
                Stop::Fail(error) => {
                    self.note(&request, Some(&error));
                    self.changed.notify_waiters();
                    return Err(error);
                }
                Stop::Wait(pause) => pause,
                Stop::WaitForLock { key, holder } => {
                    let txn = txn_of(&request.body).expect("only transactions wait for locks");
                    place.stand_in(txn, key.clone());
                    if let Some(cycle) = self.store.lock().locks.cycle(txn) {
                        return Err(KvError::Deadlock { cycle });
                    }
                    let until = *waits_until
                        .get_or_insert_with(|| lock_timeout(&request.body).map(|limit| self.env.now() + limit));
                    let left = until.map_or(Duration::from_secs(3600), |until| until.since(self.env.now()));
                    if left.is_zero() {
                        return Err(KvError::LockNotAvailable { key, holder, timed_out: true });
                    }
                    left
                }
            };
            if !pause.is_zero() {
                let _passed = self.env.timeout(pause, changed).await;
            }
        }
    }

    fn evaluate(&self, node: NodeId, request: &RangeRequest) -> Result<RangeReply, Stop> {
        let span = self.authorize(node, request)?;
        if let RangeBody::Admin(admin) = &request.body {
            return self.administrate(request.range, admin).map_err(Stop::from);
        }
        let mut store = self.store.lock();
        store.now = self.env.now();
        match &request.body {
            RangeBody::Read(read) => store.read(read),
            RangeBody::Refresh(refresh) => store.refresh(refresh),
            RangeBody::ReleaseLocks(release) => {
                match &release.keys {
                    None => store.locks.end(release.txn, &span),
                    Some(keys) => keys.iter().for_each(|key| store.locks.release(release.txn, key)),
                }
                release.weaken.iter().for_each(|(key, mode)| store.locks.weaken(release.txn, key, *mode));
                Ok(RangeReply::Released)
            }
            RangeBody::CommitOneRange(commit) => store.commit_one_range(&span, &commit.writes),
            RangeBody::Prewrite(prewrite) => store.prewrite(&span, prewrite),
            RangeBody::Record(record) => store.record(record).map_err(Stop::from),
            RangeBody::Resolve(resolve) => Ok(store.resolve(&span, resolve)),
            RangeBody::CheckKeys(check) => Ok(store.check_keys(check)),
            RangeBody::Admin(_) => unreachable!("answered above"),
        }
    }

    /// Is this the right node, under the right descriptor? Answers with the range's span.
    fn authorize(&self, node: NodeId, request: &RangeRequest) -> KvResult<Span> {
        let map = self.map.lock();
        let range = map.ranges.values().find(|range| range.descriptor.id == request.range);
        let Some(range) = range else { return Err(KvError::RangeNotFound { range: request.range }) };
        if range.leader != node {
            return Err(KvError::NotLeader { range: request.range, leader: Some(range.leader) });
        }
        if range.descriptor.epoch != request.epoch {
            let current = map.ranges.values().map(|range| range.descriptor.clone()).collect();
            return Err(KvError::StaleEpoch { current });
        }
        let span = range.descriptor.span.clone();
        assert!(keys_of(&request.body).iter().all(|key| span.contains(key)), "{request:?} reaches out of {span}");
        Ok(span)
    }

    fn administrate(&self, range: RangeId, request: &AdminRequest) -> KvResult<RangeReply> {
        let mut map = self.map.lock();
        match request {
            AdminRequest::Describe => {}
            AdminRequest::Split { at, right, .. } => map.split(at.clone(), *right),
            other => return Err(KvError::NotSupported { what: format!("{other:?} by the fake") }),
        }
        let near = |other: &&Range| other.descriptor.id.0.abs_diff(range.0) <= 1 || other.descriptor.id >= range;
        let descriptors = map.ranges.values().filter(near).map(|range| range.descriptor.clone()).collect();
        Ok(RangeReply::Admin(AdminReply::Descriptors(descriptors)))
    }

    fn note(&self, request: &RangeRequest, error: Option<&KvError>) {
        let Some(step) = step_of(&request.body) else { return };
        let outcome = error.map_or(String::new(), |error| format!(": {error}"));
        self.traffic.lock().push(format!("{step:?} {}{outcome}", request.range));
    }
}

impl Map {
    fn range(&self, key: &Key) -> &Range {
        let before = self.ranges.range::<Key, _>(..=key).next_back();
        before.expect("ranges cover every key").1
    }

    fn range_mut(&mut self, key: &Key) -> &mut Range {
        assert!(self.nodes > 0, "a cluster has nodes");
        let before = self.ranges.range_mut::<Key, _>(..=key).next_back();
        before.expect("ranges cover every key").1
    }

    fn split(&mut self, at: Key, right: RangeId) {
        let left = self.range_mut(&at);
        if left.descriptor.span.start == at {
            return;
        }
        let mut cut_off = left.clone();
        left.descriptor.span.end = at.clone();
        left.descriptor.epoch.span += 1;
        cut_off.descriptor.id = right;
        cut_off.descriptor.span.start = at.clone();
        cut_off.descriptor.epoch.span += 1;
        self.ranges.insert(at, cut_off);
    }
}

/// Leaves the queue when the request ends, however it ends.
struct Place<'a> {
    fake: &'a Fake,
    txn: Option<TxnId>,
    key: Option<Key>,
}

impl Place<'_> {
    fn stand_in(&mut self, txn: TxnId, key: Key) {
        if self.key.as_ref() != Some(&key) {
            self.leave();
        }
        self.txn = Some(txn);
        self.key = Some(key);
    }

    fn leave(&mut self) {
        if let (Some(txn), Some(key)) = (self.txn, self.key.take()) {
            self.fake.store.lock().locks.leave_queue(&key, txn);
            self.fake.changed.notify_waiters();
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

fn txn_of(body: &RangeBody) -> Option<TxnId> {
    match body {
        RangeBody::Read(read) => read.txn,
        RangeBody::CommitOneRange(commit) => Some(commit.writes.txn),
        RangeBody::Prewrite(prewrite) => Some(prewrite.writes.txn),
        _ => None,
    }
}

fn lock_timeout(body: &RangeBody) -> Option<Duration> {
    match body {
        RangeBody::Read(read) => match read.lock?.wait {
            LockWait::Block { timeout } => timeout,
            LockWait::NoWait | LockWait::SkipLocked => None,
        },
        _ => None,
    }
}

fn step_of(body: &RangeBody) -> Option<Step> {
    use rpc::range::RecordOp;
    Some(match body {
        RangeBody::Read(_) => Step::Read,
        RangeBody::Refresh(_) => Step::Refresh,
        RangeBody::ReleaseLocks(_) => Step::ReleaseLocks,
        RangeBody::CommitOneRange(_) => Step::CommitOneRange,
        RangeBody::Prewrite(_) => Step::Prewrite,
        RangeBody::Resolve(_) => Step::Resolve,
        RangeBody::CheckKeys(_) => Step::CheckKeys,
        RangeBody::Record(record) => match record.op {
            RecordOp::Commit { .. } => Step::CommitRecord,
            RecordOp::Abort => Step::AbortRecord,
            RecordOp::Heartbeat => Step::Heartbeat,
            RecordOp::Forget => Step::Forget,
            RecordOp::Query { .. } | RecordOp::Recover { .. } => return None,
        },
        RangeBody::Admin(_) => return None,
    })
}

fn keys_of(body: &RangeBody) -> Vec<Key> {
    use rpc::range::ReadOp;
    match body {
        RangeBody::Read(read) => {
            let first = |op: &'_ ReadOp| match op {
                ReadOp::Get { key, .. } => key.clone(),
                ReadOp::Scan(scan) => scan.span.start.clone(),
            };
            read.reads.iter().map(first).collect()
        }
        RangeBody::Refresh(refresh) => refresh.spans.iter().map(|span| span.start.clone()).collect(),
        RangeBody::CommitOneRange(commit) => {
            commit.writes.mutations.iter().map(|mutation| mutation.key.clone()).collect()
        }
        RangeBody::Prewrite(prewrite) => {
            prewrite.writes.mutations.iter().map(|mutation| mutation.key.clone()).collect()
        }
        RangeBody::Record(record) => vec![record.anchor.clone()],
        RangeBody::CheckKeys(check) => check.keys.clone(),
        RangeBody::ReleaseLocks(release) => release.keys.clone().unwrap_or_default(),
        RangeBody::Resolve(_) | RangeBody::Admin(_) => Vec::new(),
    }
}

struct FakeNetwork(Arc<Fake>);

impl Network for FakeNetwork {
    fn call(&self, to: NodeId, request: Request) -> BoxFuture<'_, Result<Response, NetworkError>> {
        Box::pin(self.0.clone().call(to, request))
    }

    fn send_raft(&self, _to: NodeId, _envelopes: Vec<RaftEnvelope>) {}
}

struct FakeDirectory(Arc<Fake>);

impl Directory for FakeDirectory {
    fn locate(&self, key: &Key) -> BoxFuture<'_, TxnResult<(RangeDescriptor, Option<NodeId>)>> {
        let key = key.clone();
        Box::pin(async move {
            match self.0.cluster(ClusterRequest::Locate { key }).await {
                Ok(ClusterReply::Located { descriptor, leader }) => Ok((descriptor, leader)),
                Ok(other) => Err(TxnError::Corrupt { what: format!("{other:?}") }),
                Err(error) => Err(error.into()),
            }
        })
    }
}

/// The oracle is handed in as a trait object.
const _: fn(Arc<FakeOracle>) -> Arc<dyn Oracle> = |oracle| oracle;
