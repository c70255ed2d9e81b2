//! Several nodes in one process, over an in-process network: for tests, and for programs that want a cluster
//! as a library.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use env::{Env, Knobs, Os};
use rpc::range::ReplicaRole;
use rpc::{InProcessNetwork, Transport};
use storage::{Engine, MemoryDisk, MemoryEngine, RocksEngine, RocksOptions, StoreDirectory};

use crate::{Addresses, Formation, Home, MemoryHome, Node, NodeConfig, NodeError, RocksHome, scheduler};

/// Where nodes keep their data.
#[derive(Clone, Debug)]
pub enum Disk {
    /// In memory, gone with the cluster.
    Memory,
    /// A folder for each node under this one.
    Folder(PathBuf),
}

#[derive(Clone, Debug)]
pub struct ClusterOptions {
    pub nodes: usize,
    pub disk: Disk,
    pub knobs: Knobs,
}

pub struct Cluster {
    options: ClusterOptions,
    env: Env,
    network: InProcessNetwork,
    seats: Vec<Seat>,
}

struct Seat {
    address: String,
    disk: SeatDisk,
    node: Option<Node>,
}

enum SeatDisk {
    Memory(MemoryDisk, MemoryHome),
    Folder(PathBuf),
}

impl Cluster {
    /// One node that makes the cluster, the others joining it; returns when each can serve clients and, from three
    /// nodes on, every range has three voters. Call it inside a tokio runtime.
    pub async fn start(options: ClusterOptions) -> Result<Cluster, NodeError> {
        let env = Env::new(Arc::new(Os::new()), options.knobs.clone());
        let network = InProcessNetwork::new(scheduler(&env));
        let mut cluster = Cluster { options, env, network, seats: Vec::new() };
        for _ in 0..cluster.options.nodes {
            cluster.grow().await?;
        }
        cluster.until_replicated().await;
        Ok(cluster)
    }

    pub fn network(&self) -> &InProcessNetwork {
        &self.network
    }

    pub fn len(&self) -> usize {
        self.seats.len()
    }

    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// # Panics
    /// If the node is stopped.
    pub fn node(&self, index: usize) -> &Node {
        self.seats[index].node.as_ref().expect("the node is running")
    }

    /// The nodes that run.
    pub fn running(&self) -> impl Iterator<Item = &Node> {
        self.seats.iter().filter_map(|seat| seat.node.as_ref())
    }

    /// The node's address on the in-process network, for [`InProcessNetwork::isolate`].
    pub fn address(&self, index: usize) -> &str {
        &self.seats[index].address
    }

    /// Starts one more node, which joins, and waits until it can serve clients.
    pub async fn grow(&mut self) -> Result<(), NodeError> {
        let index = self.seats.len();
        let disk = match &self.options.disk {
            Disk::Memory => SeatDisk::Memory(MemoryDisk::new(), MemoryHome::default()),
            Disk::Folder(folder) => SeatDisk::Folder(folder.join(format!("node{}", index + 1))),
        };
        self.seats.push(Seat { address: format!("node{}", index + 1), disk, node: None });
        self.restart(index).await
    }

    /// Stops a node in order.
    pub async fn stop(&mut self, index: usize) {
        if let Some(node) = self.seats[index].node.take() {
            node.stop().await;
        }
    }

    /// Starts a stopped node on what its disk holds and waits until it can serve clients.
    pub async fn restart(&mut self, index: usize) -> Result<(), NodeError> {
        assert!(self.seats[index].node.is_none(), "a running node is stopped first");
        let seat = &self.seats[index];
        let (engine, home) = self.open(&seat.disk).await?;
        let addresses = Addresses {
            rpc: seat.address.clone(),
            sql: format!("{}-sql", seat.address),
            http: format!("{}-http", seat.address),
        };
        let seeds: Vec<String> =
            self.seats[..index].iter().filter(|seat| seat.node.is_some()).map(|seat| seat.address.clone()).collect();
        let formation = if seeds.is_empty() { Formation::Alone } else { Formation::Join(seeds) };
        let config = NodeConfig { addresses, formation, ..NodeConfig::default() };
        // Metrics are each node's own.
        let env = Env::new(Arc::new(Os::new()), self.options.knobs.clone());
        let transport: Arc<dyn Transport> = self.network.endpoint(&seat.address);
        let node = Node::start(config, env, engine, home, transport).await?;
        node.until_ready().await;
        self.seats[index].node = Some(node);
        Ok(())
    }

    /// Waits until every range has as many voters as it should have, and a leader.
    pub async fn until_replicated(&self) {
        let voters = if self.seats.len() >= 3 { 3 } else { 1 };
        while !self.running().any(|node| is_replicated(node, voters)) {
            self.env.sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops every node.
    pub async fn shut_down(mut self) {
        for index in 0..self.seats.len() {
            self.stop(index).await;
        }
    }

    async fn open(&self, disk: &SeatDisk) -> Result<(Arc<dyn Engine>, Arc<dyn Home>), NodeError> {
        match disk {
            SeatDisk::Memory(disk, home) => Ok((Arc::new(MemoryEngine::open(disk)), Arc::new(home.clone()))),
            SeatDisk::Folder(folder) => {
                let mut tries = 0;
                let engine = loop {
                    let opened = StoreDirectory::open(folder)
                        .and_then(|directory| RocksEngine::open(directory, &RocksOptions::default()));
                    match opened {
                        // Tasks of the node that was here may still be letting go.
                        Err(storage::Error::Unusable(_)) if tries < 100 => {
                            tries += 1;
                            self.env.sleep(Duration::from_millis(20)).await;
                        }
                        opened => break opened?,
                    }
                };
                Ok((Arc::new(engine.clone()), Arc::new(RocksHome(engine))))
            }
        }
    }
}

fn is_replicated(node: &Node, voters: usize) -> bool {
    let Some(survey) = node.placement().survey() else { return false };
    survey.ranges.len() >= 2
        && survey.ranges.iter().all(|range| {
            let voting = range.descriptor.replicas.iter().filter(|replica| replica.role == ReplicaRole::Voter).count();
            voting == voters && range.leader.is_some()
        })
}
