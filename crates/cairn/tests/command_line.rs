//! Wrong usage, wrong places, and stopping: one clear sentence and the right exit code each.
#![expect(clippy::disallowed_types, reason = "a test is its own host")]

mod process;

use std::process::Output;

fn output(arguments: &[&str]) -> Output {
    process::command().args(arguments).env_remove("CAIRN_DATA").output().expect("the binary runs")
}

fn fails_with(arguments: &[&str], code: i32, part: &str) {
    let output = output(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert!(stderr.contains(part), "{arguments:?} says {stderr:?}, which does not contain {part:?}");
}

#[test]
fn wrong_usage_is_2_and_failure_is_1() {
    fails_with(&["fly"], 2, "unrecognized subcommand");
    fails_with(&["start", "--data", "x", "--no-such-flag"], 2, "unexpected argument");
    fails_with(&["start"], 1, "--data is missing");
    fails_with(&["start", "--data", "x", "--join", "nowhere"], 1, "not HOST:PORT");
    fails_with(
        &["start", "--data", "x", "--sql-addr", "0.0.0.0:0", "--rpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"],
        1,
        "--insecure",
    );
    fails_with(&["sql", "postgresql://root@127.0.0.1:1/cairn", "-c", "select 1"], 1, "cannot connect to 127.0.0.1:1");
    fails_with(&["sql", "not a url"], 1, "is not a connection URL");
    fails_with(&["status", "--http-addr", "127.0.0.1:1"], 1, "no node answers");
}

#[test]
fn a_node_starts_once_stops_cleanly_and_comes_back() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut node = process::Node::start(folder.path(), &[]);
    let taken = ["start", "--data", folder.path().to_str().expect("a plain path")];
    let free = process::free_address();
    let mut addresses = vec!["--sql-addr", &node.sql, "--rpc-addr", &free, "--http-addr", "127.0.0.1:0"];
    fails_with(&[&taken[..], &addresses].concat(), 1, "cannot listen on");
    addresses[1] = "127.0.0.1:0";
    fails_with(&[&taken[..], &addresses].concat(), 1, "in use");
    let created = process::command()
        .args(["sql", &node.url, "-c", "create table t (a int primary key)", "-c", "insert into t values (7)"])
        .status();
    assert!(created.expect("the shell runs").success());
    assert_eq!(node.stop(), Some(0), "SIGTERM ends a node well");
    let again = process::Node::start(folder.path(), &[]);
    let rows = process::command().args(["sql", &again.url, "-c", "select a from t"]).output().expect("the shell runs");
    assert!(String::from_utf8_lossy(&rows.stdout).contains("7\n(1 row)"), "{rows:?}");
}

#[test]
fn garbage_on_every_port_harms_nobody() {
    use std::io::{Read, Write};
    let folder = tempfile::tempdir().expect("a folder can be made");
    let node = process::Node::start(folder.path(), &[]);
    for address in [&node.sql, &node.rpc, &node.http] {
        for garbage in
            [&[0xff_u8; 64][..], b"GET / HTTP/1.1\r\n\r\n", &[0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0], &[0, 0, 0, 4], &[]]
        {
            let mut stream = std::net::TcpStream::connect(address).expect("the port is open");
            // The other side may close at any byte.
            let _refused = stream.write_all(garbage);
            let _closed = stream.shutdown(std::net::Shutdown::Write);
            stream.set_read_timeout(Some(std::time::Duration::from_secs(5))).expect("a time-out can be set");
            let _answer = stream.read(&mut [0; 256]);
        }
    }
    let rows = process::command().args(["sql", &node.url, "-c", "select 1"]).output().expect("the shell runs");
    assert!(rows.status.success(), "{rows:?}");
}

#[test]
fn a_leader_goes_where_it_is_told() {
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().expect("a folder can be made")).collect();
    let first = process::Node::start(folders[0].path(), &[]);
    let others = folders[1..].iter().map(|folder| process::Node::start(folder.path(), &["--join", &first.rpc]));
    let others: Vec<_> = others.collect();
    let ask = |sql: &str| {
        let output = output(&["sql", &others[0].url, "-c", sql]);
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let until = |query: &str, wanted: &str| {
        for _ in 0..300 {
            if ask(query).0.contains(wanted) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("{query} did not come to {wanted}: {:?}", ask(query));
    };
    until("SELECT cardinality(voters) = 3 AS whole FROM cairn.ranges WHERE range_id = 2", " t\n");
    for to in [3, 1, 2] {
        let (done, error) = ask(&format!("ALTER RANGE 2 MOVE LEADER TO {to}"));
        assert!(done.contains("ALTER RANGE"), "{done} {error}");
        until("SELECT 'node ' || leader AS leader FROM cairn.ranges WHERE range_id = 2", &format!("node {to}\n"));
    }
    let refused = |sql: &str, why: &str| assert!(ask(sql).1.contains(why), "{sql}: {:?}", ask(sql));
    refused("ALTER RANGE 99 MOVE LEADER TO 1", "range 99 does not exist");
    refused("ALTER RANGE 2 MOVE LEADER TO 9", "range 2 has no voter on node 9");
    refused("BEGIN; ALTER RANGE 2 MOVE LEADER TO 1", "cannot run inside a transaction block");
}

/// What a command says that goes well.
fn says(arguments: &[&str]) -> String {
    let output = output(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Asks again until the answer has `part`.
fn comes_to_say(arguments: &[&str], part: &str) {
    let begin = std::time::Instant::now();
    loop {
        let said = says(arguments);
        if said.contains(part) {
            return;
        }
        assert!(begin.elapsed().as_secs() < 30, "{arguments:?} goes on saying {said:?}, without {part:?}");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

#[test]
fn an_operator_looks_at_nodes_and_ranges_and_moves_them() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let first = process::Node::start(&folder.path().join("1"), &[]);
    let join = ["--join", &first.rpc];
    let second = process::Node::start(&folder.path().join("2"), &join);
    let _third = process::Node::start(&folder.path().join("3"), &join);
    let url = first.url.as_str();
    says(&[
        "sql",
        url,
        "-c",
        "create table t (a int primary key)",
        "-c",
        "insert into t select generate_series(1, 100)",
    ]);
    let replicated = "select count(*) as whole from cairn.ranges where cardinality(voters) = 3";
    comes_to_say(&["sql", url, "-c", replicated], "2\n(1 row)");
    assert!(says(&["node", "ls", url]).contains("| live "), "{}", says(&["node", "ls", url]));

    says(&["range", "split", "2", url]);
    comes_to_say(&["sql", url, "-c", replicated], "3\n(1 row)");
    comes_to_say(&["range", "ls", url], "| t ");
    fails_with(&["range", "split", "1", url], 1, "the system range");
    fails_with(&["range", "split", "77", url], 1, "r77 does not exist");
    fails_with(&["range", "move", "2", "1", "3", url], 1, "n3 has a replica of r2 already");
    says(&["range", "move-leader", "2", "3", url]);
    let leader = ["sql", url, "-c", "select leader from cairn.ranges where range_id = 2"];
    assert!(says(&leader).contains("3\n(1 row)"), "{}", says(&leader));

    let drained = says(&["node", "drain", "2", url]);
    assert!(drained.contains("node 2 is drained"), "{drained}");
    fails_with(&["sql", &second.url, "-c", "select 1"], 1, "the node is being drained (SQLSTATE 57P03)");
    assert!(says(&["node", "ls", url]).contains("| drained "), "{}", says(&["node", "ls", url]));
    says(&["node", "undrain", "2", url]);
    comes_to_say(&["node", "ls", url], " 2 ");

    fails_with(&["node", "decommission", "3", "--timeout", "2", url], 1, "start one more");
    says(&["node", "recommission", "3", url]);
    let log = says(&["sql", url, "-c", "select action, reason from cairn.placement_log where range_id = 2"]);
    assert!(log.contains("split at") && log.contains("an operator moves it") && log.contains("votes for"), "{log}");
    fails_with(&["sql", url, "-c", "call cairn.fly(1)"], 1, "a statement failed");
}
