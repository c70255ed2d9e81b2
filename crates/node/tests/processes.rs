//! Nodes as a process runs them: sockets on loopback, gRPC between them, RocksDB below.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "a test is its own host")]

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use env::{Env, Knobs, Os};
use keyspace::{Key, TableId, table_span};
use node::{Formation, Listeners, ListenersConfig, NodeConfig, NodeError, Process};
use storage::StoreDirectory;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use txn::{Isolation, TxnOptions, Visible};

fn env() -> Env {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let _already = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    let knobs =
        Knobs { raft_tick: Duration::from_millis(50), node_heartbeat: Duration::from_millis(100), ..Knobs::default() };
    Env::new(std::sync::Arc::new(Os::new()), knobs)
}

async fn listeners() -> Listeners {
    let any = || "127.0.0.1:0".to_owned();
    Listeners::bind(&ListenersConfig { rpc: any(), sql: any(), http: any(), ..ListenersConfig::default() })
        .await
        .unwrap()
}

async fn start(listeners: Listeners, data: &Path, formation: Formation) -> Result<Process, NodeError> {
    listeners
        .start(data, NodeConfig { formation, join_timeout: Duration::from_secs(20), ..NodeConfig::default() }, env())
        .await
}

async fn limited<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.unwrap_or_else(|_| panic!("{what} takes too long"))
}

async fn fetch(address: &str, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn key() -> Key {
    Key::from([&table_span(TableId(1000)).start[..], &[1, 1, b'k']].concat())
}

const OPTIONS: TxnOptions = TxnOptions {
    isolation: Isolation::Serializable,
    read_only: false,
    as_of: None,
    reads_for: None,
    lock_timeout: None,
};

async fn write(process: &Process, value: &'static str) {
    let txn = process.node().txn().begin(OPTIONS).await.unwrap();
    txn.put(key(), Some(Bytes::from_static(value.as_bytes())), false).unwrap();
    txn.commit().await.unwrap();
}

async fn read(process: &Process) -> Option<Bytes> {
    let txn = process.node().txn().begin(OPTIONS).await.unwrap();
    let found = txn.get_many(&[key()], None, Visible::EarlierStatements, false).await.unwrap();
    found.into_iter().next().flatten()
}

async fn until_three_voters(process: &[Process]) {
    let has_three = |process: &Process| {
        let ranges = process.node().status()["ranges"].clone();
        let ranges = ranges.as_array().cloned().unwrap_or_default();
        ranges.len() >= 2
            && ranges.iter().all(|range| range["voters"].as_str().is_some_and(|voters| voters.split(',').count() == 3))
    };
    while !process.iter().any(has_three) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_started_at_once_form_one_cluster_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let data: Vec<_> = (1..=3).map(|node| folder.path().join(format!("n{node}"))).collect();
    let sockets = [listeners().await, listeners().await, listeners().await];
    let together: Vec<String> = sockets.iter().map(|sockets| sockets.addresses().rpc.clone()).collect();
    let http = sockets[0].addresses().http.clone();
    let formation = Formation::from_flags(together.clone(), Some(3)).unwrap();
    let starting = sockets.into_iter().zip(&data).map(|(sockets, data)| start(sockets, data, formation.clone()));
    let processes: Vec<Process> = limited("forming", futures::future::join_all(starting))
        .await
        .into_iter()
        .map(|process| process.unwrap())
        .collect();
    assert!(processes.iter().all(|process| process.node().cluster() == processes[0].node().cluster()));
    let mut ids: Vec<u64> = processes.iter().map(|process| process.node().id().0).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3]);
    for process in &processes {
        assert!(limited("becoming ready", process.node().until_ready()).await);
    }
    limited("replicating", until_three_voters(&processes)).await;
    write(&processes[0], "one").await;
    for process in &processes {
        assert_eq!(read(process).await.as_deref(), Some(&b"one"[..]));
    }
    assert!(fetch(&http, "/health/ready").await.starts_with("HTTP/1.0 200"));
    assert!(fetch(&http, "/status.json").await.contains("Healthy. Can lose 1 more node"));

    // All stop and start again on the same addresses: the directory knows the cluster, the flags do not matter.
    limited("stopping", futures::future::join_all(processes.iter().map(Process::stop))).await;
    drop(processes);
    let mut again = Vec::new();
    for (data, address) in data.iter().zip(&together) {
        let config = ListenersConfig {
            rpc: address.clone(),
            sql: "127.0.0.1:0".into(),
            http: "127.0.0.1:0".into(),
            ..ListenersConfig::default()
        };
        let sockets = loop {
            match Listeners::bind(&config).await {
                Ok(sockets) => break sockets,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        // The old node's last tasks may still be letting its directory go.
        limited("letting go", async {
            while let Err(storage::Error::Unusable(_)) = StoreDirectory::open(data) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        again.push(start(sockets, data, Formation::Alone).await.unwrap());
    }
    for process in &again {
        assert!(limited("becoming ready again", process.node().until_ready()).await);
    }
    assert_eq!(read(&again[2]).await.as_deref(), Some(&b"one"[..]));
    write(&again[1], "two").await;
    assert_eq!(read(&again[0]).await.as_deref(), Some(&b"two"[..]));
    limited("stopping", futures::future::join_all(again.iter().map(Process::stop))).await;
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let sockets = listeners().await;
    let taken = sockets.addresses().sql.clone();
    let config = ListenersConfig {
        rpc: "127.0.0.1:0".into(),
        sql: taken.clone(),
        http: "127.0.0.1:0".into(),
        ..ListenersConfig::default()
    };
    let Err(error) = Listeners::bind(&config).await else { panic!("the port is in use") };
    assert!(error.to_string().starts_with(&format!("cannot listen on {taken}: Address already in use")), "{error}");

    let join = Formation::Join(vec!["127.0.0.1:1".into()]);
    let config = NodeConfig { formation: join, join_timeout: Duration::from_millis(100), ..NodeConfig::default() };
    let Err(error) = sockets.start(folder.path(), config, env()).await else { panic!("nobody is there") };
    assert_eq!(
        error.to_string(),
        "could not join a cluster within 0 s: nobody answers at 127.0.0.1:1: Connection refused (os error 111); is a node running at each address of --join?"
    );
}
