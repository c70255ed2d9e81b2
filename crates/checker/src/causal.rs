//! Blind inserts, and reads of all of a group: who sees an insert sees every one that was acknowledged before that one
//! began. Serializable alone allows it otherwise ("causal reverse"): an order in which the later comes first.

use crate::judge::Checked;
use crate::text::{Words, write_list};
use crate::{Call, Level, Map, Operation, Set, Verdict};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CausalOp {
    Insert {
        group: u32,
        id: u32,
    },
    /// The ids that are there.
    Read {
        group: u32,
        seen: Option<Vec<u32>>,
    },
}

impl Operation for CausalOp {
    const WORKLOAD: &'static str = "causal";

    fn write(&self, out: &mut String) {
        match self {
            CausalOp::Insert { group, id } => out.push_str(&format!("insert {group} {id}")),
            CausalOp::Read { group, seen } => {
                out.push_str(&format!("read {group}"));
                if let Some(seen) = seen {
                    out.push(' ');
                    write_list(out, seen);
                }
            }
        }
    }

    fn parse(text: &str) -> Option<CausalOp> {
        let mut words = Words::of(text);
        let op = match words.word()? {
            "insert" => CausalOp::Insert { group: words.number()?, id: words.number()? },
            "read" => {
                let group = words.number()?;
                CausalOp::Read { group, seen: if words.is_over() { None } else { Some(words.numbers()?) } }
            }
            _ => return None,
        };
        words.end(op)
    }
}

/// Inserts of one group.
#[derive(Default)]
struct Group<'a> {
    by_id: Map<u32, &'a Call<'a, CausalOp>>,
    /// The acknowledged ones.
    done: Vec<(u32, &'a Call<'a, CausalOp>)>,
}

impl Checked for CausalOp {
    fn judge(calls: &[Call<'_, CausalOp>], verdict: &mut Verdict) {
        let mut groups: Map<u32, Group<'_>> = Map::default();
        for call in calls {
            let CausalOp::Insert { group, id } = call.op else { continue };
            let group = groups.entry(*group).or_default();
            group.by_id.insert(*id, call);
            if call.is_ok() {
                group.done.push((*id, call));
            }
        }
        for group in groups.values_mut() {
            group.done.sort_unstable_by_key(|(_, call)| call.acknowledged());
        }
        for call in calls.iter().filter(|call| call.is_ok()) {
            let CausalOp::Read { group, seen: Some(seen) } = call.op else { continue };
            let Some(group) = groups.get(group) else { continue };
            check_read(call, seen, group, verdict);
        }
    }
}

fn check_read(read: &Call<'_, CausalOp>, seen: &[u32], group: &Group<'_>, verdict: &mut Verdict) {
    // What was acknowledged before the insert that began last must be there.
    let inserts = seen.iter().filter_map(|id| group.by_id.get(id));
    let Some(latest) = inserts.max_by_key(|insert| insert.invoked) else { return };
    let distinct: Set<u32> = seen.iter().copied().collect();
    let before = group.done.iter().take_while(|(_, insert)| insert.precedes(latest));
    if let Some((_, missing)) = before.into_iter().find(|(id, _)| !distinct.contains(id)) {
        verdict.add("causal-reverse", Level::StrictSerializable, || {
            format!("a read sees an insert, and misses one that was over before that began\n  missing: {missing}\n  there: {latest}\n  {read}")
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::judge_text;

    #[test]
    fn the_later_is_not_seen_without_the_earlier() {
        let judge = |seen: &str| {
            let text = format!(
                "# cairn history 1: causal\n0 2 0 invoke read 1\n1 0 0 invoke insert 1 1\n2 0 0 ok insert 1 1\n\
                 3 1 0 invoke insert 1 2\n4 1 0 ok insert 1 2\n5 2 0 ok read 1 {seen}\n"
            );
            judge_text(&text).unwrap()
        };
        for seen in ["[]", "[1]", "[1 2]"] {
            assert!(judge(seen).is_valid(), "{seen}");
        }
        assert_eq!(judge("[2]").found["causal-reverse"], 1);
    }
}
