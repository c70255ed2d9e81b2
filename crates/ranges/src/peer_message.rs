//! What replicas of one range say to each other: raft's messages, and those that raft does not know. Each
//! may be lost, repeated and reordered.

use bytes::Bytes;
use rpc::range::RangeDescriptor;

use crate::codec::{Malformed, Reader, Result, put_bytes, put_descriptor, put_varint};
use crate::consensus::{RaftMessage, Vote, decode_message, decode_vote, encode_message};

#[derive(Clone, Debug, PartialEq)]
pub enum PeerMessage {
    Raft(RaftMessage),
    /// From a leader to a replica that does not answer: this is the range that you belong to. A node that
    /// has no such replica creates it, empty.
    Introduce(RangeDescriptor),
    /// To a replica that is no longer one: here is the descriptor without it.
    Retire(RangeDescriptor),
    /// Part `number` of the snapshot `id`.
    Chunk {
        id: u64,
        number: u64,
        data: Bytes,
    },
    /// All parts have been sent. `head` says what they make up; `accept` is raft's own message.
    Finish {
        id: u64,
        chunks: u64,
        head: Bytes,
        accept: RaftMessage,
    },
    /// All parts below `next` have arrived; for the last one, the snapshot was taken over.
    Received {
        id: u64,
        next: u64,
    },
    /// This snapshot is of no use here (now).
    Declined {
        id: u64,
    },
}

const RAFT: u8 = 1;
const INTRODUCE: u8 = 2;
const RETIRE: u8 = 3;
const CHUNK: u8 = 4;
const FINISH: u8 = 5;
const RECEIVED: u8 = 6;
const DECLINED: u8 = 7;

impl PeerMessage {
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        match self {
            PeerMessage::Raft(message) => {
                out.push(RAFT);
                encode_message(message, &mut out);
            }
            PeerMessage::Introduce(descriptor) => {
                out.push(INTRODUCE);
                put_descriptor(&mut out, descriptor);
            }
            PeerMessage::Retire(descriptor) => {
                out.push(RETIRE);
                put_descriptor(&mut out, descriptor);
            }
            PeerMessage::Chunk { id, number, data } => {
                out.reserve(data.len() + 32);
                out.push(CHUNK);
                put_varint(&mut out, *id);
                put_varint(&mut out, *number);
                put_bytes(&mut out, data);
            }
            PeerMessage::Finish { id, chunks, head, accept } => {
                out.push(FINISH);
                put_varint(&mut out, *id);
                put_varint(&mut out, *chunks);
                put_bytes(&mut out, head);
                encode_message(accept, &mut out);
            }
            PeerMessage::Received { id, next } => {
                out.push(RECEIVED);
                put_varint(&mut out, *id);
                put_varint(&mut out, *next);
            }
            PeerMessage::Declined { id } => {
                out.push(DECLINED);
                put_varint(&mut out, *id);
            }
        }
        out.into()
    }

    pub fn decode(bytes: Bytes) -> Result<PeerMessage> {
        let mut reader = Reader::new("a message of a replica", bytes);
        let message = match reader.u8()? {
            RAFT => return Ok(PeerMessage::Raft(raft(reader)?)),
            INTRODUCE => PeerMessage::Introduce(reader.descriptor()?),
            RETIRE => PeerMessage::Retire(reader.descriptor()?),
            CHUNK => PeerMessage::Chunk { id: reader.varint()?, number: reader.varint()?, data: reader.bytes()? },
            FINISH => {
                let (id, chunks, head) = (reader.varint()?, reader.varint()?, reader.bytes()?);
                return Ok(PeerMessage::Finish { id, chunks, head, accept: raft(reader)? });
            }
            RECEIVED => PeerMessage::Received { id: reader.varint()?, next: reader.varint()? },
            DECLINED => PeerMessage::Declined { id: reader.varint()? },
            _ => return Err(reader.malformed("is of an unknown kind")),
        };
        reader.end()?;
        Ok(message)
    }
}

/// The vote that an encoded message tells of, for somebody who watches the wires.
pub fn vote_on_the_wire(message: &[u8]) -> Option<Vote> {
    message.strip_prefix(&[RAFT]).and_then(decode_vote)
}

fn raft(reader: Reader) -> std::result::Result<RaftMessage, Malformed> {
    let malformed = reader.malformed("has a raft message that cannot be read");
    decode_message(&reader.rest()).map_err(|_| malformed)
}
