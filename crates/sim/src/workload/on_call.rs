//! Write skew: of two doctors one must be on call. Each goes off only after having seen that the other is
//! on. Under SERIALIZABLE, and under nothing weaker, one of the two is always on.
//!
//! The doctors of a pair lie far apart, so that each lies in a range of its own: a read of one range
//! protects the reader's write in the other only if every guard between reads and writes holds. Under READ COMMITTED
//! the same is kept by locks on both, of which one is on what is only read, and by checks at a fresh number, as
//! constraints are checked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use keyspace::{Key, TableId};
use txn::{Isolation, LockMode, LockSpec, LockWait, Transaction, TxnOptions, TxnResult, Visible};

use super::rows::row_key;
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
    turns: Arc<AtomicU64>,
}

impl OnCall {
    pub fn new(world: &World, pairs: i64) -> OnCall {
        OnCall { world: world.clone(), pairs, turns: Arc::default() }
    }

    /// Doctors that went on or off call, or looked and stayed.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::SeqCst)
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
                    txn.put(doctor(pair, side), Some(state(true)), false)?;
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
                    Some(gateway) => workload.change(&gateway, pair, side, Manner::draw(&mut random)).await,
                }
                workload.world.sleep(Duration::from_millis(random.below(30))).await;
            }
            drop(working);
        });
    }

    async fn change(&self, gateway: &Gateway, pair: i64, side: i64, manner: Manner) {
        let options = TxnOptions { isolation: manner.isolation(), ..TxnOptions::default() };
        let outcome = gateway.transact(options, move |txn| async move { take_turn(&txn, pair, side, manner).await });
        // Only what a committed transaction saw counts.
        if let Outcome::Committed(seen) = outcome.await {
            self.turns.fetch_add(1, Ordering::SeqCst);
            self.check(pair, seen);
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
                read(&txn, pair, Manner::Plain).await
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
            let outcome = gateway.transact(options, move |txn| async move { read(&txn, pair, Manner::Plain).await });
            match outcome.await {
                Outcome::Committed(seen) => self.check(pair, seen),
                _ => return false,
            }
        }
        true
    }

    fn check(&self, pair: i64, seen: [bool; 2]) {
        if seen == [false, false] {
            self.world.violation("on_call", format!("nobody of pair {pair} is on call"));
        }
    }
}

/// What makes a turn right at its level.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// SERIALIZABLE and nothing else.
    Plain,
    /// READ COMMITTED: both rows are locked by what reads them.
    Locked,
    /// READ COMMITTED: both rows are locked and read as a constraint's check reads, at a number fetched for it.
    Checked,
}

impl Manner {
    fn draw(random: &mut Random) -> Manner {
        match random.below(6) {
            0 => Manner::Locked,
            1 => Manner::Checked,
            _ => Manner::Plain,
        }
    }

    fn isolation(self) -> Isolation {
        if self == Manner::Plain { Isolation::Serializable } else { Isolation::ReadCommitted }
    }
}

/// Goes off call if the other is on, on call if oneself is off. Answers with what was seen.
async fn take_turn(txn: &Transaction, pair: i64, side: i64, manner: Manner) -> TxnResult<[bool; 2]> {
    let seen = read(txn, pair, manner).await?;
    let (mine, other) = (seen[side as usize], seen[1 - side as usize]);
    if !mine {
        txn.put(doctor(pair, side), Some(state(true)), false)?;
    } else if other {
        txn.put(doctor(pair, side), Some(state(false)), false)?;
    }
    Ok(seen)
}

async fn read(txn: &Transaction, pair: i64, manner: Manner) -> TxnResult<[bool; 2]> {
    let keys = [doctor(pair, 0), doctor(pair, 1)];
    let wait = LockWait::Block { timeout: None };
    let lock = LockSpec { mode: LockMode::Update, wait, absent_too: false };
    let found = match manner {
        Manner::Plain => txn.get_many(&keys, None, Visible::EarlierStatements, false).await?,
        Manner::Locked => txn.get_many(&keys, Some(lock), Visible::EarlierStatements, false).await?,
        Manner::Checked => txn.get_many(&keys, Some(lock), Visible::Everything, true).await?,
    };
    let is_on = |number: usize| found.get(number).cloned().flatten() == Some(state(true));
    Ok([is_on(0), is_on(1)])
}

fn doctor(pair: i64, side: i64) -> Key {
    row_key(DOCTORS, &[side, pair])
}

fn state(is_on: bool) -> Bytes {
    Bytes::from_static(if is_on { b"on" } else { b"off" })
}
