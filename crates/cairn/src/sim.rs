//! `cairn sim`: the simulated cluster from the command line.
//!
//! One seed (`--seed`) prints what happened in it; many (`--seeds`) stop at the first in which something is
//! wrong, and tell how to repeat it. Every seed runs twice and must tell the same story twice. A seed in
//! which too little happened is as bad as a wrong one: it would count as proof and be none.

mod totals;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sim::workload::Kind;
use sim::{SimOptions, SimReport, simulate, simulate_twice};
use totals::Totals;

use crate::Failure;

/// Simulate a whole cluster with faults in one thread, from a seed
#[derive(clap::Args)]
pub struct Arguments {
    /// Run this seed only, and print what happened
    #[arg(long, conflicts_with_all = ["seeds", "first", "jobs"])]
    seed: Option<u64>,
    /// Run this many seeds from --first on
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Simulated minutes under faults per seed
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Seeds at a time [default: one per core]
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// With --seed: print what is logged, as `sim=trace,ranges=debug`, to standard error
    #[arg(long, value_name = "FILTER", requires = "seed")]
    log: Option<String>,
    /// Take a guard of docs/sabotage.md away, and see whether it is missed
    #[cfg(feature = "sabotage")]
    #[arg(long, value_name = "GUARD")]
    sabotage: Option<String>,
    /// What is recorded and judged, beside what always runs: append, register, set, longfork, causal, g2, monotonic,
    /// sequential, upsert, families, notices; several with commas [default: one or two, drawn from the seed]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    workload: Vec<Kind>,
    /// With --seed: if something is wrong, write the histories that were recorded into this folder, for `cairn workload
    /// judge`
    #[arg(long, value_name = "DIR", requires = "seed")]
    histories: Option<PathBuf>,
    /// With --seed: of the faults of the seed only these, by their numbers
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', requires = "seed")]
    faults: Option<Vec<u64>>,
    /// Leave the points of `buggify!` switched off
    #[arg(long)]
    tame: bool,
    /// With --seed: if something is wrong, find a small set of faults that suffices
    #[arg(long, requires = "seed")]
    shrink: bool,
    /// Run each seed once only: faster, and does not see whether a seed always tells the same story
    #[arg(long)]
    once: bool,
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    if !(arguments.minutes.is_finite() && arguments.minutes > 0.0 && arguments.minutes < 1e6) {
        return Err(Failure::new("--minutes takes a number above 0"));
    }
    quiet_panics();
    match arguments.seed {
        Some(seed) if arguments.shrink => shrink(&arguments, seed),
        Some(seed) => one(&arguments, seed),
        None => many(&arguments),
    }
}

/// A panic in a simulated process is a violation, or the end of one replica where that is what should happen:
/// the report tells of it. `--log sim=debug` shows each.
fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| tracing::debug!(target: "sim", "{panic}")));
}

impl Arguments {
    fn options(&self, seed: u64) -> SimOptions {
        let duration = Duration::from_secs_f64(self.minutes * 60.0);
        let workloads = (!self.workload.is_empty()).then(|| self.workload.clone());
        let only_faults = self.faults.as_ref().map(|faults| faults.iter().copied().collect());
        let (wild, sabotage) = (!self.tame, self.sabotage());
        SimOptions { duration, workloads, only_faults, wild, sabotage, ..SimOptions::new(seed) }
    }

    fn simulate(&self, seed: u64) -> SimReport {
        let options = self.options(seed);
        if self.once { simulate(&options) } else { simulate_twice(&options) }
    }

    #[cfg(feature = "sabotage")]
    fn sabotage(&self) -> Option<&'static str> {
        self.sabotage.clone().map(|guard| &*guard.leak())
    }

    #[cfg(not(feature = "sabotage"))]
    fn sabotage(&self) -> Option<&'static str> {
        None
    }

    /// The command that shows one seed again.
    fn again(&self, seed: u64) -> String {
        let minutes = if self.minutes == 1.0 { String::new() } else { format!(" --minutes {}", self.minutes) };
        let sabotage = self.sabotage().map_or_else(String::new, |guard| format!(" --sabotage {guard}"));
        let names: Vec<&str> = self.workload.iter().map(|kind| kind.name()).collect();
        let workload = if names.is_empty() { String::new() } else { format!(" --workload {}", names.join(",")) };
        let tame = if self.tame { " --tame" } else { "" };
        format!("cairn sim --seed {seed}{minutes}{workload}{sabotage}{tame}")
    }

    /// What is wrong with a run, in a sentence.
    fn verdict(&self, report: &SimReport) -> Result<(), Failure> {
        let seed = report.options.seed;
        if let Some(first) = report.violations.first() {
            return Err(Failure::new(format!("seed {seed} violates {first}; repeat it with `{}`", self.again(seed))));
        }
        match report.too_thin() {
            Some(why) => Err(Failure::new(format!("seed {seed} proves nothing: {why}; see `{}`", self.again(seed)))),
            None => Ok(()),
        }
    }
}

fn one(arguments: &Arguments, seed: u64) -> Result<(), Failure> {
    if let Some(filter) = &arguments.log {
        let filter = tracing_subscriber::EnvFilter::try_new(filter)?;
        tracing_subscriber::fmt().with_env_filter(filter).without_time().with_writer(std::io::stderr).init();
    }
    let begin = Instant::now();
    let report = arguments.simulate(seed);
    let (events, what) = match report.is_clean() {
        true => (&report.milestones, "faults and processes"),
        false => (&report.last_events, "the last events"),
    };
    println!("{what}:");
    for event in events {
        println!("{event}");
    }
    println!("\n{report}\n");
    if let Some(folder) = &arguments.histories {
        std::fs::create_dir_all(folder)?;
        for (name, history) in &report.histories {
            std::fs::write(folder.join(format!("{name}.history")), history)?;
        }
    }
    let mut totals = Totals::default();
    totals.add(&report);
    totals.print(begin.elapsed(), arguments.runs_per_seed());
    arguments.verdict(&report)
}

impl Arguments {
    fn runs_per_seed(&self) -> u32 {
        if self.once { 1 } else { 2 }
    }

    fn jobs(&self) -> usize {
        let cores = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.jobs.map_or_else(cores, NonZeroUsize::get)
    }
}

/// Tells the story of a failing seed with fewer and fewer faults.
fn shrink(arguments: &Arguments, seed: u64) -> Result<(), Failure> {
    let told = |report: &SimReport| {
        let first = report.violations.first().map(ToString::to_string).unwrap_or_default();
        let what: String = first.lines().next().unwrap_or_default().chars().take(120).collect();
        let wild = if report.options.wild { "" } else { ", tame" };
        println!("{} faults{wild}: {what}", report.faults.len());
    };
    let Some(shrunk) = sim::shrink(&arguments.options(seed), told) else {
        println!("nothing is wrong with seed {seed}");
        return Ok(());
    };
    let report = &shrunk.report;
    println!("\nafter {} runs no fault can be left out:", shrunk.runs);
    for event in &report.milestones {
        println!("{event}");
    }
    let mut numbers: Vec<String> = report.faults.iter().map(|(number, _)| number.to_string()).collect();
    if numbers.is_empty() {
        numbers.push("0".to_owned());
    }
    let tame = if report.options.wild || arguments.tame { "" } else { " --tame" };
    let again = format!("{}{tame} --faults {}", arguments.again(seed), numbers.join(","));
    Err(Failure::new(format!("repeat it with `{again}`")))
}

fn many(arguments: &Arguments) -> Result<(), Failure> {
    let begin = Instant::now();
    let progress = Progress::new(arguments.seeds);
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut totals = Totals::default();
    let bad = thread::scope(|scope| {
        let (send, reports) = mpsc::channel();
        for _ in 0..arguments.jobs() {
            let (send, next, stop) = (send.clone(), &next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= arguments.seeds {
                        return;
                    }
                    let seed = arguments.first.wrapping_add(number);
                    let run = catch_unwind(AssertUnwindSafe(|| arguments.simulate(seed)));
                    if send.send(run.map_err(|_| seed)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        // Others are under way when a seed is found to be wrong: of all wrong ones the lowest is told.
        let mut bad: BTreeMap<u64, Failure> = BTreeMap::new();
        for run in reports {
            let (seed, verdict) = match run {
                Ok(report) => {
                    totals.add(&report);
                    progress.advance(&totals);
                    (report.options.seed, arguments.verdict(&report))
                }
                Err(seed) => {
                    (seed, Err(Failure::new(format!("the simulator itself fails in `{}`", arguments.again(seed)))))
                }
            };
            if let Err(failure) = verdict {
                stop.store(true, Ordering::Relaxed);
                bad.insert(seed, failure);
            }
        }
        bad
    });
    progress.finish();
    totals.print(begin.elapsed(), arguments.runs_per_seed());
    bad.into_values().next().map_or(Ok(()), Err)
}

/// A bar on a terminal, a line every tenth elsewhere.
struct Progress {
    bar: ProgressBar,
    seeds: u64,
    is_terminal: bool,
}

impl Progress {
    fn new(seeds: u64) -> Progress {
        let is_terminal = std::io::stderr().is_terminal();
        let target = if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} seeds, {msg}, {eta} to go");
        let bar =
            ProgressBar::with_draw_target(Some(seeds), target).with_style(style.expect("the template is well formed"));
        Progress { bar, seeds, is_terminal }
    }

    fn advance(&self, totals: &Totals) {
        self.bar.set_message(totals.brief());
        self.bar.inc(1);
        if !self.is_terminal && totals.seeds().is_multiple_of(self.seeds.div_ceil(10)) {
            eprintln!("{} of {} seeds, {}", totals.seeds(), self.seeds, totals.brief());
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
