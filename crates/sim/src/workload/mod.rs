//! What clients do while things go wrong, and what must hold for them.
//!
//! `bank`, `on_call`, `catalog` and `oracle` run in every seed and look all the time whether what they see can be. The others write down a
//! history, and `checker` judges it at the end ([`Recorder`]); a seed has one or two of them ([`Kind`]).

mod bank;
mod catalog;
mod on_call;
mod oracle;

mod kind;
mod recorder;
mod rows;

mod append;
mod causal;
mod g2;
mod long_fork;
mod monotonic;
mod register;
mod sequential;
mod set;
mod upsert;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

pub use bank::Bank;
pub use catalog::Catalog;
pub use kind::Kind;
pub use on_call::OnCall;
pub use oracle::OracleWatch;
pub use recorder::Recorded;

/// Told to all clients of a run: go on, or come to an end.
#[derive(Clone, Default)]
pub struct Shift {
    over: Arc<AtomicBool>,
    working: Arc<AtomicU64>,
}

impl Shift {
    /// No client begins anything new.
    pub fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Clients that have not come to an end.
    pub fn working(&self) -> u64 {
        self.working.load(Ordering::SeqCst)
    }

    fn clock_in(&self) -> Working {
        self.working.fetch_add(1, Ordering::SeqCst);
        Working { shift: self.clone() }
    }
}

struct Working {
    shift: Shift,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.shift.working.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Time until a client tries again.
const RETRY: Duration = Duration::from_millis(100);
