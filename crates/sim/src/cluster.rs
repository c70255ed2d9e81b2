//! The nodes of a run: real ones, on simulated hosts, disks and wires.
//!
//! A *seat* is what survives a process: an address, a disk, a wrong clock. A *process* is one life of a
//! node on it.

use std::sync::Arc;
use std::time::Duration;

use env::{Knobs, Metrics, Mono};
use node::{Addresses, Formation, MemoryHome, Node, NodeConfig};
use parking_lot::Mutex;
use rpc::cluster::Survey;
use rpc::range::ReplicaRole;
use storage::memory::Faults as DiskFaults;
use storage::{MemoryDisk, MemoryEngine};

use crate::gateway::{Gateway, Gateways};
use crate::host::{Ambush, DiskDelay};
use crate::world::spawn;
use crate::{ClockFaults, Random, SimHost, SimNetwork, World};

/// Cheap to clone.
#[derive(Clone)]
pub struct SimCluster {
    inner: Arc<Inner>,
}

struct Inner {
    world: World,
    network: SimNetwork,
    knobs: Knobs,
    gateways: Gateways,
    seats: Vec<Seat>,
    /// Of every process that ever ran.
    metrics: Mutex<Vec<Metrics>>,
    random: Mutex<Random>,
}

struct Seat {
    address: String,
    disk: MemoryDisk,
    home: MemoryHome,
    clocks: ClockFaults,
    process: Mutex<Option<Process>>,
}

struct Process {
    host: Arc<SimHost>,
    /// Once it has found its cluster.
    node: Arc<Mutex<Option<Node>>>,
}

impl SimCluster {
    /// No process runs yet. `clocks` has one entry for each node.
    pub fn new(world: &World, knobs: Knobs, clocks: &[ClockFaults]) -> SimCluster {
        let seat = |(number, clocks): (usize, &ClockFaults)| Seat {
            address: format!("node{}", number + 1),
            disk: MemoryDisk::new(),
            home: MemoryHome::default(),
            clocks: *clocks,
            process: Mutex::default(),
        };
        let inner = Inner {
            world: world.clone(),
            network: SimNetwork::new(world),
            knobs,
            gateways: Gateways::default(),
            seats: clocks.iter().enumerate().map(seat).collect(),
            metrics: Mutex::default(),
            random: Mutex::new(world.split_random()),
        };
        for number in 0..clocks.len() {
            inner.gateways.set(number, None);
        }
        SimCluster { inner: Arc::new(inner) }
    }

    pub fn len(&self) -> usize {
        self.inner.seats.len()
    }

    pub fn is_empty(&self) -> bool {
        self.inner.seats.is_empty()
    }

    pub fn network(&self) -> &SimNetwork {
        &self.inner.network
    }

    pub fn gateways(&self) -> &Gateways {
        &self.inner.gateways
    }

    pub fn address(&self, node: usize) -> &str {
        &self.inner.seats[node].address
    }

    /// Starts a process on a seat that has none; it takes clients some time later.
    pub fn start(&self, node: usize) {
        let seat = &self.inner.seats[node];
        let host = SimHost::start(&self.inner.world, &seat.address, seat.clocks);
        let running = Arc::new(Mutex::new(None));
        let process = Process { host: host.clone(), node: running.clone() };
        let before = seat.process.lock().replace(process);
        assert!(before.is_none_or(|process| !process.host.is_running()), "a seat has one process at a time");
        let env = host.env(self.inner.knobs.clone());
        self.inner.metrics.lock().push(env.metrics().clone());
        let engine = Arc::new(MemoryEngine::open(&seat.disk));
        let transport = self.inner.network.endpoint(&seat.address, &host);
        let (config, home) = (self.config(node), Arc::new(seat.home.clone()));
        let (cluster, life) = (self.clone(), host.clone());
        let work = async move {
            match Node::start(config, env, engine, home, transport).await {
                Ok(started) => cluster.serve(node, life, started, running).await,
                Err(error) => {
                    cluster.inner.world.milestone(format!("{} does not start: {error}", life.name()));
                    life.crash();
                }
            }
        };
        host.spawn("main", Box::pin(work));
    }

    async fn serve(&self, node: usize, host: Arc<SimHost>, started: Node, running: Arc<Mutex<Option<Node>>>) {
        *running.lock() = Some(started.clone());
        let (cluster, life, ready) = (self.clone(), host.clone(), started.clone());
        let open = async move {
            if ready.until_ready().await {
                cluster.inner.world.milestone(format!("{} is ready", life.name()));
                let txn = ready.txn().clone();
                cluster.inner.gateways.set(node, Some(Gateway { host: life, txn }));
            }
        };
        host.spawn("open for clients", Box::pin(open));
        let error = started.failed().await;
        self.inner.world.milestone(format!("{} stops: {error}", host.name()));
        host.crash();
    }

    fn config(&self, node: usize) -> NodeConfig {
        let address = |number: usize, part: &str| format!("{}{part}", self.inner.seats[number].address);
        let addresses = Addresses { rpc: address(node, ""), sql: address(node, "-sql"), http: address(node, "-http") };
        let formation = match node {
            0 => Formation::Alone,
            _ => Formation::Join((0..self.len()).map(|other| address(other, "")).collect()),
        };
        NodeConfig { addresses, formation, ..NodeConfig::default() }
    }

    /// `kill -9` and a power failure. The disk keeps what the contract says and no more.
    pub fn crash(&self, node: usize) {
        let seat = &self.inner.seats[node];
        self.inner.gateways.set(node, None);
        if let Some(process) = seat.process.lock().take() {
            process.host.crash();
            if let Some(node) = process.node.lock().take() {
                node.let_go();
            }
        }
        let mut random = self.inner.random.lock();
        seat.disk.crash(&mut |bound| random.below(bound));
    }

    /// The run is over.
    pub fn end(&self) {
        (0..self.len()).for_each(|node| self.crash(node));
    }

    /// Has the seat a process that has not ended by itself?
    pub fn is_running(&self, node: usize) -> bool {
        self.inner.seats[node].process.lock().as_ref().is_some_and(|process| process.host.is_running())
    }

    /// Starts what is not running: after a fault, or because it ended by itself.
    pub fn revive(&self, node: usize) {
        if !self.is_running(node) {
            self.crash(node);
            self.start(node);
        }
    }

    pub fn pause(&self, node: usize) {
        if let Some(host) = self.host(node) {
            host.pause();
        }
    }

    pub fn resume(&self, node: usize) {
        if let Some(host) = self.host(node) {
            host.resume();
        }
    }

    pub fn step_wall_clock(&self, node: usize, by_ms: i64) {
        if let Some(host) = self.host(node) {
            host.step_wall_clock(by_ms);
        }
    }

    pub fn set_disk_delay(&self, node: usize, delay: DiskDelay) {
        if let Some(host) = self.host(node) {
            host.set_disk_delay(delay);
        }
    }

    pub fn set_ambush(&self, node: usize, ambush: Option<Ambush>) {
        if let Some(host) = self.host(node) {
            host.set_ambush(ambush);
        }
    }

    pub fn set_disk_faults(&self, node: usize, faults: DiskFaults) {
        self.inner.seats[node].disk.set_faults(faults);
    }

    pub fn disk(&self, node: usize) -> &MemoryDisk {
        &self.inner.seats[node].disk
    }

    /// What the monotonic clock of a running process shows.
    pub fn clock(&self, node: usize) -> Option<Mono> {
        self.host(node).map(|host| host.mono())
    }

    fn host(&self, node: usize) -> Option<Arc<SimHost>> {
        self.inner.seats[node].process.lock().as_ref().map(|process| process.host.clone())
    }

    /// The node that runs on a seat, to look into.
    pub fn node(&self, node: usize) -> Option<Node> {
        let process = self.inner.seats[node].process.lock();
        let process = process.as_ref().filter(|process| process.host.is_running())?;
        process.node.lock().clone()
    }

    pub fn nodes(&self) -> impl Iterator<Item = (usize, Node)> + '_ {
        (0..self.len()).filter_map(|number| Some((number, self.node(number)?)))
    }

    /// What the counter `name` of `/metrics` has counted in all processes that ever ran.
    pub fn counted(&self, name: &str) -> u64 {
        self.inner.metrics.lock().iter().map(|metrics| metrics.counted(name)).sum()
    }

    /// Runs `work` in the process of `node`; `None` if there is none or it ends before.
    pub async fn run_on<T: Send + 'static>(
        &self,
        node: usize,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let gateway = self.inner.gateways.get(node)?;
        gateway.run(work).await
    }

    /// Every replica as its node sees it, for the report of a failure.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for number in 0..self.len() {
            let Some(node) = self.node(number) else {
                text += &format!("\n  node {}: no process", number + 1);
                continue;
            };
            text += &format!("\n  node {}: {:?}", number + 1, node.ready());
            for status in node.store().statuses() {
                let leads = if status.is_leader { " leads" } else { "" };
                let members: Vec<String> =
                    status.descriptor.replicas.iter().map(|one| format!("{}/{}", one.node, one.replica)).collect();
                text += &format!(
                    "\n    {} {} term {} applied {}{leads}, {} of {}",
                    status.descriptor.id,
                    status.replica,
                    status.term,
                    status.applied,
                    status.descriptor.epoch,
                    members.join(" ")
                );
            }
            for (range, replica, why) in node.store().defects() {
                text += &format!("\n    {range} {replica} is out of use: {why}");
            }
            for edge in node.store().wait_edges() {
                text += &format!("\n    {} waits for {} at {}", edge.waiter, edge.holder, edge.range);
            }
        }
        text
    }

    /// All nodes and ranges as the leader of the system range sees them.
    pub fn survey(&self) -> Option<Survey> {
        self.nodes().find_map(|(_, node)| node.placement().survey())
    }

    /// Every node takes clients, and every range has a leader and `voters` voters.
    pub fn is_whole(&self, voters: usize) -> bool {
        let all_ready = (0..self.len()).all(|node| self.inner.gateways.get(node).is_some());
        let Some(survey) = self.survey().filter(|survey| all_ready && survey.ranges.len() >= 2) else { return false };
        survey.ranges.iter().all(|range| {
            let voting = range.descriptor.replicas.iter().filter(|replica| replica.role == ReplicaRole::Voter);
            range.leader.is_some() && voting.count() >= voters
        })
    }

    /// Waits until the cluster is whole; `false` if that takes longer than `limit`.
    pub async fn until_whole(&self, voters: usize, limit: Duration) -> bool {
        let begin = self.inner.world.elapsed();
        while !self.is_whole(voters) {
            if self.inner.world.elapsed() - begin > limit {
                return false;
            }
            self.inner.world.sleep(Duration::from_millis(50)).await;
        }
        true
    }

    /// Restarts processes that end by themselves, as a supervisor would.
    pub fn supervise(&self, stop: crate::workload::Shift) {
        let cluster = self.clone();
        spawn(async move {
            while !stop.is_over() {
                cluster.inner.world.sleep(Duration::from_secs(1)).await;
                for node in 0..cluster.len() {
                    let ended = cluster.inner.seats[node]
                        .process
                        .lock()
                        .as_ref()
                        .is_some_and(|process| !process.host.is_running());
                    if ended {
                        cluster.revive(node);
                    }
                }
            }
        });
    }
}
