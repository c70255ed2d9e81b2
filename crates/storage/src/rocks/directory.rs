//! The directory of a store: who may use it, and whose it is.
//!
//! ```text
//!   DIR/LOCK     held while a process uses the store
//!   DIR/STORE    format, cluster and node, as text, with a checksum
//!   DIR/data/    RocksDB's files
//! ```
//!
//! A directory is one life of one node. One that is empty is a node yet to be named; one that is not
//! empty and has no `STORE` belongs to somebody else and is left alone.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::poison::disk_error;
use crate::{DiskUsage, Error, Result};

/// The format of everything below the directory. Raised when an older build could not read a newer store.
const FORMAT: u32 = 1;
const TITLE: &str = "cairn store";

/// Whose directory it is. Cluster and node are not known until the node has joined a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Drawn at random by the process that found the directory empty.
    pub token: u64,
    pub member: Option<Member>,
}

/// A node's place in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub cluster: u64,
    pub node: u64,
}

/// A directory that this process has locked.
#[derive(Debug)]
pub struct StoreDirectory {
    path: PathBuf,
    identity: Option<Identity>,
    /// The lock goes with the file.
    _lock: File,
}

impl StoreDirectory {
    /// Creates the directory where there is none and takes it for this process.
    pub fn open(path: &Path) -> Result<StoreDirectory> {
        let failed = |error: io::Error| unusable(path, &format!("cannot be used as a data directory: {error}"));
        fs::create_dir_all(path).map_err(failed)?;
        let is_ours = path.join("STORE").exists() || path.join("LOCK").exists();
        if !is_ours && !is_empty(path).map_err(failed)? {
            return Err(unusable(path, "is not empty and not a data directory of Cairn"));
        }
        let lock = File::options().create(true).truncate(false).write(true).open(path.join("LOCK")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(unusable(path, "is in use by another process")),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let identity = match fs::read_to_string(path.join("STORE")) {
            Ok(text) => Some(decode(path, &text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        if identity.is_none() && path.join("data").exists() {
            return Err(unusable(path, "holds data, but its STORE file is missing"));
        }
        Ok(StoreDirectory { path: path.to_owned(), identity, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Writes down whose directory this is; durable when it returns. Token, cluster and node are given once.
    pub fn set_identity(&mut self, identity: Identity) -> Result<()> {
        if let Some(old) = self.identity {
            let keeps = old.token == identity.token && (old.member.is_none() || old.member == identity.member);
            if !keeps {
                return Err(unusable(&self.path, "belongs to another node"));
            }
        }
        let failed = |error: io::Error| disk_error(&format!("{}: {error}", self.path.display()));
        let (temporary, target) = (self.path.join("STORE.new"), self.path.join("STORE"));
        let mut file = File::create(&temporary).map_err(failed)?;
        file.write_all(encode(identity).as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs::rename(&temporary, &target).map_err(failed)?;
        File::open(&self.path).and_then(|directory| directory.sync_all()).map_err(failed)?;
        self.identity = Some(identity);
        Ok(())
    }

    pub fn disk_usage(&self) -> Option<DiskUsage> {
        Some(DiskUsage { used_bytes: bytes_below(&self.path), free_bytes: free_bytes(&self.path)? })
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }
}

fn unusable(path: &Path, why: &str) -> Error {
    Error::Unusable(format!("{} {why}", path.display()))
}

fn is_empty(path: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(path)? {
        if entry?.file_name() != "lost+found" {
            return Ok(false);
        }
    }
    Ok(true)
}

fn encode(identity: Identity) -> String {
    let mut text = format!("{TITLE}\nformat {FORMAT}\ntoken {:016x}\n", identity.token);
    if let Some(Member { cluster, node }) = identity.member {
        text += &format!("cluster {cluster:016x}\nnode {node}\n");
    }
    let sum = crc32fast::hash(text.as_bytes());
    text + &format!("checksum {sum:08x}\n")
}

fn decode(path: &Path, text: &str) -> Result<Identity> {
    let damaged = || Error::Corrupt(format!("{}: the STORE file is damaged", path.display()));
    let (body, sum) = text.split_once("checksum ").ok_or_else(damaged)?;
    let mut lines = body.lines();
    if lines.next() != Some(TITLE) {
        return Err(unusable(path, "is not a data directory of Cairn"));
    }
    // The format is looked at before the checksum: a newer one may be checked in another way.
    let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
    let format: u32 = field("format").and_then(|format| format.parse().ok()).ok_or_else(damaged)?;
    if format != FORMAT {
        return Err(unusable(path, &format!("has format {format}, and this build of Cairn reads format {FORMAT}")));
    }
    if u32::from_str_radix(sum.trim_end(), 16) != Ok(crc32fast::hash(body.as_bytes())) {
        return Err(damaged());
    }
    let token = field("token").and_then(|token| u64::from_str_radix(token, 16).ok()).ok_or_else(damaged)?;
    let cluster = field("cluster").and_then(|cluster| u64::from_str_radix(cluster, 16).ok());
    let node = field("node").and_then(|node| node.parse().ok());
    let member = cluster.zip(node).map(|(cluster, node)| Member { cluster, node });
    Ok(Identity { token, member })
}

/// Files come and go meanwhile; what cannot be read counts as nothing.
fn bytes_below(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.filter_map(io::Result::ok).map(bytes).sum()
}

fn free_bytes(path: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: all zeros is a valid value of this plain struct of integers.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` ends in a zero byte and `stat` is a statvfs that the call fills in.
    let code = unsafe { libc::statvfs(path.as_ptr(), &raw mut stat) };
    (code == 0).then(|| stat.f_bavail * stat.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMED: Identity = Identity { token: 7, member: Some(Member { cluster: 0xfeed, node: 3 }) };

    #[test]
    fn an_identity_is_written_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = StoreDirectory::open(dir.path()).unwrap();
        assert_eq!(store.identity(), None);
        store.set_identity(Identity { token: 7, member: None }).unwrap();
        store.set_identity(NAMED).unwrap();
        drop(store);
        let mut store = StoreDirectory::open(dir.path()).unwrap();
        assert_eq!(store.identity(), Some(NAMED));
        for other in [
            Identity { token: 8, ..NAMED },
            Identity { member: None, ..NAMED },
            Identity { member: Some(Member { cluster: 0xfeed, node: 4 }), ..NAMED },
        ] {
            assert!(matches!(store.set_identity(other), Err(Error::Unusable(_))), "{other:?}");
        }
    }

    #[test]
    fn a_directory_has_one_user() {
        let dir = tempfile::tempdir().unwrap();
        let store = StoreDirectory::open(dir.path()).unwrap();
        let second = StoreDirectory::open(dir.path()).unwrap_err();
        assert!(second.to_string().contains("in use"), "{second}");
        drop(store);
        StoreDirectory::open(dir.path()).unwrap();
    }

    #[test]
    fn strange_directories_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("letter.txt"), "dear").unwrap();
        let error = StoreDirectory::open(dir.path()).unwrap_err();
        assert!(error.to_string().contains("not empty"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was added");

        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("STORE"), "cairn store\nformat 9\nchecksum 0\n").unwrap();
        let error = StoreDirectory::open(dir.path()).unwrap_err();
        assert!(error.to_string().contains("format 9"), "{error}");
    }

    #[test]
    fn each_flipped_bit_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        StoreDirectory::open(dir.path()).unwrap().set_identity(NAMED).unwrap();
        let file = dir.path().join("STORE");
        let good = fs::read(&file).unwrap();
        for bit in 0..(good.len() - 1) * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            if bad.eq_ignore_ascii_case(&good) && bit / 8 > good.len() - 10 {
                continue; // a digit of the checksum in upper case is the same checksum
            }
            fs::write(&file, bad).unwrap();
            assert!(StoreDirectory::open(dir.path()).is_err(), "bit {bit}");
        }
    }
}
