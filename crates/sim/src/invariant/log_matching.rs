//! If two logs of a range have an entry of the same index and term, they are the same up to there. Looked up
//! on the disks, not asked of the nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use storage::{LogEntry, MemoryEngine, RaftLog};

use crate::World;
use crate::cluster::SimCluster;

#[derive(Default)]
pub struct LogMatching;

/// One replica's log as far as it is on disk.
struct Log {
    node: usize,
    entries: BTreeMap<u64, LogEntry>,
}

impl LogMatching {
    pub fn check(&self, world: &World, cluster: &SimCluster, ranges: &[u64]) {
        let engines: Vec<Arc<MemoryEngine>> =
            (0..cluster.len()).map(|node| Arc::new(MemoryEngine::open(&cluster.disk(node).fork()))).collect();
        for range in ranges {
            let mut logs = Vec::new();
            for (node, engine) in engines.iter().enumerate() {
                match read_log(engine.clone(), *range) {
                    Ok(entries) => logs.push(Log { node, entries }),
                    Err(error) => world.violation("log_matching", format!("node {}: {error}", node + 1)),
                }
            }
            for (number, log) in logs.iter().enumerate() {
                for other in &logs[number + 1..] {
                    if let Some(what) = difference(log, other) {
                        world.violation("log_matching", format!("range {range}: {what}"));
                    }
                }
            }
        }
    }
}

fn read_log(engine: Arc<MemoryEngine>, range: u64) -> storage::Result<BTreeMap<u64, LogEntry>> {
    let log = RaftLog::open(engine, range)?;
    let entries = log.entries(log.first_index()..log.last_index() + 1, u64::MAX)?;
    Ok(entries.into_iter().map(|entry| (entry.index, entry)).collect())
}

/// The last index at which both have the same term fixes everything below.
fn difference(log: &Log, other: &Log) -> Option<String> {
    let same_term = |index: &u64| other.entries.get(index).is_some_and(|entry| entry.term == log.entries[index].term);
    let agreed = log.entries.keys().rev().find(|index| same_term(index))?;
    log.entries.range(..=agreed).find_map(|(index, entry)| {
        let there = other.entries.get(index)?;
        (there != entry).then(|| {
            format!(
                "nodes {} and {} agree on index {agreed} and differ on {index} (terms {} and {})",
                log.node + 1,
                other.node + 1,
                entry.term,
                there.term
            )
        })
    })
}
