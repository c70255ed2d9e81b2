//! A server over a cluster in one process, and the answers of its sessions as text.

use std::sync::Arc;

use bytes::Bytes;
use env::{BoxFuture, Budget, Env};
use expr::program::{Program, Runner};
use expr::{EvalContext, Row};
use keyspace::{Key, NodeId};
use sql::plan::Field;
use sql::session::{CopyFormat, Notice, Output, Server, ServerConfig, Session, Startup};
use sql::{SqlError, SqlResult};
use txn::{KeyValue, TxnClient, fake};

/// A new cluster whose ranges begin at `split_keys`, with the catalog's first rows.
#[allow(dead_code, reason = "a test that looks below the server makes its cluster itself")]
pub async fn server(split_keys: Vec<Key>) -> Arc<Server> {
    cluster(split_keys).await.0
}

/// The same, with what is below the server.
pub async fn cluster(split_keys: Vec<Key>) -> (Arc<Server>, Arc<fake::Fake>) {
    let env = fake::env();
    let cluster = fake::Fake::new(env.clone(), 1, split_keys);
    cluster.set_evaluator(Arc::new(Programs));
    (server_of(env, cluster.client(NodeId(1))).await, cluster)
}

/// Runs push-down programs as the real ranges do.
struct Programs;

impl fake::Evaluator for Programs {
    fn evaluate(&self, program: &Bytes, rows: Vec<KeyValue>) -> Result<Vec<KeyValue>, Bytes> {
        let program = Program::decode(program).expect("a whole program").expect("of this version");
        let mut runner = Runner::new(program);
        let mut out = Vec::new();
        for mut row in rows {
            let mut tuple = Vec::new();
            if runner.run(&row.key, &row.value, &mut tuple).map_err(|error| Bytes::from(error.encode()))? {
                row.value = tuple.into();
                out.push(row);
            }
        }
        Ok(out)
    }
}

pub async fn server_of(env: Env, txn: TxnClient) -> Arc<Server> {
    sql::catalog::bootstrap(&txn).await.expect("the first rows are written");
    let memory = Budget::new(1 << 30);
    Server::new(ServerConfig { env, node: NodeId(1), txn, version: "0.1.0".into(), memory })
}

pub async fn connect(server: &Arc<Server>) -> Session {
    let startup = Startup { user: "root".into(), database: "cairn".into(), ..Startup::default() };
    server.connect(startup).await.expect("root connects")
}

/// What a client sees of one message.
#[derive(Default)]
pub struct Answer {
    pub fields: Vec<Field>,
    /// NULL is `None`.
    pub rows: Vec<Vec<Option<String>>>,
    pub tags: Vec<String>,
    pub notices: Vec<Notice>,
    pub suspended: bool,
    pub copied: Vec<u8>,
    /// What the client sends after CopyInResponse.
    pub copy_in: Vec<Bytes>,
}

impl Output for Answer {
    fn fields(&mut self, fields: &[Field]) -> SqlResult<()> {
        self.fields = fields.to_vec();
        Ok(())
    }

    fn rows<'a>(
        &'a mut self,
        fields: &'a [Field],
        rows: &'a [Row],
        ctx: &'a EvalContext<'a>,
    ) -> BoxFuture<'a, SqlResult<()>> {
        for row in rows {
            assert_eq!(row.len(), fields.len(), "a row has the columns it was described with");
            let text =
                |(field, value): (&Field, &expr::Datum)| (!value.is_null()).then(|| value.text_form(field.ty, ctx));
            self.rows.push(fields.iter().zip(row).map(text).collect());
        }
        Box::pin(async { Ok(()) })
    }

    fn complete(&mut self, tag: &str) -> SqlResult<()> {
        self.tags.push(tag.to_owned());
        Ok(())
    }

    fn empty_query(&mut self) -> SqlResult<()> {
        self.tags.push("(empty)".to_owned());
        Ok(())
    }

    fn suspended(&mut self) -> SqlResult<()> {
        self.suspended = true;
        Ok(())
    }

    fn notice(&mut self, notice: &Notice) -> SqlResult<()> {
        self.notices.push(notice.clone());
        Ok(())
    }

    fn parameter(&mut self, _name: &str, _value: &str) -> SqlResult<()> {
        Ok(())
    }

    fn copy_in<'a>(&'a mut self, _format: CopyFormat, _columns: usize) -> BoxFuture<'a, SqlResult<()>> {
        self.copy_in.reverse();
        Box::pin(async { Ok(()) })
    }

    fn copy_data(&mut self) -> BoxFuture<'_, SqlResult<Option<Bytes>>> {
        let piece = self.copy_in.pop();
        Box::pin(async { Ok(piece) })
    }

    fn copy_out(&mut self, _format: CopyFormat, _columns: usize) -> SqlResult<()> {
        Ok(())
    }

    fn copy_out_data<'a>(&'a mut self, data: &'a [u8]) -> BoxFuture<'a, SqlResult<()>> {
        self.copied.extend_from_slice(data);
        Box::pin(async { Ok(()) })
    }

    fn copy_out_done(&mut self) -> SqlResult<()> {
        Ok(())
    }

    fn flush(&mut self) -> BoxFuture<'_, SqlResult<()>> {
        Box::pin(async { Ok(()) })
    }
}

/// One simple message.
pub async fn run(session: &mut Session, text: &str) -> Result<Answer, SqlError> {
    let mut answer = Answer::default();
    session.simple(text, &mut answer).await.map(|()| answer)
}

/// Runs `work` on a runtime whose time passes only when nothing else is to be done.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().expect("a runtime").block_on(work)
}
