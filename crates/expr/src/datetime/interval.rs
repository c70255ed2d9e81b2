//! Intervals from text: `1 day 02:03`, `@ 3 months ago`, `1-2`, `P1Y2M3DT4H`.

use super::arithmetic::adjust_interval;
use super::parse::{Fault, Field, FieldKind, colon_time, fields_of};
use super::tokens::{Unit, interval_unit};
use super::*;
use crate::types::modifier::{interval_field, interval_parts};
use crate::{EvalContext, EvalResult};

/// Parts that add up while a text is read, wider than what an interval holds.
#[derive(Clone, Copy, Default)]
struct Sum {
    years: i64,
    months: i64,
    days: i64,
    micros: i64,
}

pub(crate) fn parse_interval(text: &str, typmod: i32, ctx: &EvalContext<'_>) -> EvalResult<Interval> {
    let range = interval_parts(typmod).0;
    let negative_leads = ctx.settings.interval_style == IntervalStyle::SqlStandard;
    let sum = fields_of(text).and_then(|fields| read(&fields, range, negative_leads)).or_else(|fault| match fault {
        Fault::Format => read_iso(text),
        other => Err(other),
    });
    let sum = sum.map_err(|fault| match fault {
        Fault::Range => Fault::Interval.error(text, "interval"),
        other => other.error(text, "interval"),
    })?;
    let (Ok(months), Ok(days)) = (i32::try_from(sum.years * 12 + sum.months), i32::try_from(sum.days)) else {
        return Err(interval_out_of_range());
    };
    adjust_interval(Interval { months, days, micros: sum.micros }, typmod)
}

impl Sum {
    fn add_micros(&mut self, value: i64, fraction: f64, scale: i64) -> Result<(), Fault> {
        let whole = value.checked_mul(scale).and_then(|micros| self.micros.checked_add(micros));
        self.micros = whole.ok_or(Fault::Range)?;
        self.add_fraction_of_micros(fraction, scale)
    }

    fn add_fraction_of_micros(&mut self, fraction: f64, scale: i64) -> Result<(), Fault> {
        if fraction == 0.0 {
            return Ok(());
        }
        let exact = fraction * scale as f64;
        let mut whole = exact as i64;
        let rest = exact - whole as f64;
        whole += i64::from(rest > 0.5) - i64::from(rest < -0.5);
        self.micros = self.micros.checked_add(whole).ok_or(Fault::Range)?;
        Ok(())
    }

    fn add_days(&mut self, value: i64, fraction: f64, scale: i64) -> Result<(), Fault> {
        let days = value.checked_mul(scale).and_then(|days| self.days.checked_add(days));
        self.days = days.filter(|days| i32::try_from(*days).is_ok()).ok_or(Fault::Range)?;
        self.add_fraction_of_days(fraction, scale)
    }

    fn add_fraction_of_days(&mut self, fraction: f64, scale: i64) -> Result<(), Fault> {
        let exact = fraction * scale as f64;
        let whole = exact as i64;
        self.days += whole;
        self.add_fraction_of_micros(exact - whole as f64, DAY)
    }

    fn add_months(&mut self, value: i64) -> Result<(), Fault> {
        self.months =
            self.months.checked_add(value).filter(|months| i32::try_from(*months).is_ok()).ok_or(Fault::Range)?;
        Ok(())
    }

    fn add_years(&mut self, value: i64, fraction: f64, scale: i64) -> Result<(), Fault> {
        let years = value.checked_mul(scale).and_then(|years| self.years.checked_add(years));
        self.years = years.filter(|years| i32::try_from(*years).is_ok()).ok_or(Fault::Range)?;
        self.add_months((fraction * scale as f64 * 12.0).round_ties_even() as i64)
    }

    fn negate(&mut self) -> Result<(), Fault> {
        self.micros = self.micros.checked_neg().ok_or(Fault::Range)?;
        (self.years, self.months, self.days) = (-self.years, -self.months, -self.days);
        Ok(())
    }

    fn add(&mut self, unit: Unit, value: i64, fraction: f64) -> Result<(), Fault> {
        match unit {
            Unit::Microsecond => self.add_micros(value, fraction, 1),
            Unit::Millisecond => self.add_micros(value, fraction, 1000),
            Unit::Second => self.add_micros(value, fraction, SECOND),
            Unit::Minute => self.add_micros(value, fraction, MINUTE),
            Unit::Hour => self.add_micros(value, fraction, HOUR),
            Unit::Day => {
                self.add_days(value, 0.0, 1)?;
                self.add_fraction_of_micros(fraction, DAY)
            }
            Unit::Week => self.add_days(value, fraction, 7),
            Unit::Month => {
                self.add_months(value)?;
                self.add_fraction_of_days(fraction, DAYS_PER_MONTH)
            }
            Unit::Year => self.add_years(value, fraction, 1),
            Unit::Decade => self.add_years(value, fraction, 10),
            Unit::Century => self.add_years(value, fraction, 100),
            Unit::Millennium => self.add_years(value, fraction, 1000),
            _ => Err(Fault::Format),
        }
    }
}

/// Reads from the last field to the first, so that a unit is known before its number.
fn read(fields: &[Field], range: Option<i32>, negative_leads: bool) -> Result<Sum, Fault> {
    let mut sum = Sum::default();
    let (mut unit, mut seen, mut ago) = (None, 0_u32, false);
    // In the SQL standard a minus in front of all is meant for all, if no other part has a sign.
    let leading_minus = fields.first().is_some_and(|field| field.text.starts_with('-'));
    let others_signed = fields.iter().skip(1).any(|field| field.text.starts_with(['-', '+']));
    let all_negative = negative_leads && leading_minus && !others_signed;
    for (at, field) in fields.iter().enumerate().rev() {
        let force_negative = all_negative && at > 0;
        match field.kind {
            FieldKind::Time => {
                mark(&mut seen, TIME_MASK)?;
                sum.micros = sum.micros.checked_add(clock(&field.text, range, force_negative)?).ok_or(Fault::Range)?;
                unit = Some(Unit::Day);
            }
            FieldKind::Zone if field.text[1..].contains(':') => {
                mark(&mut seen, TIME_MASK)?;
                let micros = clock(&field.text[1..], range, field.text.starts_with('-'))?;
                sum.micros = sum.micros.checked_add(micros).ok_or(Fault::Range)?;
                unit = Some(Unit::Day);
            }
            FieldKind::Zone | FieldKind::Date | FieldKind::Number => {
                let mut of = unit.unwrap_or_else(|| unit_of_range(range));
                let (mut value, mut fraction, is_year_month) = number(&field.text)?;
                if is_year_month {
                    of = Unit::Month;
                }
                if force_negative && value >= 0 {
                    (value, fraction) = (-value, -fraction);
                }
                mark(&mut seen, unit_mask(of, fraction != 0.0))?;
                sum.add(of, value, fraction)?;
                unit = Some(of);
            }
            FieldKind::Word | FieldKind::Signed => match interval_unit(&field.text) {
                Some(Unit::Ago) => ago = true,
                Some(found) => unit = Some(found),
                None => return Err(Fault::Format),
            },
        }
    }
    if seen == 0 {
        return Err(Fault::Format);
    }
    if ago {
        sum.negate()?;
    }
    Ok(sum)
}

const TIME_MASK: u32 = 0b1_1111;

fn mark(seen: &mut u32, mask: u32) -> Result<(), Fault> {
    if *seen & mask != 0 {
        return Err(Fault::Format);
    }
    *seen |= mask;
    Ok(())
}

/// Seconds with a fraction are milli- and microseconds too.
fn unit_mask(unit: Unit, has_fraction: bool) -> u32 {
    match unit {
        Unit::Microsecond => 1,
        Unit::Millisecond => 2,
        Unit::Second if has_fraction => 7,
        Unit::Second => 4,
        Unit::Minute => 8,
        Unit::Hour => 16,
        Unit::Day => 32,
        Unit::Week => 64,
        Unit::Month => 128,
        Unit::Year => 256,
        Unit::Decade => 512,
        Unit::Century => 1024,
        _ => 2048,
    }
}

fn unit_of_range(range: Option<i32>) -> Unit {
    use interval_field::*;
    match range.unwrap_or(0) {
        YEAR => Unit::Year,
        r if r == MONTH || r == YEAR | MONTH => Unit::Month,
        DAY => Unit::Day,
        r if r == HOUR || r == DAY | HOUR => Unit::Hour,
        r if r == MINUTE || r == HOUR | MINUTE || r == DAY | HOUR | MINUTE => Unit::Minute,
        _ => Unit::Second,
    }
}

/// The microseconds of `hh:mm:ss`; in an interval `minute to second` two parts are `mm:ss`.
fn clock(text: &str, range: Option<i32>, negative: bool) -> Result<i64, Fault> {
    let mut time = colon_time(text)?;
    if time.two_parts && range == Some(interval_field::MINUTE | interval_field::SECOND) {
        time.second = time.minute;
        time.minute = i32::try_from(time.hour).map_err(|_| Fault::Range)?;
        time.hour = 0;
    }
    let rest = i64::from(time.minute) * MINUTE + i64::from(time.second) * SECOND + i64::from(time.micros);
    let micros = time.hour.checked_mul(HOUR).and_then(|hours| hours.checked_add(rest)).ok_or(Fault::Range)?;
    Ok(if negative { -micros } else { micros })
}

/// `(whole, fraction, whether it was years-months)`.
fn number(text: &str) -> Result<(i64, f64, bool), Fault> {
    let negative = text.starts_with('-');
    let unsigned = text.trim_start_matches(['+', '-']);
    let end = unsigned.find(|c: char| !c.is_ascii_digit()).unwrap_or(unsigned.len());
    let (digits, rest) = unsigned.split_at(end);
    let whole: i64 = if digits.is_empty() {
        0
    } else {
        format!("{}{digits}", if negative { "-" } else { "" }).parse().map_err(|_| Fault::Range)?
    };
    if let Some(months) = rest.strip_prefix('-') {
        if months.is_empty() || !months.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Fault::Format);
        }
        let months: i64 = months.parse().map_err(|_| Fault::Range)?;
        if months >= 12 {
            return Err(Fault::Range);
        }
        let total = whole.checked_mul(12).and_then(|w| w.checked_add(if negative { -months } else { months }));
        return Ok((total.ok_or(Fault::Range)?, 0.0, true));
    }
    if rest.is_empty() {
        return Ok((whole, 0.0, false));
    }
    if !rest.starts_with('.') || !rest[1..].bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::Format);
    }
    let fraction: f64 = format!("0{rest}").parse().map_err(|_| Fault::Format)?;
    Ok((whole, if negative { -fraction } else { fraction }, false))
}

/// ISO 8601: `PnYnMnDTnHnMnS`, and the alternative form `Pyyyy-mm-ddThh:mm:ss`.
fn read_iso(text: &str) -> Result<Sum, Fault> {
    let mut rest = text.strip_prefix('P').ok_or(Fault::Format)?;
    let mut sum = Sum::default();
    let (mut in_time, mut has_field) = (false, false);
    if rest.is_empty() {
        return Err(Fault::Format);
    }
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('T') {
            in_time = true;
            has_field = false;
            rest = after;
            continue;
        }
        let was_in_time = in_time;
        let (value, fraction, width, after) = iso_number(rest)?;
        let unit = after.chars().next();
        rest = &after[unit.map_or(0, char::len_utf8)..];
        match (in_time, unit) {
            (false, Some('Y')) => sum.add(Unit::Year, value, fraction)?,
            (false, Some('M')) => sum.add(Unit::Month, value, fraction)?,
            (false, Some('W')) => sum.add(Unit::Week, value, fraction)?,
            (false, Some('D')) => sum.add(Unit::Day, value, fraction)?,
            (true, Some('H')) => sum.add(Unit::Hour, value, fraction)?,
            (true, Some('M')) => sum.add(Unit::Minute, value, fraction)?,
            (true, Some('S')) => sum.add(Unit::Second, value, fraction)?,
            (false, None | Some('T')) if width == 8 && !has_field && fraction == 0.0 => {
                sum.add(Unit::Year, value / 10_000, 0.0)?;
                sum.add(Unit::Month, value / 100 % 100, 0.0)?;
                sum.add(Unit::Day, value % 100, 0.0)?;
                in_time = unit.is_some();
            }
            (true, None) if width == 6 && !has_field => {
                sum.add(Unit::Hour, value / 10_000, 0.0)?;
                sum.add(Unit::Minute, value / 100 % 100, 0.0)?;
                sum.add(Unit::Second, value % 100, fraction)?;
            }
            (false, None | Some('T' | '-')) if !has_field => {
                sum.add(Unit::Year, value, fraction)?;
                if unit == Some('-') {
                    rest = iso_list(&mut sum, rest, '-', &[Unit::Month, Unit::Day])?;
                }
                in_time = unit == Some('T') || rest.starts_with('T');
                rest = rest.strip_prefix('T').unwrap_or(rest);
                if unit == Some('-') && !rest.is_empty() && !in_time {
                    return Err(Fault::Format);
                }
            }
            (true, None | Some(':')) if !has_field => {
                sum.add(Unit::Hour, value, fraction)?;
                if unit == Some(':') {
                    rest = iso_list(&mut sum, rest, ':', &[Unit::Minute, Unit::Second])?;
                }
                if !rest.is_empty() {
                    return Err(Fault::Format);
                }
            }
            _ => return Err(Fault::Format),
        }
        has_field = in_time == was_in_time;
    }
    Ok(sum)
}

/// The parts behind the first one of `yyyy-mm-dd` and `hh:mm:ss`.
fn iso_list<'a>(sum: &mut Sum, mut rest: &'a str, separator: char, units: &[Unit]) -> Result<&'a str, Fault> {
    for unit in units {
        let (value, fraction, _, after) = iso_number(rest)?;
        sum.add(*unit, value, fraction)?;
        match after.strip_prefix(separator) {
            Some(next) => rest = next,
            None => return Ok(after),
        }
    }
    Err(Fault::Format)
}

/// `(whole, fraction, digits of the whole, what follows)`.
fn iso_number(text: &str) -> Result<(i64, f64, usize, &str), Fault> {
    let sign = usize::from(text.starts_with(['-', '+']));
    let digits = text[sign..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |n| n + sign);
    let mut end = digits;
    if text[end..].starts_with('.') {
        end = text[end + 1..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |n| n + end + 1);
    }
    if digits == sign && end <= digits + 1 {
        return Err(Fault::Format);
    }
    let whole = if digits == sign { 0 } else { text[..digits].parse().map_err(|_| Fault::Range)? };
    let fraction: f64 =
        if end > digits + 1 { format!("0{}", &text[digits..end]).parse().map_err(|_| Fault::Format)? } else { 0.0 };
    let fraction = if text.starts_with('-') { -fraction } else { fraction };
    Ok((whole, fraction, digits - sign, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_style_is_read_and_written() {
        let ctx = EvalContext::detached();
        for (text, expected) in [
            ("1 day 02:03:04.5", "1 day 02:03:04.5"),
            ("@ 3 months ago", "-3 mons"),
            ("1-2", "1 year 2 mons"),
            ("1.5 days", "1 day 12:00:00"),
            ("-1 year 2 days", "-1 years +2 days"),
            ("1 +02:03", "1 day 02:03:00"),
            ("P1Y2M3DT4H5M6.7S", "1 year 2 mons 3 days 04:05:06.7"),
            ("P0001-02-03T04:05:06", "1 year 2 mons 3 days 04:05:06"),
            ("1.5 months", "1 mon 15 days"),
            ("2.5 weeks", "17 days 12:00:00"),
            ("100 centuries", "10000 years"),
            ("5", "00:00:05"),
            ("-0.000001 s", "-00:00:00.000001"),
            ("0.5 years", "6 mons"),
            ("25:00", "25:00:00"),
        ] {
            let interval = parse_interval(text, -1, &ctx).unwrap_or_else(|error| panic!("{text}: {error}"));
            let mut out = String::new();
            write_interval(&mut out, &interval, IntervalStyle::Postgres);
            assert_eq!(out, expected, "{text}");
            for style in [IntervalStyle::PostgresVerbose, IntervalStyle::Iso8601] {
                let mut out = String::new();
                write_interval(&mut out, &interval, style);
                assert_eq!(parse_interval(&out, -1, &ctx).unwrap(), interval, "{out}");
            }
        }
        for text in ["", "day", "1 fortnight", "1 day 1 day", "P", "1 2 days"] {
            assert_eq!(parse_interval(text, -1, &ctx).unwrap_err().0.state.as_str(), "22007", "{text}");
        }
        assert_eq!(parse_interval("99999999999 days", -1, &ctx).unwrap_err().0.state.as_str(), "22015");
    }
}
