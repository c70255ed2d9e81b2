//! While a replica has a lease that is valid on its own clock nobody leads its range in a later term, let alone with a lease:
//! this is what makes reads without a quorum, and numbers of the oracle, right. A process that stands still has its
//! lease, too: it may read its clock just before.

use std::collections::BTreeMap;

use env::Mono;
use keyspace::RangeId;
use ranges::LeaseView;

use crate::World;
use crate::cluster::SimCluster;

#[derive(Default)]
pub struct OneLease;

/// The highest term in which a replica of a range leads, and which node it is on.
type Leads = BTreeMap<RangeId, (u64, usize)>;

impl OneLease {
    pub fn check(&self, world: &World, cluster: &SimCluster) {
        let nodes: Vec<(usize, Mono, Vec<LeaseView>)> = cluster
            .nodes()
            .filter_map(|(number, node)| Some((number, cluster.clock(number)?, node.store().leases())))
            .collect();
        let mut leads = Leads::new();
        for (number, _, views) in &nodes {
            for view in views {
                let lead = leads.entry(view.range).or_default();
                *lead = (*lead).max((view.elected_in.unwrap_or_default(), *number));
            }
        }
        for (number, now, views) in nodes {
            for LeaseView { range, lease, .. } in views {
                let Some((term, until)) = lease.filter(|(_, until)| now < *until) else { continue };
                let (later, other) = leads[&range];
                if later > term {
                    let what = format!(
                        "{range} is led in term {later} by node {}, and node {} has a lease of term {term} for another {:?}",
                        other + 1,
                        number + 1,
                        until.since(now)
                    );
                    world.violation("one_lease", what);
                }
            }
        }
    }
}
