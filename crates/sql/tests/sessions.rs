//! Several sessions of one server at once: what a COMMIT that fails leaves behind.

mod support;

use support::{block_on, connect, run, server};

/// Write skew: each reads what the other writes. Exactly one may commit; the other's COMMIT says 40001, and is not
/// taken for a statement outside a block, which would be run again, do nothing, and be acknowledged.
#[test]
fn a_commit_that_fails_is_not_acknowledged() {
    block_on(async {
        let server = server(Vec::new()).await;
        let (mut one, mut two) = (connect(&server).await, connect(&server).await);
        run(&mut one, "CREATE TABLE duty (who text PRIMARY KEY, on_call bool)").await.unwrap();
        run(&mut one, "INSERT INTO duty VALUES ('ann', true), ('ben', true)").await.unwrap();
        for (session, who) in [(&mut one, "ann"), (&mut two, "ben")] {
            run(session, "BEGIN ISOLATION LEVEL SERIALIZABLE").await.unwrap();
            let on_call = run(session, "SELECT count(*) FROM duty WHERE on_call").await.unwrap();
            assert_eq!(on_call.rows, [[Some("2".to_owned())]]);
            run(session, &format!("INSERT INTO duty VALUES ('{who} left', false)")).await.unwrap();
        }
        assert_eq!(run(&mut one, "COMMIT").await.unwrap().tags, ["COMMIT"]);
        let refused = run(&mut two, "COMMIT").await.err().expect("the second reads what the first wrote");
        assert_eq!(refused.state(), "40001");
        let left = run(&mut two, "SELECT who FROM duty WHERE NOT on_call").await.unwrap();
        assert_eq!(left.rows, [[Some("ann left".to_owned())]]);
    });
}

/// Garbage collection stays below what open transactions may still read.
#[test]
fn the_oldest_read_is_that_of_the_oldest_open_transaction() {
    block_on(async {
        let server = server(Vec::new()).await;
        let (mut one, mut two) = (connect(&server).await, connect(&server).await);
        run(&mut one, "CREATE TABLE t (a int)").await.unwrap();
        assert_eq!(server.oldest_read(), None);
        run(&mut one, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM t").await.unwrap();
        let oldest = server.oldest_read().expect("a transaction is open");
        run(&mut two, "BEGIN; SELECT * FROM t").await.unwrap();
        run(&mut two, "INSERT INTO t VALUES (1)").await.unwrap();
        assert_eq!(server.oldest_read(), Some(oldest));
        run(&mut one, "COMMIT").await.unwrap();
        assert!(server.oldest_read().expect("the other one is open") > oldest);
        run(&mut two, "ROLLBACK").await.unwrap();
        assert_eq!(server.oldest_read(), None);
    });
}

/// What a transaction has locked shows while it is open, in our words and in PostgreSQL's.
#[test]
fn locks_and_transactions_can_be_seen() {
    block_on(async {
        let server = server(Vec::new()).await;
        let (mut one, mut two) = (connect(&server).await, connect(&server).await);
        run(&mut one, "CREATE TABLE stock (item int PRIMARY KEY); INSERT INTO stock VALUES (7)").await.unwrap();
        run(&mut one, "BEGIN; SELECT * FROM stock FOR UPDATE; LOCK TABLE stock IN SHARE MODE").await.unwrap();
        let seen = "SELECT table_name, key, mode, granted FROM cairn.locks WHERE table_name = 'stock' ORDER BY mode";
        let text = |words: &[&str]| words.iter().map(|word| Some((*word).to_owned())).collect::<Vec<_>>();
        let rows = run(&mut two, seen).await.unwrap().rows;
        assert!(rows.contains(&text(&["stock", "Key (item)=(7)", "FOR UPDATE", "t"])), "{rows:?}");
        let mode = "SELECT mode FROM pg_locks WHERE relation = 'stock'::regclass AND NOT fastpath";
        assert_eq!(run(&mut two, mode).await.unwrap().rows, [text(&["ShareLock"])]);
        let open = "SELECT isolation, state, locks FROM cairn.transactions WHERE session_id <> pg_backend_pid()";
        let idle = text(&["serializable", "idle in transaction", "2"]);
        assert_eq!(run(&mut two, open).await.unwrap().rows, [idle]);
        run(&mut one, "COMMIT").await.unwrap();
        assert!(run(&mut two, seen).await.unwrap().rows.is_empty());
        assert!(run(&mut two, open).await.unwrap().rows.is_empty());
    });
}
