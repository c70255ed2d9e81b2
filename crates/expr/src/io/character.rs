//! Character types with a length, names, UUIDs.

use std::borrow::Cow;

use crate::types::modifier::character_length;
use crate::{EvalError, EvalResult, SqlType};

/// Bytes of a `name`.
const NAME_BYTES_MAX: usize = 63;

pub(crate) fn char_count(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

/// Where the first `count` characters end.
pub(crate) fn char_end(text: &str, count: usize) -> usize {
    if text.is_ascii() {
        return count.min(text.len());
    }
    text.char_indices().nth(count).map_or(text.len(), |(at, _)| at)
}

pub(super) fn name_of(text: &str) -> &str {
    let mut end = text.len().min(NAME_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The length that varchar(n) and char(n) declare.
pub(super) fn declared_length(ty: SqlType) -> Option<usize> {
    if matches!(ty.base(), SqlType::VARCHAR | SqlType::BPCHAR) { character_length(ty.typmod) } else { None }
}

/// Brings a text to the declared length: too long a one is cut when explicitly cast, else only where
/// blanks are lost (22001 else); a char(n) is filled up with blanks.
pub(crate) fn apply_length(text: &str, ty: SqlType, explicit: bool) -> EvalResult<Cow<'_, str>> {
    let Some(length) = declared_length(ty) else { return Ok(Cow::Borrowed(text)) };
    let end = char_end(text, length);
    if end < text.len() {
        if !explicit && !text[end..].bytes().all(|b| b == b' ') {
            return Err(EvalError::new("22001", format!("value too long for type {ty}")));
        }
        return Ok(Cow::Borrowed(&text[..end]));
    }
    let missing = if ty.oid == SqlType::BPCHAR.oid { length - char_count(text) } else { 0 };
    Ok(if missing > 0 { Cow::Owned([text, &" ".repeat(missing)].concat()) } else { Cow::Borrowed(text) })
}

/// Hexadecimal digits; hyphens may stand behind each group of four, braces around all.
pub(super) fn parse_uuid(text: &str) -> EvalResult<[u8; 16]> {
    let read = || {
        let inner = match text.strip_prefix('{') {
            Some(rest) => rest.strip_suffix('}')?,
            None => text,
        };
        let (mut uuid, mut rest) = ([0; 16], inner.as_bytes());
        for (at, byte) in uuid.iter_mut().enumerate() {
            let [high, low, tail @ ..] = rest else { return None };
            let digit = |b: &u8| char::from(*b).to_digit(16);
            *byte = (digit(high)? << 4 | digit(low)?) as u8;
            rest = tail;
            if at % 2 == 1 && at < 15 {
                rest = rest.strip_prefix(b"-").unwrap_or(rest);
            }
        }
        rest.is_empty().then_some(uuid)
    };
    read().ok_or_else(|| super::invalid_syntax("uuid", text))
}

pub(super) fn write_uuid(out: &mut String, bytes: &[u8; 16]) {
    for (at, part) in [0..4, 4..6, 6..8, 8..10, 10..16].into_iter().enumerate() {
        if at > 0 {
            out.push('-');
        }
        super::write_hex(out, &bytes[part]);
    }
}
