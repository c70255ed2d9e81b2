//! AS OF SYSTEM TIME: statements and transactions that read what was.

mod support;

use keyspace::Timestamp;
use sql::SqlError;
use sql::session::Session;
use support::{Answer, block_on, cluster, connect, run};
use txn::fake::Fake;

/// 2026-11-21 04:00:00 UTC.
const FOUR_MS: u64 = 1_795_233_600_000;

fn advance(cluster: &Fake, minutes: u64) {
    cluster.oracle().advance_to(Timestamp::new(FOUR_MS + minutes * 60_000, 0));
}

async fn texts(session: &mut Session, text: &str) -> Vec<String> {
    let answer = run(session, text).await.unwrap_or_else(|error| panic!("{text}: {error}"));
    answer
        .rows
        .into_iter()
        .map(|row| row.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join(" "))
        .collect()
}

async fn refused(session: &mut Session, text: &str) -> String {
    run(session, text).await.err().unwrap_or_else(|| panic!("{text} is refused")).state().to_owned()
}

/// 4:00 a table with a row, 4:10 the row changes, 4:20 another column, 4:30 the table goes.
async fn history(cluster: &Fake, session: &mut Session) {
    let steps = [
        "CREATE TABLE t (a int PRIMARY KEY, b text); INSERT INTO t VALUES (1, 'old')",
        "UPDATE t SET b = 'new'; INSERT INTO t VALUES (2, 'more')",
        "ALTER TABLE t ADD COLUMN c int DEFAULT 7",
        "DROP TABLE t",
    ];
    for (number, step) in steps.into_iter().enumerate() {
        advance(cluster, 10 * number as u64);
        run(session, step).await.unwrap();
    }
    advance(cluster, 40);
}

#[test]
fn a_statement_reads_rows_and_schema_of_its_time() {
    block_on(async {
        let (server, cluster) = cluster(Vec::new()).await;
        let session = &mut connect(&server).await;
        history(&cluster, session).await;
        assert_eq!(texts(session, "SELECT * FROM t AS OF SYSTEM TIME '-35m' ORDER BY a").await, ["1 old"]);
        assert_eq!(
            texts(session, "SELECT * FROM t AS OF SYSTEM TIME '-25 minutes' ORDER BY a").await,
            ["1 new", "2 more"]
        );
        let with_column = "SELECT * FROM t AS OF SYSTEM TIME '2026-11-21 04:25:00+00' WHERE a = 2";
        assert_eq!(texts(session, with_column).await, ["2 more 7"]);
        assert_eq!(refused(session, "SELECT * FROM t AS OF SYSTEM TIME '-5m'").await, "42P01");
        assert_eq!(refused(session, "SELECT * FROM t").await, "42P01");
        let number = Timestamp::new(FOUR_MS + 60_000, 0).0;
        assert_eq!(texts(session, &format!("SELECT b FROM t AS OF SYSTEM TIME {number}")).await, ["old"]);
        let expression = "SELECT x.b FROM t x JOIN t AS y ON x.a = y.a AS OF SYSTEM TIME now() - interval '35m'";
        assert_eq!(texts(session, expression).await, ["old"]);
        let both = "SELECT b FROM t AS OF SYSTEM TIME '-25m' WHERE a IN (SELECT max(a) FROM t AS OF SYSTEM TIME '-25m') \
                    UNION ALL SELECT 'x'";
        assert_eq!(texts(session, both).await, ["more", "x"]);
        assert_eq!(
            texts(session, "SELECT of.a FROM generate_series(1, 1) AS of(a)").await,
            ["1"],
            "a name all the same"
        );
    });
}

#[test]
fn every_way_to_run_a_query_goes_back() {
    block_on(async {
        let (server, cluster) = cluster(Vec::new()).await;
        let session = &mut connect(&server).await;
        history(&cluster, session).await;
        let query = "SELECT b FROM t AS OF SYSTEM TIME '-35m'";
        assert_eq!(run(session, &format!("COPY ({query}) TO STDOUT")).await.unwrap().copied, b"old\n");
        assert_eq!(texts(session, &format!("EXPLAIN (ANALYZE, TIMING off, SUMMARY off) {query}")).await.len(), 1);
        run(session, &format!("PREPARE p AS {query}")).await.unwrap();
        assert_eq!(texts(session, "EXECUTE p").await, ["old"]);
        run(session, &format!("BEGIN; DECLARE c CURSOR FOR {query}")).await.unwrap();
        assert_eq!(texts(session, "FETCH ALL FROM c").await, ["old"]);
        run(session, "ROLLBACK").await.unwrap();
        let mut answer = Answer::default();
        session.parse("", query, &[]).await.unwrap();
        session.bind("", "", Vec::new(), &[]).await.unwrap();
        session.execute("", 1, &mut answer).await.unwrap();
        session.sync(&mut answer).await.unwrap();
        assert_eq!(answer.rows, [[Some("old".to_owned())]]);
    });
}

#[test]
fn a_transaction_stays_where_it_went() {
    block_on(async {
        let (server, cluster) = cluster(Vec::new()).await;
        let session = &mut connect(&server).await;
        history(&cluster, session).await;
        for begin in [
            "BEGIN AS OF SYSTEM TIME '-35m'",
            "BEGIN ISOLATION LEVEL READ COMMITTED, AS OF SYSTEM TIME '-35m'",
            "BEGIN; SET TRANSACTION AS OF SYSTEM TIME '-35m'",
            "BEGIN; SELECT b FROM t AS OF SYSTEM TIME '-35m'",
        ] {
            run(session, begin).await.unwrap();
            assert_eq!(texts(session, "SELECT b FROM t").await, ["old"], "{begin}");
            assert_eq!(texts(session, "SHOW transaction_read_only").await, ["on"]);
            assert_eq!(refused(session, "SELECT b FROM t AS OF SYSTEM TIME '-25m'").await, "25001");
            run(session, "ROLLBACK").await.unwrap();
        }
        for write in ["INSERT INTO t VALUES (3)", "SELECT * FROM t FOR UPDATE", "DROP TABLE t"] {
            run(session, "BEGIN AS OF SYSTEM TIME '-35m'").await.unwrap();
            assert_eq!(refused(session, write).await, "25006", "{write}");
            run(session, "ROLLBACK").await.unwrap();
        }
    });
}

#[test]
fn what_cannot_be_read_is_refused() {
    block_on(async {
        let (server, cluster) = cluster(Vec::new()).await;
        let session = &mut connect(&server).await;
        advance(&cluster, 0);
        run(session, "CREATE TABLE t (a int PRIMARY KEY)").await.unwrap();
        advance(&cluster, 60);
        for (text, state) in [
            ("SELECT * FROM t AS OF SYSTEM TIME '1s'", "22023"),
            ("SELECT * FROM t AS OF SYSTEM TIME 'gestern'", "22023"),
            ("SELECT * FROM t AS OF SYSTEM TIME (SELECT '-1m')", "0A000"),
            ("SELECT * FROM t AS OF SYSTEM TIME a", "42703"),
            ("SELECT * FROM t AS OF SYSTEM TIME $1", "42P02"),
            ("SELECT * FROM t, (SELECT * FROM t AS OF SYSTEM TIME '-1m') x", "42601"),
            ("SELECT * FROM t AS OF SYSTEM TIME '-1m' WHERE a IN (SELECT a FROM t AS OF SYSTEM TIME '-2m')", "42601"),
            ("INSERT INTO t SELECT * FROM t AS OF SYSTEM TIME '-1m'", "42601"),
            ("CREATE TABLE u AS SELECT * FROM t AS OF SYSTEM TIME '-1m'", "42601"),
            ("CREATE VIEW v AS SELECT * FROM t AS OF SYSTEM TIME '-1m'", "42601"),
            ("BEGIN READ WRITE AS OF SYSTEM TIME '-1m'", "42601"),
            ("SET SESSION CHARACTERISTICS AS TRANSACTION AS OF SYSTEM TIME '-1m'", "0A000"),
        ] {
            assert_eq!(refused(session, text).await, state, "{text}");
        }
        let gone = SqlError::from(txn::TxnError::SnapshotTooOld { at: Timestamp(1), floor: Timestamp(2) });
        assert_eq!(gone.state(), "72000");
    });
}
