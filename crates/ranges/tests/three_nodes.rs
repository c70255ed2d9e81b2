//! Three replicas: message loss, crashes, elections, snapshots, changes of the membership.
#![expect(clippy::disallowed_methods, reason = "a test is its own host")]

mod cluster;

use std::time::Duration;

use cluster::{Client, Cluster, replica, settle};
use keyspace::{NodeId, RangeId, ReplicaId};
use rpc::range::*;

async fn three_nodes(seed: u64) -> (Cluster, Client) {
    let cluster = Cluster::new(seed, 3, |_| {});
    cluster.bootstrap(3).await;
    let client = cluster.client();
    (cluster, client)
}

#[tokio::test(start_paused = true)]
async fn commits_go_on_through_loss_and_crashes() {
    for seed in 0..10 {
        let (mut cluster, client) = three_nodes(seed).await;
        cluster.lose_messages(100);
        for round in 0..6 {
            for key in 0..8 {
                client.put(&format!("k{key}"), &format!("{round}")).await.unwrap();
            }
            let victim = match round % 3 {
                0 => cluster.leader("k").await,
                other => other,
            };
            cluster.restart(victim).await;
            for key in 0..8 {
                assert_eq!(
                    client.get(&format!("k{key}")).await.unwrap(),
                    Some(format!("{round}")),
                    "seed {seed} round {round}"
                );
            }
        }
        cluster.lose_messages(0);
        cluster.check_replicas_agree("k").await;
    }
}

#[tokio::test(start_paused = true)]
async fn all_at_once_lose_nothing_acknowledged() {
    let (mut cluster, client) = three_nodes(20).await;
    for round in 0..8 {
        for key in 0..5 {
            client.put(&format!("k{key}"), &format!("{round}")).await.unwrap();
        }
        for node in 1..=3 {
            cluster.crash(node);
        }
        settle().await;
        for node in 1..=3 {
            cluster.start(node);
        }
        for key in 0..5 {
            assert_eq!(client.get(&format!("k{key}")).await.unwrap(), Some(format!("{round}")));
        }
    }
    cluster.check_replicas_agree("k").await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_was_cut_off_answers_nothing_stale() {
    let (cluster, client) = three_nodes(21).await;
    client.put("a", "old").await.unwrap();
    let old = cluster.leader("a").await;
    cluster.isolate(old, true);
    // The old leader does not know yet. Asked directly it must not answer from what it has.
    let (descriptor, _) = cluster.store(old).lookup(&"a".into()).unwrap();
    let at = client.0.now();
    let read = ReadRequest {
        at,
        txn: None,
        reads: vec![ReadOp::Get { key: "a".into(), program: None }],
        lock: None,
        bytes_max: 0,
    };
    let request = RangeRequest { range: descriptor.id, epoch: descriptor.epoch, body: RangeBody::Read(read) };
    let asked = cluster.store(old);
    let stale = async { asked.handle(cluster::CLIENT, request).await };
    let elsewhere = async {
        let new = cluster.leader("a").await;
        assert_ne!(new, old);
        let (descriptor, _) = cluster.store(new).lookup(&"a".into()).unwrap();
        let txn = client.0.txn();
        let mut at = txn.start();
        loop {
            let commit = CommitRequest { writes: cluster::writes(txn, at, &[("a", Some("new"))]) };
            let request =
                RangeRequest { range: descriptor.id, epoch: descriptor.epoch, body: RangeBody::CommitOneRange(commit) };
            match cluster.store(new).handle(cluster::CLIENT, request).await {
                Ok(_) => return,
                Err(rpc::KvError::Pushed { .. }) => at = client.0.now(),
                Err(error) => panic!("{error}"),
            }
        }
    };
    let (stale, ()) = tokio::join!(stale, elsewhere);
    assert!(stale.is_err(), "{stale:?}");
    cluster.isolate(old, false);
    assert_eq!(client.get("a").await.unwrap().as_deref(), Some("new"));
    cluster.check_replicas_agree("a").await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_comes_back_does_not_topple_the_leader() {
    let (cluster, client) = three_nodes(22).await;
    client.put("a", "1").await.unwrap();
    let leader = cluster.leader("a").await;
    let term = cluster.store(leader).leader_view(RangeId(2)).unwrap().term;
    let follower = if leader == 1 { 2 } else { 1 };
    for _ in 0..3 {
        cluster.isolate(follower, true);
        tokio::time::sleep(Duration::from_secs(10)).await;
        cluster.isolate(follower, false);
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    let view = cluster.store(leader).leader_view(RangeId(2)).unwrap();
    assert_eq!((view.term, view.leads), (term, true));
}

#[tokio::test(start_paused = true)]
async fn a_replica_joins_by_snapshot_becomes_a_voter_and_leads() {
    let mut cluster = Cluster::new(23, 3, |knobs| {
        knobs.flush_bytes = 20_000;
        knobs.log_keep_bytes = 1_000;
    });
    cluster.bootstrap(1).await;
    let client = cluster.client();
    for n in 0..400 {
        client.put(&format!("k{n:03}"), &"x".repeat(200)).await.unwrap();
    }
    cluster.lose_messages(50);
    for node in 2..=3 {
        let add = |role| AdminRequest::ChangeReplicas { add: vec![replica(node, 200 + node, role)], remove: vec![] };
        client.admin("k", add(ReplicaRole::Learner)).await.unwrap();
        // The learner's node has not been told anything: it is introduced, and gets a snapshot.
        let mut promoted = false;
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            promoted = client.admin("k", add(ReplicaRole::Voter)).await.is_ok();
            if promoted {
                break;
            }
        }
        assert!(promoted, "node {node} did not catch up");
        client.put(&format!("after{node}"), "y").await.unwrap();
    }
    cluster.lose_messages(0);
    cluster.check_replicas_agree("k").await;
    for node in 1..=3 {
        cluster.restart(node).await;
        assert_eq!(client.scan("k", "l").await.unwrap().len(), 400);
    }
    cluster.check_replicas_agree("k").await;

    // The leader moves when asked to, but not to who has just restarted (protocol.md, rule 25).
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    for to in [3, 1, 2] {
        client.admin("k", AdminRequest::TransferLeader { to: NodeId(to) }).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(cluster.leader("k").await, to);
        client.put("moved", &to.to_string()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_removed_replica_finds_out_and_goes() {
    let (mut cluster, client) = three_nodes(24).await;
    client.put("a", "1").await.unwrap();
    let leader = cluster.leader("a").await;
    let away = if leader == 3 { 2 } else { 3 };
    cluster.crash(away);
    let remove = || AdminRequest::ChangeReplicas { add: vec![], remove: vec![ReplicaId(200 + away)] };
    client.admin("a", remove()).await.unwrap();
    client.admin("a", remove()).await.unwrap();
    client.put("a", "2").await.unwrap();
    cluster.start(away);
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert!(cluster.store(away).is_empty(), "{:?}", cluster.store(away).statuses());
    // It does not come back under its old number, also not after a restart.
    cluster.restart(away).await;
    assert!(cluster.store(away).is_empty());
    let (descriptor, _) = cluster.store(leader).lookup(&"a".into()).unwrap();
    assert_eq!(descriptor.replicas.len(), 2);
    assert!(cluster.store(away).create_replica((*descriptor).clone(), ReplicaId(200 + away)).await.is_err());
    assert_eq!(client.get("a").await.unwrap().as_deref(), Some("2"));
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_lags_behind_the_log_gets_a_snapshot() {
    let mut cluster = Cluster::new(25, 3, |knobs| {
        knobs.flush_bytes = 5_000;
        knobs.log_keep_bytes = 2_000;
    });
    cluster.bootstrap(3).await;
    let client = cluster.client();
    client.put("k", "0").await.unwrap();
    let leader = cluster.leader("k").await;
    let away = if leader == 3 { 2 } else { 3 };
    cluster.crash(away);
    for n in 0..200 {
        client.put(&format!("k{n}"), &"x".repeat(100)).await.unwrap();
    }
    cluster.start(away);
    cluster.check_replicas_agree("k").await;
    // Crashed in the middle of a snapshot, again and again.
    for round in 0..5u64 {
        cluster.crash(away);
        for n in 0..200 {
            client.put(&format!("k{n}"), &format!("{round}{}", "y".repeat(100))).await.unwrap();
        }
        cluster.start(away);
        tokio::time::sleep(Duration::from_millis(150 * round)).await;
        cluster.restart(away).await;
        cluster.check_replicas_agree("k").await;
    }
    assert!((1..=3).all(|node| cluster.store(node).defects().is_empty()));
}

#[tokio::test(start_paused = true)]
async fn a_voter_is_replaced_through_a_joint_configuration() {
    for seed in 30..35 {
        let mut cluster = Cluster::new(seed, 4, |_| {});
        cluster.bootstrap(3).await;
        let client = cluster.client();
        for n in 0..50 {
            client.put(&format!("k{n:02}"), "0").await.unwrap();
        }
        cluster.lose_messages(100);
        let learner = AdminRequest::ChangeReplicas { add: vec![replica(4, 204, ReplicaRole::Learner)], remove: vec![] };
        client.admin("k", learner).await.unwrap();
        let leader = cluster.leader("k").await;
        let leaves = if leader == 1 { 2 } else { 1 };
        let replace = || AdminRequest::ChangeReplicas {
            add: vec![replica(4, 204, ReplicaRole::Voter)],
            remove: vec![ReplicaId(200 + leaves)],
        };
        let mut done = false;
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            done = client.admin("k", replace()).await.is_ok();
            if done {
                break;
            }
        }
        assert!(done, "seed {seed}: the change was refused for good");
        // Any of the new voters may die, also in the middle of it.
        cluster.restart(4).await;
        for n in 0..50 {
            client.put(&format!("k{n:02}"), "1").await.unwrap();
        }
        cluster.lose_messages(0);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(cluster.store(leaves).is_empty(), "seed {seed}: the one that left is still there");
        cluster.check_replicas_agree("k").await;
        let (descriptor, _) = cluster.store(4).lookup(&"k".into()).unwrap();
        assert_eq!(descriptor.replicas.len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_goes_hands_over_first() {
    let (cluster, client) = three_nodes(40).await;
    client.put("a", "1").await.unwrap();
    let old = cluster.leader("a").await;
    let left = cluster.store(old).hand_over(Duration::from_secs(5)).await;
    assert_eq!(left, 0);
    let started = tokio::time::Instant::now();
    client.put("a", "2").await.unwrap();
    assert_ne!(cluster.leader("a").await, old);
    assert!(started.elapsed() < Duration::from_millis(500), "no election was waited for");
}
