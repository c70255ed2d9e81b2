//! What an operator asks for (`CALL cairn.…`, `cairn node`, `cairn range`), carried out through the leader of the system
//! range, or through the range's own.

use std::time::Duration;

use keyspace::{NodeId, RangeId, SYSTEM_RANGE};
use rpc::KvError;
use rpc::cluster::{ClusterReply, ClusterRequest, Duty, RangeSurvey, Wish};
use rpc::range::{AdminReply, AdminRequest, RangeBody, RangeReply};
use sql::catalog::providers::Operation;
use sql::{SqlError, SqlResult};

use crate::view::ClusterSight;

/// How long a leader may take to move.
const LEADER_MOVE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

impl ClusterSight {
    pub(crate) async fn carry_out(&self, operation: Operation) -> SqlResult<String> {
        match operation {
            Operation::SplitRange { range } => self.split_range(RangeId(range)).await,
            Operation::MoveLeader { range, node } => self.move_leader(RangeId(range), NodeId(node)).await,
            Operation::MoveReplica { range, from, to } => {
                let (range, from, to) = (RangeId(range), NodeId(from), NodeId(to));
                self.ask(ClusterRequest::Move { range, wish: Wish::Replica { from, to } }).await?;
                Ok(format!("{range} moves from {from} to {to}"))
            }
            Operation::DrainNode { node } => {
                self.others_must_serve(NodeId(node)).await?;
                self.set_duty(NodeId(node), Duty::Drains { life: Default::default() }).await?;
                Ok(format!("{} is being drained until its process ends", NodeId(node)))
            }
            Operation::DecommissionNode { node } => {
                self.others_must_serve(NodeId(node)).await?;
                self.set_duty(NodeId(node), Duty::Leaves).await?;
                Ok(format!("{} gives all its replicas away", NodeId(node)))
            }
            Operation::UndrainNode { node } | Operation::RecommissionNode { node } => {
                self.set_duty(NodeId(node), Duty::Serves).await?;
                Ok(format!("{} serves", NodeId(node)))
            }
        }
    }

    async fn split_range(&self, range: RangeId) -> SqlResult<String> {
        if range == SYSTEM_RANGE {
            return Err(SqlError::not_supported("a split of the system range"));
        }
        let start = self.range(range).await?.descriptor.span.start;
        let measured = self.txn.ask(&start, RangeBody::Admin(AdminRequest::Measure)).await.map_err(failed)?;
        let RangeReply::Admin(AdminReply::Measured { bytes, middle, .. }) = measured else {
            return Err(SqlError::new("XX000", "a range gave an answer of another kind"));
        };
        let Some(at) = middle else {
            return Err(SqlError::new("55000", format!("{range} has fewer than two rows: there is nothing to split")));
        };
        self.txn.split_at(at.clone()).await?;
        self.placement.note(range, format!("split at {at}"), format!("an operator splits it, at {bytes} bytes"));
        Ok(format!("{range} is split at {at}"))
    }

    async fn move_leader(&self, range: RangeId, to: NodeId) -> SqlResult<String> {
        let deadline = self.env.now() + LEADER_MOVE;
        loop {
            self.ask(ClusterRequest::Move { range, wish: Wish::Leader { on: to } }).await?;
            for _look in 0..10 {
                if self.range(range).await?.leader == Some(to) {
                    return Ok(format!("{range} is led from {to}"));
                }
                self.env.sleep(PAUSE).await;
            }
            if self.env.now() >= deadline {
                let message = format!("the leader of {range} did not move to {to} within {} s", LEADER_MOVE.as_secs());
                return Err(SqlError::new("55000", message)
                    .with_hint("Its replica there may be behind; cairn.placement_log shows what was tried."));
            }
        }
    }

    async fn set_duty(&self, node: NodeId, duty: Duty) -> SqlResult<()> {
        self.ask(ClusterRequest::SetDuty { node, duty }).await.map(drop)
    }

    /// The last node in use stays so.
    async fn others_must_serve(&self, node: NodeId) -> SqlResult<()> {
        let survey = self.survey().await?;
        let ClusterReply::Duties { duties } = self.ask(ClusterRequest::Duties).await? else {
            return Err(SqlError::new("XX000", "the leader of the system range gave an answer of another kind"));
        };
        let is_in_use = |other: NodeId| !duties.iter().any(|duty| duty.node == other);
        if survey.nodes.iter().any(|info| info.live && info.node != node && is_in_use(info.node)) {
            return Ok(());
        }
        Err(SqlError::new("55000", format!("{node} is the only node in use"))
            .with_hint("Start another one with --join first."))
    }

    async fn range(&self, range: RangeId) -> SqlResult<RangeSurvey> {
        let survey = self.survey().await?;
        let found = survey.ranges.into_iter().find(|known| known.descriptor.id == range);
        found.ok_or_else(|| SqlError::new("42704", format!("{range} does not exist")))
    }

    async fn ask(&self, request: ClusterRequest) -> SqlResult<ClusterReply> {
        self.placement.leader().ask(|| request.clone()).await.map_err(failed)
    }
}

fn failed(error: KvError) -> SqlError {
    match error {
        KvError::Refused { why } => SqlError::new("55000", why),
        KvError::NotSupported { what } => SqlError::not_supported(what),
        other => SqlError::new("57P03", other.to_string()),
    }
}
