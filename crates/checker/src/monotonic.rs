//! Each transaction reads the highest number and inserts the next one. Where the database tells a transaction's own number, of
//! its commit, it is written down with the answer.
//!
//! * `fork`: two acknowledged inserts of the same number;
//! * `gap`: a read of all rows misses a number below the highest;
//! * `disorder`: the database's numbers of the commits are not in the order of the numbers inserted;
//! * `went-back`: a read finds less than was known to be there before it began.

use crate::judge::Checked;
use crate::text::{Words, maybe, write_list};
use crate::{Call, Level, Operation, Verdict};

/// A number that was inserted, and the database's own number of the commit if it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub value: u32,
    pub stamp: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MonotonicOp {
    /// Inserts the highest number plus one; `None` until it is known which.
    Add(Option<Row>),
    /// The highest number, 0 if there is none.
    Highest(Option<u32>),
    /// All numbers that are there, in increasing order.
    Read(Option<Vec<u32>>),
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.value, maybe(self.stamp))
    }
}

impl Row {
    fn parse(text: &str) -> Option<Row> {
        let (value, stamp) = text.split_once('@')?;
        let stamp = if stamp == "-" { None } else { Some(stamp.parse().ok()?) };
        Some(Row { value: value.parse().ok()?, stamp })
    }
}

impl Operation for MonotonicOp {
    const WORKLOAD: &'static str = "monotonic";

    fn write(&self, out: &mut String) {
        match self {
            MonotonicOp::Add(row) => out.push_str(&format!("add {}", maybe(*row))),
            MonotonicOp::Highest(value) => out.push_str(&format!("highest {}", maybe(*value))),
            MonotonicOp::Read(None) => out.push_str("read"),
            MonotonicOp::Read(Some(rows)) => {
                out.push_str("read ");
                write_list(out, rows);
            }
        }
    }

    fn parse(text: &str) -> Option<MonotonicOp> {
        let mut words = Words::of(text);
        let op = match words.word()? {
            "add" => match words.word()? {
                "-" => MonotonicOp::Add(None),
                row => MonotonicOp::Add(Some(Row::parse(row)?)),
            },
            "highest" => MonotonicOp::Highest(words.maybe_number()?),
            "read" if words.is_over() => MonotonicOp::Read(None),
            "read" => MonotonicOp::Read(Some(words.numbers()?)),
            _ => return None,
        };
        words.end(op)
    }
}

impl Checked for MonotonicOp {
    fn judge(calls: &[Call<'_, MonotonicOp>], verdict: &mut Verdict) {
        check_adds(calls, verdict);
        check_real_time(calls, verdict);
        for call in calls.iter().filter(|call| call.is_ok()) {
            if let MonotonicOp::Read(Some(rows)) = call.op {
                check_rows(call, rows, verdict);
            }
        }
    }
}

/// The highest number that a call proves to be there.
fn proven(op: &MonotonicOp) -> Option<u32> {
    match op {
        MonotonicOp::Add(row) => row.map(|row| row.value),
        MonotonicOp::Highest(value) => *value,
        MonotonicOp::Read(rows) => rows.as_ref().map(|rows| rows.iter().copied().max().unwrap_or(0)),
    }
}

fn check_adds(calls: &[Call<'_, MonotonicOp>], verdict: &mut Verdict) {
    let mut added: Vec<(Row, &Call<'_, MonotonicOp>)> = Vec::new();
    for call in calls.iter().filter(|call| call.is_ok()) {
        if let MonotonicOp::Add(Some(row)) = call.op {
            added.push((*row, call));
        }
    }
    added.sort_by_key(|(row, _)| row.value);
    for pair in added.windows(2) {
        let [(one, by), (other, other_by)] = pair else { continue };
        if one.value == other.value {
            let why = || format!("both inserted {}\n  {by}\n  {other_by}", one.value);
            verdict.add("fork", Level::SnapshotIsolation, why);
        } else if let (Some(before), Some(after)) = (one.stamp, other.stamp)
            && before >= after
        {
            verdict.add("disorder", Level::StrictSerializable, || {
                format!("{} was inserted at {before}, {} at {after}\n  {by}\n  {other_by}", one.value, other.value)
            });
        }
    }
}

fn check_real_time(calls: &[Call<'_, MonotonicOp>], verdict: &mut Verdict) {
    let mut ended: Vec<&Call<'_, MonotonicOp>> = calls.iter().filter(|call| call.is_ok()).collect();
    ended.sort_unstable_by_key(|call| call.acknowledged());
    let mut ended = ended.into_iter().peekable();
    let mut best: Option<(u32, &Call<'_, MonotonicOp>)> = None;
    for call in calls.iter().filter(|call| call.is_ok()) {
        while let Some(before) = ended.next_if(|before| before.precedes(call)) {
            if let Some(value) = proven(before.op).filter(|value| best.is_none_or(|(highest, _)| *value > highest)) {
                best = Some((value, before));
            }
        }
        let (Some((known, by)), Some(found)) = (best, proven(call.op)) else { continue };
        // Who inserts goes above what it found.
        let least = known + u32::from(matches!(call.op, MonotonicOp::Add(_)));
        if found < least {
            let why = || format!("{known} was there before this began\n  {by}\n  {call}");
            verdict.add("went-back", Level::StrictSerializable, why);
        }
    }
}

fn check_rows(call: &Call<'_, MonotonicOp>, rows: &[u32], verdict: &mut Verdict) {
    for pair in rows.windows(2) {
        let (one, other) = (pair[0], pair[1]);
        if other == one {
            verdict.add("fork", Level::SnapshotIsolation, || format!("{one} is there twice\n  {call}"));
        } else if other != one + 1 {
            verdict.add("gap", Level::Serializable, || format!("after {one} comes {other}\n  {call}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::judge_text;

    fn judge(events: &[&str]) -> Vec<&'static str> {
        let mut text = "# cairn history 1: monotonic\n".to_owned();
        for (number, event) in events.iter().enumerate() {
            let (verb, _) = event.split_once(' ').unwrap();
            let asked = if verb == "read" { verb.to_owned() } else { format!("{verb} -") };
            text += &format!("{} 0 0 invoke {asked}\n{} 0 0 ok {event}\n", 2 * number, 2 * number + 1);
        }
        judge_text(&text).unwrap().found.into_keys().collect()
    }

    #[test]
    fn numbers_go_up() {
        assert!(judge(&["add 1@10", "highest 1", "add 2@20", "read [1 2]"]).is_empty());
        assert!(judge(&["highest 0", "add 1@-", "read [1]"]).is_empty());
    }

    #[test]
    fn and_never_down() {
        assert_eq!(judge(&["add 1@10", "highest 0"]), ["went-back"]);
        assert_eq!(judge(&["add 1@10", "add 1@11"]), ["fork", "went-back"]);
        assert_eq!(judge(&["read [1 3]"]), ["gap"]);
        assert_eq!(judge(&["read [1 2 2]"]), ["fork"]);
        assert_eq!(judge(&["add 1@10", "add 2@9"]), ["disorder"]);
    }
}
