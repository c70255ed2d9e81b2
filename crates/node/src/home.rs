//! Whose directory it is: what a process knows of itself before it has a store.

use std::sync::Arc;

use parking_lot::Mutex;
use storage::{Identity, Result, RocksEngine};

/// Keeps a node's identity. What is set is durable when the call returns, and is set once.
pub trait Home: Send + Sync + 'static {
    fn identity(&self) -> Option<Identity>;
    fn set_identity(&self, identity: Identity) -> Result<()>;
}

/// The data directory of a [`RocksEngine`].
pub struct RocksHome(pub RocksEngine);

impl Home for RocksHome {
    fn identity(&self) -> Option<Identity> {
        self.0.with_directory(|directory| directory.identity())
    }

    fn set_identity(&self, identity: Identity) -> Result<()> {
        self.0.with_directory(|directory| directory.set_identity(identity))
    }
}

/// For nodes whose disk is memory. Clones are the same home; it outlives its node's crashes.
#[derive(Clone, Debug, Default)]
pub struct MemoryHome(Arc<Mutex<Option<Identity>>>);

impl Home for MemoryHome {
    fn identity(&self) -> Option<Identity> {
        *self.0.lock()
    }

    fn set_identity(&self, identity: Identity) -> Result<()> {
        *self.0.lock() = Some(identity);
        Ok(())
    }
}
