//! Transaction records: compare-and-set at the leader of the anchor's range.

use std::time::Duration;

use env::probe;
use keyspace::{Key, TxnId};
use mvcc::Record;
use rpc::range::{RecordOp, RecordRequest, TxnRecord, TxnState};
use rpc::{KvError, KvResult};
use storage::Batch;

use super::{Evaluation, engine_error};
use crate::leadership::Ticket;
use crate::proposal::Held;

pub async fn record(request: &Evaluation<'_>, record: RecordRequest) -> KvResult<TxnRecord> {
    let RecordRequest { txn, anchor, op } = record;
    match op {
        RecordOp::Query { wait } => query(request, txn, &anchor, wait).await,
        RecordOp::Heartbeat => {
            request.replica.records.sign_of_life(txn, request.shared.env.now());
            change(request, txn, &anchor, |record| match record {
                None => Verdict::Write(Record::Pending),
                Some(_) => Verdict::Keep,
            })
            .await
        }
        RecordOp::Commit { at, attempt } => {
            change(request, txn, &anchor, |record| match record {
                None | Some(Record::Pending) => Verdict::Write(Record::Committed { at, resolved: false }),
                Some(Record::Staging { at: staged_at, attempt: staged, .. })
                    if (*staged_at, *staged) == (at, attempt) =>
                {
                    Verdict::Write(Record::Committed { at, resolved: false })
                }
                Some(_) => Verdict::Keep,
            })
            .await
        }
        RecordOp::Abort => {
            change(request, txn, &anchor, |record| match record {
                None | Some(Record::Pending | Record::Staging { .. }) => Verdict::Write(Record::Aborted),
                Some(Record::Committed { .. } | Record::Aborted) => Verdict::Keep,
            })
            .await
        }
        RecordOp::Recover { commit, at, attempt } => {
            change(request, txn, &anchor, |record| match record {
                Some(Record::Staging { at: staged_at, attempt: staged, .. })
                    if (*staged_at, *staged) == (at, attempt) =>
                {
                    Verdict::Write(if commit { Record::Committed { at, resolved: false } } else { Record::Aborted })
                }
                _ => Verdict::Keep,
            })
            .await
        }
        RecordOp::Forget => {
            change(request, txn, &anchor, |record| match record {
                Some(Record::Committed { at, resolved: false }) => {
                    Verdict::Write(Record::Committed { at: *at, resolved: true })
                }
                _ => Verdict::Keep,
            })
            .await
        }
    }
}

enum Verdict {
    Keep,
    Write(Record),
}

/// Reads the record, decides, and writes it, with nobody in between; answers with the record as it then is.
async fn change(
    request: &Evaluation<'_>,
    txn: TxnId,
    anchor: &Key,
    decide: impl Fn(Option<&Record>) -> Verdict,
) -> KvResult<TxnRecord> {
    loop {
        let ticket = request.admit().await?;
        request.check_keys_inside([anchor])?;
        let latch = request.replica.records.latch(txn).await;
        let record = read(request, txn, anchor)?;
        match decide(record.as_ref()) {
            Verdict::Keep => {
                if request.confirm(&ticket).await {
                    return Ok(to_rpc(record));
                }
            }
            Verdict::Write(changed) => {
                // A record that may have been collected is not made up again: its fate is not known here.
                if record.is_none() {
                    request.replica.check_floor(txn.start())?;
                }
                let record = changed;
                let mut batch = Batch::new();
                mvcc::put_record(&mut batch, anchor, txn, &record);
                let held = Held { latch: Some(latch), ..Held::default() };
                request.propose(&ticket, batch, held).await?;
                return Ok(to_rpc(Some(record)));
            }
        }
    }
}

/// Waits for a decision while the transaction is alive. One that is not is aborted where that can be done
/// without asking anybody; a staging one is handed to the asker for recovery. While a staging one is alive
/// the answer is "pending".
async fn query(request: &Evaluation<'_>, txn: TxnId, anchor: &Key, wait: Duration) -> KvResult<TxnRecord> {
    let env = &request.shared.env;
    let deadline = env.now() + wait;
    loop {
        let ticket = request.admit().await?;
        request.check_keys_inside([anchor])?;
        let changed = request.replica.records.watch(txn);
        let record = read(request, txn, anchor)?;
        if !request.confirm(&ticket).await {
            continue;
        }
        if record.as_ref().is_some_and(Record::is_decided) {
            return Ok(to_rpc(record));
        }
        if record.is_none() && request.replica.check_floor(txn.start()).is_err() {
            if is_lost(request, &ticket, txn, anchor).await? {
                probe!("an_intent_older_than_the_garbage_floor");
                return Ok(TxnRecord { state: TxnState::Aborted });
            }
            continue;
        }
        let expiry = env.knobs().txn_expiry;
        let silence = request.replica.records.silence(txn, env.now());
        if silence >= expiry {
            if let Some(Record::Staging { .. }) = record {
                return Ok(to_rpc(record));
            }
            probe!("aborted_an_expired_transaction");
            return abort_expired(request, &ticket, txn, anchor).await;
        }
        let left = deadline.since(env.now());
        if left.is_zero() {
            let state = if record.is_none() { TxnState::Missing } else { TxnState::Pending };
            return Ok(TxnRecord { state });
        }
        let _decided_or_time_to_look = env.timeout(left.min(expiry - silence), changed).await;
    }
}

/// Whoever asks has an intent of a transaction that is older than the garbage floor and has no record. Nothing below the floor is
/// accepted any more, and a record that says Committed is collected only when no intent is left (rule 16): it is not committed,
/// and never will be. But what was accepted before the floor came may still be on its way into the log: it holds the latch until it
/// is applied. `false`: something has changed, look again.
async fn is_lost(request: &Evaluation<'_>, ticket: &Ticket, txn: TxnId, anchor: &Key) -> KvResult<bool> {
    let latch = request.replica.records.latch(txn).await;
    let is_missing = read(request, txn, anchor)?.is_none();
    drop(latch);
    Ok(is_missing && request.confirm(ticket).await)
}

/// Written first, so that a late prewrite or staging finds it.
async fn abort_expired(request: &Evaluation<'_>, ticket: &Ticket, txn: TxnId, anchor: &Key) -> KvResult<TxnRecord> {
    let latch = request.replica.records.latch(txn).await;
    let record = read(request, txn, anchor)?;
    match record {
        None | Some(Record::Pending) => {}
        // A decision is for ever, whoever reads it.
        Some(Record::Committed { .. } | Record::Aborted) => return Ok(to_rpc(record)),
        // Staged just now: it lives.
        Some(Record::Staging { .. }) => return Ok(TxnRecord { state: TxnState::Pending }),
    }
    let mut batch = Batch::new();
    mvcc::put_record(&mut batch, anchor, txn, &Record::Aborted);
    let held = Held { latch: Some(latch), ..Held::default() };
    request.propose(ticket, batch, held).await?;
    Ok(TxnRecord { state: TxnState::Aborted })
}

pub fn read(request: &Evaluation<'_>, txn: TxnId, anchor: &Key) -> Result<Option<Record>, KvError> {
    let snapshot = request.shared.engine.snapshot();
    mvcc::get_record(&*snapshot, anchor, txn).map_err(engine_error)
}

fn to_rpc(record: Option<Record>) -> TxnRecord {
    let state = match record {
        None => TxnState::Missing,
        Some(Record::Pending) => TxnState::Pending,
        Some(Record::Staging { at, attempt, keys }) => TxnState::Staging { at, attempt, keys },
        Some(Record::Committed { at, .. }) => TxnState::Committed { at },
        Some(Record::Aborted) => TxnState::Aborted,
    };
    TxnRecord { state }
}
