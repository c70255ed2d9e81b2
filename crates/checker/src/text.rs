//! A history as a file, for a run to be judged again:
//!
//! ```text
//! # cairn history 1: append
//! 0 3 1200500 invoke append 7 1; read 8
//! 1 3 1904000 ok append 7 1; read 8 [1 2]
//! ```
//!
//! Index, process, nanoseconds, kind, operation. Other lines that begin with `#` are remarks.

use std::io;

use thiserror::Error;

use crate::{Event, History, Kind, Operation, Process};

const FIRST_LINE: &str = "# cairn history 1: ";

/// Why a file cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BadText {
    #[error("the first line is not \"{FIRST_LINE}WORKLOAD\"")]
    NoHistory,
    #[error("it is a history of the workload {found:?}, which nobody knows")]
    UnknownWorkload { found: String },
    #[error("it is a history of the workload {found:?}, not of {wanted:?}")]
    OtherWorkload { found: String, wanted: &'static str },
    #[error("line {line} is not an event: {text:?}")]
    Line { line: usize, text: String },
}

/// The workload that a file tells of.
pub(crate) fn workload(text: &str) -> Result<&str, BadText> {
    let first = text.lines().next().ok_or(BadText::NoHistory)?;
    Ok(first.strip_prefix(FIRST_LINE).ok_or(BadText::NoHistory)?.trim())
}

impl<O: Operation> History<O> {
    pub fn write_to(&self, out: &mut impl io::Write) -> io::Result<()> {
        writeln!(out, "{FIRST_LINE}{}", O::WORKLOAD)?;
        let mut line = String::new();
        for (index, event) in self.events().iter().enumerate() {
            line.clear();
            event.op.write(&mut line);
            writeln!(out, "{index} {} {} {} {line}", event.process.0, event.time, event.kind.word())?;
        }
        Ok(())
    }

    pub fn parse(text: &str) -> Result<History<O>, BadText> {
        let found = workload(text)?;
        if found != O::WORKLOAD {
            return Err(BadText::OtherWorkload { found: found.to_owned(), wanted: O::WORKLOAD });
        }
        let mut history = History::default();
        for (number, line) in text.lines().enumerate() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let event = parse_event(line, history.len());
            history.push(event.ok_or_else(|| BadText::Line { line: number + 1, text: line.to_owned() })?);
        }
        Ok(history)
    }
}

fn parse_event<O: Operation>(line: &str, expected: usize) -> Option<Event<O>> {
    let mut parts = line.splitn(5, ' ');
    let index: usize = parts.next()?.parse().ok()?;
    let process = Process(parts.next()?.parse().ok()?);
    let time = parts.next()?.parse().ok()?;
    let kind = Kind::from_word(parts.next()?)?;
    let op = O::parse(parts.next().unwrap_or(""))?;
    (index == expected).then_some(Event { process, time, kind, op })
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Invoke => "invoke",
            Kind::Ok => "ok",
            Kind::Fail => "fail",
            Kind::Info => "info",
        }
    }

    fn from_word(word: &str) -> Option<Kind> {
        [Kind::Invoke, Kind::Ok, Kind::Fail, Kind::Info].into_iter().find(|kind| kind.word() == word)
    }
}

/// `[1 2 3]`
pub(crate) fn write_list<T: std::fmt::Display>(out: &mut String, items: &[T]) {
    out.push('[');
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            out.push(' ');
        }
        out.push_str(&item.to_string());
    }
    out.push(']');
}

/// The words of an operation, one after the other; lists in brackets as a whole.
pub(crate) struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    pub fn of(text: &'a str) -> Words<'a> {
        Words { rest: text.trim() }
    }

    pub fn word(&mut self) -> Option<&'a str> {
        let (word, rest) = self.rest.split_once(' ').unwrap_or((self.rest, ""));
        self.rest = rest.trim_start();
        (!word.is_empty()).then_some(word)
    }

    pub fn number<T: std::str::FromStr>(&mut self) -> Option<T> {
        self.word()?.parse().ok()
    }

    /// `-` is nothing.
    pub fn maybe_number<T: std::str::FromStr>(&mut self) -> Option<Option<T>> {
        match self.word()? {
            "-" => Some(None),
            word => Some(Some(word.parse().ok()?)),
        }
    }

    pub fn list<T>(&mut self, item: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
        let (inside, rest) = self.rest.strip_prefix('[')?.split_once(']')?;
        self.rest = rest.trim_start();
        inside.split_whitespace().map(item).collect()
    }

    pub fn numbers<T: std::str::FromStr>(&mut self) -> Option<Vec<T>> {
        self.list(|word| word.parse().ok())
    }

    pub fn is_over(&self) -> bool {
        self.rest.is_empty()
    }

    /// `op`, if nothing is left.
    pub fn end<T>(self, op: T) -> Option<T> {
        self.is_over().then_some(op)
    }
}

/// A number, or `-`.
pub(crate) fn maybe<T: std::fmt::Display>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
