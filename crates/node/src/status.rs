//! One sentence about the cluster, and the tables behind it, from what this node knows.

use std::time::Duration;

use keyspace::{NodeId, SYSTEM_RANGE};
use rpc::cluster::{NodeInfo, RangeSurvey, Survey};
use rpc::range::ReplicaRole;
use serde_json::{Value, json};

/// What is put into words. `silence`: how long ago the system range's leader answered; `None` if never.
pub struct Outlook<'a> {
    pub survey: &'a Survey,
    pub silence: Option<Duration>,
    pub expiry: Duration,
    /// Why this node does not take clients.
    pub not_ready: Option<String>,
    pub node: NodeId,
}

impl Outlook<'_> {
    pub fn to_json(&self) -> Value {
        json!({
            "summary": self.summary(),
            "node": self.node.0,
            "nodes": self.survey.nodes.iter().map(|info| self.node_row(info)).collect::<Vec<_>>(),
            "ranges": self.survey.ranges.iter().map(range_row).collect::<Vec<_>>(),
        })
    }

    pub fn summary(&self) -> String {
        if self.silence.is_none_or(|silence| silence >= self.expiry) {
            let since = match self.silence {
                Some(silence) => format!("for {} s", silence.as_secs()),
                None => "since it started".into(),
            };
            return format!("No quorum: {} has had no answer from the system range {since}.", self.node);
        }
        if let Some(why) = &self.not_ready {
            return format!("Not ready: {why}.");
        }
        let dead: Vec<String> =
            self.survey.nodes.iter().filter(|info| !info.live).map(|info| info.node.to_string()).collect();
        let spare = self.survey.ranges.iter().map(|range| self.spare(range)).min().unwrap_or(0);
        let health = match (spare, dead.is_empty()) {
            (..0, _) => "Unavailable in part: a range has lost its quorum".to_owned(),
            (_, true) => "Healthy".to_owned(),
            (_, false) => format!("Working without {}", dead.join(", ")),
        };
        let outlook = match spare {
            ..0 => String::new(),
            0 if self.survey.nodes.len() == 1 => " One node: start others with --join to survive its loss.".to_owned(),
            0 => " Cannot lose a node without losing availability.".to_owned(),
            1 => " Can lose 1 more node without losing data or availability.".to_owned(),
            more => format!(" Can lose {more} more nodes without losing data or availability."),
        };
        format!("{health}.{outlook}")
    }

    /// Live voters that a range could do without; negative without a quorum.
    fn spare(&self, range: &RangeSurvey) -> i64 {
        let is_live = |node: NodeId| self.survey.nodes.iter().any(|info| info.node == node && info.live);
        let voters: Vec<_> =
            range.descriptor.replicas.iter().filter(|replica| replica.role == ReplicaRole::Voter).collect();
        let live = voters.iter().filter(|voter| is_live(voter.node)).count() as i64;
        live - (voters.len() as i64 / 2 + 1)
    }

    fn node_row(&self, info: &NodeInfo) -> Value {
        let led = self.survey.ranges.iter().filter(|range| range.leader == Some(info.node)).count();
        let holds = |range: &&RangeSurvey| range.descriptor.replicas.iter().any(|replica| replica.node == info.node);
        json!({
            "node": info.node.0,
            "state": if info.live { "live" } else { "dead" },
            "silent_ms": info.silent_ms,
            "replicas": self.survey.ranges.iter().filter(holds).count(),
            "leaders": led,
            "sql": info.sql_address,
            "rpc": info.rpc_address,
            "http": info.http_address,
        })
    }
}

fn range_row(range: &RangeSurvey) -> Value {
    let with_role = |role: ReplicaRole| {
        let replicas = range.descriptor.replicas.iter().filter(|replica| replica.role == role);
        replicas.map(|replica| replica.node.0.to_string()).collect::<Vec<_>>().join(",")
    };
    json!({
        "range": range.descriptor.id.0,
        "kind": if range.descriptor.id == SYSTEM_RANGE { "system" } else { "user" },
        "start": range.descriptor.span.start.to_string(),
        "end": range.descriptor.span.end.to_string(),
        "leader": range.leader.map(|node| node.0),
        "voters": with_role(ReplicaRole::Voter),
        "learners": with_role(ReplicaRole::Learner),
        "size_bytes": range.size_bytes,
        "epoch": range.descriptor.epoch.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyspace::{RangeId, ReplicaId, Span};
    use rpc::range::{RangeDescriptor, ReplicaDescriptor};

    fn survey(live: &[bool], voters: &[u64]) -> Survey {
        let info = |(index, live): (usize, &bool)| NodeInfo {
            node: NodeId(index as u64 + 1),
            rpc_address: String::new(),
            sql_address: String::new(),
            http_address: String::new(),
            silent_ms: 0,
            live: *live,
        };
        let replica =
            |node: &u64| ReplicaDescriptor { node: NodeId(*node), replica: ReplicaId(*node), role: ReplicaRole::Voter };
        let descriptor = RangeDescriptor {
            id: RangeId(1),
            epoch: Default::default(),
            span: Span::all(),
            replicas: voters.iter().map(replica).collect(),
        };
        let range = RangeSurvey { descriptor, leader: None, size_bytes: 0, keys: 0 };
        Survey { nodes: live.iter().enumerate().map(info).collect(), ranges: vec![range] }
    }

    fn summary(live: &[bool], voters: &[u64], silence_ms: u64) -> String {
        let survey = survey(live, voters);
        let silence = Some(Duration::from_millis(silence_ms));
        Outlook { survey: &survey, silence, expiry: Duration::from_secs(5), not_ready: None, node: NodeId(1) }.summary()
    }

    #[test]
    fn one_sentence_first() {
        assert_eq!(summary(&[true], &[1], 0), "Healthy. One node: start others with --join to survive its loss.");
        assert_eq!(
            summary(&[true; 3], &[1, 2, 3], 0),
            "Healthy. Can lose 1 more node without losing data or availability."
        );
        assert_eq!(
            summary(&[true; 5], &[1, 2, 3, 4, 5], 0),
            "Healthy. Can lose 2 more nodes without losing data or availability."
        );
        assert_eq!(
            summary(&[true, true, false], &[1, 2, 3], 0),
            "Working without n3. Cannot lose a node without losing availability."
        );
        assert_eq!(summary(&[true, false, false], &[1, 2, 3], 0), "Unavailable in part: a range has lost its quorum.");
        assert_eq!(
            summary(&[true; 3], &[1, 2, 3], 7000),
            "No quorum: n1 has had no answer from the system range for 7 s."
        );
    }
}
