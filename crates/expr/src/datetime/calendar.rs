//! The proleptic Gregorian calendar, counted in days from 2000-01-01.

use super::{DAY, HOUR, MINUTE, SECOND};

/// A moment in fields. The year is astronomical: 0 is 1 BC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Civil {
    pub year: i32,
    pub month: i32,
    pub day: i32,
    pub hour: i32,
    pub minute: i32,
    pub second: i32,
    pub micros: i32,
}

/// From 0000-03-01, the start of a cycle of 400 years, to 2000-01-01.
const DAYS_TO_2000: i64 = 730_425;
const DAYS_PER_CYCLE: i64 = 146_097;

/// The month may be any number: 13 is January of the next year.
pub(crate) fn days_from_civil(year: i32, month: i32, day: i32) -> i64 {
    let months = i64::from(year) * 12 + i64::from(month) - 1;
    // Years begin in March: the day that comes and goes is then the last one.
    let shifted = months - 2;
    let (year, month) = (shifted.div_euclid(12), shifted.rem_euclid(12));
    let (cycle, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + i64::from(day) - 1;
    cycle * DAYS_PER_CYCLE + year * 365 + year / 4 - year / 100 + day_of_year - DAYS_TO_2000
}

/// `(year, month, day)`.
pub(crate) fn civil_from_days(days: i64) -> (i32, i32, i32) {
    let days = days + DAYS_TO_2000;
    let (cycle, day) = (days.div_euclid(DAYS_PER_CYCLE), days.rem_euclid(DAYS_PER_CYCLE));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    ((cycle * 400 + year + carry) as i32, month as i32, day as i32)
}

pub(crate) fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub(crate) fn days_in_month(year: i32, month: i32) -> i32 {
    match month {
        2 => 28 + i32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// 0 is Sunday.
pub(crate) fn day_of_week(days: i64) -> i32 {
    (days + 6).rem_euclid(7) as i32
}

pub(crate) fn day_of_year(civil: &Civil) -> i32 {
    (days_from_civil(civil.year, civil.month, civil.day) - days_from_civil(civil.year, 1, 1)) as i32 + 1
}

/// The day on which ISO week 1 of the (astronomical) year begins: the week of January 4th.
pub(crate) fn iso_year_start(year: i32) -> i64 {
    let fourth = days_from_civil(year, 1, 4);
    fourth - (fourth + 5).rem_euclid(7)
}

/// `(ISO year, ISO week)`.
pub(crate) fn iso_week(days: i64) -> (i32, i32) {
    let (year, _, _) = civil_from_days(days);
    let iso_year = if days >= iso_year_start(year + 1) {
        year + 1
    } else if days < iso_year_start(year) {
        year - 1
    } else {
        year
    };
    (iso_year, ((days - iso_year_start(iso_year)) / 7) as i32 + 1)
}

impl Civil {
    pub(crate) fn date(year: i32, month: i32, day: i32) -> Civil {
        Civil { year, month, day, ..Civil::default() }
    }

    pub(crate) fn days(&self) -> i64 {
        days_from_civil(self.year, self.month, self.day)
    }

    pub(crate) fn set_days(&mut self, days: i64) {
        (self.year, self.month, self.day) = civil_from_days(days);
    }

    /// Microseconds since midnight.
    pub(crate) fn time(&self) -> i64 {
        i64::from(self.hour) * HOUR
            + i64::from(self.minute) * MINUTE
            + i64::from(self.second) * SECOND
            + i64::from(self.micros)
    }

    pub(crate) fn set_time(&mut self, time: i64) {
        self.hour = (time / HOUR) as i32;
        self.minute = (time / MINUTE % 60) as i32;
        self.second = (time / SECOND % 60) as i32;
        self.micros = (time % SECOND) as i32;
    }
}

/// A finite timestamp in fields.
pub(crate) fn split_timestamp(timestamp: i64) -> Civil {
    let mut civil = Civil::default();
    civil.set_days(timestamp.div_euclid(DAY));
    civil.set_time(timestamp.rem_euclid(DAY));
    civil
}

/// Back; `None` where it does not fit a timestamp.
pub(crate) fn timestamp_of(civil: &Civil) -> Option<i64> {
    super::check_timestamp(civil.days().checked_mul(DAY)?.checked_add(civil.time())?)
        .filter(|t| super::is_finite_timestamp(*t))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_days() {
        for ((year, month, day), days, weekday) in [
            ((2000, 1, 1), 0, 6),
            ((1970, 1, 1), -10_957, 4),
            ((2024, 2, 29), 8825, 4),
            ((0, 1, 1), -730_485, 6),
            ((-4713, 11, 24), -2_451_545, 1),
        ] {
            assert_eq!(days_from_civil(year, month, day), days, "{year}-{month}-{day}");
            assert_eq!((civil_from_days(days), day_of_week(days)), ((year, month, day), weekday));
        }
        assert_eq!(days_from_civil(2000, 14, 1), days_from_civil(2001, 2, 1));
        let week = |y, m, d| iso_week(days_from_civil(y, m, d));
        assert_eq!((week(2021, 1, 3), week(2021, 1, 4), week(2018, 12, 31)), ((2020, 53), (2021, 1), (2019, 1)));
    }

    proptest! {
        #[test]
        fn days_go_round(days in -2_500_000_i64..2_147_483_647) {
            let (year, month, day) = civil_from_days(days);
            prop_assert_eq!(days_from_civil(year, month, day), days);
            prop_assert!((1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day));
            let (iso_year, week) = iso_week(days);
            prop_assert_eq!(iso_year_start(iso_year) + i64::from(week - 1) * 7 + (days + 5).rem_euclid(7), days);
        }
    }
}
