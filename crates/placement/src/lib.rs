//! # What the leader of the system range does for everyone
//!
//! The cluster's time, its register of nodes, its directory of ranges, the placement of replicas and the
//! search for deadlocks are the business of one node: the leader of the system range. There is no other
//! placement service. When it dies, raft elects another, which goes on from what the range's log holds.
//!
//! ```text
//!   any node                         the system range's leader
//!   TimestampClient ──Timestamps──►  Placement ── Oracle     numbers from memory, below a persisted bound
//!   LeaderClient    ──AllocateIds─►            ── ids        never given out twice
//!                   ──Join────────►            ── Registry   who belongs to the cluster, who is alive
//!                   ──Heartbeat───►            ── Directory  where ranges lie, from what nodes report
//!                   ──WaitsFor────►            ── Deadlocks  cycles over several nodes
//!                                              ── replicas   what should move where
//! ```
//!
//! Each part is a plain struct: events and the time in, answers out; no task, no clock, no network. The
//! shells around them ([`Placement`], [`TimestampClient`], [`LeaderClient`]) are ordinary async code.
//!
//! Of the system range itself this crate knows only the trait [`SystemRange`], which `node` implements
//! over `ranges`.

mod client;
mod deadlocks;
mod directory;
mod ids;
mod oracle;
mod placement;
mod registry;
mod replicas;
mod system_range;
mod timestamps;

pub use client::{LeaderClient, Neighbours};
pub use deadlocks::{Cycle, Deadlocks};
pub use directory::Directory;
pub use ids::Ids;
pub use oracle::{ANNOUNCEMENT, Oracle, Taken};
pub use placement::Placement;
pub use registry::Registry;
pub use replicas::{Action, Decision, Limits, Situation, plan, why_it_stays};
pub use system_range::{CatalogKey, SystemRange};
pub use timestamps::{LocalOracle, TimestampClient};
