//! Messages for a range whose split this node has not applied yet.
//!
//! The leader of a range applies a split first and stands for election in the right-hand side at once; its
//! requests for votes overtake the news, here, that the split is committed. Dropping them would leave the new range
//! without a leader until an election timeout has passed. They wait a moment instead.

use std::collections::VecDeque;

use keyspace::{RangeId, ReplicaId};

use crate::consensus::RaftMessage;

/// More are dropped, oldest first; raft sends again what is dropped.
const WAITING_MAX: usize = 1024;

#[derive(Default)]
pub struct Early {
    waiting: VecDeque<Message>,
}

struct Message {
    tick: u64,
    range: RangeId,
    from: ReplicaId,
    message: RaftMessage,
}

impl Early {
    pub fn hold(&mut self, tick: u64, range: RangeId, from: ReplicaId, message: RaftMessage) {
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Message { tick, range, from, message });
    }

    /// What has come for `range`, in order of arrival. Whether it is meant for this replica the receiver checks.
    pub fn take(&mut self, range: RangeId) -> Vec<(ReplicaId, RaftMessage)> {
        let (now, later) = self.waiting.drain(..).partition(|held| held.range == range);
        self.waiting = later;
        let now: VecDeque<Message> = now;
        now.into_iter().map(|held| (held.from, held.message)).collect()
    }

    /// Forgets what has waited since before `tick`: those who sent it have stood for election again.
    pub fn forget_before(&mut self, tick: u64) {
        while self.waiting.front().is_some_and(|held| held.tick < tick) {
            self.waiting.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_in_order_and_not_for_ever() {
        let mut early = Early::default();
        let message = |term| RaftMessage { term, ..RaftMessage::default() };
        for (tick, range) in [(1, 7), (2, 8), (3, 7)] {
            early.hold(tick, RangeId(range), ReplicaId(1), message(tick));
        }
        early.forget_before(2);
        let terms = |taken: Vec<(ReplicaId, RaftMessage)>| taken.iter().map(|(_, m)| m.term).collect::<Vec<_>>();
        assert_eq!(terms(early.take(RangeId(7))), [3]);
        assert_eq!(terms(early.take(RangeId(7))), [] as [u64; 0]);
        assert_eq!(terms(early.take(RangeId(8))), [2]);
        for number in 0..=WAITING_MAX as u64 {
            early.hold(4, RangeId(9), ReplicaId(1), message(number));
        }
        assert_eq!(terms(early.take(RangeId(9))).first(), Some(&1), "the oldest made room");
    }
}
