//! Settings whose values have a grammar of their own: checked, and written in one canonical form.

use expr::TimeZone;

use super::definition::{Context, Definition};
use super::value::Value;
use crate::{SqlError, SqlResult};

/// May SET change it in a running session?
pub(crate) fn may_set(definition: &Definition, at_start: bool) -> SqlResult<()> {
    let name = definition.name;
    let refused = match definition.context {
        Context::User | Context::Superuser => return Ok(()),
        Context::Backend | Context::SuperuserBackend if at_start => return Ok(()),
        Context::Internal => format!("parameter \"{name}\" cannot be changed"),
        Context::Postmaster => format!("parameter \"{name}\" cannot be changed without restarting the server"),
        Context::Sighup => format!("parameter \"{name}\" cannot be changed now"),
        Context::Backend | Context::SuperuserBackend => {
            format!("parameter \"{name}\" cannot be set after connection start")
        }
    };
    Err(SqlError::new("55P02", refused))
}

/// The canonical value; `current` is the one it replaces (`SET datestyle = dmy` keeps the style).
pub(crate) fn canonical(definition: &Definition, value: Value, current: &Value) -> SqlResult<Value> {
    let Value::Text(text) = &value else {
        return match definition.name {
            "standard_conforming_strings" if value == Value::Bool(false) => {
                Err(SqlError::not_supported("standard_conforming_strings = off"))
            }
            _ => Ok(value),
        };
    };
    let text = match definition.name {
        "client_encoding" => client_encoding(text)?,
        "DateStyle" => date_style(text, current)?,
        "TimeZone" => time_zone(text)?,
        "search_path" => {
            split_identifiers(text).ok_or_else(|| invalid(definition, text).with_detail("List syntax is invalid."))?;
            return Ok(value);
        }
        "application_name" | "cluster_name" => {
            text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect()
        }
        _ => return Ok(value),
    };
    Ok(Value::Text(text.into()))
}

fn invalid(definition: &Definition, text: &str) -> SqlError {
    SqlError::new("22023", format!("invalid value for parameter \"{}\": \"{text}\"", definition.name))
}

/// PostgreSQL compares names of encodings by their letters and digits. All text here is UTF-8.
fn client_encoding(text: &str) -> SqlResult<String> {
    let plain: String = text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    match plain.as_str() {
        "utf8" | "unicode" => Ok("UTF8".to_owned()),
        "sqlascii" => Ok("SQL_ASCII".to_owned()),
        _ if ENCODINGS.contains(&plain.as_str()) => {
            Err(SqlError::not_supported(format!("conversion between {} and UTF8", text.to_uppercase()))
                .with_hint("Use client_encoding = 'UTF8'."))
        }
        _ => Err(SqlError::new("22023", format!("invalid value for parameter \"client_encoding\": \"{text}\""))),
    }
}

/// Encodings that PostgreSQL knows and we do not convert.
#[rustfmt::skip]
const ENCODINGS: [&str; 46] = [
    "eucjp", "euccn", "euckr", "euctw", "eucjis2004", "muleinternal", "latin1", "iso88591", "latin2", "iso88592",
    "latin3", "iso88593", "latin4", "iso88594", "latin5", "iso88599", "latin6", "iso885910", "latin7", "iso885913",
    "latin8", "iso885914", "latin9", "iso885915", "latin10", "iso885916", "win1256", "win1258", "win866", "win874",
    "koi8r", "koi8u", "win1251", "win1252", "windows1252", "iso88595", "iso88596", "iso88597", "iso88598", "win1250",
    "win1253", "win1254", "win1255", "win1257", "sjis", "big5",
];

/// `style, order` from any of its words in any order; the part that is not named stays.
fn date_style(text: &str, current: &Value) -> SqlResult<String> {
    let invalid = || SqlError::new("22023", format!("invalid value for parameter \"DateStyle\": \"{text}\""));
    let now = current.setting();
    let (mut style, mut order) = now.split_once(", ").unwrap_or(("ISO", "MDY"));
    let (mut style_named, mut order_named) = (false, false);
    let words = split_identifiers(text).ok_or_else(|| invalid().with_detail("List syntax is invalid."))?;
    for word in &words {
        let lower = word.to_ascii_lowercase();
        let (part, new, named) = match lower.as_str() {
            "iso" => (&mut style, "ISO", &mut style_named),
            "sql" => (&mut style, "SQL", &mut style_named),
            "german" => (&mut style, "German", &mut style_named),
            lower if lower.starts_with("postgres") => (&mut style, "Postgres", &mut style_named),
            "ymd" => (&mut order, "YMD", &mut order_named),
            "mdy" | "us" => (&mut order, "MDY", &mut order_named),
            lower if lower == "dmy" || lower.starts_with("euro") => (&mut order, "DMY", &mut order_named),
            lower if lower == "mdy" || lower.starts_with("noneuro") => (&mut order, "MDY", &mut order_named),
            "default" => {
                (style, order) = ("ISO", "MDY");
                continue;
            }
            word => return Err(invalid().with_detail(format!("Unrecognized key word: \"{word}\"."))),
        };
        if *named && *part != new {
            return Err(invalid().with_detail("Conflicting \"datestyle\" specifications."));
        }
        (*part, *named) = (new, true);
    }
    // German dates put the day first unless something else is asked for.
    if style == "German" && style_named && !order_named {
        order = "DMY";
    }
    Ok(format!("{style}, {order}"))
}

/// A name of the time zone database, an offset in hours, a POSIX rule, or `INTERVAL '…'`.
fn time_zone(text: &str) -> SqlResult<String> {
    let trimmed = text.trim();
    let interval = trimmed.get(..8).filter(|word| word.eq_ignore_ascii_case("interval"));
    let zone = match interval {
        Some(word) => clock_offset(trimmed[word.len()..].trim().trim_matches('\'')).map(TimeZone::fixed),
        None => TimeZone::from_setting(trimmed).ok(),
    };
    let invalid = || SqlError::new("22023", format!("invalid value for parameter \"TimeZone\": \"{text}\""));
    Ok(zone.ok_or_else(invalid)?.name().to_owned())
}

/// `[+-]hh[:mm[:ss]]` in seconds.
fn clock_offset(text: &str) -> Option<i32> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut seconds = 0;
    for (part, each) in rest.split(':').zip([3600, 60, 1]) {
        seconds += part.parse::<i32>().ok()? * each;
    }
    Some(sign * seconds)
}

/// PostgreSQL's `SplitIdentifierString`: a list of identifiers, quoted ones as they are, others in lower case. `None` where
/// the list's syntax is wrong.
pub(crate) fn split_identifiers(text: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = text.trim_start();
    if rest.is_empty() {
        return Some(names);
    }
    loop {
        let name;
        if let Some(quoted) = rest.strip_prefix('"') {
            (name, rest) = take_quoted(quoted)?;
        } else {
            let end = rest.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(rest.len());
            if end == 0 {
                return None;
            }
            name = rest[..end].to_lowercase();
            rest = &rest[end..];
        }
        names.push(name);
        rest = rest.trim_start();
        if rest.is_empty() {
            return Some(names);
        }
        rest = rest.strip_prefix(',')?.trim_start();
    }
}

/// A name with its qualifiers, as `regclass` reads it.
pub(crate) fn split_qualified(text: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = text.trim();
    loop {
        let name;
        if let Some(quoted) = rest.strip_prefix('"') {
            (name, rest) = take_quoted(quoted)?;
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            name = rest[..end].trim_end().to_lowercase();
            if name.is_empty() || name.contains(char::is_whitespace) {
                return None;
            }
            rest = &rest[end..];
        }
        names.push(name);
        rest = rest.trim_start();
        if rest.is_empty() {
            return Some(names);
        }
        rest = rest.strip_prefix('.')?.trim_start();
    }
}

/// After the opening quote; a doubled quote stands for itself.
fn take_quoted(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_styles() {
        let now = |text: &str| Value::Text(text.into());
        let set = |text: &str, current: &str| date_style(text, &now(current)).unwrap_or_else(|error| error.0.message);
        assert_eq!(set("dmy", "ISO, MDY"), "ISO, DMY");
        assert_eq!(set("German", "ISO, MDY"), "German, DMY");
        assert_eq!(set("postgres, european", "ISO, MDY"), "Postgres, DMY");
        assert_eq!(set("sql", "ISO, YMD"), "SQL, YMD");
        assert_eq!(set("iso, sql", "ISO, YMD"), "invalid value for parameter \"DateStyle\": \"iso, sql\"");
        assert_eq!(set("foo", "ISO, YMD"), "invalid value for parameter \"DateStyle\": \"foo\"");
    }

    #[test]
    fn offsets() {
        assert_eq!(time_zone("5.5").unwrap(), "<+05:30>-05:30");
        assert_eq!(time_zone("-8").unwrap(), "<-08>+08");
        assert_eq!(time_zone("INTERVAL '+00:00'").unwrap(), "<+00>+00");
        assert!(time_zone("200").is_err());
    }

    #[test]
    fn identifiers() {
        assert_eq!(split_identifiers("\"$user\", Public").unwrap(), ["$user", "public"]);
        assert_eq!(split_identifiers("\"a\"\"b\" ,c").unwrap(), ["a\"b", "c"]);
        assert_eq!(split_identifiers("  ").unwrap(), Vec::<String>::new());
        assert_eq!(split_identifiers("a b"), None);
        assert_eq!(split_identifiers("a,"), None);
        assert_eq!(split_identifiers("\"a"), None);
        assert_eq!(split_qualified("Public.\"T\"").unwrap(), ["public", "T"]);
        assert_eq!(split_qualified("a b"), None);
    }

    #[test]
    fn encodings() {
        assert_eq!(client_encoding("'utf-8'").unwrap(), "UTF8");
        assert_eq!(client_encoding("LATIN1").unwrap_err().state(), "0A000");
        assert_eq!(client_encoding("klingon").unwrap_err().state(), "22023");
    }
}
