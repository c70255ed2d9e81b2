//! Integers, booleans and floating point from text; integers to text.

use super::invalid_syntax;
use crate::{EvalError, EvalResult, SqlType};

/// What C's `isspace` takes for a blank.
fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b')
}

fn parse_int<T: TryFrom<i64>>(text: &str, type_name: &str) -> EvalResult<T> {
    let digits = trimmed(text);
    let unsigned = digits.strip_prefix(['-', '+']).unwrap_or(digits);
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid_syntax(type_name, text));
    }
    let value = digits.parse::<i64>().ok().and_then(|value| T::try_from(value).ok());
    value.ok_or_else(|| EvalError::new("22003", format!("value \"{text}\" is out of range for type {type_name}")))
}

pub(crate) fn parse_i16(text: &str) -> EvalResult<i16> {
    parse_int(text, "smallint")
}

pub(crate) fn parse_i32(text: &str) -> EvalResult<i32> {
    parse_int(text, "integer")
}

pub(crate) fn parse_i64(text: &str) -> EvalResult<i64> {
    parse_int(text, "bigint")
}

/// Negative numbers are taken too, as their two's complement.
pub(super) fn parse_oid(text: &str, ty: SqlType) -> EvalResult<u32> {
    let name = ty.base().to_string();
    let digits = trimmed(text);
    let unsigned = digits.strip_prefix(['-', '+']).unwrap_or(digits);
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid_syntax(&name, text));
    }
    let value = digits.parse::<i64>().ok().filter(|value| (i64::from(i32::MIN)..=i64::from(u32::MAX)).contains(value));
    value
        .map(|value| value as u32)
        .ok_or_else(|| EvalError::new("22003", format!("value \"{text}\" is out of range for type {name}")))
}

/// Any beginning of true, false, yes, no, on, off that is clear; 1 and 0.
pub(super) fn parse_bool(text: &str) -> EvalResult<bool> {
    let word = trimmed(text).to_ascii_lowercase();
    let begins = |full: &str, least: usize| word.len() >= least && full.starts_with(&word);
    if begins("true", 1) || begins("yes", 1) || word == "on" || word == "1" {
        return Ok(true);
    }
    if begins("false", 1) || begins("no", 1) || begins("off", 2) || word == "0" {
        return Ok(false);
    }
    Err(invalid_syntax("boolean", text))
}

/// What both floating-point types read: the words, and whether the text is a number at all.
fn special_float(text: &str, type_name: &str) -> EvalResult<Option<f64>> {
    let word = trimmed(text);
    let unsigned = word.strip_prefix(['-', '+']).unwrap_or(word);
    let sign = if word.starts_with('-') { -1.0 } else { 1.0 };
    if unsigned.eq_ignore_ascii_case("infinity") || unsigned.eq_ignore_ascii_case("inf") {
        return Ok(Some(sign * f64::INFINITY));
    }
    if word.eq_ignore_ascii_case("nan") {
        return Ok(Some(f64::NAN));
    }
    let is_number = unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'))
        && unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if is_number { Ok(None) } else { Err(invalid_syntax(type_name, text)) }
}

/// Whether a number's digits are all zero: only then may it read as zero.
fn is_written_zero(text: &str) -> bool {
    let mantissa = text.split(['e', 'E']).next().unwrap_or("");
    !mantissa.bytes().any(|b| matches!(b, b'1'..=b'9'))
}

pub(crate) fn parse_f64(text: &str) -> EvalResult<f64> {
    if let Some(value) = special_float(text, "double precision")? {
        return Ok(value);
    }
    let value: f64 = trimmed(text).parse().map_err(|_| invalid_syntax("double precision", text))?;
    if value.is_infinite() || value == 0.0 && !is_written_zero(text) {
        return Err(EvalError::new(
            "22003",
            format!("\"{}\" is out of range for type double precision", trimmed(text)),
        ));
    }
    Ok(value)
}

pub(crate) fn parse_f32(text: &str) -> EvalResult<f32> {
    if let Some(value) = special_float(text, "real")? {
        return Ok(value as f32);
    }
    let value: f32 = trimmed(text).parse().map_err(|_| invalid_syntax("real", text))?;
    if value.is_infinite() || value == 0.0 && !is_written_zero(text) {
        return Err(EvalError::new("22003", format!("\"{}\" is out of range for type real", trimmed(text))));
    }
    Ok(value)
}

/// The digits of `value` at the end of `buffer`.
fn int_digits(buffer: &mut [u8; 20], value: i64) -> &[u8] {
    let mut rest = value.unsigned_abs();
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        buffer[at] = b'-';
    }
    &buffer[at..]
}

pub(super) fn append_int(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(int_digits(&mut [0; 20], value));
}

pub(super) fn write_int(out: &mut String, value: i64) {
    out.extend(int_digits(&mut [0; 20], value).iter().map(|b| char::from(*b)));
}
