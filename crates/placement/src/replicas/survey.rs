//! What a plan knows of each node, kept up to date as the plan grows.

use std::collections::BTreeMap;
use std::time::Duration;

use keyspace::NodeId;
use rpc::cluster::Duty;
use rpc::range::ReplicaRole;

use super::{Action, Situation};
use crate::directory::Entry;

/// A node whose ranges are all small is not moved about for their size.
const BYTES_MIN: f64 = (64 << 20) as f64;

pub(super) struct Survey<'a> {
    pub situation: &'a Situation<'a>,
    pub seats: BTreeMap<NodeId, Seat>,
    /// Nodes that belong to the cluster and are to stay, live or not.
    pub members_that_stay: usize,
    pub leader_moves_left: usize,
    /// What a node has on average, of those that take replicas; sizes count from [`BYTES_MIN`] on.
    replicas_mean: f64,
    bytes_mean: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seat {
    pub is_live: bool,
    /// Its replicas are to be elsewhere: it is silent for too long, or an operator takes it out of use.
    pub is_given_up: bool,
    pub duty: Duty,
    pub replicas: usize,
    pub bytes: u64,
    pub leaders: usize,
    /// Learners that have not caught up.
    pub arriving: usize,
}

impl Seat {
    /// Live, and nobody has asked it to give anything up.
    pub fn is_in_use(&self) -> bool {
        self.is_live && self.duty == Duty::Serves
    }
}

impl<'a> Survey<'a> {
    pub fn new(situation: &'a Situation<'a>) -> Survey<'a> {
        let seat = |node: &rpc::cluster::NodeInfo| {
            let duty = situation.duties.get(&node.node).copied().unwrap_or(Duty::Serves);
            let is_gone = Duration::from_millis(node.silent_ms) >= situation.repair_after;
            let seat = Seat {
                is_live: node.live,
                is_given_up: is_gone || duty == Duty::Leaves,
                duty,
                replicas: 0,
                bytes: 0,
                leaders: 0,
                arriving: 0,
            };
            (node.node, seat)
        };
        let mut survey = Survey {
            situation,
            seats: situation.nodes.iter().map(seat).collect(),
            members_that_stay: 0,
            leader_moves_left: situation.limits.leader_moves,
            replicas_mean: 0.0,
            bytes_mean: 0.0,
        };
        survey.members_that_stay = survey.seats.values().filter(|seat| seat.duty != Duty::Leaves).count();
        survey.count();
        survey
    }

    fn count(&mut self) {
        for entry in self.situation.directory.entries() {
            for replica in &entry.descriptor.replicas {
                let Some(seat) = self.seats.get_mut(&replica.node) else { continue };
                seat.replicas += 1;
                seat.bytes += entry.size_bytes;
                let arrives = replica.role == ReplicaRole::Learner && !entry.caught_up.contains(&replica.replica);
                seat.arriving += usize::from(arrives);
            }
            if let Some(seat) = entry.leader.and_then(|(_, node)| self.seats.get_mut(&node)) {
                seat.leaders += 1;
            }
        }
        let in_use: Vec<&Seat> = self.seats.values().filter(|seat| seat.is_in_use()).collect();
        let mean = |sum: f64| sum / in_use.len().max(1) as f64;
        self.replicas_mean = mean(in_use.iter().map(|seat| seat.replicas as f64).sum()).max(1.0);
        self.bytes_mean = mean(in_use.iter().map(|seat| seat.bytes as f64).sum()).max(BYTES_MIN);
    }

    /// The plan grows by a step: the next one is decided as if it were done.
    pub fn note(&mut self, entry: &Entry, leader: NodeId, action: &Action) {
        match action {
            Action::AddLearner { node } => {
                if let Some(seat) = self.seats.get_mut(node) {
                    seat.replicas += 1;
                    seat.bytes += entry.size_bytes;
                    seat.arriving += 1;
                }
            }
            Action::Change { remove, .. } => {
                for replica in remove {
                    if let Some(seat) = self.seats.get_mut(&replica.node) {
                        seat.replicas -= 1;
                        seat.bytes -= entry.size_bytes;
                    }
                }
            }
            Action::TransferLeader { to } => {
                self.leader_moves_left = self.leader_moves_left.saturating_sub(1);
                for (node, change) in [(leader, -1), (*to, 1)] {
                    if let Some(seat) = self.seats.get_mut(&node) {
                        seat.leaders = seat.leaders.saturating_add_signed(change);
                    }
                }
            }
        }
    }

    // ---- of a node ----

    pub fn duty(&self, node: NodeId) -> Duty {
        self.seats.get(&node).map_or(Duty::Serves, |seat| seat.duty)
    }

    pub fn is_live(&self, node: NodeId) -> bool {
        self.seats.get(&node).is_some_and(|seat| seat.is_live)
    }

    pub fn is_in_use(&self, node: NodeId) -> bool {
        self.seats.get(&node).is_some_and(Seat::is_in_use)
    }

    /// A node that is no member any more is given up, too.
    pub fn is_given_up(&self, node: NodeId) -> bool {
        self.seats.get(&node).is_none_or(|seat| seat.is_given_up)
    }

    pub fn why_given_up(&self, node: NodeId) -> String {
        match self.duty(node) {
            Duty::Leaves => format!("{node} is taken out of use"),
            _ => format!("{node} is gone"),
        }
    }

    /// May one more replica be sent to it now?
    pub fn is_open(&self, node: NodeId) -> bool {
        self.seats.get(&node).is_some_and(|seat| seat.is_in_use() && seat.arriving < self.situation.limits.arrivals)
    }

    /// By how much the cluster would be more even without one of this node's replicas, of that size: the slope of
    /// the sum of squares that [`Survey::gain`] lowers. As an integer, so that it has an order.
    pub fn relief(&self, node: NodeId, bytes: u64) -> u64 {
        let Some(seat) = self.seats.get(&node) else { return u64::MAX };
        let by_number = seat.replicas as f64 / self.replicas_mean / self.replicas_mean;
        let by_size = seat.bytes as f64 / self.bytes_mean * (bytes as f64 / self.bytes_mean);
        ((by_number + by_size) * 1e9) as u64
    }

    /// How much evener the cluster becomes when a replica of that size moves: by how much the sum over all nodes of
    /// (replicas / mean)² + (bytes / mean)² falls.
    pub fn gain(&self, from: &Seat, to: &Seat, bytes: u64) -> f64 {
        let fall = |from: f64, to: f64, moved: f64, mean: f64| 2.0 * moved * (from - to - moved) / mean / mean;
        fall(from.replicas as f64, to.replicas as f64, 1.0, self.replicas_mean)
            + fall(from.bytes as f64, to.bytes as f64, bytes as f64, self.bytes_mean)
    }

    pub fn means(&self) -> (f64, f64) {
        (self.replicas_mean, self.bytes_mean)
    }

    // ---- of a range ----

    pub fn live_leader(&self, entry: &Entry) -> Option<NodeId> {
        entry.leader.map(|(_, node)| node).filter(|node| self.is_live(*node))
    }

    pub fn has_place_for(&self, entry: &Entry) -> bool {
        self.seats.iter().any(|(node, seat)| seat.is_in_use() && !has_replica(entry, *node))
    }

    pub fn emptiest_without(&self, entry: &Entry) -> Option<NodeId> {
        let open = self.seats.keys().filter(|node| self.is_open(**node) && !has_replica(entry, **node));
        open.min_by_key(|node| (self.relief(**node, entry.size_bytes), **node)).copied()
    }

    /// Who should lead a range that `leader` gives up: a voter whose log has caught up, on the node with the fewest
    /// leaders; if need be on one that gives up its own, but never on one that is silent.
    pub fn successor(&self, entry: &Entry, leader: NodeId) -> Option<NodeId> {
        let can_lead = |replica: &&rpc::range::ReplicaDescriptor| {
            replica.role == ReplicaRole::Voter
                && replica.node != leader
                && self.is_live(replica.node)
                && entry.caught_up.contains(&replica.replica)
        };
        let willing = entry.descriptor.replicas.iter().filter(can_lead).map(|replica| replica.node);
        let gives_up_too = self.duty(leader) != Duty::Serves;
        let willing = willing.filter(|node| self.is_in_use(*node) || !gives_up_too);
        willing.min_by_key(|node| (!self.is_in_use(*node), self.seats[node].leaders, *node))
    }
}

pub(super) fn has_replica(entry: &Entry, node: NodeId) -> bool {
    entry.descriptor.replicas.iter().any(|replica| replica.node == node)
}
