//! Everything that arrives from other nodes, and from this one, passes here once.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use keyspace::NodeId;
use placement::{Neighbours, Placement};
use ranges::Store;
use rpc::cluster::{ClusterReply, ClusterRequest, ClusterResponse};
use rpc::{BoxFuture, KvError, RaftEnvelope, Request, Response, Service, codec};

/// Answers for the process: little while it looks for its cluster, everything when it is a node.
#[derive(Default)]
pub struct NodeService {
    member: OnceLock<Membership>,
}

pub struct Membership {
    pub cluster: u64,
    pub node: NodeId,
    pub store: Store,
    pub placement: Placement,
    pub neighbours: Neighbours,
    pub txn: txn::TxnClient,
    pub sql: Arc<sql::session::Server>,
    /// How long a node that is drained takes no sessions, until it is told so again.
    pub refusal: Duration,
}

impl NodeService {
    pub fn begin(&self, membership: Membership) {
        let first = self.member.set(membership).is_ok();
        assert!(first, "a process becomes a node once");
    }

    fn hello(&self) -> ClusterReply {
        let member = self.member.get();
        ClusterReply::Hello {
            cluster: member.map(|member| member.cluster),
            node: member.map(|member| member.node),
            protocol: u32::from(codec::VERSION),
            nodes: member.map_or_else(Vec::new, |member| member.neighbours.list()),
        }
    }
}

impl Service for NodeService {
    fn call(&self, from: NodeId, request: Request) -> BoxFuture<'_, Response> {
        let Some(member) = self.member.get() else {
            let answer = match request {
                Request::Cluster(ClusterRequest::Hello { .. }) => Response::Cluster(Ok(self.hello())),
                Request::Cluster(_) => Response::Cluster(Err(no_cluster_yet())),
                Request::Range(_) => Response::Range(Err(no_cluster_yet())),
            };
            return Box::pin(std::future::ready(answer));
        };
        match request {
            Request::Range(request) => {
                Box::pin(async move { Response::Range(member.store.handle(from, request).await) })
            }
            Request::Cluster(ClusterRequest::Hello { .. }) => {
                Box::pin(std::future::ready(Response::Cluster(Ok(self.hello()))))
            }
            Request::Cluster(request) => Box::pin(async move { Response::Cluster(member.answer(from, request).await) }),
        }
    }

    fn raft(&self, _from: NodeId, envelopes: Vec<RaftEnvelope>) {
        if let Some(member) = self.member.get() {
            member.store.raft(envelopes);
        }
    }
}

impl Membership {
    /// What is asked of this very node, or else of the system range's leader.
    async fn answer(&self, from: NodeId, request: ClusterRequest) -> ClusterResponse {
        match request {
            ClusterRequest::CreateReplica { range, replica } => {
                self.store.create_replica(range, replica).await?;
                Ok(ClusterReply::Done)
            }
            ClusterRequest::Waits => Ok(ClusterReply::Waits { edges: self.store.wait_edges() }),
            ClusterRequest::StandingWaits { edges } => {
                Ok(ClusterReply::Waits { edges: self.store.standing_waits(&edges) })
            }
            ClusterRequest::BreakWait { edge, cycle } => {
                let stood = self.store.break_wait(edge.waiter, edge.wait, cycle);
                Ok(ClusterReply::WaitBroken { stood })
            }
            ClusterRequest::MayHoldLocks { txn } => {
                Ok(ClusterReply::MayHoldLocks { may: self.txn.may_hold_locks(txn) })
            }
            ClusterRequest::Sessions { question } => {
                Ok(ClusterReply::Sessions { answer: self.sql.answer(question).await })
            }
            ClusterRequest::RefuseSessions => {
                let open = self.sql.refuse_sessions(self.refusal) as u64;
                Ok(ClusterReply::SessionsRefused { open })
            }
            other => self.placement.call(from, other).await,
        }
    }
}

fn no_cluster_yet() -> KvError {
    KvError::Unavailable { range: keyspace::SYSTEM_RANGE, why: "the process belongs to no cluster yet".into() }
}
