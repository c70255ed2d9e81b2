//! What to do about somebody else's intent: ask its anchor, wait, finish or abort the transaction, and
//! resolve the intent. Nobody is ever blocked by a dead coordinator.
//!
//! ```text
//!   Query at the anchor ──► committed / aborted ──► resolve here, go on
//!                       ├─► pending, alive       ──► ask again (the anchor answers when it is decided)
//!                       ├─► pending, expired     ──► the anchor has aborted it: resolve
//!                       └─► staging, expired     ──► check every listed key; verdict by compare-and-set
//! ```

use std::time::Duration;

use env::{hesitate, moment, probe};
use futures::future::join_all;
use keyspace::{Key, Span, Timestamp, TxnId};
use rpc::range::{
    CheckKeysReply, CheckKeysRequest, LockMode, RangeBody, RangeReply, RecordOp, RecordRequest, ResolveKeys,
    ResolveRequest, TxnRecord, TxnState,
};
use rpc::{BoxFuture, KvError, KvResult};

use super::{Evaluation, Patience};
use crate::intents::IntentHead;

/// How long the anchor may wait with its answer.
const QUERY_WAIT: Duration = Duration::from_secs(1);
/// Keys of one transaction that are resolved together when somebody meets one of them.
const TOGETHER_MAX: usize = 4000;

/// Returns when `key` has no intent of that transaction any more. Others of it below `until`, which the asker is going to
/// meet next, are resolved with it.
///
/// # Errors
/// `GaveWay` when patience does not allow to wait, `Deadlock` when the wait was chosen as a victim, or that
/// the anchor cannot be reached.
pub fn settle<'r>(
    request: &'r Evaluation<'_>,
    key: &'r Key,
    until: &'r Key,
    intent: IntentHead,
    waiter: Option<TxnId>,
    patience: Patience,
) -> BoxFuture<'r, KvResult<()>> {
    Box::pin(async move {
        let gives_way = match patience {
            Patience::Wait => false,
            // The older one waits, the younger one dies: no circle of waits can close.
            Patience::WaitDie => waiter.is_some_and(|waiter| waiter > intent.txn),
            Patience::None => true,
        };
        let wait = if gives_way { Duration::ZERO } else { QUERY_WAIT };
        let mut edge = match waiter.filter(|_| !gives_way) {
            Some(waiter) => {
                let wanted = Some((key.clone(), LockMode::Update));
                Some(request.shared.deadlocks.wait_for(request.replica.range, waiter, intent.txn, wanted)?)
            }
            None => None,
        };
        loop {
            if request.replica.intents.get(key).is_none_or(|now| now.txn != intent.txn) {
                return Ok(());
            }
            let outcome = fate(request, &intent, wait);
            let outcome = match &mut edge {
                None => outcome.await?,
                Some(edge) => tokio::select! {
                    biased;
                    outcome = outcome => outcome?,
                    deadlock = edge.broken() => return Err(deadlock),
                },
            };
            match outcome {
                Fate::Committed(at) => return clean(request, key, until, intent.txn, Some(at)).await,
                Fate::Aborted => return clean(request, key, until, intent.txn, None).await,
                Fate::Undecided if gives_way => {
                    probe!("wait_die_gave_way");
                    return Err(KvError::GaveWay { key: key.clone(), holder: intent.txn });
                }
                Fate::Undecided => {}
            }
        }
    })
}

enum Fate {
    Committed(Timestamp),
    Aborted,
    Undecided,
}

/// What the anchor says, after recovery if that was needed.
async fn fate(request: &Evaluation<'_>, intent: &IntentHead, wait: Duration) -> KvResult<Fate> {
    if let Some(at) = request.shared.committed.at(intent.txn) {
        return Ok(Fate::Committed(at));
    }
    let mut record = ask_record(request, intent, RecordOp::Query { wait }).await?;
    loop {
        match record.state {
            TxnState::Committed { at } => {
                request.shared.committed.learn(intent.txn, at);
                return Ok(Fate::Committed(at));
            }
            TxnState::Aborted => return Ok(Fate::Aborted),
            TxnState::Missing | TxnState::Pending => return Ok(Fate::Undecided),
            TxnState::Staging { at, attempt, keys } => {
                probe!("recovered_a_staging_transaction");
                let commit = all_present(request, intent.txn, at, &keys).await?;
                moment!(&request.shared.env, "recovering");
                hesitate!(&request.shared.env, "hesitated_in_recovery", 0.05);
                if commit {
                    probe!("recovered_as_committed")
                } else {
                    probe!("recovered_as_aborted")
                }
                record = ask_record(request, intent, RecordOp::Recover { commit, at, attempt }).await?;
                if matches!(record.state, TxnState::Staging { attempt: now, .. } if now != attempt) {
                    // It was staged again meanwhile: its coordinator lives.
                    return Ok(Fate::Undecided);
                }
            }
        }
    }
}

async fn ask_record(request: &Evaluation<'_>, intent: &IntentHead, op: RecordOp) -> KvResult<TxnRecord> {
    let body = RangeBody::Record(RecordRequest { txn: intent.txn, anchor: intent.anchor.clone(), op });
    match ask(request, &intent.anchor, body).await? {
        RangeReply::Record(record) => Ok(record),
        other => Err(unexpected(&other)),
    }
}

/// Rule 1: each absent key is fenced by its range before the answer.
async fn all_present(request: &Evaluation<'_>, txn: TxnId, at: Timestamp, keys: &[Key]) -> KvResult<bool> {
    let checks = keys.iter().map(|key| async move {
        let check = CheckKeysRequest { txn, at, keys: vec![key.clone()] };
        match ask(request, key, RangeBody::CheckKeys(check)).await {
            Ok(RangeReply::Checked(CheckKeysReply::AllPresent | CheckKeysReply::Committed { .. })) => Ok(true),
            Ok(RangeReply::Checked(CheckKeysReply::Absent { .. })) => Ok(false),
            // Its leader has nothing of the transaction, and collects garbage of that age. What it could have collected is
            // a version, and there is none before the record says Committed (rule 2): then the verdict, which counts
            // only while the record is Staging, changes nothing. Nor can a write that is still on its way land.
            Err(KvError::BelowGarbageFloor { .. }) => {
                probe!("recovered_below_the_garbage_floor");
                Ok(false)
            }
            Ok(other) => Err(unexpected(&other)),
            Err(error) => Err(error),
        }
    });
    let answers: Vec<KvResult<bool>> = join_all(checks).await;
    // One absent key settles it, whatever became of the other questions.
    if answers.iter().any(|answer| matches!(answer, Ok(false))) {
        return Ok(false);
    }
    answers.into_iter().collect::<KvResult<Vec<bool>>>().map(|_| true)
}

async fn ask(request: &Evaluation<'_>, key: &Key, body: RangeBody) -> KvResult<RangeReply> {
    let Some(outside) = request.shared.outside.get() else {
        return Err(KvError::Unavailable {
            range: request.replica.range,
            why: "this node is still starting".to_owned(),
        });
    };
    outside.ask(key.clone(), body).await
}

/// Resolves what the transaction has from `key` on. What lies elsewhere is its coordinator's work, or another reader's.
async fn clean(
    request: &Evaluation<'_>,
    key: &Key,
    until: &Key,
    txn: TxnId,
    commit_at: Option<Timestamp>,
) -> KvResult<()> {
    let span = Span::new(key.clone(), until.clone()).intersection(&request.replica.descriptor().span);
    let keys = request.replica.intents.of_txn(&span, txn, TOGETHER_MAX);
    let resolve = ResolveRequest { txn, commit_at, keys: ResolveKeys::These(keys) };
    super::resolve::resolve(request, resolve).await
}

fn unexpected(reply: &RangeReply) -> KvError {
    KvError::NotSupported { what: format!("an answer to another question: {reply:?}") }
}
