//! Refreshing: is what was read at one number still what one would read at a later one?

use env::{hesitate, probe};
use keyspace::{Span, TxnId};
use rpc::range::RefreshRequest;
use rpc::{KvError, KvResult};

use super::{Evaluation, Obstacle, Patience, engine_error, recovery};
use crate::read_cache::Read;

/// Rule 14: the cache is raised first, so that nobody commits into the spans behind our back; then whoever is
/// about to, or has left an intent, is waited for; then versions are looked at.
pub async fn refresh(request: &Evaluation<'_>, refresh: RefreshRequest) -> KvResult<()> {
    let RefreshRequest { txn, spans, from, to } = refresh;
    loop {
        let ticket = request.admit().await?;
        check_inside(request, &spans)?;
        for span in spans.iter().filter(|_| !env::sabotage("refresh_without_raising")) {
            request.replica.cache.raise(span, Read { at: to, reader: Some(txn) });
        }
        hesitate!(&request.shared.env, "hesitated_in_refresh", 0.01);
        if let Some(obstacle) = spans.iter().find_map(|span| request.obstacle(span, to, Some(txn))) {
            probe!("a_refresh_met_an_obstacle");
            wait_or_die(request, obstacle, txn).await?;
            continue;
        }
        let snapshot = request.shared.engine.snapshot();
        let mut changed = None;
        for span in spans.iter().filter(|_| !env::sabotage("refresh_nothing")) {
            changed = mvcc::changed_in(&*snapshot, span, from, to).map_err(engine_error)?;
            if changed.is_some() {
                break;
            }
        }
        drop(snapshot);
        request.replica.check_floor(from)?;
        if !request.confirm(&ticket).await {
            continue;
        }
        return match changed {
            None => Ok(()),
            Some((key, head)) => {
                probe!("a_refresh_found_a_change");
                Err(KvError::ReadChanged { key, at: head.at, by: head.writer })
            }
        };
    }
}

/// The refresher may hold intents that others wait for: it waits only for younger transactions (rule 10). What an
/// older one is about to write counts as changed.
async fn wait_or_die(request: &Evaluation<'_>, obstacle: Obstacle, txn: TxnId) -> KvResult<()> {
    let (key, intent, until) = match obstacle {
        Obstacle::Announced(waiting) => {
            request.await_writer(waiting).await;
            return Ok(());
        }
        Obstacle::Intent { key, intent, until } => (key, intent, until),
    };
    let (at, by) = (intent.at, intent.txn);
    match recovery::settle(request, &key, &until, intent, Some(txn), Patience::WaitDie).await {
        Err(KvError::GaveWay { .. } | KvError::Deadlock { .. }) => Err(KvError::ReadChanged { key, at, by }),
        outcome => outcome,
    }
}

fn check_inside(request: &Evaluation<'_>, spans: &[Span]) -> KvResult<()> {
    let descriptor = request.replica.descriptor();
    if spans.iter().all(|span| descriptor.span.contains_span(span)) { Ok(()) } else { Err(request.stale_epoch()) }
}
