//! Balance: replicas by number and by size, leaders by number.
//!
//! A move is made only where two nodes lie further apart than [`TOLERANCE`], and only if it makes the cluster evener: if
//! the sum over all nodes of (replicas / mean)² + (bytes / mean)² falls. So moves come to an end, and two of them never
//! undo each other; ranges that grow and shrink a little move nothing.
//!
//! A move is an ordinary new learner; once it has caught up, the range's rules (`replicas.rs`) see one replica too many
//! and take it from the fullest node.

use std::collections::{BTreeMap, BTreeSet};

use keyspace::{NodeId, RangeId, SYSTEM_RANGE};
use rpc::range::{ReplicaDescriptor, ReplicaRole};

use super::survey::{Seat, Survey, has_replica};
use super::{Action, Decision};
use crate::directory::Entry;

/// Of the mean: nodes that differ by less are even.
const TOLERANCE: f64 = 0.06;

impl<'a> Survey<'a> {
    /// Begins moves, one at most for each node that gives and as many for one that takes as may arrive there.
    pub(super) fn spread_replicas(&mut self, busy: &mut BTreeSet<RangeId>, decisions: &mut Vec<Decision>) {
        let is_repairing = decisions.iter().any(|decision| matches!(decision.action, Action::AddLearner { .. }));
        if is_repairing || !self.is_uneven() {
            return;
        }
        let mut by_node: BTreeMap<NodeId, Vec<&'a Entry>> = BTreeMap::new();
        for entry in self.situation.directory.entries().filter(|entry| self.is_movable(entry)) {
            for replica in &entry.descriptor.replicas {
                by_node.entry(replica.node).or_default().push(entry);
            }
        }
        let moves_max = self.seats.len() * self.situation.limits.arrivals;
        for _ in 0..moves_max {
            let Some((entry, from, to)) = self.best_move(&by_node, busy) else { return };
            let Some(leader) = self.live_leader(entry) else { return };
            let why = format!("{} and {}", self.describe(from), self.describe(to));
            let action = Action::AddLearner { node: to };
            self.note(entry, leader, &action);
            // What the move will take away is gone for the plan.
            if let Some(seat) = self.seats.get_mut(&from) {
                seat.replicas -= 1;
                seat.bytes -= entry.size_bytes;
            }
            busy.insert(entry.descriptor.id);
            decisions.push(Decision { range: entry.descriptor.id, leader, action, why });
        }
    }

    fn describe(&self, node: NodeId) -> String {
        let seat = &self.seats[&node];
        format!("{node} has {} replicas of {} MiB", seat.replicas, seat.bytes >> 20)
    }

    fn is_uneven(&self) -> bool {
        self.extremes().into_iter().any(|((_, from), (_, to))| self.differ(&from, &to))
    }

    /// The fullest and the emptiest node, by number and by size.
    fn extremes(&self) -> Vec<((NodeId, Seat), (NodeId, Seat))> {
        let in_use = || self.seats.iter().filter(|(_, seat)| seat.is_in_use()).map(|(node, seat)| (*node, *seat));
        let open = || in_use().filter(|(node, _)| self.is_open(*node));
        let by_number = in_use()
            .max_by_key(|(node, seat)| (seat.replicas, std::cmp::Reverse(*node)))
            .zip(open().min_by_key(|(node, seat)| (seat.replicas, *node)));
        let by_size = in_use()
            .max_by_key(|(node, seat)| (seat.bytes, std::cmp::Reverse(*node)))
            .zip(open().min_by_key(|(node, seat)| (seat.bytes, *node)));
        by_number.into_iter().chain(by_size).collect()
    }

    fn differ(&self, from: &Seat, to: &Seat) -> bool {
        let (replicas_mean, bytes_mean) = self.means();
        let by_number = from.replicas as f64 - to.replicas as f64 >= (TOLERANCE * replicas_mean).max(2.0);
        by_number || from.bytes as f64 - to.bytes as f64 >= TOLERANCE * bytes_mean
    }

    /// A range that has what it should have, and that nobody has placed by hand.
    fn is_movable(&self, entry: &Entry) -> bool {
        let replicas = &entry.descriptor.replicas;
        replicas.len() == self.wanted(entry)
            && replicas.iter().all(|replica| replica.role == ReplicaRole::Voter && self.is_live(replica.node))
            && self.live_leader(entry).is_some()
            && !self.situation.pinned.contains(&entry.descriptor.id)
            && !self.situation.wishes.contains_key(&entry.descriptor.id)
    }

    fn best_move(
        &self,
        by_node: &BTreeMap<NodeId, Vec<&'a Entry>>,
        busy: &BTreeSet<RangeId>,
    ) -> Option<(&'a Entry, NodeId, NodeId)> {
        self.extremes().into_iter().filter(|((_, from), (_, to))| self.differ(from, to)).find_map(
            |((from, from_seat), (to, to_seat))| {
                let candidates = by_node.get(&from)?.iter().copied();
                let candidates = candidates
                    .filter(|entry| !busy.contains(&entry.descriptor.id) && !has_replica(entry, to))
                    .map(|entry| (entry, self.gain(&from_seat, &to_seat, entry.size_bytes)))
                    .filter(|(_, gain)| *gain > 0.0);
                let best = candidates.max_by(|(_, a), (_, b)| a.total_cmp(b))?;
                Some((best.0, from, to))
            },
        )
    }

    /// Moves leaders from the nodes with the most to those with the fewest, where that helps.
    pub(super) fn spread_leaders(&mut self, busy: &BTreeSet<RangeId>, decisions: &mut Vec<Decision>) {
        let mut led: BTreeMap<NodeId, Vec<&'a Entry>> = BTreeMap::new();
        for entry in self.situation.directory.entries() {
            let id = entry.descriptor.id;
            let stays = id == SYSTEM_RANGE || busy.contains(&id) || self.situation.pinned.contains(&id);
            if let Some(leader) = self.live_leader(entry).filter(|_| !stays) {
                led.entry(leader).or_default().push(entry);
            }
        }
        while self.leader_moves_left > 0 {
            let Some((entry, from, to)) = self.best_leader_move(&led) else { return };
            let why = format!("{from} leads {} ranges and {to} {}", self.seats[&from].leaders, self.seats[&to].leaders);
            let action = Action::TransferLeader { to };
            self.note(entry, from, &action);
            led.entry(from).or_default().retain(|other| other.descriptor.id != entry.descriptor.id);
            decisions.push(Decision { range: entry.descriptor.id, leader: from, action, why });
        }
    }

    fn best_leader_move(&self, led: &BTreeMap<NodeId, Vec<&'a Entry>>) -> Option<(&'a Entry, NodeId, NodeId)> {
        let in_use: Vec<(NodeId, usize)> =
            self.seats.iter().filter(|(_, seat)| seat.is_in_use()).map(|(node, seat)| (*node, seat.leaders)).collect();
        let mean = in_use.iter().map(|(_, leaders)| *leaders as f64).sum::<f64>() / in_use.len().max(1) as f64;
        let gap = (TOLERANCE * mean).max(2.0);
        let mut donors = in_use.clone();
        donors.sort_by_key(|(node, leaders)| (std::cmp::Reverse(*leaders), *node));
        let mut targets = in_use;
        targets.sort_by_key(|(node, leaders)| (*leaders, *node));
        let pairs = donors.iter().flat_map(|from| targets.iter().map(move |to| (*from, *to)));
        pairs.filter(|((_, most), (_, fewest))| *most as f64 - *fewest as f64 >= gap).find_map(
            |((from, _), (to, _))| {
                let follows = |replica: &ReplicaDescriptor, entry: &Entry| {
                    replica.node == to
                        && replica.role == ReplicaRole::Voter
                        && entry.caught_up.contains(&replica.replica)
                };
                let of_donor = led.get(&from)?;
                let entry = of_donor
                    .iter()
                    .find(|entry| entry.descriptor.replicas.iter().any(|replica| follows(replica, entry)))?;
                Some((*entry, from, to))
            },
        )
    }
}
