//! What the server sends, appended to a buffer.

use bytes::BufMut;
use sql::plan::Field;
use sql::session::{CopyFormat, Notification, TransactionStatus};
use sql::{SqlError, SqlFailure};

/// Appends one message: type byte, length (filled in afterwards), body.
fn message(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.put_u8(kind);
    let start = out.len();
    out.put_i32(0);
    body(out);
    let length = i32::try_from(out.len() - start).expect("messages stay below PostgreSQL's limit of 1 GiB");
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.put_slice(text.as_bytes());
    out.put_u8(0);
}

pub(crate) fn authentication_ok(out: &mut Vec<u8>) {
    message(out, b'R', |out| out.put_i32(0));
}

pub(crate) fn parameter_status(out: &mut Vec<u8>, name: &str, value: &str) {
    message(out, b'S', |out| {
        put_text(out, name);
        put_text(out, value);
    });
}

pub(crate) fn backend_key_data(out: &mut Vec<u8>, process: u32, secret: u32) {
    message(out, b'K', |out| {
        out.put_u32(process);
        out.put_u32(secret);
    });
}

pub(crate) fn negotiate_version(out: &mut Vec<u8>, unknown_options: &[String]) {
    message(out, b'v', |out| {
        out.put_i32(0);
        out.put_i32(unknown_options.len() as i32);
        for option in unknown_options {
            put_text(out, option);
        }
    });
}

pub(crate) fn ready_for_query(out: &mut Vec<u8>, status: TransactionStatus) {
    let letter = match status {
        TransactionStatus::Idle => b'I',
        TransactionStatus::InTransaction => b'T',
        TransactionStatus::Failed => b'E',
    };
    message(out, b'Z', |out| out.put_u8(letter));
}

/// Messages without a body: ParseComplete, BindComplete, CloseComplete, NoData, PortalSuspended, EmptyQueryResponse, CopyDone.
pub(crate) fn bare(out: &mut Vec<u8>, kind: u8) {
    message(out, kind, |_| ());
}

pub(crate) fn command_complete(out: &mut Vec<u8>, tag: &str) {
    message(out, b'C', |out| put_text(out, tag));
}

pub(crate) fn parameter_description(out: &mut Vec<u8>, types: &[u32]) {
    message(out, b't', |out| {
        out.put_u16(types.len() as u16);
        for oid in types {
            out.put_u32(*oid);
        }
    });
}

pub(crate) fn row_description(out: &mut Vec<u8>, fields: &[Field], formats: &Formats) {
    message(out, b'T', |out| {
        out.put_u16(fields.len() as u16);
        for (position, field) in fields.iter().enumerate() {
            put_text(out, &field.name);
            let (table, column) = field.origin.unwrap_or_default();
            out.put_u32(table.0);
            out.put_i16(column);
            out.put_u32(field.ty.oid.0);
            out.put_i16(field.ty.entry().map_or(-1, |entry| entry.len));
            out.put_i32(field.ty.typmod);
            out.put_i16(formats.of(position));
        }
    });
}

pub(crate) fn copy_response(out: &mut Vec<u8>, kind: u8, format: CopyFormat, columns: usize) {
    let binary = format == CopyFormat::Binary;
    message(out, kind, |out| {
        out.put_u8(u8::from(binary));
        out.put_u16(columns as u16);
        for _ in 0..columns {
            out.put_i16(i16::from(binary));
        }
    });
}

pub(crate) fn copy_data(out: &mut Vec<u8>, data: &[u8]) {
    message(out, b'd', |out| out.put_slice(data));
}

pub(crate) fn error(out: &mut Vec<u8>, error: &SqlError) {
    let severity = match error.0.severity {
        sql::Severity::Error => "ERROR",
        sql::Severity::Fatal => "FATAL",
    };
    message(out, b'E', |out| failure(out, severity, &error.0));
}

pub(crate) fn notice(out: &mut Vec<u8>, severity: &str, error: &SqlError) {
    message(out, b'N', |out| failure(out, severity, &error.0));
}

pub(crate) fn notification(out: &mut Vec<u8>, notification: &Notification) {
    message(out, b'A', |out| {
        out.put_u32(notification.sender);
        put_text(out, &notification.channel);
        put_text(out, &notification.payload);
    });
}

fn failure(out: &mut Vec<u8>, severity: &str, failure: &SqlFailure) {
    let mut field = |code: u8, text: &str| {
        out.put_u8(code);
        // A NUL would end the field early.
        out.extend(text.bytes().filter(|byte| *byte != 0));
        out.put_u8(0);
    };
    field(b'S', severity);
    field(b'V', severity);
    field(b'C', failure.state.as_str());
    field(b'M', &failure.message);
    let position = failure.position.map(|position| position.to_string());
    let optional = [
        (b'D', &failure.detail),
        (b'H', &failure.hint),
        (b'P', &position),
        (b'W', &failure.context),
        (b's', &failure.schema),
        (b't', &failure.table),
        (b'c', &failure.column),
        (b'd', &failure.data_type),
        (b'n', &failure.constraint),
    ];
    for (code, text) in optional {
        if let Some(text) = text {
            field(code, text);
        }
    }
    out.put_u8(0);
}

/// Result formats as Bind gives them: none is all text, one is for all, else one per column.
#[derive(Clone, Debug, Default)]
pub(crate) struct Formats(pub Vec<i16>);

impl Formats {
    pub fn of(&self, column: usize) -> i16 {
        match self.0[..] {
            [] => 0,
            [all] => all,
            _ => self.0.get(column).copied().unwrap_or(0),
        }
    }
}
