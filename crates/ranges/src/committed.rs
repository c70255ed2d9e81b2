//! Commit numbers of transactions whose intents were met here lately.
//!
//! That a transaction has committed, and at which number, never changes (rule 2): whoever meets the next of
//! its many intents need not ask its anchor again.

use std::collections::VecDeque;

use keyspace::{Timestamp, TxnId};
use parking_lot::Mutex;

const KEPT: usize = 64;

#[derive(Debug, Default)]
pub struct Committed {
    /// The latest last.
    known: Mutex<VecDeque<(TxnId, Timestamp)>>,
}

impl Committed {
    pub fn at(&self, txn: TxnId) -> Option<Timestamp> {
        self.known.lock().iter().rev().find(|(known, _)| *known == txn).map(|(_, at)| *at)
    }

    pub fn learn(&self, txn: TxnId, at: Timestamp) {
        let mut known = self.known.lock();
        if known.iter().any(|(other, _)| *other == txn) {
            return;
        }
        if known.len() == KEPT {
            known.pop_front();
        }
        known.push_back((txn, at));
    }
}
