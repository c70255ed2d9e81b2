//! Collecting versions and records that nobody can see any more (protocol.md, rule 16).
//!
//! The caller knows the floor: below every number that anybody may still read at. It goes through the log
//! first, so that every replica refuses what is below it; only then are versions removed, as ordinary
//! commands. Every replica thus removes the same, and checksums agree whatever was collected.
//!
//! A transaction that began at or below the floor cannot commit any more, so records of such transactions
//! go as well once their fate matters to nobody.

use keyspace::{RangeId, Span, Timestamp};
use rpc::KvResult;
use storage::Batch;

use crate::command::Body;
use crate::evaluate::{Evaluation, engine_error};
use crate::leadership::Ticket;
use crate::log_loop::Input;
use crate::proposal::Held;
use crate::size;
use crate::store::Store;

/// Versions removed with one command, and entries looked at for it.
const VERSIONS_PER_COMMAND: u64 = 2_000;
const VISITED_PER_COMMAND: u64 = 50_000;
const RECORDS_PER_COMMAND: usize = 10_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    pub versions: u64,
    pub records: u64,
}

impl Store {
    /// Raises the garbage floor of a range that is led from here, and removes what it uncovers.
    ///
    /// # Errors
    /// `NotLeader`; and what may happen to any write. Whatever was not done is done the next time.
    pub async fn collect_garbage(&self, range: RangeId, floor: Timestamp) -> KvResult<Collected> {
        let request = self.led(range)?;
        let ticket = request.admit().await?;
        raise_floor(&request, &ticket, floor).await?;
        let mut collected = Collected::default();
        let mut left = Some(request.replica.descriptor().span.clone());
        while let Some(span) = left {
            left = collect_some(&request, &ticket, &span, floor, &mut collected).await?;
        }
        let batch = {
            let snapshot = self.shared.engine.snapshot();
            let span = request.replica.descriptor().span.clone();
            mvcc::collect_records(&*snapshot, &span, floor, RECORDS_PER_COMMAND).map_err(engine_error)?
        };
        collected.records = batch.operations().len() as u64;
        if collected.records > 0 {
            env::probe!("records_collected");
        }
        propose(&request, &ticket, batch).await?;
        Ok(collected)
    }
}

async fn raise_floor(request: &Evaluation<'_>, ticket: &Ticket, floor: Timestamp) -> KvResult<()> {
    if request.replica.garbage_floor() >= floor {
        return Ok(());
    }
    let encoded = Body::GarbageFloor(floor).encode(ticket.term, ticket.epoch);
    request.send_proposal(ticket, encoded, Held::default(), Input::Propose).await
}

async fn collect_some(
    request: &Evaluation<'_>,
    ticket: &Ticket,
    span: &Span,
    floor: Timestamp,
    collected: &mut Collected,
) -> KvResult<Option<Span>> {
    let found = {
        let snapshot = request.shared.engine.snapshot();
        let (engine, span) = (snapshot, span.clone());
        let search = move || mvcc::collect_versions(&*engine, &span, floor, VERSIONS_PER_COMMAND, VISITED_PER_COMMAND);
        request.shared.env.blocking(search).await.map_err(engine_error)?
    };
    collected.versions += found.versions;
    if found.versions > 0 {
        env::probe!("versions_collected");
    }
    if found.versions > 0 {
        let _one_difference_at_a_time = request.shared.counting.lock().await;
        propose(request, ticket, found.batch).await?;
        size::note_removed(request, ticket, found.value_bytes).await?;
    }
    Ok(found.resume)
}

async fn propose(request: &Evaluation<'_>, ticket: &Ticket, batch: Batch) -> KvResult<()> {
    if batch.is_empty() { Ok(()) } else { request.propose(ticket, batch, Held::default()).await }
}
