//! Loads that check themselves, against any PostgreSQL URL.

mod bank;
mod recorded;
mod session;
mod shop;

use clap::Subcommand;
use recorded::Name;

use crate::Failure;

/// Run a load that checks itself, against Cairn or any other PostgreSQL server
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Create and fill the workload's tables (drops them first if they exist)
    Init {
        #[command(subcommand)]
        workload: Init,
    },
    /// Run the workload, then check what it must have left
    Run {
        #[command(subcommand)]
        workload: Run,
    },
    /// Only check: sums, ledger, and every transfer that a log says was acknowledged
    Check {
        #[command(subcommand)]
        workload: Check,
    },
    /// Judge a history that was written before, by `run` or by `cairn sim --histories`
    Judge(recorded::JudgeArguments),
}

#[derive(Subcommand)]
enum Init {
    /// Accounts and a ledger
    Bank(bank::InitArguments),
    /// Items, customers, orders and payments
    Shop(shop::InitArguments),
    /// Lists, for transactions of reads and appends
    Append(recorded::InitArguments),
    /// Lists as for append, in tables whose definitions will change
    DdlAppend(recorded::InitArguments),
    /// Single values
    Register(recorded::InitArguments),
    /// Sets of numbers
    Set(recorded::InitArguments),
    /// Groups of keys, each written once
    Longfork(recorded::InitArguments),
    /// Comments, in several tables
    Causal(recorded::InitArguments),
    /// Two tables in which to look for rows
    G2(recorded::InitArguments),
    /// Numbers that go up
    Monotonic(recorded::InitArguments),
    /// Keys that are written part by part
    Sequential(recorded::InitArguments),
    /// Rows under a unique key
    Upsert(recorded::InitArguments),
}

#[derive(Subcommand)]
enum Run {
    /// Transfers: no money is made or lost, every acknowledged transfer is in the ledger
    Bank(bank::RunArguments),
    /// A flash sale: nothing is oversold, nothing is paid twice, sums are exact
    Shop(shop::RunArguments),
    /// Transactions of reads of lists and appends to them: strict serializability. The one that sees most
    #[command(after_help = recorded::HELP)]
    Append(recorded::AppendArguments),
    /// As append, while indexes and columns come and go; at the end each index is held against its table
    #[command(after_help = recorded::HELP)]
    DdlAppend(recorded::RunArguments),
    /// Reads, writes and compare-and-set of single keys: linearizability
    #[command(after_help = recorded::HELP)]
    Register(recorded::RunArguments),
    /// Inserts, and reads of everything: what was acknowledged or seen once is seen from then on
    #[command(after_help = recorded::HELP)]
    Set(recorded::RunArguments),
    /// Single writes, reads of groups: all readers see the writes in one order
    #[command(after_help = recorded::HELP)]
    Longfork(recorded::RunArguments),
    /// Blind inserts into several tables: who sees one sees all that were acknowledged before it began
    #[command(after_help = recorded::HELP)]
    Causal(recorded::RunArguments),
    /// Two transactions look for rows of a key and insert one if there is none: one of them at most
    #[command(after_help = recorded::HELP)]
    G2(recorded::RunArguments),
    /// Inserts of the highest number plus one: no gap, no duplicate, no reader goes back
    #[command(after_help = recorded::HELP)]
    Monotonic(recorded::RunArguments),
    /// Parts written one after the other, read in the opposite order: no later one without the earlier
    #[command(after_help = recorded::HELP)]
    Sequential(recorded::RunArguments),
    /// INSERT … ON CONFLICT and INSERT where nothing was found, under one unique key: one row, which counts everybody
    #[command(after_help = recorded::HELP)]
    Upsert(recorded::RunArguments),
}

#[derive(Subcommand)]
enum Check {
    Bank(bank::CheckArguments),
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match arguments.action {
            Action::Init { workload } => init(workload).await,
            Action::Run { workload } => run_one(workload).await,
            Action::Check { workload: Check::Bank(arguments) } => bank::check(arguments).await,
            Action::Judge(arguments) => recorded::judge(&arguments),
        }
    })
}

async fn init(workload: Init) -> Result<(), Failure> {
    let (name, arguments) = match workload {
        Init::Bank(arguments) => return bank::init(arguments).await,
        Init::Shop(arguments) => return shop::init(arguments).await,
        Init::Append(arguments) => (Name::Append, arguments),
        Init::DdlAppend(arguments) => (Name::DdlAppend, arguments),
        Init::Register(arguments) => (Name::Register, arguments),
        Init::Set(arguments) => (Name::Set, arguments),
        Init::Longfork(arguments) => (Name::LongFork, arguments),
        Init::Causal(arguments) => (Name::Causal, arguments),
        Init::G2(arguments) => (Name::G2, arguments),
        Init::Monotonic(arguments) => (Name::Monotonic, arguments),
        Init::Sequential(arguments) => (Name::Sequential, arguments),
        Init::Upsert(arguments) => (Name::Upsert, arguments),
    };
    recorded::init(name, arguments).await
}

async fn run_one(workload: Run) -> Result<(), Failure> {
    let (name, arguments) = match workload {
        Run::Bank(arguments) => return bank::run(arguments).await,
        Run::Shop(arguments) => return shop::run(arguments).await,
        Run::Append(arguments) => return recorded::run_append(arguments).await,
        Run::DdlAppend(arguments) => (Name::DdlAppend, arguments),
        Run::Register(arguments) => (Name::Register, arguments),
        Run::Set(arguments) => (Name::Set, arguments),
        Run::Longfork(arguments) => (Name::LongFork, arguments),
        Run::Causal(arguments) => (Name::Causal, arguments),
        Run::G2(arguments) => (Name::G2, arguments),
        Run::Monotonic(arguments) => (Name::Monotonic, arguments),
        Run::Sequential(arguments) => (Name::Sequential, arguments),
        Run::Upsert(arguments) => (Name::Upsert, arguments),
    };
    recorded::run(name, arguments).await
}
