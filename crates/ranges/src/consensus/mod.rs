//! Consensus of one replica: a plain synchronous struct around raft-rs, events in, effects out.
//!
//! ```text
//!   step(message) tick() propose() change_members() read_index() transfer()      events
//!        └──────────────► poll(&mut batch) ──► Output                            effects
//!                              │  write the batch, sync
//!                         persisted(number)    then after_sync may be sent, entries commit
//!                         applied(index)       what was handed out in `committed` has been applied
//! ```
//!
//! * **Nothing is said before it is durable.** `Output::messages` may go at once; `Output::after_sync` only
//!   when the batch of this poll is synced (votes, acknowledgements of entries).
//! * **Polls overlap**: entries of a second poll may be written while the first is being synced.
//! * **Proposals never travel between nodes** (protocol.md, rule 6). raft 0.7 forwards them without a
//!   switch: those messages are dropped here, and only a leader proposes.
//! * **Election timeouts are drawn from the caller's randomness.** raft's own are switched off (its timeout
//!   is set out of reach) and we campaign when ours has passed; it is drawn again after every reset.
//! * Pre-vote and check-quorum are on. Votes are refused by our own clock besides (`refusal.rs`): leaders' leases rest on
//!   that.
//!
//! Only this module and its children name the `raft` crate.

mod log;
mod messages;
mod refusal;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::{Mono, probe};
use keyspace::ReplicaId;
use raft::prelude::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, EntryType, HardState, Message, MessageType,
};
use raft::{Config, RawNode, StateRole};
use storage::{Batch, Engine, RaftLog};
use thiserror::Error;

use crate::state::{INITIAL_INDEX, INITIAL_TERM, Members};
use log::{LogStorage, decode_hard_state, encode_hard_state, from_conf_state};
pub use log::{Outgoing, command_in};
pub use messages::{RaftMessage, Vote, decode_message, decode_vote, encode_message, vote_in, withhold_commit};
use refusal::Refusal;

/// Why a replica must not go on. It stays as it is for inspection and takes part in nothing.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Defect {
    /// The leader knows that this replica had acknowledged more than it has.
    #[error("log entries that this replica acknowledged are gone: it has {last}, the range committed {commit}")]
    LostEntries { last: u64, commit: u64 },
    /// Applied data beyond the log, or a log that was cut off beyond the applied data.
    #[error("the applied state (entry {applied}) and the log (entries {first} to {last}) do not meet")]
    LogAndStateApart { applied: u64, first: u64, last: u64 },
    #[error("the log cannot be read: {0}")]
    Unreadable(String),
    /// raft found a state that its protocol excludes.
    #[error("consensus reached an impossible state: {0}")]
    Impossible(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotProposed {
    #[error("this replica does not lead")]
    NotLeader,
    /// A leader transfer or another configuration change is under way, or too much is uncommitted.
    #[error("the leader takes no proposal now")]
    Busy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Follower,
    Candidate,
    Leader,
}

/// Who this replica is in its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub role: Role,
    pub term: u64,
    pub leader: Option<ReplicaId>,
}

/// An entry that a quorum has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub index: u64,
    pub term: u64,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A new leader's first entry, or one that raft emptied.
    Empty,
    Command(Bytes),
    /// To be handed to [`Consensus::apply_members`] together with the entry; the command says which
    /// descriptor goes with it, and is empty where raft itself leaves a joint configuration.
    Members {
        change: MemberChange,
        command: Bytes,
    },
}

/// A change of raft's configuration as it stands in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberChange(ConfChangeV2);

impl Eq for MemberChange {}

/// How one replica's place is to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberStep {
    AddVoter(ReplicaId),
    AddLearner(ReplicaId),
    Remove(ReplicaId),
}

/// A snapshot that raft accepted; it has to be put in place before anything else is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotAt {
    pub index: u64,
    pub term: u64,
}

#[derive(Default)]
pub struct Output {
    /// To be given to [`Consensus::persisted`] when the batch is durable.
    pub number: u64,
    /// Something in the batch must be synced before anybody may rely on it.
    pub must_sync: bool,
    /// Log entries among it.
    pub entries_to_sync: usize,
    /// Set when it changed.
    pub standing: Option<Standing>,
    pub messages: Vec<Message>,
    pub after_sync: Vec<Message>,
    pub committed: Vec<Committed>,
    /// Contexts of read-index requests that a quorum has confirmed, with all before them.
    pub reads: Vec<u64>,
    pub snapshot: Option<SnapshotAt>,
    pub outgoing: Vec<Outgoing>,
    /// In this term the leader tells somebody to stand for election at once: from before these messages leave it is not sure
    /// to lead, until the end of the term (protocol.md, rule 25).
    pub hands_over: Option<u64>,
}

/// Numbers that the knobs set.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub election_ticks: u64,
    pub heartbeat_ticks: u64,
    /// Time without a word from the leader before a vote is given to somebody else.
    pub silence: Duration,
}

/// A number in `0..bound` from the node's randomness.
pub type Draw<'a> = &'a mut dyn FnMut(u64) -> u64;

pub struct Consensus {
    raft: RawNode<LogStorage>,
    timing: Timing,
    /// Ticks of silence after which this replica campaigns, in this term.
    election_timeout: u64,
    /// As told in the last output.
    standing: Standing,
    /// What the election clock showed at the last tick: a lower value means it was reset.
    elapsed: usize,
    /// The log is here and the state that it begins with is not (see [`Consensus::open`]): nothing of it can be applied
    /// before a snapshot has brought a state.
    lacks_state: bool,
    refusal: Refusal,
    /// Met in an event that could not tell it: see [`Consensus::deferred`].
    defect: Option<Defect>,
}

const ENTRY_BYTES_PER_MESSAGE: u64 = 1 << 20;
const APPLY_BYTES_PER_POLL: u64 = 4 << 20;
const MESSAGES_IN_FLIGHT: usize = 64;
const UNCOMMITTED_BYTES_MAX: u64 = 256 << 20;
/// Ticks that never pass: raft's own election timeout.
const NEVER: usize = usize::MAX / 4;

impl Consensus {
    /// Takes up where the log and the applied state left off.
    ///
    /// The right-hand side of a split may have a log and no state: the state was not flushed when the machine lost power, and
    /// the left-hand side will not apply the split again, because it was sent a snapshot from beyond it. The log is all
    /// that this replica has promised anybody: it goes on acknowledging entries and voting, it applies nothing and does not
    /// stand for election, and asks the leader for a snapshot that covers what it has.
    ///
    /// # Errors
    /// The two do not fit together: something that was acknowledged is missing.
    pub fn open(
        replica: ReplicaId,
        engine: Arc<dyn Engine>,
        log: RaftLog,
        members: Members,
        applied: u64,
        timing: Timing,
        now: Mono,
        draw: Draw<'_>,
    ) -> Result<Consensus, Defect> {
        let (first, last) = (log.first_index(), log.last_index());
        let hard_state = match log.hard_state() {
            Some(bytes) => decode_hard_state(bytes.clone()).map_err(|error| Defect::Unreadable(error.to_string()))?,
            None => HardState::default(),
        };
        let hard_state = if env::sabotage("forget_votes") { HardState { vote: 0, ..hard_state } } else { hard_state };
        if hard_state.vote != raft::INVALID_ID {
            probe!("restarted_with_a_vote");
        }
        if hard_state.commit > last {
            return Err(Defect::LostEntries { last, commit: hard_state.commit });
        }
        let lacks_state = applied == 0 && first == INITIAL_INDEX + 1;
        if applied > last || (applied + 1 < first && !lacks_state) {
            return Err(Defect::LogAndStateApart { applied, first, last });
        }
        let config = Config {
            id: replica.0,
            election_tick: timing.election_ticks as usize,
            heartbeat_tick: timing.heartbeat_ticks as usize,
            min_election_tick: NEVER,
            max_election_tick: NEVER + 1,
            applied: 0,
            max_size_per_msg: ENTRY_BYTES_PER_MESSAGE,
            max_inflight_msgs: MESSAGES_IN_FLIGHT,
            check_quorum: true,
            pre_vote: true,
            max_uncommitted_size: UNCOMMITTED_BYTES_MAX,
            max_committed_size_per_ready: APPLY_BYTES_PER_POLL,
            // Never: raft 0.7 puts entries into any message that is still empty, whatever its index. After a
            // rejection they stand one place too far, and the follower acknowledges what it does not have
            // (testscripts/consensus/misplaced_entries). Proposals of a turn are batched by `propose` instead.
            batch_append: false,
            ..Config::default()
        };
        // What was applied had been committed, even if the hard state that says so was not synced.
        let hard_state = HardState { commit: hard_state.commit.max(applied), ..hard_state };
        let mut log = log;
        log.set_hard_state(encode_hard_state(&hard_state), &mut Batch::new());
        let storage = LogStorage::new(engine, log, members, applied);
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let config = Config { applied, ..config };
        let raft = guarded(|| RawNode::new(&config, storage, &logger))?
            .map_err(|error| Defect::Unreadable(error.to_string()))?;
        let standing = Standing { role: Role::Follower, term: hard_state.term, leader: None };
        let (election_timeout, elapsed, defect) = (0, 0, None);
        let refusal = Refusal::begin(timing.silence, hard_state.term, now);
        let mut consensus =
            Consensus { raft, timing, election_timeout, standing, elapsed, lacks_state, refusal, defect };
        consensus.draw_timeout(draw);
        Ok(consensus)
    }

    // ---- events ----

    /// A message of a peer, which had arrived by `now`.
    pub fn step(&mut self, message: Message, now: Mono) -> Result<(), Defect> {
        if self.refusal.covers(&message, self.term(), now) {
            return Ok(());
        }
        match message.msg_type() {
            // Requests that raft would forward to the leader: in this house they do not travel.
            MessageType::MsgPropose if !env::sabotage("forward_proposals") => return Ok(()),
            MessageType::MsgReadIndex | MessageType::MsgReadIndexResp | MessageType::MsgTransferLeader => {
                return Ok(());
            }
            // Entries that do not follow the place they are said to follow would be acknowledged wrongly.
            MessageType::MsgAppend if !is_contiguous(&message) => return Ok(()),
            // The leader tells us at most what we acknowledged. If we have less, we lost it.
            MessageType::MsgHeartbeat if message.term >= self.raft.raft.term && message.commit > self.last_index() => {
                return Err(Defect::LostEntries { last: self.last_index(), commit: message.commit });
            }
            _ => {}
        }
        if is_from_a_leader(&message) && message.term >= self.term() {
            self.refusal.heard(now);
        }
        // An error says that the message is of no use here (an unknown peer, a local message): ignored.
        let raft = &mut self.raft;
        guarded(|| drop(raft.step(message)))
    }

    /// A tick has passed.
    pub fn tick(&mut self, now: Mono, draw: Draw<'_>) -> Result<(), Defect> {
        let raft = &mut self.raft;
        guarded(|| raft.tick())?;
        let elapsed = self.raft.raft.election_elapsed;
        if elapsed < self.elapsed {
            self.draw_timeout(draw);
        }
        self.elapsed = elapsed;
        if self.lacks_state {
            return self.ask_for_state();
        }
        let follows = self.raft.raft.state != StateRole::Leader && self.raft.raft.promotable();
        if follows && elapsed as u64 >= self.election_timeout && self.may_campaign(now) {
            self.draw_timeout(draw);
            self.campaign(now)?;
        }
        Ok(())
    }

    /// Asks whoever leads for a snapshot. raft sends the question again with each heartbeat until one comes; it can be asked
    /// only once an entry of the leader's own term is here.
    fn ask_for_state(&mut self) -> Result<(), Defect> {
        let raft = &mut self.raft;
        guarded(|| {
            let raft = &mut raft.raft;
            let asked_earlier = raft.raft_log.last_term() < raft.term;
            if asked_earlier {
                // It was asked of an earlier leader, perhaps for entries that this one does not have.
                raft.pending_request_snapshot = raft::INVALID_INDEX;
            }
            if raft.request_snapshot().is_ok() {
                probe!("asked_for_a_state_that_was_lost");
            }
        })
    }

    /// Stands for election now, unless somebody else may hold a lease.
    pub fn campaign(&mut self, now: Mono) -> Result<(), Defect> {
        if !self.may_campaign(now) {
            probe!("did_not_campaign_for_a_lease");
            return Ok(());
        }
        probe!("campaigned");
        self.raft.raft.election_elapsed = 0;
        self.elapsed = 0;
        let raft = &mut self.raft;
        guarded(|| drop(raft.campaign()))
    }

    fn may_campaign(&self, now: Mono) -> bool {
        self.is_sole_voter() || !self.refusal.forbids_candidacy(now)
    }

    /// Appends commands, in order, if this replica leads: all of them or none. Gives the index of the first.
    pub fn propose(&mut self, commands: Vec<Vec<u8>>) -> Result<u64, NotProposed> {
        assert!(!commands.is_empty(), "something is proposed");
        if !self.is_leader() && !env::sabotage("forward_proposals") {
            return Err(NotProposed::NotLeader);
        }
        let first = self.last_index() + 1;
        let count = commands.len() as u64;
        let entries = commands.into_iter().map(|data| raft::prelude::Entry { data, ..Default::default() });
        let mut message = Message { from: self.raft.raft.id, entries: entries.collect(), ..Message::default() };
        message.set_msg_type(MessageType::MsgPropose);
        self.deferred(|raft| raft.raft.step(message)).and_then(Result::ok).ok_or(NotProposed::Busy)?;
        if !self.is_leader() && env::sabotage("forward_proposals") {
            return Err(NotProposed::NotLeader);
        }
        assert!(self.last_index() + 1 == first + count, "a leader appends what it accepts");
        Ok(first)
    }

    /// Proposes a change of the configuration, through a joint one where more than one place changes.
    pub fn change_members(&mut self, steps: &[MemberStep], command: Vec<u8>) -> Result<u64, NotProposed> {
        if !self.is_leader() {
            return Err(NotProposed::NotLeader);
        }
        // Before an entry of its own term is applied a leader does not know which configuration holds. (To look reads the log, and
        // raft panics if that fails.)
        let knows = self.deferred(|raft| raft.raft.apply_to_current_term()).unwrap_or(false);
        if !knows || self.raft.raft.has_pending_conf() || self.is_joint() {
            return Err(NotProposed::Busy);
        }
        let mut change = ConfChangeV2::default();
        change.set_transition(ConfChangeTransition::Auto);
        change.changes = steps.iter().map(|step| step.to_raft()).collect();
        let proposed = self.deferred(|raft| raft.propose_conf_change(command, change));
        proposed.and_then(Result::ok).ok_or(NotProposed::Busy)?;
        Ok(self.last_index())
    }

    /// Asks a quorum whether this replica still leads; `context` comes back in [`Output::reads`].
    pub fn read_index(&mut self, context: u64) {
        self.deferred(|raft| raft.read_index(context.to_be_bytes().to_vec()));
    }

    pub fn transfer_leader(&mut self, to: ReplicaId) {
        self.deferred(|raft| raft.transfer_leader(to.0));
    }

    /// Gives up leadership without waiting for anybody: this node's disk or process has stalled.
    pub fn step_down(&mut self) {
        if self.is_leader() {
            let term = self.raft.raft.term;
            self.deferred(|raft| raft.raft.become_follower(term, raft::INVALID_ID));
        }
    }

    pub fn report_unreachable(&mut self, replica: ReplicaId) {
        self.deferred(|raft| raft.report_unreachable(replica.0));
    }

    pub fn report_snapshot(&mut self, replica: ReplicaId, arrived: bool) {
        let status = if arrived { raft::SnapshotStatus::Finish } else { raft::SnapshotStatus::Failure };
        self.deferred(|raft| raft.report_snapshot(replica.0, status));
    }

    /// An event whose sender has no use for a defect: the next [`poll`](Consensus::poll) tells it.
    fn deferred<T>(&mut self, event: impl FnOnce(&mut RawNode<LogStorage>) -> T) -> Option<T> {
        let raft = &mut self.raft;
        match guarded(|| event(raft)) {
            Ok(value) => Some(value),
            Err(defect) => {
                self.defect.get_or_insert(defect);
                None
            }
        }
    }

    pub fn allow_snapshots(&mut self, allowed: bool) {
        self.raft.mut_store().allow_snapshots(allowed);
    }

    // ---- effects ----

    /// What has come of the events. What has to be written goes into `batch`.
    pub fn poll(&mut self, batch: &mut Batch) -> Result<Option<Output>, Defect> {
        if let Some(defect) = self.defect.clone() {
            return Err(defect);
        }
        if !self.raft.has_ready() {
            return Ok(None);
        }
        let raft = &mut self.raft;
        let mut ready = guarded(|| raft.ready())?;
        let mut output = Output { number: ready.number(), must_sync: ready.must_sync(), ..Output::default() };
        let store = self.raft.mut_store();
        if !ready.snapshot().is_empty() {
            let metadata = ready.snapshot().get_metadata();
            let at = SnapshotAt { index: metadata.index, term: metadata.term };
            store.log_mut().reset(at.index, at.term, batch);
            store.set_members(from_conf_state(metadata.get_conf_state()));
            output.snapshot = Some(at);
            self.lacks_state = false;
        }
        let entries = ready.take_entries();
        output.entries_to_sync = entries.len();
        store.append(entries, batch);
        // A commit index alone is not worth a write: it is found again by whoever leads next. But it goes along with
        // every other write. A log that holds a change of the members says so that the change before it is committed,
        // and who restarts does not campaign under members that are two changes old.
        if ready.must_sync() {
            let mut state = self.raft.raft.hard_state();
            if env::sabotage("forget_the_commit_index") {
                state.commit = 0;
            }
            self.raft.mut_store().set_hard_state(&state, batch);
        }
        output.messages = ready.take_messages();
        output.after_sync = ready.take_persisted_messages();
        let well_placed = output.messages.iter().chain(&output.after_sync).all(is_contiguous);
        assert!(well_placed, "entries are sent with the place that they follow");
        let is_hand_over = |message: &&Message| message.msg_type() == MessageType::MsgTimeoutNow;
        output.hands_over =
            output.messages.iter().chain(&output.after_sync).find(is_hand_over).map(|message| message.term);
        if env::sabotage("answer_before_sync") {
            output.messages.append(&mut output.after_sync);
        }
        output.reads = ready.take_read_states().iter().filter_map(|read| read_context(&read.request_ctx)).collect();
        let mut committed = ready.take_committed_entries();
        if self.lacks_state {
            committed.clear();
        }
        output.committed = committed.into_iter().map(committed_entry).collect::<Result<_, _>>()?;
        output.outgoing = self.raft.mut_store().take_outgoing();
        let raft = &mut self.raft;
        guarded(|| raft.advance_append_async(ready))?;
        let standing = self.current_standing();
        if standing != self.standing {
            self.standing = standing;
            output.standing = Some(standing);
        }
        Ok(Some(output))
    }

    /// The batch of this poll, and with it all before, is durable.
    pub fn persisted(&mut self, number: u64) -> Result<(), Defect> {
        let raft = &mut self.raft;
        guarded(|| raft.on_persist_ready(number))
    }

    /// Everything handed out up to `index` is in the engine. Its log entries need no memory any more, but
    /// for those that followers are likely to ask for.
    pub fn applied(&mut self, index: u64) -> Result<(), Defect> {
        let raft = &mut self.raft;
        guarded(|| raft.advance_apply_to(index))?;
        let slowest = self.slowest_match().unwrap_or(index);
        let store = self.raft.mut_store();
        store.set_applied(index);
        let keep_from = if store.log().cache_bytes() > CACHE_BYTES_MAX { index } else { index.min(slowest) };
        store.log_mut().shrink_cache(keep_from);
        Ok(())
    }

    /// Takes the configuration that an applied entry brought. A change that does not fit what holds
    /// (raft refuses it on every replica alike) leaves all as it is.
    pub fn apply_members(&mut self, change: &MemberChange) -> Result<Option<Members>, Defect> {
        let raft = &mut self.raft;
        let Ok(state) = guarded(|| raft.apply_conf_change(&change.0))? else { return Ok(None) };
        let members = from_conf_state(&state);
        self.raft.mut_store().set_members(members.clone());
        Ok(Some(members))
    }

    /// Cuts off the log up to `through`, which is applied and flushed.
    pub fn truncate_log(&mut self, through: u64, batch: &mut Batch) -> storage::Result<()> {
        assert!(through <= self.raft.raft.raft_log.applied, "only what is applied is cut off");
        self.raft.mut_store().log_mut().truncate_prefix(through, batch)
    }

    /// Gives the log back, to be destroyed.
    pub fn into_log(self) -> RaftLog {
        self.raft.raft.r.raft_log.store.into_log()
    }

    // ---- questions ----

    pub fn standing(&self) -> Standing {
        self.current_standing()
    }

    pub fn is_leader(&self) -> bool {
        self.raft.raft.state == StateRole::Leader
    }

    pub fn term(&self) -> u64 {
        self.raft.raft.term
    }

    pub fn first_index(&self) -> u64 {
        self.raft.store().log().first_index()
    }

    pub fn last_index(&self) -> u64 {
        self.raft.raft.raft_log.last_index()
    }

    pub fn committed_index(&self) -> u64 {
        self.raft.raft.raft_log.committed
    }

    pub fn log_term(&self, index: u64) -> Option<u64> {
        self.raft.store().log().term(index).ok().flatten()
    }

    /// Does nobody else vote?
    pub fn is_sole_voter(&self) -> bool {
        let voters = self.raft.raft.prs().conf().voters().ids();
        voters.len() == 1 && voters.contains(self.raft.raft.id)
    }

    pub fn is_joint(&self) -> bool {
        !self.raft.raft.prs().conf().to_conf_state().voters_outgoing.is_empty()
    }

    /// May this replica lead, and does it know of nobody who does?
    pub fn misses_a_leader(&self) -> bool {
        self.raft.raft.promotable() && self.raft.raft.leader_id == raft::INVALID_ID
    }

    /// Is a leader transfer under way?
    pub fn is_transferring(&self) -> bool {
        self.raft.raft.lead_transferee.is_some()
    }

    pub fn is_member(&self, replica: ReplicaId) -> bool {
        self.raft.raft.prs().get(replica.0).is_some()
    }

    /// For a leader: how far each other replica's log is known to match, and whether it was heard of lately.
    pub fn peers(&self) -> BTreeMap<ReplicaId, Peer> {
        if !self.is_leader() {
            return BTreeMap::new();
        }
        let others = self.raft.raft.prs().iter().filter(|(id, _)| **id != self.raft.raft.id);
        let peer = |progress: &raft::Progress| Peer {
            matched: progress.matched,
            is_active: progress.recent_active,
            needs_snapshot: progress.state == raft::ProgressState::Snapshot,
        };
        others.map(|(id, progress)| (ReplicaId(*id), peer(progress))).collect()
    }

    fn slowest_match(&self) -> Option<u64> {
        self.peers().values().filter(|peer| peer.is_active).map(|peer| peer.matched).min()
    }

    fn current_standing(&self) -> Standing {
        let raft = &self.raft.raft;
        let role = match raft.state {
            StateRole::Follower => Role::Follower,
            StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
            StateRole::Leader => Role::Leader,
        };
        let leader = (raft.leader_id != raft::INVALID_ID).then_some(ReplicaId(raft.leader_id));
        Standing { role, term: raft.term, leader }
    }

    fn draw_timeout(&mut self, draw: Draw<'_>) {
        self.election_timeout = self.timing.election_ticks + draw(self.timing.election_ticks);
    }
}

/// The log of a range that begins with a state, not with nothing. A vote that was given before stays given.
pub fn begin_log(log: &mut RaftLog, batch: &mut Batch) {
    let before = log.hard_state().cloned().and_then(|bytes| decode_hard_state(bytes).ok()).unwrap_or_default();
    let vote = if before.term >= INITIAL_TERM { before.vote } else { raft::INVALID_ID };
    let state = HardState { term: before.term.max(INITIAL_TERM), vote, commit: INITIAL_INDEX };
    log.reset(INITIAL_INDEX, INITIAL_TERM, batch);
    log.set_hard_state(encode_hard_state(&state), batch);
}

/// Bytes of applied log kept in memory for followers that are a little behind.
const CACHE_BYTES_MAX: usize = 4 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub matched: u64,
    pub is_active: bool,
    pub needs_snapshot: bool,
}

impl MemberStep {
    fn to_raft(self) -> ConfChangeSingle {
        let (kind, id) = match self {
            MemberStep::AddVoter(id) => (ConfChangeType::AddNode, id),
            MemberStep::AddLearner(id) => (ConfChangeType::AddLearnerNode, id),
            MemberStep::Remove(id) => (ConfChangeType::RemoveNode, id),
        };
        let mut single = ConfChangeSingle { node_id: id.0, ..ConfChangeSingle::default() };
        single.set_change_type(kind);
        single
    }
}

/// Do the entries of an append follow its index without a gap?
fn is_contiguous(message: &Message) -> bool {
    let follows = |(place, entry): (usize, &raft::prelude::Entry)| entry.index == message.index + 1 + place as u64;
    message.msg_type() != MessageType::MsgAppend || message.entries.iter().enumerate().all(follows)
}

fn is_from_a_leader(message: &Message) -> bool {
    matches!(message.msg_type(), MessageType::MsgHeartbeat | MessageType::MsgAppend | MessageType::MsgSnapshot)
}

fn read_context(context: &[u8]) -> Option<u64> {
    context.try_into().ok().map(u64::from_be_bytes)
}

fn committed_entry(entry: raft::prelude::Entry) -> Result<Committed, Defect> {
    let (index, term) = (entry.index, entry.term);
    let content = match entry.entry_type() {
        EntryType::EntryNormal if entry.data.is_empty() => Content::Empty,
        EntryType::EntryNormal => Content::Command(entry.data.into()),
        EntryType::EntryConfChangeV2 | EntryType::EntryConfChange => {
            let change = messages::decode_change(&entry.data).map_err(|error| Defect::Unreadable(error.to_string()))?;
            Content::Members { change: MemberChange(change), command: entry.context.into() }
        }
    };
    Ok(Committed { index, term, content })
}

/// raft panics where its protocol excludes a state. That is the end of this replica, not of the node.
fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, Defect> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Defect::Impossible(text.unwrap_or_else(|| "raft panicked".to_owned()))
    })
}

#[cfg(test)]
mod tests;
