//! The production host: `CLOCK_BOOTTIME`, the system's randomness, tokio's tasks and threads. The one
//! place below `node` where they are named.
#![expect(
    clippy::disallowed_methods,
    reason = "this is where the operating system's clock, threads and randomness enter"
)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{BoxFuture, Host, Mono};

/// Needs a tokio runtime around whatever calls it.
#[derive(Debug)]
pub struct Os {
    runtime: tokio::runtime::Handle,
}

impl Os {
    pub fn new() -> Os {
        Os { runtime: tokio::runtime::Handle::current() }
    }
}

impl Default for Os {
    fn default() -> Os {
        Os::new()
    }
}

impl Host for Os {
    fn mono(&self) -> Mono {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a valid timespec that the call fills in.
        let code = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
        assert_eq!(code, 0, "CLOCK_BOOTTIME can be read on every Linux since 2.6.39");
        Mono(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }

    fn wall_ms(&self) -> u64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    }

    fn random_u64(&self) -> u64 {
        rand::random()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn(&self, _name: &'static str, task: BoxFuture<'static, ()>) {
        self.runtime.spawn(task);
    }

    fn spawn_thread(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a thread of ours can have a runtime of its own");
            runtime.block_on(task);
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(run).expect("the system starts a thread for us");
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let job = self.runtime.spawn_blocking(work);
        Box::pin(async move {
            if let Err(error) = job.await
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        })
    }
}
