//! The oracle's promise, watched from all nodes: a number that is asked for after another was received is
//! above it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use keyspace::Timestamp;
use parking_lot::Mutex;

use super::{RETRY, Shift};
use crate::World;
use crate::gateway::Gateways;
use crate::world::spawn;

/// Cheap to clone.
#[derive(Clone)]
pub struct OracleWatch {
    world: World,
    /// The highest number that anybody has received.
    highest: Arc<Mutex<Timestamp>>,
    numbers: Arc<AtomicU64>,
}

impl OracleWatch {
    pub fn new(world: &World) -> OracleWatch {
        OracleWatch { world: world.clone(), highest: Arc::default(), numbers: Arc::default() }
    }

    pub fn highest(&self) -> Timestamp {
        *self.highest.lock()
    }

    /// Numbers that were received.
    pub fn numbers(&self) -> u64 {
        self.numbers.load(Ordering::SeqCst)
    }

    /// One client, that asks one node.
    pub fn start_client(&self, node: usize, gateways: &Gateways, shift: &Shift) {
        let (watch, gateways, shift) = (self.clone(), gateways.clone(), shift.clone());
        let mut random = self.world.split_random();
        let working = shift.clock_in();
        spawn(async move {
            while !shift.is_over() {
                match gateways.get(node) {
                    None => watch.world.sleep(RETRY).await,
                    Some(gateway) => {
                        let before = watch.highest();
                        let client = gateway.txn.clone();
                        let answer = gateway.run(async move { client.oracle().fresh().await });
                        if let Some(Ok(stamp)) = answer.await {
                            watch.check(node, before, stamp.at);
                        }
                    }
                }
                shift.turn().await;
                watch.world.sleep(Duration::from_millis(random.below(60))).await;
            }
            drop(working);
        });
    }

    fn check(&self, node: usize, before: Timestamp, received: Timestamp) {
        self.numbers.fetch_add(1, Ordering::SeqCst);
        if received <= before {
            let what = format!("node {} was given {received} after {before} had been received", node + 1);
            self.world.violation("oracle_increases", what);
        }
        let mut highest = self.highest.lock();
        *highest = (*highest).max(received);
    }
}
