//! What goes wrong: faults drawn from the seed, several at a time, each with an end.

mod elections;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use keyspace::{Key, NodeId};
use node::Node;
use parking_lot::Mutex;
use rpc::cluster::ReplicaStatus;
use rpc::range::{AdminRequest, RangeBody, RangeRequest};
use storage::memory::Faults as DiskFaults;
use tokio::sync::oneshot;

use crate::cluster::SimCluster;
use crate::host::{Ambush, DiskDelay};
use crate::rhythm::Rhythm;
use crate::workload::Shift;
use crate::world::spawn;
use crate::{LinkFaults, Random, SimHost, World};

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
    /// One node that leads everything against the others.
    IsolateLeader,
    /// One direction of one link.
    CutOneWay,
    /// Loss, duplication, replay and long delays.
    BadNetwork,
    SlowDisk,
    /// Syncs that take longer than anybody waits.
    StalledDisk,
    /// An fsync fails: the process must stop.
    FailedSync,
    FullDisk,
    ClockStep,
    MoveLeader,
    /// One range or several.
    Split,
    /// Power failure, pause or isolation of a node at the instant at which it is in the middle of something.
    Ambush,
    /// Nodes lose power and come back at once, one after the other, while messages are late and old ones arrive.
    ElectionStorm,
    /// A leader does not hear that others have elected another one, and is asked all the same.
    DeafLeader,
    /// Power failure of a node that comes back cut off from the others.
    LonelyReboot,
    /// A voter loses power right after its vote, and the first it hears of then is another candidate.
    ForgottenVote,
}

impl Fault {
    /// From which the next one is drawn.
    pub const ALL: [Fault; 27] = [
        Fault::Crash,
        Fault::CrashAll,
        Fault::Pause,
        Fault::Isolate,
        Fault::IsolateLeader,
        Fault::CutOneWay,
        Fault::BadNetwork,
        Fault::SlowDisk,
        Fault::StalledDisk,
        Fault::FailedSync,
        Fault::FullDisk,
        Fault::ClockStep,
        Fault::MoveLeader,
        Fault::Split,
        Fault::Split,
        // More than once: it is what finds most.
        Fault::Ambush,
        Fault::Ambush,
        Fault::Ambush,
        Fault::Ambush,
        Fault::ElectionStorm,
        Fault::ElectionStorm,
        Fault::DeafLeader,
        Fault::DeafLeader,
        Fault::LonelyReboot,
        Fault::LonelyReboot,
        Fault::ForgottenVote,
        Fault::ForgottenVote,
    ];
}

impl Fault {
    /// How long nobody rests from its begin on.
    fn rush(self) -> Duration {
        // What it is about comes late, and is seen only by those who ask then.
        if self == Fault::DeafLeader { 8 * RUSH } else { RUSH }
    }
}

/// Somebody who breaks things until the shift is over. Cheap to clone.
#[derive(Clone)]
pub struct Saboteur {
    world: World,
    cluster: SimCluster,
    /// Keys at which ranges may be split.
    split_keys: Vec<Key>,
    /// Those that happen, so that one sees which of them a failure needs; all if there is nothing here.
    only: Option<Arc<BTreeSet<FaultNumber>>>,
    done: Arc<Mutex<Vec<(FaultNumber, Fault)>>>,
}

/// How long nobody rests from a little before a fault on, and from its end on.
const RUSH: Duration = Duration::from_millis(400);

/// The place of a fault in the story of its seed, from 1 on.
pub type FaultNumber = u64;

impl Saboteur {
    pub fn new(
        world: &World,
        cluster: &SimCluster,
        split_keys: Vec<Key>,
        only: Option<BTreeSet<FaultNumber>>,
    ) -> Saboteur {
        let (only, done) = (only.map(Arc::new), Arc::default());
        Saboteur { world: world.clone(), cluster: cluster.clone(), split_keys, only, done }
    }

    /// Faults that have begun.
    pub fn done(&self) -> Vec<(FaultNumber, Fault)> {
        self.done.lock().clone()
    }

    pub fn start(&self, faults: Vec<Fault>, pause_ms_max: u64, shift: &Shift, rhythm: &Rhythm) {
        let (saboteur, shift, rhythm) = (self.clone(), shift.clone(), rhythm.clone());
        let mut random = self.world.split_random();
        spawn(async move {
            for number in 1.. {
                let pause = Duration::from_millis(random.between(200, pause_ms_max));
                saboteur.world.sleep(pause).await;
                let Some(fault) = random.pick(&faults).copied() else { return };
                if shift.is_over() {
                    return;
                }
                let (one, rhythm) = (saboteur.clone(), rhythm.clone());
                let mut dice = random.split();
                if saboteur.only.as_ref().is_some_and(|only| !only.contains(&number)) {
                    continue;
                }
                saboteur.done.lock().push((number, fault));
                spawn(async move {
                    // In the middle of everything, and what comes after it meets work, too.
                    rhythm.rush(fault.rush());
                    one.last(&mut dice, 0, 300).await;
                    one.carry_out(number, fault, &mut dice).await;
                    rhythm.rush(RUSH);
                });
            }
        });
    }

    /// Ends everything that has not ended: the network carries, every process runs.
    pub fn heal(&self) {
        self.cluster.network().heal();
        for node in 0..self.cluster.len() {
            self.cluster.set_disk_faults(node, DiskFaults::default());
            self.cluster.set_disk_delay(node, DiskDelay::default());
            self.cluster.set_ambush(node, None);
            self.cluster.resume(node);
            self.cluster.revive(node);
        }
    }

    async fn carry_out(&self, number: FaultNumber, fault: Fault, random: &mut Random) {
        let node = random.below(self.cluster.len() as u64) as usize;
        self.world.milestone(format!("fault {number}: {fault:?} at node {}", node + 1));
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
                self.cluster.network().partition(&[self.cluster.address(node)], &self.others(node));
                self.last(random, 500, 8_000).await;
                self.cluster.network().heal();
            }
            Fault::IsolateLeader => {
                self.gather_leaders(node).await;
                self.last(random, 100, 1_000).await;
                self.cluster.network().partition(&[self.cluster.address(node)], &self.others(node));
                self.last(random, 500, 5_000).await;
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
            Fault::StalledDisk => {
                let (min, max) = (Duration::from_secs(2), Duration::from_secs(random.between(3, 20)));
                self.cluster.set_disk_delay(node, DiskDelay { min, max });
                self.last(random, 500, 5_000).await;
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
            Fault::Split => {
                if random.chance(0.7) {
                    // So that it takes a while until all have applied it.
                    let delay_max = Duration::from_millis(random.between(20, 200));
                    self.cluster.network().set_faults(LinkFaults { delay_max, ..LinkFaults::default() });
                }
                for _ in 0..random.between(2, 6) {
                    self.split(node, random).await;
                    self.last(random, 0, 300).await;
                }
                self.cluster.network().set_faults(LinkFaults::default());
            }
            Fault::Ambush => self.ambush(node, random).await,
            Fault::ElectionStorm => self.election_storm(node, random).await,
            Fault::DeafLeader => self.deaf_leader(node, random).await,
            Fault::LonelyReboot => self.lonely_reboot(node, random).await,
            Fault::ForgottenVote => self.forgotten_vote(node, random).await,
        }
    }

    fn others(&self, node: usize) -> Vec<&str> {
        (0..self.cluster.len()).filter(|other| *other != node).map(|other| self.cluster.address(other)).collect()
    }

    /// Waits until `node` is in the middle of something, and strikes there and then.
    async fn ambush(&self, node: usize, random: &mut Random) {
        let moment = *random.pick(env::MOMENTS).expect("there are moments");
        let (tell, struck) = oneshot::channel();
        let (how, network) = (random.below(4), self.cluster.network().clone());
        let deaf_for = Duration::from_millis(random.between(50, 1_000));
        let (address, others) = (self.cluster.address(node).to_owned(), self.others(node));
        let others: Vec<String> = others.into_iter().map(str::to_owned).collect();
        let strike = move |host: &SimHost| {
            match how {
                0 => host.crash(),
                1 => host.pause(),
                2 => network.deafen(&address, deaf_for),
                _ => {
                    let others: Vec<&str> = others.iter().map(String::as_str).collect();
                    network.partition(&[&address], &others);
                }
            }
            let _nobody_waits = tell.send(());
        };
        let spared = if random.chance(0.5) { 0 } else { random.below(20) };
        let ambush = Ambush { moment, spared, strike: Box::new(strike) };
        self.cluster.set_ambush(node, Some(ambush));
        let too_long = self.last(random, 10_000, 10_000);
        tokio::select! {
            biased;
            reached = struck => if reached.is_err() { return },
            () = too_long => return self.cluster.set_ambush(node, None),
        }
        match how {
            0 => self.crash(&[node], random).await,
            1 => {
                self.last(random, 100, 8_000).await;
                self.cluster.resume(node);
            }
            2 => {}
            _ => {
                self.last(random, 500, 8_000).await;
                self.cluster.network().heal();
            }
        }
    }

    async fn election_storm(&self, node: usize, random: &mut Random) {
        self.cluster.network().set_faults(LinkFaults {
            delay_min: Duration::ZERO,
            delay_max: Duration::from_millis(random.between(50, 300)),
            loss: 0.02,
            duplicate: 0.2,
            replay: 0.4,
        });
        let other = (node + 1) % self.cluster.len();
        if random.chance(0.7) {
            // The two cannot hear each other, and whom the third votes for decides.
            let third = (node + 2) % self.cluster.len();
            self.cluster.network().partition(&[self.cluster.address(other)], &[self.cluster.address(third)]);
        }
        // Who has just come back gives no vote for a while: shorter turns catch everybody in it, longer ones do not.
        let rest_ms = if random.chance(0.5) { 250 } else { 1_500 };
        for turn in 0..random.between(4, 16) {
            let voter = (node + if turn == 0 { 0 } else { random.below(self.cluster.len() as u64) as usize })
                % self.cluster.len();
            self.cluster.crash(voter);
            self.cluster.revive(voter);
            self.last(random, 10, rest_ms).await;
        }
        self.cluster.network().heal();
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
        self.transfer(node, &running, status, to).await;
    }

    /// Every leader hands over to the one on `node`.
    async fn gather_leaders(&self, node: usize) {
        let Some(to) = self.cluster.node(node).map(|node| node.id()) else { return };
        for (other, running) in self.cluster.nodes().filter(|(other, _)| *other != node) {
            for status in running.store().statuses().iter().filter(|status| status.is_leader) {
                self.transfer(other, &running, status, to).await;
            }
        }
    }

    async fn transfer(&self, node: usize, running: &Node, status: &ReplicaStatus, to: NodeId) {
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
