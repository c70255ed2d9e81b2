//! LISTEN, NOTIFY and UNLISTEN, between the sessions of one node.
//!
//! As in PostgreSQL they take effect when their transaction commits: a notification that is rolled back was never sent,
//! and equal ones of one transaction are sent once. A session that does not read is not waited for; what it was to hear is
//! dropped beyond [`QUEUED_MAX`].

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::Session;
use super::block::AfterEnd;
use crate::{SqlError, SqlResult};

/// What NotificationResponse carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The session that sent it.
    pub sender: u32,
    pub channel: String,
    pub payload: String,
}

/// Notifications that wait for one session at most.
const QUEUED_MAX: usize = 8192;

/// Who listens to what, for all sessions of a node.
#[derive(Default)]
pub(crate) struct Channels {
    listeners: Mutex<BTreeMap<String, BTreeMap<u32, mpsc::Sender<Notification>>>>,
}

/// A session's end of it.
pub(super) struct Ear {
    send: mpsc::Sender<Notification>,
    receive: mpsc::Receiver<Notification>,
    listens: bool,
}

impl Ear {
    pub fn new() -> Ear {
        let (send, receive) = mpsc::channel(QUEUED_MAX);
        Ear { send, receive, listens: false }
    }
}

impl Channels {
    fn listen(&self, session: u32, channel: &str, send: mpsc::Sender<Notification>) {
        self.listeners.lock().entry(channel.to_owned()).or_default().insert(session, send);
    }

    /// `None`: all channels.
    fn unlisten(&self, session: u32, channel: Option<&str>) {
        self.listeners.lock().retain(|name, sessions| {
            if channel.is_none_or(|channel| channel == name) {
                sessions.remove(&session);
            }
            !sessions.is_empty()
        });
    }

    /// How full the fullest queue is, from 0 to 1: `pg_notification_queue_usage()`.
    pub fn usage(&self) -> f64 {
        let listeners = self.listeners.lock();
        let waiting = listeners.values().flat_map(BTreeMap::values).map(|send| QUEUED_MAX - send.capacity());
        waiting.max().unwrap_or(0) as f64 / QUEUED_MAX as f64
    }

    fn send(&self, notification: Notification) {
        if let Some(sessions) = self.listeners.lock().get(&notification.channel) {
            for send in sessions.values() {
                if send.try_send(notification.clone()).is_err() {
                    env::probe!("notification_dropped");
                }
            }
        }
    }
}

impl Session {
    /// Waits for a notification while the client is silent; send it, and then what [`Session::take_notifications`] has.
    /// Nothing is lost when the wait is given up.
    pub async fn next_notification(&mut self) -> Notification {
        match self.ear.receive.recv().await {
            Some(notification) => notification,
            None => unreachable!("the session holds a sender itself"),
        }
    }

    /// What has come meanwhile. Outside a transaction block, to be sent before ReadyForQuery.
    pub fn take_notifications(&mut self) -> Vec<Notification> {
        let mut taken = Vec::new();
        while let Ok(notification) = self.ear.receive.try_recv() {
            taken.push(notification);
        }
        taken
    }

    pub(super) fn listen(&mut self, channel: Option<&str>, on: bool) {
        if let Some(block) = &mut self.block {
            block.after_commit.listen.push((channel.map(str::to_owned), on));
        }
    }

    pub(super) fn notify(&mut self, channel: &str, payload: &str) -> SqlResult<()> {
        if channel.is_empty() {
            return Err(SqlError::new("22023", "channel name cannot be empty"));
        }
        if channel.len() >= 64 {
            return Err(SqlError::new("22023", "channel name too long"));
        }
        if payload.len() >= 8000 {
            return Err(SqlError::new("22023", "payload string too long"));
        }
        if let Some(block) = &mut self.block {
            let entry = (channel.to_owned(), payload.to_owned());
            if !block.after_commit.notify.contains(&entry) {
                block.after_commit.notify.push(entry);
            }
        }
        Ok(())
    }

    /// The transaction has committed.
    pub(super) fn carry_out(&mut self, after: &AfterEnd) {
        let (id, channels) = (self.state.id, &self.server.channels);
        for (channel, on) in &after.listen {
            match (channel, on) {
                (Some(channel), true) => {
                    self.ear.listens = true;
                    channels.listen(id, channel, self.ear.send.clone());
                }
                (channel, _) => channels.unlisten(id, channel.as_deref()),
            }
        }
        for (channel, payload) in &after.notify {
            channels.send(Notification { sender: id, channel: channel.clone(), payload: payload.clone() });
        }
    }

    pub(super) fn stop_listening(&mut self) {
        if std::mem::take(&mut self.ear.listens) {
            self.server.channels.unlisten(self.state.id, None);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop_listening();
        self.state.advisory.clone().close(self.server.clone());
        self.server.sessions.remove(self.state.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_listen_hear() {
        let channels = Channels::default();
        let (mut a, mut b) = (Ear::new(), Ear::new());
        channels.listen(1, "news", a.send.clone());
        channels.listen(2, "news", b.send.clone());
        channels.unlisten(2, None);
        let note = Notification { sender: 3, channel: "news".into(), payload: "x".into() };
        channels.send(note.clone());
        assert_eq!(a.receive.try_recv().ok(), Some(note));
        assert!(b.receive.try_recv().is_err());
        channels.unlisten(1, Some("news"));
        assert!(channels.listeners.lock().is_empty());
    }
}
