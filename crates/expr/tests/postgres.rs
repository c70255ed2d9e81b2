//! Every native function, operator and cast against a PostgreSQL 15 server, over the same values.
//!
//! Run by hand: `EXPR_POSTGRES="host=127.0.0.1 port=5432 user=postgres dbname=postgres" cargo nextest run -p expr --test postgres`.
//! The server is used through `psql`; without the variable the test prints SKIPPED. `EXPR_CASES=n` sets how
//! many combinations of values each function is tried with, `EXPR_ONLY=name` looks at one name alone.

mod samples;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, Stdio};

use expr::casts::{self, CastContext};
use expr::functions::{self, Call, FunctionEntry, FunctionKind};
use expr::{
    CastMethod, Datum, EvalContext, EvalError, EvalResult, Expr, NoEnvironment, Settings, SqlType, TimeZone, operators,
    types,
};

/// One expression: as SQL, and what it gives here.
struct Case {
    name: String,
    sql: String,
    ours: String,
}

const ZONE: &str = "Europe/Berlin";

fn settings() -> Settings {
    Settings { time_zone: TimeZone::named(ZONE).unwrap(), ..Settings::default() }
}

/// A small generator of numbers: the cases are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }
}

/// A panic is a difference like any other.
fn guarded(compute: impl FnOnce() -> String) -> String {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(compute)).unwrap_or_else(|_| "PANIC".to_owned())
}

fn shown(result: EvalResult<Datum>, ty: SqlType, ctx: &EvalContext<'_>) -> String {
    match result {
        Ok(Datum::Null) => "NULL".to_owned(),
        Ok(value) => format!("={}", value.text_form(ty, ctx)),
        Err(error) => failure(&error),
    }
}

fn failure(error: &EvalError) -> String {
    format!("!{}: {}", error.0.state.as_str(), error.0.message)
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn literal(value: Option<&str>, ty: SqlType) -> String {
    // `character` alone would mean character(1).
    let ty = if ty == SqlType::BPCHAR { "bpchar".to_owned() } else { ty.to_string() };
    match value {
        Some(text) => format!(
            "{}::{}",
            if text.contains('\\') { format!("E{}", quote(&text.replace('\\', "\\\\"))) } else { quote(text) },
            ty
        ),
        None => format!("NULL::{ty}"),
    }
}

/// Values of a type, NULL among them.
fn pool(ty: SqlType) -> Option<Vec<Option<&'static str>>> {
    let values = samples::of(ty)?;
    Some(values.iter().map(|text| Some(*text)).chain([None]).collect())
}

/// Types for the arguments of a polymorphic function, all choices at once.
fn concrete(args: &[expr::Oid]) -> Vec<Vec<SqlType>> {
    use SqlType as T;
    let choices: &[(T, T)] = &[
        (T::INT4, T::INT4_ARRAY),
        (T::TEXT, T::TEXT_ARRAY),
        (T::NUMERIC, T::NUMERIC_ARRAY),
        (T::TIMESTAMP, T::TIMESTAMP_ARRAY),
    ];
    let is_poly = |oid: &expr::Oid| {
        let ty = T::from(*oid);
        matches!(
            ty,
            T::ANYELEMENT
                | T::ANYARRAY
                | T::ANYNONARRAY
                | T::ANYCOMPATIBLE
                | T::ANYCOMPATIBLEARRAY
                | T::ANYCOMPATIBLENONARRAY
                | T::ANY
        )
    };
    if !args.iter().any(is_poly) {
        return vec![args.iter().map(|oid| T::from(*oid)).collect()];
    }
    let with = |(element, array): &(T, T)| {
        let of = |oid: &expr::Oid| match T::from(*oid) {
            T::ANYARRAY | T::ANYCOMPATIBLEARRAY => *array,
            T::ANYELEMENT | T::ANYNONARRAY | T::ANYCOMPATIBLE | T::ANYCOMPATIBLENONARRAY | T::ANY => *element,
            ty => ty,
        };
        args.iter().map(of).collect()
    };
    choices.iter().map(with).collect()
}

fn result_type(declared: expr::Oid, args: &[SqlType], declared_args: &[expr::Oid]) -> SqlType {
    let result = SqlType::from(declared);
    let element = declared_args.iter().zip(args).find_map(|(declared, actual)| match SqlType::from(*declared) {
        SqlType::ANYELEMENT | SqlType::ANYCOMPATIBLE | SqlType::ANYNONARRAY => Some(*actual),
        SqlType::ANYARRAY | SqlType::ANYCOMPATIBLEARRAY => actual.element(),
        _ => None,
    });
    match (result, element) {
        (SqlType::ANYELEMENT | SqlType::ANYCOMPATIBLE | SqlType::ANYNONARRAY, Some(element)) => element,
        (SqlType::ANYARRAY | SqlType::ANYCOMPATIBLEARRAY, Some(element)) => element.array().unwrap(),
        _ => result,
    }
}

fn function_cases(entry: &FunctionEntry, count: usize, ctx: &EvalContext<'_>, dice: &mut Dice, cases: &mut Vec<Case>) {
    let operator = operators::all().iter().find(|op| op.function == entry.id);
    for types in concrete(&entry.args) {
        let Some(pools) = types.iter().map(|ty| pool(*ty)).collect::<Option<Vec<_>>>() else { return };
        let combinations: usize = pools.iter().map(Vec::len).product();
        let result = result_type(entry.result, &types, &entry.args);
        for number in 0..count.min(combinations) {
            let mut rest = number;
            let mut choose = |pool: &Vec<Option<&'static str>>| {
                if combinations <= count {
                    let at = rest % pool.len();
                    rest /= pool.len();
                    return pool[at];
                }
                pool[dice.below(pool.len())]
            };
            let values: Vec<Option<&str>> = pools.iter().map(&mut choose).collect();
            let literals: Vec<String> = values.iter().zip(&types).map(|(value, ty)| literal(*value, *ty)).collect();
            let sql = match (operator, &literals[..]) {
                (Some(op), [left, right]) if op.left.is_some() => {
                    format!("{left} OPERATOR(pg_catalog.{}) {right}", op.name)
                }
                _ => format!("pg_catalog.\"{}\"({})", entry.name, literals.join(", ")),
            };
            let ours = guarded(|| {
                let parsed: EvalResult<Vec<Datum>> = values
                    .iter()
                    .zip(&types)
                    .map(|(value, ty)| value.map_or(Ok(Datum::Null), |text| Datum::parse(text, *ty, ctx)))
                    .collect();
                match parsed {
                    Ok(args) => {
                        let refs: Vec<&Datum> = args.iter().collect();
                        shown(functions::call(entry.id, &Call::new(ctx, &types, result), &refs), result, ctx)
                    }
                    Err(error) => failure(&error),
                }
            });
            cases.push(Case { name: format!("{} ({})", entry.name, entry.source), sql, ours });
        }
    }
}

/// What no server can agree on: the time, random numbers, the session.
const NOT_COMPARED: &[&str] = &[
    "pg_typeof",
    "format_type",
    "to_regclass",
    "text_regclass",
    "pg_client_encoding",
    "getdatabaseencoding",
    "row_to_json",
    // The time now, and letters beyond ASCII in the server's locale.
    "sql1386",
    "sql2059",
    "initcap",
    "upper",
    "lower",
    // Names that are no names are NULL here.
    "to_regcollation",
    "to_regnamespace",
    "to_regoper",
    "to_regoperator",
    "to_regproc",
    "to_regprocedure",
    "to_regrole",
    "to_regtype",
    "PG_char_to_encoding",
    "pg_convert_from",
    "pg_convert_to",
    // Lengths that no type declares.
    "bpchar",
    "varchar",
    "numeric",
    "timestamp_scale",
    "timestamptz_scale",
    "time_scale",
    "timetz_scale",
    "interval_scale",
];

fn all_functions(count: usize, only: Option<&str>, ctx: &EvalContext<'_>) -> Vec<Case> {
    let (mut dice, mut cases) = (Dice(7), Vec::new());
    for entry in functions::all() {
        let compared = entry.kind == FunctionKind::Function
            && !entry.returns_set
            && functions::native(entry.id).is_some()
            && entry.volatility != functions::Volatility::Volatile
            && !NOT_COMPARED.contains(&entry.source)
            && !entry.args.is_empty()
            && only.is_none_or(|only| entry.name == only || entry.source == only);
        // An SQL function's plan may fold what its text would not.
        if compared && !entry.args.contains(&SqlType::INTERNAL.oid) {
            function_cases(entry, count, ctx, &mut dice, &mut cases);
        }
    }
    cases
}

fn all_casts(only: Option<&str>, ctx: &EvalContext<'_>) -> Vec<Case> {
    let mut cases = Vec::new();
    if only.is_some_and(|only| only != "cast") {
        return cases;
    }
    let typed = samples::types();
    for from in &typed {
        for to in typed.iter().chain(&samples::types_with_modifiers()) {
            let Some(method) = casts::pathway(from.oid, to.oid, CastContext::Explicit) else { continue };
            // A literal is read by the type's own input function.
            let method = if from.oid == to.oid { CastMethod::Relabel } else { method };
            for text in samples::of(*from).unwrap_or(&[]) {
                let target = if *to == SqlType::BPCHAR { "bpchar".to_owned() } else { to.to_string() };
                let sql = format!("{}::{target}", literal(Some(text), *from));
                let ours = guarded(|| match Datum::parse(text, *from, ctx) {
                    Ok(value) => {
                        let arg = Box::new(Expr::Const { value, ty: *from });
                        let cast = Expr::Cast { arg, method, ty: *to, explicit: true };
                        shown(cast.eval(&[], ctx), *to, ctx)
                    }
                    Err(error) => failure(&error),
                });
                cases.push(Case { name: format!("cast {from} to {to}"), sql, ours });
            }
        }
    }
    cases
}

/// What is written in many ways, and what is not valid at all.
fn all_inputs(only: Option<&str>, ctx: &EvalContext<'_>) -> Vec<Case> {
    let mut cases = Vec::new();
    if only.is_some_and(|only| only != "input") {
        return cases;
    }
    for (ty, texts) in samples::inputs() {
        for text in texts {
            let sql = literal(Some(text), ty);
            let ours = guarded(|| shown(Datum::parse(text, ty, ctx), ty, ctx));
            cases.push(Case { name: format!("input {ty}"), sql, ours });
        }
    }
    cases
}

const TRY: &str = "
create or replace function pg_temp.try(e text) returns text language plpgsql as $$
declare r text;
begin
    execute 'select case when v is null then ''NULL'' else format(''=%s'', v) end from (select ' || e || ' as v offset 0) s' into r;
    return r;
exception when others then return '!' || sqlstate || ': ' || sqlerrm;
end $$;";

/// Differences that are meant.
fn accepted(case: &Case, theirs: &str) -> bool {
    let number = |text: &str| text.strip_prefix('=').and_then(|text| text.parse::<f64>().ok());
    match (number(&case.ours), number(theirs)) {
        // What a comparison says is in the sign alone.
        (Some(ours), Some(theirs)) if case.name.contains("cmp") => ours.signum() == theirs.signum() || ours == theirs,
        // The C library's last bit.
        (Some(ours), Some(theirs)) if ["cbrt", "acosh", "cotd"].iter().any(|name| case.name.contains(name)) => {
            (ours - theirs).abs() <= theirs.abs() * 1e-15
        }
        // There intervals wrap around, and infinite timestamps have an age.
        _ => {
            let out_of_range =
                ["!22008: interval out of range", "!22008: timestamp out of range"].contains(&case.ours.as_str());
            let wraps = ["make_interval", "age", "timestamp_mi"].iter().any(|name| case.name.starts_with(name));
            // A byte that is no UTF-8; a bucket's number that overflows; digits that an inexact quotient rounds up.
            let not_kept = ["char (", "width_bucket"].iter().any(|name| case.name.starts_with(name));
            out_of_range && wraps || not_kept
        }
    }
}

/// What the server says, in the order of the cases.
fn ask(connection: &str, cases: &[Case]) -> Vec<String> {
    let mut script = format!(
        "set timezone = '{ZONE}'; set datestyle = 'ISO, MDY'; set extra_float_digits = 1; set client_min_messages = error;{TRY}\n"
    );
    for chunk in cases.chunks(500) {
        script.push_str(
            "select replace(replace(pg_temp.try(e), E'\\\\', E'\\\\\\\\'), E'\\n', E'\\\\n') from unnest(array[",
        );
        for (at, case) in chunk.iter().enumerate() {
            let _ = write!(script, "{}$case${}$case$", if at > 0 { "," } else { "" }, case.sql);
        }
        script.push_str("]) with ordinality u(e, n) order by n;\n");
    }
    let mut child = Command::new("psql")
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", connection])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("psql runs");
    let mut input = child.stdin.take().expect("a pipe");
    let writer = std::thread::Builder::new()
        .spawn(move || {
            use std::io::Write;
            input.write_all(script.as_bytes())
        })
        .expect("a thread");
    let output = child.wait_with_output().expect("psql ends");
    writer.join().expect("the writer ends").expect("psql reads all");
    assert!(output.status.success(), "psql failed");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(str::to_owned).collect()
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

#[test]
fn everything_is_as_in_postgres() {
    let Ok(connection) = std::env::var("EXPR_POSTGRES") else {
        println!("SKIPPED: EXPR_POSTGRES names no server");
        return;
    };
    let count = std::env::var("EXPR_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    let only = std::env::var("EXPR_ONLY").ok();
    let settings = settings();
    let ctx = EvalContext::new(&settings, &NoEnvironment);
    let mut cases = all_functions(count, only.as_deref(), &ctx);
    cases.extend(all_casts(only.as_deref(), &ctx));
    cases.extend(all_inputs(only.as_deref(), &ctx));
    let theirs = ask(&connection, &cases);
    assert_eq!(theirs.len(), cases.len(), "one answer for each case");
    let mut differences: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (case, theirs) in cases.iter().zip(&theirs) {
        if escaped(&case.ours) != *theirs && !accepted(case, theirs) {
            differences.entry(&case.name).or_default().push(format!(
                "  {}\n    theirs {theirs}\n    ours   {}",
                case.sql,
                escaped(&case.ours)
            ));
        }
    }
    let wrong: usize = differences.values().map(Vec::len).sum();
    for (name, list) in &differences {
        println!("{name}: {} differ", list.len());
        list.iter().take(4).for_each(|line| println!("{line}"));
    }
    println!("{} cases, {wrong} differ", cases.len());
    assert_eq!(wrong, 0, "differences are listed above; types known: {}", types::all().len());
}
