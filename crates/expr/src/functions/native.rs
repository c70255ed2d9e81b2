//! How a native function takes its arguments and gives its result.
//!
//! A table of a topic file is a list of `(name of PostgreSQL's internal function, code)`; the macro
//! [`scalar!`] wraps a typed closure:
//!
//! ```text
//! scalar!("int4pl", |a: i32, b: i32| a.checked_add(b).ok_or_else(|| out_of_range("integer")))
//! ```

use std::sync::{Arc, LazyLock};

use crate::{
    ArrayValue, Datum, EvalContext, EvalError, EvalResult, Expr, FunctionId, Interval, Jsonb, Numeric, SqlType,
};

/// What a function may know of its call besides the values.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub ctx: &'a EvalContext<'a>,
    pub(crate) types: ArgTypes<'a>,
    pub result: SqlType,
}

/// Where the types of the arguments stand.
#[derive(Clone, Copy)]
pub(crate) enum ArgTypes<'a> {
    Exprs(&'a [Expr]),
    Types(&'a [SqlType]),
}

impl<'a> Call<'a> {
    pub fn new(ctx: &'a EvalContext<'a>, types: &'a [SqlType], result: SqlType) -> Call<'a> {
        Call { ctx, types: ArgTypes::Types(types), result }
    }

    pub fn arg_type(&self, at: usize) -> SqlType {
        match self.types {
            ArgTypes::Exprs(exprs) => exprs.get(at).map_or(SqlType::UNKNOWN, Expr::ty),
            ArgTypes::Types(types) => types.get(at).copied().unwrap_or(SqlType::UNKNOWN),
        }
    }
}

/// Arguments are never NULL where the table says that the function is strict.
pub type ScalarFn = fn(&Call<'_>, &[&Datum]) -> EvalResult<Datum>;

/// The code behind an entry of the function table.
#[derive(Clone, Copy)]
pub struct Native {
    pub run: ScalarFn,
    pub strict: bool,
}

/// By OID, for those that are native.
static NATIVE: LazyLock<Vec<Option<Native>>> = LazyLock::new(|| {
    let mut by_source = crate::table::StaticMap::default();
    for (source, run) in super::TABLES.iter().copied().flatten().copied().flatten() {
        let earlier = by_source.insert(*source, *run);
        assert!(earlier.is_none(), "the function {source} is there twice");
    }
    let entries = super::all();
    let most = entries.iter().map(|entry| entry.id.0).max().unwrap_or(0);
    let mut by_id = vec![None; most as usize + 1];
    for entry in entries {
        if let Some(run) = by_source.get(entry.source) {
            by_id[entry.id.0 as usize] = Some(Native { run: *run, strict: entry.strict });
        }
    }
    by_id
});

/// The code of a function, if it is in this crate.
pub fn native(function: FunctionId) -> Option<&'static Native> {
    NATIVE.get(function.0 as usize)?.as_ref()
}

/// Calls a function with given values: native, or through the environment.
pub fn call(function: FunctionId, call: &Call<'_>, args: &[&Datum]) -> EvalResult<Datum> {
    match native(function) {
        Some(native) if native.strict && args.iter().any(|arg| arg.is_null()) => Ok(Datum::Null),
        Some(native) => (native.run)(call, args),
        None => call_environment(function, call, args),
    }
}

#[cold]
pub(crate) fn call_environment(function: FunctionId, call: &Call<'_>, args: &[&Datum]) -> EvalResult<Datum> {
    let strict = super::by_id(function).is_some_and(|entry| entry.strict);
    if strict && args.iter().any(|arg| arg.is_null()) {
        return Ok(Datum::Null);
    }
    call.ctx.environment.call(function, args, call.ctx)
}

pub(super) type Table = &'static [(&'static str, ScalarFn)];

/// A typed view of an argument.
pub(super) trait Take<'a>: Sized {
    fn take(datum: &'a Datum) -> EvalResult<Self>;
}

/// What a function's code may return.
pub(super) trait Give {
    fn give(self) -> EvalResult<Datum>;
}

#[cold]
pub(super) fn mismatch(wanted: &str, found: &Datum) -> EvalError {
    EvalError::new("XX000", format!("a function that takes {wanted} was given {found:?}"))
}

/// Newtypes that tell apart what has one representation.
#[derive(Clone, Copy)]
pub(super) struct Date(pub i32);
#[derive(Clone, Copy)]
pub(super) struct Time(pub i64);
#[derive(Clone, Copy)]
pub(super) struct TimeTz(pub i64, pub i32);
#[derive(Clone, Copy)]
pub(super) struct Timestamp(pub i64);
#[derive(Clone, Copy)]
pub(super) struct TimestampTz(pub i64);
#[derive(Clone, Copy)]
pub(super) struct OidArg(pub u32);

macro_rules! take {
    ($($ty:ty, $name:literal, $($pattern:pat => $value:expr),+;)*) => {
        $(impl<'a> Take<'a> for $ty {
            #[inline]
            fn take(datum: &'a Datum) -> EvalResult<$ty> {
                match datum {
                    $($pattern => Ok($value),)+
                    other => Err(mismatch($name, other)),
                }
            }
        })*
    };
}

take! {
    bool, "boolean", Datum::Bool(v) => *v;
    i16, "smallint", Datum::Int2(v) => *v;
    i32, "integer", Datum::Int4(v) => *v, Datum::Int2(v) => i32::from(*v);
    i64, "bigint", Datum::Int8(v) => *v, Datum::Int4(v) => i64::from(*v), Datum::Int2(v) => i64::from(*v);
    f32, "real", Datum::Float4(v) => *v;
    f64, "double precision", Datum::Float8(v) => *v, Datum::Float4(v) => f64::from(*v);
    &'a Numeric, "numeric", Datum::Numeric(v) => v;
    &'a str, "text", Datum::Text(v) => v;
    &'a Arc<str>, "text", Datum::Text(v) => v;
    &'a [u8], "bytea", Datum::Bytea(v) => v;
    &'a Interval, "interval", Datum::Interval(v) => v;
    &'a Jsonb, "jsonb", Datum::Jsonb(v) => v;
    &'a ArrayValue, "array", Datum::Array(v) => v;
    &'a [Datum], "record", Datum::Record(v) => v;
    [u8; 16], "uuid", Datum::Uuid(v) => *v;
    OidArg, "oid", Datum::Oid(v) => OidArg(*v);
    Date, "date", Datum::Date(v) => Date(*v);
    Time, "time", Datum::Time(v) => Time(*v);
    TimeTz, "time with time zone", Datum::TimeTz(v, zone) => TimeTz(*v, *zone);
    Timestamp, "timestamp", Datum::Timestamp(v) => Timestamp(*v);
    TimestampTz, "timestamp with time zone", Datum::TimestampTz(v) => TimestampTz(*v);
}

/// Any value, NULL included.
impl<'a> Take<'a> for &'a Datum {
    #[inline]
    fn take(datum: &'a Datum) -> EvalResult<&'a Datum> {
        Ok(datum)
    }
}

/// NULL is none.
impl<'a, T: Take<'a>> Take<'a> for Option<T> {
    fn take(datum: &'a Datum) -> EvalResult<Option<T>> {
        if datum.is_null() { Ok(None) } else { T::take(datum).map(Some) }
    }
}

macro_rules! give {
    ($($ty:ty, $value:ident => $datum:expr;)*) => {
        $(impl Give for $ty {
            #[inline]
            fn give(self) -> EvalResult<Datum> {
                let $value = self;
                Ok($datum)
            }
        })*
    };
}

give! {
    bool, v => Datum::Bool(v);
    i16, v => Datum::Int2(v);
    i32, v => Datum::Int4(v);
    i64, v => Datum::Int8(v);
    f32, v => Datum::Float4(v);
    f64, v => Datum::Float8(v);
    Numeric, v => Datum::Numeric(v);
    &str, v => Datum::text(v);
    String, v => Datum::text(v);
    Vec<u8>, v => Datum::Bytea(v.into());
    Interval, v => Datum::Interval(Box::new(v));
    Jsonb, v => Datum::Jsonb(v.into());
    Datum, v => v;
    [u8; 16], v => Datum::Uuid(v);
    OidArg, v => Datum::Oid(v.0);
    Date, v => Datum::Date(v.0);
    Time, v => Datum::Time(v.0);
    TimeTz, v => Datum::TimeTz(v.0, v.1);
    Timestamp, v => Datum::Timestamp(v.0);
    TimestampTz, v => Datum::TimestampTz(v.0);
}

impl<T: Give> Give for EvalResult<T> {
    #[inline]
    fn give(self) -> EvalResult<Datum> {
        self.and_then(T::give)
    }
}

impl<T: Give> Give for Option<T> {
    #[inline]
    fn give(self) -> EvalResult<Datum> {
        self.map_or(Ok(Datum::Null), T::give)
    }
}

#[cold]
pub(super) fn wrong_count(name: &str, count: usize) -> EvalError {
    EvalError::new("XX000", format!("function {name} was given {count} arguments"))
}

/// An entry of a table: a name and a typed closure; the form with `call;` first also sees the [`Call`].
macro_rules! scalar {
    ($name:expr, || $body:expr) => {
        scalar!($name, |_call;| $body)
    };
    ($name:expr, |$($arg:ident : $ty:ty),*| $body:expr) => {
        scalar!($name, |_call; $($arg: $ty),*| $body)
    };
    ($name:expr, |$call:ident; $($arg:ident : $ty:ty),*| $body:expr) => {
        ($name, {
            fn run($call: &$crate::functions::Call<'_>, args: &[&$crate::Datum]) -> $crate::EvalResult<$crate::Datum> {
                let [$($arg),*] = args else { return Err($crate::functions::native::wrong_count($name, args.len())) };
                $(let $arg = <$ty as $crate::functions::native::Take>::take($arg)?;)*
                $crate::functions::native::Give::give($body)
            }
            run as $crate::functions::native::ScalarFn
        })
    };
}

pub(super) use scalar;
