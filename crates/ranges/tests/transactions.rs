//! Transactions over several ranges, and what others do when a coordinator dies (protocol.md, rules 1 to 5).
#![expect(clippy::disallowed_methods, reason = "a test is its own host")]

mod cluster;

use std::time::Duration;

use cluster::{Client, Cluster, settle, writes};
use keyspace::{Key, Span};
use rpc::KvError;
use rpc::range::*;

/// `a…` to `l…` in one range, `m…` to `z…` in another.
async fn two_ranges(seed: u64, nodes: u64) -> (Cluster, Client) {
    let cluster = Cluster::new(seed, nodes, |_| {});
    let middle = Key::from("m");
    let left = Span::new(Key::MIN, middle.clone());
    let right = Span::new(middle, Key::MAX);
    cluster.bootstrap_ranges(nodes, &[(2, left), (3, right)]).await;
    let client = cluster.client();
    client.put("a", "0").await.unwrap();
    client.put("z", "0").await.unwrap();
    (cluster, client)
}

#[tokio::test(start_paused = true)]
async fn two_rounds_commit() {
    let (_cluster, client) = two_ranges(1, 1).await;
    let txn = client.0.txn();
    let at = client.0.now();
    client.prewrite(writes(txn, at, &[("a", Some("1"))]), "a", None).await.unwrap();
    client.prewrite(writes(txn, at, &[("z", Some("1"))]), "a", None).await.unwrap();
    assert_eq!(client.record(txn, "a", RecordOp::Commit { at, attempt: 1 }).await.unwrap(), TxnState::Committed { at });
    // Nothing is resolved yet: readers do it as they come.
    assert_eq!(client.get("z").await.unwrap().as_deref(), Some("1"));
    assert_eq!(client.get_at("a", at).await.unwrap().as_deref(), Some("1"));
    assert_eq!(client.get_at("a", keyspace::Timestamp(at.0 - 1)).await.unwrap().as_deref(), Some("0"));
    // Resolving again, and every repetition, is harmless.
    client.resolve(txn, Some(at), &["a"]).await.unwrap();
    assert!(
        matches!(client.prewrite(writes(txn, at, &[("z", Some("1"))]), "a", None).await, Err(KvError::TxnCommitted { at: committed }) if committed == at)
    );
    assert_eq!(client.record(txn, "a", RecordOp::Abort).await.unwrap(), TxnState::Committed { at });
}

#[tokio::test(start_paused = true)]
async fn an_intent_known_to_be_committed_is_read_where_it_is() {
    let (cluster, client) = two_ranges(2, 1).await;
    client.put("x", "0").await.unwrap();
    let txn = client.0.txn();
    let at = client.0.now();
    client.prewrite(writes(txn, at, &[("a", Some("1"))]), "a", None).await.unwrap();
    client.prewrite(writes(txn, at, &[("x", None), ("y", Some("1")), ("z", Some("1"))]), "a", None).await.unwrap();
    client.record(txn, "a", RecordOp::Commit { at, attempt: 1 }).await.unwrap();
    assert_eq!(client.get("z").await.unwrap().as_deref(), Some("1"), "who asks first resolves it");
    settle().await;
    let applied = || cluster.store(1).statuses().iter().map(|status| status.applied).collect::<Vec<_>>();
    let before = applied();
    assert_eq!(client.get("y").await.unwrap().as_deref(), Some("1"));
    assert_eq!(client.get("x").await.unwrap(), None, "deleted");
    assert_eq!(client.get_at("x", keyspace::Timestamp(at.0 - 1)).await.unwrap().as_deref(), Some("0"));
    settle().await;
    assert_eq!(applied(), before, "nothing was written for these readers");
    client.resolve(txn, Some(at), &["x", "y"]).await.unwrap();
    assert_eq!(client.get("y").await.unwrap().as_deref(), Some("1"));
    assert_eq!(client.get("x").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_staged_transaction_whose_coordinator_died_is_finished() {
    for seed in 10..14 {
        let (_cluster, client) = two_ranges(seed, 3).await;
        let txn = client.0.txn();
        let at = client.0.now();
        let (first, second) = (writes(txn, at, &[("a", Some("1"))]), writes(txn, at, &[("z", Some("1"))]));
        client.prewrite(first, "a", Some(&["a", "z"])).await.unwrap();
        client.prewrite(second, "a", None).await.unwrap();
        // Both readers, at once, meet an intent each.
        let (a, z) = tokio::join!(client.get("a"), client.get("z"));
        assert_eq!((a.unwrap().as_deref(), z.unwrap().as_deref()), (Some("1"), Some("1")));
        assert_eq!(
            client.record(txn, "a", RecordOp::Query { wait: Duration::ZERO }).await.unwrap(),
            TxnState::Committed { at }
        );
    }
}

#[tokio::test(start_paused = true)]
async fn recovery_fences_what_is_absent_before_it_aborts() {
    let (_cluster, client) = two_ranges(20, 1).await;
    let txn = client.0.txn();
    let at = client.0.now();
    client.prewrite(writes(txn, at, &[("a", Some("1"))]), "a", Some(&["a", "z"])).await.unwrap();
    // The prewrite of z is still on its way when a reader loses its patience.
    assert_eq!(client.get("a").await.unwrap().as_deref(), Some("0"));
    let late = client.prewrite(writes(txn, at, &[("z", Some("1"))]), "a", None).await;
    assert!(matches!(late, Err(KvError::Pushed { .. } | KvError::TxnAborted)), "{late:?}");
    assert_eq!(client.record(txn, "a", RecordOp::Commit { at, attempt: 1 }).await.unwrap(), TxnState::Aborted);
    assert_eq!(client.get("z").await.unwrap().as_deref(), Some("0"));
}

#[tokio::test(start_paused = true)]
async fn a_transaction_without_a_record_is_aborted_before_its_intents_go() {
    let (_cluster, client) = two_ranges(30, 1).await;
    let txn = client.0.txn();
    let at = client.0.now();
    client.prewrite(writes(txn, at, &[("z", Some("1"))]), "a", None).await.unwrap();
    assert_eq!(client.get("z").await.unwrap().as_deref(), Some("0"));
    // What was delayed comes too late.
    let late = client.prewrite(writes(txn, at, &[("a", Some("1"))]), "a", None).await;
    assert_eq!(late, Err(KvError::TxnAborted));
    let stage = client.prewrite(writes(txn, at, &[("a", Some("1"))]), "a", Some(&["a", "z"])).await;
    assert_eq!(stage, Err(KvError::TxnAborted));
}

#[tokio::test(start_paused = true)]
async fn readers_wait_while_the_coordinator_shows_signs_of_life() {
    let (_cluster, client) = two_ranges(40, 1).await;
    let txn = client.0.txn();
    let at = client.0.now();
    client.prewrite(writes(txn, at, &[("z", Some("1"))]), "a", None).await.unwrap();
    let started = tokio::time::Instant::now();
    let coordinator = async {
        for _ in 0..8 {
            client.record(txn, "a", RecordOp::Heartbeat).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        client.record(txn, "a", RecordOp::Commit { at, attempt: 1 }).await.unwrap()
    };
    let (seen, state) = tokio::join!(client.get("z"), coordinator);
    assert_eq!(state, TxnState::Committed { at });
    assert_eq!(seen.unwrap().as_deref(), Some("1"));
    let waited = started.elapsed();
    assert!(
        waited > Duration::from_secs(7) && waited < Duration::from_millis(8_500),
        "told when it is decided: {waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_restaged_attempt_replaces_the_earlier_one() {
    let (_cluster, client) = two_ranges(50, 1).await;
    let txn = client.0.txn();
    let at = client.0.now();
    client.prewrite(writes(txn, at, &[("a", Some("1"))]), "a", Some(&["a", "z"])).await.unwrap();
    // A reader overtakes z before it is prewritten: a fresh number, another attempt.
    client.get("z").await.unwrap();
    let refused = client.prewrite(writes(txn, at, &[("z", Some("1"))]), "a", None).await;
    assert!(matches!(refused, Err(KvError::Pushed { .. })));
    let again = client.0.now();
    let second = |key| Writes { attempt: 2, ..writes(txn, again, &[(key, Some("2"))]) };
    client.prewrite(second("z"), "a", None).await.unwrap();
    client.prewrite(second("a"), "a", Some(&["a", "z"])).await.unwrap();
    // The first attempt's messages, repeated, change nothing.
    assert!(client.prewrite(writes(txn, at, &[("a", Some("1"))]), "a", Some(&["a", "z"])).await.is_err());
    let state = client.record(txn, "a", RecordOp::Commit { at: again, attempt: 2 }).await.unwrap();
    assert_eq!(state, TxnState::Committed { at: again });
    assert_eq!(client.get("a").await.unwrap().as_deref(), Some("2"));
    assert_eq!(client.get("z").await.unwrap().as_deref(), Some("2"));
}

/// A number that a range refused is dead, also where an intent of the attempt before it lies: the coordinator gives it up.
#[tokio::test(start_paused = true)]
async fn recovery_does_not_take_an_older_attempt_for_the_one_that_was_staged() {
    let (_cluster, client) = two_ranges(55, 1).await;
    let txn = client.0.txn();
    let first = client.0.now();
    client.prewrite(writes(txn, first, &[("z", Some("1"))]), "a", None).await.unwrap();
    let second = client.0.now();
    let attempt = |number, at, key| Writes { attempt: number, ..writes(txn, at, &[(key, Some("1"))]) };
    client.prewrite(attempt(2, second, "a"), "a", Some(&["a", "z"])).await.unwrap();
    let reader = client.get_at("z", client.0.now());
    let coordinator = async {
        settle().await;
        // The reader waits for the intent, and has forbidden the second number.
        let refused = client.prewrite(attempt(2, second, "z"), "a", None).await;
        assert!(matches!(refused, Err(KvError::Pushed { .. })), "{refused:?}");
        let third = client.0.now();
        tokio::time::sleep(Duration::from_secs(5)).await;
        client.prewrite(attempt(3, third, "z"), "a", None).await.ok();
        client.prewrite(attempt(3, third, "a"), "a", Some(&["a", "z"])).await
    };
    let (seen, late) = tokio::join!(reader, coordinator);
    assert_eq!(seen.unwrap().as_deref(), Some("0"));
    assert_eq!(late, Err(KvError::TxnAborted));
    assert_eq!(client.get("a").await.unwrap().as_deref(), Some("0"));
}

#[tokio::test(start_paused = true)]
async fn the_younger_gives_way_in_the_commit_phase() {
    let (_cluster, client) = two_ranges(60, 1).await;
    let (older, younger) = (client.0.txn(), client.0.txn());
    let at = client.0.now();
    client.prewrite(writes(older, at, &[("z", Some("older"))]), "a", None).await.unwrap();
    client.record(older, "a", RecordOp::Heartbeat).await.unwrap();
    let gave_way = client.prewrite(writes(younger, client.0.now(), &[("z", Some("younger"))]), "a", None).await;
    assert_eq!(gave_way, Err(KvError::GaveWay { key: "z".into(), holder: older }));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_sees_commits_in_its_interval_and_forbids_later_ones() {
    let (_cluster, client) = two_ranges(70, 1).await;
    let txn = client.0.txn();
    let (from, early, to) = (client.0.now(), client.0.txn(), client.0.now());
    client.refresh(txn, "b", "c", from, to).await.unwrap();
    let under = client.commit_at(early, early.start(), &[("bb", Some("x"))]).await;
    assert_eq!(under, Err(KvError::Pushed { key: "bb".into(), above: to }));
    let at = client.commit(early, client.0.now(), &[("bb", Some("x"))]).await.unwrap();
    let changed = client.refresh(txn, "b", "c", to, client.0.now()).await;
    assert_eq!(changed, Err(KvError::ReadChanged { key: "bb".into(), at }));
}

#[tokio::test(start_paused = true)]
async fn a_deadlock_within_a_node_is_found_at_once_across_ranges() {
    let (cluster, client) = two_ranges(80, 1).await;
    let (first, second) = (client.0.txn(), client.0.txn());
    let block = LockWait::Block { timeout: None };
    client.lock(first, "a", LockMode::Update, block).await.unwrap();
    client.lock(second, "z", LockMode::Update, block).await.unwrap();
    let started = tokio::time::Instant::now();
    let waits = client.lock(first, "z", LockMode::Update, block);
    let closes = async {
        settle().await;
        let outcome = client.lock(second, "a", LockMode::Update, block).await;
        client.release(second, "z").await.unwrap();
        outcome
    };
    let (granted, victim) = tokio::join!(waits, closes);
    assert_eq!(victim.unwrap_err(), KvError::Deadlock { cycle: vec![second, first] });
    assert!(granted.unwrap().waited);
    assert!(started.elapsed() < Duration::from_millis(100));
    assert!(cluster.store(1).wait_edges().is_empty());
}

/// A copy of a lock request came when its transaction was over elsewhere: nobody gives that lock up.
#[tokio::test(start_paused = true)]
async fn a_lock_of_a_transaction_that_is_gone_keeps_nobody_waiting() {
    let (_cluster, client) = two_ranges(90, 1).await;
    let (gone, alive, waiter) = (client.0.txn(), client.0.txn(), client.0.txn());
    client.lock(gone, "a", LockMode::Update, LockWait::NoWait).await.unwrap();
    client.lock(alive, "z", LockMode::Update, LockWait::NoWait).await.unwrap();
    client.0.gone.lock().insert(gone);
    assert!(client.lock(waiter, "a", LockMode::Update, LockWait::Block { timeout: None }).await.unwrap().waited);
    let limit = Some(Duration::from_secs(5));
    let held = client.lock(waiter, "z", LockMode::Update, LockWait::Block { timeout: limit }).await;
    assert!(matches!(held, Err(KvError::LockNotAvailable { .. })), "{held:?}");
}

/// Nobody waits for it: whoever gives way, or passes by, has it looked at the second time, a second after the first.
#[tokio::test(start_paused = true)]
async fn who_does_not_wait_clears_what_is_left_over() {
    let (_cluster, client) = two_ranges(91, 1).await;
    let (gone, alive) = (client.0.txn(), client.0.txn());
    for key in ["x", "y", "z"] {
        client.lock(gone, key, LockMode::Update, LockWait::NoWait).await.unwrap();
    }
    client.lock(alive, "w", LockMode::Update, LockWait::NoWait).await.unwrap();
    client.0.gone.lock().insert(gone);
    let younger = client.0.txn();
    let write = |key: &'static str| client.prewrite(writes(younger, younger.start(), &[(key, Some("1"))]), "a", None);
    let nowait = |key: &'static str| client.lock(younger, key, LockMode::Update, LockWait::NoWait);
    let skips = async |key: &'static str| {
        let lock = LockSpec { mode: LockMode::Update, wait: LockWait::SkipLocked, absent_too: false };
        let span = Span::new(key.into(), Key::from(key).successor());
        let scan = ScanOp { span, reverse: false, rows_max: 0, program: None };
        let found = client.read(Some(younger), client.0.now(), vec![ReadOp::Scan(scan)], Some(lock)).await.unwrap();
        found.results[0].rows.is_empty()
    };
    assert!(matches!(write("x").await, Err(KvError::GaveWay { holder, .. }) if holder == gone));
    assert!(matches!(nowait("y").await, Err(KvError::LockNotAvailable { .. })));
    assert!(skips("z").await);
    assert!(matches!(nowait("w").await, Err(KvError::LockNotAvailable { .. })));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    write("x").await.unwrap();
    // The holder was just looked at, for the sake of another key.
    assert!(matches!(nowait("y").await, Err(KvError::LockNotAvailable { .. })));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    nowait("y").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(skips("z").await, "it is looked at in the background");
    settle().await;
    assert!(!skips("z").await);
    assert!(matches!(nowait("w").await, Err(KvError::LockNotAvailable { .. })), "who is there keeps what it has");
}

/// Transfers between accounts in two ranges by clients that die at every step, with crashes of nodes: money
/// neither appears nor vanishes, and in the end nobody is blocked.
#[tokio::test(start_paused = true)]
async fn money_is_kept_when_coordinators_die() {
    use rand::{Rng, SeedableRng};
    for seed in 100..106 {
        let (mut cluster, client) = two_ranges(seed, 3).await;
        client.put("a", "100").await.unwrap();
        client.put("z", "100").await.unwrap();
        let mut random = rand::rngs::SmallRng::seed_from_u64(seed);
        for step in 0..40 {
            transfer(&client, random.random_range(0..8)).await;
            if step % 10 == 9 {
                let victim = random.random_range(1..=3);
                cluster.restart(victim).await;
            }
            let sum = total(&client).await;
            assert_eq!(sum, 200, "seed {seed} step {step}");
        }
        cluster.check_replicas_agree("a").await;
        cluster.check_replicas_agree("z").await;
    }
}

/// Both accounts at one number.
async fn total(client: &Client) -> i64 {
    let at = client.0.now();
    let (a, z) = tokio::join!(client.get_at("a", at), client.get_at("z", at));
    [a, z].into_iter().map(|value| value.unwrap().unwrap().parse::<i64>().unwrap()).sum()
}

/// Moves one unit from `a` to `z` and dies at `death`.
async fn transfer(client: &Client, death: u32) {
    let txn = client.0.txn();
    let read = |key: &'static str| {
        let op = ReadOp::Get { key: key.into(), program: None };
        async move { client.read(Some(txn), txn.start(), vec![op], None).await.unwrap().results.remove(0).rows.remove(0) }
    };
    let (a, z) = (read("a").await, read("z").await);
    let number = |row: &KeyValue| cluster::text(&row.value).parse::<i64>().unwrap();
    let (less, more) = ((number(&a) - 1).to_string(), (number(&z) + 1).to_string());
    let at = client.0.now();
    let mut first = writes(txn, at, &[("a", Some(&less))]);
    let mut second = writes(txn, at, &[("z", Some(&more))]);
    first.snapshot = txn.start();
    second.snapshot = txn.start();
    // Steps in an order that the network chose: a staging that comes before or after the other prewrite.
    if death == 0 {
        return;
    }
    let staged_first = death.is_multiple_of(2);
    let both: &[&str] = &["a", "z"];
    let stage = staged_first.then_some(both);
    if client.prewrite(first.clone(), "a", stage).await.is_err() || death == 1 || death == 2 {
        return;
    }
    if client.prewrite(second, "a", None).await.is_err() || death == 3 || death == 4 {
        return;
    }
    let decided = client.record(txn, "a", RecordOp::Commit { at, attempt: 1 }).await.unwrap();
    if death <= 6 || decided != (TxnState::Committed { at }) {
        return;
    }
    client.resolve(txn, Some(at), &["a"]).await.unwrap();
    client.resolve(txn, Some(at), &["z"]).await.unwrap();
}
