//! What clients did and saw, in one order of time.

use std::fmt;

use thiserror::Error;

use crate::Map;

/// Something that acts one step after the other. Not a client: a client that does not know what became of its
/// last operation goes on as a new process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process(pub u32);

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Invoke,
    Ok,
    Fail,
    Info,
}

/// How an operation ended, as its client knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged.
    Ok,
    /// Surely without effect, now and later.
    Fail,
    /// Nobody knows, and perhaps it still goes on.
    Info,
}

impl From<Outcome> for Kind {
    fn from(outcome: Outcome) -> Kind {
        match outcome {
            Outcome::Ok => Kind::Ok,
            Outcome::Fail => Kind::Fail,
            Outcome::Info => Kind::Info,
        }
    }
}

/// One kind of operation, with its form in a line of text.
pub trait Operation: Clone + fmt::Debug + PartialEq {
    /// The workload's name, on the first line of its files.
    const WORKLOAD: &'static str;

    /// Appends the operation to `out`, without a line break.
    fn write(&self, out: &mut String);

    /// `None` if the text is not what [`Operation::write`] makes.
    fn parse(text: &str) -> Option<Self>;

    fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Event<O> {
    pub process: Process,
    /// Nanoseconds since some begin; for readers. What counts is the order of the events.
    pub time: u64,
    pub kind: Kind,
    /// With what was read, if this is an `Ok`.
    pub op: O,
}

/// Events in the order of time: an operation that is acknowledged at a lower index than another is invoked at
/// was over before the other began.
#[derive(Clone, Debug, PartialEq)]
pub struct History<O> {
    events: Vec<Event<O>>,
    processes: u32,
}

impl<O> Default for History<O> {
    fn default() -> History<O> {
        History { events: Vec::new(), processes: 0 }
    }
}

/// An operation from begin to end.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a, O> {
    pub process: Process,
    /// Index of the event.
    pub invoked: u32,
    /// Index of the event; `None` if nobody knows when it ends (`Info`).
    pub completed: Option<u32>,
    pub outcome: Outcome,
    /// What was asked for, and if `outcome` is `Ok` what was answered.
    pub op: &'a O,
}

/// Why a history is none.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Malformed {
    #[error("event {index}: {process} begins something before its last operation has ended")]
    Overlap { index: u32, process: Process },
    #[error("event {index}: {process} ends what it has not begun")]
    NotBegun { index: u32, process: Process },
    #[error("event {index}: {process} goes on although it does not know what became of its last operation")]
    AfterInfo { index: u32, process: Process },
}

impl<O> History<O> {
    pub fn events(&self) -> &[Event<O>] {
        &self.events
    }

    pub fn len(&self) -> usize {
        self.events.len()
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// A number that no process of this history has had.
    pub fn new_process(&mut self) -> Process {
        self.processes += 1;
        Process(self.processes - 1)
    }

    pub fn push(&mut self, event: Event<O>) {
        self.processes = self.processes.max(event.process.0.saturating_add(1));
        self.events.push(event);
    }

    pub fn invoke(&mut self, process: Process, time: u64, op: O) {
        self.push(Event { process, time, kind: Kind::Invoke, op });
    }

    pub fn complete(&mut self, process: Process, time: u64, outcome: Outcome, op: O) {
        self.push(Event { process, time, kind: outcome.into(), op });
    }

    /// All operations, by their begin. One that never ended is an `Info`.
    pub fn calls(&self) -> Result<Vec<Call<'_, O>>, Malformed> {
        let mut calls: Vec<Call<'_, O>> = Vec::with_capacity(self.events.len() / 2);
        let mut open: Map<Process, State> = Map::default();
        for (index, event) in (0_u32..).zip(&self.events) {
            let process = event.process;
            let state = open.entry(process).or_insert(State::Idle);
            match (*state, event.kind) {
                (State::Lost, _) => return Err(Malformed::AfterInfo { index, process }),
                (State::Busy(_), Kind::Invoke) => return Err(Malformed::Overlap { index, process }),
                (State::Idle, Kind::Invoke) => {
                    *state = State::Busy(calls.len());
                    let (outcome, op) = (Outcome::Info, &event.op);
                    calls.push(Call { process, invoked: index, completed: None, outcome, op });
                }
                (State::Idle, _) => return Err(Malformed::NotBegun { index, process }),
                (State::Busy(call), Kind::Ok) => {
                    *state = State::Idle;
                    let call = &mut calls[call];
                    (call.completed, call.outcome, call.op) = (Some(index), Outcome::Ok, &event.op);
                }
                (State::Busy(call), Kind::Fail) => {
                    *state = State::Idle;
                    let call = &mut calls[call];
                    (call.completed, call.outcome) = (Some(index), Outcome::Fail);
                }
                (State::Busy(_), Kind::Info) => *state = State::Lost,
            }
        }
        Ok(calls)
    }
}

#[derive(Clone, Copy)]
enum State {
    Idle,
    Busy(usize),
    Lost,
}

impl<O> Call<'_, O> {
    pub fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }

    /// Index of its end if it was acknowledged, else never.
    pub fn acknowledged(&self) -> u32 {
        if self.is_ok() { self.completed.unwrap_or(u32::MAX) } else { u32::MAX }
    }

    /// Acknowledged before `other` began?
    pub fn precedes(&self, other: &Call<'_, O>) -> bool {
        self.acknowledged() < other.invoked
    }
}

impl<O: Operation> fmt::Display for Call<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = match self.completed {
            Some(index) => index.to_string(),
            None => "?".to_owned(),
        };
        let outcome = match self.outcome {
            Outcome::Ok => "",
            Outcome::Fail => ", failed",
            Outcome::Info => ", outcome unknown",
        };
        write!(f, "{}, events {}–{end}{outcome}: {}", self.process, self.invoked, shorten(&self.op.text()))
    }
}

/// Long lists of numbers make explanations unreadable: what matters is at their ends.
fn shorten(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, list)) = rest.split_once('[') {
        let (inside, after) = list.split_once(']').unwrap_or((list, ""));
        out.push_str(before);
        out.push_str(&shorten_list(inside));
        rest = after;
    }
    out + rest
}

fn shorten_list(inside: &str) -> String {
    const SHOWN: usize = 12;
    let items: Vec<&str> = inside.split_whitespace().collect();
    match items.len().checked_sub(SHOWN) {
        Some(hidden @ 1..) => format!("[({hidden} more) {}]", items[hidden..].join(" ")),
        _ => format!("[{inside}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::set::SetOp;

    fn add(value: u32) -> SetOp {
        SetOp::Add { set: 0, value }
    }

    #[test]
    fn who_does_not_know_is_never_heard_of_again() {
        let mut history = History::default();
        let process = history.new_process();
        history.invoke(process, 0, add(1));
        history.complete(process, 1, Outcome::Info, add(1));
        assert_eq!(history.calls().unwrap()[0].outcome, Outcome::Info);
        history.invoke(process, 2, add(2));
        assert_eq!(history.calls().unwrap_err(), Malformed::AfterInfo { index: 2, process });
        assert_eq!(history.new_process(), Process(1));
    }

    #[test]
    fn one_thing_at_a_time() {
        let mut history = History::default();
        history.invoke(Process(0), 0, add(1));
        history.invoke(Process(0), 1, add(2));
        assert!(matches!(history.calls(), Err(Malformed::Overlap { index: 1, .. })));
        let mut history = History::default();
        history.complete(Process(0), 0, Outcome::Ok, add(1));
        assert!(matches!(history.calls(), Err(Malformed::NotBegun { index: 0, .. })));
    }
}
