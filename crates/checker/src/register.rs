//! # Linearizable registers
//!
//! Each key holds a number or nothing. An operation must look as if it happened at one moment between its begin
//! and its end. Whether there are such moments for all operations of a key is found by search, key by key (a history is
//! linearizable if each of its objects is): Wing and Gong's algorithm with Lowe's memory of what was tried.
//!
//! The search walks over the key's begins and ends in the order of time. At a begin it tries to let the operation happen now.
//! At the end of an operation that has not happened yet it has gone wrong, and takes the last choice back. What has
//! been tried is remembered as the set of operations that have happened, and the value: the same set with the same value
//! leads to the same end. An operation whose outcome nobody knows ends never; it may happen at the very end, which nobody sees.
//!
//! A few hundred operations per key and a dozen processes are no problem. The problem as such is NP-complete: the search
//! gives up after a number of steps, and then the verdict is "unknown".

use std::collections::BTreeMap;

use crate::judge::Checked;
use crate::text::{Words, maybe};
use crate::{Call, Level, Operation, Outcome, Set, Verdict};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterOp {
    /// `value` is `None` until it is known; then it is what was there.
    Read {
        key: u32,
        value: Option<Option<u32>>,
    },
    Write {
        key: u32,
        value: u32,
    },
    /// `swapped` is `None` until it is known. `false`: there was something else.
    Cas {
        key: u32,
        from: u32,
        to: u32,
        swapped: Option<bool>,
    },
}

impl RegisterOp {
    fn key(self) -> u32 {
        let (RegisterOp::Read { key, .. } | RegisterOp::Write { key, .. } | RegisterOp::Cas { key, .. }) = self;
        key
    }
}

impl Operation for RegisterOp {
    const WORKLOAD: &'static str = "register";

    fn write(&self, out: &mut String) {
        out.push_str(&match self {
            RegisterOp::Read { key, value: None } => format!("read {key}"),
            RegisterOp::Read { key, value: Some(value) } => format!("read {key} {}", maybe(*value)),
            RegisterOp::Write { key, value } => format!("write {key} {value}"),
            RegisterOp::Cas { key, from, to, swapped } => format!("cas {key} {from} {to} {}", maybe(*swapped)),
        });
    }

    fn parse(text: &str) -> Option<RegisterOp> {
        let mut words = Words::of(text);
        let (verb, key) = (words.word()?, words.number()?);
        let op = match verb {
            "read" if words.is_over() => RegisterOp::Read { key, value: None },
            "read" => RegisterOp::Read { key, value: Some(words.maybe_number()?) },
            "write" => RegisterOp::Write { key, value: words.number()? },
            "cas" => {
                RegisterOp::Cas { key, from: words.number()?, to: words.number()?, swapped: words.maybe_number()? }
            }
            _ => return None,
        };
        words.end(op)
    }
}

impl Checked for RegisterOp {
    fn judge(calls: &[Call<'_, RegisterOp>], verdict: &mut Verdict) {
        let mut keys: BTreeMap<u32, Vec<&Call<'_, RegisterOp>>> = BTreeMap::new();
        for call in calls {
            // A read that nobody was answered says nothing.
            let says = match call.outcome {
                Outcome::Ok => true,
                Outcome::Fail => false,
                Outcome::Info => !matches!(call.op, RegisterOp::Read { .. }),
            };
            if says {
                keys.entry(call.op.key()).or_default().push(call);
            }
        }
        for (key, calls) in keys {
            match Search::new(&calls).run() {
                Found::Order => {}
                Found::TooHard => {
                    let why = format!("key {key}: no order was found in {STEPS_MAX} steps, and none was excluded");
                    verdict.unknown.get_or_insert(why);
                }
                Found::None { longest } => {
                    verdict.add("not-linearizable", Level::StrictSerializable, || explain(key, &calls, &longest));
                }
            }
        }
    }
}

type Value = Option<u32>;

/// The value after this operation; `None` if it cannot have happened on `value`.
fn apply(call: &Call<'_, RegisterOp>, value: Value) -> Option<Value> {
    match *call.op {
        RegisterOp::Read { value: seen, .. } => seen.is_none_or(|seen| seen == value).then_some(value),
        RegisterOp::Write { value: new, .. } => Some(Some(new)),
        RegisterOp::Cas { from, to, swapped, .. } => {
            let fits = value == Some(from);
            match swapped {
                Some(swapped) if swapped != fits => None,
                _ => Some(if fits { Some(to) } else { value }),
            }
        }
    }
}

const STEPS_MAX: u64 = 5_000_000;

enum Found {
    Order,
    /// The most operations that have an order together, in that order.
    None {
        longest: Vec<usize>,
    },
    TooHard,
}

/// A begin or an end, in a list from which operations that have happened are taken out. Entry 0 is the list's begin.
#[derive(Clone, Copy)]
struct Entry {
    call: usize,
    /// Of a begin: where the end is.
    end: Option<usize>,
    before: usize,
    after: usize,
}

struct Search<'a> {
    calls: &'a [&'a Call<'a, RegisterOp>],
    entries: Vec<Entry>,
    happened: Box<[u64]>,
    tried: Set<(Box<[u64]>, Value)>,
    /// Choices: the begin, and the value before it.
    chosen: Vec<(usize, Value)>,
    longest: Vec<usize>,
}

const HEAD: usize = 0;

impl<'a> Search<'a> {
    fn new(calls: &'a [&'a Call<'a, RegisterOp>]) -> Search<'a> {
        let mut times: Vec<(u64, usize, bool)> = Vec::with_capacity(2 * calls.len());
        for (number, call) in calls.iter().enumerate() {
            let end = if call.is_ok() { u64::from(call.acknowledged()) } else { u64::MAX };
            times.push((u64::from(call.invoked), number, false));
            times.push((end, number, true));
        }
        times.sort_unstable();
        let nowhere = Entry { call: usize::MAX, end: None, before: 0, after: 1 };
        let mut entries = vec![nowhere];
        let mut begins = vec![0; calls.len()];
        for (_, call, is_end) in times {
            let place = entries.len();
            entries.push(Entry { call, end: None, before: place - 1, after: place + 1 });
            if is_end {
                entries[begins[call]].end = Some(place);
            } else {
                begins[call] = place;
            }
        }
        // The last one's `after` is here, so that there is always one.
        entries.push(Entry { before: entries.len() - 1, ..nowhere });
        let happened = vec![0; calls.len().div_ceil(64)].into();
        Search { calls, entries, happened, tried: Set::default(), chosen: Vec::new(), longest: Vec::new() }
    }

    fn run(mut self) -> Found {
        let mut value = None;
        let mut at = self.entries[HEAD].after;
        let tail = self.entries.len() - 1;
        for _ in 0..STEPS_MAX {
            if self.entries[HEAD].after == tail {
                return Found::Order;
            }
            let entry = self.entries[at];
            if entry.end.is_some() {
                match apply(self.calls[entry.call], value).filter(|after| self.is_new(entry.call, *after)) {
                    Some(after) => {
                        self.chosen.push((at, value));
                        self.take_out(at);
                        value = after;
                        at = self.entries[HEAD].after;
                    }
                    None => at = entry.after,
                }
            } else {
                if self.chosen.len() > self.longest.len() || self.longest.is_empty() {
                    self.longest = self.chosen.iter().map(|(begin, _)| self.entries[*begin].call).collect();
                }
                let Some((begin, before)) = self.chosen.pop() else {
                    return Found::None { longest: self.longest };
                };
                self.put_back(begin);
                value = before;
                at = self.entries[begin].after;
            }
        }
        Found::TooHard
    }

    /// Marks the operation as happened if that, with this value, was never tried.
    fn is_new(&mut self, call: usize, value: Value) -> bool {
        self.happened[call / 64] |= 1 << (call % 64);
        let is_new = self.tried.insert((self.happened.clone(), value));
        if !is_new {
            self.happened[call / 64] &= !(1 << (call % 64));
        }
        is_new
    }

    fn take_out(&mut self, begin: usize) {
        let end = self.entries[begin].end.expect("only begins are chosen");
        for place in [begin, end] {
            let Entry { before, after, .. } = self.entries[place];
            self.entries[before].after = after;
            self.entries[after].before = before;
        }
    }

    fn put_back(&mut self, begin: usize) {
        let end = self.entries[begin].end.expect("only begins are chosen");
        for place in [end, begin] {
            let Entry { before, after, .. } = self.entries[place];
            self.entries[before].after = place;
            self.entries[after].before = place;
        }
        let call = self.entries[begin].call;
        self.happened[call / 64] &= !(1 << (call % 64));
    }
}

/// The order as far as there is one, and what then can come next, and why it cannot.
fn explain(key: u32, calls: &[&Call<'_, RegisterOp>], longest: &[usize]) -> String {
    const SHOWN: usize = 6;
    let mut value = None;
    for call in longest {
        value = apply(calls[*call], value).expect("it was applied before");
    }
    let open = || calls.iter().enumerate().filter(|(number, _)| !longest.contains(number)).map(|(_, call)| *call);
    let first_end = open().map(|call| call.acknowledged()).min().unwrap_or(u32::MAX);
    let mut text = format!("key {key}: {} operations have an order, the last of them is", longest.len());
    for call in longest.iter().rev().take(SHOWN).rev() {
        text += &format!("\n    {}", calls[*call]);
    }
    text += &format!("\n  then it holds {}, and one of these would have to be next, and none fits:", maybe(value));
    for call in open().filter(|call| call.invoked < first_end).take(SHOWN) {
        text += &format!("\n    {call}");
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::{Verdict, judge_text};

    fn judge(events: &[&str]) -> Verdict {
        let lines = events.iter().enumerate().map(|(index, event)| {
            let (process, rest) = event.split_once(' ').unwrap();
            format!("{index} {process} 0 {rest}\n")
        });
        judge_text(&format!("# cairn history 1: register\n{}", lines.collect::<String>())).unwrap()
    }

    #[test]
    fn concurrent_operations_have_any_order() {
        let write = ["0 invoke write 1 5", "1 invoke read 1"];
        for seen in ["-", "5"] {
            assert!(judge(&[write[0], write[1], &format!("1 ok read 1 {seen}"), "0 ok write 1 5"]).is_valid());
        }
        let cas = ["0 invoke write 1 5", "1 invoke cas 1 5 6 -", "1 ok cas 1 5 6 true", "0 ok write 1 5"];
        assert!(judge(&[&cas[..], &["0 invoke read 1", "0 ok read 1 6"]].concat()).is_valid());
        assert!(!judge(&[&cas[..], &["0 invoke read 1", "0 ok read 1 5"]].concat()).is_valid());
    }

    #[test]
    fn a_stale_read_is_seen_and_told() {
        let verdict = judge(&[
            "0 invoke write 1 5",
            "0 ok write 1 5",
            "0 invoke write 1 6",
            "0 ok write 1 6",
            "1 invoke read 1",
            "1 ok read 1 5",
        ]);
        assert_eq!(verdict.found["not-linearizable"], 1);
        let text = verdict.to_string();
        assert!(text.contains("then it holds 6") && text.contains("read 1 5"), "{text}");
    }

    #[test]
    fn what_nobody_knows_may_happen_late_or_never() {
        let lost = ["0 invoke write 1 5", "0 info write 1 5", "1 invoke read 1", "1 ok read 1 -"];
        assert!(judge(&lost).is_valid());
        let late = [&lost[..], &["1 invoke read 1", "1 ok read 1 5"]].concat();
        assert!(judge(&late).is_valid());
        let back = [&late[..], &["1 invoke read 1", "1 ok read 1 -"]].concat();
        assert!(!judge(&back).is_valid());
        let failed = ["0 invoke write 1 5", "0 fail write 1 5", "1 invoke read 1", "1 ok read 1 5"];
        assert!(!judge(&failed).is_valid());
    }

    #[test]
    fn a_swap_that_failed_says_what_was_not_there() {
        let write = ["0 invoke write 1 5", "0 ok write 1 5", "0 invoke cas 1 5 6 -"];
        assert!(judge(&[&write[..], &["0 ok cas 1 5 6 true"]].concat()).is_valid());
        assert!(!judge(&[&write[..], &["0 ok cas 1 5 6 false"]].concat()).is_valid());
    }

    #[test]
    fn keys_are_judged_one_by_one() {
        let one = ["0 invoke write 1 5", "0 ok write 1 5", "0 invoke write 2 7", "0 ok write 2 7"];
        let reads = ["1 invoke read 1", "1 ok read 1 5", "1 invoke read 2", "1 ok read 2 5"];
        let verdict = judge(&[&one[..], &reads].concat());
        assert!(verdict.to_string().contains("key 2"), "{verdict}");
        assert_eq!(verdict.found.len(), 1);
    }
}
