//! Money moves between accounts; none is made or lost.
//!
//! Each transfer takes from one account, gives to another and writes a ledger row under an id that the client drew, in
//! one transaction. A client reconnects when its connection breaks. Every attempt ends in one of three ways, and is logged
//! so: `ok` (COMMIT was acknowledged), `fail` (the server said that nothing happened, or COMMIT was never sent), `info`
//! (COMMIT was sent and no answer came: nobody knows). While it runs and at the end this must hold:
//!
//! * the sum of all balances is what it was at the start, in every read;
//! * every `ok` transfer is in the ledger, no `fail` transfer is;
//! * each account's balance is its first one plus what the ledger gave minus what it took.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::sync::mpsc;
use tokio_postgres::{Client, Config};

use crate::Failure;
use crate::connect::{self, Target};

const FIRST_BALANCE: i64 = 1000;

#[derive(clap::Args)]
pub struct InitArguments {
    #[command(flatten)]
    target: Target,
    /// Number of accounts, each with 1000
    #[arg(long, default_value_t = 100)]
    accounts: u32,
}

#[derive(clap::Args)]
pub struct RunArguments {
    #[command(flatten)]
    target: Target,
    /// Concurrent connections
    #[arg(long, default_value_t = 8)]
    clients: u32,
    /// Seconds to run
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Append each finished attempt to this file: time, ok|fail|info, transfer id
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Seed of accounts and amounts
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Fail unless writes were never interrupted for longer than this many seconds
    #[arg(long, value_name = "SECONDS")]
    outage_max: Option<f64>,
}

#[derive(clap::Args)]
pub struct CheckArguments {
    #[command(flatten)]
    target: Target,
    /// A log written by `run --log`
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Ok,
    Fail,
    Info,
}

struct Attempt {
    outcome: Outcome,
    id: i64,
    finished: Instant,
    latency: Duration,
    why: Option<String>,
}

pub async fn init(arguments: InitArguments) -> Result<(), Failure> {
    let client = connect::connect(&arguments.target.config()?).await?;
    client
        .batch_execute(
            "DROP TABLE IF EXISTS bank_ledger, bank_accounts;
             CREATE TABLE bank_accounts (id int PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));
             CREATE TABLE bank_ledger (id bigint PRIMARY KEY, source int NOT NULL, target int NOT NULL, amount bigint NOT NULL)",
        )
        .await?;
    let ids: Vec<u32> = (0..arguments.accounts).collect();
    for chunk in ids.chunks(500) {
        let values: Vec<String> = chunk.iter().map(|id| format!("({id}, {FIRST_BALANCE})")).collect();
        client.batch_execute(&format!("INSERT INTO bank_accounts VALUES {}", values.join(", "))).await?;
    }
    println!("bank: {} accounts with {FIRST_BALANCE} each", arguments.accounts);
    Ok(())
}

pub async fn run(arguments: RunArguments) -> Result<(), Failure> {
    let config = Arc::new(arguments.target.config()?);
    let accounts = count_accounts(&connect::connect(&config).await?).await?;
    let (report, attempts) = mpsc::unbounded_channel();
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    // Ids are unique across runs, with the run's start in the upper bits, and in a run, as clients count in step.
    let first_id = (unix_ms() << 20) as i64;
    let workers: Vec<_> = (0..arguments.clients)
        .map(|number| {
            let worker = Worker {
                config: Arc::clone(&config),
                accounts,
                rng: StdRng::seed_from_u64(arguments.seed << 16 | u64::from(number)),
                next_id: first_id + i64::from(number),
                id_step: i64::from(arguments.clients),
                end,
                report: report.clone(),
            };
            tokio::spawn(worker.run())
        })
        .collect();
    let watcher = tokio::spawn(watch_sum(Arc::clone(&config), i64::from(accounts) * FIRST_BALANCE, end));
    drop(report);
    let mut tally = Tally::new(arguments.log.as_ref(), arguments.seconds)?;
    tally.collect(attempts).await?;
    for worker in workers {
        worker.await?;
    }
    let reads = watcher.await??;
    tally.print(reads);
    verify(&config, &tally.history).await?;
    if let Some(limit) = arguments.outage_max
        && tally.worst_gap.as_secs_f64() > limit
    {
        return Err(Failure::new(format!(
            "writes stood still for {:.2} s, more than {limit} s",
            tally.worst_gap.as_secs_f64()
        )));
    }
    Ok(())
}

pub async fn check(arguments: CheckArguments) -> Result<(), Failure> {
    let mut history = BTreeMap::new();
    if let Some(path) = &arguments.log {
        let file =
            File::open(path).map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
        for line in BufReader::new(file).lines() {
            let line = line?;
            let mut words = line.split_whitespace().skip(1);
            if let (Some(outcome), Some(Ok(id))) = (words.next(), words.next().map(str::parse)) {
                let outcome = match outcome {
                    "ok" => Outcome::Ok,
                    "fail" => Outcome::Fail,
                    _ => Outcome::Info,
                };
                history.insert(id, outcome);
            }
        }
    }
    verify(&arguments.target.config()?, &history).await
}

struct Worker {
    config: Arc<Config>,
    accounts: i32,
    rng: StdRng,
    next_id: i64,
    id_step: i64,
    end: Instant,
    report: mpsc::UnboundedSender<Attempt>,
}

impl Worker {
    async fn run(mut self) {
        let mut client = None;
        while Instant::now() < self.end {
            let connected = match client.take() {
                Some(client) => client,
                None => match tokio::time::timeout(Duration::from_secs(5), connect::connect(&self.config)).await {
                    Ok(Ok(client)) => client,
                    _ => {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            let attempt = self.attempt(&connected).await;
            let broken = connected.is_closed() || attempt.outcome == Outcome::Info;
            if self.report.send(attempt).is_err() {
                return;
            }
            client = (!broken).then_some(connected);
        }
    }

    async fn attempt(&mut self, client: &Client) -> Attempt {
        self.next_id += self.id_step;
        let (id, started) = (self.next_id, Instant::now());
        let source = self.rng.random_range(0..self.accounts);
        let target = (source + self.rng.random_range(1..self.accounts)) % self.accounts;
        let amount = self.rng.random_range(1..=10_i64);
        // An answer that never comes must not end the run.
        let (outcome, why) =
            match tokio::time::timeout(Duration::from_secs(30), transfer(client, id, source, target, amount)).await {
                Ok(done) => done,
                Err(_) => (Outcome::Info, Some("no answer for 30 s".to_owned())),
            };
        Attempt { outcome, id, finished: Instant::now(), latency: started.elapsed(), why }
    }
}

async fn transfer(client: &Client, id: i64, source: i32, target: i32, amount: i64) -> (Outcome, Option<String>) {
    let body = async {
        client.batch_execute("BEGIN").await?;
        let take = "UPDATE bank_accounts SET balance = balance - $2 WHERE id = $1 AND balance >= $2";
        let taken = client.execute(take, &[&source, &amount]).await?;
        if taken == 1 {
            client
                .execute("UPDATE bank_accounts SET balance = balance + $2 WHERE id = $1", &[&target, &amount])
                .await?;
            client
                .execute("INSERT INTO bank_ledger VALUES ($1, $2, $3, $4)", &[&id, &source, &target, &amount])
                .await?;
        }
        Ok::<u64, tokio_postgres::Error>(taken)
    };
    let taken = match body.await {
        Ok(taken) => taken,
        Err(error) => {
            let Failure(why) = connect::describe(&error);
            if !client.is_closed() {
                // The transaction is over whatever this answers.
                let _ended = client.batch_execute("ROLLBACK").await;
            }
            return (Outcome::Fail, Some(why));
        }
    };
    match client.batch_execute(if taken == 1 { "COMMIT" } else { "ROLLBACK" }).await {
        Ok(()) if taken == 1 => (Outcome::Ok, None),
        Ok(()) => (Outcome::Fail, None),
        Err(error) => {
            let Failure(why) = connect::describe(&error);
            // 40003 says that the outcome is unknown; every other answer of the server says that it failed.
            let definite = error.code().is_some_and(|code| {
                !matches!(code.code(), "40003" | "57P01" | "57P02") && !code.code().starts_with("08")
            });
            (if definite || taken != 1 { Outcome::Fail } else { Outcome::Info }, Some(why))
        }
    }
}

/// Reads the sum again and again until the end; how many reads succeeded.
async fn watch_sum(config: Arc<Config>, expected: i64, end: Instant) -> Result<u64, Failure> {
    let mut reads = 0;
    while Instant::now() < end {
        let Ok(Ok(client)) = tokio::time::timeout(Duration::from_secs(5), connect::connect(&config)).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        while Instant::now() < end {
            let read = tokio::time::timeout(
                Duration::from_secs(10),
                client.query_one("SELECT sum(balance)::bigint FROM bank_accounts", &[]),
            );
            let Ok(Ok(row)) = read.await else { break };
            let sum: i64 = row.get(0);
            if sum != expected {
                return Err(Failure::new(format!("VIOLATION: a read saw a sum of {sum} instead of {expected}")));
            }
            reads += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(reads)
}

struct Tally {
    history: BTreeMap<i64, Outcome>,
    log: Option<File>,
    started: Instant,
    last_ok: Instant,
    worst_gap: Duration,
    latencies_us: Vec<u64>,
    reasons: BTreeMap<String, u64>,
    progress: ProgressBar,
    seconds: u64,
}

impl Tally {
    fn new(log: Option<&PathBuf>, seconds: u64) -> Result<Tally, Failure> {
        let log = match log {
            Some(path) => Some(
                File::options()
                    .create(true)
                    .append(true)
                    .open(path)
                    .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))?,
            ),
            None => None,
        };
        let style = ProgressStyle::with_template("{bar:30} {elapsed}/{msg}").expect("the template is well formed");
        let progress = ProgressBar::new(seconds).with_style(style);
        let now = Instant::now();
        Ok(Tally {
            history: BTreeMap::new(),
            log,
            started: now,
            last_ok: now,
            worst_gap: Duration::ZERO,
            latencies_us: Vec::new(),
            reasons: BTreeMap::new(),
            progress,
            seconds,
        })
    }

    async fn collect(&mut self, mut attempts: mpsc::UnboundedReceiver<Attempt>) -> Result<(), Failure> {
        while let Some(attempt) = attempts.recv().await {
            let word = match attempt.outcome {
                Outcome::Ok => {
                    self.worst_gap = self.worst_gap.max(attempt.finished.saturating_duration_since(self.last_ok));
                    self.last_ok = self.last_ok.max(attempt.finished);
                    self.latencies_us.push(attempt.latency.as_micros() as u64);
                    "ok"
                }
                Outcome::Fail => "fail",
                Outcome::Info => "info",
            };
            if let Some(why) = attempt.why {
                *self.reasons.entry(why).or_default() += 1;
            }
            if let Some(log) = &mut self.log {
                writeln!(log, "{} {word} {}", unix_ms(), attempt.id)?;
            }
            self.history.insert(attempt.id, attempt.outcome);
            let second = attempt.finished.saturating_duration_since(self.started).as_secs();
            if second != self.progress.position() {
                self.progress.set_position(second.min(self.seconds));
                self.progress.set_message(format!("{} s, {} acknowledged", self.seconds, self.latencies_us.len()));
            }
        }
        self.worst_gap = self.worst_gap.max(Instant::now().saturating_duration_since(self.last_ok));
        self.progress.finish_and_clear();
        Ok(())
    }

    fn print(&mut self, reads: u64) {
        let count = |wanted| self.history.values().filter(|outcome| **outcome == wanted).count();
        let seconds = self.started.elapsed().as_secs_f64();
        let ok = count(Outcome::Ok);
        println!(
            "bank: {ok} transfers acknowledged ({:.0}/s), {} failed, {} with unknown outcome, {reads} sums read",
            ok as f64 / seconds,
            count(Outcome::Fail),
            count(Outcome::Info)
        );
        self.latencies_us.sort_unstable();
        let at = |quantile: f64| {
            let last = self.latencies_us.len().saturating_sub(1);
            self.latencies_us.get((last as f64 * quantile) as usize).map_or(0.0, |us| *us as f64 / 1000.0)
        };
        println!(
            "      latency ms: p50 {:.2}, p99 {:.2}, max {:.2}; worst write outage {:.2} s",
            at(0.5),
            at(0.99),
            at(1.0),
            self.worst_gap.as_secs_f64()
        );
        for (why, times) in &self.reasons {
            println!("      {times} x {why}");
        }
    }
}

/// Everything that must hold when nothing runs any more.
async fn verify(config: &Config, history: &BTreeMap<i64, Outcome>) -> Result<(), Failure> {
    let client = patient(config).await?;
    let balances = client.query("SELECT id, balance FROM bank_accounts ORDER BY id", &[]).await?;
    let ledger = client.query("SELECT id, source, target, amount FROM bank_ledger", &[]).await?;
    let mut expected: BTreeMap<i32, i64> = balances.iter().map(|row| (row.get(0), FIRST_BALANCE)).collect();
    let mut seen = BTreeSet::new();
    for row in &ledger {
        let (id, source, target, amount): (i64, i32, i32, i64) = (row.get(0), row.get(1), row.get(2), row.get(3));
        *expected.entry(source).or_default() -= amount;
        *expected.entry(target).or_default() += amount;
        if !seen.insert(id) {
            return Err(Failure::new(format!("VIOLATION: transfer {id} is in the ledger twice")));
        }
        if history.get(&id) == Some(&Outcome::Fail) {
            return Err(Failure::new(format!("VIOLATION: transfer {id} was reported as failed and is in the ledger")));
        }
    }
    if let Some((id, _)) = history.iter().find(|(id, outcome)| **outcome == Outcome::Ok && !seen.contains(id)) {
        return Err(Failure::new(format!("VIOLATION: transfer {id} was acknowledged and is not in the ledger")));
    }
    for row in &balances {
        let (id, balance): (i32, i64) = (row.get(0), row.get(1));
        if expected.get(&id) != Some(&balance) {
            return Err(Failure::new(format!(
                "VIOLATION: account {id} has {balance}, its ledger says {}",
                expected[&id]
            )));
        }
    }
    let sum: i64 = balances.iter().map(|row| row.get::<_, i64>(1)).sum();
    println!("bank: checked {} accounts (sum {sum}) and {} ledger rows: all consistent", balances.len(), ledger.len());
    Ok(())
}

/// Connects, waiting up to a minute for a server that is coming back.
async fn patient(config: &Config) -> Result<Client, Failure> {
    let give_up = Instant::now() + Duration::from_secs(60);
    loop {
        match connect::connect(config).await {
            Ok(client) => return Ok(client),
            Err(error) if Instant::now() > give_up => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

async fn count_accounts(client: &Client) -> Result<i32, Failure> {
    let row = client
        .query_one("SELECT count(*) FROM bank_accounts", &[])
        .await
        .map_err(|_| Failure::new("there is no bank here: run `cairn workload init bank` first"))?;
    let count: i64 = row.get(0);
    if count < 2 {
        return Err(Failure::new("a bank needs at least two accounts: run `cairn workload init bank` first"));
    }
    Ok(i32::try_from(count)?)
}

fn unix_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
