//! Single writes to the keys of a group, each key once, and reads of a whole group. Two readers of which one has seen only this
//! write and the other only that one saw them in different orders: no one order of transactions allows both.

use crate::judge::Checked;
use crate::text::{Words, write_list};
use crate::{Call, Level, Map, Operation, Verdict};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForkOp {
    Write {
        group: u32,
        key: u32,
    },
    /// The keys of the group that have been written.
    Read {
        group: u32,
        seen: Option<Vec<u32>>,
    },
}

impl Operation for ForkOp {
    const WORKLOAD: &'static str = "longfork";

    fn write(&self, out: &mut String) {
        match self {
            ForkOp::Write { group, key } => out.push_str(&format!("write {group} {key}")),
            ForkOp::Read { group, seen } => {
                out.push_str(&format!("read {group}"));
                if let Some(seen) = seen {
                    out.push(' ');
                    write_list(out, seen);
                }
            }
        }
    }

    fn parse(text: &str) -> Option<ForkOp> {
        let mut words = Words::of(text);
        let op = match words.word()? {
            "write" => ForkOp::Write { group: words.number()?, key: words.number()? },
            "read" => {
                let group = words.number()?;
                ForkOp::Read { group, seen: if words.is_over() { None } else { Some(words.numbers()?) } }
            }
            _ => return None,
        };
        words.end(op)
    }
}

impl Checked for ForkOp {
    fn judge(calls: &[Call<'_, ForkOp>], verdict: &mut Verdict) {
        let mut groups: Map<u32, Vec<(Vec<u32>, &Call<'_, ForkOp>)>> = Map::default();
        for call in calls.iter().filter(|call| call.is_ok()) {
            if let ForkOp::Read { group, seen: Some(seen) } = call.op {
                let mut seen = seen.clone();
                seen.sort_unstable();
                groups.entry(*group).or_default().push((seen, call));
            }
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_unstable_by_key(|(group, _)| *group);
        for (group, mut reads) in groups {
            // If each has all of the next smaller one, all agree.
            reads.sort_by_key(|(seen, _)| seen.len());
            for pair in reads.windows(2) {
                let [(fewer, one), (more, other)] = pair else { continue };
                if let Some(only) = fewer.iter().find(|key| more.binary_search(key).is_err()) {
                    verdict.add("long-fork", Level::SnapshotIsolation, || {
                        let missing = more.iter().find(|key| fewer.binary_search(key).is_err());
                        let missing = missing.expect("who has not less and lacks one has another");
                        format!("group {group}: one has {only} without {missing}, the other {missing} without {only}\n  {one}\n  {other}")
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::judge_text;

    #[test]
    fn all_see_one_order() {
        let judge = |one: &str, other: &str| {
            let text = format!(
                "# cairn history 1: longfork\n0 0 0 invoke write 7 1\n1 1 0 invoke write 7 2\n2 2 0 invoke read 7\n\
                 3 2 0 ok read 7 {one}\n4 3 0 invoke read 7\n5 3 0 ok read 7 {other}\n6 0 0 ok write 7 1\n7 1 0 ok write 7 2\n"
            );
            judge_text(&text).unwrap()
        };
        assert!(judge("[1]", "[2 1]").is_valid());
        assert!(judge("[]", "[2]").is_valid());
        let fork = judge("[1]", "[2]");
        assert_eq!(fork.found["long-fork"], 1);
        assert!(fork.to_string().contains("one has 1 without 2, the other 2 without 1"), "{fork}");
    }
}
