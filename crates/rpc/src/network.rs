//! The seam between a node and everyone else.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use keyspace::{NodeId, RangeId, ReplicaId};

use crate::NetworkError;
use crate::cluster::{ClusterRequest, ClusterResponse};
use crate::range::{RangeRequest, RangeResponse};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Everything one node may ask another.
#[derive(Clone, Debug)]
pub enum Request {
    Range(RangeRequest),
    Cluster(ClusterRequest),
}

#[derive(Clone, Debug)]
pub enum Response {
    Range(RangeResponse),
    Cluster(ClusterResponse),
}

/// A raft message between two replicas of one range; its bytes mean something only to `ranges`. Lost,
/// repeated and reordered ones are raft's everyday business.
#[derive(Clone, Debug)]
pub struct RaftEnvelope {
    pub range: RangeId,
    pub from: (NodeId, ReplicaId),
    pub to: (NodeId, ReplicaId),
    /// An encoded `raft` message.
    pub message: Bytes,
}

/// Sends to any node, this one included.
pub trait Network: Send + Sync + 'static {
    /// Asks `to` and waits for its answer. Dropping the future gives up the wait, not the request.
    fn call(&self, to: NodeId, request: Request) -> BoxFuture<'_, Result<Response, NetworkError>>;

    /// Hands a raft message over without waiting; it may be lost.
    fn send_raft(&self, to: NodeId, envelopes: Vec<RaftEnvelope>);
}

/// What answers on a node.
pub trait Service: Send + Sync + 'static {
    fn call(&self, from: NodeId, request: Request) -> BoxFuture<'_, Response>;

    fn raft(&self, from: NodeId, envelopes: Vec<RaftEnvelope>);
}
