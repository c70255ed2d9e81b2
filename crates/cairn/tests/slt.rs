//! Runs sql-tests/slt against a real process: every record must hold.
#![expect(clippy::disallowed_methods, reason = "a test is its own host")]

mod process;
mod slt_runner;

use std::path::Path;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_answers_as_postgresql_does() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let node = process::Node::start(folder.path(), &[]);
    let tests = Path::new("../../sql-tests/slt");
    let mut files: Vec<_> =
        std::fs::read_dir(tests).expect("there are tests").map(|entry| entry.expect("it can be read").path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let mut failures = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "slt")) {
        let count =
            slt_runner::run_file(&node.url, file, 20).await.unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        println!("{}: {} records", file.display(), count.passed);
        failures.extend(count.failures.into_iter().map(|failure| format!("{}:\n{failure}", file.display())));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
