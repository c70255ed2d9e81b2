//! May this replica answer for its range now? Set by the log loop, read by every request.
//!
//! ```text
//!   follower ──elected──► elected ──own entry applied──► leads ──low-water mark is fresh──► serves
//!      ▲                     └───────────────┴──── lost, or removed ────┴──────────────────────┘
//!                                    serves ──split or removal proposed──► paused ──applied──► serves
//! ```
//!
//! A request takes a [`Ticket`] first, does its work, and asks at the end whether the ticket still holds.
//! Every change of the range (its leader, its span, its voters) makes a new generation of tickets, so one
//! comparison at the end covers them all (protocol.md, rules 12 and 26). A sole voter needs no more than
//! that. A leader among several voters needs its *lease* besides, or a quorum's word: see [`Leadership::is_leased`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use env::{Mono, probe};
use keyspace::{Epoch, NodeId};
use tokio::sync::watch;

/// What a request was admitted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    generation: u64,
    pub term: u64,
    pub epoch: Epoch,
    /// Nobody else can lead without this replica's consent.
    pub sole_voter: bool,
}

/// The range's leadership as this replica sees it; what subscribers are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaderView {
    pub term: u64,
    /// Where the leader is, if that is known.
    pub leader: Option<NodeId>,
    /// This replica was elected in this term.
    pub elected: bool,
    /// It has applied an entry of its term: it knows all that was committed before.
    pub leads: bool,
    /// It answers requests.
    pub serves: bool,
}

impl LeaderView {
    /// The term in which this replica leads and knows all that was committed before.
    pub fn leading_term(&self) -> Option<u64> {
        self.leads.then_some(self.term)
    }
}

#[derive(Debug)]
pub struct Leadership {
    /// Zero while the replica does not serve; else the generation of valid tickets.
    generation: AtomicU64,
    generations_made: AtomicU64,
    term: AtomicU64,
    epoch_config: AtomicU64,
    epoch_span: AtomicU64,
    sole_voter: AtomicBool,
    /// Nobody else can be elected before this moment on this node's clock; zero if that is not known.
    lease_until: AtomicU64,
    /// The term in which `lease_until` holds; changes only while that is zero.
    lease_term: AtomicU64,
    /// Somebody relied on the lease since it was renewed last.
    lease_used: AtomicBool,
    view: watch::Sender<LeaderView>,
    leading: Arc<watch::Sender<Option<u64>>>,
}

impl Leadership {
    /// `leading` is told the term in which the replica leads, and that it does no more.
    pub fn new(leading: Arc<watch::Sender<Option<u64>>>) -> Leadership {
        Leadership {
            generation: AtomicU64::new(0),
            generations_made: AtomicU64::new(0),
            term: AtomicU64::new(0),
            epoch_config: AtomicU64::new(0),
            epoch_span: AtomicU64::new(0),
            sole_voter: AtomicBool::new(false),
            lease_until: AtomicU64::new(0),
            lease_term: AtomicU64::new(0),
            lease_used: AtomicBool::new(false),
            view: watch::Sender::new(LeaderView::default()),
            leading,
        }
    }

    /// `None`: this replica does not serve now.
    pub fn ticket(&self) -> Option<Ticket> {
        let generation = self.generation.load(Ordering::SeqCst);
        if generation == 0 {
            return None;
        }
        let ticket = Ticket {
            generation,
            term: self.term.load(Ordering::Relaxed),
            epoch: Epoch {
                config: self.epoch_config.load(Ordering::Relaxed),
                span: self.epoch_span.load(Ordering::Relaxed),
            },
            sole_voter: self.sole_voter.load(Ordering::Relaxed),
        };
        // The numbers may have been read in the middle of a change: then the generation is another one.
        fence(Ordering::SeqCst);
        (self.generation.load(Ordering::SeqCst) == generation).then_some(ticket)
    }

    /// Has nothing changed since the ticket was taken? To be asked after the work.
    pub fn holds(&self, ticket: &Ticket) -> bool {
        fence(Ordering::SeqCst);
        self.generation.load(Ordering::SeqCst) == ticket.generation
    }

    /// Is it certain that nobody else leads, at the instant at which the clock is read here? To be asked *after* the work, and
    /// before [`Leadership::holds`], which says that the lease was one and the same term's all the time. (After, because a
    /// process may stand still for any time between two instructions.)
    pub fn is_leased(&self, clock: impl FnOnce() -> Mono) -> bool {
        fence(Ordering::SeqCst);
        let is_valid = match self.lease_until.load(Ordering::SeqCst) {
            0 => false,
            _ => {
                let now = clock();
                let until = Mono(self.lease_until.load(Ordering::SeqCst));
                now < until || (until.0 != 0 && env::sabotage("lease_without_end"))
            }
        };
        if is_valid && !self.lease_used.load(Ordering::Relaxed) {
            self.lease_used.store(true, Ordering::Relaxed);
        }
        is_valid
    }

    /// The same for whoever holds no ticket: is it certain that this replica leads in `term`, and nobody else in a later one?
    pub fn is_leased_in(&self, term: u64, clock: impl FnOnce() -> Mono) -> bool {
        let same = || self.lease_term.load(Ordering::SeqCst) == term;
        same() && self.is_leased(clock) && same()
    }

    /// Has this replica a lease at all, valid or not? If not there is no point in working before asking a quorum.
    pub fn may_be_leased(&self) -> bool {
        self.lease_until.load(Ordering::Relaxed) != 0
    }

    /// The lease as it stands, for those who watch: its term and its end.
    pub fn lease(&self) -> Option<(u64, Mono)> {
        let until = self.lease_until.load(Ordering::SeqCst);
        (until != 0).then(|| (self.lease_term.load(Ordering::SeqCst), Mono(until)))
    }

    pub fn view(&self) -> LeaderView {
        *self.view.borrow()
    }

    pub fn subscribe(&self) -> watch::Receiver<LeaderView> {
        self.view.subscribe()
    }

    // ---- for the log loop alone ----

    /// From now on no ticket holds, and none is given out.
    pub(crate) fn pause(&self) {
        self.generation.store(0, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.change_view(|view| view.serves = false);
    }

    /// Gives out tickets of a new generation.
    pub(crate) fn serve(&self, term: u64, epoch: Epoch, sole_voter: bool) {
        self.generation.store(0, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.term.store(term, Ordering::Relaxed);
        self.epoch_config.store(epoch.config, Ordering::Relaxed);
        self.epoch_span.store(epoch.span, Ordering::Relaxed);
        self.sole_voter.store(sole_voter, Ordering::Relaxed);
        let generation = self.generations_made.fetch_add(1, Ordering::Relaxed) + 1;
        self.generation.store(generation, Ordering::SeqCst);
        self.change_view(|view| view.serves = true);
    }

    /// A quorum has acknowledged this leader of `term`: nobody else is elected before `until`.
    pub(crate) fn renew_lease(&self, term: u64, until: Mono) {
        let before = self.lease_until.load(Ordering::SeqCst);
        assert!(before == 0 || self.lease_term.load(Ordering::SeqCst) == term, "a lease is void when its term is over");
        assert!(before <= until.0, "the end of a lease moves forward only");
        self.lease_term.store(term, Ordering::SeqCst);
        self.lease_until.store(until.0, Ordering::SeqCst);
    }

    /// It is not certain any more that nobody else leads.
    pub(crate) fn void_lease(&self) {
        if self.lease_until.swap(0, Ordering::SeqCst) != 0 {
            probe!("a_lease_was_given_up");
        }
        fence(Ordering::SeqCst);
    }

    /// Did anybody rely on the lease since the last call?
    pub(crate) fn take_lease_use(&self) -> bool {
        self.lease_used.load(Ordering::Relaxed) && self.lease_used.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn change_view(&self, change: impl FnOnce(&mut LeaderView)) {
        self.view.send_if_modified(|view| {
            let before = *view;
            change(view);
            *view != before
        });
        let leading = { self.view.borrow().leading_term() };
        self.leading.send_if_modified(|known| std::mem::replace(known, leading) != leading);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_holds_until_its_end_in_its_term() {
        let leadership = Leadership::new(Arc::new(watch::Sender::new(None)));
        assert!(!leadership.is_leased(|| Mono(0)));
        leadership.renew_lease(5, Mono(100));
        assert!(leadership.is_leased(|| Mono(99)));
        assert!(!leadership.is_leased(|| Mono(100)));
        assert!(leadership.is_leased_in(5, || Mono(99)));
        assert!(!leadership.is_leased_in(6, || Mono(99)));
        assert!(leadership.take_lease_use());
        assert!(!leadership.take_lease_use());
        leadership.void_lease();
        assert!(!leadership.is_leased(|| Mono(0)));
        leadership.renew_lease(6, Mono(50));
        assert_eq!(leadership.lease(), Some((6, Mono(50))));
    }

    #[test]
    fn a_ticket_holds_until_anything_changes() {
        let leadership = Leadership::new(Arc::new(watch::Sender::new(None)));
        assert_eq!(leadership.ticket(), None);
        let epoch = Epoch { config: 1, span: 2 };
        leadership.serve(5, epoch, true);
        let ticket = leadership.ticket().unwrap();
        assert_eq!((ticket.term, ticket.epoch, ticket.sole_voter), (5, epoch, true));
        assert!(leadership.holds(&ticket));
        leadership.pause();
        assert!(!leadership.holds(&ticket));
        leadership.serve(5, epoch, true);
        assert!(!leadership.holds(&ticket), "the same standing again is another generation");
    }
}
