//! What a replica keeps beside the data of its range, in [`Family::Local`]:
//!
//! ```text
//!   'r' ++ range ++ 01           who it is: replica id, descriptor, raft's configuration
//!   'r' ++ range ++ 02           how far it has applied, in the same batch as what was applied
//!   'r' ++ range ++ 03 ++ name   a register
//!   'r' ++ range ++ 04           a snapshot is being put in place (rule 28)
//!   'r' ++ range ++ 05 ++ number a chunk of a snapshot that is arriving
//!   'r' ++ range ++ 06           the replica left: no replica with this number or a lower one comes back
//! ```
//!
//! The applied index is written together with the applied data and never apart from it: after a crash the
//! two agree, whatever the engine lost (reliability.md, D7).

use bytes::Bytes;
use keyspace::{RangeId, ReplicaId, Timestamp};
use rpc::range::RangeDescriptor;
use storage::{Batch, Engine, Family, Snapshot};

use crate::codec::{Reader, put_bytes, put_descriptor, put_list, put_u64, put_varint};

const VERSION: u8 = 1;
const IDENTITY: u8 = 1;
const APPLIED: u8 = 2;
const REGISTER: u8 = 3;
const INSTALLING: u8 = 4;
const CHUNK: u8 = 5;
const GONE: u8 = 6;

/// Log position before the first entry of a range. Above zero, so that a replica which starts with nothing
/// is told apart: it needs a snapshot.
pub const INITIAL_INDEX: u64 = 10;
pub const INITIAL_TERM: u64 = 5;

/// Who a replica is. Changes with its range's descriptor only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub replica: ReplicaId,
    /// A replica that has not received its first snapshot knows only which range it is for.
    pub descriptor: RangeDescriptor,
    pub members: Members,
    /// Nothing may be read or written at or below it (rule 16).
    pub garbage_floor: Timestamp,
}

/// Raft's configuration, as replica ids. `outgoing` is not empty while one gives way to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    pub voters: Vec<u64>,
    pub learners: Vec<u64>,
    pub outgoing: Vec<u64>,
    pub learners_next: Vec<u64>,
    pub auto_leave: bool,
}

/// How far a replica is, and what it counts on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub index: u64,
    pub term: u64,
    /// Of the last command of that term.
    pub sequence: u64,
    pub sequence_term: u64,
    /// Bytes and versions written, less what was removed: about the size of the range.
    pub bytes: u64,
    pub versions: u64,
}

/// A snapshot whose chunks are all here and which is being put in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installing {
    pub index: u64,
    pub term: u64,
    pub chunks: u64,
    pub identity: Identity,
    pub applied: Applied,
    pub registers: Vec<(Bytes, Bytes)>,
}

fn key(range: RangeId, kind: u8) -> Vec<u8> {
    let mut key = Vec::with_capacity(10);
    key.push(b'r');
    put_u64(&mut key, range.0);
    key.push(kind);
    key
}

impl Identity {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_varint(&mut out, self.replica.0);
        put_descriptor(&mut out, &self.descriptor);
        for list in [&self.members.voters, &self.members.learners, &self.members.outgoing, &self.members.learners_next]
        {
            put_list(&mut out, list, |out, id| put_varint(out, *id));
        }
        out.push(u8::from(self.members.auto_leave));
        put_u64(&mut out, self.garbage_floor.0);
        out
    }

    pub fn decode(reader: &mut Reader) -> crate::codec::Result<Identity> {
        reader.version(VERSION)?;
        let replica = ReplicaId(reader.varint()?);
        let descriptor = reader.descriptor()?;
        let mut ids = || reader.list(Reader::varint);
        let (voters, learners, outgoing, learners_next) = (ids()?, ids()?, ids()?, ids()?);
        let members = Members { voters, learners, outgoing, learners_next, auto_leave: reader.bool()? };
        Ok(Identity { replica, descriptor, members, garbage_floor: Timestamp(reader.u64()?) })
    }
}

impl Applied {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32);
        out.push(VERSION);
        for number in [self.index, self.term, self.sequence, self.sequence_term, self.bytes, self.versions] {
            put_varint(&mut out, number);
        }
        out
    }

    fn decode(reader: &mut Reader) -> crate::codec::Result<Applied> {
        reader.version(VERSION)?;
        Ok(Applied {
            index: reader.varint()?,
            term: reader.varint()?,
            sequence: reader.varint()?,
            sequence_term: reader.varint()?,
            bytes: reader.varint()?,
            versions: reader.varint()?,
        })
    }
}

impl Installing {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        for number in [self.index, self.term, self.chunks] {
            put_varint(&mut out, number);
        }
        put_bytes(&mut out, &self.identity.encode());
        put_bytes(&mut out, &self.applied.encode());
        put_list(&mut out, &self.registers, |out, (name, value)| {
            put_bytes(out, name);
            put_bytes(out, value);
        });
        out
    }

    pub fn decode(bytes: Bytes) -> crate::codec::Result<Installing> {
        let mut reader = Reader::new("a snapshot's head", bytes);
        reader.version(VERSION)?;
        let (index, term, chunks) = (reader.varint()?, reader.varint()?, reader.varint()?);
        let identity = Identity::decode(&mut Reader::new("an identity", reader.bytes()?))?;
        let applied = Applied::decode(&mut Reader::new("an applied position", reader.bytes()?))?;
        let registers = reader.list(|reader| Ok((reader.bytes()?, reader.bytes()?)))?;
        reader.end()?;
        Ok(Installing { index, term, chunks, identity, applied, registers })
    }
}

pub fn put_identity(batch: &mut Batch, identity: &Identity) {
    batch.put(Family::Local, key(identity.descriptor.id, IDENTITY), identity.encode());
}

pub fn put_applied(batch: &mut Batch, range: RangeId, applied: &Applied) {
    batch.put(Family::Local, key(range, APPLIED), applied.encode());
}

pub fn applied(snapshot: &dyn Snapshot, range: RangeId) -> storage::Result<Applied> {
    match snapshot.get(Family::Local, &key(range, APPLIED))? {
        Some(bytes) => Ok(Applied::decode(&mut Reader::new("an applied position", bytes))?),
        None => Ok(Applied::default()),
    }
}

/// All replicas of the store.
pub fn identities(engine: &dyn Engine) -> storage::Result<Vec<Identity>> {
    let snapshot = engine.snapshot();
    let mut found = Vec::new();
    let (start, end) = ([b'r'], [b'r' + 1]);
    let mut iter = snapshot.iter(Family::Local, &start, &end);
    iter.seek(&start)?;
    while iter.valid() {
        if iter.key().len() == 10 && iter.key()[9] == IDENTITY {
            let bytes = Bytes::copy_from_slice(iter.value());
            found.push(Identity::decode(&mut Reader::new("an identity", bytes))?);
        }
        // On to the next range: registers and chunks in between are of no interest.
        let mut next = iter.key()[..9].to_vec();
        next.push(if iter.key()[9] < IDENTITY { IDENTITY } else { 0xff });
        iter.seek(&next)?;
    }
    Ok(found)
}

pub fn put_register(batch: &mut Batch, range: RangeId, name: &[u8], value: Bytes) {
    let mut key = key(range, REGISTER);
    key.extend_from_slice(name);
    batch.put(Family::Local, key, value);
}

pub fn registers(snapshot: &dyn Snapshot, range: RangeId) -> storage::Result<Vec<(Bytes, Bytes)>> {
    let (start, end) = (key(range, REGISTER), key(range, REGISTER + 1));
    let mut iter = snapshot.iter(Family::Local, &start, &end);
    let mut found = Vec::new();
    iter.seek(&start)?;
    while iter.valid() {
        found.push((Bytes::copy_from_slice(&iter.key()[start.len()..]), Bytes::copy_from_slice(iter.value())));
        iter.next()?;
    }
    Ok(found)
}

pub fn put_installing(batch: &mut Batch, range: RangeId, installing: &Installing) {
    batch.put(Family::Local, key(range, INSTALLING), installing.encode());
}

pub fn installing(engine: &dyn Engine, range: RangeId) -> storage::Result<Option<Installing>> {
    let bytes = engine.get(Family::Local, &key(range, INSTALLING))?;
    Ok(bytes.map(Installing::decode).transpose()?)
}

pub fn put_chunk(batch: &mut Batch, range: RangeId, number: u64, chunk: Bytes) {
    let mut key = key(range, CHUNK);
    put_u64(&mut key, number);
    batch.put(Family::Local, key, chunk);
}

pub fn chunk(engine: &dyn Engine, range: RangeId, number: u64) -> storage::Result<Option<Bytes>> {
    let mut key = key(range, CHUNK);
    put_u64(&mut key, number);
    engine.get(Family::Local, &key)
}

/// Removes the marker and all chunks.
pub fn clear_installing(batch: &mut Batch, range: RangeId) {
    batch.delete(Family::Local, key(range, INSTALLING));
    clear_chunks(batch, range);
}

pub fn clear_chunks(batch: &mut Batch, range: RangeId) {
    batch.delete_range(Family::Local, key(range, CHUNK), key(range, CHUNK + 1));
}

/// Removes all state of a replica but the note that it was here.
pub fn destroy(batch: &mut Batch, range: RangeId, replica: ReplicaId) {
    batch.delete_range(Family::Local, key(range, 0), key(range, GONE));
    let mut value = vec![VERSION];
    put_varint(&mut value, replica.0);
    batch.put(Family::Local, key(range, GONE), value);
}

/// The highest number among the replicas of this range that left.
pub fn gone(engine: &dyn Engine, range: RangeId) -> storage::Result<Option<ReplicaId>> {
    let Some(bytes) = engine.get(Family::Local, &key(range, GONE))? else { return Ok(None) };
    let mut reader = Reader::new("a note of a replica that left", bytes);
    reader.version(VERSION)?;
    Ok(Some(ReplicaId(reader.varint()?)))
}

pub fn register(engine: &dyn Engine, range: RangeId, name: &[u8]) -> storage::Result<Option<Bytes>> {
    let mut key = key(range, REGISTER);
    key.extend_from_slice(name);
    engine.get(Family::Local, &key)
}

/// The register as a batch that is not written yet will set it.
pub fn register_in(batch: &Batch, range: RangeId, name: &[u8]) -> Option<Bytes> {
    let mut wanted = key(range, REGISTER);
    wanted.extend_from_slice(name);
    batch.operations().iter().rev().find_map(|operation| match operation {
        storage::Operation::Put { family: Family::Local, key, value } if *key == wanted => Some(value.clone()),
        _ => None,
    })
}

/// Exactly these registers, whatever there was.
pub fn replace_registers(batch: &mut Batch, range: RangeId, registers: &[(Bytes, Bytes)]) {
    batch.delete_range(Family::Local, key(range, REGISTER), key(range, REGISTER + 1));
    for (name, value) in registers {
        put_register(batch, range, name, value.clone());
    }
}
