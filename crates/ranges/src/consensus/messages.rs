//! raft's messages as bytes: a version byte, then the protobuf form that raft defines.

use keyspace::ReplicaId;
use raft::prelude::{ConfChangeV2, Message, MessageType};
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

/// One replica's vote for a candidate, itself perhaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    pub term: u64,
    pub voter: ReplicaId,
    pub candidate: ReplicaId,
}

/// The vote that a message tells of. Who asks for votes has given its own to itself.
pub fn vote_in(message: &Message) -> Option<Vote> {
    let (voter, term) = (ReplicaId(message.from), message.term);
    match message.msg_type() {
        MessageType::MsgRequestVote => Some(Vote { term, voter, candidate: voter }),
        MessageType::MsgRequestVoteResponse if !message.reject => {
            Some(Vote { term, voter, candidate: ReplicaId(message.to) })
        }
        _ => None,
    }
}

/// The same of an encoded message. Its first field says of which type it is: entries are not decoded for this.
pub fn decode_vote(bytes: &[u8]) -> Option<Vote> {
    const TYPE: u8 = 1 << 3;
    let [VERSION, TYPE, kind, ..] = *bytes else { return None };
    let kinds = [MessageType::MsgRequestVote, MessageType::MsgRequestVoteResponse];
    if !kinds.iter().any(|known| *known as i32 == i32::from(kind)) {
        return None;
    }
    decode_message(bytes).ok().and_then(|message| vote_in(&message))
}

/// A leader need not tell what is committed at the first opportunity: a later message does.
pub fn withhold_commit(message: &mut Message) {
    if matches!(message.msg_type(), MessageType::MsgAppend | MessageType::MsgHeartbeat) {
        message.commit = 0;
    }
}

/// An empty change leaves a joint configuration.
pub fn decode_change(bytes: &[u8]) -> Result<ConfChangeV2, DecodeError> {
    ConfChangeV2::decode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vote_is_told_by_its_bytes() {
        let mut message = Message { from: 2, to: 3, term: 7, ..Message::default() };
        let mut vote = |kind, reject| {
            message.set_msg_type(kind);
            message.reject = reject;
            let mut bytes = Vec::new();
            encode_message(&message, &mut bytes);
            assert_eq!(decode_vote(&bytes), vote_in(&message));
            decode_vote(&bytes)
        };
        let given_to = |candidate| Some(Vote { term: 7, voter: ReplicaId(2), candidate: ReplicaId(candidate) });
        assert_eq!(vote(MessageType::MsgRequestVoteResponse, false), given_to(3));
        assert_eq!(vote(MessageType::MsgRequestVoteResponse, true), None);
        assert_eq!(vote(MessageType::MsgRequestVote, false), given_to(2));
        assert_eq!(vote(MessageType::MsgRequestPreVoteResponse, false), None);
        assert_eq!(vote(MessageType::MsgAppend, false), None);
    }
}
