//! What one entry of a range's log says.
//!
//! ```text
//!   version 1 │ term 8 │ epoch 8+8 │ sequence 8 │ kind 1 │ body
//!   writes:  (family and delete bit 1, key, value)*
//! ```
//!
//! A command is evaluated by the leader and carries the effects alone, so that every replica applies the
//! same. It also carries the term and epoch under which it was evaluated: an entry whose own raft term is
//! another one, or which meets another epoch, is a no-op with an answer, on every replica alike (protocol.md,
//! rule 6). `sequence` rises with each command of a term: one that is not above the last applied is a
//! repetition, and a no-op too.

use bytes::Bytes;
use keyspace::{Epoch, Key, RangeId, ReplicaId, Timestamp};
use rpc::range::RangeDescriptor;
use storage::{Batch, Family, Operation};

use crate::codec::{Malformed, Reader, Result, put_bytes, put_descriptor, put_list, put_u64, put_varint};

const VERSION: u8 = 1;
/// Version, term, epoch, sequence, kind.
pub const HEADER_LEN: usize = 1 + 8 + 16 + 8 + 1;
const SEQUENCE_AT: usize = 1 + 8 + 16;
const DELETES: u8 = 0x80;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub term: u64,
    pub epoch: Epoch,
    pub sequence: u64,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Writes to the families of the range's state.
    Writes(Batch),
    /// A register of the range: a small value beside the data, applied without evaluation.
    Register { name: Bytes, change: RegisterChange },
    /// Everything from `at` on becomes the range `right`. `right_replicas` in the order of the replicas.
    Split { at: Key, right: RangeId, right_replicas: Vec<ReplicaId> },
    /// Nothing at or below this number is read or written any more: what nobody above it can see may go.
    GarbageFloor(Timestamp),
    /// The replicas the range has from now on; the entry is a configuration change of raft, too.
    Members { descriptor: RangeDescriptor },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterChange {
    Put(Bytes),
    /// A number that never falls: a late entry does no harm (the oracle's window).
    Maximum(u64),
}

const WRITES: u8 = 1;
const REGISTER: u8 = 2;
const SPLIT: u8 = 3;
const MEMBERS: u8 = 4;
const GARBAGE_FLOOR: u8 = 5;

impl Body {
    /// The bytes of a command whose sequence is set later ([`set_sequence`]).
    pub fn encode(&self, term: u64, epoch: Epoch) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN + self.size_hint());
        out.push(VERSION);
        put_u64(&mut out, term);
        put_u64(&mut out, epoch.config);
        put_u64(&mut out, epoch.span);
        put_u64(&mut out, 0);
        match self {
            Body::Writes(batch) => {
                out.push(WRITES);
                put_writes(&mut out, batch);
            }
            Body::Register { name, change } => {
                out.push(REGISTER);
                put_bytes(&mut out, name);
                match change {
                    RegisterChange::Put(value) => {
                        out.push(0);
                        put_bytes(&mut out, value);
                    }
                    RegisterChange::Maximum(value) => {
                        out.push(1);
                        put_u64(&mut out, *value);
                    }
                }
            }
            Body::Split { at, right, right_replicas } => {
                out.push(SPLIT);
                put_bytes(&mut out, at);
                put_varint(&mut out, right.0);
                put_list(&mut out, right_replicas, |out, replica| put_varint(out, replica.0));
            }
            Body::GarbageFloor(floor) => {
                out.push(GARBAGE_FLOOR);
                put_u64(&mut out, floor.0);
            }
            Body::Members { descriptor } => {
                out.push(MEMBERS);
                put_descriptor(&mut out, descriptor);
            }
        }
        out
    }

    fn size_hint(&self) -> usize {
        match self {
            Body::Writes(batch) => batch.bytes() + batch.operations().len() * 7,
            _ => 128,
        }
    }
}

/// Numbers an encoded command; the loop does so in the order in which it proposes.
pub fn set_sequence(encoded: &mut [u8], sequence: u64) {
    assert!(encoded.len() >= HEADER_LEN, "an encoded command has a header");
    encoded[SEQUENCE_AT..SEQUENCE_AT + 8].copy_from_slice(&sequence.to_be_bytes());
}

/// The term under which an encoded command was evaluated, without a look at what it says.
pub fn term_of(encoded: &[u8]) -> Option<u64> {
    match encoded.split_first_chunk::<9>() {
        Some(([VERSION, term @ ..], _)) => Some(u64::from_be_bytes(*term)),
        _ => None,
    }
}

impl Command {
    pub fn decode(bytes: Bytes) -> Result<Command> {
        let mut reader = Reader::new("a command", bytes);
        reader.version(VERSION)?;
        let term = reader.u64()?;
        let epoch = Epoch { config: reader.u64()?, span: reader.u64()? };
        let sequence = reader.u64()?;
        let body = match reader.u8()? {
            WRITES => Body::Writes(read_writes(&mut reader)?),
            REGISTER => Body::Register { name: reader.bytes()?, change: read_register_change(&mut reader)? },
            SPLIT => Body::Split {
                at: reader.key()?,
                right: RangeId(reader.varint()?),
                right_replicas: reader.list(|reader| Ok(ReplicaId(reader.varint()?)))?,
            },
            GARBAGE_FLOOR => Body::GarbageFloor(Timestamp(reader.u64()?)),
            MEMBERS => Body::Members { descriptor: reader.descriptor()? },
            _ => return Err(reader.malformed("has an unknown kind")),
        };
        reader.end()?;
        Ok(Command { term, epoch, sequence, body })
    }
}

fn put_writes(out: &mut Vec<u8>, batch: &Batch) {
    for operation in batch.operations() {
        match operation {
            Operation::Put { family, key, value } => {
                out.push(*family as u8);
                put_bytes(out, key);
                put_bytes(out, value);
            }
            Operation::Delete { family, key } => {
                out.push(*family as u8 | DELETES);
                put_bytes(out, key);
            }
            Operation::DeleteRange { .. } => panic!("a command names each key it deletes"),
        }
    }
}

fn read_writes(reader: &mut Reader) -> Result<Batch> {
    let mut batch = Batch::new();
    while !reader.is_empty() {
        let tag = reader.u8()?;
        let family = replicated_family(tag & !DELETES)
            .ok_or_else(|| reader.malformed("names a family that is not replicated"))?;
        let key = reader.bytes()?;
        if tag & DELETES != 0 {
            batch.delete(family, key);
        } else {
            batch.put(family, key, reader.bytes()?);
        }
    }
    Ok(batch)
}

fn replicated_family(number: u8) -> Option<Family> {
    Family::from_u8(number).filter(|family| matches!(family, Family::Data | Family::Intents | Family::Txns))
}

fn read_register_change(reader: &mut Reader) -> std::result::Result<RegisterChange, Malformed> {
    Ok(if reader.bool()? { RegisterChange::Maximum(reader.u64()?) } else { RegisterChange::Put(reader.bytes()?) })
}

#[cfg(test)]
mod tests {
    use keyspace::{NodeId, Span};
    use rpc::range::{ReplicaDescriptor, ReplicaRole};

    use super::*;

    fn examples() -> Vec<Body> {
        let mut batch = Batch::new();
        batch.put(Family::Data, &b"key"[..], &b"value"[..]);
        batch.delete(Family::Intents, &b"key"[..]);
        batch.put(Family::Txns, &b""[..], vec![7; 300]);
        let replica = ReplicaDescriptor { node: NodeId(1), replica: ReplicaId(2), role: ReplicaRole::Voter };
        let descriptor =
            RangeDescriptor { id: RangeId(1), epoch: Epoch::default(), span: Span::all(), replicas: vec![replica] };
        vec![
            Body::Writes(batch),
            Body::Writes(Batch::new()),
            Body::Register { name: "window".into(), change: RegisterChange::Maximum(u64::MAX) },
            Body::Register { name: "nodes".into(), change: RegisterChange::Put("…".into()) },
            Body::Split { at: "m".into(), right: RangeId(9), right_replicas: vec![ReplicaId(3), ReplicaId(300)] },
            Body::GarbageFloor(Timestamp(12)),
            Body::Members { descriptor },
        ]
    }

    #[test]
    fn commands_come_back_and_torn_ones_do_not() {
        let epoch = Epoch { config: 5, span: 6 };
        for body in examples() {
            let mut encoded = body.encode(4, epoch);
            set_sequence(&mut encoded, 77);
            let bytes = Bytes::from(encoded);
            assert_eq!(
                Command::decode(bytes.clone()),
                Ok(Command { term: 4, epoch, sequence: 77, body: body.clone() })
            );
            for cut in 0..HEADER_LEN {
                assert!(Command::decode(bytes.slice(..cut)).is_err());
            }
            if bytes.len() > HEADER_LEN {
                assert!(Command::decode(bytes.slice(..bytes.len() - 1)).is_err());
            }
        }
    }

    #[test]
    fn a_command_writes_no_local_state() {
        let mut batch = Batch::new();
        batch.put(Family::Local, &b"k"[..], &b"v"[..]);
        assert!(Command::decode(Body::Writes(batch).encode(1, Epoch::default()).into()).is_err());
    }
}
