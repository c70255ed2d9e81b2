//! # A server, put together
//!
//! ```text
//!   listeners ─► pgfront ─► sql ─► txn ─────────┐
//!                console                        │ rpc (a plain call where the answer is here)
//!   rpc ─► NodeService ─► ranges::Store ◄───────┤
//!                      └► Placement  ◄──────────┘
//! ```
//!
//! [`Node::start`] builds everything between an [`Engine`](storage::Engine) below and a
//! [`Transport`](rpc::Transport) beside, and reads no clock and opens no socket itself: the simulator starts the same
//! nodes over its own host, disks and network. [`Listeners`] is the part that a process adds: sockets.
//! [`Cluster`] is several nodes in one process.
//!
//! How a cluster comes to be is told in [`form`](mod@form).

mod cluster;
mod config;
mod directory;
mod error;
mod form;
mod garbage;
mod heartbeat;
mod home;
mod listeners;
mod node;
mod operate;
mod oracle;
mod service;
mod splits;
mod status;
mod system_range;
mod view;

pub use cluster::{Cluster, ClusterOptions, Disk};
pub use config::{Addresses, Formation, NodeConfig};
pub use error::NodeError;
pub use home::{Home, MemoryHome, RocksHome};
pub use listeners::{Listeners, ListenersConfig, Process, scheduler};
pub use node::Node;
