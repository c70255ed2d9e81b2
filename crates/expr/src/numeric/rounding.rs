//! Rounding, cutting, and the declared precision of a column.

use super::arithmetic::power_of_ten;
use super::{Numeric, Repr, SCALE_MAX};
use crate::{EvalError, EvalResult};

/// The furthest place before the point that digits can be at.
const ROUND_SCALE_MIN: i32 = -4 * (super::WEIGHT_MAX + 1) - 1;

impl Numeric {
    /// To `scale` digits behind the point (before it, where negative), half away from zero.
    pub fn round(&self, scale: i32) -> EvalResult<Numeric> {
        self.cut(scale.clamp(ROUND_SCALE_MIN, SCALE_MAX), true)
    }

    pub fn trunc(&self, scale: i32) -> EvalResult<Numeric> {
        self.cut(scale.clamp(ROUND_SCALE_MIN, SCALE_MAX), false)
    }

    fn cut(&self, scale: i32, round: bool) -> EvalResult<Numeric> {
        if let Some(result) = self.cut_scaled(scale, round) {
            return Ok(result);
        }
        let Some(mut digits) = self.to_digits() else { return Ok(self.clone()) };
        if round {
            digits.round(scale)
        } else {
            digits.truncate(scale)
        }
        Numeric::from_digits(digits)
    }

    fn cut_scaled(&self, scale: i32, round: bool) -> Option<Numeric> {
        let (mantissa, have) = self.as_scaled()?;
        let want = u16::try_from(scale).ok()?;
        if want >= have {
            return Some(Numeric::small(mantissa.checked_mul(power_of_ten(want - have)?)?, want));
        }
        let unit = power_of_ten(have - want)?;
        let (quotient, rest) = (mantissa / unit, mantissa % unit);
        let up = round && rest.unsigned_abs() >= unit.unsigned_abs() / 2;
        Some(Numeric::small(quotient + if up { mantissa.signum() } else { 0 }, want))
    }

    pub fn ceil(&self) -> EvalResult<Numeric> {
        let cut = self.cut(0, false)?;
        if self.is_finite() && *self > cut { cut.add(&Numeric::ONE) } else { Ok(cut) }
    }

    pub fn floor(&self) -> EvalResult<Numeric> {
        let cut = self.cut(0, false)?;
        if self.is_finite() && *self < cut { cut.sub(&Numeric::ONE) } else { Ok(cut) }
    }

    pub(crate) fn is_integer(&self) -> bool {
        match &self.0 {
            Repr::Small { mantissa, scale } => {
                let mantissa = mantissa.get();
                power_of_ten(*scale).map_or(mantissa == 0, |unit| mantissa % unit == 0)
            }
            Repr::Big(digits) => digits.is_integer(),
            _ => false,
        }
    }

    /// The fewest digits behind the point that lose nothing.
    pub fn min_scale(&self) -> Option<i32> {
        let last = self.with_digits(|_, weight, digits| {
            let last = *digits.last()?;
            let zeros = [1000, 100, 10].iter().filter(|unit| last % **unit == 0).count() as i32;
            Some(((digits.len() as i32 - 1 - weight) * 4 - zeros).max(0))
        })?;
        Some(last.unwrap_or(0))
    }

    /// Without zeros at the end of what is shown behind the point.
    pub fn trim_scale(&self) -> EvalResult<Numeric> {
        match self.min_scale() {
            Some(scale) => self.round(scale),
            None => Ok(self.clone()),
        }
    }

    pub(crate) fn with_display_scale(&self, scale: i32) -> EvalResult<Numeric> {
        self.cut(scale, true)
    }

    /// Rounds to a column's declared scale. 22003 if the result has more digits than its precision.
    pub fn apply_typmod(&self, typmod: i32) -> EvalResult<Numeric> {
        let Some((precision, scale)) = crate::types::numeric_precision_and_scale(typmod) else {
            return Ok(self.clone());
        };
        let field_overflow = |detail: String| EvalError::new("22003", "numeric field overflow").with_detail(detail);
        if !self.is_finite() {
            let detail = format!("A field with precision {precision}, scale {scale} cannot hold an infinite value.");
            return if self.is_nan() { Ok(Numeric::NAN) } else { Err(field_overflow(detail)) };
        }
        let rounded = self.cut(scale, true)?;
        let digits_before_point = precision - scale;
        if rounded.decimal_weight().is_some_and(|weight| weight >= digits_before_point) {
            let limit = if digits_before_point == 0 { "1".to_owned() } else { format!("10^{digits_before_point}") };
            return Err(field_overflow(format!(
                "A field with precision {precision}, scale {scale} must round to an absolute value less than {limit}."
            )));
        }
        Ok(rounded)
    }

    /// The power of ten that the first digit counts; `None` for zero and what is not finite.
    pub(crate) fn decimal_weight(&self) -> Option<i32> {
        self.with_digits(|_, weight, digits| {
            let first = *digits.first()?;
            Some(weight * 4 + [10, 100, 1000].iter().filter(|unit| first >= **unit).count() as i32)
        })?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(text: &str) -> Numeric {
        text.parse().unwrap()
    }

    #[test]
    fn half_goes_away_from_zero() {
        for (value, scale, rounded, cut) in [
            ("2.5", 0, "3", "2"),
            ("-2.5", 0, "-3", "-2"),
            ("1234.5678", 2, "1234.57", "1234.56"),
            ("1250", -2, "1300", "1200"),
            ("5", -1, "10", "0"),
            ("4", -1, "0", "0"),
            ("0.00004", 4, "0.0000", "0.0000"),
            (
                "99999999999999999999999999999999999999999.95",
                1,
                "100000000000000000000000000000000000000000.0",
                "99999999999999999999999999999999999999999.9",
            ),
            ("1", 3, "1.000", "1.000"),
        ] {
            assert_eq!(n(value).round(scale).unwrap().to_string(), rounded, "round {value} {scale}");
            assert_eq!(n(value).trunc(scale).unwrap().to_string(), cut, "trunc {value} {scale}");
        }
        assert_eq!(n("-1.5").ceil().unwrap().to_string(), "-1");
        assert_eq!(n("-1.5").floor().unwrap().to_string(), "-2");
        assert_eq!((n("1.500").min_scale(), n("100").min_scale(), n("0.0").min_scale()), (Some(1), Some(0), Some(0)));
    }

    #[test]
    fn columns_hold_their_precision() {
        let typmod = |p: i32, s: i32| crate::types::typmod_in(crate::SqlType::NUMERIC.oid, &[p, s]).unwrap();
        assert_eq!(n("12.345").apply_typmod(typmod(4, 2)).unwrap().to_string(), "12.35");
        assert_eq!(n("12345").apply_typmod(typmod(2, -3)).unwrap().to_string(), "12000");
        let error = n("99.995").apply_typmod(typmod(4, 2)).unwrap_err().0;
        assert_eq!(
            error.detail.as_deref(),
            Some("A field with precision 4, scale 2 must round to an absolute value less than 10^2.")
        );
        assert!(n("1").apply_typmod(typmod(2, 2)).unwrap_err().0.detail.unwrap().ends_with("less than 1."));
        assert!(n("0").apply_typmod(typmod(2, 5)).is_ok());
    }
}
