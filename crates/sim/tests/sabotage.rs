//! Each guard of docs/sabotage.md is taken away in turn, and the simulator must notice: by the seed that is written
//! down there, or, as the story of a seed changes with the code, by one of those after it.
//! Runs with `cargo test --release -p sim --features sabotage --test sabotage`; without the feature there is
//! nothing to take away.
#![cfg(feature = "sabotage")]

use std::fs;
use std::path::Path;

use sim::{SimOptions, simulate};

/// Seeds that are tried for one guard.
const TRIES: u64 = 30;

/// Name of the guard, and the seed that is written down in docs/sabotage.md.
fn listed() -> Vec<(String, u64)> {
    let text = fs::read_to_string("../../docs/sabotage.md").unwrap();
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split('|');
        let name = cells.next()?.trim().trim_end_matches('`').to_owned();
        Some((name, cells.next()?.trim().parse().ok()?))
    };
    text.lines().filter_map(row).collect()
}

#[test]
fn every_listed_breakage_is_found() {
    let listed = listed();
    assert!(listed.len() >= 8, "the table of docs/sabotage.md is read: {listed:?}");
    let missed: Vec<_> = listed.into_iter().filter(|(name, seed)| !is_found(name, *seed)).collect();
    assert!(missed.is_empty(), "these breakages go unnoticed: {missed:?}");
}

fn is_found(name: &str, first: u64) -> bool {
    let name: &'static str = name.to_owned().leak();
    (first..first + TRIES).any(|seed| {
        let report = simulate(&SimOptions { sabotage: Some(name), ..SimOptions::new(seed) });
        let Some(violation) = report.violations.first() else { return false };
        eprintln!("{name}, seed {seed}: {violation}");
        true
    })
}

/// What is found in a build with every guard in its place is not found because one is missing.
#[test]
fn nothing_is_found_while_every_guard_is_there() {
    for seed in 1..4 {
        assert_eq!(simulate(&SimOptions::new(seed)).violations, []);
    }
}
