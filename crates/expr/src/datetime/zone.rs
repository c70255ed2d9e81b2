//! Time zones: names, abbreviations and fixed offsets, over jiff's bundled database.

use std::fmt;
use std::sync::LazyLock;

use jiff::tz::{AmbiguousOffset, TimeZoneDatabase};

use super::{DAY, SECOND, UNIX_EPOCH_SECONDS};
use crate::table::{Rows, StaticMap};
use crate::{EvalError, EvalResult};

/// A zone with the name under which it was asked for.
#[derive(Clone)]
pub struct TimeZone {
    name: String,
    rules: Rules,
}

#[derive(Clone)]
enum Rules {
    /// Seconds east of UTC, and what the zone is called when printed.
    Fixed(i32, String),
    Jiff(jiff::tz::TimeZone),
}

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A span of 400 years has a whole number of weeks: rules repeat after it.
const CYCLE_SECONDS: i64 = 146_097 * 86_400;
/// jiff's timestamps end before year 10000 and begin in year -9999.
const JIFF_SECONDS_MAX: i64 = 253_370_764_800;
const JIFF_SECONDS_MIN: i64 = -62_135_596_800;

/// An abbreviation that may stand behind a time, as PostgreSQL's default set has it.
#[derive(Clone, Copy, Debug)]
pub struct Abbreviation {
    pub name: &'static str,
    /// Seconds east of UTC.
    pub offset: i32,
    pub is_dst: bool,
}

static ABBREVIATIONS: LazyLock<Vec<Abbreviation>> = LazyLock::new(|| {
    let rows = Rows::of(include_str!("../../data/zone_abbreviations.tsv"));
    rows.map(|mut row| Abbreviation { name: row.text(), offset: row.number(), is_dst: row.flag() }).collect()
});

static BY_ABBREVIATION: LazyLock<StaticMap<String, usize>> =
    LazyLock::new(|| ABBREVIATIONS.iter().enumerate().map(|(at, zone)| (zone.name.to_ascii_lowercase(), at)).collect());

/// The rows of `pg_timezone_abbrevs`.
pub fn abbreviations() -> &'static [Abbreviation] {
    &ABBREVIATIONS
}

/// `name` in small letters.
pub(super) fn abbreviation(name: &str) -> Option<Abbreviation> {
    BY_ABBREVIATION.get(name).map(|at| ABBREVIATIONS[*at])
}

/// All names of the database: the rows of `pg_timezone_names`.
pub fn zone_names() -> Vec<String> {
    DATABASE.available().map(|name| name.as_str().to_owned()).collect()
}

/// What a zone says of a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offset {
    /// Seconds east of UTC.
    pub seconds: i32,
    pub abbreviation: String,
    pub is_dst: bool,
}

impl TimeZone {
    pub fn utc() -> TimeZone {
        TimeZone { name: "UTC".to_owned(), rules: Rules::Fixed(0, "UTC".to_owned()) }
    }

    /// `seconds` east of UTC.
    pub fn fixed(seconds: i32) -> TimeZone {
        let text = offset_text(seconds);
        // PostgreSQL names such a zone as POSIX does, whose signs are the other way round.
        TimeZone { name: format!("<{text}>{}", offset_text(-seconds)), rules: Rules::Fixed(seconds, text) }
    }

    /// A name of the database (in letters of any size), an offset in hours, or a POSIX rule. 22023 else.
    pub fn named(name: &str) -> EvalResult<TimeZone> {
        TimeZone::find(name).ok_or_else(|| EvalError::new("22023", format!("time zone \"{name}\" not recognized")))
    }

    pub(crate) fn find(name: &str) -> Option<TimeZone> {
        if name.eq_ignore_ascii_case("utc") {
            return Some(TimeZone { name: "UTC".to_owned(), rules: Rules::Fixed(0, "UTC".to_owned()) });
        }
        if name.eq_ignore_ascii_case("gmt") {
            return Some(TimeZone { name: "GMT".to_owned(), rules: Rules::Fixed(0, "GMT".to_owned()) });
        }
        if let Ok(zone) = DATABASE.get(name) {
            let canonical = zone.iana_name().unwrap_or(name).to_owned();
            return Some(TimeZone { name: canonical, rules: Rules::Jiff(zone) });
        }
        // POSIX rules; even the name in front of the offset may be missing (`12` is twelve hours west).
        let is_rule = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '<')
            && name.contains(|c: char| c.is_ascii_digit());
        if !is_rule {
            return None;
        }
        posix_fixed(name).or_else(|| {
            let zone = jiff::tz::TimeZone::posix(name).ok()?;
            Some(TimeZone { name: name.to_owned(), rules: Rules::Jiff(zone) })
        })
    }

    /// What `SET TIME ZONE` takes: a name, or a number of hours east of UTC.
    pub fn from_setting(value: &str) -> EvalResult<TimeZone> {
        let invalid = || EvalError::new("22023", format!("invalid value for parameter \"TimeZone\": \"{value}\""));
        match value.trim().parse::<f64>() {
            Ok(hours) if hours.abs() <= 168.0 => Ok(TimeZone::fixed((hours * 3600.0) as i32)),
            _ => TimeZone::find(value).ok_or_else(invalid),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Seconds east of UTC at a finite timestamp of UTC.
    pub(crate) fn offset_at(&self, utc: i64) -> i32 {
        match &self.rules {
            Rules::Fixed(seconds, _) => *seconds,
            Rules::Jiff(zone) => zone.to_offset(jiff_timestamp(utc)).seconds(),
        }
    }

    pub(crate) fn offset_info_at(&self, utc: i64) -> Offset {
        match &self.rules {
            Rules::Fixed(seconds, name) => Offset { seconds: *seconds, abbreviation: name.clone(), is_dst: false },
            Rules::Jiff(zone) => {
                let info = zone.to_offset_info(jiff_timestamp(utc));
                Offset {
                    seconds: info.offset().seconds(),
                    abbreviation: info.abbreviation().to_owned(),
                    is_dst: info.dst().is_dst(),
                }
            }
        }
    }

    /// Seconds east of UTC at a local time. Where clocks were put forward (no such time) or back (two such
    /// times), PostgreSQL takes the offset before and after the change.
    pub(crate) fn offset_of_local(&self, local: i64) -> i32 {
        let zone = match &self.rules {
            Rules::Fixed(seconds, _) => return *seconds,
            Rules::Jiff(zone) => zone,
        };
        let civil = super::split_timestamp(
            into_cycle(local.div_euclid(SECOND) + UNIX_EPOCH_SECONDS) * SECOND - UNIX_EPOCH_SECONDS * SECOND,
        );
        let local = jiff::civil::DateTime::new(
            civil.year as i16,
            civil.month as i8,
            civil.day as i8,
            civil.hour as i8,
            civil.minute as i8,
            civil.second as i8,
            0,
        );
        let Ok(local) = local else { return 0 };
        match zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.seconds(),
            AmbiguousOffset::Gap { before, .. } => before.seconds(),
            AmbiguousOffset::Fold { after, .. } => after.seconds(),
        }
    }

    /// The local time of a timestamp of UTC; `None` where it is out of range.
    pub(crate) fn to_local(&self, utc: i64) -> Option<i64> {
        if !super::is_finite_timestamp(utc) {
            return Some(utc);
        }
        super::check_timestamp(utc.checked_add(i64::from(self.offset_at(utc)) * SECOND)?)
    }

    pub(crate) fn to_utc(&self, local: i64) -> Option<i64> {
        if !super::is_finite_timestamp(local) {
            return Some(local);
        }
        super::check_timestamp(local.checked_sub(i64::from(self.offset_of_local(local)) * SECOND)?)
    }
}

/// Moves seconds of Unix time by whole cycles to where jiff has rules.
fn into_cycle(seconds: i64) -> i64 {
    if (JIFF_SECONDS_MIN..JIFF_SECONDS_MAX).contains(&seconds) {
        return seconds;
    }
    let base = if seconds < JIFF_SECONDS_MIN { JIFF_SECONDS_MIN } else { JIFF_SECONDS_MAX - CYCLE_SECONDS };
    base + (seconds - base).rem_euclid(CYCLE_SECONDS)
}

fn jiff_timestamp(utc: i64) -> jiff::Timestamp {
    let seconds = into_cycle(utc.div_euclid(SECOND) + UNIX_EPOCH_SECONDS);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

/// `+02`, `-03:30`, `+00:19:32`.
pub(crate) fn offset_text(seconds: i32) -> String {
    let mut text = String::with_capacity(9);
    super::format::write_offset(&mut text, seconds);
    text
}

/// `UTC+3`, `<+02>-02`, `FOO-05:30`: a POSIX zone without daylight saving.
fn posix_fixed(name: &str) -> Option<TimeZone> {
    let (label, rest) = match name.strip_prefix('<') {
        Some(rest) => rest.split_once('>')?,
        None => name.split_at(name.find(|c: char| !c.is_ascii_alphabetic())?),
    };
    let (sign, digits) = match rest.as_bytes().first()? {
        b'-' => (1, &rest[1..]),
        b'+' => (-1, &rest[1..]),
        _ => (-1, rest),
    };
    let mut seconds = 0;
    let mut unit = 3600;
    for part in digits.split(':') {
        seconds += part.parse::<i32>().ok().filter(|n| (0..=167).contains(n))? * unit;
        unit /= 60;
    }
    if !label.is_empty() && label.len() < 3 && !name.starts_with('<') || i64::from(seconds) >= DAY / SECOND * 7 {
        return None;
    }
    Some(TimeZone { name: name.to_owned(), rules: Rules::Fixed(sign * seconds, label.to_owned()) })
}

impl PartialEq for TimeZone {
    fn eq(&self, other: &TimeZone) -> bool {
        self.name == other.name
    }
}

impl Eq for TimeZone {}

impl fmt::Debug for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Default for TimeZone {
    fn default() -> TimeZone {
        TimeZone::utc()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datetime::{HOUR, days_from_civil};

    fn at(year: i32, month: i32, day: i32, hour: i64) -> i64 {
        days_from_civil(year, month, day) * DAY + hour * HOUR
    }

    #[test]
    fn zones_have_their_rules() {
        let berlin = TimeZone::named("europe/berlin").unwrap();
        assert_eq!(berlin.name(), "Europe/Berlin");
        assert_eq!(berlin.offset_at(at(2024, 7, 1, 0)), 7200);
        assert_eq!(berlin.offset_at(at(2024, 1, 1, 0)), 3600);
        assert_eq!(berlin.offset_at(at(123_424, 7, 1, 0)), 7200, "rules go on for ever");
        assert_eq!(berlin.offset_info_at(at(2024, 7, 1, 0)).abbreviation, "CEST");
        // 2024-03-31 02:30 does not exist, 2024-10-27 02:30 is there twice.
        assert_eq!(berlin.offset_of_local(at(2024, 3, 31, 2) + HOUR / 2), 3600);
        assert_eq!(berlin.offset_of_local(at(2024, 10, 27, 2) + HOUR / 2), 3600);
    }

    #[test]
    fn offsets_and_posix_rules() {
        assert_eq!(TimeZone::from_setting("-3.5").unwrap().offset_at(0), -12_600);
        assert_eq!(TimeZone::from_setting("2").unwrap().name(), "<+02>-02");
        assert_eq!(TimeZone::named("<+02>-02").unwrap().offset_at(0), 7200);
        assert_eq!(TimeZone::named("FOO+3").unwrap().offset_at(0), -10_800);
        assert_eq!(TimeZone::named("EST5EDT").unwrap().offset_at(at(2024, 7, 1, 0)), -4 * 3600);
        assert_eq!(TimeZone::named("Nowhere/Land").unwrap_err().0.message, "time zone \"Nowhere/Land\" not recognized");
    }
}
