//! When a replica gives no vote, to others or to itself: the followers' half of the leader's lease
//! (`log_loop/confirms.rs`; protocol.md, rules 24, 25 and 27).
//!
//! ```text
//!   follower   ──heard──────────heard──────────────────────────────► time, on its own CLOCK_BOOTTIME
//!                               └────── silence ──────┘ no vote
//!   leader        sent ─ ─ ─ ─ ─┘ (acknowledged)
//!                 └───── lease ─────┘                    ends earlier, whatever the clocks' rates within the bound
//! ```
//!
//! * **After it heard from a leader** a replica votes for nobody for one election timeout. raft refuses by its ticks,
//!   too, and forgets the leader whenever its term moves; this refusal is by the clock and forgets nothing. Forced votes (a
//!   leader transfer) are given: who sent TimeoutNow has given its lease up before.
//! * **After a restart** it does not know when it heard from a leader, so it was just now. Forced votes and TimeoutNow
//!   are refused as well. A replica that has never been in a term of an elected leader has promised nothing.
//! * A sole voter has nobody to wait for.

use std::time::Duration;

use env::{Mono, probe};
use raft::CAMPAIGN_TRANSFER;
use raft::prelude::{Message, MessageType};

use crate::state::INITIAL_TERM;

#[derive(Debug)]
pub struct Refusal {
    silence: Duration,
    /// Until then no vote but a forced one.
    until: Mono,
    /// Until then no vote at all.
    any_until: Mono,
}

impl Refusal {
    /// `term` is the one on disk.
    pub fn begin(silence: Duration, term: u64, now: Mono) -> Refusal {
        let has_promised = term > INITIAL_TERM && !env::sabotage("vote_at_once_after_a_restart");
        let until = if has_promised { now + silence } else { Mono::default() };
        Refusal { silence, until, any_until: until }
    }

    /// A message of the leader of this term or of a later one arrives.
    pub fn heard(&mut self, now: Mono) {
        self.until = self.until.max(now + self.silence);
    }

    /// May this replica stand for election, with its own vote?
    pub fn forbids_candidacy(&self, now: Mono) -> bool {
        now < self.until
    }

    /// Is the message one that must not be heard now? `term` is this replica's.
    pub fn covers(&self, message: &Message, term: u64, now: Mono) -> bool {
        let forbidden = match message.msg_type() {
            // What is of an earlier term gets no vote anyway, and the answer says so.
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote if message.term >= term => {
                let forced = &message.context[..] == CAMPAIGN_TRANSFER;
                now < if forced { self.any_until } else { self.until }
            }
            MessageType::MsgTimeoutNow => now < self.any_until,
            _ => false,
        };
        if forbidden {
            probe!("a_vote_was_refused_for_a_lease");
        }
        forbidden
    }
}
