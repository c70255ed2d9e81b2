//! Time, tasks and randomness for tests: tokio's clock, which can be paused, and dice that always fall the same way.
#![expect(clippy::disallowed_methods, reason = "this is where the clock and the tasks of tests enter")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use env::{BoxFuture, Env, Host, Knobs, Mono};

/// An environment inside the current tokio runtime. With `start_paused` time passes only while all wait for it.
pub fn env() -> Env {
    env_with(Knobs::default())
}

pub fn env_with(knobs: Knobs) -> Env {
    Env::new(Arc::new(TestHost { begin: tokio::time::Instant::now(), dice: AtomicU64::new(1) }), knobs)
}

struct TestHost {
    begin: tokio::time::Instant,
    dice: AtomicU64,
}

impl Host for TestHost {
    fn mono(&self) -> Mono {
        Mono(u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn wall_ms(&self) -> u64 {
        1_700_000_000_000 + self.mono().0 / 1_000_000
    }

    fn random_u64(&self) -> u64 {
        // splitmix64
        let mut z = self.dice.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn(&self, _name: &'static str, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn spawn_thread(&self, _name: &'static str, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        Box::pin(async move { work() })
    }
}
