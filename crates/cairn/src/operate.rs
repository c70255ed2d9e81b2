//! `cairn node` and `cairn range`: what an operator looks at and moves by hand. Each is SQL (`cairn.nodes`,
//! `cairn.ranges`, `CALL cairn.…`) and can be said there as well; here it is also waited for.

use std::time::{Duration, Instant};

use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use crate::connect::{self, Target};
use crate::{Failure, table};

/// Look at nodes, take them out of use for a while or for good
#[derive(clap::Args)]
pub struct NodeArguments {
    #[command(subcommand)]
    verb: NodeVerb,
}

#[derive(clap::Subcommand)]
enum NodeVerb {
    /// List the nodes: where they are, what they hold, what they are doing
    Ls {
        #[command(flatten)]
        target: Target,
    },
    /// Hand over all that a node leads and let no new sessions in, before it is stopped; ends with its process
    Drain {
        /// As in `cairn node ls`
        node: u64,
        #[command(flatten)]
        wait: Wait,
        #[command(flatten)]
        target: Target,
    },
    /// Take back a drain
    Undrain {
        node: u64,
        #[command(flatten)]
        target: Target,
    },
    /// Move all replicas of a node elsewhere, for good
    ///
    /// Ends when it holds nothing: then it can be stopped and its data removed. If that is not possible it says why; the
    /// node goes on giving away what it can until `cairn node recommission`.
    Decommission {
        node: u64,
        #[command(flatten)]
        wait: Wait,
        #[command(flatten)]
        target: Target,
    },
    /// Take back a decommission
    Recommission {
        node: u64,
        #[command(flatten)]
        target: Target,
    },
}

/// Look at ranges, split and move them
#[derive(clap::Args)]
pub struct RangeArguments {
    #[command(subcommand)]
    verb: RangeVerb,
}

#[derive(clap::Subcommand)]
enum RangeVerb {
    /// List the ranges: their keys, sizes, leaders and replicas
    Ls {
        #[command(flatten)]
        target: Target,
    },
    /// Cut a range in two of about the same size (`ALTER TABLE … SPLIT AT` cuts where you say)
    Split {
        /// As in `cairn range ls`
        range: u64,
        #[command(flatten)]
        target: Target,
    },
    /// Let a range be led from another node that has a replica of it
    MoveLeader {
        range: u64,
        node: u64,
        #[command(flatten)]
        target: Target,
    },
    /// Move a replica of a range from one node to another
    Move {
        range: u64,
        from: u64,
        to: u64,
        #[command(flatten)]
        wait: Wait,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(clap::Args)]
struct Wait {
    /// Seconds to wait until it is done; 0: only begin
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    timeout: u64,
}

pub fn run_node(arguments: NodeArguments) -> Result<(), Failure> {
    match arguments.verb {
        NodeVerb::Ls { target } => list(&target, "SELECT * FROM cairn.nodes ORDER BY node_id"),
        NodeVerb::Undrain { node, target } => call(&target, &format!("undrain_node({node})")),
        NodeVerb::Recommission { node, target } => call(&target, &format!("recommission_node({node})")),
        NodeVerb::Drain { node, wait, target } => with_client(&target, async |client| {
            say(client, &format!("drain_node({node})")).await?;
            await_node(client, node, &wait, is_drained).await
        }),
        NodeVerb::Decommission { node, wait, target } => with_client(&target, async |client| {
            say(client, &format!("decommission_node({node})")).await?;
            await_node(client, node, &wait, |progress| progress.state == "decommissioned").await
        }),
    }
}

pub fn run_range(arguments: RangeArguments) -> Result<(), Failure> {
    match arguments.verb {
        RangeVerb::Ls { target } => list(&target, "SELECT * FROM cairn.ranges"),
        RangeVerb::Split { range, target } => call(&target, &format!("split_range({range})")),
        RangeVerb::MoveLeader { range, node, target } => call(&target, &format!("move_leader({range}, {node})")),
        RangeVerb::Move { range, from, to, wait, target } => with_client(&target, async |client| {
            say(client, &format!("move_replica({range}, {from}, {to})")).await?;
            await_move(client, (range, from, to), &wait).await
        }),
    }
}

fn with_client(target: &Target, work: impl AsyncFnOnce(&Client) -> Result<(), Failure>) -> Result<(), Failure> {
    let config = target.config()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = connect::connect(&config).await?;
        work(&client).await
    })
}

fn list(target: &Target, query: &str) -> Result<(), Failure> {
    with_client(target, async |client| {
        let rows = rows(client, query).await?;
        let Some(first) = rows.first() else { return Ok(()) };
        let header: Vec<String> = first.columns().iter().map(|column| column.name().to_owned()).collect();
        let cell = |row: &SimpleQueryRow, at: usize| row.get(at).map(str::to_owned);
        let cells: Vec<Vec<_>> = rows.iter().map(|row| (0..header.len()).map(|at| cell(row, at)).collect()).collect();
        print!("{}", table::render(&header, &cells));
        Ok(())
    })
}

fn call(target: &Target, procedure: &str) -> Result<(), Failure> {
    with_client(target, async |client| say(client, procedure).await)
}

async fn say(client: &Client, procedure: &str) -> Result<(), Failure> {
    client.simple_query(&format!("CALL cairn.{procedure}")).await.map_err(|error| connect::describe(&error))?;
    println!("{procedure}: accepted");
    Ok(())
}

async fn rows(client: &Client, query: &str) -> Result<Vec<SimpleQueryRow>, Failure> {
    let messages = client.simple_query(query).await.map_err(|error| connect::describe(&error))?;
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    };
    Ok(messages.into_iter().filter_map(row).collect())
}

/// Where a node stands.
#[derive(Debug, PartialEq)]
struct Progress {
    state: String,
    replicas: u64,
    leaders: u64,
    remaining: String,
}

/// Sessions that are open go on, the one that asks among them: they are said, and not waited for.
fn is_drained(progress: &Progress) -> bool {
    let lets_nobody_in = progress.state == "drained" || progress.remaining.ends_with(" sessions");
    progress.leaders == 0 && lets_nobody_in
}

const LOOK: Duration = Duration::from_millis(250);

async fn await_node(
    client: &Client,
    node: u64,
    wait: &Wait,
    is_done: impl Fn(&Progress) -> bool,
) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(wait.timeout);
    let mut last = None;
    loop {
        let query = format!("SELECT state, replicas, leaders, remaining FROM cairn.nodes WHERE node_id = {node}");
        let found = rows(client, &query).await?;
        // A node that holds nothing and is stopped is no longer shown.
        let progress = found.first().map_or_else(|| gone("decommissioned"), progress_of);
        let line = describe(node, &progress);
        if last.as_ref() != Some(&line) {
            println!("{line}");
        }
        if is_done(&progress) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return if wait.timeout == 0 { Ok(()) } else { Err(Failure::new(format!("not done in time: {line}"))) };
        }
        last = Some(line);
        tokio::time::sleep(LOOK).await;
    }
}

fn gone(state: &str) -> Progress {
    Progress { state: state.to_owned(), replicas: 0, leaders: 0, remaining: String::new() }
}

fn progress_of(row: &SimpleQueryRow) -> Progress {
    let text = |at: usize| row.get(at).unwrap_or_default().to_owned();
    let number = |at: usize| text(at).parse().unwrap_or(0);
    Progress { state: text(0), replicas: number(1), leaders: number(2), remaining: text(3) }
}

fn describe(node: u64, progress: &Progress) -> String {
    let Progress { state, replicas, leaders, remaining } = progress;
    match remaining.as_str() {
        "" => format!("node {node} is {state}: {replicas} replicas, {leaders} leaders"),
        remaining => format!("node {node} is {state}: {remaining}"),
    }
}

async fn await_move(client: &Client, (range, from, to): (u64, u64, u64), wait: &Wait) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(wait.timeout);
    let query = format!(
        "SELECT {to} = ANY (voters) AND NOT {from} = ANY (replicas) FROM cairn.ranges WHERE range_id = {range}"
    );
    loop {
        let found = rows(client, &query).await?;
        if found.first().and_then(|row| row.get(0)) == Some("t") {
            println!("range {range} is on node {to} and no longer on node {from}");
            return Ok(());
        }
        if Instant::now() >= deadline {
            return match wait.timeout {
                0 => Ok(()),
                seconds => Err(Failure::new(format!(
                    "range {range} has not moved within {seconds} s; cairn.placement_log shows what was tried"
                ))),
            };
        }
        tokio::time::sleep(LOOK).await;
    }
}
