//! What should move where: a plain function from what is known to what should be done.
//!
//! * A range has as many replicas as there are live nodes, three at most. A new one is a learner until its log has
//!   caught up.
//! * The number of voters is odd: one voter stays alone until two learners can join it in one (joint)
//!   change. Two voters would be worse than one: the loss of either stops them.
//! * A voter on a node that is gone for long is replaced in one change by a learner elsewhere that caught up.
//! * Leaders are spread over nodes, one at a time.
//!
//! Every action says why, for the placement log. At most one is made for a range at a time, and each is
//! decided anew from what nodes report, so a lost or repeated one does no harm.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use keyspace::{NodeId, RangeId};
use rpc::cluster::NodeInfo;
use rpc::range::{ReplicaDescriptor, ReplicaRole};

use crate::directory::{Directory, Entry};

pub const REPLICAS: usize = 3;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub range: RangeId,
    /// Who leads it and carries the action out.
    pub leader: NodeId,
    pub action: Action,
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A new replica on this node, as a learner.
    AddLearner {
        node: NodeId,
    },
    /// One joint change of the voters.
    Change {
        promote: Vec<ReplicaDescriptor>,
        remove: Vec<ReplicaDescriptor>,
    },
    TransferLeader {
        to: NodeId,
    },
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Decision { range, action, why, .. } = self;
        let nodes = |replicas: &[ReplicaDescriptor]| {
            replicas.iter().map(|replica| replica.node.to_string()).collect::<Vec<_>>().join(" and ")
        };
        match action {
            Action::AddLearner { node } => write!(f, "{range}: a learner on {node}, because {why}"),
            Action::Change { promote, remove } if remove.is_empty() => {
                write!(f, "{range}: votes for {}, because {why}", nodes(promote))
            }
            Action::Change { promote, remove } if promote.is_empty() => {
                write!(f, "{range}: gone from {}, because {why}", nodes(remove))
            }
            Action::Change { promote, remove } => {
                write!(f, "{range}: {} in place of {}, because {why}", nodes(promote), nodes(remove))
            }
            Action::TransferLeader { to } => write!(f, "{range}: led from {to}, because {why}"),
        }
    }
}

/// One decision at most for each range, and one at most that moves a leader. A node that is silent for
/// `repair_after` is not waited for any longer.
pub fn plan(nodes: &[NodeInfo], directory: &Directory, repair_after: Duration) -> Vec<Decision> {
    let mut survey = Survey::new(nodes, directory, repair_after);
    let mut decisions = Vec::new();
    for entry in directory.entries() {
        let Some((_, leader)) = entry.leader.filter(|(_, node)| survey.live.contains(node)) else { continue };
        if let Some((action, why)) = survey.replicate(entry) {
            if let Action::AddLearner { node } = action {
                *survey.replicas.entry(node).or_default() += 1;
            }
            decisions.push(Decision { range: entry.descriptor.id, leader, action, why });
        }
    }
    if decisions.is_empty() {
        decisions.extend(survey.spread_leaders(directory));
    }
    decisions
}

struct Survey {
    live: BTreeSet<NodeId>,
    /// Silent for so long that they are replaced.
    gone: BTreeSet<NodeId>,
    /// How many replicas each live node has.
    replicas: BTreeMap<NodeId, usize>,
}

impl Survey {
    fn new(nodes: &[NodeInfo], directory: &Directory, repair_after: Duration) -> Survey {
        let live: BTreeSet<NodeId> = nodes.iter().filter(|info| info.live).map(|info| info.node).collect();
        let is_gone = |info: &&NodeInfo| Duration::from_millis(info.silent_ms) >= repair_after;
        let gone = nodes.iter().filter(is_gone).map(|info| info.node).collect();
        let mut replicas: BTreeMap<NodeId, usize> = live.iter().map(|node| (*node, 0)).collect();
        for replica in directory.entries().flat_map(|entry| &entry.descriptor.replicas) {
            if let Some(count) = replicas.get_mut(&replica.node) {
                *count += 1;
            }
        }
        Survey { live, gone, replicas }
    }

    /// What brings this range nearer to where it should be.
    fn replicate(&self, entry: &Entry) -> Option<(Action, String)> {
        let has_role = |role: ReplicaRole| entry.descriptor.replicas.iter().filter(move |replica| replica.role == role);
        let voters: Vec<_> = has_role(ReplicaRole::Voter).copied().collect();
        let learners: Vec<_> = has_role(ReplicaRole::Learner).copied().collect();
        let lost: Vec<_> = voters.iter().filter(|voter| self.gone.contains(&voter.node)).copied().collect();
        let ready: Vec<_> = learners
            .iter()
            .filter(|learner| self.live.contains(&learner.node) && entry.caught_up.contains(&learner.replica))
            .copied()
            .collect();

        if let Some(learner) = learners.iter().find(|learner| self.gone.contains(&learner.node)) {
            return Some((
                Action::Change { promote: vec![], remove: vec![*learner] },
                format!("{} is gone", learner.node),
            ));
        }
        if let (Some(lost), Some(ready)) = (lost.first(), ready.first()) {
            let why = format!("{} is gone", lost.node);
            return Some((Action::Change { promote: vec![*ready], remove: vec![*lost] }, why));
        }
        let missing = REPLICAS.saturating_sub(voters.len());
        // An even number votes only on its way from or to an odd one: mend it with whoever is ready.
        let wanted = if voters.len() % 2 == 0 { missing.min(1) } else { missing / 2 * 2 };
        if wanted > 0 && ready.len() >= wanted {
            let why = format!("{} of {REPLICAS} vote and its log has caught up", voters.len());
            return Some((Action::Change { promote: ready[..wanted].to_vec(), remove: vec![] }, why));
        }
        let kept = voters.len() + learners.len() - lost.len();
        if kept < REPLICAS.min(self.live.len()) {
            let node = self.emptiest_without(entry)?;
            return Some((Action::AddLearner { node }, format!("it has {kept} of {REPLICAS} replicas")));
        }
        None
    }

    fn emptiest_without(&self, entry: &Entry) -> Option<NodeId> {
        let has_one = |node: NodeId| entry.descriptor.replicas.iter().any(|replica| replica.node == node);
        let candidates = self.replicas.iter().filter(|(node, _)| !has_one(**node));
        candidates.min_by_key(|(node, count)| (**count, **node)).map(|(node, _)| *node)
    }

    /// Moves one leader from the node with the most to the one with the fewest, if that helps.
    fn spread_leaders(&self, directory: &Directory) -> Option<Decision> {
        let mut leaders: BTreeMap<NodeId, usize> = self.live.iter().map(|node| (*node, 0)).collect();
        for (_, node) in directory.entries().filter_map(|entry| entry.leader) {
            if let Some(count) = leaders.get_mut(&node) {
                *count += 1;
            }
        }
        let (&from, &most) = leaders.iter().max_by_key(|(node, count)| (**count, std::cmp::Reverse(**node)))?;
        let mut targets: Vec<_> = leaders.iter().filter(|(_, count)| **count + 2 <= most).collect();
        targets.sort_by_key(|(node, count)| (**count, **node));
        for (&to, &fewest) in targets {
            let movable = directory.entries().find(|entry| {
                let votes_and_follows = |replica: &ReplicaDescriptor| {
                    replica.node == to
                        && replica.role == ReplicaRole::Voter
                        && entry.caught_up.contains(&replica.replica)
                };
                entry.descriptor.id != keyspace::SYSTEM_RANGE
                    && entry.leader.is_some_and(|(_, node)| node == from)
                    && entry.descriptor.replicas.iter().any(votes_and_follows)
            });
            if let Some(entry) = movable {
                let why = format!("{from} leads {most} ranges and {to} {fewest}");
                return Some(Decision {
                    range: entry.descriptor.id,
                    leader: from,
                    action: Action::TransferLeader { to },
                    why,
                });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
