//! Type modifiers: the numbers in `numeric(10,2)`, packed as PostgreSQL packs them.

use crate::{EvalError, EvalResult, Oid, SqlType};

/// What varlena types add to a length in their modifier.
const HEADER: i32 = 4;
const LENGTH_MAX: i32 = 10 * 1024 * 1024;
const PRECISION_MAX: i32 = 1000;
const TIME_PRECISION_MAX: i32 = 6;
const INTERVAL_FULL_RANGE: i32 = 0x7fff;
const INTERVAL_FULL_PRECISION: i32 = 0xffff;

/// Fields of an interval's range, as bits of the upper half of its modifier.
pub(crate) mod interval_field {
    pub const MONTH: i32 = 1 << 1;
    pub const YEAR: i32 = 1 << 2;
    pub const DAY: i32 = 1 << 3;
    pub const HOUR: i32 = 1 << 10;
    pub const MINUTE: i32 = 1 << 11;
    pub const SECOND: i32 = 1 << 12;
}

/// The modifier that `oid(args)` stands for. 22023 where the numbers do not fit the type.
pub fn typmod_in(oid: Oid, args: &[i32]) -> EvalResult<i32> {
    match SqlType::from(oid) {
        SqlType::VARCHAR => length(args, "varchar").map(|n| n + HEADER),
        SqlType::BPCHAR => length(args, "char").map(|n| n + HEADER),
        SqlType::NUMERIC => numeric(args),
        SqlType::TIME => precision(args, "TIME", ""),
        SqlType::TIMETZ => precision(args, "TIME", " WITH TIME ZONE"),
        SqlType::TIMESTAMP => precision(args, "TIMESTAMP", ""),
        SqlType::TIMESTAMPTZ => precision(args, "TIMESTAMP", " WITH TIME ZONE"),
        SqlType::INTERVAL => interval(args),
        _ if oid == Oid(1560) => length(args, "bit"),
        _ if oid == Oid(1562) => length(args, "varbit"),
        ty => match ty.entry() {
            Some(entry) if entry.is_array() => typmod_in(entry.element, args),
            _ => Err(EvalError::new("42601", format!("type modifier is not allowed for type \"{}\"", type_name(oid)))),
        },
    }
}

fn type_name(oid: Oid) -> &'static str {
    super::by_oid(oid).map_or("???", |entry| entry.name)
}

fn length(args: &[i32], name: &str) -> EvalResult<i32> {
    match args {
        [n] if *n < 1 => Err(EvalError::new("22023", format!("length for type {name} must be at least 1"))),
        [n] if *n > LENGTH_MAX => {
            Err(EvalError::new("22023", format!("length for type {name} cannot exceed {LENGTH_MAX}")))
        }
        [n] => Ok(*n),
        _ => Err(EvalError::new("22023", "invalid type modifier")),
    }
}

fn numeric(args: &[i32]) -> EvalResult<i32> {
    let (precision, scale) = match args {
        [precision] => (*precision, 0),
        [precision, scale] => (*precision, *scale),
        _ => return Err(EvalError::new("22023", "invalid NUMERIC type modifier")),
    };
    if !(1..=PRECISION_MAX).contains(&precision) {
        let message = format!("NUMERIC precision {precision} must be between 1 and {PRECISION_MAX}");
        return Err(EvalError::new("22023", message));
    }
    if !(-PRECISION_MAX..=PRECISION_MAX).contains(&scale) {
        let message = format!("NUMERIC scale {scale} must be between -{PRECISION_MAX} and {PRECISION_MAX}");
        return Err(EvalError::new("22023", message));
    }
    Ok(((precision << 16) | (scale & 0x7ff)) + HEADER)
}

fn precision(args: &[i32], name: &str, zone: &str) -> EvalResult<i32> {
    match args {
        [n] if *n < 0 => Err(EvalError::new("22023", format!("{name}({n}){zone} precision must not be negative"))),
        // PostgreSQL warns and takes the most it has.
        [n] => Ok((*n).min(TIME_PRECISION_MAX)),
        _ => Err(EvalError::new("22023", "invalid type modifier")),
    }
}

/// `[range]` or `[range, precision]`, the range as bits of [`interval_field`].
fn interval(args: &[i32]) -> EvalResult<i32> {
    match args {
        [range] => Ok((*range << 16) | INTERVAL_FULL_PRECISION),
        [_, n] if *n < 0 => Err(EvalError::new("22023", format!("INTERVAL({n}) precision must not be negative"))),
        [range, n] => Ok((*range << 16) | (*n).min(TIME_PRECISION_MAX)),
        _ => Err(EvalError::new("22023", "invalid INTERVAL type modifier")),
    }
}

/// The interval modifier of `interval(n)`.
pub(crate) fn interval_precision_only(n: i32) -> EvalResult<i32> {
    interval(&[INTERVAL_FULL_RANGE, n])
}

/// `(range bits or None for all, precision or None for full)` of an interval's modifier.
pub(crate) fn interval_parts(typmod: i32) -> (Option<i32>, Option<i32>) {
    if typmod < 0 {
        return (None, None);
    }
    let (range, precision) = ((typmod >> 16) & 0x7fff, typmod & 0xffff);
    ((range != INTERVAL_FULL_RANGE).then_some(range), (precision != INTERVAL_FULL_PRECISION).then_some(precision))
}

/// Precision and scale of a numeric's modifier; `None` where it has none.
pub fn numeric_precision_and_scale(typmod: i32) -> Option<(i32, i32)> {
    if typmod < HEADER {
        return None;
    }
    let packed = typmod - HEADER;
    Some(((packed >> 16) & 0xffff, ((packed & 0x7ff) ^ 1024) - 1024))
}

/// The length in characters of a varchar's or bpchar's modifier.
pub(crate) fn character_length(typmod: i32) -> Option<usize> {
    typmod.checked_sub(HEADER).filter(|n| (1..=LENGTH_MAX).contains(n)).map(|n| n as usize)
}

/// The modifier as it stands behind the type's name, with its parentheses.
pub fn typmod_out(oid: Oid, typmod: i32) -> String {
    if typmod < 0 {
        return String::new();
    }
    match SqlType::from(oid) {
        SqlType::VARCHAR | SqlType::BPCHAR => format!("({})", typmod - HEADER),
        SqlType::NUMERIC => numeric_precision_and_scale(typmod).map_or(String::new(), |(p, s)| format!("({p},{s})")),
        SqlType::TIME | SqlType::TIMESTAMP => format!("({typmod}) without time zone"),
        SqlType::TIMETZ | SqlType::TIMESTAMPTZ => format!("({typmod}) with time zone"),
        SqlType::INTERVAL => interval_out(typmod),
        ty if ty.entry().is_some_and(|entry| entry.is_array()) => {
            typmod_out(ty.entry().map_or(oid, |e| e.element), typmod)
        }
        _ => format!("({typmod})"),
    }
}

fn interval_out(typmod: i32) -> String {
    use interval_field::*;
    let (range, precision) = interval_parts(typmod);
    let fields = match range {
        None => "",
        Some(YEAR) => " year",
        Some(MONTH) => " month",
        Some(DAY) => " day",
        Some(HOUR) => " hour",
        Some(MINUTE) => " minute",
        Some(SECOND) => " second",
        Some(range) if range == YEAR | MONTH => " year to month",
        Some(range) if range == DAY | HOUR => " day to hour",
        Some(range) if range == DAY | HOUR | MINUTE => " day to minute",
        Some(range) if range == DAY | HOUR | MINUTE | SECOND => " day to second",
        Some(range) if range == HOUR | MINUTE => " hour to minute",
        Some(range) if range == HOUR | MINUTE | SECOND => " hour to second",
        Some(range) if range == MINUTE | SECOND => " minute to second",
        Some(_) => "",
    };
    precision.map_or(fields.to_owned(), |n| format!("{fields}({n})"))
}
