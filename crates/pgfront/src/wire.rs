//! The byte stream of one connection with its input buffer, shared by the loop and by the statement that
//! runs in it.
//!
//! Both live in one task, so the lock around it is never contended; it is taken for one poll at a time
//! and never held across an await.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::frontend::{self, Frame, ProtocolViolation};

/// Bytes asked of the socket at a time.
const READ_BYTES: usize = 8 << 10;
/// Bytes of an output buffer that are kept between answers.
const KEEP_BYTES: usize = 64 << 10;

pub(crate) struct Wire<S>(Arc<Mutex<Shared<S>>>);

impl<S> Clone for Wire<S> {
    fn clone(&self) -> Wire<S> {
        Wire(Arc::clone(&self.0))
    }
}

struct Shared<S> {
    stream: S,
    input: BytesMut,
    message_bytes_max: usize,
}

/// Why there is no next message.
#[derive(Debug)]
pub(crate) enum WireError {
    /// The client closed the connection, or it broke.
    Gone,
    Violation(ProtocolViolation),
}

impl From<io::Error> for WireError {
    fn from(_: io::Error) -> WireError {
        WireError::Gone
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub fn new(stream: S, message_bytes_max: usize) -> Wire<S> {
        Wire(Arc::new(Mutex::new(Shared { stream, input: BytesMut::new(), message_bytes_max })))
    }

    /// The next message with a type byte.
    pub async fn frame(&self) -> Result<Frame, WireError> {
        poll_fn(|cx| self.0.lock().poll_frame(cx)).await
    }

    /// The next message if it has arrived whole.
    pub fn buffered_frame(&self) -> Result<Option<Frame>, WireError> {
        let mut shared = self.0.lock();
        let max = shared.message_bytes_max;
        frontend::take_frame(&mut shared.input, max).map_err(WireError::Violation)
    }

    /// The next message of the startup phase, which has no type byte: its body.
    pub async fn startup_frame(&self) -> Result<BytesMut, WireError> {
        poll_fn(|cx| {
            let mut shared = self.0.lock();
            loop {
                if let Some(body) = frontend::take_startup_frame(&mut shared.input).map_err(WireError::Violation)? {
                    return Poll::Ready(Ok(body));
                }
                ready!(shared.poll_fill(cx))?;
            }
        })
        .await
    }

    /// Has anything arrived that was not read yet?
    pub fn has_input(&self) -> bool {
        !self.0.lock().input.is_empty()
    }

    /// Is the next message a Sync, and here already?
    pub fn sync_is_next(&self) -> bool {
        self.0.lock().input.starts_with(&[b'S', 0, 0, 0, 4])
    }

    /// Ready when the client has gone. Takes in what it sends ahead, up to the limit of one message.
    pub async fn gone(&self) {
        poll_fn(|cx| {
            let mut shared = self.0.lock();
            loop {
                if shared.input.len() > shared.message_bytes_max {
                    return Poll::Pending;
                }
                match shared.poll_fill(cx) {
                    // The statement may be waiting for exactly this (COPY): it is polled before us.
                    Poll::Ready(Ok(())) => cx.waker().wake_by_ref(),
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }

    /// Writes all of `output` and empties it. Dropped half-way, when the statement's time is over or it is cancelled, it leaves in
    /// `output` what was not sent: the error goes behind that, and the client finds its place in the stream.
    pub async fn write(&self, output: &mut Vec<u8>) -> io::Result<()> {
        let mut sending = Sending { output: &mut *output, sent: 0 };
        while sending.sent < sending.output.len() {
            let rest = &sending.output[sending.sent..];
            let written = poll_fn(|cx| Pin::new(&mut self.0.lock().stream).poll_write(cx, rest)).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            sending.sent += written;
        }
        drop(sending);
        // A large answer does not leave its buffer behind for a connection's whole life.
        output.shrink_to(KEEP_BYTES);
        poll_fn(|cx| Pin::new(&mut self.0.lock().stream).poll_flush(cx)).await
    }

    pub async fn shutdown(&self) {
        let _client_may_be_gone = poll_fn(|cx| Pin::new(&mut self.0.lock().stream).poll_shutdown(cx)).await;
    }
}

/// Bytes on their way; those that are sent are taken out when this goes.
struct Sending<'o> {
    output: &'o mut Vec<u8>,
    sent: usize,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.output.drain(..self.sent);
    }
}

impl<S: AsyncRead + Unpin> Shared<S> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, WireError>> {
        loop {
            if let Some(frame) =
                frontend::take_frame(&mut self.input, self.message_bytes_max).map_err(WireError::Violation)?
            {
                return Poll::Ready(Ok(frame));
            }
            ready!(self.poll_fill(cx))?;
        }
    }

    /// Reads once. The buffer grows with what arrives, not with what a length field says.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        self.input.reserve(READ_BYTES);
        let mut buffer = ReadBuf::uninit(self.input.spare_capacity_mut());
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        let read = buffer.filled().len();
        if read == 0 {
            return Poll::Ready(Err(WireError::Gone));
        }
        // SAFETY: `poll_read` has initialised the first `read` bytes of the spare capacity.
        unsafe { self.input.set_len(self.input.len() + read) };
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_write_that_is_given_up_leaves_what_was_not_sent() {
        let (client, server) = tokio::io::duplex(10);
        let wire = Wire::new(server, 1000);
        let mut output: Vec<u8> = (0..25).collect();
        assert!(wire.write(&mut output).now_or_never().is_none(), "the pipe takes ten bytes");
        assert_eq!(output, (10..25).collect::<Vec<u8>>());
        output.push(25);
        let reading = async {
            let (mut client, mut read) = (client, Vec::new());
            while read.len() < 26 {
                client.read_buf(&mut read).await.expect("the pipe is open");
            }
            read
        };
        let (written, read) = tokio::join!(wire.write(&mut output), reading);
        written.expect("the pipe is open");
        assert_eq!(read, (0..26).collect::<Vec<u8>>());
        assert!(output.is_empty());
    }
}
