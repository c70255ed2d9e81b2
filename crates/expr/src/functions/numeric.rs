//! Arithmetic and functions of numeric.

use super::native::{Table, scalar};
use crate::{EvalError, EvalResult, Numeric};

pub(super) const FUNCTIONS: &[Table] = &[&[
    scalar!("numeric_add", |a: &Numeric, b: &Numeric| a.add(b)),
    scalar!("numeric_sub", |a: &Numeric, b: &Numeric| a.sub(b)),
    scalar!("numeric_mul", |a: &Numeric, b: &Numeric| a.mul(b)),
    scalar!("numeric_div", |a: &Numeric, b: &Numeric| a.div(b)),
    scalar!("numeric_div_trunc", |a: &Numeric, b: &Numeric| a.div_trunc(b)),
    scalar!("numeric_mod", |a: &Numeric, b: &Numeric| a.rem(b)),
    scalar!("numeric_uminus", |a: &Numeric| a.neg()),
    scalar!("numeric_uplus", |a: &Numeric| a.clone()),
    scalar!("numeric_abs", |a: &Numeric| a.abs()),
    scalar!("numeric_sign", |a: &Numeric| if a.is_nan() { Numeric::NAN } else { Numeric::from(a.signum()) }),
    scalar!("numeric_inc", |a: &Numeric| a.add(&Numeric::ONE)),
    scalar!("numeric_round", |a: &Numeric, scale: i32| a.round(scale)),
    scalar!("numeric_trunc", |a: &Numeric, scale: i32| a.trunc(scale)),
    scalar!("sql1708", |a: &Numeric| a.round(0)),
    scalar!("sql1710", |a: &Numeric| a.trunc(0)),
    scalar!("numeric_ceil", |a: &Numeric| a.ceil()),
    scalar!("numeric_floor", |a: &Numeric| a.floor()),
    scalar!("numeric_sqrt", |a: &Numeric| a.sqrt()),
    scalar!("numeric_exp", |a: &Numeric| a.exp()),
    scalar!("numeric_ln", |a: &Numeric| a.ln()),
    scalar!("numeric_log", |base: &Numeric, a: &Numeric| base.log(a)),
    scalar!("sql1741", |a: &Numeric| Numeric::from(10_i32).log(a)),
    scalar!("sql1481", |a: &Numeric| Numeric::from(10_i32).log(a)),
    scalar!("numeric_power", |a: &Numeric, b: &Numeric| a.power(b)),
    scalar!("numeric_gcd", |a: &Numeric, b: &Numeric| a.gcd(b)),
    scalar!("numeric_lcm", |a: &Numeric, b: &Numeric| a.lcm(b)),
    scalar!("numeric_scale", |a: &Numeric| a.scale()),
    scalar!("numeric_min_scale", |a: &Numeric| a.min_scale()),
    scalar!("numeric_trim_scale", |a: &Numeric| a.trim_scale()),
    scalar!("width_bucket_numeric", |a: &Numeric, low: &Numeric, high: &Numeric, count: i32| width_bucket(
        a, low, high, count
    )),
    scalar!("pg_size_pretty_numeric", |bytes: &Numeric| match bytes.trunc(0)?.as_scaled() {
        Some((whole, _)) if whole.abs() < 10 * 1024 => Ok(format!("{bytes} bytes")),
        Some((bytes, _)) => Ok(size_pretty(bytes)),
        None => large_size_pretty(bytes),
    }),
    scalar!("pg_size_bytes", |text: &str| size_bytes(text)),
]];

fn width_bucket(a: &Numeric, low: &Numeric, high: &Numeric, count: i32) -> EvalResult<i32> {
    let argument = |message: &str| EvalError::new("2201G", message);
    if count <= 0 {
        return Err(argument("count must be greater than zero"));
    }
    if a.is_nan() || low.is_nan() || high.is_nan() {
        return Err(argument("operand, lower bound, and upper bound cannot be NaN"));
    }
    if !low.is_finite() || !high.is_finite() {
        return Err(argument("lower and upper bounds must be finite"));
    }
    if low == high {
        return Err(argument("lower bound cannot equal upper bound"));
    }
    let above = || count.checked_add(1).ok_or_else(|| crate::numeric::out_of_range("integer"));
    let (before, after) = if low < high { (a < low, a >= high) } else { (a > low, a <= high) };
    if before {
        return Ok(0);
    }
    if after {
        return above();
    }
    let share = a.sub(low)?.mul(&Numeric::from(count))?;
    share.div_trunc(&high.sub(low)?)?.to_i32().map(|bucket| bucket.min(count - 1) + 1)
}

/// As `pg_size_pretty`: 1024 bytes are a kB, shown from ten of them on.
pub(super) fn size_pretty(bytes: i128) -> String {
    let half_up = |value: i128, unit: i128| {
        let doubled = value.unsigned_abs() * 2 / unit.unsigned_abs();
        (doubled as i128 + 1) / 2 * value.signum()
    };
    const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let limit = 10 * 1024;
    if bytes.abs() < limit {
        return format!("{bytes} bytes");
    }
    let mut unit = 1_i128;
    for (at, name) in UNITS.iter().enumerate().skip(1) {
        unit *= 1024;
        let shown = half_up(bytes, unit);
        if shown.abs() < limit || at + 1 == UNITS.len() {
            return format!("{shown} {name}");
        }
    }
    format!("{bytes} bytes")
}

/// What does not fit 128 bits is shown in the largest unit.
fn large_size_pretty(bytes: &Numeric) -> EvalResult<String> {
    let doubled = bytes.div_trunc(&Numeric::from(1_i64 << 49))?;
    let rounded = doubled.add(&Numeric::from(doubled.signum()))?.div_trunc(&Numeric::from(2_i32))?;
    Ok(format!("{rounded} PB"))
}

/// `10 MB` as a number of bytes.
fn size_bytes(text: &str) -> EvalResult<i64> {
    let invalid = || EvalError::new("22023", format!("invalid size: \"{text}\""));
    let trimmed = text.trim();
    let end = trimmed
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E')))
        .unwrap_or(trimmed.len());
    let number: Numeric = trimmed[..end].trim().parse().map_err(|_| invalid())?;
    let shift = match trimmed[end..].trim().to_ascii_lowercase().as_str() {
        "" | "bytes" | "b" => 0,
        "kb" => 10,
        "mb" => 20,
        "gb" => 30,
        "tb" => 40,
        "pb" => 50,
        unit => {
            return Err(invalid()
                .with_detail(format!("Invalid size unit: \"{unit}\"."))
                .with_hint("Valid units are \"bytes\", \"B\", \"kB\", \"MB\", \"GB\", \"TB\", and \"PB\"."));
        }
    };
    number.mul(&Numeric::from(1_i64 << shift))?.to_i64()
}
