//! Short cycles of a given shape. The shape is a small automaton that reads the edges of a path; the search
//! goes over pairs of a node and the automaton's state.

use super::components::Walk;
use super::{Graph, Kinds};

/// How often a path may go against the flow: over an edge that is an anti-dependency (rw) only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anti {
    Never,
    /// Exactly once in a cycle.
    Once,
    /// Never twice in a row: what snapshot isolation forbids.
    NotAdjacent,
    Free,
}

/// Which edges a cycle may consist of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// These any time.
    pub plain: Kinds,
    /// Anti-dependencies.
    pub anti: Anti,
}

impl Rule {
    fn states(self) -> u32 {
        match self.anti {
            Anti::Never | Anti::Free => 1,
            Anti::Once | Anti::NotAdjacent => 2,
        }
    }

    /// The state in which a cycle that began in state 0 is closed.
    fn goal(self) -> u32 {
        u32::from(self.anti == Anti::Once)
    }

    /// States after an edge, as a plain one and as an anti-dependency.
    fn steps(self, state: u32, kinds: Kinds) -> [Option<u32>; 2] {
        let (plain, anti) = (kinds.meets(self.plain), kinds.meets(Kinds::RW));
        match self.anti {
            Anti::Never => [plain.then_some(0), None],
            Anti::Free => [(plain || anti).then_some(0), None],
            Anti::Once => [plain.then_some(state), (anti && state == 0).then_some(1)],
            Anti::NotAdjacent => [plain.then_some(0), (anti && state == 0).then_some(1)],
        }
    }
}

/// A graph seen through a rule: a node for each node and state.
pub(crate) struct Filtered<'a> {
    pub graph: &'a Graph,
    pub rule: Rule,
}

impl Filtered<'_> {
    /// The node of `graph` behind a node of this one.
    pub fn original(&self, node: u32) -> u32 {
        node / self.rule.states()
    }
}

impl Walk for Filtered<'_> {
    fn nodes(&self) -> usize {
        self.graph.nodes() * self.rule.states() as usize
    }

    fn next(&self, node: u32, cursor: &mut u32) -> Option<u32> {
        let states = self.rule.states();
        let edges = self.graph.edges(node / states);
        loop {
            let (target, kinds) = edges.get(*cursor as usize / 2)?;
            let step = self.rule.steps(node % states, *kinds)[*cursor as usize % 2];
            *cursor += 1;
            if let Some(state) = step {
                return Some(target * states + state);
            }
        }
    }
}

/// Edges that one search may look at: the shortest cycle of those found until then is good enough.
const STEPS_MAX: usize = 3_000_000;

/// The shortest cycle that begins at one of `starts` and follows the rule, as the nodes on it.
pub(crate) fn shortest_cycle(graph: &Graph, rule: Rule, starts: &[u32]) -> Option<Vec<u32>> {
    let mut search = Search { graph, rule, parents: vec![NONE; graph.nodes() * rule.states() as usize], steps: 0 };
    let mut best: Option<Vec<u32>> = None;
    for start in starts {
        let length_max = best.as_ref().map_or(usize::MAX, |cycle| cycle.len() - 1);
        if length_max < 2 || search.steps > STEPS_MAX {
            break;
        }
        if let Some(cycle) = search.from(*start, length_max) {
            best = Some(cycle);
        }
    }
    best
}

const NONE: u32 = u32::MAX;

struct Search<'a> {
    graph: &'a Graph,
    rule: Rule,
    parents: Vec<u32>,
    steps: usize,
}

impl Search<'_> {
    /// Breadth first, up to `length_max` edges.
    fn from(&mut self, start: u32, length_max: usize) -> Option<Vec<u32>> {
        let begin = start * self.rule.states();
        let mut reached = vec![begin];
        let mut found = None;
        let (mut level, mut depth) = (0..1, 0);
        while !level.is_empty() && depth < length_max && found.is_none() {
            let next = reached.len();
            for at in level {
                let node = reached[at];
                found = found.or_else(|| self.expand(node, begin, &mut reached));
            }
            level = next..reached.len();
            depth += 1;
        }
        let cycle = found.map(|last| self.path(begin, last));
        for node in reached {
            self.parents[node as usize] = NONE;
        }
        cycle
    }

    /// The node itself, if one of its edges closes the cycle.
    fn expand(&mut self, node: u32, begin: u32, reached: &mut Vec<u32>) -> Option<u32> {
        let states = self.rule.states();
        for (target, kinds) in self.graph.edges(node / states) {
            self.steps += 1;
            for state in self.rule.steps(node % states, *kinds).into_iter().flatten() {
                let next = target * states + state;
                if *target == begin / states && state == self.rule.goal() {
                    return Some(node);
                }
                if next != begin && self.parents[next as usize] == NONE {
                    self.parents[next as usize] = node;
                    reached.push(next);
                }
            }
        }
        None
    }

    fn path(&self, begin: u32, last: u32) -> Vec<u32> {
        let mut path = vec![last / self.rule.states()];
        let mut node = last;
        while node != begin {
            node = self.parents[node as usize];
            path.push(node / self.rule.states());
        }
        path.reverse();
        path
    }
}
