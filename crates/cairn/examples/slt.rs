//! Runs sqllogictest files against a server and counts records: `slt URL FILE…` (see scripts/suites).
//!
//! Each file runs in a database of its own. All records are run, also after a failure; the first failures of each file are
//! printed. Exit code 1 if any record failed.
#![expect(clippy::disallowed_methods, reason = "a test program is its own host")]

#[path = "../tests/slt_runner/mod.rs"]
mod slt_runner;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(url) = arguments.next() else {
        eprintln!("usage: slt postgresql://USER@HOST:PORT/DATABASE FILE…");
        return ExitCode::from(2);
    };
    let shown: usize = std::env::var("SHOW").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let (mut passed, mut failed) = (0, 0);
    for file in arguments {
        let started = std::time::Instant::now();
        match slt_runner::run_file(&url, file.as_ref(), shown).await {
            Ok(count) => {
                println!(
                    "{file}: {} of {} records, {:.1} s",
                    count.passed,
                    count.passed + count.failed,
                    started.elapsed().as_secs_f64()
                );
                for failure in &count.failures {
                    println!("    {failure}");
                }
                passed += count.passed;
                failed += count.failed;
            }
            Err(why) => {
                println!("{file}: {why}");
                failed += 1;
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    ExitCode::from(u8::from(failed > 0))
}
