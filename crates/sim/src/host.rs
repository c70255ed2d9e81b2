//! One process of one node: it begins, may be paused, and ends by a crash.
//!
//! A crash ends all its tasks where they stand (their values are dropped, nothing more of them runs), and
//! whatever they still hold of the host does nothing. A restart is a new host with the same name.
//!
//! Each host has clocks of its own: a monotonic one with a drift, a wall clock with an offset besides.
//! Safety must not depend on either, except for bounded drift where a feature says so.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use env::{BoxFuture, Env, Host, Knobs, Mono};
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use crate::world::{sleep, spawn};
use crate::{Happening, Random, World};

/// Unix time at the begin of each run, in milliseconds.
const EPOCH_MS: u64 = 1_800_000_000_000;

/// How wrong a host's clocks are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockFaults {
    /// The monotonic clock runs so many times as fast as time.
    pub rate: f64,
    /// The wall clock is ahead by this; negative: behind.
    pub wall_offset_ms: i64,
}

impl Default for ClockFaults {
    fn default() -> ClockFaults {
        ClockFaults { rate: 1.0, wall_offset_ms: 0 }
    }
}

/// How long blocking work (an fsync) takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskDelay {
    pub min: Duration,
    pub max: Duration,
}

impl Default for DiskDelay {
    fn default() -> DiskDelay {
        DiskDelay { min: Duration::ZERO, max: Duration::from_millis(3) }
    }
}

pub struct SimHost {
    name: Box<str>,
    world: World,
    state: Mutex<State>,
}

struct State {
    random: Random,
    clocks: ClockFaults,
    disk: DiskDelay,
    life: Life,
    tasks: Vec<AbortHandle>,
    /// Tasks that were woken while the process was paused.
    parked: Vec<Waker>,
    ambush: Option<Ambush>,
}

/// Somebody waits for this process to reach a moment ([`env::moment!`]).
pub struct Ambush {
    pub moment: &'static str,
    /// So many times it gets away.
    pub spared: u64,
    /// Done there and then.
    pub strike: Box<dyn FnOnce(&SimHost) + Send>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Running,
    Paused,
    Crashed,
}

impl SimHost {
    pub fn start(world: &World, name: &str, clocks: ClockFaults) -> Arc<SimHost> {
        world.record(Happening::Started { host: name.into() });
        let state = State {
            random: world.split_random(),
            clocks,
            disk: DiskDelay::default(),
            life: Life::Running,
            tasks: Vec::new(),
            parked: Vec::new(),
            ambush: None,
        };
        Arc::new(SimHost { name: name.into(), world: world.clone(), state: Mutex::new(state) })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn is_running(&self) -> bool {
        self.state.lock().life != Life::Crashed
    }

    pub fn env(self: &Arc<SimHost>, knobs: Knobs) -> Env {
        Env::new(Arc::new(Handle(self.clone())), knobs)
    }

    pub fn set_disk_delay(&self, disk: DiskDelay) {
        self.state.lock().disk = disk;
    }

    pub fn step_wall_clock(&self, by_ms: i64) {
        self.state.lock().clocks.wall_offset_ms += by_ms;
    }

    /// What its monotonic clock shows.
    pub fn mono(&self) -> Mono {
        let rate = self.state.lock().clocks.rate;
        Mono((self.elapsed().as_nanos() as f64 * rate) as u64 + 1_000_000_000)
    }

    /// Lies in wait, or with `None` gives up doing so.
    pub fn set_ambush(&self, ambush: Option<Ambush>) {
        self.state.lock().ambush = ambush;
    }

    fn reach(&self, moment: &'static str) -> bool {
        let mut state = self.state.lock();
        let Some(ambush) = state.ambush.as_mut().filter(|ambush| ambush.moment == moment) else { return false };
        if ambush.spared > 0 {
            ambush.spared -= 1;
            return false;
        }
        let Some(ambush) = state.ambush.take() else { return false };
        drop(state);
        self.world.milestone(format!("{} is struck at the moment: {moment}", self.name));
        (ambush.strike)(self);
        true
    }

    /// `kill -9`. What the tasks hold is dropped by the runtime, in the order in which they were started.
    pub fn crash(&self) {
        let tasks = {
            let mut state = self.state.lock();
            if state.life == Life::Crashed {
                return;
            }
            state.life = Life::Crashed;
            state.parked.clear();
            state.ambush = None;
            std::mem::take(&mut state.tasks)
        };
        self.world.record(Happening::Crashed { host: self.name.clone() });
        for task in tasks {
            task.abort();
        }
    }

    /// `kill -STOP`: no task makes a step. Time goes on.
    pub fn pause(&self) {
        let mut state = self.state.lock();
        if state.life == Life::Running {
            state.life = Life::Paused;
            drop(state);
            self.world.record(Happening::Paused { host: self.name.clone() });
        }
    }

    /// `kill -CONT`.
    pub fn resume(&self) {
        let mut state = self.state.lock();
        if state.life == Life::Paused {
            state.life = Life::Running;
            let parked = std::mem::take(&mut state.parked);
            drop(state);
            self.world.record(Happening::Resumed { host: self.name.clone() });
            parked.into_iter().for_each(Waker::wake);
        }
    }

    /// Runs `task` as a part of this process; drops it if the process is gone.
    pub fn spawn(self: &Arc<SimHost>, name: &'static str, task: BoxFuture<'static, ()>) {
        let mut state = self.state.lock();
        if state.life == Life::Crashed {
            drop(state); // dropping the task may call back
            return;
        }
        if state.tasks.len() == state.tasks.capacity() {
            state.tasks.retain(|task| !task.is_finished());
        }
        let task = spawn(Task { host: self.clone(), name, work: Some(task) });
        state.tasks.push(task);
    }

    /// Work of this process that waits for nothing: done at once, unless the process is paused; not at all if it is
    /// gone.
    pub fn handle(self: &Arc<SimHost>, name: &'static str, work: impl FnOnce() + Send + 'static) {
        let life = self.state.lock().life;
        match life {
            Life::Running => {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                    self.panicked(name, &*panic);
                    self.crash();
                }
            }
            Life::Paused => self.spawn(name, Box::pin(async move { work() })),
            Life::Crashed => {}
        }
    }

    fn elapsed(&self) -> Duration {
        self.world.elapsed()
    }

    fn panicked(&self, task: &str, panic: &(dyn Any + Send)) {
        let message =
            panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        self.world
            .violation("no_panic", format!("{} in {task}: {}", self.name, message.unwrap_or("a panic without words")));
    }
}

/// A task of a host: makes steps only while the host runs, and turns a panic into a violation.
struct Task {
    host: Arc<SimHost>,
    name: &'static str,
    work: Option<BoxFuture<'static, ()>>,
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        {
            let mut state = self.host.state.lock();
            match state.life {
                Life::Running => {}
                Life::Paused => {
                    state.parked.push(cx.waker().clone());
                    return Poll::Pending;
                }
                Life::Crashed => {
                    drop(state);
                    self.work = None;
                    return Poll::Ready(());
                }
            }
        }
        let Some(work) = self.work.as_mut() else { return Poll::Ready(()) };
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(()),
            Err(panic) => {
                self.host.panicked(self.name, &*panic);
                self.host.crash(); // as the process would
                Poll::Ready(())
            }
        }
    }
}

/// The host as its node sees it.
struct Handle(Arc<SimHost>);

impl Host for Handle {
    fn mono(&self) -> Mono {
        self.0.mono()
    }

    fn wall_ms(&self) -> u64 {
        let offset = self.0.state.lock().clocks.wall_offset_ms;
        let now = EPOCH_MS + u64::try_from(self.0.elapsed().as_millis()).expect("a run ends within centuries");
        now.saturating_add_signed(offset)
    }

    fn random_u64(&self) -> u64 {
        self.0.state.lock().random.next()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let rate = self.0.state.lock().clocks.rate;
        // Longer than a run is for ever, and beyond what the timer can hold.
        let duration = duration.min(Duration::from_secs(1 << 30));
        Box::pin(sleep(duration.div_f64(rate)))
    }

    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        self.0.spawn(name, task);
    }

    fn spawn_thread(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        self.0.spawn(name, task);
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        // It happens at some moment between the begin and the end.
        let (before, after) = {
            let mut state = self.0.state.lock();
            let DiskDelay { min, max } = state.disk;
            let micros = state.random.between(min.as_micros() as u64, max.as_micros() as u64);
            let before = state.random.between(0, micros);
            (Duration::from_micros(before), Duration::from_micros(micros - before))
        };
        Box::pin(async move {
            if !before.is_zero() {
                sleep(before).await;
            }
            work();
            if !after.is_zero() {
                sleep(after).await;
            }
        })
    }

    fn buggify(&self, name: &'static str, probability: f64) -> bool {
        self.0.world.is_switched_on(name) && self.0.state.lock().random.chance(probability)
    }

    fn moment(&self, name: &'static str) -> bool {
        self.0.reach(name)
    }
}
