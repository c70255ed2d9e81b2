//! Strongly connected components: sets of nodes each of which can be reached from each. Tarjan's algorithm, with
//! a stack of its own, as histories are longer than a thread's stack is deep.

use super::Graph;

/// A graph to walk on.
pub(crate) trait Walk {
    fn nodes(&self) -> usize;

    /// The next successor of `node`; `cursor` begins at 0 and is moved on. `None` at the end.
    fn next(&self, node: u32, cursor: &mut u32) -> Option<u32>;
}

impl Walk for Graph {
    fn nodes(&self) -> usize {
        Graph::nodes(self)
    }

    fn next(&self, node: u32, cursor: &mut u32) -> Option<u32> {
        let (target, _) = self.edges(node).get(*cursor as usize)?;
        *cursor += 1;
        Some(*target)
    }
}

const UNSEEN: u32 = u32::MAX;

/// The components of two nodes and more: those with a cycle in them. Nodes in increasing order.
pub(crate) fn components(graph: &impl Walk) -> Vec<Vec<u32>> {
    let nodes = graph.nodes();
    let mut tarjan = Tarjan {
        order: vec![UNSEEN; nodes],
        low: vec![0; nodes],
        on_stack: vec![false; nodes],
        stack: Vec::new(),
        next: 0,
        found: Vec::new(),
    };
    for root in 0..nodes as u32 {
        if tarjan.order[root as usize] == UNSEEN {
            tarjan.visit(graph, root);
        }
    }
    tarjan.found
}

struct Tarjan {
    /// By first visit.
    order: Vec<u32>,
    /// The earliest node on the stack that can be reached.
    low: Vec<u32>,
    on_stack: Vec<bool>,
    stack: Vec<u32>,
    next: u32,
    found: Vec<Vec<u32>>,
}

impl Tarjan {
    fn visit(&mut self, graph: &impl Walk, root: u32) {
        let mut path: Vec<(u32, u32)> = vec![(self.enter(root), 0)];
        while let Some((node, cursor)) = path.last_mut() {
            let node = *node;
            match graph.next(node, cursor) {
                Some(target) if self.order[target as usize] == UNSEEN => path.push((self.enter(target), 0)),
                Some(target) if self.on_stack[target as usize] => {
                    self.low[node as usize] = self.low[node as usize].min(self.order[target as usize]);
                }
                Some(_) => {}
                None => {
                    path.pop();
                    if let Some((parent, _)) = path.last() {
                        self.low[*parent as usize] = self.low[*parent as usize].min(self.low[node as usize]);
                    }
                    if self.low[node as usize] == self.order[node as usize] {
                        self.leave(node);
                    }
                }
            }
        }
    }

    fn enter(&mut self, node: u32) -> u32 {
        self.order[node as usize] = self.next;
        self.low[node as usize] = self.next;
        self.next += 1;
        self.on_stack[node as usize] = true;
        self.stack.push(node);
        node
    }

    /// `node` is the first of its component: it and all above it on the stack.
    fn leave(&mut self, node: u32) {
        let at = self.stack.iter().rposition(|other| *other == node).expect("a node is left once");
        for member in &self.stack[at..] {
            self.on_stack[*member as usize] = false;
        }
        let mut component = self.stack.split_off(at);
        if component.len() > 1 {
            component.sort_unstable();
            self.found.push(component);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Edge, Kinds};
    use super::*;

    #[test]
    fn components_are_found() {
        let edges = [(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 3), (5, 0)];
        let edges = edges.map(|(from, to)| Edge { from, to, kinds: Kinds::WW });
        let graph = Graph::new(6, edges.into());
        assert_eq!(components(&graph), [vec![3, 4], vec![0, 1, 2]]);
    }

    #[test]
    fn a_long_path_is_no_problem() {
        let edges = (0..1_000_000).map(|from| Edge { from, to: from + 1, kinds: Kinds::WW }).collect();
        assert!(components(&Graph::new(1_000_001, edges)).is_empty());
    }
}
