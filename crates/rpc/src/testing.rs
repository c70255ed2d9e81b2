//! A service for the tests of both networks: it answers `Timestamps { count }` with the asker and the count.

use std::sync::atomic::{AtomicUsize, Ordering};

use keyspace::{NodeId, Timestamp};

use crate::cluster::{ClusterReply, ClusterRequest, Survey, TimestampReply};
use crate::{BoxFuture, KvError, Network, NetworkError, RaftEnvelope, Request, Response, Service};

#[derive(Debug, Default)]
pub struct Echo {
    calls: AtomicUsize,
    raft_messages: AtomicUsize,
}

impl Echo {
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub fn raft_messages(&self) -> usize {
        self.raft_messages.load(Ordering::SeqCst)
    }

    pub async fn ask(network: &dyn Network, to: NodeId, count: u32) -> Result<(NodeId, u32), NetworkError> {
        match network.call(to, Request::Cluster(ClusterRequest::Timestamps { count })).await? {
            Response::Cluster(Ok(ClusterReply::Timestamps(reply))) => Ok((NodeId(reply.first.0), reply.count)),
            other => panic!("an answer of another kind: {other:?}"),
        }
    }
}

impl Service for Echo {
    fn call(&self, from: NodeId, request: Request) -> BoxFuture<'_, Response> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            match request {
                Request::Cluster(ClusterRequest::Timestamps { count }) => {
                    let reply =
                        TimestampReply { first: Timestamp(from.0), count, catalog: Timestamp::ZERO, unsettled: false };
                    Response::Cluster(Ok(ClusterReply::Timestamps(reply)))
                }
                Request::Cluster(ClusterRequest::Survey) => {
                    Response::Cluster(Ok(ClusterReply::Survey(Survey::default())))
                }
                Request::Cluster(_) => Response::Cluster(Err(KvError::OracleUnavailable)),
                Request::Range(request) => Response::Range(Err(KvError::RangeNotFound { range: request.range })),
            }
        })
    }

    fn raft(&self, _from: NodeId, envelopes: Vec<RaftEnvelope>) {
        self.raft_messages.fetch_add(envelopes.len(), Ordering::SeqCst);
    }
}
