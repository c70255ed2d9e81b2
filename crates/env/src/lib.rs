//! # The world outside, as an argument
//!
//! Nothing below `node` reads a clock, spawns a task, opens a socket or rolls dice by itself: time,
//! randomness and spawning come from an [`Env`]. Production hands out [`Os`] (tokio and the operating
//! system); the simulator hands out a seeded host on a single-threaded runtime with paused time, and a
//! whole cluster then runs the same way for the same seed.
//!
//! Also here, because every crate needs them and they depend on nothing: [`Knobs`] (constants that a
//! simulation seed may change), [`probe!`] (coverage marks), [`buggify!`] and [`moment!`] (where a simulation makes the
//! rare common), [`sabotage`] (guards that a simulation may take away), [`Budget`] (memory accounting), [`Places`] (for
//! connections that nobody knows yet) and [`Metrics`] (the registry behind `/metrics`).

mod budget;
mod buggify;
mod knobs;
mod metrics;
mod os;
mod places;
mod probe;
mod sabotage;

pub use budget::{Budget, BudgetExceeded, Reservation};
pub use buggify::{BUGGIFIED, BuggifyPlace, MOMENTS, MomentPlace, buggified, moments_struck};
pub use knobs::Knobs;
pub use metrics::{Counter, Gauge, Histogram, Metrics};
pub use os::Os;
pub use places::{Place, Places};
pub use probe::{PROBES, ProbePlace, probe_hits, sabotage_reached};
pub use sabotage::sabotage;
#[cfg(feature = "sabotage")]
pub use sabotage::set_sabotage;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Nanoseconds on the monotonic clock that counts suspend (`CLOCK_BOOTTIME`). Comparable only with
/// other values of the same node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Mono(pub u64);

impl Mono {
    /// The time from `earlier` to `self`, zero if `earlier` is later.
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Mono {
    type Output = Mono;
    fn add(self, d: Duration) -> Mono {
        Mono(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// What a host gives the code that runs on it. Implemented by [`Os`] and by the simulator.
pub trait Host: Send + Sync + 'static {
    fn mono(&self) -> Mono;
    /// Unix time in milliseconds. A hint only: no safety rule may depend on it.
    fn wall_ms(&self) -> u64;
    fn random_u64(&self) -> u64;
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
    /// Runs `task` to its end, or until the host stops (a simulated node crashes).
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>);
    /// Runs `task` on an operating-system thread of its own where there are threads: for loops that
    /// call blocking disk operations. The simulator runs it like any other task.
    fn spawn_thread(&self, name: &'static str, task: BoxFuture<'static, ()>);
    /// Runs blocking `work` (an fsync, a flush) off the async threads. The simulator runs it in place,
    /// after a simulated delay.
    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;
    /// Is the rare choice of [`buggify!`] to be made? Simulations may say yes.
    fn buggify(&self, _name: &'static str, _probability: f64) -> bool {
        false
    }
    /// The process is where [`moment!`] says. Simulations may strike here, and then say `true`.
    fn moment(&self, _name: &'static str) -> bool {
        false
    }
}

/// A handle to the [`Host`]; cheap to clone, passed to whoever needs time, tasks or randomness.
#[derive(Clone)]
pub struct Env {
    host: Arc<dyn Host>,
    knobs: Arc<Knobs>,
    metrics: Metrics,
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Env")
    }
}

impl Env {
    pub fn new(host: Arc<dyn Host>, knobs: Knobs) -> Env {
        Env { host, knobs: Arc::new(knobs), metrics: Metrics::default() }
    }

    /// Production: the operating system's clocks and randomness, tokio's tasks. Call inside a runtime.
    pub fn os() -> Env {
        Env::new(Arc::new(Os::new()), Knobs::default())
    }

    pub fn knobs(&self) -> &Knobs {
        &self.knobs
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub fn now(&self) -> Mono {
        self.host.mono()
    }

    pub fn wall_ms(&self) -> u64 {
        self.host.wall_ms()
    }

    pub fn random_u64(&self) -> u64 {
        self.host.random_u64()
    }

    /// A number in `0..bound`; zero if `bound` is zero.
    pub fn random_below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.host.random_u64() % bound }
    }

    pub fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.host.sleep(duration)
    }

    /// `future`'s output, or `None` when `duration` passes first.
    pub async fn timeout<F: Future>(&self, duration: Duration, future: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = self.sleep(duration) => None,
        }
    }

    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.host.spawn(name, Box::pin(task));
    }

    pub fn spawn_thread(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.host.spawn_thread(name, Box::pin(task));
    }

    /// What [`hesitate!`] does when it does: a moment mostly, and every third time up to eight seconds.
    pub async fn hesitate(&self) {
        let longest = if self.random_below(3) == 0 { 8_000 } else { 1 << self.random_below(9) };
        self.sleep(Duration::from_millis(1 + self.random_below(longest))).await;
    }

    /// Runs blocking `work` elsewhere and gives its result back.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (send, receive) = tokio::sync::oneshot::channel();
        let job = Box::new(move || {
            let _receiver_gone = send.send(work());
        });
        self.host.blocking(job).await;
        receive.await.expect("the blocking work ran to its end")
    }
}
