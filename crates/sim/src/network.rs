//! The wires between the processes.
//!
//! Every message is encoded when it is sent and decoded when it arrives, and takes its own time: so one
//! may overtake another. It may be lost, arrive twice, or arrive once more much later. What a crashed
//! process had not answered yet fails for its callers as a closed connection does: at once. What is lost
//! on the way fails after [`SILENCE`], or never if the caller does not wait so long.
//!
//! A partition is a set of directed links that carry nothing. Besides, a process may be deaf to raft's messages for a while, or
//! mute: they travel on connections of their own, and one of those may hang while requests get through.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use keyspace::NodeId;
use parking_lot::Mutex;
use rpc::cluster::{ClusterRequest, ClusterResponse, NodeInfo};
use rpc::range::RangeBody;
use rpc::{AskError, BoxFuture, Network, NetworkError, RaftEnvelope, Request, Response, Service, Transport, codec};
use tokio::sync::{Notify, oneshot};

use crate::invariant::OneVote;
use crate::trace::{MessageKind, content_hash};
use crate::world::{sleep, spawn};
use crate::{Happening, Random, SimHost, World};

/// How long a connection may be silent before it is given up.
const SILENCE: Duration = Duration::from_secs(5);

/// Messages kept to be delivered once more.
const REMEMBERED: usize = 64;

/// What happens to messages between two different processes. Probabilities are per message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkFaults {
    pub delay_min: Duration,
    pub delay_max: Duration,
    pub loss: f64,
    pub duplicate: f64,
    /// With each message sent, also deliver one of the last ones again.
    pub replay: f64,
}

impl Default for LinkFaults {
    fn default() -> LinkFaults {
        LinkFaults {
            delay_min: Duration::from_millis(0),
            delay_max: Duration::from_millis(2),
            loss: 0.0,
            duplicate: 0.0,
            replay: 0.0,
        }
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub struct SimNetwork {
    wires: Arc<Wires>,
}

struct Wires {
    world: World,
    votes: OneVote,
    state: Mutex<State>,
    /// Something arrives before anything that the courier knew of.
    sooner: Notify,
}

struct State {
    random: Random,
    faults: LinkFaults,
    endpoints: BTreeMap<Arc<str>, Weak<SimEndpoint>>,
    /// Directed links that carry nothing.
    cut: BTreeSet<(Arc<str>, Arc<str>)>,
    /// Until when raft's messages to, and from, a process are lost.
    deaf: BTreeMap<String, Duration>,
    mute: BTreeMap<String, Duration>,
    remembered: VecDeque<Parcel>,
    /// By the time at which it arrives and the order in which it was sent.
    under_way: BTreeMap<(Duration, u64), Delivery>,
    sent: u64,
    /// When the courier looks again; `None`: when he is told to.
    courier_wakes: Option<Duration>,
}

/// What happens after a while.
enum Delivery {
    Parcel(Parcel, Option<AnswerTo>),
    Answer {
        label: Label,
        bytes: Bytes,
        answer: AnswerTo,
    },
    /// Whoever waits for this answer waits no longer.
    Silence(AnswerTo),
}

/// A message under way, encoded.
#[derive(Clone)]
struct Parcel {
    label: Label,
    from_node: NodeId,
    cluster: u64,
    /// The node that is meant; `None` asks whoever listens.
    expected: Option<NodeId>,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Request(Bytes),
    Raft(Arc<[Bytes]>),
}

impl Content {
    fn hash(&self) -> u64 {
        match self {
            Content::Request(bytes) => content_hash(bytes),
            Content::Raft(messages) => {
                messages.iter().fold(0, |hash: u64, bytes| hash.rotate_left(7) ^ content_hash(bytes))
            }
        }
    }
}

/// Where the answer to a request goes; taken by the first copy that is answered.
type AnswerTo = Arc<Mutex<Option<oneshot::Sender<Result<Response, Lost>>>>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    /// Nobody is there, or the connection closed.
    Refused,
    Silent,
}

impl SimNetwork {
    pub fn new(world: &World) -> SimNetwork {
        let state = State {
            random: world.split_random(),
            faults: LinkFaults::default(),
            endpoints: BTreeMap::new(),
            cut: BTreeSet::new(),
            deaf: BTreeMap::new(),
            mute: BTreeMap::new(),
            remembered: VecDeque::new(),
            under_way: BTreeMap::new(),
            sent: 0,
            courier_wakes: None,
        };
        let (votes, sooner) = (OneVote::default(), Notify::new());
        let wires = Wires { world: world.clone(), votes, state: Mutex::new(state), sooner };
        let network = SimNetwork { wires: Arc::new(wires) };
        spawn(carry(network.wires.clone()));
        network
    }

    /// A process's side of the wires. It takes the place of an earlier process at this address.
    pub fn endpoint(&self, address: &str, host: &Arc<SimHost>) -> Arc<SimEndpoint> {
        let endpoint = Arc::new(SimEndpoint {
            wires: self.wires.clone(),
            host: host.clone(),
            address: address.into(),
            cluster: AtomicU64::new(0),
            node: AtomicU64::new(0),
            service: Mutex::default(),
            addresses: Mutex::default(),
        });
        self.wires.state.lock().endpoints.insert(address.into(), Arc::downgrade(&endpoint));
        endpoint
    }

    pub fn set_faults(&self, faults: LinkFaults) {
        self.wires.state.lock().faults = faults;
    }

    /// From now on nothing gets from `from` to `to`; the other way is another link.
    pub fn cut(&self, from: &str, to: &str) {
        self.wires.world.milestone(format!("the link {from} → {to} is cut"));
        self.wires.state.lock().cut.insert((from.into(), to.into()));
    }

    /// Nothing passes between the two sides.
    pub fn partition(&self, side: &[&str], other: &[&str]) {
        for a in side {
            for b in other {
                self.cut(a, b);
                self.cut(b, a);
            }
        }
    }

    /// Whatever was cut on the way to `to` carries again.
    pub fn mend_to(&self, to: &str) {
        self.wires.world.milestone(format!("the links to {to} heal"));
        self.wires.state.lock().cut.retain(|(_, cut)| **cut != *to);
    }

    /// For so long no message of raft reaches `address`; all others do. Nothing else ends it.
    pub fn deafen(&self, address: &str, lasts: Duration) {
        let until = self.wires.world.elapsed() + lasts;
        self.wires.world.milestone(format!("{address} is deaf to raft for {} ms", lasts.as_millis()));
        self.wires.state.lock().deaf.insert(address.to_owned(), until);
    }

    /// For so long no message of raft leaves `address`.
    pub fn silence(&self, address: &str, lasts: Duration) {
        let until = self.wires.world.elapsed() + lasts;
        self.wires.world.milestone(format!("{address} is mute to raft for {} ms", lasts.as_millis()));
        self.wires.state.lock().mute.insert(address.to_owned(), until);
    }

    /// For whom the process at `voter` voted last, other than itself: an address.
    pub fn last_vote(&self, voter: &str) -> Option<String> {
        self.wires.votes.last_of(voter)
    }

    /// All links carry again, without faults other than their delay.
    pub fn heal(&self) {
        self.wires.world.milestone("the network heals");
        let mut state = self.wires.state.lock();
        state.cut.clear();
        state.remembered.clear();
        state.faults = LinkFaults::default();
    }
}

impl Wires {
    /// How long a message and perhaps a second copy of it take; nothing if it is lost.
    fn fates(&self, from: &str, to: &str) -> [Option<Duration>; 2] {
        let mut state = self.state.lock();
        let faults = state.faults;
        if from == to {
            return [Some(Duration::ZERO), None];
        }
        if state.is_cut(from, to) || state.random.chance(faults.loss) {
            return [None, None];
        }
        let is_doubled = state.random.chance(faults.duplicate);
        [Some(state.delay()), is_doubled.then(|| state.delay())]
    }

    fn is_cut(&self, from: &str, to: &str) -> bool {
        self.state.lock().is_cut(from, to)
    }

    /// Nothing of this kind passes between the two just now.
    fn swallows(&self, parcel: &Parcel) -> bool {
        let state = self.state.lock();
        let now = self.world.elapsed();
        let hangs = |ends: &BTreeMap<String, Duration>, at: &str| ends.get(at).is_some_and(|until| now < *until);
        let Label { from, to, .. } = &parcel.label;
        let is_raft = matches!(parcel.content, Content::Raft(_)) && from != to;
        state.is_cut(from, to) || is_raft && (hangs(&state.deaf, to) || hangs(&state.mute, from))
    }

    fn at(&self, address: &str) -> Option<Arc<SimEndpoint>> {
        let endpoint = self.state.lock().endpoints.get(address)?.upgrade()?;
        endpoint.host.is_running().then_some(endpoint)
    }

    /// Sends all copies of a parcel, and perhaps an old one along.
    fn send(self: &Arc<Wires>, parcel: Parcel, answer: Option<AnswerTo>) {
        let fates = self.fates(&parcel.label.from, &parcel.label.to);
        parcel.label.sent(&self.world);
        if fates[0].is_none() {
            parcel.label.lost(&self.world);
            return self.fall_silent(answer);
        }
        for delay in fates.into_iter().flatten() {
            self.later(delay, Delivery::Parcel(parcel.clone(), answer.clone()));
        }
        if let Some(delay) = self.late_copy(&parcel) {
            self.later(delay, Delivery::Parcel(parcel.clone(), None));
        }
        self.replay(parcel);
    }

    /// In some seeds a few requests come once more, when they are long answered.
    fn late_copy(&self, parcel: &Parcel) -> Option<Duration> {
        if !matches!(parcel.content, Content::Request(..)) || !self.world.is_switched_on("late_copies") {
            return None;
        }
        let random = &mut self.state.lock().random;
        // Mostly soon: while what the first copy belongs to is being decided.
        let scales = if random.chance(0.5) { 7 } else { 12 };
        let longest = 1 << random.below(scales);
        random.chance(0.15).then(|| Duration::from_millis(random.below(longest)))
    }

    fn replay(self: &Arc<Wires>, parcel: Parcel) {
        let old = {
            let mut state = self.state.lock();
            let probability = state.faults.replay;
            if probability == 0.0 {
                return;
            }
            if state.remembered.len() == REMEMBERED {
                state.remembered.pop_front();
            }
            state.remembered.push_back(parcel);
            if !state.random.chance(probability) {
                return;
            }
            let position = state.random.below(REMEMBERED as u64) as usize % state.remembered.len();
            let delay = state.delay();
            (state.remembered[position].clone(), delay)
        };
        self.later(old.1, Delivery::Parcel(old.0, None));
    }

    fn later(&self, delay: Duration, delivery: Delivery) {
        let at = self.world.elapsed() + delay;
        let mut state = self.state.lock();
        state.sent += 1;
        let place = (at, state.sent);
        state.under_way.insert(place, delivery);
        if state.courier_wakes.is_none_or(|wakes| timer_at(at) < timer_at(wakes)) {
            drop(state);
            self.sooner.notify_one();
        }
    }

    fn fall_silent(&self, answer: Option<AnswerTo>) {
        if let Some(answer) = answer {
            self.later(SILENCE, Delivery::Silence(answer));
        }
    }

    fn arrive(self: &Arc<Wires>, delivery: Delivery) {
        match delivery {
            Delivery::Parcel(parcel, answer) => deliver(self, parcel, answer),
            Delivery::Answer { label, answer, .. } if self.is_cut(&label.from, &label.to) => {
                label.lost(&self.world);
                self.fall_silent(Some(answer));
            }
            Delivery::Answer { label, bytes, answer } => {
                label.arrived(&self.world);
                reply(&answer, Ok(codec::decode_response(bytes).expect("what was encoded can be decoded")));
            }
            Delivery::Silence(answer) => reply(&answer, Err(Lost::Silent)),
        }
    }
}

/// When a timer for this time goes off: the runtime's know whole milliseconds.
fn timer_at(at: Duration) -> u128 {
    at.as_nanos().div_ceil(1_000_000)
}

/// Brings everything that is under way where it belongs: one task with one timer, not one for each message.
async fn carry(wires: Arc<Wires>) {
    loop {
        let now = wires.world.elapsed();
        let (arrived, wakes) = wires.state.lock().take_arrived(now);
        if let Some(delivery) = arrived {
            wires.arrive(delivery);
            continue;
        }
        let sooner = wires.sooner.notified();
        match wakes {
            None => sooner.await,
            Some(wakes) => tokio::select! {
                biased;
                () = sooner => {}
                () = sleep(wakes - now) => {}
            },
        }
    }
}

impl State {
    fn is_cut(&self, from: &str, to: &str) -> bool {
        self.cut.iter().any(|(cut_from, cut_to)| **cut_from == *from && **cut_to == *to)
    }

    /// The first that is there by now, or else when there will be one.
    fn take_arrived(&mut self, now: Duration) -> (Option<Delivery>, Option<Duration>) {
        self.courier_wakes = self.under_way.first_key_value().map(|((at, _), _)| *at);
        match self.under_way.first_entry().filter(|first| first.key().0 <= now) {
            Some(first) => (Some(first.remove()), None),
            None => (None, self.courier_wakes),
        }
    }

    fn delay(&mut self) -> Duration {
        let (min, max) = (self.faults.delay_min.as_micros() as u64, self.faults.delay_max.as_micros() as u64);
        Duration::from_micros(self.random.between(min, max))
    }
}

/// A message as the trace shows it.
#[derive(Clone)]
struct Label {
    kind: MessageKind,
    what: &'static str,
    from: Arc<str>,
    to: Arc<str>,
    /// A hash of its bytes.
    content: u64,
}

impl Label {
    fn sent(&self, world: &World) {
        let Label { kind, what, from, to, content } = self.clone();
        world.record(Happening::Sent { kind, what, from, to, content });
    }

    fn arrived(&self, world: &World) {
        let Label { kind, what, from, to, content } = self.clone();
        world.record(Happening::Arrived { kind, what, from, to, content });
    }

    fn lost(&self, world: &World) {
        let Label { kind, what, from, to, .. } = self.clone();
        world.record(Happening::Lost { kind, what, from, to });
    }
}

fn name_of(request: &Request) -> &'static str {
    match request {
        Request::Cluster(ClusterRequest::Timestamps { .. }) => "Timestamps",
        Request::Cluster(ClusterRequest::Heartbeat(_)) => "Heartbeat",
        Request::Cluster(_) => "Cluster",
        Request::Range(request) => match &request.body {
            RangeBody::Read(_) => "Read",
            RangeBody::Refresh(_) => "Refresh",
            RangeBody::ReleaseLocks(_) => "ReleaseLocks",
            RangeBody::CommitOneRange(_) => "CommitOneRange",
            RangeBody::Prewrite(_) => "Prewrite",
            RangeBody::Record(_) => "Record",
            RangeBody::Resolve(_) => "Resolve",
            RangeBody::CheckKeys(_) => "CheckKeys",
            _ => "Admin",
        },
    }
}

fn reply(answer: &AnswerTo, outcome: Result<Response, Lost>) {
    if let Some(answer) = answer.lock().take() {
        let _caller_gave_up = answer.send(outcome);
    }
}

fn deliver(wires: &Arc<Wires>, parcel: Parcel, answer: Option<AnswerTo>) {
    if wires.swallows(&parcel) {
        parcel.label.lost(&wires.world);
        return wires.fall_silent(answer);
    }
    let Some((endpoint, service)) = receiver(wires, &parcel) else {
        parcel.label.lost(&wires.world);
        if let Some(answer) = answer {
            reply(&answer, Err(Lost::Refused));
        }
        return;
    };
    parcel.label.arrived(&wires.world);
    match parcel.content {
        Content::Raft(messages) => {
            let decode = |bytes: &Bytes| codec::decode_raft(bytes.clone()).expect("what was encoded can be decoded");
            let envelopes: Vec<RaftEnvelope> = messages.iter().map(decode).collect();
            endpoint.host.handle("raft messages", move || service.raft(parcel.from_node, envelopes));
        }
        Content::Request(bytes) => {
            let request = codec::decode_request(bytes).expect("what was encoded can be decoded");
            let back = Back { what: parcel.label.what, from: parcel.label.to, to: parcel.label.from };
            let work = answer_request(wires.clone(), service, parcel.from_node, request, back, answer);
            endpoint.host.spawn("request", Box::pin(work));
        }
    }
}

/// Who is there to take the parcel, if it is the node that was meant.
fn receiver(wires: &Wires, parcel: &Parcel) -> Option<(Arc<SimEndpoint>, Arc<dyn Service>)> {
    let endpoint = wires.at(&parcel.label.to)?;
    let is_meant = match parcel.expected {
        Some(node) => endpoint.node() == node && endpoint.cluster.load(Ordering::Acquire) == parcel.cluster,
        None => true,
    };
    let service = endpoint.service.lock().clone().filter(|_| is_meant)?;
    Some((endpoint, service))
}

/// The way back.
struct Back {
    what: &'static str,
    from: Arc<str>,
    to: Arc<str>,
}

impl Back {
    fn label(self, bytes: &Bytes) -> Label {
        let Back { what, from, to } = self;
        Label { kind: MessageKind::Answer, what, from, to, content: content_hash(bytes) }
    }
}

/// Runs as a task of the node that answers. If that crashes, the caller's end of the connection closes.
async fn answer_request(
    wires: Arc<Wires>,
    service: Arc<dyn Service>,
    from_node: NodeId,
    request: Request,
    back: Back,
    answer: Option<AnswerTo>,
) {
    let guard = answer.map(|answer| ClosesOnDrop { answer: Some(answer) });
    let response = service.call(from_node, request).await;
    tracing::trace!(target: "sim::requests", from = &*back.from, to = &*back.to, what = back.what, ?response);
    let Some(guard) = guard else { return };
    let bytes = codec::encode_response(&response);
    let label = back.label(&bytes);
    label.sent(&wires.world);
    let [fate, _one_copy_is_read] = wires.fates(&label.from, &label.to);
    let answer = guard.disarm();
    match fate {
        Some(delay) => wires.later(delay, Delivery::Answer { label, bytes, answer }),
        None => {
            label.lost(&wires.world);
            wires.fall_silent(Some(answer));
        }
    }
}

/// The answering end of a connection.
struct ClosesOnDrop {
    answer: Option<AnswerTo>,
}

impl ClosesOnDrop {
    fn disarm(mut self) -> AnswerTo {
        self.answer.take().expect("it is disarmed once")
    }
}

impl Drop for ClosesOnDrop {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            reply(&answer, Err(Lost::Refused));
        }
    }
}

/// One process's side of the wires.
pub struct SimEndpoint {
    wires: Arc<Wires>,
    host: Arc<SimHost>,
    address: Arc<str>,
    cluster: AtomicU64,
    node: AtomicU64,
    service: Mutex<Option<Arc<dyn Service>>>,
    addresses: Mutex<BTreeMap<NodeId, Arc<str>>>,
}

impl SimEndpoint {
    pub fn address(&self) -> &str {
        &self.address
    }

    fn node(&self) -> NodeId {
        NodeId(self.node.load(Ordering::Acquire))
    }

    fn parcel(&self, to: Arc<str>, expected: Option<NodeId>, what: &'static str, content: Content) -> Parcel {
        let kind = match content {
            Content::Request(_) => MessageKind::Request,
            Content::Raft(_) => MessageKind::Raft,
        };
        Parcel {
            label: Label { kind, what, from: self.address.clone(), to, content: content.hash() },
            from_node: self.node(),
            cluster: self.cluster.load(Ordering::Acquire),
            expected,
            content,
        }
    }

    async fn exchange(&self, to: Arc<str>, expected: Option<NodeId>, request: Request) -> Result<Response, Lost> {
        let (answer, answered) = oneshot::channel();
        if !self.host.is_running() {
            return Err(Lost::Refused);
        }
        tracing::trace!(target: "sim::requests", from = &*self.address, to = &*to, ?request);
        let content = Content::Request(codec::encode_request(&request));
        let parcel = self.parcel(to, expected, name_of(&request), content);
        self.wires.send(parcel, Some(Arc::new(Mutex::new(Some(answer)))));
        answered.await.unwrap_or(Err(Lost::Refused))
    }
}

impl Network for SimEndpoint {
    fn call(&self, to: NodeId, request: Request) -> BoxFuture<'_, Result<Response, NetworkError>> {
        if to == self.node() {
            let Some(service) = self.service.lock().clone() else {
                return Box::pin(future::ready(Err(NetworkError::Unreachable(to))));
            };
            tracing::trace!(target: "sim::requests", at = &*self.address, ?request);
            let called = async move {
                let response = service.call(to, request).await;
                tracing::trace!(target: "sim::requests", at = &*self.address, ?response);
                Ok(response)
            };
            return Box::pin(called);
        }
        let Some(address) = self.addresses.lock().get(&to).cloned() else {
            return Box::pin(future::ready(Err(NetworkError::Unreachable(to))));
        };
        Box::pin(
            async move { self.exchange(address, Some(to), request).await.map_err(|_| NetworkError::Unreachable(to)) },
        )
    }

    fn send_raft(&self, to: NodeId, envelopes: Vec<RaftEnvelope>) {
        let address =
            if to == self.node() { Some(self.address.clone()) } else { self.addresses.lock().get(&to).cloned() };
        let Some(address) = address.filter(|_| self.host.is_running()) else { return };
        for envelope in &envelopes {
            self.wires.votes.look(&self.wires.world, &self.address, &address, envelope);
        }
        let content = Content::Raft(envelopes.iter().map(codec::encode_raft).collect());
        self.wires.send(self.parcel(address, Some(to), "", content), None);
    }
}

impl Transport for SimEndpoint {
    fn serve(&self, service: Arc<dyn Service>) {
        *self.service.lock() = Some(service);
    }

    fn identify(&self, cluster: u64, node: NodeId) {
        self.cluster.store(cluster, Ordering::Release);
        self.node.store(node.0, Ordering::Release);
    }

    fn learn(&self, nodes: &[NodeInfo]) {
        let mut addresses = self.addresses.lock();
        for info in nodes {
            addresses.insert(info.node, info.rpc_address.as_str().into());
        }
    }

    fn ask(&self, address: &str, request: ClusterRequest) -> BoxFuture<'_, Result<ClusterResponse, AskError>> {
        let address = address.to_owned();
        Box::pin(async move {
            match self.exchange(address.as_str().into(), None, Request::Cluster(request)).await {
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
        *self.service.lock() = None;
        let mut state = self.wires.state.lock();
        // A restarted process may have taken the address already.
        if state.endpoints.get(&self.address).is_some_and(|there| std::ptr::eq(there.as_ptr(), self)) {
            state.endpoints.remove(&self.address);
        }
    }
}
