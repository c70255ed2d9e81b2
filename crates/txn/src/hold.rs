//! Locks on keys that stand for something else than a row: a table, say.
//!
//! Such a key has no versions, so that nothing is read under the lock and nothing is to be merged with the transaction's own
//! writes. A transaction takes these locks itself, or has them taken for it through its [`LockHandle`]: whoever wants to
//! lock a table against all who use it already asks that they be entered into the key's queue first.

use std::sync::{Arc, Weak};
use std::time::Duration;

use keyspace::{Key, Span, Timestamp, TxnId};
use rpc::range::{LockMode, LockSpec, LockWait, RangeBody, RangeReply, ReadOp};

use crate::read::unexpected;
use crate::route::{Patience, Sent};
use crate::transaction::{Core, Phase};
use crate::{Conflict, Isolation, Transaction, TxnError, TxnResult};

/// Between two looks at a transaction that is being committed.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// How long a lock of [`Transaction::hold`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Until ROLLBACK TO goes behind it; the commit fails if it was lost (rule 19).
    Validated,
    /// To the end of the transaction. That it may be lost with its leader hurts nobody but the one it keeps away.
    ToTheEnd,
}

/// A transaction, for those who take a lock on its behalf. It keeps nothing alive.
#[derive(Clone)]
pub struct LockHandle(Weak<Core>);

impl Transaction {
    /// Locks `key`, which nobody writes. Says whether it had to wait.
    pub async fn hold(&self, key: &Key, mode: LockMode, wait: LockWait, keep: Keep) -> TxnResult<bool> {
        self.core().hold(key, mode, wait, keep).await
    }

    pub fn lock_handle(&self) -> LockHandle {
        LockHandle(Arc::downgrade(self.core()))
    }
}

/// What can be seen of an open transaction from outside.
#[derive(Clone, Debug)]
pub struct Sight {
    pub id: TxnId,
    pub isolation: Isolation,
    /// With the strongest mode it asked for.
    pub locks: Vec<(Key, LockMode)>,
    pub buffered_bytes: usize,
}

impl LockHandle {
    /// `None` once it is over.
    pub fn look(&self) -> Option<Sight> {
        let core = self.0.upgrade()?;
        let state = core.state.lock();
        (state.phase != Phase::Over).then(|| Sight {
            id: core.id,
            isolation: core.isolation,
            locks: state.locks.list(),
            buffered_bytes: state.buffer.bytes(),
        })
    }

    /// Nothing below this is read any more; `None` once it is over.
    pub fn oldest_read(&self) -> Option<Timestamp> {
        let core = self.0.upgrade()?;
        let state = core.state.lock();
        (state.phase != Phase::Over).then(|| core.id.start().min(state.stamp.at))
    }

    pub fn id(&self) -> Option<TxnId> {
        self.0.upgrade().map(|core| core.id)
    }

    /// Returns once the transaction holds `key`, or is over. If somebody is in its way it has nothing yet that the lock could
    /// guard: it waits for that lock itself, or will.
    pub async fn hold(&self, key: &Key, mode: LockMode) -> TxnResult<()> {
        loop {
            let Some(core) = self.0.upgrade() else { return Ok(()) };
            let phase = core.state.lock().phase;
            match phase {
                Phase::Over => return Ok(()),
                Phase::Committing => core.client.env.sleep(LOOK_AGAIN).await,
                Phase::Open => match core.hold(key, mode, LockWait::NoWait, Keep::ToTheEnd).await {
                    Ok(_) | Err(TxnError::LockNotAvailable { .. }) => return Ok(()),
                    // It ended meanwhile, or its session has.
                    Err(TxnError::Serialization { why: Conflict::Aborted, .. }) => {
                        if core.state.lock().phase == Phase::Open {
                            return Ok(());
                        }
                    }
                    Err(error) => return Err(error),
                },
            }
        }
    }
}

impl Core {
    async fn hold(&self, key: &Key, mode: LockMode, wait: LockWait, keep: Keep) -> TxnResult<bool> {
        let (at, wait) = {
            let mut state = self.state.lock();
            if state.phase != Phase::Open {
                return Err(TxnError::serialization(Conflict::Aborted, Some(key.clone()), None));
            }
            // Before the request is out: the end of the transaction then knows where to give up what it brings.
            state.locks.ask(Span::point(key.clone()));
            self.may_lock(&mut state);
            let wait = match wait {
                LockWait::Block { timeout: None } => LockWait::Block { timeout: state.lock_timeout },
                wait => wait,
            };
            (state.stamp.at, wait)
        };
        let lock = LockSpec { mode, wait, absent_too: true };
        let mut patience = Patience::for_lock_waits(true);
        loop {
            let route = self.client.router.route(key, &mut patience).await?;
            let request = || -> RangeBody {
                self.read_request(at, Some(lock), vec![ReadOp::Get { key: key.clone(), program: None }])
            };
            let reply = match self.client.router.send(&route, &mut patience, request).await? {
                Sent::Answer(RangeReply::Read(reply)) => reply,
                Sent::Answer(other) => return Err(unexpected(&other)),
                Sent::Rerouted => continue,
            };
            self.note_waits(reply.waits);
            if keep == Keep::Validated {
                let mut state = self.state.lock();
                let since = state.sequence;
                state.locks.grant(key, mode, at, since);
            }
            return Ok(reply.waited);
        }
    }
}
