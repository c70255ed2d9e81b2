//! `cairn sim`: the simulated cluster from the command line.

use crate::Failure;

/// Simulate a whole cluster with faults in one thread, from a seed
#[derive(clap::Args)]
pub struct Arguments {
    /// Run this seed only, and print what happened
    #[arg(long)]
    seed: Option<u64>,
    /// Run this many seeds from 1 on (or from --first)
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Simulated minutes per seed
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
}

pub fn run(_arguments: Arguments) -> Result<(), Failure> {
    Err(Failure::new("the simulator is not part of this build"))
}
