//! Runs the stories of `tests/stories/` against the fake cluster.
//!
//! Time stands still while somebody can go on: a command runs until it is done or everybody waits. What then still waits
//! prints `…`, and its end when it comes, under a later command.
//!
//! ```text
//! cluster [nodes=N] [splits=KEY/KEY] [txn knobs: buffer=BYTES]   begins anew; ranges are r1, r2, … and led in turn by n1, n2, …
//! split KEY · lead KEY NODE [crash] · down NODE · up NODE       what happens to the cluster
//! fault STEP lose-request|lose-answer|repeat|repeat-after=MS|delay=MS [key=KEY]   what happens to the next such message
//! sleep MS                                                     lets time pass
//! show · traffic · metrics NAME…                               what is stored; which messages came; what was counted
//!
//! t1: begin [rc|rr|ser] [read-only] [as-of=N] [node=N]         t1 is the transaction's name from here on
//! t1: statement · restart · command                            begin_statement, restart_statement, next_command
//! t1: get KEY… [LOCK] [nowait|skip|timeout=MS] [everything] [check] [absent]      LOCK: update no-key share key-share
//! t1: scan FROM TO [limit=N] [reverse] [LOCK…] [everything] [check]
//! t1: put KEY=VALUE… [key] · delete KEY… · new KEY=VALUE…
//! t1: savepoint NAME · back-to NAME · locks · stamp · bytes
//! t1: catalog KEY · guard refuses|accepts                       this transaction changes the catalog; the answer of its schema guard
//! t1: commit · rollback · drop · abandon                       abandon drops the commit's future when it first waits
//! ```
#![expect(clippy::disallowed_methods, reason = "a test has a clock and tasks of its own")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use env::{BoxFuture, Env, Knobs};
use goldenscript::{Argument, Command, Context};
use keyspace::{Key, NodeId, Span, Timestamp, TxnId};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use txn::fake::{self, Fake, Fault, Step};
use txn::{
    Isolation, LockMode, LockSpec, LockWait, Savepoint, ScanSpec, SchemaGuard, Stamp, Transaction, TxnClient,
    TxnOptions, TxnResult, Visible,
};

macro_rules! stories {
    ($($name:ident)*) => { $(
        #[test]
        fn $name() {
            let path = concat!("tests/stories/", stringify!($name));
            goldenscript::run(&mut Runner::new(), path).unwrap();
        }
    )* };
}

stories! {
    own_writes_over_scans
    savepoints
    refresh
    one_range_commit
    two_rounds
    one_round
    coordinator_dies
    statement_restart
    locks
    routing
    catalog_change
    constraint_checks
}

type Outcome = Result<String, Box<dyn Error>>;

struct Runner {
    runtime: Runtime,
    env: Env,
    fake: Arc<Fake>,
    clients: BTreeMap<NodeId, TxnClient>,
    open: BTreeMap<String, Open>,
    waiting: BTreeMap<String, JoinHandle<String>>,
}

struct Open {
    txn: Arc<Transaction>,
    savepoints: BTreeMap<String, Savepoint>,
    guard: Arc<Guard>,
}

#[derive(Default)]
struct Guard {
    refuses: AtomicBool,
}

impl SchemaGuard for Guard {
    fn changed_at(&self, _stamp: Stamp, _txn: TxnId) -> BoxFuture<'_, TxnResult<Option<String>>> {
        Box::pin(async { Ok(self.refuses.load(Ordering::Relaxed).then(|| "a table".to_owned())) })
    }
}

impl goldenscript::Runner for Runner {
    type Command = Command;

    fn run(&mut self, command: &Command, context: &Context) -> Outcome {
        let words = Words::of(command);
        match &context.prefix {
            Some(name) => self.transaction(name, &command.name, words),
            None => self.cluster(&command.name, words),
        }
    }

    fn end_command(&mut self, _: &Command, _: &Context) -> Outcome {
        Ok(self.settle())
    }
}

impl Runner {
    fn new() -> Runner {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let env = runtime.block_on(async { fake::env() });
        let fake = Fake::new(env.clone(), 1, []);
        Runner { runtime, env, fake, clients: BTreeMap::new(), open: BTreeMap::new(), waiting: BTreeMap::new() }
    }

    /// Lets everybody run, and tells who has come to an end.
    fn settle(&mut self) -> String {
        self.runtime.block_on(async { tokio::time::sleep(Duration::from_micros(1)).await });
        let mut out = String::new();
        let done: Vec<String> =
            self.waiting.iter().filter(|(_, task)| task.is_finished()).map(|(name, _)| name.clone()).collect();
        for name in done {
            let result = self.runtime.block_on(self.waiting.remove(&name).unwrap());
            let result = result.unwrap_or_else(|_| "was dropped".to_owned());
            writeln!(out, "{name} goes on: {}", result.trim_end()).unwrap();
        }
        out
    }

    fn forget_all(&mut self) {
        let _guard = self.runtime.enter();
        self.open.clear();
        self.waiting.clear();
        self.clients.clear();
    }

    // ---- the cluster ----

    fn cluster(&mut self, name: &str, mut words: Words) -> Outcome {
        match name {
            "cluster" => {
                let nodes = words.option("nodes").map_or(Ok(1), |nodes| nodes.parse())?;
                let splits = words.option("splits").unwrap_or_default();
                let mut knobs = Knobs::default();
                if let Some(bytes) = words.option("buffer") {
                    knobs.write_buffer_bytes = bytes.parse()?;
                }
                self.forget_all();
                self.env = self.runtime.block_on(async { fake::env_with(knobs) });
                let splits = splits.split('/').filter(|key| !key.is_empty()).map(Key::from);
                self.fake = Fake::new(self.env.clone(), nodes, splits);
            }
            "split" => self.fake.split(words.key()?),
            "lead" => {
                let (key, node) = (words.key()?, words.node()?);
                self.fake.move_leader(&key, node, !words.has("crash"));
            }
            "down" => self.fake.set_down(words.node()?, true),
            "up" => self.fake.set_down(words.node()?, false),
            "fault" => {
                let step = step(&words.next()?)?;
                let key = words.option("key").map(|key| Key::from(key.as_str()));
                self.fake.inject(step, key, words.fault()?);
            }
            "sleep" => {
                let pause = Duration::from_millis(words.next()?.parse()?);
                self.runtime.block_on(async { tokio::time::sleep(pause).await });
            }
            "show" => return Ok(lines(self.fake.describe())),
            "traffic" => return Ok(lines(self.fake.take_traffic())),
            "metrics" => {
                let metrics = self.env.metrics().render();
                let value = |name: &String| {
                    let name = format!("cairn_txn_{name}_total ");
                    let total = metrics
                        .lines()
                        .filter_map(|line| line.strip_prefix(&name))
                        .filter_map(|n| n.parse::<u64>().ok());
                    total.sum::<u64>()
                };
                return Ok(lines(words.rest().iter().map(|name| format!("{name} {}", value(name))).collect()));
            }
            other => return Err(format!("unknown command {other}").into()),
        }
        words.end()
    }

    // ---- one transaction ----

    fn transaction(&mut self, name: &str, command: &str, mut words: Words) -> Outcome {
        if command == "begin" {
            return self.begin(name, words);
        }
        if self.waiting.contains_key(name) {
            if command == "drop" {
                self.waiting.remove(name).unwrap().abort();
                self.settle();
                let _guard = self.runtime.enter();
                self.open.remove(name);
                return Ok(String::new());
            }
            return Err(format!("{name} still waits").into());
        }
        if let "commit" | "rollback" | "drop" | "abandon" = command {
            return self.end(name, command);
        }
        let open = self.open.get_mut(name).ok_or("no such transaction")?;
        let txn = open.txn.clone();
        let task: BoxFuture<'static, TxnResult<String>> = match command {
            "statement" => Box::pin(async move { txn.begin_statement().await.map(|()| String::new()) }),
            "restart" => {
                Box::pin(async move { txn.restart_statement().await.map(|()| format!("at {}", txn.stamp().at)) })
            }
            "command" => {
                txn.next_command();
                return Ok(String::new());
            }
            "get" => {
                let (lock, visible, check) = (words.lock()?, words.visible(), words.has("check"));
                let keys: Vec<Key> = words.rest().iter().map(|key| Key::from(key.as_str())).collect();
                Box::pin(async move {
                    let values = txn.get_many(&keys, lock, visible, check).await?;
                    let show = |(key, value): (&Key, Option<Bytes>)| {
                        format!("{} = {}", text(key), value.map_or("none".to_owned(), |value| text(&value)))
                    };
                    Ok(lines(keys.iter().zip(values).map(show).collect()))
                })
            }
            "scan" => {
                let lock = words.lock()?;
                let spec = ScanSpec {
                    reverse: words.has("reverse"),
                    rows_max: words.option("limit").map_or(Ok(0), |limit| limit.parse())?,
                    program: None,
                    lock,
                    visible: words.visible(),
                    untracked: words.has("check"),
                    span: Span::new(words.key()?, words.key()?),
                };
                Box::pin(async move {
                    let mut scan = txn.scan(spec);
                    let mut rows = Vec::new();
                    loop {
                        let page = scan.next_page().await?;
                        if page.is_empty() {
                            return Ok(if rows.is_empty() { "nothing".to_owned() } else { rows.join(", ") });
                        }
                        rows.extend(page.iter().map(|row| format!("{}={}", text(&row.key), text(&row.value))));
                    }
                })
            }
            "put" | "new" => {
                let changes_key = words.has("key");
                for (key, value) in words.pairs() {
                    let (key, value) = (Key::from(key.as_str()), Bytes::from(value));
                    if command == "new" { txn.put_new(key, value)? } else { txn.put(key, Some(value), changes_key)? }
                }
                return words.end();
            }
            "delete" => {
                words.rest().iter().try_for_each(|key| txn.put(Key::from(key.as_str()), None, true))?;
                return Ok(String::new());
            }
            "savepoint" => {
                open.savepoints.insert(words.next()?, txn.savepoint());
                return words.end();
            }
            "back-to" => {
                let savepoint = *open.savepoints.get(&words.next()?).ok_or("no such savepoint")?;
                Box::pin(async move { txn.rollback_to(savepoint).await.map(|()| String::new()) })
            }
            "locks" => {
                return Ok(lines(txn.locks().iter().map(|(key, mode)| format!("{} {mode:?}", text(key))).collect()));
            }
            "stamp" => return Ok(format!("{} catalog {}", txn.stamp().at, txn.stamp().catalog)),
            "bytes" => return Ok(txn.buffered_bytes().to_string()),
            "catalog" => {
                txn.mark_catalog_change(words.key()?);
                return words.end();
            }
            "guard" => {
                open.guard.refuses.store(words.has("refuses"), Ordering::Relaxed);
                words.has("accepts");
                return words.end();
            }
            other => return Err(format!("unknown command {other}").into()),
        };
        words.end()?;
        self.start(name, task)
    }

    fn begin(&mut self, name: &str, mut words: Words) -> Outcome {
        let isolation = match (words.has("rc"), words.has("rr"), words.has("ser")) {
            (true, ..) => Isolation::ReadCommitted,
            (_, true, _) => Isolation::RepeatableRead,
            _ => Isolation::Serializable,
        };
        let options = TxnOptions {
            isolation,
            read_only: words.has("read-only"),
            reads_for: None,
            as_of: words.option("as-of").map(|at| at.parse().map(Timestamp)).transpose()?,
            lock_timeout: None,
        };
        let node = words.option("node").map_or(Ok(1), |node| node.parse())?;
        words.end()?;
        let client = self.clients.entry(NodeId(node)).or_insert_with(|| self.fake.client(NodeId(node)));
        let txn = self.runtime.block_on(client.begin(options))?;
        let guard = Arc::new(Guard::default());
        txn.set_schema_guard(guard.clone());
        let id = txn.id();
        self.open.insert(name.to_owned(), Open { txn: Arc::new(txn), savepoints: BTreeMap::new(), guard });
        Ok(format!("{id}"))
    }

    fn end(&mut self, name: &str, how: &str) -> Outcome {
        let open = self.open.remove(name).ok_or("no such transaction")?;
        let txn = Arc::into_inner(open.txn).ok_or("the transaction is still used")?;
        match how {
            "commit" => {
                let guard = open.guard;
                self.start(
                    name,
                    Box::pin(async move {
                        let at = txn.commit().await;
                        drop(guard);
                        Ok(format!("committed {}", at?))
                    }),
                )
            }
            "rollback" => self.start(
                name,
                Box::pin(async move {
                    txn.rollback().await;
                    Ok(String::new())
                }),
            ),
            "abandon" => {
                let _guard = self.runtime.enter();
                let mut commit = Box::pin(txn.commit());
                let waits = self.runtime.block_on(async { waits_at_first(&mut commit).await });
                Ok(if waits { String::new() } else { "it did not wait".to_owned() })
            }
            _ => {
                let _guard = self.runtime.enter();
                drop(txn);
                Ok(String::new())
            }
        }
    }

    fn start(&mut self, name: &str, task: BoxFuture<'static, TxnResult<String>>) -> Outcome {
        let task = async move { task.await.unwrap_or_else(|error| describe(&error)) };
        let task = self.runtime.spawn(task);
        self.runtime.block_on(async { tokio::time::sleep(Duration::from_micros(1)).await });
        if task.is_finished() {
            return Ok(self.runtime.block_on(task)?);
        }
        self.waiting.insert(name.to_owned(), task);
        Ok("…".to_owned())
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.forget_all();
    }
}

/// Polls once; `true` if it waits. Then it is dropped.
async fn waits_at_first<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|context| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_pending()))
        .await
}

fn describe(error: &txn::TxnError) -> String {
    match error {
        txn::TxnError::StatementRestart { newer } => format!("statement restart: newer version {}", newer.at),
        txn::TxnError::Serialization { why, key, .. } => {
            format!("40001: {why}{}", key.as_ref().map_or(String::new(), |key| format!(" ({})", text(key))))
        }
        txn::TxnError::KeyExists { key } => format!("the key {} exists", text(key)),
        txn::TxnError::Deadlock { cycle } => format!("deadlock of {}", cycle.len()),
        txn::TxnError::LockNotAvailable { key, holder, timed_out } => {
            format!("{} is locked by {holder}{}", text(key), if *timed_out { ", waited long enough" } else { "" })
        }
        txn::TxnError::SchemaChanged { .. } => "the schema changed".to_owned(),
        txn::TxnError::OutcomeUnknown { .. } => "the outcome is unknown".to_owned(),
        other => other.to_string(),
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn lines(lines: Vec<String>) -> String {
    lines.join("\n")
}

fn step(name: &str) -> Result<Step, Box<dyn Error>> {
    Ok(match name {
        "read" => Step::Read,
        "refresh" => Step::Refresh,
        "release" => Step::ReleaseLocks,
        "commit-one-range" => Step::CommitOneRange,
        "prewrite" => Step::Prewrite,
        "commit-record" => Step::CommitRecord,
        "abort-record" => Step::AbortRecord,
        "heartbeat" => Step::Heartbeat,
        "check-keys" => Step::CheckKeys,
        "resolve" => Step::Resolve,
        "forget" => Step::Forget,
        other => return Err(format!("unknown step {other}").into()),
    })
}

/// The arguments of a command, taken one by one.
struct Words {
    positional: Vec<String>,
    pairs: Vec<(String, String)>,
}

impl Words {
    fn of(command: &Command) -> Words {
        let mut words = Words { positional: Vec::new(), pairs: Vec::new() };
        for argument in &command.args {
            match argument {
                Argument::KeyValue(key, value) => words.pairs.push((key.clone(), value.clone())),
                other => words.positional.push(other.to_string()),
            }
        }
        words
    }

    fn has(&mut self, word: &str) -> bool {
        let before = self.positional.len();
        self.positional.retain(|other| other != word);
        self.positional.len() < before
    }

    fn option(&mut self, name: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(key, _)| key == name)?;
        Some(self.pairs.remove(at).1)
    }

    fn next(&mut self) -> Result<String, Box<dyn Error>> {
        if self.positional.is_empty() {
            return Err("an argument is missing".into());
        }
        Ok(self.positional.remove(0))
    }

    fn key(&mut self) -> Result<Key, Box<dyn Error>> {
        Ok(Key::from(self.next()?.as_str()))
    }

    fn node(&mut self) -> Result<NodeId, Box<dyn Error>> {
        Ok(NodeId(self.next()?.trim_start_matches('n').parse()?))
    }

    fn rest(&mut self) -> Vec<String> {
        std::mem::take(&mut self.positional)
    }

    fn pairs(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.pairs)
    }

    fn visible(&mut self) -> Visible {
        if self.has("everything") { Visible::Everything } else { Visible::EarlierStatements }
    }

    fn lock(&mut self) -> Result<Option<LockSpec>, Box<dyn Error>> {
        let modes = [
            ("update", LockMode::Update),
            ("no-key", LockMode::NoKeyUpdate),
            ("share", LockMode::Share),
            ("key-share", LockMode::KeyShare),
        ];
        let mode = modes.into_iter().find(|(name, _)| self.has(name)).map(|(_, mode)| mode);
        let timeout = self.option("timeout").map(|ms| ms.parse().map(Duration::from_millis)).transpose()?;
        let wait = match (self.has("nowait"), self.has("skip")) {
            (true, _) => LockWait::NoWait,
            (_, true) => LockWait::SkipLocked,
            _ => LockWait::Block { timeout },
        };
        let absent_too = self.has("absent");
        Ok(mode.map(|mode| LockSpec { mode, wait, absent_too }))
    }

    fn fault(&mut self) -> Result<Fault, Box<dyn Error>> {
        let ms = |text: String| text.parse().map(Duration::from_millis);
        if let Some(pause) = self.option("repeat-after") {
            return Ok(Fault::RepeatAfter(ms(pause)?));
        }
        if let Some(pause) = self.option("delay") {
            return Ok(Fault::Delay(ms(pause)?));
        }
        Ok(match self.next()?.as_str() {
            "lose-request" => Fault::LoseRequest,
            "lose-answer" => Fault::LoseAnswer,
            "repeat" => Fault::Repeat,
            other => return Err(format!("unknown fault {other}").into()),
        })
    }

    fn end(&self) -> Outcome {
        match (self.positional.first(), self.pairs.first()) {
            (None, None) => Ok(String::new()),
            (Some(word), _) => Err(format!("what is {word}?").into()),
            (None, Some((key, _))) => Err(format!("what is {key}=?").into()),
        }
    }
}
