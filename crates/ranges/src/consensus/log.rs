//! The raft log as the `raft` crate wants to see it, over [`storage::RaftLog`].
//!
//! Entries are in memory from the moment they are appended until they are applied, so raft reads from disk
//! only for a follower that lags.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use raft::prelude::{ConfState, Entry, EntryType, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};
use storage::{Batch, Engine, LogEntry, RaftLog};

use crate::codec::{Reader, put_bytes, put_varint};
use crate::state::Members;

const NORMAL: u8 = 0;
const CONFIGURATION: u8 = 1;

/// A snapshot that raft wants to be sent: where the range's state stood at that index.
pub struct Outgoing {
    /// Raft id of the replica that needs it.
    pub to: u64,
    pub index: u64,
    pub state: Box<dyn storage::Snapshot>,
}

pub struct LogStorage {
    engine: Arc<dyn Engine>,
    log: RaftLog,
    members: Members,
    /// What is applied in the engine; a snapshot taken now is at this index.
    applied: u64,
    /// May a snapshot be taken now? Only so many are on their way at a time.
    snapshots_allowed: bool,
    outgoing: Mutex<Vec<Outgoing>>,
}

impl LogStorage {
    pub fn new(engine: Arc<dyn Engine>, log: RaftLog, members: Members, applied: u64) -> LogStorage {
        LogStorage { engine, log, members, applied, snapshots_allowed: true, outgoing: Mutex::default() }
    }

    pub fn log(&self) -> &RaftLog {
        &self.log
    }

    pub fn log_mut(&mut self) -> &mut RaftLog {
        &mut self.log
    }

    pub fn into_log(self) -> RaftLog {
        self.log
    }

    pub fn set_applied(&mut self, index: u64) {
        assert!(self.applied <= index, "what was applied stays applied");
        self.applied = index;
    }

    pub fn set_members(&mut self, members: Members) {
        self.members = members;
    }

    pub fn allow_snapshots(&mut self, allowed: bool) {
        self.snapshots_allowed = allowed;
    }

    pub fn take_outgoing(&mut self) -> Vec<Outgoing> {
        std::mem::take(self.outgoing.get_mut())
    }

    pub fn append(&mut self, entries: Vec<Entry>, batch: &mut Batch) {
        let entries: Vec<LogEntry> = entries.into_iter().map(to_log).collect();
        self.log.append(&entries, batch);
    }

    pub fn set_hard_state(&mut self, state: &HardState, batch: &mut Batch) {
        self.log.set_hard_state(encode_hard_state(state), batch);
    }
}

impl Storage for LogStorage {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let hard_state = match self.log.hard_state() {
            Some(bytes) => decode_hard_state(bytes.clone()).map_err(other)?,
            None => HardState::default(),
        };
        Ok(RaftState::new(hard_state, to_conf_state(&self.members)))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low < self.log.first_index() {
            return Err(StorageError::Compacted.into());
        }
        if high > self.log.last_index() + 1 {
            return Err(StorageError::Unavailable.into());
        }
        let entries = self.log.entries(low..high, max_size.into().unwrap_or(u64::MAX)).map_err(other)?;
        entries.into_iter().map(from_log).collect()
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        match self.log.term(index).map_err(other)? {
            Some(term) => Ok(term),
            None if index < self.log.first_index() => Err(StorageError::Compacted.into()),
            None => Err(StorageError::Unavailable.into()),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.log.first_index())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.log.last_index())
    }

    /// The state as it is applied now. Its rows do not travel in raft's message: [`Outgoing`] is picked up
    /// by the loop and sent chunk by chunk.
    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        let term = self.log.term(self.applied).map_err(other)?;
        let Some(term) = term.filter(|_| self.snapshots_allowed && self.applied >= request_index) else {
            return Err(StorageError::SnapshotTemporarilyUnavailable.into());
        };
        self.outgoing.lock().push(Outgoing { to, index: self.applied, state: self.engine.snapshot() });
        let mut snapshot = Snapshot::default();
        let metadata = snapshot.mut_metadata();
        metadata.index = self.applied;
        metadata.term = term;
        metadata.conf_state = Some(to_conf_state(&self.members));
        Ok(snapshot)
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> raft::Error {
    raft::Error::Store(StorageError::Other(Box::new(error)))
}

/// The command that an entry of a log carries, if it is no change of members and not raft's own.
pub fn command_in(entry: &LogEntry) -> Option<&[u8]> {
    (entry.kind == NORMAL && !entry.data.is_empty()).then_some(&entry.data[..])
}

/// A configuration change carries raft's change in `data` and the command with the new descriptor beside it.
fn to_log(entry: Entry) -> LogEntry {
    let Entry { term, index, data, context, entry_type, .. } = entry;
    let (kind, data) = match EntryType::from_i32(entry_type) {
        Some(EntryType::EntryNormal) => (NORMAL, data.into()),
        Some(EntryType::EntryConfChangeV2) => {
            let mut both = Vec::with_capacity(data.len() + context.len() + 4);
            put_bytes(&mut both, &data);
            both.extend_from_slice(&context);
            (CONFIGURATION, both.into())
        }
        Some(EntryType::EntryConfChange) | None => {
            panic!("raft proposes configuration changes of the second kind only")
        }
    };
    LogEntry { index, term, kind, data }
}

fn from_log(entry: LogEntry) -> raft::Result<Entry> {
    let mut raft = Entry { term: entry.term, index: entry.index, ..Entry::default() };
    match entry.kind {
        NORMAL => raft.data = entry.data.into(),
        CONFIGURATION => {
            raft.set_entry_type(EntryType::EntryConfChangeV2);
            let mut reader = Reader::new("a configuration change", entry.data);
            raft.data = reader.bytes().map_err(other)?.into();
            raft.context = reader.rest().into();
        }
        _ => return Err(other(storage::Error::Corrupt(format!("entry {} is of an unknown kind", entry.index)))),
    }
    Ok(raft)
}

const HARD_STATE_VERSION: u8 = 1;

pub fn encode_hard_state(state: &HardState) -> Bytes {
    let mut out = vec![HARD_STATE_VERSION];
    for number in [state.term, state.vote, state.commit] {
        put_varint(&mut out, number);
    }
    out.into()
}

pub fn decode_hard_state(bytes: Bytes) -> crate::codec::Result<HardState> {
    let mut reader = Reader::new("a hard state", bytes);
    reader.version(HARD_STATE_VERSION)?;
    let state = HardState { term: reader.varint()?, vote: reader.varint()?, commit: reader.varint()? };
    reader.end()?;
    Ok(state)
}

pub fn to_conf_state(members: &Members) -> ConfState {
    ConfState {
        voters: members.voters.clone(),
        learners: members.learners.clone(),
        voters_outgoing: members.outgoing.clone(),
        learners_next: members.learners_next.clone(),
        auto_leave: members.auto_leave,
    }
}

pub fn from_conf_state(state: &ConfState) -> Members {
    let sorted = |ids: &[u64]| {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids
    };
    Members {
        voters: sorted(&state.voters),
        learners: sorted(&state.learners),
        outgoing: sorted(&state.voters_outgoing),
        learners_next: sorted(&state.learners_next),
        auto_leave: state.auto_leave,
    }
}
