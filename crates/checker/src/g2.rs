//! Write skew over predicates. For each key two transactions look into two tables for rows of the key that fit a
//! condition, and if there are none insert one, each into a table of its own. One of them at most may succeed.

use crate::judge::Checked;
use crate::text::{Words, write_list};
use crate::{Call, Level, Map, Operation, Verdict};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum G2Op {
    /// Acknowledged if the transaction found nothing and inserted its row.
    Insert { key: u32, row: u32 },
    /// The rows of a key, of both tables.
    Read { key: u32, rows: Option<Vec<u32>> },
}

impl Operation for G2Op {
    const WORKLOAD: &'static str = "g2";

    fn write(&self, out: &mut String) {
        match self {
            G2Op::Insert { key, row } => out.push_str(&format!("insert {key} {row}")),
            G2Op::Read { key, rows } => {
                out.push_str(&format!("read {key}"));
                if let Some(rows) = rows {
                    out.push(' ');
                    write_list(out, rows);
                }
            }
        }
    }

    fn parse(text: &str) -> Option<G2Op> {
        let mut words = Words::of(text);
        let op = match words.word()? {
            "insert" => G2Op::Insert { key: words.number()?, row: words.number()? },
            "read" => {
                let key = words.number()?;
                G2Op::Read { key, rows: if words.is_over() { None } else { Some(words.numbers()?) } }
            }
            _ => return None,
        };
        words.end(op)
    }
}

impl Checked for G2Op {
    fn judge(calls: &[Call<'_, G2Op>], verdict: &mut Verdict) {
        let mut first: Map<u32, &Call<'_, G2Op>> = Map::default();
        for call in calls.iter().filter(|call| call.is_ok()) {
            match call.op {
                G2Op::Insert { key, .. } => {
                    if let Some(other) = first.insert(*key, call) {
                        let why = || format!("key {key}: both found nothing and inserted a row\n  {other}\n  {call}");
                        verdict.add("G2", Level::Serializable, why);
                    }
                }
                G2Op::Read { key, rows: Some(rows) } if rows.len() > 1 => {
                    let why = || format!("key {key}: there are several rows\n  {call}");
                    verdict.add("G2", Level::Serializable, why);
                }
                G2Op::Read { .. } => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::judge_text;

    fn judge(end: &str, read: &str) -> bool {
        let text = format!(
            "# cairn history 1: g2\n0 0 0 invoke insert 1 1\n1 1 0 invoke insert 1 2\n2 0 0 ok insert 1 1\n\
             3 1 0 {end} insert 1 2\n4 2 0 invoke read 1\n5 2 0 ok read 1 {read}\n"
        );
        judge_text(&text).unwrap().is_valid()
    }

    #[test]
    fn one_of_both_at_most() {
        assert!(judge("fail", "[1]"));
        assert!(judge("info", "[1]"));
        assert!(!judge("ok", "[1]"));
        assert!(!judge("info", "[1 2]"));
    }
}
