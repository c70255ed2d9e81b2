//! One replica as the log loop sees it: its consensus, what it proposed, and what it owes to whom.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use env::{Mono, probe};
use keyspace::{NodeId, ReplicaId};
use rpc::KvError;
use rpc::range::RangeDescriptor;
use tokio::sync::oneshot;

use super::confirms::Confirms;
use crate::command;
use crate::consensus::{Consensus, Content, Defect, Draw, MemberStep, NotProposed};
use crate::peer_message::PeerMessage;
use crate::proposal::{Completion, Proposal};
use crate::replica::Replica;
use crate::state::{Applied, Identity, Installing};

pub struct Peer {
    pub replica: Arc<Replica>,
    pub identity: Identity,
    pub applied: Applied,
    pub consensus: Consensus,
    pub log_size: LogSize,
    /// Applied up to here, and flushed: the log below is not needed for this replica's own sake.
    pub durable: u64,
    pub incoming: Option<Incoming>,
    /// Why the replica is not driven now.
    pub halted: Option<Halt>,
    /// Set when it must not answer for its range: until the entry at this index is applied (rule 26).
    paused_until: Option<u64>,
    /// The term in which the range may be served from here: its low-water mark is set.
    pub may_serve: Option<u64>,
    /// The term in which the locks that a split moved here are the leader's own.
    pub inherits_locks_in: Option<u64>,
    /// Nodes of replicas, of those that are about to leave too.
    addresses: BTreeMap<ReplicaId, NodeId>,
    /// Ticks of this replica, and at which of them each other one was heard of last. (raft forgets whom it has
    /// heard of whenever it checks its quorum.)
    ticks: u64,
    heard: BTreeMap<ReplicaId, u64>,
    sequence: u64,
    /// Came in during this turn.
    queue: Vec<Proposal>,
    in_flight: VecDeque<InFlight>,
    confirms: Confirms,
}

pub enum Halt {
    /// Kept for inspection; takes part in nothing.
    Defect,
    /// A snapshot is being put in place.
    Installing,
}

struct InFlight {
    index: u64,
    term: u64,
    completion: Completion,
}

/// A snapshot that is arriving.
pub struct Incoming {
    pub id: u64,
    pub next: u64,
    /// Complete: raft has been asked whether it wants it.
    pub head: Option<Installing>,
}

impl Peer {
    /// `lease`: how long a quorum's word is good for (`confirms.rs`).
    pub fn new(
        replica: Arc<Replica>,
        identity: Identity,
        applied: Applied,
        consensus: Consensus,
        lease: Option<Duration>,
    ) -> Peer {
        let mut peer = Peer {
            log_size: LogSize::new(consensus.first_index()),
            replica,
            durable: 0,
            applied,
            consensus,
            incoming: None,
            halted: None,
            paused_until: None,
            may_serve: None,
            inherits_locks_in: None,
            addresses: BTreeMap::new(),
            ticks: 0,
            heard: BTreeMap::new(),
            sequence: 0,
            queue: Vec::new(),
            in_flight: VecDeque::new(),
            confirms: Confirms::new(lease),
            identity,
        };
        peer.learn_addresses();
        peer.replica.set_applied(&peer.applied);
        peer
    }

    pub fn descriptor(&self) -> &RangeDescriptor {
        &self.identity.descriptor
    }

    /// Has this replica a state of its range, or does it still wait for its first snapshot?
    pub fn is_initialized(&self) -> bool {
        self.applied.index > 0
    }

    pub fn learn_addresses(&mut self) {
        self.addresses.extend(self.identity.descriptor.replicas.iter().map(|replica| (replica.replica, replica.node)));
    }

    pub fn heard_of(&mut self, replica: ReplicaId, node: NodeId) {
        self.addresses.insert(replica, node);
        self.heard.insert(replica, self.ticks);
    }

    pub fn tick(&mut self, now: Mono, draw: Draw<'_>) -> Result<(), Defect> {
        self.ticks += 1;
        self.consensus.tick(now, draw)
    }

    /// Has the replica been heard of within that many ticks?
    fn is_heard(&self, replica: ReplicaId, within: u64) -> bool {
        self.heard.get(&replica).is_some_and(|tick| self.ticks <= tick + within)
    }

    pub fn node_of(&self, replica: ReplicaId) -> Option<NodeId> {
        self.addresses.get(&replica).copied()
    }

    // ---- proposals ----

    /// Takes in what was evaluated; proposed with all others of this turn.
    pub fn propose(&mut self, proposal: Proposal) {
        self.queue.push(proposal);
    }

    /// Proposes what has come in, in one step, where nothing has changed since its evaluation.
    pub fn propose_queued(&mut self) {
        if self.queue.is_empty() {
            return;
        }
        let mut commands = Vec::with_capacity(self.queue.len());
        let mut proposed = Vec::with_capacity(self.queue.len());
        for proposal in std::mem::take(&mut self.queue) {
            let Proposal { term, epoch, mut encoded, completion, .. } = proposal;
            if let Some(error) = self.obstacle(term, epoch) {
                match error {
                    KvError::StaleEpoch { .. } => probe!("proposed_under_an_old_epoch"),
                    _ => probe!("proposed_when_no_longer_leading"),
                }
                completion.failed(error);
                continue;
            }
            command::set_sequence(&mut encoded, self.next_sequence());
            commands.push(encoded);
            proposed.push((term, completion));
        }
        if commands.is_empty() {
            return;
        }
        match self.consensus.propose(commands) {
            Ok(first) => {
                for (index, (term, completion)) in (first..).zip(proposed) {
                    self.await_application(index, term, completion);
                }
            }
            Err(NotProposed::NotLeader | NotProposed::Busy) => {
                for (_, completion) in proposed {
                    completion.failed(self.replica.not_leader());
                }
            }
        }
    }

    fn await_application(&mut self, index: u64, term: u64, completion: Completion) {
        if env::sabotage("acknowledge_before_quorum") {
            return completion.applied();
        }
        self.in_flight.push_back(InFlight { index, term, completion });
    }

    /// Proposes a change of the range itself: nobody is answered until it is applied.
    pub fn propose_and_pause(&mut self, proposal: Proposal) {
        self.propose_queued();
        let before = self.consensus.last_index();
        self.queue.push(proposal);
        self.propose_queued();
        let last = self.consensus.last_index();
        if last > before && !env::sabotage("apply_under_another_epoch") {
            self.pause_until(last);
        }
    }

    pub fn propose_members(&mut self, proposal: Proposal, steps: &[MemberStep]) {
        self.propose_queued();
        let Proposal { term, epoch, mut encoded, completion, .. } = proposal;
        if let Some(error) = self.obstacle(term, epoch) {
            return completion.failed(error);
        }
        command::set_sequence(&mut encoded, self.next_sequence());
        match self.consensus.change_members(steps, encoded) {
            Ok(index) => {
                self.in_flight.push_back(InFlight { index, term, completion });
                if steps.iter().any(|step| matches!(step, MemberStep::Remove(_))) {
                    self.pause_until(index);
                }
            }
            Err(NotProposed::NotLeader) => completion.failed(self.replica.not_leader()),
            Err(NotProposed::Busy) => {
                let why = "another change of its replicas is under way".to_owned();
                completion.failed(KvError::Unavailable { range: self.replica.range, why });
            }
        }
    }

    fn obstacle(&self, term: u64, epoch: keyspace::Epoch) -> Option<KvError> {
        let leads = self.consensus.is_leader() && self.consensus.term() == term;
        if !(leads || env::sabotage("forward_proposals")) || self.paused_until.is_some() || self.halted.is_some() {
            return Some(self.replica.not_leader());
        }
        (epoch != self.descriptor().epoch).then(|| self.stale_epoch())
    }

    pub fn stale_epoch(&self) -> KvError {
        KvError::StaleEpoch { current: vec![self.descriptor().clone()] }
    }

    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Hands out the completion of the entry that is being applied, if it was proposed here. What was
    /// proposed at this place under another term has been replaced.
    pub fn take_completion(&mut self, index: u64, term: u64) -> Option<Completion> {
        while let Some(first) = self.in_flight.front() {
            if first.index > index {
                return None;
            }
            let InFlight { index: proposed, term: proposed_term, completion } = self.in_flight.pop_front()?;
            if proposed == index && proposed_term == term {
                return Some(completion);
            }
            completion.failed(KvError::Ambiguous { range: self.replica.range });
        }
        None
    }

    // ---- standing ----

    fn pause_until(&mut self, index: u64) {
        self.paused_until = Some(index);
        self.replica.leadership.pause();
    }

    /// The entry at `index` is applied; may the range be served again?
    pub fn unpause(&mut self, index: u64) {
        if self.paused_until.is_some_and(|until| until <= index) {
            self.paused_until = None;
        }
    }

    /// Gives out tickets if all that is needed is there. Called after every change of the standing.
    pub fn serve_if_possible(&self) {
        let term = self.consensus.term();
        let may = self.consensus.is_leader()
            && self.may_serve == Some(term)
            && self.paused_until.is_none()
            && self.halted.is_none();
        if may {
            self.replica.leadership.serve(term, self.descriptor().epoch, self.consensus.is_sole_voter());
        }
    }

    /// Someone else leads, or may. Whoever waits for this replica must ask again.
    pub fn lose_leadership(&mut self) {
        if !self.in_flight.is_empty() {
            probe!("leadership_lost_with_proposals_under_way");
        }
        if !self.replica.locks.is_empty() {
            probe!("locks_lost_with_leadership");
        }
        self.replica.forget_leadership();
        self.may_serve = None;
        self.paused_until = None;
        self.sequence = 0;
        self.confirms.clear();
        for Proposal { completion, .. } in self.queue.drain(..) {
            completion.failed(self.replica.not_leader());
        }
        for InFlight { completion, .. } in self.in_flight.drain(..) {
            completion.failed(KvError::Ambiguous { range: self.replica.range });
        }
    }

    pub fn win_leadership(&mut self) {
        // Whoever led in between has ended transactions whose locks a split had moved here.
        if self.inherits_locks_in.take() != Some(self.consensus.term()) {
            self.replica.locks.clear();
        }
        assert!(self.in_flight.is_empty(), "a new leader has proposed nothing yet");
        self.sequence = 0;
    }

    /// Stops driving this replica for good.
    pub fn quarantine(&mut self, defect: &Defect) {
        tracing::error!(range = %self.replica.range, replica = %self.replica.id, %defect, "a replica is out of use");
        self.replica.set_defect(defect.to_string());
        self.lose_leadership();
        self.replica.leadership.change_view(|view| *view = Default::default());
        self.halted = Some(Halt::Defect);
    }

    // ---- confirmations ----

    pub fn confirm(&mut self, term: u64, reply: oneshot::Sender<bool>) {
        let leads = self.consensus.is_leader() && self.consensus.term() == term && self.replica.leadership.view().leads;
        if leads && !self.consensus.is_sole_voter() {
            self.confirms.wait(reply);
        } else {
            let _nobody_waits = reply.send(leads);
        }
    }

    /// Asks a quorum once for all who came since the last turn. `now` is from before.
    pub fn ask_for_confirmation(&mut self, now: Mono) {
        if let Some(context) = self.confirms.ask(now) {
            self.consensus.read_index(context);
        }
    }

    pub fn confirmed(&mut self, context: u64, now: Mono) {
        let term = self.consensus.term();
        // A leader that has stepped down in this very turn is told so before it comes here.
        let leads = self.consensus.is_leader() && self.replica.leadership.view().leads;
        if let Some(until) = self.confirms.answered(context, term, now).filter(|_| leads) {
            probe!("a_lease_was_renewed");
            self.replica.leadership.renew_lease(term, until);
        }
    }

    // ---- the lease ----

    /// Once per heartbeat, where somebody relies on the lease and others vote.
    pub fn renew_lease_if_used(&mut self, heartbeat_ticks: u64) {
        let is_due = self.ticks.is_multiple_of(heartbeat_ticks.max(1));
        if is_due && self.replica.leadership.take_lease_use() && self.replica.leadership.view().leads {
            self.confirms.renew(self.consensus.term());
        }
    }

    /// Other voters count from now on, or this replica will not lead for long: no lease until a question that is asked
    /// after this was answered.
    pub fn void_lease(&mut self) {
        self.confirms.forget_questions();
        self.replica.leadership.void_lease();
    }

    /// Somebody was told to stand for election, whatever the others have promised.
    pub fn forfeit_lease(&mut self, term: u64) {
        self.confirms.forfeit(term);
        if !env::sabotage("lease_after_a_hand_over") {
            self.replica.leadership.void_lease();
        }
    }

    // ---- the others ----

    /// Messages to replicas that have not been heard of: perhaps their nodes do not have them.
    pub fn introductions(&self, silence: u64) -> Vec<(ReplicaId, PeerMessage)> {
        let silent = self.consensus.peers().into_keys().filter(|id| !self.is_heard(*id, silence));
        silent.map(|id| (id, PeerMessage::Introduce(self.descriptor().clone()))).collect()
    }

    /// Tells the registry whose log is close behind.
    pub fn note_caught_up(&self, silence: u64) {
        let last = self.consensus.committed_index();
        let is_close = |id: ReplicaId, matched: u64| matched + CLOSE_ENTRIES >= last && self.is_heard(id, silence);
        let close = self.consensus.peers().into_iter().filter(|(id, peer)| is_close(*id, peer.matched));
        self.replica.set_caught_up(close.map(|(id, _)| id).collect());
    }
}

/// Entries behind which a replica still counts as caught up.
const CLOSE_ENTRIES: u64 = 256;

/// What kind of entry an applied one was, by its size.
pub fn content_bytes(content: &Content) -> usize {
    match content {
        Content::Empty => 0,
        Content::Command(bytes) => bytes.len(),
        Content::Members { command, .. } => command.len(),
    }
}

/// About how many bytes of log there are from some index on, from marks every now and then.
pub struct LogSize {
    total: u64,
    marks: VecDeque<(u64, u64)>,
}

const MARK_BYTES: u64 = 256 << 10;

impl LogSize {
    pub fn new(first_index: u64) -> LogSize {
        LogSize { total: 0, marks: VecDeque::from([(first_index, 0)]) }
    }

    pub fn add(&mut self, index: u64, bytes: usize) {
        self.total += bytes as u64;
        if self.marks.back().is_none_or(|(_, marked)| self.total - marked >= MARK_BYTES) {
            self.marks.push_back((index, self.total));
        }
    }

    /// Bytes of entries after the first mark.
    pub fn bytes(&self) -> u64 {
        self.total - self.marks.front().map_or(0, |(_, marked)| *marked)
    }

    pub fn cut(&mut self, through: u64) {
        while self.marks.len() > 1 && self.marks[1].0 <= through {
            self.marks.pop_front();
        }
    }
}
