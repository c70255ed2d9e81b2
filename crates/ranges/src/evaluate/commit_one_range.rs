//! A transaction whose writes all lie in one range: its final versions in one round through the log.

use env::{hesitate, probe};
use keyspace::Timestamp;
use rpc::range::{CommitRequest, Writes};
use rpc::{KvError, KvResult};
use storage::Batch;

use super::{Evaluation, Patience};
use crate::leadership::Ticket;
use crate::proposal::Held;

/// Answers with the commit number. Repeated (rule 7): its announced first attempt is waited for, then its own
/// versions are found.
pub async fn commit(request: &Evaluation<'_>, commit: CommitRequest) -> KvResult<Timestamp> {
    let writes = commit.writes;
    let bytes: usize = writes
        .mutations
        .iter()
        .map(|mutation| mutation.key.len() + mutation.value.as_ref().map_or(0, |value| value.len()))
        .sum();
    if bytes > request.shared.env.knobs().entry_bytes_max && writes.mutations.len() > 1 {
        return Err(KvError::TooLarge { bytes });
    }
    let mut own = request.replica.locks.own(writes.txn);
    loop {
        let ticket = request.admit().await?;
        request.check_mutations_inside(&writes)?;
        // Nothing of it is prewritten: it may wait in queues like a statement does.
        match request.clear_the_way(&writes, Patience::Wait, &mut own).await {
            // It ended here: perhaps because it was committed.
            Err(KvError::TxnAborted) => return ended(request, &ticket, &writes).await,
            outcome => outcome?,
        }
        hesitate!(&request.shared.env, "hesitated_before_announcing", 0.004);
        let Some(announced) = request.announce(&writes).await else { continue };
        if !request.replica.leadership.holds(&ticket) {
            continue;
        }
        let snapshot = request.shared.engine.snapshot();
        match request.check_writes(&*snapshot, &writes, |_| false, &mut own) {
            Ok(()) => {}
            Err(KvError::TxnCommitted { at }) => {
                probe!("repeated_one_range_commit");
                return Ok(at);
            }
            Err(error) => return Err(request.refuse(announced, error)),
        }
        drop(snapshot);
        let mut batch = Batch::new();
        for mutation in &writes.mutations {
            mvcc::put_version(
                &mut batch,
                &mutation.key,
                writes.at,
                writes.txn,
                mutation.value.as_deref(),
                mutation.changes_key,
            );
        }
        if batch.is_empty() {
            // Locks alone: validated, and nothing to write. Those that were held stay until they are released; those that
            // had to be taken again go at once.
            if request.confirm(&ticket).await {
                return Ok(writes.at);
            }
            continue;
        }
        let ends = Some((request.replica.clone(), writes.txn));
        let held = Held { announced: Some(announced), latch: None, ends };
        request.propose(&ticket, batch, held).await?;
        return Ok(writes.at);
    }
}

async fn ended(request: &Evaluation<'_>, ticket: &Ticket, writes: &Writes) -> KvResult<Timestamp> {
    let committed = {
        let snapshot = request.shared.engine.snapshot();
        request.committed_before(&*snapshot, writes)?
    };
    match committed {
        Some(at) => Ok(at),
        None if request.confirm(ticket).await => Err(KvError::TxnAborted),
        None => Err(request.replica.not_leader()),
    }
}
