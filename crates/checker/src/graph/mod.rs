//! Directed graphs whose edges have reasons, in flat arrays.

mod components;
mod search;

use std::ops::{BitOr, BitOrAssign};

pub(crate) use components::components;
pub(crate) use search::{Anti, Filtered, Rule, shortest_cycle};

/// Reasons for one transaction to come before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kinds(pub u8);

impl Kinds {
    /// Its write was overwritten (appended to) by the other.
    pub const WW: Kinds = Kinds(1);
    /// Its write was read by the other.
    pub const WR: Kinds = Kinds(2);
    /// It read what was there before the other's write.
    pub const RW: Kinds = Kinds(4);
    /// The same process did it before.
    pub const PROCESS: Kinds = Kinds(8);
    /// It was acknowledged before the other began.
    pub const REALTIME: Kinds = Kinds(16);

    pub fn meets(self, others: Kinds) -> bool {
        self.0 & others.0 != 0
    }
}

impl BitOr for Kinds {
    type Output = Kinds;
    fn bitor(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }
}

impl BitOrAssign for Kinds {
    fn bitor_assign(&mut self, other: Kinds) {
        self.0 |= other.0;
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    pub from: u32,
    pub to: u32,
    pub kinds: Kinds,
}

/// Edges of node `v` are at `starts[v]..starts[v + 1]`, one for each target.
pub(crate) struct Graph {
    starts: Vec<u32>,
    edges: Vec<(u32, Kinds)>,
}

impl Graph {
    /// Several edges between the same two nodes become one with all their reasons.
    pub fn new(nodes: usize, mut edges: Vec<Edge>) -> Graph {
        edges.sort_unstable_by_key(|edge| (edge.from, edge.to));
        let mut graph = Graph { starts: vec![0; nodes + 1], edges: Vec::with_capacity(edges.len()) };
        let mut last = None;
        for Edge { from, to, kinds } in edges {
            if last == Some((from, to)) {
                let end = graph.edges.len() - 1;
                graph.edges[end].1 |= kinds;
            } else {
                graph.edges.push((to, kinds));
                graph.starts[from as usize + 1] += 1;
                last = Some((from, to));
            }
        }
        for node in 0..nodes {
            graph.starts[node + 1] += graph.starts[node];
        }
        graph
    }

    pub fn nodes(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn edges(&self, node: u32) -> &[(u32, Kinds)] {
        let (start, end) = (self.starts[node as usize], self.starts[node as usize + 1]);
        &self.edges[start as usize..end as usize]
    }

    pub fn kinds(&self, from: u32, to: u32) -> Option<Kinds> {
        let edges = self.edges(from);
        let at = edges.binary_search_by_key(&to, |(target, _)| *target).ok()?;
        Some(edges[at].1)
    }

    /// Only these nodes (in increasing order), renumbered by their place, and the edges between them.
    pub fn restrict(&self, nodes: &[u32]) -> Graph {
        let mut edges = Vec::new();
        for (from, node) in (0_u32..).zip(nodes) {
            for (target, kinds) in self.edges(*node) {
                if let Ok(to) = nodes.binary_search(target) {
                    edges.push(Edge { from, to: to as u32, kinds: *kinds });
                }
            }
        }
        Graph::new(nodes.len(), edges)
    }
}
