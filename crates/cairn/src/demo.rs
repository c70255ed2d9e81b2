//! `cairn demo`: three real processes on this machine, sample data, a shell; everything is removed at the end.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio_postgres::Config;

use crate::Failure;
use crate::connect;
use crate::shell;

/// Three nodes on this machine with sample data, and a SQL shell; leaves nothing behind
#[derive(clap::Args)]
pub struct Arguments {
    /// Number of nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=9))]
    nodes: u32,
    /// Run this instead of the shell, then stop; may be given several times
    #[arg(short = 'c', long = "command", value_name = "SQL")]
    commands: Vec<String>,
    /// Keep running without a shell until Ctrl-C
    #[arg(long)]
    no_shell: bool,
}

const SAMPLE: &str = include_str!("demo.sql");

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let folder = Folder::new()?;
    let mut cluster = Cluster { nodes: Vec::new() };
    let progress = ProgressBar::new(u64::from(arguments.nodes) + 1)
        .with_style(ProgressStyle::with_template("{bar:20} {msg}").expect("the template is well formed"));
    let mut join = None;
    for number in 1..=arguments.nodes {
        progress.set_message(format!("starting node {number} of {}", arguments.nodes));
        let node = Node::start(&folder.0, number, join.as_deref())?;
        join.get_or_insert_with(|| node.rpc.clone());
        cluster.nodes.push(node);
        progress.inc(1);
    }
    progress.set_message("loading sample data");
    let config: Config = cluster.nodes[0].url.parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        connect::connect(&config).await?.batch_execute(SAMPLE).await.map_err(|error| connect::describe(&error))
    })?;
    progress.finish_and_clear();
    if !arguments.commands.is_empty() {
        return shell::run_commands(config, &arguments.commands);
    }
    banner(&cluster);
    if arguments.no_shell {
        runtime.block_on(tokio::signal::ctrl_c())?;
    } else {
        shell::interactive(config)?;
    }
    println!("Stopping {} nodes and removing their data.", cluster.nodes.len());
    drop(cluster);
    Ok(())
}

fn banner(cluster: &Cluster) {
    println!(
        "Cairn: {} nodes on this machine, each with every range. They stop and their data go when this shell ends.\n",
        cluster.nodes.len()
    );
    for (number, node) in cluster.nodes.iter().enumerate() {
        println!("  node {}  pid {:7}  {}  http://{}", number + 1, node.child.id(), node.url, node.http);
    }
    println!(
        "
Things to try:
  SELECT * FROM customers ORDER BY id LIMIT 5;
  SELECT c.city, count(*), sum(o.total) FROM customers c JOIN orders o ON o.customer = c.id GROUP BY 1 ORDER BY 3 DESC;
  BEGIN; CREATE TABLE notes (id serial PRIMARY KEY, body text); INSERT INTO notes (body) VALUES ('gone'); ROLLBACK;
  SELECT * FROM cairn.nodes;
  kill -9 one of the processes above in another terminal, and go on here.
"
    );
}

struct Cluster {
    nodes: Vec<Node>,
}

impl Drop for Cluster {
    /// Asks all to stop, then waits; whoever takes too long is killed.
    fn drop(&mut self) {
        for node in &self.nodes {
            if let Ok(pid) = i32::try_from(node.child.id()) {
                // SAFETY: a signal to a child of ours that has not been waited for, so the number is still its own.
                unsafe { libc::kill(pid, libc::SIGTERM) };
            }
        }
        let patience = Instant::now() + Duration::from_secs(10);
        for node in &mut self.nodes {
            while matches!(node.child.try_wait(), Ok(None)) {
                if Instant::now() > patience {
                    let _gone_already = node.child.kill();
                    let _status = node.child.wait();
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

struct Node {
    child: Child,
    url: String,
    rpc: String,
    http: String,
}

impl Node {
    fn start(folder: &Path, number: u32, join: Option<&str>) -> Result<Node, Failure> {
        let preferred = 15432 + 10 * (number as u16 - 1);
        let [sql, rpc, http] = [preferred, preferred + 1, preferred + 2].map(free_address);
        let (sql, rpc, http) = (sql?, rpc?, http?);
        let data = folder.join(format!("node{number}"));
        let log = std::fs::File::create(folder.join(format!("node{number}.log")))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("start").arg("--data").arg(&data).args([
            "--sql-addr",
            &sql,
            "--rpc-addr",
            &rpc,
            "--http-addr",
            &http,
        ]);
        if let Some(join) = join {
            command.args(["--join", join]);
        }
        // A Ctrl-C in the shell is for the shell's statement, not for the nodes.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| Failure::new("the node's output cannot be read"))?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        match line.trim().strip_prefix("ready: ") {
            Some(url) => Ok(Node { child, url: url.to_owned(), rpc, http }),
            None => {
                let _gone_already = child.kill();
                let _status = child.wait();
                let log = std::fs::read_to_string(folder.join(format!("node{number}.log"))).unwrap_or_default();
                Err(Failure::new(format!("node {number} did not start; it said: {}", log.trim())))
            }
        }
    }
}

/// The address if it is free, else a free one.
fn free_address(port: u16) -> Result<String, Failure> {
    let listener = TcpListener::bind(("127.0.0.1", port)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)))?;
    Ok(listener.local_addr()?.to_string())
}

/// A folder that goes when this value goes.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Folder, Failure> {
        let path = std::env::temp_dir().join(format!("cairn-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("cairn: could not remove {}: {error}", self.0.display());
        }
    }
}
