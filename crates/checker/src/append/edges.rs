//! Who must come before whom.

use super::versions::{KeyVersions, Versions};
use crate::graph::{Edge, Graph, Kinds};

pub(super) fn graph(versions: &Versions) -> Graph {
    let mut edges = Edges { list: Vec::new() };
    for key in &versions.keys {
        add_dependencies(versions, key, &mut edges);
    }
    add_process_order(versions, &mut edges);
    add_real_time(versions, &mut edges);
    Graph::new(versions.txns.len(), edges.list)
}

struct Edges {
    list: Vec<Edge>,
}

impl Edges {
    fn add(&mut self, from: u32, to: u32, kinds: Kinds) {
        if from != to {
            self.list.push(Edge { from, to, kinds });
        }
    }
}

fn add_dependencies(versions: &Versions, key: &KeyVersions, edges: &mut Edges) {
    let mut readers = &key.readers[..];
    let mut before: Option<u32> = None;
    for version in 0..=key.order.len() as u32 {
        let here = readers.partition_point(|(read, _)| *read == version);
        let (now, later) = readers.split_at(here);
        readers = later;
        if let Some(writer) = before {
            now.iter().for_each(|(_, reader)| edges.add(writer, *reader, Kinds::WR));
        }
        // Who appended next; at the end of what is known, all whose appends nobody saw.
        let next = key.order.get(version as usize).map(|value| versions.writer(key.key, *value));
        let next_writer = next.flatten();
        let followers = match next {
            Some(_) => next_writer.as_slice(),
            None => &key.unseen[..],
        };
        for follower in followers {
            if let Some(writer) = before {
                edges.add(writer, *follower, Kinds::WW);
            }
            now.iter().for_each(|(_, reader)| edges.add(*reader, *follower, Kinds::RW));
        }
        before = next_writer;
    }
}

fn add_process_order(versions: &Versions, edges: &mut Edges) {
    let mut last: crate::Map<crate::Process, u32> = crate::Map::default();
    for (number, call) in (0_u32..).zip(&versions.txns) {
        if let Some(before) = last.get(&call.process) {
            edges.add(*before, number, Kinds::PROCESS);
        }
        if call.is_ok() {
            last.insert(call.process, number);
        }
    }
}

/// A transitive reduction: an edge from each acknowledged transaction to those that begin after it, but for those that
/// are reached over another one. The *frontier* is what has been acknowledged and has no such successor yet
/// that was acknowledged too. Who fails or never ends changes nothing for others.
fn add_real_time(versions: &Versions, edges: &mut Edges) {
    let mut ends: Vec<(u32, u32)> = (0_u32..)
        .zip(&versions.txns)
        .filter(|(_, call)| call.is_ok())
        .map(|(number, call)| (call.acknowledged(), number))
        .collect();
    ends.sort_unstable();
    let mut ends = ends.into_iter().peekable();
    let mut frontier: Vec<u32> = Vec::new();
    for (number, call) in (0_u32..).zip(&versions.txns) {
        while let Some((_, ended)) = ends.next_if(|(end, _)| *end < call.invoked) {
            let begin = versions.txns[ended as usize].invoked;
            frontier.retain(|other| versions.txns[*other as usize].acknowledged() > begin);
            frontier.push(ended);
        }
        frontier.iter().for_each(|before| edges.add(*before, number, Kinds::REALTIME));
    }
}
