//! At most one leader per range and term (raft's election safety), and the applied index of a life of a
//! replica never goes back.

use std::collections::BTreeMap;

use keyspace::{RangeId, ReplicaId};
use parking_lot::Mutex;

use crate::World;
use crate::cluster::SimCluster;

#[derive(Default)]
pub struct OneLeader {
    leaders: Mutex<BTreeMap<(RangeId, u64), (usize, ReplicaId)>>,
}

impl OneLeader {
    pub fn check(&self, world: &World, cluster: &SimCluster) {
        let mut leaders = self.leaders.lock();
        for (number, node) in cluster.nodes() {
            for status in node.store().statuses().into_iter().filter(|status| status.is_leader) {
                let range = status.descriptor.id;
                let first = *leaders.entry((range, status.term)).or_insert((number, status.replica));
                if first != (number, status.replica) {
                    let ((earlier, its), (now, mine)) = (first, (number, status.replica));
                    let what = format!(
                        "{range} was led in term {} by {its} on node {}, and is by {mine} on node {}",
                        status.term,
                        earlier + 1,
                        now + 1
                    );
                    world.violation("one_leader_per_term", what);
                }
            }
        }
    }
}
