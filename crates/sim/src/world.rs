//! One run: the runtime with paused time, the seed, the trace, and what was found to be wrong.

use std::fmt;
use std::future::Future;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foldhash::fast::FixedState;
use parking_lot::Mutex;
use tokio::runtime::{Builder, RngSeed};
use tokio::time::Instant;

use crate::trace::Trace;
use crate::{Event, Happening, Random, TraceHash};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant, as a name: `one_leader_per_term`, `panic`, …
    pub invariant: &'static str,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// Shared by everything in one run; cheap to clone.
#[derive(Clone)]
pub struct World {
    inner: Arc<Inner>,
}

struct Inner {
    begin: Instant,
    seed: u64,
    /// Rare choices are made common ([`env::buggify!`]).
    is_wild: AtomicBool,
    state: Mutex<State>,
}

struct State {
    random: Random,
    trace: Trace,
    violations: Vec<Violation>,
}

/// One in so many.
const POINTS_SWITCHED_ON: u64 = 2;

impl World {
    /// Runs `simulation` to its end in a world of its own, on the calling thread.
    pub fn run<F: Future>(seed: u64, simulation: impl FnOnce(World) -> F) -> F::Output {
        let mut random = Random::new(seed);
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .rng_seed(RngSeed::from_bytes(&random.next().to_be_bytes()))
            .build()
            .expect("a runtime without input and output needs nothing of the system");
        runtime.block_on(async {
            let state = State { random, trace: Trace::default(), violations: Vec::new() };
            let world = World {
                inner: Arc::new(Inner {
                    begin: Instant::now(),
                    seed,
                    is_wild: AtomicBool::new(false),
                    state: Mutex::new(state),
                }),
            };
            simulation(world).await
        })
    }

    /// Simulated time since the begin.
    pub fn elapsed(&self) -> Duration {
        self.inner.begin.elapsed()
    }

    /// A generator of its own for a part of the simulation. The order of calls matters.
    pub fn split_random(&self) -> Random {
        self.inner.state.lock().random.split()
    }

    /// From now on, or no more, rare choices are common.
    pub fn set_wild(&self, is_wild: bool) {
        self.inner.is_wild.store(is_wild, Ordering::SeqCst);
    }

    /// Each seed has some points of [`env::buggify!`] switched on, and these all the more.
    pub(crate) fn is_switched_on(&self, point: &str) -> bool {
        self.inner.is_wild.load(Ordering::SeqCst)
            && FixedState::with_seed(self.inner.seed).hash_one(point).is_multiple_of(POINTS_SWITCHED_ON)
    }

    pub async fn sleep(&self, duration: Duration) {
        sleep(duration).await;
    }

    pub fn record(&self, what: Happening) {
        let at = u64::try_from(self.elapsed().as_nanos()).expect("a run ends within centuries");
        let event = Event { at, what };
        tracing::trace!(target: "sim", "{event}");
        self.inner.state.lock().trace.record(event);
    }

    pub fn note(&self, note: impl Into<String>) {
        self.record(Happening::Note(note.into().into()));
    }

    /// A fault, or what became of a process.
    pub fn milestone(&self, what: impl Into<String>) {
        self.record(Happening::Milestone(what.into().into()));
    }

    pub fn violation(&self, invariant: &'static str, what: impl Into<String>) {
        let violation = Violation { invariant, what: what.into() };
        self.milestone(format!("VIOLATION {violation}"));
        self.inner.state.lock().violations.push(violation);
    }

    pub fn violations(&self) -> Vec<Violation> {
        self.inner.state.lock().violations.clone()
    }

    pub fn trace_hash(&self) -> TraceHash {
        self.inner.state.lock().trace.hash()
    }

    pub fn event_count(&self) -> u64 {
        self.inner.state.lock().trace.count()
    }

    pub fn milestones(&self) -> Vec<Event> {
        self.inner.state.lock().trace.milestones().to_vec()
    }

    /// The end of the story, for the report of a failure.
    pub fn last_events(&self) -> Vec<Event> {
        self.inner.state.lock().trace.last().cloned().collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where simulated time passes")]
pub(crate) async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// A task that belongs to no node: a message under way, a fault to come.
#[expect(clippy::disallowed_methods, reason = "this is where the simulator's own tasks start")]
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> tokio::task::AbortHandle {
    tokio::spawn(task).abort_handle()
}
