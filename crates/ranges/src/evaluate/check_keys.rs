//! Recovery's question: has this transaction written these keys? (rule 1)
//!
//! An intent counts at the staged number only, not at an earlier one that the transaction has given up since. A range may refuse
//! the staged number while the intent of the earlier attempt still lies there; the coordinator then abandons the number
//! (rule 4) and prewrites at the next one. If the old intent counted, recovery could commit the transaction at the abandoned
//! number while its coordinator moves that intent above readers who must see it.

use keyspace::{Key, Timestamp};
use rpc::KvResult;
use rpc::range::{CheckKeysReply, CheckKeysRequest};

use super::{Evaluation, engine_error};
use crate::read_cache::Read;

/// An absent key is fenced before it is called absent: its cache is raised above the staged number as a
/// foreign read, so that the write which is still on its way is refused. A write that was evaluated before
/// is announced; it is waited for.
pub async fn check_keys(request: &Evaluation<'_>, check: CheckKeysRequest) -> KvResult<CheckKeysReply> {
    loop {
        let ticket = request.admit().await?;
        request.check_keys_inside(&check.keys)?;
        let mut answer = CheckKeysReply::AllPresent;
        for key in &check.keys {
            match check_key(request, &check, key).await? {
                CheckKeysReply::AllPresent => {}
                committed @ CheckKeysReply::Committed { .. } => {
                    answer = committed;
                    break;
                }
                absent @ CheckKeysReply::Absent { .. } => {
                    answer = absent;
                    break;
                }
            }
        }
        if request.confirm(&ticket).await {
            // What was found is true; what was not found may have been collected.
            if matches!(answer, CheckKeysReply::Absent { .. }) {
                request.replica.check_floor(check.txn.start())?;
            }
            return Ok(answer);
        }
    }
}

async fn check_key(request: &Evaluation<'_>, check: &CheckKeysRequest, key: &Key) -> KvResult<CheckKeysReply> {
    if let Some(found) = look(request, check, key)? {
        return Ok(found);
    }
    if !env::sabotage("recover_without_fence") {
        let fence = Read { at: Timestamp(check.at.0.saturating_add(1)), reader: None };
        request.replica.cache.raise_point(key, fence);
    }
    while let Some(waiting) = request.replica.announcements.active(key) {
        request.await_writer(waiting).await;
    }
    if let Some(found) = look(request, check, key)? {
        return Ok(found);
    }
    env::probe!("a_fenced_key_was_absent");
    Ok(CheckKeysReply::Absent { key: key.clone() })
}

fn look(request: &Evaluation<'_>, check: &CheckKeysRequest, key: &Key) -> KvResult<Option<CheckKeysReply>> {
    let snapshot = request.shared.engine.snapshot();
    let intent = mvcc::get_intent(&*snapshot, key).map_err(engine_error)?;
    if let Some(intent) = intent.filter(|intent| intent.txn == check.txn) {
        let is_older = intent.at < check.at;
        if intent.at == check.at || (is_older && env::sabotage("count_an_older_attempt")) {
            return Ok(Some(CheckKeysReply::AllPresent));
        }
        if is_older {
            env::probe!("an_intent_of_an_older_attempt_did_not_count");
        }
    }
    if env::sabotage("resolve_before_committed") {
        return Ok(None);
    }
    let version = mvcc::version_by_writer(&*snapshot, key, check.txn).map_err(engine_error)?;
    Ok(version.map(|head| CheckKeysReply::Committed { at: head.at }))
}
