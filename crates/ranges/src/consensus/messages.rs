//! raft's messages as bytes: a version byte, then the protobuf form that raft defines.

use raft::prelude::{ConfChangeV2, Message};
use raft_prost::{DecodeError, Message as _};

const VERSION: u8 = 1;

pub type RaftMessage = Message;

pub fn encode_message(message: &Message, out: &mut Vec<u8>) {
    out.reserve(1 + message.encoded_len());
    out.push(VERSION);
    message.encode(out).expect("a vector grows");
}

pub fn decode_message(bytes: &[u8]) -> Result<Message, DecodeError> {
    match bytes.split_first() {
        Some((&VERSION, message)) => Message::decode(message),
        _ => Err(DecodeError::new("an unknown version of raft's messages")),
    }
}

/// An empty change leaves a joint configuration.
pub fn decode_change(bytes: &[u8]) -> Result<ConfChangeV2, DecodeError> {
    ConfChangeV2::decode(bytes)
}
