//! `extract`, `date_part`, `date_trunc` and `date_bin`.

use super::calendar::{civil_from_days, day_of_week, day_of_year, iso_week, iso_year_start};
use super::tokens::{Unit, field_unit};
use super::*;
use crate::{EvalResult, Numeric};

/// What a unit is asked of, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Interval,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Source::Date => "date",
            Source::Time => "time without time zone",
            Source::TimeTz => "time with time zone",
            Source::Timestamp => "timestamp without time zone",
            Source::TimestampTz => "timestamp with time zone",
            Source::Interval => "interval",
        }
    }

    fn unsupported(self, unit: &str) -> EvalError {
        let unit = unit.to_ascii_lowercase();
        EvalError::new("0A000", format!("unit \"{unit}\" not supported for type {}", self.name()))
    }

    fn unknown(self, unit: &str) -> EvalError {
        let unit = unit.to_ascii_lowercase();
        EvalError::new("22023", format!("unit \"{unit}\" not recognized for type {}", self.name()))
    }

    fn unit(self, written: &str) -> EvalResult<Unit> {
        field_unit(&written.to_lowercase()).ok_or_else(|| self.unknown(written))
    }
}

fn int(value: i64) -> EvalResult<Option<Numeric>> {
    Ok(Some(Numeric::from(value)))
}

/// `value / 10^scale`, shown with that many digits.
fn scaled(value: i64, scale: u16) -> EvalResult<Option<Numeric>> {
    Ok(Some(Numeric::from_scaled(i128::from(value), scale)))
}

/// An infinite moment has infinite years; of what comes around (hours, days of the week) it has none.
fn of_infinity(unit: Unit, negative: bool) -> Option<Option<Numeric>> {
    use Unit::*;
    match unit {
        Microsecond | Millisecond | Second | Minute | Hour | Day | Month | Quarter | Week | DayOfWeek
        | IsoDayOfWeek | DayOfYear | Timezone | TimezoneHour | TimezoneMinute => Some(None),
        Year | Decade | Century | Millennium | Julian | IsoYear | Epoch => {
            Some(Some(if negative { Numeric::NEG_INFINITY } else { Numeric::INFINITY }))
        }
        Ago => None,
    }
}

/// Fields of the calendar; `None` for those that are no such.
fn calendar_field(unit: Unit, civil: &Civil) -> Option<i64> {
    let (year, month) = (i64::from(civil.year), i64::from(civil.month));
    // There is no year 0: astronomical 0 is 1 BC, which is -1.
    let no_zero = |year: i64| if year > 0 { year } else { year - 1 };
    Some(match unit {
        Unit::Day => i64::from(civil.day),
        Unit::Month => month,
        Unit::Quarter => (month - 1) / 3 + 1,
        Unit::Week => i64::from(iso_week(civil.days()).1),
        Unit::Year => no_zero(year),
        Unit::Decade => year.div_euclid(10),
        Unit::Century => {
            if year > 0 {
                (year + 99) / 100
            } else {
                -((99 - (year - 1)) / 100)
            }
        }
        Unit::Millennium => {
            if year > 0 {
                (year + 999) / 1000
            } else {
                -((999 - (year - 1)) / 1000)
            }
        }
        Unit::IsoYear => no_zero(i64::from(iso_week(civil.days()).0)),
        Unit::DayOfWeek => i64::from(day_of_week(civil.days())),
        Unit::IsoDayOfWeek => i64::from((day_of_week(civil.days()) + 6) % 7 + 1),
        Unit::DayOfYear => i64::from(day_of_year(civil)),
        _ => return None,
    })
}

/// Fields of the time of day.
fn clock_field(unit: Unit, civil: &Civil) -> Option<EvalResult<Option<Numeric>>> {
    let micros = i64::from(civil.second) * SECOND + i64::from(civil.micros);
    Some(match unit {
        Unit::Microsecond => int(micros),
        Unit::Millisecond => scaled(micros, 3),
        Unit::Second => scaled(micros, 6),
        Unit::Minute => int(i64::from(civil.minute)),
        Unit::Hour => int(i64::from(civil.hour)),
        _ => return None,
    })
}

fn zone_field(unit: Unit, offset: i32) -> Option<i64> {
    let offset = i64::from(offset);
    Some(match unit {
        Unit::Timezone => offset,
        Unit::TimezoneHour => offset / 3600,
        Unit::TimezoneMinute => offset / 60 % 60,
        _ => return None,
    })
}

/// `None` is NULL.
pub(crate) fn extract_timestamp(written: &str, timestamp: i64) -> EvalResult<Option<Numeric>> {
    extract_local(written, timestamp, timestamp, None, Source::Timestamp)
}

pub(crate) fn extract_timestamptz(written: &str, utc: i64, zone: &TimeZone) -> EvalResult<Option<Numeric>> {
    if !is_finite_timestamp(utc) {
        return extract_local(written, utc, utc, Some(0), Source::TimestampTz);
    }
    let offset = zone.offset_at(utc);
    extract_local(written, utc + i64::from(offset) * SECOND, utc, Some(offset), Source::TimestampTz)
}

fn extract_local(
    written: &str,
    local: i64,
    utc: i64,
    offset: Option<i32>,
    source: Source,
) -> EvalResult<Option<Numeric>> {
    let unit = source.unit(written)?;
    if offset.is_none() && zone_field(unit, 0).is_some() {
        return Err(source.unsupported(written));
    }
    if !is_finite_timestamp(local) {
        return of_infinity(unit, local < 0).ok_or_else(|| source.unsupported(written));
    }
    let civil = split_timestamp(local);
    if let Some(result) = clock_field(unit, &civil) {
        return result;
    }
    if let Some(value) = calendar_field(unit, &civil).or_else(|| zone_field(unit, offset.unwrap_or(0))) {
        return int(value);
    }
    match unit {
        Unit::Epoch => {
            Ok(Some(Numeric::from_scaled(i128::from(utc) + i128::from(UNIX_EPOCH_SECONDS) * i128::from(SECOND), 6)))
        }
        Unit::Julian => {
            let share = Numeric::from(civil.time()).div(&Numeric::from(DAY))?;
            Ok(Some(Numeric::from(civil.days() + EPOCH_JULIAN).add(&share)?))
        }
        _ => Err(source.unsupported(written)),
    }
}

pub(crate) fn extract_date(written: &str, date: i32) -> EvalResult<Option<Numeric>> {
    let unit = Source::Date.unit(written)?;
    let is_field = !matches!(
        unit,
        Unit::Microsecond
            | Unit::Millisecond
            | Unit::Second
            | Unit::Minute
            | Unit::Hour
            | Unit::Timezone
            | Unit::TimezoneHour
            | Unit::TimezoneMinute
    );
    if !is_field {
        return Err(Source::Date.unsupported(written));
    }
    if !is_finite_date(date) {
        return of_infinity(unit, date < 0).ok_or_else(|| Source::Date.unsupported(written));
    }
    let (year, month, day) = civil_from_days(i64::from(date));
    if let Some(value) = calendar_field(unit, &Civil::date(year, month, day)) {
        return int(value);
    }
    match unit {
        Unit::Epoch => int(i64::from(date) * 86_400 + UNIX_EPOCH_SECONDS),
        Unit::Julian => int(i64::from(date) + EPOCH_JULIAN),
        _ => Err(Source::Date.unsupported(written)),
    }
}

/// `zone` is seconds west of UTC.
pub(crate) fn extract_time(written: &str, time: i64, zone: Option<i32>) -> EvalResult<Option<Numeric>> {
    let source = if zone.is_some() { Source::TimeTz } else { Source::Time };
    let unit = source.unit(written)?;
    let mut civil = Civil::default();
    civil.set_time(time);
    if let Some(result) = clock_field(unit, &civil) {
        return result;
    }
    if let Some(value) = zone.and_then(|zone| zone_field(unit, -zone)) {
        return int(value);
    }
    match unit {
        Unit::Epoch => scaled(time + i64::from(zone.unwrap_or(0)) * SECOND, 6),
        _ => Err(source.unsupported(written)),
    }
}

pub(crate) fn extract_interval(written: &str, interval: &Interval) -> EvalResult<Option<Numeric>> {
    let unit = Source::Interval.unit(written)?;
    let (years, months) = (i64::from(interval.months / 12), i64::from(interval.months % 12));
    let seconds = interval.micros % MINUTE;
    match unit {
        Unit::Microsecond => int(seconds),
        Unit::Millisecond => scaled(seconds, 3),
        Unit::Second => scaled(seconds, 6),
        Unit::Minute => int(interval.micros / MINUTE % 60),
        Unit::Hour => int(interval.micros / HOUR),
        Unit::Day => int(i64::from(interval.days)),
        Unit::Month => int(months),
        Unit::Quarter => int(months / 3 + 1),
        Unit::Year => int(years),
        Unit::Decade => int(years / 10),
        Unit::Century => int(years / 100),
        Unit::Millennium => int(years / 1000),
        Unit::Epoch => {
            // A year of 365.25 days, a month of 30.
            let quarter_days = i128::from(years) * 1461 + i128::from(months) * 120 + i128::from(interval.days) * 4;
            let micros = quarter_days * i128::from(DAY / 4) + i128::from(interval.micros);
            Ok(Some(Numeric::from_scaled(micros, 6)))
        }
        _ => Err(Source::Interval.unsupported(written)),
    }
}

/// Sets what is smaller than the unit to its first value; true if the unit is a day or larger.
fn truncate(unit: Unit, civil: &mut Civil) -> Option<bool> {
    match unit {
        Unit::Microsecond => return Some(false),
        Unit::Millisecond => {
            civil.micros = civil.micros / 1000 * 1000;
            return Some(false);
        }
        Unit::Second | Unit::Minute | Unit::Hour => {
            civil.micros = 0;
            if unit != Unit::Second {
                civil.second = 0;
            }
            if unit == Unit::Hour {
                civil.minute = 0;
            }
            return Some(false);
        }
        _ => {}
    }
    let year = civil.year;
    let first = match unit {
        Unit::Day => Civil::date(year, civil.month, civil.day),
        Unit::Week => {
            let mut monday = Civil::default();
            let (iso_year, week) = iso_week(civil.days());
            monday.set_days(iso_year_start(iso_year) + i64::from(week - 1) * 7);
            monday
        }
        Unit::Month => Civil::date(year, civil.month, 1),
        Unit::Quarter => Civil::date(year, (civil.month - 1) / 3 * 3 + 1, 1),
        Unit::Year => Civil::date(year, 1, 1),
        Unit::Decade => Civil::date(if year > 0 { year / 10 * 10 } else { -((8 - (year - 1)) / 10) * 10 }, 1, 1),
        Unit::Century => Civil::date(
            if year > 0 { (year + 99) / 100 * 100 - 99 } else { -((99 - (year - 1)) / 100) * 100 + 1 },
            1,
            1,
        ),
        Unit::Millennium => Civil::date(
            if year > 0 { (year + 999) / 1000 * 1000 - 999 } else { -((999 - (year - 1)) / 1000) * 1000 + 1 },
            1,
            1,
        ),
        _ => return None,
    };
    *civil = first;
    Some(true)
}

/// The unit of `date_trunc`: those of `extract` that are only fields are not recognized at all.
fn trunc_unit(written: &str, source: Source) -> EvalResult<Unit> {
    super::tokens::interval_unit(&written.to_lowercase()).filter(|unit| *unit != Unit::Ago).ok_or_else(|| {
        if field_unit(&written.to_lowercase()).is_some() {
            source.unsupported(written)
        } else {
            source.unknown(written)
        }
    })
}

pub(crate) fn trunc_timestamp(written: &str, timestamp: i64) -> EvalResult<i64> {
    if !is_finite_timestamp(timestamp) {
        return Ok(timestamp);
    }
    let unit = trunc_unit(written, Source::Timestamp)?;
    let mut civil = split_timestamp(timestamp);
    truncate(unit, &mut civil).ok_or_else(|| Source::Timestamp.unsupported(written))?;
    timestamp_of(&civil).ok_or_else(timestamp_out_of_range)
}

pub(crate) fn trunc_timestamptz(written: &str, utc: i64, zone: &TimeZone) -> EvalResult<i64> {
    if !is_finite_timestamp(utc) {
        return Ok(utc);
    }
    let unit = trunc_unit(written, Source::TimestampTz)?;
    let offset = i64::from(zone.offset_at(utc)) * SECOND;
    let mut civil = split_timestamp(utc + offset);
    let whole_days = truncate(unit, &mut civil).ok_or_else(|| Source::TimestampTz.unsupported(written))?;
    let local = timestamp_of(&civil).ok_or_else(timestamp_out_of_range)?;
    let utc = if whole_days { zone.to_utc(local) } else { check_timestamp(local - offset) };
    utc.ok_or_else(timestamp_out_of_range)
}

pub(crate) fn trunc_interval(written: &str, interval: &Interval) -> EvalResult<Interval> {
    let unit = trunc_unit(written, Source::Interval)?;
    let months = |unit: i32| Interval { months: interval.months / unit * unit, ..Interval::ZERO };
    let micros = |unit: i64| Interval { micros: interval.micros / unit * unit, ..*interval };
    Ok(match unit {
        Unit::Microsecond => *interval,
        Unit::Millisecond => micros(1000),
        Unit::Second => micros(SECOND),
        Unit::Minute => micros(MINUTE),
        Unit::Hour => micros(HOUR),
        Unit::Day => Interval { micros: 0, ..*interval },
        Unit::Month => months(1),
        Unit::Quarter => months(3),
        Unit::Year => months(12),
        Unit::Decade => months(120),
        Unit::Century => months(1200),
        Unit::Millennium => months(12_000),
        Unit::Week => {
            return Err(Source::Interval.unsupported(written).with_detail("Months usually have fractional weeks."));
        }
        _ => return Err(Source::Interval.unsupported(written)),
    })
}

/// The start of the stride-long bin that a timestamp lies in, counted from `origin`.
pub(crate) fn date_bin(stride: &Interval, timestamp: i64, origin: i64) -> EvalResult<i64> {
    if !is_finite_timestamp(timestamp) {
        return Ok(timestamp);
    }
    if !is_finite_timestamp(origin) {
        return Err(EvalError::new("22008", "origin out of range"));
    }
    if stride.months != 0 {
        return Err(EvalError::new("0A000", "timestamps cannot be binned into intervals containing months or years"));
    }
    let stride = i64::from(stride.days).checked_mul(DAY).and_then(|days| days.checked_add(stride.micros));
    let stride = stride.ok_or_else(interval_out_of_range)?;
    if stride <= 0 {
        return Err(EvalError::new("22008", "stride must be greater than zero"));
    }
    let away = timestamp.checked_sub(origin).ok_or_else(interval_out_of_range)?;
    let bin = away.div_euclid(stride).checked_mul(stride).and_then(|bin| origin.checked_add(bin));
    bin.and_then(check_timestamp).ok_or_else(timestamp_out_of_range)
}
