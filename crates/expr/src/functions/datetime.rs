//! Dates, times, timestamps and intervals: arithmetic, fields, zones.

use super::cast;
use super::native::{Date, Table, Time, TimeTz, Timestamp, TimestampTz, scalar};
use crate::compare::compare_timetz;
use crate::datetime::arithmetic::*;
use crate::datetime::fields::*;
use crate::datetime::*;
use crate::numeric::division_by_zero;
use crate::{Datum, EvalContext, EvalError, EvalResult, Interval, Numeric};

pub(super) const FUNCTIONS: &[Table] =
    &[DATES, TIMES, TIMESTAMPS, ZONES, INTERVALS, FIELDS, MAKE, OVERLAPS, FORMATS, CASTS];

const DATES: Table = &[
    scalar!("date_pli", |date: Date, days: i32| date_plus_days(date.0, days).map(Date)),
    scalar!("sql2550", |days: i32, date: Date| date_plus_days(date.0, days).map(Date)),
    scalar!("date_mii", |date: Date, days: i32| {
        match days.checked_neg() {
            Some(days) => date_plus_days(date.0, days).map(Date),
            None if !is_finite_date(date.0) => Ok(date),
            None => Err(date_out_of_range()),
        }
    }),
    scalar!("date_mi", |a: Date, b: Date| {
        if !is_finite_date(a.0) || !is_finite_date(b.0) {
            return Err(EvalError::new("22008", "cannot subtract infinite dates"));
        }
        a.0 - b.0
    }),
    scalar!("date_pl_interval", |date: Date, i: &Interval| timestamp_plus_interval(date_to_timestamp(date.0)?, i)
        .map(Timestamp)),
    scalar!("sql2546", |i: &Interval, date: Date| timestamp_plus_interval(date_to_timestamp(date.0)?, i)
        .map(Timestamp)),
    scalar!("date_mi_interval", |date: Date, i: &Interval| {
        timestamp_plus_interval(date_to_timestamp(date.0)?, &i.checked_neg()?).map(Timestamp)
    }),
    scalar!("datetime_timestamp", |date: Date, time: Time| date_and_time(date.0, time.0).map(Timestamp)),
    scalar!("sql1296", |time: Time, date: Date| date_and_time(date.0, time.0).map(Timestamp)),
    scalar!("sql1176", |call; date: Date, time: Time| cast::utc(date_and_time(date.0, time.0)?, call.ctx).map(TimestampTz)),
    scalar!("datetimetz_timestamptz", |date: Date, time: TimeTz| date_and_timetz(date.0, time).map(TimestampTz)),
    scalar!("sql1298", |time: TimeTz, date: Date| date_and_timetz(date.0, time).map(TimestampTz)),
    scalar!("date_finite", |date: Date| is_finite_date(date.0)),
];

fn date_and_time(date: i32, time: i64) -> EvalResult<i64> {
    let midnight = date_to_timestamp(date)?;
    if !is_finite_timestamp(midnight) {
        return Ok(midnight);
    }
    check_timestamp(midnight + time).ok_or_else(timestamp_out_of_range)
}

fn date_and_timetz(date: i32, time: TimeTz) -> EvalResult<i64> {
    let local = date_and_time(date, time.0)?;
    if !is_finite_timestamp(local) {
        return Ok(local);
    }
    check_timestamp(local + i64::from(time.1) * SECOND).ok_or_else(timestamp_out_of_range)
}

const TIMES: Table = &[
    scalar!("time_pl_interval", |time: Time, i: &Interval| Time((time.0 + i.micros % DAY).rem_euclid(DAY))),
    scalar!("sql1848", |i: &Interval, time: Time| Time((time.0 + i.micros % DAY).rem_euclid(DAY))),
    scalar!("time_mi_interval", |time: Time, i: &Interval| Time((time.0 - i.micros % DAY).rem_euclid(DAY))),
    scalar!("timetz_pl_interval", |time: TimeTz, i: &Interval| TimeTz(
        (time.0 + i.micros % DAY).rem_euclid(DAY),
        time.1
    )),
    scalar!("sql2547", |i: &Interval, time: TimeTz| TimeTz((time.0 + i.micros % DAY).rem_euclid(DAY), time.1)),
    scalar!("timetz_mi_interval", |time: TimeTz, i: &Interval| TimeTz(
        (time.0 - i.micros % DAY).rem_euclid(DAY),
        time.1
    )),
    scalar!("time_mi_time", |a: Time, b: Time| Interval { micros: a.0 - b.0, ..Interval::ZERO }),
];

const TIMESTAMPS: Table = &[
    scalar!("timestamp_pl_interval", |t: Timestamp, i: &Interval| timestamp_plus_interval(t.0, i).map(Timestamp)),
    scalar!("sql2548", |i: &Interval, t: Timestamp| timestamp_plus_interval(t.0, i).map(Timestamp)),
    scalar!("timestamp_mi_interval", |t: Timestamp, i: &Interval| timestamp_plus_interval(t.0, &i.checked_neg()?)
        .map(Timestamp)),
    scalar!("timestamptz_pl_interval", |call; t: TimestampTz, i: &Interval| {
        timestamptz_plus_interval(t.0, i, &call.ctx.settings.time_zone).map(TimestampTz)
    }),
    scalar!("sql2549", |call; i: &Interval, t: TimestampTz| {
        timestamptz_plus_interval(t.0, i, &call.ctx.settings.time_zone).map(TimestampTz)
    }),
    scalar!("timestamptz_mi_interval", |call; t: TimestampTz, i: &Interval| {
        timestamptz_plus_interval(t.0, &i.checked_neg()?, &call.ctx.settings.time_zone).map(TimestampTz)
    }),
    scalar!("timestamp_mi", |a: &Datum, b: &Datum| timestamp_minus(moment(a)?, moment(b)?)),
    scalar!("timestamp_finite", |t: &Datum| is_finite_timestamp(moment(t)?)),
    scalar!("timestamp_age", |a: Timestamp, b: Timestamp| age(a.0, b.0)),
    scalar!("timestamptz_age", |call; a: TimestampTz, b: TimestampTz| age(cast::local(a.0, call.ctx)?, cast::local(b.0, call.ctx)?)),
    scalar!("sql2059", |call; t: Timestamp| age(today(call.ctx)?, t.0)),
    scalar!("sql1386", |call; t: TimestampTz| age(today(call.ctx)?, cast::local(t.0, call.ctx)?)),
    scalar!("timestamp_trunc", |unit: &str, t: Timestamp| trunc_timestamp(unit, t.0).map(Timestamp)),
    scalar!("timestamptz_trunc", |call; unit: &str, t: TimestampTz| {
        trunc_timestamptz(unit, t.0, &call.ctx.settings.time_zone).map(TimestampTz)
    }),
    scalar!("timestamptz_trunc_zone", |unit: &str, t: TimestampTz, name: &str| {
        if is_finite_timestamp(t.0) { trunc_timestamptz(unit, t.0, &zone(name)?).map(TimestampTz) } else { Ok(t) }
    }),
    scalar!("interval_trunc", |unit: &str, i: &Interval| trunc_interval(unit, i)),
    scalar!("timestamp_bin", |stride: &Interval, t: Timestamp, origin: Timestamp| date_bin(stride, t.0, origin.0)
        .map(Timestamp)),
    scalar!("timestamptz_bin", |stride: &Interval, t: TimestampTz, origin: TimestampTz| {
        date_bin(stride, t.0, origin.0).map(TimestampTz)
    }),
    scalar!("float8_timestamptz", |seconds: f64| from_unix(seconds).map(TimestampTz)),
];

/// Both kinds of timestamps, where only the number matters.
fn moment(value: &Datum) -> EvalResult<i64> {
    match value {
        Datum::Timestamp(t) | Datum::TimestampTz(t) => Ok(*t),
        other => Err(super::native::mismatch("a timestamp", other)),
    }
}

/// Midnight of the current date, local.
fn today(ctx: &EvalContext<'_>) -> EvalResult<i64> {
    Ok(cast::local(ctx.transaction_time, ctx)?.div_euclid(DAY) * DAY)
}

fn from_unix(seconds: f64) -> EvalResult<i64> {
    if seconds.is_nan() {
        return Err(EvalError::new("22008", "timestamp cannot be NaN"));
    }
    if seconds.is_infinite() {
        return Ok(if seconds > 0.0 { TIMESTAMP_INFINITY } else { TIMESTAMP_NEG_INFINITY });
    }
    let out_of_range = || {
        let mut shown = String::new();
        crate::io::write_general(&mut shown, seconds, 6);
        EvalError::new("22008", format!("timestamp out of range: \"{shown}\""))
    };
    let micros = ((seconds - UNIX_EPOCH_SECONDS as f64) * SECOND as f64).round_ties_even();
    if !(TIMESTAMP_MIN as f64..TIMESTAMP_END as f64).contains(&micros) {
        return Err(out_of_range());
    }
    check_timestamp(micros as i64).ok_or_else(out_of_range)
}

/// A zone of `AT TIME ZONE`: an abbreviation comes before a name.
fn zone(name: &str) -> EvalResult<TimeZone> {
    match abbreviation_offset(name) {
        Some(offset) => Ok(TimeZone::fixed(offset)),
        None => TimeZone::named(name),
    }
}

/// Seconds east of UTC.
fn interval_zone(i: &Interval, ctx: &EvalContext<'_>) -> EvalResult<TimeZone> {
    if i.months != 0 || i.days != 0 {
        let mut shown = String::new();
        write_interval(&mut shown, i, ctx.settings.interval_style);
        return Err(EvalError::new("22023", format!("interval time zone \"{shown}\" must not include months or days")));
    }
    Ok(TimeZone::fixed((i.micros / SECOND) as i32))
}

/// An infinite moment is the same everywhere: the zone is not even looked at.
fn into_zone(t: i64, zone: impl Fn() -> EvalResult<TimeZone>) -> EvalResult<Timestamp> {
    if !is_finite_timestamp(t) {
        return Ok(Timestamp(t));
    }
    zone()?.to_local(t).map(Timestamp).ok_or_else(timestamp_out_of_range)
}

fn out_of_zone(t: i64, zone: impl Fn() -> EvalResult<TimeZone>) -> EvalResult<TimestampTz> {
    if !is_finite_timestamp(t) {
        return Ok(TimestampTz(t));
    }
    zone()?.to_utc(t).map(TimestampTz).ok_or_else(timestamp_out_of_range)
}

/// The same moment under another offset.
fn timetz_in(time: TimeTz, zone: &TimeZone, ctx: &EvalContext<'_>) -> TimeTz {
    let west = -zone.offset_at(ctx.transaction_time);
    TimeTz((time.0 + i64::from(time.1 - west) * SECOND).rem_euclid(DAY), west)
}

const ZONES: Table = &[
    scalar!("timestamptz_zone", |name: &str, t: TimestampTz| into_zone(t.0, || zone(name))),
    scalar!("timestamp_zone", |name: &str, t: Timestamp| out_of_zone(t.0, || zone(name))),
    scalar!("timestamptz_izone", |call; i: &Interval, t: TimestampTz| into_zone(t.0, || interval_zone(i, call.ctx))),
    scalar!("timestamp_izone", |call; i: &Interval, t: Timestamp| out_of_zone(t.0, || interval_zone(i, call.ctx))),
    scalar!("timetz_zone", |call; name: &str, time: TimeTz| timetz_in(time, &zone(name)?, call.ctx)),
    scalar!("timetz_izone", |call; i: &Interval, time: TimeTz| timetz_in(time, &interval_zone(i, call.ctx)?, call.ctx)),
];

const INTERVALS: Table = &[
    scalar!("interval_pl", |a: &Interval, b: &Interval| a.checked_add(b)),
    scalar!("interval_mi", |a: &Interval, b: &Interval| a.checked_sub(b)),
    scalar!("interval_um", |i: &Interval| i.checked_neg()),
    scalar!("interval_mul", |i: &Interval, factor: f64| i.scale(|part| part * factor)),
    scalar!("mul_d_interval", |factor: f64, i: &Interval| i.scale(|part| part * factor)),
    scalar!("interval_div", |i: &Interval, divisor: f64| {
        if divisor == 0.0 {
            return Err(division_by_zero());
        }
        i.scale(|part| part / divisor)
    }),
    scalar!("interval_justify_hours", |i: &Interval| justify_hours(i)),
    scalar!("interval_justify_days", |i: &Interval| justify_days(i)),
    scalar!("interval_justify_interval", |i: &Interval| justify_interval(i)),
    scalar!("interval_finite", |_i: &Interval| true),
];

/// `date_part` gives a double where `extract` gives a numeric.
fn as_double(value: EvalResult<Option<Numeric>>) -> EvalResult<Option<f64>> {
    Ok(value?.map(|value| value.to_f64_lossy()))
}

const FIELDS: Table = &[
    scalar!("extract_date", |unit: &str, date: Date| extract_date(unit, date.0)),
    scalar!("extract_time", |unit: &str, time: Time| extract_time(unit, time.0, None)),
    scalar!("extract_timetz", |unit: &str, time: TimeTz| extract_time(unit, time.0, Some(time.1))),
    scalar!("extract_timestamp", |unit: &str, t: Timestamp| extract_timestamp(unit, t.0)),
    scalar!("extract_timestamptz", |call; unit: &str, t: TimestampTz| extract_timestamptz(unit, t.0, &call.ctx.settings.time_zone)),
    scalar!("extract_interval", |unit: &str, i: &Interval| extract_interval(unit, i)),
    scalar!("sql1384", |unit: &str, date: Date| as_double(extract_timestamp(unit, date_to_timestamp(date.0)?))),
    scalar!("time_part", |unit: &str, time: Time| as_double(extract_time(unit, time.0, None))),
    scalar!("timetz_part", |unit: &str, time: TimeTz| as_double(extract_time(unit, time.0, Some(time.1)))),
    scalar!("timestamp_part", |unit: &str, t: Timestamp| as_double(extract_timestamp(unit, t.0))),
    scalar!("timestamptz_part", |call; unit: &str, t: TimestampTz| {
        as_double(extract_timestamptz(unit, t.0, &call.ctx.settings.time_zone))
    }),
    scalar!("interval_part", |unit: &str, i: &Interval| as_double(extract_interval(unit, i))),
];

/// A year before Christ is negative; there is no year 0.
fn civil_date(year: i32, month: i32, day: i32) -> Option<Civil> {
    let year = if year < 0 { year + 1 } else { year };
    let valid = (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month);
    valid.then(|| Civil::date(year, month, day))
}

fn shown_date(year: i32, month: i32, day: i32) -> String {
    format!("{year}-{month:02}-{day:02}")
}

/// The days of a date that there is, within what Julian days can count; `shown` is what messages call it.
fn date_days(year: i32, month: i32, day: i32, shown: impl Fn() -> String) -> EvalResult<i64> {
    let wrong = |what: &str| EvalError::new("22008", format!("{what}: {}", shown()));
    let civil = if year == 0 || year == i32::MIN { None } else { civil_date(year, month, day) };
    let days = civil.ok_or_else(|| wrong("date field value out of range"))?.days();
    let valid = days >= i64::from(DATE_MIN) && days < i64::from(DATE_END);
    if valid { Ok(days) } else { Err(wrong("date out of range")) }
}

/// Messages have the astronomical year.
fn make_date(year: i32, month: i32, day: i32) -> EvalResult<Date> {
    let shown_year = if year < 0 && year != i32::MIN { year + 1 } else { year };
    date_days(year, month, day, || shown_date(shown_year, month, day)).map(|days| Date(days as i32))
}

fn make_time(hour: i32, minute: i32, second: f64) -> EvalResult<i64> {
    let exact = (second * SECOND as f64).round_ties_even();
    let valid = (0..=24).contains(&hour) && (0..60).contains(&minute) && (0.0..=MINUTE as f64).contains(&exact);
    let micros = if valid { exact as i64 } else { 0 };
    let time = i64::from(hour) * HOUR + i64::from(minute) * MINUTE + micros;
    if !valid || time > DAY {
        let mut shown = String::new();
        crate::io::write_general(&mut shown, second, 6);
        return Err(EvalError::new("22008", format!("time field value out of range: {hour}:{minute:02}:{shown:0>2}")));
    }
    Ok(time)
}

fn make_timestamp(year: i32, month: i32, day: i32, hour: i32, minute: i32, second: f64) -> EvalResult<i64> {
    let days = date_days(year, month, day, || shown_date(year, month, day))?;
    let time = make_time(hour, minute, second)?;
    let moment = days.checked_mul(DAY).and_then(|days| days.checked_add(time)).and_then(check_timestamp);
    moment.ok_or_else(|| {
        let shown = shown_date(year, month, day);
        EvalError::new("22008", format!("timestamp out of range: {shown} {hour}:{minute:02}:{second}"))
    })
}

fn make_interval(parts: [i32; 6], seconds: f64) -> EvalResult<Interval> {
    let [years, months, weeks, days, hours, minutes] = parts.map(i64::from);
    let micros = seconds * SECOND as f64;
    if !micros.is_finite() || micros.abs() >= i64::MAX as f64 {
        return Err(interval_out_of_range());
    }
    let micros = hours
        .checked_mul(HOUR)
        .and_then(|t| t.checked_add(minutes * MINUTE))
        .and_then(|t| t.checked_add(micros.round_ties_even() as i64));
    match (i32::try_from(years * 12 + months), i32::try_from(weeks * 7 + days), micros) {
        (Ok(months), Ok(days), Some(micros)) => Ok(Interval { months, days, micros }),
        _ => Err(interval_out_of_range()),
    }
}

const MAKE: Table = &[
    scalar!("make_date", |year: i32, month: i32, day: i32| make_date(year, month, day)),
    scalar!("make_time", |hour: i32, minute: i32, second: f64| make_time(hour, minute, second).map(Time)),
    scalar!("make_timestamp", |y: i32, mo: i32, d: i32, h: i32, mi: i32, s: f64| make_timestamp(y, mo, d, h, mi, s)
        .map(Timestamp)),
    scalar!("make_timestamptz", |call; y: i32, mo: i32, d: i32, h: i32, mi: i32, s: f64| {
        cast::utc(make_timestamp(y, mo, d, h, mi, s)?, call.ctx).map(TimestampTz)
    }),
    scalar!("make_timestamptz_at_timezone", |y: i32, mo: i32, d: i32, h: i32, mi: i32, s: f64, name: &str| {
        out_of_zone(make_timestamp(y, mo, d, h, mi, s)?, || zone_or_offset(name))
    }),
    scalar!("make_interval", |y: i32, mo: i32, w: i32, d: i32, h: i32, mi: i32, s: f64| make_interval(
        [y, mo, w, d, h, mi],
        s
    )),
];

fn zone_or_offset(name: &str) -> EvalResult<TimeZone> {
    match numeric_zone_offset(name) {
        Some(offset) => Ok(TimeZone::fixed(offset)),
        None if name.starts_with(|c: char| c.is_ascii_digit()) => {
            let message = format!("invalid input syntax for type numeric time zone: \"{name}\"");
            Err(EvalError::new("22023", message)
                .with_hint("Numeric time zones must have \"-\" or \"+\" as first character."))
        }
        None => zone(name),
    }
}

/// Whether two periods have a moment in common; each may be given with its ends exchanged, and a period
/// of no length is the moment itself. NULL ends are unknown.
fn overlaps<T: Copy>(ends: [Option<T>; 4], order: impl Fn(T, T) -> std::cmp::Ordering) -> Option<bool> {
    let period = |a: Option<T>, b: Option<T>| match (a, b) {
        (None, None) => None,
        (None, Some(end)) | (Some(end), None) => Some((end, None)),
        (Some(a), Some(b)) if order(a, b).is_gt() => Some((b, Some(a))),
        (Some(a), Some(b)) => Some((a, Some(b))),
    };
    let [a, b, c, d] = ends;
    let (first, second) = (period(a, b)?, period(c, d)?);
    let before = |start: T, end: Option<T>| end.map(|end| order(start, end).is_lt());
    match order(first.0, second.0) {
        std::cmp::Ordering::Equal => match (first.1, second.1) {
            (Some(_), Some(_)) => Some(true),
            _ => None,
        },
        // The later start must lie before the end of the other period.
        order if order.is_gt() => match before(first.0, second.1) {
            Some(true) => Some(true),
            Some(false) if first.1.is_some() => Some(false),
            _ => None,
        },
        _ => match before(second.0, first.1) {
            Some(true) => Some(true),
            Some(false) if second.1.is_some() => Some(false),
            _ => None,
        },
    }
}

/// The end of a period that is given by its length.
fn plus(start: &Datum, length: &Datum, ctx: &EvalContext<'_>) -> EvalResult<Datum> {
    Ok(match (start, length) {
        (Datum::Timestamp(t), Datum::Interval(i)) => Datum::Timestamp(timestamp_plus_interval(*t, i)?),
        (Datum::TimestampTz(t), Datum::Interval(i)) => {
            Datum::TimestampTz(timestamptz_plus_interval(*t, i, &ctx.settings.time_zone)?)
        }
        (Datum::Time(t), Datum::Interval(i)) => Datum::Time((t + i.micros % DAY).rem_euclid(DAY)),
        (_, Datum::Interval(_)) => Datum::Null,
        (_, end) => end.clone(),
    })
}

fn overlaps_any(call: &super::Call<'_>, args: &[&Datum]) -> EvalResult<Datum> {
    let [a, b, c, d] = args else { return Ok(Datum::Null) };
    let (b, d) = (plus(a, b, call.ctx)?, plus(c, d, call.ctx)?);
    let end = |value: &Datum| match value {
        Datum::Timestamp(t) | Datum::TimestampTz(t) | Datum::Time(t) => Some((*t, 0)),
        Datum::TimeTz(t, zone) => Some((*t, *zone)),
        _ => None,
    };
    let found = overlaps([end(a), end(&b), end(c), end(&d)], compare_timetz);
    Ok(found.map_or(Datum::Null, Datum::Bool))
}

const OVERLAPS: Table = &[
    ("overlaps_timestamp", overlaps_any),
    ("overlaps_time", overlaps_any),
    ("overlaps_timetz", overlaps_any),
    ("sql1305", overlaps_any),
    ("sql1306", overlaps_any),
    ("sql1307", overlaps_any),
    ("sql1309", overlaps_any),
    ("sql1310", overlaps_any),
    ("sql1311", overlaps_any),
    ("sql2042", overlaps_any),
    ("sql2043", overlaps_any),
    ("sql2044", overlaps_any),
];

const FORMATS: Table = &[scalar!("timeofday", |call; | {
    let now = call.ctx.environment.clock_time(call.ctx);
    let zone = call.ctx.settings.time_zone.offset_info_at(now);
    let civil = split_timestamp(now + i64::from(zone.seconds) * SECOND);
    let weekday = DAY_NAMES[(civil.days() + 6).rem_euclid(7) as usize];
    format!(
        "{} {} {:02} {:02}:{:02}:{:02}.{:06} {:04} {}",
        &weekday[..3], &MONTH_NAMES[civil.month as usize - 1][..3], civil.day, civil.hour, civil.minute,
        civil.second, civil.micros, civil.year, zone.abbreviation
    )
})];

/// Casts that are also functions with a name.
const CASTS: Table = &[
    ("date_timestamp", cast::by_call),
    ("date_timestamptz", cast::by_call),
    ("timestamp_date", cast::by_call),
    ("timestamptz_date", cast::by_call),
    ("timestamp_timestamptz", cast::by_call),
    ("timestamptz_timestamp", cast::by_call),
    ("timestamp_time", cast::by_call),
    ("timestamptz_time", cast::by_call),
    ("timestamptz_timetz", cast::by_call),
    ("timetz_time", cast::by_call),
    ("time_timetz", cast::by_call),
    ("time_interval", cast::by_call),
    ("interval_time", cast::by_call),
    ("timestamp_scale", cast::by_call),
    ("timestamptz_scale", cast::by_call),
    ("time_scale", cast::by_call),
    ("timetz_scale", cast::by_call),
    ("interval_scale", cast::by_call),
    ("numeric", cast::by_call),
    ("bpchar", cast::by_call),
    ("varchar", cast::by_call),
    ("int28", cast::by_call),
    ("int48", cast::by_call),
    ("int82", cast::by_call),
    ("int84", cast::by_call),
    ("i2toi4", cast::by_call),
    ("i4toi2", cast::by_call),
    ("i2tod", cast::by_call),
    ("i2tof", cast::by_call),
    ("i4tod", cast::by_call),
    ("i4tof", cast::by_call),
    ("i8tod", cast::by_call),
    ("i8tof", cast::by_call),
    ("i8tooid", cast::by_call),
    ("oidtoi8", cast::by_call),
    ("dtoi2", cast::by_call),
    ("dtoi4", cast::by_call),
    ("dtoi8", cast::by_call),
    ("dtof", cast::by_call),
    ("ftod", cast::by_call),
    ("ftoi2", cast::by_call),
    ("ftoi4", cast::by_call),
    ("ftoi8", cast::by_call),
    ("int2_numeric", cast::by_call),
    ("int4_numeric", cast::by_call),
    ("int8_numeric", cast::by_call),
    ("float4_numeric", cast::by_call),
    ("float8_numeric", cast::by_call),
    ("numeric_int2", cast::by_call),
    ("numeric_int4", cast::by_call),
    ("numeric_int8", cast::by_call),
    ("numeric_float4", cast::by_call),
    ("numeric_float8", cast::by_call),
    ("int4_bool", cast::by_call),
    ("bool_int4", cast::by_call),
    ("booltext", cast::by_call),
    ("chartoi4", cast::by_call),
    ("i4tochar", cast::by_call),
    ("char_text", cast::by_call),
    ("char_bpchar", cast::by_call),
    ("text_char", cast::by_call),
    ("text_name", cast::by_call),
    ("name_text", cast::by_call),
    ("name_bpchar", cast::by_call),
    ("bpchar_name", cast::by_call),
    ("text_regclass", cast::by_call),
    ("jsonb_bool", cast::by_call),
    ("jsonb_numeric", cast::by_call),
    ("jsonb_int2", cast::by_call),
    ("jsonb_int4", cast::by_call),
    ("jsonb_int8", cast::by_call),
    ("jsonb_float4", cast::by_call),
    ("jsonb_float8", cast::by_call),
];
