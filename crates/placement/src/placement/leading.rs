//! What the leader of one term knows.

use std::time::Duration;

use env::{Env, Mono};
use keyspace::{Key, NodeId, SYSTEM_RANGE, Timestamp};
use parking_lot::Mutex;
use rpc::cluster::{ClusterReply, ClusterResponse, IdKind, JoinRequest, NodeInfo, NodeStatus, Survey, WaitEdge};
use rpc::range::RangeDescriptor;
use rpc::{KvError, KvResult, codec};

use super::Shared;
use crate::directory::{Entry, RANGES};
use crate::ids::Allocated;
use crate::registry::NODES;
use crate::{Cycle, Deadlocks, Decision, Directory, Ids, Registry, SystemRange, plan};

/// Time between two searches for deadlocks over nodes.
pub const DEADLOCK_SEARCH: Duration = Duration::from_millis(500);

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
}

impl Leading {
    pub fn load(term: u64, range: &dyn SystemRange, env: &Env) -> KvResult<Leading> {
        let corrupt =
            |error: codec::DecodeError| KvError::Corrupt { what: format!("the system range's registers: {error}") };
        let ids = Ids::load(|kind| range.number(Ids::register(kind)))?;
        let registry = Registry::load(range.register(NODES)?, env.knobs().node_expiry, env.now()).map_err(corrupt)?;
        let mut directory = Directory::default();
        for (_, descriptor) in range.registers(RANGES)? {
            directory.load(descriptor).map_err(corrupt)?;
        }
        let state = State { ids, registry, directory, deadlocks: Deadlocks::default() };
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
            news.map(|news| news || is_founder)
        };
        let Some(addresses_are_news) = is_member else {
            return Err(KvError::NotSupported { what: format!("{} is not a member of this cluster", status.node) });
        };
        if addresses_are_news {
            self.persist_registry(shared).await?;
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

    pub fn survey(&self, now: Mono) -> Survey {
        let state = self.state.lock();
        Survey { nodes: state.registry.list(now), ranges: state.directory.survey() }
    }

    pub fn plan(&self, now: Mono, repair_after: Duration) -> Vec<Decision> {
        let state = self.state.lock();
        plan(&state.registry.list(now), &state.directory, repair_after)
    }

    pub fn range(&self, range: keyspace::RangeId) -> Option<Entry> {
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
