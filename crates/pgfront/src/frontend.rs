//! What clients send, decoded strictly: inside the message's own length, with every count checked and every
//! string valid UTF-8.

use bytes::{Buf, Bytes, BytesMut};

/// PostgreSQL's limits: the startup packet, and messages that have no reason to be long.
const STARTUP_BYTES_MAX: usize = 10_000;
const SHORT_BYTES_MAX: usize = 10_000;

/// 08P01 (or 22021 for bad text), then the connection ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ProtocolViolation {
    pub state: &'static str,
    pub message: String,
}

impl ProtocolViolation {
    pub fn new(message: impl Into<String>) -> ProtocolViolation {
        ProtocolViolation { state: "08P01", message: message.into() }
    }
}

/// A message with its type byte.
#[derive(Debug)]
pub(crate) struct Frame {
    pub kind: u8,
    pub body: Bytes,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Query {
        text: String,
    },
    Parse {
        name: String,
        text: String,
        types: Vec<u32>,
    },
    Bind(Bind),
    Describe {
        portal: bool,
        name: String,
    },
    Execute {
        portal: String,
        rows_max: u32,
    },
    Close {
        portal: bool,
        name: String,
    },
    Flush,
    Sync,
    Terminate,
    CopyData(Bytes),
    CopyDone,
    CopyFail {
        message: String,
    },
    Password(Bytes),
    /// The old fast-path function call, which no client of today sends.
    FunctionCall,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    pub portal: String,
    pub statement: String,
    pub parameter_formats: Vec<i16>,
    pub parameters: Vec<Option<Bytes>>,
    pub result_formats: Vec<i16>,
}

/// Cuts the next whole message off `input`.
pub(crate) fn take_frame(input: &mut BytesMut, bytes_max: usize) -> Result<Option<Frame>, ProtocolViolation> {
    let Some((&kind, rest)) = input.split_first() else { return Ok(None) };
    let limit = limit_of(kind, bytes_max)?;
    let Some(length) = rest.first_chunk::<4>() else { return Ok(None) };
    let length = i32::from_be_bytes(*length);
    let body_len = match usize::try_from(length) {
        Ok(length) if length >= 4 && length - 4 <= limit => length - 4,
        _ => {
            return Err(ProtocolViolation::new(format!(
                "invalid message length {length} for type '{}'",
                kind.escape_ascii()
            )));
        }
    };
    if input.len() < 5 + body_len {
        return Ok(None);
    }
    input.advance(5);
    Ok(Some(Frame { kind, body: input.split_to(body_len).freeze() }))
}

/// The body of a startup message: after the length, before any type byte exists.
pub(crate) fn take_startup_frame(input: &mut BytesMut) -> Result<Option<BytesMut>, ProtocolViolation> {
    let Some(length) = input.first_chunk::<4>() else { return Ok(None) };
    let length = i32::from_be_bytes(*length);
    let body_len = match usize::try_from(length) {
        Ok(length) if (8..=STARTUP_BYTES_MAX).contains(&length) => length - 4,
        _ => return Err(ProtocolViolation::new("invalid length of startup packet")),
    };
    if input.len() < 4 + body_len {
        return Ok(None);
    }
    input.advance(4);
    Ok(Some(input.split_to(body_len)))
}

fn limit_of(kind: u8, bytes_max: usize) -> Result<usize, ProtocolViolation> {
    match kind {
        b'Q' | b'P' | b'B' | b'd' | b'F' => Ok(bytes_max),
        b'D' | b'E' | b'C' | b'H' | b'S' | b'X' | b'c' | b'f' => Ok(SHORT_BYTES_MAX),
        b'p' => Ok(65_535),
        _ => Err(ProtocolViolation::new(format!("invalid frontend message type {kind}"))),
    }
}

pub(crate) fn decode(frame: Frame) -> Result<Message, ProtocolViolation> {
    let mut body = Body(frame.body);
    let message = match frame.kind {
        b'Q' => Message::Query { text: body.string()? },
        b'P' => Message::Parse { name: body.string()?, text: body.string()?, types: body.list(4, Body::u32)? },
        b'B' => Message::Bind(body.bind()?),
        b'D' => Message::Describe { portal: body.is_portal()?, name: body.string()? },
        b'C' => Message::Close { portal: body.is_portal()?, name: body.string()? },
        b'E' => Message::Execute { portal: body.string()?, rows_max: u32::try_from(body.i32()?).unwrap_or(0) },
        b'H' => Message::Flush,
        b'S' => Message::Sync,
        b'X' => return Ok(Message::Terminate),
        b'd' => return Ok(Message::CopyData(body.0)),
        b'c' => Message::CopyDone,
        b'f' => Message::CopyFail { message: body.string()? },
        b'p' => return Ok(Message::Password(body.0)),
        b'F' => return Ok(Message::FunctionCall),
        kind => return Err(ProtocolViolation::new(format!("invalid frontend message type {kind}"))),
    };
    if !body.0.is_empty() {
        return Err(ProtocolViolation::new("invalid message format"));
    }
    Ok(message)
}

/// What is left of a message.
struct Body(Bytes);

impl Body {
    fn need(&self, bytes: usize) -> Result<(), ProtocolViolation> {
        if self.0.len() < bytes { Err(ProtocolViolation::new("insufficient data left in message")) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<String, ProtocolViolation> {
        let Some(end) = self.0.iter().position(|byte| *byte == 0) else {
            return Err(ProtocolViolation::new("invalid string in message"));
        };
        let text = self.0.split_to(end);
        self.0.advance(1);
        match std::str::from_utf8(&text) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(invalid_utf8(&text[error.valid_up_to()..])),
        }
    }

    fn u16(&mut self) -> Result<u16, ProtocolViolation> {
        self.need(2)?;
        Ok(self.0.get_u16())
    }

    fn i16(&mut self) -> Result<i16, ProtocolViolation> {
        self.need(2)?;
        Ok(self.0.get_i16())
    }

    fn i32(&mut self) -> Result<i32, ProtocolViolation> {
        self.need(4)?;
        Ok(self.0.get_i32())
    }

    fn u32(&mut self) -> Result<u32, ProtocolViolation> {
        self.need(4)?;
        Ok(self.0.get_u32())
    }

    /// A count and as many elements of at least `bytes_min` each.
    fn list<T>(
        &mut self,
        bytes_min: usize,
        element: fn(&mut Body) -> Result<T, ProtocolViolation>,
    ) -> Result<Vec<T>, ProtocolViolation> {
        let count = usize::from(self.u16()?);
        self.need(count * bytes_min)?;
        (0..count).map(|_| element(self)).collect()
    }

    fn parameter(&mut self) -> Result<Option<Bytes>, ProtocolViolation> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| ProtocolViolation::new("invalid parameter length"))?;
                self.need(length)?;
                Ok(Some(self.0.split_to(length)))
            }
        }
    }

    fn bind(&mut self) -> Result<Bind, ProtocolViolation> {
        let (portal, statement) = (self.string()?, self.string()?);
        let parameter_formats = self.list(2, Body::i16)?;
        let parameters = self.list(4, Body::parameter)?;
        let result_formats = self.list(2, Body::i16)?;
        if parameter_formats.len() > 1 && parameter_formats.len() != parameters.len() {
            return Err(ProtocolViolation::new(format!(
                "bind message has {} parameter formats but {} parameters",
                parameter_formats.len(),
                parameters.len()
            )));
        }
        Ok(Bind { portal, statement, parameter_formats, parameters, result_formats })
    }

    fn is_portal(&mut self) -> Result<bool, ProtocolViolation> {
        self.need(1)?;
        match self.0.get_u8() {
            b'P' => Ok(true),
            b'S' => Ok(false),
            other => Err(ProtocolViolation::new(format!("invalid message subtype {other}"))),
        }
    }
}

fn invalid_utf8(rest: &[u8]) -> ProtocolViolation {
    let bytes: Vec<String> = rest.iter().take(4).map(|byte| format!("0x{byte:02x}")).collect();
    ProtocolViolation {
        state: "22021",
        message: format!("invalid byte sequence for encoding \"UTF8\": {}", bytes.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, body: &[u8]) -> BytesMut {
        let mut out = BytesMut::from(&[kind][..]);
        out.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        out.extend_from_slice(body);
        out
    }

    fn decoded(kind: u8, body: &[u8]) -> Result<Message, ProtocolViolation> {
        decode(take_frame(&mut frame(kind, body), 1000)?.expect("a whole message"))
    }

    #[test]
    fn a_message_in_pieces_is_waited_for() {
        let whole = frame(b'Q', b"select 1\0");
        for cut in 0..whole.len() {
            assert!(take_frame(&mut BytesMut::from(&whole[..cut]), 1000).unwrap().is_none());
        }
        assert_eq!(decoded(b'Q', b"select 1\0"), Ok(Message::Query { text: "select 1".into() }));
    }

    #[test]
    fn lengths_that_cannot_be_are_refused_at_once() {
        for length in [i32::MIN, -1, 0, 3, 1005, i32::MAX] {
            let mut input = BytesMut::from(&b"Q"[..]);
            input.extend_from_slice(&length.to_be_bytes());
            assert!(take_frame(&mut input, 1000).is_err(), "{length}");
        }
        assert!(take_frame(&mut BytesMut::from(&b"\x01"[..]), 1000).is_err());
        assert!(take_startup_frame(&mut BytesMut::from(&[0x7f, 0xff, 0xff, 0xff][..])).is_err());
    }

    #[test]
    fn bodies_are_decoded_within_themselves() {
        assert!(decoded(b'Q', b"no end").is_err());
        assert!(decoded(b'Q', b"text\0more").is_err());
        assert!(decoded(b'B', b"\0\0").is_err());
        assert!(decoded(b'B', b"\0\0\xff\xff").is_err());
        assert!(decoded(b'B', b"\0\0\0\0\0\x01\0\0\0\x09x\0\0").is_err());
        assert!(decoded(b'D', b"Z\0").is_err());
        assert_eq!(decoded(b'Q', b"\xff\0").unwrap_err().state, "22021");
    }

    #[test]
    fn bind_with_null_and_formats() {
        let body = b"p\0s\0\0\x01\0\x01\0\x02\xff\xff\xff\xff\0\0\0\x01x\0\x01\0\0";
        let expected = Bind {
            portal: "p".into(),
            statement: "s".into(),
            parameter_formats: vec![1],
            parameters: vec![None, Some(Bytes::from_static(b"x"))],
            result_formats: vec![0],
        };
        assert_eq!(decoded(b'B', body), Ok(Message::Bind(expected)));
    }
}
