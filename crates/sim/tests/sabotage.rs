//! Each guard of docs/sabotage.md is taken away in turn, and the simulator must notice within a few seeds.
//! Runs with `cargo test --release -p sim --features sabotage --test sabotage`; without the feature there is
//! nothing to take away.
#![cfg(feature = "sabotage")]

use std::fs;
use std::path::Path;

use sim::{SimOptions, simulate};

/// Name of the guard, and the seed that is written down in docs/sabotage.md.
fn listed() -> Vec<(String, u64)> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sabotage.md")).unwrap();
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split('|');
        let name = cells.next()?.trim().trim_end_matches('`').to_owned();
        Some((name, cells.next()?.trim().parse().ok()?))
    };
    text.lines().filter_map(row).collect()
}

#[test]
fn every_listed_breakage_is_found_by_its_seed() {
    let listed = listed();
    assert!(listed.len() >= 8, "the table of docs/sabotage.md is read: {listed:?}");
    let missed: Vec<_> = listed.into_iter().filter(|(name, seed)| !is_found(name, *seed)).collect();
    assert!(missed.is_empty(), "these breakages go unnoticed: {missed:?}");
}

fn is_found(name: &str, seed: u64) -> bool {
    let name: &'static str = name.to_owned().leak();
    let report = simulate(&SimOptions { sabotage: Some(name), ..SimOptions::new(seed) });
    eprintln!("{name}: {}", report.violations.first().map_or_else(|| "unnoticed".to_owned(), ToString::to_string));
    !report.is_clean()
}

/// To fill the table: `CAIRN_SABOTAGE=name CAIRN_SEEDS=1..50` prints the first seed that finds it.
#[test]
#[ignore = "a search, not a test"]
fn search() {
    let name: &'static str = std::env::var("CAIRN_SABOTAGE").expect("CAIRN_SABOTAGE names a guard").leak();
    let seeds = std::env::var("CAIRN_SEEDS").unwrap_or_else(|_| "1..50".to_owned());
    let (first, last) = seeds.split_once("..").expect("CAIRN_SEEDS is FIRST..END");
    for seed in first.parse().unwrap()..last.parse().unwrap() {
        if is_found(name, seed) {
            eprintln!("found: {name} by seed {seed}");
            return;
        }
    }
    eprintln!("not found: {name}");
}
