//! The first failure is the last.

use std::sync::OnceLock;

use crate::{Error, Result};

/// Holds the fatal error that was met; every later call answers with it.
#[derive(Default)]
pub struct Poison {
    error: OnceLock<Error>,
}

impl Poison {
    pub fn check(&self) -> Result<()> {
        match self.error.get() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// A write, sync or flush failed: fatal, whatever the reason.
    pub fn write_failed(&self, error: &rocksdb::Error) -> Error {
        self.end(disk_error(error.as_ref()))
    }

    /// A read failed. A bad block is the caller's to judge (another replica has the data); a disk that does
    /// not answer is fatal.
    pub fn read_failed(&self, error: &rocksdb::Error) -> Error {
        match error.kind() {
            rocksdb::ErrorKind::Corruption => Error::Corrupt(error.to_string()),
            _ => self.end(disk_error(error.as_ref())),
        }
    }

    pub fn end(&self, error: Error) -> Error {
        let first = self.error.get_or_init(|| error);
        tracing::error!(error = %first, "the storage engine stops");
        first.clone()
    }
}

pub fn disk_error(message: &str) -> Error {
    if message.contains("No space left on device") || message.contains("Disk quota exceeded") {
        Error::DiskFull(message.to_owned())
    } else {
        Error::Disk(message.to_owned())
    }
}
