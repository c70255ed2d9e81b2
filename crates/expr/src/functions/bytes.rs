//! Byte strings: parts, bits, encodings.

use super::native::{Table, scalar};
use crate::io::{parse_bytea, parse_hex, write_escaped, write_hex};
use crate::{EvalError, EvalResult};

pub(super) const FUNCTIONS: &[Table] = &[&[
    scalar!("byteaoctetlen", |bytes: &[u8]| bytes.len() as i32),
    scalar!("sql1810", |bytes: &[u8]| bytes.len() as i32 * 8),
    scalar!("byteacat", |a: &[u8], b: &[u8]| {
        super::text::check_length(a.len().saturating_add(b.len()))?;
        [a, b].concat()
    }),
    scalar!("bytea_substr", |bytes: &[u8], start: i32, len: i32| substring(bytes, start, Some(len))
        .map(<[u8]>::to_vec)),
    scalar!("bytea_substr_no_len", |bytes: &[u8], start: i32| substring(bytes, start, None).map(<[u8]>::to_vec)),
    scalar!("byteaoverlay", |bytes: &[u8], new: &[u8], start: i32, len: i32| overlay(bytes, new, start, len)),
    scalar!("byteaoverlay_no_len", |bytes: &[u8], new: &[u8], start: i32| overlay(bytes, new, start, new.len() as i32)),
    scalar!("byteapos", |bytes: &[u8], part: &[u8]| position(bytes, part)),
    scalar!("byteatrim", |bytes: &[u8], set: &[u8]| trim(bytes, set, true, true)),
    scalar!("bytealtrim", |bytes: &[u8], set: &[u8]| trim(bytes, set, true, false)),
    scalar!("byteartrim", |bytes: &[u8], set: &[u8]| trim(bytes, set, false, true)),
    scalar!("byteaGetByte", |bytes: &[u8], at: i32| byte_at(bytes, i64::from(at)).map(|at| i32::from(bytes[at]))),
    scalar!("byteaSetByte", |bytes: &[u8], at: i32, value: i32| {
        let mut out = bytes.to_vec();
        out[byte_at(bytes, i64::from(at))?] = value as u8;
        out
    }),
    scalar!("byteaGetBit", |bytes: &[u8], at: i64| bit_at(bytes, at)
        .map(|(byte, bit)| i32::from(bytes[byte] >> bit & 1))),
    scalar!("byteaSetBit", |bytes: &[u8], at: i64, value: i32| {
        let (byte, bit) = bit_at(bytes, at)?;
        if !(0..=1).contains(&value) {
            return Err(EvalError::new("22023", "new bit must be 0 or 1"));
        }
        let mut out = bytes.to_vec();
        out[byte] = out[byte] & !(1 << bit) | (value as u8) << bit;
        out
    }),
    scalar!("bytea_bit_count", |bytes: &[u8]| bytes.iter().map(|byte| i64::from(byte.count_ones())).sum::<i64>()),
    scalar!("binary_encode", |bytes: &[u8], format: &str| encode(bytes, format)),
    scalar!("binary_decode", |text: &str, format: &str| decode(text, format)),
    scalar!("pg_convert_to", |text: &str, encoding: &str| {
        utf8_only(encoding, "destination")?;
        text.as_bytes().to_vec()
    }),
    scalar!("pg_convert_from", |bytes: &[u8], encoding: &str| {
        utf8_only(encoding, "source")?;
        let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
        text.ok_or_else(|| EvalError::new("22021", "invalid byte sequence for encoding \"UTF8\""))?
    }),
]];

fn utf8_only(encoding: &str, side: &str) -> EvalResult<()> {
    match super::session::encoding_number(encoding) {
        6 => Ok(()),
        -1 => Err(EvalError::new("22023", format!("invalid {side} encoding name \"{encoding}\""))),
        _ => Err(EvalError::new("0A000", format!("conversion to and from encoding \"{encoding}\" is not supported"))),
    }
}

fn substring(bytes: &[u8], start: i32, len: Option<i32>) -> EvalResult<&[u8]> {
    let start = i64::from(start);
    let end = match len {
        Some(len) if len < 0 => return Err(EvalError::new("22011", "negative substring length not allowed")),
        Some(len) => start + i64::from(len),
        None => i64::MAX,
    };
    let clamp = |at: i64| usize::try_from(at - 1).unwrap_or(0).min(bytes.len());
    let (from, to) = (clamp(start.max(1)), clamp(end.max(1)));
    Ok(&bytes[from..to.max(from)])
}

fn overlay(bytes: &[u8], new: &[u8], start: i32, len: i32) -> EvalResult<Vec<u8>> {
    if start <= 0 {
        return Err(EvalError::new("22011", "negative substring length not allowed"));
    }
    let behind = start.checked_add(len).ok_or_else(|| crate::numeric::out_of_range("integer"))?;
    Ok([substring(bytes, 1, Some(start - 1))?, new, substring(bytes, behind, None)?].concat())
}

fn position(bytes: &[u8], part: &[u8]) -> i32 {
    if part.is_empty() {
        return 1;
    }
    bytes.windows(part.len()).position(|window| window == part).map_or(0, |at| at as i32 + 1)
}

fn trim(bytes: &[u8], set: &[u8], left: bool, right: bool) -> Vec<u8> {
    let kept = |byte: &u8| !set.contains(byte);
    let from = if left { bytes.iter().position(kept).unwrap_or(bytes.len()) } else { 0 };
    let to = if right { bytes.iter().rposition(kept).map_or(0, |at| at + 1) } else { bytes.len() };
    bytes[from..to.max(from)].to_vec()
}

fn out_of_bounds(at: i64, last: i64) -> EvalError {
    EvalError::new("2202E", format!("index {at} out of valid range, 0..{last}"))
}

fn byte_at(bytes: &[u8], at: i64) -> EvalResult<usize> {
    usize::try_from(at).ok().filter(|at| *at < bytes.len()).ok_or_else(|| out_of_bounds(at, bytes.len() as i64 - 1))
}

fn bit_at(bytes: &[u8], at: i64) -> EvalResult<(usize, u32)> {
    let byte = usize::try_from(at / 8).ok().filter(|byte| at >= 0 && *byte < bytes.len());
    let byte = byte.ok_or_else(|| out_of_bounds(at, bytes.len() as i64 * 8 - 1))?;
    Ok((byte, (at % 8) as u32))
}

fn unknown_encoding(format: &str) -> EvalError {
    EvalError::new("22023", format!("unrecognized encoding: \"{format}\""))
}

fn encode(bytes: &[u8], format: &str) -> EvalResult<String> {
    let mut out = String::new();
    match format.to_ascii_lowercase().as_str() {
        "hex" => write_hex(&mut out, bytes),
        "escape" => bytes.iter().for_each(|byte| match byte {
            0 | 0x80.. => write_escaped(&mut out, &[*byte]),
            b'\\' => out.push_str("\\\\"),
            _ => out.push(char::from(*byte)),
        }),
        "base64" => encode_base64(&mut out, bytes),
        _ => return Err(unknown_encoding(format)),
    }
    Ok(out)
}

fn decode(text: &str, format: &str) -> EvalResult<Vec<u8>> {
    match format.to_ascii_lowercase().as_str() {
        "hex" => parse_hex(text),
        "escape" => decode_escape(text),
        "base64" => decode_base64(text),
        _ => Err(unknown_encoding(format)),
    }
}

fn decode_escape(text: &str) -> EvalResult<Vec<u8>> {
    // The input form of bytea, in which a leading `\x` has no other meaning.
    match text.strip_prefix("\\x") {
        Some(_) => Err(EvalError::new("22P02", "invalid input syntax for type bytea")),
        None => parse_bytea(text),
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Lines of 76 characters, as RFC 2045 has them.
fn encode_base64(out: &mut String, bytes: &[u8]) {
    for (at, group) in bytes.chunks(3).enumerate() {
        if at > 0 && at % 19 == 0 {
            out.push('\n');
        }
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let shown = place <= group.len();
            out.push(if shown { BASE64[(bits >> (18 - 6 * place) & 63) as usize] as char } else { '=' });
        }
    }
}

fn decode_base64(text: &str) -> EvalResult<Vec<u8>> {
    let invalid_end = || {
        EvalError::new("22023", "invalid base64 end sequence")
            .with_hint("Input data is missing padding, is truncated, or is otherwise corrupted.")
    };
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count, mut padding) = (0_u32, 0, 0);
    for c in text.chars().filter(|c| !matches!(c, ' ' | '\t' | '\n' | '\r')) {
        let value = match c {
            '=' if count >= 2 => {
                padding += 1;
                0
            }
            '=' => return Err(EvalError::new("22023", "unexpected \"=\" while decoding base64 sequence")),
            _ if padding > 0 => return Err(invalid_end()),
            _ => u8::try_from(c)
                .ok()
                .and_then(|c| BASE64.iter().position(|have| *have == c))
                .map(|at| at as u32)
                .ok_or_else(|| {
                    EvalError::new("22023", format!("invalid symbol \"{c}\" found while decoding base64 sequence"))
                })?,
        };
        bits = bits << 6 | value;
        count += 1;
        if count == 4 {
            out.extend_from_slice(&bits.to_be_bytes()[1..4 - padding.min(2)]);
            (bits, count) = (0, 0);
        }
    }
    if count != 0 { Err(invalid_end()) } else { Ok(out) }
}
