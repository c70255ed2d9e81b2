//! Deadlocks over several nodes (protocol.md, rule 10).
//!
//! Every node reports its waits each second; a report replaces the one before and expires. A cycle in the
//! union of old reports need not be one now, so before anyone is chosen each edge is confirmed where it
//! stands; then the youngest transaction of the cycle has its wait broken. (Cycles within one node are
//! found there, at once.)

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use env::Mono;
use keyspace::{NodeId, TxnId};
use rpc::cluster::WaitEdge;

/// Reports older than this are forgotten.
const EXPIRY: Duration = Duration::from_secs(3);

#[derive(Debug, Default)]
pub struct Deadlocks {
    reports: BTreeMap<NodeId, Report>,
}

#[derive(Debug)]
struct Report {
    edges: Vec<WaitEdge>,
    heard: Mono,
}

/// Edges that close, with the nodes where they wait; it begins with the wait of the youngest transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle(pub Vec<(NodeId, WaitEdge)>);

impl Cycle {
    pub fn victim(&self) -> &(NodeId, WaitEdge) {
        &self.0[0]
    }

    pub fn txns(&self) -> Vec<TxnId> {
        self.0.iter().map(|(_, edge)| edge.waiter).collect()
    }
}

impl Deadlocks {
    pub fn report(&mut self, node: NodeId, edges: Vec<WaitEdge>, now: Mono) {
        self.reports.insert(node, Report { edges, heard: now });
    }

    /// Cycles that share no transaction.
    pub fn find(&mut self, now: Mono) -> Vec<Cycle> {
        self.reports.retain(|_, report| now.since(report.heard) < EXPIRY);
        let mut graph: BTreeMap<TxnId, Vec<(NodeId, &WaitEdge)>> = BTreeMap::new();
        for (node, report) in &self.reports {
            for edge in &report.edges {
                graph.entry(edge.waiter).or_default().push((*node, edge));
            }
        }
        let mut done = BTreeSet::new();
        let mut cycles = Vec::new();
        for start in graph.keys() {
            if let Some(cycle) = cycle_from(*start, &graph, &mut done) {
                done.extend(cycle.txns());
                cycles.push(cycle);
            }
        }
        cycles
    }
}

/// Depth first, without recursion. Every transaction that is looked at goes into `done`.
fn cycle_from(
    start: TxnId,
    graph: &BTreeMap<TxnId, Vec<(NodeId, &WaitEdge)>>,
    done: &mut BTreeSet<TxnId>,
) -> Option<Cycle> {
    if !done.insert(start) {
        return None;
    }
    let edges_of = |txn: TxnId| graph.get(&txn).map_or(&[][..], Vec::as_slice);
    // The way from `start`, each with the edges not yet tried.
    let mut path = vec![(start, edges_of(start).iter())];
    let mut place_on_path = BTreeMap::from([(start, 0)]);
    let mut taken: Vec<(NodeId, &WaitEdge)> = Vec::new();
    while let Some((_, untried)) = path.last_mut() {
        let Some((node, edge)) = untried.next() else {
            let left = path.pop().expect("it has a last").0;
            place_on_path.remove(&left);
            taken.pop();
            continue;
        };
        if let Some(place) = place_on_path.get(&edge.holder) {
            taken.push((*node, edge));
            return Some(rotated(&taken[*place..]));
        }
        if done.insert(edge.holder) {
            taken.push((*node, edge));
            place_on_path.insert(edge.holder, path.len());
            path.push((edge.holder, edges_of(edge.holder).iter()));
        }
    }
    None
}

fn rotated(edges: &[(NodeId, &WaitEdge)]) -> Cycle {
    let youngest = edges.iter().enumerate().max_by_key(|(_, (_, edge))| edge.waiter).map_or(0, |(place, _)| place);
    let mut edges: Vec<_> = edges.iter().map(|(node, edge)| (*node, (*edge).clone())).collect();
    edges.rotate_left(youngest);
    Cycle(edges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyspace::RangeId;

    fn edge(waiter: u64, holder: u64) -> WaitEdge {
        WaitEdge { waiter: TxnId(waiter), holder: TxnId(holder), range: RangeId(2), wait: waiter * 100, wanted: None }
    }

    fn cycles(deadlocks: &mut Deadlocks, now: Mono) -> Vec<Vec<u64>> {
        deadlocks.find(now).iter().map(|cycle| cycle.txns().iter().map(|txn| txn.0).collect()).collect()
    }

    #[test]
    fn cycles_over_nodes_are_found_and_the_youngest_is_the_victim() {
        let mut deadlocks = Deadlocks::default();
        deadlocks.report(NodeId(1), vec![edge(1, 2), edge(3, 1), edge(7, 8)], Mono(0));
        assert!(deadlocks.find(Mono(0)).is_empty());
        deadlocks.report(NodeId(2), vec![edge(2, 3), edge(8, 7), edge(4, 1), edge(4, 9)], Mono(0));
        assert_eq!(cycles(&mut deadlocks, Mono(0)), [vec![3, 1, 2], vec![8, 7]]);
        let victim = deadlocks.find(Mono(0))[0].victim().clone();
        assert_eq!(victim, (NodeId(1), edge(3, 1)));

        deadlocks.report(NodeId(2), vec![edge(8, 7)], Mono(0));
        assert_eq!(cycles(&mut deadlocks, Mono(0)), [vec![8, 7]]);
        assert!(deadlocks.find(Mono(0) + EXPIRY).is_empty(), "old reports are no evidence");
    }

    #[test]
    fn waiting_for_oneself_through_a_long_chain_does_not_recurse() {
        let mut deadlocks = Deadlocks::default();
        let chain = (0..100_000).map(|txn| edge(txn, (txn + 1) % 100_000)).collect();
        deadlocks.report(NodeId(1), chain, Mono(0));
        assert_eq!(deadlocks.find(Mono(0))[0].0.len(), 100_000);
    }
}
