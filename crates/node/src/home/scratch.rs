//! Scratch files in a folder. A file loses its name as soon as it is open, so that it is gone with the process
//! however that ends.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use txn::{Scratch, ScratchFile};

pub struct FolderScratch {
    folder: PathBuf,
    next: AtomicU64,
}

struct NamelessFile {
    file: File,
    end: u64,
}

impl FolderScratch {
    /// The folder is made when the first file is.
    pub fn new(folder: PathBuf) -> FolderScratch {
        FolderScratch { folder, next: AtomicU64::new(0) }
    }
}

impl Scratch for FolderScratch {
    fn create(&self) -> io::Result<Box<dyn ScratchFile>> {
        fs::create_dir_all(&self.folder)?;
        // One process uses the folder (it holds the lock of the data directory above it).
        let path = self.folder.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        fs::remove_file(&path)?;
        Ok(Box::new(NamelessFile { file, end: 0 }))
    }
}

impl ScratchFile for NamelessFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let start = self.end;
        self.file.write_all_at(bytes, start)?;
        self.end += bytes.len() as u64;
        Ok(start)
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_no_name_and_keeps_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = FolderScratch::new(folder.path().join("scratch"));
        let mut file = scratch.create().unwrap();
        assert_eq!(file.append(b"one").unwrap(), 0);
        assert_eq!(file.append(b"three").unwrap(), 3);
        assert_eq!(file.read(3, 5).unwrap(), &b"three"[..]);
        assert!(file.read(3, 6).is_err());
        assert_eq!(fs::read_dir(folder.path().join("scratch")).unwrap().count(), 0);
    }
}
