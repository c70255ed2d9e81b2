//! A host on one thread with paused time: sleeps jump the clock, a crash ends all tasks of a node.
#![expect(clippy::disallowed_methods, reason = "this is the world outside of the tests")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use env::{BoxFuture, Host, Mono};
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use tokio::task::AbortHandle;

pub struct TestHost {
    start: tokio::time::Instant,
    random: Mutex<SmallRng>,
    tasks: Mutex<Vec<AbortHandle>>,
    crashed: AtomicBool,
}

impl TestHost {
    pub fn new(seed: u64) -> TestHost {
        TestHost {
            start: tokio::time::Instant::now(),
            random: Mutex::new(SmallRng::seed_from_u64(seed)),
            tasks: Mutex::default(),
            crashed: AtomicBool::new(false),
        }
    }

    pub fn crash(&self) {
        self.crashed.store(true, Ordering::SeqCst);
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
    }
}

impl Host for TestHost {
    fn mono(&self) -> Mono {
        Mono(u64::try_from(self.start.elapsed().as_nanos()).unwrap())
    }

    fn wall_ms(&self) -> u64 {
        1_700_000_000_000 + self.mono().0 / 1_000_000
    }

    fn random_u64(&self) -> u64 {
        self.random.lock().next_u64()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn(&self, _: &'static str, task: BoxFuture<'static, ()>) {
        if !self.crashed.load(Ordering::SeqCst) {
            self.tasks.lock().push(tokio::spawn(task).abort_handle());
        }
    }

    fn spawn_thread(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        self.spawn(name, task);
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            work();
        })
    }
}
