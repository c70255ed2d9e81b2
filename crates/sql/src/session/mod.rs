//! One connection: its transaction, settings, prepared statements and portals.
//!
//! `pgfront` speaks to it in the terms of the protocol and hands it an [`Output`] to stream into.
//!
//! ## Errors and the extended protocol
//!
//! [`Session::simple`] looks after its own failures. Any other method that fails leaves it to its caller to say
//! [`Session::fail`] (the transaction block has failed), to skip messages up to Sync, and then to call
//! [`Session::sync`].

mod cancel;
mod output;
mod server;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
pub use cancel::CancelHandle;
use expr::Oid;
pub use output::{CopyFormat, Notice, Output, TransactionStatus};
pub use server::{Server, ServerConfig, Startup};

use crate::plan::Field;
use crate::{SqlError, SqlResult};

/// One connection. One task at a time uses it; see [`CancelHandle`] for the only door from outside.
pub struct Session {
    _server: Arc<Server>,
    id: u32,
    watch: Arc<cancel::Watch>,
}

impl Session {
    pub(crate) async fn open(server: Arc<Server>, id: u32, _startup: Startup) -> SqlResult<Session> {
        Ok(Session { _server: server, id, watch: cancel::Watch::new() })
    }

    /// Unique among the open sessions of this node: `pg_backend_pid()` and BackendKeyData.
    pub fn id(&self) -> u32 {
        self.id
    }

    pub fn cancel_handle(&self) -> CancelHandle {
        self.watch.handle()
    }

    pub fn status(&self) -> TransactionStatus {
        TransactionStatus::Idle
    }

    /// For how long the client may stay silent now (`idle_in_transaction_session_timeout`, `idle_session_timeout`), and the
    /// error to end the session with when it does.
    pub fn idle_limit(&self) -> Option<(Duration, SqlError)> {
        None
    }

    /// The settings that ParameterStatus reports after start-up; changes come through [`Output::parameter`].
    pub fn parameters(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// A simple Query message: several statements, one after the other, in one implicit transaction block. After an
    /// error, which is returned and not written to `out`, the rest of the text is not run.
    pub async fn simple(&mut self, _text: &str, _out: &mut dyn Output) -> SqlResult<()> {
        Err(SqlError::not_supported("executing statements"))
    }

    /// Parse. `param_types` may be shorter than the statement's parameters, and 0 where the client leaves a type to us.
    pub async fn parse(&mut self, _name: &str, _text: &str, _param_types: &[Oid]) -> SqlResult<()> {
        Err(SqlError::not_supported("executing statements"))
    }

    /// Describe 'S': the parameters' types, and the result's columns unless it has none (NoData).
    pub async fn describe_statement(&mut self, _name: &str) -> SqlResult<(Vec<Oid>, Option<Vec<Field>>)> {
        Err(SqlError::not_supported("executing statements"))
    }

    /// Bind. `param_formats` as in the message: none (all text), one for all, or one each; the result formats are the
    /// caller's.
    pub async fn bind(
        &mut self,
        _portal: &str,
        _statement: &str,
        _params: Vec<Option<Bytes>>,
        _param_formats: &[i16],
    ) -> SqlResult<()> {
        Err(SqlError::not_supported("executing statements"))
    }

    /// Describe 'P'.
    pub async fn describe_portal(&mut self, _portal: &str) -> SqlResult<Option<Vec<Field>>> {
        Err(SqlError::not_supported("executing statements"))
    }

    /// Execute: rows, then CommandComplete, EmptyQueryResponse or PortalSuspended; never RowDescription. `max_rows` 0 is all.
    pub async fn execute(&mut self, _portal: &str, _max_rows: u32, _out: &mut dyn Output) -> SqlResult<()> {
        Err(SqlError::not_supported("executing statements"))
    }

    /// Call before [`Session::execute`] when Sync is the next message and already here: a statement outside a transaction
    /// block can then commit, and run again by itself, before its answer leaves.
    pub fn sync_follows(&mut self) {}

    /// Close 'S'. What does not exist is closed.
    pub fn close_statement(&mut self, _name: &str) {}

    /// Close 'P'.
    pub fn close_portal(&mut self, _name: &str) {}

    /// Sync: ends the implicit transaction of a pipeline. An error is to be sent before ReadyForQuery.
    pub async fn sync(&mut self, _out: &mut dyn Output) -> SqlResult<()> {
        Ok(())
    }

    /// An extended-protocol message failed: ends the implicit transaction, or marks the block failed.
    pub fn fail(&mut self) {}

    /// Terminate, or the client went away.
    pub async fn close(self) {}
}
