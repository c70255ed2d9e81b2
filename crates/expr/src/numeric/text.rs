//! Numbers as text.

use std::fmt;
use std::str::FromStr;

use super::digits::Digits;
use super::{Numeric, Repr, SCALE_MAX, WEIGHT_MAX, overflow};
use crate::{EvalError, EvalResult};

impl FromStr for Numeric {
    type Err = EvalError;

    /// Blanks around it, a sign, digits with a point, an exponent; `NaN`, `inf`, `Infinity`. 22P02 else.
    fn from_str(text: &str) -> EvalResult<Numeric> {
        let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
        let (negative, unsigned) = match trimmed.as_bytes().first() {
            Some(b'-') => (true, &trimmed[1..]),
            Some(b'+') => (false, &trimmed[1..]),
            _ => (false, trimmed),
        };
        if let Some(value) = short(unsigned, negative) {
            return Ok(value);
        }
        if trimmed.eq_ignore_ascii_case("nan") {
            return Ok(Numeric::NAN);
        }
        if unsigned.eq_ignore_ascii_case("infinity") || unsigned.eq_ignore_ascii_case("inf") {
            return Ok(if negative { Numeric::NEG_INFINITY } else { Numeric::INFINITY });
        }
        long(unsigned, negative)?
            .ok_or_else(|| EvalError::new("22P02", format!("invalid input syntax for type numeric: \"{text}\"")))
    }
}

/// Digits with at most one point, few enough for the fast form.
fn short(text: &str, negative: bool) -> Option<Numeric> {
    let (mut mantissa, mut digits, mut point) = (0_i128, 0, None);
    if text.len() > 39 {
        return None;
    }
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' if digits < 38 => {
                digits += 1;
                mantissa = mantissa * 10 + i128::from(byte - b'0');
            }
            b'.' if point.is_none() => point = Some(digits),
            _ => return None,
        }
    }
    let scale = digits - point.unwrap_or(digits);
    (digits > 0).then(|| Numeric::small(if negative { -mantissa } else { mantissa }, scale))
}

fn long(text: &str, negative: bool) -> EvalResult<Option<Numeric>> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
        return Ok(None);
    }
    let exponent = match exponent {
        None => 0,
        Some(exponent) => {
            let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            if digits.is_empty() || !all_digits(digits) {
                return Ok(None);
            }
            // Beyond any limit is beyond every limit.
            exponent.parse::<i32>().ok().filter(|e| e.abs() < i32::MAX / 4).ok_or_else(overflow)?
        }
    };
    let scale = (fraction.len() as i32 - exponent).max(0);
    // The power of ten that the first digit counts, and the base-10000 digit that it falls in.
    let first = whole.len() as i32 - 1 + exponent;
    let weight = first.div_euclid(4);
    let lead = 3 - first.rem_euclid(4);
    if scale > SCALE_MAX || weight > WEIGHT_MAX + 64 {
        // Zero may still be written with any exponent.
        let is_zero = whole.bytes().chain(fraction.bytes()).all(|byte| byte == b'0');
        if scale > SCALE_MAX || !is_zero {
            return Err(overflow());
        }
        return Numeric::from_digits(Digits::zero(scale)).map(Some);
    }
    let decimal = std::iter::repeat_n(b'0', lead as usize).chain(whole.bytes()).chain(fraction.bytes());
    let mut digits = Vec::with_capacity((whole.len() + fraction.len()) / 4 + 2);
    let (mut digit, mut places) = (0_u16, 0);
    for byte in decimal {
        digit = digit * 10 + u16::from(byte - b'0');
        places += 1;
        if places == 4 {
            digits.push(digit);
            (digit, places) = (0, 0);
        }
    }
    if places > 0 {
        digits.push(digit * 10_u16.pow(4 - places));
    }
    let mut value = Digits { negative, weight, scale, digits };
    value.normalize();
    Numeric::from_digits(value).map(Some)
}

impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Small { mantissa, scale } => write_scaled(f, mantissa.get(), usize::from(*scale)),
            Repr::Big(digits) => write_digits(f, digits),
            Repr::NegInfinity => f.write_str("-Infinity"),
            Repr::Infinity => f.write_str("Infinity"),
            Repr::NaN => f.write_str("NaN"),
        }
    }
}

fn write_scaled(f: &mut fmt::Formatter<'_>, mantissa: i128, scale: usize) -> fmt::Result {
    // The longest: a sign, 39 digits and a point; with more zeros behind the point the other way is taken.
    let mut buffer = [b'0'; 48];
    if scale > 40 {
        return write_digits(f, &Digits::from_scaled(mantissa, scale as u16));
    }
    let mut at = buffer.len();
    let mut put = |digit: u8, places: usize| {
        if places == scale && scale > 0 {
            at -= 1;
            buffer[at] = b'.';
        }
        at -= 1;
        buffer[at] = b'0' + digit;
    };
    let mut places = 0;
    let mut wide = mantissa.unsigned_abs();
    while wide > u128::from(u64::MAX) {
        put((wide % 10) as u8, places);
        wide /= 10;
        places += 1;
    }
    let mut rest = wide as u64;
    while rest > 0 || places <= scale {
        put((rest % 10) as u8, places);
        rest /= 10;
        places += 1;
    }
    if mantissa < 0 {
        at -= 1;
        buffer[at] = b'-';
    }
    f.write_str(std::str::from_utf8(&buffer[at..]).unwrap_or(""))
}

fn write_digits(f: &mut fmt::Formatter<'_>, value: &Digits) -> fmt::Result {
    if value.negative {
        f.write_str("-")?;
    }
    let digit = |weight: i32| {
        usize::try_from(value.weight - weight).ok().and_then(|at| value.digits.get(at)).copied().unwrap_or(0)
    };
    if value.weight < 0 || value.is_zero() {
        f.write_str("0")?;
    } else {
        write!(f, "{}", digit(value.weight))?;
        for weight in (0..value.weight).rev() {
            write!(f, "{:04}", digit(weight))?;
        }
    }
    if value.scale > 0 {
        f.write_str(".")?;
        let groups = (value.scale + 3) / 4;
        let last = value.scale - (groups - 1) * 4;
        for group in 1..groups {
            write!(f, "{:04}", digit(-group))?;
        }
        let shown = format!("{:04}", digit(-groups));
        f.write_str(&shown[..last as usize])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written() {
        for (text, expected) in [
            (" 12.50 ", "12.50"),
            ("-0", "0"),
            ("-0.00", "0.00"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1e3", "1000"),
            ("1.5e-3", "0.0015"),
            ("+1.23e+2", "123"),
            ("1e-7", "0.0000001"),
            ("123456789012345678901234567890123456789012345.678", "123456789012345678901234567890123456789012345.678"),
            ("1e50", "100000000000000000000000000000000000000000000000000"),
            (
                "0.00000000000000000000000000000000000000000000000001",
                "0.00000000000000000000000000000000000000000000000001",
            ),
            ("nan", "NaN"),
            ("-inf", "-Infinity"),
            ("+Infinity", "Infinity"),
        ] {
            assert_eq!(text.parse::<Numeric>().unwrap().to_string(), expected, "{text}");
        }
        for text in ["", "abc", "1.2.3", "1e", "--1", "1 2", ".", "e5", "-nan", "1_000"] {
            let error = text.parse::<Numeric>().unwrap_err().0;
            assert_eq!(
                (error.state.as_str(), error.message),
                ("22P02", format!("invalid input syntax for type numeric: \"{text}\""))
            );
        }
        assert_eq!("1e200000".parse::<Numeric>().unwrap_err().0.message, "value overflows numeric format");
        assert_eq!("1e99999999999".parse::<Numeric>().unwrap_err().0.state.as_str(), "22003");
    }
}
