//! From the first byte to the first ReadyForQuery, within one deadline.
//!
//! At most one SSLRequest and one GSSENCRequest are answered (both with "no": transport encryption is not
//! offered yet), in a loop, not by recursion. Bytes that arrive together with such a request are an attack on the
//! encryption that would follow and end the connection.

use std::sync::Arc;

use bytes::{Buf, BytesMut};
use sql::session::{Session, Startup};
use sql::{Severity, SqlError, SqlResult};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::backend;
use crate::connection;
use crate::wire::{Wire, WireError};
use crate::{Counted, Front};

const CANCEL: u32 = 1234 << 16 | 5678;
const SSL: u32 = 1234 << 16 | 5679;
const GSSENC: u32 = 1234 << 16 | 5680;

pub(crate) async fn serve<S>(front: &Arc<Front>, stream: S, client_address: Option<std::net::SocketAddr>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let wire = Wire::new(stream, front.limits.message_bytes);
    let started = async {
        tokio::select! {
            biased;
            started = front.env.timeout(front.limits.authentication, start(front, &wire, client_address)) => started,
            () = front.newcomers.take() => None,
        }
    };
    let Some(Ok(Some((session, mut greeting, _counted)))) = started.await else {
        wire.shutdown().await;
        return;
    };
    let process = session.id();
    let secret = front.env.random_u64() as u32;
    front.cancels.add(process, secret, session.cancel_handle());
    backend::backend_key_data(&mut greeting, process, secret);
    connection::run(front, &wire, session, greeting).await;
    front.cancels.remove(process);
    wire.shutdown().await;
}

/// The session and the greeting that tells of it; nothing where the connection was about something else or is over.
async fn start<'f, S>(
    front: &'f Arc<Front>,
    wire: &Wire<S>,
    client_address: Option<std::net::SocketAddr>,
) -> Result<Option<(Session, Vec<u8>, Counted<'f>)>, WireError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut out = Vec::new();
    let packet = match first_packet(front, wire, &mut out).await {
        Ok(Some(packet)) => packet,
        Ok(None) => return Ok(None),
        Err(WireError::Violation(violation)) => {
            backend::error(&mut out, &fatal(SqlError::new(violation.state, violation.message)));
            wire.write(&mut out).await?;
            return Ok(None);
        }
        Err(WireError::Gone) => return Err(WireError::Gone),
    };
    match open(front, packet, client_address, &mut out).await {
        Ok((session, counted)) => Ok(Some((session, out, counted))),
        Err(error) => {
            out.clear();
            backend::error(&mut out, &fatal(error));
            wire.write(&mut out).await?;
            Ok(None)
        }
    }
}

fn fatal(mut error: SqlError) -> SqlError {
    error.0.severity = Severity::Fatal;
    error
}

/// The startup packet, after requests for encryption were answered. A CancelRequest is carried out here.
async fn first_packet<S>(front: &Arc<Front>, wire: &Wire<S>, out: &mut Vec<u8>) -> Result<Option<BytesMut>, WireError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (mut asked_ssl, mut asked_gss) = (false, false);
    loop {
        let mut packet = wire.startup_frame().await?;
        // `startup_frame` returns at least the four bytes of the code.
        let code = u32::from_be_bytes([packet[0], packet[1], packet[2], packet[3]]);
        let asked = match code {
            SSL => &mut asked_ssl,
            GSSENC => &mut asked_gss,
            CANCEL => {
                packet.advance(4);
                if packet.len() == 8 {
                    front.cancels.cancel(packet.get_u32(), packet.get_u32());
                }
                return Ok(None);
            }
            _ => return Ok(Some(packet)),
        };
        if std::mem::replace(asked, true) {
            return Err(violation("encryption was asked for twice"));
        }
        if wire.has_input() {
            return Err(violation("received unencrypted data after SSL request"));
        }
        out.extend_from_slice(b"N");
        wire.write(out).await?;
    }
}

fn violation(message: &str) -> WireError {
    WireError::Violation(crate::frontend::ProtocolViolation::new(message))
}

/// Opens the session that the startup packet asks for and writes the greeting up to BackendKeyData.
async fn open<'f>(
    front: &'f Arc<Front>,
    packet: BytesMut,
    client_address: Option<std::net::SocketAddr>,
    out: &mut Vec<u8>,
) -> SqlResult<(Session, Counted<'f>)> {
    let request = StartupPacket::decode(packet)?;
    if request.major != 3 {
        return Err(SqlError::new(
            "0A000",
            format!("unsupported frontend protocol {}.{}: server supports 3.0 to 3.0", request.major, request.minor),
        ));
    }
    if request.minor > 0 || !request.protocol_options.is_empty() {
        backend::negotiate_version(out, &request.protocol_options);
    }
    let counted = Counted::among_at_most(&front.sessions, front.limits.sessions)
        .ok_or_else(|| SqlError::new("53300", "sorry, too many clients already"))?;
    let user =
        request.user.ok_or_else(|| SqlError::new("28000", "no PostgreSQL user name specified in startup packet"))?;
    let database = request.database.filter(|name| !name.is_empty()).unwrap_or_else(|| user.clone());
    let session = front.server.connect(Startup { user, database, settings: request.settings, client_address }).await?;
    backend::authentication_ok(out);
    for (name, value) in session.parameters() {
        backend::parameter_status(out, &name, &value);
    }
    Ok((session, counted))
}

#[derive(Debug, Default, PartialEq, Eq)]
struct StartupPacket {
    major: u16,
    minor: u16,
    user: Option<String>,
    database: Option<String>,
    settings: Vec<(String, String)>,
    /// `_pq_.…`, none of which is known here.
    protocol_options: Vec<String>,
}

impl StartupPacket {
    fn decode(packet: BytesMut) -> SqlResult<StartupPacket> {
        let invalid = || SqlError::new("08P01", "invalid startup packet layout: expected terminator as last byte");
        let (code, mut rest) = packet.split_first_chunk::<4>().ok_or_else(invalid)?;
        let code = u32::from_be_bytes(*code);
        let mut out = StartupPacket { major: (code >> 16) as u16, minor: code as u16, ..StartupPacket::default() };
        if out.major != 3 {
            return Ok(out);
        }
        loop {
            let name = text(&mut rest)?.ok_or_else(invalid)?;
            if name.is_empty() {
                break;
            }
            let value = text(&mut rest)?.ok_or_else(invalid)?;
            match name.as_str() {
                "user" => out.user = Some(value).filter(|user| !user.is_empty()),
                "database" => out.database = Some(value),
                "replication" if ["true", "on", "yes", "1", "database"].contains(&value.as_str()) => {
                    return Err(SqlError::not_supported("streaming replication"));
                }
                "replication" => {}
                _ if name.starts_with("_pq_.") => out.protocol_options.push(name),
                _ => out.settings.push((name, value)),
            }
        }
        if rest.is_empty() { Ok(out) } else { Err(invalid()) }
    }
}

/// The text up to the next NUL; `None` if there is no NUL.
fn text(rest: &mut &[u8]) -> SqlResult<Option<String>> {
    let Some(end) = rest.iter().position(|byte| *byte == 0) else { return Ok(None) };
    let text = std::str::from_utf8(&rest[..end])
        .map_err(|_| SqlError::new("22021", "invalid byte sequence for encoding \"UTF8\" in startup packet"))?;
    *rest = &rest[end + 1..];
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(bytes: &[u8]) -> BytesMut {
        BytesMut::from(bytes)
    }

    #[test]
    fn names_and_settings() {
        let decoded =
            StartupPacket::decode(packet(b"\0\x03\0\x02user\0ann\0database\0shop\0TimeZone\0UTC\0_pq_.x\x001\0\0"))
                .unwrap();
        assert_eq!((decoded.major, decoded.minor), (3, 2));
        assert_eq!(decoded.user.as_deref(), Some("ann"));
        assert_eq!(decoded.database.as_deref(), Some("shop"));
        assert_eq!(decoded.settings, [("TimeZone".to_owned(), "UTC".to_owned())]);
        assert_eq!(decoded.protocol_options, ["_pq_.x"]);
    }

    #[test]
    fn broken_packets_are_errors() {
        for bytes in [
            &b"\0\x03\0\0user\0ann"[..],
            b"\0\x03\0\0user\0ann\0",
            b"\0\x03\0\0\0more",
            b"\0\x03\0\0us\xffer\0x\0\0",
            b"\0\x03",
        ] {
            assert!(StartupPacket::decode(packet(bytes)).is_err(), "{}", bytes.escape_ascii());
        }
    }
}
