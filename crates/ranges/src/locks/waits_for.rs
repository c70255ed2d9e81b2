//! The waits-for graph of one node: which transaction waits for which, over all its ranges.
//!
//! A cycle among the waits of this node is found at the moment its last edge is added, and the wait that
//! closed it is the victim. Cycles that run over several nodes are found by the leader of the system
//! range, which collects everybody's [`WaitsFor::edges`], asks the node where the victim waits to confirm
//! that this very wait (by its id) still stands, and has it broken (protocol.md, rule 10).

use std::collections::{BTreeMap, BTreeSet};

use keyspace::{Key, RangeId, TxnId};
use rpc::cluster::WaitEdge;
use rpc::range::LockMode;

use super::WaitId;

/// The key that is waited for, and in which mode.
pub type Wanted = Option<(Key, LockMode)>;

#[derive(Debug, Default)]
pub struct WaitsFor {
    waits: BTreeMap<WaitId, Wait>,
    by_txn: BTreeMap<TxnId, BTreeSet<WaitId>>,
}

#[derive(Debug)]
struct Wait {
    txn: TxnId,
    range: RangeId,
    wanted: Wanted,
    blockers: Vec<TxnId>,
}

impl WaitsFor {
    /// Adds a wait, or replaces what blocks it. Returns the cycle this closes, beginning with the waiter;
    /// the wait stays in the graph until it is removed.
    pub fn set(
        &mut self,
        id: WaitId,
        txn: TxnId,
        range: RangeId,
        wanted: Wanted,
        blockers: Vec<TxnId>,
    ) -> Option<Vec<TxnId>> {
        self.waits.insert(id, Wait { txn, range, wanted, blockers });
        self.by_txn.entry(txn).or_default().insert(id);
        self.cycle_through(id)
    }

    /// New blockers of a wait that is in the graph; nothing happens for one that is not.
    pub fn update(&mut self, id: WaitId, blockers: Vec<TxnId>) -> Option<Vec<TxnId>> {
        self.waits.get_mut(&id)?.blockers = blockers;
        self.cycle_through(id)
    }

    pub fn remove(&mut self, id: WaitId) {
        let Some(wait) = self.waits.remove(&id) else { return };
        let waits = self.by_txn.get_mut(&wait.txn).expect("each wait is listed under its transaction");
        waits.remove(&id);
        if waits.is_empty() {
            self.by_txn.remove(&wait.txn);
        }
    }

    /// Does this wait of this transaction still stand, and where?
    pub fn stands(&self, txn: TxnId, id: WaitId) -> Option<RangeId> {
        self.waits.get(&id).filter(|wait| wait.txn == txn).map(|wait| wait.range)
    }

    pub fn edges(&self) -> Vec<WaitEdge> {
        let mut edges = Vec::new();
        for (id, wait) in &self.waits {
            edges.extend(wait.blockers.iter().map(|holder| WaitEdge {
                waiter: wait.txn,
                holder: *holder,
                range: wait.range,
                wait: id.0,
                wanted: wait.wanted.clone(),
            }));
        }
        edges
    }

    /// A way from the waiter through those who block it back to itself. Depth first, each transaction once.
    fn cycle_through(&self, id: WaitId) -> Option<Vec<TxnId>> {
        let wait = self.waits.get(&id)?;
        let start = wait.txn;
        let mut path = vec![start];
        let mut seen = BTreeSet::new();
        self.search(start, &wait.blockers, &mut path, &mut seen).then_some(path)
    }

    fn search(&self, start: TxnId, blockers: &[TxnId], path: &mut Vec<TxnId>, seen: &mut BTreeSet<TxnId>) -> bool {
        // An explicit stack: chains of thousands of waiters are ordinary on a hot key.
        let mut stack: Vec<(usize, Vec<TxnId>)> = vec![(path.len(), blockers.to_vec())];
        while let Some((depth, candidates)) = stack.last_mut() {
            path.truncate(*depth);
            let Some(next) = candidates.pop() else {
                stack.pop();
                continue;
            };
            if next == start {
                return true;
            }
            if !seen.insert(next) {
                continue;
            }
            let onward: Vec<TxnId> = self
                .by_txn
                .get(&next)
                .into_iter()
                .flatten()
                .flat_map(|id| self.waits[id].blockers.iter().copied())
                .collect();
            path.push(next);
            stack.push((path.len(), onward));
        }
        false
    }
}
