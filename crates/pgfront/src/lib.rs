//! # The PostgreSQL wire protocol
//!
//! One [`Front`] per node, one [`Front::serve`] per connection. It speaks protocol 3.0 (3.2 is negotiated
//! down) over any byte stream and turns messages into calls of [`sql::session`].
//!
//! ```text
//! socket ─ wire.rs ─ frontend.rs (decode) ─ connection.rs (the loop) ─ sql::session
//!                    backend.rs (encode)  ─ output.rs (rows while they are made)
//! ```
//!
//! ## What the loop guarantees
//! * Answers are gathered and written once per turn: a prepared point select is one read and one write.
//! * Rows go out while they are made. A client that reads slowly holds its statement up, not the node's memory.
//! * While a statement runs the socket is watched: a client that went away ends it.
//! * A message is decoded only inside its own length, every count and string is checked, and memory is taken
//!   for bytes that have arrived, never for bytes that a length field promises.
//!
//! pgwire supplies the constants and secrets of the protocol; the decoder of client messages is ours, because
//! pgwire's reads past the end of a message and lets invalid UTF-8 through (docs/decisions/0002-wire-decoder.md).

mod backend;
mod cancel;
mod connection;
mod frontend;
mod output;
mod startup;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use env::{Env, Places};
use sql::session::Server;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::cancel::Cancels;

/// Limits of the wire; the defaults are PostgreSQL's where it has one.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sessions at once; the next one gets 53300.
    pub sessions: usize,
    /// Connections without a session yet; beyond that the oldest is closed.
    pub newcomers: usize,
    /// Everything before the session is up.
    pub authentication: Duration,
    /// Bytes of one message, and of what a client may send ahead while a statement runs.
    pub message_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            sessions: 500,
            newcomers: 1_000,
            authentication: Duration::from_secs(60),
            message_bytes: (1 << 30) - 1,
        }
    }
}

/// What all connections of a node share.
pub struct Front {
    env: Env,
    server: Arc<Server>,
    limits: Limits,
    cancels: Cancels,
    newcomers: Places,
    connections: AtomicUsize,
    sessions: AtomicUsize,
}

impl Front {
    pub fn new(env: Env, server: Arc<Server>, limits: Limits) -> Arc<Front> {
        let newcomers = Places::new(limits.newcomers);
        Arc::new(Front {
            env,
            server,
            limits,
            cancels: Cancels::default(),
            newcomers,
            connections: AtomicUsize::default(),
            sessions: AtomicUsize::default(),
        })
    }

    /// Serves one connection to its end. Errors of the connection are the client's business: they are told to it where
    /// possible and end here.
    pub async fn serve<S>(self: &Arc<Self>, stream: S, client_address: Option<std::net::SocketAddr>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let _counted = Counted::among(&self.connections);
        startup::serve(self, stream, client_address).await;
    }

    /// Ends every session with 57P01 where a statement runs or the next one begins: the node stops.
    pub fn terminate_all(&self) {
        self.cancels.terminate_all();
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// One of a count, until it is dropped.
pub(crate) struct Counted<'a>(&'a AtomicUsize);

impl Counted<'_> {
    fn among(count: &AtomicUsize) -> Counted<'_> {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(count)
    }

    /// Nobody, if there are as many already.
    fn among_at_most(count: &AtomicUsize, max: usize) -> Option<Counted<'_>> {
        let counted = Counted(count);
        // Dropped where there is no room: what was added is taken away again.
        (count.fetch_add(1, Ordering::Relaxed) < max).then_some(counted)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
