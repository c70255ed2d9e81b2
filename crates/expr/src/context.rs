//! What an expression is evaluated under: parameters, the statement's time, the session's settings, and
//! the way to ask the session for what only it knows.

use crate::datetime::{DateStyle, IntervalStyle, TimeZone};
use crate::{Datum, EvalError, EvalResult, FunctionId, SqlType, functions, types};

/// Cheap to make: all parts are borrowed.
#[derive(Clone, Copy)]
pub struct EvalContext<'a> {
    /// `$1`, `$2`, … and the slots that enclosing queries fill ([`crate::Expr::Param`]).
    pub params: &'a [Datum],
    /// `statement_timestamp()`: microseconds of UTC since 2000-01-01.
    pub statement_time: i64,
    /// `now()`, `current_date`, …: when the transaction began.
    pub transaction_time: i64,
    pub settings: &'a Settings,
    pub environment: &'a dyn Environment,
}

/// The settings that results depend on; they travel with push-down programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub time_zone: TimeZone,
    pub date_style: DateStyle,
    pub interval_style: IntervalStyle,
    pub bytea_output: ByteaOutput,
    /// Above 0 floating point is written with the fewest digits that read back to the same value; from 0
    /// down with 15 (6 for real) and so many digits.
    pub extra_float_digits: i32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            time_zone: TimeZone::utc(),
            date_style: DateStyle::default(),
            interval_style: IntervalStyle::default(),
            bytea_output: ByteaOutput::Hex,
            extra_float_digits: 1,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ByteaOutput {
    #[default]
    Hex,
    Escape,
}

/// The session behind an expression: the catalog, sequences, random numbers. Push-down programs have none
/// ([`NoEnvironment`]); the planner does not push down what needs it.
pub trait Environment: Send + Sync {
    /// A function that is not native to this crate (`current_user`, `pg_get_expr`, `nextval` …).
    fn call(&self, function: FunctionId, args: &[&Datum], ctx: &EvalContext<'_>) -> EvalResult<Datum> {
        let _ = (args, ctx);
        let name = functions::by_id(function).map_or("?", |entry| entry.name);
        Err(EvalError::new("0A000", format!("function {name} is not supported")))
    }

    /// The OID that a name stands for in one of the reg* types; `None` where there is none. Names of
    /// built-in types and functions need not be asked for.
    fn oid_of_name(&self, kind: SqlType, name: &str) -> EvalResult<Option<u32>> {
        let _ = (kind, name);
        Ok(None)
    }

    /// The text form of an OID in one of the reg* types, quoted and qualified as needed.
    fn name_of_oid(&self, kind: SqlType, oid: u32) -> Option<String> {
        let _ = (kind, oid);
        None
    }

    /// As [`types::format_type`], with the types that users made.
    fn format_type(&self, ty: SqlType) -> String {
        types::format_type(ty.oid, Some(ty.typmod))
    }

    /// A uniformly random number, for `random()` and `gen_random_uuid()`.
    fn random_u64(&self) -> EvalResult<u64> {
        Err(EvalError::new("0A000", "random numbers are not available here"))
    }

    /// `clock_timestamp()`: the time now, in microseconds of UTC since 2000-01-01.
    fn clock_time(&self, ctx: &EvalContext<'_>) -> i64 {
        ctx.statement_time
    }
}

/// Knows nothing of any session.
pub struct NoEnvironment;

impl Environment for NoEnvironment {}

static DEFAULT_SETTINGS: std::sync::LazyLock<Settings> = std::sync::LazyLock::new(Settings::default);

impl<'a> EvalContext<'a> {
    pub fn new(settings: &'a Settings, environment: &'a dyn Environment) -> EvalContext<'a> {
        EvalContext { params: &[], statement_time: 0, transaction_time: 0, settings, environment }
    }

    /// Default settings, no session: for constants in plans and for tests.
    pub fn detached() -> EvalContext<'static> {
        EvalContext::new(&DEFAULT_SETTINGS, &NoEnvironment)
    }

    pub fn with_params(self, params: &'a [Datum]) -> EvalContext<'a> {
        EvalContext { params, ..self }
    }

    pub fn with_times(self, statement_time: i64, transaction_time: i64) -> EvalContext<'a> {
        EvalContext { statement_time, transaction_time, ..self }
    }
}
