//! # Where a key's range is, and who leads it
//!
//! A cache from spans to range descriptors, each with the node that led it last. It is filled from the
//! [`Directory`] and corrected by the ranges themselves: a range refuses what is addressed under an old epoch
//! or to a follower, and says what is right. An entry may thus be wrong, never harmful.
//!
//! [`Router::send`] gets one request to the leader of one range. What it can cure by asking again it cures
//! itself, with pauses that grow, until [`env::Knobs::range_unavailable`] has passed without an answer: every
//! request is idempotent. When the *range* turns out to be another one (a split, a move), it answers
//! [`Sent::Rerouted`]: its caller divides the work anew under the cache as it is now. [`Router::scatter`] does
//! that for lists of keys or spans.
//!
//! The leader on this very node is called through the same [`Network`]: a plain function call.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use env::{BoxFuture, Env, Mono};
use futures::stream::{FuturesUnordered, StreamExt};
use keyspace::{Key, NodeId, Span};
use parking_lot::RwLock;
use rpc::range::{AdminReply, AdminRequest, RangeBody, RangeDescriptor, RangeReply, RangeRequest, ReplicaRole};
use rpc::{KvError, KvResult, Network, NetworkError, Request, Response};

use crate::TxnResult;
use crate::metrics::Metrics;

/// Where ranges are (`placement`'s directory, handed in by `node`). Answers may be old: ranges refuse
/// what is addressed wrongly and say what is right.
pub trait Directory: Send + Sync + 'static {
    fn locate(&self, key: &Key) -> BoxFuture<'_, TxnResult<(RangeDescriptor, Option<NodeId>)>>;
}

/// A range as the cache knows it.
#[derive(Debug)]
pub(crate) struct Route {
    pub descriptor: RangeDescriptor,
    leader: AtomicU64,
}

const LEADER_UNKNOWN: u64 = u64::MAX;

impl Route {
    fn new(descriptor: RangeDescriptor, leader: Option<NodeId>) -> Route {
        Route { descriptor, leader: AtomicU64::new(leader.map_or(LEADER_UNKNOWN, |node| node.0)) }
    }

    pub fn span(&self) -> &Span {
        &self.descriptor.span
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        self.descriptor.span.contains(key)
    }

    fn leader(&self) -> Option<NodeId> {
        let leader = self.leader.load(Ordering::Relaxed);
        (leader != LEADER_UNKNOWN).then_some(NodeId(leader))
    }

    fn set_leader(&self, leader: Option<NodeId>) {
        let leader = leader.map_or(LEADER_UNKNOWN, |node| node.0);
        if self.leader.load(Ordering::Relaxed) != leader {
            self.leader.store(leader, Ordering::Relaxed);
        }
    }
}

/// How a request to one range ended.
pub(crate) enum Sent {
    Answer(RangeReply),
    /// The range is another one now; the cache has learned it. Nothing of this request has happened under the
    /// new descriptor; an earlier copy of it may have happened under the old one.
    Rerouted,
}

/// How long one request has been tried. Costs nothing until something fails.
#[derive(Clone)]
pub(crate) struct Patience {
    since: Option<Mono>,
    pause: Duration,
    tries: u32,
    /// The request waits in a queue at the leader, as long as it takes: silence is no sign of a dead node.
    waits: bool,
    /// Times that the leader was silent about the request and well otherwise.
    silences: u32,
}

const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// Requests that wait for locks are sent again less often: each copy stands in the queue.
const LOCK_WAIT_FACTOR: u32 = 4;

/// How often a request that does not wait for a lock may be met with silence: a minute, for what waits on the fate of
/// other transactions.
const SILENCES_MAX: u32 = 30;

impl Patience {
    pub fn new() -> Patience {
        Patience { since: None, pause: PAUSE_MIN, tries: 0, waits: false, silences: 0 }
    }

    pub fn for_lock_waits(waits: bool) -> Patience {
        Patience { waits, ..Patience::new() }
    }

    /// Has no request been sent whose answer did not come, or was no answer?
    pub fn is_fresh(&self) -> bool {
        self.tries == 0
    }

    /// Pauses; `false` when it has been too long.
    async fn pause(&mut self, env: &Env) -> bool {
        let now = env.now();
        let since = *self.since.get_or_insert(now);
        if now.since(since) >= env.knobs().range_unavailable {
            return false;
        }
        let jitter = Duration::from_micros(env.random_below(self.pause.as_micros() as u64 / 2 + 1));
        env.sleep(self.pause / 2 + jitter).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        true
    }

    fn has_answered(&mut self) {
        self.since = None;
        self.pause = PAUSE_MIN;
    }
}

pub(crate) struct Router {
    env: Env,
    node: NodeId,
    network: Arc<dyn Network>,
    directory: Arc<dyn Directory>,
    /// By first key. Entries do not overlap.
    routes: RwLock<BTreeMap<Key, Arc<Route>>>,
    metrics: Arc<Metrics>,
}

impl Router {
    pub fn new(
        env: Env,
        node: NodeId,
        network: Arc<dyn Network>,
        directory: Arc<dyn Directory>,
        metrics: Arc<Metrics>,
    ) -> Router {
        Router { env, node, network, directory, routes: RwLock::default(), metrics }
    }

    // ---- the cache ----

    pub fn cached(&self, key: &[u8]) -> Option<Arc<Route>> {
        let routes = self.routes.read();
        let (_, route) = routes.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back()?;
        route.contains(key).then(|| route.clone())
    }

    /// The cached range that holds the keys just below `end`.
    pub fn cached_before(&self, end: &Key) -> Option<Arc<Route>> {
        let routes = self.routes.read();
        let (_, route) = routes.range::<Key, _>(..end).next_back()?;
        (route.span().end >= *end).then(|| route.clone())
    }

    /// The range that holds `key`.
    pub async fn route(&self, key: &Key, patience: &mut Patience) -> KvResult<Arc<Route>> {
        loop {
            if let Some(route) = self.cached(key) {
                return Ok(route);
            }
            self.ask_directory(key, patience).await?;
        }
    }

    /// The range that holds the keys just below `end`.
    pub async fn route_before(&self, end: &Key, patience: &mut Patience) -> KvResult<Arc<Route>> {
        if let Some(route) = self.cached_before(end) {
            return Ok(route);
        }
        let mut route = self.route(&just_below(end), patience).await?;
        while route.span().end < *end {
            route = self.route(&route.span().end.clone(), patience).await?;
        }
        Ok(route)
    }

    async fn ask_directory(&self, key: &Key, patience: &mut Patience) -> KvResult<()> {
        loop {
            let why = match self.directory.locate(key).await {
                Ok((descriptor, leader)) if descriptor.span.contains(key) => {
                    let epoch = descriptor.epoch;
                    self.learn(descriptor, leader);
                    if self.cached(key).is_some() {
                        return Ok(());
                    }
                    // We know a newer state of that range, without this key; where the key is now has not got there yet.
                    format!("the directory has not heard of a split and answers epoch {epoch} for {key}")
                }
                Ok((descriptor, _)) => format!("the directory answered {} for {key}", descriptor.span),
                Err(error) => format!("the directory does not know where {key} is: {error}"),
            };
            if !patience.pause(&self.env).await {
                return Err(KvError::Unavailable { range: keyspace::RangeId(0), why });
            }
        }
    }

    /// Takes a descriptor over, unless a newer one of the same range is known.
    pub fn learn(&self, descriptor: RangeDescriptor, leader: Option<NodeId>) {
        let mut routes = self.routes.write();
        let before = routes.range::<Key, _>(..&descriptor.span.start).next_back().map(|(start, _)| start.clone());
        let first = before.unwrap_or_else(|| descriptor.span.start.clone());
        let overlapping: Vec<Arc<Route>> = routes
            .range::<Key, _>(&first..&descriptor.span.end)
            .map(|(_, route)| route.clone())
            .filter(|route| route.span().overlaps(&descriptor.span))
            .collect();
        let is_old = |route: &Arc<Route>| {
            route.descriptor.id == descriptor.id
                && (route.descriptor.epoch > descriptor.epoch || route.descriptor == descriptor)
        };
        if let Some(known) = overlapping.iter().find(|route| is_old(route)) {
            if leader.is_some() && known.descriptor == descriptor {
                known.set_leader(leader);
            }
            return;
        }
        // A range that was just cut off is led where the whole was.
        let leader = leader.or_else(|| overlapping.iter().find_map(|route| route.leader()));
        let leader = leader.filter(|node| descriptor.replicas.iter().any(|replica| replica.node == *node));
        for route in overlapping {
            routes.remove(&route.span().start);
        }
        routes.insert(descriptor.span.start.clone(), Arc::new(Route::new(descriptor, leader)));
    }

    /// Takes over the descriptors that an answer to an administrative request carries.
    pub fn learn_reply(&self, reply: &RangeReply) {
        if let RangeReply::Admin(AdminReply::Descriptors(descriptors)) = reply {
            for descriptor in descriptors {
                self.learn(descriptor.clone(), None);
            }
        }
    }

    fn forget(&self, route: &Arc<Route>) {
        let mut routes = self.routes.write();
        if routes.get(&route.span().start).is_some_and(|cached| Arc::ptr_eq(cached, route)) {
            routes.remove(&route.span().start);
        }
    }

    // ---- one request to one range ----

    /// Gets what `make` builds to the range's leader. Errors that asking again cures do not come out; what
    /// comes out as [`KvError::Unavailable`] may have been carried out.
    pub async fn send(
        &self,
        route: &Arc<Route>,
        patience: &mut Patience,
        make: impl Fn() -> RangeBody,
    ) -> KvResult<Sent> {
        loop {
            let target = self.target(route, patience);
            let descriptor = &route.descriptor;
            let request = RangeRequest { range: descriptor.id, epoch: descriptor.epoch, body: make() };
            let answer = self.call(target, request, patience).await;
            let failure = match answer {
                Ok(Response::Range(Ok(reply))) => {
                    route.set_leader(Some(target));
                    return Ok(Sent::Answer(reply));
                }
                Ok(Response::Range(Err(error))) => Failure::Range(error),
                Ok(Response::Cluster(_)) => Failure::Network(NetworkError::Refused {
                    node: target,
                    why: "it answered a range request as a cluster request".to_owned(),
                }),
                Err(error) => Failure::Network(error),
            };
            if self.cure(route, target, failure, patience).await? {
                return Ok(Sent::Rerouted);
            }
        }
    }

    /// On this node a plain function call, which takes as long as it takes; to others with a limit on silence.
    async fn call(&self, to: NodeId, request: RangeRequest, patience: &Patience) -> Result<Response, NetworkError> {
        let call = self.network.call(to, Request::Range(request));
        if to == self.node {
            return call.await;
        }
        let limit = self.env.knobs().rpc_timeout * if patience.waits { LOCK_WAIT_FACTOR } else { 1 };
        self.env.timeout(limit, call).await.unwrap_or(Err(NetworkError::Timeout(to)))
    }

    fn target(&self, route: &Route, patience: &Patience) -> NodeId {
        if let Some(leader) = route.leader() {
            return leader;
        }
        let voters = || route.descriptor.replicas.iter().filter(|replica| replica.role == ReplicaRole::Voter);
        let count = voters().count();
        if count == 0 {
            return self.node;
        }
        let first = voters().position(|replica| replica.node == self.node).unwrap_or(0);
        let turn = (first + patience.tries as usize) % count;
        voters().nth(turn).map_or(self.node, |replica| replica.node)
    }

    /// Prepares the next try. `true`: the work has to be divided anew.
    async fn cure(
        &self,
        route: &Arc<Route>,
        target: NodeId,
        failure: Failure,
        patience: &mut Patience,
    ) -> KvResult<bool> {
        patience.tries += 1;
        let range = route.descriptor.id;
        let why = match failure {
            Failure::Range(KvError::NotLeader { leader: Some(leader), .. }) if leader != target => {
                self.metrics.route_corrections.inc();
                route.set_leader(Some(leader));
                // Two nodes that each think the other leads: let time pass.
                if patience.tries <= 2 {
                    return Ok(false);
                }
                format!("{target} says that {leader} leads {range}")
            }
            Failure::Range(error @ KvError::NotLeader { .. }) => {
                self.metrics.route_corrections.inc();
                route.set_leader(None);
                error.to_string()
            }
            Failure::Range(KvError::StaleEpoch { current }) => {
                self.metrics.route_corrections.inc();
                let is_newer = current.iter().any(|now| now.id != range || now.epoch > route.descriptor.epoch);
                for descriptor in current {
                    self.learn(descriptor, None);
                }
                if is_newer {
                    return Ok(true);
                }
                route.set_leader(None);
                format!("{target} holds an older {range}")
            }
            Failure::Range(error @ KvError::RangeNotFound { .. }) => {
                self.metrics.route_corrections.inc();
                route.set_leader(None);
                self.forget(route);
                if !patience.pause(&self.env).await {
                    return Err(KvError::Unavailable { range, why: error.to_string() });
                }
                return Ok(true);
            }
            Failure::Range(error @ KvError::Stopping { .. }) => {
                route.set_leader(None);
                error.to_string()
            }
            Failure::Range(error @ (KvError::Ambiguous { .. } | KvError::Unavailable { .. })) => error.to_string(),
            Failure::Range(error) => return Err(error),
            Failure::Network(NetworkError::Timeout(_)) if self.is_waited_for(route, target, patience).await => {
                return Ok(false);
            }
            Failure::Network(error) => {
                route.set_leader(None);
                error.to_string()
            }
        };
        self.metrics.route_retries.inc();
        if !patience.pause(&self.env).await {
            return Err(KvError::Unavailable { range, why });
        }
        self.look_again(route, patience).await
    }

    /// After a round through all replicas without success, asks the directory whether the range has moved.
    async fn look_again(&self, route: &Arc<Route>, patience: &Patience) -> KvResult<bool> {
        let round = route.descriptor.replicas.len().max(1) as u32;
        if patience.tries.is_multiple_of(round)
            && let Ok((descriptor, leader)) = self.directory.locate(&route.span().start).await
        {
            self.learn(descriptor, leader);
        }
        let cached = self.cached(&route.span().start);
        Ok(!cached.is_some_and(|cached| cached.descriptor == route.descriptor))
    }

    /// Is it silent because the request waits there for others? Then it is only sent again: what it waits for may take
    /// as long as it takes, as long as the leader answers for the range at all.
    async fn is_waited_for(&self, route: &Route, target: NodeId, patience: &mut Patience) -> bool {
        if !patience.waits && patience.silences >= SILENCES_MAX {
            return false;
        }
        patience.silences += 1;
        let request = RangeRequest {
            range: route.descriptor.id,
            epoch: route.descriptor.epoch,
            body: RangeBody::Admin(AdminRequest::Describe),
        };
        let is_there = matches!(self.call(target, request, &Patience::new()).await, Ok(Response::Range(Ok(_))));
        if is_there {
            patience.has_answered();
        }
        is_there
    }

    // ---- one request to many ranges ----

    /// One request per range for its share of `items`, ranges in parallel. Items must be in key order. Answers come with
    /// what they answer, in no order; work that ranges no longer hold as it was divided is divided anew.
    pub async fn scatter<T: Shardable>(
        &self,
        items: Vec<T>,
        make: impl Fn(&[T]) -> RangeBody + Sync,
    ) -> Vec<(Vec<T>, KvResult<RangeReply>)> {
        let make = &make;
        let mut answers = Vec::new();
        let mut open = FuturesUnordered::new();
        let mut to_do = Some((items, Patience::new()));
        loop {
            if let Some((items, mut patience)) = to_do.take() {
                match self.divide(items, &mut patience).await {
                    Ok(shares) => open.extend(shares.into_iter().map(|(route, share)| {
                        let mut patience = patience.clone();
                        async move {
                            let sent = self.send(&route, &mut patience, || make(&share)).await;
                            (share, patience, sent)
                        }
                    })),
                    Err((rest, error)) => answers.push((rest, Err(error))),
                }
            }
            match open.next().await {
                Some((share, _, Ok(Sent::Answer(reply)))) => answers.push((share, Ok(reply))),
                Some((share, patience, Ok(Sent::Rerouted))) => to_do = Some((share, patience)),
                Some((share, _, Err(error))) => answers.push((share, Err(error))),
                None => return answers,
            }
        }
    }

    /// Cuts ordered `items` at range boundaries.
    pub async fn divide<T: Shardable>(
        &self,
        items: Vec<T>,
        patience: &mut Patience,
    ) -> Result<Vec<(Arc<Route>, Vec<T>)>, (Vec<T>, KvError)> {
        let mut shares: Vec<(Arc<Route>, Vec<T>)> = Vec::new();
        let mut items = items.into_iter();
        let mut next = items.next();
        while let Some(item) = next.take() {
            let fits = shares.last().is_some_and(|(route, _)| route.contains(item.start()));
            if !fits {
                match self.route(item.start(), patience).await {
                    Ok(route) => shares.push((route, Vec::new())),
                    Err(error) => {
                        let given_up = shares.into_iter().flat_map(|(_, share)| share);
                        return Err((given_up.chain([item]).chain(items).collect(), error));
                    }
                }
            }
            let (route, share) = shares.last_mut().expect("a share for this item was just made or found");
            let (head, tail) = item.cut(&route.span().end);
            share.push(head);
            next = tail.or_else(|| items.next());
        }
        Ok(shares)
    }
}

enum Failure {
    Range(KvError),
    Network(NetworkError),
}

/// What can be divided among ranges.
pub(crate) trait Shardable: Sized + Send + Sync {
    fn start(&self) -> &Key;
    /// What lies before `end`, and the rest. `start` is before `end`.
    fn cut(self, end: &Key) -> (Self, Option<Self>);
}

impl Shardable for Key {
    fn start(&self) -> &Key {
        self
    }

    fn cut(self, _end: &Key) -> (Key, Option<Key>) {
        (self, None)
    }
}

impl Shardable for Span {
    fn start(&self) -> &Key {
        &self.start
    }

    fn cut(self, end: &Key) -> (Span, Option<Span>) {
        if self.end <= *end {
            return (self, None);
        }
        let tail = Span::new(end.clone(), self.end);
        (Span::new(self.start, end.clone()), Some(tail))
    }
}

/// A key below `end` with hardly any room between the two.
fn just_below(end: &Key) -> Key {
    let mut bytes = end.to_vec();
    match bytes.last_mut() {
        None => return Key::MIN,
        Some(0) => {
            bytes.pop();
            return bytes.into();
        }
        Some(last) => *last -= 1,
    }
    bytes.extend_from_slice(&[0xff; 16]);
    bytes.into()
}
