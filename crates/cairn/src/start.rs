//! `cairn start`: one node, until it is told to stop.
//!
//! A setting comes from its flag, else from `CAIRN_<NAME>`, else from the file of `--config`, else its default.

use std::io::{IsTerminal, Write};
use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use env::{Env, Knobs, Os};
use node::{Formation, Listeners, ListenersConfig, NodeConfig};
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::Failure;

/// Start a node: alone at once, or joined to others with --join
///
/// The node is ready when it prints one line `ready: postgresql://…`. SIGTERM or Ctrl-C stops it after handing its
/// duties over; a second one, or SIGKILL at any moment, loses nothing that was acknowledged.
#[derive(clap::Args)]
pub struct Arguments {
    /// Folder of this node's data; made if it is not there
    #[arg(long, env = "CAIRN_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// RPC addresses of one or more nodes of the cluster to join
    #[arg(long, env = "CAIRN_JOIN", value_name = "HOST:PORT,…", value_delimiter = ',')]
    join: Vec<String>,
    /// Form a new cluster together with all nodes in --join, which are started with the same list
    #[arg(long, env = "CAIRN_EXPECT", value_name = "NODES")]
    expect: Option<usize>,
    /// How long to look for the cluster before giving up [default: 60]
    #[arg(long, env = "CAIRN_JOIN_TIMEOUT", value_name = "SECONDS")]
    join_timeout: Option<u64>,
    /// Where to listen for PostgreSQL clients [default: 127.0.0.1:15432]
    #[arg(long, env = "CAIRN_SQL_ADDR", value_name = "HOST:PORT")]
    sql_addr: Option<String>,
    /// Where to listen for other nodes [default: 127.0.0.1:15433]
    #[arg(long, env = "CAIRN_RPC_ADDR", value_name = "HOST:PORT")]
    rpc_addr: Option<String>,
    /// Where to listen for health, metrics and status [default: 127.0.0.1:15434]
    #[arg(long, env = "CAIRN_HTTP_ADDR", value_name = "HOST:PORT")]
    http_addr: Option<String>,
    /// How clients reach --sql-addr, where that differs
    #[arg(long, env = "CAIRN_ADVERTISE_SQL", value_name = "HOST:PORT")]
    advertise_sql: Option<String>,
    /// How other nodes reach --rpc-addr, where that differs
    #[arg(long, env = "CAIRN_ADVERTISE_RPC", value_name = "HOST:PORT")]
    advertise_rpc: Option<String>,
    /// How others reach --http-addr, where that differs
    #[arg(long, env = "CAIRN_ADVERTISE_HTTP", value_name = "HOST:PORT")]
    advertise_http: Option<String>,
    /// Let clients in without a password although an address is not loopback
    #[arg(long, env = "CAIRN_INSECURE")]
    insecure: bool,
    /// May leaders answer reads without asking the others each time? That assumes that clocks run at about the same rate; off
    /// assumes nothing [default: on]
    #[arg(long, env = "CAIRN_LEADER_LEASE", value_name = "on|off")]
    leader_lease: Option<Switch>,
    /// Time a client has from its first byte to its session [default: 60]
    #[arg(long, env = "CAIRN_AUTHENTICATION_TIMEOUT", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    authentication_timeout: Option<u64>,
    /// A TOML file with the same settings: data = "…", join = ["…"], sql-addr = "…"
    #[arg(long, env = "CAIRN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// For tests: split each new table into this many ranges
    #[arg(long, env = "CAIRN_SPLIT_NEW_TABLES", hide = true)]
    split_new_tables: Option<u32>,
    /// For tests: keep old versions for so many milliseconds
    #[arg(long, env = "CAIRN_GC_TTL_MS", hide = true)]
    gc_ttl_ms: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Switch {
    On,
    Off,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    data: Option<PathBuf>,
    #[serde(default)]
    join: Vec<String>,
    expect: Option<usize>,
    sql_addr: Option<String>,
    rpc_addr: Option<String>,
    http_addr: Option<String>,
    advertise_sql: Option<String>,
    advertise_rpc: Option<String>,
    advertise_http: Option<String>,
    #[serde(default)]
    insecure: bool,
    leader_lease: Option<Switch>,
    authentication_timeout: Option<u64>,
    join_timeout: Option<u64>,
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    init_logs();
    let file = match &arguments.config {
        Some(path) => read_file(path)?,
        None => File::default(),
    };
    let data = arguments.data.or(file.data).ok_or_else(|| {
        Failure::new("--data is missing: name a folder for this node's data, as in `cairn start --data DIR`")
    })?;
    let join = if arguments.join.is_empty() { file.join } else { arguments.join };
    for address in &join {
        check_address(address)?;
    }
    let defaults = ListenersConfig::default();
    let listeners = ListenersConfig {
        sql: arguments.sql_addr.or(file.sql_addr).unwrap_or(defaults.sql),
        rpc: arguments.rpc_addr.or(file.rpc_addr).unwrap_or(defaults.rpc),
        http: arguments.http_addr.or(file.http_addr).unwrap_or(defaults.http),
        advertise_sql: arguments.advertise_sql.or(file.advertise_sql),
        advertise_rpc: arguments.advertise_rpc.or(file.advertise_rpc),
        advertise_http: arguments.advertise_http.or(file.advertise_http),
        authentication_timeout: (arguments.authentication_timeout.or(file.authentication_timeout))
            .map_or(defaults.authentication_timeout, Duration::from_secs),
    };
    let formation = Formation::from_flags(join, arguments.expect.or(file.expect)).map_err(Failure::new)?;
    let defaults = NodeConfig::default();
    let config = NodeConfig {
        formation,
        join_timeout: (arguments.join_timeout.or(file.join_timeout)).map_or(defaults.join_timeout, Duration::from_secs),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..defaults
    };
    let mut knobs = Knobs::default();
    if let Some(ranges) = arguments.split_new_tables {
        knobs.split_new_tables = ranges.max(1);
    }
    if let Some(switch) = arguments.leader_lease.or(file.leader_lease) {
        knobs.leader_lease = switch == Switch::On;
    }
    if let Some(ttl) = arguments.gc_ttl_ms {
        knobs.gc_ttl = Duration::from_millis(ttl);
    }
    let insecure = arguments.insecure || file.insecure;
    raise_file_limit();
    // Deep expressions are bound and evaluated recursively.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(8 << 20).build()?;
    runtime.block_on(serve(&data, listeners, config, knobs, insecure))
}

async fn serve(
    data: &Path,
    listeners: ListenersConfig,
    config: NodeConfig,
    knobs: Knobs,
    insecure: bool,
) -> Result<(), Failure> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let environment = Env::new(std::sync::Arc::new(Os::new()), knobs);
    let listeners = Listeners::bind(&listeners).await?;
    if !listeners.is_loopback() && !insecure {
        return Err(Failure::new(
            "an address can be reached from other machines, and this version knows no passwords yet: give loopback addresses, or --insecure to let everyone in",
        ));
    }
    let sql_address = listeners.addresses().sql.clone();
    let starting = async {
        let process = listeners.start(data, config, environment).await?;
        process.node().until_ready().await;
        Ok::<_, node::NodeError>(process)
    };
    let process = tokio::select! {
        process = starting => process?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let mut stdout = std::io::stdout();
    writeln!(stdout, "ready: postgresql://root@{sql_address}/cairn")?;
    stdout.flush()?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        error = process.node().failed() => {
            // What is in memory and what is on disk may differ: nothing more may be answered.
            eprintln!("cairn: {error}; the node stops. Nothing that was acknowledged is lost.");
            std::process::exit(1);
        }
    }
    tracing::info!("stopping");
    tokio::select! {
        () = process.stop() => Ok(()),
        _ = terminate.recv() => std::process::exit(0),
        _ = interrupt.recv() => std::process::exit(0),
        () = tokio::time::sleep(Duration::from_secs(30)) => Err(Failure::new("the node did not stop within 30 s and was ended; nothing that was acknowledged is lost")),
    }
}

fn read_file(path: &Path) -> Result<File, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
    toml::from_str(&text).map_err(|error| Failure::new(format!("{}: {}", path.display(), error.message())))
}

/// Files and sockets of a node: what RocksDB keeps open, and what clients may open. Below that a crowd of clients could leave the disk
/// without a file to write to, and a failed write ends the node.
const FILES_MIN: u64 = 4_096;

/// The soft limit is often a thousand, for programs that use `select`.
fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit that the call fills in, and the next one reads.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0;
    let wanted = libc::rlimit { rlim_cur: limit.rlim_max.min(1 << 16), ..limit };
    if known && limit.rlim_cur < wanted.rlim_cur {
        // SAFETY: as above.
        let raised = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) } == 0;
        limit.rlim_cur = if raised { wanted.rlim_cur } else { limit.rlim_cur };
    }
    if limit.rlim_cur < FILES_MIN {
        tracing::warn!(
            limit = limit.rlim_cur,
            "few files may be open: raise the limit (ulimit -n) to {FILES_MIN} or more"
        );
    }
}

fn check_address(address: &str) -> Result<(), Failure> {
    match address.to_socket_addrs() {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::new(format!("{address:?} in --join is not HOST:PORT: {error}"))),
    }
}

/// For people on a terminal, JSON otherwise; `CAIRN_LOG` filters as in `CAIRN_LOG=info,ranges=debug`.
fn init_logs() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CAIRN_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        logs.init();
    } else {
        logs.json().init();
    }
}
