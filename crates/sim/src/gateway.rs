//! The nodes as clients see them: one of them is asked, and it may be gone before it answers.

use std::future::Future;
use std::sync::Arc;

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

    /// One transaction from begin to commit. `body` may be run again as a statement is ("a row was changed").
    pub async fn transact<T, F>(
        &self,
        options: TxnOptions,
        body: impl Fn(Arc<Transaction>) -> F + Send + 'static,
    ) -> Outcome<T>
    where
        T: Send + 'static,
        F: Future<Output = TxnResult<T>> + Send,
    {
        let client = self.txn.clone();
        let committed = self.run(async move {
            let txn = Arc::new(client.begin(options).await?);
            txn.begin_statement().await?;
            let value = loop {
                match body(txn.clone()).await {
                    Err(TxnError::StatementRestart { .. }) => txn.restart_statement().await?,
                    other => break other?,
                }
            };
            let txn = Arc::into_inner(txn).expect("the body has ended and keeps nothing");
            let id = txn.id();
            let at = txn.commit().await?;
            tracing::debug!(target: "sim", %id, %at, "committed");
            Ok(value)
        });
        match committed.await {
            Some(Ok(value)) => Outcome::Committed(value),
            Some(Err(TxnError::OutcomeUnknown { .. })) | None => Outcome::Unknown,
            Some(Err(error)) => Outcome::Failed(error),
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
