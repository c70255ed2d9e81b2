//! Functions that return sets: an iterator of rows for each call.
//!
//! A row has one column, or as many as the function has OUT columns
//! ([`FunctionEntry::out_columns`](crate::functions::FunctionEntry::out_columns)). A strict function called
//! with a NULL returns no rows.

use std::sync::{Arc, LazyLock};

use crate::datetime::arithmetic::{timestamp_plus_interval, timestamptz_plus_interval};
use crate::datetime::{TimeZone, is_finite_timestamp};
use crate::functions::{self, Call, FunctionEntry};
use crate::json::{Jsonb, NodeKind, parse};
use crate::table::{Rows as TableRows, StaticMap};
use crate::{ArrayValue, Datum, EvalError, EvalResult, FunctionId, Interval, Numeric, Row};

/// The rows of one call; they own what they need.
pub type Rows = Box<dyn Iterator<Item = EvalResult<Row>> + Send>;

type SetFn = fn(&Call<'_>, &[&Datum]) -> EvalResult<Rows>;

/// By the name of PostgreSQL's internal function.
const FUNCTIONS: &[(&str, SetFn)] = &[
    ("generate_series_int4", series_int4),
    ("generate_series_step_int4", series_int4),
    ("generate_series_int8", series_int8),
    ("generate_series_step_int8", series_int8),
    ("generate_series_numeric", series_numeric),
    ("generate_series_step_numeric", series_numeric),
    ("generate_series_timestamp", series_timestamp),
    ("generate_series_timestamptz", series_timestamp),
    ("array_unnest", unnest),
    ("generate_subscripts", subscripts),
    ("generate_subscripts_nodir", subscripts),
    ("regexp_matches", |_, args| Ok(column(functions::all_matches(text(args, 0)?, text(args, 1)?, text(args, 2)?)?))),
    ("regexp_matches_no_flags", |_, args| Ok(column(functions::all_matches(text(args, 0)?, text(args, 1)?, "")?))),
    ("regexp_split_to_table", |_, args| {
        Ok(column(functions::regexp_split(text(args, 0)?, text(args, 1)?, text(args, 2)?)?))
    }),
    ("regexp_split_to_table_no_flags", |_, args| {
        Ok(column(functions::regexp_split(text(args, 0)?, text(args, 1)?, "")?))
    }),
    ("text_to_table", text_to_table),
    ("text_to_table_null", text_to_table),
    ("json_array_elements", json_elements),
    ("json_array_elements_text", json_elements_text),
    ("json_each", json_each),
    ("json_each_text", json_each_text),
    ("json_object_keys", json_keys),
    ("jsonb_array_elements", jsonb_elements),
    ("jsonb_array_elements_text", jsonb_elements_text),
    ("jsonb_each", jsonb_each),
    ("jsonb_each_text", jsonb_each_text),
    ("jsonb_object_keys", jsonb_keys),
    ("pg_get_keywords", keywords),
    ("pg_timezone_abbrevs", zone_abbreviations),
    ("pg_timezone_names", zone_names),
];

static BY_SOURCE: LazyLock<StaticMap<&'static str, SetFn>> = LazyLock::new(|| FUNCTIONS.iter().copied().collect());

/// The set-returning overloads of a name.
pub fn by_name(name: &str) -> impl Iterator<Item = &'static FunctionEntry> {
    functions::by_name(name).iter().filter(|entry| entry.returns_set)
}

/// Whether [`call`] can run a function.
pub fn is_native(function: FunctionId) -> bool {
    functions::by_id(function).is_some_and(|entry| BY_SOURCE.contains_key(entry.source))
}

/// The rows of a call; 0A000 for functions that are not native here.
pub fn call(function: FunctionId, call: &Call<'_>, args: &[&Datum]) -> EvalResult<Rows> {
    let entry = functions::by_id(function)
        .ok_or_else(|| EvalError::new("42883", format!("function {} does not exist", function.0)))?;
    let Some(run) = BY_SOURCE.get(entry.source) else {
        return Err(EvalError::new("0A000", format!("function {} is not supported", entry.name)));
    };
    if entry.strict && args.iter().any(|arg| arg.is_null()) {
        return Ok(Box::new(std::iter::empty()));
    }
    run(call, args)
}

/// One column of values that are there already.
fn column(values: Vec<Datum>) -> Rows {
    Box::new(values.into_iter().map(|value| Ok(vec![value])))
}

fn table(rows: Vec<Row>) -> Rows {
    Box::new(rows.into_iter().map(Ok))
}

fn wrong_argument() -> EvalError {
    EvalError::new("XX000", "a set-returning function was given a value of another type than it was bound for")
}

fn text<'a>(args: &[&'a Datum], at: usize) -> EvalResult<&'a str> {
    match args.get(at) {
        Some(Datum::Text(text)) => Ok(text),
        _ => Err(wrong_argument()),
    }
}

fn integer(value: &Datum) -> EvalResult<i64> {
    match value {
        Datum::Int2(value) => Ok(i64::from(*value)),
        Datum::Int4(value) => Ok(i64::from(*value)),
        Datum::Int8(value) => Ok(*value),
        _ => Err(wrong_argument()),
    }
}

fn zero_step() -> EvalError {
    EvalError::new("22023", "step size cannot equal zero")
}

/// From `start` to `stop`; a step that would leave i64 ends the series.
fn series(args: &[&Datum], value: fn(i64) -> Datum) -> EvalResult<Rows> {
    let (start, stop) = (integer(args[0])?, integer(args[1])?);
    let step = args.get(2).map_or(Ok(1), |step| integer(step))?;
    if step == 0 {
        return Err(zero_step());
    }
    let mut next = Some(start);
    Ok(Box::new(std::iter::from_fn(move || {
        let current = next.filter(|current| if step > 0 { *current <= stop } else { *current >= stop })?;
        next = current.checked_add(step);
        Some(Ok(vec![value(current)]))
    })))
}

fn series_int4(_: &Call<'_>, args: &[&Datum]) -> EvalResult<Rows> {
    // What leaves i32 is beyond `stop`.
    series(args, |value| Datum::Int4(value as i32))
}

fn series_int8(_: &Call<'_>, args: &[&Datum]) -> EvalResult<Rows> {
    series(args, Datum::Int8)
}

fn series_numeric(_: &Call<'_>, args: &[&Datum]) -> EvalResult<Rows> {
    let number = |at: usize, name: &str| match args.get(at) {
        None => Ok(Numeric::ONE),
        Some(Datum::Numeric(value)) if value.is_finite() => Ok(value.clone()),
        Some(Datum::Numeric(value)) => {
            let what = if value.is_nan() { "NaN" } else { "infinity" };
            Err(EvalError::new("22023", format!("{name} cannot be {what}")))
        }
        Some(_) => Err(wrong_argument()),
    };
    let (start, stop) = (number(0, "start value")?, number(1, "stop value")?);
    let step = number(2, "step size")?;
    if step.is_zero() {
        return Err(zero_step());
    }
    let mut next = Some(start);
    Ok(Box::new(std::iter::from_fn(move || {
        let current =
            next.take().filter(|current| if step.signum() > 0 { *current <= stop } else { *current >= stop })?;
        match current.add(&step) {
            Ok(sum) => next = Some(sum),
            Err(error) => return Some(Err(error)),
        }
        Some(Ok(vec![Datum::Numeric(current)]))
    })))
}

fn series_timestamp(call: &Call<'_>, args: &[&Datum]) -> EvalResult<Rows> {
    let (start, stop, zoned) = match args {
        [Datum::Timestamp(start), Datum::Timestamp(stop), ..] => (*start, *stop, false),
        [Datum::TimestampTz(start), Datum::TimestampTz(stop), ..] => (*start, *stop, true),
        _ => return Err(wrong_argument()),
    };
    let Some(Datum::Interval(step)) = args.get(2) else { return Err(wrong_argument()) };
    let step: Interval = **step;
    let direction = step.comparison_micros();
    if direction == 0 {
        return Err(zero_step());
    }
    let zone = call.ctx.settings.time_zone.clone();
    let mut next = Some(start);
    Ok(Box::new(std::iter::from_fn(move || {
        let current = next.take().filter(|current| if direction > 0 { *current <= stop } else { *current >= stop })?;
        let following = if zoned {
            timestamptz_plus_interval(current, &step, &zone)
        } else {
            timestamp_plus_interval(current, &step)
        };
        match following {
            // An infinite start has no end.
            Ok(following) if is_finite_timestamp(current) || following != current => next = Some(following),
            Ok(_) => next = None,
            Err(error) => return Some(Err(error)),
        }
        Some(Ok(vec![if zoned { Datum::TimestampTz(current) } else { Datum::Timestamp(current) }]))
    })))
}

fn array(value: &Datum) -> EvalResult<Arc<ArrayValue>> {
    match value {
        Datum::Array(array) => Ok(array.clone()),
        _ => Err(wrong_argument()),
    }
}

fn unnest(_: &Call<'_>, args: &[&Datum]) -> EvalResult<Rows> {
    let array = array(args[0])?;
    Ok(Box::new((0..array.elements.len()).map(move |at| Ok(vec![array.elements[at].clone()]))))
}

fn subscripts(_: &Call<'_>, args: &[&Datum]) -> EvalResult<Rows> {
    let (array, dimension) = (array(args[0])?, integer(args[1])?);
    let reverse = matches!(args.get(2), Some(Datum::Bool(true)));
    let at = usize::try_from(dimension - 1).ok();
    let Some((length, lower)) = at.and_then(|at| array.dimensions.get(at)).copied() else {
        return Ok(column(Vec::new()));
    };
    let value =
        move |number: i32| Ok(vec![Datum::Int4(if reverse { lower + length - 1 - number } else { lower + number })]);
    Ok(Box::new((0..length).map(value)))
}

fn text_to_table(_: &Call<'_>, args: &[&Datum]) -> EvalResult<Rows> {
    let optional = |at: usize| match args.get(at) {
        Some(Datum::Text(text)) => Some(&**text),
        _ => None,
    };
    Ok(column(optional(0).map_or(Vec::new(), |text| functions::split_text(text, optional(1), optional(2)))))
}

fn json_elements(_: &Call<'_>, args: &[&Datum]) -> EvalResult<Rows> {
    let node = parse(text(args, 0)?)?;
    let elements = functions::elements_of(&node, "json_array_elements")?;
    Ok(column(elements.iter().map(|node| Datum::text(node.text)).collect()))
}

fn json_elements_text(_: &Call<'_>, args: &[&Datum]) -> EvalResult<Rows> {
    let node = parse(text(args, 0)?)?;
    let elements = functions::elements_of(&node, "json_array_elements_text")?;
    Ok(column(elements.iter().map(|node| node.as_text().map_or(Datum::Null, Datum::text)).collect()))
}

fn not_an_object(name: &str, is_array: bool) -> EvalError {
    let what = if is_array { "an array" } else { "a scalar" };
    match name {
        "json_object_keys" | "jsonb_object_keys" => EvalError::new("22023", format!("cannot call {name} on {what}")),
        "json_each" | "json_each_text" => EvalError::new(
            "22023",
            if is_array { "cannot deconstruct an array as an object" } else { "cannot deconstruct a scalar" },
        ),
        _ => EvalError::new("22023", format!("cannot call {name} on a non-object")),
    }
}

fn json_rows(args: &[&Datum], name: &str, row: impl Fn(&str, &crate::json::Node<'_>) -> Row) -> EvalResult<Rows> {
    let node = parse(text(args, 0)?)?;
    match &node.kind {
        NodeKind::Object(pairs) => Ok(table(pairs.iter().map(|(key, value)| row(key, value)).collect())),
        other => Err(not_an_object(name, matches!(other, NodeKind::Array(_)))),
    }
}

fn json_each(_: &Call<'_>, args: &[&Datum]) -> EvalResult<Rows> {
    json_rows(args, "json_each", |key, value| vec![Datum::text(key), Datum::text(value.text)])
}

fn json_each_text(_: &Call<'_>, args: &[&Datum]) -> EvalResult<Rows> {
    json_rows(args, "json_each_text", |key, value| {
        vec![Datum::text(key), value.as_text().map_or(Datum::Null, Datum::text)]
    })
}

fn json_keys(_: &Call<'_>, args: &[&Datum]) -> EvalResult<Rows> {
    json_rows(args, "json_object_keys", |key, _| vec![Datum::text(key)])
}

fn document<'a>(args: &[&'a Datum]) -> EvalResult<&'a Jsonb> {
    match args.first() {
        Some(Datum::Jsonb(document)) => Ok(document),
        _ => Err(wrong_argument()),
    }
}

fn jsonb_list(args: &[&Datum], value: impl Fn(&Jsonb) -> Datum) -> EvalResult<Rows> {
    match document(args)? {
        Jsonb::Array(elements) => Ok(column(elements.iter().map(value).collect())),
        Jsonb::Object(_) => Err(EvalError::new("22023", "cannot extract elements from an object")),
        _ => Err(EvalError::new("22023", "cannot extract elements from a scalar")),
    }
}

fn as_document(value: &Jsonb) -> Datum {
    Datum::Jsonb(value.clone().into())
}

fn as_text(value: &Jsonb) -> Datum {
    value.as_text().map_or(Datum::Null, Datum::text)
}

fn jsonb_elements(_: &Call<'_>, args: &[&Datum]) -> EvalResult<Rows> {
    jsonb_list(args, as_document)
}

fn jsonb_elements_text(_: &Call<'_>, args: &[&Datum]) -> EvalResult<Rows> {
    jsonb_list(args, as_text)
}

fn jsonb_rows(args: &[&Datum], name: &str, row: impl Fn(&Arc<str>, &Jsonb) -> Row) -> EvalResult<Rows> {
    match document(args)? {
        Jsonb::Object(pairs) => Ok(table(pairs.iter().map(|(key, value)| row(key, value)).collect())),
        other => Err(not_an_object(name, matches!(other, Jsonb::Array(_)))),
    }
}

fn jsonb_each(_: &Call<'_>, args: &[&Datum]) -> EvalResult<Rows> {
    jsonb_rows(args, "jsonb_each", |key, value| vec![Datum::Text(key.clone()), as_document(value)])
}

fn jsonb_each_text(_: &Call<'_>, args: &[&Datum]) -> EvalResult<Rows> {
    jsonb_rows(args, "jsonb_each_text", |key, value| vec![Datum::Text(key.clone()), as_text(value)])
}

fn jsonb_keys(_: &Call<'_>, args: &[&Datum]) -> EvalResult<Rows> {
    jsonb_rows(args, "jsonb_object_keys", |key, _| vec![Datum::Text(key.clone())])
}

fn keywords(_: &Call<'_>, _: &[&Datum]) -> EvalResult<Rows> {
    let rows = TableRows::of(include_str!("../data/keywords.tsv"));
    Ok(Box::new(rows.map(|mut row| {
        let (word, category, bare) = (row.text(), row.text(), row.flag());
        Ok(vec![
            Datum::text(word),
            Datum::text(category),
            Datum::Bool(bare),
            Datum::text(row.text()),
            Datum::text(row.text()),
        ])
    })))
}

fn offset(seconds: i32) -> Datum {
    Datum::Interval(Box::new(Interval { micros: i64::from(seconds) * 1_000_000, ..Interval::ZERO }))
}

fn zone_abbreviations(_: &Call<'_>, _: &[&Datum]) -> EvalResult<Rows> {
    let row = |zone: &crate::datetime::Abbreviation| {
        Ok(vec![Datum::text(zone.name), offset(zone.offset), Datum::Bool(zone.is_dst)])
    };
    Ok(Box::new(crate::datetime::abbreviations().iter().map(row)))
}

fn zone_names(call: &Call<'_>, _: &[&Datum]) -> EvalResult<Rows> {
    let now = call.ctx.transaction_time;
    Ok(Box::new(crate::datetime::zone_names().into_iter().filter_map(move |name| {
        let info = TimeZone::find(&name)?.offset_info_at(now);
        Some(Ok(vec![
            Datum::text(name),
            Datum::text(info.abbreviation),
            offset(info.seconds),
            Datum::Bool(info.is_dst),
        ]))
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EvalContext, SqlType};

    fn rows(name: &str, args: &[(SqlType, &str)]) -> EvalResult<Vec<String>> {
        let ctx = EvalContext::detached();
        let types: Vec<_> = args.iter().map(|(ty, _)| ty.oid).collect();
        let call_shape = crate::resolve::CallShape { types: &types, ..Default::default() };
        let found = crate::resolve::function(name, functions::by_name(name), call_shape)?;
        let values = args.iter().zip(&found.arg_types).map(|((_, text), ty)| Datum::parse(text, (*ty).into(), &ctx));
        let values = values.collect::<EvalResult<Vec<_>>>()?;
        let refs: Vec<&Datum> = values.iter().collect();
        let arg_types: Vec<SqlType> = found.arg_types.iter().map(|oid| SqlType::from(*oid)).collect();
        let info = Call::new(&ctx, &arg_types, found.result.into());
        let shown = |row: Row| {
            row.iter()
                .map(|d| if d.is_null() { "NULL".to_owned() } else { d.text_form(d.natural_type(), &ctx) })
                .collect::<Vec<_>>()
                .join("|")
        };
        call(found.function.id, &info, &refs)?.map(|row| row.map(shown)).collect()
    }

    #[test]
    fn series_and_lists() {
        use SqlType as T;
        let check = |name: &str, args: &[(T, &str)], expected: &[&str]| {
            assert_eq!(rows(name, args).unwrap_or_else(|error| panic!("{name}: {error}")), expected, "{name}");
        };
        check("generate_series", &[(T::INT4, "1"), (T::INT4, "3")], &["1", "2", "3"]);
        check("generate_series", &[(T::INT4, "3"), (T::INT4, "1"), (T::INT4, "-2")], &["3", "1"]);
        check("generate_series", &[(T::INT4, "2147483646"), (T::INT4, "2147483647")], &["2147483646", "2147483647"]);
        check("generate_series", &[(T::NUMERIC, "1"), (T::NUMERIC, "2"), (T::NUMERIC, "0.5")], &["1", "1.5", "2.0"]);
        check(
            "generate_series",
            &[(T::TIMESTAMP, "2024-01-31"), (T::TIMESTAMP, "2024-04-01"), (T::INTERVAL, "1 month")],
            &["2024-01-31 00:00:00", "2024-02-29 00:00:00", "2024-03-29 00:00:00"],
        );
        check("unnest", &[(T::TEXT_ARRAY, "{a,NULL,c}")], &["a", "NULL", "c"]);
        check("generate_subscripts", &[(T::INT4_ARRAY, "[2:4]={1,2,3}"), (T::INT4, "1")], &["2", "3", "4"]);
        check("jsonb_each_text", &[(T::JSONB, "{\"a\": 1, \"b\": null}")], &["a|1", "b|NULL"]);
        check("json_array_elements", &[(T::JSON, "[1, {\"a\":2}]")], &["1", "{\"a\":2}"]);
        check("regexp_split_to_table", &[(T::TEXT, "a1b22c"), (T::TEXT, "[0-9]+")], &["a", "b", "c"]);
        check("string_to_table", &[(T::TEXT, "a,b"), (T::TEXT, ",")], &["a", "b"]);
        assert_eq!(
            rows("generate_series", &[(T::INT4, "1"), (T::INT4, "2"), (T::INT4, "0")]).unwrap_err().0.state.as_str(),
            "22023"
        );
        assert!(rows("pg_get_keywords", &[]).unwrap().len() > 400);
    }

    #[test]
    fn the_table_knows_every_native_function() {
        for (source, _) in FUNCTIONS {
            assert!(functions::all().iter().any(|f| f.source == *source && f.returns_set), "{source}");
        }
    }
}
