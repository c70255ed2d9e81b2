//! Workloads whose history is judged by `checker`, against any PostgreSQL URL.
//!
//! A load (of `checker`) says what is asked for; a file for each workload says in which tables it lies and with which statements
//! it is carried out; `run.rs` has the clients, who reconnect, write down what they ask for and are told, and never
//! take an unknown outcome for a failure.

mod append;
mod causal;
mod ddl_append;
mod g2;
mod long_fork;
mod monotonic;
mod register;
mod run;
mod sequential;
mod set;
mod upsert;

use std::path::PathBuf;

use crate::workload::session::{Ended, Session, Stop};
use checker::{Checked, Level, Load, Operation};
use clap::ValueEnum;
use rand::rngs::StdRng;

use crate::Failure;
use crate::connect::{self, Target};

pub const HELP: &str = "\
Each client is told `ok`, `fail` (surely nothing happened), or nothing it could be sure of: `info`, \
as when the connection is lost after COMMIT was sent. All of that goes to the history file. At the \
end everything is read once more and the history is judged. The exit code is 0 if nothing is wrong, \
and 1 if something is, with the transactions that show it.

Run `cairn workload init NAME` before each run, and break things meanwhile: kill -9, SIGSTOP, \
partitions, leader moves. Give the URL of each node, so that clients go on over another one:

    cairn workload init append
    cairn workload run append URL1 URL2 URL3 --seconds 120
    cairn workload judge append.history";

#[derive(clap::Args)]
pub struct InitArguments {
    #[command(flatten)]
    target: Target,
}

#[derive(clap::Args)]
pub struct RunArguments {
    /// Where to connect to, as `postgresql://USER@HOST:PORT/DATABASE`; several for the nodes of a cluster [default: from PGHOST,
    /// PGPORT, …, else root@127.0.0.1:15432/cairn]
    #[arg(value_name = "URL")]
    urls: Vec<String>,
    /// Concurrent connections
    #[arg(long, default_value_t = 8)]
    clients: u32,
    /// Seconds to run
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Seed of what is asked for
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Pause of each client between two operations, in milliseconds
    #[arg(long, default_value_t = 0)]
    pause_ms: u64,
    /// Where the history goes [default: NAME.history]
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
}

#[derive(clap::Args)]
pub struct AppendArguments {
    #[command(flatten)]
    run: RunArguments,
    /// Isolation level of the transactions; they are judged by what it promises
    #[arg(long, value_enum, default_value_t = Isolation::Serializable)]
    isolation: Isolation,
    /// Judge by serializability alone, without regard to real time and sessions
    #[arg(long)]
    not_strict: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Isolation {
    Serializable,
    RepeatableRead,
    ReadCommitted,
}

impl Isolation {
    fn sql(self) -> &'static str {
        match self {
            Isolation::Serializable => "SERIALIZABLE",
            Isolation::RepeatableRead => "REPEATABLE READ",
            Isolation::ReadCommitted => "READ COMMITTED",
        }
    }
}

#[derive(clap::Args)]
pub struct JudgeArguments {
    /// Written by `cairn workload run` or `cairn sim --histories`
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Clone, Copy)]
pub enum Name {
    Append,
    DdlAppend,
    Register,
    Set,
    LongFork,
    Causal,
    G2,
    Monotonic,
    Sequential,
    Upsert,
}

/// How the operations of a load are carried out in SQL.
trait Workload {
    type Op: Checked;
    type Load: Load<Op = Self::Op>;

    /// Creates the tables. What begins with `ALTER TABLE … SPLIT AT` spreads them over ranges, where the server can do that.
    fn schema() -> Vec<String>;

    /// What it is called on the command line.
    const NAME: &'static str = Self::Op::WORKLOAD;

    /// One of the tables, which is empty after `init`.
    const TABLE: &'static str;

    fn load(&self) -> Self::Load;

    /// Answers with the operation and what was read.
    async fn perform(&self, session: &Session, op: Self::Op, rng: &mut StdRng) -> Result<Self::Op, Ended>;

    fn promise(&self) -> Level {
        Level::StrictSerializable
    }

    /// Is there one more client, who [`meddles`](Workload::meddle)?
    const MEDDLES: bool = false;

    /// What that client does again and again: changes that no operation asked for and that none may notice. Answers with what was
    /// wrong, if anything was.
    async fn meddle(&self, session: &Session, rng: &mut StdRng) -> Result<Vec<String>, Stop> {
        let _ = (session, rng);
        Ok(Vec::new())
    }

    /// Looks at what is left, when all else is over; answers as [`Workload::meddle`] does.
    async fn inspect(&self, session: &Session) -> Result<Vec<String>, Stop> {
        let _ = session;
        Ok(Vec::new())
    }
}

pub async fn init(name: Name, arguments: InitArguments) -> Result<(), Failure> {
    let schema = match name {
        Name::Append => append::Append::schema(),
        Name::DdlAppend => ddl_append::DdlAppend::schema(),
        Name::Register => register::Register::schema(),
        Name::Set => set::Set::schema(),
        Name::LongFork => long_fork::LongFork::schema(),
        Name::Causal => causal::Causal::schema(),
        Name::G2 => g2::G2::schema(),
        Name::Monotonic => monotonic::Monotonic::schema(),
        Name::Sequential => sequential::Sequential::schema(),
        Name::Upsert => upsert::Upsert::schema(),
    };
    let client = connect::connect(&arguments.target.config()?).await?;
    let mut is_split = true;
    for statement in &schema {
        match client.batch_execute(statement).await {
            Ok(()) => {}
            // PostgreSQL has no ranges.
            Err(error) if statement.contains("SPLIT AT") && error.as_db_error().is_some() => is_split = false,
            Err(error) => return Err(connect::describe(&error)),
        }
    }
    println!("tables are ready{}", if is_split { ", each split into ranges" } else { "" });
    Ok(())
}

pub async fn run(name: Name, arguments: RunArguments) -> Result<(), Failure> {
    match name {
        Name::Append => unreachable!("it has arguments of its own"),
        Name::DdlAppend => run::run(ddl_append::DdlAppend, arguments).await,
        Name::Register => run::run(register::Register, arguments).await,
        Name::Set => run::run(set::Set, arguments).await,
        Name::LongFork => run::run(long_fork::LongFork, arguments).await,
        Name::Causal => run::run(causal::Causal, arguments).await,
        Name::G2 => run::run(g2::G2, arguments).await,
        Name::Monotonic => run::run(monotonic::Monotonic, arguments).await,
        Name::Sequential => run::run(sequential::Sequential, arguments).await,
        Name::Upsert => run::run(upsert::Upsert, arguments).await,
    }
}

pub async fn run_append(arguments: AppendArguments) -> Result<(), Failure> {
    let AppendArguments { run, isolation, not_strict } = arguments;
    run::run(append::Append { isolation, not_strict }, run).await
}

pub fn judge(arguments: &JudgeArguments) -> Result<(), Failure> {
    let file = arguments.file.display();
    let text = std::fs::read_to_string(&arguments.file)
        .map_err(|error| Failure::new(format!("cannot read {file}: {error}")))?;
    let verdict = checker::judge_text(&text).map_err(|error| Failure::new(format!("{file}: {error}")))?;
    println!("{verdict}");
    match verdict.is_valid() {
        true => Ok(()),
        false => Err(Failure::new(format!("{file} breaks strict serializability, or nobody can say"))),
    }
}
