//! One history by hand for each name, and what must not be taken for wrong.

use crate::{History, Level, Verdict, judge_text};

/// Events as `PROCESS KIND TRANSACTION`.
fn judge(events: &[&str]) -> Verdict {
    let lines = events.iter().enumerate().map(|(index, event)| {
        let (process, rest) = event.split_once(' ').unwrap();
        format!("{index} {process} 0 {rest}\n")
    });
    let text = format!("# cairn history 1: append\n{}", lines.collect::<String>());
    let again: History<super::Txn> = History::parse(&text).unwrap();
    let mut written = Vec::new();
    again.write_to(&mut written).unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), text, "text and back");
    judge_text(&text).unwrap()
}

/// All at the same time: no real-time order between them, and none of processes.
fn at_once(txns: &[&str]) -> Verdict {
    let begins = txns.iter().enumerate().map(|(process, txn)| format!("{process} invoke {}", ask(txn)));
    let ends = txns.iter().enumerate().map(|(process, txn)| format!("{process} ok {txn}"));
    let events: Vec<String> = begins.chain(ends).collect();
    judge(&events.iter().map(String::as_str).collect::<Vec<_>>())
}

/// One after the other, each by a process of its own, or all by one.
fn in_order(txns: &[&str], one_process: bool) -> Verdict {
    let events: Vec<String> = txns
        .iter()
        .enumerate()
        .flat_map(|(number, txn)| {
            let process = if one_process { 0 } else { number };
            [format!("{process} invoke {}", ask(txn)), format!("{process} ok {txn}")]
        })
        .collect();
    judge(&events.iter().map(String::as_str).collect::<Vec<_>>())
}

/// What is read is not known at the begin.
fn ask(txn: &str) -> String {
    let steps = txn.split("; ").map(|step| step.split(" [").next().unwrap());
    steps.collect::<Vec<_>>().join("; ")
}

#[track_caller]
fn assert_found(verdict: &Verdict, names: &[&str], holds: Option<Level>) {
    assert_eq!(verdict.found.keys().copied().collect::<Vec<_>>(), names, "{verdict}");
    let levels = [
        Level::ReadUncommitted,
        Level::ReadCommitted,
        Level::SnapshotIsolation,
        Level::Serializable,
        Level::StrongSession,
        Level::StrictSerializable,
    ];
    let strongest = levels.into_iter().rev().find(|level| verdict.holds(*level));
    assert_eq!(strongest, holds, "{verdict}");
}

#[test]
fn what_is_right_is_valid() {
    assert!(at_once(&["append 1 1; read 2 []", "append 2 1; read 1 [1]", "read 1 [1]; read 2 [1]"]).is_valid());
    assert!(in_order(&["append 1 1", "append 1 2; read 1 [1 2]", "read 1 [1 2]"], false).is_valid());
    // Nobody knows whether the first happened; it did, late.
    let late = [
        "0 invoke append 1 1",
        "0 info append 1 1",
        "1 invoke read 1",
        "1 ok read 1 []",
        "1 invoke read 1",
        "1 ok read 1 [1]",
    ];
    assert!(judge(&late).is_valid());
    let failed = ["0 invoke append 1 1", "0 fail append 1 1", "1 invoke read 1", "1 ok read 1 []"];
    assert!(judge(&failed).is_valid());
    assert!(judge(&[]).is_valid());
}

#[test]
fn g0_writes_in_both_orders() {
    let verdict = at_once(&["append 1 1; append 2 1", "append 1 2; append 2 2", "read 1 [1 2]", "read 2 [2 1]"]);
    assert_found(&verdict, &["G0"], None);
}

#[test]
fn g1c_each_reads_the_other() {
    let verdict = at_once(&["append 1 1; read 2 [1]", "append 2 1; read 1 [1]"]);
    assert_found(&verdict, &["G1c"], Some(Level::ReadUncommitted));
    let text = verdict.to_string();
    assert!(text.contains("T0 before T1 (wr): key 1: the other read its 1"), "{text}");
    assert!(text.contains("T1 before T0 (wr): key 2: the other read its 1"), "{text}");
}

#[test]
fn g_single_half_of_a_transaction_is_seen() {
    let verdict = at_once(&["append 1 1; append 2 1", "read 1 [1]; read 2 []", "read 2 [1]"]);
    assert_found(&verdict, &["G-single"], Some(Level::ReadCommitted));
    let text = verdict.to_string();
    assert!(text.contains("(rw): key 2: it read the list empty, without the other's 1"), "{text}");
}

#[test]
fn g_nonadjacent_a_long_fork() {
    let verdict = at_once(&[
        "append 1 1",
        "append 2 1",
        "read 1 [1]; read 2 []",
        "read 1 []; read 2 [1]",
        "read 1 [1]; read 2 [1]",
    ]);
    assert_found(&verdict, &["G-nonadjacent"], Some(Level::ReadCommitted));
}

#[test]
fn g2_item_write_skew() {
    let verdict = at_once(&["read 1 []; append 2 1", "read 2 []; append 1 1", "read 1 [1]; read 2 [1]"]);
    assert_found(&verdict, &["G2-item"], Some(Level::SnapshotIsolation));
    // Nobody needs to see the appends for it.
    let verdict = at_once(&["read 1 []; append 2 1", "read 2 []; append 1 1"]);
    assert_found(&verdict, &["G2-item"], Some(Level::SnapshotIsolation));
}

#[test]
fn process_and_real_time_make_cycles() {
    let stale = ["append 1 1", "read 1 []", "read 1 [1]"];
    assert_found(&in_order(&stale, true), &["G-single-process"], Some(Level::Serializable));
    let verdict = in_order(&stale, false);
    assert_found(&verdict, &["G-single-realtime"], Some(Level::StrongSession));
    let text = verdict.to_string();
    assert!(text.contains("(realtime): it was acknowledged (event 1) before the other began (event 2)"), "{text}");
    let reversed = ["append 1 1", "append 1 2", "read 1 [2 1]"];
    assert_found(&in_order(&reversed, false), &["G0-realtime"], Some(Level::StrongSession));
    let from_the_future = ["0 invoke read 1", "0 ok read 1 [1]", "1 invoke append 1 1", "1 ok append 1 1"];
    assert_found(&judge(&from_the_future), &["G1c-realtime"], Some(Level::StrongSession));
}

#[test]
fn real_time_reaches_over_others() {
    // Between the append and the stale read much happens, part of it at the same time.
    let txns = ["append 1 1", "append 2 1", "read 2 [1]", "append 3 1", "read 1 []", "read 1 [1]"];
    assert_found(&in_order(&txns, false), &["G-single-realtime"], Some(Level::StrongSession));
}

#[test]
fn anti_dependencies_make_cycles_with_both() {
    // Each of two looks for what the other has just done.
    let apart = [
        "0 invoke append 1 1",
        "1 invoke append 2 1",
        "0 ok append 1 1",
        "1 ok append 2 1",
        "0 invoke read 2",
        "1 invoke read 1",
        "0 ok read 2 []",
        "1 ok read 1 []",
    ];
    assert_found(&judge(&apart), &["G-nonadjacent-process", "lost-append"], Some(Level::Serializable));
    let overlapping =
        [&apart[..3], &["0 invoke read 2", "0 ok read 2 []", "1 ok append 2 1", "1 invoke read 1", "1 ok read 1 [1]"]];
    assert!(judge(&overlapping.concat()).is_valid());

    let chain = |process: &str| {
        judge(&[
            "1 invoke read 3; append 2 1",
            "2 invoke read 1; append 3 1",
            "0 invoke append 1 1",
            "0 ok append 1 1",
            &format!("{process} invoke read 2"),
            &format!("{process} ok read 2 []"),
            "1 ok read 3 []; append 2 1",
            "2 ok read 1 []; append 3 1",
        ])
    };
    assert_found(&chain("0"), &["G2-item-process"], Some(Level::Serializable));
    assert_found(&chain("3"), &["G2-item-realtime"], Some(Level::StrongSession));
}

#[test]
fn what_is_wrong_without_a_cycle() {
    let read = |name: &str, txns: &[&str]| assert!(at_once(txns).found.contains_key(name), "{name}: {}", at_once(txns));
    read("internal", &["append 1 1; read 1 []"]);
    read("internal", &["read 1 []; read 1 [1]", "append 1 1"]);
    read("future-read", &["read 1 [1]; append 1 1"]);
    read("G1b", &["append 1 1; append 1 2", "read 1 [1]", "read 1 [1 2]"]);
    read("duplicate-elements", &["append 1 1", "read 1 [1 1]"]);
    read("incompatible-order", &["append 1 1", "append 1 2", "read 1 [1 2]", "read 1 [2]"]);
    read("lost-update", &["read 1 []; append 1 1", "read 1 []; append 1 2", "read 1 [1 2]"]);
    read("garbage-read", &["read 1 [7]"]);
    let failed = ["0 invoke append 1 1", "0 fail append 1 1", "1 invoke append 1 2", "1 ok append 1 2"];
    let seen = |list: &str| judge(&[&failed[..], &["1 invoke read 1", &format!("1 ok read 1 {list}")]].concat());
    assert!(seen("[2]").is_valid());
    assert_found(&seen("[2 1]"), &["G1a"], Some(Level::ReadUncommitted));
    assert_found(&seen("[1 2]"), &["G1a", "dirty-update"], Some(Level::ReadUncommitted));
}

#[test]
fn a_lost_append_contradicts_real_time() {
    let verdict = in_order(&["append 1 1", "append 1 2", "read 1 [2]"], false);
    assert_found(&verdict, &["G0-realtime", "lost-append"], Some(Level::StrongSession));
    let verdict = in_order(&["append 1 1", "append 2 1; read 1 []"], false);
    assert_found(&verdict, &["G-single-realtime", "lost-append"], Some(Level::StrongSession));
}

#[test]
fn read_committed_allows_what_it_allows() {
    // A read, then another's append, then one's own on top.
    let verdict = at_once(&["read 1 []; append 1 2; read 1 [1 2]", "append 1 1"]);
    assert!(verdict.holds(Level::ReadCommitted) && !verdict.holds(Level::SnapshotIsolation), "{verdict}");
}

#[test]
fn without_unique_values_nothing_is_known() {
    let verdict = at_once(&["append 1 1", "append 1 1"]);
    assert!(verdict.unknown.is_some() && !verdict.is_valid(), "{verdict}");
}
