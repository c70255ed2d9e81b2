//! The answering side of every connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt};
use keyspace::NodeId;
use tonic::{Status, Streaming};

use super::Shared;
use super::greeting::Acquaintance;
use super::proto::frame::Content;
use super::proto::peer_server::Peer;
use super::proto::{Answer, Frame, Greeting, Question};
use crate::batch::{self, Frames, Kind, Outbox};
use crate::codec::DecodeError;
use crate::network::is_open_to_strangers;
use crate::{Request, Response, codec};

/// Bytes of a question from someone we do not know.
const QUESTION_BYTES_MAX: usize = 64 << 10;

/// A peer that connects has this long to say who it is.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

pub struct Acceptor {
    shared: Arc<Shared>,
}

/// Our greeting, then batches.
pub struct FrameStream {
    greeting: Option<Greeting>,
    batches: Frames,
}

impl Stream for FrameStream {
    type Item = Result<Frame, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let content = match self.greeting.take() {
            Some(greeting) => Poll::Ready(Some(Content::Greeting(greeting))),
            None => self.batches.poll_next_unpin(cx).map(|batch| batch.map(Content::Batch)),
        };
        content.map(|content| content.map(|content| Ok(Frame { content: Some(content) })))
    }
}

#[tonic::async_trait]
impl Peer for Acceptor {
    type RequestsStream = FrameStream;
    type RaftStream = FrameStream;

    async fn requests(&self, stream: tonic::Request<Streaming<Frame>>) -> Result<tonic::Response<FrameStream>, Status> {
        let mut incoming = stream.into_inner();
        let peer = self.greeted(&mut incoming).await?;
        let (outbox, answers) = self.answers(peer);
        let shared = self.shared.clone();
        self.shared.scheduler.spawn("rpc requests", async move {
            while let Some(batch) = next_batch(&shared, &mut incoming).await {
                if let Err(error) = answer_batch(&shared, peer, &outbox, batch) {
                    tracing::warn!(peer = %peer.peer, %error, "a batch that cannot be read");
                    break;
                }
            }
            // Requests that are still at work push into a closed outbox: their caller is gone.
            outbox.close();
        });
        Ok(tonic::Response::new(answers))
    }

    async fn raft(&self, stream: tonic::Request<Streaming<Frame>>) -> Result<tonic::Response<FrameStream>, Status> {
        let mut incoming = stream.into_inner();
        let peer = self.greeted(&mut incoming).await?;
        let (outbox, answers) = self.answers(peer);
        let shared = self.shared.clone();
        self.shared.scheduler.spawn("rpc raft", async move {
            while let Some(batch) = next_batch(&shared, &mut incoming).await {
                if let Err(error) = deliver_raft(&shared, peer.peer, batch) {
                    tracing::warn!(peer = %peer.peer, %error, "a batch that cannot be read");
                    break;
                }
            }
            outbox.close();
        });
        Ok(tonic::Response::new(answers))
    }

    async fn ask(&self, question: tonic::Request<Question>) -> Result<tonic::Response<Answer>, Status> {
        let Question { greeting, request } = question.into_inner();
        let identity = self.shared.identity();
        let greeting = greeting.ok_or_else(|| Status::failed_precondition("it did not greet"))?;
        let known = identity.accept(&greeting).map_err(Status::failed_precondition)?;
        if request.len() > QUESTION_BYTES_MAX {
            return Err(Status::failed_precondition("the question is too large"));
        }
        let request = codec::decode_request(request).map_err(|error| Status::failed_precondition(error.to_string()))?;
        if !is_open_to_strangers(&request) {
            return Err(Status::failed_precondition("strangers may not ask this"));
        }
        let service = self.shared.service().ok_or_else(|| Status::unavailable("the node is not ready"))?;
        let response = service.call(known.peer, request).await;
        let greeting = Some(identity.greeting(known.peer));
        Ok(tonic::Response::new(Answer { greeting, response: codec::encode_response(&response) }))
    }
}

impl Acceptor {
    pub fn new(shared: Arc<Shared>) -> Acceptor {
        Acceptor { shared }
    }

    async fn greeted(&self, incoming: &mut Streaming<Frame>) -> Result<Acquaintance, Status> {
        let first = self.shared.scheduler.timeout(GREETING_TIMEOUT, incoming.message()).await;
        let first = first.ok_or_else(|| Status::deadline_exceeded("it did not greet in time"))??;
        let Some(Frame { content: Some(Content::Greeting(greeting)) }) = first else {
            return Err(Status::failed_precondition("it did not greet"));
        };
        self.shared.identity().accept_node(&greeting).map_err(|why| {
            tracing::warn!(peer = greeting.node, why, "refused a peer");
            Status::failed_precondition(why)
        })
    }

    fn answers(&self, to: Acquaintance) -> (Arc<Outbox>, FrameStream) {
        let outbox = Arc::new(Outbox::default());
        let greeting = Some(self.shared.identity().greeting(to.peer));
        (outbox.clone(), FrameStream { greeting, batches: Frames(outbox) })
    }
}

/// `None` when the connection or the network has ended, or what came is no batch.
async fn next_batch(shared: &Shared, incoming: &mut Streaming<Frame>) -> Option<Bytes> {
    let frame = tokio::select! {
        biased;
        () = shared.closed() => return None,
        frame = incoming.message() => frame.ok()??,
    };
    match frame.content {
        Some(Content::Batch(batch)) => Some(batch),
        Some(Content::Greeting(_)) | None => None,
    }
}

fn answer_batch(
    shared: &Shared,
    peer: Acquaintance,
    outbox: &Arc<Outbox>,
    mut batch: Bytes,
) -> Result<(), DecodeError> {
    while let Some(message) = batch::take_message(&mut batch)? {
        if message.kind != Kind::Request {
            return Err(DecodeError::Invalid("a request was expected"));
        }
        match codec::decode_request(message.body) {
            Ok(request) => answer(shared, peer, outbox, message.id, request),
            Err(error) => {
                let _peer_is_gone = outbox.push_refusal(message.id, &error.to_string());
            }
        }
    }
    Ok(())
}

/// What the oracle and the registry answer from memory is answered in place; everything else gets a task of
/// its own, so that a slow request does not hold up those behind it.
fn answer(shared: &Shared, peer: Acquaintance, outbox: &Arc<Outbox>, id: u64, request: Request) {
    let Some(service) = shared.service() else {
        let _peer_is_gone = outbox.push_refusal(id, "the node is not ready");
        return;
    };
    let is_cluster = matches!(request, Request::Cluster(_));
    let mut work = async move { service.call(peer.peer, request).await }.boxed();
    if is_cluster && let Some(response) = work.as_mut().now_or_never() {
        let _peer_is_gone = outbox.push(Kind::Response, id, &response, peer.version);
        return;
    }
    let outbox = outbox.clone();
    shared.scheduler.spawn("rpc request", async move {
        let response = work.await;
        send_response(&outbox, id, &response, peer.version).await;
    });
}

async fn send_response(outbox: &Outbox, id: u64, response: &Response, version: u8) {
    if let Err(batch::NotSent::TooLarge { bytes }) = outbox.push_when_room(Kind::Response, id, response, version).await
    {
        let _peer_is_gone = outbox.push_refusal(id, &format!("the answer of {bytes} bytes is too large"));
    }
}

fn deliver_raft(shared: &Shared, from: NodeId, mut batch: Bytes) -> Result<(), DecodeError> {
    let mut envelopes = Vec::new();
    while let Some(message) = batch::take_message(&mut batch)? {
        if message.kind != Kind::Raft {
            return Err(DecodeError::Invalid("a raft message was expected"));
        }
        envelopes.push(codec::decode_raft(message.body)?);
    }
    if let Some(service) = shared.service() {
        service.raft(from, envelopes);
    }
    Ok(())
}
