//! Dates, times and intervals as text, in the style of the session.

use std::fmt::Write;

use super::calendar::{civil_from_days, day_of_week};
use super::*;
use crate::{Datum, EvalContext, Interval};

/// `DateStyle`: how dates are written, and in which order `1/2/03` is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DateStyle {
    pub format: DateFormat,
    pub order: DateOrder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DateFormat {
    #[default]
    Iso,
    Sql,
    Postgres,
    German,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DateOrder {
    #[default]
    Mdy,
    Dmy,
    Ymd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum IntervalStyle {
    #[default]
    Postgres,
    PostgresVerbose,
    SqlStandard,
    Iso8601,
}

impl DateStyle {
    /// Changes what `SET datestyle` names: a format, an order, or both. `None` for anything else.
    pub fn parse(mut self, value: &str) -> Option<DateStyle> {
        for word in value.split([',', ' ']).filter(|word| !word.is_empty()) {
            match word.to_ascii_lowercase().as_str() {
                "iso" => self.format = DateFormat::Iso,
                "sql" => self.format = DateFormat::Sql,
                "postgres" | "postgresql" => self.format = DateFormat::Postgres,
                "german" => (self.format, self.order) = (DateFormat::German, DateOrder::Dmy),
                "ymd" => self.order = DateOrder::Ymd,
                "dmy" | "euro" | "european" | "euros" => self.order = DateOrder::Dmy,
                "mdy" | "us" | "noneuro" | "noneuropean" => self.order = DateOrder::Mdy,
                "default" => self = DateStyle::default(),
                _ => return None,
            }
        }
        Some(self)
    }
}

/// As `SHOW datestyle` has it.
impl std::fmt::Display for DateStyle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let format = match self.format {
            DateFormat::Iso => "ISO",
            DateFormat::Sql => "SQL",
            DateFormat::Postgres => "Postgres",
            DateFormat::German => "German",
        };
        let order = match self.order {
            DateOrder::Mdy => "MDY",
            DateOrder::Dmy => "DMY",
            DateOrder::Ymd => "YMD",
        };
        write!(f, "{format}, {order}")
    }
}

impl IntervalStyle {
    pub fn parse(value: &str) -> Option<IntervalStyle> {
        Some(match value.to_ascii_lowercase().as_str() {
            "postgres" => IntervalStyle::Postgres,
            "postgres_verbose" => IntervalStyle::PostgresVerbose,
            "sql_standard" => IntervalStyle::SqlStandard,
            "iso_8601" => IntervalStyle::Iso8601,
            _ => return None,
        })
    }
}

impl std::fmt::Display for IntervalStyle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            IntervalStyle::Postgres => "postgres",
            IntervalStyle::PostgresVerbose => "postgres_verbose",
            IntervalStyle::SqlStandard => "sql_standard",
            IntervalStyle::Iso8601 => "iso_8601",
        })
    }
}

pub(crate) const MONTH_NAMES: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// Sunday first.
pub(crate) const DAY_NAMES: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Appends `value` with at least `width` digits.
fn digits(out: &mut String, value: i32, width: usize) {
    let value = value.unsigned_abs();
    if width == 2 && value < 100 {
        out.push((b'0' + (value / 10) as u8) as char);
        out.push((b'0' + (value % 10) as u8) as char);
        return;
    }
    // Writing to a string cannot fail.
    let _ = write!(out, "{value:0width$}");
}

/// The year as people count: 1 BC is year 0.
fn shown_year(year: i32) -> (i32, bool) {
    if year > 0 { (year, false) } else { (1 - year, true) }
}

fn write_ymd(out: &mut String, civil: &Civil, style: DateStyle) {
    let (year, _) = shown_year(civil.year);
    let day_first = style.order == DateOrder::Dmy;
    let (first, second) = if day_first { (civil.day, civil.month) } else { (civil.month, civil.day) };
    match style.format {
        DateFormat::Iso => {
            digits(out, year, 4);
            out.push('-');
            digits(out, civil.month, 2);
            out.push('-');
            digits(out, civil.day, 2);
        }
        DateFormat::Sql | DateFormat::Postgres => {
            let separator = if style.format == DateFormat::Sql { '/' } else { '-' };
            digits(out, first, 2);
            out.push(separator);
            digits(out, second, 2);
            out.push(separator);
            digits(out, year, 4);
        }
        DateFormat::German => {
            digits(out, civil.day, 2);
            out.push('.');
            digits(out, civil.month, 2);
            out.push('.');
            digits(out, year, 4);
        }
    }
}

pub(crate) fn write_date(out: &mut String, date: i32, ctx: &EvalContext<'_>) {
    match date {
        DATE_INFINITY => out.push_str("infinity"),
        DATE_NEG_INFINITY => out.push_str("-infinity"),
        _ => {
            let (year, month, day) = civil_from_days(i64::from(date));
            write_ymd(out, &Civil::date(year, month, day), ctx.settings.date_style);
            if year <= 0 {
                out.push_str(" BC");
            }
        }
    }
}

/// `.123`, without zeros at the end; nothing for zero.
fn write_fraction(out: &mut String, micros: i32) {
    if micros != 0 {
        let text = format!(".{:06}", micros.unsigned_abs());
        out.push_str(text.trim_end_matches('0'));
    }
}

fn write_clock(out: &mut String, civil: &Civil) {
    digits(out, civil.hour, 2);
    out.push(':');
    digits(out, civil.minute, 2);
    out.push(':');
    digits(out, civil.second, 2);
    write_fraction(out, civil.micros);
}

pub(crate) fn write_time(out: &mut String, time: i64) {
    let mut civil = Civil::default();
    civil.set_time(time);
    write_clock(out, &civil);
}

/// `zone` is seconds west of UTC.
pub(crate) fn write_timetz(out: &mut String, time: i64, zone: i32) {
    write_time(out, time);
    write_offset(out, -zone);
}

/// `+02`, `-03:30`, `+00:19:32`: seconds east of UTC.
pub(super) fn write_offset(out: &mut String, seconds: i32) {
    out.push(if seconds < 0 { '-' } else { '+' });
    let seconds = seconds.abs();
    digits(out, seconds / 3600, 2);
    if seconds % 3600 != 0 {
        out.push(':');
        digits(out, seconds / 60 % 60, 2);
    }
    if seconds % 60 != 0 {
        out.push(':');
        digits(out, seconds % 60, 2);
    }
}

pub(crate) fn write_timestamp(out: &mut String, timestamp: i64, ctx: &EvalContext<'_>) {
    write_moment(out, timestamp, None, ctx);
}

pub(crate) fn write_timestamptz(out: &mut String, utc: i64, ctx: &EvalContext<'_>) {
    if !is_finite_timestamp(utc) {
        return write_moment(out, utc, None, ctx);
    }
    if ctx.settings.date_style.format == DateFormat::Iso {
        let offset = ctx.settings.time_zone.offset_at(utc);
        let zone = zone::Offset { seconds: offset, abbreviation: String::new(), is_dst: false };
        return write_moment(out, utc + i64::from(offset) * SECOND, Some(&zone), ctx);
    }
    let zone = ctx.settings.time_zone.offset_info_at(utc);
    write_moment(out, utc + i64::from(zone.seconds) * SECOND, Some(&zone), ctx);
}

/// Dates and timestamps as JSON has them: ISO 8601 with a `T`, zones as `+hh:mm`.
pub(crate) fn write_json_moment(out: &mut String, value: &Datum, ctx: &EvalContext<'_>) {
    let iso = DateStyle::default();
    let (local, offset) = match value {
        Datum::Date(DATE_INFINITY) => return out.push_str("infinity"),
        Datum::Date(DATE_NEG_INFINITY) => return out.push_str("-infinity"),
        Datum::Date(date) => {
            let (year, month, day) = civil_from_days(i64::from(*date));
            write_ymd(out, &Civil::date(year, month, day), iso);
            return out.push_str(if year <= 0 { " BC" } else { "" });
        }
        Datum::Timestamp(local) => (*local, None),
        Datum::TimestampTz(utc) if is_finite_timestamp(*utc) => {
            let offset = ctx.settings.time_zone.offset_at(*utc);
            (utc + i64::from(offset) * SECOND, Some(offset))
        }
        Datum::TimestampTz(utc) => (*utc, None),
        _ => return,
    };
    match local {
        TIMESTAMP_INFINITY => return out.push_str("infinity"),
        TIMESTAMP_NEG_INFINITY => return out.push_str("-infinity"),
        _ => {}
    }
    let civil = split_timestamp(local);
    write_ymd(out, &civil, iso);
    out.push('T');
    write_clock(out, &civil);
    if let Some(offset) = offset {
        let start = out.len();
        write_offset(out, offset);
        if out.len() - start == 3 {
            out.push_str(":00");
        }
    }
    if civil.year <= 0 {
        out.push_str(" BC");
    }
}

fn write_moment(out: &mut String, local: i64, zone: Option<&zone::Offset>, ctx: &EvalContext<'_>) {
    match local {
        TIMESTAMP_INFINITY => return out.push_str("infinity"),
        TIMESTAMP_NEG_INFINITY => return out.push_str("-infinity"),
        _ => {}
    }
    let (civil, style) = (split_timestamp(local), ctx.settings.date_style);
    if style.format == DateFormat::Postgres {
        write_postgres(out, &civil, style);
    } else {
        write_ymd(out, &civil, style);
        out.push(' ');
        write_clock(out, &civil);
    }
    if let Some(zone) = zone {
        // Other styles than ISO print the zone's name where it is one.
        if style.format == DateFormat::Iso {
            write_offset(out, zone.seconds);
        } else if zone.abbreviation.starts_with(|c: char| c.is_ascii_alphabetic()) {
            out.push(' ');
            out.push_str(&zone.abbreviation);
        } else {
            if style.format == DateFormat::Postgres {
                out.push(' ');
            }
            write_offset(out, zone.seconds);
        }
    }
    if civil.year <= 0 {
        out.push_str(" BC");
    }
}

/// `Wed Dec 17 07:37:16 1997`.
fn write_postgres(out: &mut String, civil: &Civil, style: DateStyle) {
    out.push_str(&DAY_NAMES[day_of_week(civil.days()) as usize][..3]);
    out.push(' ');
    let month = &MONTH_NAMES[(civil.month - 1) as usize][..3];
    if style.order == DateOrder::Dmy {
        digits(out, civil.day, 2);
        out.push(' ');
        out.push_str(month);
    } else {
        out.push_str(month);
        out.push(' ');
        digits(out, civil.day, 2);
    }
    out.push(' ');
    write_clock(out, civil);
    out.push(' ');
    digits(out, shown_year(civil.year).0, 4);
}

/// An interval's parts as they are shown.
struct Parts {
    years: i32,
    months: i32,
    days: i32,
    hours: i64,
    minutes: i64,
    seconds: i64,
    micros: i64,
}

pub(crate) fn write_interval(out: &mut String, interval: &Interval, style: IntervalStyle) {
    let time = interval.micros;
    let parts = Parts {
        years: interval.months / 12,
        months: interval.months % 12,
        days: interval.days,
        hours: time / HOUR,
        minutes: time / MINUTE % 60,
        seconds: time / SECOND % 60,
        micros: time % SECOND,
    };
    // Writing to a string cannot fail.
    let _ = match style {
        IntervalStyle::Postgres => write_postgres_interval(out, &parts),
        IntervalStyle::PostgresVerbose => write_verbose_interval(out, &parts),
        IntervalStyle::SqlStandard => write_sql_interval(out, &parts),
        IntervalStyle::Iso8601 => write_iso_interval(out, &parts),
    };
}

fn seconds_text(seconds: i64, micros: i64, width: usize) -> String {
    let mut text = format!("{:0width$}", seconds.unsigned_abs());
    write_fraction(&mut text, micros as i32);
    text
}

fn write_postgres_interval(out: &mut String, p: &Parts) -> std::fmt::Result {
    // A plus is written after a negative part, as a minus would otherwise be read on.
    let (mut first, mut after_negative) = (true, false);
    for (value, unit) in [(p.years, "year"), (p.months, "mon"), (p.days, "day")] {
        if value != 0 {
            let (gap, plus) = (if first { "" } else { " " }, if after_negative && value > 0 { "+" } else { "" });
            write!(out, "{gap}{plus}{value} {unit}{}", if value == 1 { "" } else { "s" })?;
            after_negative = value < 0;
            first = false;
        }
    }
    if first || p.hours != 0 || p.minutes != 0 || p.seconds != 0 || p.micros != 0 {
        let negative = p.hours < 0 || p.minutes < 0 || p.seconds < 0 || p.micros < 0;
        let sign = if negative {
            "-"
        } else if after_negative {
            "+"
        } else {
            ""
        };
        let gap = if first { "" } else { " " };
        let seconds = seconds_text(p.seconds, p.micros, 2);
        write!(out, "{gap}{sign}{:02}:{:02}:{seconds}", p.hours.unsigned_abs(), p.minutes.unsigned_abs())?;
    }
    Ok(())
}

fn write_verbose_interval(out: &mut String, p: &Parts) -> std::fmt::Result {
    out.push('@');
    // The sign of the first part decides: all is shown from its side, and "ago" added if it was negative.
    let (mut first, mut ago) = (true, false);
    let whole = [
        (i64::from(p.years), "year"),
        (i64::from(p.months), "mon"),
        (i64::from(p.days), "day"),
        (p.hours, "hour"),
        (p.minutes, "min"),
    ];
    for (value, unit) in whole {
        if value != 0 {
            if first {
                ago = value < 0;
                first = false;
            }
            let shown = if ago { -value } else { value };
            write!(out, " {shown} {unit}{}", if shown == 1 { "" } else { "s" })?;
        }
    }
    if p.seconds != 0 || p.micros != 0 {
        let negative = p.seconds < 0 || p.micros < 0;
        if first {
            ago = negative;
            first = false;
        }
        let sign = if negative != ago { "-" } else { "" };
        let plural = if p.seconds.abs() == 1 && p.micros == 0 { "" } else { "s" };
        write!(out, " {sign}{} sec{plural}", seconds_text(p.seconds, p.micros, 1))?;
    }
    if first {
        out.push_str(" 0");
    }
    if ago {
        out.push_str(" ago");
    }
    Ok(())
}

fn write_sql_interval(out: &mut String, p: &Parts) -> std::fmt::Result {
    let parts = [i64::from(p.years), i64::from(p.months), i64::from(p.days), p.hours, p.minutes, p.seconds, p.micros];
    let has_negative = parts.iter().any(|part| *part < 0);
    let has_positive = parts.iter().any(|part| *part > 0);
    let has_year_month = p.years != 0 || p.months != 0;
    let has_time = p.hours != 0 || p.minutes != 0 || p.seconds != 0 || p.micros != 0;
    let (has_day, has_day_time) = (p.days != 0, p.days != 0 || has_time);
    let standard = !(has_negative && has_positive || has_year_month && has_day_time);
    let seconds = seconds_text(p.seconds, p.micros, 2);
    let (hours, minutes) = (p.hours.unsigned_abs(), p.minutes.unsigned_abs());
    if !has_negative && !has_positive {
        return out.write_str("0");
    }
    if !standard {
        let sign = |negative: bool| if negative { '-' } else { '+' };
        let time_negative = p.hours < 0 || p.minutes < 0 || p.seconds < 0 || p.micros < 0;
        return write!(
            out,
            "{}{}-{} {}{} {}{hours}:{minutes:02}:{seconds}",
            sign(p.years < 0 || p.months < 0),
            p.years.unsigned_abs(),
            p.months.unsigned_abs(),
            sign(p.days < 0),
            p.days.unsigned_abs(),
            sign(time_negative),
        );
    }
    if has_negative {
        out.push('-');
    }
    if has_year_month {
        write!(out, "{}-{}", p.years.unsigned_abs(), p.months.unsigned_abs())
    } else if has_day {
        write!(out, "{} {hours}:{minutes:02}:{seconds}", p.days.unsigned_abs())
    } else {
        write!(out, "{hours}:{minutes:02}:{seconds}")
    }
}

fn write_iso_interval(out: &mut String, p: &Parts) -> std::fmt::Result {
    let before = out.len();
    out.push('P');
    for (value, unit) in [(p.years, 'Y'), (p.months, 'M'), (p.days, 'D')] {
        if value != 0 {
            write!(out, "{value}{unit}")?;
        }
    }
    if p.hours != 0 || p.minutes != 0 || p.seconds != 0 || p.micros != 0 {
        out.push('T');
    }
    for (value, unit) in [(p.hours, 'H'), (p.minutes, 'M')] {
        if value != 0 {
            write!(out, "{value}{unit}")?;
        }
    }
    if p.seconds != 0 || p.micros != 0 {
        let sign = if p.seconds < 0 || p.micros < 0 { "-" } else { "" };
        write!(out, "{sign}{}S", seconds_text(p.seconds, p.micros, 1))?;
    }
    if out.len() == before + 1 {
        out.push_str("T0S");
    }
    Ok(())
}
