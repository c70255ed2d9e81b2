//! Runs isolation specs, PostgreSQL's and ours, against any server of PostgreSQL's protocol.
//!
//! What is printed is what PostgreSQL's isolationtester prints (src/test/isolation of its sources describes it), so that
//! its expected output can be compared with ours:
//!
//! * each step is sent on its session's connection; the next one follows when it is done or *blocked*;
//! * blocked is what the server says it is (`pg_isolation_test_session_is_blocked`);
//! * after each step those that were blocked are looked at again, and reported when they have ended.
#![allow(dead_code, reason = "each user needs a part")]

pub mod compare;
mod connection;
mod print;
pub mod spec;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio_postgres::Config;

use self::connection::Connection;
use self::spec::{Blocker, Entry, Spec, StepId};

/// A spec, what may be said to it, and what was.
pub struct Run {
    pub spec: Spec,
    pub output: String,
    /// Why it did not get to its end.
    pub stopped: Option<String>,
}

/// Sessions look for the end of a step this often; between two looks the server is asked whether it is blocked.
const LOOK: Duration = Duration::from_millis(10);

/// What PostgreSQL's own tests set for every session.
const SETTINGS: &str = "-c timezone=PST8PDT -c datestyle=Postgres,\\ MDY -c intervalstyle=postgres_verbose";

/// Runs all permutations of `file`, in a new database. `level`: the sessions' `default_transaction_isolation`. `also`: what
/// is run after each setup.
pub async fn run_file(url: &str, file: &Path, level: &str, also: &str) -> Result<Run, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let mut spec = Spec::parse(&text)?;
    if !also.is_empty() {
        spec.setups.push(also.to_owned());
    }
    let name = file.file_stem().map(|stem| stem.to_string_lossy().replace('-', "_")).unwrap_or_default();
    let database = format!("isolation_{name}");
    let mut config: Config = url.parse().map_err(|error| format!("{url}: {error}"))?;
    let admin = Connection::open(&config).await?;
    admin.run(&format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)")).await?;
    admin.run(&format!("CREATE DATABASE {database}")).await?;
    let level = level.replace(' ', "\\ ");
    config.dbname(&database).options(format!("{SETTINGS} -c default_transaction_isolation={level}"));
    let mut tester = Tester { config, limit: limit(), out: String::new() };
    let stopped = tester.run_all(&spec, &name).await.err();
    admin.run(&format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)")).await?;
    Ok(Run { spec, output: tester.out, stopped })
}

/// The outputs that are right for `name`: `name.out`, `name_1.out`, ….
pub fn expected_files(folder: &Path, name: &str) -> Vec<PathBuf> {
    let numbered = (1..10).map(|number| folder.join(format!("{name}_{number}.out")));
    [folder.join(format!("{name}.out"))].into_iter().chain(numbered).filter(|path| path.exists()).collect()
}

/// How long a step may take before it is cancelled.
fn limit() -> Duration {
    let seconds = std::env::var("PGISOLATIONTIMEOUT").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(20))
}

struct Tester {
    config: Config,
    limit: Duration,
    out: String,
}

/// The sessions while one permutation runs.
struct Stage<'s> {
    spec: &'s Spec,
    control: Connection,
    sessions: Vec<Connection>,
    /// The step that each session is busy with.
    active: Vec<Option<StepId>>,
    pids: String,
}

/// A step that was launched.
struct Launched<'e> {
    entry: &'e Entry,
    /// Notices of the sessions at its launch.
    notices: Vec<usize>,
    at: Instant,
    cancelled: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Just launched; may be found blocked.
    First,
    /// It was blocked, and may still be.
    Again,
    /// Nothing will unblock it but time: it is waited for.
    ToTheEnd,
}

impl Tester {
    async fn run_all(&mut self, spec: &Spec, name: &str) -> Result<(), String> {
        let out = &mut self.out;
        writeln!(out, "Parsed test spec with {} sessions", spec.sessions.len()).expect("text grows");
        let control =
            Connection::open(self.config.clone().application_name(format!("isolation/{name}/control"))).await?;
        let mut sessions = Vec::new();
        for session in &spec.sessions {
            let name = format!("isolation/{name}/{}", session.name);
            sessions.push(Connection::open(self.config.clone().application_name(name)).await?);
        }
        let pids: Vec<String> =
            [&control].into_iter().chain(&sessions).map(|connection| connection.pid.to_string()).collect();
        let active = vec![None; sessions.len()];
        let mut stage = Stage { spec, control, sessions, active, pids: pids.join(",") };
        for order in spec.orders() {
            self.run_permutation(&mut stage, &order).await?;
        }
        Ok(())
    }

    async fn run_permutation(&mut self, stage: &mut Stage<'_>, order: &[Entry]) -> Result<(), String> {
        let spec = stage.spec;
        self.out.push_str("\nstarting permutation:");
        for entry in order {
            write!(self.out, " {}", spec.step(entry.id).name).expect("text grows");
        }
        self.out.push('\n');
        for setup in &spec.setups {
            let rows = stage.control.run(setup).await.map_err(|why| format!("setup failed: {why}"))?;
            self.out.push_str(&rows);
        }
        for (at, session) in spec.sessions.iter().enumerate() {
            if let Some(setup) = &session.setup {
                let done = stage.sessions[at].run(setup).await;
                self.show_notices(stage, at);
                let rows = done.map_err(|why| format!("setup of session {} failed: {why}", session.name))?;
                self.out.push_str(&rows);
            }
        }
        self.run_steps(stage, order).await?;
        for (at, session) in spec.sessions.iter().enumerate() {
            if let Some(teardown) = &session.teardown {
                let done = stage.sessions[at].run(teardown).await;
                self.show_notices(stage, at);
                match done {
                    Ok(rows) => self.out.push_str(&rows),
                    Err(why) => {
                        write!(self.out, "teardown of session {} failed: {why}", session.name).expect("text grows")
                    }
                }
            }
        }
        // Where PostgreSQL has failed a transaction and we have not, a spec leaves it open, with its locks.
        for session in &stage.sessions {
            let _was_none = session.run("ROLLBACK").await;
            session.take_notices();
        }
        if let Some(teardown) = &spec.teardown {
            match stage.control.run(teardown).await {
                Ok(rows) => self.out.push_str(&rows),
                Err(why) => write!(self.out, "teardown failed: {why}").expect("text grows"),
            }
        }
        Ok(())
    }

    async fn run_steps<'e>(&mut self, stage: &mut Stage<'_>, order: &'e [Entry]) -> Result<(), String> {
        let mut waiting: Vec<Launched<'e>> = Vec::new();
        for entry in order {
            let session = entry.id.session;
            // A session that is still blocked on an earlier step is waited for.
            while let Some(busy) = stage.active[session] {
                let at =
                    waiting.iter().position(|step| step.entry.id == busy).expect("a busy session has a waiting step");
                let mut step = waiting.remove(at);
                if !self.is_complete(stage, &mut step, Look::ToTheEnd).await? {
                    // Done, but held back by a marker.
                    waiting.insert(at, step);
                }
                self.complete(stage, &mut waiting, Look::Again).await?;
            }
            stage.sessions[session].launch(&stage.spec.step(entry.id).sql);
            stage.active[session] = Some(entry.id);
            let notices = stage.sessions.iter().map(Connection::notices_total).collect();
            let mut step = Launched { entry, notices, at: Instant::now(), cancelled: false };
            let is_complete = self.is_complete(stage, &mut step, Look::First).await?;
            self.complete(stage, &mut waiting, Look::Again).await?;
            if !is_complete {
                waiting.push(step);
            }
        }
        self.complete(stage, &mut waiting, Look::ToTheEnd).await?;
        if !waiting.is_empty() {
            return Err("failed to complete permutation due to mutually-blocking steps".into());
        }
        Ok(())
    }

    /// Reports the steps that have ended; again while that may release others.
    async fn complete(
        &mut self,
        stage: &mut Stage<'_>,
        waiting: &mut Vec<Launched<'_>>,
        look: Look,
    ) -> Result<(), String> {
        loop {
            let before = waiting.len();
            let mut at = 0;
            while at < waiting.len() {
                if self.is_complete(stage, &mut waiting[at], look).await? {
                    waiting.remove(at);
                } else {
                    at += 1;
                }
            }
            let has_marks = waiting.iter().any(|step| !step.entry.blockers.is_empty());
            if !has_marks || waiting.len() == before {
                return Ok(());
            }
        }
    }

    /// Waits for the end of a step, or until it is known to be blocked; reports it.
    async fn is_complete(
        &mut self,
        stage: &mut Stage<'_>,
        step: &mut Launched<'_>,
        look: Look,
    ) -> Result<bool, String> {
        let (id, session) = (step.entry.id, step.entry.id.session);
        let (name, sql) = (&stage.spec.step(id).name, &stage.spec.step(id).sql);
        let mut is_blocked = look == Look::First && step.entry.blockers.contains(&Blocker::Once);
        while !is_blocked && !stage.sessions[session].ends_within(LOOK).await {
            self.show_notices(stage, session);
            if look != Look::ToTheEnd {
                is_blocked = stage.control.is_blocked(stage.sessions[session].pid, &stage.pids).await?
                    && !stage.sessions[session].ends_within(Duration::ZERO).await;
            }
            let waited = step.at.elapsed();
            if waited > self.limit && !step.cancelled {
                writeln!(self.out, "isolationtester: canceling step {name} after {} seconds", self.limit.as_secs())
                    .expect("text grows");
                stage.sessions[session].cancel().await;
                step.cancelled = true;
            }
            if waited > 2 * self.limit {
                return Err(format!("step {name} timed out after {} seconds", waited.as_secs()));
            }
        }
        self.show_notices(stage, session);
        if is_blocked || stage.is_held_back(step) {
            if look == Look::First {
                writeln!(self.out, "step {name}: {sql} <waiting ...>").expect("text grows");
            }
            return Ok(false);
        }
        match look {
            Look::First => writeln!(self.out, "step {name}: {sql}"),
            Look::Again | Look::ToTheEnd => writeln!(self.out, "step {name}: <... completed>"),
        }
        .expect("text grows");
        let rows = stage.sessions[session].take_output();
        self.out.push_str(&rows);
        self.show_notifications(stage, session);
        stage.active[session] = None;
        Ok(true)
    }

    fn show_notices(&mut self, stage: &Stage<'_>, session: usize) {
        for notice in stage.sessions[session].take_notices() {
            write!(self.out, "{}: {notice}", stage.spec.sessions[session].name).expect("text grows");
        }
    }

    fn show_notifications(&mut self, stage: &Stage<'_>, session: usize) {
        for notification in stage.sessions[session].take_notifications() {
            let pid = notification.process_id();
            let sender = stage.sessions.iter().position(|connection| connection.pid == pid);
            let sender = sender.map_or_else(|| format!("PID {pid}"), |at| stage.spec.sessions[at].name.clone());
            let (name, channel, payload) =
                (&stage.spec.sessions[session].name, notification.channel(), notification.payload());
            writeln!(self.out, "{name}: NOTIFY \"{channel}\" with payload \"{payload}\" from {sender}")
                .expect("text grows");
        }
    }
}

impl Stage<'_> {
    /// Its markers say that it is not to be reported yet.
    fn is_held_back(&self, step: &Launched<'_>) -> bool {
        step.entry.blockers.iter().any(|blocker| match blocker {
            Blocker::Once => false,
            Blocker::Step(other) => self.active[other.session] == Some(*other),
            Blocker::Notices(other, count) => {
                self.sessions[other.session].notices_total() - step.notices[other.session] < *count
            }
        })
    }
}
