//! The nodes as clients see them: one of them is asked, and it may be gone before it answers.

use std::future::Future;
use std::sync::Arc;

use keyspace::Timestamp;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use txn::{Transaction, TxnClient, TxnError, TxnOptions, TxnResult};

use crate::SimHost;

/// One process that takes clients.
#[derive(Clone)]
pub struct Gateway {
    pub host: Arc<SimHost>,
    pub txn: TxnClient,
}

/// What became of a transaction, as its client knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// Acknowledged.
    Committed(T),
    /// Nothing of it happened and nothing will.
    Failed(TxnError),
    /// The gateway crashed, or said that it does not know.
    Unknown,
}

impl Gateway {
    /// Runs `work` as a part of the gateway's process: it ends when that crashes, and then there is no answer.
    pub async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let task = async move {
            let _client_gave_up = answer.send(work.await);
        };
        self.host.spawn("client's statement", Box::pin(task));
        answered.await.ok()
    }

    /// One transaction of one statement. `body` may be run again as a statement is ("a row was changed").
    pub async fn transact<T, F>(
        &self,
        options: TxnOptions,
        body: impl Fn(Arc<Transaction>) -> F + Send + Sync + 'static,
    ) -> Outcome<T>
    where
        T: Send + 'static,
        F: Future<Output = TxnResult<T>> + Send,
    {
        self.work(options, |txn| async move { statement(&txn, || body(txn.clone())).await })
            .await
            .map(|(value, _)| value)
    }

    /// One transaction from begin to commit, its statements begun by `body` itself. Answers with the commit number too.
    pub async fn work<T, F>(
        &self,
        options: TxnOptions,
        body: impl FnOnce(Arc<Transaction>) -> F + Send + 'static,
    ) -> Outcome<(T, Timestamp)>
    where
        T: Send + 'static,
        F: Future<Output = TxnResult<T>> + Send,
    {
        let client = self.txn.clone();
        let committed = self.run(async move {
            let txn = Arc::new(client.begin(options).await?);
            let value = body(txn.clone()).await?;
            let txn = Arc::into_inner(txn).expect("the body has ended and keeps nothing");
            let id = txn.id();
            let at = txn.commit().await?;
            tracing::debug!(target: "sim", %id, %at, "committed");
            Ok((value, at))
        });
        match committed.await {
            Some(Ok(value)) => Outcome::Committed(value),
            Some(Err(TxnError::OutcomeUnknown { .. })) | None => Outcome::Unknown,
            Some(Err(error)) => Outcome::Failed(error),
        }
    }
}

/// One statement of a transaction, run again when a row that it locked was changed meanwhile.
pub(crate) async fn statement<T, F>(txn: &Transaction, body: impl Fn() -> F) -> TxnResult<T>
where
    F: Future<Output = TxnResult<T>>,
{
    txn.begin_statement().await?;
    loop {
        match body().await {
            Err(TxnError::StatementRestart { .. }) => txn.restart_statement().await?,
            other => return other,
        }
    }
}

impl<T> Outcome<T> {
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Outcome::Committed(value) => Outcome::Committed(f(value)),
            Outcome::Failed(error) => Outcome::Failed(error),
            Outcome::Unknown => Outcome::Unknown,
        }
    }
}

/// The processes that run now, by node. Cheap to clone.
#[derive(Clone, Default)]
pub struct Gateways {
    slots: Arc<Mutex<Vec<Option<Gateway>>>>,
}

impl Gateways {
    pub fn set(&self, node: usize, gateway: Option<Gateway>) {
        let mut slots = self.slots.lock();
        if slots.len() <= node {
            slots.resize_with(node + 1, || None);
        }
        slots[node] = gateway;
    }

    /// The process of this node, if it takes clients.
    pub fn get(&self, node: usize) -> Option<Gateway> {
        self.slots.lock().get(node).cloned().flatten().filter(|gateway| gateway.host.is_running())
    }

    pub fn len(&self) -> usize {
        self.slots.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
