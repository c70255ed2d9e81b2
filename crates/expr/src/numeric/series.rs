//! Roots, exponentials, logarithms and powers, to the scale that PostgreSQL gives them.
//!
//! Each computes with a few more digits than the result shows and rounds at the end. The rules for the
//! scale of a result (at least 16 significant digits, never fewer behind the point than the operand shows)
//! are those of PostgreSQL's `numeric.c`.

use std::cmp::Ordering;

use super::arithmetic::division_by_zero;
use super::digits::Digits;
use super::{DISPLAY_SCALE_MAX, Numeric, SIGNIFICANT_DIGITS_MIN, WEIGHT_MAX, overflow};
use crate::{EvalError, EvalResult};

const LN_10: f64 = std::f64::consts::LN_10;
const LOG10_E: f64 = std::f64::consts::LOG10_E;
/// Decimal digits that a result may have on either side of the point, roughly.
const RESULT_SCALE_MAX: f64 = 2000.0;
/// Digits carried beyond those that are shown.
const GUARD: i32 = 8;

/// As many digits behind the point as make 16 significant ones, and no fewer than `shown`.
fn result_scale(decimal_weight: i32, shown: i32) -> i32 {
    (SIGNIFICANT_DIGITS_MIN - decimal_weight).max(shown).clamp(0, DISPLAY_SCALE_MAX)
}

fn one() -> Digits {
    Digits::from_int(1)
}

fn rounded(mut value: Digits, scale: i32) -> Digits {
    value.round(scale);
    value
}

fn mul(a: &Digits, b: &Digits, scale: i32) -> Digits {
    rounded(a.mul(b), scale)
}

impl Numeric {
    pub fn sqrt(&self) -> EvalResult<Numeric> {
        if self.is_nan() {
            return Ok(Numeric::NAN);
        }
        if self.signum() < 0 {
            return Err(EvalError::new("2201F", "cannot take square root of a negative number"));
        }
        let Some(value) = self.to_digits() else { return Ok(Numeric::INFINITY) };
        let weight = (value.weight + 1) * 4 / 2 - 1;
        Numeric::from_digits(sqrt(&value, result_scale(weight, value.scale)))
    }

    pub fn exp(&self) -> EvalResult<Numeric> {
        let Some(value) = self.to_digits() else {
            return Ok(if self.is_nan() {
                Numeric::NAN
            } else if self.signum() < 0 {
                Numeric::ZERO
            } else {
                Numeric::INFINITY
            });
        };
        let weight = (value.to_f64() * LOG10_E).clamp(-RESULT_SCALE_MAX, RESULT_SCALE_MAX);
        Numeric::from_digits(exp(&value, result_scale(weight as i32, value.scale))?)
    }

    pub fn ln(&self) -> EvalResult<Numeric> {
        let Some(value) = self.logarithm_operand()? else { return Ok(self.clone()) };
        let scale = result_scale(ln_decimal_weight(&value), value.scale);
        Numeric::from_digits(ln(&value, scale))
    }

    /// The finite value whose logarithm is wanted; `None` for NaN and Infinity.
    fn logarithm_operand(&self) -> EvalResult<Option<Digits>> {
        match self.signum() {
            _ if self.is_nan() => Ok(None),
            0 => Err(EvalError::new("2201E", "cannot take logarithm of zero")),
            -1 => Err(EvalError::new("2201E", "cannot take logarithm of a negative number")),
            _ => Ok(self.to_digits()),
        }
    }

    /// The logarithm of `value` to this base.
    pub fn log(&self, value: &Numeric) -> EvalResult<Numeric> {
        if self.is_nan() || value.is_nan() {
            return Ok(Numeric::NAN);
        }
        let special = !self.is_finite() || !value.is_finite();
        if special && (self.signum() < 0 || value.signum() < 0) {
            return Err(EvalError::new("2201E", "cannot take logarithm of a negative number"));
        }
        let (base, number) = (self.logarithm_operand()?, value.logarithm_operand()?);
        let (Some(base), Some(number)) = (base, number) else {
            return Ok(match (self.is_finite(), value.is_finite()) {
                (false, false) => Numeric::NAN,
                (false, true) => Numeric::ZERO,
                _ => Numeric::INFINITY,
            });
        };
        let (base_weight, number_weight) = (ln_decimal_weight(&base), ln_decimal_weight(&number));
        let weight = number_weight - base_weight;
        let scale = result_scale(weight, base.scale.max(number.scale));
        let ln_base = ln(&base, (scale + weight - base_weight + GUARD).max(0));
        let ln_number = ln(&number, (scale + weight - number_weight + GUARD).max(0));
        if ln_base.is_zero() {
            return Err(division_by_zero());
        }
        Numeric::from_digits(ln_number.div(&ln_base, scale, true))
    }

    pub fn power(&self, exponent: &Numeric) -> EvalResult<Numeric> {
        match (self.to_digits(), exponent.to_digits()) {
            (Some(base), Some(exponent)) => {
                if base.is_zero() && exponent.negative {
                    return Err(EvalError::new("2201F", "zero raised to a negative power is undefined"));
                }
                Numeric::from_digits(power(&base, &exponent)?)
            }
            _ => self.power_special(exponent),
        }
    }

    /// Where one of both is NaN or infinite: as POSIX has it for `pow`.
    fn power_special(&self, exponent: &Numeric) -> EvalResult<Numeric> {
        if self.is_nan() {
            return Ok(if exponent.is_zero() { Numeric::ONE } else { Numeric::NAN });
        }
        if exponent.is_nan() {
            return Ok(if *self == Numeric::ONE { Numeric::ONE } else { Numeric::NAN });
        }
        if exponent.is_finite() {
            // The base is infinite.
            let odd = exponent.is_integer() && !exponent.rem(&Numeric::from(2_i32))?.is_zero();
            return match exponent.signum() {
                0 => Ok(Numeric::ONE),
                _ if self.signum() < 0 && !exponent.is_integer() => Err(complex_result()),
                -1 => Ok(Numeric::ZERO),
                _ if self.signum() < 0 && odd => Ok(Numeric::NEG_INFINITY),
                _ => Ok(Numeric::INFINITY),
            };
        }
        // The exponent is infinite.
        match self.abs().cmp(&Numeric::ONE) {
            Ordering::Equal => Ok(Numeric::ONE),
            _ if self.is_zero() && exponent.signum() < 0 => {
                Err(EvalError::new("2201F", "zero raised to a negative power is undefined"))
            }
            order if (order == Ordering::Greater) == (exponent.signum() > 0) => Ok(Numeric::INFINITY),
            _ => Ok(Numeric::ZERO),
        }
    }
}

fn complex_result() -> EvalError {
    EvalError::new("2201F", "a negative number raised to a non-integer power yields a complex result")
}

/// Newton's iteration from a double's approximation; the number of right digits doubles each time.
pub(super) fn sqrt(value: &Digits, scale: i32) -> Digits {
    if value.is_zero() {
        return Digits::zero(scale);
    }
    // sqrt(v · 10000^2k) = sqrt(v) · 10000^k: bring the value near one, where a double holds it.
    let shift = value.weight.div_euclid(2);
    let near = Digits { weight: value.weight - 2 * shift, ..value.clone() };
    let working = (scale + 4 * shift).max(0) + GUARD;
    let half = Digits { negative: false, weight: -1, scale: 1, digits: vec![5000] };
    let text = format!("{:.17}", near.to_f64().sqrt());
    let mut root = text.parse::<Numeric>().ok().and_then(|root| root.to_digits()).unwrap_or_else(one);
    let mut right = 14;
    loop {
        let digits = (right * 2).min(working);
        root = mul(&root.add(&near.div(&root, digits + 2, true)), &half, digits + 2);
        if digits >= working && right >= working {
            break;
        }
        right = digits.max(right + 1);
    }
    root.weight += shift;
    let root = rounded(root, scale);
    // The iteration's own last digit was rounded already: just below a half it has led too high.
    let Ok(digits) = u16::try_from(scale + 1) else { return root };
    let middle = root.sub(&Digits::from_scaled(5, digits));
    if middle.mul(&middle).cmp_value(value).is_gt() {
        rounded(root.sub(&Digits::from_scaled(10, digits)), scale)
    } else {
        root
    }
}

/// Taylor's series of a reduced argument, squared back.
fn exp(value: &Digits, scale: i32) -> EvalResult<Digits> {
    let approximate = value.to_f64();
    if approximate.abs() >= RESULT_SCALE_MAX * 3.0 {
        return if approximate > 0.0 { Err(overflow()) } else { Ok(Digits::zero(scale)) };
    }
    let weight = (approximate * LOG10_E) as i32;
    // Halve the argument until it is below 0.01; each squaring back costs a digit at most.
    let mut halvings = 0;
    while approximate.abs() / f64::from(halvings).exp2() > 0.01 {
        halvings += 1;
    }
    let significant = (1 + weight + scale).max(0) + GUARD;
    let working = significant + halvings / 2 + GUARD;
    let divisor = Digits::from_int(1_i128 << halvings.min(100));
    let x = value.div(&divisor, working, true);
    let (mut sum, mut term, mut n) = (one().add(&x), x.clone(), 2);
    loop {
        term = mul(&term, &x, working).div(&Digits::from_int(n), working, true);
        if term.is_zero() {
            break;
        }
        sum = sum.add(&term);
        n += 1;
    }
    for _ in 0..halvings {
        let digits = (working - sum.weight * 8).max(0);
        sum = mul(&sum, &sum, digits);
    }
    Ok(rounded(sum, scale))
}

/// `2 artanh((x - 1) / (x + 1))` of an argument that roots have brought near one.
fn ln(value: &Digits, scale: i32) -> Digits {
    let mut x = value.clone();
    let mut doublings = 0_u32;
    let (low, high) = (Digits::from_scaled(9, 1), Digits::from_scaled(11, 1));
    let magnitude = (value.weight.abs() * 4 + 4) as f64 * LN_10;
    let working = scale + (magnitude.log10() as i32).max(0) + 2 * GUARD;
    while x.cmp_value(&low) == Ordering::Less || x.cmp_value(&high) == Ordering::Greater {
        // A root of a tiny number has digits further behind the point than the number of them that counts.
        x = sqrt(&x, working + (-x.weight).max(0) * 2 + doublings as i32 / 2);
        doublings += 1;
    }
    let working = working + doublings as i32 / 3;
    let z = x.sub(&one()).div(&x.add(&one()), working, true);
    let square = mul(&z, &z, working);
    let (mut sum, mut power, mut n) = (z.clone(), z, 3);
    loop {
        power = mul(&power, &square, working);
        let term = power.div(&Digits::from_int(n), working, true);
        if term.is_zero() {
            break;
        }
        sum = sum.add(&term);
        n += 2;
    }
    rounded(sum.mul(&Digits::from_int(2_i128 << doublings)), scale)
}

/// The power of ten that the first digit of the logarithm counts, roughly.
fn ln_decimal_weight(value: &Digits) -> i32 {
    let (low, high) = (Digits::from_scaled(9, 1), Digits::from_scaled(11, 1));
    if value.cmp_value(&low) != Ordering::Less && value.cmp_value(&high) != Ordering::Greater {
        // ln(1 + x) is about x.
        let x = value.sub(&one());
        return x.digits.first().map_or(0, |first| x.weight * 4 + f64::from(*first).log10() as i32);
    }
    let (mut head, mut weight) = (f64::from(value.digits.first().copied().unwrap_or(1)), value.weight * 4);
    if let Some(second) = value.digits.get(1) {
        head = head * 10_000.0 + f64::from(*second);
        weight -= 4;
    }
    (head.ln() + f64::from(weight) * LN_10).abs().log10() as i32
}

fn power(base: &Digits, exponent: &Digits) -> EvalResult<Digits> {
    let whole = exponent.is_integer().then(|| exponent.clone().with_scale(0).to_scaled()).flatten();
    if let Some(n) = whole.and_then(|(n, _)| i32::try_from(n).ok()) {
        return power_of_integer(base, n);
    }
    if base.is_zero() {
        return Ok(Digits::zero(SIGNIFICANT_DIGITS_MIN));
    }
    if base.negative && !exponent.is_integer() {
        return Err(complex_result());
    }
    let odd = exponent.is_integer()
        && exponent.digits.len() as i32 == exponent.weight + 1
        && exponent.digits.last().is_some_and(|d| d % 2 == 1);
    let negative = base.negative && odd;
    let base = base.clone().abs();
    let ln_weight = ln_decimal_weight(&base);
    let estimate = mul(&ln(&base, (8 - ln_weight).max(0)), exponent, (8 - ln_weight).max(0)).to_f64();
    if estimate.abs() > RESULT_SCALE_MAX * 3.01 {
        return if estimate > 0.0 { Err(overflow()) } else { Ok(Digits::zero(DISPLAY_SCALE_MAX)) };
    }
    let weight = (estimate * LOG10_E) as i32;
    let scale = result_scale(weight, base.scale.max(exponent.scale));
    let working = ((scale + weight).max(0) - ln_weight + GUARD).max(0);
    // The logarithm is multiplied by the exponent: it needs as many digits more.
    let exponent_digits = (exponent.weight + 1).max(0) * 4;
    let logarithm = mul(&ln(&base, working + exponent_digits), exponent, working);
    let result = exp(&logarithm, scale)?;
    Ok(if negative { result.negated() } else { result })
}

/// Multiplies by the bits of the exponent. The result shows 16 digits behind the point, or as many as the base.
fn power_of_integer(base: &Digits, exponent: i32) -> EvalResult<Digits> {
    let scale = SIGNIFICANT_DIGITS_MIN.max(base.scale).clamp(0, DISPLAY_SCALE_MAX);
    match exponent {
        0 => return Ok(rounded(one(), scale)),
        1 => return Ok(rounded(base.clone(), scale)),
        -1 if base.is_zero() => return Err(division_by_zero()),
        -1 => return Ok(one().div(base, scale, true)),
        2 => return Ok(mul(base, base, scale)),
        _ => {}
    }
    if base.is_zero() {
        return if exponent < 0 { Err(division_by_zero()) } else { Ok(Digits::zero(scale)) };
    }
    let head = base.digits.iter().take(4).enumerate();
    let (head, weight) = head.fold((0.0, base.weight * 4), |(value, weight), (at, digit)| {
        (value * 10_000.0 + f64::from(*digit), if at > 0 { weight - 4 } else { weight })
    });
    let decimals = (head.log10() + f64::from(weight)) * f64::from(exponent);
    if decimals > f64::from(3 * WEIGHT_MAX * 4) {
        return Err(overflow());
    }
    if decimals + 1.0 < -f64::from(scale) || decimals + 1.0 < -f64::from(DISPLAY_SCALE_MAX) {
        return Ok(Digits::zero(scale));
    }
    let significant = (1 + scale + decimals as i32 + f64::from(exponent).abs().ln() as i32 + GUARD).max(1);
    let keep = |value: Digits| {
        let places = (significant - value.weight * 4).max(0);
        rounded(value, places)
    };
    let mut rest = exponent.unsigned_abs();
    let (mut square, mut result) = (base.clone(), if rest & 1 == 1 { base.clone() } else { one() });
    loop {
        rest >>= 1;
        if rest == 0 {
            break;
        }
        square = keep(square.mul(&square));
        if rest & 1 == 1 {
            result = keep(result.mul(&square));
        }
        if square.weight > WEIGHT_MAX || result.weight > WEIGHT_MAX {
            return if exponent > 0 { Err(overflow()) } else { Ok(Digits::zero(scale)) };
        }
    }
    if exponent > 0 { Ok(rounded(result, scale)) } else { Ok(one().div(&result, scale, true)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(text: &str) -> Numeric {
        text.parse().unwrap()
    }

    #[test]
    fn results_are_those_of_postgres() {
        assert_eq!(n("2").sqrt().unwrap().to_string(), "1.414213562373095");
        assert_eq!(n("2.25").sqrt().unwrap().to_string(), "1.500000000000000");
        assert_eq!(n("1").exp().unwrap().to_string(), "2.7182818284590452");
        assert_eq!(n("10").exp().unwrap().to_string(), "22026.465794806717");
        assert_eq!(n("2").ln().unwrap().to_string(), "0.6931471805599453");
        assert_eq!(n("2").power(&n("10")).unwrap().to_string(), "1024.0000000000000000");
        assert_eq!(n("2").power(&n("0.5")).unwrap().to_string(), "1.4142135623730950");
        assert_eq!(n("10").log(&n("1000")).unwrap().to_string(), "3.0000000000000000");
        assert_eq!(
            n("-8").power(&n("0.5")).unwrap_err().0.message,
            "a negative number raised to a non-integer power yields a complex result"
        );
    }
}
