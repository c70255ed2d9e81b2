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
