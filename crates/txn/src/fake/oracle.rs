//! Numbers one after the other, and the catalog version that holds at each.

use std::collections::BTreeMap;
use std::time::Duration;

use env::{BoxFuture, Env, Mono};
use keyspace::{Timestamp, TxnId};
use parking_lot::Mutex;
use rpc::cluster::IdKind;

use crate::{Oracle, Stamp, TxnError, TxnResult};

/// An announced change that is not staged for this long is no longer waited for.
const ANNOUNCEMENT: Duration = Duration::from_millis(500);

pub struct FakeOracle {
    env: Env,
    state: Mutex<Numbers>,
}

struct Numbers {
    last: u64,
    catalog: Timestamp,
    announced: BTreeMap<TxnId, Mono>,
    ids: BTreeMap<u8, u64>,
    is_down: bool,
}

impl FakeOracle {
    pub(super) fn new(env: Env) -> FakeOracle {
        let numbers = Numbers {
            last: 0,
            catalog: Timestamp::ZERO,
            announced: BTreeMap::new(),
            ids: BTreeMap::new(),
            is_down: false,
        };
        FakeOracle { env, state: Mutex::new(numbers) }
    }

    /// While down, asking fails.
    pub fn set_down(&self, is_down: bool) {
        self.state.lock().is_down = is_down;
    }

    /// Numbers given out so far.
    pub fn last(&self) -> Timestamp {
        Timestamp(self.state.lock().last)
    }

    /// Time passes: the next number is above `at`.
    pub fn advance_to(&self, at: Timestamp) {
        let last = &mut self.state.lock().last;
        *last = at.0.max(*last);
    }

    /// A transaction has been decided: if it was an announced change of the catalog, that is settled now.
    pub(super) fn decided(&self, txn: TxnId, commit_at: Option<Timestamp>) {
        let mut state = self.state.lock();
        if state.announced.remove(&txn).is_some() {
            state.catalog = state.catalog.max(commit_at.unwrap_or_default());
        }
    }

    /// An announced change has laid down intents: it stays unsettled until it is decided.
    pub(super) fn staged(&self, txn: TxnId) {
        if let Some(until) = self.state.lock().announced.get_mut(&txn) {
            *until = Mono(u64::MAX);
        }
    }
}

impl Oracle for FakeOracle {
    fn fresh(&self) -> BoxFuture<'_, TxnResult<Stamp>> {
        Box::pin(async {
            let now = self.env.now();
            let mut state = self.state.lock();
            if state.is_down {
                return Err(TxnError::Unavailable { why: "no answer from the timestamp oracle".to_owned() });
            }
            state.last += 1;
            state.announced.retain(|_, until| *until > now);
            Ok(Stamp { at: Timestamp(state.last), catalog: state.catalog, unsettled: !state.announced.is_empty() })
        })
    }

    fn announce_catalog_change(&self, txn: TxnId) -> BoxFuture<'_, TxnResult<()>> {
        Box::pin(async move {
            let until = self.env.now() + ANNOUNCEMENT;
            self.state.lock().announced.insert(txn, until);
            Ok(())
        })
    }

    fn allocate_ids(&self, kind: IdKind, count: u32) -> BoxFuture<'_, TxnResult<u64>> {
        Box::pin(async move {
            let mut state = self.state.lock();
            let first = match kind {
                IdKind::Storage => keyspace::FIRST_USER_TABLE.0,
                IdKind::Oid => 16_384,
                // Those of the ranges and replicas that a cluster begins with are below.
                IdKind::Node | IdKind::Range | IdKind::Replica => 1000,
            };
            let next = state.ids.entry(kind as u8).or_insert(first);
            let allocated = *next;
            *next += u64::from(count);
            Ok(allocated)
        })
    }
}
