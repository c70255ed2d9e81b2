//! Byte strings as text: hexadecimal, and the older escaped form.

use std::fmt::Write;

use crate::{ByteaOutput, EvalError, EvalResult};

pub(crate) fn parse(text: &str) -> EvalResult<Vec<u8>> {
    match text.strip_prefix("\\x") {
        Some(digits) => parse_hex(digits),
        None => parse_escaped(text),
    }
}

/// White space between the bytes is skipped.
pub(crate) fn parse_hex(text: &str) -> EvalResult<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 2);
    let mut high = None;
    for c in text.chars() {
        if high.is_none() && c.is_ascii_whitespace() {
            continue;
        }
        let digit =
            c.to_digit(16).ok_or_else(|| EvalError::new("22023", format!("invalid hexadecimal digit: \"{c}\"")))? as u8;
        match high.take() {
            None => high = Some(digit),
            Some(high) => out.push(high << 4 | digit),
        }
    }
    match high {
        None => Ok(out),
        Some(_) => Err(EvalError::new("22023", "invalid hexadecimal data: odd number of digits")),
    }
}

fn parse_escaped(text: &str) -> EvalResult<Vec<u8>> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            out.push(bytes[at]);
            at += 1;
            continue;
        }
        match bytes.get(at + 1..) {
            Some([b'\\', ..]) => {
                out.push(b'\\');
                at += 2;
            }
            Some([a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                at += 4;
            }
            _ => return Err(EvalError::new("22P02", "invalid input syntax for type bytea")),
        }
    }
    Ok(out)
}

pub(crate) fn write_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)] as char);
        out.push(DIGITS[usize::from(byte & 15)] as char);
    }
}

pub(super) fn write(out: &mut String, bytes: &[u8], output: ByteaOutput) {
    match output {
        ByteaOutput::Hex => {
            out.push_str("\\x");
            write_hex(out, bytes);
        }
        ByteaOutput::Escape => write_escaped(out, bytes),
    }
}

pub(crate) fn write_escaped(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            0x20..=0x7e => out.push(char::from(*byte)),
            // Writing to a string cannot fail.
            _ => drop(write!(out, "\\{byte:03o}")),
        }
    }
}
