//! Transaction records at the leader of their anchor's range: one writer at a time per record, those who
//! wait for a decision, and when a transaction last showed a sign of life.
//!
//! Signs of life are in memory only. A leader that knows nothing about a transaction counts from the
//! moment somebody first asks for it, so a change of leaders can only make a transaction live longer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use env::Mono;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use keyspace::TxnId;
use parking_lot::Mutex;
use tokio::sync::oneshot;

#[derive(Debug, Default)]
pub struct Records {
    /// Records that are being changed, with those who wait for their turn.
    latches: Mutex<HashMap<TxnId, VecDeque<oneshot::Sender<Latch>>, FixedState>>,
    watchers: Mutex<HashMap<TxnId, Vec<oneshot::Sender<()>>, FixedState>>,
    signs: Mutex<HashMap<TxnId, Mono, FixedState>>,
}

/// The right to evaluate a change of one record; held until the change is applied.
#[derive(Debug)]
pub struct Latch {
    /// `None` for one that was handed on in vain and must not be handed on again.
    home: Option<Arc<Records>>,
    txn: TxnId,
}

impl Records {
    pub async fn latch(self: &Arc<Self>, txn: TxnId) -> Latch {
        let turn = {
            let mut latches = self.latches.lock();
            match latches.get_mut(&txn) {
                None => {
                    latches.insert(txn, VecDeque::new());
                    return Latch { home: Some(self.clone()), txn };
                }
                Some(queue) => {
                    let (tell, turn) = oneshot::channel();
                    queue.push_back(tell);
                    turn
                }
            }
        };
        turn.await.expect("a latch is handed on before its queue is dropped")
    }

    /// Resolves when the record of `txn` has changed, or this replica ceased to lead.
    pub fn watch(&self, txn: TxnId) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        let mut watchers = self.watchers.lock();
        let watchers = watchers.entry(txn).or_default();
        watchers.retain(|watcher| !watcher.is_closed());
        watchers.push(tell);
        told
    }

    /// The record of `txn` was applied.
    pub fn changed(&self, txn: TxnId, is_decided: bool) {
        if is_decided {
            self.signs.lock().remove(&txn);
        }
        for watcher in self.watchers.lock().remove(&txn).unwrap_or_default() {
            let _gone = watcher.send(());
        }
    }

    /// The transaction is alive.
    pub fn sign_of_life(&self, txn: TxnId, now: Mono) {
        self.signs.lock().insert(txn, now);
    }

    /// For how long it has been silent. The first question about an unknown one starts its clock.
    pub fn silence(&self, txn: TxnId, now: Mono) -> Duration {
        now.since(*self.signs.lock().entry(txn).or_insert(now))
    }

    /// Forgets transactions that nobody asks about any more.
    pub fn forget_older_than(&self, age: Duration, now: Mono) {
        self.signs.lock().retain(|_, sign| now.since(*sign) < age);
    }

    /// This replica no longer leads: whoever waits looks elsewhere.
    pub fn clear(&self) {
        self.signs.lock().clear();
        self.watchers.lock().clear();
    }
}

impl Drop for Latch {
    fn drop(&mut self) {
        let Some(home) = self.home.take() else { return };
        let mut latches = home.latches.lock();
        loop {
            let queue = latches.get_mut(&self.txn).expect("a latch that is held has a queue");
            let Some(next) = queue.pop_front() else {
                latches.remove(&self.txn);
                return;
            };
            match next.send(Latch { home: Some(home.clone()), txn: self.txn }) {
                Ok(()) => return,
                Err(mut unwanted) => unwanted.home = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn latches_pass_in_order_and_over_those_who_left() {
        let records = Arc::new(Records::default());
        let first = records.latch(TxnId(1)).await;
        let other = records.latch(TxnId(2)).await;
        let mut second = Box::pin(records.latch(TxnId(1)));
        let mut third = Box::pin(records.latch(TxnId(1)));
        assert!(futures::poll!(second.as_mut()).is_pending());
        assert!(futures::poll!(third.as_mut()).is_pending());
        drop(second);
        drop(first);
        let third = third.await;
        drop((third, other));
        assert!(records.latches.lock().is_empty());
    }

    #[test]
    fn silence_counts_from_the_first_question() {
        let records = Records::default();
        let second = Duration::from_secs(1);
        assert_eq!(records.silence(TxnId(1), Mono(0)), Duration::ZERO);
        assert_eq!(records.silence(TxnId(1), Mono(0) + second), second);
        records.sign_of_life(TxnId(1), Mono(0) + second);
        assert_eq!(records.silence(TxnId(1), Mono(0) + second), Duration::ZERO);
    }
}
