//! Ending a running statement from outside: a CancelRequest, a time-out, a node that drains.
//!
//! A statement is watched from its start to its end, and only then: a request that comes between two statements is
//! forgotten, as PostgreSQL forgets it. COMMIT is not watched (protocol.md, rule 3).

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

use crate::SqlError;

/// Lets somebody else end what a session is running; cheap to clone.
#[derive(Clone)]
pub struct CancelHandle {
    watch: Arc<Watch>,
}

impl CancelHandle {
    /// The running statement ends with 57014 at its next await or batch; no effect between statements.
    pub fn cancel(&self) {
        self.watch.request(Request::Cancel);
    }

    /// The running statement ends and so does the session (57P01), also when no statement is running.
    pub fn terminate(&self) {
        self.watch.request(Request::Terminate);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Request {
    None,
    Cancel,
    Terminate,
}

/// Shared by a session and the handles to it.
pub(crate) struct Watch {
    request: AtomicU8,
    changed: Notify,
}

impl Watch {
    pub(crate) fn new() -> Arc<Watch> {
        Arc::new(Watch { request: AtomicU8::new(Request::None as u8), changed: Notify::new() })
    }

    pub(crate) fn handle(self: &Arc<Watch>) -> CancelHandle {
        CancelHandle { watch: self.clone() }
    }

    /// A statement starts: what was asked before does not concern it.
    pub(crate) fn start_statement(&self) {
        // A terminated session stays terminated.
        let _already = self.request.compare_exchange(
            Request::Cancel as u8,
            Request::None as u8,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    fn request(&self, request: Request) {
        self.request.fetch_max(request as u8, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Between two batches of work that never awaits.
    pub(crate) fn check(&self) -> Result<(), SqlError> {
        match self.request.load(Ordering::Acquire) {
            0 => Ok(()),
            1 => Err(SqlError::new("57014", "canceling statement due to user request")),
            _ => Err(terminated()),
        }
    }

    /// Completes with the error once the statement is to end.
    pub(crate) async fn cancelled(&self) -> SqlError {
        loop {
            // Listening before looking: a request in between is not lost.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Err(error) = self.check() {
                return error;
            }
            changed.await;
        }
    }
}

fn terminated() -> SqlError {
    let mut error = SqlError::new("57P01", "terminating connection due to administrator command");
    error.0.severity = crate::Severity::Fatal;
    error
}
