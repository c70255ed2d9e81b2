//! What a checker says of a history.

use std::collections::BTreeMap;
use std::fmt;

use crate::{Call, Outcome};

/// What a database may promise of its transactions, from weak to strong. What one forbids, all after it forbid too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    ReadUncommitted,
    ReadCommitted,
    /// PostgreSQL's REPEATABLE READ.
    SnapshotIsolation,
    Serializable,
    /// Serializable in an order in which each process sees what it did before.
    StrongSession,
    /// Serializable in an order that agrees with real time.
    StrictSerializable,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::ReadUncommitted => "read uncommitted",
            Level::ReadCommitted => "read committed",
            Level::SnapshotIsolation => "snapshot isolation",
            Level::Serializable => "serializability",
            Level::StrongSession => "strong session serializability",
            Level::StrictSerializable => "strict serializability",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    pub name: &'static str,
    /// The weakest level that forbids it.
    pub level: Level,
    /// For a human: who did what, and why it cannot be.
    pub why: String,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (breaks {}): {}", self.name, self.level, self.why)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub ok: u64,
    pub fail: u64,
    pub info: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub workload: &'static str,
    pub counts: Counts,
    /// The first few of each name, explained.
    pub anomalies: Vec<Anomaly>,
    /// How many of each name there are.
    pub found: BTreeMap<&'static str, u64>,
    /// The weakest level that is broken.
    pub breaks: Option<Level>,
    /// Why nothing can be said, or not all.
    pub unknown: Option<String>,
}

/// Explanations of one name that are kept.
const EXPLAINED: u64 = 3;

impl Verdict {
    pub(crate) fn of<O>(workload: &'static str, calls: &[Call<'_, O>]) -> Verdict {
        let mut counts = Counts::default();
        for call in calls {
            match call.outcome {
                Outcome::Ok => counts.ok += 1,
                Outcome::Fail => counts.fail += 1,
                Outcome::Info => counts.info += 1,
            }
        }
        Verdict { counts, ..Verdict::unknown(workload, None) }
    }

    pub(crate) fn unknown(workload: &'static str, unknown: Option<String>) -> Verdict {
        let counts = Counts::default();
        Verdict { workload, counts, anomalies: Vec::new(), found: BTreeMap::new(), breaks: None, unknown }
    }

    pub(crate) fn add(&mut self, name: &'static str, level: Level, why: impl FnOnce() -> String) {
        let count = self.found.entry(name).or_default();
        *count += 1;
        if *count <= EXPLAINED {
            self.anomalies.push(Anomaly { name, level, why: why() });
        }
        self.breaks = Some(self.breaks.map_or(level, |weakest| weakest.min(level)));
    }

    /// Nothing is wrong, and that is known.
    pub fn is_valid(&self) -> bool {
        self.holds(Level::StrictSerializable)
    }

    /// Does the history keep what `level` promises?
    pub fn holds(&self, level: Level) -> bool {
        self.unknown.is_none() && self.breaks.is_none_or(|weakest| weakest > level)
    }

    /// Operations whose result was looked at.
    pub fn judged(&self) -> u64 {
        self.counts.ok + self.counts.fail + self.counts.info
    }
}

/// A line, and an explanation of what is wrong.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { ok, fail, info } = self.counts;
        let verdict = match (self.breaks, &self.unknown) {
            (Some(level), _) => format!("INVALID, breaks {level}"),
            (None, Some(why)) => format!("UNKNOWN, {why}"),
            (None, None) => "valid".to_owned(),
        };
        write!(f, "{}: {verdict} ({ok} ok, {fail} failed, {info} of unknown outcome)", self.workload)?;
        for (name, count) in &self.found {
            write!(f, "\n  {count} × {name}")?;
        }
        for anomaly in &self.anomalies {
            write!(f, "\n{anomaly}")?;
        }
        Ok(())
    }
}
