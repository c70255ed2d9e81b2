//! # What nodes say to each other
//!
//! The two columns of the house (ranges on one side, transactions and SQL on the other) meet only in the
//! messages of this crate. They are plain Rust types; protobuf types stay inside it.
//!
//! * [`range`]: requests to one range: reads, locks, the commit protocol, administration.
//! * [`cluster`]: the oracle, the node registry, the directory.
//! * [`Network`]: how a message gets to a node. A call to the node itself is a plain function call: no
//!   encoding, no copy, no thread hop. Two networks are here: [`GrpcNetwork`] between processes and
//!   [`InProcessNetwork`] between nodes of one process; the simulator brings its own.
//! * [`codec`]: the form of the messages on the wire.
//!
//! Messages may be lost, repeated and reordered; every request says in its documentation why that is
//! harmless. An answer that does not come is [`NetworkError::Unreachable`] or [`NetworkError::Timeout`]:
//! nobody knows then whether the request was carried out.

pub mod cluster;
pub mod range;

mod batch;
pub mod codec;
mod error;
mod grpc;
mod in_process;
mod network;
mod scheduler;
#[cfg(test)]
mod testing;

pub use error::{AskError, KvError, KvResult, NetworkError};
pub use grpc::{GrpcNetwork, Listening};
pub use in_process::{Fate, InProcessEndpoint, InProcessNetwork, Passage};
pub use network::{BoxFuture, Network, RaftEnvelope, Request, Response, Service, Transport};
pub use scheduler::Scheduler;
