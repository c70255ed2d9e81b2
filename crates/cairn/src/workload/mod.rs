//! Loads that check themselves, against any PostgreSQL URL.

mod bank;

use clap::Subcommand;

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
}

#[derive(Subcommand)]
enum Init {
    Bank(bank::InitArguments),
}

#[derive(Subcommand)]
enum Run {
    Bank(bank::RunArguments),
}

#[derive(Subcommand)]
enum Check {
    Bank(bank::CheckArguments),
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match arguments.action {
            Action::Init { workload: Init::Bank(arguments) } => bank::init(arguments).await,
            Action::Run { workload: Run::Bank(arguments) } => bank::run(arguments).await,
            Action::Check { workload: Check::Bank(arguments) } => bank::check(arguments).await,
        }
    })
}
