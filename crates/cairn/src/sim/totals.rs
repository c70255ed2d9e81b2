//! What many runs were like together, and the poorest of them.

use std::collections::BTreeMap;
use std::time::Duration;

use sim::{Fault, SimReport};

#[derive(Default)]
pub struct Totals {
    seeds: u64,
    violated: u64,
    thin: u64,
    simulated: Duration,
    /// In the order in which they are printed.
    rows: Vec<Row>,
    faults: BTreeMap<Fault, u64>,
    /// Seeds with this workload, and its operations that were judged.
    recorded: BTreeMap<&'static str, (u64, u64)>,
}

/// One figure, over all seeds and in the seed that had least of it.
struct Row {
    name: &'static str,
    total: u64,
    least: u64,
}

impl Totals {
    pub fn add(&mut self, report: &SimReport) {
        self.seeds += 1;
        self.violated += u64::from(!report.is_clean());
        self.thin += u64::from(report.is_clean() && report.too_thin().is_some());
        self.simulated += report.simulated;
        for (_, fault) in &report.faults {
            *self.faults.entry(*fault).or_default() += 1;
        }
        for (name, (_, judged)) in &report.recorded {
            let (seeds, operations) = self.recorded.entry(name).or_default();
            *seeds += 1;
            *operations += judged;
        }
        let counts = &report.counts;
        let figures = [
            ("simulated seconds under faults", report.under_faults.as_secs()),
            ("faults", report.faults_done()),
            ("transactions judged", report.judged()),
            ("transfers acknowledged", counts.transfers),
            ("transfers failed", counts.transfers_failed),
            ("transfers with unknown outcome", counts.transfers_unknown),
            ("reads of all accounts", counts.reads),
            ("turns on call", counts.turns),
            ("changes of the catalog", counts.catalog_changes),
            ("numbers of the oracle", counts.numbers),
            ("commits in one range", counts.commits_one_range),
            ("commits over several ranges", counts.commits_over_ranges),
            ("commit numbers refused", counts.pushes),
            ("refreshes", counts.refreshes),
            ("events", report.events),
        ];
        if self.rows.is_empty() {
            self.rows = figures.map(|(name, _)| Row { name, total: 0, least: u64::MAX }).into();
        }
        for (row, (_, count)) in self.rows.iter_mut().zip(figures) {
            row.total += count;
            row.least = row.least.min(count);
        }
    }

    pub fn seeds(&self) -> u64 {
        self.seeds
    }

    pub fn brief(&self) -> String {
        match self.violated + self.thin {
            0 => "no violation".to_owned(),
            bad => format!("{bad} BAD"),
        }
    }

    pub fn print(&self, took: Duration, runs_per_seed: u32) {
        let verdict = match (self.violated, self.thin) {
            (0, 0) => "no violation".to_owned(),
            (0, thin) => format!("no violation, {thin} too thin"),
            (violated, thin) => format!("{violated} VIOLATED, {thin} too thin"),
        };
        let plural = if self.seeds == 1 { "" } else { "s" };
        println!("{} seed{plural}: {verdict}", self.seeds);
        println!("\n{:<34}{:>15}{:>15}", "", "total", "least per seed");
        for row in &self.rows {
            println!("{:<34}{:>15}{:>15}", row.name, row.total, row.least);
        }
        let recorded: Vec<String> =
            self.recorded.iter().map(|(name, (seeds, operations))| format!("{name} {operations} in {seeds}")).collect();
        println!("\nhistories judged (operations, seeds): {}", recorded.join(", "));
        let kinds: Vec<String> = self.faults.iter().map(|(fault, count)| format!("{fault:?} {count}")).collect();
        println!("faults: {}", kinds.join(", "));
        print_coverage("rare paths", &env::probe_hits());
        print_coverage("rare choices", &env::buggified());
        print_coverage("moments struck", &env::moments_struck());
        if env::sabotage_reached() > 0 {
            println!("the guard was missing {} times", env::sabotage_reached());
        }
        let (simulated, took) = (self.simulated.as_secs_f64() * f64::from(runs_per_seed), took.as_secs_f64());
        println!(
            "{:.1} simulated hours ({runs_per_seed} runs of each seed) in {took:.0} s: {:.1} simulated seconds per second",
            simulated / 3600.0,
            simulated / took
        );
    }
}

/// The share of marks that were reached in all runs of this process, and which were not.
fn print_coverage(what: &str, marks: &[(&str, u64)]) {
    let (reached, missed): (Vec<_>, Vec<_>) = marks.iter().partition(|(_, count)| *count > 0);
    let reached: Vec<String> = reached.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let missed: Vec<&str> = missed.iter().map(|(name, _)| *name).collect();
    let share = 100 * reached.len() / marks.len().max(1);
    println!("{what}: {} of {} ({share} %): {}", reached.len(), marks.len(), reached.join(", "));
    if !missed.is_empty() {
        println!("{what}, never: {}", missed.join(", "));
    }
}
