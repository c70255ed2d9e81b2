//! Floating point: arithmetic that reports overflow, and the functions of mathematics.

use super::native::{Table, scalar};
use crate::numeric::division_by_zero;
use crate::{EvalError, EvalResult};

fn overflow() -> EvalError {
    EvalError::new("22003", "value out of range: overflow")
}

fn underflow() -> EvalError {
    EvalError::new("22003", "value out of range: underflow")
}

fn out_of_range() -> EvalError {
    EvalError::new("22003", "input is out of range")
}

/// An infinite result of finite operands is an overflow.
fn finite(result: f64, operands_finite: bool) -> EvalResult<f64> {
    if result.is_infinite() && operands_finite { Err(overflow()) } else { Ok(result) }
}

fn add(a: f64, b: f64) -> EvalResult<f64> {
    finite(a + b, a.is_finite() && b.is_finite())
}

fn mul(a: f64, b: f64) -> EvalResult<f64> {
    let result = a * b;
    if result == 0.0 && a != 0.0 && b != 0.0 {
        return Err(underflow());
    }
    finite(result, a.is_finite() && b.is_finite())
}

fn div(a: f64, b: f64) -> EvalResult<f64> {
    if b == 0.0 && !a.is_nan() {
        return Err(division_by_zero());
    }
    let result = a / b;
    if result == 0.0 && a != 0.0 && b.is_finite() {
        return Err(underflow());
    }
    finite(result, a.is_finite())
}

fn single(result: f64, operands_finite: bool, zero_expected: bool) -> EvalResult<f32> {
    let value = result as f32;
    if value.is_infinite() && operands_finite {
        return Err(overflow());
    }
    if value == 0.0 && result != 0.0 && !zero_expected { Err(underflow()) } else { Ok(value) }
}

/// The operations of double with double, and of double with real in both orders.
macro_rules! double {
    ($prefix:literal) => {
        &[
            scalar!(concat!($prefix, "pl"), |a: f64, b: f64| add(a, b)),
            scalar!(concat!($prefix, "mi"), |a: f64, b: f64| add(a, -b)),
            scalar!(concat!($prefix, "mul"), |a: f64, b: f64| mul(a, b)),
            scalar!(concat!($prefix, "div"), |a: f64, b: f64| div(a, b)),
        ]
    };
}

const SINGLE: Table = &[
    scalar!("float4pl", |a: f32, b: f32| single(f64::from(a + b), a.is_finite() && b.is_finite(), true)),
    scalar!("float4mi", |a: f32, b: f32| single(f64::from(a - b), a.is_finite() && b.is_finite(), true)),
    scalar!("float4mul", |a: f32, b: f32| {
        let result = a * b;
        if result == 0.0 && a != 0.0 && b != 0.0 {
            return Err(underflow());
        }
        single(f64::from(result), a.is_finite() && b.is_finite(), true)
    }),
    scalar!("float4div", |a: f32, b: f32| {
        if b == 0.0 && !a.is_nan() {
            return Err(division_by_zero());
        }
        let result = a / b;
        if result == 0.0 && a != 0.0 && b.is_finite() {
            return Err(underflow());
        }
        single(f64::from(result), a.is_finite(), true)
    }),
    scalar!("float4um", |a: f32| -a),
    scalar!("float4up", |a: f32| a),
    scalar!("float4abs", |a: f32| a.abs()),
    scalar!("float8um", |a: f64| -a),
    scalar!("float8up", |a: f64| a),
    scalar!("float8abs", |a: f64| a.abs()),
];

fn power(a: f64, b: f64) -> EvalResult<f64> {
    if a.is_nan() {
        return Ok(if b == 0.0 { 1.0 } else { f64::NAN });
    }
    if b.is_nan() {
        return Ok(if a == 1.0 { 1.0 } else { f64::NAN });
    }
    if a == 0.0 && b < 0.0 {
        return Err(EvalError::new("2201F", "zero raised to a negative power is undefined"));
    }
    if a < 0.0 && b.floor() != b {
        return Err(EvalError::new("2201F", "a negative number raised to a non-integer power yields a complex result"));
    }
    let result = a.powf(b);
    if result == 0.0 && a != 0.0 && a.is_finite() && b.is_finite() {
        return Err(underflow());
    }
    finite(result, a.is_finite() && b.is_finite())
}

fn exp(a: f64) -> EvalResult<f64> {
    let result = a.exp();
    if result == 0.0 && a.is_finite() {
        return Err(underflow());
    }
    finite(result, a.is_finite())
}

fn logarithm(a: f64, log: impl Fn(f64) -> f64) -> EvalResult<f64> {
    if a == 0.0 {
        return Err(EvalError::new("2201E", "cannot take logarithm of zero"));
    }
    if a < 0.0 {
        return Err(EvalError::new("2201E", "cannot take logarithm of a negative number"));
    }
    Ok(log(a))
}

fn sqrt(a: f64) -> EvalResult<f64> {
    if a < 0.0 { Err(EvalError::new("2201F", "cannot take square root of a negative number")) } else { Ok(a.sqrt()) }
}

/// A function of an angle, which has no value at infinity.
fn of_angle(a: f64, f: impl Fn(f64) -> f64) -> EvalResult<f64> {
    if a.is_infinite() { Err(out_of_range()) } else { Ok(f(a)) }
}

fn within(a: f64, low: f64, high: f64, f: impl Fn(f64) -> f64) -> EvalResult<f64> {
    if a < low || a > high { Err(out_of_range()) } else { Ok(f(a)) }
}

const FUNCTIONS_OF_ONE: Table = &[
    scalar!("dsqrt", |a: f64| sqrt(a)),
    scalar!("dcbrt", |a: f64| a.cbrt()),
    scalar!("dexp", |a: f64| exp(a)),
    scalar!("dlog1", |a: f64| logarithm(a, f64::ln)),
    scalar!("dlog10", |a: f64| logarithm(a, f64::log10)),
    scalar!("dpow", |a: f64, b: f64| power(a, b)),
    scalar!("dround", |a: f64| a.round_ties_even()),
    scalar!("dtrunc", |a: f64| a.trunc()),
    scalar!("dceil", |a: f64| a.ceil()),
    scalar!("dfloor", |a: f64| a.floor()),
    scalar!("dsign", |a: f64| if a > 0.0 {
        1.0
    } else if a < 0.0 {
        -1.0
    } else {
        0.0
    }),
    scalar!("dpi", || std::f64::consts::PI),
    scalar!("degrees", |a: f64| finite(a / RADIANS_PER_DEGREE, a.is_finite())),
    scalar!("radians", |a: f64| a * RADIANS_PER_DEGREE),
    scalar!("width_bucket_float8", |a: f64, low: f64, high: f64, count: i32| width_bucket(a, low, high, count)),
];

const RADIANS_PER_DEGREE: f64 = std::f64::consts::PI / 180.0;

const TRIGONOMETRY: Table = &[
    scalar!("dsin", |a: f64| of_angle(a, f64::sin)),
    scalar!("dcos", |a: f64| of_angle(a, f64::cos)),
    scalar!("dtan", |a: f64| of_angle(a, f64::tan)),
    scalar!("dcot", |a: f64| of_angle(a, |a| 1.0 / a.tan())),
    scalar!("dasin", |a: f64| within(a, -1.0, 1.0, f64::asin)),
    scalar!("dacos", |a: f64| within(a, -1.0, 1.0, f64::acos)),
    scalar!("datan", |a: f64| a.atan()),
    scalar!("datan2", |a: f64, b: f64| a.atan2(b)),
    scalar!("dsinh", |a: f64| a.sinh()),
    scalar!("dcosh", |a: f64| a.cosh()),
    scalar!("dtanh", |a: f64| a.tanh()),
    scalar!("dasinh", |a: f64| asinh(a)),
    scalar!("dacosh", |a: f64| within(a, 1.0, f64::INFINITY, f64::acosh)),
    scalar!("datanh", |a: f64| within(a, -1.0, 1.0, |a| {
        if a == -1.0 {
            f64::NEG_INFINITY
        } else if a == 1.0 {
            f64::INFINITY
        } else {
            a.atanh()
        }
    })),
    scalar!("dsind", |a: f64| of_angle(a, sin_degrees)),
    scalar!("dcosd", |a: f64| of_angle(a, cos_degrees)),
    scalar!("dtand", |a: f64| of_angle(a, tan_degrees)),
    scalar!("dcotd", |a: f64| of_angle(a, cot_degrees)),
    scalar!("dasind", |a: f64| within(a, -1.0, 1.0, asin_degrees)),
    scalar!("dacosd", |a: f64| within(a, -1.0, 1.0, acos_degrees)),
    scalar!("datand", |a: f64| atan_degrees(a)),
    scalar!("datan2d", |a: f64, b: f64| a.atan2(b) / (1.0_f64).atan() * 45.0),
];

pub(super) const FUNCTIONS: &[Table] =
    &[double!("float8"), double!("float48"), double!("float84"), SINGLE, FUNCTIONS_OF_ONE, TRIGONOMETRY];

/// Rust's own is inexact for small negative numbers and overflows for large ones.
fn asinh(a: f64) -> f64 {
    let magnitude = a.abs();
    let result = if magnitude > 1e150 { magnitude.ln() + std::f64::consts::LN_2 } else { magnitude.asinh() };
    result.copysign(a)
}

/// The quadrants are folded first, so that 30, 45, 60 and 90 degrees give exact results.
fn sin_degrees(a: f64) -> f64 {
    let (mut angle, mut sign) = (a % 360.0, 1.0);
    if angle < 0.0 {
        (angle, sign) = (-angle, -sign);
    }
    if angle > 180.0 {
        (angle, sign) = (360.0 - angle, -sign);
    }
    if angle > 90.0 {
        angle = 180.0 - angle;
    }
    sign * sin_quadrant(angle)
}

fn cos_degrees(a: f64) -> f64 {
    let (mut angle, mut sign) = ((a % 360.0).abs(), 1.0);
    if angle > 180.0 {
        angle = 360.0 - angle;
    }
    if angle > 90.0 {
        (angle, sign) = (180.0 - angle, -sign);
    }
    sign * cos_quadrant(angle)
}

fn tan_degrees(a: f64) -> f64 {
    let (mut angle, mut sign) = (a % 360.0, 1.0);
    if angle < 0.0 {
        (angle, sign) = (-angle, -sign);
    }
    if angle > 180.0 {
        (angle, sign) = (360.0 - angle, -sign);
    }
    if angle > 90.0 {
        (angle, sign) = (180.0 - angle, -sign);
    }
    let result = sign * (sin_quadrant(angle) / cos_quadrant(angle)) / (sin_quadrant(45.0) / cos_quadrant(45.0));
    if result == 0.0 { 0.0 } else { result }
}

fn cot_degrees(a: f64) -> f64 {
    let (mut angle, mut sign) = (a % 360.0, 1.0);
    if angle < 0.0 {
        (angle, sign) = (-angle, -sign);
    }
    if angle > 180.0 {
        (angle, sign) = (360.0 - angle, -sign);
    }
    if angle > 90.0 {
        (angle, sign) = (180.0 - angle, -sign);
    }
    let result = sign * (cos_quadrant(angle) / sin_quadrant(angle)) / (cos_quadrant(45.0) / sin_quadrant(45.0));
    if result == 0.0 { 0.0 } else { result }
}

fn sin_quadrant(angle: f64) -> f64 {
    if angle <= 30.0 {
        (angle * RADIANS_PER_DEGREE).sin() / (30.0 * RADIANS_PER_DEGREE).sin() / 2.0
    } else {
        cos_below_60(90.0 - angle)
    }
}

fn cos_quadrant(angle: f64) -> f64 {
    if angle <= 60.0 { cos_below_60(angle) } else { sin_quadrant(90.0 - angle) }
}

/// Scaled so that cos(60) is exactly a half.
fn cos_below_60(angle: f64) -> f64 {
    let one_minus = 1.0 - (angle * RADIANS_PER_DEGREE).cos();
    1.0 - one_minus / (1.0 - (60.0 * RADIANS_PER_DEGREE).cos()) / 2.0
}

fn asin_degrees(a: f64) -> f64 {
    if a < 0.0 {
        return -asin_degrees(-a);
    }
    if a <= 0.5 { a.asin() / 0.5_f64.asin() * 30.0 } else { 90.0 - a.acos() / 0.5_f64.acos() * 60.0 }
}

fn acos_degrees(a: f64) -> f64 {
    if a < 0.0 {
        return 90.0 + asin_degrees(-a);
    }
    if a <= 0.5 { 90.0 - a.asin() / 0.5_f64.asin() * 30.0 } else { a.acos() / 0.5_f64.acos() * 60.0 }
}

fn atan_degrees(a: f64) -> f64 {
    a.atan() / 1.0_f64.atan() * 45.0
}

fn width_bucket(a: f64, low: f64, high: f64, count: i32) -> EvalResult<i32> {
    let argument = |message: &str| EvalError::new("2201G", message);
    if count <= 0 {
        return Err(argument("count must be greater than zero"));
    }
    if a.is_nan() || low.is_nan() || high.is_nan() {
        return Err(argument("operand, lower bound, and upper bound cannot be NaN"));
    }
    if low.is_infinite() || high.is_infinite() {
        return Err(argument("lower and upper bounds must be finite"));
    }
    if low == high {
        return Err(argument("lower bound cannot equal upper bound"));
    }
    let above = || count.checked_add(1).ok_or_else(|| crate::numeric::out_of_range("integer"));
    let share = if low < high {
        if a < low {
            return Ok(0);
        }
        if a >= high {
            return above();
        }
        (a - low) / (high - low)
    } else {
        if a > low {
            return Ok(0);
        }
        if a <= high {
            return above();
        }
        (low - a) / (low - high)
    };
    Ok(((f64::from(count) * share) as i32).min(count - 1) + 1)
}
