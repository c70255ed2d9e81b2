//! Whole nodes in one process: they form a cluster, elect, hand out numbers, replicate, and go on when one stops.
#![expect(clippy::disallowed_methods, reason = "a test is its own host")]

use std::time::Duration;

use bytes::Bytes;
use env::Knobs;
use keyspace::{Key, TableId, table_span};
use node::{Cluster, ClusterOptions, Disk};
use txn::{Isolation, TxnOptions, Visible};

fn quick() -> Knobs {
    Knobs {
        raft_tick: Duration::from_millis(20),
        node_heartbeat: Duration::from_millis(50),
        node_expiry: Duration::from_secs(1),
        rpc_timeout: Duration::from_millis(500),
        ..Knobs::default()
    }
}

/// `RUST_LOG=info` shows what the nodes say.
fn options(nodes: usize) -> ClusterOptions {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let _already = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    ClusterOptions { nodes, disk: Disk::Memory, knobs: quick() }
}

fn key(name: &str) -> Key {
    let start = table_span(TableId(1000)).start;
    Key::from([&start[..], &[1, 1], name.as_bytes()].concat())
}

const SERIALIZABLE: TxnOptions = TxnOptions { isolation: Isolation::Serializable, read_only: false, as_of: None, lock_timeout: None };

async fn write(cluster: &Cluster, index: usize, name: &str, value: &str) {
    let txn = cluster.node(index).txn().begin(SERIALIZABLE).await.unwrap();
    txn.put(key(name), Some(Bytes::copy_from_slice(value.as_bytes())), false).unwrap();
    txn.commit().await.unwrap();
}

async fn read(cluster: &Cluster, index: usize, name: &str) -> Option<String> {
    let txn = cluster.node(index).txn().begin(SERIALIZABLE).await.unwrap();
    let found = txn.get_many(&[key(name)], None, Visible::EarlierStatements, false).await.unwrap();
    txn.commit().await.unwrap();
    found[0].as_ref().map(|value| String::from_utf8(value.to_vec()).unwrap())
}

async fn limited<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.unwrap_or_else(|_| panic!("{what} takes too long"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_is_a_cluster() {
    let cluster = limited("starting", Cluster::start(options(1))).await.unwrap();
    write(&cluster, 0, "a", "1").await;
    assert_eq!(read(&cluster, 0, "a").await.as_deref(), Some("1"));
    let status = cluster.node(0).status();
    assert_eq!(status["summary"], "Healthy. One node: start others with --join to survive its loss.");
    cluster.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_replicate_and_survive_the_loss_of_any() {
    let mut cluster = limited("starting", Cluster::start(options(3))).await.unwrap();
    write(&cluster, 0, "a", "1").await;
    for index in 0..3 {
        assert_eq!(read(&cluster, index, "a").await.as_deref(), Some("1"), "on node {index}");
    }
    let mut last = keyspace::Timestamp::ZERO;
    for round in 0..30 {
        let number = cluster.node(round % 3).placement().timestamps().fresh().await.unwrap().first;
        assert!(number > last);
        last = number;
    }
    for index in 0..3 {
        limited("stopping", cluster.stop(index)).await;
        let others = [(index + 1) % 3, (index + 2) % 3];
        limited("writing without one", write(&cluster, others[0], "a", &format!("without {index}"))).await;
        let seen = limited("reading without one", read(&cluster, others[1], "a")).await;
        assert_eq!(seen, Some(format!("without {index}")));
        limited("restarting", cluster.restart(index)).await.unwrap();
        assert_eq!(limited("reading again", read(&cluster, index, "a")).await, seen);
    }
    limited("stopping all", cluster.shut_down()).await;
}
