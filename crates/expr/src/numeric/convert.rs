//! From and to integers and floating point.

use super::digits::Digits;
use super::{Numeric, Repr};
use crate::{EvalError, EvalResult};

impl From<i64> for Numeric {
    fn from(value: i64) -> Numeric {
        Numeric::small(i128::from(value), 0)
    }
}

impl From<i32> for Numeric {
    fn from(value: i32) -> Numeric {
        Numeric::small(i128::from(value), 0)
    }
}

impl From<i128> for Numeric {
    fn from(value: i128) -> Numeric {
        // Every mantissa can be negated: the one that cannot takes the long form.
        if value == i128::MIN {
            return Numeric(Repr::Big(Box::new(Digits::from_int(value))));
        }
        Numeric::small(value, 0)
    }
}

impl Numeric {
    /// Rounded to the nearest integer. 22003 where `name` ("bigint") cannot hold it.
    fn to_integer(&self, name: &str) -> EvalResult<i128> {
        let special = |what: &str| EvalError::new("0A000", format!("cannot convert {what} to {name}"));
        match self.0 {
            Repr::NaN => Err(special("NaN")),
            Repr::Infinity | Repr::NegInfinity => Err(special("infinity")),
            _ => self.round(0)?.as_scaled().map(|(value, _)| value).ok_or_else(|| out_of_range(name)),
        }
    }

    pub fn to_i64(&self) -> EvalResult<i64> {
        i64::try_from(self.to_integer("bigint")?).map_err(|_| out_of_range("bigint"))
    }

    pub fn to_i32(&self) -> EvalResult<i32> {
        i32::try_from(self.to_integer("integer")?).map_err(|_| out_of_range("integer"))
    }

    pub fn to_i16(&self) -> EvalResult<i16> {
        i16::try_from(self.to_integer("smallint")?).map_err(|_| out_of_range("smallint"))
    }

    /// The nearest double, infinite where the value is beyond the largest.
    pub fn to_f64_lossy(&self) -> f64 {
        match &self.0 {
            // Both are exact in a double, so their quotient is the nearest one.
            Repr::Small { mantissa, scale } if mantissa.get().unsigned_abs() < 1 << 53 && *scale <= 22 => {
                mantissa.get() as f64 / 10_f64.powi(i32::from(*scale))
            }
            Repr::Small { mantissa, scale } => Digits::from_scaled(mantissa.get(), *scale).to_f64(),
            Repr::Big(digits) => digits.to_f64(),
            Repr::NegInfinity => f64::NEG_INFINITY,
            Repr::Infinity => f64::INFINITY,
            Repr::NaN => f64::NAN,
        }
    }

    /// 22003 where there is no finite double.
    pub fn to_f64(&self) -> EvalResult<f64> {
        let value = self.to_f64_lossy();
        if self.is_finite() && value.is_infinite() || value == 0.0 && !self.is_zero() {
            return Err(EvalError::new("22003", format!("\"{self}\" is out of range for type double precision")));
        }
        Ok(value)
    }

    pub fn to_f32(&self) -> EvalResult<f32> {
        let value: f32 = match self.is_finite() {
            true => self.to_string().parse().unwrap_or(f32::NAN),
            false => self.to_f64_lossy() as f32,
        };
        if self.is_finite() && value.is_infinite() || value == 0.0 && !self.is_zero() {
            return Err(EvalError::new("22003", format!("\"{self}\" is out of range for type real")));
        }
        Ok(value)
    }

    /// By its first 15 significant digits, as PostgreSQL converts.
    pub fn from_f64(value: f64) -> Numeric {
        Numeric::from_float(value, 15)
    }

    /// By its first 6 significant digits.
    pub fn from_f32(value: f32) -> Numeric {
        Numeric::from_float(f64::from(value), 6)
    }

    fn from_float(value: f64, digits: usize) -> Numeric {
        if value.is_nan() {
            return Numeric::NAN;
        }
        if value.is_infinite() {
            return if value < 0.0 { Numeric::NEG_INFINITY } else { Numeric::INFINITY };
        }
        let text = format!("{value:.0$e}", digits - 1);
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
        let mantissa = if mantissa.is_empty() || mantissa == "-" { "0" } else { mantissa };
        format!("{mantissa}e{exponent}").parse().unwrap_or(Numeric::NAN)
    }
}

pub(crate) fn out_of_range(name: &str) -> EvalError {
    EvalError::new("22003", format!("{name} out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_by_their_shown_digits() {
        for (value, expected) in [
            (0.1, "0.1"),
            (1e20, "100000000000000000000"),
            (123_456_789.123_456_79, "123456789.123457"),
            (0.0, "0"),
            (-1e-7, "-0.0000001"),
        ] {
            assert_eq!(Numeric::from_f64(value).to_string(), expected);
        }
        assert_eq!(Numeric::from_f32(0.1).to_string(), "0.1");
        let n = |text: &str| text.parse::<Numeric>().unwrap();
        assert_eq!(n("0.1").to_f64().unwrap(), 0.1);
        assert_eq!(n("123456789012345678901234567890.5").to_f64().unwrap(), 123456789012345678901234567890.5);
        assert_eq!(n("1e400").to_f64().unwrap_err().0.state.as_str(), "22003");
        assert_eq!((n("2.5").to_i32().unwrap(), n("-2.5").to_i16().unwrap()), (3, -3));
        assert_eq!(n("9223372036854775807.5").to_i64().unwrap_err().0.message, "bigint out of range");
        assert_eq!(n("NaN").to_i32().unwrap_err().0.message, "cannot convert NaN to integer");
    }
}
