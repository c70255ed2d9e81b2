//! Write skew: of two doctors one must be on call. Each goes off only after having seen that the other is
//! on. Under SERIALIZABLE, and under nothing weaker, one of the two is always on.
//!
//! The doctors of a pair lie far apart, so that each lies in a range of its own: a read of one range
//! protects the reader's write in the other only if every guard between reads and writes holds. Under READ COMMITTED
//! the same is kept by locks on both, of which one is on what is only read, or by a check of the other at a fresh
//! number, as constraints are checked.
//!
//! Each turn leaves its number, and no number of a turn that failed is ever seen.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keyspace::{Key, TableId};
use parking_lot::Mutex;
use txn::{Isolation, LockMode, LockSpec, LockWait, Transaction, TxnError, TxnOptions, TxnResult, Visible};

use super::rows::{check_failure, get, row_key};
use super::{RETRY, Shift};
use crate::gateway::{Gateway, Gateways, Outcome};
use crate::world::spawn;
use crate::{Random, World};

const DOCTORS: TableId = TableId(1002);

/// Cheap to clone.
#[derive(Clone)]
pub struct OnCall {
    world: World,
    pairs: i64,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Turns that were begun.
    begun: u64,
    acknowledged: u64,
    failed: BTreeSet<u64>,
    /// Turns that somebody has seen.
    seen: BTreeSet<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Doctor {
    is_on: bool,
    /// The turn that made it so; zero for none.
    turn: u64,
}

/// What makes a turn right at its level.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// SERIALIZABLE and nothing else.
    Plain,
    /// READ COMMITTED: both rows are locked by what reads them.
    Locked,
    /// READ COMMITTED: the other row is locked and read as a constraint's check reads, at a number fetched for it.
    Checked,
}

#[derive(Clone, Copy)]
struct Turn {
    number: u64,
    pair: i64,
    side: i64,
    manner: Manner,
    /// Between what it reads of itself and its check of the other.
    thinks: Duration,
}

impl OnCall {
    pub fn new(world: &World, pairs: i64) -> OnCall {
        OnCall { world: world.clone(), pairs, state: Arc::default() }
    }

    /// Doctors that went on or off call, or looked and stayed.
    pub fn turns(&self) -> u64 {
        self.state.lock().acknowledged
    }

    pub fn split_keys(&self) -> Vec<Key> {
        vec![row_key(DOCTORS, &[1])]
    }

    /// More of them, for splits in the middle of everything.
    pub fn more_split_keys(&self) -> Vec<Key> {
        (0..self.pairs).flat_map(|pair| [doctor(pair, 0), doctor(pair, 1)]).collect()
    }

    /// Everybody is on call. Safe to repeat until it says that it is done.
    pub async fn open(&self, gateway: &Gateway) -> bool {
        let pairs = self.pairs;
        let outcome = gateway.transact(TxnOptions::default(), move |txn| async move {
            for pair in 0..pairs {
                for side in [0, 1] {
                    txn.put(doctor(pair, side), Some(Doctor { is_on: true, turn: 0 }.encode()), false)?;
                }
            }
            Ok(())
        });
        matches!(outcome.await, Outcome::Committed(()))
    }

    pub fn start_client(&self, gateways: &Gateways, shift: &Shift) {
        let (workload, gateways, shift) = (self.clone(), gateways.clone(), shift.clone());
        let mut random = self.world.split_random();
        let working = shift.clock_in();
        spawn(async move {
            while !shift.is_over() {
                let (pair, side) = (random.below(workload.pairs as u64) as i64, random.below(2) as i64);
                match gateways.get(random.below(gateways.len() as u64) as usize) {
                    None => workload.world.sleep(RETRY).await,
                    Some(gateway) if random.chance(0.2) => {
                        workload.look(&gateway, pair, Duration::from_millis(random.below(200))).await;
                    }
                    Some(gateway) => {
                        let manner = Manner::draw(&mut random);
                        let thinks = Duration::from_millis(random.below(100));
                        workload.change(&gateway, pair, side, manner, thinks).await;
                    }
                }
                shift.turn().await;
                workload.world.sleep(Duration::from_millis(random.below(30))).await;
            }
            drop(working);
        });
    }

    async fn change(&self, gateway: &Gateway, pair: i64, side: i64, manner: Manner, thinks: Duration) {
        let number = {
            let mut state = self.state.lock();
            state.begun += 1;
            state.begun
        };
        let turn = Turn { number, pair, side, manner, thinks };
        let world = self.world.clone();
        let options = TxnOptions { isolation: manner.isolation(), ..TxnOptions::default() };
        let outcome = gateway.transact(options, move |txn| {
            let world = world.clone();
            async move { take_turn(&world, &txn, turn).await }
        });
        match outcome.await {
            // Only what a committed transaction saw counts.
            Outcome::Committed(seen) => {
                self.state.lock().acknowledged += 1;
                self.check_turns(&seen);
                // A check reads the two at different numbers.
                if manner != Manner::Checked {
                    self.check(pair, seen);
                }
            }
            Outcome::Failed(error) => {
                check_failure(&self.world, "on_call_errors", &error);
                let mut state = self.state.lock();
                state.failed.insert(number);
                if state.seen.contains(&number) {
                    self.world.violation("on_call_ghost", format!("turn {number} was seen, and failed: {error}"));
                }
            }
            Outcome::Unknown => {}
        }
    }

    /// Reads at a number that is no longer new.
    async fn look(&self, gateway: &Gateway, pair: i64, later: Duration) {
        let options = TxnOptions { read_only: true, ..TxnOptions::default() };
        let world = self.world.clone();
        let outcome = gateway.transact(options, move |txn| {
            let world = world.clone();
            async move {
                world.sleep(later).await;
                read(&txn, pair, None).await
            }
        });
        if let Outcome::Committed(seen) = outcome.await {
            self.check(pair, seen);
        }
    }

    /// `false`: ask again, nobody answered.
    pub async fn audit(&self, gateway: &Gateway) -> bool {
        for pair in 0..self.pairs {
            let options = TxnOptions { read_only: true, ..TxnOptions::default() };
            let outcome = gateway.transact(options, move |txn| async move { read(&txn, pair, None).await });
            match outcome.await {
                Outcome::Committed(seen) => self.check(pair, seen),
                _ => return false,
            }
        }
        true
    }

    /// What was read at one number.
    fn check(&self, pair: i64, seen: [Doctor; 2]) {
        if seen.iter().all(|doctor| !doctor.is_on) {
            self.world.violation("on_call", format!("nobody of pair {pair} is on call"));
        }
        self.check_turns(&seen);
    }

    fn check_turns(&self, seen: &[Doctor]) {
        let mut state = self.state.lock();
        for Doctor { turn, .. } in seen {
            state.seen.insert(*turn);
            if state.failed.contains(turn) {
                self.world.violation("on_call_ghost", format!("turn {turn} failed, and is seen"));
            }
        }
    }
}

impl Manner {
    fn draw(random: &mut Random) -> Manner {
        match random.below(6) {
            0 => Manner::Locked,
            1 | 2 => Manner::Checked,
            _ => Manner::Plain,
        }
    }

    fn isolation(self) -> Isolation {
        if self == Manner::Plain { Isolation::Serializable } else { Isolation::ReadCommitted }
    }
}

/// Goes off call if the other is on, on call if oneself is off. Answers with what was seen.
async fn take_turn(world: &World, txn: &Transaction, turn: Turn) -> TxnResult<[Doctor; 2]> {
    let Turn { number, pair, side, manner, thinks } = turn;
    let wait = LockWait::Block { timeout: None };
    let lock = LockSpec { mode: LockMode::Update, wait, absent_too: false };
    let seen = match manner {
        Manner::Plain => read(txn, pair, None).await?,
        Manner::Locked => read(txn, pair, Some(lock)).await?,
        Manner::Checked => {
            let mine = decode(get(txn, &doctor(pair, side), None).await?)?;
            world.sleep(thinks).await;
            let key = doctor(pair, 1 - side);
            let found = txn.get_many(&[key], Some(lock), Visible::Everything, true).await?;
            let other = decode(found.into_iter().next().flatten())?;
            if side == 0 { [mine, other] } else { [other, mine] }
        }
    };
    let (mine, other) = (seen[side as usize], seen[1 - side as usize]);
    if !mine.is_on || other.is_on {
        let changed = Doctor { is_on: !mine.is_on, turn: number };
        txn.put(doctor(pair, side), Some(changed.encode()), false)?;
    }
    Ok(seen)
}

async fn read(txn: &Transaction, pair: i64, lock: Option<LockSpec>) -> TxnResult<[Doctor; 2]> {
    let keys = [doctor(pair, 0), doctor(pair, 1)];
    let mut found = txn.get_many(&keys, lock, Visible::EarlierStatements, false).await?.into_iter();
    Ok([decode(found.next().flatten())?, decode(found.next().flatten())?])
}

fn doctor(pair: i64, side: i64) -> Key {
    row_key(DOCTORS, &[side, pair])
}

impl Doctor {
    fn encode(self) -> Bytes {
        [&[u8::from(self.is_on)][..], &self.turn.to_be_bytes()].concat().into()
    }
}

fn decode(row: Option<Bytes>) -> TxnResult<Doctor> {
    let corrupt = || TxnError::Corrupt { what: format!("a doctor is {row:?}") };
    let (is_on, turn) = row.as_deref().and_then(|row| row.split_first()).ok_or_else(corrupt)?;
    let turn = u64::from_be_bytes(turn.try_into().map_err(|_| corrupt())?);
    Ok(Doctor { is_on: *is_on == 1, turn })
}
