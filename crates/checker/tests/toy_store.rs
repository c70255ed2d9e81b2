//! The checker of list-append against a store that can be broken: each breakage is seen within 10,000 transactions, and
//! without one nothing is. `CAIRN_CHECKER_TXNS=1000000` makes the clean run longer.

mod toy;

use checker::{Level, Verdict};
use toy::{Switch, Toy};

const TXNS: usize = 10_000;

fn run(switch: Switch, seed: u64, txns: usize) -> Verdict {
    Toy::new(switch, seed, 8).run(txns).check()
}

#[test]
fn nothing_is_wrong_while_nothing_is_broken() {
    let txns = std::env::var("CAIRN_CHECKER_TXNS").map_or(100_000, |txns| txns.parse().expect("a number"));
    let verdict = run(Switch::Off, 1, txns);
    assert!(verdict.is_valid(), "{verdict}");
    let counts = verdict.counts;
    assert!(counts.ok > txns as u64 / 4 && counts.fail > 1_000 && counts.info > 500, "much happens: {counts:?}");
}

/// For some seeds; what is found first is the same class each time.
#[track_caller]
fn assert_seen(switch: Switch, expected: &[&str], holds: Option<Level>) {
    for seed in 1..4 {
        let verdict = run(switch, seed, TXNS);
        for name in expected {
            assert!(verdict.found.contains_key(name), "{switch:?}, seed {seed}: no {name} in {verdict}");
        }
        assert!(!verdict.is_valid(), "{switch:?}, seed {seed}");
        if let Some(holds) = holds {
            assert!(verdict.holds(holds), "{switch:?}, seed {seed} breaks {holds}: {verdict}");
        }
    }
}

#[test]
fn stale_reads_break_real_time_only() {
    assert_seen(Switch::StaleRead, &["G-single-realtime"], Some(Level::Serializable));
}

#[test]
fn a_lost_append_is_missed() {
    assert_seen(Switch::LostAppend, &["lost-append"], None);
}

#[test]
fn dirty_reads_are_aborted_or_intermediate() {
    assert_seen(Switch::DirtyRead, &["G1a", "G1b", "incompatible-order"], None);
}

#[test]
fn without_protected_reads_there_is_write_skew() {
    assert_seen(Switch::UnprotectedReads, &["G2-item"], Some(Level::SnapshotIsolation));
}

#[test]
fn clocks_that_go_apart_break_real_time() {
    assert_seen(Switch::SkewedClocks, &[], None);
}

#[test]
fn what_happens_twice_is_there_twice() {
    assert_seen(Switch::DoubleApply, &["duplicate-elements"], None);
}
