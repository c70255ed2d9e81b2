//! A cluster in a few lines: ranges as text, decisions as text, carried out until nothing is left to do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use env::Mono;
use keyspace::{Epoch, Key, NodeId, RangeId, ReplicaId, Span};
use rpc::cluster::{Duty, NodeInfo, ReplicaStatus};
use rpc::range::{RangeDescriptor, ReplicaDescriptor, ReplicaRole};

use super::{Action, Decision, Limits, Situation, plan, why_it_stays};
use crate::Directory;

const REPAIR: Duration = Duration::from_secs(300);
const MIB: u64 = 1 << 20;

struct Cluster {
    nodes: Vec<NodeInfo>,
    duties: BTreeMap<NodeId, Duty>,
    wishes: BTreeMap<RangeId, (NodeId, NodeId)>,
    pinned: BTreeSet<RangeId>,
    limits: Limits,
    /// In the order of their ids, from 1 on.
    ranges: Vec<Range>,
    directory: Directory,
    next_replica: u64,
    terms: u64,
}

struct Range {
    descriptor: RangeDescriptor,
    leader: NodeId,
    bytes: u64,
}

impl Cluster {
    /// All ranges on the first node.
    fn new(nodes: u64, ranges: u64) -> Cluster {
        let mut cluster = Cluster::empty(nodes);
        for _ in 0..ranges {
            cluster.add_range(&[1], 0);
        }
        cluster
    }

    fn empty(nodes: u64) -> Cluster {
        let mut cluster = Cluster {
            nodes: Vec::new(),
            duties: BTreeMap::new(),
            wishes: BTreeMap::new(),
            pinned: BTreeSet::new(),
            limits: Limits::default(),
            ranges: Vec::new(),
            directory: Directory::default(),
            next_replica: 1_000_000,
            terms: 1,
        };
        cluster.grow(nodes);
        cluster
    }

    /// Led from the first of these nodes.
    fn add_range(&mut self, nodes: &[u64], bytes: u64) {
        let id = self.ranges.len() as u64 + 1;
        let replica = |node: &u64| {
            let replica = ReplicaId(id * 1000 + node);
            ReplicaDescriptor { node: NodeId(*node), replica, role: ReplicaRole::Voter }
        };
        let key = |id: u64| Key::from(&id.to_be_bytes()[..]);
        let descriptor = RangeDescriptor {
            id: RangeId(id),
            epoch: Epoch::default(),
            span: Span::new(key(id), key(id + 1)),
            replicas: nodes.iter().map(replica).collect(),
        };
        self.ranges.push(Range { descriptor, leader: NodeId(nodes[0]), bytes });
        self.report(RangeId(id));
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
        let voter_elsewhere = |range: &Range| {
            range.descriptor.replicas.iter().find(|r| r.role == ReplicaRole::Voter && r.node.0 != node).map(|r| r.node)
        };
        for range in self.ranges.iter_mut().filter(|range| range.leader.0 == node) {
            range.leader = voter_elsewhere(range).unwrap_or(range.leader);
        }
        self.report_all();
    }

    fn range(&mut self, id: RangeId) -> &mut Range {
        &mut self.ranges[id.0 as usize - 1]
    }

    /// The leader of a range says what it is.
    fn report(&mut self, id: RangeId) {
        self.terms += 1;
        let Range { descriptor, leader, bytes } = &self.ranges[id.0 as usize - 1];
        let status = ReplicaStatus {
            descriptor: descriptor.clone(),
            replica: ReplicaId(0),
            is_leader: true,
            term: self.terms,
            applied: 0,
            size_bytes: *bytes,
            keys: 0,
            caught_up: descriptor.replicas.iter().map(|replica| replica.replica).collect(),
        };
        self.directory.observe(*leader, &status, Mono(0));
    }

    fn report_all(&mut self) {
        for id in 1..=self.ranges.len() as u64 {
            self.report(RangeId(id));
        }
    }

    fn situation(&self) -> Situation<'_> {
        Situation {
            nodes: &self.nodes,
            duties: &self.duties,
            directory: &self.directory,
            repair_after: REPAIR,
            wishes: &self.wishes,
            pinned: &self.pinned,
            limits: self.limits,
        }
    }

    fn plan(&self) -> Vec<Decision> {
        plan(&self.situation())
    }

    fn carry_out(&mut self, decision: &Decision) {
        self.next_replica += 1;
        let new = ReplicaId(self.next_replica);
        let range = self.range(decision.range);
        assert_eq!(range.leader, decision.leader, "the leader carries it out");
        let replicas = &mut range.descriptor.replicas;
        match &decision.action {
            Action::AddLearner { node } => {
                assert!(!replicas.iter().any(|replica| replica.node == *node), "one replica on a node: {decision}");
                replicas.push(ReplicaDescriptor { node: *node, replica: new, role: ReplicaRole::Learner });
            }
            Action::Change { promote, remove } => {
                assert!(!remove.iter().any(|replica| replica.node == decision.leader), "{decision}");
                replicas.retain(|replica| !remove.contains(replica));
                for replica in replicas.iter_mut().filter(|replica| promote.contains(replica)) {
                    replica.role = ReplicaRole::Voter;
                }
            }
            Action::TransferLeader { to } => {
                assert!(replicas.iter().any(|replica| replica.node == *to && replica.role == ReplicaRole::Voter));
                range.leader = *to;
            }
        }
        range.descriptor.epoch.config += 1;
        assert!(self.range(decision.range).voters() % 2 == 1, "an odd number votes: {decision}");
        self.report(decision.range);
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
                done.push(decision.to_string());
            }
        }
        panic!("it never comes to rest: {:?}", &done[done.len() - 20..]);
    }

    /// Of each node: leaders, replicas, mebibytes.
    fn loads(&self) -> Vec<[u64; 3]> {
        let mut loads = vec![[0; 3]; self.nodes.len()];
        for range in &self.ranges {
            loads[range.leader.0 as usize - 1][0] += 1;
            for replica in &range.descriptor.replicas {
                let load = &mut loads[replica.node.0 as usize - 1];
                load[1] += 1;
                load[2] += range.bytes / MIB;
            }
        }
        loads
    }

    /// By how much the busiest of these nodes is above the mean, and the idlest below it, in percent.
    fn unevenness(&self, nodes: std::ops::Range<usize>) -> [u64; 3] {
        let loads = self.loads();
        let loads = &loads[nodes];
        [0, 1, 2].map(|what| {
            let values: Vec<f64> = loads.iter().map(|load| load[what] as f64).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let furthest = values.iter().map(|value| (value - mean).abs()).fold(0.0, f64::max);
            (furthest * 100.0 / mean) as u64
        })
    }

    fn holds(&self, node: u64) -> bool {
        self.loads()[node as usize - 1][1] > 0
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
        ["r1: a learner on n4, because n2 is gone", "r1: n4 in place of n2, because n2 is gone"]
    );
}

#[test]
fn the_system_range_has_five_replicas_where_there_are_five_nodes() {
    let mut cluster = Cluster::new(4, 2);
    cluster.settle();
    assert_eq!(cluster.ranges.iter().map(Range::voters).collect::<Vec<_>>(), [3, 3]);
    cluster.grow(1);
    let done = cluster.settle();
    assert_eq!(cluster.ranges.iter().map(Range::voters).collect::<Vec<_>>(), [5, 3], "{done:?}");
    cluster.silence(5, REPAIR);
    assert!(!cluster.settle().iter().any(|done| done.starts_with("r1:")), "nobody else can take it: it may come back");
    // Out of use for good: back to three, two at a time.
    cluster.duties.insert(NodeId(5), Duty::Leaves);
    let done = cluster.settle();
    assert_eq!(cluster.ranges.iter().map(Range::voters).collect::<Vec<_>>(), [3, 3], "{done:?}");
    assert!(!cluster.holds(5));
}

#[test]
fn leaders_and_replicas_spread() {
    let mut cluster = Cluster::new(5, 30);
    cluster.settle();
    assert!(cluster.ranges[1..].iter().all(|range| range.voters() == 3));
    let loads = cluster.loads();
    assert!(loads.iter().all(|[leaders, ..]| (5..=7).contains(leaders)), "{loads:?}");
    assert_eq!(cluster.ranges[0].leader, NodeId(1), "the system range stays where it is");
    cluster.grow(1);
    cluster.silence(1, REPAIR);
    cluster.settle();
    assert!(!cluster.holds(1));
    assert!(cluster.ranges[1..].iter().all(|range| range.voters() == 3));
}

#[test]
fn a_node_that_joins_gets_its_share_and_one_that_leaves_gives_it_back() {
    let mut cluster = Cluster::new(3, 40);
    cluster.settle();
    cluster.grow(2);
    let moves = cluster.settle();
    let [leaders, replicas, _] = cluster.unevenness(0..5);
    assert!(leaders <= 15 && replicas <= 10, "{:?}", cluster.loads());
    // Each of 40 · 3 replicas that has to be elsewhere is moved once: 48, and two more of the system range.
    let learners = moves.iter().filter(|done| done.contains("a learner on")).count();
    assert!(learners <= 52, "{learners}");

    cluster.duties.insert(NodeId(4), Duty::Leaves);
    cluster.settle();
    assert!(!cluster.holds(4));
    assert_eq!(why_it_stays(&cluster.situation(), NodeId(4)), None);
    cluster.duties.insert(NodeId(5), Duty::Leaves);
    cluster.settle();
    let loads = cluster.loads();
    assert_eq!((loads[3][1], loads[4][1]), (0, 0));
    assert!(
        loads[..3].iter().all(|[leaders, replicas, _]| *replicas == 40 && (12..=15).contains(leaders)),
        "{loads:?}"
    );

    cluster.duties.insert(NodeId(3), Duty::Leaves);
    cluster.settle();
    assert!(
        cluster.ranges.iter().all(|range| range.voters() == 3),
        "three replicas are kept while nobody can take one"
    );
    let why = why_it_stays(&cluster.situation(), NodeId(3)).unwrap();
    assert_eq!(why, "no other live node can take a replica of r1: start one more");
}

#[test]
fn a_drained_node_leads_nothing_and_keeps_its_replicas() {
    let mut cluster = Cluster::new(3, 12);
    cluster.settle();
    cluster.duties.insert(NodeId(1), Duty::Drains { life: Default::default() });
    let done = cluster.settle();
    assert!(done.iter().all(|done| done.contains("led from")), "{done:?}");
    assert!(done[0].ends_with("because n1 is being drained"), "{done:?}");
    let loads = cluster.loads();
    assert_eq!(loads.iter().map(|[leaders, ..]| *leaders).collect::<Vec<_>>(), [0, 6, 6]);
    assert!(loads.iter().all(|[_, replicas, _]| *replicas == 12));
    cluster.duties.clear();
    cluster.settle();
    let leaders: Vec<u64> = cluster.loads().iter().map(|[leaders, ..]| *leaders).collect();
    assert!(leaders.iter().all(|leaders| (3..=5).contains(leaders)), "{leaders:?}");
}

#[test]
fn what_an_operator_moves_is_moved_and_stays() {
    let mut cluster = Cluster::new(4, 2);
    cluster.settle();
    let range = cluster.ranges[1].descriptor.clone();
    let free = (1..=4).map(NodeId).find(|node| range.replicas.iter().all(|replica| replica.node != *node)).unwrap();
    let from = cluster.ranges[1].leader;
    cluster.wishes.insert(RangeId(2), (from, free));
    let mut done = cluster.settle();
    done.retain(|done| done.starts_with("r2: "));
    assert_eq!(done.len(), 3, "a learner, the leader elsewhere, the change: {done:?}");
    assert!(done.iter().all(|done| done.ends_with("an operator moves it")), "{done:?}");
    let nodes: Vec<NodeId> = cluster.ranges[1].descriptor.replicas.iter().map(|replica| replica.node).collect();
    assert!(nodes.contains(&free) && !nodes.contains(&from) && nodes.len() == 3);

    // A learner that nobody remembers is put to use or goes.
    cluster.wishes.clear();
    let learner = ReplicaDescriptor { node: from, replica: ReplicaId(77), role: ReplicaRole::Learner };
    let range = cluster.range(RangeId(2));
    range.descriptor.replicas.push(learner);
    range.descriptor.epoch.config += 1;
    cluster.report(RangeId(2));
    cluster.settle();
    assert_eq!((cluster.ranges[1].descriptor.replicas.len(), cluster.ranges[1].voters()), (3, 3));
}

#[test]
fn sizes_count_too() {
    let mut cluster = Cluster::empty(4);
    cluster.add_range(&[1, 2, 3], MIB);
    // As many replicas everywhere, and a few of them are most of the data.
    for number in 0..40 {
        let nodes = [[1, 2, 3], [2, 3, 4], [3, 4, 1], [4, 1, 2]][number % 4];
        cluster.add_range(&nodes, if number % 4 < 2 { 128 * MIB } else { MIB });
    }
    let [_, replicas, bytes] = cluster.unevenness(0..4);
    assert!(replicas <= 4 && bytes > 30, "{:?}", cluster.loads());
    cluster.settle();
    let [_, replicas, bytes] = cluster.unevenness(0..4);
    assert!(replicas <= 10 && bytes <= 10, "{:?}", cluster.loads());
}

/// 200 nodes and 100,000 ranges of all sizes: nodes join, one is lost, sizes change all the time.
#[test]
fn a_large_cluster_converges_and_does_not_thrash() {
    let mut dice = 7_u64;
    let mut roll = move |sides: u64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % sides
    };
    let mut cluster = Cluster::empty(180);
    cluster.limits = Limits { arrivals: 50, leader_moves: 2_000 };
    for _ in 0..100_000 {
        let first = roll(180);
        let nodes = [first, (first + 1 + roll(60)) % 180, (first + 70 + roll(60)) % 180].map(|node| node + 1);
        cluster.add_range(&nodes, (2 + roll(126)) * MIB);
    }
    let (rounds, moved) = settle_quietly(&mut cluster);
    assert!(rounds < 40, "{rounds}");
    assert!(cluster.unevenness(0..180).iter().all(|percent| *percent <= 10), "{:?}", cluster.unevenness(0..180));
    assert!(moved < 30_000, "a random spread is nearly even: {moved}");

    // Sizes change by a few percent: nothing is worth a move.
    for id in 1..=100_000 {
        let range = cluster.range(RangeId(id));
        range.bytes += range.bytes * roll(5) / 100;
        cluster.report(RangeId(id));
    }
    let (_, moved) = settle_quietly(&mut cluster);
    assert!(moved < 300, "{moved}");

    // A tenth more nodes: a tenth of the replicas move, each once.
    cluster.grow(20);
    let (rounds, moved) = settle_quietly(&mut cluster);
    assert!(rounds < 120, "{rounds}");
    assert!((25_000..36_000).contains(&moved), "{moved}");
    assert!(cluster.unevenness(0..200).iter().all(|percent| *percent <= 10), "{:?}", cluster.unevenness(0..200));

    cluster.silence(17, REPAIR);
    let (rounds, moved) = settle_quietly(&mut cluster);
    assert!(rounds < 40, "{rounds}");
    assert!(!cluster.holds(17));
    assert!((1_300..2_500).contains(&moved), "what was lost is copied once: {moved}");
    assert!(cluster.ranges.iter().all(|range| range.voters() == 3 || range.descriptor.id.0 == 1));
}

/// Rounds until nothing is left to do, and replicas that were sent to another node.
fn settle_quietly(cluster: &mut Cluster) -> (usize, usize) {
    let mut moved = 0;
    for round in 0..1000 {
        let decisions = cluster.plan();
        if decisions.is_empty() {
            return (round, moved);
        }
        moved += decisions.iter().filter(|decision| matches!(decision.action, Action::AddLearner { .. })).count();
        for decision in decisions {
            cluster.carry_out(&decision);
        }
    }
    panic!("it never comes to rest: {:?}", cluster.plan());
}
