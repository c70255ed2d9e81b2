//! The seam between a node and everyone else.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use keyspace::{NodeId, RangeId, ReplicaId};

use crate::cluster::{ClusterRequest, ClusterResponse, NodeInfo};
use crate::range::{RangeRequest, RangeResponse};
use crate::{AskError, NetworkError};

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
    /// Asks `to` and waits for its answer. A node that is known to be dead is an error at once; for one that
    /// is merely silent the caller sets its own limit.
    ///
    /// Dropping the future gives up the wait, not the request; only a call to the node itself, which is a
    /// plain function call, ends where it is.
    fn call(&self, to: NodeId, request: Request) -> BoxFuture<'_, Result<Response, NetworkError>>;

    /// Hands a raft message over without waiting; it may be lost.
    fn send_raft(&self, to: NodeId, envelopes: Vec<RaftEnvelope>);
}

/// The network as the owner of a node sees it: who we are, who answers here, where the others listen.
pub trait Transport: Network {
    /// From now on `service` answers what arrives.
    fn serve(&self, service: Arc<dyn Service>);

    /// This process is `node` of `cluster`. Until then it can only [`Transport::ask`] and answer such questions.
    fn identify(&self, cluster: u64, node: NodeId);

    /// Where nodes listen. A later address of a node replaces an earlier one.
    fn learn(&self, nodes: &[NodeInfo]);

    /// Asks whoever listens at `address`: `Hello`, `Join` or `Survey`, before node ids are known.
    fn ask(&self, address: &str, request: ClusterRequest) -> BoxFuture<'_, Result<ClusterResponse, AskError>>;

    /// Ends all connections and lets the service go. Later calls fail.
    fn close(&self);
}

/// What answers on a node.
pub trait Service: Send + Sync + 'static {
    /// `from` is node 0 for a process that belongs to no cluster yet; it may only say `Hello` and `Join`, and
    /// ask for the `Survey` (the transport sees to that).
    fn call(&self, from: NodeId, request: Request) -> BoxFuture<'_, Response>;

    /// Must not block and not call back into the network.
    fn raft(&self, from: NodeId, envelopes: Vec<RaftEnvelope>);
}

/// May somebody ask this whom we know nothing about?
pub(crate) fn is_open_to_strangers(request: &Request) -> bool {
    matches!(request, Request::Cluster(ClusterRequest::Hello { .. } | ClusterRequest::Join(_) | ClusterRequest::Survey))
}
