//! Every workload whose history is judged, against one node: it runs, much is acknowledged, nothing is wrong; and a history that was
//! tampered with is not taken for right.

mod process;

use std::path::Path;
use std::process::Output;

const NAMES: [&str; 10] =
    ["append", "ddl-append", "register", "set", "longfork", "causal", "g2", "monotonic", "sequential", "upsert"];

fn cairn(arguments: &[&str]) -> Output {
    process::command().args(arguments).output().expect("the binary runs")
}

#[track_caller]
fn run(name: &str, url: &str, folder: &Path) -> String {
    let history = folder.join(format!("{name}.history"));
    let history = history.to_str().expect("a plain path");
    let made = cairn(&["workload", "init", name, url]);
    assert!(made.status.success(), "init {name}: {made:?}");
    assert!(String::from_utf8_lossy(&made.stdout).contains("split into ranges"), "{made:?}");
    let done = cairn(&["workload", "run", name, url, "--seconds", "1", "--clients", "4", "--history", history]);
    assert!(done.status.success(), "run {name}: {done:?}");
    let text = std::fs::read_to_string(history).expect("the history is there");
    let acknowledged = text.lines().filter(|line| line.contains(" ok ")).count();
    assert!(acknowledged > 50, "{name}: {acknowledged} acknowledged; {done:?}");
    history.to_owned()
}

#[test]
fn histories_of_a_healthy_node_are_right() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let node = process::Node::start(&folder.path().join("node"), &[]);
    for name in NAMES {
        run(name, &node.url, folder.path());
    }
}

#[test]
fn a_violation_is_told_and_is_exit_code_1() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let node = process::Node::start(&folder.path().join("node"), &[]);
    let history = run("sequential", &node.url, folder.path());
    let again = cairn(&["workload", "judge", &history]);
    assert!(again.status.success(), "{again:?}");
    let text = std::fs::read_to_string(&history).expect("the history is there");
    assert!(text.contains("[2 1 0]"), "somebody read a whole key");
    std::fs::write(&history, text.replacen("[2 1 0]", "[2 1]", 1)).expect("it can be written");
    let wrong = cairn(&["workload", "judge", &history]);
    assert_eq!(wrong.status.code(), Some(1));
    let stdout = String::from_utf8_lossy(&wrong.stdout);
    assert!(stdout.contains("part 2 was there, and later part 0 was not"), "{stdout}");
    let without_init = cairn(&["workload", "run", "sequential", &node.url]);
    assert!(String::from_utf8_lossy(&without_init.stderr).contains("workload init sequential"), "{without_init:?}");
}
