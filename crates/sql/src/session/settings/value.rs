//! One setting's value: read from what SET was given, written as SHOW and `pg_settings` write it.

use std::sync::Arc;

use super::definition::{Definition, Kind, Unit};
use crate::{SqlError, SqlResult};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Bool(bool),
    /// In the setting's unit.
    Integer(i64),
    Real(f64),
    Text(Arc<str>),
}

impl Value {
    /// What `text` means for this setting. 22023 where it means nothing.
    pub fn parse(definition: &Definition, text: &str) -> SqlResult<Value> {
        match &definition.kind {
            Kind::Bool => match parse_bool(text) {
                Some(value) => Ok(Value::Bool(value)),
                None => {
                    Err(SqlError::new("22023", format!("parameter \"{}\" requires a Boolean value", definition.name)))
                }
            },
            Kind::Integer { min, max, unit } => parse_integer(definition, text, *min, *max, *unit),
            Kind::Real { min, max, unit } => parse_real(definition, text, *min, *max, *unit),
            Kind::Text => Ok(Value::Text(text.into())),
            Kind::Enum(words) => parse_enum(definition, words, text),
        }
    }

    /// `pg_settings.setting`: in the setting's unit.
    pub fn setting(&self) -> String {
        match self {
            Value::Bool(value) => if *value { "on" } else { "off" }.to_owned(),
            Value::Integer(value) => value.to_string(),
            Value::Real(value) => value.to_string(),
            Value::Text(value) => value.to_string(),
        }
    }

    /// SHOW: with a unit, the largest one that loses nothing.
    pub fn show(&self, definition: &Definition) -> String {
        match (self, &definition.kind) {
            (Value::Integer(value), Kind::Integer { unit, .. }) if *value > 0 => match unit {
                Unit::None => match definition.name {
                    "unix_socket_permissions" | "log_file_mode" | "data_directory_mode" => format!("{value:04o}"),
                    _ => value.to_string(),
                },
                Unit::Bytes { each, .. } => scaled(value * each, &BYTES),
                Unit::Time { each_ms, .. } => scaled(value * each_ms, &TIMES),
            },
            (Value::Real(value), Kind::Real { unit: Unit::Time { name, .. }, .. }) if *value > 0.0 => {
                format!("{value}{name}")
            }
            _ => self.setting(),
        }
    }
}

/// PostgreSQL's `parse_bool`: unique prefixes of true, false, yes, no, on, off, and 1 and 0.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    let lower = text.trim().to_ascii_lowercase();
    let is_prefix = |word: &str, least: usize| lower.len() >= least && word.starts_with(&lower);
    if is_prefix("true", 1) || is_prefix("yes", 1) || is_prefix("on", 2) || lower == "1" {
        Some(true)
    } else if is_prefix("false", 1) || is_prefix("no", 1) || is_prefix("off", 2) || lower == "0" {
        Some(false)
    } else {
        None
    }
}

/// In bytes, the largest first.
const BYTES: [(&str, i64); 5] = [("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10), ("B", 1)];
/// In milliseconds.
const TIMES: [(&str, i64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)];

fn scaled(value: i64, units: &[(&str, i64)]) -> String {
    let fit = units.iter().find(|(_, each)| value % each == 0);
    let (name, each) = fit.copied().unwrap_or(("", 1));
    format!("{}{name}", value / each)
}

/// A number with a unit behind it, in the setting's own unit.
fn parse_scaled(definition: &Definition, text: &str, unit: Unit) -> SqlResult<f64> {
    let invalid = || SqlError::new("22023", format!("invalid value for parameter \"{}\": \"{text}\"", definition.name));
    let trimmed = text.trim();
    let digits_end = number_length(trimmed);
    let (number, suffix) = (&trimmed[..digits_end], trimmed[digits_end..].trim());
    let value = match number.strip_prefix("0x").or_else(|| number.strip_prefix("0X")) {
        Some(hex) => i64::from_str_radix(hex, 16).map_err(|_| invalid())? as f64,
        None if number.len() > 1 && number.starts_with('0') && number.bytes().all(|b| b.is_ascii_digit()) => {
            i64::from_str_radix(number, 8).map_err(|_| invalid())? as f64
        }
        None => number.parse::<f64>().map_err(|_| invalid())?,
    };
    if suffix.is_empty() {
        return Ok(value);
    }
    let (own, table, hint) = match unit {
        Unit::None => return Err(invalid()),
        Unit::Bytes { each, .. } => {
            (each as f64, BYTES, "Valid units for this parameter are \"B\", \"kB\", \"MB\", \"GB\", and \"TB\".")
        }
        Unit::Time { each_ms, .. } => (
            each_ms as f64,
            TIMES,
            "Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".",
        ),
    };
    if matches!(unit, Unit::Time { .. }) && suffix == "us" {
        return Ok(value / 1000.0 / own);
    }
    match table.iter().find(|(name, _)| *name == suffix) {
        Some((_, each)) => Ok(value * *each as f64 / own),
        None => Err(invalid().with_hint(hint)),
    }
}

/// The longest start of `text` that reads as a number.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let sign = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    if bytes[sign..].starts_with(b"0x") || bytes[sign..].starts_with(b"0X") {
        let digits = bytes[sign + 2..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
        return sign + 2 + digits;
    }
    let mut end = sign + bytes[sign..].iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let exponent_sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let digits = bytes[end + 1 + exponent_sign..].iter().take_while(|b| b.is_ascii_digit()).count();
        if digits > 0 {
            end += 1 + exponent_sign + digits;
        }
    }
    end
}

fn parse_integer(definition: &Definition, text: &str, min: i64, max: i64, unit: Unit) -> SqlResult<Value> {
    let value = parse_scaled(definition, text, unit)?.round_ties_even();
    if !(min as f64..=max as f64).contains(&value) {
        return Err(outside(definition, &format!("{value:.0}"), unit, &min.to_string(), &max.to_string()));
    }
    Ok(Value::Integer(value as i64))
}

fn parse_real(definition: &Definition, text: &str, min: f64, max: f64, unit: Unit) -> SqlResult<Value> {
    let value = parse_scaled(definition, text, unit)?;
    if !(min..=max).contains(&value) {
        return Err(outside(definition, &value.to_string(), unit, &min.to_string(), &max.to_string()));
    }
    Ok(Value::Real(value))
}

fn outside(definition: &Definition, value: &str, unit: Unit, min: &str, max: &str) -> SqlError {
    let unit = unit.name().map_or(String::new(), |name| format!(" {name}"));
    let name = definition.name;
    SqlError::new(
        "22023",
        format!("{value}{unit} is outside the valid range for parameter \"{name}\" ({min}{unit} .. {max}{unit})"),
    )
}

fn parse_enum(definition: &Definition, words: &[&'static str], text: &str) -> SqlResult<Value> {
    if let Some(word) = words.iter().find(|word| word.eq_ignore_ascii_case(text)) {
        return Ok(Value::Text((*word).into()));
    }
    // Where `on` and `off` are among the words, every spelling of true and false is.
    let as_bool = parse_bool(text).map(|value| if value { "on" } else { "off" });
    if let Some(word) = words.iter().find(|word| Some(**word) == as_bool) {
        return Ok(Value::Text((*word).into()));
    }
    Err(SqlError::new("22023", format!("invalid value for parameter \"{}\": \"{text}\"", definition.name))
        .with_hint(format!("Available values: {}.", words.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::super::definition::SettingId;
    use super::*;

    fn set(name: &str, text: &str) -> String {
        let definition = SettingId::of(name).definition();
        match Value::parse(definition, text) {
            Ok(value) => format!("{} {}", value.setting(), value.show(definition)),
            Err(error) => error.0.message,
        }
    }

    #[test]
    fn as_postgresql_reads_and_shows_them() {
        assert_eq!(set("work_mem", "64MB"), "65536 64MB");
        assert_eq!(set("work_mem", "1500 kB"), "1500 1500kB");
        assert_eq!(set("work_mem", "1.5MB"), "1536 1536kB");
        assert_eq!(
            set("work_mem", "1"),
            "1 kB is outside the valid range for parameter \"work_mem\" (64 kB .. 2147483647 kB)"
        );
        assert_eq!(set("work_mem", "1 m"), "invalid value for parameter \"work_mem\": \"1 m\"");
        assert_eq!(set("statement_timeout", "5s"), "5000 5s");
        assert_eq!(set("statement_timeout", "90s"), "90000 90s");
        assert_eq!(set("statement_timeout", "0"), "0 0");
        assert_eq!(set("extra_float_digits", "-15"), "-15 -15");
        assert_eq!(set("enable_seqscan", "FALSE"), "off off");
        assert_eq!(set("enable_seqscan", "maybe"), "parameter \"enable_seqscan\" requires a Boolean value");
        assert_eq!(set("bytea_output", "Escape"), "escape escape");
        assert_eq!(set("bytea_output", "x"), "invalid value for parameter \"bytea_output\": \"x\"");
        assert_eq!(set("default_transaction_isolation", "READ COMMITTED"), "read committed read committed");
        assert_eq!(set("constraint_exclusion", "yes"), "on on");
        assert_eq!(set("seq_page_cost", "1e1"), "10 10");
    }
}
