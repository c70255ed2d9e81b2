//! # Commit over several ranges, or of very much
//!
//! **Two rounds.** All ranges lay down intents in parallel ("prewrite"), then the record at the anchor, the first key that is
//! written, becomes Committed. That instant decides; the client is told, and the intents become versions in the
//! background, request by request, and then the record may go.
//!
//! **One round** (parallel commit), for few keys and nothing to validate but at the anchor: the anchor's prewrite also
//! writes the record, `Staging { at, keys }`. The transaction is committed as soon as the record and every listed intent
//! are there at that number; nobody has to write that down first. The client is told, then the record becomes Committed,
//! and only then are intents resolved (rule 2). Whoever finds the record Staging and the coordinator silent looks for the
//! listed intents, forbids those that are absent, and decides.
//!
//! Between the first prewrite and the decision the transaction shows signs of life at its record. Whoever meets an intent
//! and finds that they have stopped aborts the transaction at its record first, or recovers it; a later attempt to
//! commit it finds that.

use std::sync::Arc;

use env::{buggify, hesitate, moment, probe};
use futures::stream::{FuturesUnordered, StreamExt};
use keyspace::{Key, Span, Timestamp, TxnId};
use rpc::range::{
    LockedKey, Mutation, PrewriteRequest, RangeBody, RangeReply, RecordOp, RecordRequest, StageRecord, TxnState,
};
use rpc::{KvError, KvResult};

use super::Commit;
use crate::client::Client;
use crate::read::unexpected;
use crate::resolve;
use crate::route::{Patience, Route, Sent};
use crate::transaction::Core;
use crate::{Conflict, TxnError, TxnResult};

/// Prewrites that one commit has under way at once: with [`super::REQUEST_BYTES_MAX`] this bounds its memory.
const PARALLEL_MAX: usize = 16;

/// Keys that a Staging record lists at most.
const STAGED_KEYS_MAX: usize = 128;

/// What lies about, or may, while a commit is not decided.
#[derive(Clone, Debug)]
pub(super) struct Doubt {
    anchor: Key,
    /// The keys of every batch that was sent or is about to be. Batches are the same in each attempt.
    written: Vec<Written>,
    /// Others may find the transaction committed, or did the coordinator ask for it?
    may_be_committed: bool,
}

/// Keys of one batch, in key order.
#[derive(Clone, Debug)]
pub(crate) enum Written {
    Keys(Vec<Key>),
    /// All that the transaction wrote in here.
    Within(Span),
}

/// Keys that are remembered one by one.
const LISTED_KEYS_MAX: usize = 1024;

const IN_DOUBT: &str = "a commit over several ranges is in doubt until it is decided";

/// One request's share of the writes.
#[derive(Default)]
struct Share {
    mutations: Vec<Mutation>,
    locked: Vec<LockedKey>,
    stage: Option<StageRecord>,
}

type Routed = (Arc<Route>, Share, Patience);

/// How the prewrites of one number ended.
enum Round {
    Done,
    Committed(Timestamp),
    /// A range refused the number for good.
    Refused(KvError),
    Failed(TxnError),
    Aborted,
}

impl Commit<'_> {
    pub(super) async fn over_several_ranges(&mut self, anchor: Key) -> TxnResult<Timestamp> {
        *self.doubt.get_mut() = Some(Doubt { anchor: anchor.clone(), written: Vec::new(), may_be_committed: false });
        // A record that was staged once is staged again, so that it never says less than what is true.
        let mut one_round = None;
        loop {
            self.attempt += 1;
            self.core.client.metrics.commit_rounds.inc();
            let failure = match self.round(&anchor, &mut one_round).await {
                Round::Committed(at) => return Ok(self.is_committed(at)),
                Round::Done if one_round == Some(true) => {
                    hesitate!(&self.core.client.env, "hesitated_before_telling", 0.005);
                    match self.refresh_late().await {
                        Ok(()) => return Ok(self.is_staged()),
                        Err(error) => error,
                    }
                }
                Round::Done => {
                    hesitate!(&self.core.client.env, "hesitated_before_the_decision", 0.005);
                    return self.decide().await;
                }
                // A range may have refused it for its session's sake, and its record not say so yet (rule 3).
                Round::Aborted => KvError::TxnAborted.into(),
                Round::Refused(refused) => match self.move_on(Some(refused)).await {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Round::Failed(error) => error,
            };
            return self.kill(failure).await;
        }
    }

    // ---- the first round ----

    /// Prewrites everything at the number as it is now.
    async fn round(&self, anchor: &Key, one_round: &mut Option<bool>) -> Round {
        let first = match self.first_shares(anchor, one_round).await {
            Ok(first) => first,
            Err(error) => return Round::Failed(error),
        };
        let (shares, mut rest) = first;
        let core = self.core;
        let mut signs_of_life = SignsOfLife::new(core, anchor);
        let mut waiting = shares;
        let mut open = FuturesUnordered::new();
        let mut refused = None;
        let mut batches = 1;
        loop {
            while refused.is_none() && waiting.is_empty() && open.len() < PARALLEL_MAX {
                let Some(from) = rest.take() else { break };
                match self.next_shares(&from, batches).await {
                    Ok((shares, next)) => (waiting, rest) = (shares, next),
                    Err(error) => return Round::Failed(error),
                }
                batches += 1;
            }
            while open.len() < PARALLEL_MAX {
                let Some(share) = waiting.pop() else { break };
                open.push(self.prewrite(anchor, share));
            }
            if open.is_empty() {
                return refused.map_or(Round::Done, Round::Refused);
            }
            let (share, answer) = tokio::select! {
                biased;
                answer = open.next() => answer.expect("prewrites are open"),
                alive = signs_of_life.next() => match alive {
                    Ok(()) => {
                        moment!(&core.client.env, "prewrites_take_long");
                        continue;
                    }
                    Err(KvError::TxnAborted) => return Round::Aborted,
                    Err(error) => return Round::Failed(error.into()),
                },
            };
            match answer {
                Ok(Sent::Answer(RangeReply::Prewritten)) => {
                    if !open.is_empty() {
                        moment!(&core.client.env, "some_prewrites_done");
                    }
                }
                Ok(Sent::Answer(RangeReply::Committed { at })) | Err(KvError::TxnCommitted { at }) => {
                    return Round::Committed(at);
                }
                Ok(Sent::Answer(other)) => return Round::Failed(unexpected(&other)),
                Ok(Sent::Rerouted) => match self.divide_again(anchor, share).await {
                    Ok(shares) => waiting.extend(shares),
                    Err(error) => return Round::Failed(error),
                },
                Err(KvError::TxnAborted) => return Round::Aborted,
                Err(error @ (KvError::Pushed { .. } | KvError::WriteTooOld { .. })) => {
                    refused = Some(worse(refused, error));
                    waiting.clear();
                }
                Err(error) => return Round::Failed(error.into()),
            }
        }
    }

    /// The first batch, all validations, and the record if one round will do.
    async fn first_shares(&self, anchor: &Key, one_round: &mut Option<bool>) -> TxnResult<(Vec<Routed>, Option<Key>)> {
        let (mutations, rest) = self.batch(&Key::MIN)?;
        let keys: Vec<Key> = mutations.iter().map(|mutation| mutation.key.clone()).collect();
        self.note_sent(0, Written::of(&mutations));
        let mut shares = self.divide(mutations, self.locked()?, Patience::new()).await?;
        let is_simple = rest.is_none()
            && keys.len() <= STAGED_KEYS_MAX
            && shares.iter().all(|(route, share, _)| share.locked.is_empty() || route.contains(anchor));
        match one_round {
            Some(true) if !is_simple => {
                return Err(TxnError::serialization(Conflict::Splits, Some(anchor.clone()), None));
            }
            Some(_) => {}
            None => *one_round = Some(is_simple),
        }
        if *one_round == Some(true) {
            self.doubt.lock().as_mut().expect(IN_DOUBT).may_be_committed = true;
            let at_anchor = shares.iter_mut().find(|(route, _, _)| route.contains(anchor));
            at_anchor.expect("the anchor is among the keys written").1.stage = Some(StageRecord { keys });
        }
        Ok((shares, rest))
    }

    async fn next_shares(&self, from: &Key, batch: usize) -> TxnResult<(Vec<Routed>, Option<Key>)> {
        let (mutations, rest) = self.batch(from)?;
        self.note_sent(batch, Written::of(&mutations));
        Ok((self.divide(mutations, Vec::new(), Patience::new()).await?, rest))
    }

    fn note_sent(&self, batch: usize, written: Written) {
        let mut doubt = self.doubt.lock();
        let noted = &mut doubt.as_mut().expect(IN_DOUBT).written;
        if noted.len() <= batch {
            noted.push(written);
        }
    }

    async fn prewrite(&self, anchor: &Key, share: Routed) -> (Routed, KvResult<Sent>) {
        let (route, share, mut patience) = share;
        self.core.client.metrics.intents.inc_by(share.mutations.len() as u64);
        let request = || {
            let writes = self.writes(share.mutations.clone(), share.locked.clone());
            RangeBody::Prewrite(PrewriteRequest { writes, anchor: anchor.clone(), stage: share.stage.clone() })
        };
        let sent = self.core.client.router.send(&route, &mut patience, request).await;
        ((route, share, patience), sent)
    }

    /// One share per range.
    async fn divide(
        &self,
        mutations: Vec<Mutation>,
        locked: Vec<LockedKey>,
        mut patience: Patience,
    ) -> TxnResult<Vec<Routed>> {
        let router = &self.core.client.router;
        let mut shares: Vec<(Arc<Route>, Share)> = Vec::new();
        for (route, mutations) in router.divide(mutations, &mut patience).await.map_err(|(_, error)| error)? {
            shares.push((route, Share { mutations, ..Share::default() }));
        }
        for (route, locked) in router.divide(locked, &mut patience).await.map_err(|(_, error)| error)? {
            match shares.iter_mut().find(|(other, _)| other.descriptor.id == route.descriptor.id) {
                Some((_, share)) => share.locked.extend(locked),
                None => shares.push((route, Share { locked, ..Share::default() })),
            }
        }
        Ok(shares.into_iter().map(|(route, share)| (route, share, patience.clone())).collect())
    }

    /// A share whose range is another one now. The record stays with its anchor.
    async fn divide_again(&self, anchor: &Key, share: Routed) -> TxnResult<Vec<Routed>> {
        probe!("a_share_was_divided_again");
        let (_, share, patience) = share;
        let stage = share.stage;
        let mut shares = self.divide(share.mutations, share.locked, patience).await?;
        if stage.is_some() {
            // What recovery cannot see has to be in the command that stages (rule 5).
            if shares.iter().any(|(route, share, _)| !share.locked.is_empty() && !route.contains(anchor)) {
                return Err(TxnError::serialization(Conflict::Splits, Some(anchor.clone()), None));
            }
            let at_anchor = shares.iter_mut().find(|(route, _, _)| route.contains(anchor));
            at_anchor.expect("the share that stages holds the anchor").1.stage = stage;
        }
        Ok(shares)
    }

    // ---- the decision ----

    /// Two rounds: asks the anchor to commit.
    async fn decide(&mut self) -> TxnResult<Timestamp> {
        let doubt = self.doubt.get_mut().as_mut().expect(IN_DOUBT);
        doubt.may_be_committed = true;
        let anchor = doubt.anchor.clone();
        let metrics = &self.core.client.metrics;
        metrics.commit_rounds.inc();
        let op = RecordOp::Commit { at: self.stamp.at, attempt: self.attempt };
        match record(&self.core.client, self.core.id, &anchor, op).await {
            Ok(TxnState::Committed { at }) => {
                metrics.commits_two_rounds.inc();
                Ok(self.is_committed(at))
            }
            Ok(TxnState::Aborted) | Err(KvError::TxnAborted) => Err(self.is_aborted(KvError::TxnAborted.into())),
            Ok(other) => {
                let what = format!("the record of {} is {other:?} after its commit", self.core.id);
                self.kill(TxnError::Corrupt { what }).await
            }
            Err(error) => Err(self.is_unknown(&error)),
        }
    }

    /// Makes sure that the transaction will never commit, then tells why; unless it is committed.
    async fn kill(&mut self, failure: TxnError) -> TxnResult<Timestamp> {
        if env::sabotage("tell_failure_at_once") {
            self.doubt.get_mut().take();
            return Err(failure);
        }
        let doubt = self.doubt.get_mut().as_ref().expect(IN_DOUBT);
        let (anchor, may_be_committed) = (doubt.anchor.clone(), doubt.may_be_committed);
        match record(&self.core.client, self.core.id, &anchor, RecordOp::Abort).await {
            Ok(TxnState::Committed { at }) | Err(KvError::TxnCommitted { at }) => {
                probe!("a_commit_was_told_by_its_record");
                Ok(self.is_committed(at))
            }
            Ok(TxnState::Aborted) | Err(KvError::TxnAborted) => {
                probe!("a_commit_was_killed");
                Err(self.is_aborted(failure))
            }
            // Nothing was sent that could make anybody commit it, and it is not sent any more.
            Ok(_) | Err(_) if !may_be_committed => {
                self.leave_to_background();
                Err(failure)
            }
            Ok(other) => {
                let what = format!("the record of {} is {other:?} after its abort", self.core.id);
                Err(self.is_unknown(&KvError::Corrupt { what }))
            }
            Err(error) => Err(self.is_unknown(&error)),
        }
    }

    /// What has to hold before the record is staged is looked at before, and not here (rule 5).
    async fn refresh_late(&self) -> TxnResult<()> {
        if env::sabotage("refresh_after_staging") { self.core.refresh(self.stamp.at).await } else { Ok(()) }
    }

    /// One round: everything that the record lists is there, so it is committed.
    fn is_staged(&mut self) -> Timestamp {
        moment!(&self.core.client.env, "staged");
        self.core.client.metrics.commits_one_round.inc();
        let (at, attempt) = (self.stamp.at, self.attempt);
        if let Some(doubt) = self.doubt.get_mut().take() {
            let (client, txn) = (self.core.client.clone(), self.core.id);
            self.core.client.env.spawn("commit a staged record", async move {
                if env::sabotage("resolve_before_committed") {
                    return resolve::finish(&client, txn, &doubt.anchor, doubt.written, Some(at)).await;
                }
                hesitate!(&client.env, "hesitated_before_the_record", 0.02);
                match record(&client, txn, &doubt.anchor, RecordOp::Commit { at, attempt }).await {
                    Ok(TxnState::Committed { at: written }) if written == at => {
                        moment!(&client.env, "record_committed");
                        resolve::finish(&client, txn, &doubt.anchor, doubt.written, Some(at)).await;
                    }
                    Ok(state) => panic!("{txn} was told committed at {at} and its record is {state:?}"),
                    Err(error) => tracing::info!(%txn, %error, "a staged transaction stays for others to finish"),
                }
            });
        }
        at
    }

    fn is_committed(&mut self, at: Timestamp) -> Timestamp {
        if let Some(doubt) = self.doubt.get_mut().take() {
            doubt.resolve_in_background(self.core, Some(at));
        }
        at
    }

    fn is_aborted(&mut self, why: TxnError) -> TxnError {
        if let Some(doubt) = self.doubt.get_mut().take() {
            doubt.resolve_in_background(self.core, None);
        }
        why
    }

    fn is_unknown(&mut self, error: &KvError) -> TxnError {
        self.leave_to_background();
        TxnError::OutcomeUnknown { why: error.to_string() }
    }

    fn leave_to_background(&mut self) {
        if let Some(doubt) = self.doubt.get_mut().take() {
            doubt.decide_in_background(self.core);
        }
    }
}

impl Written {
    fn of(mutations: &[Mutation]) -> Written {
        match mutations {
            [first, .., last] if mutations.len() > LISTED_KEYS_MAX => {
                Written::Within(Span::new(first.key.clone(), last.key.successor()))
            }
            _ => Written::Keys(mutations.iter().map(|mutation| mutation.key.clone()).collect()),
        }
    }
}

impl Doubt {
    /// Nobody waits for the outcome any more: abort unless it is committed.
    pub(super) fn decide_in_background(self, core: &Arc<Core>) {
        probe!("outcome_decided_in_the_background");
        let (client, txn) = (core.client.clone(), core.id);
        core.client.env.spawn("decide a transaction", async move {
            let outcome = match record(&client, txn, &self.anchor, RecordOp::Abort).await {
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
pub(crate) async fn record(client: &Client, txn: TxnId, anchor: &Key, op: RecordOp) -> KvResult<TxnState> {
    let mut patience = Patience::new();
    loop {
        let route = client.router.route(anchor, &mut patience).await?;
        let request = || RangeBody::Record(RecordRequest { txn, anchor: anchor.clone(), op: op.clone() });
        match client.router.send(&route, &mut patience, request).await? {
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
                if buggify!(&client.env, "no_sign_of_life", 0.8) {
                    std::future::pending::<()>().await;
                }
                record(client, txn, anchor, RecordOp::Heartbeat).await
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
