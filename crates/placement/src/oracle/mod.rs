//! # The timestamp oracle
//!
//! A number below a bound that went through the system range's log, handed out from memory:
//!
//! ```text
//!   ───────────────┬──────────────────┬───────────────┬──────────────────►  numbers
//!     given out    next               covered         bound
//!                   └ may be given out with "the catalog is c" at once
//!                                      └ after a look at the version key
//!                                                      └ after raising the bound in the log
//! ```
//!
//! ## Guarantees
//! * Strictly increasing across the cluster and for ever: every number is below a bound that was persisted
//!   in the term it is given out in, and a new leader starts at the highest bound ever persisted.
//! * [`Oracle::take`] gives numbers only while serving a term; losing *and* gaining leadership forgets
//!   everything (the states are types; only [`Serving`] can give). Whoever calls it must still prove,
//!   *after* taking, that the term stood when the request was there ([`SystemRange::confirm`],
//!   [`SystemRange::leads_for_certain`]).
//! * The catalog named in a settled answer is the last change at or below the numbers: the version key was
//!   marked as read up to `covered`, so a change can only commit above it (rule 31 turns the order round
//!   for a change that was announced: numbers are then unsettled, and the mark stays where it is).
//! * The wall clock is a hint. Behind: numbers go on by counting. Ahead: they follow no faster than the
//!   monotonic clock and an eighth.
//!
//! [`SystemRange::confirm`]: crate::SystemRange::confirm
//! [`SystemRange::leads_for_certain`]: crate::SystemRange::leads_for_certain

mod clock;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use env::{Mono, probe};
use keyspace::{Timestamp, TxnId};
use rpc::KvResult;
use rpc::cluster::TimestampReply;

use crate::CatalogKey;
use clock::PhysicalHint;

/// Time an announced catalog change has to stage before numbers are settled again without it (rule 31).
pub const ANNOUNCEMENT: Duration = Duration::from_millis(500);

/// How far ahead of a number the version key is marked as read, so that the numbers up to there need no look.
const COVER_MS: u64 = 20;

const COUNTER_BITS: u32 = Timestamp::COUNTER_BITS;

#[derive(Debug)]
pub struct Oracle {
    window_ms: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Follower,
    Syncing(Syncing),
    Serving(Serving),
}

/// Leads, but the bound is not persisted in this term yet.
#[derive(Debug)]
struct Syncing {
    term: u64,
    first: u64,
    clock: PhysicalHint,
}

#[derive(Debug)]
struct Serving {
    term: u64,
    next: u64,
    bound: u64,
    clock: PhysicalHint,
    /// The last catalog change that is known.
    catalog: Timestamp,
    /// Numbers below this one may be given out as settled under `catalog`.
    covered: u64,
    /// Catalog changes that are about to ask for their number, and until when they are believed.
    announced: BTreeMap<TxnId, Mono>,
}

/// What [`Oracle::take`] has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Belongs to the asker once leadership in `term` is proven. `extend`: time to persist this bound, before
    /// numbers run out.
    Numbers {
        term: u64,
        reply: TimestampReply,
        extend: Option<u64>,
    },
    /// The bound has to be persisted first.
    Exhausted {
        term: u64,
        bound: u64,
    },
    NotServing,
}

impl Oracle {
    /// `window`: how far ahead of the numbers given out the bound is persisted.
    pub fn new(window: Duration) -> Oracle {
        let window_ms = u64::try_from(window.as_millis()).expect("a window is a few seconds").max(1);
        Oracle { window_ms, state: State::Follower }
    }

    /// This node leads in `term` and has applied all of its predecessors' log; `persisted` is the highest
    /// bound in it. Returns the bound to persist before anything can be given out.
    pub fn lead(&mut self, term: u64, persisted: u64, wall_ms: u64, now: Mono) -> u64 {
        let clock = PhysicalHint::after(persisted >> COUNTER_BITS, wall_ms, now);
        let first = persisted.max(clock.ms() << COUNTER_BITS).max(1);
        self.state = State::Syncing(Syncing { term, first, clock });
        self.bound_above(first)
    }

    /// `bound` is committed and applied in `term`.
    pub fn bound_persisted(&mut self, term: u64, bound: u64) {
        match &mut self.state {
            State::Syncing(syncing) if syncing.term == term => {
                assert!(syncing.first < bound, "the bound that was asked for lies above the first number");
                let (next, clock) = (syncing.first, syncing.clock);
                let (catalog, announced) = (Timestamp::ZERO, BTreeMap::new());
                self.state = State::Serving(Serving { term, next, bound, clock, catalog, covered: 0, announced });
            }
            State::Serving(serving) if serving.term == term => serving.bound = serving.bound.max(bound),
            State::Follower | State::Syncing(_) | State::Serving(_) => {}
        }
    }

    /// Leadership is lost, or about to begin anew.
    pub fn follow(&mut self) {
        self.state = State::Follower;
    }

    /// All numbers given out are below it. `None` while not serving.
    pub fn next(&self) -> Option<Timestamp> {
        match &self.state {
            State::Serving(serving) => Some(Timestamp(serving.next)),
            State::Follower | State::Syncing(_) => None,
        }
    }

    /// Takes `count` consecutive numbers. `look` reads the catalog's version key
    /// ([`SystemRange::catalog_key`](crate::SystemRange::catalog_key)) and is called only where memory does not know the answer.
    pub fn take(
        &mut self,
        count: u32,
        wall_ms: u64,
        now: Mono,
        mut look: impl FnMut(Option<Timestamp>) -> KvResult<CatalogKey>,
    ) -> KvResult<Taken> {
        let window = self.window_ms << COUNTER_BITS;
        let State::Serving(serving) = &mut self.state else { return Ok(Taken::NotServing) };
        let first = serving.next.max(serving.clock.advance(wall_ms, now) << COUNTER_BITS);
        let end = first + u64::from(count.max(1));
        let term = serving.term;
        if end > serving.bound {
            return Ok(Taken::Exhausted { term, bound: self.bound_above(end) });
        }
        let unsettled = end > serving.covered && !serving.settle(end, now, &mut look)?;
        serving.next = end;
        assert!(serving.next <= serving.bound, "numbers stay below the persisted bound");
        let reply =
            TimestampReply { first: Timestamp(first), count: count.max(1), catalog: serving.catalog, unsettled };
        let extend = (end + window / 2 > serving.bound).then(|| end + window);
        Ok(Taken::Numbers { term, reply, extend })
    }

    /// A catalog change is about to ask for its number. Numbers from now on are unsettled until it shows in
    /// the version key or [`ANNOUNCEMENT`] has passed. False while not serving.
    pub fn announce(&mut self, txn: TxnId, now: Mono) -> bool {
        let State::Serving(serving) = &mut self.state else { return false };
        serving.announced.insert(txn, now + ANNOUNCEMENT);
        // Its number must lie above everything that was, or may still be, given out as settled.
        serving.next = serving.next.max(serving.covered);
        serving.covered = 0;
        true
    }

    fn bound_above(&self, number: u64) -> u64 {
        number.saturating_add(self.window_ms << COUNTER_BITS)
    }
}

impl Serving {
    /// Finds out which catalog holds up to `end`; false while a change is under way.
    fn settle(
        &mut self,
        end: u64,
        now: Mono,
        look: &mut impl FnMut(Option<Timestamp>) -> KvResult<CatalogKey>,
    ) -> KvResult<bool> {
        let seen = look(None)?;
        self.catalog = self.catalog.max(seen.newest);
        self.announced.retain(|txn, until| *until > now && *txn != seen.writer);
        let is_pending = seen.pending.is_some() && !env::sabotage("settle_over_an_intent");
        if is_pending || !self.announced.is_empty() {
            match is_pending {
                true => probe!("numbers_unsettled_by_an_intent"),
                false => probe!("numbers_unsettled_by_an_announcement"),
            }
            return Ok(false);
        }
        let covered = (end + (COVER_MS << COUNTER_BITS)).min(self.bound).max(end);
        let seen = look(Some(Timestamp(covered - 1)))?;
        self.catalog = self.catalog.max(seen.newest);
        if seen.pending.is_some() && !env::sabotage("settle_over_an_intent") {
            return Ok(false);
        }
        self.covered = covered;
        Ok(true)
    }
}
