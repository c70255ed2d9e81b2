//! One seed from begin to end: a cluster is formed, clients work, things go wrong, everything heals, and
//! what must hold then is checked.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use env::Knobs;

use crate::cluster::SimCluster;
use crate::faults::{Fault, FaultNumber, Saboteur};
use crate::invariant::{Agreement, LogMatching, OneLeader, OneLease, check_tiling, compare_replicas, gap};
use crate::report::Counts;
use crate::rhythm::Rhythm;
use crate::workload::{Bank, Catalog, Kind, OnCall, OracleWatch, Recorded, Shift};
use crate::{ClockFaults, Gateway, Random, SimReport, Violation, World};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimOptions {
    pub seed: u64,
    /// Simulated time during which things go wrong.
    pub duration: Duration,
    pub nodes: usize,
    pub faults: Vec<Fault>,
    /// Of the faults of the seed's story only these; all if there is nothing here.
    pub only_faults: Option<BTreeSet<FaultNumber>>,
    /// Are the points of [`env::buggify!`] switched on?
    pub wild: bool,
    /// What is recorded and judged at the end, beside what always runs; `None`: what the seed draws.
    pub workloads: Option<Vec<Kind>>,
    /// A guard to take away (docs/sabotage.md). Only in builds with the feature `sabotage`.
    pub sabotage: Option<&'static str>,
}

impl SimOptions {
    pub fn new(seed: u64) -> SimOptions {
        let (duration, faults) = (Duration::from_secs(60), Fault::ALL.to_vec());
        SimOptions { seed, duration, nodes: 3, faults, only_faults: None, wild: true, workloads: None, sabotage: None }
    }
}

/// Runs one seed on the calling thread.
pub fn simulate(options: &SimOptions) -> SimReport {
    set_sabotage(options.sabotage);
    World::run(options.seed, |world| async move {
        let run = Run::new(&world, options);
        run.play().await;
        let report = run.report();
        run.cluster.end();
        report
    })
}

/// Runs one seed twice. If the second story is another one, something in the code looks past `env`, and no
/// seed can be trusted: a violation like any other.
pub fn simulate_twice(options: &SimOptions) -> SimReport {
    let (mut first, second) = (simulate(options), simulate(options));
    if first != second {
        let what = format!("the first run has hash {}, the second {}", first.hash, second.hash);
        first.violations.push(Violation { invariant: "same_story_twice", what });
    }
    first
}

#[cfg(feature = "sabotage")]
fn set_sabotage(name: Option<&'static str>) {
    env::set_sabotage(name);
}

#[cfg(not(feature = "sabotage"))]
fn set_sabotage(name: Option<&'static str>) {
    assert!(name.is_none(), "guards can be taken away only in builds with the feature `sabotage`");
}

/// Limits after which something that should have healed has not.
const FORMATION: Duration = Duration::from_secs(120);
const HEALING: Duration = Duration::from_secs(120);
const SETTLING: Duration = Duration::from_secs(20);

/// Leases are over soon, so they are looked at so many times as often.
const LOOKS_AT_LEASES: u32 = 20;

/// Clients of each workload that is recorded.
const RECORDED_CLIENTS: u32 = 4;

/// Between two looks at the invariants.
const LOOK: Duration = Duration::from_millis(200);

/// Transfers and operations of each recorded workload below which clients do not rest: well above what a seed must have
/// to count.
const DONE_PER_MINUTE: f64 = 130.0;

struct Run {
    world: World,
    options: SimOptions,
    cluster: SimCluster,
    saboteur: Saboteur,
    bank: Bank,
    on_call: OnCall,
    oracle: OracleWatch,
    catalog: Catalog,
    recorded: Vec<Box<dyn Recorded>>,
    one_leader: OneLeader,
    one_lease: OneLease,
    log_matching: LogMatching,
    under_faults: Cell<Duration>,
}

impl Run {
    fn new(world: &World, options: &SimOptions) -> Run {
        let mut random = world.split_random();
        let clocks: Vec<ClockFaults> = (0..options.nodes).map(|_| draw_clocks(&mut random)).collect();
        let cluster = SimCluster::new(world, draw_knobs(&mut random), &clocks);
        let (bank, on_call) = (Bank::new(world, 9), OnCall::new(world, 3));
        let drawn = Kind::draw(&mut random);
        let kinds = options.workloads.as_ref().unwrap_or(&drawn);
        let recorded: Vec<_> = kinds.iter().map(|kind| kind.prepare(world, &mut random)).collect();
        let mut split_keys = [bank.more_split_keys(), on_call.more_split_keys()].concat();
        split_keys.extend(recorded.iter().flat_map(|recorded| recorded.more_split_keys()));
        Run {
            world: world.clone(),
            options: options.clone(),
            saboteur: Saboteur::new(world, &cluster, split_keys, options.only_faults.clone()),
            cluster,
            bank,
            on_call,
            oracle: OracleWatch::new(world),
            catalog: Catalog::new(world),
            recorded,
            one_leader: OneLeader::default(),
            one_lease: OneLease,
            log_matching: LogMatching::default(),
            under_faults: Cell::default(),
        }
    }

    async fn play(&self) {
        if !self.form().await {
            return;
        }
        let (clients, breaking) = (Shift::default(), Shift::default());
        let rhythm = Rhythm::new(&self.world, &clients);
        let gateways = self.cluster.gateways();
        for node in 0..self.cluster.len() {
            self.oracle.start_client(node, gateways, &clients);
            self.catalog.start_clients(node, gateways, &clients);
        }
        for client in 0..4 {
            self.bank.start_client(client, gateways, &clients);
            self.on_call.start_client(gateways, &clients);
        }
        for recorded in &self.recorded {
            (0..RECORDED_CLIENTS).for_each(|_| recorded.start_client(gateways, &clients));
        }
        rhythm.start();
        self.saboteur.start(self.options.faults.clone(), 8_000, &breaking, &rhythm);
        self.cluster.supervise(breaking.clone());
        self.world.set_wild(self.options.wild);
        let begin = self.world.elapsed();
        while self.world.elapsed() - begin < self.options.duration && self.world.violations().is_empty() {
            for _ in 0..LOOKS_AT_LEASES {
                self.world.sleep(LOOK / LOOKS_AT_LEASES).await;
                self.one_lease.check(&self.world, &self.cluster);
            }
            self.look();
            if self.is_behind(self.world.elapsed() - begin) {
                rhythm.rush(2 * LOOK);
            }
        }
        self.under_faults.set(self.world.elapsed() - begin);
        breaking.end();
        self.world.set_wild(false);
        self.heal(&clients).await;
        // Also after another violation: what the clients saw may say more.
        self.recorded.iter().for_each(|recorded| recorded.judge());
    }

    /// Starts the nodes one after the other and lets the tables be split.
    async fn form(&self) -> bool {
        for node in 0..self.cluster.len() {
            self.cluster.start(node);
            if !self.until(FORMATION, || self.cluster.gateways().get(node).is_some()).await {
                self.world.violation("formation", format!("node {} does not become ready", node + 1));
                return false;
            }
        }
        if !self.cluster.until_whole(self.options.nodes.min(3), FORMATION).await {
            self.world.violation("formation", format!("the ranges are not replicated: {}", self.cluster.describe()));
            return false;
        }
        let Some(gateway) = self.cluster.gateways().get(0) else { return false };
        if !self.bank.open(&gateway).await || !self.on_call.open(&gateway).await {
            self.world.violation("formation", "the tables could not be filled");
            return false;
        }
        let recorded = self.recorded.iter().flat_map(|recorded| recorded.split_keys());
        for at in self.bank.split_keys().into_iter().chain(self.on_call.split_keys()).chain(recorded) {
            let client = gateway.txn.clone();
            let split = gateway.run(async move { client.split_at(at).await }).await;
            if split != Some(Ok(())) {
                self.world.violation("formation", format!("a range could not be split: {split:?}"));
                return false;
            }
        }
        self.cluster.until_whole(self.options.nodes.min(3), FORMATION).await
    }

    /// Has too little been done for the time that has passed?
    fn is_behind(&self, passed: Duration) -> bool {
        let expected = (DONE_PER_MINUTE * passed.as_secs_f64() / 60.0) as u64;
        let recorded = self.recorded.iter().map(|recorded| recorded.acknowledged());
        recorded.chain([self.bank.acknowledged()]).any(|done| done < expected)
    }

    /// Invariants that are looked at all the time.
    fn look(&self) {
        self.one_leader.check(&self.world, &self.cluster);
        self.one_lease.check(&self.world, &self.cluster);
        if self.world.elapsed().as_millis() % 2_000 < LOOK.as_millis() {
            self.log_matching.check(&self.world, &self.cluster, &self.ranges());
        }
    }

    fn ranges(&self) -> Vec<u64> {
        let mut ranges: Vec<u64> = self
            .cluster
            .nodes()
            .flat_map(|(_, node)| node.store().statuses())
            .map(|status| status.descriptor.id.0)
            .collect();
        ranges.sort_unstable();
        ranges.dedup();
        ranges
    }

    /// Faults end; everything must come back, and then be right.
    async fn heal(&self, clients: &Shift) {
        if !self.world.violations().is_empty() {
            return;
        }
        self.world.milestone("faults end");
        self.saboteur.heal();
        self.cluster.supervise(clients.clone());
        if !self.cluster.until_whole(self.options.nodes.min(3), HEALING).await {
            return self
                .world
                .violation("healing", format!("the cluster is not whole again: {}", self.cluster.describe()));
        }
        self.world.sleep(Duration::from_secs(5)).await;
        if !self.catalog.can_change(self.cluster.gateways()).await {
            let what = format!("the catalog cannot be changed, and nothing is broken: {}", self.cluster.describe());
            self.world.violation("catalog_changes", what);
        }
        clients.end();
        if !self.until(HEALING, || clients.working() == 0).await {
            let what = format!("{} clients never come to an end: {}", clients.working(), self.cluster.describe());
            return self.world.violation("healing", what);
        }
        self.audit().await;
        self.look();
        self.check_defects();
        // Ranges may still be split, one after the other, until none is too large.
        self.until(SETTLING, || self.cluster.survey().is_some_and(|survey| gap(&survey).is_none())).await;
        if let Some(survey) = self.cluster.survey() {
            check_tiling(&self.world, &survey);
        }
        self.compare().await;
    }

    async fn audit(&self) {
        for node in (0..self.cluster.len()).cycle().take(30) {
            let Some(gateway) = self.cluster.gateways().get(node) else { continue };
            if self.bank.audit(&gateway).await && self.on_call.audit(&gateway).await && self.read_all(&gateway).await {
                return;
            }
            self.world.sleep(Duration::from_secs(1)).await;
        }
        self.world.violation("healing", "nobody can read everything");
    }

    /// What was recorded gets its last reads.
    async fn read_all(&self, gateway: &Gateway) -> bool {
        for recorded in &self.recorded {
            if !recorded.read_all(gateway).await {
                return false;
            }
        }
        true
    }

    /// No disk has lost or spoilt anything that it had promised to keep, so every replica has to be of use.
    fn check_defects(&self) {
        for (number, node) in self.cluster.nodes() {
            for (range, replica, why) in node.store().defects() {
                let what = format!("{range} {replica} on node {} is out of use: {why}", number + 1);
                self.world.violation("no_defect", what);
            }
        }
    }

    async fn compare(&self) {
        let mut last = Agreement::Reached;
        for _ in 0..100 {
            match compare_replicas(&self.cluster) {
                Ok(Agreement::Reached) => return,
                Ok(other) => last = other,
                Err(error) => return self.world.violation("replicas_equal", error.to_string()),
            }
            self.world.sleep(Duration::from_millis(200)).await;
        }
        self.world.violation("replicas_equal", format!("{last:?}{}", self.cluster.describe()));
    }

    async fn until(&self, limit: Duration, done: impl Fn() -> bool) -> bool {
        let begin = self.world.elapsed();
        while !done() {
            if self.world.elapsed() - begin > limit {
                return false;
            }
            self.world.sleep(Duration::from_millis(50)).await;
        }
        true
    }

    fn report(&self) -> SimReport {
        SimReport {
            options: self.options.clone(),
            hash: self.world.trace_hash(),
            events: self.world.event_count(),
            simulated: self.world.elapsed(),
            under_faults: self.under_faults.get(),
            faults: self.saboteur.done(),
            counts: self.counts(),
            recorded: self.recorded.iter().map(|recorded| (recorded.name(), recorded.counts())).collect(),
            histories: self.histories(),
            violations: self.world.violations(),
            milestones: self.world.milestones(),
            last_events: self.world.last_events(),
        }
    }

    /// Only if something is wrong: they are long.
    fn histories(&self) -> BTreeMap<&'static str, String> {
        if self.world.violations().is_empty() {
            return BTreeMap::new();
        }
        let histories = self.recorded.iter().map(|recorded| (recorded.name(), recorded.history()));
        histories.filter(|(_, history)| !history.is_empty()).collect()
    }

    fn counts(&self) -> Counts {
        let counted = |name| self.cluster.counted(name);
        Counts {
            transfers: self.bank.acknowledged(),
            transfers_failed: self.bank.failed(),
            transfers_unknown: self.bank.unknown(),
            reads: self.bank.reads(),
            turns: self.on_call.turns(),
            catalog_changes: self.catalog.changes(),
            numbers: self.oracle.numbers(),
            commits_one_range: counted("txn_commits_one_range"),
            commits_over_ranges: counted("txn_commits_one_round") + counted("txn_commits_two_rounds"),
            refreshes: counted("txn_refreshes"),
            pushes: counted("txn_retries_pushed") + counted("txn_retries_newer_version"),
        }
    }
}

/// More than two clocks of a simulation differ in their rates.
const DRIFT_PERMILLE: u32 = 11;

/// Drift of up to half a percent, wall clocks up to a minute apart.
fn draw_clocks(random: &mut Random) -> ClockFaults {
    ClockFaults {
        rate: 1.0 + (random.below(101) as f64 - 50.0) / 10_000.0,
        wall_offset_ms: random.between(0, 120_000) as i64 - 60_000,
    }
}

/// Rare sizes and timings made common.
fn draw_knobs(random: &mut Random) -> Knobs {
    let defaults = Knobs::default();
    let mut knobs = defaults.clone();
    if random.chance(0.5) {
        knobs.scan_page_rows = random.between(1, 5) as usize;
    }
    if random.chance(0.5) {
        knobs.read_cache_spans = random.between(1, 8) as usize;
    }
    if random.chance(0.5) {
        // Logs are cut early, so that whoever was away needs a snapshot.
        knobs.log_keep_bytes = random.between(0, 20_000);
        knobs.flush_bytes = random.between(1_000, 50_000);
    }
    if random.chance(0.5) {
        knobs.txn_expiry = Duration::from_millis(random.between(800, 5_000));
        knobs.txn_heartbeat = knobs.txn_expiry / 4;
    }
    if random.chance(0.4) {
        knobs.gc_ttl = Duration::from_millis(random.between(500, 10_000));
    }
    knobs.election_ticks = random.between(5, 12);
    knobs.leader_lease = random.chance(0.8);
    if random.chance(0.7) {
        knobs.lease_spare_ticks = random.between(0, 2);
        knobs.clock_drift_permille = DRIFT_PERMILLE + random.between(0, 400) as u32 * random.below(2) as u32;
    }
    if random.chance(0.4) {
        // Ranges are split all the time, until each is a few rows.
        knobs.range_bytes_max = random.between(8_000, 80_000);
    }
    if random.chance(0.3) {
        knobs.range_load_max = random.between(20, 200);
        knobs.range_load_seconds = random.between(1, 5) as usize;
    }
    knobs
}
