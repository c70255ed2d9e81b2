//! Dates, times, timestamps and intervals: their calendar, their text, their arithmetic.
//!
//! As in PostgreSQL, all count from 2000-01-01 in the proleptic Gregorian calendar: dates in days (to
//! 5874897 AD), timestamps in microseconds (to 294276 AD), both with `infinity` and `-infinity`. A
//! timestamp with time zone is UTC; the session's zone matters only where text or fields are made of it.
//! The zones' rules come from jiff's bundled database, everything else is here.

pub(crate) mod arithmetic;
mod calendar;
pub(crate) mod fields;
mod format;
mod interval;
mod parse;

mod tokens;
mod zone;

pub(crate) use arithmetic::compare_date_timestamp;
pub(crate) use calendar::{Civil, days_from_civil, days_in_month, split_timestamp, timestamp_of};
pub(crate) use format::{DAY_NAMES, MONTH_NAMES};
pub use format::{DateFormat, DateOrder, DateStyle, IntervalStyle};
pub(crate) use format::{
    write_date, write_interval, write_json_moment, write_time, write_timestamp, write_timestamptz, write_timetz,
};
pub(crate) use interval::parse_interval;
pub(crate) use parse::{parse_date, parse_time, parse_timestamp, parse_timestamptz, parse_timetz};
pub use zone::{Abbreviation, TimeZone, abbreviations, zone_names};

use crate::{EvalError, Interval};

pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;
pub(crate) const DAYS_PER_MONTH: i64 = 30;

pub(crate) const DATE_INFINITY: i32 = i32::MAX;
pub(crate) const DATE_NEG_INFINITY: i32 = i32::MIN;
pub(crate) const TIMESTAMP_INFINITY: i64 = i64::MAX;
pub(crate) const TIMESTAMP_NEG_INFINITY: i64 = i64::MIN;

/// 2000-01-01 as a Julian day, and as seconds of Unix time.
pub(crate) const EPOCH_JULIAN: i64 = 2_451_545;
pub const UNIX_EPOCH_SECONDS: i64 = 946_684_800;

/// Dates from 4714-11-24 BC on, before 5874898-01-01.
pub(crate) const DATE_MIN: i32 = -2_451_545;
pub(crate) const DATE_END: i32 = (2_147_483_494 - EPOCH_JULIAN) as i32;
/// Timestamps from 4714-11-24 BC on, before 294277-01-01.
pub(crate) const TIMESTAMP_MIN: i64 = -211_813_488_000_000_000;
pub(crate) const TIMESTAMP_END: i64 = 9_223_371_331_200_000_000;

pub(crate) fn is_finite_date(date: i32) -> bool {
    date != DATE_INFINITY && date != DATE_NEG_INFINITY
}

pub(crate) fn is_finite_timestamp(timestamp: i64) -> bool {
    timestamp != TIMESTAMP_INFINITY && timestamp != TIMESTAMP_NEG_INFINITY
}

pub(crate) fn timestamp_out_of_range() -> EvalError {
    EvalError::new("22008", "timestamp out of range")
}

pub(crate) fn date_out_of_range() -> EvalError {
    EvalError::new("22008", "date out of range")
}

pub(crate) fn interval_out_of_range() -> EvalError {
    EvalError::new("22008", "interval out of range")
}

/// The timestamp, if it is infinite or within what PostgreSQL can hold.
pub(crate) fn check_timestamp(timestamp: i64) -> Option<i64> {
    let valid = !is_finite_timestamp(timestamp) || (TIMESTAMP_MIN..TIMESTAMP_END).contains(&timestamp);
    valid.then_some(timestamp)
}

pub(crate) fn check_date(date: i32) -> Option<i32> {
    (!is_finite_date(date) || (DATE_MIN..DATE_END).contains(&date)).then_some(date)
}

impl Interval {
    pub const ZERO: Interval = Interval { months: 0, days: 0, micros: 0 };

    /// What intervals are compared by: a month is 30 days, a day 24 hours.
    pub fn comparison_micros(&self) -> i128 {
        let days = i128::from(self.months) * i128::from(DAYS_PER_MONTH) + i128::from(self.days);
        days * i128::from(DAY) + i128::from(self.micros)
    }
}

/// The offset of an abbreviation (`PST`), in seconds east of UTC.
pub(crate) fn abbreviation_offset(name: &str) -> Option<i32> {
    zone::abbreviation(&name.to_ascii_lowercase()).map(|zone| zone.offset)
}

/// `+02`, `-03:30` as seconds east of UTC.
pub(crate) fn numeric_zone_offset(text: &str) -> Option<i32> {
    parse::numeric_zone(text).ok()
}
