//! The loop of one connection: a message in, its answer into the buffer, everything written when nothing more
//! is waiting to be read.
//!
//! A failed message of the extended protocol is answered at once, and everything up to the next Sync is skipped. What the
//! client sends ahead (a pipeline) is answered in order; answers are written when its input is used up, so that
//! a batch of a thousand messages costs a few system calls.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use expr::Oid;
use futures::FutureExt;
use sql::session::{Session, TransactionStatus};
use sql::{Severity, SqlError, SqlResult};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::Front;
use crate::backend::{self, Formats};
use crate::frontend::{self, Bind, Message};
use crate::output::SocketOutput;
use crate::wire::{Wire, WireError};

struct Connection<'a, S> {
    front: &'a Front,
    wire: &'a Wire<S>,
    session: Session,
    out: SocketOutput<S>,
    /// Result formats of open portals, by name.
    formats: BTreeMap<String, Formats>,
    /// An extended-protocol message failed: skip until Sync.
    skipping: bool,
}

/// What the loop does next.
#[derive(PartialEq, Eq)]
enum Next {
    Go,
    /// Write what is gathered even if more input waits.
    Write,
    End,
}

pub(crate) async fn run<S>(front: &Arc<Front>, wire: &Wire<S>, session: Session, greeting: Vec<u8>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut out = SocketOutput::new(wire.clone());
    out.buffer().extend_from_slice(&greeting);
    let mut connection = Connection { front, wire, session, out, formats: BTreeMap::new(), skipping: false };
    connection.ready();
    // A statement that panics ends its session, not the node.
    let ended = AssertUnwindSafe(connection.serve()).catch_unwind().await;
    if ended.is_err() {
        tracing::error!("a session ended by a panic");
        let mut error = SqlError::new("XX000", "internal error: the session ends here")
            .with_hint("Please report it; the server log has the place.");
        error.0.severity = Severity::Fatal;
        backend::error(connection.out.buffer(), &error);
        let _client_may_be_gone = connection.out.write().await;
    }
    connection.session.close().await;
}

impl<S> Connection<'_, S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    async fn serve(&mut self) {
        loop {
            let frame = match self.next_frame().await {
                Ok(Some(frame)) => frame,
                Ok(None) => continue,
                Err(WireError::Gone) => return,
                Err(WireError::Violation(violation)) => {
                    return self.die(SqlError::new(violation.state, violation.message)).await;
                }
            };
            let is_query = frame.kind == b'Q';
            let next = match frontend::decode(frame) {
                Ok(message) => self.handle(message).await,
                // No Sync follows a simple query.
                Err(violation) if violation.state == "22021" && is_query && !self.skipping => {
                    self.session.fail().await;
                    self.fail_simple(SqlError::new(violation.state, violation.message));
                    self.sync().await
                }
                Err(violation) if violation.state == "22021" => {
                    self.fail(SqlError::new(violation.state, violation.message)).await
                }
                Err(violation) => return self.die(SqlError::new(violation.state, violation.message)).await,
            };
            match next {
                Next::Go => {}
                Next::Write => {
                    if self.out.write().await.is_err() {
                        return;
                    }
                }
                Next::End => {
                    let _client_may_be_gone = self.out.write().await;
                    return;
                }
            }
        }
    }

    /// The next message; writes the gathered answers first when it has to be waited for. `None`: look again.
    async fn next_frame(&mut self) -> Result<Option<frontend::Frame>, WireError> {
        if let Some(frame) = self.wire.buffered_frame()? {
            return Ok(Some(frame));
        }
        self.out.write().await?;
        match self.session.idle_limit() {
            None => self.frame_or_notification().await,
            Some((limit, error)) => {
                let env = self.front.env.clone();
                match env.timeout(limit, self.frame_or_notification()).await {
                    Some(frame) => frame,
                    None => {
                        self.die(error).await;
                        Err(WireError::Gone)
                    }
                }
            }
        }
    }

    /// What the client says next, or `None` when it is to be told of a notification first. Inside a transaction block it
    /// hears of them at its end.
    async fn frame_or_notification(&mut self) -> Result<Option<frontend::Frame>, WireError> {
        if self.session.status() != TransactionStatus::Idle {
            return self.wire.frame().await.map(Some);
        }
        tokio::select! {
            biased;
            frame = self.wire.frame() => frame.map(Some),
            notification = self.session.next_notification() => {
                backend::notification(self.out.buffer(), &notification);
                Ok(None)
            }
        }
    }

    async fn handle(&mut self, message: Message) -> Next {
        if self.skipping && !matches!(message, Message::Sync | Message::Terminate) {
            return Next::Go;
        }
        match message {
            Message::Query { text } => self.query(text).await,
            Message::Sync => self.sync().await,
            Message::Terminate => Next::End,
            Message::Flush => Next::Write,
            // What is left of a COPY that failed before its end.
            Message::CopyData(_) | Message::CopyDone | Message::CopyFail { .. } => Next::Go,
            Message::Password(_) => self.end(SqlError::new("08P01", "unexpected password message")),
            Message::FunctionCall => {
                let next = self.fail_simple(SqlError::not_supported("the fast-path function call protocol"));
                self.ready();
                next
            }
            Message::Parse { name, text, types } => {
                let result =
                    watch(self.wire, self.session.parse(&name, &text, &types.into_iter().map(Oid).collect::<Vec<_>>()))
                        .await;
                self.answer(result, b'1').await
            }
            Message::Bind(bind) => {
                let result = self.bind(bind).await;
                self.answer(result, b'2').await
            }
            Message::Describe { portal: false, name } => self.describe_statement(&name).await,
            Message::Describe { portal: true, name } => self.describe_portal(&name).await,
            Message::Execute { portal, rows_max } => self.execute(&portal, rows_max).await,
            Message::Close { portal, name } => {
                if portal {
                    self.formats.remove(&name);
                    self.session.close_portal(&name);
                } else {
                    self.session.close_statement(&name);
                }
                self.answer(Ok(()), b'3').await
            }
        }
    }

    async fn query(&mut self, text: String) -> Next {
        self.out.formats = Formats::default();
        let result = watch(self.wire, self.session.simple(&text, &mut self.out)).await;
        if let Err(error) = result {
            backend::error(self.out.buffer(), &error);
            if error.0.severity == Severity::Fatal {
                return Next::End;
            }
        }
        self.out.copy_in = false;
        self.ready();
        Next::Go
    }

    async fn bind(&mut self, bind: Bind) -> SqlResult<()> {
        let Bind { portal, statement, parameter_formats, parameters, result_formats } = bind;
        self.session.bind(&portal, &statement, parameters, &parameter_formats).await?;
        if result_formats.len() > 1 {
            let columns = self.session.describe_portal(&portal).await?.map_or(0, |fields| fields.len());
            if result_formats.len() != columns {
                self.session.close_portal(&portal);
                let message =
                    format!("bind message has {} result formats but query has {columns} columns", result_formats.len());
                return Err(SqlError::new("08P01", message));
            }
        }
        self.formats.insert(portal, Formats(result_formats));
        Ok(())
    }

    async fn describe_statement(&mut self, name: &str) -> Next {
        match self.session.describe_statement(name).await {
            Ok((types, fields)) => {
                let types: Vec<u32> = types.iter().map(|oid| oid.0).collect();
                backend::parameter_description(self.out.buffer(), &types);
                match fields {
                    Some(fields) => backend::row_description(self.out.buffer(), &fields, &Formats::default()),
                    None => backend::bare(self.out.buffer(), b'n'),
                }
                Next::Go
            }
            Err(error) => self.fail(error).await,
        }
    }

    async fn describe_portal(&mut self, name: &str) -> Next {
        match self.session.describe_portal(name).await {
            Ok(Some(fields)) => {
                let formats = self.formats.get(name).cloned().unwrap_or_default();
                backend::row_description(self.out.buffer(), &fields, &formats);
                Next::Go
            }
            Ok(None) => {
                backend::bare(self.out.buffer(), b'n');
                Next::Go
            }
            Err(error) => self.fail(error).await,
        }
    }

    async fn execute(&mut self, portal: &str, rows_max: u32) -> Next {
        self.out.formats = self.formats.get(portal).cloned().unwrap_or_default();
        if self.wire.sync_is_next() {
            self.session.sync_follows();
        }
        match watch(self.wire, self.session.execute(portal, rows_max, &mut self.out)).await {
            Ok(()) => Next::Go,
            Err(error) => self.fail(error).await,
        }
    }

    async fn sync(&mut self) -> Next {
        self.skipping = false;
        if let Err(error) = watch(self.wire, self.session.sync(&mut self.out)).await {
            backend::error(self.out.buffer(), &error);
        }
        self.ready();
        Next::Go
    }

    async fn answer(&mut self, result: SqlResult<()>, kind: u8) -> Next {
        match result {
            Ok(()) => {
                backend::bare(self.out.buffer(), kind);
                Next::Go
            }
            Err(error) => self.fail(error).await,
        }
    }

    /// A message of the extended protocol failed: its error is written at once, the rest up to Sync is skipped.
    async fn fail(&mut self, error: SqlError) -> Next {
        self.skipping = true;
        self.session.fail().await;
        self.fail_simple(error)
    }

    fn fail_simple(&mut self, error: SqlError) -> Next {
        backend::error(self.out.buffer(), &error);
        if error.0.severity == Severity::Fatal { Next::End } else { Next::Write }
    }

    fn end(&mut self, mut error: SqlError) -> Next {
        error.0.severity = Severity::Fatal;
        backend::error(self.out.buffer(), &error);
        Next::End
    }

    async fn die(&mut self, error: SqlError) {
        self.end(error);
        let _client_may_be_gone = self.out.write().await;
    }

    fn ready(&mut self) {
        let status = self.session.status();
        if status == TransactionStatus::Idle {
            for notification in self.session.take_notifications() {
                backend::notification(self.out.buffer(), &notification);
            }
        }
        backend::ready_for_query(self.out.buffer(), status);
    }
}

/// Runs a statement while watching for the client to go away. The statement is polled first, so that one that finishes at
/// once never touches the socket here.
async fn watch<S, T>(wire: &Wire<S>, statement: impl Future<Output = SqlResult<T>>) -> SqlResult<T>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    tokio::select! {
        biased;
        result = statement => result,
        () = wire.gone() => {
            let mut error = SqlError::new("08006", "connection to client lost");
            error.0.severity = Severity::Fatal;
            Err(error)
        }
    }
}
