//! The sockets of a process, and everything that needs one.
#![expect(clippy::disallowed_types, reason = "sockets enter the house here")]

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use env::Env;
use futures::StreamExt;
use pgfront::{Front, Limits};
use rpc::{GrpcNetwork, Scheduler, Transport};
use storage::{RocksEngine, RocksOptions, StoreDirectory};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;

use crate::form;
use crate::heartbeat::load_neighbours;
use crate::{Addresses, Node, NodeConfig, NodeError, RocksHome};

/// Where to listen, `host:port` each, and how others reach that where it differs.
#[derive(Clone, Debug)]
pub struct ListenersConfig {
    pub rpc: String,
    pub sql: String,
    pub http: String,
    pub advertise_rpc: Option<String>,
    pub advertise_sql: Option<String>,
    pub advertise_http: Option<String>,
    /// From the first byte of a client to its session.
    pub authentication_timeout: Duration,
}

impl Default for ListenersConfig {
    fn default() -> ListenersConfig {
        ListenersConfig {
            sql: "127.0.0.1:15432".into(),
            rpc: "127.0.0.1:15433".into(),
            http: "127.0.0.1:15434".into(),
            advertise_rpc: None,
            advertise_sql: None,
            advertise_http: None,
            authentication_timeout: Limits::default().authentication,
        }
    }
}

/// Open sockets on which nobody is answered yet.
pub struct Listeners {
    rpc: TcpListener,
    sql: TcpListener,
    http: TcpListener,
    addresses: Addresses,
    is_loopback: bool,
    authentication_timeout: Duration,
}

/// A node with its sockets.
pub struct Process {
    node: Node,
    front: Arc<Front>,
    /// False when no more clients are taken.
    listening: watch::Sender<bool>,
}

/// Time a stopping process gives its clients to finish and go, before it ends their sessions.
const DRAIN: Duration = Duration::from_secs(1);

/// Time their sessions have to end then.
const TERMINATE: Duration = Duration::from_millis(500);

impl Listeners {
    pub async fn bind(config: &ListenersConfig) -> Result<Listeners, NodeError> {
        let rpc = bind(&config.rpc).await?;
        let sql = bind(&config.sql).await?;
        let http = bind(&config.http).await?;
        let addresses = Addresses {
            rpc: advertised(&rpc, config.advertise_rpc.as_ref())?,
            sql: advertised(&sql, config.advertise_sql.as_ref())?,
            http: advertised(&http, config.advertise_http.as_ref())?,
        };
        let on_loopback =
            |listener: &TcpListener| listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
        let is_loopback = on_loopback(&rpc) && on_loopback(&sql) && on_loopback(&http);
        Ok(Listeners { rpc, sql, http, addresses, is_loopback, authentication_timeout: config.authentication_timeout })
    }

    /// As others reach them.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Can only this machine reach them?
    pub fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    /// Opens the store in `data` and starts a node on it. The addresses in `config` are replaced by those
    /// that are listened on. Health and metrics are answered from the beginning, SQL when the node is ready.
    pub async fn start(self, data: &Path, config: NodeConfig, env: Env) -> Result<Process, NodeError> {
        let Listeners { rpc, sql, http, addresses, is_loopback: _, authentication_timeout } = self;
        let listening = watch::Sender::new(true);
        let page = Arc::new(Page { env: env.clone(), node: OnceLock::new() });
        let closed = closed(&listening);
        let pages = console::serve(http, page.clone(), closed);
        env.spawn("http", async move {
            if let Err(error) = pages.await {
                tracing::error!(%error, "the HTTP side has ended");
            }
        });

        let path = data.to_owned();
        let opening = env.blocking(move || {
            StoreDirectory::open(&path).and_then(|directory| RocksEngine::open(directory, &RocksOptions::default()))
        });
        let engine = opening.await?;

        let network = GrpcNetwork::new(scheduler(&env));
        let connections = TcpListenerStream::new(rpc).map(|connection| {
            let connection = connection?;
            connection.set_nodelay(true)?;
            Ok(connection)
        });
        let answering = network.listen(connections);
        env.spawn("rpc", async move {
            if let Err(error) = answering.await {
                tracing::error!(%error, "the RPC side has ended");
            }
        });

        let config = NodeConfig { addresses, ..config };
        let home = Arc::new(RocksHome(engine.clone()));
        let transport: Arc<dyn Transport> = Arc::new(network);
        form::check_directory(&config, &env, &*home, &load_neighbours(&engine)?, &transport).await?;
        let node = Node::start(config, env.clone(), Arc::new(engine), home, transport).await?;
        let first = page.node.set(node.clone()).is_ok();
        assert!(first, "a process starts one node");
        let limits = Limits { authentication: authentication_timeout, ..Limits::default() };
        let front = Front::new(env.clone(), node.sql().clone(), limits);
        env.spawn("sql", accept_clients(sql, node.clone(), front.clone(), listening.subscribe()));
        Ok(Process { node, front, listening })
    }
}

impl Process {
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Takes no more clients, hands leadership over, makes everything durable, ends.
    pub async fn stop(&self) {
        self.listening.send_replace(false);
        let env = self.node.env();
        if env.timeout(DRAIN, self.until_no_clients()).await.is_none() {
            self.front.terminate_all();
            if env.timeout(TERMINATE, self.until_no_clients()).await.is_none() {
                tracing::info!(connections = self.front.connections(), "closes the connections of idle clients");
            }
        }
        self.node.stop().await;
    }

    async fn until_no_clients(&self) {
        while self.front.connections() > 0 {
            self.node.env().sleep(Duration::from_millis(10)).await;
        }
    }
}

/// From when the node is ready until it stops.
async fn accept_clients(listener: TcpListener, node: Node, front: Arc<Front>, mut listening: watch::Receiver<bool>) {
    if !node.until_ready().await {
        return;
    }
    loop {
        let accepted = tokio::select! {
            biased;
            _stopped = listening.wait_for(|listening| !*listening) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                // Answers are written when they are complete; the kernel need not wait for more.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a client went away at once");
                    continue;
                }
                let front = front.clone();
                node.env().spawn("client", async move { front.serve(stream, Some(client)).await });
            }
            Err(error) => {
                // Out of file descriptors, mostly: it may pass.
                tracing::warn!(%error, "a connection could not be accepted");
                node.env().sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// `env`'s tasks and timers for `rpc`.
pub fn scheduler(env: &Env) -> Scheduler {
    let (tasks, timers) = (env.clone(), env.clone());
    Scheduler::new(move |name, task| tasks.spawn(name, task), move |duration| timers.sleep(duration))
}

async fn bind(address: &str) -> Result<TcpListener, NodeError> {
    let failed = |error: std::io::Error| NodeError::Listen { address: address.to_owned(), why: error.to_string() };
    TcpListener::bind(address).await.map_err(failed)
}

/// What was asked for, else what is listened on, with the name of this machine in place of "every address".
fn advertised(listener: &TcpListener, asked: Option<&String>) -> Result<String, NodeError> {
    if let Some(address) = asked {
        return Ok(address.clone());
    }
    let unknown = |why: String| NodeError::Config(format!("an --advertise address is needed: {why}"));
    let address = listener.local_addr().map_err(|error| unknown(error.to_string()))?;
    if !address.ip().is_unspecified() {
        return Ok(address.to_string());
    }
    let host = host_name().ok_or_else(|| unknown("this machine has no name".into()))?;
    Ok(format!("{host}:{}", address.port()))
}

fn host_name() -> Option<String> {
    let mut name = [0_u8; 256];
    // SAFETY: the call writes at most the given length, and the last byte stays zero.
    let code = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    let end = name.iter().position(|byte| *byte == 0)?;
    let name = std::str::from_utf8(&name[..end]).ok()?;
    (code == 0 && !name.is_empty()).then(|| name.to_owned())
}

fn closed(listening: &watch::Sender<bool>) -> impl Future<Output = ()> + Send + 'static {
    let mut listening = listening.subscribe();
    async move {
        // An error says that the process is gone.
        let _gone = listening.wait_for(|listening| !*listening).await;
    }
}

/// What the console shows; before there is a node, that there is none.
struct Page {
    env: Env,
    node: OnceLock<Node>,
}

impl console::Source for Page {
    fn ready(&self) -> Result<(), String> {
        self.node.get().ok_or("the node looks for its cluster")?.ready()
    }

    fn status(&self) -> serde_json::Value {
        match self.node.get() {
            Some(node) => node.status(),
            None => {
                serde_json::json!({ "summary": "Not ready: the node looks for its cluster.", "nodes": [], "ranges": [] })
            }
        }
    }

    fn metrics(&self) -> String {
        self.env.metrics().render()
    }
}
