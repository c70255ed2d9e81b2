//! A server over a cluster in one process, and the answers of its sessions as text.

use std::sync::Arc;

use bytes::Bytes;
use env::{BoxFuture, Budget, Env};
use expr::{EvalContext, Row};
use keyspace::{Key, NodeId};
use sql::plan::Field;
use sql::session::{CopyFormat, Notice, Output, Server, ServerConfig, Session, Startup};
use sql::{SqlError, SqlResult};
use txn::{TxnClient, fake};

/// A new cluster whose ranges begin at `split_keys`, with the catalog's first rows.
pub async fn server(split_keys: Vec<Key>) -> Arc<Server> {
    let env = fake::env();
    let client = fake::cluster(env.clone(), split_keys);
    server_of(env, client).await
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
            let text = |(field, value): (&Field, &expr::Datum)| {
                (!value.is_null()).then(|| value.text_form(field.ty, ctx))
            };
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
