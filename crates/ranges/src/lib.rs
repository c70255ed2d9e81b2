//! # The replicas of one node
//!
//! A range is a span of keys, held by a raft group; this crate is one node's part in all its groups.
//!
//! ```text
//!   requests (many tasks)                               the log loop (one task)
//!   Store::handle ──► evaluate ──► Replica ◄──────────── Peer ── Consensus ── raft
//!        │               │          leadership, cache,     │
//!        │               │          announcements, intents,│ one write, one sync
//!        │               │          locks, records         ▼
//!        │               └── snapshot ──► storage::Engine ◄┘
//!        └── proposal ─────────────────────────────────► log ──► apply ──► answer
//! ```
//!
//! * [`store`]: the face; [`evaluate`]: what requests mean, one file per kind.
//! * [`replica`]: what a leader keeps in memory, shared by both sides: [`leadership`] (who may answer),
//!   [`read_cache`] and [`announcements`] (the handshake of readers and writers), [`intents`], [`locks`],
//!   [`records`].
//! * [`log_loop`]: drives all replicas, persists, applies; [`consensus`]: raft behind a plain struct.
//! * [`size`] and [`load`]: what splits are decided on.
//! * [`command`], [`state`], [`peer_message`]: what is in the log, on disk and on the wire.
//!
//! ## Invariants
//! * A request is answered only if its ticket still holds after the work, and, where others could lead, a
//!   quorum confirmed so.
//! * In the engine first, then in the indexes, then announcements are withdrawn: a reader that raised the
//!   cache, and found neither announcement nor intent, misses no write below its number.
//! * Applied data and applied index are one batch; what is acknowledged is synced in the log before.
//! * An entry that cannot be applied stops its replica; the first error of the engine stops the node.

pub mod announcements;
pub mod codec;
pub mod command;
mod committed;
pub mod consensus;
pub mod evaluate;
pub mod garbage;
pub mod intents;
pub mod leadership;
pub mod load;
pub mod locks;
pub mod log_loop;
pub mod peer_message;
pub mod proposal;
pub mod read_cache;
pub mod records;
pub mod registers;
pub mod replica;
pub mod size;
pub mod state;
pub mod store;

pub use consensus::Vote;
pub use garbage::Collected;
pub use leadership::LeaderView;
pub use peer_message::vote_on_the_wire;
pub use registers::KeyView;
pub use store::{LeaseView, Outside, Store, StoreConfig};
