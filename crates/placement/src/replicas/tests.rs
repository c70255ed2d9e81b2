//! A cluster in a few lines: ranges as text, decisions as text, carried out until nothing is left to do.

use std::time::Duration;

use env::Mono;
use keyspace::{Epoch, Key, NodeId, RangeId, ReplicaId, Span};
use rpc::cluster::{NodeInfo, ReplicaStatus};
use rpc::range::{RangeDescriptor, ReplicaDescriptor, ReplicaRole};

use super::{Action, Decision, plan};
use crate::Directory;

const REPAIR: Duration = Duration::from_secs(300);

struct Cluster {
    nodes: Vec<NodeInfo>,
    ranges: Vec<Range>,
    next_replica: u64,
}

struct Range {
    descriptor: RangeDescriptor,
    leader: NodeId,
}

impl Cluster {
    fn new(nodes: u64, ranges: u64) -> Cluster {
        let mut cluster = Cluster { nodes: Vec::new(), ranges: Vec::new(), next_replica: 1000 };
        cluster.grow(nodes);
        for id in 1..=ranges {
            let replica = ReplicaDescriptor { node: NodeId(1), replica: ReplicaId(id), role: ReplicaRole::Voter };
            let key = |id: u64| Key::from(&id.to_be_bytes()[..]);
            let descriptor = RangeDescriptor {
                id: RangeId(id),
                epoch: Epoch::default(),
                span: Span::new(key(id), key(id + 1)),
                replicas: vec![replica],
            };
            cluster.ranges.push(Range { descriptor, leader: NodeId(1) });
        }
        cluster
    }

    fn grow(&mut self, count: u64) {
        for _ in 0..count {
            let node = NodeId(self.nodes.len() as u64 + 1);
            let address = String::new;
            self.nodes.push(NodeInfo {
                node,
                rpc_address: address(),
                sql_address: address(),
                http_address: address(),
                silent_ms: 0,
                live: true,
            });
        }
    }

    fn silence(&mut self, node: u64, time: Duration) {
        let info = &mut self.nodes[node as usize - 1];
        info.live = false;
        info.silent_ms = time.as_millis() as u64;
        let elsewhere = |range: &Range| {
            range.descriptor.replicas.iter().find(|r| r.role == ReplicaRole::Voter && r.node.0 != node).map(|r| r.node)
        };
        for range in self.ranges.iter_mut().filter(|range| range.leader.0 == node) {
            range.leader = elsewhere(range).unwrap_or(range.leader);
        }
    }

    fn plan(&self) -> Vec<Decision> {
        let mut directory = Directory::default();
        for Range { descriptor, leader } in &self.ranges {
            let caught_up = descriptor.replicas.iter().map(|replica| replica.replica).collect();
            let status = ReplicaStatus {
                descriptor: descriptor.clone(),
                replica: ReplicaId(0),
                is_leader: true,
                term: 1,
                applied: 0,
                size_bytes: 0,
                keys: 0,
                caught_up,
            };
            directory.observe(*leader, &status, Mono(0));
        }
        plan(&self.nodes, &directory, REPAIR)
    }

    fn carry_out(&mut self, decision: &Decision) {
        let range = self.ranges.iter_mut().find(|range| range.descriptor.id == decision.range).unwrap();
        let replicas = &mut range.descriptor.replicas;
        match &decision.action {
            Action::AddLearner { node } => {
                self.next_replica += 1;
                replicas.push(ReplicaDescriptor {
                    node: *node,
                    replica: ReplicaId(self.next_replica),
                    role: ReplicaRole::Learner,
                });
            }
            Action::Change { promote, remove } => {
                replicas.retain(|replica| !remove.contains(replica));
                for replica in replicas.iter_mut().filter(|replica| promote.contains(replica)) {
                    replica.role = ReplicaRole::Voter;
                }
            }
            Action::TransferLeader { to } => range.leader = *to,
        }
        range.descriptor.epoch.config += 1;
    }

    /// Carries out until there is nothing left to do; says what was done.
    fn settle(&mut self) -> Vec<String> {
        let mut done = Vec::new();
        for _round in 0..1000 {
            let decisions = self.plan();
            if decisions.is_empty() {
                return done;
            }
            for decision in decisions {
                self.carry_out(&decision);
                let voters = self.ranges.iter().find(|range| range.descriptor.id == decision.range).unwrap().voters();
                assert!(voters % 2 == 1, "an odd number votes: {decision}");
                done.push(decision.to_string());
            }
        }
        panic!("it never comes to rest: {done:?}");
    }

    fn leaders(&self) -> Vec<usize> {
        self.nodes.iter().map(|info| self.ranges.iter().filter(|range| range.leader == info.node).count()).collect()
    }
}

impl Range {
    fn voters(&self) -> usize {
        self.descriptor.replicas.iter().filter(|replica| replica.role == ReplicaRole::Voter).count()
    }
}

#[test]
fn one_node_needs_nothing() {
    assert!(Cluster::new(1, 2).settle().is_empty());
}

#[test]
fn two_nodes_keep_one_voter_and_a_copy() {
    assert_eq!(Cluster::new(2, 1).settle(), ["r1: a learner on n2, because it has 1 of 3 replicas"]);
}

#[test]
fn three_nodes_get_three_voters_in_one_step() {
    let mut cluster = Cluster::new(3, 1);
    let expected = [
        "r1: a learner on n2, because it has 1 of 3 replicas",
        "r1: a learner on n3, because it has 2 of 3 replicas",
        "r1: votes for n2 and n3, because 1 of 3 vote and its log has caught up",
    ];
    assert_eq!(cluster.settle(), expected);
    cluster.silence(3, Duration::from_secs(60));
    assert!(cluster.settle().is_empty(), "nobody is replaced in a hurry, and nobody can be");
}

#[test]
fn a_lost_node_is_replaced_in_one_change() {
    let mut cluster = Cluster::new(3, 1);
    cluster.settle();
    cluster.grow(1);
    assert!(cluster.settle().is_empty());
    cluster.silence(2, Duration::from_secs(200));
    assert!(cluster.settle().is_empty());
    cluster.silence(2, REPAIR);
    assert_eq!(
        cluster.settle(),
        ["r1: a learner on n4, because it has 2 of 3 replicas", "r1: n4 in place of n2, because n2 is gone"]
    );
}

#[test]
fn leaders_and_replicas_spread() {
    let mut cluster = Cluster::new(5, 30);
    cluster.settle();
    assert!(cluster.ranges.iter().all(|range| range.voters() == 3));
    let leaders = cluster.leaders();
    assert!(leaders.iter().all(|count| (5..=7).contains(count)), "{leaders:?}");
    assert_eq!(cluster.ranges[0].leader, NodeId(1), "the system range stays where it is");
    cluster.silence(1, REPAIR);
    cluster.settle();
    assert!(
        cluster
            .ranges
            .iter()
            .all(|range| range.voters() == 3
                && range.descriptor.replicas.iter().all(|replica| replica.node != NodeId(1)))
    );
}
