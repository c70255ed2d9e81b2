//! The log loop: one task drives all replicas of a node.
//!
//! ```text
//!   drain everything that has arrived: proposals, messages, ticks, finished syncs, confirmations
//!      │
//!      ▼ turn
//!   poll every replica that has something to do
//!      ├─ one write with the log entries of all of them, one sync ──► then: persisted, answers to peers
//!      ├─ messages that need no sync go out at once
//!      └─ one write with what a quorum has, then the answers to the proposers
//! ```
//!
//! * **Group commit is the shape of the loop.** While a sync is under way the loop goes on: it steps,
//!   appends and applies; all that was appended meanwhile shares the next sync.
//! * **A sole voter's commit** is one hop to this loop and one wake-up: with few entries the loop syncs by
//!   itself instead of handing the sync to another thread.
//! * **Missed ticks are dropped**, never delivered in a burst.
//! * The first error of the engine ends the loop and, through a callback, the node. Nothing is retried.
//! * The clock is read before what it is compared with: leases count from before their question left, silence from after
//!   the leader's message had arrived (`confirms.rs`, `consensus/refusal.rs`).
//! * A stalled disk: a leader among several voters whose sync takes longer than an election timeout steps
//!   down by itself.

mod apply;
mod confirms;
mod early;
mod lifecycle;
mod peer;
mod snapshot;
mod truncate;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use env::{BoxFuture, Mono, buggify, hesitate, moment, probe};
use keyspace::{NodeId, RangeId, ReplicaId};
use rpc::{KvResult, RaftEnvelope};
use storage::{Batch, Durability};
use tokio::sync::{mpsc, oneshot};

use crate::consensus::{
    Committed, Consensus, Defect, MemberStep, Output, RaftMessage, Role, Standing, vote_in, withhold_commit,
};
use crate::peer_message::PeerMessage;
use crate::proposal::Proposal;
use crate::state::{Applied, Identity, Installing};
use crate::store::Shared;
pub use lifecycle::waiting_identity;
use peer::{Halt, Peer};

/// Everything that can happen.
pub enum Input {
    Propose(Proposal),
    /// A split: the range answers nothing until it is applied.
    ProposeSplit(Proposal),
    ProposeMembers {
        proposal: Proposal,
        steps: Vec<MemberStep>,
    },
    /// Does this replica still lead in `term`?
    Confirm {
        range: RangeId,
        term: u64,
        reply: oneshot::Sender<bool>,
    },
    Messages(Vec<RaftEnvelope>),
    Transfer {
        range: RangeId,
        to: ReplicaId,
    },
    /// A new leader's low-water mark is fresh.
    LowWaterSet {
        range: RangeId,
        term: u64,
    },
    /// First ranges of a store, or a replica that waits for its first snapshot.
    Create {
        identity: Identity,
        applied: Applied,
        reply: oneshot::Sender<KvResult<()>>,
    },
    Flushed {
        applied: Vec<(RangeId, u64)>,
        outcome: storage::Result<()>,
    },
    Installed {
        range: RangeId,
        outcome: storage::Result<Box<Installing>>,
    },
    SnapshotSent {
        range: RangeId,
        to: ReplicaId,
        id: u64,
        arrived: bool,
    },
    /// Make all durable and end.
    Stop(oneshot::Sender<()>),
}

pub struct LogLoop {
    shared: Arc<Shared>,
    inbox: mpsc::UnboundedReceiver<Input>,
    peers: BTreeMap<RangeId, Peer>,
    /// Replicas with something to do.
    dirty: BTreeSet<RangeId>,
    outbox: BTreeMap<NodeId, Vec<RaftEnvelope>>,
    /// Written since the last sync began.
    unsynced: BTreeMap<RangeId, Unsynced>,
    unsynced_entries: usize,
    syncing: Option<Syncing>,
    bytes_since_flush: u64,
    flushing: bool,
    /// A flush has ended: logs can be cut.
    cut_logs: bool,
    transfers: snapshot::Transfers,
    early: early::Early,
    ticks: u64,
    stopping: Option<oneshot::Sender<()>>,
}

/// What waits for a sync, of one replica. A later replica of the same range has another number.
struct Unsynced {
    replica: ReplicaId,
    number: u64,
    after_sync: Vec<RaftMessage>,
    snapshot: Option<Box<Installing>>,
}

struct Syncing {
    since: Mono,
    covers: BTreeMap<RangeId, Unsynced>,
    done: BoxFuture<'static, storage::Result<()>>,
}

/// What woke the loop.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for one turn, on the stack; a box would be an allocation per input"
)]
enum Event {
    Tick,
    Synced(storage::Result<()>),
    Input(Option<Input>),
}

/// Inputs taken in one turn at most, so that ticks and syncs get their turn too.
const INPUTS_PER_TURN: usize = 1024;
/// Ticks between two rounds of housekeeping.
const HOUSEKEEPING_TICKS: u64 = 10;

impl LogLoop {
    pub fn new(shared: Arc<Shared>, inbox: mpsc::UnboundedReceiver<Input>) -> LogLoop {
        LogLoop {
            shared,
            inbox,
            peers: BTreeMap::new(),
            dirty: BTreeSet::new(),
            outbox: BTreeMap::new(),
            unsynced: BTreeMap::new(),
            unsynced_entries: 0,
            syncing: None,
            bytes_since_flush: 0,
            flushing: false,
            cut_logs: false,
            transfers: snapshot::Transfers::default(),
            early: early::Early::default(),
            ticks: 0,
            stopping: None,
        }
    }

    /// Runs until the node stops or its disk fails.
    pub async fn run(mut self) {
        let _stop_the_node = StopOnPanic(self.shared.clone());
        let outcome = self.drive().await;
        let stopping = self.stopping.take();
        self.abandon();
        if let Err(error) = outcome {
            tracing::error!(%error, "the log loop ends: the disk failed");
            (self.shared.on_fatal)(error);
        }
        if let Some(stopping) = stopping {
            let _nobody_waits = stopping.send(());
        }
    }

    async fn drive(&mut self) -> storage::Result<()> {
        let tick = self.shared.env.knobs().raft_tick;
        let mut next_tick = self.shared.env.sleep(tick);
        loop {
            if self.dirty.is_empty() {
                let event = self.next_event(&mut next_tick).await;
                if matches!(event, Event::Tick) {
                    next_tick = self.shared.env.sleep(tick);
                }
                self.take_event(event)?;
            } else if let Some(event) = self.ready_event(&mut next_tick).await {
                if matches!(event, Event::Tick) {
                    next_tick = self.shared.env.sleep(tick);
                }
                self.take_event(event)?;
            }
            self.drain();
            self.turn()?;
            if self.stopping.is_some() && self.dirty.is_empty() && self.syncing.is_none() {
                return self.shared.engine.flush();
            }
        }
    }

    async fn next_event(&mut self, next_tick: &mut BoxFuture<'static, ()>) -> Event {
        let Self { syncing, inbox, .. } = self;
        tokio::select! {
            biased;
            () = next_tick => Event::Tick,
            outcome = sync_done(syncing) => Event::Synced(outcome),
            input = inbox.recv() => Event::Input(input),
        }
    }

    /// An event that need not be waited for.
    async fn ready_event(&mut self, next_tick: &mut BoxFuture<'static, ()>) -> Option<Event> {
        let Self { syncing, .. } = self;
        tokio::select! {
            biased;
            () = next_tick => Some(Event::Tick),
            outcome = sync_done(syncing) => Some(Event::Synced(outcome)),
            () = std::future::ready(()) => None,
        }
    }

    fn take_event(&mut self, event: Event) -> storage::Result<()> {
        match event {
            Event::Tick => {
                // A failure that a reader or a flush met need not come back from anything the loop does: replicas
                // that could not read their log are out of use and write nothing.
                self.shared.engine.health()?;
                self.tick();
            }
            Event::Synced(outcome) => {
                outcome?;
                let syncing = self.syncing.take().expect("a sync that ended was under way");
                self.shared.metrics.note_sync(self.shared.env.now().since(syncing.since));
                self.synced(syncing.covers);
            }
            Event::Input(Some(input)) => self.take(input),
            // Nobody is left who could ask for anything.
            Event::Input(None) => self.stopping = self.stopping.take().or_else(|| Some(oneshot::channel().0)),
        }
        Ok(())
    }

    fn drain(&mut self) {
        for _ in 0..INPUTS_PER_TURN {
            match self.inbox.try_recv() {
                Ok(input) => self.take(input),
                Err(_) => return,
            }
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Propose(proposal) => self.propose(proposal, Peer::propose),
            Input::ProposeSplit(proposal) => self.propose(proposal, Peer::propose_and_pause),
            Input::ProposeMembers { proposal, steps } => {
                self.propose(proposal, |peer, proposal| peer.propose_members(proposal, &steps))
            }
            Input::Confirm { range, term, reply } => {
                if let Some(peer) = self.touch(range) {
                    peer.confirm(term, reply);
                }
            }
            Input::Messages(envelopes) => {
                self.shared.messages_waiting.fetch_sub(envelopes.len(), Ordering::Relaxed);
                let now = self.shared.env.now();
                for envelope in envelopes {
                    self.receive(envelope, now);
                }
            }
            Input::Transfer { range, to } => {
                if let Some(peer) = self.touch(range) {
                    peer.consensus.transfer_leader(to);
                }
            }
            Input::LowWaterSet { range, term } => {
                if let Some(peer) = self.touch(range)
                    && peer.consensus.is_leader()
                    && peer.consensus.term() == term
                {
                    peer.may_serve = Some(term);
                    peer.serve_if_possible();
                }
            }
            Input::Create { identity, applied, reply } => {
                let _nobody_waits = reply.send(self.create(identity, applied));
            }
            Input::Flushed { applied, outcome } => self.flushed(applied, outcome),
            Input::Installed { range, outcome } => self.installed(range, outcome),
            Input::SnapshotSent { range, to, id, arrived } => self.snapshot_sent(range, to, id, arrived),
            Input::Stop(reply) => self.stopping = Some(reply),
        }
    }

    fn propose(&mut self, proposal: Proposal, how: impl FnOnce(&mut Peer, Proposal)) {
        let range = proposal.range;
        match self.touch(range) {
            Some(peer) => how(peer, proposal),
            None => proposal.completion.failed(rpc::KvError::RangeNotFound { range }),
        }
    }

    /// A replica that will have something to do.
    fn touch(&mut self, range: RangeId) -> Option<&mut Peer> {
        let peer = self.peers.get_mut(&range)?;
        self.dirty.insert(range);
        Some(peer)
    }

    fn mark_dirty(&mut self, range: RangeId) {
        self.dirty.insert(range);
    }

    // ---- a turn ----

    fn turn(&mut self) -> storage::Result<()> {
        let mut log = Batch::new();
        let mut committed = Vec::new();
        // Before any message of this turn leaves: leases count from here.
        let now = self.shared.env.now();
        for range in std::mem::take(&mut self.dirty) {
            self.poll(range, now, &mut log, &mut committed);
        }
        self.truncate_logs(&mut log)?;
        if !log.is_empty() {
            self.shared.engine.write(&log, Durability::Logged)?;
            moment!(&self.shared.env, "proposed");
        }
        self.send();
        self.begin_sync()?;
        self.apply(committed)?;
        self.flush_if_due();
        Ok(())
    }

    fn poll(&mut self, range: RangeId, now: Mono, log: &mut Batch, committed: &mut Vec<(RangeId, Vec<Committed>)>) {
        let Some(peer) = self.peers.get_mut(&range) else { return };
        peer.propose_queued();
        if peer.halted.is_some() {
            return;
        }
        peer.ask_for_confirmation(now);
        match peer.consensus.poll(log) {
            Ok(None) => {}
            Ok(Some(output)) => {
                // There may be more: it is looked for in the next turn, after what has arrived meanwhile.
                self.dirty.insert(range);
                self.take_output(range, now, output, log, committed);
            }
            Err(defect) => self.quarantine(range, &defect),
        }
    }

    fn take_output(
        &mut self,
        range: RangeId,
        now: Mono,
        output: Output,
        log: &mut Batch,
        committed: &mut Vec<(RangeId, Vec<Committed>)>,
    ) {
        let Output {
            number,
            must_sync,
            standing,
            messages,
            after_sync,
            committed: entries,
            reads,
            snapshot,
            outgoing,
            entries_to_sync,
            hands_over,
        } = output;
        if let Some(standing) = standing {
            self.new_standing(range, standing);
        }
        if let (Some(term), Some(peer)) = (hands_over, self.peers.get_mut(&range)) {
            peer.forfeit_lease(term);
        }
        self.enqueue_raft(range, messages, outgoing);
        let Some(peer) = self.peers.get_mut(&range) else { return };
        let replica = peer.replica.id;
        for context in reads {
            peer.confirmed(context, now);
        }
        if !entries.is_empty() {
            committed.push((range, entries));
        }
        let installing = snapshot.map(|at| self.accept_snapshot(range, at, log));
        let waits = must_sync || self.unsynced.contains_key(&range) || self.is_syncing(range);
        if !waits {
            // Nothing of this needs a sync, and nothing before it waits for one.
            self.persisted(range, replica, number);
            return self.enqueue_raft(range, after_sync, Vec::new());
        }
        let fresh = || Unsynced { replica, number, after_sync: Vec::new(), snapshot: None };
        let unsynced = self.unsynced.entry(range).or_insert_with(fresh);
        unsynced.number = number;
        unsynced.after_sync.extend(after_sync);
        unsynced.snapshot = unsynced.snapshot.take().or(installing.flatten());
        self.unsynced_entries += entries_to_sync;
    }

    fn is_syncing(&self, range: RangeId) -> bool {
        self.syncing.as_ref().is_some_and(|syncing| syncing.covers.contains_key(&range))
    }

    /// Starts the sync of all that was written since the last one began, unless one is under way.
    fn begin_sync(&mut self) -> storage::Result<()> {
        if self.syncing.is_some() || self.unsynced.is_empty() {
            return Ok(());
        }
        let few = self.unsynced_entries <= self.shared.env.knobs().inline_sync_entries;
        let alone = |range: &RangeId| self.peers.get(range).is_none_or(|peer| peer.consensus.is_sole_voter());
        let inline = few && self.unsynced.keys().all(alone);
        let covers = std::mem::take(&mut self.unsynced);
        self.shared.metrics.entries_synced.inc_by(std::mem::take(&mut self.unsynced_entries) as u64);
        if env::sabotage("skip_sync") {
            self.synced(covers);
        } else if inline {
            let since = self.shared.env.now();
            self.shared.engine.sync()?;
            self.shared.metrics.note_sync(self.shared.env.now().since(since));
            self.synced(covers);
        } else {
            let (engine, env) = (self.shared.engine.clone(), self.shared.env.clone());
            let since = env.now();
            let done = Box::pin(async move { env.blocking(move || engine.sync()).await });
            self.syncing = Some(Syncing { since, covers, done });
        }
        Ok(())
    }

    fn synced(&mut self, covers: BTreeMap<RangeId, Unsynced>) {
        moment!(&self.shared.env, "synced");
        let is_vote = |message: &RaftMessage| vote_in(message).is_some_and(|vote| vote.voter != vote.candidate);
        let voted = covers.values().flat_map(|unsynced| &unsynced.after_sync).any(is_vote);
        for (range, Unsynced { replica, number, after_sync, snapshot }) in covers {
            self.persisted(range, replica, number);
            self.enqueue_raft(range, after_sync, Vec::new());
            if let Some(installing) = snapshot {
                self.install(range, installing);
            }
        }
        self.send();
        if voted {
            moment!(&self.shared.env, "voted");
        }
    }

    fn persisted(&mut self, range: RangeId, replica: ReplicaId, number: u64) {
        let Some(peer) = self.touch(range).filter(|peer| peer.replica.id == replica) else { return };
        if let Err(defect) = peer.consensus.persisted(number) {
            self.quarantine(range, &defect);
        }
    }

    // ---- time ----

    fn tick(&mut self) {
        self.ticks += 1;
        let now = self.shared.env.now();
        let stalled = self.is_stalled(now);
        if stalled {
            probe!("stepped_down_on_a_stalled_disk");
            tracing::warn!("a sync takes longer than an election: stepping down where others can lead");
        }
        self.early.forget_before(self.ticks.saturating_sub(self.shared.env.knobs().election_ticks));
        let housekeeping = self.ticks.is_multiple_of(HOUSEKEEPING_TICKS);
        if housekeeping {
            self.shared.engine.let_go();
        }
        let ranges: Vec<RangeId> = self.peers.keys().copied().collect();
        for range in ranges {
            self.tick_peer(range, now, stalled, housekeeping);
        }
        self.send();
    }

    fn is_stalled(&self, now: Mono) -> bool {
        let limit = self.shared.env.knobs().election_timeout();
        self.syncing.as_ref().is_some_and(|syncing| now.since(syncing.since) > limit)
    }

    fn tick_peer(&mut self, range: RangeId, now: Mono, stalled: bool, housekeeping: bool) {
        let env = self.shared.env.clone();
        let Some(peer) = self.peers.get_mut(&range) else { return };
        if peer.halted.is_some() {
            return;
        }
        peer.replica.announcements.expire(now);
        let idle = peer.consensus.is_leader() && peer.consensus.is_sole_voter() && peer.consensus.peers().is_empty();
        if !idle {
            let mut outcome = peer.tick(now, &mut |bound| env.random_below(bound));
            peer.renew_lease_if_used(env.knobs().heartbeat_ticks);
            if peer.consensus.misses_a_leader() && outcome.is_ok() && buggify!(&env, "campaigns_early", 0.1) {
                outcome = peer.consensus.campaign(now);
            }
            if let Err(defect) = outcome {
                return self.quarantine(range, &defect);
            }
            self.dirty.insert(range);
        }
        let Some(peer) = self.peers.get_mut(&range) else { return };
        if stalled && !peer.consensus.is_sole_voter() {
            peer.void_lease();
            peer.consensus.step_down();
        }
        if housekeeping {
            let silence = env.knobs().election_ticks;
            peer.note_caught_up(silence);
            peer.replica.records.forget_older_than(RECORD_SIGNS_KEPT, now);
            for (replica, message) in peer.introductions(silence) {
                self.enqueue(range, replica, &message);
            }
        }
    }

    // ---- messages ----

    /// Must have been read from the network: nothing in it is believed before it was checked.
    fn receive(&mut self, envelope: RaftEnvelope, now: Mono) {
        let RaftEnvelope { range, from, to, message } = envelope;
        if to.0 != self.shared.node {
            return;
        }
        let message = match PeerMessage::decode(message) {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!(%range, from = %from.0, %error, "dropped a message");
                return;
            }
        };
        if let PeerMessage::Introduce(descriptor) = &message {
            self.introduced(descriptor, to.1);
        }
        let Some(peer) = self.peers.get_mut(&range) else {
            if let PeerMessage::Raft(message) = message
                && message.snapshot.is_none()
            {
                self.early.hold(self.ticks, range, from.1, message);
            }
            return;
        };
        // Replica numbers are never reused: a message of or for an earlier life is told by them.
        if peer.replica.id != to.1 || matches!(peer.halted, Some(Halt::Defect)) {
            return;
        }
        peer.heard_of(from.1, from.0);
        match message {
            // A snapshot comes with its state or not at all.
            PeerMessage::Raft(message) if message.snapshot.is_some() => {}
            PeerMessage::Raft(message) => self.step(range, from.1, message, now),
            PeerMessage::Introduce(_) => {}
            PeerMessage::Retire(descriptor) => self.retire(range, &descriptor),
            PeerMessage::Chunk { id, number, data } => self.chunk(range, from.1, id, number, data),
            PeerMessage::Finish { id, chunks, head, accept } => {
                self.finish(range, from.1, id, chunks, head, accept, now)
            }
            PeerMessage::Received { id, next } => self.transfers.acknowledge(id, Some(next)),
            PeerMessage::Declined { id } => self.transfers.acknowledge(id, None),
        }
    }

    fn step(&mut self, range: RangeId, from: ReplicaId, message: RaftMessage, now: Mono) {
        let Some(peer) = self.peers.get_mut(&range) else { return };
        if peer.halted.is_some() || message.from != from.0 || message.to != peer.replica.id.0 {
            return;
        }
        let is_stranger = peer.is_initialized()
            && !peer.consensus.is_member(from)
            && !peer.descriptor().replicas.iter().any(|known| known.replica == from);
        if is_stranger {
            // It left, or it has just come and we do not know yet: its own descriptor tells it which.
            let descriptor = peer.descriptor().clone();
            self.enqueue(range, from, &PeerMessage::Retire(descriptor));
        }
        let Some(peer) = self.touch(range) else { return };
        if let Err(defect) = peer.consensus.step(message, now) {
            self.quarantine(range, &defect);
        }
    }

    fn enqueue_raft(&mut self, range: RangeId, messages: Vec<RaftMessage>, outgoing: Vec<crate::consensus::Outgoing>) {
        let mut outgoing = outgoing;
        for mut message in messages {
            let to = ReplicaId(message.to);
            if buggify!(&self.shared.env, "the_commit_is_told_late", 0.7) {
                withhold_commit(&mut message);
            }
            if message.snapshot.is_some() {
                let place = outgoing.iter().position(|state| state.to == message.to);
                self.send_snapshot(range, to, message, place.map(|place| outgoing.swap_remove(place)));
            } else {
                self.enqueue(range, to, &PeerMessage::Raft(message));
            }
        }
    }

    fn enqueue(&mut self, range: RangeId, to: ReplicaId, message: &PeerMessage) {
        let Some(peer) = self.peers.get(&range) else { return };
        let Some(node) = peer.node_of(to) else { return };
        let from = (self.shared.node, peer.replica.id);
        self.outbox.entry(node).or_default().push(RaftEnvelope {
            range,
            from,
            to: (node, to),
            message: message.encode(),
        });
    }

    fn send(&mut self) {
        if !self.outbox.is_empty() && buggify!(&self.shared.env, "messages_leave_with_the_next_turn", 0.02) {
            return;
        }
        for (node, envelopes) in std::mem::take(&mut self.outbox) {
            self.shared.network.send_raft(node, envelopes);
        }
    }

    fn quarantine(&mut self, range: RangeId, defect: &Defect) {
        if let Some(peer) = self.peers.get_mut(&range) {
            peer.quarantine(defect);
        }
    }

    // ---- standing ----

    fn new_standing(&mut self, range: RangeId, standing: Standing) {
        let Some(peer) = self.peers.get_mut(&range) else { return };
        let leads = standing.role == Role::Leader;
        let was_elected = peer.replica.leadership.view();
        if was_elected.elected && !(leads && was_elected.term == standing.term) {
            peer.lose_leadership();
        }
        if leads && !(was_elected.elected && was_elected.term == standing.term) {
            peer.win_leadership();
            probe!("elected");
            moment!(&self.shared.env, "elected");
            tracing::debug!(%range, term = standing.term, "elected");
        }
        let leader =
            if leads { Some(self.shared.node) } else { standing.leader.and_then(|leader| peer.node_of(leader)) };
        peer.replica.leadership.change_view(|view| {
            let same = view.term == standing.term && view.elected && leads;
            view.leads = view.leads && same;
            view.term = standing.term;
            view.elected = leads;
            view.leader = leader;
        });
        if leads && env::sabotage("lead_before_applied") {
            self.own_entry_applied(range, standing.term);
        }
    }

    /// An entry of this leader's own term is applied: it knows everything committed before. It may serve once
    /// nothing can be written below what earlier leaders let be read (rule 15).
    fn own_entry_applied(&mut self, range: RangeId, term: u64) {
        let Some(peer) = self.peers.get_mut(&range) else { return };
        peer.replica.leadership.change_view(|view| view.leads = true);
        let (shared, replica) = (self.shared.clone(), peer.replica.clone());
        self.shared.env.spawn("low-water mark", async move {
            hesitate!(&shared.env, "hesitated_before_the_low_water_mark", 0.05);
            loop {
                let view = replica.leadership.view();
                if view.term != term || !view.leads {
                    return;
                }
                if let Some(outside) = shared.outside.get()
                    && let Ok(fresh) = outside.fresh_timestamp().await
                {
                    if !env::sabotage("forget_reads_of_earlier_leaders") {
                        replica.cache.raise_low_water(fresh);
                    }
                    let _stopped = shared.inbox.send(Input::LowWaterSet { range, term });
                    return;
                }
                shared.env.sleep(FRESH_RETRY).await;
            }
        });
    }

    /// The loop ends: whoever waits for something learns that it will not come from here.
    fn abandon(&mut self) {
        for peer in self.peers.values_mut() {
            peer.lose_leadership();
            peer.replica.leadership.change_view(|view| *view = Default::default());
        }
    }

    /// A replica whose log and state are on disk, or are being put there.
    fn add_peer(&mut self, identity: Identity, applied: Applied, log: storage::RaftLog) -> Result<(), Defect> {
        let env = self.shared.env.clone();
        let replica = self.shared.add_replica(&identity);
        let timing = self.shared.timing();
        let members = identity.members.clone();
        let opened = Consensus::open(
            identity.replica,
            self.shared.engine.clone(),
            log,
            members,
            applied.index,
            timing,
            env.now(),
            &mut |bound| env.random_below(bound),
        );
        match opened {
            Ok(consensus) => {
                let peer = Peer::new(replica, identity, applied, consensus, self.shared.lease());
                self.peers.insert(peer.replica.range, peer);
                Ok(())
            }
            Err(defect) => {
                tracing::error!(range = %replica.range, %defect, "a replica is out of use");
                replica.set_defect(defect.to_string());
                Err(defect)
            }
        }
    }
}

/// An impossible state in the loop is the end of the node: without it nothing is acknowledged any more.
struct StopOnPanic(Arc<Shared>);

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0.on_fatal)(storage::Error::Unusable("the log loop met an impossible state".to_owned()));
        }
    }
}

/// Time between two tries to get a fresh number for a new leader.
const FRESH_RETRY: Duration = Duration::from_millis(20);
/// How long signs of life of transactions are remembered.
const RECORD_SIGNS_KEPT: Duration = Duration::from_secs(600);

async fn sync_done(syncing: &mut Option<Syncing>) -> storage::Result<()> {
    match syncing {
        Some(syncing) => (&mut syncing.done).await,
        None => std::future::pending().await,
    }
}
