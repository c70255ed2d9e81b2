//! The weakest kind of cycle in each tangle of transactions.

use super::versions::Versions;
use super::{edges, explain};
use crate::graph::{Anti, Filtered, Graph, Kinds, Rule, components, shortest_cycle};
use crate::{Level, Verdict};

/// One kind of cycle.
struct Shape {
    name: &'static str,
    level: Level,
    rule: Rule,
}

/// Of one line, each is looked for only where none of those before it is: then a cycle that fits must have what makes
/// its name.
const NAMES: [[&str; 5]; 3] = [
    ["G0", "G1c", "G-single", "G-nonadjacent", "G2-item"],
    ["G0-process", "G1c-process", "G-single-process", "G-nonadjacent-process", "G2-item-process"],
    ["G0-realtime", "G1c-realtime", "G-single-realtime", "G-nonadjacent-realtime", "G2-item-realtime"],
];

fn shapes() -> impl Iterator<Item = Shape> {
    let none = Kinds(0);
    let orders = [
        (none, None),
        (Kinds::PROCESS, Some(Level::StrongSession)),
        (Kinds::PROCESS | Kinds::REALTIME, Some(Level::StrictSerializable)),
    ];
    NAMES.into_iter().zip(orders).flat_map(|(names, (order, level))| {
        let (writes, values) = (Kinds::WW | order, Kinds::WW | Kinds::WR | order);
        let rows = [
            (Level::ReadUncommitted, writes, Anti::Never),
            (Level::ReadCommitted, values, Anti::Never),
            (Level::SnapshotIsolation, values, Anti::Once),
            (Level::SnapshotIsolation, values, Anti::NotAdjacent),
            (Level::Serializable, values, Anti::Free),
        ];
        names.into_iter().zip(rows).map(move |(name, (weakest, plain, anti))| Shape {
            name,
            level: level.unwrap_or(weakest),
            rule: Rule { plain, anti },
        })
    })
}

pub(super) fn check(versions: &Versions, verdict: &mut Verdict) {
    let graph = edges::graph(versions);
    for tangle in components(&graph) {
        check_tangle(versions, &graph.restrict(&tangle), &tangle, verdict);
    }
}

/// `tangle`: the transactions behind the nodes of `graph`.
fn check_tangle(versions: &Versions, graph: &Graph, tangle: &[u32], verdict: &mut Verdict) {
    for shape in shapes() {
        let cycles = find(graph, shape.rule);
        for cycle in &cycles {
            verdict.add(shape.name, shape.level, || {
                let txns: Vec<u32> = cycle.iter().map(|node| tangle[*node as usize]).collect();
                let kinds = |from: usize| {
                    graph.kinds(cycle[from], cycle[(from + 1) % cycle.len()]).expect("a cycle consists of edges")
                };
                explain::cycle(versions, &txns, shape.rule, kinds)
            });
        }
        if !cycles.is_empty() {
            return;
        }
    }
    unreachable!("a tangle has a cycle, and the last shape is every cycle");
}

/// A short cycle of each part of the graph in which there is one.
fn find(graph: &Graph, rule: Rule) -> Vec<Vec<u32>> {
    // "Once" is no shape that components have. But where it is, "not adjacent" is too.
    let wide = Rule { anti: if rule.anti == Anti::Once { Anti::NotAdjacent } else { rule.anti }, ..rule };
    let filtered = Filtered { graph, rule: wide };
    let parts = components(&filtered);
    parts
        .into_iter()
        .filter_map(|part| {
            let mut nodes: Vec<u32> = part.into_iter().map(|node| filtered.original(node)).collect();
            nodes.dedup();
            shortest_cycle(graph, rule, &nodes)
        })
        .collect()
}
