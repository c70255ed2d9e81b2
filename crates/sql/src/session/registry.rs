//! The open sessions of a node, as `pg_stat_activity` and its relatives show them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use expr::Oid;
use keyspace::{NodeId, Timestamp};
use parking_lot::Mutex;
use txn::{Isolation, LockHandle, LockMode};

use super::settings::{self, Kind, SettingId, Value};
use super::state::{OpenTransaction, SessionState};
use super::table_locks::{Announcement, modes_of};
use crate::catalog::providers::{
    ActivityRow, CursorRow, OwnerRow, PreparedRow, SessionView, SettingRow, TransactionRow,
};

pub(crate) struct Registry {
    node: NodeId,
    next: AtomicU32,
    sessions: Mutex<BTreeMap<u32, Weak<SessionState>>>,
}

/// Bits of a session's number that count the sessions of its node.
const COUNTER_BITS: u32 = 22;

impl Registry {
    pub fn new(node: NodeId) -> Registry {
        Registry { node, next: AtomicU32::new(1), sessions: Mutex::default() }
    }

    /// A number that no other open session has, also on other nodes: the node's number, then a counter. It is an int4 that is
    /// not negative, as clients expect of a process number, so nodes from 512 on share numbers with others.
    pub fn number(&self) -> u32 {
        let node = (self.node.0 as u32 & 0x1ff) << COUNTER_BITS;
        loop {
            let count = self.next.fetch_add(1, Ordering::Relaxed) & ((1 << COUNTER_BITS) - 1);
            if count != 0 && !self.sessions.lock().contains_key(&(node | count)) {
                return node | count;
            }
        }
    }

    pub fn add(&self, state: &Arc<SessionState>) {
        self.sessions.lock().insert(state.id, Arc::downgrade(state));
    }

    pub fn remove(&self, session: u32) {
        self.sessions.lock().remove(&session);
    }

    pub fn len(&self) -> usize {
        self.sessions.lock().len()
    }

    /// The open transactions of this node that use the table against the lock that is announced, with how they do.
    pub fn users_of(&self, announcement: Announcement) -> Vec<(LockHandle, LockMode)> {
        let sessions: Vec<_> = self.sessions.lock().values().filter_map(Weak::upgrade).collect();
        let open = sessions.iter().filter_map(|session| session.open());
        let conflicting = |open: OpenTransaction| {
            let used = open.used.upgrade()?;
            let uses = used.uses();
            let modes = uses.iter().flat_map(|(table, how)| modes_of(table, *how)).chain(used.stated_modes());
            let of_table = modes.filter(|(table, _)| *table == announcement.table);
            let mode = of_table.map(|(_, mode)| mode).reduce(LockMode::with)?;
            let is_other = open.handle.id().is_some_and(|id| id != announcement.owner);
            (is_other && !mode.is_compatible_with(announcement.mode)).then_some((open.handle, mode))
        };
        open.filter_map(conflicting).collect()
    }

    /// The lowest number at which an open transaction of this node may still read.
    pub fn oldest_read(&self) -> Option<Timestamp> {
        let sessions: Vec<_> = self.sessions.lock().values().filter_map(Weak::upgrade).collect();
        sessions.iter().filter_map(|session| session.open()?.handle.oldest_read()).min()
    }

    fn find(&self, session: u32) -> Option<Arc<SessionState>> {
        self.sessions.lock().get(&session)?.upgrade()
    }
}

impl SessionView for Registry {
    fn activity(&self) -> Vec<ActivityRow> {
        let sessions: Vec<_> = self.sessions.lock().values().filter_map(Weak::upgrade).collect();
        let row = |session: &Arc<SessionState>| {
            let activity = session.activity();
            ActivityRow {
                session: session.id,
                database: session.database.oid,
                user: session.user.oid,
                application_name: session.settings(|settings| settings.show("application_name")).unwrap_or_default(),
                client_address: session.client_address.map(|address| address.ip().to_string()),
                client_port: session.client_address.map(|address| i32::from(address.port())),
                session_start: session.started_at,
                transaction_start: activity.transaction_start,
                query_start: activity.query_start,
                state_change: Some(activity.state_change),
                state: activity.state,
                query: activity.query.to_string(),
            }
        };
        sessions.iter().map(row).collect()
    }

    fn transactions(&self) -> Vec<TransactionRow> {
        let sessions: Vec<_> = self.sessions.lock().values().filter_map(Weak::upgrade).collect();
        let row = |session: &Arc<SessionState>| {
            let open = session.open()?;
            let (sight, used) = (open.handle.look()?, open.used.upgrade()?);
            let activity = session.activity();
            let mut uses: BTreeMap<Oid, LockMode> = BTreeMap::new();
            let by_use = used.uses();
            for (table, mode) in by_use.iter().flat_map(|(table, how)| modes_of(table, *how)).chain(used.stated_modes())
            {
                let known = uses.entry(table).or_insert(mode);
                *known = known.with(mode);
            }
            Some(TransactionRow {
                node: self.node,
                session: session.id,
                database: session.database.oid,
                id: sight.id,
                advisory: session.advisory.owner(),
                isolation: match sight.isolation {
                    Isolation::ReadCommitted => "read committed",
                    Isolation::RepeatableRead => "repeatable read",
                    Isolation::Serializable => "serializable",
                }
                .to_owned(),
                state: activity.state.to_owned(),
                started: activity.transaction_start,
                query: activity.query.to_string(),
                buffered_bytes: sight.buffered_bytes as u64,
                locks: sight.locks,
                uses: uses.into_iter().collect(),
            })
        };
        sessions.iter().filter_map(row).collect()
    }

    fn owners(&self) -> Vec<OwnerRow> {
        let sessions: Vec<_> = self.sessions.lock().values().filter_map(Weak::upgrade).collect();
        let row = |session: &Arc<SessionState>| OwnerRow {
            session: session.id,
            txn: session.txn(),
            advisory: session.advisory.owner(),
        };
        sessions.iter().map(row).collect()
    }

    fn settings(&self, session: u32) -> Vec<SettingRow> {
        let Some(session) = self.find(session) else { return Vec::new() };
        let visible = settings::definitions().iter().enumerate().filter(|(_, definition)| !definition.hidden);
        session.settings(|settings| visible.map(|(at, _)| setting_row(settings, SettingId(at as u16))).collect())
    }

    fn prepared_statements(&self, session: u32) -> Vec<PreparedRow> {
        self.find(session).map_or_else(Vec::new, |session| session.lists(|lists| lists.prepared.clone()))
    }

    fn cursors(&self, session: u32) -> Vec<CursorRow> {
        self.find(session).map_or_else(Vec::new, |session| session.lists(|lists| lists.cursors.clone()))
    }
}

fn setting_row(settings: &settings::Settings, id: SettingId) -> SettingRow {
    let definition = id.definition();
    let value = settings.get(id);
    let default = settings.default_of(id);
    let (min_val, max_val, unit, enumvals) = match &definition.kind {
        Kind::Bool | Kind::Text => (None, None, None, None),
        Kind::Integer { min, max, unit } => (Some(min.to_string()), Some(max.to_string()), unit.name(), None),
        Kind::Real { min, max, unit } => (Some(min.to_string()), Some(max.to_string()), unit.name(), None),
        Kind::Enum(words) => (None, None, None, Some(words.iter().map(|word| (*word).to_owned()).collect())),
    };
    let source = if value == default { "default" } else { "session" };
    let text = |value: &Value| Some(value.setting());
    SettingRow {
        name: definition.name.to_owned(),
        setting: value.setting(),
        unit: unit.map(str::to_owned),
        category: definition.category.to_owned(),
        short_desc: String::new(),
        context: definition.context.sql().to_owned(),
        vartype: definition.kind.sql().to_owned(),
        source: source.to_owned(),
        min_val,
        max_val,
        enumvals,
        boot_val: Some(definition.boot.to_owned()),
        reset_val: text(default),
    }
}
