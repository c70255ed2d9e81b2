//! The `cairn` binary: one process is a node; the rest of the verbs talk to nodes.
//!
//! Exit codes: 0 well, 1 failed (one sentence on stderr), 2 wrong usage.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the binary is where the outside world is")]

mod connect;
mod demo;
mod operate;
mod shell;
mod sim;
mod start;
mod status;
mod table;
mod workload;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

// One allocator for Rust and for RocksDB's C++.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A distributed SQL database that PostgreSQL clients talk to.
///
/// Start a node with `cairn start --data DIR`, then connect with `cairn sql` or
/// `psql -h 127.0.0.1 -p 15432 -U root cairn`. Grow by starting more of the same with `--join HOST:PORT`.
/// `cairn demo` shows three nodes on this machine.
#[derive(Parser)]
#[command(name = "cairn", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Start(start::Arguments),
    Sql(shell::Arguments),
    Demo(demo::Arguments),
    Status(status::Arguments),
    Node(operate::NodeArguments),
    Range(operate::RangeArguments),
    Workload(workload::Arguments),
    Sim(sim::Arguments),
}

/// What a verb failed with: one sentence, and what to do next where there is something.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    pub fn new(sentence: impl Into<String>) -> Failure {
        Failure(sentence.into())
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        let mut sentence = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !sentence.contains(&cause_text) {
                sentence.push_str(": ");
                sentence.push_str(&cause_text);
            }
            source = cause.source();
        }
        Failure(sentence)
    }
}

fn main() -> ExitCode {
    let result = match Arguments::parse().verb {
        Verb::Start(arguments) => start::run(arguments),
        Verb::Sql(arguments) => shell::run(arguments),
        Verb::Demo(arguments) => demo::run(arguments),
        Verb::Status(arguments) => status::run(arguments),
        Verb::Node(arguments) => operate::run_node(arguments),
        Verb::Range(arguments) => operate::run_range(arguments),
        Verb::Workload(arguments) => workload::run(arguments),
        Verb::Sim(arguments) => sim::run(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(sentence)) => {
            eprintln!("cairn: {sentence}");
            ExitCode::from(1)
        }
    }
}
