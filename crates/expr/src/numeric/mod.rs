//! PostgreSQL's numeric: any number of decimal digits, a display scale, NaN and the infinities.
//!
//! A value has two forms. What fits is a 128-bit integer and a decimal scale: arithmetic on it is integer
//! arithmetic that asks the processor for overflow, and nothing is allocated. What does not fit is a list
//! of base-10000 digits ([`digits::Digits`]), PostgreSQL's own form, with its schoolbook algorithms.
//! Results are the same either way, in value and in display scale; the fast form is chosen whenever the
//! result fits it.
//!
//! Equality, order and hash are those of the value: `1.0 = 1.00`, NaN equals itself and is above Infinity.

mod arithmetic;
mod convert;
mod digits;
mod rounding;
mod series;
mod text;

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

pub(crate) use arithmetic::division_by_zero;
pub(crate) use convert::out_of_range;
use digits::Digits;

use crate::{EvalError, EvalResult};

/// Digits behind the point that a result has at most, unless an operand has more.
pub(crate) const DISPLAY_SCALE_MAX: i32 = 1000;
/// Significant digits that a quotient, root or logarithm has at least.
pub(crate) const SIGNIFICANT_DIGITS_MIN: i32 = 16;
/// Digits behind the point that any value can have.
pub(crate) const SCALE_MAX: i32 = 16_383;
/// Base-10000 digits before the point, less one.
pub(crate) const WEIGHT_MAX: i32 = 32_767;

#[derive(Clone)]
pub struct Numeric(Repr);

#[derive(Clone)]
enum Repr {
    /// `mantissa / 10^scale`; the scale is the display scale.
    Small {
        mantissa: Mantissa,
        scale: u16,
    },
    Big(Box<Digits>),
    NegInfinity,
    Infinity,
    NaN,
}

/// An i128 in two halves, which may lie at any multiple of eight: it keeps a `Datum` small.
#[derive(Clone, Copy)]
struct Mantissa {
    high: i64,
    low: u64,
}

impl Mantissa {
    const fn new(value: i128) -> Mantissa {
        Mantissa { high: (value >> 64) as i64, low: value as u64 }
    }

    const fn get(self) -> i128 {
        (self.high as i128) << 64 | self.low as i128
    }
}

impl Numeric {
    pub const ZERO: Numeric = Numeric::small(0, 0);
    pub const ONE: Numeric = Numeric::small(1, 0);
    pub const NAN: Numeric = Numeric(Repr::NaN);
    pub const INFINITY: Numeric = Numeric(Repr::Infinity);
    pub const NEG_INFINITY: Numeric = Numeric(Repr::NegInfinity);

    const fn small(mantissa: i128, scale: u16) -> Numeric {
        Numeric(Repr::Small { mantissa: Mantissa::new(mantissa), scale })
    }

    /// `mantissa / 10^scale`.
    pub fn from_scaled(mantissa: i128, scale: u16) -> Numeric {
        Numeric::small(mantissa, scale)
    }

    /// The mantissa and scale, where the value has the fast form.
    pub fn as_scaled(&self) -> Option<(i128, u16)> {
        match self.0 {
            Repr::Small { mantissa, scale } => Some((mantissa.get(), scale)),
            _ => None,
        }
    }

    /// The fast form where it fits. 22003 where the value is beyond what numeric can hold.
    fn from_digits(digits: Digits) -> EvalResult<Numeric> {
        if digits.weight > WEIGHT_MAX && !digits.is_zero() || digits.scale > SCALE_MAX {
            return Err(overflow());
        }
        Ok(match digits.to_scaled() {
            Some((mantissa, scale)) => Numeric::small(mantissa, scale),
            None => Numeric(Repr::Big(Box::new(digits))),
        })
    }

    /// `None` for NaN and the infinities.
    fn to_digits(&self) -> Option<Digits> {
        match &self.0 {
            Repr::Small { mantissa, scale } => Some(Digits::from_scaled(mantissa.get(), *scale)),
            Repr::Big(digits) => Some((**digits).clone()),
            _ => None,
        }
    }

    pub fn is_nan(&self) -> bool {
        matches!(self.0, Repr::NaN)
    }

    pub fn is_finite(&self) -> bool {
        matches!(self.0, Repr::Small { .. } | Repr::Big(_))
    }

    pub fn is_zero(&self) -> bool {
        matches!(self.0, Repr::Small { mantissa, .. } if mantissa.get() == 0)
            || matches!(&self.0, Repr::Big(d) if d.is_zero())
    }

    /// -1, 0 or 1; NaN counts as positive.
    pub fn signum(&self) -> i32 {
        match &self.0 {
            Repr::Small { mantissa, .. } => mantissa.get().signum() as i32,
            Repr::Big(digits) if digits.is_zero() => 0,
            Repr::Big(digits) => 1 - 2 * i32::from(digits.negative),
            Repr::NegInfinity => -1,
            Repr::Infinity | Repr::NaN => 1,
        }
    }

    /// The number of digits that are shown behind the point; `None` for NaN and the infinities.
    pub fn scale(&self) -> Option<i32> {
        match &self.0 {
            Repr::Small { scale, .. } => Some(i32::from(*scale)),
            Repr::Big(digits) => Some(digits.scale),
            _ => None,
        }
    }

    /// Sign, weight and the base-10000 digits without zeros at either end: the form that is hashed, sent
    /// in binary and put into keys. Zero has no digits. `None` for NaN and the infinities.
    pub(crate) fn with_digits<T>(&self, f: impl FnOnce(bool, i32, &[u16]) -> T) -> Option<T> {
        match &self.0 {
            Repr::Small { mantissa, scale } => {
                let (buffer, from, len, weight) = digits::split(mantissa.get().unsigned_abs(), *scale);
                Some(f(mantissa.get() < 0, weight, &buffer[from..from + len]))
            }
            Repr::Big(digits) => Some(f(digits.negative, digits.weight, &digits.digits)),
            _ => None,
        }
    }

    /// Puts together what [`Numeric::with_digits`] took apart; the inverse for valid input, 22003 else.
    pub(crate) fn from_parts(negative: bool, weight: i32, digits: &[u16], scale: i32) -> EvalResult<Numeric> {
        if digits.iter().any(|digit| *digit >= 10_000)
            || !(0..=SCALE_MAX).contains(&scale)
            || weight.abs() > WEIGHT_MAX + 1
        {
            return Err(overflow());
        }
        let mut value = Digits { negative, weight, scale, digits: digits.to_vec() };
        value.truncate(scale);
        value.normalize();
        Numeric::from_digits(value)
    }

    /// Bytes on the heap, for memory accounting.
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Repr::Big(digits) => size_of::<Digits>() + digits.digits.capacity() * 2,
            _ => 0,
        }
    }

    /// The position of NaN and the infinities among all values; finite ones are 0.
    fn rank(&self) -> i32 {
        match self.0 {
            Repr::NegInfinity => -1,
            Repr::Small { .. } | Repr::Big(_) => 0,
            Repr::Infinity => 1,
            Repr::NaN => 2,
        }
    }
}

/// What PostgreSQL says of a value with too many digits.
pub(crate) fn overflow() -> EvalError {
    EvalError::new("22003", "value overflows numeric format")
}

impl Default for Numeric {
    fn default() -> Numeric {
        Numeric::ZERO
    }
}

impl Ord for Numeric {
    fn cmp(&self, other: &Numeric) -> Ordering {
        if let (Some((a, a_scale)), Some((b, b_scale))) = (self.as_scaled(), other.as_scaled()) {
            if a_scale == b_scale {
                return a.cmp(&b);
            }
            if let Some((a, b)) = arithmetic::align(a, a_scale, b, b_scale) {
                return a.cmp(&b);
            }
        }
        match (self.to_digits(), other.to_digits()) {
            (Some(a), Some(b)) => a.cmp_value(&b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Numeric {
    fn partial_cmp(&self, other: &Numeric) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Numeric {
    fn eq(&self, other: &Numeric) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Numeric {}

impl Hash for Numeric {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let finite = self.with_digits(|negative, weight, digits| {
            if digits.is_empty() {
                state.write_u8(0);
                return;
            }
            state.write_u8(1 + u8::from(negative));
            state.write_i32(weight);
            for digit in digits {
                state.write_u16(*digit);
            }
        });
        if finite.is_none() {
            state.write_i8(self.rank() as i8 + 10);
        }
    }
}

impl std::fmt::Debug for Numeric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}
