//! What `cairn.nodes` and `cairn.ranges` show: the cluster as the leader of the system range sees it.

use std::sync::Arc;

use bytes::Bytes;
use env::{BoxFuture, Env};
use futures::future::join_all;
use keyspace::{NodeId, TableId, Timestamp, TxnId, table_span};
use placement::{Neighbours, Placement};
use ranges::Store;
use rpc::cluster::{ClusterReply, ClusterRequest, NodeInfo, RangeSurvey, Survey, WaitEdge};
use rpc::range::ReplicaRole;
use rpc::{Network, Request, Response};
use sql::catalog::providers::{ClusterView, NodeRow, RangeRow, WaitRow};
use sql::{SqlError, SqlResult};

use crate::heartbeat::Contact;

pub struct ClusterSight {
    pub env: Env,
    pub node: NodeId,
    pub store: Store,
    pub placement: Placement,
    pub neighbours: Neighbours,
    pub network: Arc<dyn Network>,
    pub contact: Arc<Contact>,
}

impl ClusterSight {
    async fn survey(&self) -> SqlResult<Survey> {
        if let Some(survey) = self.placement.survey() {
            return Ok(survey);
        }
        match self.placement.leader().ask(|| ClusterRequest::Survey).await {
            Ok(ClusterReply::Survey(survey)) => Ok(survey),
            Ok(_) => Err(SqlError::new("XX000", "the system range gave an answer of another kind")),
            Err(error) => Err(SqlError::new("57P03", error.to_string())
                .with_hint("A quorum of replicas must be up; see cairn status.")),
        }
    }

    fn others(&self) -> impl Iterator<Item = NodeId> {
        let own = self.node;
        self.neighbours.list().into_iter().map(|info| info.node).filter(move |node| *node != own)
    }

    /// What another node says; nothing if it does not answer.
    async fn waits_at(&self, node: NodeId) -> Vec<WaitEdge> {
        let call = self.network.call(node, Request::Cluster(ClusterRequest::Waits));
        match self.env.timeout(self.env.knobs().node_heartbeat, call).await {
            Some(Ok(Response::Cluster(Ok(ClusterReply::Waits { edges })))) => edges,
            _ => Vec::new(),
        }
    }
}

impl ClusterView for ClusterSight {
    fn nodes(&self) -> BoxFuture<'_, SqlResult<Vec<NodeRow>>> {
        Box::pin(async move {
            let survey = self.survey().await?;
            Ok(survey.nodes.iter().map(|info| node_row(info, &survey.ranges)).collect())
        })
    }

    fn ranges(&self) -> BoxFuture<'_, SqlResult<Vec<RangeRow>>> {
        Box::pin(async move { Ok(self.survey().await?.ranges.iter().map(range_row).collect()) })
    }

    fn waits(&self) -> BoxFuture<'_, SqlResult<Vec<WaitRow>>> {
        Box::pin(async move {
            let told = join_all(self.others().map(|node| self.waits_at(node))).await;
            let edges = self.store.wait_edges().into_iter().chain(told.into_iter().flatten());
            // What nobody has asked a range for is a session waiting as another transaction of its own.
            let row = |edge: WaitEdge| {
                let (key, mode) = edge.wanted?;
                Some(WaitRow { waiter: edge.waiter, holder: edge.holder, key, mode })
            };
            Ok(edges.filter_map(row).collect())
        })
    }

    fn ask_all_sessions(&self, question: Bytes) -> BoxFuture<'_, Vec<Bytes>> {
        let ask = move |node| {
            let request = ClusterRequest::Sessions { question: question.clone() };
            let call = self.network.call(node, Request::Cluster(request));
            self.env.timeout(self.env.knobs().node_heartbeat, call)
        };
        Box::pin(async move {
            let answers = join_all(self.others().map(ask)).await;
            let told = |answer| match answer {
                Some(Ok(Response::Cluster(Ok(ClusterReply::Sessions { answer })))) => Some(answer),
                _ => None,
            };
            answers.into_iter().filter_map(told).collect()
        })
    }

    fn link(&self, waiter: TxnId, holder: TxnId) -> BoxFuture<'static, Vec<TxnId>> {
        self.store.link(waiter, holder)
    }

    fn ask_sessions(&self, node: NodeId, question: Bytes) -> BoxFuture<'_, SqlResult<Bytes>> {
        Box::pin(async move {
            let call = self.network.call(node, Request::Cluster(ClusterRequest::Sessions { question }));
            match self.env.timeout(self.env.knobs().range_unavailable, call).await {
                Some(Ok(Response::Cluster(Ok(ClusterReply::Sessions { answer })))) => Ok(answer),
                _ => Err(SqlError::new("57P03", format!("{node} does not answer"))),
            }
        })
    }

    fn is_session_over(&self, node: NodeId, began: Timestamp) -> bool {
        self.contact.is_session_over(node, began)
    }

    fn stored_bytes(&self, storage: TableId) -> u64 {
        let span = table_span(storage);
        let ranges = self.placement.survey().map_or_else(Vec::new, |survey| survey.ranges);
        ranges.iter().filter(|range| span.contains_span(&range.descriptor.span)).map(|range| range.size_bytes).sum()
    }
}

fn node_row(info: &NodeInfo, ranges: &[RangeSurvey]) -> NodeRow {
    let holds = |range: &&RangeSurvey| range.descriptor.replicas.iter().any(|replica| replica.node == info.node);
    NodeRow {
        node: info.node.0,
        rpc_address: info.rpc_address.clone(),
        sql_address: info.sql_address.clone(),
        http_address: info.http_address.clone(),
        live: info.live,
        silent_ms: info.silent_ms,
        replicas: ranges.iter().filter(holds).count() as u64,
        leaders: ranges.iter().filter(|range| range.leader == Some(info.node)).count() as u64,
    }
}

fn range_row(range: &RangeSurvey) -> RangeRow {
    let descriptor = &range.descriptor;
    let in_role =
        |role| descriptor.replicas.iter().filter(move |replica| replica.role == role).map(|replica| replica.node.0);
    RangeRow {
        range: descriptor.id.0,
        start: descriptor.span.start.clone(),
        end: descriptor.span.end.clone(),
        leader: range.leader.map(|node| node.0),
        replicas: descriptor.replicas.iter().map(|replica| replica.node.0).collect(),
        voters: in_role(ReplicaRole::Voter).collect(),
        size_bytes: range.size_bytes,
        keys: range.keys,
    }
}
