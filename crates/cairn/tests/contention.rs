//! Who waits for whom can be seen from every node, deadlocks over all kinds of locks end, and a 40001 says where.
#![expect(clippy::disallowed_methods, reason = "a test is its own host")]

mod process;
mod wire;

use std::time::{Duration, Instant};

use process::Node;
use wire::Wire;

struct Cluster {
    _folder: tempfile::TempDir,
    nodes: Vec<Node>,
}

impl Cluster {
    fn start(count: usize) -> Cluster {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mut nodes: Vec<Node> = Vec::new();
        for number in 0..count {
            let join = nodes.first().map(|first| first.rpc.clone());
            let arguments: Vec<&str> = join.iter().flat_map(|address| ["--join", address]).collect();
            nodes.push(Node::start(&folder.path().join(format!("node{number}")), &arguments));
        }
        Cluster { _folder: folder, nodes }
    }

    fn session(&self, node: usize) -> Wire {
        Wire::session(&self.nodes[node].sql)
    }
}

#[track_caller]
fn ask(wire: &mut Wire, text: &str) -> String {
    let said = wire.query(text);
    assert!(said.errors.is_empty() && !said.closed, "{text}: {said:?}");
    said.first.unwrap_or_default()
}

/// Sends a statement that will wait.
fn begin(wire: &mut Wire, text: &str) {
    wire.message(b'Q', &[text.as_bytes(), &[0]].concat());
}

/// Asks again until the answer is right.
#[track_caller]
fn until(wire: &mut Wire, question: &str, answer: &str) {
    let begun = Instant::now();
    loop {
        let got = ask(wire, question);
        if got == answer {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{question}: {got:?}, not {answer:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn waits_are_seen_from_every_node() {
    let cluster = Cluster::start(2);
    let (mut holder, mut waiter) = (cluster.session(0), cluster.session(1));
    ask(&mut holder, "create table stock (item int primary key, pieces int); insert into stock values (7, 1), (8, 1)");
    let pids = [&mut holder, &mut waiter].map(|wire| ask(wire, "select pg_backend_pid()"));
    assert_ne!(pids[0], pids[1], "session numbers are of the whole cluster");
    ask(&mut holder, "begin; select from stock where item = 7 for update");
    begin(&mut waiter, "begin; update stock set pieces = 0 where item = 7");
    for node in 0..2 {
        let mut observer = cluster.session(node);
        until(&mut observer, &format!("select pg_blocking_pids({})", pids[1]), &format!("{{{}}}", pids[0]));
        let wait = format!(
            "select w.table_name || ', ' || w.key || ', ' || w.mode || ', node ' || w.node_id || ' behind node ' || h.node_id \
             from cairn.locks w join cairn.locks h on h.transaction_id = w.blocked_by and h.key = w.key \
             where not w.granted and w.session_id = {} and h.session_id = {}",
            pids[1], pids[0]
        );
        until(&mut observer, &wait, "stock, Key (item)=(7), FOR NO KEY UPDATE, node 2 behind node 1");
        let open = "select count(distinct node_id) from cairn.transactions where session_id <> pg_backend_pid()";
        until(&mut observer, open, "2");
        let waits = format!("select locktype || ' ' || mode from pg_locks where not granted and pid = {}", pids[1]);
        until(&mut observer, &waits, "transactionid ShareLock");
    }
    ask(&mut holder, "commit");
    assert!(waiter.until_ready().errors.is_empty());
    ask(&mut waiter, "commit");

    // A lock on a table, and an advisory one.
    ask(&mut holder, "begin; lock table stock in exclusive mode; select pg_advisory_xact_lock(3, 4)");
    begin(&mut waiter, "update stock set pieces = 0 where item = 8");
    let mut third = cluster.session(1);
    let pid = ask(&mut third, "select pg_backend_pid()");
    begin(&mut third, "select pg_advisory_lock_shared(3, 4)");
    let mut observer = cluster.session(0);
    let table =
        format!("select mode || ' ' || relation::regclass from pg_locks where not granted and pid = {}", pids[1]);
    until(&mut observer, &table, "RowExclusiveLock stock");
    let advisory = format!("select key || ', ' || mode from cairn.locks where not granted and session_id = {pid}");
    until(&mut observer, &advisory, "advisory lock (3, 4), ShareLock");
    until(&mut observer, &format!("select pg_blocking_pids({pid})"), &format!("{{{}}}", pids[0]));
    ask(&mut holder, "commit");
    assert!(waiter.until_ready().errors.is_empty() && third.until_ready().errors.is_empty());
}

#[test]
fn explain_analyze_shows_what_was_waited() {
    let cluster = Cluster::start(1);
    let (mut holder, mut waiter) = (cluster.session(0), cluster.session(0));
    ask(&mut holder, "create table t (a int primary key, v int); insert into t values (1, 0)");
    let pid = ask(&mut waiter, "select pg_backend_pid()");
    let plan = |wire: &mut Wire| {
        let mut lines = Vec::new();
        loop {
            match wire.next() {
                Some((b'D', body)) => lines.push(String::from_utf8_lossy(&body[6..]).into_owned()),
                Some((b'Z', _)) => return lines,
                Some((b'E', body)) => panic!("{}", body.escape_ascii()),
                Some(_) => {}
                None => panic!("the server closed the connection"),
            }
        }
    };
    for level in ["read committed", "serializable"] {
        ask(&mut holder, "begin; update t set v = v + 1 where a = 1");
        ask(&mut waiter, &format!("begin isolation level {level}"));
        begin(&mut waiter, "explain analyze update t set v = v + 1 where a = 1");
        until(&mut holder, &format!("select cardinality(pg_blocking_pids({pid}))"), "1");
        std::thread::sleep(Duration::from_millis(300));
        ask(&mut holder, "commit");
        let lines = plan(&mut waiter);
        let waits = lines.iter().find_map(|line| line.strip_prefix("Waits: locks="));
        let ms: f64 = waits.and_then(|waits| waits.split(' ').next()?.parse().ok()).unwrap_or(0.0);
        assert!(ms >= 250.0, "{level}: {lines:#?}");
        assert!(lines.iter().any(|line| line == "Restarts: 1"), "{level}: {lines:#?}");
        ask(&mut waiter, "commit");
    }
    begin(&mut waiter, "explain analyze select * from t");
    let lines = plan(&mut waiter);
    assert!(!lines.iter().any(|line| line.starts_with("Waits") || line.starts_with("Restarts")), "{lines:#?}");
    assert_eq!(ask(&mut holder, "select v from t"), "4");
}

/// All fields of the first error of an answer, as `code: text`.
fn fields(wire: &mut Wire) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        match wire.next() {
            Some((b'E', body)) => {
                let fields = body.split(|byte| *byte == 0).filter(|field| !field.is_empty());
                found = fields
                    .map(|field| format!("{}: {}", field[0] as char, String::from_utf8_lossy(&field[1..])))
                    .collect();
            }
            Some((b'Z', _)) => return found,
            Some(_) => {}
            None => panic!("the server closed the connection"),
        }
    }
}

#[track_caller]
fn is_conflict(wire: &mut Wire, text: &str, details: &[&str]) {
    begin(wire, text);
    let fields = fields(wire);
    let has = |wanted: &str| fields.iter().any(|field| field == wanted);
    assert!(has("C: 40001") && has("H: The transaction might succeed if retried."), "{text}: {fields:#?}");
    let detail = fields.iter().find_map(|field| field.strip_prefix("D: ")).unwrap_or_default();
    for part in details {
        assert!(detail.contains(part), "{text}: {detail:?} does not contain {part:?}");
    }
}

#[test]
fn a_conflict_says_key_table_and_transaction() {
    let cluster = Cluster::start(1);
    let (mut one, mut two) = (cluster.session(0), cluster.session(0));
    ask(&mut one, "create table account (id int primary key, owner text, balance int)");
    ask(&mut one, "insert into account values (1, 'ann', 100), (2, 'ben', 100)");
    let row = ["Key (id)=(1) of table \"account\".", "Other transaction: "];

    // REPEATABLE READ meets a newer version, at the row and at the commit.
    ask(&mut one, "begin isolation level repeatable read; select * from account");
    ask(&mut two, "update account set balance = 90 where id = 1");
    is_conflict(&mut one, "update account set balance = 80 where id = 1", &row);
    ask(&mut one, "rollback");

    // SERIALIZABLE: what was read has changed.
    ask(&mut one, "begin isolation level serializable; select * from account where id = 1");
    ask(&mut two, "update account set balance = 91 where id = 1");
    ask(&mut one, "update account set balance = 92 where id = 2");
    // Somebody has seen the one change without the other.
    ask(&mut two, "select sum(balance) from account");
    is_conflict(&mut one, "commit", &row);

    // The same, found when a statement has to move on.
    ask(&mut one, "begin isolation level serializable; select * from account where id = 1");
    ask(&mut two, "update account set balance = 93 where id = 1");
    ask(&mut two, "update account set balance = 93 where id = 2");
    is_conflict(&mut one, "update account set balance = 94 where id = 2", &row);
    ask(&mut one, "rollback");

    // Over several ranges.
    ask(&mut two, "alter table account split at values (2)");
    ask(&mut one, "begin isolation level serializable; select sum(balance) from account");
    ask(&mut one, "insert into account values (3, 'cid', 1), (0, 'dora', 1)");
    ask(&mut two, "update account set balance = 97 where id = 1");
    ask(&mut two, "select sum(balance) from account");
    is_conflict(&mut one, "commit", &row);

    // A schema that is another one by now.
    ask(&mut one, "begin isolation level repeatable read; select * from account");
    ask(&mut two, "alter table account drop column owner");
    begin(&mut one, "insert into account values (9, 'eve', 1)");
    let said = one.until_ready();
    if said.errors.is_empty() {
        // Whoever has seen the table as it is now forbids a number from before.
        ask(&mut two, "select * from account");
        is_conflict(&mut one, "commit", &["account", "was changed by a concurrent transaction"]);
    } else {
        assert_eq!(said.state(), "40001");
        ask(&mut one, "rollback");
    }
}

/// Two wait for each other: exactly one of them is told of the deadlock, and the other one goes on.
#[track_caller]
fn one_gives_way(one: &mut Wire, two: &mut Wire) {
    let begun = Instant::now();
    let (first, other) = loop {
        if one.has_answer(Duration::from_millis(20)) {
            break (one, two);
        }
        if two.has_answer(Duration::from_millis(20)) {
            break (two, one);
        }
        assert!(begun.elapsed() < Duration::from_secs(15), "the deadlock stands");
    };
    let said = first.until_ready();
    if said.errors.is_empty() {
        // The other one's answer came later than what its end set free.
        assert_eq!(other.until_ready().state(), "40P01");
    } else {
        assert_eq!(said.state(), "40P01", "{said:?}");
        first.query("rollback");
        ask(first, "select pg_advisory_unlock_all()");
        let said = other.until_ready();
        assert!(said.errors.is_empty(), "{said:?}");
    }
    for wire in [first, other] {
        wire.query("rollback");
        ask(wire, "select pg_advisory_unlock_all()");
    }
}

fn advisory_deadlock(cluster: &Cluster, nodes: [usize; 2], lock: &str) {
    let [mut one, mut two] = nodes.map(|node| cluster.session(node));
    let mut observer = cluster.session(0);
    let pid = ask(&mut two, "select pg_backend_pid()");
    for wire in [&mut one, &mut two] {
        ask(wire, "begin isolation level read committed");
    }
    ask(&mut one, &format!("select {lock}(77)"));
    ask(&mut two, "update t set v = v + 1 where a = 1");
    begin(&mut two, &format!("select {lock}(77)"));
    until(&mut observer, &format!("select cardinality(pg_blocking_pids({pid}))"), "1");
    begin(&mut one, "update t set v = v + 1 where a = 1");
    one_gives_way(&mut one, &mut two);
}

#[test]
fn deadlocks_of_advisory_and_row_locks_end() {
    let cluster = Cluster::start(2);
    ask(&mut cluster.session(0), "create table t (a int primary key, v int); insert into t values (1, 0), (2, 0)");
    for lock in ["pg_advisory_lock", "pg_advisory_xact_lock"] {
        for nodes in [[0, 0], [1, 1], [0, 1], [1, 0]] {
            advisory_deadlock(&cluster, nodes, lock);
        }
    }
    // No deadlock: one waits for an advisory lock whose holder only works.
    let (mut one, mut two) = (cluster.session(0), cluster.session(1));
    ask(&mut one, "begin; select pg_advisory_xact_lock(5); update t set v = 9 where a = 1");
    begin(&mut two, "select pg_advisory_xact_lock(5)");
    std::thread::sleep(Duration::from_millis(500));
    ask(&mut one, "select pg_advisory_xact_lock(6), pg_advisory_xact_lock(5); update t set v = 9 where a = 2; commit");
    assert!(two.until_ready().errors.is_empty());
    // Two advisory locks in two orders, as before.
    for wire in [&mut one, &mut two] {
        ask(wire, "begin");
    }
    ask(&mut one, "select pg_advisory_xact_lock(1)");
    ask(&mut two, "select pg_advisory_xact_lock(2)");
    begin(&mut two, "select pg_advisory_xact_lock(1); rollback");
    std::thread::sleep(Duration::from_millis(300));
    begin(&mut one, "select pg_advisory_xact_lock(2); rollback");
    one_gives_way(&mut one, &mut two);
}

#[test]
fn rollback_to_weakens_what_was_strengthened_since() {
    let cluster = Cluster::start(1);
    let (mut one, mut two) = (cluster.session(0), cluster.session(0));
    ask(&mut one, "create table t (a int primary key, v int); insert into t values (1, 0), (2, 0)");
    ask(
        &mut one,
        "begin isolation level read committed; select from t for key share; savepoint s; select from t for update",
    );
    let state = |wire: &mut Wire, how: &str| {
        wire.query("begin");
        let said = wire.query(&format!("select from t where a = 1 for {how} nowait"));
        wire.query("rollback");
        said.state().to_owned()
    };
    assert_eq!(state(&mut two, "key share"), "55P03");
    let mut waiter = cluster.session(0);
    begin(&mut waiter, "update t set v = 1 where a = 2");
    std::thread::sleep(Duration::from_millis(300));
    ask(&mut one, "rollback to s");
    assert!(waiter.until_ready().errors.is_empty(), "who waited for the stronger lock goes on");
    assert_eq!(state(&mut two, "no key update"), "");
    assert_eq!(state(&mut two, "update"), "55P03", "what was locked before the savepoint still is");
    // Once more, and then released: strengthened in the same savepoint as it was taken.
    ask(&mut one, "savepoint u; select from t for share; savepoint w; select from t for update; rollback to w");
    assert_eq!(state(&mut two, "share"), "");
    assert_eq!(state(&mut two, "no key update"), "55P03");
    ask(&mut one, "rollback to u");
    assert_eq!(state(&mut two, "no key update"), "");
    ask(&mut one, "commit");
    assert_eq!(state(&mut two, "update"), "");
}
