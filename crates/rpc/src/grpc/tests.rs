//! Two networks over loopback sockets.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a test is its own host")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use keyspace::{RangeId, ReplicaId};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;

use super::*;
use crate::range::{AdminRequest, RangeBody, RangeRequest};
use crate::scheduler::tokio_scheduler;
use crate::testing::Echo;

struct Process {
    network: GrpcNetwork,
    address: SocketAddr,
    echo: Arc<Echo>,
}

async fn start(cluster: u64, node: u64) -> Process {
    start_at(cluster, node, "127.0.0.1:0".parse().unwrap()).await
}

async fn start_at(cluster: u64, node: u64, address: SocketAddr) -> Process {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let network = GrpcNetwork::new(tokio_scheduler(1));
    let echo = Arc::new(Echo::default());
    network.serve(echo.clone());
    network.identify(cluster, NodeId(node));
    tokio::spawn(network.listen(TcpListenerStream::new(listener)));
    Process { network, address, echo }
}

fn introduce(processes: &[&Process]) {
    for one in processes {
        for other in processes {
            let info = NodeInfo {
                node: other.network.0.identity().node,
                rpc_address: other.address.to_string(),
                sql_address: String::new(),
                http_address: String::new(),
                silent_ms: 0,
                live: true,
            };
            one.network.learn(&[info]);
        }
    }
}

fn unreachable(node: u64) -> NetworkError {
    NetworkError::Unreachable(NodeId(node))
}

#[tokio::test]
async fn requests_and_raft_messages_cross() {
    let (one, two) = (start(7, 1).await, start(7, 2).await);
    introduce(&[&one, &two]);
    let calls = (0..500).map(|count| Echo::ask(&one.network, NodeId(2), count));
    for (count, answer) in future::join_all(calls).await.into_iter().enumerate() {
        assert_eq!(answer, Ok((NodeId(1), count as u32)));
    }
    let describe = RangeBody::Admin(AdminRequest::Describe);
    let request = RangeRequest { range: RangeId(9), epoch: Default::default(), body: describe };
    let response = one.network.call(NodeId(2), Request::Range(request)).await.unwrap();
    assert!(matches!(response, Response::Range(Err(crate::KvError::RangeNotFound { range: RangeId(9) }))));

    let envelope = |bytes: usize| RaftEnvelope {
        range: RangeId(1),
        from: (NodeId(1), ReplicaId(1)),
        to: (NodeId(2), ReplicaId(2)),
        message: vec![1; bytes].into(),
    };
    // The first ones may be lost while the connection is made, as any raft message may.
    while two.echo.raft_messages() < 10 {
        one.network.send_raft(NodeId(2), vec![envelope(10), envelope(BULK_BYTES + 1)]);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_dead_peer_is_an_error_at_once_and_a_restarted_one_is_found_again() {
    let (one, two) = (start(7, 1).await, start(7, 2).await);
    introduce(&[&one, &two]);
    assert!(Echo::ask(&one.network, NodeId(2), 1).await.is_ok());
    two.network.close();
    let begin = Instant::now();
    while Echo::ask(&one.network, NodeId(2), 1).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(Echo::ask(&one.network, NodeId(2), 1).await, Err(unreachable(2)));
    assert!(begin.elapsed() < Duration::from_millis(500), "took {:?}", begin.elapsed());

    let again = start_at(7, 2, two.address).await;
    let begin = Instant::now();
    while Echo::ask(&one.network, NodeId(2), 1).await.is_err() {
        assert!(begin.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(again.echo.calls() > 0);
}

#[tokio::test]
async fn another_cluster_and_another_node_are_refused_by_name() {
    let (one, other_cluster, two) = (start(7, 1).await, start(8, 3).await, start(7, 2).await);
    introduce(&[&one, &other_cluster, &two]);
    let error = Echo::ask(&one.network, NodeId(3), 1).await.unwrap_err();
    assert_eq!(error.to_string(), "node n3 was refused: it belongs to the cluster 7, this node to 8");

    // Node 2's directory was wiped: node 4 answers at its address.
    two.network.identify(7, NodeId(4));
    let error = Echo::ask(&one.network, NodeId(2), 1).await.unwrap_err();
    assert_eq!(error.to_string(), "node n2 was refused: it looks for n2, this is n4");
}

#[tokio::test]
async fn strangers_may_ask_by_address() {
    let (one, stranger) = (start(7, 1).await, start(0, 0).await);
    let answer = stranger.network.ask(&one.address.to_string(), ClusterRequest::Survey).await;
    assert!(answer.unwrap().is_ok());
    let nobody = stranger.network.ask("127.0.0.1:1", ClusterRequest::Survey).await.unwrap_err();
    assert!(matches!(nobody, AskError::NoAnswer { .. }), "{nobody}");
    // Known by number, but not a member of any cluster itself.
    introduce(&[&one, &stranger]);
    let error = Echo::ask(&stranger.network, NodeId(1), 1).await.unwrap_err();
    assert!(matches!(error, NetworkError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn garbage_on_the_port_harms_nobody() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (one, two) = (start(7, 1).await, start(7, 2).await);
    introduce(&[&one, &two]);
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 4096],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        let mut socket = tokio::net::TcpStream::connect(two.address).await.unwrap();
        let _may_be_closed = socket.write_all(garbage).await;
        let mut answer = Vec::new();
        let _closed = tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut answer)).await;
    }
    assert!(Echo::ask(&one.network, NodeId(2), 1).await.is_ok());
}
