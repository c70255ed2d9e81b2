//! Where a transaction's writes go that do not fit into memory: the seam to the files that `node` hands in.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

/// Makes temporary files. Nothing in them outlives the process.
pub trait Scratch: Send + Sync + 'static {
    fn create(&self) -> io::Result<Box<dyn ScratchFile>>;
}

/// A temporary file, written once from front to end and then read at will. It goes away when dropped. Nobody asks
/// it to survive a crash; what is read back is checked by the reader.
///
/// Calls may block for as long as the page cache makes them.
pub trait ScratchFile: Send + Sync {
    /// Appends; answers with the offset at which the bytes begin.
    fn append(&mut self, bytes: &[u8]) -> io::Result<u64>;
    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes>;
}

/// Scratch files in memory: for tests and the simulator.
#[derive(Clone, Debug, Default)]
pub struct MemoryScratch {
    bytes: Arc<RwLock<u64>>,
}

impl MemoryScratch {
    /// Bytes appended so far, to all files.
    pub fn bytes_written(&self) -> u64 {
        *self.bytes.read()
    }
}

impl Scratch for MemoryScratch {
    fn create(&self) -> io::Result<Box<dyn ScratchFile>> {
        Ok(Box::new(MemoryFile { total: self.bytes.clone(), blocks: Vec::new(), end: 0 }))
    }
}

struct MemoryFile {
    total: Arc<RwLock<u64>>,
    /// Each appended piece with its offset.
    blocks: Vec<(u64, Bytes)>,
    end: u64,
}

impl ScratchFile for MemoryFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let offset = self.end;
        self.blocks.push((offset, Bytes::copy_from_slice(bytes)));
        self.end += bytes.len() as u64;
        *self.total.write() += bytes.len() as u64;
        Ok(offset)
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let at = self.blocks.partition_point(|(start, _)| *start <= offset);
        let past_end = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let (start, block) = at.checked_sub(1).and_then(|at| self.blocks.get(at)).ok_or_else(past_end)?;
        let from = (offset - start) as usize;
        if from + len > block.len() {
            return Err(past_end());
        }
        Ok(block.slice(from..from + len))
    }
}
