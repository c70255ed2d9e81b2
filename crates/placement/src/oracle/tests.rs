//! Stories about the oracle, each told by one test.

use std::cell::RefCell;
use std::time::Duration;

use env::Mono;
use keyspace::{Timestamp, TxnId};
use rpc::cluster::TimestampReply;

use super::{ANNOUNCEMENT, Oracle, Taken};
use crate::CatalogKey;

const MS: u64 = 1 << Timestamp::COUNTER_BITS;

/// An oracle, its clocks, its log and its version key.
struct World {
    oracle: Oracle,
    now: Mono,
    wall_ms: u64,
    persisted: u64,
    term: u64,
    key: RefCell<CatalogKey>,
    /// Up to where the version key is marked as read.
    read_to: RefCell<Timestamp>,
    looks: RefCell<usize>,
}

impl World {
    fn new() -> World {
        World {
            oracle: Oracle::new(Duration::from_secs(3)),
            now: Mono(1_000_000_000),
            wall_ms: 1_000_000,
            persisted: 0,
            term: 0,
            key: RefCell::default(),
            read_to: RefCell::default(),
            looks: RefCell::default(),
        }
    }

    fn leading() -> World {
        let mut world = World::new();
        world.elect();
        world
    }

    fn elect(&mut self) {
        self.term += 1;
        let bound = self.oracle.lead(self.term, self.persisted, self.wall_ms, self.now);
        self.persist(bound);
    }

    fn persist(&mut self, bound: u64) {
        self.persisted = self.persisted.max(bound);
        self.oracle.bound_persisted(self.term, bound);
    }

    fn pass(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.wall_ms += duration.as_millis() as u64;
    }

    fn take(&mut self, count: u32) -> Taken {
        let look = |raise_to: Option<Timestamp>| {
            *self.looks.borrow_mut() += 1;
            if let Some(at) = raise_to {
                let mut read_to = self.read_to.borrow_mut();
                *read_to = at.max(*read_to);
            }
            Ok(*self.key.borrow())
        };
        self.oracle.take(count, self.wall_ms, self.now, look).unwrap()
    }

    /// Numbers, with the bound raised when they run out.
    fn numbers(&mut self, count: u32) -> TimestampReply {
        loop {
            match self.take(count) {
                Taken::Numbers { reply, .. } => return reply,
                Taken::Exhausted { bound, .. } => self.persist(bound),
                Taken::NotServing => panic!("not serving"),
            }
        }
    }

    /// A transaction tries to commit a catalog change at `at`, as the range would judge it.
    fn commit_change(&mut self, txn: TxnId, at: Timestamp) -> bool {
        let may_commit = at > *self.read_to.borrow() && at > self.key.borrow().newest;
        if may_commit {
            *self.key.borrow_mut() = CatalogKey { newest: at, writer: txn, pending: None };
        }
        may_commit
    }
}

#[test]
fn numbers_follow_the_wall_clock_and_never_fall() {
    let mut world = World::leading();
    let first = world.numbers(1).first;
    assert_eq!(first.unix_ms(), 1_000_000);
    let batch = world.numbers(10);
    assert_eq!(batch.first, Timestamp(first.0 + 1));
    assert_eq!(world.numbers(1).first, Timestamp(batch.first.0 + 10));
    world.pass(Duration::from_millis(700));
    assert_eq!(world.numbers(1).first, Timestamp(1_000_700 * MS));
}

#[test]
fn a_new_leader_starts_at_the_bound_and_an_old_one_has_forgotten() {
    let mut world = World::leading();
    world.numbers(1);
    let bound = world.persisted;
    world.oracle.follow();
    assert_eq!(world.take(1), Taken::NotServing);
    // Another node led meanwhile and persisted a bound of its own.
    world.persisted = bound + 77;
    world.elect();
    assert_eq!(world.numbers(1).first, Timestamp(bound + 77));
}

#[test]
fn nothing_is_given_out_before_the_bound_is_persisted_in_this_term() {
    let mut world = World::new();
    let bound = world.oracle.lead(4, 0, world.wall_ms, world.now);
    assert_eq!(world.take(1), Taken::NotServing);
    world.oracle.bound_persisted(3, bound + 1000);
    assert_eq!(world.take(1), Taken::NotServing, "a bound of an earlier term is not ours");
    world.oracle.bound_persisted(4, bound);
    assert!(matches!(world.take(1), Taken::Numbers { term: 4, .. }));
}

#[test]
fn the_bound_is_raised_before_it_is_reached() {
    let mut world = World::leading();
    world.pass(Duration::from_secs(2));
    let Taken::Numbers { extend: Some(bound), .. } = world.take(1) else { panic!("time to extend") };
    world.persist(bound);
    assert!(matches!(world.take(1), Taken::Numbers { extend: None, .. }));
    world.pass(Duration::from_secs(60));
    let Taken::Exhausted { bound, .. } = world.take(1) else { panic!("too late to extend beforehand") };
    assert!(bound > 1_062_000 * MS);
    // A count that does not fit is refused, not cut.
    world.persist(bound);
    let rest = world.persisted - world.numbers(1).first.0;
    assert!(matches!(world.take(u32::try_from(rest).unwrap()), Taken::Exhausted { .. }));
}

#[test]
fn wall_clocks_that_jump_do_no_harm() {
    let mut world = World::leading();
    let before = world.numbers(1).first;
    world.wall_ms -= 600_000;
    assert_eq!(world.numbers(1).first, Timestamp(before.0 + 1), "behind: numbers go on by counting");

    world.wall_ms += 3_600_000;
    world.now = world.now + Duration::from_millis(800);
    let ahead = world.numbers(1).first;
    assert_eq!(ahead.unix_ms(), before.unix_ms() + 900, "ahead: no faster than real time and an eighth");

    // A leader that begins with a wall clock in the far future does not believe it.
    world.wall_ms = u64::MAX;
    world.oracle.follow();
    let persisted_ms = world.persisted >> Timestamp::COUNTER_BITS;
    world.elect();
    assert!(world.numbers(1).first.unix_ms() <= persisted_ms + 366 * 24 * 3_600_000);
}

#[test]
fn settled_numbers_need_one_look_for_many() {
    let mut world = World::leading();
    for _ in 0..1000 {
        assert!(!world.numbers(1).unsettled);
    }
    assert_eq!(*world.looks.borrow(), 2);
}

#[test]
fn a_change_that_was_announced_commits_and_shows() {
    let mut world = World::leading();
    let before = world.numbers(1);
    let txn = TxnId(before.first.0);
    assert!(world.oracle.announce(txn, world.now));
    let own = world.numbers(1);
    let between = world.numbers(1);
    assert!(own.unsettled && between.unsettled);
    assert!(world.commit_change(txn, own.first), "numbers given out meanwhile do not refuse it");
    let after = world.numbers(1);
    assert!(!after.unsettled);
    assert_eq!(after.catalog, own.first);
}

#[test]
fn a_change_that_comes_too_late_is_refused() {
    let mut world = World::leading();
    let txn = TxnId(world.numbers(1).first.0);
    world.oracle.announce(txn, world.now);
    let own = world.numbers(1);
    world.pass(ANNOUNCEMENT);
    let settled = world.numbers(1);
    assert!(!settled.unsettled);
    assert!(!world.commit_change(txn, own.first), "a settled number above it was given out");
    // It announces itself again and takes a new number.
    world.oracle.announce(txn, world.now);
    let again = world.numbers(1);
    assert!(world.commit_change(txn, again.first));
    assert_eq!(world.numbers(1).catalog, again.first);
}

#[test]
fn numbers_are_unsettled_while_a_change_is_staged_however_long() {
    let mut world = World::leading();
    world.key.borrow_mut().pending = Some(TxnId(5));
    assert!(world.numbers(1).unsettled);
    world.pass(Duration::from_secs(30));
    assert!(world.numbers(1).unsettled);
    assert_eq!(*world.read_to.borrow(), Timestamp::ZERO, "a change under way is not pushed by looks");
    let at = world.numbers(1).first;
    *world.key.borrow_mut() = CatalogKey { newest: at, writer: TxnId(5), pending: None };
    let after = world.numbers(1);
    assert_eq!((after.unsettled, after.catalog), (false, at));
}

#[test]
fn a_new_leader_looks_before_its_first_number() {
    let mut world = World::leading();
    *world.key.borrow_mut() = CatalogKey { newest: Timestamp(9), writer: TxnId(3), pending: Some(TxnId(5)) };
    world.elect();
    let first = world.numbers(1);
    assert_eq!((first.unsettled, first.catalog), (true, Timestamp(9)));
}

/// Random histories of the whole: settled answers name the last change at or below them.
#[test]
fn settled_answers_are_true_whatever_happens() {
    let mut random = 1_u64;
    let mut below = |bound: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % bound
    };
    for _ in 0..200 {
        let mut world = World::leading();
        let mut changes = vec![Timestamp::ZERO];
        let mut answers: Vec<TimestampReply> = Vec::new();
        let mut announced: Vec<(TxnId, Option<Timestamp>)> = Vec::new();
        for step in 0..100 {
            match below(7) {
                0 | 1 => {
                    let reply = world.numbers(1 + below(3) as u32);
                    assert!(answers.last().is_none_or(|last| last.first.0 + u64::from(last.count) <= reply.first.0));
                    answers.push(reply);
                }
                2 => world.pass(Duration::from_millis(below(400))),
                3 => {
                    announced.push((TxnId(step), None));
                    world.oracle.announce(TxnId(step), world.now);
                }
                4 | 5 if !announced.is_empty() => {
                    let (txn, number) = announced.pop().unwrap();
                    match number {
                        None => announced.push((txn, Some(world.numbers(1).first))),
                        Some(at) if world.commit_change(txn, at) => changes.push(at),
                        Some(_) => {}
                    }
                }
                _ => {
                    world.oracle.follow();
                    // Rule 15: the new leader's read cache begins at a fresh number.
                    world.elect();
                    let first = world.numbers(1).first;
                    let mut read_to = world.read_to.borrow_mut();
                    *read_to = first.max(*read_to);
                }
            }
        }
        for answer in answers.iter().filter(|answer| !answer.unsettled) {
            let last = Timestamp(answer.first.0 + u64::from(answer.count) - 1);
            let expected = *changes.iter().rfind(|change| **change <= last).unwrap();
            assert_eq!(answer.catalog, expected, "{answer:?} {changes:?}");
        }
    }
}
