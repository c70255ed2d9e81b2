//! # How a process becomes a node
//!
//! A directory that belongs to a cluster decides everything; flags matter only for an empty one:
//!
//! * **Alone**: it makes a cluster of one. Nothing else is needed, ever: the cluster can grow later.
//! * **Join**: it asks the addresses in turn until one lets it in. Its token, drawn once and written down
//!   first, makes a repeated question harmless.
//! * **Together**: several processes are started at once with the same list of addresses. The one with the
//!   first address makes the cluster, but only after *every* other has answered that it belongs to none;
//!   the others wait until somebody in the list belongs to a cluster and join that. So the command can be
//!   repeated: a node whose disk was replaced finds the cluster the others are in, also when its address
//!   comes first. While somebody in the list is not there, no new cluster is made.

use std::sync::Arc;
use std::time::Duration;

use env::{Env, Mono};
use keyspace::NodeId;
use rpc::cluster::{ClusterReply, ClusterRequest, JoinRequest, NodeInfo};
use rpc::{KvError, Transport, codec};
use storage::{Identity, Member};

use crate::{Formation, Home, NodeConfig, NodeError};

const PAUSE: Duration = Duration::from_millis(200);
/// Time that neighbours have to say who they are before a node goes on without their word.
const LOOK_AROUND: Duration = Duration::from_secs(1);
/// Between two lines of the log that say the same.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// Tells the log what is waited for: at once, when it changes, and now and then.
struct Waiting<'w> {
    env: &'w Env,
    told: Option<(String, Mono)>,
}

impl Waiting<'_> {
    fn tell(&mut self, what: &str, tried: &str) {
        let now = self.env.now();
        if self.told.as_ref().is_none_or(|(told, at)| told != tried || now.since(*at) >= TELL_AGAIN) {
            tracing::info!(tried, "{what}");
            self.told = Some((tried.to_owned(), now));
        }
    }
}

/// A process that has found its place.
#[derive(Clone, Debug)]
pub struct Place {
    pub cluster: u64,
    pub node: NodeId,
    /// Whom we know from joining; nobody when the directory had a place already.
    pub nodes: Vec<NodeInfo>,
    /// We are to make the first ranges. Our place is written down after that, so that it is done once: a
    /// founder that has given its ranges away does not make them again.
    pub founder: bool,
}

/// Finds this process' place and writes it down (a founder's is left to [`settle`]). The transport must answer `Hello` meanwhile.
pub async fn find_place(
    config: &NodeConfig,
    env: &Env,
    home: &dyn Home,
    transport: &Arc<dyn Transport>,
) -> Result<Place, NodeError> {
    let identity = match home.identity() {
        Some(identity) => identity,
        None => {
            let identity = Identity { token: env.random_u64().max(1), member: None };
            home.set_identity(identity)?;
            identity
        }
    };
    if let Some(Member { cluster, node }) = identity.member {
        return Ok(Place { cluster, node: NodeId(node), nodes: Vec::new(), founder: false });
    }
    let seeker = Seeker { config, env, transport, token: identity.token };
    let place = match &config.formation {
        Formation::Alone => seeker.found(),
        Formation::Join(addresses) => seeker.join(addresses).await?,
        Formation::Together(addresses) => seeker.form(addresses).await?,
    };
    if !place.founder {
        settle(home, &place)?;
    }
    Ok(place)
}

/// Refuses the directory of another node: one that belongs to another cluster than the addresses to join, and a copy of one whose
/// node runs already. `known`: the nodes that the directory remembers. Who does not answer at once proves nothing.
///
/// Two processes that are the same node would vote twice, so this is looked at before anything starts; it is a help against
/// mistakes, not a proof.
pub async fn check_directory(
    config: &NodeConfig,
    env: &Env,
    home: &dyn Home,
    known: &[NodeInfo],
    transport: &Arc<dyn Transport>,
) -> Result<(), NodeError> {
    let Some(Member { cluster, node }) = home.identity().and_then(|identity| identity.member) else { return Ok(()) };
    let ours = NodeId(node);
    let seeker = Seeker { config, env, transport, token: 0 };
    let asked = match &config.formation {
        Formation::Alone => &[][..],
        Formation::Join(addresses) | Formation::Together(addresses) => addresses.as_slice(),
    };
    let own_places = known.iter().filter(|info| info.node == ours).map(|info| &info.rpc_address);
    let mut addresses: Vec<&String> = asked.iter().chain(own_places).filter(|address| !seeker.is_us(address)).collect();
    addresses.sort();
    addresses.dedup();
    let answers = addresses.iter().map(|address| env.timeout(LOOK_AROUND, seeker.who_is(address)));
    for (address, answer) in addresses.iter().zip(futures::future::join_all(answers).await) {
        let Some(Some((theirs, name))) = answer else { continue };
        if theirs == cluster && name == Some(ours) {
            return Err(NodeError::Config(format!(
                "the data directory is a copy: its node, {ours} of cluster {cluster:x}, runs at {address}; give a new node an empty directory"
            )));
        }
        if theirs != cluster && asked.contains(address) {
            return Err(NodeError::Config(format!(
                "the data directory belongs to {ours} of cluster {cluster:x}, and {address} of --join to cluster {theirs:x}; give an empty directory to join that one, or leave --join out"
            )));
        }
    }
    Ok(())
}

/// Writes down which node of which cluster this is.
pub fn settle(home: &dyn Home, place: &Place) -> Result<(), NodeError> {
    let identity = home.identity().expect("a token was drawn before a place was looked for");
    let member = Member { cluster: place.cluster, node: place.node.0 };
    Ok(home.set_identity(Identity { member: Some(member), ..identity })?)
}

/// The node that makes a cluster is its first.
const FOUNDER: NodeId = NodeId(1);

struct Seeker<'a> {
    config: &'a NodeConfig,
    env: &'a Env,
    transport: &'a Arc<dyn Transport>,
    token: u64,
}

/// What somebody answered to `Hello`.
enum Neighbour {
    Member,
    /// Belongs to no cluster yet.
    Seeking,
    Silent(String),
}

impl Seeker<'_> {
    /// The cluster is named after the token of its founder, so that a founding that was interrupted goes on
    /// as the same one.
    fn found(&self) -> Place {
        tracing::info!(cluster = format!("{:x}", self.token), "makes a new cluster");
        Place { cluster: self.token, node: FOUNDER, nodes: Vec::new(), founder: true }
    }

    async fn join(&self, addresses: &[String]) -> Result<Place, NodeError> {
        let deadline = self.env.now() + self.config.join_timeout;
        let others: Vec<&String> = addresses.iter().filter(|address| !self.is_us(address)).collect();
        if others.is_empty() {
            return Err(NodeError::Config("--join names no other node than this one".into()));
        }
        let mut waiting = Waiting { env: self.env, told: None };
        loop {
            let mut tried = Vec::new();
            for address in &others {
                match self.ask_to_join(address).await {
                    Ok(place) => return Ok(place),
                    Err(why) => tried.push(why),
                }
            }
            let tried = tried.join("; ");
            waiting.tell("nobody lets us in yet", &tried);
            if self.env.now() >= deadline {
                return Err(NodeError::NotJoined { seconds: self.config.join_timeout.as_secs(), tried });
            }
            self.env.sleep(PAUSE).await;
        }
    }

    async fn ask_to_join(&self, address: &str) -> Result<Place, String> {
        let addresses = &self.config.addresses;
        let request = JoinRequest {
            token: self.token,
            rpc_address: addresses.rpc.clone(),
            sql_address: addresses.sql.clone(),
            http_address: addresses.http.clone(),
        };
        // The seed passes it on to the leader, which may have to be elected.
        let limit = self.env.knobs().range_unavailable;
        let answer = self.env.timeout(limit, self.transport.ask(address, ClusterRequest::Join(request))).await;
        match answer {
            Some(Ok(Ok(ClusterReply::Joined { cluster, node, nodes }))) => {
                tracing::info!(%node, cluster = format!("{cluster:x}"), seed = address, "joined");
                Ok(Place { cluster, node, nodes, founder: false })
            }
            Some(Ok(Ok(_))) => Err(format!("{address} gave an answer of another kind")),
            Some(Ok(Err(KvError::Unavailable { why, .. }))) => Err(format!("{address}: {why}")),
            Some(Ok(Err(error))) => Err(format!("{address}: {error}")),
            Some(Err(error)) => Err(error.to_string()),
            None => Err(format!("{address} did not answer in time")),
        }
    }

    async fn form(&self, addresses: &[String]) -> Result<Place, NodeError> {
        let Some(us) = addresses.iter().position(|address| self.is_us(address)) else {
            let (ours, list) = (&self.config.addresses.rpc, addresses.join(","));
            return Err(NodeError::Config(format!(
                "with --expect, --join must name this node too: {ours} is not among {list}"
            )));
        };
        let others: Vec<&String> = addresses.iter().filter(|address| !self.is_us(address)).collect();
        let deadline = self.env.now() + self.config.join_timeout;
        let mut waiting = Waiting { env: self.env, told: None };
        loop {
            let answers = futures::future::join_all(others.iter().map(|address| self.hello(address))).await;
            let mut silent = Vec::new();
            for (address, answer) in others.iter().zip(answers) {
                match answer {
                    Neighbour::Member => match self.ask_to_join(address).await {
                        Ok(place) => return Ok(place),
                        Err(why) => silent.push(why),
                    },
                    Neighbour::Seeking => {}
                    Neighbour::Silent(why) => silent.push(why),
                }
            }
            if silent.is_empty() && us == 0 {
                return Ok(self.found());
            }
            let tried = if silent.is_empty() {
                format!("{} has not made the cluster yet", addresses[0])
            } else {
                silent.join("; ")
            };
            waiting.tell("waits for the others", &tried);
            if self.env.now() >= deadline {
                return Err(NodeError::NotJoined { seconds: self.config.join_timeout.as_secs(), tried });
            }
            self.env.sleep(PAUSE).await;
        }
    }

    async fn hello(&self, address: &str) -> Neighbour {
        let request = ClusterRequest::Hello {
            cluster: None,
            protocol: u32::from(codec::VERSION),
            address: self.config.addresses.rpc.clone(),
        };
        match self.env.timeout(self.env.knobs().rpc_timeout, self.transport.ask(address, request)).await {
            Some(Ok(Ok(ClusterReply::Hello { cluster: Some(_), .. }))) => Neighbour::Member,
            Some(Ok(Ok(ClusterReply::Hello { cluster: None, .. }))) => Neighbour::Seeking,
            Some(Ok(Ok(_))) => Neighbour::Silent(format!("{address} gave an answer of another kind")),
            Some(Ok(Err(error))) => Neighbour::Silent(format!("{address}: {error}")),
            Some(Err(error)) => Neighbour::Silent(error.to_string()),
            None => Neighbour::Silent(format!("{address} did not answer in time")),
        }
    }

    /// The cluster and the node at an address, if somebody says so.
    async fn who_is(&self, address: &str) -> Option<(u64, Option<NodeId>)> {
        let request = ClusterRequest::Hello {
            cluster: None,
            protocol: u32::from(codec::VERSION),
            address: self.config.addresses.rpc.clone(),
        };
        match self.transport.ask(address, request).await {
            Ok(Ok(ClusterReply::Hello { cluster: Some(cluster), node, .. })) => Some((cluster, node)),
            _ => None,
        }
    }

    fn is_us(&self, address: &str) -> bool {
        address == self.config.addresses.rpc
    }
}
