//! One node, one voter: commits, conflicts and restarts.
#![expect(clippy::disallowed_methods, reason = "a test is its own host")]

mod cluster;

use std::time::Duration;

use cluster::{Client, Cluster, scan_op, settle, text, writes};
use keyspace::{Key, Timestamp};
use rpc::KvError;
use rpc::range::*;

async fn one_node(seed: u64) -> (Cluster, Client) {
    let cluster = Cluster::new(seed, 1, |_| {});
    cluster.bootstrap(1).await;
    let client = cluster.client();
    (cluster, client)
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_survives_crashes() {
    let (mut cluster, client) = one_node(1).await;
    for round in 0..20 {
        for key in 0..10 {
            client.put(&format!("k{key}"), &format!("{round}")).await.unwrap();
        }
        cluster.restart(1).await;
        for key in 0..10 {
            assert_eq!(client.get(&format!("k{key}")).await.unwrap(), Some(format!("{round}")), "round {round}");
        }
    }
    let rows = client.scan("k", "l").await.unwrap();
    assert_eq!(rows.len(), 10);
    client.commit(client.0.txn(), client.0.now(), &[("k3", None)]).await.unwrap();
    assert_eq!(client.get("k3").await.unwrap(), None);
    assert!(cluster.store(1).defects().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_cut_does_not_forget() {
    let mut cluster = Cluster::new(2, 1, |knobs| {
        knobs.flush_bytes = 2_000;
        knobs.log_keep_bytes = 1;
    });
    cluster.bootstrap(1).await;
    let client = cluster.client();
    for n in 0..300 {
        client.put(&format!("k{:03}", n % 50), &format!("{n}")).await.unwrap();
    }
    for _ in 0..3 {
        cluster.restart(1).await;
        assert_eq!(client.scan("k", "l").await.unwrap().len(), 50);
        assert_eq!(client.get("k049").await.unwrap().as_deref(), Some("299"));
    }
}

#[tokio::test(start_paused = true)]
async fn numbers_are_refused_for_reads_and_newer_versions() {
    let (_cluster, client) = one_node(3).await;
    let early = client.0.txn();
    let first = client.put("a", "1").await.unwrap();

    // Overtaken by a version, and told which.
    let refused = client.commit_at(early, early.start(), &[("a", Some("x"))]).await;
    assert_eq!(refused, Err(KvError::Pushed { key: "a".into(), above: first }));

    // Overtaken by a read of somebody else; one's own read does not push.
    let reader = client.0.txn();
    let op = ReadOp::Get { key: "b".into(), program: None };
    client.read(Some(reader), reader.start(), vec![op], None).await.unwrap();
    let refused = client.commit_at(early, early.start(), &[("b", Some("x"))]).await;
    assert_eq!(refused, Err(KvError::Pushed { key: "b".into(), above: reader.start() }));
    // What the refused one locked by itself is free again; it may have given up.
    assert_eq!(client.commit_at(reader, reader.start(), &[("b", Some("mine"))]).await, Ok(reader.start()));

    // First committer wins, where the writer says what it knows.
    let mut stale = writes(client.0.txn(), client.0.now(), &[("a", Some("y"))]);
    stale.snapshot = Timestamp(first.0 - 1);
    let outcome = client.0.ask(&"a".into(), RangeBody::CommitOneRange(CommitRequest { writes: stale })).await;
    let refused = outcome.unwrap_err();
    assert!(matches!(&refused, KvError::WriteTooOld { newest, .. } if *newest == first), "{refused:?}");

    // A conditional insert; its refusal is a read.
    let inserter = client.0.txn();
    let mut insert = writes(inserter, client.0.now(), &[("a", Some("z"))]);
    insert.mutations[0].must_be_absent = true;
    let outcome = client.0.ask(&"a".into(), RangeBody::CommitOneRange(CommitRequest { writes: insert })).await;
    assert_eq!(outcome.unwrap_err(), KvError::KeyExists { key: "a".into() });
}

#[tokio::test(start_paused = true)]
async fn a_repeated_commit_answers_the_same() {
    let (mut cluster, client) = one_node(4).await;
    let txn = client.0.txn();
    let rows = [("a", Some("1")), ("b", Some("2")), ("c", None)];
    let at = client.commit(txn, txn.start(), &rows).await.unwrap();
    // A later writer and a crash in between change nothing.
    client.put("a", "later").await.unwrap();
    assert_eq!(client.commit_at(txn, client.0.now(), &rows).await, Ok(at));
    cluster.restart(1).await;
    assert_eq!(client.commit_at(txn, client.0.now(), &rows).await, Ok(at));
    assert_eq!(client.get("a").await.unwrap().as_deref(), Some("later"));
}

#[tokio::test(start_paused = true)]
async fn two_copies_of_one_commit_at_once_apply_once() {
    let (_cluster, client) = one_node(5).await;
    let txn = client.0.txn();
    let rows = [("a", Some("1")), ("b", Some("2"))];
    let copies = (0..4).map(|_| client.commit_at(txn, txn.start(), &rows));
    let answers = futures::future::join_all(copies).await;
    assert!(answers.iter().all(|answer| *answer == Ok(txn.start())), "{answers:?}");
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_honours_reads_it_never_saw() {
    let (mut cluster, client) = one_node(6).await;
    client.put("a", "1").await.unwrap();
    let early = client.0.txn();
    let read_at = client.0.now();
    assert_eq!(client.get_at("a", read_at).await.unwrap().as_deref(), Some("1"));
    cluster.restart(1).await;
    let refused = client.commit_at(early, early.start(), &[("a", Some("under the read"))]).await;
    assert!(matches!(refused, Err(KvError::Pushed { above, .. }) if above > read_at), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_served_before_the_low_water_mark_is_fresh() {
    let (mut cluster, client) = one_node(7).await;
    client.put("a", "1").await.unwrap();
    client.0.oracle_down.store(true, std::sync::atomic::Ordering::SeqCst);
    cluster.restart(1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let view = cluster.store(1).leader_view(keyspace::RangeId(2)).unwrap();
    assert!(view.leads && !view.serves);
    client.0.oracle_down.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(client.get("a").await.unwrap().as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn scans_are_paged_by_rows_and_resume() {
    let (_cluster, client) = one_node(8).await;
    for n in 0..20 {
        client.put(&format!("k{n:02}"), "v").await.unwrap();
    }
    let mut seen = Vec::new();
    let mut start = "k".to_owned();
    loop {
        let reply = client.read(None, client.0.now(), vec![scan_op(&start, "l", 7)], None).await.unwrap();
        seen.extend(reply.results[0].rows.iter().map(|row| text(&row.key)));
        match &reply.results[0].resume {
            Some(rest) => start = text(&rest.start),
            None => break,
        }
    }
    assert_eq!(seen, (0..20).map(|n| format!("k{n:02}")).collect::<Vec<_>>());

    // A limited scan raises the cache only as far as it read: writers behind it are not pushed.
    let early = client.0.txn();
    let reader = client.0.now();
    client.read(None, reader, vec![scan_op("k", "l", 3)], None).await.unwrap();
    assert_eq!(client.commit_at(early, early.start(), &[("k10x", Some("v"))]).await, Ok(early.start()));
    let pushed = client.0.txn();
    client.read(None, client.0.now(), vec![scan_op("k", "l", 3)], None).await.unwrap();
    assert!(matches!(
        client.commit_at(pushed, pushed.start(), &[("k01x", Some("v"))]).await,
        Err(KvError::Pushed { .. })
    ));

    let reverse = ReadOp::Scan(ScanOp {
        span: keyspace::Span::new("k".into(), "l".into()),
        reverse: true,
        rows_max: 2,
        program: None,
    });
    let reply = client.read(None, client.0.now(), vec![reverse], None).await.unwrap();
    let keys: Vec<String> = reply.results[0].rows.iter().map(|row| text(&row.key)).collect();
    assert_eq!(keys, ["k19", "k18"]);
    assert_eq!(reply.results[0].resume.as_ref().unwrap().end, Key::from("k18"));
}

#[tokio::test(start_paused = true)]
async fn locks_queue_and_tell_of_newer_versions() {
    let (_cluster, client) = one_node(9).await;
    client.put("a", "1").await.unwrap();
    let (first, second) = (client.0.txn(), client.0.txn());
    let block = LockWait::Block { timeout: None };
    client.lock(first, "a", LockMode::NoKeyUpdate, block).await.unwrap();
    let nowait = client.lock(second, "a", LockMode::NoKeyUpdate, LockWait::NoWait).await;
    assert_eq!(nowait.unwrap_err(), KvError::LockNotAvailable { key: "a".into(), holder: first, timed_out: false });

    let waiter = tokio::task::LocalSet::new();
    let (queued, committed) = waiter
        .run_until(async {
            let queued = client.lock(second, "a", LockMode::NoKeyUpdate, block);
            let committing = async {
                settle().await;
                client.commit(first, client.0.now(), &[("a", Some("2"))]).await.unwrap()
            };
            tokio::join!(queued, committing)
        })
        .await;
    let queued = queued.unwrap();
    assert!(queued.waited);
    let newer = rpc::range::Newer { at: committed, key: "a".into(), by: first };
    assert_eq!(queued.newer, Some(newer), "its statement must run again above it");

    // SKIP LOCKED passes over what is held, and the limit counts what is left.
    client.put("b", "1").await.unwrap();
    let third = client.0.txn();
    let skip = LockSpec { mode: LockMode::Update, wait: LockWait::SkipLocked, absent_too: false };
    let reply = client.read(Some(third), client.0.now(), vec![scan_op("a", "z", 1)], Some(skip)).await.unwrap();
    assert_eq!(text(&reply.results[0].rows[0].key), "b");
}

#[tokio::test(start_paused = true)]
async fn a_lost_lock_fails_the_commit() {
    let (mut cluster, client) = one_node(10).await;
    client.put("parent", "1").await.unwrap();
    let holder = client.0.txn();
    let seen = client.0.now();
    let block = LockWait::Block { timeout: None };
    client.lock(holder, "parent", LockMode::KeyShare, block).await.unwrap();
    cluster.restart(1).await;
    let child = |at| {
        let mut commit = writes(holder, at, &[("child", Some("1"))]);
        commit.locked = vec![LockedKey { key: "parent".into(), mode: LockMode::KeyShare, seen }];
        RangeBody::CommitOneRange(CommitRequest { writes: commit })
    };
    // An update that leaves the key alone does not hurt; a deletion does.
    client.put("parent", "2").await.unwrap();
    let deleter = client.0.txn();
    client.commit(deleter, client.0.now(), &[("parent", None)]).await.unwrap();
    let outcome = client.0.ask(&"child".into(), child(client.0.now())).await;
    assert_eq!(outcome.unwrap_err(), KvError::LockLost { key: "parent".into(), by: deleter });
    assert_eq!(client.get("child").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn garbage_goes_below_the_floor_and_nothing_that_is_seen() {
    let (mut cluster, client) = one_node(11).await;
    let mut versions = Vec::new();
    for n in 0..50 {
        versions.push(client.put("hot", &n.to_string()).await.unwrap());
    }
    client.commit(client.0.txn(), client.0.now(), &[("gone", Some("1"))]).await.unwrap();
    client.commit(client.0.txn(), client.0.now(), &[("gone", None)]).await.unwrap();
    let late = client.0.txn();
    let floor = client.0.now();
    client.put("hot", "last").await.unwrap();
    let collected = cluster.store(1).collect_garbage(keyspace::RangeId(2), floor).await.unwrap();
    assert_eq!(collected.versions, 49 + 2);
    for _ in 0..2 {
        assert_eq!(client.get("hot").await.unwrap().as_deref(), Some("last"));
        assert_eq!(client.get_at("hot", Timestamp(floor.0 + 1)).await.unwrap().as_deref(), Some("49"));
        assert_eq!(client.get("gone").await.unwrap(), None);
        let old = client.get_at("hot", versions[3]).await;
        assert_eq!(old, Err(KvError::BelowGarbageFloor { at: versions[3], floor }), "never a wrong answer");
        let commit = client.commit(late, client.0.now(), &[("x", Some("1"))]).await;
        assert!(matches!(commit, Err(KvError::BelowGarbageFloor { .. })), "its fate would not be known");
        cluster.restart(1).await;
    }
}
