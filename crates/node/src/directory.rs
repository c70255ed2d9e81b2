//! Where ranges are, as this node finds out: from its own replicas, else from the system range's leader.

use std::sync::Arc;
use std::time::Duration;

use env::Env;
use keyspace::{Key, NodeId, Timestamp, TxnId};
use parking_lot::RwLock;
use placement::Placement;
use ranges::{Outside, Store};
use rpc::cluster::{ClusterReply, ClusterRequest};
use rpc::range::{RangeBody, RangeDescriptor, RangeRequest, RangeResponse};
use rpc::{BoxFuture, KvError, KvResult, Network, Request, Response};
use txn::TxnResult;

use crate::oracle::unavailable;

#[derive(Clone)]
pub struct ClusterDirectory {
    pub store: Store,
    pub placement: Placement,
}

impl ClusterDirectory {
    async fn find(&self, key: &Key) -> KvResult<(RangeDescriptor, Option<NodeId>)> {
        // A replica here that knows its leader is as good a witness as any.
        if let Some((descriptor, Some(leader))) = self.store.lookup(key) {
            return Ok(((*descriptor).clone(), Some(leader)));
        }
        match self.placement.leader().ask(|| ClusterRequest::Locate { key: key.clone() }).await? {
            ClusterReply::Located { descriptor, leader } => Ok((descriptor, leader)),
            _ => Err(KvError::NotSupported { what: "an answer of another kind".into() }),
        }
    }
}

impl txn::Directory for ClusterDirectory {
    fn locate(&self, key: &Key) -> env::BoxFuture<'_, TxnResult<(RangeDescriptor, Option<NodeId>)>> {
        let key = key.clone();
        Box::pin(async move { self.find(&key).await.map_err(unavailable) })
    }
}

/// The cluster as the store sees it, until the node stops: the store and its way out hold each other.
pub struct ClusterOutside(RwLock<Option<Arc<WayOut>>>);

struct WayOut {
    env: Env,
    network: Arc<dyn Network>,
    directory: ClusterDirectory,
}

impl ClusterOutside {
    pub fn new(env: Env, network: Arc<dyn Network>, directory: ClusterDirectory) -> ClusterOutside {
        ClusterOutside(RwLock::new(Some(Arc::new(WayOut { env, network, directory }))))
    }

    pub fn close(&self) {
        *self.0.write() = None;
    }

    fn way_out(&self) -> KvResult<Arc<WayOut>> {
        self.0.read().clone().ok_or_else(|| KvError::Stopping { why: "the node is stopping".into() })
    }
}

impl Outside for ClusterOutside {
    fn fresh_timestamp(&self) -> BoxFuture<'_, KvResult<Timestamp>> {
        Box::pin(async move { Ok(self.way_out()?.directory.placement.timestamps().fresh().await?.first) })
    }

    fn ask(&self, key: Key, body: RangeBody) -> BoxFuture<'_, RangeResponse> {
        Box::pin(async move { self.way_out()?.ask_leader(key, body).await })
    }

    fn may_hold_locks(&self, node: NodeId, txn: TxnId) -> BoxFuture<'_, KvResult<bool>> {
        Box::pin(async move { self.way_out()?.may_hold_locks(node, txn).await })
    }
}

const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(200);

impl WayOut {
    /// Asks whoever leads the range that holds `key`, and looks again when it was somebody else. Requests of
    /// the commit protocol are harmless to repeat.
    async fn ask_leader(&self, key: Key, body: RangeBody) -> RangeResponse {
        let deadline = self.env.now() + self.env.knobs().range_unavailable;
        let mut pause = PAUSE_MIN;
        let mut told: Option<(RangeDescriptor, NodeId)> = None;
        let mut next_replica = 0;
        loop {
            let (descriptor, leader) = match told.take() {
                Some((descriptor, leader)) => (descriptor, Some(leader)),
                None => self.directory.find(&key).await?,
            };
            let voters = &descriptor.replicas;
            let asked = leader.or_else(|| voters.get(next_replica % voters.len().max(1)).map(|replica| replica.node));
            next_replica += 1;
            let failure = match asked {
                None => KvError::Unavailable { range: descriptor.id, why: "nobody holds it".into() },
                Some(node) => {
                    let request = RangeRequest { range: descriptor.id, epoch: descriptor.epoch, body: body.clone() };
                    match self.ask_node(node, request).await {
                        Err(error) if error.is_routing() => error,
                        Err(error @ (KvError::Unavailable { .. } | KvError::Stopping { .. })) => error,
                        answer => return answer,
                    }
                }
            };
            told = match &failure {
                KvError::NotLeader { leader: Some(leader), .. } if Some(*leader) != asked => {
                    Some((descriptor, *leader))
                }
                KvError::StaleEpoch { current } => {
                    current.iter().find(|descriptor| descriptor.span.contains(&key)).cloned().zip(asked)
                }
                _ => None,
            };
            if self.env.now() >= deadline {
                return Err(failure);
            }
            if told.is_none() {
                self.env.sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }

    async fn may_hold_locks(&self, node: NodeId, txn: TxnId) -> KvResult<bool> {
        let unavailable =
            || KvError::Unavailable { range: keyspace::SYSTEM_RANGE, why: format!("{node} does not tell") };
        let call = self.network.call(node, Request::Cluster(ClusterRequest::MayHoldLocks { txn }));
        match self.env.timeout(self.env.knobs().rpc_timeout, call).await {
            Some(Ok(Response::Cluster(Ok(ClusterReply::MayHoldLocks { may })))) => Ok(may),
            _ => Err(unavailable()),
        }
    }

    async fn ask_node(&self, node: NodeId, request: RangeRequest) -> RangeResponse {
        let range = request.range;
        let unavailable = |why: String| KvError::Unavailable { range, why };
        let call = self.network.call(node, Request::Range(request));
        match self.env.timeout(self.env.knobs().rpc_timeout, call).await {
            Some(Ok(Response::Range(response))) => response,
            Some(Ok(Response::Cluster(_))) => Err(unavailable(format!("{node} gave an answer of another kind"))),
            Some(Err(error)) => Err(unavailable(error.to_string())),
            None => Err(unavailable(format!("{node} did not answer in time"))),
        }
    }
}
