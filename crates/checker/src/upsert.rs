//! Many insert a row for one unique key, or count up in the one that is there. There is never more than one, only one of
//! them created it, and its count is the number of those who were acknowledged (and perhaps of some whose outcome
//! nobody knows).

use crate::judge::Checked;
use crate::text::{Words, maybe, write_list};
use crate::{Call, Level, Map, Operation, Outcome, Verdict};

/// A row of the key: its own id, and how many have counted it up since it was created with 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub id: u32,
    pub count: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpsertOp {
    /// `id`: of the row if it is created; `created`: was it this one?
    Upsert {
        key: u32,
        id: u32,
        created: Option<bool>,
    },
    Read {
        key: u32,
        rows: Option<Vec<Row>>,
    },
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.id, self.count)
    }
}

impl Operation for UpsertOp {
    const WORKLOAD: &'static str = "upsert";

    fn write(&self, out: &mut String) {
        match self {
            UpsertOp::Upsert { key, id, created } => out.push_str(&format!("upsert {key} {id} {}", maybe(*created))),
            UpsertOp::Read { key, rows } => {
                out.push_str(&format!("read {key}"));
                if let Some(rows) = rows {
                    out.push(' ');
                    write_list(out, rows);
                }
            }
        }
    }

    fn parse(text: &str) -> Option<UpsertOp> {
        let row = |word: &str| {
            let (id, count) = word.split_once(':')?;
            Some(Row { id: id.parse().ok()?, count: count.parse().ok()? })
        };
        let mut words = Words::of(text);
        let op = match words.word()? {
            "upsert" => UpsertOp::Upsert { key: words.number()?, id: words.number()?, created: words.maybe_number()? },
            "read" => {
                let key = words.number()?;
                UpsertOp::Read { key, rows: if words.is_over() { None } else { Some(words.list(row)?) } }
            }
            _ => return None,
        };
        words.end(op)
    }
}

/// Those who counted one key up.
#[derive(Default)]
struct Key<'a> {
    created_by: Option<&'a Call<'a, UpsertOp>>,
    /// Ends of those who were acknowledged, sorted.
    ends: Vec<u32>,
    /// Begins of those who may have succeeded, sorted.
    begins: Vec<u32>,
}

impl Checked for UpsertOp {
    fn judge(calls: &[Call<'_, UpsertOp>], verdict: &mut Verdict) {
        let mut keys: Map<u32, Key<'_>> = Map::default();
        for call in calls.iter().filter(|call| call.outcome != Outcome::Fail) {
            let UpsertOp::Upsert { key, created, .. } = call.op else { continue };
            let known = keys.entry(*key).or_default();
            known.begins.push(call.invoked);
            if !call.is_ok() {
                continue;
            }
            known.ends.push(call.acknowledged());
            if *created == Some(true)
                && let Some(other) = known.created_by.replace(call)
            {
                let why = || format!("key {key}: both created its row\n  {other}\n  {call}");
                verdict.add("created-twice", Level::Serializable, why);
            }
        }
        for key in keys.values_mut() {
            key.ends.sort_unstable();
        }
        for call in calls.iter().filter(|call| call.is_ok()) {
            if let UpsertOp::Read { key, rows: Some(rows) } = call.op {
                check_rows(call, *key, rows, keys.get(key), verdict);
            }
        }
    }
}

fn check_rows(call: &Call<'_, UpsertOp>, key: u32, rows: &[Row], known: Option<&Key<'_>>, verdict: &mut Verdict) {
    if rows.len() > 1 {
        verdict.add("several-rows", Level::ReadCommitted, || format!("key {key}: more than one row\n  {call}"));
        return;
    }
    let count = rows.first().map_or(0, |row| row.count as usize);
    let (least, most) = known.map_or((0, 0), |known| {
        let least = known.ends.partition_point(|end| *end < call.invoked);
        (least, known.begins.partition_point(|begin| *begin < call.acknowledged()))
    });
    if count < least {
        verdict.add("lost-upsert", Level::StrictSerializable, || {
            format!("key {key}: {least} were acknowledged before, {count} are counted\n  {call}")
        });
    } else if count > most {
        verdict.add("counted-twice", Level::ReadUncommitted, || {
            format!("key {key}: only {most} may have counted, {count} are there\n  {call}")
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::judge_text;

    fn judge(second: &str, read: &str) -> Vec<&'static str> {
        let text = format!(
            "# cairn history 1: upsert\n0 0 0 invoke upsert 1 10 -\n1 1 0 invoke upsert 1 11 -\n2 0 0 ok upsert 1 10 true\n\
             3 1 0 {second}\n4 2 0 invoke read 1\n5 2 0 ok read 1 {read}\n"
        );
        judge_text(&text).unwrap().found.into_keys().collect()
    }

    #[test]
    fn one_row_that_counts_everybody() {
        assert!(judge("ok upsert 1 11 false", "[10:2]").is_empty());
        assert!(judge("info upsert 1 11 -", "[10:2]").is_empty());
        assert!(judge("info upsert 1 11 -", "[10:1]").is_empty());
        assert!(judge("fail upsert 1 11 -", "[10:1]").is_empty());
    }

    #[test]
    fn no_second_and_no_lost_one() {
        assert_eq!(judge("ok upsert 1 11 true", "[10:2]"), ["created-twice"]);
        assert_eq!(judge("info upsert 1 11 -", "[10:1 11:1]"), ["several-rows"]);
        assert_eq!(judge("ok upsert 1 11 false", "[10:1]"), ["lost-upsert"]);
        assert_eq!(judge("fail upsert 1 11 -", "[10:2]"), ["counted-twice"]);
        assert_eq!(judge("ok upsert 1 11 false", "[]"), ["lost-upsert"]);
    }
}
