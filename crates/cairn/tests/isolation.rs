//! Runs sql-tests/isolation against a real process: every step of every session must say what is expected, at each level,
//! over one range and over several.
#![expect(clippy::disallowed_methods, reason = "a test is its own host")]

mod isolation_runner;
mod process;

use std::path::Path;

/// After a spec's setup: its tables cut between the first keys.
const SEVERAL_RANGES: [(&str, &str); 7] = [
    ("hermitage", "ALTER TABLE test SPLIT AT VALUES (2), (3), (4)"),
    ("foreign_keys", "ALTER TABLE parent SPLIT AT VALUES (2); ALTER TABLE child SPLIT AT VALUES (1)"),
    ("row_locks", "ALTER TABLE stock SPLIT AT VALUES (2), (3)"),
    ("unique_keys", "ALTER TABLE invoice SPLIT AT VALUES (2016, 2), (2016, 3)"),
    ("advisory_locks", ""),
    ("deadlocks", "ALTER TABLE a SPLIT AT VALUES (2)"),
    ("table_locks", "ALTER TABLE account SPLIT AT VALUES (2)"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_see_what_their_level_allows() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let node = process::Node::start(folder.path(), &[]);
    let tests = Path::new("../../sql-tests/isolation");
    let update = std::env::var("UPDATE_GOLDENFILES").is_ok_and(|set| set == "1");
    let mut runs = 0;
    let mut failures = Vec::new();
    for (name, cut) in SEVERAL_RANGES {
        for level in ["read committed", "repeatable read", "serializable"] {
            let path = tests.join(format!("expected/{name}.{}.out", level.replace(' ', "-")));
            let Ok(expected) = std::fs::read_to_string(&path) else { continue };
            for cut in ["", cut] {
                let spec = tests.join(format!("{name}.spec"));
                let run = isolation_runner::run_file(&node.url, &spec, level, cut)
                    .await
                    .unwrap_or_else(|why| panic!("{name}: {why}"));
                runs += 1;
                let output = run.output + &run.stopped.unwrap_or_default();
                if update && cut.is_empty() {
                    std::fs::write(&path, &output).expect("it can be written");
                } else if output != expected {
                    failures.push(format!("{name}, {level}, {cut:?}:\n{}", first_difference(&expected, &output)));
                }
            }
        }
    }
    assert!(runs >= 12, "{runs} runs");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The permutation in which two outputs part, from its begin to the line where they do.
fn first_difference(expected: &str, got: &str) -> String {
    let same = expected.lines().zip(got.lines()).take_while(|(a, b)| a == b).count();
    let before: Vec<&str> = expected.lines().take(same).collect();
    let start = before.iter().rposition(|line| line.starts_with("starting permutation")).unwrap_or(0);
    let next = |text: &str| text.lines().nth(same).unwrap_or("(the end)").to_owned();
    format!("{}\nexpected: {}\ngot:      {}\n", before[start..].join("\n"), next(expected), next(got))
}
