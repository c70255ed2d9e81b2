//! Applying what a quorum has: one batch for all replicas of a turn, then what follows from it in memory.
//!
//! Application is the same on every replica and never skipped: an entry that cannot be understood stops the
//! replica. Whether an entry counts is decided here once more (protocol.md, rule 6): its own term must be
//! the one under which it was evaluated, the epoch must still hold, and its sequence must be new.
//!
//! In the engine first, then in the indexes, and only then are announcements withdrawn and answers given:
//! that order is half of the readers' guarantee (`intents.rs`).

use bytes::Bytes;
use env::moment;
use keyspace::{Key, RangeId, ReplicaId};
use rpc::KvError;
use rpc::range::RangeDescriptor;
use storage::{Batch, Durability, Family, Operation, RaftLog, SUFFIX_LEN};

use super::LogLoop;
use super::peer::{Peer, content_bytes};
use crate::command::{Body, Command, RegisterChange};
use crate::consensus::{Committed, Content, Defect, MemberChange, begin_log};
use crate::intents::IntentHead;
use crate::proposal::Completion;
use crate::size::{COUNTED, Counted};
use crate::state::{self, Applied, INITIAL_INDEX, INITIAL_TERM, Identity, Members};

/// What application brings about outside the engine, in the order of the entries.
pub enum Effect {
    /// An intent was written or, as `None`, removed.
    Intent {
        range: RangeId,
        key: Key,
        head: Option<IntentHead>,
    },
    Record {
        range: RangeId,
        key: Bytes,
        value: Option<Bytes>,
    },
    /// A change of the descriptor.
    Described {
        range: RangeId,
        index: u64,
    },
    Split {
        left: RangeId,
        right: RangeDescriptor,
        right_replica: ReplicaId,
    },
    /// The entry at this index is done with.
    Done {
        range: RangeId,
        index: u64,
        term: u64,
        answer: Answer,
    },
}

/// What the entries of a turn add up to.
#[derive(Default)]
struct Changes {
    batch: Batch,
    /// Begins of the logs of ranges that splits create.
    logs: Batch,
    effects: Vec<Effect>,
}

/// What the proposer is told.
pub enum Answer {
    Applied,
    /// The entry had no effect, and never will.
    NoOp(KvError),
}

impl LogLoop {
    /// Applies entries that were handed out by consensus, of many ranges, with one write.
    pub(super) fn apply(&mut self, committed: Vec<(RangeId, Vec<Committed>)>) -> storage::Result<()> {
        let mut changes = Changes::default();
        let mut applied = Vec::with_capacity(committed.len());
        for (range, entries) in committed {
            let Some(peer) = self.peers.get_mut(&range) else { continue };
            let Some(last) = entries.last().map(|entry| entry.index) else { continue };
            self.shared.metrics.entries_applied.inc_by(entries.len() as u64);
            match apply_entries(&self.shared.engine, peer, entries, &mut changes) {
                Ok(()) => applied.push((range, last)),
                Err(defect) => peer.quarantine(&defect),
            }
        }
        let Changes { batch, logs, effects } = changes;
        if !logs.is_empty() {
            // First: a flush that takes in the new side of a split takes in the begin of its log, too.
            self.shared.engine.write(&logs, Durability::Logged)?;
        }
        if !batch.is_empty() {
            self.bytes_since_flush += batch.bytes() as u64;
            self.shared.engine.write(&batch, Durability::Unlogged)?;
        }
        for (range, index) in applied {
            let Some(peer) = self.peers.get_mut(&range) else { continue };
            peer.replica.set_applied(&peer.applied);
            match peer.consensus.applied(index) {
                Ok(()) => self.mark_dirty(range),
                Err(defect) => peer.quarantine(&defect),
            }
        }
        for effect in effects {
            self.take_effect(effect)?;
        }
        Ok(())
    }

    fn take_effect(&mut self, effect: Effect) -> storage::Result<()> {
        match effect {
            Effect::Intent { range, key, head } => {
                if let Some(peer) = self.peers.get(&range) {
                    match head {
                        Some(head) => peer.replica.intents.insert(key, head),
                        None => peer.replica.intents.remove(&key),
                    }
                }
            }
            Effect::Record { range, key, value } => {
                if let Some(peer) = self.peers.get(&range) {
                    note_record(peer, &key, value)?;
                }
            }
            Effect::Described { range, index } => self.described(range, index),
            Effect::Split { left, right, right_replica } => {
                self.split(left, right, right_replica)?;
                moment!(&self.shared.env, "split_applied");
            }
            Effect::Done { range, index, term, answer } => self.done(range, index, term, answer),
        }
        Ok(())
    }

    fn done(&mut self, range: RangeId, index: u64, term: u64, answer: Answer) {
        let Some(peer) = self.peers.get_mut(&range) else { return };
        if let Some(completion) = peer.take_completion(index, term) {
            conclude(completion, answer);
            moment!(&self.shared.env, "acknowledged");
        }
        peer.unpause(index);
        if peer.consensus.is_leader() && term == peer.consensus.term() && !peer.replica.leadership.view().leads {
            self.own_entry_applied(range, term);
        } else if peer.may_serve == Some(peer.consensus.term()) && peer.replica.leadership.ticket().is_none() {
            peer.serve_if_possible();
        }
    }
}

fn conclude(completion: Completion, answer: Answer) {
    match answer {
        Answer::Applied => completion.applied(),
        Answer::NoOp(error) => completion.failed(error),
    }
}

fn note_record(peer: &Peer, key: &Bytes, value: Option<Bytes>) -> storage::Result<()> {
    let Some((_, txn)) = key.split_last_chunk::<8>() else { return Ok(()) };
    let is_decided = match value {
        Some(value) => mvcc::Record::decode(&value)?.is_decided(),
        None => true,
    };
    peer.replica.records.changed(keyspace::TxnId(u64::from_be_bytes(*txn)), is_decided);
    Ok(())
}

fn apply_entries(
    engine: &std::sync::Arc<dyn storage::Engine>,
    peer: &mut Peer,
    entries: Vec<Committed>,
    changes: &mut Changes,
) -> Result<(), Defect> {
    let range = peer.replica.range;
    for entry in entries {
        assert!(entry.index == peer.applied.index + 1, "entries are applied one after the other");
        peer.applied.index = entry.index;
        peer.applied.term = entry.term;
        peer.log_size.add(entry.index, content_bytes(&entry.content));
        let answer = apply_entry(engine, peer, &entry, changes)?;
        changes.effects.push(Effect::Done { range, index: entry.index, term: entry.term, answer });
    }
    state::put_applied(&mut changes.batch, range, &peer.applied);
    Ok(())
}

fn apply_entry(
    engine: &std::sync::Arc<dyn storage::Engine>,
    peer: &mut Peer,
    entry: &Committed,
    changes: &mut Changes,
) -> Result<Answer, Defect> {
    let (change, bytes) = match &entry.content {
        // raft's own entry, or one that it emptied because it could not be proposed.
        Content::Empty => return Ok(Answer::NoOp(peer.replica.not_leader())),
        Content::Command(bytes) => (None, bytes),
        Content::Members { change, command } => (Some(change), command),
    };
    let command = match bytes.is_empty() {
        true => None,
        false => Some(Command::decode(bytes.clone()).map_err(|error| Defect::Unreadable(error.to_string()))?),
    };
    let refusal = command.as_ref().and_then(|command| refusal(peer, entry, command));
    if let Some(change) = change {
        return apply_members(peer, entry, change, command.filter(|_| refusal.is_none()), refusal, changes);
    }
    if let Some(refusal) = refusal {
        return Ok(Answer::NoOp(refusal));
    }
    let Some(command) = command else { return Ok(Answer::Applied) };
    match command.body {
        Body::Writes(writes) => apply_writes(peer, writes, changes)?,
        Body::Register { name, change } => apply_register(engine, peer, &name, change, &mut changes.batch)?,
        Body::Split { at, right, right_replicas } => {
            return apply_split(engine, peer, entry, at, right, &right_replicas, changes);
        }
        Body::GarbageFloor(floor) => {
            // In memory before anything is collected: who reads below it finds out, after reading.
            peer.identity.garbage_floor = peer.identity.garbage_floor.max(floor);
            peer.replica.set_garbage_floor(floor);
            state::put_identity(&mut changes.batch, &peer.identity);
        }
        Body::Members { .. } => {
            return Err(Defect::Unreadable("a change of members that raft does not know of".to_owned()));
        }
    }
    Ok(Answer::Applied)
}

/// Why this command has no effect, on any replica.
fn refusal(peer: &mut Peer, entry: &Committed, command: &Command) -> Option<KvError> {
    if command.term != entry.term && !env::sabotage("forward_proposals") {
        return Some(peer.replica.not_leader());
    }
    if command.epoch != peer.descriptor().epoch && !env::sabotage("apply_under_another_epoch") {
        return Some(peer.stale_epoch());
    }
    if peer.applied.sequence_term != entry.term {
        peer.applied.sequence_term = entry.term;
        peer.applied.sequence = 0;
    }
    if command.sequence <= peer.applied.sequence {
        return Some(KvError::Ambiguous { range: peer.replica.range });
    }
    peer.applied.sequence = command.sequence;
    None
}

fn apply_writes(peer: &mut Peer, writes: Batch, changes: &mut Changes) -> Result<(), Defect> {
    let range = peer.replica.range;
    for operation in writes.operations() {
        // Whatever was evaluated under another span was told so by its epoch.
        if !peer.identity.descriptor.span.contains(written_key(operation)?) {
            return Err(Defect::Unreadable("a command writes outside of its range".to_owned()));
        }
        match operation {
            Operation::Put { family: Family::Intents, key, value } => {
                let intent = mvcc::Intent::decode(value).map_err(|error| Defect::Unreadable(error.to_string()))?;
                changes.effects.push(Effect::Intent {
                    range,
                    key: Key(key.clone()),
                    head: Some(IntentHead::from(&intent)),
                });
            }
            Operation::Delete { family: Family::Intents, key } => {
                changes.effects.push(Effect::Intent { range, key: Key(key.clone()), head: None });
            }
            Operation::Put { family: Family::Txns, key, value } => {
                changes.effects.push(Effect::Record { range, key: key.clone(), value: Some(value.clone()) });
            }
            Operation::Delete { family: Family::Txns, key } => {
                changes.effects.push(Effect::Record { range, key: key.clone(), value: None });
            }
            Operation::Put { family: Family::Data, key, value } => {
                peer.applied.bytes += (key.len() + value.len()) as u64;
                peer.applied.versions += 1;
            }
            Operation::Delete { family: Family::Data, key } => {
                peer.applied.bytes = peer.applied.bytes.saturating_sub(key.len() as u64);
                peer.applied.versions = peer.applied.versions.saturating_sub(1);
            }
            Operation::Put { .. } | Operation::Delete { .. } | Operation::DeleteRange { .. } => {
                return Err(Defect::Unreadable("a command writes what is not replicated".to_owned()));
            }
        }
    }
    changes.batch.append(writes);
    Ok(())
}

/// The key that an operation writes to, without the eight bytes that tell versions, or records, of one key apart.
fn written_key(operation: &Operation) -> Result<&[u8], Defect> {
    let (family, key) = match operation {
        Operation::Put { family, key, .. } | Operation::Delete { family, key } => (*family, key),
        Operation::DeleteRange { family, start, .. } => (*family, start),
    };
    match family {
        Family::Data | Family::Txns => key.split_last_chunk::<SUFFIX_LEN>().map(|(key, _)| key),
        _ => Some(&key[..]),
    }
    .ok_or_else(|| Defect::Unreadable("a command writes to a key that is too short".to_owned()))
}

fn apply_register(
    engine: &std::sync::Arc<dyn storage::Engine>,
    peer: &mut Peer,
    name: &Bytes,
    change: RegisterChange,
    batch: &mut Batch,
) -> Result<(), Defect> {
    let range = peer.replica.range;
    if name == COUNTED
        && let RegisterChange::Put(value) = &change
    {
        let counted = Counted::decode(value.clone()).map_err(|error| Defect::Unreadable(error.to_string()))?;
        counted.add_to(&mut peer.applied);
    }
    let value = match change {
        RegisterChange::Put(value) => value,
        RegisterChange::Maximum(value) => {
            let unreadable = |error: storage::Error| Defect::Unreadable(error.to_string());
            // The one command that looks at what was there: earlier entries of this batch count.
            let known = match state::register_in(batch, range, name) {
                Some(known) => Some(known),
                None => state::register(&**engine, range, name).map_err(unreadable)?,
            };
            let known = known.and_then(|known| known[..].try_into().ok()).map_or(0, u64::from_be_bytes);
            Bytes::copy_from_slice(&known.max(value).to_be_bytes())
        }
    };
    state::put_register(batch, range, name, value);
    Ok(())
}

/// raft's configuration and the descriptor change together. Where the command does not count any more raft's
/// configuration must not change either: every replica decides so alike.
fn apply_members(
    peer: &mut Peer,
    entry: &Committed,
    change: &MemberChange,
    command: Option<Command>,
    refusal: Option<KvError>,
    changes: &mut Changes,
) -> Result<Answer, Defect> {
    if let Some(refusal) = refusal {
        return Ok(Answer::NoOp(refusal));
    }
    peer.replica.leadership.pause();
    if !env::sabotage("lease_of_other_voters") {
        peer.void_lease();
    }
    if let Some(members) = peer.consensus.apply_members(change)? {
        peer.identity.members = members;
        if let Some(Command { body: Body::Members { descriptor }, .. }) = command {
            assert!(
                descriptor.id == peer.replica.range && descriptor.span == peer.descriptor().span,
                "members change, nothing else"
            );
            peer.identity.descriptor = descriptor;
            peer.learn_addresses();
        }
    }
    state::put_identity(&mut changes.batch, &peer.identity);
    changes.effects.push(Effect::Described { range: peer.replica.range, index: entry.index });
    Ok(Answer::Applied)
}

/// The left side keeps the range's log; the right side begins one of its own with the state as it is here,
/// which is the same on every replica.
fn apply_split(
    engine: &std::sync::Arc<dyn storage::Engine>,
    peer: &mut Peer,
    entry: &Committed,
    at: Key,
    right: RangeId,
    right_replicas: &[ReplicaId],
    changes: &mut Changes,
) -> Result<Answer, Defect> {
    let left = peer.descriptor().clone();
    let fits = left.span.contains(&at)
        && at > left.span.start
        && left.replicas.len() == right_replicas.len()
        && !peer.consensus.is_joint();
    if !fits {
        let why = "a split that does not fit the range".to_owned();
        return Ok(Answer::NoOp(KvError::NotSupported { what: why }));
    }
    peer.replica.leadership.pause();
    let mut right_side = left.clone();
    right_side.id = right;
    right_side.span.start = at.clone();
    right_side.epoch.span += 1;
    for (replica, id) in right_side.replicas.iter_mut().zip(right_replicas) {
        replica.replica = *id;
    }
    let place = left.replicas.iter().position(|replica| replica.replica == peer.replica.id);
    peer.identity.descriptor.span.end = at;
    peer.identity.descriptor.epoch.span += 1;
    // Half of the size each, until whoever leads them has counted (`size.rs`).
    peer.applied.bytes /= 2;
    peer.applied.versions /= 2;
    state::put_identity(&mut changes.batch, &peer.identity);
    changes.effects.push(Effect::Described { range: peer.replica.range, index: entry.index });
    let right_replica = place.map(|place| right_replicas[place]);
    let has_left = right_replica.map_or(Ok(false), |replica| has_left(engine, right, replica))?;
    if has_left {
        // It was removed from the new range before the split was applied here.
        mvcc::clear_span(&right_side.span, &mut changes.batch);
    } else if let Some(place) = place {
        let right_replica = right_replicas[place];
        begin_right_side(engine, peer, right_side.clone(), right_replica, right_replicas, &left, changes)?;
        changes.effects.push(Effect::Split { left: peer.replica.range, right: right_side, right_replica });
    }
    Ok(Answer::Applied)
}

/// The state with which the new range starts here. Its log may be there already: when this entry is applied
/// again after a crash, what the new range has logged and voted since must not be lost.
fn begin_right_side(
    engine: &std::sync::Arc<dyn storage::Engine>,
    left: &Peer,
    descriptor: RangeDescriptor,
    replica: ReplicaId,
    replicas: &[ReplicaId],
    before: &RangeDescriptor,
    changes: &mut Changes,
) -> Result<(), Defect> {
    let unreadable = |error: storage::Error| Defect::Unreadable(error.to_string());
    let counterpart = |ids: &[u64]| -> Vec<u64> {
        let place = |id: &u64| before.replicas.iter().position(|replica| replica.replica.0 == *id);
        let mut ids: Vec<u64> = ids.iter().filter_map(place).map(|place| replicas[place].0).collect();
        ids.sort_unstable();
        ids
    };
    let members = &left.identity.members;
    let members = Members {
        voters: counterpart(&members.voters),
        learners: counterpart(&members.learners),
        ..Members::default()
    };
    let range = descriptor.id;
    let identity = Identity { replica, descriptor, members, garbage_floor: left.identity.garbage_floor };
    let applied = Applied {
        index: INITIAL_INDEX,
        term: INITIAL_TERM,
        bytes: left.applied.bytes,
        versions: left.applied.versions,
        ..Applied::default()
    };
    state::put_identity(&mut changes.batch, &identity);
    state::put_applied(&mut changes.batch, range, &applied);
    let mut log = RaftLog::open(engine.clone(), range.0).map_err(unreadable)?;
    if log.last_index() == 0 {
        begin_log(&mut log, &mut changes.logs);
    }
    Ok(())
}

fn has_left(engine: &std::sync::Arc<dyn storage::Engine>, range: RangeId, replica: ReplicaId) -> Result<bool, Defect> {
    let gone = state::gone(&**engine, range).map_err(|error| Defect::Unreadable(error.to_string()))?;
    Ok(gone.is_some_and(|gone| gone >= replica))
}
