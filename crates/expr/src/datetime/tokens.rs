//! The words that dates, times and intervals are written with.

/// What a word stands for in a date or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Month(i32),
    /// 0 is Sunday.
    DayOfWeek,
    Am,
    Pm,
    /// Anno Domini, or before Christ.
    Ad,
    Bc,
    /// Seconds east of UTC.
    Zone(i32),
    /// `dst` behind a zone: an hour more.
    DaylightSaving,
    Now,
    Today,
    Tomorrow,
    Yesterday,
    Epoch,
    Infinity,
    NegInfinity,
    /// Midnight, UTC.
    AllBalls,
    /// `j`, `jd`, `julian`: a Julian day follows.
    Julian,
    /// `t`: a time follows.
    IsoTime,
    /// Words without meaning: `at`, `on`.
    Ignored,
    /// A unit alone: `y`, `m`, `d`, `h`, `mm`, `s`, which no input has today.
    Unit,
}

/// `word` is in small letters; only its first ten count.
pub(super) fn date_word(word: &str) -> Option<Word> {
    let word = word.get(..10).unwrap_or(word);
    Some(match word {
        "jan" | "january" => Word::Month(1),
        "feb" | "february" => Word::Month(2),
        "mar" | "march" => Word::Month(3),
        "apr" | "april" => Word::Month(4),
        "may" => Word::Month(5),
        "jun" | "june" => Word::Month(6),
        "jul" | "july" => Word::Month(7),
        "aug" | "august" => Word::Month(8),
        "sep" | "sept" | "september" => Word::Month(9),
        "oct" | "october" => Word::Month(10),
        "nov" | "november" => Word::Month(11),
        "dec" | "december" => Word::Month(12),
        "sun" | "sunday" | "mon" | "monday" | "tue" | "tues" | "tuesday" | "wed" | "weds" | "wednesday" | "thu"
        | "thur" | "thurs" | "thursday" | "fri" | "friday" | "sat" | "saturday" => Word::DayOfWeek,
        "am" => Word::Am,
        "pm" => Word::Pm,
        "ad" => Word::Ad,
        "bc" => Word::Bc,
        "dst" => Word::DaylightSaving,
        "now" => Word::Now,
        "today" => Word::Today,
        "tomorrow" => Word::Tomorrow,
        "yesterday" => Word::Yesterday,
        "epoch" => Word::Epoch,
        "infinity" => Word::Infinity,
        "-infinity" => Word::NegInfinity,
        "allballs" => Word::AllBalls,
        "j" | "jd" | "julian" => Word::Julian,
        "t" => Word::IsoTime,
        "at" | "on" => Word::Ignored,
        "y" | "m" | "d" | "h" | "mm" | "s" | "dow" | "doy" | "isodow" | "isoyear" => Word::Unit,
        _ => return None,
    })
}

/// A unit of time, in `extract`, `date_trunc` and intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    IsoYear,
    Julian,
    Epoch,
    Timezone,
    TimezoneHour,
    TimezoneMinute,
    Ago,
}

/// The unit that an interval's text names.
pub(crate) fn interval_unit(word: &str) -> Option<Unit> {
    let word = word.get(..10).unwrap_or(word);
    Some(match word {
        "us" | "usec" | "usecs" | "useconds" | "usecond" | "microsecon" => Unit::Microsecond,
        "ms" | "msec" | "msecs" | "mseconds" | "msecond" | "millisecon" => Unit::Millisecond,
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Second,
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Hour,
        "d" | "day" | "days" => Unit::Day,
        "w" | "week" | "weeks" => Unit::Week,
        "mon" | "mons" | "month" | "months" => Unit::Month,
        "qtr" | "quarter" => Unit::Quarter,
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Year,
        "dec" | "decs" | "decade" | "decades" => Unit::Decade,
        "c" | "cent" | "century" | "centuries" => Unit::Century,
        "mil" | "mils" | "millennia" | "millennium" => Unit::Millennium,
        "timezone" => Unit::Timezone,
        "timezone_h" => Unit::TimezoneHour,
        "timezone_m" => Unit::TimezoneMinute,
        "ago" => Unit::Ago,
        _ => return None,
    })
}

/// The field that `extract` and `date_part` name.
pub(crate) fn field_unit(word: &str) -> Option<Unit> {
    interval_unit(word).filter(|unit| *unit != Unit::Ago).or(match word.get(..10).unwrap_or(word) {
        "dow" => Some(Unit::DayOfWeek),
        "isodow" => Some(Unit::IsoDayOfWeek),
        "doy" => Some(Unit::DayOfYear),
        "isoyear" => Some(Unit::IsoYear),
        "j" | "jd" | "julian" => Some(Unit::Julian),
        "epoch" => Some(Unit::Epoch),
        _ => None,
    })
}
