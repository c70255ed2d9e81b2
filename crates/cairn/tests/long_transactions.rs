//! Transactions that are long or large: their snapshot stays, and their memory is what docs/isolation.md says.
#![expect(clippy::disallowed_methods, reason = "a test is its own host")]

mod process;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use process::Node;
use wire::Wire;

#[track_caller]
fn ask(wire: &mut Wire, text: &str) -> Option<String> {
    let said = wire.query(text);
    assert!(said.errors.is_empty() && !said.closed, "{text}: {said:?}");
    said.first
}

/// Time to live of old versions here; a transaction that is open for fifty times that is as one of eight hours with the default.
const GC_TTL_MS: &str = "200";
const OPEN_FOR: Duration = Duration::from_secs(10);

#[test]
fn what_an_open_transaction_reads_is_not_collected() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let node = Node::start(&folder.path().join("node"), &["--gc-ttl-ms", GC_TTL_MS]);
    let mut writer = Wire::session(&node.sql);
    ask(&mut writer, "create table t (a int primary key, v int)");
    ask(&mut writer, "insert into t select g, 0 from generate_series(1, 100) g");
    let state = "select count(*) || ' ' || sum(a) || ' ' || sum(v) from t";
    let levels = ["repeatable read", "serializable read only"];
    let mut readers: Vec<Wire> = levels.map(|_| Wire::session(&node.sql)).into();
    for (reader, level) in readers.iter_mut().zip(levels) {
        ask(reader, &format!("begin isolation level {level}"));
        assert_eq!(ask(reader, state).as_deref(), Some("100 5050 0"));
    }
    let opened =
        ask(&mut writer, "select (extract(epoch from clock_timestamp()) * 1000)::int8 * 262144").expect("a number");
    let begun = Instant::now();
    let mut rounds = 0;
    while begun.elapsed() < OPEN_FOR {
        rounds += 1;
        ask(&mut writer, "update t set v = v + 1");
        ask(&mut writer, "delete from t where a % 10 = 0");
        ask(&mut writer, "insert into t select g * 10, 7 from generate_series(1, 10) g");
        std::thread::sleep(Duration::from_millis(50));
        for reader in &mut readers {
            assert_eq!(ask(reader, state).as_deref(), Some("100 5050 0"), "in round {rounds}");
        }
    }
    // A second look at single rows, by another way to them.
    for reader in &mut readers {
        assert_eq!(ask(reader, "select v from t where a = 50").as_deref(), Some("0"));
        ask(reader, "commit");
    }
    // Nobody holds it any more: what they read is garbage soon.
    let begun = Instant::now();
    loop {
        let said = writer.query(&format!("select count(*) from t as of system time {opened}"));
        if said.state() == "72000" {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "old versions are kept for ever: {said:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(ask(&mut writer, "select count(*) from t").as_deref(), Some("100"));
}

/// Highest resident memory of the process while `work` runs, and when it began, in MiB.
fn peak<T>(node: &Node, work: impl FnOnce() -> T) -> (T, u64, u64) {
    let statm = format!("/proc/{}/statm", node.child.id());
    let resident = move || {
        let text = std::fs::read_to_string(&statm).unwrap_or_default();
        let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
        pages.unwrap_or(0) * 4096 >> 20
    };
    let before = resident();
    let (over, highest) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(before)));
    let watch = std::thread::spawn({
        let (over, highest) = (over.clone(), highest.clone());
        move || {
            while !over.load(Ordering::Relaxed) {
                highest.fetch_max(resident(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    });
    let result = work();
    over.store(true, Ordering::Relaxed);
    watch.join().expect("the watch ends");
    (result, before, highest.load(Ordering::Relaxed))
}

/// MiB that a node may take beyond what it has, for one transaction of a million rows (docs/isolation.md).
const BUDGET_MIB: u64 = 1_280;

#[test]
#[ignore = "takes long in a debug build: scripts/hostile"]
fn a_million_rows_in_one_transaction() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let node = Node::start(&folder.path().join("node"), &[]);
    let mut wire = Wire::session(&node.sql);
    ask(&mut wire, "create table t (a int primary key, v int, filler text)");
    let mut statement = |text: &str| {
        let begun = Instant::now();
        let ((), before, highest) = peak(&node, || {
            ask(&mut wire, "begin");
            ask(&mut wire, text);
            ask(&mut wire, "commit");
        });
        println!("{text}: {:.1?}, {before} MiB before, {highest} MiB at most", begun.elapsed());
        assert!(highest < before + BUDGET_MIB, "{text} took {} MiB", highest - before);
    };
    statement("insert into t select g, 0, repeat('x', 84) from generate_series(1, 1000000) g");
    statement("update t set v = v + 1");
    statement("select * from t for update");
    statement("delete from t");
    let counted = ask(&mut Wire::session(&node.sql), "select count(*) from t");
    assert_eq!(counted.as_deref(), Some("0"));
}
