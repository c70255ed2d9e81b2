//! # A whole cluster in one thread, from one seed
//!
//! The nodes are the real ones (`node`'s assembly with everything below it); what they stand on is not:
//!
//! ```text
//!              nodes: ranges, placement, txn, sql …                the code of production
//!   ───────────────────────────────────────────────────────────
//!   Host            Network              MemoryDisk                simulated
//!   time, tasks,    delay, loss, order,  what a crash takes
//!   randomness      partitions           and what it leaves
//!   ───────────────────────────────────────────────────────────
//!   World: one seed, one tokio thread with paused time, the trace, the violations
//! ```
//!
//! Time jumps from timer to timer, so a simulated minute takes as long as its work takes. Everything that
//! happens is hashed into a trace: the same seed gives the same hash, or something in the code looked
//! past `env` (a clock, the order of a random hash map), which is an error by itself.
//!
//! ## Parts
//! * [`World`]: the runtime, the seed, the trace.
//! * [`SimHost`]: one process of one node: its clocks (with offset and drift), its tasks (which end when it
//!   crashes, stop when it is paused), its randomness.
//! * [`SimNetwork`]: wires between processes, with faults.
//! * [`workload`]: what clients do meanwhile, and what must hold for them.

mod cluster;
pub mod faults;
mod gateway;
mod host;
mod invariant;
mod network;
mod random;
mod report;
mod rhythm;
mod run;
mod shrink;
mod trace;
pub mod workload;
mod world;

pub use cluster::SimCluster;
pub use faults::{Fault, FaultNumber};
pub use gateway::{Gateway, Gateways, Outcome};
pub use host::{Ambush, ClockFaults, DiskDelay, SimHost};
pub use network::{LinkFaults, SimEndpoint, SimNetwork};
pub use random::Random;
pub use report::{Counts, SimReport};
pub use run::{SimOptions, simulate, simulate_twice};
pub use shrink::{Shrunk, shrink};
pub use trace::{Event, Happening, TraceHash};
pub use world::{Violation, World};
