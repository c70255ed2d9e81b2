//! What the functions of a statement may ask of their session, and set in it.
//!
//! Everything else of a [`Session`](super::Session) belongs to it alone; this part is shared with the statements that
//! run, some of which outlive the call that started them (portals).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use expr::Oid;
use keyspace::TxnId;
use parking_lot::Mutex;
use txn::{LockHandle, Transaction};

use super::Notice;
use super::advisory::AdvisoryLocks;
use super::settings::{Active, Settings};
use crate::catalog::UsedTables;
use crate::catalog::providers::{CursorRow, PreparedRow};

pub(crate) struct SessionState {
    pub id: u32,
    pub user: Identity,
    pub database: Identity,
    pub client_address: Option<SocketAddr>,
    /// Microseconds since 2000.
    pub started_at: i64,
    txn: AtomicU64,
    pub advisory: Arc<AdvisoryLocks>,
    inner: Mutex<Inner>,
    open: Mutex<Option<OpenTransaction>>,
}

/// What others may ask of a session's open transaction.
#[derive(Clone)]
pub(crate) struct OpenTransaction {
    pub handle: LockHandle,
    pub used: Weak<UsedTables>,
}

/// A name and the OID that it had when the session began: renaming does not end sessions.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub oid: Oid,
    pub name: Arc<str>,
}

struct Inner {
    settings: Settings,
    /// `SET ROLE`, `SET SESSION AUTHORIZATION`.
    role: Identity,
    notices: Vec<Notice>,
    /// What `pg_notify` was called with in the running statement.
    notifies: Vec<(String, String)>,
    activity: Activity,
    lists: Lists,
    /// `currval` by sequence, and which one was drawn from last.
    drawn: BTreeMap<Oid, i64>,
    last_drawn: Option<Oid>,
}

/// What the session is doing. Times are microseconds since 2000.
#[derive(Clone)]
pub(crate) struct Activity {
    pub state: &'static str,
    pub query: Arc<str>,
    pub query_start: Option<i64>,
    pub transaction_start: Option<i64>,
    pub state_change: i64,
}

/// The session's own statements and cursors, gathered when a statement asks for them.
#[derive(Default)]
pub(crate) struct Lists {
    pub prepared: Vec<PreparedRow>,
    pub cursors: Vec<CursorRow>,
}

impl SessionState {
    pub fn new(
        id: u32,
        user: Identity,
        database: Identity,
        client_address: Option<SocketAddr>,
        started_at: i64,
        settings: Settings,
    ) -> SessionState {
        let role = user.clone();
        let activity = Activity {
            state: "idle",
            query: "".into(),
            query_start: None,
            transaction_start: None,
            state_change: started_at,
        };
        let inner = Inner {
            settings,
            role,
            notices: Vec::new(),
            notifies: Vec::new(),
            activity,
            lists: Lists::default(),
            drawn: BTreeMap::new(),
            last_drawn: None,
        };
        SessionState {
            id,
            user,
            database,
            client_address,
            started_at,
            txn: AtomicU64::new(0),
            advisory: Arc::default(),
            inner: Mutex::new(inner),
            open: Mutex::new(None),
        }
    }

    pub fn settings<T>(&self, ask: impl FnOnce(&mut Settings) -> T) -> T {
        ask(&mut self.inner.lock().settings)
    }

    /// The decoded settings as they are now.
    pub fn active(&self) -> Arc<Active> {
        self.inner.lock().settings.active().clone()
    }

    /// `current_user`.
    pub fn role(&self) -> Identity {
        self.inner.lock().role.clone()
    }

    pub fn set_role(&self, role: Identity) {
        self.inner.lock().role = role;
    }

    /// To the client, before the statement's CommandComplete.
    pub fn notice(&self, notice: Notice) {
        self.inner.lock().notices.push(notice);
    }

    pub fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut self.inner.lock().notices)
    }

    pub fn notify(&self, channel: &str, payload: &str) {
        self.inner.lock().notifies.push((channel.to_owned(), payload.to_owned()));
    }

    pub fn take_notifies(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.inner.lock().notifies)
    }

    // ---- what others see ----

    pub fn set_txn(&self, txn: &Transaction, used: &Arc<UsedTables>) {
        self.txn.store(txn.id().0, Ordering::Relaxed);
        *self.open.lock() = Some(OpenTransaction { handle: txn.lock_handle(), used: Arc::downgrade(used) });
    }

    /// The transaction that runs, or ran last.
    pub fn open(&self) -> Option<OpenTransaction> {
        self.open.lock().clone()
    }

    /// The transaction that runs, or ran last; zero: there was none.
    pub fn txn(&self) -> TxnId {
        TxnId(self.txn.load(Ordering::Relaxed))
    }

    pub fn activity(&self) -> Activity {
        self.inner.lock().activity.clone()
    }

    pub fn begin_query(&self, query: &Arc<str>, now: i64) {
        let activity = &mut self.inner.lock().activity;
        activity.state = "active";
        activity.query = query.clone();
        activity.query_start = Some(now);
        activity.state_change = now;
    }

    pub fn end_query(&self, state: &'static str, transaction_start: Option<i64>, now: i64) {
        let activity = &mut self.inner.lock().activity;
        activity.state = state;
        activity.transaction_start = transaction_start;
        activity.state_change = now;
    }

    pub fn lists<T>(&self, ask: impl FnOnce(&mut Lists) -> T) -> T {
        ask(&mut self.inner.lock().lists)
    }

    // ---- sequences ----

    pub fn drew(&self, sequence: Oid, value: i64) {
        let mut inner = self.inner.lock();
        inner.drawn.insert(sequence, value);
        inner.last_drawn = Some(sequence);
    }

    pub fn currval(&self, sequence: Oid) -> Option<i64> {
        self.inner.lock().drawn.get(&sequence).copied()
    }

    pub fn lastval(&self) -> Option<i64> {
        let inner = self.inner.lock();
        inner.drawn.get(&inner.last_drawn?).copied()
    }

    /// DISCARD SEQUENCES.
    pub fn forget_sequences(&self) {
        let mut inner = self.inner.lock();
        inner.drawn.clear();
        inner.last_drawn = None;
    }
}
