//! # Commit
//!
//! ```text
//! nothing written                     no message (locks that were taken are validated and given up)
//! all keys in one range               one request: final versions, no intents, no record      one_range.rs
//! several ranges                      prewrites in parallel, then the record, then the client  several.rs
//!                                     is told, then the intents are resolved in the background
//! much, into places of its own        transactions of their own, before any of the above       ahead.rs
//! ```
//!
//! Whatever the way, a commit tries a number until a range refuses it for a reason that cannot go away
//! ([`KvError::Pushed`], [`KvError::WriteTooOld`]), then fetches a fresh one, makes sure that everything the
//! transaction used holds there too, and tries again.
//!
//! ## When may a failure be told?
//!
//! Once the first message is out, only when it is true for ever (rule 3). A number that was refused for good is dead
//! by itself. In every other case the transaction is killed first: at its record, or for one range by fencing a key
//! (rule 1). If it turns out that it cannot be killed because it is committed, the client is told so.
//!
//! Dropping the future of a commit does not stop it: what is in doubt is then decided in the background.

use std::sync::Arc;

use bytes::Bytes;
use keyspace::{Key, Span, Timestamp};
use parking_lot::Mutex;
use rpc::KvError;
use rpc::range::{CommitRequest, LockedKey, Mutation, RangeBody, RangeReply, Writes};

use crate::buffer::{Batch, Write};
use crate::route::{Route, Shardable};
use crate::transaction::{Core, Phase};
use crate::{Conflict, Isolation, Stamp, TxnError, TxnResult, release};

mod ahead;
mod one_range;
mod several;

pub(crate) use several::{Written, record};

/// Numbers that one commit tries.
const ATTEMPTS_MAX: u32 = 16;

/// What goes into one request at most, so that its log entry stays below [`env::Knobs::entry_bytes_max`].
const REQUEST_BYTES_MAX: usize = 512 << 10;

pub(crate) async fn commit(core: &Arc<Core>) -> TxnResult<Timestamp> {
    let mut commit = {
        let mut state = core.state.lock();
        state.phase = Phase::Committing;
        if let Some(version_key) = state.catalog_change.clone() {
            let write = Write { value: Some(Bytes::new()), changes_key: false, must_be_absent: false };
            let sequence = state.sequence;
            state.buffer.put(version_key, write, sequence, sequence)?;
        }
        Commit {
            core,
            stamp: state.stamp,
            snapshot: state.stamp.at,
            attempt: 0,
            version_key: state.catalog_change.clone(),
            doubt: Mutex::new(None),
            applied_in: None,
            dealt_with: Vec::new(),
        }
    };
    let outcome = commit.run().await;
    let wrote = !core.state.lock().buffer.is_empty();
    let has_locks = commit.settle(&outcome);
    if has_locks && !wrote {
        // Who asks with NOWAIT after the answer must find the rows free. (Locks of writes go with their intents.)
        release::all(core).await;
    } else if has_locks {
        release::all_in_background(core);
    }
    outcome
}

/// A commit under way.
struct Commit<'a> {
    core: &'a Arc<Core>,
    /// The number that is tried now.
    stamp: Stamp,
    /// See [`Writes::snapshot`].
    snapshot: Timestamp,
    attempt: u32,
    version_key: Option<Key>,
    /// Set while a message is out whose effect is not known, or intents lie about.
    doubt: Mutex<Option<several::Doubt>>,
    /// The range in which everything was applied at once; the transaction's locks there went with it.
    applied_in: Option<Arc<Route>>,
    /// What is buffered in here is written already, or need not be; in key order.
    dealt_with: Vec<Span>,
}

impl Commit<'_> {
    async fn run(&mut self) -> TxnResult<Timestamp> {
        let metrics = &self.core.client.metrics;
        if self.core.state.lock().buffer.is_empty() {
            self.validate_locks().await?;
            metrics.commits_read_only.inc();
            return Ok(self.stamp.at);
        }
        self.write_ahead().await?;
        if self.must_move_first() {
            self.move_on(None).await?;
        }
        let (mutations, rest) = self.batch(&Key::MIN)?;
        assert!(!mutations.is_empty(), "the buffer is not empty");
        let anchor = mutations[0].key.clone();
        if rest.is_none()
            && let Some(at) = self.in_one_range(mutations).await?
        {
            metrics.commits_one_range.inc();
            return Ok(at);
        }
        self.over_several_ranges(anchor).await
    }

    /// After the outcome is known: are there locks that no write has taken along?
    fn settle(&mut self, outcome: &TxnResult<Timestamp>) -> bool {
        let has_locks = {
            let mut state = self.core.state.lock();
            state.phase = Phase::Over;
            match &self.applied_in {
                Some(range) => !state.locks.touches_only(range.span()),
                None => !state.locks.is_empty(),
            }
        };
        match outcome {
            Ok(_) => {}
            Err(TxnError::OutcomeUnknown { .. }) => {
                self.core.client.metrics.outcomes_unknown.inc();
            }
            Err(_) => {
                self.core.client.metrics.serialization_failures.inc();
            }
        }
        has_locks
    }

    // ---- numbers ----

    /// Will the number of the last statement not do?
    fn must_move_first(&self) -> bool {
        let state = self.core.state.lock();
        let is_below = state.commit_floor > self.stamp.at && !env::sabotage("commit_below_what_was_seen");
        self.version_key.is_some() || is_below || !state.pins.is_empty()
    }

    /// Fetches the next number to try, and makes what was used hold there. `above`: what refused the last one.
    async fn move_on(&mut self, refused: Option<KvError>) -> TxnResult<()> {
        if self.attempt >= ATTEMPTS_MAX {
            return Err(refused.map_or_else(|| TxnError::serialization(Conflict::Attempts, None, None), TxnError::from));
        }
        if let Some(refused) = &refused {
            self.may_move_past(refused)?;
        }
        if self.version_key.is_some() {
            self.core.client.oracle.announce_catalog_change(self.core.id).await?;
        }
        let stamp = self.core.fresh_stamp().await?;
        if !env::sabotage("refresh_after_staging") {
            self.core.refresh(stamp.at).await?;
        }
        self.stamp = stamp;
        match self.core.isolation {
            Isolation::Serializable => {
                self.snapshot = stamp.at;
                if !env::sabotage("refresh_after_staging") {
                    self.core.state.lock().stamp = stamp;
                }
            }
            // What is written unread may be written over anything; what was locked is validated.
            Isolation::ReadCommitted if matches!(refused, Some(KvError::WriteTooOld { .. })) => {
                self.snapshot = stamp.at;
            }
            Isolation::ReadCommitted | Isolation::RepeatableRead => {}
        }
        Ok(())
    }

    /// Does the level allow to go on after this refusal?
    fn may_move_past(&self, refused: &KvError) -> TxnResult<()> {
        let metrics = &self.core.client.metrics;
        match refused {
            KvError::Pushed { .. } => metrics.retries_pushed.inc(),
            _ => metrics.retries_newer_version.inc(),
        };
        let KvError::WriteTooOld { key, by, .. } = refused else { return Ok(()) };
        match self.core.isolation {
            Isolation::Serializable => Ok(()),
            Isolation::ReadCommitted if !self.core.state.lock().locks.holds(key) => Ok(()),
            Isolation::ReadCommitted => Err(KvError::LockLost { key: key.clone(), by: *by }.into()),
            Isolation::RepeatableRead => Err(refused.clone().into()),
        }
    }

    // ---- what is sent ----

    /// The newest write of each key from `from` on, as much as fits into a request, and where to go on.
    fn batch(&self, from: &Key) -> TxnResult<(Vec<Mutation>, Option<Key>)> {
        let mutation = |key: Key, write: Write| {
            let is_version = self.version_key.as_ref() == Some(&key);
            let value = if is_version { Some(self.stamp.at.0.to_be_bytes().to_vec().into()) } else { write.value };
            Mutation { key, value, changes_key: write.changes_key, must_be_absent: write.must_be_absent }
        };
        let state = self.core.state.lock();
        let mut batch = Batch::new(REQUEST_BYTES_MAX);
        let mut from = from;
        for done in self.dealt_with.iter().filter(|done| done.end > *from) {
            let gap = Span::new(from.clone(), done.start.clone());
            if !gap.is_empty()
                && let Some(rest) = state.buffer.fill_batch(&gap, &mut batch, mutation)?
            {
                return Ok((batch.writes, Some(rest)));
            }
            from = &done.end;
        }
        let rest = state.buffer.fill_batch(&Span::new(from.clone(), Key::MAX), &mut batch, mutation)?;
        Ok((batch.writes, rest))
    }

    /// The locks to validate, in key order. Keys that are written are left out where the snapshot vouches for them: only
    /// READ COMMITTED grants locks at numbers older than that.
    fn locked(&self) -> TxnResult<Vec<LockedKey>> {
        let state = self.core.state.lock();
        let mut locked = Vec::new();
        for lock in state.locks.counting() {
            let is_older = self.core.isolation == Isolation::ReadCommitted && lock.seen < self.snapshot;
            if is_older || !state.buffer.writes(&lock.key)? {
                locked.push(lock);
            }
        }
        Ok(locked)
    }

    fn writes(&self, mutations: Vec<Mutation>, locked: Vec<LockedKey>) -> Writes {
        Writes {
            txn: self.core.id,
            at: self.stamp.at,
            snapshot: self.snapshot,
            mutations,
            locked,
            attempt: self.attempt,
        }
    }

    /// Nothing was written: the locks must have been held to this point all the same.
    async fn validate_locks(&mut self) -> TxnResult<()> {
        let locked = self.locked()?;
        if locked.is_empty() {
            return Ok(());
        }
        if self.must_move_first() {
            self.move_on(None).await?;
        }
        self.core.client.metrics.commit_rounds.inc();
        let request = |locked: &[LockedKey]| {
            RangeBody::CommitOneRange(CommitRequest { writes: self.writes(Vec::new(), locked.to_vec()) })
        };
        let router = &self.core.client.router;
        // Nothing is applied, so the locks stay where they are until `settle` gives them up.
        for (_, answer) in router.scatter(locked, request).await {
            match answer? {
                RangeReply::Committed { .. } => {}
                other => return Err(crate::read::unexpected(&other)),
            }
        }
        Ok(())
    }
}

impl Shardable for LockedKey {
    fn start(&self) -> &Key {
        &self.key
    }

    fn cut(self, _end: &Key) -> (LockedKey, Option<LockedKey>) {
        (self, None)
    }
}

impl Shardable for Mutation {
    fn start(&self) -> &Key {
        &self.key
    }

    fn cut(self, _end: &Key) -> (Mutation, Option<Mutation>) {
        (self, None)
    }
}

impl Drop for Commit<'_> {
    /// The future of the commit was dropped before it was decided: it is decided in the background.
    fn drop(&mut self) {
        if let Some(doubt) = self.doubt.get_mut().take() {
            doubt.decide_in_background(self.core);
        }
        let mut state = self.core.state.lock();
        if state.phase == Phase::Committing {
            state.phase = Phase::Over;
            drop(state);
            release::all_in_background(self.core);
        }
    }
}
