//! Waiting for a row lock without trusting that its holder lives.
//!
//! A lock goes when its transaction's coordinator ends it, or when the intents of the transaction are resolved. A prewrite
//! that was delayed on its way may come to a new leader after both: it then holds a lock and an intent for a transaction that is
//! long aborted. A reader that meets the intent asks the anchor and resolves it. So does whoever waits for the lock: a queue
//! alone would hold it for ever.
//!
//! A lock request, or a prewrite that takes a lock again to validate it, may be as late and leave no intent. Then the node of the
//! holder's session is asked whether the transaction has asked for locks and is still there. To give up a lock of one that has
//! not, or is not, loses nothing: locks that were asked for are validated by the commit, and the keys of a commit that is
//! under way are announced.

use std::time::Duration;

use env::probe;
use keyspace::{Key, NodeId, TxnId};
use rpc::range::{LockMode, LockWait};
use rpc::{KvError, KvResult};

use super::{Evaluation, Patience, recovery};

/// Between two looks at what the holder has written.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Evaluation<'_> {
    /// Locks `key`, in line behind those who came before. Says whether it had to wait.
    ///
    /// # Errors
    /// Those of [`Locks::acquire`](crate::locks::Locks::acquire).
    pub async fn lock(&self, txn: TxnId, key: &Key, mode: LockMode, wait: LockWait) -> KvResult<bool> {
        let acquired = self.replica.locks.acquire(txn, self.from, key, mode, wait);
        let watched = self.settle_holders(txn, key, mode);
        tokio::select! {
            biased;
            acquired = acquired => acquired,
            deadlock = watched => Err(deadlock),
        }
    }

    /// Resolves what holders of the lock have written, once they are decided, as often as there is something, and gives up the
    /// locks of those that are gone. Ends only when the wait was chosen as the victim of a deadlock.
    async fn settle_holders(&self, txn: TxnId, key: &Key, mode: LockMode) -> KvError {
        loop {
            if let Some(intent) = self.foreign_intent(key, txn, mode) {
                match recovery::settle(self, key, &key.successor(), intent, Some(txn), Patience::Wait).await {
                    Err(deadlock @ KvError::Deadlock { .. }) => return deadlock,
                    Ok(()) => probe!("a_waiter_settled_what_the_holder_wrote"),
                    // The anchor cannot be reached: later, perhaps.
                    Err(_) => {}
                }
            }
            self.shared.env.sleep(LOOK_AGAIN).await;
            self.release_locks_of_the_gone(key, self.holders_to_look_at(txn, key, mode)).await;
        }
    }

    /// The same for somebody who does not wait: what is in the way may be left over for ever, and those who would wait for it
    /// may never come. Does nothing about holders that are new here, or were looked at lately.
    pub async fn clear_leftovers(&self, txn: TxnId, key: &Key, mode: LockMode) {
        let holders = self.holders_to_look_at(txn, key, mode);
        if let Some(intent) = self.foreign_intent(key, txn, mode)
            && (holders.iter().any(|(holder, _)| *holder == intent.txn) || self.is_to_be_looked_at(intent.txn))
        {
            let _undecided_or_out_of_reach =
                recovery::settle(self, key, &key.successor(), intent, Some(txn), Patience::None).await;
        }
        self.release_locks_of_the_gone(key, holders).await;
    }

    /// For SKIP LOCKED, which passes many locked rows: their holders are looked at in the background, and mostly need not be.
    pub fn release_locks_of_the_gone_later(&self, txn: TxnId, key: &Key, mode: LockMode) {
        let holders = self.holders_to_look_at(txn, key, mode);
        if holders.is_empty() {
            return;
        }
        let (shared, replica, from, epoch) = (self.shared.clone(), self.replica.clone(), self.from, self.epoch);
        let key = key.clone();
        self.shared.env.spawn("look at holders of a lock", async move {
            Evaluation { shared: &shared, replica, from, epoch }.release_locks_of_the_gone(&key, holders).await;
        });
    }

    fn holders_to_look_at(&self, txn: TxnId, key: &Key, mode: LockMode) -> Vec<(TxnId, NodeId)> {
        let mut holders = self.replica.locks.holders_in_the_way(txn, key, mode);
        holders.retain(|(holder, _)| self.is_to_be_looked_at(*holder));
        holders
    }

    async fn release_locks_of_the_gone(&self, key: &Key, holders: Vec<(TxnId, NodeId)>) {
        let Some(outside) = self.shared.outside.get() else { return };
        for (holder, node) in holders {
            if matches!(outside.may_hold_locks(node, holder).await, Ok(false)) {
                probe!("released_a_lock_of_a_transaction_that_is_gone");
                self.replica.locks.release(holder, std::slice::from_ref(key));
            }
        }
    }

    /// Most holders are gone before this asks for them: not at first sight, and not often.
    fn is_to_be_looked_at(&self, holder: TxnId) -> bool {
        self.replica.locks.is_to_be_looked_at(holder, self.shared.env.now(), LOOK_AGAIN)
    }
}
