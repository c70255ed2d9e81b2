//! One node, one voter, RocksDB: how long a one-range commit and a point read take, and how many there are in a
//! second with more clients. `cargo run --release -p ranges --example commits -- DIRECTORY`
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock and runs its clients itself")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use env::Env;
use keyspace::{Epoch, Key, NodeId, RangeId, ReplicaId, Span, Timestamp, TxnId};
use ranges::{Outside, Store, StoreConfig};
use rpc::range::*;
use rpc::{BoxFuture, KvResult, Network, NetworkError, RaftEnvelope, Request, Response};

struct Alone;

impl Network for Alone {
    fn call(&self, to: NodeId, _: Request) -> BoxFuture<'_, Result<Response, NetworkError>> {
        Box::pin(async move { Err(NetworkError::Unreachable(to)) })
    }
    fn send_raft(&self, _: NodeId, _: Vec<RaftEnvelope>) {}
}

struct Clock(AtomicU64);

impl Clock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

struct Around(Arc<Clock>);

impl Outside for Around {
    fn fresh_timestamp(&self) -> BoxFuture<'_, KvResult<Timestamp>> {
        Box::pin(async move { Ok(self.0.now()) })
    }
    fn ask(&self, _: Key, _: RangeBody) -> BoxFuture<'_, RangeResponse> {
        Box::pin(async move { unreachable!("one range and no intents") })
    }
    fn may_hold_locks(&self, _: NodeId, _: TxnId) -> BoxFuture<'_, KvResult<bool>> {
        Box::pin(async move { Ok(true) })
    }
}

const EPOCH: Epoch = Epoch { config: 1, span: 1 };
const RANGE: RangeId = RangeId(2);
const KEYS: u64 = 100_000;

fn key(n: u64) -> Key {
    Key::from(format!("k{:08}", n % KEYS).as_str())
}

async fn commit(store: &Store, clock: &Clock, n: u64) {
    let txn = clock.now();
    let mutation =
        |n| Mutation { key: key(n), value: Some(Bytes::from(vec![7; 100])), changes_key: false, must_be_absent: false };
    let mutations = vec![mutation(n), mutation(n + 1)];
    let writes = Writes { txn: txn.into(), at: txn, snapshot: Timestamp::MAX, mutations, locked: vec![], attempt: 1 };
    let body = RangeBody::CommitOneRange(CommitRequest { writes });
    match store.handle(NodeId(1), RangeRequest { range: RANGE, epoch: EPOCH, body }).await {
        Ok(_) | Err(rpc::KvError::Pushed { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

async fn read(store: &Store, clock: &Clock, n: u64) {
    let reads = vec![ReadOp::Get { key: key(n), program: None }];
    let at = clock.now();
    let body = RangeBody::Read(ReadRequest { at, txn: Some(at.into()), reads, lock: None, bytes_max: 0 });
    store.handle(NodeId(1), RangeRequest { range: RANGE, epoch: EPOCH, body }).await.expect("a read");
}

#[tokio::main]
async fn main() {
    let directory = PathBuf::from(std::env::args().nth(1).expect("a directory to work in"));
    let options = storage::RocksOptions::default();
    let engine = Arc::new(
        storage::RocksEngine::open(storage::StoreDirectory::open(&directory).expect("the directory is ours"), &options)
            .expect("the engine opens"),
    );
    let clock = Arc::new(Clock(AtomicU64::new(1 << 40)));
    let on_fatal = Box::new(|error| panic!("{error}"));
    let store =
        Store::open(StoreConfig { env: Env::os(), node: NodeId(1), engine, network: Arc::new(Alone), on_fatal })
            .expect("the store opens");
    store.connect(Arc::new(Around(clock.clone())));
    if store.is_empty() {
        let replicas = vec![ReplicaDescriptor { node: NodeId(1), replica: ReplicaId(1), role: ReplicaRole::Voter }];
        store
            .bootstrap(vec![RangeDescriptor { id: RANGE, epoch: EPOCH, span: Span::all(), replicas }])
            .await
            .expect("a first range");
    }
    for n in (0..KEYS).step_by(2) {
        if n % 2000 == 0 {
            futures::future::join_all((n..n + 2000).step_by(2).map(|n| commit(&store, &clock, n))).await;
        }
    }
    for clients in [1, 2, 8, 64] {
        measure("commits", clients, &store, &clock, true).await;
    }
    for clients in [1, 2, 8] {
        measure("reads", clients, &store, &clock, false).await;
    }
    store.stop().await;
}

async fn measure(what: &str, clients: u64, store: &Store, clock: &Arc<Clock>, writes: bool) {
    let started = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let (store, clock) = (store.clone(), clock.clone());
            tokio::spawn(async move {
                let mut done = 0_u64;
                while started.elapsed() < Duration::from_secs(3) {
                    let n = client * 7919 + done * 104_729;
                    match writes {
                        true => commit(&store, &clock, n).await,
                        false => read(&store, &clock, n).await,
                    }
                    done += 1;
                }
                done
            })
        })
        .collect();
    let mut total = 0;
    for task in tasks {
        total += task.await.expect("a client");
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{clients:3} clients: {:8.0} {what}/s, {:7.1} µs each",
        total as f64 / seconds,
        seconds * 1e6 * clients as f64 / total as f64
    );
}
