//! Transactions of this node that may hold locks somewhere and are not over.
//!
//! A lock lies in the memory of a range's leader and goes when its transaction asks for it to go. A copy of a lock request that
//! was delayed on its way may reach a new leader after that: it leaves a lock that nobody will ever give up. Whoever waits
//! for a lock therefore asks the node of its holder now and then whether the transaction is still there
//! (`ranges::evaluate::lock`).

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use keyspace::TxnId;
use parking_lot::Mutex;

/// So that sessions do not share one lock.
const SHARDS: usize = 16;

#[derive(Default)]
pub(crate) struct Lockers {
    shards: [Mutex<HashSet<TxnId, FixedState>>; SHARDS],
}

impl Lockers {
    pub fn add(&self, txn: TxnId) {
        self.shard(txn).lock().insert(txn);
    }

    pub fn remove(&self, txn: TxnId) {
        self.shard(txn).lock().remove(&txn);
    }

    pub fn contains(&self, txn: TxnId) -> bool {
        self.shard(txn).lock().contains(&txn)
    }

    fn shard(&self, txn: TxnId) -> &Mutex<HashSet<TxnId, FixedState>> {
        // The low bits of a number are the oracle's counter: neighbours in time lie in different shards.
        &self.shards[txn.0 as usize % SHARDS]
    }
}
