//! Replicas of a range that have applied the same entries have the same state. Looked up on the disks.

use std::collections::BTreeMap;

use keyspace::{RangeId, Timestamp};
use rpc::range::RangeDescriptor;
use storage::{Engine, MemoryEngine};

use crate::cluster::SimCluster;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// Every range has the same state everywhere.
    Reached,
    /// Some replica has not applied everything yet.
    Behind(RangeId),
    /// Same applied index, other state.
    Differ(String),
}

/// What one node says of its replica of a range.
struct Copy {
    node: usize,
    applied: u64,
    descriptor: RangeDescriptor,
}

pub fn compare_replicas(cluster: &SimCluster) -> storage::Result<Agreement> {
    let mut copies: BTreeMap<RangeId, Vec<Copy>> = BTreeMap::new();
    for (node, running) in cluster.nodes() {
        for status in running.store().statuses() {
            let copy = Copy { node, applied: status.applied, descriptor: status.descriptor };
            copies.entry(copy.descriptor.id).or_default().push(copy);
        }
    }
    if let Some((range, _)) =
        copies.iter().find(|(_, copies)| copies.iter().any(|copy| copy.applied != copies[0].applied))
    {
        return Ok(Agreement::Behind(*range));
    }
    let engines: Vec<MemoryEngine> =
        (0..cluster.len()).map(|node| MemoryEngine::open(&cluster.disk(node).fork())).collect();
    for (range, copies) in copies {
        let first = &copies[0];
        let mut sums = BTreeMap::new();
        for copy in &copies {
            let snapshot = engines[copy.node].snapshot();
            sums.insert(copy.node, mvcc::checksum(&*snapshot, &copy.descriptor.span, Timestamp::ZERO)?);
        }
        let agree = sums.values().all(|sum| Some(sum) == sums.get(&first.node));
        if !agree || copies.iter().any(|copy| copy.descriptor != first.descriptor) {
            return Ok(Agreement::Differ(format!("{range} at index {}: {sums:x?}", first.applied)));
        }
    }
    Ok(Agreement::Reached)
}
