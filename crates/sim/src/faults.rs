//! What goes wrong: faults drawn from the seed, several at a time, each with an end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keyspace::{Key, NodeId};
use parking_lot::Mutex;
use rpc::range::{AdminRequest, RangeBody, RangeRequest};
use storage::memory::Faults as DiskFaults;

use crate::cluster::SimCluster;
use crate::host::DiskDelay;
use crate::workload::Shift;
use crate::world::spawn;
use crate::{LinkFaults, Random, World};

/// One kind of fault. Each can be switched off alone, to find out which one a failure needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Power failure of one node.
    Crash,
    /// Of all nodes at once.
    CrashAll,
    Pause,
    /// One node against the others.
    Isolate,
    /// One direction of one link.
    CutOneWay,
    /// Loss, duplication, replay and long delays.
    BadNetwork,
    SlowDisk,
    /// An fsync fails: the process must stop.
    FailedSync,
    FullDisk,
    ClockStep,
    MoveLeader,
    Split,
}

impl Fault {
    pub const ALL: [Fault; 12] = [
        Fault::Crash,
        Fault::CrashAll,
        Fault::Pause,
        Fault::Isolate,
        Fault::CutOneWay,
        Fault::BadNetwork,
        Fault::SlowDisk,
        Fault::FailedSync,
        Fault::FullDisk,
        Fault::ClockStep,
        Fault::MoveLeader,
        Fault::Split,
    ];
}

/// Somebody who breaks things until the shift is over. Cheap to clone.
#[derive(Clone)]
pub struct Saboteur {
    world: World,
    cluster: SimCluster,
    /// Keys at which ranges may be split.
    split_keys: Vec<Key>,
    done: Arc<Mutex<BTreeMap<Fault, u64>>>,
}

impl Saboteur {
    pub fn new(world: &World, cluster: &SimCluster, split_keys: Vec<Key>) -> Saboteur {
        Saboteur { world: world.clone(), cluster: cluster.clone(), split_keys, done: Arc::default() }
    }

    /// Faults that have begun, by kind.
    pub fn done(&self) -> BTreeMap<Fault, u64> {
        self.done.lock().clone()
    }

    pub fn start(&self, faults: Vec<Fault>, pause_ms_max: u64, shift: &Shift) {
        let (saboteur, shift) = (self.clone(), shift.clone());
        let mut random = self.world.split_random();
        spawn(async move {
            loop {
                let pause = Duration::from_millis(random.between(200, pause_ms_max));
                saboteur.world.sleep(pause).await;
                let Some(fault) = random.pick(&faults).copied() else { return };
                if shift.is_over() {
                    return;
                }
                *saboteur.done.lock().entry(fault).or_default() += 1;
                let one = saboteur.clone();
                let mut dice = random.split();
                spawn(async move { one.carry_out(fault, &mut dice).await });
            }
        });
    }

    /// Ends everything that has not ended: the network carries, every process runs.
    pub fn heal(&self) {
        self.cluster.network().heal();
        for node in 0..self.cluster.len() {
            self.cluster.set_disk_faults(node, DiskFaults::default());
            self.cluster.set_disk_delay(node, DiskDelay::default());
            self.cluster.resume(node);
            self.cluster.revive(node);
        }
    }

    async fn carry_out(&self, fault: Fault, random: &mut Random) {
        let node = random.below(self.cluster.len() as u64) as usize;
        self.world.milestone(format!("fault: {fault:?} at node {}", node + 1));
        match fault {
            Fault::Crash => self.crash(&[node], random).await,
            Fault::CrashAll => {
                let all: Vec<usize> = (0..self.cluster.len()).collect();
                self.crash(&all, random).await;
            }
            Fault::Pause => {
                self.cluster.pause(node);
                self.last(random, 100, 8_000).await;
                self.cluster.resume(node);
            }
            Fault::Isolate => {
                let others: Vec<&str> = (0..self.cluster.len())
                    .filter(|other| *other != node)
                    .map(|other| self.cluster.address(other))
                    .collect();
                self.cluster.network().partition(&[self.cluster.address(node)], &others);
                self.last(random, 500, 8_000).await;
                self.cluster.network().heal();
            }
            Fault::CutOneWay => {
                let other = (node + 1 + random.below(self.cluster.len() as u64 - 1) as usize) % self.cluster.len();
                self.cluster.network().cut(self.cluster.address(node), self.cluster.address(other));
                self.last(random, 500, 8_000).await;
                self.cluster.network().heal();
            }
            Fault::BadNetwork => self.bad_network(random).await,
            Fault::SlowDisk => {
                let slow = Duration::from_millis(random.between(20, 2_500));
                self.cluster.set_disk_delay(node, DiskDelay { min: Duration::ZERO, max: slow });
                self.last(random, 500, 6_000).await;
                self.cluster.set_disk_delay(node, DiskDelay::default());
            }
            Fault::FailedSync => {
                let faults = DiskFaults { fail_sync: Some(random.between(1, 20)), ..DiskFaults::default() };
                self.cluster.set_disk_faults(node, faults);
            }
            Fault::FullDisk => {
                let faults = DiskFaults { full_at_write: Some(random.between(1, 50)), ..DiskFaults::default() };
                self.cluster.set_disk_faults(node, faults);
            }
            Fault::ClockStep => {
                let by_ms = random.between(0, 1_200_000) as i64 - 600_000;
                self.cluster.step_wall_clock(node, by_ms);
            }
            Fault::MoveLeader => self.move_leader(node, random).await,
            Fault::Split => self.split(node, random).await,
        }
    }

    async fn last(&self, random: &mut Random, ms_min: u64, ms_max: u64) {
        self.world.sleep(Duration::from_millis(random.between(ms_min, ms_max))).await;
    }

    async fn crash(&self, nodes: &[usize], random: &mut Random) {
        for node in nodes {
            self.cluster.crash(*node);
        }
        for node in nodes {
            self.last(random, 0, 3_000).await;
            self.cluster.revive(*node);
        }
    }

    async fn bad_network(&self, random: &mut Random) {
        let probability = |random: &mut Random| random.below(200) as f64 / 1000.0;
        let faults = LinkFaults {
            delay_min: Duration::ZERO,
            delay_max: Duration::from_millis(random.between(2, 300)),
            loss: probability(random),
            duplicate: probability(random),
            replay: probability(random),
        };
        self.cluster.network().set_faults(faults);
        self.last(random, 500, 6_000).await;
        self.cluster.network().set_faults(LinkFaults::default());
    }

    /// Tells some leader on `node` to hand over to somebody else.
    async fn move_leader(&self, node: usize, random: &mut Random) {
        let Some(running) = self.cluster.node(node) else { return };
        let led: Vec<_> = running.store().statuses().into_iter().filter(|status| status.is_leader).collect();
        let Some(status) = random.pick(&led) else { return };
        let others: Vec<NodeId> = status
            .descriptor
            .replicas
            .iter()
            .map(|replica| replica.node)
            .filter(|other| *other != running.id())
            .collect();
        let Some(to) = random.pick(&others).copied() else { return };
        let body = RangeBody::Admin(AdminRequest::TransferLeader { to });
        let request = RangeRequest { range: status.descriptor.id, epoch: status.descriptor.epoch, body };
        let (store, from) = (running.store().clone(), running.id());
        let _refused = self.cluster.run_on(node, async move { store.handle(from, request).await.is_ok() }).await;
    }

    async fn split(&self, node: usize, random: &mut Random) {
        let Some(at) = random.pick(&self.split_keys).cloned() else { return };
        let Some(gateway) = self.cluster.gateways().get(node) else { return };
        let client = gateway.txn.clone();
        let _refused = gateway.run(async move { client.split_at(at).await.is_ok() }).await;
    }
}
