//! When clients work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// Told to all clients of a run: go on, rest until all go on at once, or come to an end.
#[derive(Clone, Default)]
pub struct Shift {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    is_over: AtomicBool,
    is_resting: AtomicBool,
    rested: Notify,
    working: AtomicU64,
}

impl Shift {
    /// No client begins anything new.
    pub fn end(&self) {
        self.inner.is_over.store(true, Ordering::SeqCst);
        self.go_on();
    }

    pub fn is_over(&self) -> bool {
        self.inner.is_over.load(Ordering::SeqCst)
    }

    /// Whoever is done with something waits before it begins something new.
    pub fn rest(&self) {
        self.inner.is_resting.store(!self.is_over(), Ordering::SeqCst);
    }

    pub fn go_on(&self) {
        self.inner.is_resting.store(false, Ordering::SeqCst);
        self.inner.rested.notify_waiters();
    }

    /// Waits while all rest.
    pub(super) async fn turn(&self) {
        while self.inner.is_resting.load(Ordering::SeqCst) {
            self.inner.rested.notified().await;
        }
    }

    /// Clients that have not come to an end.
    pub fn working(&self) -> u64 {
        self.inner.working.load(Ordering::SeqCst)
    }

    pub(super) fn clock_in(&self) -> Working {
        self.inner.working.fetch_add(1, Ordering::SeqCst);
        Working { shift: self.clone() }
    }
}

pub(super) struct Working {
    shift: Shift,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.shift.inner.working.fetch_sub(1, Ordering::SeqCst);
    }
}
