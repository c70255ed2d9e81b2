//! # Commit over several ranges, or of very much
//!
//! Two rounds: all ranges lay down intents in parallel ("prewrite"), then the record at the anchor, the first key that is
//! written, becomes Committed. That instant decides; the client is told, and the intents become versions in the
//! background, one request per range, and then the record may go.
//!
//! Between the first prewrite and the decision the transaction shows signs of life at its record. Whoever meets an intent
//! and finds that they have stopped aborts the transaction at its record first; a later attempt to commit it finds
//! that.

use std::sync::Arc;

use futures::stream::{FuturesUnordered, StreamExt};
use keyspace::{Key, Span, Timestamp, TxnId};
use rpc::range::{LockedKey, Mutation, PrewriteRequest, RangeBody, RangeReply, RecordOp, TxnState};
use rpc::{KvError, KvResult};

use super::{Commit, REQUEST_BYTES_MAX, patience};
use crate::client::Client;
use crate::read::unexpected;
use crate::resolve;
use crate::route::{Patience, Route, Sent};
use crate::transaction::Core;
use crate::{TxnError, TxnResult};

/// Prewrites that one commit has under way at once.
const PARALLEL_MAX: usize = 16;

/// What may lie about when a commit ends badly.
#[derive(Clone, Debug)]
pub(super) struct Doubt {
    anchor: Key,
    /// All keys written lie in these, in key order.
    written: Vec<Span>,
}

/// One request's share of the writes.
#[derive(Clone, Default)]
struct Share {
    mutations: Vec<Mutation>,
    locked: Vec<LockedKey>,
}

/// How the prewrites of one number ended.
enum Round {
    Done,
    Committed(Timestamp),
    /// A range refused the number for good.
    Refused(KvError),
    Failed(KvError),
}

impl Commit<'_> {
    pub(super) async fn over_several_ranges(&mut self) -> TxnResult<Timestamp> {
        let anchor = self.mutations()[0].key.clone();
        if self.core.client.age(self.core.began) > self.core.client.env.knobs().txn_expiry / 2 {
            self.show_life(&anchor).await?;
        }
        loop {
            self.attempt += 1;
            let (mutations, locked) = (self.mutations(), self.locked());
            self.doubt = Some(Doubt { anchor: anchor.clone(), written: resolve::hulls(&mutations) });
            self.core.client.metrics.commit_rounds.inc();
            let failure = match self.prewrite(&anchor, mutations, locked).await {
                Round::Committed(at) => return Ok(self.is_committed(at)),
                Round::Done => {
                    self.core.client.metrics.commit_rounds.inc();
                    return self.decide(&anchor).await;
                }
                Round::Refused(refused) => match self.move_on(Some(refused)).await {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Round::Failed(KvError::TxnAborted) => {
                    self.is_aborted();
                    return Err(KvError::TxnAborted.into());
                }
                Round::Failed(error) => error.into(),
            };
            return self.kill(&anchor, failure).await;
        }
    }

    /// A record from the start, for a transaction so old that it might be taken for dead.
    async fn show_life(&mut self, anchor: &Key) -> TxnResult<()> {
        match record(&self.core.client, self.core.id, anchor, RecordOp::Heartbeat, &mut patience()).await? {
            TxnState::Aborted => Err(KvError::TxnAborted.into()),
            _ => Ok(()),
        }
    }

    // ---- the first round ----

    async fn prewrite(&self, anchor: &Key, mutations: Vec<Mutation>, locked: Vec<LockedKey>) -> Round {
        let mut to_do = vec![(Share { mutations, locked }, patience())];
        let mut waiting: Vec<(Arc<Route>, Share, Patience)> = Vec::new();
        let mut open = FuturesUnordered::new();
        let mut signs_of_life = SignsOfLife::new(self.core, anchor);
        let mut refused = None;
        loop {
            while let Some((share, mut patience)) = to_do.pop() {
                match self.divide(share, &mut patience).await {
                    Ok(shares) => waiting.extend(shares.into_iter().map(|(route, share)| (route, share, patience.clone()))),
                    Err(error) => return Round::Failed(error),
                }
            }
            while open.len() < PARALLEL_MAX {
                let Some((route, share, patience)) = waiting.pop() else { break };
                open.push(self.prewrite_share(anchor, route, share, patience));
            }
            if open.is_empty() {
                return refused.map_or(Round::Done, Round::Refused);
            }
            let answer = tokio::select! {
                biased;
                answer = open.next() => answer.expect("prewrites are open"),
                alive = signs_of_life.next() => match alive {
                    Ok(()) => continue,
                    Err(error) => return Round::Failed(error),
                },
            };
            match answer {
                (_, _, Ok(Sent::Answer(RangeReply::Prewritten))) => {}
                (_, _, Ok(Sent::Answer(RangeReply::Committed { at }))) => return Round::Committed(at),
                (_, _, Ok(Sent::Answer(other))) => {
                    return Round::Failed(KvError::Corrupt { what: unexpected(&other).to_string() });
                }
                (share, patience, Ok(Sent::Rerouted)) => to_do.push((share, patience)),
                (_, _, Err(KvError::TxnCommitted { at })) => return Round::Committed(at),
                (_, _, Err(error @ (KvError::Pushed { .. } | KvError::WriteTooOld { .. }))) => {
                    refused = Some(worse(refused, error));
                }
                (_, _, Err(error)) => return Round::Failed(error),
            }
        }
    }

    async fn prewrite_share(
        &self,
        anchor: &Key,
        route: Arc<Route>,
        share: Share,
        mut patience: Patience,
    ) -> (Share, Patience, KvResult<Sent>) {
        let request = || {
            let writes = self.writes(share.mutations.clone(), share.locked.clone());
            RangeBody::Prewrite(PrewriteRequest { writes, anchor: anchor.clone(), stage: None })
        };
        let sent = self.core.client.router.send(&route, &mut patience, request).await;
        (share, patience, sent)
    }

    /// Cuts at range boundaries and at the size of a request.
    async fn divide(&self, share: Share, patience: &mut Patience) -> KvResult<Vec<(Arc<Route>, Share)>> {
        let router = &self.core.client.router;
        let mut shares: Vec<(Arc<Route>, Share)> = Vec::new();
        for (route, mutations) in router.divide(share.mutations, patience).await.map_err(|(_, error)| error)? {
            let mut bytes = 0;
            let mut piece = Share::default();
            for mutation in mutations {
                let size = mutation.key.len() + mutation.value.as_ref().map_or(0, |value| value.len()) + 32;
                if bytes + size > REQUEST_BYTES_MAX && !piece.mutations.is_empty() {
                    shares.push((route.clone(), std::mem::take(&mut piece)));
                    bytes = 0;
                }
                bytes += size;
                piece.mutations.push(mutation);
            }
            shares.push((route, piece));
        }
        for (route, locked) in router.divide(share.locked, patience).await.map_err(|(_, error)| error)? {
            match shares.iter_mut().find(|(other, _)| other.descriptor.id == route.descriptor.id) {
                Some((_, share)) => share.locked.extend(locked),
                None => shares.push((route, Share { mutations: Vec::new(), locked })),
            }
        }
        Ok(shares)
    }

    // ---- the decision ----

    async fn decide(&mut self, anchor: &Key) -> TxnResult<Timestamp> {
        let op = RecordOp::Commit { at: self.stamp.at, attempt: self.attempt };
        match record(&self.core.client, self.core.id, anchor, op, &mut patience()).await {
            Ok(TxnState::Committed { at }) => {
                self.core.client.metrics.commits_two_rounds.inc();
                Ok(self.is_committed(at))
            }
            Ok(TxnState::Aborted) | Err(KvError::TxnAborted) => {
                self.is_aborted();
                Err(KvError::TxnAborted.into())
            }
            Ok(other) => {
                let what = format!("the record of {} is {other:?} after its commit", self.core.id);
                self.kill(anchor, TxnError::Corrupt { what }).await
            }
            Err(error) => Err(self.is_unknown(error)),
        }
    }

    /// Makes sure that the transaction will never commit, then tells why; unless it is committed.
    async fn kill(&mut self, anchor: &Key, failure: TxnError) -> TxnResult<Timestamp> {
        match record(&self.core.client, self.core.id, anchor, RecordOp::Abort, &mut patience()).await {
            Ok(TxnState::Committed { at }) | Err(KvError::TxnCommitted { at }) => Ok(self.is_committed(at)),
            Ok(TxnState::Aborted) | Err(KvError::TxnAborted) => {
                self.is_aborted();
                Err(failure)
            }
            Ok(other) => {
                let what = format!("the record of {} is {other:?} after its abort", self.core.id);
                Err(self.is_unknown(KvError::Corrupt { what }))
            }
            Err(error) => Err(self.is_unknown(error)),
        }
    }

    fn is_committed(&mut self, at: Timestamp) -> Timestamp {
        if let Some(doubt) = self.doubt.take() {
            doubt.resolve_in_background(self.core, Some(at));
        }
        at
    }

    fn is_aborted(&mut self) {
        if let Some(doubt) = self.doubt.take() {
            doubt.resolve_in_background(self.core, None);
        }
    }

    fn is_unknown(&mut self, error: KvError) -> TxnError {
        if let Some(doubt) = self.doubt.take() {
            doubt.decide_in_background(self.core);
        }
        TxnError::OutcomeUnknown { why: error.to_string() }
    }
}

impl Doubt {
    /// Nobody waits for the outcome any more: abort unless it is committed.
    pub(super) fn decide_in_background(self, core: &Arc<Core>) {
        let (client, txn) = (core.client.clone(), core.id);
        core.client.env.spawn("decide a transaction", async move {
            let outcome = match record(&client, txn, &self.anchor, RecordOp::Abort, &mut patience()).await {
                Ok(TxnState::Committed { at }) | Err(KvError::TxnCommitted { at }) => Some(at),
                Ok(TxnState::Aborted) | Err(KvError::TxnAborted) => None,
                // Whoever meets the intents will ask again.
                Ok(_) | Err(_) => return,
            };
            resolve::finish(&client, txn, &self.anchor, self.written, outcome).await;
        });
    }

    fn resolve_in_background(self, core: &Arc<Core>, commit_at: Option<Timestamp>) {
        let (client, txn) = (core.client.clone(), core.id);
        core.client.env.spawn("resolve intents", async move {
            resolve::finish(&client, txn, &self.anchor, self.written, commit_at).await;
        });
    }
}

/// One operation on a transaction's record.
pub(crate) async fn record(
    client: &Client,
    txn: TxnId,
    anchor: &Key,
    op: RecordOp,
    patience: &mut Patience,
) -> KvResult<TxnState> {
    loop {
        let route = client.router.route(anchor, patience).await?;
        let request = || RangeBody::Record(rpc::range::RecordRequest { txn, anchor: anchor.clone(), op: op.clone() });
        match client.router.send(&route, patience, request).await? {
            Sent::Answer(RangeReply::Record(record)) => return Ok(record.state),
            Sent::Answer(RangeReply::Committed { at }) => return Ok(TxnState::Committed { at }),
            Sent::Answer(other) => return Err(KvError::Corrupt { what: unexpected(&other).to_string() }),
            Sent::Rerouted => {}
        }
    }
}

/// Heartbeats of the record while prewrites are under way.
struct SignsOfLife<'a> {
    core: &'a Core,
    anchor: &'a Key,
    /// A pause and a heartbeat, kept across polls.
    beat: Option<env::BoxFuture<'a, KvResult<TxnState>>>,
}

impl<'a> SignsOfLife<'a> {
    fn new(core: &'a Core, anchor: &'a Key) -> SignsOfLife<'a> {
        SignsOfLife { core, anchor, beat: None }
    }

    /// Dropping the future loses nothing: the next call goes on where this one was.
    async fn next(&mut self) -> KvResult<()> {
        let (client, txn, anchor) = (&self.core.client, self.core.id, self.anchor);
        let beat = self.beat.get_or_insert_with(|| {
            Box::pin(async move {
                client.env.sleep(client.env.knobs().txn_heartbeat).await;
                record(client, txn, anchor, RecordOp::Heartbeat, &mut patience()).await
            })
        });
        let state = beat.await;
        self.beat = None;
        match state? {
            TxnState::Aborted => Err(KvError::TxnAborted),
            _ => Ok(()),
        }
    }
}

/// Of two refusals the one that says more: a newer version may end the transaction, a read never does.
fn worse(a: Option<KvError>, b: KvError) -> KvError {
    match a {
        Some(a @ KvError::WriteTooOld { .. }) => a,
        _ => b,
    }
}
