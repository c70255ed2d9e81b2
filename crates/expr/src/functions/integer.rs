//! Arithmetic and bits of smallint, integer and bigint.

use super::native::{Table, scalar};
use crate::numeric::{division_by_zero, out_of_range};

trait Int: Sized + Copy {
    const NAME: &'static str;
}

impl Int for i16 {
    const NAME: &'static str = "smallint";
}
impl Int for i32 {
    const NAME: &'static str = "integer";
}
impl Int for i64 {
    const NAME: &'static str = "bigint";
}

#[inline]
fn checked<T: Int>(value: Option<T>) -> crate::EvalResult<T> {
    value.ok_or_else(|| out_of_range(T::NAME))
}

/// The four operations of operands of types `a` and `b`, computed in `t`.
macro_rules! arithmetic {
    ($prefix:literal, $a:ty, $b:ty, $t:ty) => {
        &[
            scalar!(concat!($prefix, "pl"), |a: $a, b: $b| checked(<$t>::from(a).checked_add(<$t>::from(b)))),
            scalar!(concat!($prefix, "mi"), |a: $a, b: $b| checked(<$t>::from(a).checked_sub(<$t>::from(b)))),
            scalar!(concat!($prefix, "mul"), |a: $a, b: $b| checked(<$t>::from(a).checked_mul(<$t>::from(b)))),
            scalar!(concat!($prefix, "div"), |a: $a, b: $b| {
                if b == 0 {
                    return Err(division_by_zero());
                }
                checked(<$t>::from(a).checked_div(<$t>::from(b)))
            }),
        ]
    };
}

/// What one type has alone.
macro_rules! single {
    ($prefix:literal, $t:ty, $wide:ty) => {
        &[
            scalar!(concat!($prefix, "mod"), |a: $t, b: $t| {
                if b == 0 {
                    return Err(division_by_zero());
                }
                // The remainder of the smallest number by -1 is 0, though the quotient overflows.
                a.wrapping_rem(b)
            }),
            scalar!(concat!($prefix, "um"), |a: $t| checked(a.checked_neg())),
            scalar!(concat!($prefix, "up"), |a: $t| a),
            scalar!(concat!($prefix, "abs"), |a: $t| checked(a.checked_abs())),
            scalar!(concat!($prefix, "larger"), |a: $t, b: $t| a.max(b)),
            scalar!(concat!($prefix, "smaller"), |a: $t, b: $t| a.min(b)),
            scalar!(concat!($prefix, "and"), |a: $t, b: $t| a & b),
            scalar!(concat!($prefix, "or"), |a: $t, b: $t| a | b),
            scalar!(concat!($prefix, "xor"), |a: $t, b: $t| a ^ b),
            scalar!(concat!($prefix, "not"), |a: $t| !a),
            // Shifts by more than the register's width count from its start again, as the processor does.
            scalar!(concat!($prefix, "shl"), |a: $t, by: i32| <$wide>::from(a).wrapping_shl(by as u32) as $t),
            scalar!(concat!($prefix, "shr"), |a: $t, by: i32| <$wide>::from(a).wrapping_shr(by as u32) as $t),
        ]
    };
}

pub(super) const FUNCTIONS: &[Table] = &[
    arithmetic!("int2", i16, i16, i16),
    arithmetic!("int4", i32, i32, i32),
    arithmetic!("int8", i64, i64, i64),
    arithmetic!("int24", i16, i32, i32),
    arithmetic!("int42", i32, i16, i32),
    arithmetic!("int28", i16, i64, i64),
    arithmetic!("int82", i64, i16, i64),
    arithmetic!("int48", i32, i64, i64),
    arithmetic!("int84", i64, i32, i64),
    single!("int2", i16, i32),
    single!("int4", i32, i32),
    single!("int8", i64, i64),
    OTHERS,
];

const OTHERS: Table = &[
    scalar!("int8inc", |a: i64| checked(a.checked_add(1))),
    scalar!("int8dec", |a: i64| checked(a.checked_sub(1))),
    scalar!("int4gcd", |a: i32, b: i32| checked(i32::try_from(gcd(i64::from(a), i64::from(b))).ok())),
    scalar!("int8gcd", |a: i64, b: i64| checked(i64::try_from(gcd(a, b)).ok())),
    scalar!("int4lcm", |a: i32, b: i32| checked(lcm(i64::from(a), i64::from(b)).and_then(|v| i32::try_from(v).ok()))),
    scalar!("int8lcm", |a: i64, b: i64| checked(lcm(a, b).and_then(|v| i64::try_from(v).ok()))),
    scalar!("to_hex32", |a: i32| format!("{a:x}")),
    scalar!("to_hex64", |a: i64| format!("{a:x}")),
    scalar!("numeric_fac", |n: i64| crate::Numeric::factorial(n)),
    scalar!("pg_size_pretty", |bytes: i64| super::numeric::size_pretty(i128::from(bytes))),
];

fn gcd(a: i64, b: i64) -> u64 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn lcm(a: i64, b: i64) -> Option<u64> {
    if a == 0 || b == 0 {
        return Some(0);
    }
    (a.unsigned_abs() / gcd(a, b)).checked_mul(b.unsigned_abs())
}
