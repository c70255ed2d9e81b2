//! House rules as tests; each failure says what to do. The rules themselves are told in docs/architecture.md.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

fn top() -> PathBuf {
    Path::new("../..").canonicalize().expect("the workspace is above this crate")
}

/// The crates in the order of the house, as the workspace lists them.
fn members() -> Vec<String> {
    let manifest = std::fs::read_to_string(top().join("Cargo.toml")).expect("the workspace has a manifest");
    manifest
        .lines()
        .filter_map(|line| line.trim().strip_prefix("\"crates/")?.split('"').next().map(str::to_owned))
        .collect()
}

/// What each crate's `[dependencies]` names.
fn dependencies(name: &str) -> Vec<String> {
    let manifest = std::fs::read_to_string(top().join("crates").join(name).join("Cargo.toml"))
        .expect("each member has a manifest");
    let mut section = "";
    let mut out = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section == "[dependencies]"
            && let Some((dependency, _)) = line.split_once('=')
        {
            out.push(dependency.trim().trim_end_matches(".workspace").to_owned());
        }
    }
    out
}

#[test]
fn the_crate_graph_is_the_golden_one() {
    let members = members();
    let mut graph = String::new();
    for name in &members {
        let mut arrows: Vec<String> =
            dependencies(name).into_iter().filter(|dependency| members.contains(dependency)).collect();
        arrows.sort_by_key(|arrow| members.iter().position(|member| member == arrow));
        writeln!(graph, "{name} -> {}", if arrows.is_empty() { "nothing".to_owned() } else { arrows.join(", ") })
            .expect("writing to a string works");
    }
    let golden = std::fs::read_to_string(top().join("docs/crate-graph.txt")).unwrap_or_default();
    assert!(
        graph == golden,
        "The arrows between crates changed. If that is meant, write why into docs/decisions/ and put this into docs/crate-graph.txt:\n\n{graph}"
    );
}

#[test]
fn arrows_point_upwards() {
    let members = members();
    for (position, name) in members.iter().enumerate() {
        for dependency in dependencies(name) {
            if let Some(other) = members.iter().position(|member| *member == dependency) {
                assert!(
                    other < position,
                    "{name} uses {dependency}, which is below it in the list of members: turn the arrow round"
                );
            }
        }
    }
}

#[test]
fn engines_stay_in_their_crates() {
    let only: BTreeMap<&str, &str> =
        [("rocksdb", "storage"), ("raft", "ranges"), ("tonic", "rpc"), ("sqlparser", "sql"), ("pgwire", "pgfront")]
            .into();
    for name in members() {
        for dependency in dependencies(&name) {
            if let Some(owner) = only.get(dependency.as_str()) {
                assert_eq!(*owner, name, "only `{owner}` may name {dependency}; go through its interface");
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    let mut silent = Vec::new();
    for name in members() {
        walk(&top().join("crates").join(name).join("src"), &mut |path, text| {
            if !text.trim_start().starts_with("//!") {
                silent.push(path.display().to_string());
            }
        });
    }
    assert!(silent.is_empty(), "begin each of these with a //! paragraph that says what it is:\n{}", silent.join("\n"));
}

/// A ratchet: long files are listed here with a limit, and the limits only go down.
const LONG_FILES: &[(&str, usize)] = &[];
const LINES_MAX: usize = 1000;

#[test]
fn files_stay_short() {
    let top = top();
    let mut long = Vec::new();
    for name in members() {
        walk(&top.join("crates").join(name).join("src"), &mut |path, text| {
            let lines = text.lines().count();
            let relative = path.strip_prefix(&top).unwrap_or(path).display().to_string();
            let limit =
                LONG_FILES.iter().find(|(listed, _)| *listed == relative).map_or(LINES_MAX, |(_, limit)| *limit);
            if lines > limit {
                long.push(format!("{relative}: {lines} lines, limit {limit}"));
            }
        });
    }
    assert!(long.is_empty(), "split these by topic, one idea per file:\n{}", long.join("\n"));
}

fn walk(folder: &Path, see: &mut dyn FnMut(&Path, &str)) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, see);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            see(&path, &std::fs::read_to_string(&path).expect("sources are text"));
        }
    }
}
