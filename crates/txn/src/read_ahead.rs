//! A scan over several ranges asks the next ones while it still waits for the first.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};

use env::BoxFuture;
use keyspace::{Span, Timestamp};
use rpc::range::ReadReply;

use crate::TxnResult;

/// What a range answered; `None` if it turned out to be another one.
pub(crate) type Answer = TxnResult<Option<ReadReply>>;

/// Requests under way at once besides the one that is waited for.
const AHEAD_MAX: usize = 3;

/// In the order of the scan.
#[derive(Default)]
pub(crate) struct ReadAhead {
    open: VecDeque<Piece>,
}

struct Piece {
    span: Span,
    at: Timestamp,
    state: State,
}

enum State {
    Open(BoxFuture<'static, Answer>),
    There(Answer),
}

impl Piece {
    fn poll(&mut self, context: &mut Context<'_>) {
        if let State::Open(request) = &mut self.state
            && let Poll::Ready(answer) = request.as_mut().poll(context)
        {
            self.state = State::There(answer);
        }
    }
}

impl ReadAhead {
    pub fn has_room(&self) -> bool {
        self.open.len() < AHEAD_MAX
    }

    /// The last span that was asked for.
    pub fn last(&self) -> Option<&Span> {
        self.open.back().map(|piece| &piece.span)
    }

    pub fn push(&mut self, span: Span, at: Timestamp, request: BoxFuture<'static, Answer>) {
        self.open.push_back(Piece { span, at, state: State::Open(request) });
    }

    /// The answer for exactly `span` at `at`, if it was asked for. Anything asked for before it is no longer wanted.
    pub async fn take(&mut self, span: &Span, at: Timestamp) -> Option<Answer> {
        let position = self.open.iter().position(|piece| piece.span == *span && piece.at == at)?;
        self.open.drain(..position);
        let Piece { state, .. } = self.open.pop_front()?;
        Some(match state {
            State::There(answer) => answer,
            State::Open(request) => self.alongside(request).await,
        })
    }

    /// Waits for `request`, and lets the others get on meanwhile.
    pub async fn alongside(&mut self, request: impl Future<Output = Answer>) -> Answer {
        if self.open.is_empty() {
            return request.await;
        }
        let mut request = pin!(request);
        poll_fn(|context| {
            self.open.iter_mut().for_each(|piece| piece.poll(context));
            request.as_mut().poll(context)
        })
        .await
    }
}
