//! Leases of leaders, rule by rule (protocol.md, rules 24 to 27).
#![expect(clippy::disallowed_methods, reason = "a test is its own host")]

mod cluster;

use std::time::Duration;

use cluster::{Client, Cluster, replica};
use keyspace::{NodeId, RangeId, ReplicaId};
use rpc::range::*;
use tokio::time::{Instant, sleep};

/// Of all ranges in these tests, unless they split.
const RANGE: u64 = 2;

async fn three_nodes(seed: u64) -> (Cluster, Client, u64) {
    let cluster = Cluster::new(seed, 3, |_| {});
    cluster.bootstrap(3).await;
    let client = cluster.client();
    client.put("a", "1").await.unwrap();
    let leader = cluster.leader("a").await;
    (cluster, client, leader)
}

fn others(leader: u64) -> [u64; 2] {
    match leader {
        1 => [2, 3],
        2 => [1, 3],
        _ => [1, 2],
    }
}

/// Nobody leads in a later term than that of a valid lease.
fn check_one_lease(cluster: &Cluster, nodes: impl IntoIterator<Item = u64> + Clone) {
    let elected = nodes.clone().into_iter().filter_map(|node| cluster.elected(node, RANGE)).max();
    for node in nodes {
        let leased = cluster.leased(node, RANGE);
        assert!(
            leased.is_none_or(|term| Some(term) >= elected),
            "node {node} has a lease of {leased:?}, {elected:?} leads"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_was_cut_off_answers_until_its_lease_is_over() {
    for seed in 0..10 {
        let (cluster, client, old) = three_nodes(seed).await;
        client.get("a").await.unwrap();
        assert!(cluster.leased(old, RANGE).is_some());
        cluster.isolate(old, true);
        let begin = Instant::now();
        let mut last_answer = None;
        while !others(old).iter().any(|node| cluster.elected(*node, RANGE).is_some()) {
            if cluster.ask_node(old, "a").await.is_some_and(|answer| answer.is_ok()) {
                last_answer = Some(begin.elapsed());
            }
            check_one_lease(&cluster, 1..=3);
            sleep(Duration::from_millis(3)).await;
        }
        let last_answer = last_answer.expect("it answered while it was cut off");
        assert!(last_answer > Duration::from_millis(400), "seed {seed}: {last_answer:?}");
        assert!(last_answer < Duration::from_millis(810), "seed {seed}: {last_answer:?}");
        assert!(begin.elapsed() > last_answer);
    }
}

#[tokio::test(start_paused = true)]
async fn without_leases_nothing_is_answered_without_a_quorum() {
    let cluster = Cluster::new(11, 3, |knobs| knobs.leader_lease = false);
    cluster.bootstrap(3).await;
    let client = cluster.client();
    client.put("a", "1").await.unwrap();
    client.get("a").await.unwrap();
    let leader = cluster.leader("a").await;
    assert_eq!(cluster.leased(leader, RANGE), None);
    cluster.isolate(leader, true);
    assert!(cluster.ask_node(leader, "a").await.is_none());
}

#[tokio::test(start_paused = true)]
async fn it_lasts_while_somebody_reads() {
    let (cluster, client, leader) = three_nodes(12).await;
    client.get("a").await.unwrap();
    for _ in 0..100 {
        sleep(Duration::from_millis(30)).await;
        assert!(cluster.ask_node(leader, "a").await.is_some(), "no read waits for a quorum");
    }
    sleep(Duration::from_millis(1_100)).await;
    assert_eq!(cluster.leased(leader, RANGE), None, "nobody reads, so nobody asks");
    assert_eq!(client.get("a").await.unwrap().as_deref(), Some("1"));
    assert!(cluster.leased(leader, RANGE).is_some());
}

#[tokio::test(start_paused = true)]
async fn it_is_given_up_before_the_leader_moves() {
    for seed in 20..30 {
        let (cluster, client, mut leader) = three_nodes(seed).await;
        for _ in 0..6 {
            client.get("a").await.unwrap();
            assert!(cluster.leased(leader, RANGE).is_some());
            let to = others(leader)[seed as usize % 2];
            client.admin("a", AdminRequest::TransferLeader { to: NodeId(to) }).await.unwrap();
            while cluster.elected(to, RANGE).is_none() {
                check_one_lease(&cluster, 1..=3);
                sleep(Duration::from_micros(100)).await;
            }
            check_one_lease(&cluster, 1..=3);
            assert_eq!(cluster.leased(leader, RANGE), None);
            leader = cluster.leader("a").await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_hand_over_failed_asks_a_quorum_until_its_term_ends() {
    let (cluster, client, leader) = three_nodes(31).await;
    client.get("a").await.unwrap();
    let term = cluster.leased(leader, RANGE).unwrap();
    let to = others(leader)[0];
    // The word to stand for election is lost; had it only been late it could still come true.
    cluster.cut(leader, to, true);
    client.admin("a", AdminRequest::TransferLeader { to: NodeId(to) }).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    cluster.cut(leader, to, false);
    sleep(Duration::from_secs(3)).await;
    for _ in 0..20 {
        assert_eq!(client.get("a").await.unwrap().as_deref(), Some("1"));
        assert_eq!((cluster.elected(leader, RANGE), cluster.leased(leader, RANGE)), (Some(term), None));
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_voter_that_restarts_votes_for_nobody_at_first() {
    for seed in 40..45 {
        let (mut cluster, client, leader) = three_nodes(seed).await;
        let term = cluster.elected(leader, RANGE);
        let [voter, candidate] = others(leader);
        // One of them hears nothing of the leader and stands for election, again and again.
        cluster.cut(leader, candidate, true);
        sleep(Duration::from_millis(900)).await;
        for round in 0..40 {
            cluster.restart(voter).await;
            for _ in 0..30 {
                let _late = cluster.ask_node(leader, "a").await;
                check_one_lease(&cluster, 1..=3);
                sleep(Duration::from_millis(9)).await;
            }
            assert_eq!(cluster.elected(leader, RANGE), term, "seed {seed}, round {round}");
        }
        assert_eq!(client.get("a").await.unwrap().as_deref(), Some("1"));
    }
}

#[tokio::test(start_paused = true)]
async fn other_voters_mean_another_lease() {
    let cluster = Cluster::new(50, 4, |_| {});
    cluster.bootstrap(3).await;
    let client = cluster.client();
    client.put("a", "1").await.unwrap();
    let leader = cluster.leader("a").await;
    client.get("a").await.unwrap();
    let mut promoted = false;
    for (role, tries) in [(ReplicaRole::Learner, 1), (ReplicaRole::Voter, 50)] {
        for _ in 0..tries {
            client.get("a").await.unwrap();
            // Renewed for the last time, and not asked for since.
            sleep(Duration::from_millis(300)).await;
            assert!(cluster.leased(leader, RANGE).is_some());
            let add = AdminRequest::ChangeReplicas { add: vec![replica(4, 204, role)], remove: vec![] };
            if client.admin("a", add).await.is_ok() {
                assert_eq!(cluster.leased(leader, RANGE), None, "{role:?}");
                promoted = role == ReplicaRole::Voter;
                break;
            }
        }
    }
    assert!(promoted);
    client.get("a").await.unwrap();
    assert!(cluster.leased(leader, RANGE).is_some());
    // Replaced through a joint configuration, under the eyes of a reader.
    let gone = others(leader)[0];
    for remove in [ReplicaId(200 + gone), ReplicaId(204)] {
        let change = AdminRequest::ChangeReplicas { add: vec![], remove: vec![remove] };
        client.admin("a", change).await.unwrap();
        check_one_lease(&cluster, 1..=4);
        client.get("a").await.unwrap();
        assert!(cluster.leased(leader, RANGE).is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn the_right_side_of_a_split_has_a_lease_of_its_own() {
    let (cluster, client, leader) = three_nodes(60).await;
    client.put("m", "1").await.unwrap();
    client.get("a").await.unwrap();
    let right_replicas = (301..=303).map(ReplicaId).collect();
    let split = AdminRequest::Split { at: "k".into(), right: RangeId(3), right_replicas };
    client.admin("a", split).await.unwrap();
    assert!(cluster.leased(leader, RANGE).is_some(), "its voters are the same");
    assert_eq!(cluster.leased(leader, 3), None);
    assert_eq!(client.get("m").await.unwrap().as_deref(), Some("1"));
    assert!((1..=3).any(|node| cluster.leased(node, 3).is_some()));
}
