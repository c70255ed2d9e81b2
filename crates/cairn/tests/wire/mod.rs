//! PostgreSQL's protocol by hand: what no decent client would send, and what the server says to it.
#![expect(clippy::disallowed_types, reason = "a test is its own host")]
#![allow(dead_code, reason = "each test uses a part")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// Longer than anything here may take, debug builds on a busy machine included.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Wire {
    stream: TcpStream,
    input: Vec<u8>,
}

/// What came until the server was ready again, or closed the connection.
#[derive(Debug, Default)]
pub struct Said {
    /// SQLSTATE and message of each error.
    pub errors: Vec<(String, String)>,
    pub rows: usize,
    /// The first column of the first row.
    pub first: Option<String>,
    pub closed: bool,
}

impl Said {
    pub fn state(&self) -> &str {
        self.errors.first().map_or("", |(state, _)| state)
    }
}

impl Wire {
    /// A connection on which nothing has been said.
    pub fn connect(address: &str) -> Wire {
        let stream = TcpStream::connect(address).expect("the port is open");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time-out can be set");
        Wire { stream, input: Vec::new() }
    }

    /// A session of root that is ready for a query.
    pub fn session(address: &str) -> Wire {
        let mut wire = Wire::connect(address);
        wire.send(&startup(b"user\0root\0database\0cairn\0\0"));
        let said = wire.until_ready();
        assert!(said.errors.is_empty() && !said.closed, "{said:?}");
        wire
    }

    /// The other side may have closed at any byte.
    pub fn send(&mut self, bytes: &[u8]) {
        let _closed = self.stream.write_all(bytes);
    }

    /// As [`Wire::send`]; false when the other side takes no more for now, or is gone.
    pub fn offer(&mut self, bytes: &[u8], patience: Duration) -> bool {
        self.stream.set_write_timeout(Some(patience)).expect("a time-out can be set");
        let sent = self.stream.write_all(bytes).is_ok();
        self.stream.set_write_timeout(Some(PATIENCE)).expect("a time-out can be set");
        sent
    }

    pub fn message(&mut self, kind: u8, body: &[u8]) {
        self.send(&message(kind, body));
    }

    pub fn query(&mut self, text: &str) -> Said {
        self.message(b'Q', &[text.as_bytes(), &[0]].concat());
        self.until_ready()
    }

    /// The same connection, to read from while the other one sends.
    pub fn reader(&self) -> Wire {
        Wire { stream: self.stream.try_clone().expect("a socket can be cloned"), input: Vec::new() }
    }

    /// Nothing more will be sent.
    pub fn finish(&mut self) {
        let _closed = self.stream.shutdown(Shutdown::Write);
    }

    /// A message of the server, or `None` when it has closed the connection.
    pub fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let head = self.take(5)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        Some((head[0], self.take(length - 4)?))
    }

    pub fn until_ready(&mut self) -> Said {
        let mut said = Said::default();
        loop {
            match self.next() {
                None => {
                    said.closed = true;
                    return said;
                }
                Some((b'Z', _)) => return said,
                Some((b'E', body)) => said.errors.push((field(&body, b'C'), field(&body, b'M'))),
                Some((b'D', body)) => {
                    said.rows += 1;
                    if said.rows == 1
                        && let Some(length) = body.get(2..).and_then(|rest| rest.first_chunk::<4>())
                    {
                        let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
                        said.first = Some(String::from_utf8_lossy(&body[6..6 + length]).into_owned());
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// Has the server begun to answer, or does it within `patience`?
    pub fn has_answer(&mut self, patience: Duration) -> bool {
        if !self.input.is_empty() {
            return true;
        }
        self.stream.set_read_timeout(Some(patience)).expect("a time-out can be set");
        let mut buffer = [0; 4096];
        let read = self.stream.read(&mut buffer).unwrap_or(0);
        self.input.extend_from_slice(&buffer[..read]);
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
        read > 0
    }

    /// Waits until the server closes; false if it does not within `patience`.
    pub fn is_closed_within(&mut self, patience: Duration) -> bool {
        self.stream.set_read_timeout(Some(patience.max(Duration::from_millis(1)))).expect("a time-out can be set");
        loop {
            match self.stream.read(&mut [0; 4096]) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            }
        }
    }

    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut buffer = [0; 64 << 10];
        while self.input.len() < count {
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(read) => self.input.extend_from_slice(&buffer[..read]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("the server does not answer within {PATIENCE:?}")
                }
                Err(_) => return None,
            }
        }
        let rest = self.input.split_off(count);
        Some(std::mem::replace(&mut self.input, rest))
    }
}

pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("messages of tests fit");
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

/// A startup packet of protocol 3.0 with these names and values.
pub fn startup(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).expect("packets of tests fit");
    [&length.to_be_bytes()[..], &[0, 3, 0, 0], body].concat()
}

/// Parse without a name; `types` are OIDs.
pub fn parse(text: &str, types: &[u32]) -> Vec<u8> {
    let count = u16::try_from(types.len()).expect("few").to_be_bytes();
    let types: Vec<u8> = types.iter().flat_map(|oid| oid.to_be_bytes()).collect();
    message(b'P', &[&[0], text.as_bytes(), &[0], &count, &types].concat())
}

/// Bind of the unnamed statement to the unnamed portal: all parts as they are.
pub fn bind(formats: &[i16], parameters: &[Option<&[u8]>], result_formats: &[i16]) -> Vec<u8> {
    let counted = |list: &[i16]| {
        let count = u16::try_from(list.len()).expect("few").to_be_bytes();
        [&count[..], &list.iter().flat_map(|format| format.to_be_bytes()).collect::<Vec<_>>()].concat()
    };
    let mut body = vec![0, 0];
    body.extend(counted(formats));
    body.extend(u16::try_from(parameters.len()).expect("few").to_be_bytes());
    for parameter in parameters {
        match parameter {
            Some(bytes) => {
                body.extend(u32::try_from(bytes.len()).expect("small").to_be_bytes());
                body.extend_from_slice(bytes);
            }
            None => body.extend((-1_i32).to_be_bytes()),
        }
    }
    body.extend(counted(result_formats));
    message(b'B', &body)
}

pub fn execute() -> Vec<u8> {
    message(b'E', &[0, 0, 0, 0, 0])
}

pub fn sync() -> Vec<u8> {
    message(b'S', &[])
}

/// A field of an ErrorResponse.
fn field(body: &[u8], code: u8) -> String {
    let mut fields = body.split(|byte| *byte == 0);
    let found = fields.find(|field| field.first() == Some(&code));
    found.map_or_else(String::new, |field| String::from_utf8_lossy(&field[1..]).into_owned())
}
