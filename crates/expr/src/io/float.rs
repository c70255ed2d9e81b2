//! Floating point to text: the fewest digits that read back to the same value, laid out as PostgreSQL does.

use std::fmt::Write;

pub(crate) fn write_f64(out: &mut String, value: f64, extra_digits: i32) {
    if extra_digits > 0 {
        let reads_back = |text: &str| text.parse::<f64>() == Ok(value);
        shortest(
            out,
            value,
            format!("{value:e}"),
            15,
            f64::MANTISSA_DIGITS,
            |digits| format!("{value:.digits$e}"),
            reads_back,
        );
    } else {
        general(out, value, (15 + extra_digits).max(1) as usize);
    }
}

pub(crate) fn write_f32(out: &mut String, value: f32, extra_digits: i32) {
    if extra_digits > 0 {
        let reads_back = |text: &str| text.parse::<f32>() == Ok(value);
        let wide = f64::from(value);
        shortest(
            out,
            wide,
            format!("{value:e}"),
            6,
            f32::MANTISSA_DIGITS,
            |digits| format!("{value:.digits$e}"),
            reads_back,
        );
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
///
/// Rust also takes a decimal that lies exactly in the middle between two floats, if it reads back; PostgreSQL
/// takes only those that are nearer: it then shows more digits.
fn shortest(
    out: &mut String,
    value: f64,
    mut scientific: String,
    limit: i32,
    mantissa_bits: u32,
    with_digits: impl Fn(usize) -> String,
    reads_back: impl Fn(&str) -> bool,
) {
    if special(out, value) {
        return;
    }
    // Of two decimals that are equally near, the one with an even last digit: only long ones can be such.
    let digits = scientific.bytes().take_while(|b| *b != b'e').filter(u8::is_ascii_digit).count();
    if digits >= 16 {
        let nearest = with_digits(digits - 1);
        if reads_back(&nearest) {
            scientific = nearest;
        }
    }
    if is_midpoint(&scientific, mantissa_bits) {
        let longer = (1..17).map(with_digits).find(|text| reads_back(text) && !is_midpoint(text, mantissa_bits));
        scientific = longer.unwrap_or(scientific);
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let mantissa = if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    layout(out, mantissa, exponent.parse().unwrap_or(0), limit);
}

/// Whether a decimal has exactly one bit more than a float's mantissa: it is as far from the float below as
/// from the one above.
fn is_midpoint(scientific: &str, mantissa_bits: u32) -> bool {
    let exact = || {
        let (mantissa, exponent) = scientific.split_once('e')?;
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        let places = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len() as i32);
        let mut number: u128 = digits.parse().ok()?;
        let exponent: i32 = exponent.parse::<i32>().ok()? - places;
        if number == 0 {
            return None;
        }
        // number * 10^exponent without its factors of two.
        number >>= number.trailing_zeros();
        if exponent >= 0 {
            number = number.checked_mul(5_u128.checked_pow(exponent as u32)?)?;
        } else {
            let divisor = 5_u128.checked_pow(exponent.unsigned_abs())?;
            if !number.is_multiple_of(divisor) {
                return None;
            }
            number /= divisor;
        }
        Some(u128::BITS - number.leading_zeros() == mantissa_bits + 1)
    };
    exact().unwrap_or(false)
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
