//! What prewrites and one-range commits have in common: becoming the only writer of their keys, and the
//! rules under which a number is good for all of them.
//!
//! ```text
//!   lock the keys, settle foreign intents     waits happen here, nothing is announced
//!   announce all keys                         from now on readers above the number wait for us
//!   versions, locks, cache: is the number good?
//!      yes → the command is proposed with the announcement in its hands
//!      no  → refused; after a push the announcement stays for a while (rule 11)
//! ```

use std::time::Duration;

use env::probe;
use keyspace::{Key, Timestamp, TxnId};
use rpc::range::{LockMode, LockedKey, Mutation, Writes};
use rpc::{KvError, KvResult};
use storage::Snapshot;

use super::{Evaluation, Patience, engine_error, recovery};
use crate::announcements::Announced;
use crate::locks::{OwnLocks, Taken};
use crate::read_cache::Read;

/// How long a refused writer keeps readers above its bound waiting.
const REFUSED_HOLD: Duration = Duration::from_millis(100);

/// What is true of a key's newest version with regard to a writer.
enum Known {
    /// The writer's own version is there: it is committed.
    Own(Timestamp),
    Newest(Option<mvcc::VersionHead>),
}

impl Evaluation<'_> {
    /// Locks all keys that are written, waiting as patience allows, and settles foreign intents on them and on
    /// the keys that were locked. What it locks is noted in `own`.
    pub async fn clear_the_way(&self, writes: &Writes, patience: Patience, own: &mut OwnLocks<'_>) -> KvResult<()> {
        // What is in the way of one key of many is in the way of others, too.
        let last = writes.mutations.iter().map(|mutation| &mutation.key).max();
        let until = last.map_or(Key::MIN, Key::successor);
        for mutation in &writes.mutations {
            self.lock_for_write(writes.txn, mutation, patience, own).await?;
            self.settle_foreign(&mutation.key, &until, writes.txn, LockMode::Update, patience).await?;
        }
        for LockedKey { key, mode, .. } in &writes.locked {
            self.settle_foreign(key, &key.successor(), writes.txn, *mode, patience).await?;
        }
        Ok(())
    }

    async fn lock_for_write(
        &self,
        txn: TxnId,
        mutation: &Mutation,
        patience: Patience,
        own: &mut OwnLocks<'_>,
    ) -> KvResult<()> {
        let mode =
            if mutation.changes_key || mutation.value.is_none() { LockMode::Update } else { LockMode::NoKeyUpdate };
        let key = &mutation.key;
        let holder = match self.replica.locks.acquire_now(txn, self.from, key, mode)? {
            Taken::Held => return Ok(()),
            Taken::New => {
                own.add(key);
                return Ok(());
            }
            Taken::Busy { holder } => holder,
        };
        let may_wait = match patience {
            Patience::Wait => true,
            Patience::WaitDie => txn < holder,
            Patience::None => false,
        };
        let gave_way = || KvError::GaveWay { key: key.clone(), holder };
        if !may_wait {
            self.clear_leftovers(txn, key, mode).await;
            return match self.replica.locks.acquire_now(txn, self.from, key, mode)? {
                Taken::Held => Ok(()),
                Taken::New => {
                    own.add(key);
                    Ok(())
                }
                Taken::Busy { .. } => Err(gave_way()),
            };
        }
        probe!("a_writer_waited_for_a_lock");
        let was_held = self.replica.locks.holds(txn, key, LockMode::KeyShare);
        let timeout = Some(self.shared.env.knobs().range_unavailable);
        let block = rpc::range::LockWait::Block { timeout };
        match self.lock(txn, key, mode, block).await {
            Ok(_) => {
                if !was_held {
                    own.add(key);
                }
                Ok(())
            }
            Err(KvError::LockNotAvailable { .. }) => Err(gave_way()),
            Err(error) => Err(error),
        }
    }

    async fn settle_foreign(
        &self,
        key: &Key,
        until: &Key,
        txn: TxnId,
        mode: LockMode,
        patience: Patience,
    ) -> KvResult<()> {
        while let Some(intent) = self.foreign_intent(key, txn, mode) {
            recovery::settle(self, key, until, intent, Some(txn), patience).await?;
        }
        Ok(())
    }

    /// KEY SHARE stands beside writes that leave the key as it is (rule 20).
    pub(super) fn foreign_intent(&self, key: &Key, txn: TxnId, mode: LockMode) -> Option<crate::intents::IntentHead> {
        let intent = self.replica.intents.get(key).filter(|intent| intent.txn != txn)?;
        (mode != LockMode::KeyShare || intent.changes_key).then_some(intent)
    }

    /// Announces the keys. `None`: somebody was active on one of them, or has left an intent since; again.
    pub async fn announce(&self, writes: &Writes) -> Option<Announced> {
        let keys = writes.mutations.iter().map(|mutation| mutation.key.clone()).collect();
        match self.replica.announcements.announce(writes.txn, writes.at, keys) {
            Err((_, waiting)) => {
                self.await_writer(waiting).await;
                None
            }
            Ok(announced) => {
                let written =
                    announced.keys().iter().all(|key| self.foreign_intent(key, writes.txn, LockMode::Update).is_none());
                let locked = writes
                    .locked
                    .iter()
                    .all(|locked| self.foreign_intent(&locked.key, writes.txn, locked.mode).is_none());
                (written && locked).then_some(announced)
            }
        }
    }

    /// Has this very transaction committed one of these keys? (rule 7)
    pub fn committed_before(&self, snapshot: &dyn Snapshot, writes: &Writes) -> KvResult<Option<Timestamp>> {
        for mutation in &writes.mutations {
            if let Known::Own(at) = known(snapshot, &mutation.key, writes.txn)? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Checks the number against versions, locks and reads. The keys are announced.
    ///
    /// # Errors
    /// `TxnCommitted` where a version of the transaction itself is found; the conflicts of [`KvError`].
    /// Locks that had been lost and are taken again are noted in `own`.
    pub fn check_writes(
        &self,
        snapshot: &dyn Snapshot,
        writes: &Writes,
        skip: impl Fn(&Key) -> bool,
        own: &mut OwnLocks<'_>,
    ) -> KvResult<()> {
        if let Err(below) = self.replica.check_floor(writes.txn.start()) {
            // What is found of an earlier copy of the request is true; what is not may have been collected (rule 7).
            let committed = self.committed_before(snapshot, writes)?;
            return Err(committed.map_or(below, |at| KvError::TxnCommitted { at }));
        }
        let mut pushed: Option<(Key, Timestamp)> = None;
        let mut push = |key: &Key, above: Timestamp| {
            if pushed.as_ref().is_none_or(|(_, known)| *known < above) {
                pushed = Some((key.clone(), above));
            }
        };
        let is_vacant = is_vacant(snapshot, writes)?;
        for mutation in &writes.mutations {
            let key = &mutation.key;
            let newest = match is_vacant {
                true => None,
                false => match known(snapshot, key, writes.txn)? {
                    Known::Own(at) => return Err(KvError::TxnCommitted { at }),
                    Known::Newest(newest) => newest,
                },
            };
            if skip(key) {
                continue;
            }
            if let Some(head) = newest {
                self.check_version(writes, mutation, head)?;
                if head.at >= writes.at {
                    push(key, head.at);
                }
            }
            if let Some(above) = self.replica.cache.obstacle(key, writes.at, writes.txn) {
                probe!("a_number_was_refused_by_a_read");
                push(key, above);
            }
        }
        for locked in writes.locked.iter().filter(|_| !env::sabotage("validate_no_locks")) {
            self.validate_lock(snapshot, writes, locked, own)?;
        }
        match pushed {
            None => Ok(()),
            Some((key, above)) => Err(KvError::Pushed { key, above }),
        }
    }

    fn check_version(&self, writes: &Writes, mutation: &Mutation, newest: mvcc::VersionHead) -> KvResult<()> {
        let key = &mutation.key;
        if newest.at > writes.snapshot && !env::sabotage("write_over_newer_versions") {
            return Err(KvError::WriteTooOld { key: key.clone(), newest: newest.at, by: newest.writer });
        }
        if mutation.must_be_absent && !newest.deleted {
            // That it exists is something the transaction has read: nobody may take it back below its number.
            self.replica.cache.raise_point(key, Read { at: writes.at, reader: Some(writes.txn) });
            return Err(KvError::KeyExists { key: key.clone() });
        }
        Ok(())
    }

    /// Rule 19: the lock is held or can be had at once, nothing was committed since it was granted, and nothing
    /// will be below the number.
    fn validate_lock(
        &self,
        snapshot: &dyn Snapshot,
        writes: &Writes,
        locked: &LockedKey,
        own: &mut OwnLocks<'_>,
    ) -> KvResult<()> {
        let LockedKey { key, mode, seen } = locked;
        let lost = |by| KvError::LockLost { key: key.clone(), by };
        match self.replica.locks.acquire_now(writes.txn, self.from, key, *mode)? {
            Taken::Held => {}
            // The request may be a late copy, and the transaction long over.
            Taken::New => own.add(key),
            Taken::Busy { holder } => return Err(lost(holder)),
        }
        let since = match mode {
            LockMode::KeyShare => mvcc::key_changed_since(snapshot, key, *seen),
            _ => mvcc::newest(snapshot, key).map(|head| head.filter(|newest| newest.at > *seen)),
        };
        if let Some(newer) = since.map_err(engine_error)? {
            probe!("a_lock_was_lost_before_commit");
            return Err(lost(newer.writer));
        }
        self.replica.cache.raise_point(key, Read { at: writes.at, reader: Some(writes.txn) });
        Ok(())
    }

    /// After a refusal: a writer that only needs a fresh number stays announced until it comes back with one.
    pub fn refuse(&self, announced: Announced, error: KvError) -> KvError {
        if let KvError::Pushed { above, .. } = &error {
            announced.refuse(*above, self.shared.env.now() + REFUSED_HOLD);
        }
        error
    }

    pub fn check_mutations_inside(&self, writes: &Writes) -> KvResult<()> {
        let written = writes.mutations.iter().map(|mutation| &mutation.key);
        self.check_keys_inside(written.chain(writes.locked.iter().map(|locked| &locked.key)))
    }
}

/// Mutations from which on one look at all of them together is worth it: a bulk load writes where nothing is.
const MANY_MUTATIONS: usize = 32;

/// Are there many keys to write, and no version of any of them or of a key between them?
fn is_vacant(snapshot: &dyn Snapshot, writes: &Writes) -> KvResult<bool> {
    if writes.mutations.len() < MANY_MUTATIONS {
        return Ok(false);
    }
    let keys = || writes.mutations.iter().map(|mutation| &mutation.key);
    let (Some(first), Some(last)) = (keys().min(), keys().max()) else { return Ok(false) };
    mvcc::is_vacant(snapshot, first, last).map_err(engine_error)
}

/// The newest version of a key; where it is not older than the writer, versions are searched for its own.
fn known(snapshot: &dyn Snapshot, key: &Key, writer: TxnId) -> KvResult<Known> {
    let newest = mvcc::newest(snapshot, key).map_err(engine_error)?;
    if newest.is_some_and(|head| head.at >= writer.start())
        && !env::sabotage("forget_own_versions")
        && let Some(own) = mvcc::version_by_writer(snapshot, key, writer).map_err(engine_error)?
    {
        return Ok(Known::Own(own.at));
    }
    Ok(Known::Newest(newest))
}
