//! What a client may throw at a node, and what may befall its folder: the right SQLSTATE or exit code, a process that goes on, and
//! nothing lost. (The catalogue is W1 to W17 of reliability.md.)
//!
//! `scripts/hostile` runs these against a release build too, with the large ones that are ignored here.
#![expect(clippy::disallowed_methods, reason = "a test is its own host")]

mod process;
mod wire;

use std::time::{Duration, Instant};

use process::Node;
use wire::{Said, Wire, bind, execute, message, parse, startup, sync};

fn node(arguments: &[&str]) -> (tempfile::TempDir, Node) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let node = Node::start(&folder.path().join("node"), arguments);
    (folder, node)
}

/// The node answers a client that does nothing wrong, at once.
#[track_caller]
fn is_well(node: &Node) {
    let begun = Instant::now();
    let said = Wire::session(&node.sql).query("select 42");
    assert_eq!(said.first.as_deref(), Some("42"), "{said:?}");
    assert!(begun.elapsed() < Duration::from_secs(10), "a client had to wait {:?}", begun.elapsed());
}

/// Memory of the process in MiB.
fn resident(node: &Node) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/statm", node.child.id())).expect("the process lives");
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("statm has it");
    pages * 4096 >> 20
}

/// The memory comes back: the allocator gives pages up some seconds after they were freed.
#[track_caller]
fn comes_back_to(node: &Node, before: u64, slack: u64) {
    let begun = Instant::now();
    while resident(node) > before + slack {
        let grown = resident(node);
        assert!(begun.elapsed() < Duration::from_secs(40), "{before} MiB before, {grown} MiB after");
        // The allocator looks at what it could give up when it is asked for something.
        is_well(node);
        std::thread::sleep(Duration::from_millis(200));
    }
}

const LENGTHS: [i32; 8] = [i32::MIN, -1, 0, 1, 2, 3, 0x3fff_ffff + 6, i32::MAX];

#[test]
fn lengths_that_cannot_be_end_the_connection() {
    let (_folder, node) = node(&[]);
    for length in LENGTHS.into_iter().chain([4, 7, 10_001]) {
        let mut wire = Wire::connect(&node.sql);
        wire.send(&[&length.to_be_bytes()[..], &[0, 3, 0, 0]].concat());
        let said = wire.until_ready();
        assert!(said.closed && said.state() == "08P01", "startup of {length} bytes: {said:?}");
    }
    for kind in *b"QPBDECHSXdcfpF" {
        for length in LENGTHS {
            let mut wire = Wire::session(&node.sql);
            wire.send(&[&[kind][..], &length.to_be_bytes(), &[0; 16]].concat());
            let said = wire.until_ready();
            assert!(said.closed && said.state() == "08P01", "{} of {length} bytes: {said:?}", char::from(kind));
        }
    }
    for kind in [0, b'Z', 0xff, b'\n'] {
        let mut wire = Wire::session(&node.sql);
        wire.message(kind, &[]);
        let said = wire.until_ready();
        assert!(said.closed && said.state() == "08P01", "type {kind}: {said:?}");
    }
    is_well(&node);
}

#[test]
fn startup_packets_are_taken_as_postgresql_takes_them() {
    let (_folder, node) = node(&[]);
    let state = |bytes: &[u8]| {
        let mut wire = Wire::connect(&node.sql);
        wire.send(bytes);
        let said = wire.until_ready();
        if said.errors.is_empty() && !said.closed { "ready".to_owned() } else { said.state().to_owned() }
    };
    let long = "x".repeat(9_000);
    assert_eq!(state(&startup(b"user\0root\0database\0cairn\0\0")), "ready");
    assert_eq!(state(&startup(b"user\0root\0user\0root\0database\0cairn\0\0")), "ready");
    assert_eq!(state(&startup(b"user\0root\0database\0cairn\0_pq_.unheard\0of\0\0")), "ready");
    assert_eq!(state(&startup(b"user\0root\0database\0cairn\0no_such_setting\0x\0\0")), "42704");
    assert_eq!(state(&startup(b"database\0cairn\0\0")), "28000");
    assert_eq!(state(&startup(b"user\0\0database\0cairn\0\0")), "28000");
    assert_eq!(state(&startup(b"user\0-root\0database\0cairn\0\0")), "28000");
    assert_eq!(state(&startup(b"user\0root\0database\0-c\0\0")), "3D000");
    assert_eq!(state(&startup(format!("user\0root\0database\0{long}\0\0").as_bytes())), "3D000");
    assert_eq!(state(&startup(format!("user\0{long}\0database\0cairn\0\0").as_bytes())), "28000");
    assert_eq!(state(&startup(b"user\0ro\xffot\0database\0cairn\0\0")), "22021");
    assert_eq!(state(&startup(b"user\0root")), "08P01");
    let encryption = [0, 0, 0, 8, 4, 210, 22, 47];
    let asked = |times: usize| {
        let mut wire = Wire::connect(&node.sql);
        for _ in 0..times {
            wire.send(&encryption);
            std::thread::sleep(Duration::from_millis(50));
        }
        wire.is_closed_within(Duration::from_secs(10))
    };
    assert!(asked(2), "encryption may be asked for once");
    let mut wire = Wire::connect(&node.sql);
    wire.send(&[&encryption[..], &startup(b"user\0root\0database\0cairn\0\0")].concat());
    assert!(wire.is_closed_within(Duration::from_secs(10)), "bytes after an SSLRequest are an attack");
    for key in 0..2_000_u64 {
        Wire::connect(&node.sql).send(&[&[0, 0, 0, 16, 4, 210, 22, 46][..], &(key << 20).to_be_bytes()].concat());
    }
    is_well(&node);
}

/// One way of saying nothing, or next to nothing.
fn stall(node: &Node, kind: usize) -> Wire {
    let mut wire = Wire::connect(if kind == 4 { &node.http } else { &node.sql });
    match kind {
        0 => {}
        1 => wire.send(&[&9_999_u32.to_be_bytes()[..], &[0, 3, 0, 0]].concat()),
        2 => wire.send(&[0, 0, 0, 8, 4, 210, 22, 47]),
        3 => wire.send(&[0]),
        _ => wire.send(b"GET / HTTP/1.1\r\nHost:"),
    }
    wire
}

#[test]
fn a_thousand_that_stall_keep_nobody_out_and_are_closed_at_the_deadline() {
    let (_folder, node) = node(&["--authentication-timeout", "4"]);
    is_well(&node);
    let before = resident(&node);
    let begun = Instant::now();
    let mut stalled: Vec<(usize, Wire)> = (0..1_250).map(|at| (at % 5, stall(&node, at % 5))).collect();
    is_well(&node);
    assert!(resident(&node) < before + 100, "{before} MiB, then {} MiB", resident(&node));
    // One that sends a byte now and then has the same deadline.
    let mut slow = Wire::connect(&node.sql);
    while begun.elapsed() < Duration::from_secs(7) {
        slow.send(&[0]);
        std::thread::sleep(Duration::from_millis(700));
    }
    assert!(slow.is_closed_within(Duration::from_millis(500)), "a byte now and then does not move the deadline");
    for (kind, wire) in stalled.iter_mut().filter(|(kind, _)| *kind != 4) {
        assert!(wire.is_closed_within(Duration::from_secs(2)), "kind {kind} is still open after {:?}", begun.elapsed());
    }
    is_well(&node);
}

#[test]
fn a_claimed_gigabyte_takes_no_memory() {
    let (_folder, node) = node(&[]);
    is_well(&node);
    let before = resident(&node);
    let mut sessions: Vec<Wire> = (0..200).map(|_| Wire::session(&node.sql)).collect();
    for (at, wire) in sessions.iter_mut().enumerate() {
        wire.send(&[&[b"QPBd"[at % 4]][..], &0x3fff_ffff_u32.to_be_bytes(), b"ten bytes."].concat());
    }
    is_well(&node);
    assert!(resident(&node) < before + 100, "{before} MiB, then {} MiB", resident(&node));
}

#[track_caller]
fn is_one_of(what: &str, said: &Said, states: &[&str]) {
    assert!(!said.closed && states.contains(&said.state()), "{what}: {said:?}");
}

#[test]
fn statements_without_bottom() {
    let (_folder, node) = node(&[]);
    let mut wire = Wire::session(&node.sql);
    let around = |open: &str, middle: &str, close: &str, times: usize| {
        format!("select {}{middle}{}", open.repeat(times), close.repeat(times))
    };
    let deep = [
        ("parentheses", around("(", "1", ")", 100_000)),
        ("sum", around("", "1", "+1", 100_000)),
        ("sum to the right", around("1+(", "1", ")", 100_000)),
        ("not", around("not ", "true", "", 100_000)),
        ("minus", around("- ", "1", "", 100_000)),
        ("case", around("case when true then ", "1", " end", 10_000)),
        ("array", around("array[", "1", "]", 10_000)),
        ("row", around("row(", "1", ")", 10_000)),
        ("cast", around("", "1", "::int", 100_000)),
        ("is null", around("", "1", " is null", 100_000)),
        ("concatenation", around("", "'a'", "||'a'", 100_000)),
        ("function", around("abs(", "1", ")", 100_000)),
        ("subquery", around("(select ", "1", ")", 10_000)),
        ("exists", around("exists (select ", "1", ")", 10_000)),
        ("in", around("1 in (select ", "1", ")", 10_000)),
        ("from", format!("select * from {}(select 1){}", "(select * from ".repeat(10_000), " x)".repeat(10_000))),
        ("with", format!("{}select 1{}", "with x as (".repeat(10_000), ") select 1".repeat(10_000))),
        ("union all", format!("select 1{}", " union all select 1".repeat(10_000))),
        ("except", format!("select 1{}", " except select 1".repeat(10_000))),
        ("join", format!("select 1 from pg_class{}", " cross join pg_class".repeat(10_000))),
        ("at time zone", around("", "now()", " at time zone 'utc'", 100_000)),
        ("collate", around("", "'a'", " collate \"C\"", 100_000)),
        ("check", format!("create table t (a int check ({}a > 0{}))", "(".repeat(100_000), ")".repeat(100_000))),
        ("default", format!("create table t (a int default {}1)", "- ".repeat(100_000))),
        ("limit", format!("select 1 limit {}1", "- ".repeat(100_000))),
        ("values", format!("insert into t values ({}1{})", "(".repeat(100_000), ")".repeat(100_000))),
        ("json", format!("select '{}'::jsonb", "[".repeat(100_000))),
        ("json object", format!("select '{}'::json", "{\"a\":".repeat(100_000))),
    ];
    for (what, text) in deep {
        is_one_of(what, &wire.query(&text), &["54001", "54000"]);
    }
    let regular = format!("select 'a' ~ '{}a{}'", "(".repeat(100_000), ")".repeat(100_000));
    is_one_of("a regular expression", &wire.query(&regular), &["2201B"]);
    // Operators that PostgreSQL does not chain either.
    is_one_of("between", &wire.query(&around("", "1", " between 1 and 2", 100_000)), &["42601"]);
    // Chains of AND and OR are flat here: they need not be refused.
    let flat = [
        ("and", around("", "true", " and true", 100_000)),
        ("or", around("", "false", " or false", 100_000)),
        ("in list", format!("select 1 in (0{})", ", 0".repeat(100_000))),
        ("values", format!("values (0){}", ", (0)".repeat(50_000))),
    ];
    for (what, text) in flat {
        let said = wire.query(&text);
        assert!(!said.closed && (said.errors.is_empty() || said.state() == "54001"), "{what}: {:?}", said.errors);
    }
    let said = wire.query(&format!("select {}", vec!["1"; 10_000].join(", ")));
    is_one_of("ten thousand columns", &said, &["54000", "54011"]);
    let columns: Vec<_> = (0..10_000).map(|at| format!("c{at} int")).collect();
    is_one_of("a table of them", &wire.query(&format!("create table wide ({})", columns.join(", "))), &["54011"]);
    // Numbers beyond what a numeric holds, and an array literal without bottom.
    is_one_of("array literal", &wire.query(&format!("select '{}'::int[]", "{".repeat(10_000))), &["54000", "22P02"]);
    is_well(&node);
}

#[test]
fn what_would_fill_the_memory_or_take_for_ever() {
    let (_folder, node) = node(&[]);
    is_well(&node);
    let before = resident(&node);
    let mut wire = Wire::session(&node.sql);
    assert!(wire.query("set statement_timeout = '1s'").errors.is_empty());
    let bombs: &[(&str, &str, &[&str])] = &[
        ("repeat", "select repeat('x', 1073741824)", &["54000", "53200"]),
        ("repeat of repeat", "select repeat(repeat('x', 100000000), 100000000)", &["54000", "53200"]),
        ("lpad", "select lpad('x', 2147483647)", &["54000", "53200"]),
        ("rpad", "select rpad('x', 2147483647, 'yz')", &["54000", "53200"]),
        ("array_fill", "select array_fill(1, array[2147483647])", &["54000", "53200", "42883"]),
        ("array_fill of much", "select array_fill(1, array[100000, 100000])", &["54000", "53200", "42883"]),
        ("series", "select count(*) from generate_series(1, 1000000000000)", &["57014", "53200"]),
        ("series kept", "select array_agg(g) from generate_series(1, 1000000000000) g", &["57014", "53200"]),
        ("series sorted", "select g from generate_series(1, 1000000000000) g order by 1", &["57014", "53200"]),
        (
            "series in the select list",
            "select count(x) from (select generate_series(1, 1000000000000) x) y",
            &["57014", "53200"],
        ),
        (
            "text put together",
            "select string_agg(repeat('x', 10000000), '') from generate_series(1, 1000)",
            &["57014", "53200", "54000"],
        ),
        (
            "cross join",
            "select count(*) from generate_series(1, 100000) a, generate_series(1, 100000) b, generate_series(1, 100000) c",
            &["57014", "53200"],
        ),
        (
            "cross join sorted",
            "select a, b, c from generate_series(1, 100000) a, generate_series(1, 100000) b, generate_series(1, 1000) c order by c, b, a",
            &["57014", "53200"],
        ),
        (
            "recursion",
            "with recursive r(a) as (select 1 union all select a + 1 from r) select count(*) from r",
            &["57014", "53200"],
        ),
        (
            "recursion that doubles",
            "with recursive r(a) as (select 'x' union all select a || a from r) select count(*) from r",
            &["57014", "53200", "54000"],
        ),
        ("power", "select 10::numeric ^ 100000", &["", "22003", "57014"]),
        ("power of powers", "select (10::numeric ^ 100000) ^ 100000", &["22003", "57014"]),
        ("literal", "select 1e1000000", &["22003", "22P02"]),
        ("factorial", "select factorial(1000000)", &["22003", "57014", "42883"]),
        ("product", "select (10::numeric ^ 100000) * (10::numeric ^ 100000)", &["", "22003", "57014"]),
        ("exponential", "select exp(100000000::numeric)", &["22003", "57014"]),
        ("regular expression", "select repeat('a', 100000) ~ '(a*)*b'", &["", "57014", "54001", "2201B"]),
        ("back-references", "select repeat('a', 5000) ~ '^(a*)*\\1b'", &["", "57014", "54001", "2201B"]),
        ("repetitions", "select 'a' ~ '((((a{1,255}){1,255}){1,255}){1,255})'", &["", "57014", "54001", "2201B"]),
        (
            "replace",
            "select length(replace(repeat('a', 100000), 'a', repeat('b', 100000)))",
            &["54000", "53200", "57014"],
        ),
        ("interval", "select interval '1 day' * 1e300", &["22008", "22015"]),
        ("sleep", "select pg_sleep(100000)", &["57014"]),
    ];
    for (what, text, states) in bombs {
        let begun = Instant::now();
        let said = wire.query(text);
        is_one_of(what, &said, states);
        assert!(begun.elapsed() < Duration::from_secs(8), "{what} took {:?}: {said:?}", begun.elapsed());
        let grown = resident(&node);
        assert!(grown < before + 1_200, "{what}: {before} MiB before, {grown} MiB after");
    }
    drop(wire);
    is_well(&node);
    comes_back_to(&node, before, 150);
}

#[test]
fn texts_that_are_none_and_messages_that_contradict_themselves() {
    let (_folder, node) = node(&[]);
    let mut wire = Wire::session(&node.sql);
    assert!(wire.query("create table t (a text)").errors.is_empty());
    let query = |wire: &mut Wire, text: &[u8]| {
        wire.message(b'Q', &[text, &[0]].concat());
        wire.until_ready()
    };
    let extended = |wire: &mut Wire, messages: &[Vec<u8>]| {
        wire.send(&messages.concat());
        wire.send(&sync());
        wire.until_ready()
    };
    is_one_of("a literal", &query(&mut wire, b"select 'a\xffb'"), &["22021"]);
    is_one_of("an overlong form", &query(&mut wire, b"select '\xc0\x80'"), &["22021"]);
    is_one_of("a surrogate", &query(&mut wire, b"select '\xed\xa0\x80'"), &["22021"]);
    is_one_of("an identifier", &query(&mut wire, b"select 1 as \"a\xe9\""), &["22021"]);
    is_one_of("an escape", &query(&mut wire, br"select E'\xff'"), &["22021"]);
    is_one_of("an escaped NUL", &query(&mut wire, br"select E'\000'"), &["22021", "22025"]);
    is_one_of("chr(0)", &query(&mut wire, b"select chr(0)"), &["54000"]);
    is_one_of("bytes as text", &query(&mut wire, br"select convert_from('\xff', 'UTF8')"), &["22021"]);
    let insert = parse("insert into t values ($1)", &[25]);
    for format in [0, 1] {
        for text in [&b"a\xffb"[..], b"a\0b"] {
            let said = extended(&mut wire, &[insert.clone(), bind(&[format], &[Some(text)], &[]), execute()]);
            is_one_of("a parameter", &said, &["22021"]);
        }
    }
    // What follows a NUL inside a Query message is not its text.
    let mut cut = Wire::session(&node.sql);
    cut.message(b'Q', b"select 1\0drop table t\0");
    let said = cut.until_ready();
    assert!(said.closed && said.state() == "08P01", "{said:?}");
    assert_eq!(wire.query("select count(*) from t").first.as_deref(), Some("0"));

    let one = parse("select $1::int", &[]);
    let said = extended(&mut wire, &[one.clone(), bind(&[], &[], &[])]);
    is_one_of("too few parameters", &said, &["08P01"]);
    let said = extended(&mut wire, &[one.clone(), bind(&[], &[Some(b"1"), Some(b"2")], &[])]);
    is_one_of("too many parameters", &said, &["08P01"]);
    let said = extended(&mut wire, &[one.clone(), bind(&[], &[Some(b"1")], &[0, 0]), execute()]);
    is_one_of("too many result formats", &said, &["08P01"]);
    let said = extended(&mut wire, &[one.clone(), bind(&[7], &[Some(b"1")], &[]), execute()]);
    is_one_of("an unknown format", &said, &["22023"]);
    let said = extended(&mut wire, &[one.clone(), bind(&[], &[Some(b"1")], &[7]), execute()]);
    is_one_of("an unknown result format", &said, &["22023"]);
    let said = extended(&mut wire, &[one.clone(), bind(&[1], &[Some(b"123")], &[]), execute()]);
    is_one_of("three bytes for an int", &said, &["22P03", "08P01"]);
    let said = extended(&mut wire, &[parse("select 1; select 2", &[])]);
    is_one_of("two statements", &said, &["42601"]);
    let said = extended(&mut wire, &[parse("select $65536", &[])]);
    is_one_of("parameter 65536", &said, &["54000", "42P02", "08P01"]);
    let said = extended(&mut wire, &[parse("select $99999999999999999999", &[])]);
    is_one_of("a parameter without end", &said, &["54000", "42P02", "42601", "22003"]);
    let all: Vec<_> = (1..=65_535).map(|at| format!("${at}::int")).collect();
    let said = extended(&mut wire, &[parse(&format!("select array[{}]", all.join(",")), &[])]);
    assert!(!said.closed && said.errors.is_empty(), "65,535 parameters are the limit: {:?}", said.errors);
    for (what, message) in [
        ("a negative length of a parameter", message(b'B', &[0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe, 0, 0])),
        ("a parameter longer than its message", message(b'B', &[0, 0, 0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff, 0, 0])),
        ("more parameters than there are", message(b'B', &[0, 0, 0, 0, 0xff, 0xff])),
        ("formats of other parameters", bind(&[0, 0, 0], &[Some(b"1"), Some(b"2")], &[])),
        ("more types than there are", message(b'P', b"\0select 1\0\xff\xff")),
        ("a statement without end", message(b'P', b"\0select 1")),
        ("neither portal nor statement", message(b'D', b"X\0")),
        ("bytes behind the end", message(b'S', b"more")),
        ("no row limit", message(b'E', &[0])),
    ] {
        let mut wire = Wire::session(&node.sql);
        wire.send(&[one.clone(), message].concat());
        wire.send(&sync());
        let mut said = wire.until_ready();
        if !said.closed {
            said = wire.until_ready();
        }
        assert!(said.closed && said.state() == "08P01", "{what}: {said:?}");
    }
    is_well(&node);
}

#[test]
fn a_hundred_thousand_messages_without_a_sync() {
    let (_folder, node) = node(&[]);
    let before = resident(&node);
    let mut wire = Wire::session(&node.sql);
    assert!(wire.query("create table t (a int)").errors.is_empty());
    let insert = [parse("select $1::int", &[]), bind(&[], &[Some(b"7")], &[]), execute()].concat();
    // Answers are read meanwhile, or both sides would wait for the other to read.
    let mut sender = Wire::session(&node.sql);
    let thread = std::thread::spawn(move || {
        let mut reader = sender.reader();
        let counter = std::thread::spawn(move || reader.until_ready());
        for _ in 0..33_400 {
            sender.send(&insert);
        }
        sender.send(&sync());
        counter.join().expect("the reader ends")
    });
    let said = thread.join().expect("the sender ends");
    assert_eq!((said.rows, said.closed, said.errors.len()), (33_400, false, 0));
    // The same after an error: all of it is skipped, and answered once.
    wire.send(&parse("selec", &[]));
    for _ in 0..33_400 {
        wire.send(&[bind(&[], &[], &[]), execute(), message(b'D', b"P\0")].concat());
    }
    wire.send(&sync());
    let said = wire.until_ready();
    assert_eq!((said.rows, said.errors.len(), said.state()), (0, 1, "42601"));
    // Flushes, and the ends of copies that never began.
    let storm = [message(b'H', &[]), message(b'c', &[]), message(b'd', b"x"), message(b'f', b"\0")].concat();
    wire.send(&storm.repeat(25_000));
    assert_eq!(wire.query("select 7").first.as_deref(), Some("7"));
    is_well(&node);
    comes_back_to(&node, before, 100);
}

#[test]
fn a_client_that_never_reads_holds_itself_up() {
    let (_folder, node) = node(&[]);
    is_well(&node);
    let before = resident(&node);
    let mut mute = Wire::session(&node.sql);
    mute.message(b'Q', b"select repeat('x', 10000) from generate_series(1, 10000000)\0");
    // It sends on: what it sends is kept up to a limit, and then not taken.
    let mut timed = Wire::session(&node.sql);
    assert!(timed.query("set statement_timeout = '2s'").errors.is_empty());
    timed.message(b'Q', b"select repeat('x', 10000) from generate_series(1, 10000000)\0");
    for _ in 0..50 {
        std::thread::sleep(Duration::from_millis(60));
        assert!(resident(&node) < before + 100, "{before} MiB, then {} MiB", resident(&node));
    }
    is_well(&node);
    // The time limit holds for the one that does not read too: when it reads at last, its statement is over.
    let said = timed.until_ready();
    assert_eq!((said.state(), said.rows < 1_000_000), ("57014", true), "{} rows", said.rows);
    drop(mute);
    is_well(&node);
}

/// A file system of its own; nothing where the test may not mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(megabytes: u32) -> Option<SmallDisk> {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let disk = SmallDisk(folder);
        disk.is_mounted_with(&format!("size={megabytes}m")).then_some(disk)
    }

    fn grow(&self, megabytes: u32) {
        assert!(self.is_mounted_with(&format!("remount,size={megabytes}m")), "it can be made larger");
    }

    fn is_mounted_with(&self, options: &str) -> bool {
        let mut mount = std::process::Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", options, "cairn-test"]).arg(self.0.path());
        mount.stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _was_not_mounted = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_stops_the_node_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount(96) else {
        println!("SKIPPED: no file system can be mounted here");
        return;
    };
    let data = disk.0.path().join("node");
    let mut node = Node::start(&data, &[]);
    let mut wire = Wire::session(&node.sql);
    assert!(wire.query("create table t (a int primary key, filler text)").errors.is_empty());
    let mut acknowledged = 0;
    // Text that compression does not make small.
    let filler = "(select string_agg(md5(g::text || random()::text), '') from generate_series(1, 8000) g)";
    let last = loop {
        let said = wire.query(&format!("insert into t values ({}, {filler})", acknowledged + 1));
        if said.closed || !said.errors.is_empty() {
            break said;
        }
        acknowledged += 1;
        assert!(acknowledged < 10_000, "the disk does not fill");
    };
    assert!(acknowledged > 50, "{acknowledged} rows before {last:?}");
    let code = node.child.wait().expect("the process can be waited for").code();
    assert_eq!(code, Some(1), "a node without a disk ends; {last:?}");
    // Still full: it may come back for those who only read, or say why it does not.
    let again = process::command()
        .args(["start", "--data", data.to_str().expect("a plain path")])
        .args(["--sql-addr", "127.0.0.1:0", "--rpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"])
        .env("CAIRN_LOG", "error")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the binary starts");
    std::thread::sleep(Duration::from_secs(3));
    let pid = i32::try_from(again.id()).expect("process numbers are small");
    // SAFETY: a signal to a child that has not been waited for.
    unsafe { libc::kill(pid, libc::SIGTERM) };
    let output = again.wait_with_output().expect("it can be waited for");
    let (code, why) = (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(code == Some(0) || (code == Some(1) && why.contains("the disk is full")), "{code:?}: {why}");

    disk.grow(512);
    let node = Node::start(&data, &[]);
    let mut wire = Wire::session(&node.sql);
    let count = wire.query(&format!("select count(*) from t where a <= {acknowledged} and length(filler) = 256000"));
    assert_eq!(count.first, Some(acknowledged.to_string()), "acknowledged rows are there");
    // What was not acknowledged may be there or not, but not a part of it.
    assert_eq!(wire.query("select count(*) from t where length(filler) <> 256000").first.as_deref(), Some("0"));
    assert!(wire.query("insert into t values (1000000, 'there is room again')").errors.is_empty());
}

/// Runs `cairn start` until it ends by itself; its exit code and last words.
fn refused(data: &std::path::Path, arguments: &[&str]) -> (Option<i32>, String) {
    let data = data.to_str().expect("a plain path");
    let output = process::command()
        .args(["start", "--data", data, "--sql-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"])
        .args(arguments)
        .env("CAIRN_LOG", "error")
        .output()
        .expect("the binary runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[track_caller]
fn says(what: (Option<i32>, String), parts: &[&str]) {
    let (code, text) = what;
    assert_eq!(code, Some(1), "{text}");
    for part in parts {
        assert!(text.contains(part), "{text:?} does not contain {part:?}");
    }
    let last = text.lines().last().unwrap_or_default();
    assert!(last.starts_with("cairn: "), "the last line is one sentence: {text:?}");
}

#[test]
fn a_folder_of_another_node_is_refused() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let place = |name: &str| folder.path().join(name);
    let copy = |from: &str, to: &str| {
        let copied = std::process::Command::new("cp").arg("-r").args([place(from), place(to)]).status();
        assert!(copied.expect("cp runs").success());
    };
    let mut one = Node::start(&place("one"), &[]);
    let mut other = Node::start(&place("other"), &[]);
    let any = ["--rpc-addr", "127.0.0.1:0"];
    says(refused(&place("one"), &any), &["one", "is in use by another process"]);
    assert_eq!(one.stop(), Some(0));
    copy("one", "copy");
    says(
        refused(&place("one"), &[&any[..], &["--join", &other.rpc]].concat()),
        &["the data directory belongs to n1 of cluster", &other.rpc, "leave --join out"],
    );
    let one = Node::start(&place("one"), &[]);
    says(refused(&place("copy"), &[&any[..], &["--join", &one.rpc]].concat()), &["is a copy", "n1", &one.rpc]);
    is_well(&one);
    is_well(&other);

    assert_eq!(other.stop(), Some(0));
    std::fs::remove_file(place("other").join("STORE")).expect("it is there");
    says(refused(&place("other"), &any), &["its STORE file is missing"]);
    std::fs::write(place("other").join("STORE"), "somebody else's\n").expect("it can be written");
    says(refused(&place("other"), &any), &["the STORE file is damaged"]);
    std::fs::create_dir(place("photos")).expect("a folder can be made");
    std::fs::write(place("photos").join("cat.jpg"), "meow").expect("it can be written");
    says(refused(&place("photos"), &any), &["photos", "is not empty and not a data directory of Cairn"]);
    says(refused(&place("photos").join("cat.jpg"), &any), &["cat.jpg", "cannot be used as a data directory"]);
}

#[test]
fn joining_nobody_or_the_wrong_one_says_so() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let node = Node::start(&folder.path().join("node"), &[]);
    let start = |name: &str, arguments: &[&str]| {
        let arguments = [&["--rpc-addr", "127.0.0.1:0", "--join-timeout", "2"][..], arguments].concat();
        refused(&folder.path().join(name), &arguments)
    };
    says(start("a", &["--join", "127.0.0.1:1"]), &["could not join a cluster within 2 s", "127.0.0.1:1"]);
    // The other ports of a node are no places to join.
    says(start("b", &["--join", &node.sql]), &["could not join a cluster within 2 s", &node.sql]);
    says(start("c", &["--join", &node.http]), &["could not join a cluster within 2 s", &node.http]);
    says(start("d", &["--join", "127.0.0.1:99999"]), &["is not HOST:PORT"]);
    says(start("e", &["--join", &node.rpc, "--expect", "3"]), &["--expect 3 needs --join"]);
    is_well(&node);
}

#[test]
#[ignore = "takes long in a debug build: scripts/hostile"]
fn large_statements() {
    let (_folder, node) = node(&[]);
    let mut wire = Wire::session(&node.sql);
    assert!(wire.query("create table t (a int primary key); insert into t values (7)").errors.is_empty());
    assert!(wire.query("set statement_timeout = '60s'").errors.is_empty());
    let before = resident(&node);
    let list = (0..1_000_000).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
    let rows = (0..1_000_000).map(|number| format!("({number})")).collect::<Vec<_>>().join(",");
    let literal = "x".repeat(100 << 20);
    for (what, text) in [
        ("in", format!("select count(*) from t where a in ({list})")),
        ("in of a value", format!("select 7 in ({list})")),
        ("array", format!("select cardinality(array[{list}])")),
        ("and", format!("select count(*) from t where a = 7{}", " and a = 7".repeat(1_000_000))),
        ("or", format!("select count(*) from t where a = 7{}", " or a = 7".repeat(1_000_000))),
        ("values", format!("select count(*) from (values {rows}) v")),
        ("insert", format!("insert into t values {rows} on conflict do nothing")),
        ("literal", format!("select length('{literal}')")),
        ("identifier", format!("select 1 as \"{literal}\"")),
        ("comment", format!("select 1 /* {literal} */")),
        ("nested comment", format!("select 1 {}", "/*".repeat(1_000_000))),
        ("statements", "select 1;".repeat(100_000)),
        ("semicolons", ";".repeat(10_000_000)),
    ] {
        let begun = Instant::now();
        let said = wire.query(&text);
        let state = said.state();
        println!(
            "{what}: {:?}, {state:?} {:?}, {} MiB",
            begun.elapsed(),
            said.first.as_deref().map(|text| text.len()),
            resident(&node)
        );
        assert!(!said.closed, "{what}: {said:?}");
        assert!(matches!(state, "" | "53200" | "54000" | "54001" | "57014" | "42601"), "{what}: {:?}", said.errors);
    }
    drop(wire);
    is_well(&node);
    comes_back_to(&node, before, 200);
}
