//! What a leader asks its voters: "do I still lead?" One question per turn for all who want to know, and each answer
//! makes a lease (protocol.md, rules 24 to 27; docs/decisions/0008-leases.md).
//!
//! ```text
//!            asked, at this moment ──────┬──────── lease ────────┬──►  this node's clock
//!     leader ────────────────────────────┴───────────────────────┴──
//!                                         \   ▲ answers of a quorum
//!     voters ─────────────────────────────heard────────── silence: no vote ─────────┬──
//! ```
//!
//! Each of a quorum has heard the question after it was asked, and votes for nobody for one election timeout from then
//! on (`consensus/refusal.rs`). Whoever is elected next needs one of them. So nobody is, before the lease is over, which is
//! shorter than that by more than clocks may differ in their rates.
//!
//! * It counts from the moment at which the question was *asked*, not from its answer.
//! * A question that was asked under another configuration of voters makes no lease: [`Confirms::forget_questions`].
//! * A leader that told somebody to stand for election has none for the rest of its term: [`Confirms::forfeit`].
//! * Questions are asked by those who find no valid lease, and while somebody relies on it once per heartbeat. A range that
//!   nobody reads asks nothing.

use std::collections::VecDeque;
use std::time::Duration;

use env::{Mono, probe};
use tokio::sync::oneshot;

pub struct Confirms {
    /// How long an answer is good for; `None`: for nothing but the question.
    lease: Option<Duration>,
    /// Of the last question.
    context: u64,
    waiting: Vec<oneshot::Sender<bool>>,
    /// To be asked although nobody waits.
    renews: bool,
    asked: VecDeque<Question>,
    /// Questions up to this one make no lease.
    forgotten: u64,
    forfeited_in: Option<u64>,
}

struct Question {
    context: u64,
    asked: Mono,
    replies: Vec<oneshot::Sender<bool>>,
}

impl Confirms {
    pub fn new(lease: Option<Duration>) -> Confirms {
        Confirms {
            lease,
            context: 0,
            waiting: Vec::new(),
            renews: false,
            asked: VecDeque::new(),
            forgotten: 0,
            forfeited_in: None,
        }
    }

    /// Somebody wants to know.
    pub fn wait(&mut self, reply: oneshot::Sender<bool>) {
        self.waiting.push(reply);
    }

    /// Somebody relies on the lease of `term`.
    pub fn renew(&mut self, term: u64) {
        self.renews = self.lease.is_some() && self.forfeited_in != Some(term);
    }

    /// The question to be asked now, if there is one. Nothing of it has been sent before `now`.
    pub fn ask(&mut self, now: Mono) -> Option<u64> {
        if self.waiting.is_empty() && !self.renews {
            return None;
        }
        if self.waiting.len() > 1 {
            probe!("reads_confirmed_together");
        }
        self.renews = false;
        self.context += 1;
        let replies = std::mem::take(&mut self.waiting);
        self.asked.push_back(Question { context: self.context, asked: now, replies });
        Some(self.context)
    }

    /// A quorum has answered this question of `term`, and with it all before. Returns the end of the lease that follows.
    pub fn answered(&mut self, context: u64, term: u64, now: Mono) -> Option<Mono> {
        let mut asked = None;
        while self.asked.front().is_some_and(|question| question.context <= context) {
            let question = self.asked.pop_front()?;
            for reply in question.replies {
                let _nobody_waits = reply.send(true);
            }
            asked = (question.context > self.forgotten).then_some(question.asked);
        }
        if self.forfeited_in == Some(term) && !env::sabotage("lease_after_a_hand_over") {
            return None;
        }
        let from = if env::sabotage("lease_from_the_answer") { asked.map(|_| now) } else { asked };
        Some(from? + self.lease?)
    }

    /// What was asked so far makes no lease any more. Those who wait are told all the same.
    pub fn forget_questions(&mut self) {
        self.forgotten = self.context;
    }

    /// No lease in `term` from now on.
    pub fn forfeit(&mut self, term: u64) {
        self.forfeited_in = Some(term);
        self.renews = false;
    }

    /// Leadership is over: whoever waits must ask again.
    pub fn clear(&mut self) {
        *self = Confirms { context: self.context, forfeited_in: self.forfeited_in, ..Confirms::new(self.lease) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_nanos(100);

    fn asked_by_somebody(confirms: &mut Confirms, now: u64) -> (u64, oneshot::Receiver<bool>) {
        let (reply, told) = oneshot::channel();
        confirms.wait(reply);
        (confirms.ask(Mono(now)).unwrap(), told)
    }

    #[test]
    fn it_counts_from_the_question() {
        let mut confirms = Confirms::new(Some(LEASE));
        let (first, mut told_first) = asked_by_somebody(&mut confirms, 10);
        let (second, mut told_second) = asked_by_somebody(&mut confirms, 20);
        // An answer to the second one is an answer to the first, too.
        assert_eq!(confirms.answered(second, 6, Mono(70)), Some(Mono(120)));
        assert_eq!((told_first.try_recv(), told_second.try_recv()), (Ok(true), Ok(true)));
        assert_eq!(confirms.answered(first, 6, Mono(80)), None);
    }

    #[test]
    fn nobody_asks_where_nobody_reads() {
        let mut confirms = Confirms::new(Some(LEASE));
        assert_eq!(confirms.ask(Mono(10)), None);
        confirms.renew(6);
        let context = confirms.ask(Mono(20)).unwrap();
        assert_eq!(confirms.ask(Mono(30)), None);
        assert_eq!(confirms.answered(context, 6, Mono(40)), Some(Mono(120)));
    }

    #[test]
    fn a_question_under_other_voters_makes_no_lease() {
        let mut confirms = Confirms::new(Some(LEASE));
        let (before, mut told) = asked_by_somebody(&mut confirms, 10);
        confirms.forget_questions();
        let (after, _) = asked_by_somebody(&mut confirms, 20);
        assert_eq!(confirms.answered(before, 6, Mono(30)), None);
        assert_eq!(told.try_recv(), Ok(true));
        assert_eq!(confirms.answered(after, 6, Mono(40)), Some(Mono(120)));
    }

    #[test]
    fn who_handed_over_has_no_lease_in_that_term() {
        let mut confirms = Confirms::new(Some(LEASE));
        let (before, _) = asked_by_somebody(&mut confirms, 10);
        confirms.forfeit(6);
        assert_eq!(confirms.answered(before, 6, Mono(20)), None);
        let (after, mut told) = asked_by_somebody(&mut confirms, 30);
        assert_eq!(confirms.answered(after, 6, Mono(40)), None);
        assert_eq!(told.try_recv(), Ok(true), "the question itself is answered");
        confirms.renew(6);
        assert_eq!(confirms.ask(Mono(50)), None, "nothing is to be won by asking");
        confirms.clear();
        let (later, _) = asked_by_somebody(&mut confirms, 60);
        assert_eq!(confirms.answered(later, 7, Mono(70)), Some(Mono(160)));
    }

    #[test]
    fn without_leases_an_answer_is_good_for_its_question() {
        let mut confirms = Confirms::new(None);
        confirms.renew(6);
        assert_eq!(confirms.ask(Mono(10)), None);
        let (context, mut told) = asked_by_somebody(&mut confirms, 20);
        assert_eq!(confirms.answered(context, 6, Mono(30)), None);
        assert_eq!(told.try_recv(), Ok(true));
    }
}
