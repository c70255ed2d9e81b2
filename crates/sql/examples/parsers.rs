//! Our parser beside `sqlparser`: which statements of a corpus each accepts, and how long both take for those that both do.
//! `cargo run --release -p sql --example parsers -- FILE…`; a file is .jsonl with a field `sql` per line, or SQL text that is cut
//! at semicolons at the end of a line. PostgreSQL accepts every statement of ../shared/clients/corpus.jsonl whose `errs` is empty.
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::time::{Duration, Instant};

use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

fn main() {
    let files: Vec<String> = std::env::args().skip(1).collect();
    assert!(!files.is_empty(), "usage: parsers FILE…");
    let statements: Vec<String> = files.iter().flat_map(|file| statements_of(file)).collect();
    let ours = |text: &str| sql::parse::parse(text).is_ok();
    let theirs = |text: &str| Parser::parse_sql(&PostgreSqlDialect {}, text).is_ok();
    let (mut only_ours, mut only_theirs, mut both, mut neither) = (0, Vec::new(), Vec::new(), 0);
    for text in &statements {
        match (ours(text), theirs(text)) {
            (true, true) => both.push(text.as_str()),
            (true, false) => only_ours += 1,
            (false, true) => only_theirs.push(text.as_str()),
            (false, false) => neither += 1,
        }
    }
    println!(
        "{} statements: {} both, {only_ours} only ours, {} only sqlparser, {neither} neither",
        statements.len(),
        both.len(),
        only_theirs.len()
    );
    let bytes: usize = both.iter().map(|text| text.len()).sum();
    for (name, parse) in [("ours", &ours as &dyn Fn(&str) -> bool), ("sqlparser", &theirs)] {
        let took = fastest(|| both.iter().all(|text| parse(text)));
        println!(
            "{name}: {:.2} µs per statement of {} bytes",
            took.as_secs_f64() * 1e6 / both.len() as f64,
            bytes / both.len().max(1)
        );
    }
    for text in only_theirs.iter().take(10) {
        println!("only sqlparser: {}", text.replace('\n', " ").chars().take(120).collect::<String>());
    }
}

fn fastest(mut run: impl FnMut() -> bool) -> Duration {
    let times = (0..5).map(|_| {
        let begun = Instant::now();
        assert!(run(), "these parse");
        begun.elapsed()
    });
    times.min().unwrap_or_default()
}

fn statements_of(file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    if file.ends_with(".jsonl") {
        let accepted =
            text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("one JSON object per line"));
        let accepted = accepted.filter(|value| value["errs"].as_array().is_none_or(Vec::is_empty));
        return accepted.filter_map(|value| value["sql"].as_str().map(str::to_owned)).collect();
    }
    text.split(";\n").map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()
}
