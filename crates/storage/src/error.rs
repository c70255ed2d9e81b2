//! What can go wrong below the ranges.

use thiserror::Error;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// A write, fsync or background job failed. The process must stop: what is in memory and what is on
    /// disk may differ.
    #[error("the disk failed: {0}")]
    Disk(String),
    /// No space is left. As fatal as [`Error::Disk`], told apart for the message and the exit code.
    #[error("the disk is full: {0}")]
    DiskFull(String),
    /// What was read back is not what was written.
    #[error("corrupt data: {0}")]
    Corrupt(String),
    /// The directory belongs to another store, another format, or is in use.
    #[error("{0}")]
    Unusable(String),
}

impl Error {
    /// Must the process stop?
    pub fn is_fatal(&self) -> bool {
        matches!(self, Error::Disk(_) | Error::DiskFull(_))
    }
}
