//! Decisions and broken deadlocks, carried out by messages to nodes and ranges.

use std::time::Duration;

use keyspace::{NodeId, ReplicaId};
use rpc::cluster::{ClusterReply, ClusterRequest, IdKind, WaitEdge};
use rpc::range::{AdminReply, AdminRequest, RangeBody, RangeReply, RangeRequest, ReplicaDescriptor, ReplicaRole};
use rpc::{KvError, KvResult, NetworkError, Request, Response};

use super::Shared;
use super::leading::Leading;
use crate::directory::Entry;
use crate::{Action, Cycle, Decision};

/// A change of replicas waits for a quorum under the new configuration.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);

impl Shared {
    pub(super) async fn carry_out(&self, leading: &Leading, decision: Decision) -> KvResult<()> {
        let outcome = self.attempt(leading, &decision).await;
        let failure = outcome.as_ref().err().map(|error| error.to_string());
        if self.remember(decision.range, decision.action.to_string(), decision.why.clone(), failure.clone()) {
            match failure {
                None => tracing::info!(%decision, "placement"),
                Some(why) => tracing::info!(%decision, why, "placement failed, and will be decided anew"),
            }
        }
        outcome
    }

    /// Nodes that are drained or leave take no new sessions for some seconds: until they are told again.
    pub(super) async fn close_doors(&self, leading: &Leading) {
        let tell = async |node: NodeId| {
            if let Ok(ClusterReply::SessionsRefused { open }) =
                self.ask_node(node, ClusterRequest::RefuseSessions).await
            {
                leading.note_sessions(node, open);
            }
        };
        futures::future::join_all(leading.refusing(self.env.now()).into_iter().map(tell)).await;
    }

    async fn attempt(&self, leading: &Leading, decision: &Decision) -> KvResult<()> {
        let entry = leading.range(decision.range).ok_or(KvError::RangeNotFound { range: decision.range })?;
        let admin = match &decision.action {
            Action::AddLearner { node } => {
                let replica = ReplicaId(leading.allocate(self, IdKind::Replica, 1).await?);
                let create = ClusterRequest::CreateReplica { range: entry.descriptor.clone(), replica };
                self.ask_node(*node, create).await?;
                let learner = ReplicaDescriptor { node: *node, replica, role: ReplicaRole::Learner };
                AdminRequest::ChangeReplicas { add: vec![learner], remove: vec![] }
            }
            Action::Change { promote, remove } => {
                let as_voter = |replica: &ReplicaDescriptor| ReplicaDescriptor { role: ReplicaRole::Voter, ..*replica };
                AdminRequest::ChangeReplicas {
                    add: promote.iter().map(as_voter).collect(),
                    remove: remove.iter().map(|replica| replica.replica).collect(),
                }
            }
            Action::TransferLeader { to } => AdminRequest::TransferLeader { to: *to },
        };
        let is_membership = matches!(admin, AdminRequest::ChangeReplicas { .. });
        self.ask_range(leading, &entry, decision.leader, admin).await?;
        if is_membership {
            // The next decision should know of this one: either answer says what the range is now.
            match self.ask_range(leading, &entry, decision.leader, AdminRequest::Describe).await {
                Ok(()) | Err(KvError::StaleEpoch { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Asks the range's leader, and learns from what it says about itself.
    async fn ask_range(&self, leading: &Leading, entry: &Entry, leader: NodeId, admin: AdminRequest) -> KvResult<()> {
        let request =
            RangeRequest { range: entry.descriptor.id, epoch: entry.descriptor.epoch, body: RangeBody::Admin(admin) };
        match self.call(leader, Request::Range(request), CHANGE_TIMEOUT).await? {
            Response::Range(Ok(RangeReply::Admin(AdminReply::Descriptors(now)))) => leading.observe(self, now).await,
            Response::Range(Ok(_)) => Ok(()),
            Response::Range(Err(KvError::StaleEpoch { current })) => {
                leading.observe(self, current.clone()).await?;
                Err(KvError::StaleEpoch { current })
            }
            Response::Range(Err(error)) => Err(error),
            Response::Cluster(_) => Err(KvError::NotSupported { what: "an answer of another kind".into() }),
        }
    }

    /// Confirms each cycle where it stands and breaks the wait of its youngest transaction.
    pub(super) async fn break_deadlocks(&self, leading: &Leading) {
        for cycle in leading.deadlocks(self.env.now()) {
            if self.stands(&cycle).await {
                let (node, edge) = cycle.victim().clone();
                let breaking = ClusterRequest::BreakWait { edge: edge.clone(), cycle: cycle.txns() };
                let outcome = self.ask_node(node, breaking).await;
                tracing::info!(victim = %edge.waiter, cycle = ?cycle.txns(), ?outcome, "deadlock");
            }
        }
    }

    async fn stands(&self, cycle: &Cycle) -> bool {
        let confirm = |(node, edge): &(NodeId, WaitEdge)| {
            let (node, edge) = (*node, edge.clone());
            async move {
                let reply = self.ask_node(node, ClusterRequest::StandingWaits { edges: vec![edge.clone()] }).await;
                matches!(reply, Ok(ClusterReply::Waits { edges }) if edges.contains(&edge))
            }
        };
        let confirmed = futures::future::join_all(cycle.0.iter().map(confirm)).await;
        confirmed.into_iter().all(|stands| stands)
    }

    async fn ask_node(&self, node: NodeId, request: ClusterRequest) -> KvResult<ClusterReply> {
        match self.call(node, Request::Cluster(request), self.env.knobs().rpc_timeout).await? {
            Response::Cluster(response) => response,
            Response::Range(_) => Err(KvError::NotSupported { what: "an answer of another kind".into() }),
        }
    }

    async fn call(&self, node: NodeId, request: Request, limit: Duration) -> KvResult<Response> {
        let answer = self.env.timeout(limit, self.network.call(node, request)).await;
        answer
            .unwrap_or(Err(NetworkError::Timeout(node)))
            .map_err(|error| KvError::Unavailable { range: keyspace::SYSTEM_RANGE, why: error.to_string() })
    }
}
