//! Ranges that are cut in two under load and under crashes.

mod cluster;

use cluster::{Client, Cluster, settle};
use keyspace::{Key, RangeId, ReplicaId};
use rpc::KvError;
use rpc::range::*;

fn split_at(key: &str, right: u64, replicas: u64) -> AdminRequest {
    let right_replicas = (1..=replicas).map(|node| ReplicaId(right * 100 + node)).collect();
    AdminRequest::Split { at: key.into(), right: RangeId(right), right_replicas }
}

async fn check_tiling(cluster: &Cluster, node: u64, ranges: usize) {
    let all = cluster.store(node).local_descriptors();
    assert_eq!(all.len(), ranges);
    assert_eq!(all[0].0.span.start, Key::MIN);
    assert_eq!(all[ranges - 1].0.span.end, Key::MAX);
    for pair in all.windows(2) {
        assert_eq!(pair[0].0.span.end, pair[1].0.span.start);
    }
}

async fn rows(client: &Client, spans: &[(&str, &str)]) -> usize {
    let mut count = 0;
    for (start, end) in spans {
        count += client.scan(start, end).await.unwrap().len();
    }
    count
}

#[tokio::test(start_paused = true)]
async fn both_sides_serve_and_survive_crashes_of_all_nodes() {
    for seed in 0..5 {
        let mut cluster = Cluster::new(seed, 3, |_| {});
        cluster.bootstrap(3).await;
        let client = cluster.client();
        for n in 0..30 {
            client.put(&format!("k{n:02}"), "0").await.unwrap();
        }
        client.admin("k", split_at("k10", 5, 3)).await.unwrap();
        client.admin("k15", split_at("k20", 6, 3)).await.unwrap();
        // Repeated, as after a lost answer.
        client.admin("k20", split_at("k20", 6, 3)).await.unwrap();
        let spans = [("k", "k10"), ("k10", "k20"), ("k20", "l")];
        for round in 1..4 {
            for n in 0..30 {
                client.put(&format!("k{n:02}"), &format!("{round}")).await.unwrap();
            }
            for node in 1..=3 {
                cluster.crash(node);
            }
            settle().await;
            for node in 1..=3 {
                cluster.start(node);
            }
            assert_eq!(rows(&client, &spans).await, 30, "seed {seed} round {round}");
            for n in 0..30 {
                assert_eq!(
                    client.get(&format!("k{n:02}")).await.unwrap(),
                    Some(format!("{round}")),
                    "seed {seed} k{n:02}"
                );
            }
        }
        for key in ["k", "k10", "k20"] {
            cluster.check_replicas_agree(key).await;
        }
        check_tiling(&cluster, 1, 3).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_under_the_old_descriptor_is_refused_with_the_new_ones() {
    let cluster = Cluster::new(10, 1, |_| {});
    cluster.bootstrap(1).await;
    let client = cluster.client();
    client.put("a", "1").await.unwrap();
    client.put("z", "1").await.unwrap();
    let (before, _) = cluster.store(1).lookup(&"a".into()).unwrap();
    client.admin("a", split_at("m", 5, 1)).await.unwrap();
    client.get("z").await.unwrap();
    let read = |key: &str| {
        let reads = vec![ReadOp::Get { key: key.into(), program: None }];
        RangeBody::Read(ReadRequest { at: client.0.now(), txn: None, reads, lock: None, bytes_max: 0 })
    };
    for key in ["a", "z"] {
        let request = RangeRequest { range: before.id, epoch: before.epoch, body: read(key) };
        let Err(KvError::StaleEpoch { current }) = cluster.store(1).handle(cluster::CLIENT, request).await else {
            panic!()
        };
        let spans: Vec<_> = current.iter().map(|descriptor| descriptor.span.to_string()).collect();
        assert_eq!(spans, ["[Min, m)", "[m, Max)"]);
    }
    // A key of the other side under the right epoch is refused as well.
    let (left, _) = cluster.store(1).lookup(&"a".into()).unwrap();
    let request = RangeRequest { range: left.id, epoch: left.epoch, body: read("z") };
    assert!(matches!(cluster.store(1).handle(cluster::CLIENT, request).await, Err(KvError::StaleEpoch { .. })));
}

#[tokio::test(start_paused = true)]
async fn locks_intents_and_reads_go_along() {
    let cluster = Cluster::new(11, 1, |_| {});
    cluster.bootstrap(1).await;
    let client = cluster.client();
    client.put("z", "0").await.unwrap();
    let (holder, other) = (client.0.txn(), client.0.txn());
    client.lock(holder, "y", LockMode::Update, LockWait::NoWait).await.unwrap();
    let writer = client.0.txn();
    let at = client.0.now();
    client.prewrite(cluster::writes(writer, at, &[("z", Some("1"))]), "a", None).await.unwrap();
    client.record(writer, "a", RecordOp::Commit { at, attempt: 1 }).await.unwrap();
    let read_at = client.0.now();
    client.get_at("x", read_at).await.unwrap();

    client.admin("a", split_at("m", 5, 1)).await.unwrap();
    let held = client.lock(other, "y", LockMode::Update, LockWait::NoWait).await;
    assert_eq!(held.unwrap_err(), KvError::LockNotAvailable { key: "y".into(), holder, timed_out: false });
    assert_eq!(client.get("z").await.unwrap().as_deref(), Some("1"), "the intent is known on its new side");
    let under = client.commit_at(other, other.start(), &[("x", Some("1"))]).await;
    assert!(matches!(under, Err(KvError::Pushed { above, .. }) if above >= read_at));
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_slept_through_splits_catches_up_by_log_or_snapshot() {
    for keep in [1_u64 << 20, 500] {
        let mut cluster = Cluster::new(keep, 3, |knobs| {
            knobs.flush_bytes = 2_000;
            knobs.log_keep_bytes = keep;
        });
        cluster.bootstrap(3).await;
        let client = cluster.client();
        client.put("k", "0").await.unwrap();
        let away = if cluster.leader("k").await == 3 { 2 } else { 3 };
        cluster.crash(away);
        client.admin("k", split_at("k5", 5, 3)).await.unwrap();
        client.admin("k7", split_at("k7", 6, 3)).await.unwrap();
        for n in 0..100 {
            client.put(&format!("k{}", n % 10), &format!("{n}")).await.unwrap();
        }
        cluster.start(away);
        for key in ["k", "k5", "k7"] {
            cluster.check_replicas_agree(key).await;
        }
        check_tiling(&cluster, away, 3).await;
    }
}

/// The right-hand side begins with a state that is not flushed and a log that is synced. Power fails, and the left-hand side
/// comes back beyond the split by a snapshot: nobody applies the split here any more.
#[tokio::test(start_paused = true)]
async fn a_right_hand_side_without_its_state_asks_for_one() {
    let asked = || {
        let hits = env::probe_hits();
        hits.into_iter().find(|(name, _)| *name == "asked_for_a_state_that_was_lost").map_or(0, |(_, hits)| hits)
    };
    let before = asked();
    for seed in 0..6 {
        let mut cluster = Cluster::new(seed, 3, |knobs| {
            knobs.flush_bytes = 8_000;
            knobs.log_keep_bytes = 500;
        });
        cluster.bootstrap(3).await;
        let client = cluster.client();
        client.put("k", "0").await.unwrap();
        let away = if cluster.leader("k").await == 3 { 2 } else { 3 };
        client.admin("k", split_at("k5", 5, 3)).await.unwrap();
        for n in 0..5 {
            client.put("k7", &format!("{n}")).await.unwrap();
        }
        settle().await;
        cluster.crash(away);
        for n in 0..200 {
            client.put("k1", &format!("{n:0200}")).await.unwrap();
        }
        // Whoever leads now does not know how far the absent one came, and cannot tell it that the split is committed.
        let leader = cluster.leader("k").await;
        cluster.restart(leader).await;
        client.put("k1", "last").await.unwrap();
        cluster.start(away);
        for key in ["k", "k5"] {
            cluster.check_replicas_agree(key).await;
        }
        assert_eq!(client.get("k7").await.unwrap().as_deref(), Some("4"));
        check_tiling(&cluster, away, 2).await;
        assert_eq!(cluster.store(away).defects(), []);
        // It counts again where it is needed.
        let other = (1..=3).find(|node| *node != away && *node != 1).unwrap_or(1);
        cluster.crash(other);
        client.put("k7", "after").await.unwrap();
        assert_eq!(client.get("k7").await.unwrap().as_deref(), Some("after"), "seed {seed}");
    }
    assert!(asked() > before, "no seed lost a state");
}

/// Bytes and versions of the range of `key` as its replicas know them, once all have applied the same.
async fn size(cluster: &Cluster, key: &str, nodes: u64) -> (u64, u64) {
    for _ in 0..200 {
        let of_node = |node: u64| {
            let (descriptor, _) = cluster.store(node).lookup(&key.into())?;
            cluster.store(node).statuses().into_iter().find(|status| status.descriptor.id == descriptor.id)
        };
        let all: Vec<_> = (1..=nodes).filter_map(of_node).collect();
        if all.len() as u64 == nodes && all.iter().all(|status| status.applied == all[0].applied) {
            let sizes = all.iter().map(|status| (status.size_bytes, status.keys)).collect::<Vec<_>>();
            assert!(sizes.iter().all(|size| *size == sizes[0]), "replicas add up alike: {sizes:?}");
            return sizes[0];
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the replicas of {key} do not come together");
}

async fn measure(cluster: &Cluster, key: &str) -> mvcc::Measured {
    let store = cluster.store(cluster.leader(key).await);
    let range = store.lookup(&key.into()).unwrap().0.id;
    store.measure(range).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn sizes_are_true_after_splits_and_collections_on_every_replica() {
    let mut cluster = Cluster::new(12, 3, |_| {});
    cluster.bootstrap(3).await;
    let client = cluster.client();
    for n in 0..40 {
        let value = "v".repeat(if n < 30 { 10 } else { 500 });
        client.put(&format!("k{n:02}"), &value).await.unwrap();
        client.put(&format!("k{n:02}"), &value).await.unwrap();
    }
    let whole = size(&cluster, "k", 3).await;
    let measured = measure(&cluster, "k").await;
    assert_eq!(whole, (measured.bytes, measured.versions), "what is only written is counted as it is written");
    let middle = measured.middle.unwrap().to_string();
    assert!(middle.as_str() > "k30" && middle.as_str() < "k39", "the middle by size, not by number: {middle}");

    client.admin("k", split_at("k30", 5, 3)).await.unwrap();
    let range = RangeId(5);
    let leader = cluster.store(cluster.leader("k30").await);
    assert!(!leader.is_counted(range).unwrap());
    for key in ["k", "k30"] {
        let measured = measure(&cluster, key).await;
        assert_eq!(size(&cluster, key, 3).await, (measured.bytes, measured.versions), "{key}");
    }
    assert!(leader.is_counted(range).unwrap());
    let (left, right) = (size(&cluster, "k", 3).await, size(&cluster, "k30", 3).await);
    assert_eq!((left.0 + right.0, left.1 + right.1), whole);
    assert_eq!((left.1, right.1), (60, 20));
    assert!(right.0 > 3 * left.0, "{left:?} {right:?}");

    // Garbage goes, and its bytes with it; so it is known after a crash, too.
    let floor = client.0.now();
    let leader = cluster.store(cluster.leader("k30").await);
    assert_eq!(leader.collect_garbage(range, floor).await.unwrap().versions, 10);
    let kept = size(&cluster, "k30", 3).await;
    assert_eq!(kept, (right.0 / 2, 10));
    client.put("k35", "again").await.unwrap();
    for node in 1..=3 {
        cluster.crash(node);
    }
    settle().await;
    for node in 1..=3 {
        cluster.start(node);
    }
    let measured = measure(&cluster, "k30").await;
    assert_eq!(size(&cluster, "k30", 3).await, (measured.bytes, measured.versions));
    let (again, _) = size(&cluster, "k30", 3).await;
    assert!(again > kept.0 && again < kept.0 + 50, "{again}");
}
