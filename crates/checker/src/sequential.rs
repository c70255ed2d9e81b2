//! One client writes the parts of a key, one transaction after the other; others read them in the opposite order, each in a
//! transaction of its own. Who finds a part finds, later, every earlier one.

use crate::judge::Checked;
use crate::text::{Words, write_list};
use crate::{Call, Level, Operation, Verdict};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SequentialOp {
    /// Writes parts `0..parts`.
    Write { key: u32, parts: u32 },
    /// Reads them from the last to the first; the parts that were there, in this order.
    Read { key: u32, parts: u32, seen: Option<Vec<u32>> },
}

impl Operation for SequentialOp {
    const WORKLOAD: &'static str = "sequential";

    fn write(&self, out: &mut String) {
        match self {
            SequentialOp::Write { key, parts } => out.push_str(&format!("write {key} {parts}")),
            SequentialOp::Read { key, parts, seen } => {
                out.push_str(&format!("read {key} {parts}"));
                if let Some(seen) = seen {
                    out.push(' ');
                    write_list(out, seen);
                }
            }
        }
    }

    fn parse(text: &str) -> Option<SequentialOp> {
        let mut words = Words::of(text);
        let op = match words.word()? {
            "write" => SequentialOp::Write { key: words.number()?, parts: words.number()? },
            "read" => {
                let (key, parts) = (words.number()?, words.number()?);
                SequentialOp::Read { key, parts, seen: if words.is_over() { None } else { Some(words.numbers()?) } }
            }
            _ => return None,
        };
        words.end(op)
    }
}

impl Checked for SequentialOp {
    fn judge(calls: &[Call<'_, SequentialOp>], verdict: &mut Verdict) {
        for call in calls.iter().filter(|call| call.is_ok()) {
            let SequentialOp::Read { key, seen: Some(seen), .. } = call.op else { continue };
            let Some(highest) = seen.iter().max() else { continue };
            if let Some(missing) = (0..*highest).find(|part| !seen.contains(part)) {
                verdict.add("out-of-order", Level::StrictSerializable, || {
                    format!("key {key}: part {highest} was there, and later part {missing} was not\n  {call}")
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::judge_text;

    #[test]
    fn no_later_part_without_the_earlier() {
        let judge = |seen: &str| {
            let text = format!("# cairn history 1: sequential\n0 0 0 invoke read 1 3\n1 0 0 ok read 1 3 {seen}\n");
            judge_text(&text).unwrap().is_valid()
        };
        assert!(judge("[]") && judge("[0]") && judge("[1 0]") && judge("[2 1 0]"));
        assert!(!judge("[2]") && !judge("[2 0]") && !judge("[1]"));
    }
}
