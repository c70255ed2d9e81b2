//! One connection: its transaction, settings, prepared statements and portals.
//!
//! `pgfront` speaks to it in the terms of the protocol and hands it an [`Output`] to stream into.
//!
//! ```text
//! simple ─┐                                      ┌ control    BEGIN … ROLLBACK TO
//!         ├ Prepared ─ run one statement ────────┼ utility    SET, SHOW, COPY, cursors, …
//! execute ┘            (block, retries, answer)  ├ ddl        catalog::ddl
//!                                                └ plan       exec
//! ```
//!
//! ## Errors and the extended protocol
//!
//! [`Session::simple`] looks after its own failures. Any other method that fails leaves it to its caller to say
//! [`Session::fail`] (the transaction block has failed), to skip messages up to Sync, and then to call
//! [`Session::sync`].
//!
//! ## Running again
//!
//! A statement that meets a newer version under its locks runs again at a fresh number; a statement alone in its
//! transaction that cannot be serialized runs again in a new one. Both only while no row of it has left the server
//! ([`answer`]).

pub(crate) mod advisory;
mod answer;
mod block;
mod cancel;
mod catalog_functions;
mod control;
mod copy;
mod ddl;
mod explain;
mod extended;
mod functions;
mod history;
pub(crate) mod neighbours;
mod notify;
mod output;
mod parameters;
mod planner;
mod portal;
mod prepared;
mod registry;
mod run;
mod sequence;
mod server;
mod settings;
mod simple;
mod state;
mod table_locks;
mod texts;
mod utility;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use answer::Answer;
pub use cancel::CancelHandle;
pub(crate) use cancel::Watch;
pub(crate) use functions::Functions;
pub use notify::Notification;
pub use output::{CopyFormat, Notice, Output, TransactionStatus};
pub use server::{Server, ServerConfig, Startup};
pub(crate) use settings::Active;

use self::block::{Block, Modes};
use self::extended::NamedStatement;
use self::notify::Ear;
use self::portal::Portal;
use self::prepared::PlanSettings;
use self::run::Spent;
use self::state::SessionState;
use crate::catalog::Catalog;
use crate::{SqlError, SqlResult};

/// One connection. One task at a time uses it; see [`CancelHandle`] for the only door from outside.
pub struct Session {
    server: Arc<Server>,
    watch: Arc<Watch>,
    state: Arc<SessionState>,
    block: Option<Block>,
    statements: BTreeMap<String, NamedStatement>,
    portals: BTreeMap<String, Portal>,
    /// The one that the last statement used.
    catalog: Option<Arc<Catalog>>,
    plan_settings: Option<(u64, Arc<PlanSettings>)>,
    /// Reported settings as the client knows them, and the generation they were looked at.
    reported: (u64, Vec<String>),
    sync_follows: bool,
    ear: Ear,
    /// Of the statement that runs.
    spent: Spent,
}

impl Session {
    /// Unique among the open sessions of the cluster: `pg_backend_pid()` and BackendKeyData.
    pub fn id(&self) -> u32 {
        self.state.id
    }

    pub fn cancel_handle(&self) -> CancelHandle {
        self.watch.handle()
    }

    pub fn status(&self) -> TransactionStatus {
        match &self.block {
            Some(block) if block.failed => TransactionStatus::Failed,
            Some(block) if block.explicit => TransactionStatus::InTransaction,
            _ => TransactionStatus::Idle,
        }
    }

    /// For how long the client may stay silent now (`idle_in_transaction_session_timeout`, `idle_session_timeout`), and the
    /// error to end the session with when it does.
    pub fn idle_limit(&self) -> Option<(Duration, SqlError)> {
        let active = self.state.active();
        let (limit, state, message) = match self.status() {
            TransactionStatus::Idle => {
                (active.idle_session, "57P05", "terminating connection due to idle-session timeout")
            }
            TransactionStatus::InTransaction | TransactionStatus::Failed => {
                (active.idle_in_transaction, "25P03", "terminating connection due to idle-in-transaction timeout")
            }
        };
        let mut error = SqlError::new(state, message);
        error.0.severity = crate::Severity::Fatal;
        limit.map(|limit| (limit, error))
    }

    /// The settings that ParameterStatus reports after start-up; changes come through [`Output::parameter`].
    pub fn parameters(&self) -> Vec<(String, String)> {
        self.state.settings(|settings| settings.reported().map(|(_, name, value)| (name.to_owned(), value)).collect())
    }

    /// Call before [`Session::execute`] when Sync is the next message and already here: a statement outside a transaction
    /// block can then commit, and run again by itself, before its answer leaves.
    pub fn sync_follows(&mut self) {
        self.sync_follows = true;
    }

    /// Terminate, or the client went away.
    pub async fn close(mut self) {
        self.portals.clear();
        self.end_block_badly().await;
    }

    // ---- blocks ----

    /// Before any statement: there is a block, if only an implicit one.
    fn ensure_block(&mut self) {
        if self.block.is_none() {
            let modes = Modes::of(&self.state.active());
            self.begin_block(false, modes);
        }
    }

    fn begin_block(&mut self, explicit: bool, modes: Modes) {
        let settings = self.state.settings(|settings| settings.mark());
        self.block = Some(Block::new(explicit, modes, settings, self.server.now_micros()));
    }

    /// Rolls back whatever is open.
    async fn end_block_badly(&mut self) {
        let Some(mut block) = self.block.take() else { return };
        self.close_portals_of_block();
        self.state.settings(|settings| settings.restore(block.settings().clone()));
        self.forget_own_catalog();
        if let Some(open) = block.take_open() {
            block::end(open).await;
        }
        self.end_advisory_locks().await;
    }

    /// Those of the transaction that has ended. The outcome stands already: what fails here is tried again with the next
    /// statement that ends.
    async fn end_advisory_locks(&mut self) {
        if let Err(error) = self.state.advisory.end_transaction(&self.server).await {
            tracing::warn!(%error, "advisory locks of a transaction could not be given up");
        }
    }

    /// Tells the client of notices and of settings that have changed.
    fn report(&mut self, out: &mut dyn Output) -> SqlResult<()> {
        for notice in self.state.take_notices() {
            let rank = self.state.active().notice_rank;
            if settings::rank(notice.severity) >= rank {
                out.notice(&notice)?;
            }
        }
        let (generation, known) = &mut self.reported;
        let changed: Vec<(&'static str, String)> = self.state.settings(|settings| {
            if settings.generation() == *generation {
                return Vec::new();
            }
            *generation = settings.generation();
            let mut changed = Vec::new();
            for (at, (_, name, value)) in settings.reported().enumerate() {
                if known[at] != value {
                    known[at].clone_from(&value);
                    changed.push((name, value));
                }
            }
            changed
        });
        for (name, value) in changed {
            out.parameter(name, &value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tasks that drive sessions move between threads.
    #[test]
    fn futures_of_a_session_can_be_sent() {
        fn is_send<T: Send>(_: impl FnOnce(&'static mut Session, &'static mut dyn Output) -> T) {}
        is_send(|session, out| session.simple("", out));
        is_send(|session, out| session.execute("", 0, out));
        is_send(|session, _| session.parse("", "", &[]));
        is_send(|session, _| session.bind("", "", Vec::new(), &[]));
        is_send(|session, out| session.sync(out));
    }
}
