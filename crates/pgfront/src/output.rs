//! Rows on their way out: encoded into the connection's buffer as they are made.

use bytes::{BufMut, Bytes};
use env::BoxFuture;
use expr::{EvalContext, Row};
use sql::plan::Field;
use sql::session::{CopyFormat, Notice, Output};
use sql::{SqlError, SqlResult};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::backend::{self, Formats};
use crate::frontend::{self, Message};
use crate::wire::{Wire, WireError};

/// Bytes gathered before they are written while a statement is still producing.
const WRITE_BYTES: usize = 32 << 10;

pub(crate) struct SocketOutput<S> {
    wire: Wire<S>,
    buffer: Vec<u8>,
    /// Of the portal that runs; all text for simple queries.
    pub formats: Formats,
    /// Set when CopyIn ended without its CopyDone or CopyFail: the rest of it is skipped by the loop.
    pub copy_in: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> SocketOutput<S> {
    pub fn new(wire: Wire<S>) -> SocketOutput<S> {
        SocketOutput { wire, buffer: Vec::with_capacity(1024), formats: Formats::default(), copy_in: false }
    }

    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Writes everything gathered.
    pub async fn write(&mut self) -> Result<(), WireError> {
        if !self.buffer.is_empty() {
            self.wire.write(&mut self.buffer).await?;
        }
        Ok(())
    }

    async fn write_if_large(&mut self) -> SqlResult<()> {
        if self.buffer.len() >= WRITE_BYTES { self.write().await.map_err(client_gone) } else { Ok(()) }
    }

    fn put_row(&mut self, fields: &[Field], row: &Row, ctx: &EvalContext<'_>) -> SqlResult<()> {
        let out = &mut self.buffer;
        out.put_u8(b'D');
        let start = out.len();
        out.put_i32(0);
        out.put_u16(row.len() as u16);
        for (position, (value, field)) in row.iter().zip(fields).enumerate() {
            if value.is_null() {
                out.put_i32(-1);
                continue;
            }
            let at = out.len();
            out.put_i32(0);
            match self.formats.of(position) {
                0 => value.to_text_bytes(field.ty, ctx, out),
                1 => value.to_binary(field.ty, ctx, out)?,
                other => return Err(SqlError::new("22023", format!("unsupported format code: {other}"))),
            }
            let length = (out.len() - at - 4) as i32;
            out[at..at + 4].copy_from_slice(&length.to_be_bytes());
        }
        let length = i32::try_from(out.len() - start)
            .map_err(|_| SqlError::new("54000", "a row is larger than a message can be"))?;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

fn client_gone(_: WireError) -> SqlError {
    SqlError::new("08006", "connection to client lost")
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Output for SocketOutput<S> {
    fn fields(&mut self, fields: &[Field]) -> SqlResult<()> {
        backend::row_description(&mut self.buffer, fields, &self.formats);
        Ok(())
    }

    fn rows<'a>(
        &'a mut self,
        fields: &'a [Field],
        rows: &'a [Row],
        ctx: &'a EvalContext<'a>,
    ) -> BoxFuture<'a, SqlResult<()>> {
        Box::pin(async move {
            for row in rows {
                let before = self.buffer.len();
                if let Err(error) = self.put_row(fields, row, ctx) {
                    self.buffer.truncate(before);
                    return Err(error);
                }
                self.write_if_large().await?;
            }
            Ok(())
        })
    }

    fn complete(&mut self, tag: &str) -> SqlResult<()> {
        backend::command_complete(&mut self.buffer, tag);
        Ok(())
    }

    fn empty_query(&mut self) -> SqlResult<()> {
        backend::bare(&mut self.buffer, b'I');
        Ok(())
    }

    fn suspended(&mut self) -> SqlResult<()> {
        backend::bare(&mut self.buffer, b's');
        Ok(())
    }

    fn notice(&mut self, notice: &Notice) -> SqlResult<()> {
        backend::notice(&mut self.buffer, notice.severity, &notice.error);
        Ok(())
    }

    fn parameter(&mut self, name: &str, value: &str) -> SqlResult<()> {
        backend::parameter_status(&mut self.buffer, name, value);
        Ok(())
    }

    fn copy_in(&mut self, format: CopyFormat, columns: usize) -> BoxFuture<'_, SqlResult<()>> {
        Box::pin(async move {
            backend::copy_response(&mut self.buffer, b'G', format, columns);
            self.copy_in = true;
            self.write().await.map_err(client_gone)
        })
    }

    fn copy_data(&mut self) -> BoxFuture<'_, SqlResult<Option<Bytes>>> {
        Box::pin(async move {
            loop {
                let frame = match self.wire.frame().await {
                    Ok(frame) => frame,
                    Err(WireError::Gone) => return Err(client_gone(WireError::Gone)),
                    Err(WireError::Violation(violation)) => {
                        return Err(SqlError::new(violation.state, violation.message));
                    }
                };
                match frontend::decode(frame).map_err(|violation| SqlError::new(violation.state, violation.message))? {
                    Message::CopyData(data) => return Ok(Some(data)),
                    Message::CopyDone => {
                        self.copy_in = false;
                        return Ok(None);
                    }
                    Message::CopyFail { message } => {
                        self.copy_in = false;
                        return Err(SqlError::new("57014", format!("COPY from stdin failed: {message}")));
                    }
                    Message::Flush | Message::Sync => {}
                    _ => {
                        self.copy_in = false;
                        return Err(SqlError::new("08P01", "unexpected message type during COPY from stdin"));
                    }
                }
            }
        })
    }

    fn copy_out(&mut self, format: CopyFormat, columns: usize) -> SqlResult<()> {
        backend::copy_response(&mut self.buffer, b'H', format, columns);
        Ok(())
    }

    fn copy_out_data<'a>(&'a mut self, data: &'a [u8]) -> BoxFuture<'a, SqlResult<()>> {
        Box::pin(async move {
            backend::copy_data(&mut self.buffer, data);
            self.write_if_large().await
        })
    }

    fn copy_out_done(&mut self) -> SqlResult<()> {
        backend::bare(&mut self.buffer, b'c');
        Ok(())
    }

    fn flush(&mut self) -> BoxFuture<'_, SqlResult<()>> {
        Box::pin(async move { self.write().await.map_err(client_gone) })
    }
}
