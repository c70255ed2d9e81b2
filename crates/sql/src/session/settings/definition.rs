//! Which settings there are: PostgreSQL 15's `pg_settings` (data/settings.tsv; facts, not texts), with our defaults.

use std::sync::LazyLock;

/// What a setting is.
#[derive(Debug)]
pub(crate) struct Definition {
    pub name: &'static str,
    pub category: &'static str,
    pub context: Context,
    pub kind: Kind,
    /// In the form `pg_settings.setting` has it: in `unit`.
    pub boot: &'static str,
    /// Its value is a list (`SET search_path = a, b`).
    pub list: bool,
    /// ParameterStatus tells clients of its changes.
    pub report: bool,
    /// Not in SHOW ALL.
    pub hidden: bool,
}

/// Position in [`definitions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SettingId(pub u16);

/// When a value may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    Internal,
    Postmaster,
    Sighup,
    SuperuserBackend,
    Backend,
    Superuser,
    User,
}

impl Context {
    pub fn sql(self) -> &'static str {
        match self {
            Context::Internal => "internal",
            Context::Postmaster => "postmaster",
            Context::Sighup => "sighup",
            Context::SuperuserBackend => "superuser-backend",
            Context::Backend => "backend",
            Context::Superuser => "superuser",
            Context::User => "user",
        }
    }
}

#[derive(Debug)]
pub(crate) enum Kind {
    Bool,
    Integer { min: i64, max: i64, unit: Unit },
    Real { min: f64, max: f64, unit: Unit },
    Text,
    Enum(Vec<&'static str>),
}

impl Kind {
    pub fn sql(&self) -> &'static str {
        match self {
            Kind::Bool => "bool",
            Kind::Integer { .. } => "integer",
            Kind::Real { .. } => "real",
            Kind::Text => "string",
            Kind::Enum(_) => "enum",
        }
    }
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    None,
    /// Units of so many bytes.
    Bytes {
        each: i64,
        name: &'static str,
    },
    /// Units of so many milliseconds.
    Time {
        each_ms: i64,
        name: &'static str,
    },
}

impl Unit {
    pub fn name(self) -> Option<&'static str> {
        match self {
            Unit::None => None,
            Unit::Bytes { name, .. } | Unit::Time { name, .. } => Some(name),
        }
    }

    fn read(name: &'static str) -> Unit {
        let bytes = |each| Unit::Bytes { each, name };
        let time = |each_ms| Unit::Time { each_ms, name };
        match name {
            "" => Unit::None,
            "B" => bytes(1),
            "kB" => bytes(1 << 10),
            "8kB" => bytes(8 << 10),
            "MB" => bytes(1 << 20),
            "ms" => time(1),
            "s" => time(1000),
            "min" => time(60_000),
            other => unreachable!("the table has no unit {other}"),
        }
    }
}

/// All, ordered by name as SHOW ALL has them.
pub(crate) fn definitions() -> &'static [Definition] {
    &DEFINITIONS
}

/// Names are compared without regard to case.
pub(crate) fn find(name: &str) -> Option<SettingId> {
    let lower = name.to_ascii_lowercase();
    let at =
        DEFINITIONS.binary_search_by(|definition| definition.name.to_ascii_lowercase().as_str().cmp(&lower)).ok()?;
    Some(SettingId(at as u16))
}

impl SettingId {
    pub fn definition(self) -> &'static Definition {
        &DEFINITIONS[usize::from(self.0)]
    }

    /// Of a setting that the table is known to have.
    pub fn of(name: &str) -> SettingId {
        find(name).unwrap_or_else(|| unreachable!("the table has the setting {name}"))
    }
}

/// The thirteen of PostgreSQL 15.
const REPORTED: [&str; 13] = [
    "application_name",
    "client_encoding",
    "DateStyle",
    "default_transaction_read_only",
    "in_hot_standby",
    "integer_datetimes",
    "IntervalStyle",
    "is_superuser",
    "server_encoding",
    "server_version",
    "session_authorization",
    "standard_conforming_strings",
    "TimeZone",
];

const HIDDEN: [&str; 4] = ["is_superuser", "role", "seed", "session_authorization"];

const LISTS: [&str; 9] = [
    "DateStyle",
    "search_path",
    "temp_tablespaces",
    "local_preload_libraries",
    "session_preload_libraries",
    "shared_preload_libraries",
    "listen_addresses",
    "unix_socket_directories",
    "log_destination",
];

static DEFINITIONS: LazyLock<Vec<Definition>> =
    LazyLock::new(|| include_str!("../../../data/settings.tsv").lines().map(read).collect());

fn read(line: &'static str) -> Definition {
    let mut fields = line.split('\t');
    let mut next = || fields.next().unwrap_or("");
    let (name, unit, category, context, kind) = (next(), Unit::read(next()), next(), next(), next());
    let (min, max, words, boot) = (next(), next(), next(), next());
    let number = |text: &str| text.parse().unwrap_or_else(|_| unreachable!("{name} has a number as a bound"));
    let kind = match kind {
        "bool" => Kind::Bool,
        "integer" => Kind::Integer { min: number(min) as i64, max: number(max) as i64, unit },
        "real" => Kind::Real { min: number(min), max: number(max), unit },
        "enum" => Kind::Enum(words.trim_matches(['{', '}']).split(',').map(|word| word.trim_matches('"')).collect()),
        _ => Kind::Text,
    };
    let context = match context {
        "internal" => Context::Internal,
        "postmaster" => Context::Postmaster,
        "sighup" => Context::Sighup,
        "superuser-backend" => Context::SuperuserBackend,
        "backend" => Context::Backend,
        "superuser" => Context::Superuser,
        _ => Context::User,
    };
    let (list, report, hidden) = (LISTS.contains(&name), REPORTED.contains(&name), HIDDEN.contains(&name));
    Definition { name, category, context, kind, boot, list, report, hidden }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_complete() {
        let names: Vec<_> = definitions().iter().map(|definition| definition.name.to_ascii_lowercase()).collect();
        assert!(names.is_sorted(), "look-ups search by halves");
        assert_eq!(definitions().iter().filter(|definition| definition.report).count(), REPORTED.len());
        assert_eq!(find("timezone"), Some(SettingId::of("TimeZone")));
        assert_eq!(find("no_such_setting"), None);
    }
}
