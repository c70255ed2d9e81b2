//! Answering requests: one file per kind. What a request means is documented with it in [`rpc::range`];
//! the numbered rules are those of protocol.md.
//!
//! ```text
//!   admit ──► a ticket: this replica serves, under the epoch the sender knows
//!     │
//!   evaluate against memory (cache, announcements, intents, locks) and a snapshot of the engine
//!     │            └── something is in the way: wait for it, then from the start
//!   reads: confirm ──► the ticket still holds, and where others could lead a lease or a quorum says so
//!   writes: propose ─► through the log; the answer is what application said
//! ```

mod admin;
mod check_keys;
mod commit_one_range;
mod lock;
mod prewrite;
mod read;
mod record;
mod recovery;
mod refresh;
mod release;
mod resolve;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use env::{buggify, hesitate, moment, probe};
use keyspace::{Epoch, Key, NodeId, Span, TxnId};
use rpc::range::{
    CommitRequest, PrewriteRequest, RangeBody, RangeDescriptor, RangeReply, RangeRequest, RangeResponse, ReadOp,
};
use rpc::{KvError, KvResult};
use storage::Batch;
use tokio::sync::oneshot;

use crate::announcements::Waiting;
use crate::command::Body;
use crate::intents::IntentHead;
use crate::leadership::Ticket;
use crate::log_loop::Input;
use crate::proposal::{Completion, Held, Proposal};
use crate::replica::Replica;
use crate::store::{Shared, Store, stopping};

pub async fn handle(store: &Store, from: NodeId, request: RangeRequest) -> RangeResponse {
    let RangeRequest { range, epoch, body } = request;
    let Some(replica) = store.shared.replica(range) else { return Err(KvError::RangeNotFound { range }) };
    let request = Evaluation { shared: &store.shared, replica, from, epoch };
    // The point read that nothing is in the way of needs none of the machinery below, which lives on the heap.
    let body = match body {
        RangeBody::Read(read) => match read::at_once(&request, &read) {
            Some(answer) => return answer.map(RangeReply::Read),
            None => RangeBody::Read(read),
        },
        other => other,
    };
    note_load(&request, &body);
    Box::pin(request.answer(body)).await
}

/// What clients ask for; recovery and administration are not theirs.
fn note_load(request: &Evaluation<'_>, body: &RangeBody) {
    let (env, load) = (&request.shared.env, &request.replica.load);
    match body {
        RangeBody::Read(read) => {
            for op in &read.reads {
                match op {
                    ReadOp::Get { key, .. } => load.note_key(env, key),
                    ReadOp::Scan(scan) => load.note_span(env, &scan.span),
                }
            }
        }
        RangeBody::CommitOneRange(CommitRequest { writes }) | RangeBody::Prewrite(PrewriteRequest { writes, .. }) => {
            writes.mutations.iter().for_each(|mutation| load.note_key(env, &mutation.key));
        }
        _ => {}
    }
}

/// One request under way.
#[derive(Clone)]
pub struct Evaluation<'a> {
    pub shared: &'a Arc<Shared>,
    pub replica: Arc<Replica>,
    pub from: NodeId,
    /// Under which the sender addressed it.
    pub epoch: Epoch,
}

/// What stands in the way of a read.
pub enum Obstacle {
    /// A writer that may yet commit at or below the number.
    Announced(Waiting),
    /// Somebody else's intent; the asker is going to look at what lies below `until`.
    Intent { key: Key, intent: IntentHead, until: Key },
}

/// How a transaction may wait for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// As long as it takes; deadlocks are found.
    Wait,
    /// In the commit phase: only for younger ones (rule 10).
    WaitDie,
    /// Not at all (NOWAIT, SKIP LOCKED).
    None,
}

/// How long a request waits for a new leader on this node to be ready.
const READY_WAIT: Duration = Duration::from_secs(1);

impl Evaluation<'_> {
    async fn answer(self, body: RangeBody) -> RangeResponse {
        match body {
            RangeBody::Read(read) => read::read(&self, read).await.map(RangeReply::Read),
            RangeBody::Refresh(refresh) => refresh::refresh(&self, refresh).await.map(|()| RangeReply::Refreshed),
            RangeBody::ReleaseLocks(release) => release::release(&self, release).await.map(|()| RangeReply::Released),
            RangeBody::CommitOneRange(commit) => {
                commit_one_range::commit(&self, commit).await.map(|at| RangeReply::Committed { at })
            }
            RangeBody::Prewrite(prewrite) => prewrite::prewrite(&self, prewrite).await.map(|()| RangeReply::Prewritten),
            RangeBody::Record(record) => record::record(&self, record).await.map(RangeReply::Record),
            RangeBody::Resolve(resolve) => resolve::resolve(&self, resolve).await.map(|()| RangeReply::Resolved),
            RangeBody::CheckKeys(check) => check_keys::check_keys(&self, check).await.map(RangeReply::Checked),
            RangeBody::Admin(admin) => admin::admin(&self, admin).await.map(RangeReply::Admin),
        }
    }

    // ---- admission ----

    /// The right to evaluate, or why not. Waits a little for a leader that is not ready yet.
    pub async fn admit(&self) -> KvResult<Ticket> {
        if let Some(ticket) = self.replica.leadership.ticket() {
            return self.check_epoch(ticket);
        }
        if let Some(defect) = self.replica.defect() {
            // Others hold the range, too: they are to be asked.
            let is_alone = self.replica.descriptor().replicas.len() < 2;
            let unavailable = || KvError::Unavailable { range: self.replica.range, why: defect };
            return Err(if is_alone { unavailable() } else { self.replica.not_leader() });
        }
        probe!("waited_for_a_new_leader_to_be_ready");
        let mut view = self.replica.leadership.subscribe();
        let ready = async {
            while view.borrow_and_update().elected {
                if let Some(ticket) = self.replica.leadership.ticket() {
                    return Some(ticket);
                }
                if view.changed().await.is_err() {
                    return None;
                }
            }
            None
        };
        match self.shared.env.timeout(READY_WAIT, ready).await.flatten() {
            Some(ticket) => self.check_epoch(ticket),
            None => Err(self.replica.not_leader()),
        }
    }

    fn check_epoch(&self, ticket: Ticket) -> KvResult<Ticket> {
        if ticket.epoch == self.epoch {
            return Ok(ticket);
        }
        probe!("asked_under_an_old_epoch");
        Err(self.stale_epoch())
    }

    /// The descriptors that the sender should know: ours, and where the rest of its span may have gone.
    pub fn stale_epoch(&self) -> KvError {
        let ours = self.replica.descriptor();
        let after = Span::new(ours.span.end.clone(), ours.span.end.successor());
        let mut current: Vec<RangeDescriptor> = vec![(*ours).clone()];
        current.extend(self.shared.descriptors_in(&after));
        KvError::StaleEpoch { current }
    }

    /// Fails for keys that are not in the range: the sender believes in another descriptor.
    pub fn check_keys_inside<'k>(&self, keys: impl IntoIterator<Item = &'k Key>) -> KvResult<()> {
        let descriptor = self.replica.descriptor();
        if keys.into_iter().all(|key| descriptor.span.contains(key)) { Ok(()) } else { Err(self.stale_epoch()) }
    }

    /// After a read: has nothing changed since the ticket, and is it certain that nobody else led meanwhile? A lease says
    /// so, or a quorum, which is asked where there is none. `false` means from the start.
    pub async fn confirm(&self, ticket: &Ticket) -> bool {
        let leadership = &self.replica.leadership;
        if !ticket.sole_voter && !env::sabotage("read_without_quorum") {
            // A process may stand still between reading and looking at its lease.
            if buggify!(&self.shared.env, "hesitated_before_the_look_at_the_lease", 0.002) {
                moment!(&self.shared.env, "read_and_not_confirmed");
                self.shared.env.hesitate().await;
            }
            if !leadership.is_leased(|| self.shared.env.now()) && !self.ask_quorum(ticket.term).await {
                return false;
            }
        }
        leadership.holds(ticket)
    }

    async fn ask_quorum(&self, term: u64) -> bool {
        let (reply, confirmed) = oneshot::channel();
        let asked = self.shared.send(Input::Confirm { range: self.replica.range, term, reply });
        asked.is_ok() && confirmed.await.unwrap_or(false)
    }

    // ---- obstacles ----

    /// Announced writers and foreign intents in `span` at or below `at`. The cache was raised before.
    pub fn obstacle(&self, span: &Span, at: keyspace::Timestamp, reader: Option<TxnId>) -> Option<Obstacle> {
        let now = || self.shared.env.now();
        let announced = match span.as_point() {
            Some(key) => self.replica.announcements.below(key, at, reader, now),
            None => self.replica.announcements.below_in(span, at, reader, now),
        };
        if let Some(waiting) = announced {
            return Some(Obstacle::Announced(waiting));
        }
        if env::sabotage("read_past_intents") {
            return None;
        }
        self.replica.intents.foreign_in(span, at, reader).map(|(key, intent)| Obstacle::Intent {
            key,
            intent,
            until: span.end.clone(),
        })
    }

    pub async fn wait_out(&self, obstacle: Obstacle, waiter: Option<TxnId>) -> KvResult<()> {
        match obstacle {
            Obstacle::Announced(waiting) => {
                probe!("a_reader_waited_for_a_writer");
                self.await_writer(waiting).await;
                Ok(())
            }
            Obstacle::Intent { key, intent, until } => {
                probe!("a_reader_waited_for_an_intent");
                recovery::settle(self, &key, &until, intent, waiter, Patience::Wait).await
            }
        }
    }

    /// Until the writer withdrew, was refused, or a refused one's time is up.
    pub async fn await_writer(&self, waiting: Waiting) {
        let Waiting { until, changed, .. } = waiting;
        match until {
            None => {
                let _changed = changed.await;
            }
            Some(until) => {
                probe!("a_refused_writer_held_readers");
                let _changed = self.shared.env.timeout(until.since(self.shared.env.now()), changed).await;
            }
        }
    }

    // ---- proposals ----

    /// Sends a command through the log and waits until it is applied.
    pub async fn propose(&self, ticket: &Ticket, writes: Batch, held: Held) -> KvResult<()> {
        let mut held = held;
        if env::sabotage("withdraw_before_applied") {
            drop(held.announced.take());
        }
        hesitate!(&self.shared.env, "hesitated_before_proposing", 0.002);
        let encoded = Body::Writes(writes).encode(ticket.term, ticket.epoch);
        let bytes_max = self.shared.env.knobs().entry_bytes_max * LARGE_ENTRY;
        if encoded.len() > bytes_max {
            return Err(KvError::TooLarge { bytes: encoded.len() });
        }
        self.send_proposal(ticket, encoded, held, Input::Propose).await
    }

    pub async fn send_proposal(
        &self,
        ticket: &Ticket,
        encoded: Vec<u8>,
        held: Held,
        input: impl FnOnce(Proposal) -> Input,
    ) -> KvResult<()> {
        let (reply, applied) = oneshot::channel();
        let range = self.replica.range;
        let proposal =
            Proposal { range, term: ticket.term, epoch: ticket.epoch, encoded, completion: Completion { held, reply } };
        self.shared.send(input(proposal))?;
        match applied.await {
            Ok(Err(KvError::StaleEpoch { .. })) => Err(self.stale_epoch()),
            Ok(outcome) => outcome,
            // The loop ended with the proposal in its hands.
            Err(_) => Err(stopping()),
        }
    }
}

/// One value that is larger than an entry should be still goes through the log, up to this many times.
const LARGE_ENTRY: usize = 64;

/// What an engine's error means to a client.
pub fn engine_error(error: storage::Error) -> KvError {
    match error {
        storage::Error::Corrupt(what) => KvError::Corrupt { what },
        storage::Error::Disk(why) | storage::Error::DiskFull(why) | storage::Error::Unusable(why) => {
            KvError::Stopping { why }
        }
    }
}
