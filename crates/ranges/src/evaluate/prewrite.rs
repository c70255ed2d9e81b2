//! One range's part of a transaction over several: intents, and at the anchor the staged record with them.

use env::{hesitate, probe};
use keyspace::{Key, Timestamp, TxnId};
use mvcc::{Intent, Record};
use rpc::range::{Mutation, PrewriteRequest, StageRecord, Writes};
use rpc::{KvError, KvResult};
use storage::Batch;

use super::{Evaluation, Patience, record};
use crate::intents::IntentHead;
use crate::leadership::Ticket;
use crate::locks::OwnLocks;
use crate::proposal::Held;

/// Cut into pieces that fit a log entry; each is a prewrite of its own. Locks are validated, and the record is
/// staged, with the last.
pub async fn prewrite(request: &Evaluation<'_>, prewrite: PrewriteRequest) -> KvResult<()> {
    let PrewriteRequest { writes, anchor, stage } = prewrite;
    let Writes { txn, at, snapshot, mutations, locked, attempt } = writes;
    let mut pieces = pieces(mutations, request.shared.env.knobs().entry_bytes_max);
    let last = pieces.pop().unwrap_or_default();
    for mutations in pieces {
        let writes = Writes { txn, at, snapshot, mutations, locked: Vec::new(), attempt };
        Piece { request, writes, anchor: &anchor, stage: None }.prewrite().await?;
    }
    let writes = Writes { txn, at, snapshot, mutations: last, locked, attempt };
    Piece { request, writes, anchor: &anchor, stage }.prewrite().await
}

fn pieces(mutations: Vec<Mutation>, bytes_max: usize) -> Vec<Vec<Mutation>> {
    let mut pieces: Vec<Vec<Mutation>> = Vec::new();
    let mut bytes = usize::MAX;
    for mutation in mutations {
        let size = mutation.key.len() + mutation.value.as_ref().map_or(0, |value| value.len()) + INTENT_OVERHEAD;
        if bytes.saturating_add(size) > bytes_max {
            pieces.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        pieces.last_mut().expect("a piece was just begun").push(mutation);
    }
    pieces
}

/// What an intent takes beside its key and value: ids, number, anchor.
const INTENT_OVERHEAD: usize = 96;

struct Piece<'p> {
    request: &'p Evaluation<'p>,
    writes: Writes,
    anchor: &'p Key,
    stage: Option<StageRecord>,
}

/// What is known of a key before any other check.
enum Before {
    Nothing,
    /// Its own intent at this very number: done (rule 4).
    Done,
    /// Its own intent of a later attempt: this request is an old one.
    Overtaken(Timestamp),
}

impl Piece<'_> {
    async fn prewrite(self) -> KvResult<()> {
        let (request, writes) = (self.request, &self.writes);
        let is_anchored_here = request.replica.contains(self.anchor);
        let mut own = request.replica.locks.own(writes.txn);
        loop {
            let ticket = request.admit().await?;
            request.check_mutations_inside(writes)?;
            if is_anchored_here {
                request.replica.records.sign_of_life(writes.txn, request.shared.env.now());
            }
            if self.is_done(&ticket).await? {
                return Ok(());
            }
            match request.clear_the_way(writes, Patience::WaitDie, &mut own).await {
                Err(KvError::TxnAborted) => return Err(self.why_it_ended()?),
                outcome => outcome?,
            }
            hesitate!(&request.shared.env, "hesitated_before_announcing", 0.01);
            let latch = match is_anchored_here {
                true => Some(request.replica.records.latch(writes.txn).await),
                false => None,
            };
            let Some(announced) = request.announce(writes).await else { continue };
            if !request.replica.leadership.holds(&ticket) {
                continue;
            }
            let batch = match self.evaluate(is_anchored_here, &mut own) {
                Ok(batch) => batch,
                Err(error) => return Err(request.refuse(announced, error)),
            };
            if batch.is_empty() {
                if request.confirm(&ticket).await {
                    return Ok(());
                }
                continue;
            }
            let held = Held { announced: Some(announced), latch, ends: None };
            request.propose(&ticket, batch, held).await?;
            // With the intents they stay until those are resolved.
            own.keep();
            return Ok(());
        }
    }

    /// A repetition finds everything as it wants it and answers before any other check (rule 4): a number must
    /// not be given up because of a read that came after it was accepted.
    async fn is_done(&self, ticket: &Ticket) -> KvResult<bool> {
        let keys_done = self.writes.mutations.iter().all(|mutation| matches!(self.before(&mutation.key), Before::Done));
        let locks_validated = self.writes.locked.is_empty();
        let done = keys_done && locks_validated && !self.writes.mutations.is_empty() && self.is_staged()?;
        if done {
            probe!("repeated_prewrite");
        }
        Ok(done && self.request.confirm(ticket).await)
    }

    fn is_staged(&self) -> KvResult<bool> {
        if self.stage.is_none() {
            return Ok(true);
        }
        let record = record::read(self.request, self.writes.txn, self.anchor)?;
        Ok(
            matches!(record, Some(Record::Staging { at, attempt, .. }) if (at, attempt) == (self.writes.at, self.writes.attempt)),
        )
    }

    fn before(&self, key: &Key) -> Before {
        match self.own_intent(key) {
            Some(own) if own.at == self.writes.at => Before::Done,
            Some(own) if own.attempt > self.writes.attempt && !env::sabotage("stage_an_older_attempt") => {
                Before::Overtaken(own.at)
            }
            _ => Before::Nothing,
        }
    }

    fn own_intent(&self, key: &Key) -> Option<IntentHead> {
        self.request.replica.intents.get(key).filter(|intent| intent.txn == self.writes.txn)
    }

    /// The keys are announced, and the record is ours if it is here.
    fn evaluate(&self, is_anchored_here: bool, own: &mut OwnLocks<'_>) -> KvResult<Batch> {
        let Writes { txn, at, ref mutations, attempt, .. } = self.writes;
        let mut batch = Batch::new();
        if is_anchored_here {
            self.check_record(&mut batch)?;
        }
        for mutation in mutations {
            if let Before::Overtaken(above) = self.before(&mutation.key) {
                probe!("a_late_prewrite_was_overtaken");
                return Err(KvError::Pushed { key: mutation.key.clone(), above });
            }
        }
        let snapshot = self.request.shared.engine.snapshot();
        self.request.check_writes(&*snapshot, &self.writes, |key| matches!(self.before(key), Before::Done), own)?;
        for mutation in mutations {
            if matches!(self.before(&mutation.key), Before::Done) {
                continue;
            }
            let intent = Intent {
                txn,
                at,
                anchor: self.anchor.clone(),
                attempt,
                sequence: 0,
                value: mutation.value.clone(),
                changes_key: mutation.changes_key || mutation.value.is_none(),
            };
            mvcc::put_intent(&mut batch, &mutation.key, &intent);
        }
        Ok(batch)
    }

    /// A transaction that is decided takes no intents; one that is to be staged is, unless a later attempt was.
    fn check_record(&self, batch: &mut Batch) -> KvResult<()> {
        let Writes { txn, at, attempt, .. } = self.writes;
        match record::read(self.request, txn, self.anchor)? {
            Some(Record::Aborted) => return Err(KvError::TxnAborted),
            Some(Record::Committed { at, .. }) => return Err(KvError::TxnCommitted { at }),
            Some(Record::Staging { at: staged_at, attempt: staged, .. }) => {
                if staged > attempt && !env::sabotage("stage_an_older_attempt") {
                    probe!("a_late_prewrite_was_overtaken");
                    return Err(KvError::Pushed { key: self.anchor.clone(), above: staged_at });
                }
                if (staged_at, staged) == (at, attempt) {
                    return Ok(());
                }
                probe!("a_record_was_staged_again");
            }
            Some(Record::Pending) | None => {}
        }
        if let Some(StageRecord { keys }) = &self.stage {
            let keys = keys.clone();
            mvcc::put_record(batch, self.anchor, txn, &Record::Staging { at, attempt, keys });
        }
        Ok(())
    }

    /// Its locks ended here: it is committed, or it is not any more.
    fn why_it_ended(&self) -> KvResult<KvError> {
        let txn: TxnId = self.writes.txn;
        let snapshot = self.request.shared.engine.snapshot();
        let committed = self.request.committed_before(&*snapshot, &self.writes)?;
        drop(snapshot);
        if let Some(at) = committed {
            return Ok(KvError::TxnCommitted { at });
        }
        if self.request.replica.contains(self.anchor)
            && let Some(Record::Committed { at, .. }) = record::read(self.request, txn, self.anchor)?
        {
            return Ok(KvError::TxnCommitted { at });
        }
        Ok(KvError::TxnAborted)
    }
}
