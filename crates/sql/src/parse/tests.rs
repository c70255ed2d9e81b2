//! Gates: what PostgreSQL's grammar says, and what clients send.

use super::ast::*;
use super::*;

/// An expression with every grouping shown.
fn shape(source: &str) -> String {
    match parse_expression(source) {
        Ok(expr) => show(&expr),
        Err(error) => format!("{} at {:?}", error.0.message, error.0.position.unwrap_or(0)),
    }
}

fn show(expr: &Expr) -> String {
    let list = |items: &[Expr]| items.iter().map(show).collect::<Vec<_>>().join(", ");
    let dotted = |names: &[Name]| names.iter().map(Name::as_str).collect::<Vec<_>>().join(".");
    let not = |negated: &bool| if *negated { "not " } else { "" };
    match &expr.kind {
        ExprKind::Null => "null".into(),
        ExprKind::Bool(value) => value.to_string(),
        ExprKind::Number(digits) => digits.clone(),
        ExprKind::Text(text) => format!("'{text}'"),
        ExprKind::Bits(bits) => bits.clone(),
        ExprKind::Param(number) => format!("${number}"),
        ExprKind::Column(names) => dotted(names),
        ExprKind::Star(names) if names.is_empty() => "*".into(),
        ExprKind::Star(names) => format!("{}.*", dotted(names)),
        ExprKind::Field(arg, name) => format!("({}).{name}", show(arg)),
        ExprKind::FieldStar(arg) => format!("({}).*", show(arg)),
        ExprKind::Subscript(arg, subscripts) => format!("{}[{}]", show(arg), subscripts.len()),
        ExprKind::Prefix(operator, arg) => format!("({} {})", operator.symbol, show(arg)),
        ExprKind::Binary(binary) => {
            format!("({} {} {})", show(&binary.left), binary.operator.symbol, show(&binary.right))
        }
        ExprKind::And(items) => format!("and({})", list(items)),
        ExprKind::Or(items) => format!("or({})", list(items)),
        ExprKind::Not(arg) => format!("not({})", show(arg)),
        ExprKind::IsNull { arg, negated } => format!("({} is {}null)", show(arg), not(negated)),
        ExprKind::IsBool { arg, value, negated } => format!("({} is {}{value:?})", show(arg), not(negated)),
        ExprKind::IsDistinct { left, right, negated } => {
            format!("({} is {}distinct {})", show(left), not(negated), show(right))
        }
        ExprKind::Between(b) => {
            format!("({} {}between {} {})", show(&b.arg), not(&b.negated), show(&b.low), show(&b.high))
        }
        ExprKind::Like(like) => format!("({} {}like {})", show(&like.arg), not(&like.negated), show(&like.pattern)),
        ExprKind::InList { arg, list: items, negated } => {
            format!("({} {}in [{}])", show(arg), not(negated), list(items))
        }
        ExprKind::InQuery { arg, negated, .. } => format!("({} {}in query)", show(arg), not(negated)),
        ExprKind::AnyArray { left, operator, array, all } => {
            format!("({} {} {} {})", show(left), operator.symbol, if *all { "all" } else { "any" }, show(array))
        }
        ExprKind::AnyQuery { left, operator, .. } => format!("({} {} any query)", show(left), operator.symbol),
        ExprKind::Exists(_) => "exists".into(),
        ExprKind::Subquery(_) => "query".into(),
        ExprKind::ArrayQuery(_) => "array query".into(),
        ExprKind::Case(case) => format!("case {}", case.whens.len()),
        ExprKind::Cast(arg, ty) => format!(
            "{}::{}{}",
            show(arg),
            dotted(&ty.names).replace("pg_catalog.", ""),
            "[]".repeat(ty.dimensions as usize)
        ),
        ExprKind::Collate(arg, name) => format!("({} collate {})", show(arg), dotted(name)),
        ExprKind::Call(call) => format!("{}({})", dotted(&call.name).replace("pg_catalog.", ""), list(&call.args)),
        ExprKind::Row(fields) => format!("row({})", list(fields)),
        ExprKind::Array(items) => format!("array[{}]", list(items)),
        other => format!("{other:?}"),
    }
}

/// What other parsers get silently wrong.
#[test]
fn operators_bind_as_in_postgresql() {
    let cases = [
        ("-2 ^ 2", "(-2 ^ 2)"),
        ("- a ^ 2", "((- a) ^ 2)"),
        ("~1 + 2", "(~ (1 + 2))"),
        ("a ~ b || c", "((a ~ b) || c)"),
        ("a || b ~ c + 1", "((a || b) ~ (c + 1))"),
        ("- a AT TIME ZONE 'x'", "timezone('x', (- a))"),
        ("false>=-1", "(false >= -1)"),
        ("-1::int2", "(- 1::int2)"),
        ("a + b * c ^ d ^ e", "(a + (b * ((c ^ d) ^ e)))"),
        ("a - b - c", "((a - b) - c)"),
        ("not a = b and c or d", "or(and(not((a = b)), c), d)"),
        ("a is null = b", "((a is null) = b)"),
        ("a = b is null", "((a = b) is null)"),
        ("not a is null", "not((a is null))"),
        ("a between 1 and 2 and b", "and((a between 1 2), b)"),
        ("a not between b + 1 and c or d", "or((a not between (b + 1) c), d)"),
        ("a like b || c and d", "and((a like (b || c)), d)"),
        ("a < b = c", "syntax error at or near \"=\" at 7"),
        ("a like b like c", "syntax error at or near \"like\" at 10"),
        ("a in (1, 2) = b", "((a in [1, 2]) = b)"),
        ("a::text collate \"C\" || b", "((a::text collate C) || b)"),
        ("x[1][2].y", "(x[2]).y"),
        ("(a).b.c[1:2]", "((a).b).c[1]"),
        ("a operator(pg_catalog.~) b || c", "((a ~ b) || c)"),
        ("1 = any ('{1}') and a = all (select 1)", "and((1 = any '{1}'), (a = any query))"),
        ("a is distinct from b + 1", "(a is distinct (b + 1))"),
        ("a or b or c", "or(a, b, c)"),
        ("a @> b -> c", "((a @> b) -> c)"),
        ("a->>'x' = 'y'", "((a ->> 'x') = 'y')"),
        ("((select 1) + 1)", "(query + 1)"),
        ("((select 1) union select 2)", "query"),
        ("(((select 1)))", "query"),
        ("((select 1), 2)", "row(query, 2)"),
        ("a in ((select 1))", "(a in query)"),
        ("a in ((select 1), 2)", "(a in [query, 2])"),
    ];
    for (source, expected) in cases {
        assert_eq!(shape(source), expected, "{source}");
    }
}

#[test]
fn types_before_literals_are_casts() {
    let cases = [
        ("date '2020-01-01'", "'2020-01-01'::date"),
        ("timestamp with time zone 'x'", "'x'::timestamptz"),
        ("interval '1' day to second(3)", "'1'::interval"),
        ("inet '1.2.3.4'", "'1.2.3.4'::inet"),
        ("pg_catalog.regclass 'x'", "'x'::regclass"),
        ("double precision '1'", "'1'::float8"),
        ("a::numeric(10,2)[]", "a::numeric[]"),
        ("cast(a as character varying(3))", "a::varchar"),
        ("time", "time"),
        ("interval + date", "(interval + date)"),
        ("'1'::int array", "'1'::int4[]"),
    ];
    for (source, expected) in cases {
        assert_eq!(shape(source), expected, "{source}");
    }
}

#[test]
fn sql_function_syntax_becomes_calls() {
    let cases = [
        ("extract(year from x)", "extract('year', x)"),
        ("substring(a from 2 for 3)", "substring(a, 2, 3)"),
        ("substring(a for 3)", "substring(a, 1, 3::int4)"),
        ("substring(a, 2)", "substring(a, 2)"),
        ("substring(a similar b escape c)", "substring(a, b, c)"),
        ("position('a' in b)", "position(b, 'a')"),
        ("trim(both 'x' from y)", "btrim(y, 'x')"),
        ("trim(leading from y)", "ltrim(y)"),
        ("trim(y)", "btrim(y)"),
        ("overlay(a placing b from 2)", "overlay(a, b, 2)"),
        ("left(a, 1)", "left(a, 1)"),
        ("current_schema()", "current_schema()"),
        ("(a, b) overlaps (c, d)", "overlaps(a, b, c, d)"),
        ("count(distinct a)", "count(a)"),
        ("f(x => 1, y := 2)", "f(1, 2)"),
        ("f(1, variadic a)", "f(1, a)"),
    ];
    for (source, expected) in cases {
        assert_eq!(shape(source), expected, "{source}");
    }
}

fn error_of(source: &str) -> (String, Option<u32>) {
    let error = parse(source).map(|_| ()).unwrap_err();
    assert_eq!(error.state(), "42601", "{source}");
    (error.0.message.clone(), error.0.position)
}

#[test]
fn syntax_errors_read_as_postgresqls() {
    let cases = [
        ("selec 1", "syntax error at or near \"selec\"", 1),
        ("select 1 from", "syntax error at end of input", 14),
        ("select * from t where", "syntax error at end of input", 22),
        ("select é, 1 1", "syntax error at or near \"1\"", 13),
        ("insert into t values (1", "syntax error at end of input", 24),
        ("select a from t group by", "syntax error at end of input", 25),
        ("select from where x y", "syntax error at or near \"where\"", 13),
        ("create table t (a int,)", "syntax error at or near \")\"", 23),
        ("select 1; selec 2", "syntax error at or near \"selec\"", 11),
        ("select 'a", "unterminated quoted string at or near \"'a\"", 8),
        ("update t set", "syntax error at end of input", 13),
        ("select (1", "syntax error at end of input", 10),
        ("select 1 limit 1, 2", "LIMIT #,# syntax is not supported", 17),
    ];
    for (source, message, position) in cases {
        assert_eq!(error_of(source), (message.to_owned(), Some(position)), "{source}");
    }
}

#[test]
fn a_text_may_hold_any_number_of_statements() {
    assert!(parse("").unwrap().is_empty());
    assert!(parse(" ; -- nothing\n ;").unwrap().is_empty());
    let source = "BEGIN; select 1 ;commit";
    let ranges: Vec<_> = parse(source).unwrap().into_iter().map(|one| source[one.range].to_owned()).collect();
    assert_eq!(ranges, ["BEGIN", "select 1", "commit"]);
}

#[test]
fn depth_is_bounded_and_chains_are_not() {
    let state = |source: &str| parse(source).map(|_| ()).err().map(|error| error.state().to_owned());
    let deep = "(".repeat(100_000);
    assert_eq!(state(&format!("select {deep}1{}", ")".repeat(100_000))).as_deref(), Some("54001"));
    assert_eq!(state(&format!("select {deep}")).as_deref(), Some("54001"));
    assert_eq!(state(&format!("select {}1", "- ".repeat(100_000))).as_deref(), Some("54001"));
    assert_eq!(state(&format!("select {}1", "not ".repeat(100_000))).as_deref(), Some("54001"));
    assert_eq!(state(&format!("select 1{}", "+1".repeat(100_000))).as_deref(), Some("54001"));
    assert_eq!(state(&format!("select 1{}", "::int".repeat(100_000))).as_deref(), Some("54001"));
    assert_eq!(state(&format!("select 1{}", " is null".repeat(100_000))).as_deref(), Some("54001"));
    assert_eq!(state(&format!("select {}1", "case when ".repeat(50_000))).as_deref(), Some("54001"));
    assert_eq!(state(&format!("select {}", "array[".repeat(50_000))).as_deref(), Some("54001"));
    assert_eq!(state(&format!("select 1{}", " union select 1".repeat(100_000))).as_deref(), Some("54001"));
    assert_eq!(state(&format!("select * from {}", "(".repeat(100_000))).as_deref(), Some("54001"));
    assert_eq!(state(&format!("select * from t{}", " cross join t".repeat(100_000))).as_deref(), Some("54001"));
    assert_eq!(state(&format!("{}select 1", "explain ".repeat(100_000))).as_deref(), Some("42601"));
    assert_eq!(state(&format!("select a = 1{}", " or a = 1".repeat(100_000))), None);
    assert_eq!(state(&format!("select a = 1{}", " and a = 1 or b".repeat(100_000))), None);
    assert_eq!(state(&format!("select a in (1{})", ", 1".repeat(100_000))), None);
    assert_eq!(state(&format!("select 1{}", "+1".repeat(900))), None);
    assert_eq!(state(&format!("select {}1{}", "(".repeat(900), ")".repeat(900))), None);
}

fn utility(source: &str) -> Utility {
    match parse(source).unwrap().remove(0).statement {
        Statement::Utility(utility) => *utility,
        other => panic!("{other:?}"),
    }
}

#[test]
fn settings_have_their_variables_names() {
    let cases = [
        ("set time zone interval '+00:00' hour to minute", "timezone=INTERVAL '+00:00'"),
        ("SET SESSION TimeZone = 'UTC'", "timezone=UTC"),
        ("set local a.b to on, 'x', -3", "local a.b=on, x, -3"),
        ("set names 'utf8'", "client_encoding=utf8"),
        ("set schema 'x'", "search_path=x"),
        ("set search_path = default", "search_path"),
    ];
    for (source, expected) in cases {
        let Utility::Set(set) = utility(source) else { panic!("{source}") };
        let value = set.value.map_or(String::new(), |value| format!("={}", SettingValue::List(value).to_text()));
        assert_eq!(format!("{}{}{value}", if set.local { "local " } else { "" }, set.name), expected);
    }
    assert!(
        matches!(utility("show transaction isolation level"), Utility::Show(Some(name)) if name == "transaction_isolation")
    );
    assert!(matches!(utility("show a.b"), Utility::Show(Some(name)) if name == "a.b"));
    assert!(matches!(utility("reset all"), Utility::Reset(None)));
    let moved = utility("alter range 7 move leader to 2");
    assert!(matches!(moved, Utility::MoveLeader { range: 7, node: 2 }), "{moved:?}");
    assert!(parse("alter range 7 move leader").is_err());
    let Utility::Begin { modes, .. } = utility("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY, NOT DEFERRABLE") else {
        panic!()
    };
    assert_eq!(modes[1..], [TransactionMode::ReadOnly(true), TransactionMode::Deferrable(false)]);
}

#[test]
fn expressions_of_the_catalog_keep_their_text() {
    let source = "create table t (a int default 1 + 2 not null, b text check (b <> 'x' || 'y'), check (a > 0))";
    let Statement::Ddl(ddl) = parse(source).unwrap().remove(0).statement else { panic!() };
    let Ddl::CreateTable(table) = *ddl else { panic!() };
    let mut texts = Vec::new();
    for element in &table.elements {
        match element {
            TableElement::Column(column) => {
                for constraint in &column.constraints {
                    match &constraint.kind {
                        ColumnConstraintKind::Default(source) => texts.push(source.text.as_str()),
                        ColumnConstraintKind::Check { condition, .. } => texts.push(condition.text.as_str()),
                        _ => {}
                    }
                }
            }
            TableElement::Constraint(TableConstraint {
                kind: TableConstraintKind::Check { condition, .. }, ..
            }) => {
                texts.push(condition.text.as_str());
            }
            _ => {}
        }
    }
    assert_eq!(texts, ["1 + 2", "b <> 'x' || 'y'", "a > 0"]);
}

#[test]
fn select_into_creates_a_table() {
    let statement = |source: &str| parse(source).unwrap().remove(0).statement;
    let Statement::Ddl(ddl) = statement("select a into t from u union select 1") else { panic!() };
    let Ddl::CreateTableAs(create) = *ddl else { panic!() };
    assert_eq!(create.name.to_string(), "t");
    assert!(matches!(statement("insert into u select 1 into t"), Statement::Insert(_)), "the binder refuses it");
}

#[test]
fn what_is_not_run_is_skipped_whole() {
    for source in [
        "with x as (merge into t using s on true when matched then delete) select 1",
        "drop owned by a, b cascade",
        "create trigger x before insert on t for each row execute function f()",
        "create function f(a int) returns int language sql as $$ select 1; $$",
        "alter publication p add table t",
    ] {
        assert_eq!(parse(&format!("{source}; select 1")).map(|list| list.len()).ok(), Some(2), "{source}");
    }
}

/// Every statement that clients were seen to send and PostgreSQL could parse. The folder is not part of the
/// source: `CAIRN_CLIENTS` names it.
#[test]
fn what_clients_send_parses() {
    let Some(folder) = std::env::var_os("CAIRN_CLIENTS") else {
        eprintln!("SKIPPED: CAIRN_CLIENTS does not name the folder with corpus.jsonl");
        return;
    };
    let corpus = std::fs::read_to_string(std::path::Path::new(&folder).join("corpus.jsonl")).unwrap();
    let (mut total, mut failures) = (0, Vec::new());
    for line in corpus.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let sql = record["sql"].as_str().unwrap();
        if record["errs"].as_array().is_some_and(|errors| errors.iter().any(|error| error == "42601")) {
            continue;
        }
        total += 1;
        if let Err(error) = parse(sql) {
            failures.push(format!("{}\n    {}", error.0.message, sql.chars().take(300).collect::<String>()));
        }
    }
    assert!(total > 1000, "the corpus has only {total} statements");
    assert!(failures.is_empty(), "{} of {total} do not parse:\n{}", failures.len(), failures.join("\n"));
}
