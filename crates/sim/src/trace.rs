//! What has happened: a hash over all of it, and the last events as they were.

use std::collections::VecDeque;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;

/// Events kept for the report of a failure.
const KEPT: usize = 300;

/// One number for everything that has happened in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceHash(pub u64);

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Something that happened, when, and where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// Simulated nanoseconds since the begin.
    pub at: u64,
    pub what: Happening,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Happening {
    /// A message was handed to the network; `content` is a hash of its bytes, `what` a word about it.
    Sent {
        kind: MessageKind,
        what: &'static str,
        from: Arc<str>,
        to: Arc<str>,
        content: u64,
    },
    /// It arrived.
    Arrived {
        kind: MessageKind,
        what: &'static str,
        from: Arc<str>,
        to: Arc<str>,
        content: u64,
    },
    /// It never will.
    Lost {
        kind: MessageKind,
        what: &'static str,
        from: Arc<str>,
        to: Arc<str>,
    },
    /// A process on a host.
    Started {
        host: Box<str>,
    },
    Crashed {
        host: Box<str>,
    },
    Paused {
        host: Box<str>,
    },
    Resumed {
        host: Box<str>,
    },
    /// Something a workload or invariant wants to be remembered.
    Note(Box<str>),
    /// A fault, or what became of a process.
    Milestone(Box<str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    Request,
    Answer,
    Raft,
}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MessageKind::Request => "request",
            MessageKind::Answer => "answer",
            MessageKind::Raft => "raft",
        })
    }
}

impl Happening {
    /// Few enough to keep all of them: faults and processes.
    fn is_milestone(&self) -> bool {
        use Happening::{Crashed, Milestone, Paused, Resumed, Started};
        matches!(self, Started { .. } | Crashed { .. } | Paused { .. } | Resumed { .. } | Milestone(_))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10.3} ms  ", self.at as f64 / 1e6)?;
        match &self.what {
            Happening::Sent { kind, what, from, to, content } => {
                write!(f, "{from} → {to}  {kind} {what} {:04x} sent", *content as u16)
            }
            Happening::Arrived { kind, what, from, to, content } => {
                write!(f, "{from} → {to}  {kind} {what} {:04x} arrived", *content as u16)
            }
            Happening::Lost { kind, what, from, to } => write!(f, "{from} → {to}  {kind} {what} lost"),
            Happening::Started { host } => write!(f, "{host} starts"),
            Happening::Crashed { host } => write!(f, "{host} crashes"),
            Happening::Paused { host } => write!(f, "{host} is paused"),
            Happening::Resumed { host } => write!(f, "{host} goes on"),
            Happening::Note(note) | Happening::Milestone(note) => f.write_str(note),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: u64,
    last: VecDeque<Event>,
    milestones: Vec<Event>,
    count: u64,
}

impl Trace {
    pub(crate) fn record(&mut self, event: Event) {
        self.hash = FixedState::with_seed(self.hash).hash_one(&event);
        self.count += 1;
        if event.what.is_milestone() {
            self.milestones.push(event.clone());
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(event);
    }

    pub(crate) fn hash(&self) -> TraceHash {
        TraceHash(self.hash)
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn milestones(&self) -> &[Event] {
        &self.milestones
    }

    pub(crate) fn last(&self) -> impl Iterator<Item = &Event> {
        self.last.iter()
    }
}

/// A hash of bytes that is the same in every run.
pub(crate) fn content_hash(bytes: &[u8]) -> u64 {
    FixedState::default().hash_one(bytes)
}
