//! What all sessions of one node share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use env::{Budget, Env};
use keyspace::NodeId;
use txn::TxnClient;

use super::Session;
use crate::SqlResult;

/// What `node` gives.
pub struct ServerConfig {
    pub env: Env,
    pub node: NodeId,
    pub txn: TxnClient,
    /// Cairn's own version, behind the 15.0 in `server_version`.
    pub version: String,
    /// What all statements of the node may hold together; each has `Knobs::statement_bytes` of it at most.
    pub memory: Budget,
}

/// One per node.
pub struct Server {
    pub(crate) config: ServerConfig,
    next_session: AtomicU32,
}

/// A client's StartupMessage, after authentication.
#[derive(Clone, Debug, Default)]
pub struct Startup {
    pub user: String,
    pub database: String,
    /// Every other parameter of the message, `options` too.
    pub settings: Vec<(String, String)>,
    /// For `pg_stat_activity` and `inet_client_addr()`.
    pub client_address: Option<std::net::SocketAddr>,
}

impl Server {
    pub fn new(config: ServerConfig) -> Arc<Server> {
        Arc::new(Server { config, next_session: AtomicU32::new(1) })
    }

    /// 28000: there is no such role; 3D000: no such database; 22023 and others: a setting that cannot be.
    pub async fn connect(self: &Arc<Server>, startup: Startup) -> SqlResult<Session> {
        let id = self.next_session.fetch_add(1, Ordering::Relaxed);
        Session::open(self.clone(), id, startup).await
    }
}
