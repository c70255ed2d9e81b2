//! An evaluated command on its way through the log, with what its writer holds until its fate is known.
//!
//! The loop owns it from the proposal on: a writer whose task is dropped (a cancelled statement, a lost
//! connection) does not withdraw its announcement while its entry may still be applied.

use std::sync::Arc;

use keyspace::{Epoch, RangeId, TxnId};
use rpc::{KvError, KvResult};
use tokio::sync::oneshot;

use crate::announcements::Announced;
use crate::records::Latch;
use crate::replica::Replica;

#[derive(Debug)]
pub struct Proposal {
    pub range: RangeId,
    /// Under which the command was evaluated.
    pub term: u64,
    pub epoch: Epoch,
    /// A command without its sequence.
    pub encoded: Vec<u8>,
    pub completion: Completion,
}

/// What to let go and whom to tell when the fate of an entry is known.
#[derive(Debug)]
pub struct Completion {
    pub held: Held,
    pub reply: oneshot::Sender<KvResult<()>>,
}

/// Given up in this order: announcements first, then the record, the locks last.
#[derive(Debug, Default)]
pub struct Held {
    pub announced: Option<Announced>,
    pub latch: Option<Latch>,
    /// The transaction whose locks end with the application of the entry.
    pub ends: Option<(Arc<Replica>, TxnId)>,
}

impl Completion {
    /// The entry is applied.
    pub fn applied(self) {
        let Held { announced, latch, ends } = self.held;
        drop(announced);
        drop(latch);
        if let Some((replica, txn)) = ends {
            replica.locks.end(txn);
        }
        let _nobody_waits = self.reply.send(Ok(()));
    }

    /// The entry is not applied, or nobody knows.
    pub fn failed(self, error: KvError) {
        let Completion { held, reply } = self;
        drop(held);
        let _nobody_waits = reply.send(Err(error));
    }
}
