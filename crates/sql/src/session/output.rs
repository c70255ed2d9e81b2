//! Where a statement's answer goes while it is being made.

use env::BoxFuture;
use expr::{EvalContext, Row};

use crate::plan::Field;
use crate::{SqlError, SqlResult};

/// The letter in ReadyForQuery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    Idle,
    InTransaction,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub severity: &'static str,
    pub error: SqlError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    Text,
    Csv,
    Binary,
}

/// Implemented by `pgfront` over the socket. Everything is buffered until it is large or `flush` is called; a client that
/// reads slowly holds the statement up there (back-pressure), a client that went away ends it with an error.
pub trait Output: Send {
    /// RowDescription: sent for simple queries, and where Describe asked for it.
    fn fields(&mut self, fields: &[Field]) -> SqlResult<()>;
    /// DataRows, in the formats the portal was bound with; `ctx` says how values look (time zone, styles, names of OIDs).
    fn rows<'a>(
        &'a mut self,
        fields: &'a [Field],
        rows: &'a [Row],
        ctx: &'a EvalContext<'a>,
    ) -> BoxFuture<'a, SqlResult<()>>;
    /// CommandComplete.
    fn complete(&mut self, tag: &str) -> SqlResult<()>;
    fn empty_query(&mut self) -> SqlResult<()>;
    /// PortalSuspended.
    fn suspended(&mut self) -> SqlResult<()>;
    fn notice(&mut self, notice: &Notice) -> SqlResult<()>;
    /// A setting that the protocol reports has a new value.
    fn parameter(&mut self, name: &str, value: &str) -> SqlResult<()>;
    /// CopyInResponse; then the client's data, piece by piece: `None` at CopyDone, an error at CopyFail (57014).
    fn copy_in<'a>(&'a mut self, format: CopyFormat, columns: usize) -> BoxFuture<'a, SqlResult<()>>;
    fn copy_data(&mut self) -> BoxFuture<'_, SqlResult<Option<bytes::Bytes>>>;
    /// CopyOutResponse, pieces, CopyDone.
    fn copy_out(&mut self, format: CopyFormat, columns: usize) -> SqlResult<()>;
    fn copy_out_data<'a>(&'a mut self, data: &'a [u8]) -> BoxFuture<'a, SqlResult<()>>;
    fn copy_out_done(&mut self) -> SqlResult<()>;
    fn flush(&mut self) -> BoxFuture<'_, SqlResult<()>>;
}
