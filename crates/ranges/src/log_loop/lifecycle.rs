//! Replicas come (created by hand, introduced by their leader, split off) and go (removed from their range).

use env::probe;
use keyspace::{RangeId, ReplicaId};
use rpc::range::RangeDescriptor;
use rpc::{KvError, KvResult};
use storage::{Batch, Durability, RaftLog};

use super::LogLoop;
use super::peer::Halt;
use crate::consensus::begin_log;
use crate::state::{self, Applied, INITIAL_INDEX, Identity, Members};

impl LogLoop {
    /// Opens the replicas that are on disk.
    pub(crate) fn load(&mut self) -> storage::Result<()> {
        for identity in state::identities(&*self.shared.engine)? {
            let range = identity.descriptor.id;
            let identity = match state::installing(&*self.shared.engine, range)? {
                None => identity,
                Some(installing) => {
                    probe!("snapshot_put_in_place_again_after_a_crash");
                    super::snapshot::put_in_place(&*self.shared.engine, &installing, Some(&identity.descriptor.span))?;
                    installing.identity
                }
            };
            self.open(identity)?;
        }
        Ok(())
    }

    fn open(&mut self, identity: Identity) -> storage::Result<()> {
        let range = identity.descriptor.id;
        let snapshot = self.shared.engine.snapshot();
        let applied = state::applied(&*snapshot, range)?;
        let log = match RaftLog::open(self.shared.engine.clone(), range.0) {
            Ok(log) => log,
            Err(storage::Error::Corrupt(what)) => {
                tracing::error!(%range, what, "a replica is out of use: its log cannot be read");
                self.shared.add_replica(&identity).set_defect(what);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if self.add_peer(identity, applied, log).is_err() {
            return Ok(());
        }
        let peer = self.peers.get_mut(&range).expect("it was just added");
        if !env::sabotage("forget_intents") {
            peer.replica.intents.replace(crate::intents::load(&*snapshot, &peer.identity.descriptor.span)?);
        }
        if !peer.replica.intents.is_empty() {
            probe!("replica_opened_with_intents");
        }
        self.campaign_if_alone(range);
        Ok(())
    }

    /// A sole voter has nobody to wait for.
    fn campaign_if_alone(&mut self, range: RangeId) {
        let now = self.shared.env.now();
        let Some(peer) = self.touch(range) else { return };
        if peer.consensus.is_sole_voter()
            && let Err(defect) = peer.consensus.campaign(now)
        {
            self.quarantine(range, &defect);
        }
    }

    /// A replica of a new range (`applied` says that it has a state) or of one that is elsewhere.
    pub(super) fn create(&mut self, identity: Identity, applied: Applied) -> KvResult<()> {
        let (range, replica) = (identity.descriptor.id, identity.replica);
        if let Some(peer) = self.peers.get(&range) {
            return if peer.replica.id == replica {
                Ok(())
            } else {
                Err(refused(range, "another replica of it is here"))
            };
        }
        let engine = self.shared.engine.clone();
        let stopping = |error: storage::Error| KvError::Stopping { why: error.to_string() };
        if state::gone(&*engine, range).map_err(stopping)?.is_some_and(|gone| gone >= replica) {
            return Err(refused(range, "this replica was here and left"));
        }
        let span = &identity.descriptor.span;
        if self.peers.values().any(|peer| peer.is_initialized() && peer.descriptor().span.overlaps(span)) {
            return Err(refused(range, "its keys still belong to another range on this node"));
        }
        let mut log = RaftLog::open(engine.clone(), range.0).map_err(stopping)?;
        let mut batch = Batch::new();
        if applied.index == INITIAL_INDEX && log.last_index() == 0 {
            begin_log(&mut log, &mut batch);
        }
        state::put_identity(&mut batch, &identity);
        state::put_applied(&mut batch, range, &applied);
        // Logged: whatever this replica says later is written behind it.
        let written = engine.write(&batch, Durability::Logged).and_then(|()| engine.sync());
        written.map_err(stopping)?;
        self.add_peer(identity, applied, log).map_err(|defect| refused(range, &defect.to_string()))?;
        self.campaign_if_alone(range);
        Ok(())
    }

    /// The leader of a range says that `replica` of it should be here.
    pub(super) fn introduced(&mut self, descriptor: &RangeDescriptor, replica: ReplicaId) {
        let names_us =
            descriptor.replicas.iter().any(|known| known.replica == replica && known.node == self.shared.node);
        if !names_us || self.peers.contains_key(&descriptor.id) {
            return;
        }
        probe!("replica_created_by_introduction");
        match self.create(waiting_identity(descriptor, replica), Applied::default()) {
            Ok(()) => {
                tracing::info!(range = %descriptor.id, %replica, "a replica begins, waiting for its first snapshot")
            }
            Err(error) => tracing::debug!(range = %descriptor.id, %replica, %error, "not created"),
        }
    }

    /// A descriptor changed: what requests see changes with it, while nobody holds a ticket.
    pub(super) fn described(&mut self, range: RangeId, index: u64) {
        let silence = self.shared.env.knobs().election_ticks;
        let Some(peer) = self.peers.get_mut(&range) else { return };
        peer.replica.leadership.pause();
        peer.replica.set_descriptor(peer.identity.descriptor.clone());
        self.shared.reindex(&peer.replica);
        peer.note_caught_up(silence);
        tracing::debug!(%range, index, epoch = %peer.identity.descriptor.epoch, "the range changed");
        let members = &peer.identity.members;
        let id = peer.replica.id.0;
        let mut all =
            members.voters.iter().chain(&members.learners).chain(&members.outgoing).chain(&members.learners_next);
        if !all.any(|member| *member == id) {
            self.destroy(range);
        } else {
            peer.serve_if_possible();
        }
    }

    /// The right-hand side of a split is in the engine; it begins to work.
    pub(super) fn split(
        &mut self,
        left: RangeId,
        right: RangeDescriptor,
        right_replica: ReplicaId,
    ) -> storage::Result<()> {
        let Some(left) = self.peers.get(&left) else { return Ok(()) };
        let (left_replica, led_here) = (left.replica.clone(), left.consensus.is_leader());
        let range = right.id;
        if let Some(waiting) = self.peers.remove(&range) {
            // Introduced before this side of the split had anything here: it now has its state.
            assert!(
                waiting.replica.id == right_replica && !waiting.is_initialized(),
                "the right-hand side begins here and now"
            );
            self.shared.remove_replica(range);
            self.restart_numbers(range);
        }
        let at = right.span.start.clone();
        let snapshot = self.shared.engine.snapshot();
        let found =
            state::identities(&*self.shared.engine)?.into_iter().find(|identity| identity.descriptor.id == range);
        let identity = found.expect("the right-hand side was written together with the split");
        let applied = state::applied(&*snapshot, range)?;
        let log = RaftLog::open(self.shared.engine.clone(), range.0)?;
        if self.add_peer(identity, applied, log).is_err() {
            return Ok(());
        }
        let now = self.shared.env.now();
        let peer = self.touch(range).expect("it was just added");
        peer.replica.intents.replace(left_replica.intents.split_off(&at));
        if !peer.replica.intents.is_empty() {
            probe!("split_with_intents");
        }
        if !led_here {
            probe!("split_applied_by_a_follower");
        }
        // Locks go along where the leader stays; elsewhere they are validated at commit. Reads of the past are
        // covered by the fresh low-water mark that each new leader starts with.
        left_replica.locks.split_into(&at, &peer.replica.locks);
        if !peer.replica.locks.is_empty() {
            probe!("locks_moved_with_a_split");
        }
        peer.inherits_locks_in = led_here.then(|| peer.consensus.term() + 1);
        if led_here && let Err(defect) = peer.consensus.campaign(now) {
            self.quarantine(range, &defect);
        }
        for (from, message) in self.early.take(range) {
            probe!("a_message_waited_for_the_split");
            self.step(range, from, message, now);
        }
        Ok(())
    }

    /// A replica starts over under the number that it has: what waits for a sync is still said after it, but the numbers of
    /// the polls that wrote it mean nothing to the new instance, which begins to count from one.
    fn restart_numbers(&mut self, range: RangeId) {
        let syncing = self.syncing.as_mut().and_then(|syncing| syncing.covers.get_mut(&range));
        for waits in self.unsynced.get_mut(&range).into_iter().chain(syncing) {
            waits.number = 0;
        }
    }

    /// Somebody answers with a descriptor that this replica is not in.
    pub(super) fn retire(&mut self, range: RangeId, descriptor: &RangeDescriptor) {
        let Some(peer) = self.peers.get(&range) else { return };
        // At the same epoch, too: this replica applied the change that removes it and missed the end of the joint
        // configuration. Who says so has applied that end, so nobody needs this replica's vote any more.
        let is_current = descriptor.id == range && descriptor.epoch.config >= peer.descriptor().epoch.config;
        let is_in = descriptor.replicas.iter().any(|replica| replica.replica == peer.replica.id);
        if is_current && !is_in {
            probe!("removed_replica_learnt_it_from_a_peer");
            self.destroy(range);
        }
    }

    /// This replica is no longer one: it goes, with everything it has.
    fn destroy(&mut self, range: RangeId) {
        let Some(mut peer) = self.peers.remove(&range) else { return };
        if matches!(peer.halted, Some(Halt::Installing)) {
            // The snapshot is being written by another task; once it is in place the question comes again.
            self.peers.insert(range, peer);
            return;
        }
        tracing::info!(%range, replica = %peer.replica.id, "a replica was removed from its range and goes");
        peer.lose_leadership();
        peer.replica.leadership.change_view(|view| *view = Default::default());
        self.shared.remove_replica(range);
        self.dirty.remove(&range);
        self.unsynced.remove(&range);
        let initialized = peer.is_initialized();
        let mut batch = Batch::new();
        if initialized {
            mvcc::clear_span(&peer.identity.descriptor.span, &mut batch);
        }
        state::destroy(&mut batch, range, peer.replica.id);
        peer.consensus.into_log().destroy(&mut batch);
        if let Err(error) = self.shared.engine.write(&batch, Durability::Logged) {
            tracing::error!(%error, "the engine refuses the removal of a replica");
        }
    }
}

/// A replica that knows its range and nothing of its state.
pub fn waiting_identity(descriptor: &RangeDescriptor, replica: ReplicaId) -> Identity {
    Identity {
        replica,
        descriptor: descriptor.clone(),
        members: Members::default(),
        garbage_floor: keyspace::Timestamp::ZERO,
    }
}

fn refused(range: RangeId, why: &str) -> KvError {
    KvError::Unavailable { range, why: why.to_owned() }
}
