//! Each guard of docs/sabotage.md is taken away in turn, and the simulator must notice: by the seed that is written
//! down there, or, as the story of a seed changes with the code, by one of those after it.
//! Runs with `cargo test --release -p sim --features sabotage --test sabotage`; without the feature there is
//! nothing to take away. `CAIRN_GUARDS=skip_sync,forget_votes` takes only these away.
#![cfg(feature = "sabotage")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sim::workload::Kind;
use sim::{SimOptions, simulate};

/// Seeds that are tried for one guard.
const TRIES: u64 = 40;

/// A row of docs/sabotage.md.
#[derive(Debug)]
struct Row {
    guard: &'static str,
    /// Nothing if no seed has been found yet.
    seed: Option<u64>,
    /// What has to run, where the draw of the seed does not do.
    workloads: Option<Vec<Kind>>,
}

fn listed() -> Vec<Row> {
    let text = fs::read_to_string("../../docs/sabotage.md").unwrap();
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        let guard: &'static str = cells.next()?.trim_end_matches('`').to_owned().leak();
        let seed = cells.next()?;
        let workload = cells.next()?;
        let workloads = (!workload.is_empty()).then(|| workload.split(',').map(|name| name.parse().unwrap()).collect());
        let seed = (!seed.is_empty()).then(|| seed.parse().unwrap());
        Some(Row { guard, seed, workloads })
    };
    text.lines().filter_map(row).collect()
}

#[test]
fn every_listed_breakage_is_found() {
    let only = std::env::var("CAIRN_GUARDS").unwrap_or_default();
    let chosen = |row: &Row| row.seed.is_some() && (only.is_empty() || only.split(',').any(|guard| guard == row.guard));
    let missed: Vec<Row> = listed().into_iter().filter(chosen).filter(|row| !is_found(row)).collect();
    assert!(missed.is_empty(), "these breakages go unnoticed: {missed:?}");
}

fn is_found(row: &Row) -> bool {
    let first = row.seed.expect("only rows with a seed are tried");
    (first..first + TRIES).any(|seed| {
        let (sabotage, workloads) = (Some(row.guard), row.workloads.clone());
        let report = simulate(&SimOptions { sabotage, workloads, ..SimOptions::new(seed) });
        let Some(violation) = report.violations.first() else { return false };
        let (guard, what) = (row.guard, violation.to_string());
        eprintln!("{guard}, seed {seed}: {}", what.lines().next().unwrap_or_default());
        true
    })
}

/// Every guard that can be taken away is in the list, and the other way round.
#[test]
fn the_list_is_that_of_the_code() {
    let mut in_the_code = BTreeSet::new();
    for crate_folder in fs::read_dir("..").unwrap() {
        let folder = crate_folder.unwrap().path();
        if !["env", "sim", "cairn"].iter().any(|name| folder.ends_with(name)) {
            collect(&folder.join("src"), &mut in_the_code);
        }
    }
    let listed: BTreeSet<String> = listed().into_iter().map(|row| row.guard.to_owned()).collect();
    assert_eq!(listed, in_the_code);
    assert!(listed.len() >= 30);
}

fn collect(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let names = text.split("env::sabotage(\"").skip(1).filter_map(|rest| rest.split_once('"'));
            found.extend(names.map(|(name, _)| name.to_owned()));
        }
    }
}

/// What is found in a build with every guard in its place is not found because one is missing.
#[test]
fn nothing_is_found_while_every_guard_is_there() {
    for seed in 1..4 {
        assert_eq!(simulate(&SimOptions::new(seed)).violations, []);
    }
}
