//! Functions that only a session can answer: who it is, its settings, sequences, the catalog.
//!
//! Evaluation never waits; what a function has to wait for it asks for here. [`Functions::answer`] does it, between two
//! evaluations of the same expression, and keeps the answers in the order they were asked for: the expression, evaluated
//! again, finds them in that order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use expr::{Datum, Environment, EvalContext, EvalError, EvalResult, FunctionId, Oid, SqlState, SqlType, functions};
use parking_lot::Mutex;

use super::Server;
use super::advisory::{LockName, Scope, Wanted};
use super::block::warning;
use super::state::SessionState;
use super::{neighbours, sequence};
use crate::catalog::{Catalog, SearchPath};
use crate::exec::Context;
use crate::{SqlError, SqlResult};

/// The session behind one statement.
pub(crate) struct Functions {
    pub server: Arc<Server>,
    pub state: Arc<SessionState>,
    pub catalog: Arc<Catalog>,
    path: OnceLock<SearchPath>,
    /// Rows that are about to be computed: how many numbers to draw from a sequence at once.
    rows_ahead: AtomicUsize,
    /// Something was asked since answers were last forgotten.
    has_asked: AtomicBool,
    asks: Mutex<Asks>,
}

#[derive(Default)]
struct Asks {
    /// What an evaluation stopped for.
    waiting: Option<Ask>,
    answers: Vec<Datum>,
    /// Answers that this evaluation has used.
    used: usize,
    /// Numbers drawn ahead.
    drawn: BTreeMap<Oid, VecDeque<i64>>,
}

/// Something that takes time.
#[derive(Clone, Debug)]
enum Ask {
    NextValue(Oid),
    SetValue {
        sequence: Oid,
        value: i64,
        is_called: bool,
    },
    Sleep(Duration),
    /// The sessions that this one waits for.
    Blockers(u32),
    AdvisoryLock(Wanted),
    AdvisoryUnlock {
        name: LockName,
        is_shared: bool,
    },
    AdvisoryUnlockAll,
}

/// The state of the error that stops an evaluation; never seen outside.
const WAITING: SqlState = SqlState::new("CWAIT");

impl Functions {
    pub fn new(server: Arc<Server>, state: Arc<SessionState>, catalog: Arc<Catalog>) -> Functions {
        Functions {
            server,
            state,
            catalog,
            path: OnceLock::new(),
            rows_ahead: AtomicUsize::new(1),
            has_asked: AtomicBool::new(false),
            asks: Mutex::default(),
        }
    }

    /// Where unqualified names are looked for.
    pub fn path(&self) -> &SearchPath {
        self.path.get_or_init(|| {
            let active = self.state.active();
            self.catalog.search_path(self.state.database.oid, &self.state.role().name, &active.search_path)
        })
    }

    /// So many rows are about to be computed with the same expressions.
    pub fn expect_rows(&self, rows: usize) {
        self.rows_ahead.store(rows, Ordering::Relaxed);
    }

    pub fn has_asked(&self) -> bool {
        self.has_asked.load(Ordering::Relaxed)
    }

    pub fn is_waiting(&self, error: &EvalError) -> bool {
        error.0.state == WAITING
    }

    /// The expression is through.
    pub fn forget_answers(&self) {
        let asks = &mut *self.asks.lock();
        asks.answers.clear();
        asks.used = 0;
        asks.waiting = None;
        self.has_asked.store(false, Ordering::Relaxed);
    }

    /// Does what the evaluation stopped for.
    pub async fn answer(&self, ctx: &Context) -> SqlResult<()> {
        let ask = self.asks.lock().waiting.take();
        let Some(ask) = ask else { return Err(SqlError::new("XX000", "an evaluation stopped and asked for nothing")) };
        let answer = match ask {
            Ask::Sleep(duration) => {
                ctx.shared.env.sleep(duration).await;
                Datum::text("")
            }
            Ask::Blockers(session) => int4_array(Box::pin(neighbours::blockers(self.server.views(), session)).await?),
            Ask::AdvisoryLock(wanted) => {
                let timeout = self.state.active().lock_timeout;
                Datum::Bool(Box::pin(self.state.advisory.lock(&self.server, wanted, timeout, self.state.txn())).await?)
            }
            Ask::AdvisoryUnlock { name, is_shared } => {
                let had = Box::pin(self.state.advisory.unlock(&self.server, name, is_shared)).await?;
                if !had {
                    let mode = if is_shared { "ShareLock" } else { "ExclusiveLock" };
                    self.state.notice(warning("01000", format!("you don't own a lock of type {mode}")));
                }
                Datum::Bool(had)
            }
            Ask::AdvisoryUnlockAll => {
                self.state.advisory.unlock_all(&self.server).await?;
                Datum::text("")
            }
            Ask::NextValue(sequence) => Datum::Int8(self.draw(sequence).await?),
            Ask::SetValue { sequence, value, is_called } => {
                sequence::set(&self.server, &self.catalog, sequence, value, is_called).await?;
                if is_called {
                    self.state.drew(sequence, value);
                }
                Datum::Int8(value)
            }
        };
        let asks = &mut *self.asks.lock();
        asks.answers.push(answer);
        asks.used = 0;
        Ok(())
    }

    async fn draw(&self, sequence: Oid) -> SqlResult<i64> {
        let ahead = self.asks.lock().drawn.get_mut(&sequence).and_then(VecDeque::pop_front);
        let value = match ahead {
            Some(value) => value,
            None => {
                let count = self.rows_ahead.load(Ordering::Relaxed).max(1) as u64;
                let mut values = sequence::draw(&self.server, &self.catalog, sequence, count).await?;
                let first = values.pop_front();
                self.asks.lock().drawn.insert(sequence, values);
                first.ok_or_else(|| SqlError::new("XX000", "a sequence gave no number"))?
            }
        };
        self.state.drew(sequence, value);
        Ok(value)
    }

    /// The answer, or the error that stops the evaluation until it is there.
    fn ask(&self, ask: Ask) -> EvalResult<Datum> {
        self.has_asked.store(true, Ordering::Relaxed);
        let asks = &mut *self.asks.lock();
        if let Some(answer) = asks.answers.get(asks.used) {
            asks.used += 1;
            return Ok(answer.clone());
        }
        asks.waiting = Some(ask);
        let mut error = EvalError::new("XX000", "this function cannot be used here");
        error.0.state = WAITING;
        Err(error)
    }

    /// `pg_[try_]advisory_[xact_]lock[_shared]`, `pg_advisory_unlock[_shared]`, with one number or two.
    fn advisory(&self, source: &str, args: &[&Datum]) -> EvalResult<Datum> {
        if source == "pg_advisory_unlock_all" {
            return self.ask(Ask::AdvisoryUnlockAll);
        }
        let (is_pair, number) = match args {
            [high, low] => (true, u64::from(integer(high) as u32) << 32 | u64::from(integer(low) as u32)),
            _ => (false, integer(args[0]) as u64),
        };
        let name = LockName { database: self.state.database.oid, is_pair, number };
        let is_shared = source.contains("_shared_");
        if source.starts_with("pg_advisory_unlock") {
            return self.ask(Ask::AdvisoryUnlock { name, is_shared });
        }
        let scope = if source.contains("_xact_") { Scope::Transaction } else { Scope::Session };
        let wait = !source.starts_with("pg_try_");
        let got = self.ask(Ask::AdvisoryLock(Wanted { name, is_shared, scope, wait }))?;
        Ok(if wait { Datum::text("") } else { got })
    }

    /// The rows of a set-returning function that only a session can answer.
    pub fn call_set(&self, function: FunctionId, args: &[&Datum]) -> SqlResult<Vec<expr::Row>> {
        let name = functions::by_id(function).map_or("", |entry| entry.name);
        if functions::by_id(function).is_some_and(|entry| entry.strict) && args.iter().any(|arg| arg.is_null()) {
            return Ok(Vec::new());
        }
        Err(SqlError::not_supported(format!("function {name}")))
    }

    fn sequence_named(&self, oid: u32) -> EvalResult<Oid> {
        let oid = Oid(oid);
        match self.catalog.table(oid) {
            Some(table) if matches!(table.kind, crate::catalog::RelationKind::Sequence(_)) => Ok(oid),
            Some(table) => Err(EvalError::new("42809", format!("\"{}\" is not a sequence", table.name))),
            None => Err(EvalError::new("42P01", format!("relation with OID {oid} does not exist"))),
        }
    }

    fn sequence_name(&self, oid: Oid) -> String {
        self.catalog.table(oid).map_or_else(|| oid.to_string(), |table| table.name.clone())
    }

    fn currval(&self, oid: u32) -> EvalResult<Datum> {
        let sequence = self.sequence_named(oid)?;
        self.state.currval(sequence).map(Datum::Int8).ok_or_else(|| {
            let name = self.sequence_name(sequence);
            EvalError::new("55000", format!("currval of sequence \"{name}\" is not yet defined in this session"))
        })
    }

    fn current_setting(&self, name: &str, missing_ok: bool) -> EvalResult<Datum> {
        match self.state.settings(|settings| settings.show(name)) {
            Ok(value) => Ok(Datum::text(value)),
            Err(_) if missing_ok => Ok(Datum::Null),
            Err(error) => Err(EvalError::new("42704", error.0.message)),
        }
    }

    fn set_config(&self, name: &str, value: &str, local: bool) -> EvalResult<Datum> {
        let set = self.state.settings(|settings| {
            settings.set(name, value, local)?;
            settings.show(name)
        });
        set.map(Datum::text).map_err(|error| {
            let mut out = EvalError::new("XX000", error.0.message);
            (out.0.state, out.0.detail, out.0.hint) = (error.0.state, error.0.detail, error.0.hint);
            out
        })
    }
}

pub(super) fn text(value: &Datum) -> &str {
    match value {
        Datum::Text(text) => text,
        _ => "",
    }
}

pub(super) fn integer(value: &Datum) -> i64 {
    match value {
        Datum::Int2(value) => i64::from(*value),
        Datum::Int4(value) => i64::from(*value),
        Datum::Int8(value) => *value,
        Datum::Oid(value) => i64::from(*value),
        _ => 0,
    }
}

pub(super) fn oid(value: &Datum) -> u32 {
    u32::try_from(integer(value)).unwrap_or(0)
}

pub(super) fn flag(value: Option<&&Datum>, default: bool) -> bool {
    match value {
        Some(Datum::Bool(value)) => *value,
        _ => default,
    }
}

fn int4_array(list: Vec<u32>) -> Datum {
    let elements: Vec<Datum> = list.into_iter().map(|value| Datum::Int4(value as i32)).collect();
    let dimensions = if elements.is_empty() { Vec::new() } else { vec![(elements.len() as i32, 1)] };
    Datum::Array(Arc::new(expr::ArrayValue { element: SqlType::INT4, dimensions, elements }))
}

fn elements(value: &Datum) -> &[Datum] {
    match value {
        Datum::Array(array) => &array.elements,
        _ => &[],
    }
}

fn names(list: Vec<String>) -> Datum {
    let elements: Vec<Datum> = list.into_iter().map(Datum::text).collect();
    let dimensions = if elements.is_empty() { Vec::new() } else { vec![(elements.len() as i32, 1)] };
    Datum::Array(Arc::new(expr::ArrayValue { element: SqlType::NAME, dimensions, elements }))
}

impl Environment for Functions {
    fn call(&self, function: FunctionId, args: &[&Datum], _ctx: &EvalContext<'_>) -> EvalResult<Datum> {
        let Some(entry) = functions::by_id(function) else {
            return Err(EvalError::new("42883", format!("function with OID {} does not exist", function.0)));
        };
        if entry.strict && args.iter().any(|arg| arg.is_null()) {
            return Ok(Datum::Null);
        }
        let schema = |schema: &Oid| self.catalog.schema_by_oid(*schema).map(|schema| schema.name.clone());
        Ok(match entry.source {
            "current_user" => Datum::text(&*self.state.role().name),
            "session_user" => Datum::text(&*self.state.user.name),
            "current_database" => Datum::text(&*self.state.database.name),
            "current_schema" => match self.path().creation().as_ref().and_then(schema) {
                Some(name) => Datum::text(name),
                None => Datum::Null,
            },
            "current_schemas" => {
                let list = if flag(args.first(), false) { &self.path().schemas[..] } else { self.path().explicit() };
                names(list.iter().filter_map(schema).collect())
            }
            "pgsql_version" => Datum::text(format!(
                "PostgreSQL 15.0 (Cairn {}) on {}-{}, distributed",
                self.server.config.version,
                std::env::consts::ARCH,
                std::env::consts::OS
            )),
            "pg_backend_pid" => Datum::Int4(self.state.id as i32),
            "show_config_by_name" => self.current_setting(text(args[0]), false)?,
            "show_config_by_name_missing_ok" => self.current_setting(text(args[0]), flag(args.get(1), false))?,
            "set_config_by_name" => self.set_config(text(args[0]), text(args[1]), flag(args.get(2), false))?,
            "nextval_oid" => self.ask(Ask::NextValue(self.sequence_named(oid(args[0]))?))?,
            "currval_oid" => self.currval(oid(args[0]))?,
            "lastval" => match self.state.lastval() {
                Some(value) => Datum::Int8(value),
                None => return Err(EvalError::new("55000", "lastval is not yet defined in this session")),
            },
            "setval_oid" | "setval3_oid" => {
                let sequence = self.sequence_named(oid(args[0]))?;
                let is_called = flag(args.get(2), true);
                self.ask(Ask::SetValue { sequence, value: integer(args[1]), is_called })?
            }
            "pg_sleep" => {
                let seconds = match args[0] {
                    Datum::Float8(seconds) => seconds.clamp(0.0, 1e9),
                    _ => 0.0,
                };
                self.ask(Ask::Sleep(Duration::from_secs_f64(seconds)))?
            }
            // Not strict: without a payload it is empty.
            "pg_notify" => {
                self.state.notify(text(args[0]), text(args[1]));
                Datum::text("")
            }
            "pg_notification_queue_usage" => Datum::Float8(self.server.channels.usage()),
            "pg_blocking_pids" => self.ask(Ask::Blockers(oid(args[0])))?,
            // Isolation tests ask whether one session waits for one of some others.
            "pg_isolation_test_session_is_blocked" => {
                let blockers = self.ask(Ask::Blockers(oid(args[0])))?;
                let others: Vec<i64> = elements(args[1]).iter().map(integer).collect();
                Datum::Bool(elements(&blockers).iter().any(|blocker| others.contains(&integer(blocker))))
            }
            source if source.starts_with("pg_advisory_") || source.starts_with("pg_try_advisory_") => {
                self.advisory(source, args)?
            }
            "pg_is_in_recovery" => Datum::Bool(false),
            "inet_client_addr" | "inet_server_addr" | "inet_server_port" => Datum::Null,
            "inet_client_port" => match self.state.client_address {
                Some(address) => Datum::Int4(i32::from(address.port())),
                None => Datum::Null,
            },
            source => match self.call_catalog(source, args)? {
                Some(value) => value,
                None => return Err(EvalError::new("0A000", format!("function {} is not supported", entry.name))),
            },
        })
    }

    fn oid_of_name(&self, kind: SqlType, name: &str) -> EvalResult<Option<u32>> {
        let Some(parts) = super::settings::split_qualified(name) else {
            return Err(EvalError::new("42602", format!("invalid name syntax: \"{name}\"")));
        };
        let (schema, last) = match &parts[..] {
            [name] => (None, name.as_str()),
            [schema, name] => (Some(schema.as_str()), name.as_str()),
            [database, schema, name] if **database == *self.state.database.name => {
                (Some(schema.as_str()), name.as_str())
            }
            _ => return Ok(None),
        };
        Ok(match kind {
            SqlType::REGCLASS => match self.catalog.resolve_name(self.path(), schema, last) {
                Some(crate::catalog::Named::Relation(oid)) => Some(oid.0),
                Some(crate::catalog::Named::Index { oid, .. }) => Some(oid.0),
                None => None,
            },
            SqlType::REGNAMESPACE => self.catalog.schema(self.state.database.oid, last).map(|schema| schema.oid.0),
            SqlType::REGROLE => self.catalog.role(last).map(|role| role.oid.0),
            _ => None,
        })
    }

    fn name_of_oid(&self, kind: SqlType, oid: u32) -> Option<String> {
        let oid = Oid(oid);
        let quote = super::settings::quote_identifier;
        match kind {
            SqlType::REGCLASS => {
                let (schema, name) = match self.catalog.table(oid) {
                    Some(table) => (table.schema, table.name.as_str()),
                    None => {
                        let (table, index) = self.catalog.index(oid)?;
                        (table.schema, index.name.as_str())
                    }
                };
                if self.catalog.is_visible(self.path(), schema, name) {
                    return Some(quote(name));
                }
                let schema = self.catalog.schema_by_oid(schema)?;
                Some(format!("{}.{}", quote(&schema.name), quote(name)))
            }
            SqlType::REGNAMESPACE => self.catalog.schema_by_oid(oid).map(|schema| quote(&schema.name)),
            SqlType::REGROLE => self.catalog.role_by_oid(oid).map(|role| quote(&role.name)),
            _ => None,
        }
    }

    fn random_u64(&self) -> EvalResult<u64> {
        Ok(self.server.config.env.random_u64())
    }

    fn clock_time(&self, _ctx: &EvalContext<'_>) -> i64 {
        self.server.now_micros()
    }
}
