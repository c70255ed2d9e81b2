//! Dates and times from text, with PostgreSQL's tolerance.
//!
//! The text is cut into fields by what they look like ([`fields_of`]), then each field is taken for what
//! it can be after those before it ([`Reader`]): `2024-03-01 12:00+02`, `Mar 1 2024 3pm`, `20240301T120000Z`,
//! `J2460371`, `now`, `yesterday 04:05 PST`. The order of day, month and year in `1/2/03` is DateStyle's.

use super::calendar::{days_in_month, is_leap};
use super::tokens::{Word, date_word};
use super::zone::{self, TimeZone};
use super::*;
use crate::{EvalContext, EvalResult};

/// One piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldKind {
    Number,
    /// Digits with `:`.
    Time,
    /// Several parts joined by `-`, `/` or `.`.
    Date,
    Word,
    /// A sign and digits.
    Zone,
    /// A sign and a word: `-infinity`.
    Signed,
}

pub(super) struct Field {
    pub kind: FieldKind,
    /// In small letters.
    pub text: String,
}

/// Why a text is no date or time; the messages are made from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Format,
    Range,
    /// As `Range`, with the hint that DateStyle may be the reason.
    MonthOrDay,
    Zone,
    Interval,
}

impl Fault {
    pub(super) fn error(self, text: &str, type_name: &str) -> EvalError {
        let range = || EvalError::new("22008", format!("date/time field value out of range: \"{text}\""));
        match self {
            Fault::Format => EvalError::new("22007", format!("invalid input syntax for type {type_name}: \"{text}\"")),
            Fault::Range => range(),
            Fault::MonthOrDay => range().with_hint("Perhaps you need a different \"datestyle\" setting."),
            Fault::Zone => EvalError::new("22009", format!("time zone displacement out of range: \"{text}\"")),
            Fault::Interval => EvalError::new("22015", format!("interval field value out of range: \"{text}\"")),
        }
    }
}

/// An unknown zone's name is reported as such; all else by its fault.
pub(super) enum Trouble {
    Fault(Fault),
    Error(EvalError),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Trouble {
        Trouble::Fault(fault)
    }
}

impl Trouble {
    fn error(self, text: &str, type_name: &str) -> EvalError {
        match self {
            Trouble::Fault(fault) => fault.error(text, type_name),
            Trouble::Error(error) => error,
        }
    }
}

/// Longer than any text that means something.
const TEXT_MAX: usize = 1024;
const FIELDS_MAX: usize = 25;

/// Cuts the text into fields.
pub(super) fn fields_of(text: &str) -> Result<Vec<Field>, Fault> {
    if text.len() > TEXT_MAX {
        return Err(Fault::Format);
    }
    let bytes = text.as_bytes();
    let mut fields = Vec::new();
    let mut at = 0;
    let run = |from: usize, wanted: &dyn Fn(u8) -> bool| {
        bytes[from..].iter().position(|b| !wanted(*b)).map_or(bytes.len(), |n| from + n)
    };
    let is_digit = |b: u8| b.is_ascii_digit();
    while at < bytes.len() {
        let (kind, from, to) = match bytes[at] {
            b if b.is_ascii_whitespace() || b == 0x0b => {
                at += 1;
                continue;
            }
            b'0'..=b'9' => {
                let (kind, end) = digits_field(bytes, at);
                (kind, at, end)
            }
            b'.' => (FieldKind::Number, at, run(at + 1, &is_digit)),
            b if b.is_ascii_alphabetic() => {
                let (kind, end) = word_field(text, at);
                (kind, at, end)
            }
            b'+' | b'-' => {
                let start = run(at + 1, &|b| b.is_ascii_whitespace());
                let (kind, end) = match bytes.get(start) {
                    Some(b'0'..=b'9') => {
                        (FieldKind::Zone, run(start, &|b| b.is_ascii_digit() || matches!(b, b':' | b'.' | b'-')))
                    }
                    Some(b) if b.is_ascii_alphabetic() => (FieldKind::Signed, run(start, &|b| b.is_ascii_alphabetic())),
                    _ => return Err(Fault::Format),
                };
                let text = format!("{}{}", bytes[at] as char, text[start..end].to_ascii_lowercase());
                fields.push(Field { kind, text });
                at = end;
                continue;
            }
            b if b.is_ascii_punctuation() => {
                at += 1;
                continue;
            }
            _ => return Err(Fault::Format),
        };
        if fields.len() >= FIELDS_MAX {
            return Err(Fault::Format);
        }
        fields.push(Field { kind, text: text[from..to].to_ascii_lowercase() });
        at = to;
    }
    Ok(fields)
}

/// A field that begins with a digit, and where it ends.
fn digits_field(bytes: &[u8], from: usize) -> (FieldKind, usize) {
    let run = |from: usize, wanted: &dyn Fn(u8) -> bool| {
        bytes[from..].iter().position(|b| !wanted(*b)).map_or(bytes.len(), |n| from + n)
    };
    let end = run(from, &|b| b.is_ascii_digit());
    match bytes.get(end).copied() {
        Some(b':') => (FieldKind::Time, run(end, &|b| b.is_ascii_digit() || matches!(b, b':' | b'.'))),
        Some(delimiter @ (b'-' | b'/' | b'.')) if bytes.get(end + 1).is_some_and(u8::is_ascii_digit) => {
            let second = run(end + 1, &|b| b.is_ascii_digit());
            if bytes.get(second) == Some(&delimiter) {
                (FieldKind::Date, run(second, &|b| b.is_ascii_digit() || b == delimiter))
            } else {
                (if delimiter == b'.' { FieldKind::Number } else { FieldKind::Date }, second)
            }
        }
        Some(delimiter @ (b'-' | b'/' | b'.')) => {
            (FieldKind::Date, run(end + 1, &|b| b.is_ascii_alphanumeric() || b == delimiter))
        }
        _ => (FieldKind::Number, end),
    }
}

/// A field that begins with a letter: a word, or a date or zone name with punctuation in it.
fn word_field(text: &str, from: usize) -> (FieldKind, usize) {
    let bytes = text.as_bytes();
    let run = |from: usize, wanted: &dyn Fn(u8) -> bool| {
        bytes[from..].iter().position(|b| !wanted(*b)).map_or(bytes.len(), |n| from + n)
    };
    let end = run(from, &|b| b.is_ascii_alphabetic());
    let joined = match bytes.get(end) {
        Some(b'-' | b'/' | b'.') => true,
        Some(b'+' | b'0'..=b'9') => date_word(&text[from..end].to_ascii_lowercase()).is_none(),
        _ => false,
    };
    if !joined {
        return (FieldKind::Word, end);
    }
    let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'/' | b'_' | b'.' | b':');
    (FieldKind::Date, run(end, &is_part))
}

/// Which parts of a date and time have been read.
mod part {
    pub const YEAR: u32 = 1;
    pub const MONTH: u32 = 2;
    pub const DAY: u32 = 4;
    pub const DAY_OF_YEAR: u32 = 8;
    pub const DATE: u32 = YEAR | MONTH | DAY;
    pub const TIME: u32 = 16;
    pub const ZONE: u32 = 32;
    pub const MERIDIAN: u32 = 64;
    pub const ERA: u32 = 128;
    pub const WEEKDAY: u32 = 256;
    pub const DAYLIGHT: u32 = 512;
}

/// What a text was found to be.
pub(super) enum Moment {
    NegInfinity,
    Infinity,
    Epoch,
    Civil(Civil),
}

/// A field that says what the next one is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Prefix {
    Julian,
    Time,
}

struct Reader<'a> {
    ctx: &'a EvalContext<'a>,
    civil: Civil,
    seen: u32,
    day_of_year: i32,
    text_month: bool,
    two_digit_year: bool,
    julian: bool,
    before_christ: bool,
    meridian: Option<Word>,
    /// Seconds east of UTC.
    offset: Option<i32>,
    zone: Option<TimeZone>,
    prefix: Option<Prefix>,
    special: Option<Moment>,
    /// The type `time`: there may be no date.
    time_only: bool,
}

impl<'a> Reader<'a> {
    fn new(ctx: &'a EvalContext<'a>, time_only: bool) -> Reader<'a> {
        Reader {
            ctx,
            civil: Civil::default(),
            seen: 0,
            day_of_year: 0,
            text_month: false,
            two_digit_year: false,
            julian: false,
            before_christ: false,
            meridian: None,
            offset: None,
            zone: None,
            prefix: None,
            special: None,
            time_only,
        }
    }

    fn has(&self, parts: u32) -> bool {
        self.seen & parts == parts
    }

    fn mark(&mut self, parts: u32) -> Result<(), Fault> {
        if self.seen & parts != 0 {
            return Err(Fault::Format);
        }
        self.seen |= parts;
        Ok(())
    }

    fn read(&mut self, fields: &[Field]) -> Result<(), Trouble> {
        for (at, field) in fields.iter().enumerate() {
            match field.kind {
                FieldKind::Date => {
                    // A time may come with a date, either in front of it or at the very end.
                    let near_time = fields.get(1).is_some_and(|next| next.kind == FieldKind::Time);
                    let last_is_date =
                        fields.len() >= 2 && fields.last().is_some_and(|last| last.kind == FieldKind::Date);
                    self.date_field(&field.text, at == 0 && (near_time || last_is_date))?;
                }
                FieldKind::Time => {
                    if self.prefix.take().is_some_and(|prefix| prefix != Prefix::Time) {
                        return Err(Fault::Format.into());
                    }
                    self.time_field(&field.text)?;
                }
                FieldKind::Zone => {
                    self.offset = Some(numeric_zone(&field.text)?);
                    self.mark(part::ZONE)?;
                }
                FieldKind::Number => self.number_field(&field.text)?,
                FieldKind::Word | FieldKind::Signed => self.word_field(&field.text, fields.get(at + 1))?,
            }
        }
        if self.prefix.is_some() {
            return Err(Fault::Format.into());
        }
        Ok(())
    }

    /// `may_lead`: of a time, this can be the date in front of it.
    fn date_field(&mut self, text: &str, may_lead: bool) -> Result<(), Trouble> {
        if self.prefix == Some(Prefix::Julian) {
            // A Julian day with a zone behind it.
            self.prefix = None;
            let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            self.julian_day(text[..end].parse().map_err(|_| Fault::Range)?)?;
            self.offset = Some(numeric_zone(&text[end..])?);
            return Ok(self.mark(part::DATE | part::TIME | part::ZONE)?);
        }
        let is_date = if self.time_only { may_lead } else { !self.has(part::MONTH | part::DAY) };
        if self.prefix.is_none() && is_date {
            return Ok(self.date(text)?);
        }
        if text.starts_with(|c: char| c.is_ascii_digit()) || self.prefix.is_some() {
            // A time without colons and a zone behind it: 040506-08.
            self.prefix = None;
            if self.has(part::TIME) {
                return Err(Fault::Format.into());
            }
            let (digits, zone) = text.split_at(text.find('-').ok_or(Fault::Format)?);
            self.offset = Some(numeric_zone(zone)?);
            self.mark(part::ZONE)?;
            let seen = self.seen;
            self.seen |= part::DATE;
            let result = self.run_together(digits);
            self.seen = seen | self.seen & part::TIME;
            return Ok(result?);
        }
        self.zone =
            Some(TimeZone::find(text).ok_or_else(|| {
                Trouble::Error(EvalError::new("22023", format!("time zone \"{text}\" not recognized")))
            })?);
        Ok(self.mark(part::ZONE)?)
    }

    /// Several parts joined by punctuation.
    fn date(&mut self, text: &str) -> Result<(), Fault> {
        let before = self.seen;
        let mut numbers = Vec::new();
        for piece in pieces(text) {
            if piece.starts_with(|c: char| c.is_ascii_digit()) {
                numbers.push(piece);
                continue;
            }
            match date_word(piece) {
                Some(Word::Ignored) => {}
                Some(Word::Month(month)) => {
                    self.mark(part::MONTH)?;
                    self.civil.month = month;
                    self.text_month = true;
                }
                _ => return Err(Fault::Format),
            }
        }
        for number in numbers {
            self.number(number)?;
        }
        // Nothing but a zone may stand in front of such a date.
        let wrong_before = before & !(part::DATE | part::DAY_OF_YEAR | part::ZONE);
        if self.has(part::DATE) && wrong_before == 0 { Ok(()) } else { Err(Fault::Format) }
    }

    fn number_field(&mut self, text: &str) -> Result<(), Trouble> {
        match self.prefix.take() {
            Some(Prefix::Julian) => {
                let (day, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
                self.julian_day(day.parse().map_err(|_| Fault::Range)?)?;
                self.mark(part::DATE)?;
                if !fraction.is_empty() {
                    let share: f64 = format!("0{fraction}").parse().map_err(|_| Fault::Format)?;
                    self.civil.set_time((share * DAY as f64) as i64);
                    self.mark(part::TIME)?;
                }
                return Ok(());
            }
            Some(Prefix::Time) => {
                let seen = self.seen;
                self.seen |= part::DATE;
                let result = self.run_together(text);
                self.seen = seen | self.seen & part::TIME;
                return Ok(result?);
            }
            None => {}
        }
        let point = text.find('.');
        if self.time_only && point.is_none() && matches!(text.len(), 4 | 6) && !self.has(part::TIME) {
            self.seen |= part::DATE;
            let result = self.run_together(text);
            self.seen &= !part::DATE;
            return Ok(result?);
        }
        match point {
            Some(_) if self.time_only && !self.has(part::TIME) => {
                let seen = self.seen;
                self.seen |= part::DATE;
                let result = self.run_together(text);
                self.seen = seen | self.seen & part::TIME;
                Ok(result?)
            }
            Some(_) if !self.has(part::DATE) => Ok(self.date(text)?),
            Some(at) if at > 2 => Ok(self.run_together(text)?),
            None if text.len() >= 6 && (!self.has(part::DATE) || !self.has(part::TIME)) => Ok(self.run_together(text)?),
            _ => Ok(self.number(text)?),
        }
    }

    /// One number, taken for the part of the date that is due.
    fn number(&mut self, text: &str) -> Result<(), Fault> {
        let digits = text.find('.').unwrap_or(text.len());
        let value: i32 = text[..digits].parse().map_err(|_| Fault::Range)?;
        if digits < text.len() {
            if digits > 2 {
                let seen = self.seen;
                self.seen |= part::DATE;
                let result = self.run_together(text);
                self.seen = seen | self.seen & part::TIME;
                return result;
            }
            self.civil.micros = fraction(&text[digits..])?;
        }
        if text.len() == 3 && self.seen & part::DATE == part::YEAR && (1..=366).contains(&value) {
            self.mark(part::MONTH | part::DAY | part::DAY_OF_YEAR)?;
            self.day_of_year = value;
            return Ok(());
        }
        use part::{DAY, MONTH, YEAR};
        let order = self.ctx.settings.date_style.order;
        let (year_first, long) = (order == DateOrder::Ymd, text.len() >= 3);
        let what = match self.seen & part::DATE {
            0 if long || year_first => YEAR,
            0 if order == DateOrder::Dmy => DAY,
            0 => MONTH,
            YEAR => MONTH,
            MONTH if self.text_month && (long || year_first) => YEAR,
            MONTH => DAY,
            seen if seen == YEAR | MONTH => {
                if self.text_month && long && self.two_digit_year {
                    // What was taken for the year was the day.
                    self.mark(DAY)?;
                    self.civil.day = self.civil.year;
                    self.civil.year = value;
                    self.two_digit_year = false;
                    return Ok(());
                }
                DAY
            }
            DAY => MONTH,
            seen if seen == MONTH | DAY => YEAR,
            seen if seen == part::DATE => return self.run_together(text),
            _ => return Err(Fault::Format),
        };
        self.mark(what)?;
        match what {
            YEAR => {
                self.civil.year = value;
                self.two_digit_year = text.len() <= 2;
            }
            MONTH => self.civil.month = value,
            _ => self.civil.day = value,
        }
        Ok(())
    }

    /// `yyyymmdd`, `yymmdd`, `hhmmss`, `hhmm`, with a fraction where it is a time.
    fn run_together(&mut self, text: &str) -> Result<(), Fault> {
        let digits = text.find('.').unwrap_or(text.len());
        if !text.is_ascii() || !text[..digits].bytes().all(|b| b.is_ascii_digit()) {
            return Err(Fault::Format);
        }
        let number = |from: usize, to: usize| text[from..to].parse::<i32>().map_err(|_| Fault::Range);
        if digits < text.len() {
            self.civil.micros = fraction(&text[digits..])?;
        } else if !self.has(part::DATE) && digits >= 6 {
            self.mark(part::DATE)?;
            self.civil.day = number(digits - 2, digits)?;
            self.civil.month = number(digits - 4, digits - 2)?;
            self.civil.year = number(0, digits - 4)?;
            self.two_digit_year = digits == 6;
            return Ok(());
        }
        if self.has(part::TIME) {
            return Err(Fault::Format);
        }
        self.civil.second = match digits {
            6 => number(4, 6)?,
            4 => 0,
            _ => return Err(Fault::Format),
        };
        self.civil.hour = number(0, 2)?;
        self.civil.minute = number(2, 4)?;
        self.mark(part::TIME)?;
        self.check_time()
    }

    fn time_field(&mut self, text: &str) -> Result<(), Fault> {
        self.mark(part::TIME)?;
        let time = colon_time(text)?;
        (self.civil.hour, self.civil.minute) = (i32::try_from(time.hour).map_err(|_| Fault::Range)?, time.minute);
        (self.civil.second, self.civil.micros) = (time.second, time.micros);
        self.check_time()
    }

    fn check_time(&self) -> Result<(), Fault> {
        let c = &self.civil;
        let valid = (0..=24).contains(&c.hour) && (0..60).contains(&c.minute) && (0..=60).contains(&c.second);
        if valid && c.time() <= DAY { Ok(()) } else { Err(Fault::Range) }
    }

    fn word_field(&mut self, text: &str, next: Option<&Field>) -> Result<(), Trouble> {
        let word = match zone::abbreviation(text) {
            Some(zone) => Some(Word::Zone(zone.offset)),
            None => date_word(text),
        };
        let Some(word) = word else {
            self.zone = Some(TimeZone::find(text).ok_or(Fault::Format)?);
            return Ok(self.mark(part::ZONE)?);
        };
        match word {
            Word::Ignored => {}
            Word::Month(month) => {
                // A number that was taken for the month is the day after all.
                if self.has(part::MONTH)
                    && !self.text_month
                    && !self.has(part::DAY)
                    && (1..=31).contains(&self.civil.month)
                {
                    self.civil.day = self.civil.month;
                    self.mark(part::DAY)?;
                } else {
                    self.mark(part::MONTH)?;
                }
                self.text_month = true;
                self.civil.month = month;
            }
            Word::DayOfWeek => self.mark(part::WEEKDAY)?,
            Word::Am | Word::Pm => {
                self.mark(part::MERIDIAN)?;
                self.meridian = Some(word);
            }
            Word::Ad | Word::Bc => {
                self.mark(part::ERA)?;
                self.before_christ = word == Word::Bc;
            }
            Word::Zone(offset) => {
                self.mark(part::ZONE)?;
                self.offset = Some(offset);
            }
            Word::DaylightSaving => {
                self.mark(part::DAYLIGHT)?;
                let offset = self.offset.as_mut().ok_or(Fault::Format)?;
                *offset += 3600;
            }
            Word::Now => {
                self.mark(part::DATE | part::TIME | part::ZONE)?;
                let now = self.ctx.transaction_time;
                let offset = self.ctx.settings.time_zone.offset_at(now);
                self.civil = split_timestamp(now + i64::from(offset) * SECOND);
                self.offset = Some(offset);
            }
            Word::Today | Word::Tomorrow | Word::Yesterday => {
                self.mark(part::DATE)?;
                let now = self.ctx.transaction_time;
                let local = now + i64::from(self.ctx.settings.time_zone.offset_at(now)) * SECOND;
                let away = i64::from(word == Word::Tomorrow) - i64::from(word == Word::Yesterday);
                self.civil.set_days(local.div_euclid(DAY) + away);
                self.julian = true;
            }
            Word::Epoch | Word::Infinity | Word::NegInfinity => {
                self.mark(part::DATE | part::TIME | part::ZONE)?;
                self.special = Some(match word {
                    Word::Epoch => Moment::Epoch,
                    Word::Infinity => Moment::Infinity,
                    _ => Moment::NegInfinity,
                });
            }
            Word::AllBalls => {
                self.mark(part::TIME | part::ZONE)?;
                self.offset = Some(0);
            }
            Word::Julian => self.prefix = Some(Prefix::Julian),
            Word::IsoTime => {
                let is_time =
                    next.is_some_and(|f| matches!(f.kind, FieldKind::Number | FieldKind::Time | FieldKind::Date));
                if !self.time_only && !self.has(part::DATE) || !is_time {
                    return Err(Fault::Format.into());
                }
                self.prefix = Some(Prefix::Time);
            }
            Word::Unit => return Err(Fault::Format.into()),
        }
        Ok(())
    }

    fn julian_day(&mut self, day: i64) -> Result<(), Fault> {
        if !(0..=i64::from(i32::MAX)).contains(&day) {
            return Err(Fault::Range);
        }
        self.civil.set_days(day - EPOCH_JULIAN);
        self.julian = true;
        Ok(())
    }

    /// The year in full, the day of the year, and whether there is such a day.
    fn check_date(&mut self) -> Result<(), Fault> {
        let civil = &mut self.civil;
        if self.seen & part::YEAR != 0 && !self.julian {
            if self.before_christ {
                if civil.year <= 0 {
                    return Err(Fault::Range);
                }
                civil.year = 1 - civil.year;
            } else if self.two_digit_year {
                civil.year += if civil.year < 70 { 2000 } else { 1900 };
            } else if civil.year <= 0 {
                return Err(Fault::Range);
            }
        }
        if self.seen & part::DAY_OF_YEAR != 0 {
            let year = civil.year;
            civil.set_days(days_from_civil(year, 1, 1) + i64::from(self.day_of_year) - 1);
        }
        if self.seen & part::MONTH != 0 && !(1..=12).contains(&civil.month)
            || self.seen & part::DAY != 0 && !(1..=31).contains(&civil.day)
        {
            return Err(Fault::MonthOrDay);
        }
        debug_assert!(is_leap(2000));
        if self.seen & part::DATE == part::DATE && civil.day > days_in_month(civil.year, civil.month) {
            return Err(Fault::Range);
        }
        Ok(())
    }

    fn check_meridian(&mut self) -> Result<(), Fault> {
        let Some(meridian) = self.meridian else { return Ok(()) };
        match self.civil.hour {
            13.. => return Err(Fault::Range),
            12 if meridian == Word::Am => self.civil.hour = 0,
            ..=11 if meridian == Word::Pm => self.civil.hour += 12,
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Moment, Fault> {
        if let Some(special) = self.special.take() {
            return Ok(special);
        }
        self.check_date()?;
        self.check_meridian()?;
        if !self.has(part::DATE) || self.seen & part::DAYLIGHT != 0 && self.offset.is_none() {
            return Err(Fault::Format);
        }
        Ok(Moment::Civil(self.civil))
    }

    /// Seconds east of UTC of the moment that was read.
    fn offset_of(&self, local: i64) -> i32 {
        match (&self.offset, &self.zone) {
            (Some(offset), _) => *offset,
            (None, Some(zone)) => zone.offset_of_local(local),
            (None, None) => self.ctx.settings.time_zone.offset_of_local(local),
        }
    }
}

/// The letters and the digits of a date, without what separates them.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).flat_map(|part| {
        let mut rest = part;
        std::iter::from_fn(move || {
            let is_digit = rest.chars().next()?.is_ascii_digit();
            let end = rest.find(|c: char| c.is_ascii_digit() != is_digit).unwrap_or(rest.len());
            let (piece, tail) = rest.split_at(end);
            rest = tail;
            Some(piece)
        })
    })
}

/// `.5` as microseconds, rounded.
pub(super) fn fraction(text: &str) -> Result<i32, Fault> {
    if text == "." {
        return Ok(0);
    }
    let digits = text.strip_prefix('.').ok_or(Fault::Format)?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::Format);
    }
    let value: f64 = text.parse().map_err(|_| Fault::Format)?;
    Ok((value * 1_000_000.0).round_ties_even() as i32)
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ColonTime {
    pub hour: i64,
    pub minute: i32,
    pub second: i32,
    pub micros: i32,
    /// Only two parts were there, the second without a fraction.
    pub two_parts: bool,
}

/// `hh:mm`, `hh:mm:ss.fff`, `mm:ss.fff`.
pub(super) fn colon_time(text: &str) -> Result<ColonTime, Fault> {
    let mut parts = text.splitn(3, ':');
    let hour: i64 = parts.next().unwrap_or("").parse().map_err(|_| Fault::Range)?;
    let second = parts.next().ok_or(Fault::Format)?;
    // What is missing is nothing: `1:2:` is `1:2:0`.
    let number = |text: &str| match text.bytes().all(|b| b.is_ascii_digit()) {
        true if text.is_empty() => Ok(0),
        true => text.parse::<i32>().map_err(|_| Fault::Range),
        false => Err(Fault::Format),
    };
    let split = |text: &str| -> Result<(i32, i32), Fault> {
        let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
        Ok((number(whole)?, if rest.is_empty() { 0 } else { fraction(rest)? }))
    };
    let time = match parts.next() {
        None if second.contains('.') => {
            let (seconds, micros) = split(second)?;
            ColonTime {
                hour: 0,
                minute: i32::try_from(hour).map_err(|_| Fault::Range)?,
                second: seconds,
                micros,
                two_parts: false,
            }
        }
        None => ColonTime { hour, minute: number(second)?, two_parts: true, ..ColonTime::default() },
        Some(third) => {
            let (seconds, micros) = split(third)?;
            ColonTime { hour, minute: number(second)?, second: seconds, micros, two_parts: false }
        }
    };
    if time.minute > 59 || time.second > 60 { Err(Fault::Range) } else { Ok(time) }
}

/// `+hh`, `-hh:mm`, `+hhmm`, `+hh:mm:ss`: seconds east of UTC.
pub(super) fn numeric_zone(text: &str) -> Result<i32, Fault> {
    let negative = match text.as_bytes().first() {
        Some(b'-') => true,
        Some(b'+') => false,
        _ => return Err(Fault::Format),
    };
    // The range is checked before what may follow.
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let mut rest = &text[1..];
    let mut parts = [0, 0, 0];
    for (at, part) in parts.iter_mut().enumerate() {
        if at > 0 {
            match rest.strip_prefix(':') {
                Some(after) => rest = after,
                None => break,
            }
        }
        let (number, behind) = rest.split_at(digits(rest));
        rest = behind;
        *part = match number {
            "" if at == 0 => return Err(Fault::Format),
            "" => 0,
            number => number.parse::<i32>().map_err(|_| Fault::Zone)?,
        };
    }
    let [mut hours, mut minutes, seconds] = parts;
    // Without colons two digits are hours, more are hours and minutes.
    if text.len() > 3 && rest.is_empty() && !text.contains(':') {
        (hours, minutes) = (hours / 100, hours % 100);
    }
    if hours > 15 || minutes > 59 || seconds > 59 {
        return Err(Fault::Zone);
    }
    if !rest.is_empty() {
        return Err(Fault::Format);
    }
    let total = hours * 3600 + minutes * 60 + seconds;
    Ok(if negative { -total } else { total })
}

fn read<'a>(
    text: &str,
    ctx: &'a EvalContext<'a>,
    time_only: bool,
) -> Result<(Reader<'a>, Result<Moment, Fault>), Trouble> {
    let fields = fields_of(text)?;
    if fields.is_empty() {
        return Err(Fault::Format.into());
    }
    let mut reader = Reader::new(ctx, time_only);
    reader.read(&fields)?;
    let moment = reader.finish();
    Ok((reader, moment))
}

pub(crate) fn parse_date(text: &str, ctx: &EvalContext<'_>) -> EvalResult<i32> {
    if let Some(days) = iso_date(text.as_bytes()) {
        return Ok(days);
    }
    let moment = read(text, ctx, false).and_then(|(_, moment)| Ok(moment?)).map_err(|t| t.error(text, "date"))?;
    let out_of_range = || EvalError::new("22008", format!("date out of range: \"{text}\""));
    match moment {
        Moment::Infinity => Ok(DATE_INFINITY),
        Moment::NegInfinity => Ok(DATE_NEG_INFINITY),
        Moment::Epoch => Ok((-UNIX_EPOCH_SECONDS / 86_400) as i32),
        Moment::Civil(civil) => i32::try_from(civil.days())
            .ok()
            .and_then(check_date)
            .filter(|d| is_finite_date(*d))
            .ok_or_else(out_of_range),
    }
}

/// `yyyy-mm-dd` and nothing else: what nearly all input is.
fn iso_date(bytes: &[u8]) -> Option<i32> {
    let digits = |from: usize, to: usize| {
        bytes[from..to].iter().try_fold(0_i32, |value, b| b.is_ascii_digit().then(|| value * 10 + i32::from(b - b'0')))
    };
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    let valid = year >= 1 && (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month);
    valid.then(|| days_from_civil(year, month, day) as i32)
}

pub(crate) fn parse_timestamp(text: &str, typmod: i32, ctx: &EvalContext<'_>) -> EvalResult<i64> {
    let (_, moment) = read(text, ctx, false).map_err(|t| t.error(text, "timestamp"))?;
    let moment = moment.map_err(|fault| fault.error(text, "timestamp"))?;
    let value = whole_timestamp(&moment).ok_or_else(|| out_of_range(text))?;
    Ok(arithmetic::round_timestamp(value, typmod))
}

pub(crate) fn parse_timestamptz(text: &str, typmod: i32, ctx: &EvalContext<'_>) -> EvalResult<i64> {
    let name = "timestamp with time zone";
    let (reader, moment) = read(text, ctx, false).map_err(|t| t.error(text, name))?;
    let moment = moment.map_err(|fault| fault.error(text, name))?;
    let value = match moment {
        Moment::Civil(civil) => {
            let local = civil
                .days()
                .checked_mul(DAY)
                .and_then(|days| days.checked_add(civil.time()))
                .ok_or_else(|| out_of_range(text))?;
            let utc = local - i64::from(reader.offset_of(local)) * SECOND;
            check_timestamp(utc).filter(|t| is_finite_timestamp(*t)).ok_or_else(|| out_of_range(text))?
        }
        special => whole_timestamp(&special).ok_or_else(|| out_of_range(text))?,
    };
    Ok(arithmetic::round_timestamp(value, typmod))
}

fn out_of_range(text: &str) -> EvalError {
    EvalError::new("22008", format!("timestamp out of range: \"{text}\""))
}

fn whole_timestamp(moment: &Moment) -> Option<i64> {
    match moment {
        Moment::Infinity => Some(TIMESTAMP_INFINITY),
        Moment::NegInfinity => Some(TIMESTAMP_NEG_INFINITY),
        Moment::Epoch => Some(-UNIX_EPOCH_SECONDS * SECOND),
        Moment::Civil(civil) => timestamp_of(civil),
    }
}

/// The time of day, and the reader for its zone.
fn read_time<'a>(text: &str, name: &str, ctx: &'a EvalContext<'a>) -> EvalResult<Reader<'a>> {
    let (reader, moment) = read(text, ctx, true).map_err(|t| t.error(text, name))?;
    // A date need not be there, but one that is must be right.
    match moment {
        Ok(Moment::Civil(_)) | Err(Fault::Format) if reader.has(part::TIME) => {}
        Ok(_) => return Err(Fault::Format.error(text, name)),
        Err(fault) => return Err(fault.error(text, name)),
    }
    // A zone that has more than one offset needs a date to choose by.
    if reader.zone.as_ref().is_some_and(|zone| zone.offset_of_local(0) != zone.offset_of_local(DAY * 182))
        && !reader.has(part::DATE)
    {
        return Err(Fault::Format.error(text, name));
    }
    Ok(reader)
}

pub(crate) fn parse_time(text: &str, typmod: i32, ctx: &EvalContext<'_>) -> EvalResult<i64> {
    let reader = read_time(text, "time", ctx)?;
    Ok(arithmetic::round_time(reader.civil.time(), typmod))
}

/// Microseconds since midnight, seconds west of UTC.
pub(crate) fn parse_timetz(text: &str, typmod: i32, ctx: &EvalContext<'_>) -> EvalResult<(i64, i32)> {
    let reader = read_time(text, "time with time zone", ctx)?;
    let time = reader.civil.time();
    let days = match reader.has(part::DATE) {
        true => reader.civil.days(),
        false => {
            // Without a date the zone's offset is that of today.
            let now = ctx.transaction_time;
            (now + i64::from(ctx.settings.time_zone.offset_at(now)) * SECOND).div_euclid(DAY)
        }
    };
    Ok((arithmetic::round_time(time, typmod), -reader.offset_of(days * DAY + time)))
}
