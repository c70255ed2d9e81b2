//! A session's settings: PostgreSQL's run-time parameters with their transaction semantics.
//!
//! Two layers lie over the defaults: what the session set, and what `SET LOCAL` set in this transaction. Both are small
//! maps behind an `Arc`, so that a savepoint is a clone of two pointers, a roll-back puts them back, and a commit drops the
//! upper one. What statements look at all the time is kept decoded in [`Active`].

mod check;
mod definition;
mod value;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use check::{split_identifiers, split_qualified};
pub(crate) use definition::{Definition, Kind, SettingId, definitions, find};
use expr::{ByteaOutput, DateStyle, IntervalStyle, TimeZone};
pub(crate) use value::Value;

use crate::parse::ast::{IsolationLevel, SettingValue};
use crate::{SqlError, SqlResult};

pub(crate) struct Settings {
    /// What RESET goes back to where it is not the built-in default: the start-up message, the server.
    start: BTreeMap<SettingId, Value>,
    layers: Layers,
    active: Arc<Active>,
    /// Raised by each change; clients are told of reported settings when it moved.
    generation: u64,
}

/// What a savepoint keeps.
#[derive(Clone, Default)]
pub(crate) struct Layers {
    session: Arc<Layer>,
    local: Arc<Layer>,
}

#[derive(Clone, Default)]
struct Layer {
    known: BTreeMap<SettingId, Value>,
    /// Names with a dot, which are the client's own (`myapp.user`).
    custom: BTreeMap<String, Arc<str>>,
}

impl Layer {
    fn is_empty(&self) -> bool {
        self.known.is_empty() && self.custom.is_empty()
    }
}

/// The settings that are looked at in every statement, decoded.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    pub statement_timeout: Option<Duration>,
    pub lock_timeout: Option<Duration>,
    pub idle_in_transaction: Option<Duration>,
    pub idle_session: Option<Duration>,
    pub default_isolation: IsolationLevel,
    pub default_read_only: bool,
    pub default_deferrable: bool,
    /// As `SET search_path` gave it, `$user` not yet replaced.
    pub search_path: Vec<String>,
    /// What values look like.
    pub eval: expr::Settings,
    /// Notices of this rank and above reach the client.
    pub notice_rank: u8,
}

impl Settings {
    /// Before the start-up message: built-in defaults, and what the server fixes (`server_version` …).
    pub fn new(fixed: &[(&str, &str)]) -> Settings {
        let mut start = BTreeMap::new();
        for (name, text) in fixed {
            let id = SettingId::of(name);
            let value = Value::parse(id.definition(), text);
            start.insert(id, value.unwrap_or_else(|error| unreachable!("the server's own {name}: {error}")));
        }
        let mut settings =
            Settings { start, layers: Layers::default(), active: Arc::new(Active::defaults()), generation: 0 };
        settings.refresh();
        settings
    }

    /// A parameter of the start-up message: what RESET goes back to.
    pub fn set_at_start(&mut self, name: &str, text: &str) -> SqlResult<()> {
        let Some(id) = definition::find(name) else {
            check_custom(name)?;
            Arc::make_mut(&mut self.layers.session).custom.insert(name.to_ascii_lowercase(), text.into());
            return Ok(());
        };
        let definition = id.definition();
        check::may_set(definition, true)?;
        let value = check::canonical(definition, Value::parse(definition, text)?, self.get(id))?;
        self.start.insert(id, value);
        self.refresh();
        Ok(())
    }

    /// `SET [LOCAL] name = text` and `set_config`. 42704 for a name that is none.
    pub fn set(&mut self, name: &str, text: &str, local: bool) -> SqlResult<()> {
        let Some(id) = definition::find(name) else {
            check_custom(name)?;
            self.put_custom(name, text, local);
            return Ok(());
        };
        let definition = id.definition();
        check::may_set(definition, false)?;
        let value = check::canonical(definition, Value::parse(definition, text)?, self.get(id))?;
        self.put(id, Some(value), local);
        Ok(())
    }

    /// `SET name TO DEFAULT`, `RESET name`.
    pub fn reset(&mut self, name: &str, local: bool) -> SqlResult<()> {
        let Some(id) = definition::find(name) else {
            check_custom(name)?;
            for layer in [&mut self.layers.local, &mut self.layers.session] {
                Arc::make_mut(layer).custom.remove(&name.to_ascii_lowercase());
            }
            return Ok(());
        };
        check::may_set(id.definition(), false)?;
        let value = local.then(|| self.default_of(id).clone());
        self.put(id, value, local);
        Ok(())
    }

    /// RESET ALL. What belongs to the transaction or to the identity of the session stays.
    pub fn reset_all(&mut self) {
        const KEPT: [&str; 7] = [
            "transaction_isolation",
            "transaction_read_only",
            "transaction_deferrable",
            "session_authorization",
            "role",
            "is_superuser",
            "seed",
        ];
        let is_kept = |id: &SettingId| KEPT.contains(&id.definition().name);
        for layer in [&mut self.layers.local, &mut self.layers.session] {
            let layer = Arc::make_mut(layer);
            layer.known.retain(|id, _| is_kept(id));
            layer.custom.clear();
        }
        self.refresh();
    }

    /// SET SESSION AUTHORIZATION DEFAULT and what belongs to it.
    pub fn reset_identity(&mut self, user: &Arc<str>) {
        for (name, value) in [("session_authorization", user.clone()), ("role", "none".into())] {
            self.put(SettingId::of(name), Some(Value::Text(value)), false);
        }
    }

    /// What the server itself changes: `session_authorization`, `transaction_read_only`, …
    pub fn put(&mut self, id: SettingId, value: Option<Value>, local: bool) {
        let Layers { session, local: upper } = &mut self.layers;
        if local {
            let value = value.unwrap_or_else(|| unreachable!("a local value hides, it does not remove"));
            Arc::make_mut(upper).known.insert(id, value);
        } else {
            if upper.known.contains_key(&id) {
                Arc::make_mut(upper).known.remove(&id);
            }
            match value {
                Some(value) => Arc::make_mut(session).known.insert(id, value),
                None => Arc::make_mut(session).known.remove(&id),
            };
        }
        self.refresh();
    }

    fn put_custom(&mut self, name: &str, text: &str, local: bool) {
        let name = name.to_ascii_lowercase();
        if local {
            Arc::make_mut(&mut self.layers.local).custom.insert(name, text.into());
        } else {
            Arc::make_mut(&mut self.layers.local).custom.remove(&name);
            Arc::make_mut(&mut self.layers.session).custom.insert(name, text.into());
        }
        self.generation += 1;
    }

    pub fn get(&self, id: SettingId) -> &Value {
        let layers = [&self.layers.local, &self.layers.session];
        layers.into_iter().find_map(|layer| layer.known.get(&id)).unwrap_or_else(|| self.default_of(id))
    }

    /// What RESET would set.
    pub fn default_of(&self, id: SettingId) -> &Value {
        self.start.get(&id).unwrap_or_else(|| &built_in()[usize::from(id.0)])
    }

    /// SHOW. 42704 for a name that is none.
    pub fn show(&self, name: &str) -> SqlResult<String> {
        match definition::find(name) {
            Some(id) => Ok(self.get(id).show(id.definition())),
            None => self.custom(name).map(|text| text.to_string()).ok_or_else(|| unrecognized(name)),
        }
    }

    pub fn custom(&self, name: &str) -> Option<&Arc<str>> {
        let lower = name.to_ascii_lowercase();
        self.layers.local.custom.get(&lower).or_else(|| self.layers.session.custom.get(&lower))
    }

    pub fn active(&self) -> &Arc<Active> {
        &self.active
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Settings that ParameterStatus reports, with their values.
    pub fn reported(&self) -> impl Iterator<Item = (SettingId, &'static str, String)> + '_ {
        definitions().iter().enumerate().filter(|(_, definition)| definition.report).map(|(at, definition)| {
            let id = SettingId(at as u16);
            (id, definition.name, self.get(id).show(definition))
        })
    }

    // ---- transactions ----

    pub fn mark(&self) -> Layers {
        self.layers.clone()
    }

    /// Back to a savepoint, or to the transaction's begin.
    pub fn restore(&mut self, mark: Layers) {
        let unchanged =
            Arc::ptr_eq(&mark.session, &self.layers.session) && Arc::ptr_eq(&mark.local, &self.layers.local);
        if !unchanged {
            self.layers = mark;
            self.refresh();
        }
    }

    /// The transaction has ended well: what was local to it goes.
    pub fn end_transaction(&mut self) {
        if !self.layers.local.is_empty() {
            self.layers.local = Arc::default();
            self.refresh();
        }
    }

    fn refresh(&mut self) {
        self.generation += 1;
        self.active = Arc::new(Active::of(self));
    }
}

/// The text that SET hands to a setting's own grammar.
pub(crate) fn set_text(name: &str, values: &[SettingValue]) -> SqlResult<String> {
    let is_list = definition::find(name).is_some_and(|id| id.definition().list);
    if values.len() > 1 && !is_list {
        return Err(SqlError::new("22023", format!("SET {name} takes only one argument")));
    }
    let quotes = is_list && !name.eq_ignore_ascii_case("datestyle");
    let text = |value: &SettingValue| match value {
        SettingValue::Word(text) | SettingValue::Text(text) if quotes => quote_identifier(text),
        value => value.to_text(),
    };
    Ok(values.iter().map(text).collect::<Vec<_>>().join(", "))
}

/// With quotes unless it reads the same without.
pub(crate) fn quote_identifier(name: &str) -> String {
    let mut chars = name.chars();
    let plain =
        matches!(chars.next(), Some('a'..='z' | '_')) && chars.all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'));
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

pub(crate) fn unrecognized(name: &str) -> SqlError {
    SqlError::new("42704", format!("unrecognized configuration parameter \"{name}\""))
}

/// A name of the client's own has two parts at least, each an identifier.
fn check_custom(name: &str) -> SqlResult<()> {
    if !name.contains('.') {
        return Err(unrecognized(name));
    }
    let is_part = |part: &str| {
        let mut chars = part.chars();
        chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && chars.all(|c| c.is_alphanumeric() || matches!(c, '_' | '$'))
    };
    if name.split('.').all(is_part) {
        return Ok(());
    }
    Err(SqlError::new("42602", format!("invalid configuration parameter name \"{name}\""))
        .with_detail("Custom parameter names must be two or more simple identifiers separated by dots."))
}

fn built_in() -> &'static [Value] {
    static VALUES: std::sync::LazyLock<Vec<Value>> = std::sync::LazyLock::new(|| {
        let parse = |definition: &Definition| match Value::parse(definition, definition.boot) {
            Ok(value) => value,
            Err(error) => unreachable!("the default of {}: {error}", definition.name),
        };
        definitions().iter().map(parse).collect()
    });
    &VALUES
}

/// Ids of the settings that [`Active`] decodes, looked up once.
struct Ids {
    statement_timeout: SettingId,
    lock_timeout: SettingId,
    idle_in_transaction: SettingId,
    idle_session: SettingId,
    default_isolation: SettingId,
    default_read_only: SettingId,
    default_deferrable: SettingId,
    search_path: SettingId,
    time_zone: SettingId,
    date_style: SettingId,
    interval_style: SettingId,
    bytea_output: SettingId,
    extra_float_digits: SettingId,
    client_min_messages: SettingId,
}

static IDS: std::sync::LazyLock<Ids> = std::sync::LazyLock::new(|| Ids {
    statement_timeout: SettingId::of("statement_timeout"),
    lock_timeout: SettingId::of("lock_timeout"),
    idle_in_transaction: SettingId::of("idle_in_transaction_session_timeout"),
    idle_session: SettingId::of("idle_session_timeout"),
    default_isolation: SettingId::of("default_transaction_isolation"),
    default_read_only: SettingId::of("default_transaction_read_only"),
    default_deferrable: SettingId::of("default_transaction_deferrable"),
    search_path: SettingId::of("search_path"),
    time_zone: SettingId::of("TimeZone"),
    date_style: SettingId::of("DateStyle"),
    interval_style: SettingId::of("IntervalStyle"),
    bytea_output: SettingId::of("bytea_output"),
    extra_float_digits: SettingId::of("extra_float_digits"),
    client_min_messages: SettingId::of("client_min_messages"),
});

impl Active {
    fn defaults() -> Active {
        Active {
            statement_timeout: None,
            lock_timeout: None,
            idle_in_transaction: None,
            idle_session: None,
            default_isolation: IsolationLevel::Serializable,
            default_read_only: false,
            default_deferrable: false,
            search_path: Vec::new(),
            eval: expr::Settings::default(),
            notice_rank: rank("notice"),
        }
    }

    fn of(settings: &Settings) -> Active {
        let text = |id| match settings.get(id) {
            Value::Text(text) => text.clone(),
            other => unreachable!("a text, not {other:?}"),
        };
        let number = |id| match settings.get(id) {
            Value::Integer(value) => *value,
            other => unreachable!("an integer, not {other:?}"),
        };
        let flag = |id| *settings.get(id) == Value::Bool(true);
        let limit = |id| Some(number(id)).filter(|ms| *ms > 0).map(|ms| Duration::from_millis(ms as u64));
        Active {
            statement_timeout: limit(IDS.statement_timeout),
            lock_timeout: limit(IDS.lock_timeout),
            idle_in_transaction: limit(IDS.idle_in_transaction),
            idle_session: limit(IDS.idle_session),
            default_isolation: isolation(&text(IDS.default_isolation)),
            default_read_only: flag(IDS.default_read_only),
            default_deferrable: flag(IDS.default_deferrable),
            search_path: split_identifiers(&text(IDS.search_path)).unwrap_or_default(),
            eval: expr::Settings {
                time_zone: TimeZone::from_setting(&text(IDS.time_zone)).unwrap_or_else(|_| TimeZone::utc()),
                date_style: DateStyle::default().parse(&text(IDS.date_style)).unwrap_or_default(),
                interval_style: IntervalStyle::parse(&text(IDS.interval_style)).unwrap_or_default(),
                bytea_output: match &*text(IDS.bytea_output) {
                    "escape" => ByteaOutput::Escape,
                    _ => ByteaOutput::Hex,
                },
                extra_float_digits: number(IDS.extra_float_digits) as i32,
            },
            notice_rank: rank(&text(IDS.client_min_messages)),
        }
    }
}

/// Of a notice's severity, or of `client_min_messages`.
pub(crate) fn rank(severity: &str) -> u8 {
    match severity.to_ascii_lowercase().as_str() {
        "debug5" => 0,
        "debug4" => 1,
        "debug3" => 2,
        "debug2" => 3,
        "debug1" | "debug" => 4,
        "log" => 5,
        "notice" => 6,
        "warning" => 7,
        "error" => 8,
        // INFO always reaches the client.
        _ => u8::MAX,
    }
}

pub(crate) fn isolation(text: &str) -> IsolationLevel {
    match text {
        "read uncommitted" => IsolationLevel::ReadUncommitted,
        "read committed" => IsolationLevel::ReadCommitted,
        "repeatable read" => IsolationLevel::RepeatableRead,
        _ => IsolationLevel::Serializable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new(&[("server_version", "15.0 (Cairn 0)")])
    }

    #[test]
    fn local_values_go_with_their_transaction() {
        let mut s = settings();
        s.set("work_mem", "8MB", false).unwrap();
        let begin = s.mark();
        s.set("work_mem", "16MB", true).unwrap();
        s.set("myapp.user", "7", true).unwrap();
        assert_eq!((s.show("work_mem").unwrap(), s.show("myapp.user").unwrap()), ("16MB".into(), "7".into()));
        s.end_transaction();
        assert_eq!(s.show("work_mem").unwrap(), "8MB");
        assert_eq!(s.show("myapp.user").unwrap_err().state(), "42704");
        s.set("work_mem", "32MB", false).unwrap();
        s.restore(begin);
        assert_eq!(s.show("WORK_MEM").unwrap(), "8MB", "a roll-back undoes SET");
    }

    #[test]
    fn set_after_set_local_wins() {
        let mut s = settings();
        s.set("statement_timeout", "1s", true).unwrap();
        s.set("statement_timeout", "2s", false).unwrap();
        assert_eq!(s.active().statement_timeout, Some(Duration::from_secs(2)));
        s.end_transaction();
        assert_eq!(s.show("statement_timeout").unwrap(), "2s");
    }

    #[test]
    fn reset_goes_back_to_the_start_up_message() {
        let mut s = settings();
        s.set_at_start("DateStyle", "ISO, DMY").unwrap();
        s.set("datestyle", "German", false).unwrap();
        assert_eq!(s.show("DateStyle").unwrap(), "German, DMY");
        s.reset("datestyle", false).unwrap();
        assert_eq!(s.show("DateStyle").unwrap(), "ISO, DMY");
        assert_eq!(s.set("server_version", "16", false).unwrap_err().state(), "55P02");
        assert_eq!(s.set("nonsense", "16", false).unwrap_err().state(), "42704");
    }

    #[test]
    fn lists_are_quoted_where_they_hold_names() {
        let words = [SettingValue::Text("$user".into()), SettingValue::Word("public".into())];
        assert_eq!(set_text("search_path", &words).unwrap(), "\"$user\", public");
        assert_eq!(set_text("datestyle", &[SettingValue::Text("ISO, DMY".into())]).unwrap(), "ISO, DMY");
        assert_eq!(set_text("work_mem", &words).unwrap_err().state(), "22023");
    }
}
