//! Many messages in one frame of a stream.
//!
//! One gRPC message costs tens of microseconds on each side, whatever its size; so whoever has something
//! to say appends it to the stream's [`Outbox`], and when the connection can take more, everything that
//! gathered there leaves as one frame. Nobody waits for a batch to fill: an idle stream sends a single
//! message at once.
//!
//! ```text
//! batch   = message …
//! message = u32 length of what follows · u8 kind · u64 id · body        little-endian
//! ```
//!
//! The id ties an answer to its question. The body of a request, response or raft message is described in
//! [`crate::codec`]; that of a refusal is a text: the receiver could not decode the request.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use futures::Stream;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::codec::{self, DecodeError, Wire};

/// Bytes of one message at most. A range's log entries and pages of rows are far smaller.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A frame is closed when it has grown to this; one frame is at most this and one message.
const FRAME_BYTES: usize = 256 << 10;

/// What may wait in an outbox before senders have to wait (requests) or lose (raft messages).
const OUTBOX_BYTES_MAX: usize = 64 << 20;

pub const FRAME_BYTES_MAX: usize = FRAME_BYTES + MESSAGE_BYTES_MAX + 1024;

const HEADER_BYTES: usize = 4 + 1 + 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Request = 1,
    Response = 2,
    Refusal = 3,
    Raft = 4,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    pub kind: Kind,
    pub id: u64,
    pub body: Bytes,
}

/// Cuts the first message off a batch; `None` at its end.
pub fn take_message(batch: &mut Bytes) -> Result<Option<Message>, DecodeError> {
    if batch.is_empty() {
        return Ok(None);
    }
    if batch.len() < HEADER_BYTES {
        return Err(DecodeError::Truncated);
    }
    let len = batch.get_u32_le() as usize;
    if len < HEADER_BYTES - 4 || len > batch.len() {
        return Err(DecodeError::Truncated);
    }
    let mut message = batch.split_to(len);
    let kind = match message.get_u8() {
        1 => Kind::Request,
        2 => Kind::Response,
        3 => Kind::Refusal,
        4 => Kind::Raft,
        tag => return Err(DecodeError::UnknownVariant { of: "Kind", tag }),
    };
    let id = message.get_u64_le();
    Ok(Some(Message { kind, id, body: message }))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// The stream is gone.
    Closed,
    /// Too much is waiting already.
    Full,
    TooLarge {
        bytes: usize,
    },
}

/// What is to leave on one stream.
#[derive(Debug, Default)]
pub struct Outbox {
    state: Mutex<State>,
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    closed_frames: VecDeque<Bytes>,
    open_frame: Vec<u8>,
    /// Bytes of all frames.
    bytes: usize,
    stream: Option<Waker>,
    closed: bool,
}

impl Outbox {
    pub fn push(&self, kind: Kind, id: u64, body: &impl Wire, version: u8) -> Result<(), NotSent> {
        self.append(kind, id, |bytes| codec::encode_into(body, version, bytes))
    }

    pub fn push_refusal(&self, id: u64, why: &str) -> Result<(), NotSent> {
        self.append(Kind::Refusal, id, |bytes| bytes.extend_from_slice(why.as_bytes()))
    }

    /// As `push`, and waits while the outbox is full.
    pub async fn push_when_room(&self, kind: Kind, id: u64, body: &impl Wire, version: u8) -> Result<(), NotSent> {
        loop {
            let room = self.room.notified();
            match self.push(kind, id, body, version) {
                Err(NotSent::Full) => room.await,
                sent => return sent,
            }
        }
    }

    /// Nothing more goes in; what is in still leaves.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        if let Some(stream) = state.stream.take() {
            stream.wake();
        }
        drop(state);
        self.room.notify_waiters();
    }

    fn append(&self, kind: Kind, id: u64, body: impl FnOnce(&mut Vec<u8>)) -> Result<(), NotSent> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(NotSent::Closed);
        }
        if state.bytes > OUTBOX_BYTES_MAX {
            return Err(NotSent::Full);
        }
        let frame = &mut state.open_frame;
        let start = frame.len();
        frame.extend_from_slice(&[0; 4]);
        frame.push(kind as u8);
        frame.extend_from_slice(&id.to_le_bytes());
        body(frame);
        let added = frame.len() - start;
        if added > MESSAGE_BYTES_MAX {
            frame.truncate(start);
            return Err(NotSent::TooLarge { bytes: added });
        }
        let len = u32::try_from(added - 4).expect("the longest message is below 4 GiB");
        frame[start..start + 4].copy_from_slice(&len.to_le_bytes());
        if frame.len() >= FRAME_BYTES {
            let frame = std::mem::take(&mut state.open_frame);
            state.closed_frames.push_back(frame.into());
        }
        state.bytes += added;
        let stream = state.stream.take();
        drop(state);
        if let Some(stream) = stream {
            stream.wake();
        }
        Ok(())
    }

    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.state.lock();
        let frame = match state.closed_frames.pop_front() {
            Some(frame) => frame,
            None if !state.open_frame.is_empty() => std::mem::take(&mut state.open_frame).into(),
            None if state.closed => return Poll::Ready(None),
            None => {
                state.stream = Some(cx.waker().clone());
                return Poll::Pending;
            }
        };
        let was_full = state.bytes > OUTBOX_BYTES_MAX;
        state.bytes -= frame.len();
        drop(state);
        if was_full {
            self.room.notify_waiters();
        }
        Poll::Ready(Some(frame))
    }
}

/// The batches of an outbox. Dropping it closes the outbox: the connection is gone.
#[derive(Debug)]
pub struct Frames(pub Arc<Outbox>);

impl Stream for Frames {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.0.poll_frame(cx)
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, StreamExt};
    use proptest::prelude::*;

    fn messages(mut batch: Bytes) -> Vec<(Kind, u64, Bytes)> {
        let mut found = Vec::new();
        while let Some(message) = take_message(&mut batch).unwrap() {
            found.push((message.kind, message.id, message.body));
        }
        found
    }

    #[test]
    fn what_gathers_leaves_as_one_frame() {
        let outbox = Arc::new(Outbox::default());
        let mut frames = Frames(outbox.clone());
        assert!(frames.next().now_or_never().is_none());
        outbox.push_refusal(7, "no").unwrap();
        outbox.push(Kind::Request, 8, &Bytes::from_static(b"ab"), 1).unwrap();
        let batch = frames.next().now_or_never().unwrap().unwrap();
        let expected = [
            (Kind::Refusal, 7, Bytes::from_static(b"no")),
            (Kind::Request, 8, Bytes::from_static(&[1, 2, b'a', b'b'])),
        ];
        assert_eq!(messages(batch), expected);
        drop(frames);
        assert_eq!(outbox.push_refusal(9, ""), Err(NotSent::Closed));
    }

    #[test]
    fn a_full_outbox_takes_no_more_until_a_frame_has_left() {
        let outbox = Arc::new(Outbox::default());
        let mut frames = Frames(outbox.clone());
        let large = Bytes::from(vec![0; 33 << 20]);
        outbox.push(Kind::Request, 1, &large, 1).unwrap();
        outbox.push(Kind::Request, 2, &large, 1).unwrap();
        assert_eq!(outbox.push_refusal(3, ""), Err(NotSent::Full));
        frames.next().now_or_never().unwrap().unwrap();
        outbox.push_refusal(4, "").unwrap();
        let too_large = Bytes::from(vec![0; MESSAGE_BYTES_MAX]);
        assert!(matches!(outbox.push(Kind::Request, 5, &too_large, 1), Err(NotSent::TooLarge { .. })));
        frames.next().now_or_never().unwrap().unwrap();
        assert_eq!(messages(frames.next().now_or_never().unwrap().unwrap()), [(Kind::Refusal, 4, Bytes::new())]);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut batch = Bytes::from(bytes);
            while let Ok(Some(_)) = take_message(&mut batch) {}
        }
    }
}
