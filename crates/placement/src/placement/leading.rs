//! What the leader of one term knows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use env::{Env, Mono};
use keyspace::{Key, NodeId, RangeId, SYSTEM_RANGE, Timestamp};
use parking_lot::Mutex;
use rpc::cluster::{
    ClusterReply, ClusterResponse, Duty, DutyStatus, IdKind, JoinRequest, NodeInfo, NodeStatus, Survey, WaitEdge, Wish,
};
use rpc::range::{RangeDescriptor, ReplicaRole};
use rpc::{KvError, KvResult, codec};

use super::Shared;
use crate::directory::{Entry, RANGES};
use crate::ids::Allocated;
use crate::registry::{DUTIES, NODES};
use crate::replicas::why_it_stays;
use crate::{Action, Cycle, Deadlocks, Decision, Directory, Ids, Limits, Registry, Situation, SystemRange, plan};

/// Time between two searches for deadlocks over nodes.
pub const DEADLOCK_SEARCH: Duration = Duration::from_millis(500);

/// What an operator moved by hand stays there so long, and a move that cannot be made is given up then.
const BY_HAND: Duration = Duration::from_secs(600);

/// Ids in one request at most.
const IDS_MAX: u32 = 1 << 20;

pub struct Leading {
    term: u64,
    state: Mutex<State>,
    /// Changes of registers go into the log one after the other, so that a later one holds what an earlier
    /// one put there.
    changing: tokio::sync::Mutex<()>,
}

struct State {
    ids: Ids,
    registry: Registry,
    directory: Directory,
    deadlocks: Deadlocks,
    /// Replicas that an operator moves, and since when. They are not persisted: with the leader's term they end.
    wishes: BTreeMap<RangeId, (NodeId, NodeId, Mono)>,
    /// Ranges that an operator has placed, and when.
    pinned: BTreeMap<RangeId, Mono>,
    /// Open sessions of nodes that take no new ones.
    sessions: BTreeMap<NodeId, u64>,
}

impl State {
    /// Plans anew what is known: with `judge`.
    fn situation<T>(&self, shared: &Shared, judge: impl FnOnce(&Situation<'_>) -> T) -> T {
        let wishes = self.wishes.iter().map(|(range, (from, to, _))| (*range, (*from, *to))).collect();
        let pinned: BTreeSet<RangeId> = self.pinned.keys().copied().collect();
        judge(&Situation {
            nodes: &self.registry.list(shared.env.now()),
            duties: &self.registry.duties(),
            directory: &self.directory,
            repair_after: shared.env.knobs().repair_after,
            wishes: &wishes,
            pinned: &pinned,
            limits: Limits::default(),
        })
    }

    /// Forgets wishes that came true or take too long, and where operators put things long ago.
    fn tidy(&mut self, now: Mono) {
        let State { wishes, pinned, directory, .. } = self;
        wishes.retain(|range, (from, to, since)| {
            let votes = |node: NodeId| {
                let Some(entry) = directory.get(*range) else { return false };
                let mut voters = entry.descriptor.replicas.iter().filter(|replica| replica.role == ReplicaRole::Voter);
                voters.any(|replica| replica.node == node)
            };
            let is_true = votes(*to) && !votes(*from);
            if is_true {
                pinned.insert(*range, now);
            }
            !is_true && now.since(*since) < BY_HAND
        });
        pinned.retain(|_, since| now.since(*since) < BY_HAND);
    }
}

impl Leading {
    pub fn load(term: u64, range: &dyn SystemRange, env: &Env) -> KvResult<Leading> {
        let corrupt =
            |error: codec::DecodeError| KvError::Corrupt { what: format!("the system range's registers: {error}") };
        let ids = Ids::load(|kind| range.number(Ids::register(kind)))?;
        let mut registry =
            Registry::load(range.register(NODES)?, env.knobs().node_expiry, env.now()).map_err(corrupt)?;
        if let Some(duties) = range.register(DUTIES)? {
            registry.load_duties(duties).map_err(corrupt)?;
        }
        let mut directory = Directory::default();
        for (_, descriptor) in range.registers(RANGES)? {
            directory.load(descriptor).map_err(corrupt)?;
        }
        let state = State {
            ids,
            registry,
            directory,
            deadlocks: Deadlocks::default(),
            wishes: BTreeMap::new(),
            pinned: BTreeMap::new(),
            sessions: BTreeMap::new(),
        };
        Ok(Leading { term, state: Mutex::new(state), changing: tokio::sync::Mutex::new(()) })
    }

    pub fn term(&self) -> u64 {
        self.term
    }

    pub async fn allocate(&self, shared: &Shared, kind: IdKind, count: u32) -> KvResult<u64> {
        if count > IDS_MAX {
            return Err(KvError::NotSupported { what: "so many ids at once".into() });
        }
        loop {
            let bound = match self.state.lock().ids.allocate(kind, count) {
                Allocated::First(first) => return Ok(first),
                Allocated::Exhausted { bound } => bound,
            };
            shared.range.raise(self.term, Ids::register(kind), bound).await?;
            self.state.lock().ids.bound_persisted(kind, bound);
        }
    }

    /// Gives a process its node id; the same one again when it asks again.
    pub async fn join(&self, shared: &Shared, request: JoinRequest) -> ClusterResponse {
        let known = self.state.lock().registry.with_token(request.token);
        let node = match known {
            Some(node) => node,
            None => NodeId(self.allocate(shared, IdKind::Node, 1).await?),
        };
        let (node, is_news) = {
            let registry = &mut self.state.lock().registry;
            // A concurrent join with the same token may have been first.
            let node = registry.with_token(request.token).unwrap_or(node);
            (node, registry.join(node, &request, shared.env.now()))
        };
        if is_news {
            self.persist_registry(shared).await?;
            tracing::info!(%node, address = request.rpc_address, "a node joined");
        }
        let nodes = self.state.lock().registry.list(shared.env.now());
        Ok(ClusterReply::Joined { cluster: shared.cluster, node, nodes })
    }

    pub async fn heartbeat(&self, shared: &Shared, status: NodeStatus) -> ClusterResponse {
        let now = shared.env.now();
        let is_member = {
            let mut state = self.state.lock();
            // The node that made the cluster registers itself with its first heartbeat; others may have joined before.
            let is_founder = status.node == NodeId(1) && !state.registry.knows(status.node);
            if is_founder {
                state.registry.join(status.node, &founder(&status.info), now);
            }
            let news = state.registry.heartbeat(&status, now);
            news.map(|news| (news.addresses || is_founder, news.duties))
        };
        let Some((addresses_are_news, duties_are_news)) = is_member else {
            return Err(KvError::NotSupported { what: format!("{} is not a member of this cluster", status.node) });
        };
        if addresses_are_news {
            self.persist_registry(shared).await?;
        }
        if duties_are_news {
            self.persist_duties(shared).await?;
        }
        let mut changed = Vec::new();
        // What was readable `gc_ttl` ago is below this, as near as the numbers tell the time.
        let ttl_ms = u64::try_from(shared.env.knobs().gc_ttl.as_millis()).unwrap_or(u64::MAX);
        let wanted = shared.oracle.next().0.saturating_sub(ttl_ms.saturating_mul(1 << Timestamp::COUNTER_BITS));
        let reply = {
            let mut state = self.state.lock();
            for replica in &status.replicas {
                if state.directory.observe(status.node, replica, now) {
                    changed.push(replica.descriptor.clone());
                }
            }
            ClusterReply::Heartbeat {
                nodes: state.registry.list(now),
                sessions_over: state.registry.sessions_over(),
                garbage_floor: state.registry.garbage_floor(Timestamp(wanted)),
            }
        };
        if addresses_are_news || !changed.is_empty() {
            shared.news.notify_one();
        }
        self.persist_descriptors(shared, changed).await?;
        Ok(reply)
    }

    pub fn newly_dead(&self, now: Mono) -> Vec<NodeId> {
        self.state.lock().registry.newly_dead(now)
    }

    pub fn bury(&self, dead: &[NodeId], before: Timestamp, now: Mono) {
        self.state.lock().registry.bury(dead, before, now);
    }

    pub fn locate(&self, key: &Key) -> KvResult<(RangeDescriptor, Option<NodeId>)> {
        let state = self.state.lock();
        let entry = state.directory.locate(key).ok_or_else(|| KvError::Unavailable {
            range: SYSTEM_RANGE,
            why: format!("no range has reported yet that it holds {key}"),
        })?;
        Ok((entry.descriptor.clone(), entry.leader.map(|(_, node)| node)))
    }

    /// Without nodes that have left: they hold nothing and are silent.
    pub fn survey(&self, now: Mono) -> Survey {
        let state = self.state.lock();
        let duties = state.registry.duties();
        let mut nodes = state.registry.list(now);
        let holds_something =
            |node| state.directory.entries().any(|entry| entry.descriptor.replicas.iter().any(|r| r.node == node));
        nodes.retain(|info| info.live || duties.get(&info.node) != Some(&Duty::Leaves) || holds_something(info.node));
        Survey { nodes, ranges: state.directory.survey() }
    }

    pub fn plan(&self, shared: &Shared) -> Vec<Decision> {
        let mut state = self.state.lock();
        state.tidy(shared.env.now());
        state.situation(shared, plan)
    }

    // ---- what operators decide ----

    pub async fn set_duty(&self, shared: &Shared, node: NodeId, duty: Duty) -> ClusterResponse {
        let is_news = {
            let mut state = self.state.lock();
            state.sessions.remove(&node);
            state.registry.set_duty(node, duty)
        };
        let Some(is_news) = is_news else {
            return Err(KvError::Refused { why: format!("{node} is not a member of this cluster") });
        };
        if is_news {
            tracing::info!(%node, ?duty, "an operator decided what a node does");
        }
        // Also where it is no news: an earlier try may have ended before it was written.
        self.persist_duties(shared).await?;
        shared.news.notify_one();
        Ok(ClusterReply::Done)
    }

    pub fn duties(&self, shared: &Shared) -> Vec<DutyStatus> {
        let state = self.state.lock();
        let duties = state.registry.duties().into_iter();
        let status = |(node, duty): (NodeId, Duty)| DutyStatus {
            node,
            duty,
            sessions: state.sessions.get(&node).copied(),
            why_it_stays: match duty {
                Duty::Leaves => state.situation(shared, |situation| why_it_stays(situation, node)),
                Duty::Serves | Duty::Drains { .. } => None,
            },
        };
        duties.map(status).collect()
    }

    /// Nodes that are to take no new sessions.
    pub fn refusing(&self, now: Mono) -> Vec<NodeId> {
        let state = self.state.lock();
        let duties = state.registry.duties();
        state
            .registry
            .list(now)
            .iter()
            .filter(|info| info.live)
            .map(|info| info.node)
            .filter(|node| duties.contains_key(node))
            .collect()
    }

    pub fn note_sessions(&self, node: NodeId, open: u64) {
        self.state.lock().sessions.insert(node, open);
    }

    /// Takes a wish on, or says why it cannot come true. A leader is moved by the decision that is returned.
    pub fn wish(&self, now: Mono, range: RangeId, wish: Wish) -> KvResult<Option<Decision>> {
        let mut state = self.state.lock();
        let refused = |why: String| KvError::Refused { why };
        let entry = state.directory.get(range).ok_or_else(|| refused(format!("{range} does not exist")))?;
        let votes = |node: NodeId| {
            let mut voters = entry.descriptor.replicas.iter().filter(|replica| replica.role == ReplicaRole::Voter);
            voters.any(|replica| replica.node == node)
        };
        let (_, leader) = entry.leader.ok_or_else(|| refused(format!("nobody is known to lead {range}")))?;
        let duties = state.registry.duties();
        let live = state.registry.list(now).into_iter().filter(|info| info.live).map(|info| info.node);
        let in_use: BTreeSet<NodeId> = live.filter(|node| !duties.contains_key(node)).collect();
        let must_be_in_use = |node: NodeId| match in_use.contains(&node) {
            true => Ok(()),
            false => Err(refused(format!("{node} is no live node in use"))),
        };
        match wish {
            Wish::Leader { on } => {
                must_be_in_use(on)?;
                if !votes(on) {
                    return Err(refused(format!("{on} has no replica of {range} that votes")));
                }
                state.pinned.insert(range, now);
                let why = "an operator moves it".to_owned();
                let decision = Decision { range, leader, action: Action::TransferLeader { to: on }, why };
                Ok((leader != on).then_some(decision))
            }
            Wish::Replica { from, to } => {
                must_be_in_use(to)?;
                match (votes(from), votes(to)) {
                    (false, true) => return Ok(None),
                    (false, false) => return Err(refused(format!("{from} has no replica of {range} that votes"))),
                    (true, true) => return Err(refused(format!("{to} has a replica of {range} already"))),
                    (true, false) => {}
                }
                state.wishes.insert(range, (from, to, now));
                Ok(None)
            }
        }
    }

    pub fn range(&self, range: RangeId) -> Option<Entry> {
        self.state.lock().directory.get(range).cloned()
    }

    /// A range said what it is now.
    pub async fn observe(&self, shared: &Shared, descriptors: Vec<RangeDescriptor>) -> KvResult<()> {
        let changed = {
            let mut state = self.state.lock();
            let is_news = |descriptor: &RangeDescriptor| state.directory.observe_descriptor(descriptor);
            let mut descriptors = descriptors;
            descriptors.retain(is_news);
            descriptors
        };
        if !changed.is_empty() {
            shared.news.notify_one();
        }
        self.persist_descriptors(shared, changed).await
    }

    pub fn report_waits(&self, node: NodeId, edges: Vec<WaitEdge>, now: Mono) {
        self.state.lock().deadlocks.report(node, edges, now);
    }

    pub fn deadlocks(&self, now: Mono) -> Vec<Cycle> {
        self.state.lock().deadlocks.find(now)
    }

    async fn persist_registry(&self, shared: &Shared) -> KvResult<()> {
        let _one_at_a_time = self.changing.lock().await;
        let nodes = self.state.lock().registry.encode();
        shared.range.put(self.term, NODES.into(), nodes).await
    }

    async fn persist_duties(&self, shared: &Shared) -> KvResult<()> {
        let _one_at_a_time = self.changing.lock().await;
        let duties = self.state.lock().registry.encode_duties();
        shared.range.put(self.term, DUTIES.into(), duties).await
    }

    async fn persist_descriptors(&self, shared: &Shared, changed: Vec<RangeDescriptor>) -> KvResult<()> {
        if changed.is_empty() {
            return Ok(());
        }
        let _one_at_a_time = self.changing.lock().await;
        for descriptor in changed {
            // The newest that is known, which a concurrent report may have replaced.
            let Some(entry) = self.range(descriptor.id) else { continue };
            let record = codec::encode_record(&entry.descriptor);
            shared.range.put(self.term, Directory::register(descriptor.id), record).await?;
        }
        Ok(())
    }
}

fn founder(info: &NodeInfo) -> JoinRequest {
    JoinRequest {
        token: 0,
        rpc_address: info.rpc_address.clone(),
        sql_address: info.sql_address.clone(),
        http_address: info.http_address.clone(),
    }
}
