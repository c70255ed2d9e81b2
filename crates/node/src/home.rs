//! What a node has beside its store: who it is, and room for what outgrows memory.

mod scratch;

use std::sync::Arc;

use parking_lot::Mutex;
use storage::{Identity, Result, RocksEngine};
use txn::{MemoryScratch, Scratch};

use scratch::FolderScratch;

pub trait Home: Send + Sync + 'static {
    /// Whose directory it is.
    fn identity(&self) -> Option<Identity>;

    /// Durable when the call returns, and set once.
    fn set_identity(&self, identity: Identity) -> Result<()>;

    /// Where write buffers go that outgrow memory. Nothing there survives the process.
    fn scratch(&self) -> Arc<dyn Scratch>;
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

    fn scratch(&self) -> Arc<dyn Scratch> {
        Arc::new(FolderScratch::new(self.0.with_directory(|directory| directory.path().join("scratch"))))
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

    fn scratch(&self) -> Arc<dyn Scratch> {
        Arc::new(MemoryScratch::default())
    }
}
