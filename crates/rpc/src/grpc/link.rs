//! The asking side of one class of traffic to one peer.
//!
//! ```text
//!   Idle ──call──► Connecting ──greeted──► Up ──connection ends──► Resting ──after a while──► Idle
//!                      └────────failed or refused──────────────────────▲
//! ```
//!
//! While it rests every call fails at once with what went wrong last, so a dead peer costs nobody a wait.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use keyspace::NodeId;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tonic::Streaming;

use super::proto::Frame;
use super::proto::frame::Content;
use super::proto::peer_client::PeerClient;
use super::{Class, Shared, endpoint, reason};
use crate::batch::{self, FRAME_BYTES_MAX, Frames, Kind, NotSent, Outbox};
use crate::{NetworkError, RaftEnvelope, Request, Response, codec};

const REST_MIN: Duration = Duration::from_millis(20);
const REST_MAX: Duration = Duration::from_secs(1);
const GREETING_TIMEOUT: Duration = Duration::from_secs(3);

pub struct Link {
    shared: Weak<Shared>,
    peer: NodeId,
    class: Class,
    state: watch::Sender<State>,
    next_rest: Mutex<Duration>,
}

#[derive(Clone)]
enum State {
    Idle,
    Connecting,
    Up(Arc<Connection>),
    Resting(NetworkError),
}

struct Connection {
    outbox: Arc<Outbox>,
    version: u8,
    ids: AtomicU64,
    /// Who waits for which answer. `None` when the connection has ended: nobody may begin to wait.
    waiting: Mutex<Option<BTreeMap<u64, oneshot::Sender<Answer>>>>,
}

enum Answer {
    Response(Bytes),
    Refusal(Bytes),
}

impl Link {
    pub fn new(shared: &Arc<Shared>, peer: NodeId, class: Class) -> Link {
        let (shared, state) = (Arc::downgrade(shared), watch::Sender::new(State::Idle));
        Link { shared, peer, class, state, next_rest: Mutex::new(REST_MIN) }
    }

    pub async fn call(self: &Arc<Self>, request: Request) -> Result<Response, NetworkError> {
        let unreachable = NetworkError::Unreachable(self.peer);
        let connection = self.connection().await?;
        let (id, answer) = connection.begin().ok_or(unreachable.clone())?;
        let _forget = Forget { connection: &connection, id };
        match connection.outbox.push_when_room(Kind::Request, id, &request, connection.version).await {
            Ok(()) => {}
            Err(NotSent::TooLarge { bytes }) => {
                return Err(self.refused(format!("a message of {bytes} bytes is too large")));
            }
            Err(NotSent::Closed | NotSent::Full) => return Err(unreachable),
        }
        match answer.await {
            Ok(Answer::Response(body)) => codec::decode(body).map_err(|error| self.refused(error.to_string())),
            Ok(Answer::Refusal(why)) => Err(self.refused(String::from_utf8_lossy(&why).into_owned())),
            Err(_) => Err(unreachable),
        }
    }

    /// Lost when the peer is not there or does not keep up; the first ones wait for the connection.
    pub fn send_raft(self: &Arc<Self>, envelope: &RaftEnvelope) {
        match self.start() {
            State::Up(connection) => {
                let _may_be_lost = connection.outbox.push(Kind::Raft, 0, envelope, connection.version);
            }
            State::Idle | State::Connecting | State::Resting(_) => {}
        }
    }

    fn refused(&self, why: String) -> NetworkError {
        NetworkError::Refused { node: self.peer, why }
    }

    /// The state now, after an idle link has begun to connect.
    fn start(self: &Arc<Self>) -> State {
        let now = self.state.borrow().clone();
        let State::Idle = now else {
            return now;
        };
        let is_ours = self.state.send_if_modified(|state| {
            let is_idle = matches!(state, State::Idle);
            if is_idle {
                *state = State::Connecting;
            }
            is_idle
        });
        if let (true, Some(shared)) = (is_ours, self.shared.upgrade()) {
            shared.scheduler.spawn("rpc link", self.clone().run());
        }
        self.state.borrow().clone()
    }

    async fn connection(self: &Arc<Self>) -> Result<Arc<Connection>, NetworkError> {
        let mut states = self.state.subscribe();
        loop {
            match self.start() {
                State::Up(connection) => return Ok(connection),
                State::Resting(error) => return Err(error),
                State::Idle | State::Connecting => {
                    let is_settled = |state: &State| !matches!(state, State::Connecting);
                    states.wait_for(is_settled).await.map_err(|_| NetworkError::Unreachable(self.peer))?;
                }
            }
        }
    }

    /// Connects, serves the connection to its end, rests. The rest is longer after each failure in a row.
    async fn run(self: Arc<Self>) {
        let (error, rest) = match self.connect().await {
            Ok((connection, incoming)) => {
                self.state.send_replace(State::Up(connection.clone()));
                self.serve(&connection, incoming).await;
                connection.end();
                (NetworkError::Unreachable(self.peer), REST_MIN)
            }
            Err(error) => (error, *self.next_rest.lock()),
        };
        tracing::debug!(peer = %self.peer, class = ?self.class, %error, "no connection");
        *self.next_rest.lock() = (rest * 2).min(REST_MAX);
        self.state.send_replace(State::Resting(error));
        let Some(scheduler) = self.shared.upgrade().map(|shared| shared.scheduler.clone()) else { return };
        scheduler.sleep(rest).await;
        self.state.send_replace(State::Idle);
    }

    async fn connect(&self) -> Result<(Arc<Connection>, Streaming<Frame>), NetworkError> {
        let unreachable = NetworkError::Unreachable(self.peer);
        let shared = self.shared.upgrade().ok_or(unreachable.clone())?;
        let (identity, scheduler) = (shared.identity(), shared.scheduler.clone());
        let address = shared.address_of(self.peer).ok_or(unreachable.clone())?;
        drop(shared);
        let endpoint = endpoint(&address).map_err(|error| self.refused(reason(&error)))?;
        let channel = endpoint.connect().await.map_err(|error| {
            tracing::debug!(peer = %self.peer, %address, error = reason(&error), "cannot connect");
            unreachable.clone()
        })?;
        let mut client =
            PeerClient::new(channel).max_decoding_message_size(FRAME_BYTES_MAX).max_encoding_message_size(usize::MAX);

        let outbox = Arc::new(Outbox::default());
        let greeting = Frame { content: Some(Content::Greeting(identity.greeting(self.peer))) };
        let batches = Frames(outbox.clone()).map(|batch| Frame { content: Some(Content::Batch(batch)) });
        let frames = futures::stream::iter([greeting]).chain(batches);
        let greet = async {
            let answer = match self.class {
                Class::Requests => client.requests(frames).await,
                Class::Raft | Class::RaftBulk => client.raft(frames).await,
            };
            let mut incoming = answer?.into_inner();
            let first = incoming.message().await?;
            Ok::<_, tonic::Status>((first, incoming))
        };
        let greeted = scheduler.timeout(GREETING_TIMEOUT, greet).await.ok_or(NetworkError::Timeout(self.peer))?;
        let (first, incoming) = greeted.map_err(|status| match status.code() {
            tonic::Code::FailedPrecondition => {
                tracing::warn!(peer = %self.peer, %address, why = status.message(), "a peer refused us");
                self.refused(status.message().to_owned())
            }
            _ => unreachable.clone(),
        })?;
        let Some(Frame { content: Some(Content::Greeting(greeting)) }) = first else {
            return Err(self.refused("it did not greet".into()));
        };
        let known = identity.accept_node(&greeting).map_err(|why| self.refused(why))?;
        if known.peer != self.peer {
            return Err(self.refused(format!("{} answers at {address}", known.peer)));
        }
        let connection = Connection {
            outbox,
            version: known.version,
            ids: AtomicU64::new(1),
            waiting: Mutex::new(Some(BTreeMap::new())),
        };
        Ok((Arc::new(connection), incoming))
    }

    /// Hands answers out until the connection ends or the network is closed.
    async fn serve(&self, connection: &Connection, mut incoming: Streaming<Frame>) {
        let Some(closed) = self.shared.upgrade().map(|shared| shared.closed()) else { return };
        let read = async {
            while let Ok(Some(frame)) = incoming.message().await {
                let Some(Content::Batch(batch)) = frame.content else { return };
                if connection.hand_out(batch).is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            () = closed => {}
            () = read => {}
        }
    }
}

impl Connection {
    fn begin(&self) -> Option<(u64, oneshot::Receiver<Answer>)> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let (send, receive) = oneshot::channel();
        self.waiting.lock().as_mut()?.insert(id, send);
        Some((id, receive))
    }

    fn hand_out(&self, mut batch: Bytes) -> Result<(), codec::DecodeError> {
        while let Some(message) = batch::take_message(&mut batch)? {
            let answer = match message.kind {
                Kind::Response => Answer::Response(message.body),
                Kind::Refusal => Answer::Refusal(message.body),
                Kind::Request | Kind::Raft => return Err(codec::DecodeError::Invalid("an answer was expected")),
            };
            let caller = self.waiting.lock().as_mut().and_then(|waiting| waiting.remove(&message.id));
            if let Some(caller) = caller {
                let _gave_up = caller.send(answer);
            }
        }
        Ok(())
    }

    /// Everyone who waits learns that no answer will come.
    fn end(&self) {
        self.outbox.close();
        drop(self.waiting.lock().take());
    }
}

/// Takes a caller off the list when it gives up.
struct Forget<'a> {
    connection: &'a Connection,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.connection.waiting.lock().as_mut() {
            waiting.remove(&self.id);
        }
    }
}
