//! Why a cycle is one, for a human.

use std::fmt::Write;

use super::Step;
use super::versions::Versions;
use crate::graph::{Anti, Kinds, Rule};

/// `kinds` answers with the reasons for the edge from the transaction at this place of the cycle to the next.
pub(super) fn cycle(versions: &Versions, txns: &[u32], rule: Rule, kinds: impl Fn(usize) -> Kinds) -> String {
    let mut text =
        format!("{} transactions, each of which must come before the next, and the last before the first", txns.len());
    for txn in txns {
        let call = versions.txns[*txn as usize];
        write!(text, "\n  T{}: {call}", call.invoked).expect("writing to a string works");
    }
    for (place, from) in txns.iter().enumerate() {
        let to = txns[(place + 1) % txns.len()];
        let (name, why) = reason(versions, *from, to, kinds(place), rule);
        let [from, to] = [*from, to].map(|txn| versions.txns[txn as usize].invoked);
        write!(text, "\n  T{from} before T{to} ({name}): {why}").expect("writing to a string works");
    }
    text
}

/// The first of the edge's reasons that the rule allows.
fn reason(versions: &Versions, from: u32, to: u32, kinds: Kinds, rule: Rule) -> (&'static str, String) {
    let has = |kind: Kinds| kinds.meets(kind) && (rule.plain.meets(kind));
    let dependency = if has(Kinds::WW) {
        Some(("ww", write_write(versions, from, to)))
    } else if has(Kinds::WR) {
        Some(("wr", write_read(versions, from, to)))
    } else if has(Kinds::PROCESS) {
        let process = versions.txns[from as usize].process;
        Some(("process", Some(format!("{process} did the one and then the other"))))
    } else if kinds.meets(Kinds::RW) && rule.anti != Anti::Never {
        Some(("rw", read_write(versions, from, to)))
    } else {
        None
    };
    if let Some((name, why)) = dependency {
        return (name, why.expect("an edge has a reason"));
    }
    let [end, begin] = [versions.txns[from as usize].completed, Some(versions.txns[to as usize].invoked)]
        .map(Option::unwrap_or_default);
    ("realtime", format!("it was acknowledged (event {end}) before the other began (event {begin})"))
}

fn write_write(versions: &Versions, from: u32, to: u32) -> Option<String> {
    let appends = appends(versions, to);
    versions.keys.iter().filter(|key| appends.iter().any(|(other, _)| *other == key.key)).find_map(|key| {
        let by = |value: &u32| versions.writer(key.key, *value);
        let pair = key.order.windows(2).find(|pair| by(&pair[0]) == Some(from) && by(&pair[1]) == Some(to));
        if let Some(pair) = pair {
            return Some(format!("key {}: its {} stands just before the other's {}", key.key, pair[0], pair[1]));
        }
        let last = key.order.last().filter(|last| by(last) == Some(from) && key.unseen.contains(&to))?;
        let (_, unseen) = appends.iter().find(|(other, value)| *other == key.key && !key.order.contains(value))?;
        Some(format!("key {}: its {last} is the last that anybody read, and nobody read the other's {unseen}", key.key))
    })
}

fn write_read(versions: &Versions, from: u32, to: u32) -> Option<String> {
    versions.reads(to).find_map(|(_, key, seen)| {
        let last = seen.last().filter(|last| versions.writer(key, **last) == Some(from))?;
        Some(format!("key {key}: the other read its {last}"))
    })
}

fn read_write(versions: &Versions, from: u32, to: u32) -> Option<String> {
    let appends = appends(versions, to);
    versions.keys.iter().filter(|key| appends.iter().any(|(other, _)| *other == key.key)).find_map(|key| {
        versions.reads(from).filter(|(_, read, _)| *read == key.key).find_map(|(_, _, seen)| {
            if !key.order.starts_with(seen) {
                return None;
            }
            let next = match key.order.get(seen.len()) {
                Some(next) => *next,
                None => appends.iter().find(|(other, value)| *other == key.key && !key.order.contains(value))?.1,
            };
            let is_its = versions.writer(key.key, next) == Some(to);
            let saw = match seen.last() {
                Some(last) => format!("up to {last}"),
                None => "empty".to_owned(),
            };
            is_its.then(|| format!("key {}: it read the list {saw}, without the other's {next}", key.key))
        })
    })
}

fn appends(versions: &Versions, txn: u32) -> Vec<(u32, u32)> {
    let step = |step: &Step| match step {
        Step::Append { key, value } => Some((*key, *value)),
        Step::Read { .. } => None,
    };
    versions.txns[txn as usize].op.0.iter().filter_map(step).collect()
}
