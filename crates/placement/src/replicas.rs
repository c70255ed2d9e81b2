//! What should move where: a plain function from what is known to what should be done.
//!
//! * A range has three replicas, the system range five where there are five nodes. A new one is a learner until its log
//!   has caught up.
//! * The number of voters is odd: one voter stays alone until two learners can join it in one (joint)
//!   change. Two voters would be worse than one: the loss of either stops them.
//! * A voter on a node that is gone for long, or that an operator takes out of use, is replaced in one change by a
//!   learner elsewhere that caught up; a leader there moves first.
//! * What an operator asked for goes before balance (`Wish`).
//! * Replicas are spread over nodes by number and by size, leaders by number (`spread`).
//!
//! Every action says why, for the placement log. At most one is made for a range at a time, and each is
//! decided anew from what nodes report, so a lost or repeated one does no harm. A learner that a plan began
//! and nobody remembers is either put to use or removed: nothing is kept but what ranges say of themselves.

mod spread;
mod survey;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use keyspace::{NodeId, RangeId, SYSTEM_RANGE};
use rpc::cluster::{Duty, NodeInfo};
use rpc::range::{ReplicaDescriptor, ReplicaRole};

use crate::directory::{Directory, Entry};
use survey::Survey;

/// Voters that a range should have.
pub const REPLICAS: usize = 3;
/// Voters that the system range should have, where there are so many nodes.
pub const SYSTEM_REPLICAS: usize = 5;

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
        write!(f, "{}: {}, because {}", self.range, self.action, self.why)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = |replicas: &[ReplicaDescriptor]| {
            replicas.iter().map(|replica| replica.node.to_string()).collect::<Vec<_>>().join(" and ")
        };
        match self {
            Action::AddLearner { node } => write!(f, "a learner on {node}"),
            Action::Change { promote, remove } if remove.is_empty() => write!(f, "votes for {}", nodes(promote)),
            Action::Change { promote, remove } if promote.is_empty() => write!(f, "gone from {}", nodes(remove)),
            Action::Change { promote, remove } => write!(f, "{} in place of {}", nodes(promote), nodes(remove)),
            Action::TransferLeader { to } => write!(f, "led from {to}"),
        }
    }
}

/// All that a plan is made from.
pub struct Situation<'a> {
    pub nodes: &'a [NodeInfo],
    /// Of nodes for which an operator decided something.
    pub duties: &'a BTreeMap<NodeId, Duty>,
    pub directory: &'a Directory,
    /// A node that is silent for so long is not waited for any longer.
    pub repair_after: Duration,
    /// Where an operator wants a replica: from the first node to the second.
    pub wishes: &'a BTreeMap<RangeId, (NodeId, NodeId)>,
    /// Ranges that an operator has placed: they are repaired, and not moved for balance.
    pub pinned: &'a BTreeSet<RangeId>,
    pub limits: Limits,
}

/// So that moves do not crowd out work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Replicas on their way to one node at a time.
    pub arrivals: usize,
    /// Leaders that are moved in one plan.
    pub leader_moves: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { arrivals: 4, leader_moves: 16 }
    }
}

/// One decision at most for each range.
pub fn plan(situation: &Situation<'_>) -> Vec<Decision> {
    let mut survey = Survey::new(situation);
    let mut decisions = Vec::new();
    let mut busy = BTreeSet::new();
    for entry in situation.directory.entries() {
        let Some(leader) = survey.live_leader(entry) else { continue };
        let Some((action, why)) = survey.range(entry, leader) else { continue };
        survey.note(entry, leader, &action);
        busy.insert(entry.descriptor.id);
        decisions.push(Decision { range: entry.descriptor.id, leader, action, why });
    }
    survey.spread_replicas(&mut busy, &mut decisions);
    survey.spread_leaders(&busy, &mut decisions);
    decisions
}

/// Why replicas are still on a node that an operator takes out of use; `None` if they are on their way or gone.
pub fn why_it_stays(situation: &Situation<'_>, node: NodeId) -> Option<String> {
    let survey = Survey::new(situation);
    let holds = |entry: &&Entry| entry.descriptor.replicas.iter().any(|replica| replica.node == node);
    situation.directory.entries().filter(holds).find_map(|entry| {
        let range = entry.descriptor.id;
        if survey.live_leader(entry).is_none() {
            return Some(format!("{range} has no live leader"));
        }
        let voters = entry.descriptor.replicas.iter().filter(|replica| replica.role == ReplicaRole::Voter).count();
        let is_on_its_way = entry.descriptor.replicas.iter().any(|replica| replica.role == ReplicaRole::Learner);
        if is_on_its_way || voters > survey.wanted(entry) || survey.has_place_for(entry) {
            return None;
        }
        Some(format!("no other live node can take a replica of {range}: start one more"))
    })
}

type Step = Option<(Action, String)>;

impl Survey<'_> {
    /// What brings this range nearer to where it should be, most urgent first.
    fn range(&self, entry: &Entry, leader: NodeId) -> Step {
        self.drain(entry, leader).or_else(|| self.replicate(entry, leader)).or_else(|| self.surplus(entry, leader))
    }

    /// A leader on a node that leads no more goes first: nothing else waits for it, and it may be removed then.
    fn drain(&self, entry: &Entry, leader: NodeId) -> Step {
        let why = match self.duty(leader) {
            Duty::Serves => return None,
            Duty::Drains { .. } => format!("{leader} is being drained"),
            Duty::Leaves => format!("{leader} is taken out of use"),
        };
        if self.leader_moves_left == 0 {
            return None;
        }
        Some((Action::TransferLeader { to: self.successor(entry, leader)? }, why))
    }

    fn replicate(&self, entry: &Entry, leader: NodeId) -> Step {
        let Members { voters, learners, ready } = self.members(entry);
        let lost: Vec<_> = voters.iter().filter(|voter| self.is_given_up(voter.node)).copied().collect();
        let wanted = self.wanted(entry);

        if let Some(learner) = learners.iter().find(|learner| self.is_given_up(learner.node)) {
            let why = self.why_given_up(learner.node);
            return Some((Action::Change { promote: vec![], remove: vec![*learner] }, why));
        }
        if voters.len() > wanted {
            return self.fewer_voters(entry, leader, &voters, wanted);
        }
        if let (Some(lost), Some(ready)) = (lost.first(), ready.first()) {
            let why = self.why_given_up(lost.node);
            return self.replace(entry, leader, *lost, *ready, why);
        }
        let missing = wanted - voters.len();
        // An even number votes only on its way from or to an odd one: mend it with whoever is ready.
        let joining = if voters.len() % 2 == 0 { missing.min(1) } else { missing / 2 * 2 };
        if joining > 0 && ready.len() >= joining {
            let why = format!("{} of {wanted} vote and its log has caught up", voters.len());
            return Some((Action::Change { promote: ready[..joining].to_vec(), remove: vec![] }, why));
        }
        let kept = voters.len() + learners.len() - lost.len();
        if kept < wanted {
            let node = self.emptiest_without(entry)?;
            let why = match lost.first() {
                Some(lost) if voters.len() >= wanted => self.why_given_up(lost.node),
                _ => format!("it has {kept} of {wanted} replicas"),
            };
            return Some((Action::AddLearner { node }, why));
        }
        self.wish(entry, leader, &voters, &learners, &ready)
    }

    /// What an operator asked for, step by step.
    fn wish(
        &self,
        entry: &Entry,
        leader: NodeId,
        voters: &[ReplicaDescriptor],
        learners: &[ReplicaDescriptor],
        ready: &[ReplicaDescriptor],
    ) -> Step {
        let (from, to) = *self.situation.wishes.get(&entry.descriptor.id)?;
        let old = *voters.iter().find(|voter| voter.node == from)?;
        let why = || "an operator moves it".to_owned();
        if let Some(new) = ready.iter().find(|learner| learner.node == to) {
            return self.replace(entry, leader, old, *new, why());
        }
        let is_there = voters.iter().chain(learners).any(|replica| replica.node == to);
        (!is_there && self.is_open(to)).then(|| (Action::AddLearner { node: to }, why()))
    }

    /// More learners than are needed: a move for balance that has arrived, or one that nobody wants any more.
    fn surplus(&self, entry: &Entry, leader: NodeId) -> Step {
        let Members { voters, learners, ready } = self.members(entry);
        let is_whole = voters.len() == self.wanted(entry) && voters.iter().all(|voter| !self.is_given_up(voter.node));
        if !is_whole || learners.is_empty() || self.situation.wishes.contains_key(&entry.descriptor.id) {
            return None;
        }
        let learner = *ready.first()?;
        let fullest = *voters.iter().max_by_key(|voter| self.relief(voter.node, entry.size_bytes))?;
        if self.relief(fullest.node, entry.size_bytes) >= self.relief(learner.node, entry.size_bytes) {
            let why = format!("{} is fuller", fullest.node);
            return self.replace(entry, leader, fullest, learner, why);
        }
        Some((
            Action::Change { promote: vec![], remove: vec![learner] },
            format!("{} of {} vote without it", voters.len(), voters.len()),
        ))
    }

    fn replace(
        &self,
        entry: &Entry,
        leader: NodeId,
        old: ReplicaDescriptor,
        new: ReplicaDescriptor,
        why: String,
    ) -> Step {
        if old.node == leader {
            // A leader does not remove itself.
            return Some((Action::TransferLeader { to: self.successor(entry, leader)? }, why));
        }
        Some((Action::Change { promote: vec![new], remove: vec![old] }, why))
    }

    /// Nodes have left: the system range falls back from five voters to three, two at a time.
    fn fewer_voters(&self, entry: &Entry, leader: NodeId, voters: &[ReplicaDescriptor], wanted: usize) -> Step {
        let mut others: Vec<_> = voters.iter().filter(|voter| voter.node != leader).copied().collect();
        others.sort_by_key(|voter| {
            let (given_up, relief) = (self.is_given_up(voter.node), self.relief(voter.node, entry.size_bytes));
            std::cmp::Reverse((given_up, !self.is_live(voter.node), relief, voter.node))
        });
        others.truncate(voters.len() - wanted);
        let why = format!("{} vote and {wanted} are wanted", voters.len());
        Some((Action::Change { promote: vec![], remove: others }, why))
    }

    fn members(&self, entry: &Entry) -> Members {
        let has_role = |role: ReplicaRole| {
            let replicas = entry.descriptor.replicas.iter().filter(move |replica| replica.role == role);
            replicas.copied().collect::<Vec<_>>()
        };
        let (voters, learners) = (has_role(ReplicaRole::Voter), has_role(ReplicaRole::Learner));
        let is_ready = |learner: &&ReplicaDescriptor| {
            self.is_live(learner.node) && entry.caught_up.contains(&learner.replica) && !self.is_given_up(learner.node)
        };
        let ready = learners.iter().filter(is_ready).copied().collect();
        Members { voters, learners, ready }
    }

    fn wanted(&self, entry: &Entry) -> usize {
        let is_system = entry.descriptor.id == SYSTEM_RANGE;
        if is_system && self.members_that_stay >= SYSTEM_REPLICAS { SYSTEM_REPLICAS } else { REPLICAS }
    }
}

struct Members {
    voters: Vec<ReplicaDescriptor>,
    learners: Vec<ReplicaDescriptor>,
    /// Learners that have caught up, on nodes that stay.
    ready: Vec<ReplicaDescriptor>,
}

#[cfg(test)]
mod tests;
