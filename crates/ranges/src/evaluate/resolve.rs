//! Turning the intents of a decided transaction into versions, or removing them.

use std::time::Duration;

use env::{hesitate, moment};
use keyspace::{Key, Timestamp, TxnId};
use rpc::KvResult;
use rpc::range::{ResolveKeys, ResolveRequest};
use storage::Batch;

use super::{Evaluation, engine_error};
use crate::leadership::Ticket;
use crate::proposal::Held;

/// Within this the index has what the engine has.
const INDEX_FOLLOWS: Duration = Duration::from_millis(1);

/// Keys resolved with one log entry at most.
const KEYS_MAX: usize = 4000;

pub async fn resolve(request: &Evaluation<'_>, resolve: ResolveRequest) -> KvResult<()> {
    let ResolveRequest { txn, commit_at, keys } = resolve;
    hesitate!(&request.shared.env, "hesitated_before_resolving", 0.01);
    if let Some(at) = commit_at {
        request.shared.committed.learn(txn, at);
    }
    match keys {
        ResolveKeys::These(keys) => {
            for keys in keys.chunks(KEYS_MAX) {
                resolve_keys(request, txn, commit_at, keys).await?;
            }
        }
        ResolveKeys::Within(span) => loop {
            request.admit().await?;
            let span = span.intersection(&request.replica.descriptor().span);
            let keys = request.replica.intents.of_txn(&span, txn, KEYS_MAX);
            if keys.is_empty() {
                break;
            }
            resolve_keys(request, txn, commit_at, &keys).await?;
        },
    }
    moment!(&request.shared.env, "intents_resolved");
    // It is decided: whatever it had locked here is free, also where no intent was left to resolve.
    request.replica.locks.end(txn);
    Ok(())
}

/// Keys whose intent is gone are skipped; what is left takes as many entries as it needs.
async fn resolve_keys(
    request: &Evaluation<'_>,
    txn: TxnId,
    commit_at: Option<Timestamp>,
    keys: &[Key],
) -> KvResult<()> {
    loop {
        let ticket = request.admit().await?;
        request.check_keys_inside(keys)?;
        let left = keys.iter().filter(|key| request.replica.intents.get(key).is_some_and(|intent| intent.txn == txn));
        let left: Vec<Key> = left.cloned().collect();
        if left.is_empty() {
            // Another leader may have put some there that this one does not know of.
            if request.confirm(&ticket).await {
                return Ok(());
            }
            continue;
        }
        resolve_some(request, &ticket, txn, commit_at, left).await?;
    }
}

/// The keys are announced while the entry is under way: nobody prewrites one of them between the look at its
/// intent and the removal. Readers wait for the version to come, not for an intent to go.
async fn resolve_some(
    request: &Evaluation<'_>,
    ticket: &Ticket,
    txn: TxnId,
    commit_at: Option<Timestamp>,
    keys: Vec<Key>,
) -> KvResult<()> {
    let lowest = commit_at.unwrap_or(Timestamp::MAX);
    let announced = match request.replica.announcements.announce(txn, lowest, keys) {
        Ok(announced) => announced,
        Err((_, waiting)) => {
            request.await_writer(waiting).await;
            return Ok(());
        }
    };
    let bytes_max = request.shared.env.knobs().entry_bytes_max;
    let snapshot = request.shared.engine.snapshot();
    let mut batch = Batch::new();
    for key in announced.keys() {
        if batch.bytes() >= bytes_max {
            break;
        }
        mvcc::resolve_intent(&*snapshot, &mut batch, key, txn, commit_at).map_err(engine_error)?;
    }
    drop(snapshot);
    if batch.is_empty() {
        // The index follows the engine: what it still names is gone there already.
        drop(announced);
        request.shared.env.sleep(INDEX_FOLLOWS).await;
        return Ok(());
    }
    let held = Held { announced: Some(announced), ..Held::default() };
    request.propose(ticket, batch, held).await
}
