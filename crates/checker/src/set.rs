//! Numbers are inserted into sets, and whole sets are read, all the time. From when an insert was acknowledged, or its number seen by anybody,
//! every read that begins later must have it.
//!
//! * `lost`: no read sees it ever again;
//! * `stale`: a later read does;
//! * `duplicate`, `phantom` (never inserted), `failed-but-there`.

use std::collections::BTreeMap;

use crate::judge::Checked;
use crate::text::{Words, write_list};
use crate::{Call, Level, Map, Operation, Outcome, Set, Verdict};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetOp {
    Add {
        set: u32,
        value: u32,
    },
    /// Everything that is there.
    Read {
        set: u32,
        seen: Option<Vec<u32>>,
    },
}

impl Operation for SetOp {
    const WORKLOAD: &'static str = "set";

    fn write(&self, out: &mut String) {
        match self {
            SetOp::Add { set, value } => out.push_str(&format!("add {set} {value}")),
            SetOp::Read { set, seen } => {
                out.push_str(&format!("read {set}"));
                if let Some(seen) = seen {
                    out.push(' ');
                    write_list(out, seen);
                }
            }
        }
    }

    fn parse(text: &str) -> Option<SetOp> {
        let mut words = Words::of(text);
        let (verb, set) = (words.word()?, words.number()?);
        let op = match verb {
            "add" => SetOp::Add { set, value: words.number()? },
            "read" => SetOp::Read { set, seen: if words.is_over() { None } else { Some(words.numbers()?) } },
            _ => return None,
        };
        words.end(op)
    }
}

/// What is known of a number.
struct Element<'a> {
    add: &'a Call<'a, SetOp>,
    /// From this event on it is known to be there, and by whom.
    known: u32,
    known_by: &'a Call<'a, SetOp>,
    /// Begin of the last read that saw it.
    last_seen: u32,
}

struct Look<'a> {
    call: &'a Call<'a, SetOp>,
    seen: Set<u32>,
}

impl Checked for SetOp {
    fn judge(calls: &[Call<'_, SetOp>], verdict: &mut Verdict) {
        let mut sets: BTreeMap<u32, Vec<&Call<'_, SetOp>>> = BTreeMap::new();
        for call in calls {
            let (SetOp::Add { set, .. } | SetOp::Read { set, .. }) = call.op;
            sets.entry(*set).or_default().push(call);
        }
        for calls in sets.values() {
            judge_set(calls, verdict);
        }
    }
}

fn judge_set(calls: &[&Call<'_, SetOp>], verdict: &mut Verdict) {
    let mut elements: Map<u32, Element<'_>> = Map::default();
    for call in calls {
        if let SetOp::Add { value, .. } = call.op {
            let known = Element { add: call, known: call.acknowledged(), known_by: call, last_seen: 0 };
            if elements.insert(*value, known).is_some() {
                verdict.unknown = Some(format!("{value} is inserted twice"));
                return;
            }
        }
    }
    let looks = looks(calls, &mut elements, verdict);
    let mut known: Vec<(&u32, &Element<'_>)> =
        elements.iter().filter(|(_, element)| element.known < u32::MAX).collect();
    known.sort_unstable_by_key(|(value, element)| (element.known, **value));
    let mut missed: Set<u32> = Set::default();
    for look in &looks {
        for (value, element) in known.iter().take_while(|(_, element)| element.known < look.call.invoked) {
            // Of each number one read that misses it is enough.
            if look.seen.contains(*value) || !missed.insert(**value) {
                continue;
            }
            let is_seen_later = element.last_seen > look.call.invoked;
            let name = if is_seen_later { "stale" } else { "lost" };
            verdict.add(name, Level::StrictSerializable, || {
                let (add, by, call) = (element.add, element.known_by, look.call);
                format!(
                    "{value} was there (event {}), and a later read misses it\n  {add}\n  {by}\n  {call}",
                    element.known
                )
            });
        }
    }
}

/// All reads, by their begin; what they see is noted in `elements`.
fn looks<'a>(
    calls: &[&'a Call<'a, SetOp>],
    elements: &mut Map<u32, Element<'a>>,
    verdict: &mut Verdict,
) -> Vec<Look<'a>> {
    let mut looks = Vec::new();
    for call in calls.iter().copied().filter(|call| call.is_ok()) {
        let SetOp::Read { seen: Some(seen), .. } = call.op else { continue };
        let mut distinct: Set<u32> = Set::default();
        for value in seen {
            if !distinct.insert(*value) {
                verdict.add("duplicate", Level::ReadUncommitted, || format!("{value} is there twice\n  {call}"));
            }
            let Some(element) = elements.get_mut(value) else {
                verdict.add("phantom", Level::ReadUncommitted, || format!("{value} was never inserted\n  {call}"));
                continue;
            };
            if element.add.outcome == Outcome::Fail {
                let add = element.add;
                verdict
                    .add("failed-but-there", Level::ReadCommitted, || format!("{value} is there\n  {add}\n  {call}"));
            }
            if call.acknowledged() < element.known {
                (element.known, element.known_by) = (call.acknowledged(), call);
            }
            element.last_seen = element.last_seen.max(call.invoked);
        }
        looks.push(Look { call, seen: distinct });
    }
    looks
}

#[cfg(test)]
mod tests {
    use crate::judge_text;

    fn judge(events: &[&str]) -> Vec<&'static str> {
        let lines = events.iter().enumerate().map(|(index, event)| {
            let (process, rest) = event.split_once(' ').unwrap();
            format!("{index} {process} 0 {rest}\n")
        });
        let text = format!("# cairn history 1: set\n{}", lines.collect::<String>());
        judge_text(&text).unwrap().found.into_keys().collect()
    }

    #[test]
    fn a_read_may_or_may_not_see_what_goes_on() {
        let nobody_knows = ["0 invoke add 9 1", "1 invoke read 9", "1 ok read 9 [1]", "0 info add 9 1"];
        assert!(judge(&nobody_knows).is_empty());
        assert!(judge(&["0 invoke add 9 1", "1 invoke read 9", "0 ok add 9 1", "1 ok read 9 []"]).is_empty());
    }

    #[test]
    fn what_was_acknowledged_or_seen_stays() {
        let add = ["0 invoke add 9 1", "0 ok add 9 1"];
        assert_eq!(judge(&[&add[..], &["1 invoke read 9", "1 ok read 9 []"]].concat()), ["lost"]);
        let later = ["1 invoke read 9", "1 ok read 9 []", "1 invoke read 9", "1 ok read 9 [1]"];
        assert_eq!(judge(&[&add[..], &later].concat()), ["stale"]);
        let seen_once = [
            "0 invoke add 9 1",
            "0 info add 9 1",
            "1 invoke read 9",
            "1 ok read 9 [1]",
            "2 invoke read 9",
            "2 ok read 9 []",
        ];
        assert_eq!(judge(&seen_once), ["lost"]);
    }

    #[test]
    fn nothing_else_is_there() {
        let failed = ["0 invoke add 9 1", "0 fail add 9 1", "1 invoke read 9", "1 ok read 9 [1]"];
        assert_eq!(judge(&failed), ["failed-but-there"]);
        assert_eq!(judge(&["1 invoke read 9", "1 ok read 9 [7]"]), ["phantom"]);
        assert_eq!(judge(&["0 invoke add 9 1", "0 ok add 9 1", "1 invoke read 9", "1 ok read 9 [1 1]"]), ["duplicate"]);
    }
}
