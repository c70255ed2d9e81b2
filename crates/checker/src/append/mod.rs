//! # Lists that are appended to: what order were the transactions in?
//!
//! Each key is a list, empty at first. Transactions read lists and append to them; no value is ever appended twice to a
//! key. That makes a read tell a lot: `[3 1 7]` says who appended, and in which order. From all reads together the
//! checker knows for each key the order of its versions, and from that, without guessing, why one transaction
//! must come before another:
//!
//! ```text
//!   ww   A's append is the element before B's append
//!   wr   B's read ends with A's append
//!   rw   A read the list as it was just before B's append        (an anti-dependency)
//!   process, realtime    A was acknowledged before B began
//! ```
//!
//! A cycle of such edges is a contradiction, and its edges say how bad: Adya's phenomena, as Kingsbury and
//! Alvaro's paper on Elle (2020) finds them. Found here, each with the weakest level that forbids it:
//!
//! | name | cycle | forbidden by |
//! | --- | --- | --- |
//! | `G0` | ww only | read uncommitted |
//! | `G1c` | ww and wr | read committed |
//! | `G-single` | exactly one rw | snapshot isolation |
//! | `G-nonadjacent` | several rw, no two in a row | snapshot isolation |
//! | `G2-item` | several rw | serializability |
//! | `…-process` | and what one process did in order | strong session serializability |
//! | `…-realtime` | and what was over before | strict serializability |
//!
//! Of each tangle of transactions the weakest of these is reported, by a short cycle. What is wrong without any
//! cycle (`internal`, `G1a`, `lost-update`, …) is in `direct.rs`.
//!
//! Cost: linear in the events and the elements read, times the number of transactions under way at one time for the
//! real-time edges.

mod cycles;
mod direct;
mod edges;
mod explain;
mod generate;
mod versions;

use crate::judge::Checked;
use crate::text::{Words, write_list};
use crate::{Call, Operation, Verdict};

pub use generate::{Generator, Sizes};

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Append {
        key: u32,
        value: u32,
    },
    /// `seen` is `None` until it is known.
    Read {
        key: u32,
        seen: Option<Vec<u32>>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Txn(pub Vec<Step>);

impl Operation for Txn {
    const WORKLOAD: &'static str = "append";

    fn write(&self, out: &mut String) {
        for (position, step) in self.0.iter().enumerate() {
            if position > 0 {
                out.push_str("; ");
            }
            match step {
                Step::Append { key, value } => out.push_str(&format!("append {key} {value}")),
                Step::Read { key, seen } => {
                    out.push_str(&format!("read {key}"));
                    if let Some(seen) = seen {
                        out.push(' ');
                        write_list(out, seen);
                    }
                }
            }
        }
    }

    fn parse(text: &str) -> Option<Txn> {
        let steps = text.split(';').filter(|step| !step.trim().is_empty());
        Some(Txn(steps.map(Step::parse).collect::<Option<_>>()?))
    }
}

impl Step {
    fn parse(text: &str) -> Option<Step> {
        let mut words = Words::of(text);
        match words.word()? {
            "append" => {
                let (key, value) = (words.number()?, words.number()?);
                words.end(Step::Append { key, value })
            }
            "read" => {
                let key = words.number()?;
                let seen = if words.is_over() { None } else { Some(words.numbers()?) };
                words.end(Step::Read { key, seen })
            }
            _ => None,
        }
    }
}

impl Checked for Txn {
    fn judge(calls: &[Call<'_, Txn>], verdict: &mut Verdict) {
        match versions::Versions::of(calls) {
            Err(why) => verdict.unknown = Some(why),
            Ok(versions) => {
                direct::check(&versions, verdict);
                cycles::check(&versions, verdict);
            }
        }
    }
}

#[cfg(test)]
mod tests;
