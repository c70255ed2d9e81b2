//! Functions by name, types and names of their arguments.

use super::select::{self, Candidate};
use super::{polymorphic, type_list};
use crate::casts::{self, CastContext};
use crate::functions::FunctionEntry;
use crate::types::{self, format_type_be};
use crate::{CastMethod, EvalError, EvalResult, Oid, SqlType, TypeCategory};

/// How a function is called.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallShape<'a> {
    /// The types of all arguments, those with names last.
    pub types: &'a [Oid],
    /// The names of the last arguments (`name => value`).
    pub names: &'a [&'a str],
    /// The last argument is marked VARIADIC: an array that is taken as it is.
    pub variadic: bool,
}

/// The function that was meant.
#[derive(Clone, Debug)]
pub struct ResolvedFunction<'a> {
    pub function: &'a FunctionEntry,
    /// Where each argument comes from, in the function's order; with those that were left out.
    pub args: Vec<ArgSource>,
    /// The type that each of `args` must be brought to. Where `any` is declared it is the given type.
    pub arg_types: Vec<Oid>,
    /// From this argument on they are put together into one array (never for VARIADIC "any").
    pub variadic_from: Option<usize>,
    pub result: Oid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgSource {
    /// The call's argument at this position.
    Given(usize),
    /// The default of the function's argument at this position ([`FunctionEntry::default_of`]).
    Default(usize),
}

/// One way in which an overload can take the call's arguments.
struct Way<'a> {
    function: &'a FunctionEntry,
    /// The declared types of the given arguments, in the order of the call.
    declared: Vec<Oid>,
    sources: Vec<ArgSource>,
    variadic_from: Option<usize>,
}

impl Candidate for Way<'_> {
    fn args(&self) -> &[Oid] {
        &self.declared
    }
}

/// The overload among `candidates` that a call of `name` means. 42883 where none fits, 42725 where several
/// do. `name(x)` with the name of a type may also be a cast: see [`as_coercion`].
pub fn function<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a FunctionEntry>,
    call: CallShape<'_>,
) -> EvalResult<ResolvedFunction<'a>> {
    let ways: Vec<Way<'a>> = without_doubles(candidates.into_iter().filter_map(|f| way(f, call)).collect());
    if let Some(at) = ways.iter().position(|way| way.declared == call.types) {
        return ways.into_iter().nth(at).map_or_else(|| Err(missing(name, call)), |way| finish(way, call));
    }
    let mut fitting = select::matching(ways, call.types);
    if fitting.len() <= 1 {
        return fitting.pop().map_or_else(|| Err(missing(name, call)), |way| finish(way, call));
    }
    match select::best(fitting, call.types) {
        Some(way) => finish(way, call),
        None => Err(EvalError::new("42725", format!("function {} is not unique", signature(name, call)))
            .with_hint("Could not choose a best candidate function. You might need to add explicit type casts.")),
    }
}

/// `typename(x)` as a cast, which PostgreSQL tries when no overload fits exactly: the type, where a value of
/// type `arg` can become one by relabelling or through its text form.
pub fn as_coercion(name: &str, arg: Oid) -> Option<Oid> {
    let to = types::by_name(name)?.oid;
    let is_row = SqlType::from(arg).category() == TypeCategory::Composite || SqlType::from(arg) == SqlType::RECORD;
    let possible = arg == SqlType::UNKNOWN.oid
        || match casts::pathway(arg, to, CastContext::Explicit) {
            Some(CastMethod::Relabel) => true,
            Some(CastMethod::InOut) => !(is_row && SqlType::from(to).is_string()),
            _ => false,
        };
    possible.then_some(to)
}

/// How `function` takes the arguments, if their number and names allow it.
fn way<'a>(function: &'a FunctionEntry, call: CallShape<'_>) -> Option<Way<'a>> {
    let (given, declared) = (call.types.len(), &function.args);
    let positional = given - call.names.len();
    if let Some(element) =
        function.variadic.filter(|_| !call.variadic && call.names.is_empty() && given >= declared.len())
    {
        let fixed = declared.len() - 1;
        let types = declared[..fixed].iter().copied().chain(std::iter::repeat_n(element, given - fixed)).collect();
        let variadic_from = (SqlType::from(element) != SqlType::ANY).then_some(fixed);
        return Some(Way {
            function,
            declared: types,
            sources: (0..given).map(ArgSource::Given).collect(),
            variadic_from,
        });
    }
    if call.variadic && function.variadic.is_none() || given > declared.len() {
        return None;
    }
    if function.variadic.is_some() && !call.variadic {
        return None; // fewer arguments than the fixed ones and one more
    }
    let mut sources: Vec<Option<ArgSource>> =
        (0..declared.len()).map(|at| (at < positional).then_some(ArgSource::Given(at))).collect();
    for (number, name) in call.names.iter().enumerate() {
        let at = input_names(function).position(|found| found == *name)?;
        if sources[at].replace(ArgSource::Given(positional + number)).is_some() {
            return None;
        }
    }
    let first_default = declared.len() - function.defaults.len();
    let mut types = vec![Oid(0); given];
    for (at, source) in sources.iter_mut().enumerate() {
        match source {
            Some(ArgSource::Given(position)) => types[*position] = declared[at],
            _ if at >= first_default => *source = Some(ArgSource::Default(at)),
            _ => return None,
        }
    }
    Some(Way { function, declared: types, sources: sources.into_iter().flatten().collect(), variadic_from: None })
}

/// The names of the input arguments, in order.
fn input_names(function: &FunctionEntry) -> impl Iterator<Item = &'static str> + '_ {
    use crate::functions::ArgMode;
    function.arg_names.iter().enumerate().filter_map(|(at, name)| {
        let is_input = function.arg_modes.get(at).is_none_or(|mode| !matches!(mode, ArgMode::Out | ArgMode::Table));
        is_input.then_some(*name)
    })
}

/// Of ways with the same types, the one that is not variadic and leaves nothing out.
fn without_doubles(ways: Vec<Way<'_>>) -> Vec<Way<'_>> {
    let effort = |way: &Way| (way.variadic_from.is_some() || way.function.variadic.is_some(), way.sources.len());
    let mut kept: Vec<Way> = Vec::with_capacity(ways.len());
    for way in ways {
        match kept.iter_mut().find(|other| other.declared == way.declared) {
            Some(other) if effort(&way) < effort(other) => *other = way,
            Some(_) => {}
            None => kept.push(way),
        }
    }
    kept
}

fn finish<'a>(way: Way<'a>, call: CallShape<'_>) -> EvalResult<ResolvedFunction<'a>> {
    let (resolved, result) = polymorphic::replace(call.types, &way.declared, way.function.result)?;
    let arg_type = |source: &ArgSource| match source {
        ArgSource::Given(at) if SqlType::from(resolved[*at]) == SqlType::ANY => call.types[*at],
        ArgSource::Given(at) => resolved[*at],
        ArgSource::Default(at) => way.function.args[*at],
    };
    let arg_types = way.sources.iter().map(arg_type).collect();
    Ok(ResolvedFunction {
        function: way.function,
        args: way.sources,
        arg_types,
        variadic_from: way.variadic_from,
        result,
    })
}

fn signature(name: &str, call: CallShape<'_>) -> String {
    if call.names.is_empty() {
        return format!("{name}({})", type_list(call.types));
    }
    let positional = call.types.len() - call.names.len();
    let named =
        call.names.iter().zip(&call.types[positional..]).map(|(n, oid)| format!("{n} => {}", format_type_be(*oid)));
    let args: Vec<String> = call.types[..positional].iter().map(|oid| format_type_be(*oid)).chain(named).collect();
    format!("{name}({})", args.join(", "))
}

fn missing(name: &str, call: CallShape<'_>) -> EvalError {
    EvalError::new("42883", format!("function {} does not exist", signature(name, call)))
        .with_hint("No function matches the given name and argument types. You might need to add explicit type casts.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::by_name;

    fn resolve(name: &str, types: &[SqlType]) -> EvalResult<ResolvedFunction<'static>> {
        let types: Vec<Oid> = types.iter().map(|ty| ty.oid).collect();
        function(name, by_name(name), CallShape { types: &types, ..Default::default() })
    }

    fn check(name: &str, types: &[SqlType], args: &[SqlType], result: SqlType) {
        let found = resolve(name, types).unwrap_or_else(|error| panic!("{name}{types:?}: {error}"));
        let args: Vec<Oid> = args.iter().map(|ty| ty.oid).collect();
        assert_eq!((found.arg_types, found.result), (args, result.oid), "{name}{types:?}");
    }

    #[test]
    fn arguments_find_their_overload() {
        use SqlType as T;
        check("abs", &[T::INT4], &[T::INT4], T::INT4);
        check("abs", &[T::UNKNOWN], &[T::FLOAT8], T::FLOAT8);
        check("round", &[T::INT4], &[T::FLOAT8], T::FLOAT8);
        check("round", &[T::NUMERIC, T::INT4], &[T::NUMERIC, T::INT4], T::NUMERIC);
        check("length", &[T::VARCHAR], &[T::TEXT], T::INT4);
        check("length", &[T::UNKNOWN], &[T::TEXT], T::INT4);
        check("sum", &[T::INT4], &[T::INT4], T::INT8);
        check("sum", &[T::FLOAT4], &[T::FLOAT4], T::FLOAT4);
        check("count", &[T::INT4], &[T::INT4], T::INT8);
        check("count", &[], &[], T::INT8);
        check("max", &[T::VARCHAR], &[T::TEXT], T::TEXT);
        check("array_agg", &[T::INT4], &[T::INT4], T::INT4_ARRAY);
        check("array_append", &[T::INT4_ARRAY, T::INT4], &[T::INT4_ARRAY, T::INT4], T::INT4_ARRAY);
        check("array_length", &[T::TEXT_ARRAY, T::INT4], &[T::TEXT_ARRAY, T::INT4], T::INT4);
        check("unnest", &[T::TEXT_ARRAY], &[T::TEXT_ARRAY], T::TEXT);
        check("concat", &[T::INT4, T::UNKNOWN], &[T::INT4, T::UNKNOWN], T::TEXT);
        check("date_trunc", &[T::UNKNOWN, T::DATE], &[T::TEXT, T::TIMESTAMPTZ], T::TIMESTAMPTZ);
        check("generate_series", &[T::INT4, T::INT8], &[T::INT8, T::INT8], T::INT8);
        check("substring", &[T::UNKNOWN, T::INT4], &[T::TEXT, T::INT4], T::TEXT);
    }

    #[test]
    fn defaults_names_and_variadics() {
        let days = CallShape { types: &[SqlType::INT4.oid], names: &["days"], variadic: false };
        let found = function("make_interval", by_name("make_interval"), days).unwrap();
        assert_eq!(found.args[3], ArgSource::Given(0));
        assert_eq!(found.args[2], ArgSource::Default(2));
        assert_eq!(found.args.len(), 7);
        let path = [SqlType::JSONB, SqlType::UNKNOWN, SqlType::UNKNOWN];
        let found = resolve("jsonb_extract_path", &path).unwrap();
        assert_eq!((found.variadic_from, &found.arg_types[1..]), (Some(1), &[SqlType::TEXT.oid; 2][..]));
        assert_eq!(resolve("concat", &[SqlType::INT4]).unwrap().variadic_from, None);
    }

    #[test]
    fn errors_say_what_is_missing() {
        let error = resolve("lower", &[SqlType::INT4]).unwrap_err().0;
        assert_eq!((error.state.as_str(), &error.message[..]), ("42883", "function lower(integer) does not exist"));
        let error = resolve("nosuch", &[SqlType::INT4, SqlType::UNKNOWN]).unwrap_err().0;
        assert_eq!(&error.message[..], "function nosuch(integer, unknown) does not exist");
        let error = resolve("date_trunc", &[SqlType::UNKNOWN]).unwrap_err().0;
        assert_eq!(error.state.as_str(), "42883");
        assert_eq!(
            resolve("generate_series", &[SqlType::UNKNOWN, SqlType::UNKNOWN]).unwrap_err().0.state.as_str(),
            "42725"
        );
        assert_eq!(as_coercion("text", SqlType::INT4.oid), Some(SqlType::TEXT.oid));
        assert_eq!(as_coercion("int4", SqlType::INT8.oid), None, "there is a function int4(bigint)");
    }
}
