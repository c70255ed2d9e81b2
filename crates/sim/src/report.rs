//! What a run was like: enough to tell a clean run from one in which nothing happened.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::faults::FaultNumber;
use crate::{Event, Fault, SimOptions, TraceHash, Violation};

/// Below this a clean seed proves nothing.
const BROKEN_MIN: Duration = Duration::from_secs(60);
const COMMITS_OVER_RANGES_MIN: u64 = 100;
const FAULTS_MIN: u64 = 5;
const ACKNOWLEDGED_MIN: u64 = 100;

/// What a run was like. Two runs of one seed are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimReport {
    pub options: SimOptions,
    pub hash: TraceHash,
    pub events: u64,
    /// Simulated time from the first process to the last check.
    pub simulated: Duration,
    /// The part of it in which things went wrong.
    pub under_faults: Duration,
    /// Those that began, in order.
    pub faults: Vec<(FaultNumber, Fault)>,
    pub counts: Counts,
    /// Of each workload whose history was judged: operations that were acknowledged, and all.
    pub recorded: BTreeMap<&'static str, (u64, u64)>,
    /// If something is wrong: the histories, as files.
    pub histories: BTreeMap<&'static str, String>,
    pub violations: Vec<Violation>,
    /// Faults and processes, from begin to end.
    pub milestones: Vec<Event>,
    /// Everything, as far back as is kept.
    pub last_events: Vec<Event>,
}

/// What clients did and nodes counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Transfers that were acknowledged.
    pub transfers: u64,
    /// Transfers that failed, each checked to have left nothing.
    pub transfers_failed: u64,
    /// Transfers of which the client knows nothing.
    pub transfers_unknown: u64,
    /// Looks at all accounts.
    pub reads: u64,
    /// Doctors who went on or off call.
    pub turns: u64,
    /// Changes of the catalog.
    pub catalog_changes: u64,
    /// Numbers of the oracle.
    pub numbers: u64,
    /// Commits of one range, in one round of messages.
    pub commits_one_range: u64,
    /// Commits over several ranges.
    pub commits_over_ranges: u64,
    /// Commits that moved to another number and looked whether their reads still hold.
    pub refreshes: u64,
    /// Commit numbers refused because of a read or a newer version.
    pub pushes: u64,
}

impl SimReport {
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    pub fn faults_done(&self) -> u64 {
        self.faults.len() as u64
    }

    /// Why this run proves nothing although nothing is wrong; `None` if enough happened.
    pub fn too_thin(&self) -> Option<String> {
        let (faults, over_ranges) = (self.faults_done(), self.counts.commits_over_ranges);
        if self.options.duration >= BROKEN_MIN && self.under_faults < BROKEN_MIN {
            return Some(format!("only {} s under faults", self.under_faults.as_secs()));
        }
        if over_ranges < COMMITS_OVER_RANGES_MIN {
            return Some(format!("only {over_ranges} commits over several ranges"));
        }
        if let Some((name, (acknowledged, _))) = self.recorded.iter().find(|(_, (ok, _))| *ok < ACKNOWLEDGED_MIN) {
            return Some(format!("only {acknowledged} operations of {name}"));
        }
        (faults < FAULTS_MIN).then(|| format!("only {faults} faults"))
    }

    /// Transactions whose result somebody compared with what it must be.
    pub fn judged(&self) -> u64 {
        self.counts.judged() + self.recorded.values().map(|(_, judged)| judged).sum::<u64>()
    }
}

impl Counts {
    fn judged(&self) -> u64 {
        self.transfers + self.transfers_failed + self.reads + self.turns
    }
}

/// A verdict and a line of figures.
impl fmt::Display for SimReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in &self.violations {
            writeln!(f, "violation of {violation}")?;
        }
        let verdict = match (self.is_clean(), self.too_thin()) {
            (false, _) => "VIOLATED".to_owned(),
            (true, Some(why)) => format!("TOO THIN ({why})"),
            (true, None) => "clean".to_owned(),
        };
        let recorded: Vec<String> =
            self.recorded.iter().map(|(name, (_, judged))| format!("{judged} of {name}, ")).collect();
        let Counts { transfers, reads, turns, commits_over_ranges, .. } = self.counts;
        write!(
            f,
            "seed {}: {verdict}, {} s simulated, {transfers} transfers, {reads} reads, {turns} turns, {}{commits_over_ranges} \
             commits over several ranges, {} faults, {} events, hash {}",
            self.options.seed,
            self.simulated.as_secs(),
            recorded.concat(),
            self.faults_done(),
            self.events,
            self.hash
        )
    }
}
