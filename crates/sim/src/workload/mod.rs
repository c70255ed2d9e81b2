//! What clients do while things go wrong. Each workload knows by itself what must hold.

mod bank;
mod on_call;
mod oracle;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use keyspace::{IndexId, Key, TableId, encoding, index_span};

pub use bank::Bank;
pub use on_call::OnCall;
pub use oracle::OracleWatch;

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

fn row_key(table: TableId, columns: &[i64]) -> Key {
    let mut key = index_span(table, IndexId::PRIMARY).start.to_vec();
    for column in columns {
        encoding::put_int(&mut key, *column);
    }
    key.into()
}
