//! How this crate starts tasks and waits: by what its owner hands in, so that it names no runtime itself.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::BoxFuture;

type Spawn = dyn Fn(&'static str, BoxFuture<'static, ()>) + Send + Sync;
type Sleep = dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync;

/// `env`'s tasks and timers, seen from here (this crate stands beside `env`, not on it).
#[derive(Clone)]
pub struct Scheduler {
    spawn: Arc<Spawn>,
    sleep: Arc<Sleep>,
}

impl Scheduler {
    pub fn new(
        spawn: impl Fn(&'static str, BoxFuture<'static, ()>) + Send + Sync + 'static,
        sleep: impl Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Scheduler {
        Scheduler { spawn: Arc::new(spawn), sleep: Arc::new(sleep) }
    }

    pub(crate) fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        (self.spawn)(name, Box::pin(task));
    }

    pub(crate) fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        (self.sleep)(duration)
    }

    /// `future`'s output, or `None` when `duration` passes first.
    pub(crate) async fn timeout<F: Future>(&self, duration: Duration, future: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = self.sleep(duration) => None,
        }
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scheduler")
    }
}

/// Timers run `hurry` times as fast as they say.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test is its own host")]
pub(crate) fn tokio_scheduler(hurry: u32) -> Scheduler {
    Scheduler::new(
        |_, task| {
            tokio::spawn(task);
        },
        move |duration| Box::pin(tokio::time::sleep(duration / hurry)),
    )
}
