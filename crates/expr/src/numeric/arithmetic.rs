//! Plus, minus, times, divided by, and what is left over.

use super::digits::{self, Digits};
use super::{DISPLAY_SCALE_MAX, Numeric, Repr, SCALE_MAX, SIGNIFICANT_DIGITS_MIN};
use crate::{EvalError, EvalResult};

/// Powers of ten that fit an i128.
const POWERS: [i128; 39] = {
    let mut powers = [1_i128; 39];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

pub(super) fn power_of_ten(exponent: u16) -> Option<i128> {
    POWERS.get(usize::from(exponent)).copied()
}

/// Both mantissas at the larger scale, where they fit.
pub(super) fn align(a: i128, a_scale: u16, b: i128, b_scale: u16) -> Option<(i128, i128)> {
    if a_scale < b_scale {
        Some((a.checked_mul(power_of_ten(b_scale - a_scale)?)?, b))
    } else {
        Some((a, b.checked_mul(power_of_ten(a_scale - b_scale)?)?))
    }
}

pub(crate) fn division_by_zero() -> EvalError {
    EvalError::new("22012", "division by zero")
}

impl Numeric {
    /// The operation on 128-bit integers brought to one scale, where everything fits.
    fn aligned(&self, other: &Numeric, op: impl FnOnce(i128, i128) -> Option<i128>) -> Option<Numeric> {
        let ((a, a_scale), (b, b_scale)) = (self.as_scaled()?, other.as_scaled()?);
        let (a, b) = align(a, a_scale, b, b_scale)?;
        Some(Numeric::small(op(a, b)?, a_scale.max(b_scale)))
    }

    pub fn add(&self, other: &Numeric) -> EvalResult<Numeric> {
        if let Some(sum) = self.aligned(other, i128::checked_add) {
            return Ok(sum);
        }
        match (self.to_digits(), other.to_digits()) {
            (Some(a), Some(b)) => Numeric::from_digits(a.add(&b)),
            (None, None) if self.rank() != other.rank() => Ok(Numeric::NAN),
            (None, _) => Ok(if other.is_nan() { Numeric::NAN } else { self.clone() }),
            (_, None) => Ok(other.clone()),
        }
    }

    pub fn sub(&self, other: &Numeric) -> EvalResult<Numeric> {
        match self.aligned(other, i128::checked_sub) {
            Some(difference) => Ok(difference),
            None => self.add(&other.neg()),
        }
    }

    pub fn neg(&self) -> Numeric {
        match &self.0 {
            Repr::Small { mantissa, scale } => Numeric::small(-mantissa.get(), *scale),
            Repr::Big(digits) => Numeric(Repr::Big(Box::new((**digits).clone().negated()))),
            Repr::NegInfinity => Numeric::INFINITY,
            Repr::Infinity => Numeric::NEG_INFINITY,
            Repr::NaN => Numeric::NAN,
        }
    }

    pub fn abs(&self) -> Numeric {
        if self.signum() < 0 { self.neg() } else { self.clone() }
    }

    pub fn mul(&self, other: &Numeric) -> EvalResult<Numeric> {
        if let (Some((a, a_scale)), Some((b, b_scale))) = (self.as_scaled(), other.as_scaled())
            && let Some(product) = a.checked_mul(b)
        {
            return Ok(Numeric::small(product, a_scale + b_scale));
        }
        match (self.to_digits(), other.to_digits()) {
            (Some(a), Some(b)) => {
                let mut product = a.mul(&b);
                if product.scale > SCALE_MAX {
                    product.round(SCALE_MAX);
                }
                Numeric::from_digits(product)
            }
            _ if self.is_nan() || other.is_nan() => Ok(Numeric::NAN),
            _ => Ok(match self.signum() * other.signum() {
                0 => Numeric::NAN,
                1 => Numeric::INFINITY,
                _ => Numeric::NEG_INFINITY,
            }),
        }
    }

    /// The quotient with PostgreSQL's scale: at least 16 significant digits, and no less than either
    /// operand shows. 22012 on a zero divisor.
    pub fn div(&self, other: &Numeric) -> EvalResult<Numeric> {
        if self.is_finite() && other.is_finite() {
            if other.is_zero() {
                return Err(division_by_zero());
            }
            return self.div_to_scale(other, self.quotient_scale(other));
        }
        if self.is_nan() || other.is_nan() || !self.is_finite() && !other.is_finite() {
            return Ok(Numeric::NAN);
        }
        if self.is_finite() {
            return Ok(Numeric::ZERO);
        }
        match self.signum() * other.signum() {
            0 => Err(division_by_zero()),
            1 => Ok(Numeric::INFINITY),
            _ => Ok(Numeric::NEG_INFINITY),
        }
    }

    /// The quotient of finite numbers, rounded to `scale` digits behind the point.
    pub(crate) fn div_to_scale(&self, other: &Numeric, scale: i32) -> EvalResult<Numeric> {
        if let Some(quotient) = self.div_scaled(other, scale) {
            return Ok(quotient);
        }
        match (self.to_digits(), other.to_digits()) {
            (Some(a), Some(b)) if !b.is_zero() => Numeric::from_digits(a.div(&b, scale, true)),
            _ => Err(division_by_zero()),
        }
    }

    fn div_scaled(&self, other: &Numeric, scale: i32) -> Option<Numeric> {
        let ((a, a_scale), (b, b_scale)) = (self.as_scaled()?, other.as_scaled()?);
        let shift = u16::try_from(scale - i32::from(a_scale) + i32::from(b_scale)).ok()?;
        let a = a.checked_mul(power_of_ten(shift)?)?;
        let (quotient, rest) = (a.checked_div(b)?, a.checked_rem(b)?);
        let up = rest.unsigned_abs() >= b.unsigned_abs() - rest.unsigned_abs();
        let away = if (a < 0) == (b < 0) { 1 } else { -1 };
        Some(Numeric::small(quotient + if up { away } else { 0 }, u16::try_from(scale).ok()?))
    }

    /// PostgreSQL's `select_div_scale`.
    pub(crate) fn quotient_scale(&self, other: &Numeric) -> i32 {
        let head = |value: &Numeric| {
            value.with_digits(|_, weight, digits| (weight, digits.first().copied().unwrap_or(0))).unwrap_or((0, 0))
        };
        let ((weight1, first1), (weight2, first2)) = (head(self), head(other));
        let weight = weight1 - weight2 - i32::from(first1 <= first2);
        let shown = self.scale().unwrap_or(0).max(other.scale().unwrap_or(0));
        (SIGNIFICANT_DIGITS_MIN - weight * 4).max(shown).clamp(0, DISPLAY_SCALE_MAX)
    }

    /// The quotient cut to an integer: `div(a, b)`.
    pub fn div_trunc(&self, other: &Numeric) -> EvalResult<Numeric> {
        match (self.to_digits(), other.to_digits()) {
            (Some(_), Some(b)) if b.is_zero() => Err(division_by_zero()),
            (Some(a), Some(b)) => Numeric::from_digits(a.div(&b, 0, false)),
            _ => self.div(other),
        }
    }

    /// The remainder, with the sign of the dividend.
    pub fn rem(&self, other: &Numeric) -> EvalResult<Numeric> {
        if self.is_nan() || other.is_nan() {
            return Ok(Numeric::NAN);
        }
        if other.is_zero() {
            return Err(division_by_zero());
        }
        if let Some(rest) = self.aligned(other, i128::checked_rem) {
            return Ok(rest);
        }
        match (self.to_digits(), other.to_digits()) {
            (Some(a), Some(b)) => Numeric::from_digits(remainder(&a, &b)),
            (Some(_), None) => Ok(self.clone()),
            _ => Ok(Numeric::NAN),
        }
    }

    /// The greatest common divisor, never negative.
    pub fn gcd(&self, other: &Numeric) -> EvalResult<Numeric> {
        let (Some(mut a), Some(mut b)) = (self.to_digits(), other.to_digits()) else { return Ok(Numeric::NAN) };
        let scale = a.scale.max(b.scale);
        while !b.is_zero() {
            (a, b) = (b.clone(), remainder(&a, &b));
        }
        Numeric::from_digits(a.abs().with_scale(scale))
    }

    /// The least common multiple, never negative.
    pub fn lcm(&self, other: &Numeric) -> EvalResult<Numeric> {
        let (Some(a), Some(b)) = (self.to_digits(), other.to_digits()) else { return Ok(Numeric::NAN) };
        let scale = a.scale.max(b.scale);
        if a.is_zero() || b.is_zero() {
            return Numeric::from_digits(Digits::zero(scale));
        }
        let gcd = self.gcd(other)?;
        self.div_trunc(&gcd)?.mul(other)?.abs().with_display_scale(scale)
    }

    /// `n!`. 22003 where the result is beyond what numeric can hold.
    pub fn factorial(n: i64) -> EvalResult<Numeric> {
        if n < 0 {
            return Err(EvalError::new("22003", "factorial of a negative number is undefined"));
        }
        if n > 32_177 {
            return Err(super::overflow());
        }
        let mut product = Numeric::ONE;
        for factor in 2..=n {
            product = product.mul(&Numeric::from(factor))?;
        }
        Ok(product)
    }
}

fn remainder(a: &Digits, b: &Digits) -> Digits {
    let scale = a.scale.max(b.scale);
    let whole = a.div(b, 0, false);
    a.sub(&digits::Digits::mul(&whole, b)).with_scale(scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn n(text: &str) -> Numeric {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn the_scales_are_postgres_scales() {
        for (a, op, b, expected) in [
            ("1.10", '+', "2.2", "3.30"),
            ("1.1", '*', "1.10", "1.210"),
            ("1", '/', "3", "0.33333333333333333333"),
            ("10", '/', "2", "5.0000000000000000"),
            ("100000", '/', "3", "33333.333333333333"),
            ("1", '/', "7.00000000000000000000000", "0.14285714285714285714286"),
            (
                "12345678901234567890123456789012345678901234567890",
                '/',
                "3",
                "4115226300411522630041152263004115226300411522630",
            ),
            ("7.5", '%', "2", "1.5"),
            ("-7", '%', "2.00", "-1.00"),
            ("99999999999999999999999999999999999999", '+', "1", "100000000000000000000000000000000000000"),
            (
                "99999999999999999999999999999999999999",
                '*',
                "99999999999999999999999999999999999999",
                "9999999999999999999999999999999999999800000000000000000000000000000000000001",
            ),
            ("NaN", '+', "Infinity", "NaN"),
            ("Infinity", '-', "Infinity", "NaN"),
            ("Infinity", '*', "-2", "-Infinity"),
            ("5", '/', "-Infinity", "0"),
            ("5", '%', "Infinity", "5"),
        ] {
            let (a, b) = (n(a), n(b));
            let result = match op {
                '+' => a.add(&b),
                '-' => a.sub(&b),
                '*' => a.mul(&b),
                '/' => a.div(&b),
                _ => a.rem(&b),
            };
            assert_eq!(result.unwrap().to_string(), expected, "{a} {op} {b}");
        }
        assert_eq!(n("1").div(&n("0")).unwrap_err().0.state.as_str(), "22012");
    }

    fn any_numeric() -> impl Strategy<Value = Numeric> {
        prop_oneof![
            (any::<i64>(), 0_u16..20).prop_map(|(m, s)| Numeric::from_scaled(i128::from(m), s)),
            (any::<i128>(), 0_u16..60).prop_map(|(m, s)| Numeric::from_scaled(m / 2, s)),
            "-?[1-9][0-9]{30,70}(\\.[0-9]{1,30})?".prop_map(|text| n(&text)),
            (-20_i64..20, 0_u16..3).prop_map(|(m, s)| Numeric::from_scaled(i128::from(m), s)),
        ]
    }

    proptest! {
        #[test]
        fn both_forms_agree(a in any_numeric(), b in any_numeric()) {
            let (da, db) = (a.to_digits().unwrap(), b.to_digits().unwrap());
            let same = |fast: Numeric, slow: Digits| {
                assert_eq!(fast.to_string(), Numeric::from_digits(slow).unwrap().to_string(), "{a} {b}");
            };
            same(a.add(&b).unwrap(), da.add(&db));
            same(a.sub(&b).unwrap(), da.sub(&db));
            same(a.mul(&b).unwrap(), da.mul(&db));
            prop_assert_eq!(a.cmp(&b), da.cmp_value(&db));
            if !b.is_zero() {
                let scale = a.quotient_scale(&b);
                same(a.div(&b).unwrap(), da.div(&db, scale, true));
                // (a / b) * b + a % b = a
                let back = a.div_trunc(&b).unwrap().mul(&b).unwrap().add(&a.rem(&b).unwrap()).unwrap();
                prop_assert_eq!(back, a.clone());
            }
        }

        #[test]
        fn text_goes_round(a in any_numeric()) {
            let text = a.to_string();
            prop_assert_eq!(n(&text).to_string(), text);
        }
    }
}
