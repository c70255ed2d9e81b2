//! In one term of a range a replica votes for one candidate, in all its lives (raft's vote is for ever). Looked up in the messages as
//! they are sent: what is said counts, and it is said only when it is on disk.

use std::collections::BTreeMap;

use keyspace::{RangeId, ReplicaId};
use parking_lot::Mutex;
use ranges::{Vote, vote_on_the_wire};
use rpc::RaftEnvelope;

use crate::World;

#[derive(Default)]
pub struct OneVote {
    votes: Mutex<Votes>,
}

#[derive(Default)]
struct Votes {
    given: BTreeMap<(RangeId, ReplicaId, u64), ReplicaId>,
    /// From address to address.
    last: BTreeMap<String, String>,
}

impl OneVote {
    /// A message leaves `from`.
    pub fn look(&self, world: &World, from: &str, to: &str, envelope: &RaftEnvelope) {
        let Some(Vote { term, voter, candidate }) = vote_on_the_wire(&envelope.message) else { return };
        let mut votes = self.votes.lock();
        if voter != candidate {
            votes.last.insert(from.to_owned(), to.to_owned());
        }
        let range = envelope.range;
        let first = *votes.given.entry((range, voter, term)).or_insert(candidate);
        if first != candidate {
            let what = format!("{voter} of {range} on {from} votes for {candidate} in term {term}, after {first}");
            world.violation("one_vote_per_term", what);
        }
    }

    /// Whom the process at `voter` voted for last.
    pub fn last_of(&self, voter: &str) -> Option<String> {
        self.votes.lock().last.get(voter).cloned()
    }
}
