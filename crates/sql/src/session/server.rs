//! What all sessions of one node share, and how a session begins.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use env::{Budget, Env};
use keyspace::{NodeId, Timestamp};
use txn::TxnClient;

use super::notify::{Channels, Ear};
use super::registry::Registry;
use super::run::Spent;
use super::settings::Settings;
use super::state::{Identity, SessionState};
use super::table_locks::TableLocks;
use super::texts::Texts;
use super::{Session, Watch};
use crate::catalog::ddl::IdPool;
use crate::catalog::providers::{ClusterView, SessionView, Views};
use crate::catalog::{Catalog, CatalogCache};
use crate::{Severity, SqlError, SqlResult};

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
    pub(crate) catalogs: Arc<CatalogCache>,
    pub(crate) texts: Texts,
    pub(crate) channels: Channels,
    pub(crate) ids: IdPool,
    pub(crate) sessions: Arc<Registry>,
    pub(crate) table_locks: TableLocks,
    /// What virtual tables show of the cluster; registered by `node` once it is there.
    views: OnceLock<Views>,
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

/// Milliseconds from 1970 to 2000, PostgreSQL's epoch.
pub(super) const EPOCH_MS: u64 = 946_684_800_000;

impl Server {
    pub fn new(config: ServerConfig) -> Arc<Server> {
        let catalogs = CatalogCache::new(config.txn.clone());
        let ids = IdPool::new(config.txn.clone());
        let sessions = Arc::new(Registry::new(config.node));
        Arc::new(Server {
            config,
            catalogs,
            ids,
            sessions,
            table_locks: TableLocks::default(),
            views: OnceLock::new(),
            texts: Texts::new(),
            channels: Channels::default(),
        })
    }

    /// 28000: there is no such role; 3D000: no such database; 22023 and others: a setting that cannot be.
    pub async fn connect(self: &Arc<Server>, startup: Startup) -> SqlResult<Session> {
        let stamp = self.config.txn.oracle().fresh().await?;
        let catalog = self.catalogs.at(stamp, None).await?;
        let (user, database) = identify(&catalog, &startup).map_err(fatal)?;
        let settings = self.settings_of(&startup, &catalog).map_err(fatal)?;
        let id = self.sessions.number();
        let reported = settings.reported().map(|(_, _, value)| value).collect();
        let generation = settings.generation();
        let state = SessionState::new(id, user, database, startup.client_address, self.now_micros(), settings);
        let state = Arc::new(state);
        self.sessions.add(&state);
        Ok(Session {
            server: self.clone(),
            watch: Watch::new(),
            state,
            block: None,
            statements: BTreeMap::new(),
            portals: BTreeMap::new(),
            catalog: Some(catalog),
            plan_settings: None,
            reported: (generation, reported),
            sync_follows: false,
            ear: Ear::new(),
            spent: Spent::default(),
        })
    }

    /// Says where `cairn.nodes` and `cairn.ranges` come from. Once, before the first session.
    pub fn register_cluster(&self, cluster: Arc<dyn ClusterView>) {
        let sessions: Arc<dyn SessionView> = self.sessions.clone();
        let views = Views { cluster: Some(cluster), sessions: Some(sessions) };
        assert!(self.views.set(views).is_ok(), "the cluster is registered once, before it is asked for");
    }

    pub(crate) fn views(&self) -> &Views {
        let without_cluster = || {
            let sessions: Arc<dyn SessionView> = self.sessions.clone();
            Views { cluster: None, sessions: Some(sessions) }
        };
        self.views.get_or_init(without_cluster)
    }

    /// The lowest number at which an open transaction of this node may still read: garbage collection stays below it.
    pub fn oldest_read(&self) -> Option<Timestamp> {
        self.sessions.oldest_read()
    }

    /// Open sessions.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// The wall clock, in PostgreSQL's microseconds since 2000.
    pub(crate) fn now_micros(&self) -> i64 {
        (self.config.env.wall_ms() as i64 - EPOCH_MS as i64) * 1000
    }

    fn settings_of(&self, startup: &Startup, catalog: &Catalog) -> SqlResult<Settings> {
        let superuser = catalog.role(&startup.user).is_some_and(|role| role.superuser);
        let version = format!("15.0 (Cairn {})", self.config.version);
        let mut settings = Settings::new(&[
            ("server_version", &version),
            ("is_superuser", if superuser { "on" } else { "off" }),
            ("session_authorization", &startup.user),
        ]);
        for (name, value) in &startup.settings {
            if name == "options" {
                for (name, value) in parse_options(value)? {
                    settings.set_at_start(&name, &value)?;
                }
            } else if !name.starts_with("_pq_.") {
                settings.set_at_start(name, value)?;
            }
        }
        Ok(settings)
    }
}

fn identify(catalog: &Catalog, startup: &Startup) -> SqlResult<(Identity, Identity)> {
    let Startup { user, database, .. } = startup;
    let role = catalog.role(user);
    let role = role.ok_or_else(|| SqlError::new("28000", format!("role \"{user}\" does not exist")))?;
    if !role.login {
        return Err(SqlError::new("28000", format!("role \"{user}\" is not permitted to log in")));
    }
    let found = catalog.database(database);
    let found = found.ok_or_else(|| SqlError::new("3D000", format!("database \"{database}\" does not exist")))?;
    let user = Identity { oid: role.oid, name: role.name.as_str().into() };
    Ok((user, Identity { oid: found.oid, name: found.name.as_str().into() }))
}

fn fatal(mut error: SqlError) -> SqlError {
    error.0.severity = Severity::Fatal;
    error
}

/// `-c name=value`, `-cname=value` and `--name=value`, as PostgreSQL's command line has them. A backslash keeps the blank
/// (or backslash) behind it.
fn parse_options(text: &str) -> SqlResult<Vec<(String, String)>> {
    let mut words: Vec<String> = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(&c) = chars.peek() {
        if c.is_whitespace() {
            chars.next();
            continue;
        }
        let mut word = String::new();
        while let Some(c) = chars.next_if(|c| !c.is_whitespace()) {
            word.push(if c == '\\' { chars.next().unwrap_or('\\') } else { c });
        }
        words.push(word);
    }
    let mut settings = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (assignment, is_long) = match (word.strip_prefix("--"), word.strip_prefix("-c")) {
            (Some(long), _) => (long.to_owned(), true),
            (None, Some("")) => (words.next().unwrap_or_default(), false),
            (None, Some(short)) => (short.to_owned(), false),
            (None, None) => {
                return Err(SqlError::new(
                    "42601",
                    format!("invalid command-line argument for server process: {word}"),
                ));
            }
        };
        let Some((name, value)) = assignment.split_once('=') else {
            let form = if is_long { "--" } else { "-c " };
            return Err(SqlError::new("42601", format!("{form}{assignment} requires a value")));
        };
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_startup_message() {
        let parse = |text| parse_options(text).map_err(|error| error.0.message);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            parse(r"-c statement_timeout=5s --search-path=a -cDateStyle=ISO,\ DMY").unwrap(),
            [pair("statement_timeout", "5s"), pair("search_path", "a"), pair("DateStyle", "ISO, DMY")]
        );
        assert_eq!(parse("").unwrap(), []);
        assert_eq!(parse("-c work_mem").unwrap_err(), "-c work_mem requires a value");
        assert!(parse("-x").is_err());
    }
}
