//! Text: its length, parts, case, padding. Positions count characters, from 1.

use super::native::{Table, scalar};
use crate::io::{char_count, char_end};
use crate::{Datum, EvalError, EvalResult};

/// Longer results than this are refused, as PostgreSQL refuses what does not fit a gigabyte.
/// Where PostgreSQL stops at 1 GB: several copies of a value are alive at once, and a node serves many statements.
const BYTES_MAX: usize = 256 << 20;

pub(super) const FUNCTIONS: &[Table] = &[LENGTHS, PARTS, CASE, PADDING, SEARCH];

const LENGTHS: Table = &[
    scalar!("textlen", |text: &str| char_count(text) as i32),
    scalar!("bpcharlen", |text: &str| char_count(text.trim_end_matches(' ')) as i32),
    scalar!("textoctetlen", |text: &str| text.len() as i32),
    scalar!("bpcharoctetlen", |text: &str| text.len() as i32),
    scalar!("sql1811", |text: &str| text.len() as i32 * 8),
];

const PARTS: Table = &[
    scalar!("text_substr", |text: &str, start: i32, len: i32| substring(text, start, Some(len))),
    scalar!("text_substr_no_len", |text: &str, start: i32| substring(text, start, None)),
    scalar!("text_left", |text: &str, n: i32| {
        let count = if n >= 0 { n as usize } else { char_count(text).saturating_sub(n.unsigned_abs() as usize) };
        &text[..char_end(text, count)]
    }),
    scalar!("text_right", |text: &str, n: i32| {
        let skipped = if n >= 0 { char_count(text).saturating_sub(n as usize) } else { n.unsigned_abs() as usize };
        &text[char_end(text, skipped)..]
    }),
    scalar!("split_part", |text: &str, delimiter: &str, field: i32| split_part(text, delimiter, field)),
    scalar!("textoverlay", |text: &str, new: &str, start: i32, len: i32| overlay(text, new, start, len)),
    scalar!("textoverlay_no_len", |text: &str, new: &str, start: i32| overlay(
        text,
        new,
        start,
        char_count(new) as i32
    )),
    scalar!("text_reverse", |text: &str| text.chars().rev().collect::<String>()),
];

const CASE: Table = &[
    scalar!("lower", |text: &str| text.to_lowercase()),
    scalar!("upper", |text: &str| text.to_uppercase()),
    scalar!("initcap", |text: &str| initcap(text)),
];

const PADDING: Table = &[
    scalar!("lpad", |text: &str, len: i32, fill: &str| pad(text, len, fill, true)),
    scalar!("rpad", |text: &str, len: i32, fill: &str| pad(text, len, fill, false)),
    scalar!("sql879", |text: &str, len: i32| pad(text, len, " ", true)),
    scalar!("sql880", |text: &str, len: i32| pad(text, len, " ", false)),
    scalar!("btrim", |text: &str, set: &str| text.trim_matches(|c| set.contains(c))),
    scalar!("ltrim", |text: &str, set: &str| text.trim_start_matches(|c| set.contains(c))),
    scalar!("rtrim", |text: &str, set: &str| text.trim_end_matches(|c| set.contains(c))),
    scalar!("btrim1", |text: &str| text.trim_matches(' ')),
    scalar!("ltrim1", |text: &str| text.trim_start_matches(' ')),
    scalar!("rtrim1", |text: &str| text.trim_end_matches(' ')),
    scalar!("repeat", |text: &str, n: i32| repeat(text, n)),
];

const SEARCH: Table = &[
    scalar!("textpos", |text: &str, part: &str| text.find(part).map_or(0, |at| char_count(&text[..at]) as i32 + 1)),
    scalar!("text_starts_with", |text: &str, prefix: &str| text.starts_with(prefix)),
    scalar!("replace_text", |text: &str, from: &str, to: &str| {
        if from.is_empty() {
            return Ok(Datum::text(text));
        }
        let grown = text.matches(from).count().saturating_mul(to.len());
        check_length(text.len().saturating_add(grown))?;
        text.replace(from, to)
    }),
    scalar!("translate", |text: &str, from: &str, to: &str| translate(text, from, to)),
    scalar!("ascii", |text: &str| text.chars().next().map_or(0, |c| c as i32)),
    scalar!("chr", |code: i32| chr(code)),
    scalar!("unistr", |text: &str| unistr(text)),
];

pub(super) fn check_length(bytes: usize) -> EvalResult<()> {
    if bytes > BYTES_MAX { Err(EvalError::new("54000", "requested length too large")) } else { Ok(()) }
}

/// Positions before the first character count towards the length.
fn substring(text: &str, start: i32, len: Option<i32>) -> EvalResult<&str> {
    let start = i64::from(start);
    let end = match len {
        Some(len) if len < 0 => return Err(EvalError::new("22011", "negative substring length not allowed")),
        Some(len) => start + i64::from(len),
        None => i64::MAX,
    };
    let first = start.max(1);
    if end <= first {
        return Ok("");
    }
    let rest = &text[char_end(text, (first - 1) as usize)..];
    let wanted = usize::try_from(end - first).unwrap_or(usize::MAX);
    Ok(&rest[..char_end(rest, wanted)])
}

fn split_part<'a>(text: &'a str, delimiter: &str, field: i32) -> EvalResult<&'a str> {
    if field == 0 {
        return Err(EvalError::new("22023", "field position must not be zero"));
    }
    let at = field.unsigned_abs() as usize - 1;
    if delimiter.is_empty() {
        return Ok(if at == 0 { text } else { "" });
    }
    let found = if field > 0 { text.split(delimiter).nth(at) } else { text.rsplit(delimiter).nth(at) };
    Ok(found.unwrap_or(""))
}

fn overlay(text: &str, new: &str, start: i32, len: i32) -> EvalResult<String> {
    if start <= 0 {
        return Err(EvalError::new("22011", "negative substring length not allowed"));
    }
    let behind = start.checked_add(len).ok_or_else(|| crate::numeric::out_of_range("integer"))?;
    let head = substring(text, 1, Some(start - 1))?;
    let tail = substring(text, behind, None)?;
    check_length(head.len() + new.len() + tail.len())?;
    Ok([head, new, tail].concat())
}

/// The first letter of each word, a word being letters and digits.
pub(crate) fn initcap(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase())
        } else {
            out.extend(c.to_uppercase())
        }
        inside = c.is_alphanumeric();
    }
    out
}

fn pad(text: &str, len: i32, fill: &str, left: bool) -> EvalResult<String> {
    let len = usize::try_from(len).unwrap_or(0);
    let have = char_count(text);
    if have >= len || fill.is_empty() {
        return Ok(text[..char_end(text, len)].to_owned());
    }
    check_length(len)?;
    let padding = fill.chars().cycle().take(len - have);
    Ok(if left { padding.chain(text.chars()).collect() } else { text.chars().chain(padding).collect() })
}

fn repeat(text: &str, n: i32) -> EvalResult<String> {
    let n = usize::try_from(n).unwrap_or(0);
    check_length(text.len().saturating_mul(n))?;
    Ok(text.repeat(n))
}

/// Characters of `from` without a partner in `to` are dropped.
fn translate(text: &str, from: &str, to: &str) -> String {
    let replacement = |c: char| match from.chars().position(|f| f == c) {
        Some(at) => to.chars().nth(at),
        None => Some(c),
    };
    text.chars().filter_map(replacement).collect()
}

fn chr(code: i32) -> EvalResult<String> {
    match code {
        0 => Err(EvalError::new("54000", "null character not permitted")),
        ..0 => Err(EvalError::new("22023", "character number must be positive")),
        0x11_0000.. => Err(EvalError::new("54000", format!("requested character too large for encoding: {code}"))),
        _ => match char::from_u32(code as u32) {
            Some(c) => Ok(c.to_string()),
            None => Err(EvalError::new("54000", format!("requested character not valid for encoding: {code}"))),
        },
    }
}

/// `\XXXX`, `\+XXXXXX`, `\uXXXX` and `\UXXXXXXXX`.
fn unistr(text: &str) -> EvalResult<String> {
    let invalid = || {
        EvalError::new("42601", "invalid Unicode escape")
            .with_hint("Unicode escapes must be \\XXXX, \\+XXXXXX, \\uXXXX, or \\UXXXXXXXX.")
    };
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    let mut high: Option<u32> = None;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c != '\\' {
            if high.is_some() {
                return Err(EvalError::new("42601", "invalid Unicode surrogate pair"));
            }
            out.push(c);
            continue;
        }
        if let Some(after) = rest.strip_prefix('\\') {
            out.push('\\');
            rest = after;
            continue;
        }
        let (prefix, digits) = match rest.as_bytes().first() {
            Some(b'+') => (1, 6),
            Some(b'u') => (1, 4),
            Some(b'U') => (1, 8),
            _ => (0, 4),
        };
        let code = rest
            .get(prefix..prefix + digits)
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(invalid)?;
        rest = &rest[prefix + digits..];
        match (high.take(), code) {
            (None, 0xd800..=0xdbff) => high = Some(code),
            (Some(high), 0xdc00..=0xdfff) => {
                out.extend(char::from_u32(0x10000 + ((high - 0xd800) << 10) + code - 0xdc00))
            }
            (Some(_), _) | (None, 0xdc00..=0xdfff) => {
                return Err(EvalError::new("42601", "invalid Unicode surrogate pair"));
            }
            (None, _) => out.push(
                char::from_u32(code)
                    .filter(|c| *c != '\0')
                    .ok_or_else(|| EvalError::new("22023", format!("invalid Unicode code point: {code:04X}")))?,
            ),
        }
    }
    if high.is_some() { Err(EvalError::new("42601", "invalid Unicode surrogate pair")) } else { Ok(out) }
}
