//! # The HTTP side of a node
//!
//! | path | answer |
//! | --- | --- |
//! | `/health/live` | 200 while the process can answer at all |
//! | `/health/ready` | 200 when the node takes SQL connections, else 503 and a sentence why not |
//! | `/metrics` | Prometheus' text format |
//! | `/status.json` | a sentence, the nodes and the ranges, as this node knows them |
//!
//! Everything is answered from what the node holds in memory, without asking another node: these pages
//! must work best when the cluster does not. The web console will live here too.
//! At most [`CONNECTIONS`] are open: the next one closes the oldest, so that a crowd that says nothing keeps nobody out.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use env::{Place, Places};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub const CONNECTIONS: usize = 100;

/// What the node knows. None of it may wait.
pub trait Source: Send + Sync + 'static {
    /// Why the node does not take SQL connections (yet, or any more).
    fn ready(&self) -> Result<(), String>;

    /// `{"summary": "…", "nodes": [{…}], "ranges": [{…}]}`; the objects of one list have the same fields.
    fn status(&self) -> serde_json::Value;

    /// Prometheus' text format.
    fn metrics(&self) -> String;
}

/// Answers on the connections that `listener` accepts until `shutdown` completes.
pub async fn serve<L>(
    listener: L,
    source: Arc<dyn Source>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()>
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    let listener = Bounded { listener, places: Places::new(CONNECTIONS) };
    axum::serve(listener, router(source)).with_graceful_shutdown(shutdown).await
}

struct Bounded<L> {
    listener: L,
    places: Places,
}

impl<L: Listener> Listener for Bounded<L> {
    type Io = Placed<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (io, address) = self.listener.accept().await;
        (Placed { io, place: self.places.take() }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that ends when its place goes to another one.
struct Placed<IO> {
    io: IO,
    place: Place,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Placed<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if Pin::new(&mut self.place).poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Placed<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

fn router(source: Arc<dyn Source>) -> Router {
    Router::new()
        .route("/health/live", get(|| async { "live\n" }))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/status.json", get(status))
        .with_state(source)
}

async fn ready(State(source): State<Arc<dyn Source>>) -> Response {
    match source.ready() {
        Ok(()) => "ready\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(source): State<Arc<dyn Source>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], source.metrics()).into_response()
}

async fn status(State(source): State<Arc<dyn Source>>) -> Response {
    let mut body = source.status().to_string();
    body.push('\n');
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
#[expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a test is its own host")]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    #[derive(Default)]
    struct Node {
        is_ready: AtomicBool,
    }

    impl Source for Node {
        fn ready(&self) -> Result<(), String> {
            if self.is_ready.load(Ordering::Relaxed) { Ok(()) } else { Err("no quorum".into()) }
        }

        fn status(&self) -> serde_json::Value {
            serde_json::json!({ "summary": "Healthy.", "nodes": [], "ranges": [] })
        }

        fn metrics(&self) -> String {
            "cairn_x 1\n".into()
        }
    }

    async fn fetch(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        format!("{} {}", head.split(' ').nth(1).unwrap(), body.trim())
    }

    #[tokio::test]
    async fn pages() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let node = Arc::new(Node::default());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, node.clone(), async {
            let _stop = stopped.await;
        }));
        assert_eq!(fetch(address, "/health/live").await, "200 live");
        assert_eq!(fetch(address, "/health/ready").await, "503 no quorum");
        node.is_ready.store(true, Ordering::Relaxed);
        assert_eq!(fetch(address, "/health/ready").await, "200 ready");
        assert_eq!(fetch(address, "/metrics").await, "200 cairn_x 1");
        assert_eq!(fetch(address, "/status.json").await, r#"200 {"summary":"Healthy.","nodes":[],"ranges":[]}"#);
        assert!(fetch(address, "/nothing").await.starts_with("404"));
        drop(stop);
        server.await.unwrap().unwrap();
    }
}
