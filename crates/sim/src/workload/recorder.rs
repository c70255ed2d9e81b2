//! Clients whose history is judged when all is over.
//!
//! A load says which operation comes next, a workload how it is carried out; the recorder runs the clients, writes
//! down what they asked for and were told, reads everything once more at the end, and asks the checker.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use checker::{Checked, History, Level, Load, Operation, Process, Verdict};
use futures::future::BoxFuture;
use keyspace::Key;
use parking_lot::Mutex;

use super::rows::check_failure;
use super::{RETRY, Shift};
use crate::gateway::{Gateway, Gateways, Outcome};
use crate::world::spawn;
use crate::{Random, World};

/// What clients of one kind do.
pub(super) trait Workload: Send + Sync + 'static {
    type Op: Checked + Send + Sync + 'static;
    type Load: Load<Op = Self::Op> + Send + 'static;

    /// Keys at which the tables are split before anything happens.
    fn split_keys(&self) -> Vec<Key>;

    /// More of them, for splits in the middle of everything.
    fn more_split_keys(&self) -> Vec<Key>;

    /// Answers with the operation and what was read. `nodes` take clients just now; there is at least one.
    fn perform(
        &self,
        nodes: &[Gateway],
        op: Self::Op,
        random: &mut Random,
    ) -> impl Future<Output = Outcome<Self::Op>> + Send;

    /// What was promised to the transactions of this run.
    fn promise(&self) -> Level {
        Level::StrictSerializable
    }
}

/// A workload of any kind, as a run sees it.
pub trait Recorded: Send + Sync {
    fn name(&self) -> &'static str;
    fn split_keys(&self) -> Vec<Key>;
    fn more_split_keys(&self) -> Vec<Key>;
    fn start_client(&self, gateways: &Gateways, shift: &Shift);
    /// Reads everything. `false`: ask again, nobody answered.
    fn read_all<'a>(&'a self, gateway: &'a Gateway) -> BoxFuture<'a, bool>;
    /// Operations that were acknowledged so far.
    fn acknowledged(&self) -> u64;
    /// Judges what there is, and reports what is wrong.
    fn judge(&self);
    /// Operations that were acknowledged, and all that were judged.
    fn counts(&self) -> (u64, u64);
    /// As a file.
    fn history(&self) -> String;
}

/// Cheap to clone.
pub(super) struct Recorder<W: Workload> {
    inner: Arc<Inner<W>>,
}

struct Inner<W: Workload> {
    world: World,
    workload: W,
    load: Mutex<W::Load>,
    history: Mutex<History<W::Op>>,
    /// Reads of the end that have not been answered; `None` before the end.
    open: Mutex<Option<Vec<W::Op>>>,
    verdict: Mutex<Option<Verdict>>,
    acknowledged: AtomicU64,
}

impl<W: Workload> Recorder<W> {
    pub fn boxed(world: &World, workload: W, load: W::Load) -> Box<dyn Recorded> {
        let (world, load) = (world.clone(), Mutex::new(load));
        let (history, open, verdict, acknowledged) = Default::default();
        let inner = Inner { world, workload, load, history, open, verdict, acknowledged };
        Box::new(Recorder { inner: Arc::new(inner) })
    }
}

impl<W: Workload> Inner<W> {
    fn now(&self) -> u64 {
        u64::try_from(self.world.elapsed().as_nanos()).expect("a run ends within centuries")
    }

    /// One operation of `process`, which is another one afterwards if nobody knows what became of it.
    async fn run(&self, process: &mut Process, nodes: &[Gateway], op: W::Op, random: &mut Random) -> bool {
        let name = W::Op::WORKLOAD;
        self.history.lock().invoke(*process, self.now(), op.clone());
        let outcome = self.workload.perform(nodes, op.clone(), random).await;
        let (done, outcome) = match outcome {
            Outcome::Committed(done) => (done, checker::Outcome::Ok),
            Outcome::Failed(error) => {
                check_failure(&self.world, "workload_errors", &error);
                self.world.note(format!("{name} {process} failed: {error}"));
                (op, checker::Outcome::Fail)
            }
            Outcome::Unknown => (op, checker::Outcome::Info),
        };
        self.world.note(format!("{name} {process} {outcome:?}: {}", done.text()));
        let mut history = self.history.lock();
        history.complete(*process, self.now(), outcome, done);
        if outcome == checker::Outcome::Info {
            *process = history.new_process();
        }
        self.acknowledged.fetch_add(u64::from(outcome == checker::Outcome::Ok), Ordering::SeqCst);
        outcome == checker::Outcome::Ok
    }

    async fn work(&self, gateways: &Gateways, shift: &Shift, mut random: Random) {
        let mut process = self.history.lock().new_process();
        while !shift.is_over() {
            let mut nodes: Vec<Gateway> = (0..gateways.len()).filter_map(|node| gateways.get(node)).collect();
            random.shuffle(&mut nodes);
            if nodes.is_empty() {
                self.world.sleep(RETRY).await;
                continue;
            }
            let op = self.load.lock().next_op(&mut |bound| random.below(bound));
            self.run(&mut process, &nodes, op, &mut random).await;
            shift.turn().await;
            self.world.sleep(Duration::from_millis(random.below(40))).await;
        }
    }

    async fn read_all(&self, gateway: &Gateway) -> bool {
        let mut open = self.open.lock().take().unwrap_or_else(|| self.load.lock().last_reads());
        let mut process = self.history.lock().new_process();
        let mut random = self.world.split_random();
        while let Some(op) = open.pop() {
            if !self.run(&mut process, std::slice::from_ref(gateway), op.clone(), &mut random).await {
                open.push(op);
                break;
            }
        }
        let is_done = open.is_empty();
        *self.open.lock() = Some(open);
        is_done
    }
}

impl<W: Workload> Recorded for Recorder<W> {
    fn name(&self) -> &'static str {
        W::Op::WORKLOAD
    }

    fn split_keys(&self) -> Vec<Key> {
        self.inner.workload.split_keys()
    }

    fn more_split_keys(&self) -> Vec<Key> {
        self.inner.workload.more_split_keys()
    }

    fn start_client(&self, gateways: &Gateways, shift: &Shift) {
        let (inner, gateways, shift) = (self.inner.clone(), gateways.clone(), shift.clone());
        let random = inner.world.split_random();
        let working = shift.clock_in();
        spawn(async move {
            inner.work(&gateways, &shift, random).await;
            drop(working);
        });
    }

    fn read_all<'a>(&'a self, gateway: &'a Gateway) -> BoxFuture<'a, bool> {
        Box::pin(self.inner.read_all(gateway))
    }

    fn acknowledged(&self) -> u64 {
        self.inner.acknowledged.load(Ordering::SeqCst)
    }

    fn judge(&self) {
        let verdict = self.inner.history.lock().check();
        if !verdict.holds(self.inner.workload.promise()) {
            self.inner.world.violation(W::Op::WORKLOAD, verdict.to_string());
        }
        *self.inner.verdict.lock() = Some(verdict);
    }

    fn counts(&self) -> (u64, u64) {
        let verdict = self.inner.verdict.lock();
        verdict.as_ref().map_or((0, 0), |verdict| (verdict.counts.ok, verdict.judged()))
    }

    fn history(&self) -> String {
        let mut text = Vec::new();
        self.inner.history.lock().write_to(&mut text).expect("writing to memory works");
        String::from_utf8(text).expect("histories are text")
    }
}
