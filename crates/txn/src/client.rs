//! Where transactions begin: one [`TxnClient`] per node, shared by all its sessions.

use std::sync::Arc;
use std::time::Duration;

use env::{Budget, Env};
use keyspace::{Key, NodeId, ReplicaId, Timestamp, TxnId};
use parking_lot::Mutex;
use rpc::cluster::IdKind;
use rpc::range::{AdminRequest, RangeBody, RangeReply};
use rpc::{KvResult, Network};

use crate::buffer::Buffer;
use crate::lockers::Lockers;
use crate::metrics::Metrics;
use crate::oracle::{Oracle, Stamp};
use crate::route::{Directory, Patience, Router, Sent};
use crate::scratch::Scratch;
use crate::transaction::{Core, State};
use crate::{Transaction, TxnError, TxnResult};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isolation {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

#[derive(Clone, Debug)]
pub struct TxnOptions {
    pub isolation: Isolation,
    pub read_only: bool,
    /// Read at this number instead of a fresh one (`AS OF SYSTEM TIME`); implies read-only.
    pub as_of: Option<Timestamp>,
    /// With `as_of`: these are reads on behalf of a transaction whose commit is under way. What it has announced to
    /// write does not make them wait, and they do not push it.
    pub reads_for: Option<TxnId>,
    pub lock_timeout: Option<Duration>,
}

impl Default for TxnOptions {
    fn default() -> TxnOptions {
        TxnOptions {
            isolation: Isolation::Serializable,
            read_only: false,
            as_of: None,
            reads_for: None,
            lock_timeout: None,
        }
    }
}

/// One per node; cheap to clone.
#[derive(Clone)]
pub struct TxnClient {
    shared: Arc<Client>,
}

/// What all transactions of a node share.
pub(crate) struct Client {
    pub env: Env,
    pub oracle: Arc<dyn Oracle>,
    pub router: Router,
    pub metrics: Arc<Metrics>,
    pub lockers: Lockers,
    pub scratch: Option<Arc<dyn Scratch>>,
    pub budget: Option<Budget>,
}

impl TxnClient {
    pub fn new(
        env: Env,
        node: NodeId,
        network: Arc<dyn Network>,
        oracle: Arc<dyn Oracle>,
        directory: Arc<dyn Directory>,
    ) -> TxnClient {
        let metrics = Arc::new(Metrics::new(env.metrics()));
        let router = Router::new(env.clone(), node, network, directory, metrics.clone());
        let lockers = Lockers::default();
        TxnClient { shared: Arc::new(Client { env, oracle, router, metrics, lockers, scratch: None, budget: None }) }
    }

    pub(crate) fn of(shared: Arc<Client>) -> TxnClient {
        TxnClient { shared }
    }

    /// Where write buffers go that outgrow [`env::Knobs::write_buffer_bytes`]. Without it such a transaction fails with
    /// [`TxnError::OutOfMemory`].
    pub fn with_scratch(mut self, scratch: Arc<dyn Scratch>) -> TxnClient {
        self.before_use().scratch = Some(scratch);
        self
    }

    /// What the write buffers of all transactions together may hold in memory.
    pub fn with_budget(mut self, budget: Budget) -> TxnClient {
        self.before_use().budget = Some(budget);
        self
    }

    fn before_use(&mut self) -> &mut Client {
        Arc::get_mut(&mut self.shared).expect("a client is set up before it is cloned or begins a transaction")
    }

    pub async fn begin(&self, options: TxnOptions) -> TxnResult<Transaction> {
        let fresh = self.shared.fresh().await?;
        let stamp = match options.as_of {
            None => fresh,
            Some(at) if at < fresh.at => Stamp { at, catalog: Timestamp::ZERO, unsettled: true },
            Some(at) => {
                return Err(TxnError::NotSupported { what: format!("reading at {at}, which is in the future") });
            }
        };
        let core = Core {
            client: self.shared.clone(),
            id: TxnId::from(fresh.at),
            isolation: options.isolation,
            read_only: options.read_only || options.as_of.is_some(),
            historic: options.as_of.is_some(),
            reads_for: options.reads_for,
            state: Mutex::new(State::new(stamp, options.lock_timeout, self.shared.buffer())),
        };
        Ok(Transaction::new(Arc::new(core)))
    }

    /// May this transaction of this node still hold locks that it is going to give up?
    pub fn may_hold_locks(&self, txn: TxnId) -> bool {
        self.shared.lockers.contains(txn)
    }

    pub fn oracle(&self) -> &dyn Oracle {
        &*self.shared.oracle
    }

    /// Asks the leader of the range that holds `key`, wherever it is, for something that concerns this key alone; finds
    /// the leader and asks again as the requests of transactions do.
    pub async fn ask(&self, key: &Key, body: RangeBody) -> KvResult<RangeReply> {
        let router = &self.shared.router;
        let mut patience = Patience::new();
        loop {
            let route = router.route(key, &mut patience).await?;
            if let Sent::Answer(reply) = router.send(&route, &mut patience, || body.clone()).await? {
                return Ok(reply);
            }
        }
    }

    /// Splits the range that holds `at` there (`ALTER TABLE … SPLIT AT`).
    pub async fn split_at(&self, at: Key) -> TxnResult<()> {
        let router = &self.shared.router;
        let mut patience = Patience::new();
        loop {
            let route = router.route(&at, &mut patience).await?;
            if route.span().start == at {
                return Ok(());
            }
            let right = self.shared.oracle.allocate_ids(IdKind::Range, 1).await?;
            let replicas = route.descriptor.replicas.len() as u32;
            let first = self.shared.oracle.allocate_ids(IdKind::Replica, replicas).await?;
            let right_replicas: Vec<ReplicaId> = (first..first + u64::from(replicas)).map(ReplicaId).collect();
            let split = || {
                RangeBody::Admin(AdminRequest::Split {
                    at: at.clone(),
                    right: keyspace::RangeId(right),
                    right_replicas: right_replicas.clone(),
                })
            };
            if let Sent::Answer(reply) = router.send(&route, &mut patience, split).await? {
                router.learn_reply(&reply);
                return Ok(());
            }
        }
    }

    /// Asks the leader of the range that holds `key` to hand over to its voter on `to` (`ALTER RANGE … MOVE LEADER TO`). It does so
    /// as soon as that one has the whole log, or not at all.
    pub async fn move_leader(&self, key: &Key, to: NodeId) -> TxnResult<()> {
        self.ask(key, RangeBody::Admin(AdminRequest::TransferLeader { to })).await?;
        Ok(())
    }
}

impl Client {
    /// A number for a transaction.
    pub async fn fresh(&self) -> TxnResult<Stamp> {
        self.metrics.numbers.inc();
        self.oracle.fresh().await
    }

    fn buffer(&self) -> Buffer {
        Buffer::new(self.env.knobs().write_buffer_bytes, self.scratch.clone(), self.budget.as_ref())
    }
}
