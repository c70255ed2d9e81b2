//! Floating point to text: the fewest digits that read back to the same value, laid out as PostgreSQL does.

use std::fmt::Write;

pub(crate) fn write_f64(out: &mut String, value: f64, extra_digits: i32) {
    if extra_digits > 0 {
        shortest(out, value, &format!("{value:e}"), 15);
    } else {
        general(out, value, (15 + extra_digits).max(1) as usize);
    }
}

pub(crate) fn write_f32(out: &mut String, value: f32, extra_digits: i32) {
    if extra_digits > 0 {
        shortest(out, f64::from(value), &format!("{value:e}"), 6);
    } else {
        general(out, f64::from(value), (6 + extra_digits).max(1) as usize);
    }
}

fn special(out: &mut String, value: f64) -> bool {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value < 0.0 { "-Infinity" } else { "Infinity" });
    }
    !value.is_finite()
}

/// `scientific` is Rust's shortest form, `d.ddde-x`. From 10^`limit` on, and below 10^-4, with exponent.
fn shortest(out: &mut String, value: f64, scientific: &str, limit: i32) {
    if special(out, value) {
        return;
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    layout(out, mantissa, exponent.parse().unwrap_or(0), limit);
}

fn layout(out: &mut String, mantissa: &str, exponent: i32, limit: i32) {
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    out.push_str(sign);
    if exponent < -4 || exponent >= limit {
        out.push_str(&digits[..1]);
        if digits.len() > 1 {
            out.push('.');
            out.push_str(&digits[1..]);
        }
        // Writing to a string cannot fail.
        let _ = write!(out, "e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
    } else if exponent < 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', (-exponent - 1) as usize));
        out.push_str(&digits);
    } else {
        let whole = exponent as usize + 1;
        if digits.len() <= whole {
            out.push_str(&digits);
            out.extend(std::iter::repeat_n('0', whole - digits.len()));
        } else {
            out.push_str(&digits[..whole]);
            out.push('.');
            out.push_str(&digits[whole..]);
        }
    }
}

/// C's `%.{precision}g`.
pub(crate) fn general(out: &mut String, value: f64, precision: usize) {
    if special(out, value) {
        return;
    }
    let scientific = format!("{value:.0$e}", precision - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let mantissa = if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    layout(out, mantissa, exponent.parse().unwrap_or(0), precision as i32);
}
