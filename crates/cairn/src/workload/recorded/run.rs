//! Clients, their history, and its end.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use checker::{History, Kind, Load, Operation, Outcome, Process, Verdict};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio_postgres::Config;

use super::{RunArguments, Workload};
use crate::Failure;
use crate::connect::{self, Target};
use crate::workload::session::{Ended, Session};

/// A server may take as long to come back.
const LAST_READS_MAX: Duration = Duration::from_secs(120);

/// A change that takes longer is given up, and its connection.
const MEDDLING_MAX: Duration = Duration::from_secs(30);

/// What all clients share. They are all polled by one task, as everything they wait for is the server.
struct Run<W: Workload> {
    workload: W,
    load: RefCell<W::Load>,
    history: RefCell<History<W::Op>>,
    configs: Vec<Config>,
    begin: Instant,
    end: Instant,
    pause: Duration,
    reasons: RefCell<BTreeMap<String, u64>>,
    meddled: RefCell<u64>,
    /// What is wrong although no history shows it.
    wrong: RefCell<Vec<String>>,
}

pub async fn run<W: Workload>(workload: W, arguments: RunArguments) -> Result<(), Failure> {
    let configs = configs(&arguments.urls)?;
    must_be_empty::<W>(&configs[0]).await?;
    let begin = Instant::now();
    let run = Run {
        load: RefCell::new(workload.load()),
        workload,
        history: RefCell::default(),
        configs,
        begin,
        end: begin + Duration::from_secs(arguments.seconds),
        pause: Duration::from_millis(arguments.pause_ms),
        reasons: RefCell::default(),
        meddled: RefCell::default(),
        wrong: RefCell::default(),
    };
    let clients = (0..arguments.clients).map(|number| run.client(number, arguments.seed));
    futures::future::join(futures::future::join_all(clients), run.meddle(arguments.seed)).await;
    // Some wait for an answer longer than that.
    let took = begin.elapsed().min(Duration::from_secs(arguments.seconds));
    let read_all = run.read_all(arguments.seed).await;
    let inspected = run.inspect().await;
    let file = arguments.history.unwrap_or_else(|| PathBuf::from(format!("{}.history", W::NAME)));
    write_history(&run.history.borrow(), &file)?;
    run.report(took);
    let judging = Instant::now();
    let verdict = run.history.borrow().check();
    println!("{verdict}");
    println!("judged in {:.1} s; the history is in {}", judging.elapsed().as_secs_f64(), file.display());
    conclude(&verdict, run.workload.promise(), &file)?;
    read_all?;
    inspected?;
    match &run.wrong.borrow()[..] {
        [] => Ok(()),
        wrong => Err(Failure::new(format!("VIOLATION besides the history:\n  {}", wrong.join("\n  ")))),
    }
}

fn configs(urls: &[String]) -> Result<Vec<Config>, Failure> {
    if urls.is_empty() {
        return Ok(vec![Target::default().config()?]);
    }
    urls.iter().map(|url| Target { url: Some(url.clone()) }.config()).collect()
}

/// Keys and values begin anew with each run.
async fn must_be_empty<W: Workload>(config: &Config) -> Result<(), Failure> {
    let (name, table) = (W::NAME, W::TABLE);
    let client = connect::connect(config).await?;
    let advice = || Failure::new(format!("run `cairn workload init {name}` first: {table} has to be there, and empty"));
    let rows = client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.map_err(|_| advice())?;
    if rows.get::<_, i64>(0) == 0 { Ok(()) } else { Err(advice()) }
}

fn write_history<O: Operation>(history: &History<O>, path: &Path) -> Result<(), Failure> {
    let cannot = |error| Failure::new(format!("cannot write {}: {error}", path.display()));
    let mut file = BufWriter::new(File::create(path).map_err(cannot)?);
    history.write_to(&mut file).map_err(cannot)?;
    file.flush().map_err(cannot)
}

/// Operations acknowledged until `took`, and the longest time without one.
fn pace<O>(history: &History<O>, took: Duration) -> (u64, Duration) {
    let (mut count, mut last, mut longest) = (0, Duration::ZERO, Duration::ZERO);
    let done = history.events().iter().filter(|event| event.kind == Kind::Ok);
    for at in done.map(|event| Duration::from_nanos(event.time)).take_while(|at| *at <= took) {
        count += 1;
        longest = longest.max(at.saturating_sub(last));
        last = at;
    }
    (count, longest.max(took.saturating_sub(last)))
}

fn conclude(verdict: &Verdict, promise: checker::Level, file: &Path) -> Result<(), Failure> {
    if verdict.counts.ok == 0 {
        return Err(Failure::new("no operation was acknowledged: that proves nothing"));
    }
    if verdict.holds(promise) {
        println!("{promise} holds");
        return Ok(());
    }
    let what = if verdict.breaks.is_some() { "VIOLATION of" } else { "nobody can say whether it keeps" };
    Err(Failure::new(format!("{what} {promise}; `cairn workload judge {}` tells again", file.display())))
}

impl<W: Workload> Run<W> {
    async fn client(&self, number: u32, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed << 16 | u64::from(number));
        let mut process = self.history.borrow_mut().new_process();
        let mut node = number as usize;
        let mut session: Option<Session> = None;
        while Instant::now() < self.end {
            let connected = match session.take() {
                Some(connected) => connected,
                None => match self.connect(&mut node).await {
                    Some(connected) => connected,
                    None => continue,
                },
            };
            let op = self.load.borrow_mut().next_op(&mut |bound| rng.random_range(0..bound));
            self.operate(&mut process, &connected, op, &mut rng).await;
            session = (!connected.is_broken()).then_some(connected);
            if !self.pause.is_zero() {
                tokio::time::sleep(self.pause).await;
            }
        }
    }

    /// The next node each time.
    async fn connect(&self, node: &mut usize) -> Option<Session> {
        let config = &self.configs[*node % self.configs.len()];
        *node += 1;
        match tokio::time::timeout(Duration::from_secs(5), connect::connect(config)).await {
            Ok(Ok(client)) => Some(Session::new(client)),
            _ => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Was it acknowledged?
    async fn operate(&self, process: &mut Process, session: &Session, op: W::Op, rng: &mut StdRng) -> bool {
        self.history.borrow_mut().invoke(*process, self.now(), op.clone());
        let ended = self.workload.perform(session, op.clone(), rng).await;
        let (outcome, done, why) = match ended {
            Ok(done) => (Outcome::Ok, done, None),
            Err(Ended::Failed(why)) => (Outcome::Fail, op, Some(why)),
            Err(Ended::Unknown(why)) => (Outcome::Info, op, Some(why)),
        };
        if let Some(why) = why {
            *self.reasons.borrow_mut().entry(why).or_default() += 1;
        }
        let mut history = self.history.borrow_mut();
        history.complete(*process, self.now(), outcome, done);
        if outcome == Outcome::Info {
            *process = history.new_process();
        }
        outcome == Outcome::Ok
    }

    /// The one more client of some workloads.
    async fn meddle(&self, seed: u64) {
        if !W::MEDDLES {
            return;
        }
        let mut rng = StdRng::seed_from_u64(!seed);
        let mut node = 0;
        while Instant::now() < self.end {
            let Some(session) = self.connect(&mut node).await else { continue };
            while Instant::now() < self.end && !session.is_broken() {
                match tokio::time::timeout(MEDDLING_MAX, self.workload.meddle(&session, &mut rng)).await {
                    Ok(Ok(wrong)) => {
                        *self.meddled.borrow_mut() += 1;
                        self.wrong.borrow_mut().extend(wrong);
                    }
                    // Perhaps in the middle of a transaction: another session goes on.
                    Ok(Err(stop)) => {
                        *self.reasons.borrow_mut().entry(format!("meddling: {stop}")).or_default() += 1;
                        break;
                    }
                    Err(_) => break,
                }
            }
        }
    }

    /// Looks at what is left, as soon as somebody answers.
    async fn inspect(&self) -> Result<(), Failure> {
        let give_up = Instant::now() + LAST_READS_MAX;
        let mut node = 0;
        loop {
            let why = match self.connect(&mut node).await {
                None => "no node takes a connection".to_owned(),
                Some(session) => match tokio::time::timeout(LAST_READS_MAX, self.workload.inspect(&session)).await {
                    Ok(Ok(wrong)) => {
                        self.wrong.borrow_mut().extend(wrong);
                        return Ok(());
                    }
                    Ok(Err(stop)) => stop.to_string(),
                    Err(_) => "it takes too long".to_owned(),
                },
            };
            if Instant::now() > give_up {
                return Err(Failure::new(format!("what is left could not be looked at: {why}")));
            }
        }
    }

    /// Everything once more, as soon as somebody answers.
    async fn read_all(&self, seed: u64) -> Result<(), Failure> {
        let give_up = Instant::now() + LAST_READS_MAX;
        let mut rng = StdRng::seed_from_u64(seed);
        let mut process = self.history.borrow_mut().new_process();
        let mut open = self.load.borrow().last_reads();
        let mut node = 0;
        while !open.is_empty() {
            if Instant::now() > give_up {
                let left = open.len();
                return Err(Failure::new(format!(
                    "{left} of the last reads were not answered: the judgement lacks them"
                )));
            }
            let Some(session) = self.connect(&mut node).await else { continue };
            while let Some(op) = open.pop() {
                if !self.operate(&mut process, &session, op.clone(), &mut rng).await {
                    open.push(op);
                    break;
                }
            }
        }
        Ok(())
    }

    fn report(&self, took: Duration) {
        let history = self.history.borrow();
        let seconds = took.as_secs_f64();
        let (acknowledged, longest) = pace(&history, took);
        println!(
            "{}: {acknowledged} operations acknowledged in {seconds:.0} s ({:.0}/s), worst outage {:.2} s",
            W::NAME,
            acknowledged as f64 / seconds,
            longest.as_secs_f64()
        );
        if W::MEDDLES {
            println!("  {} changes besides", self.meddled.borrow());
        }
        for (why, times) in self.reasons.borrow().iter() {
            println!("  {times} x {why}");
        }
    }
}
