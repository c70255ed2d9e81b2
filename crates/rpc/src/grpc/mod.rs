//! # The network between processes
//!
//! ```text
//!   node 1                                         node 2
//!   Link(2, Requests) ══ one stream, for as long as both live ══► Acceptor ─► Service
//!   Link(2, Raft)     ══ another connection                   ══► Acceptor ─► Service
//!   Acceptor ◄══ the same the other way round                 ══  Link(1, …)
//! ```
//!
//! * [`link`](mod@link) is the side that asks: it connects when there is something to say, greets, sends
//!   batches, hands each answer to its caller. When the connection ends, every caller that waits
//!   learns it at once; connecting again is held off for a growing while, during which calls fail at once.
//! * [`acceptor`] is the side that answers.
//! * [`greeting`]: both sides say who they are and which versions they speak, and refuse what does not fit.
//!
//! Raft messages have a connection of their own so that a page of rows does not delay a heartbeat.

mod acceptor;
mod greeting;
mod link;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{Stream, future};
use keyspace::NodeId;
use parking_lot::RwLock;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::server::Connected;
use tonic::transport::{Endpoint, Server};

use crate::batch::{FRAME_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::cluster::{ClusterRequest, ClusterResponse, NodeInfo};
use crate::network::is_open_to_strangers;
use crate::{
    AskError, BoxFuture, Network, NetworkError, RaftEnvelope, Request, Response, Scheduler, Service, Transport, codec,
};
use acceptor::Acceptor;
use greeting::Identity;
use link::Link;
use proto::peer_client::PeerClient;
use proto::peer_server::PeerServer;

mod proto {
    tonic::include_proto!("cairn.peer.v1");
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// An open connection that is silent for this long is asked for a sign of life …
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// … and given up when none comes.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// What travels on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Requests,
    Raft,
    /// Raft messages that are so large that heartbeats should not wait behind them: snapshots.
    RaftBulk,
}

const BULK_BYTES: usize = 2 << 20;

/// Cheap to clone; every clone is the same node.
#[derive(Clone, Debug)]
pub struct GrpcNetwork(Arc<Shared>);

struct Shared {
    scheduler: Scheduler,
    cluster: AtomicU64,
    node: AtomicU64,
    service: RwLock<Option<Arc<dyn Service>>>,
    addresses: RwLock<BTreeMap<NodeId, String>>,
    links: RwLock<BTreeMap<(NodeId, Class), Arc<Link>>>,
    closed: tokio::sync::watch::Sender<bool>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.identity())
    }
}

/// Answers peers until the network is closed.
pub type Listening = BoxFuture<'static, Result<(), io::Error>>;

impl GrpcNetwork {
    pub fn new(scheduler: Scheduler) -> GrpcNetwork {
        GrpcNetwork(Arc::new(Shared {
            scheduler,
            cluster: AtomicU64::new(0),
            node: AtomicU64::new(0),
            service: RwLock::default(),
            addresses: RwLock::default(),
            links: RwLock::default(),
            closed: tokio::sync::watch::Sender::new(false),
        }))
    }

    /// Answers peers on the connections that `incoming` accepts; the returned future does the work. Sockets
    /// should have `TCP_NODELAY` set.
    pub fn listen<S, IO>(&self, incoming: S) -> Listening
    where
        S: Stream<Item = io::Result<IO>> + Send + 'static,
        IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let acceptor = PeerServer::new(Acceptor::new(self.0.clone()))
            .max_decoding_message_size(FRAME_BYTES_MAX)
            .max_encoding_message_size(usize::MAX);
        let shared = self.0.clone();
        Box::pin(async move {
            Server::builder()
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
                .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
                .add_service(acceptor)
                .serve_with_incoming_shutdown(incoming, shared.closed())
                .await
                .map_err(io::Error::other)
        })
    }
}

impl Shared {
    fn identity(&self) -> Identity {
        Identity { cluster: self.cluster.load(Ordering::Acquire), node: NodeId(self.node.load(Ordering::Acquire)) }
    }

    fn service(&self) -> Option<Arc<dyn Service>> {
        self.service.read().clone()
    }

    fn address_of(&self, node: NodeId) -> Option<String> {
        self.addresses.read().get(&node).cloned()
    }

    fn link(self: &Arc<Self>, to: NodeId, class: Class) -> Arc<Link> {
        if let Some(link) = self.links.read().get(&(to, class)) {
            return link.clone();
        }
        let mut links = self.links.write();
        links.entry((to, class)).or_insert_with(|| Arc::new(Link::new(self, to, class))).clone()
    }

    /// Ends when the network is closed.
    fn closed(&self) -> BoxFuture<'static, ()> {
        let mut closed = self.closed.subscribe();
        Box::pin(async move {
            // An error says that the network itself is gone.
            let _gone = closed.wait_for(|closed| *closed).await;
        })
    }
}

/// A connection to `address` that is not yet made.
fn endpoint(address: &str) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true))
}

impl Network for GrpcNetwork {
    fn call(&self, to: NodeId, request: Request) -> BoxFuture<'_, Result<Response, NetworkError>> {
        if to == self.0.identity().node {
            return match self.0.service() {
                Some(service) => Box::pin(async move { Ok(service.call(to, request).await) }),
                None => Box::pin(future::ready(Err(NetworkError::Unreachable(to)))),
            };
        }
        let link = self.0.link(to, Class::Requests);
        Box::pin(async move { link.call(request).await })
    }

    fn send_raft(&self, to: NodeId, envelopes: Vec<RaftEnvelope>) {
        if to == self.0.identity().node {
            if let Some(service) = self.0.service() {
                service.raft(to, envelopes);
            }
            return;
        }
        for envelope in envelopes {
            let class = if envelope.message.len() > BULK_BYTES { Class::RaftBulk } else { Class::Raft };
            self.0.link(to, class).send_raft(&envelope);
        }
    }
}

impl Transport for GrpcNetwork {
    fn serve(&self, service: Arc<dyn Service>) {
        *self.0.service.write() = Some(service);
    }

    fn identify(&self, cluster: u64, node: NodeId) {
        self.0.cluster.store(cluster, Ordering::Release);
        self.0.node.store(node.0, Ordering::Release);
    }

    fn learn(&self, nodes: &[NodeInfo]) {
        let mut addresses = self.0.addresses.write();
        for info in nodes {
            if addresses.get(&info.node) != Some(&info.rpc_address) {
                addresses.insert(info.node, info.rpc_address.clone());
            }
        }
    }

    fn ask(&self, address: &str, request: ClusterRequest) -> BoxFuture<'_, Result<ClusterResponse, AskError>> {
        let address = address.to_owned();
        let request = Request::Cluster(request);
        assert!(is_open_to_strangers(&request), "an address can only be asked what strangers may ask");
        Box::pin(async move { ask(self.0.identity(), address, request).await })
    }

    fn close(&self) {
        self.0.closed.send_replace(true);
        *self.0.service.write() = None;
        self.0.links.write().clear();
    }
}

async fn ask(identity: Identity, address: String, request: Request) -> Result<ClusterResponse, AskError> {
    let no_answer = |why: String| AskError::NoAnswer { address: address.clone(), why };
    let refused = |why: String| AskError::Refused { address: address.clone(), why };
    let endpoint = endpoint(&address).map_err(|error| refused(reason(&error)))?;
    let channel = endpoint.connect().await.map_err(|error| no_answer(reason(&error)))?;
    let mut client = PeerClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let greeting = Some(identity.greeting(NodeId(0)));
    let question = proto::Question { greeting, request: codec::encode_request(&request) };
    let answer = client.ask(question).await.map_err(|status| match status.code() {
        tonic::Code::FailedPrecondition => refused(status.message().to_owned()),
        tonic::Code::Unavailable => no_answer(status.message().to_owned()),
        _ => refused(format!("no Cairn node answers there ({})", status.message())),
    })?;
    match codec::decode_response(answer.into_inner().response) {
        Ok(Response::Cluster(response)) => Ok(response),
        Ok(Response::Range(_)) => Err(refused("the answer is of another kind".into())),
        Err(error) => Err(refused(error.to_string())),
    }
}

/// The innermost cause, which says what happened; the outer ones say "transport error".
fn reason(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests;
