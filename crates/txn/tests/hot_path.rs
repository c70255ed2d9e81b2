//! What one statement on one local range costs this crate: messages, numbers, heap allocations. A ratchet: a change
//! that needs more has to say why.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use env::BoxFuture;
use keyspace::{Epoch, Key, NodeId, RangeId, ReplicaId, Span, Timestamp, TxnId};
use rpc::cluster::IdKind;
use rpc::range::{
    KeyValue, RangeBody, RangeDescriptor, RangeReply, ReadReply, ReadResult, ReplicaDescriptor, ReplicaRole,
};
use rpc::{KvError, Network, NetworkError, RaftEnvelope, Request, Response};
use txn::{Directory, Oracle, Stamp, TxnClient, TxnOptions, TxnResult, Visible, fake};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A range that knows one row and commits everything, at once.
#[derive(Default)]
struct Instant {
    messages: AtomicU64,
    numbers: AtomicU64,
}

impl Network for Instant {
    fn call(&self, _to: NodeId, request: Request) -> BoxFuture<'_, Result<Response, NetworkError>> {
        self.messages.fetch_add(1, Ordering::Relaxed);
        let Request::Range(request) = request else { panic!("only ranges are asked") };
        let reply = match request.body {
            RangeBody::Read(read) => {
                let row = KeyValue { key: Key::from("k"), value: Bytes::from_static(b"v"), at: Timestamp(1) };
                let results = read.reads.iter().map(|_| ReadResult { rows: vec![row.clone()], resume: None }).collect();
                Ok(RangeReply::Read(ReadReply { results, ..ReadReply::default() }))
            }
            RangeBody::CommitOneRange(commit) => Ok(RangeReply::Committed { at: commit.writes.at }),
            other => Err(KvError::NotSupported { what: format!("{other:?}") }),
        };
        Box::pin(std::future::ready(Ok(Response::Range(reply))))
    }

    fn send_raft(&self, _to: NodeId, _envelopes: Vec<RaftEnvelope>) {}
}

impl Oracle for Instant {
    fn fresh(&self) -> BoxFuture<'_, TxnResult<Stamp>> {
        let at = Timestamp(self.numbers.fetch_add(1, Ordering::Relaxed) + 1);
        Box::pin(std::future::ready(Ok(Stamp { at, catalog: Timestamp::ZERO, unsettled: false })))
    }

    fn announce_catalog_change(&self, _txn: TxnId) -> BoxFuture<'_, TxnResult<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn allocate_ids(&self, _kind: IdKind, _count: u32) -> BoxFuture<'_, TxnResult<u64>> {
        Box::pin(std::future::ready(Ok(1)))
    }
}

impl Directory for Instant {
    fn locate(&self, _key: &Key) -> BoxFuture<'_, TxnResult<(RangeDescriptor, Option<NodeId>)>> {
        let replica = ReplicaDescriptor { node: NodeId(1), replica: ReplicaId(1), role: ReplicaRole::Voter };
        let descriptor =
            RangeDescriptor { id: RangeId(1), epoch: Epoch::default(), span: Span::all(), replicas: vec![replica] };
        Box::pin(std::future::ready(Ok((descriptor, Some(NodeId(1))))))
    }
}

struct Cost {
    allocations: u64,
    messages: u64,
    numbers: u64,
}

async fn cost<F: Future<Output = TxnResult<()>>>(run: impl Fn(TxnClient) -> F) -> Cost {
    let world = Arc::new(Instant::default());
    let client = TxnClient::new(fake::env(), NodeId(1), world.clone(), world.clone(), world.clone());
    // The first fills the range cache.
    run(client.clone()).await.unwrap();
    let before = (ALLOCATIONS.get(), world.messages.load(Ordering::Relaxed), world.numbers.load(Ordering::Relaxed));
    run(client).await.unwrap();
    Cost {
        allocations: ALLOCATIONS.get() - before.0,
        messages: world.messages.load(Ordering::Relaxed) - before.1,
        numbers: world.numbers.load(Ordering::Relaxed) - before.2,
    }
}

#[tokio::test(start_paused = true)]
async fn a_point_read() {
    let key = Key::from("k");
    let cost = cost(|client| {
        let key = key.clone();
        async move {
            let txn = client.begin(TxnOptions::default()).await?;
            txn.begin_statement().await?;
            let row = txn.get_many(std::slice::from_ref(&key), None, Visible::EarlierStatements, false).await?;
            assert!(row[0].is_some());
            txn.commit().await.map(|_| ())
        }
    })
    .await;
    assert_eq!((cost.messages, cost.numbers), (1, 1));
    // The world's: two futures, the answer's list, the row's, the row's key and its clone. Ours: the transaction, the
    // list of reads, the list of values.
    assert!(cost.allocations <= 6 + 3, "{}", cost.allocations);
}

#[tokio::test(start_paused = true)]
async fn a_point_write() {
    let (key, value) = (Key::from("k"), Bytes::from_static(b"v"));
    let cost = cost(|client| {
        let (key, value) = (key.clone(), value.clone());
        async move {
            let txn = client.begin(TxnOptions::default()).await?;
            txn.begin_statement().await?;
            txn.get_many(std::slice::from_ref(&key), None, Visible::EarlierStatements, false).await?;
            txn.put(key, Some(value), false)?;
            txn.commit().await.map(|_| ())
        }
    })
    .await;
    assert_eq!((cost.messages, cost.numbers), (2, 1));
    // As above, one more future of the world's, and of ours: two for the buffered write, the list of mutations and the
    // copy that is sent.
    assert!(cost.allocations <= 9 + 1 + 4, "{}", cost.allocations);
}
