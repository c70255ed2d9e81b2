//! Sums and differences of dates, times and intervals, and rounding to a declared precision.

use super::calendar::days_in_month;
use super::*;
use crate::types::modifier::{interval_field, interval_parts};
use crate::{EvalResult, Interval};

const POWERS: [i64; 7] = [1_000_000, 100_000, 10_000, 1000, 100, 10, 1];

/// To `typmod` digits behind the second's point, half away from zero.
fn round_micros(micros: i64, typmod: i32) -> i64 {
    let unit = usize::try_from(typmod).ok().and_then(|digits| POWERS.get(digits)).copied().unwrap_or(1);
    let half = unit / 2;
    if micros >= 0 {
        micros.saturating_add(half) / unit * unit
    } else {
        -(micros.saturating_neg().saturating_add(half) / unit * unit)
    }
}

pub(crate) fn round_timestamp(timestamp: i64, typmod: i32) -> i64 {
    if typmod < 0 || !is_finite_timestamp(timestamp) { timestamp } else { round_micros(timestamp, typmod) }
}

pub(crate) fn round_time(time: i64, typmod: i32) -> i64 {
    if typmod < 0 { time } else { round_micros(time, typmod) }
}

/// Cuts an interval to the fields and the precision of its type.
pub(crate) fn adjust_interval(mut interval: Interval, typmod: i32) -> EvalResult<Interval> {
    use interval_field::*;
    let (range, precision) = interval_parts(typmod);
    let last = range.map_or(SECOND, |range| {
        // YEAR has a higher bit than MONTH, though it is the larger unit.
        if range & (DAY | HOUR | MINUTE | SECOND) == 0 && range & MONTH != 0 {
            MONTH
        } else {
            1 << (31 - range.leading_zeros())
        }
    });
    match last {
        YEAR => interval = Interval { months: interval.months / 12 * 12, ..Interval::ZERO },
        MONTH => interval = Interval { months: interval.months, ..Interval::ZERO },
        DAY => interval.micros = 0,
        HOUR => interval.micros = interval.micros / super::HOUR * super::HOUR,
        MINUTE => interval.micros = interval.micros / super::MINUTE * super::MINUTE,
        _ => {}
    }
    if let Some(precision) = precision {
        interval.micros = round_micros(interval.micros, precision);
    }
    Ok(interval)
}

/// A day that the month does not have becomes its last.
fn add_months(civil: &mut Civil, months: i32) -> Option<()> {
    let total = i64::from(civil.year) * 12 + i64::from(civil.month) - 1 + i64::from(months);
    civil.year = i32::try_from(total.div_euclid(12)).ok()?;
    civil.month = total.rem_euclid(12) as i32 + 1;
    civil.day = civil.day.min(days_in_month(civil.year, civil.month));
    Some(())
}

/// Months first, then days, then time.
pub(crate) fn timestamp_plus_interval(timestamp: i64, interval: &Interval) -> EvalResult<i64> {
    if !is_finite_timestamp(timestamp) {
        return Ok(timestamp);
    }
    let plus = || {
        let mut result = timestamp;
        if interval.months != 0 {
            let mut civil = split_timestamp(result);
            add_months(&mut civil, interval.months)?;
            result = timestamp_of(&civil)?;
        }
        let days = i64::from(interval.days).checked_mul(DAY)?;
        check_timestamp(result.checked_add(days)?.checked_add(interval.micros)?).filter(|t| is_finite_timestamp(*t))
    };
    plus().ok_or_else(timestamp_out_of_range)
}

/// Months and days are local ones: a day in which clocks change is still a day.
pub fn timestamptz_plus_interval(utc: i64, interval: &Interval, zone: &TimeZone) -> EvalResult<i64> {
    if !is_finite_timestamp(utc) {
        return Ok(utc);
    }
    let plus = || {
        let mut result = utc;
        if interval.months != 0 {
            let mut civil = split_timestamp(zone.to_local(result)?);
            add_months(&mut civil, interval.months)?;
            result = zone.to_utc(timestamp_of(&civil)?)?;
        }
        if interval.days != 0 {
            let local = zone.to_local(result)?.checked_add(i64::from(interval.days) * DAY)?;
            result = zone.to_utc(check_timestamp(local)?)?;
        }
        check_timestamp(result.checked_add(interval.micros)?).filter(|t| is_finite_timestamp(*t))
    };
    plus().ok_or_else(timestamp_out_of_range)
}

/// Days and time, each day 24 hours.
pub(crate) fn timestamp_minus(a: i64, b: i64) -> EvalResult<Interval> {
    if !is_finite_timestamp(a) || !is_finite_timestamp(b) {
        return Err(EvalError::new("22008", "cannot subtract infinite timestamps"));
    }
    let micros = a.checked_sub(b).ok_or_else(interval_out_of_range)?;
    justify_hours(&Interval { micros, ..Interval::ZERO })
}

impl Interval {
    pub(crate) fn checked_neg(&self) -> EvalResult<Interval> {
        let negated = || {
            Some(Interval {
                months: self.months.checked_neg()?,
                days: self.days.checked_neg()?,
                micros: self.micros.checked_neg()?,
            })
        };
        negated().ok_or_else(interval_out_of_range)
    }

    pub(crate) fn checked_add(&self, other: &Interval) -> EvalResult<Interval> {
        let sum = || {
            Some(Interval {
                months: self.months.checked_add(other.months)?,
                days: self.days.checked_add(other.days)?,
                micros: self.micros.checked_add(other.micros)?,
            })
        };
        sum().ok_or_else(interval_out_of_range)
    }

    pub(crate) fn checked_sub(&self, other: &Interval) -> EvalResult<Interval> {
        let difference = || {
            Some(Interval {
                months: self.months.checked_sub(other.months)?,
                days: self.days.checked_sub(other.days)?,
                micros: self.micros.checked_sub(other.micros)?,
            })
        };
        difference().ok_or_else(interval_out_of_range)
    }

    /// Fractions of months cascade to days, of days to time.
    pub(crate) fn scale(&self, by: impl Fn(f64) -> f64) -> EvalResult<Interval> {
        let to_i32 = |value: f64| {
            let fits = value >= f64::from(i32::MIN) && value <= f64::from(i32::MAX);
            if fits { Ok(value as i32) } else { Err(interval_out_of_range()) }
        };
        let to_micros = |value: f64| (value * 1_000_000.0).round_ties_even() / 1_000_000.0;
        let (months_exact, days_exact) = (by(f64::from(self.months)), by(f64::from(self.days)));
        let (months, mut days) = (to_i32(months_exact)?, to_i32(days_exact)?);
        let month_days = to_micros((months_exact - f64::from(months)) * 30.0);
        let mut seconds = to_micros((days_exact - f64::from(days) + month_days - month_days.trunc()) * 86_400.0);
        if seconds.abs() >= 86_400.0 {
            let more = (seconds / 86_400.0).trunc();
            days = days.checked_add(more as i32).ok_or_else(interval_out_of_range)?;
            seconds -= more * 86_400.0;
        }
        let days = days.checked_add(month_days as i32).ok_or_else(interval_out_of_range)?;
        let micros = (by(self.micros as f64) + seconds * 1_000_000.0).round_ties_even();
        if micros.is_nan() || micros < i64::MIN as f64 || micros >= i64::MAX as f64 {
            return Err(interval_out_of_range());
        }
        Ok(Interval { months, days, micros: micros as i64 })
    }
}

/// 24 hours become a day.
pub(crate) fn justify_hours(interval: &Interval) -> EvalResult<Interval> {
    let mut result = *interval;
    let days = i32::try_from(result.micros / DAY).map_err(|_| interval_out_of_range())?;
    result.micros %= DAY;
    result.days = result.days.checked_add(days).ok_or_else(interval_out_of_range)?;
    balance_day(&mut result);
    Ok(result)
}

/// Days and time get the same sign.
fn balance_day(interval: &mut Interval) {
    if interval.days > 0 && interval.micros < 0 {
        interval.micros += DAY;
        interval.days -= 1;
    } else if interval.days < 0 && interval.micros > 0 {
        interval.micros -= DAY;
        interval.days += 1;
    }
}

/// 30 days become a month.
pub(crate) fn justify_days(interval: &Interval) -> EvalResult<Interval> {
    let mut result = *interval;
    result.months = result.months.checked_add(result.days / 30).ok_or_else(interval_out_of_range)?;
    result.days %= 30;
    if result.months > 0 && result.days < 0 {
        result.days += 30;
        result.months -= 1;
    } else if result.months < 0 && result.days > 0 {
        result.days -= 30;
        result.months += 1;
    }
    Ok(result)
}

/// Both, with all parts of one sign.
pub(crate) fn justify_interval(interval: &Interval) -> EvalResult<Interval> {
    let days = i64::from(interval.days) + interval.micros / DAY;
    let mut result = Interval { months: 0, days: (days % 30) as i32, micros: interval.micros % DAY };
    let months = i64::from(interval.months) + days / 30;
    result.months = i32::try_from(months).map_err(|_| interval_out_of_range())?;
    if result.months > 0 && (result.days < 0 || result.days == 0 && result.micros < 0) {
        result.days += 30;
        result.months -= 1;
    } else if result.months < 0 && (result.days > 0 || result.days == 0 && result.micros > 0) {
        result.days -= 30;
        result.months += 1;
    }
    balance_day(&mut result);
    Ok(result)
}

/// The symbolic difference: years, months and days as a calendar counts them.
pub(crate) fn age(a: i64, b: i64) -> EvalResult<Interval> {
    if !is_finite_timestamp(a) || !is_finite_timestamp(b) {
        return Err(timestamp_out_of_range());
    }
    if a < b { between(b, a).checked_neg() } else { Ok(between(a, b)) }
}

/// Days that are borrowed from a month are those of the earlier one.
fn between(later: i64, earlier: i64) -> Interval {
    let (l, e) = (split_timestamp(later), split_timestamp(earlier));
    let mut micros = l.time() - e.time();
    let mut days = l.day - e.day;
    let mut months = (l.year - e.year) * 12 + l.month - e.month;
    if micros < 0 {
        micros += DAY;
        days -= 1;
    }
    while days < 0 {
        days += days_in_month(e.year, e.month);
        months -= 1;
    }
    Interval { months, days, micros }
}

pub(crate) fn date_plus_days(date: i32, days: i32) -> EvalResult<i32> {
    if !is_finite_date(date) {
        return Ok(date);
    }
    date.checked_add(days).and_then(check_date).filter(|d| is_finite_date(*d)).ok_or_else(date_out_of_range)
}

/// Midnight of the date.
pub(crate) fn date_to_timestamp(date: i32) -> EvalResult<i64> {
    match date {
        DATE_INFINITY => Ok(TIMESTAMP_INFINITY),
        DATE_NEG_INFINITY => Ok(TIMESTAMP_NEG_INFINITY),
        _ => check_timestamp(i64::from(date).saturating_mul(DAY))
            .filter(|t| is_finite_timestamp(*t))
            .ok_or_else(|| EvalError::new("22008", "date out of range for timestamp")),
    }
}

pub(crate) fn timestamp_to_date(timestamp: i64) -> i32 {
    match timestamp {
        TIMESTAMP_INFINITY => DATE_INFINITY,
        TIMESTAMP_NEG_INFINITY => DATE_NEG_INFINITY,
        _ => timestamp.div_euclid(DAY) as i32,
    }
}

/// A date against a timestamp; a date beyond all timestamps is still after them.
pub(crate) fn compare_date_timestamp(date: i32, timestamp: i64) -> std::cmp::Ordering {
    match date_to_timestamp(date) {
        Ok(midnight) => midnight.cmp(&timestamp),
        Err(_) if timestamp == TIMESTAMP_INFINITY => std::cmp::Ordering::Less,
        Err(_) => std::cmp::Ordering::Greater,
    }
}
