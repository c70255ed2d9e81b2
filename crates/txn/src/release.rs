//! Giving up locks. Nobody's correctness hangs on it, only the time others wait: what is not released goes with
//! the node's session.

use std::sync::Arc;

use keyspace::{Key, TxnId};
use rpc::range::{LockMode, RangeBody, ReleaseLocksRequest};

use crate::client::Client;
use crate::route::Shardable;
use crate::transaction::Core;
use crate::{TxnError, TxnResult};

/// Releases `keys`, which are in key order.
pub(crate) async fn keys(client: &Client, txn: TxnId, keys: Vec<Key>) -> TxnResult<()> {
    let request = |keys: &[Key]| {
        RangeBody::ReleaseLocks(ReleaseLocksRequest { txn, keys: Some(keys.to_vec()), weaken: Vec::new() })
    };
    for (_, answer) in client.router.scatter(keys, request).await {
        answer.map_err(TxnError::from)?;
    }
    Ok(())
}

/// Holds `keys`, which are in key order, in these modes from now on.
pub(crate) async fn weaken(client: &Client, txn: TxnId, keys: Vec<(Key, LockMode)>) -> TxnResult<()> {
    let request = |keys: &[(Key, LockMode)]| {
        RangeBody::ReleaseLocks(ReleaseLocksRequest { txn, keys: Some(Vec::new()), weaken: keys.to_vec() })
    };
    for (_, answer) in client.router.scatter(keys, request).await {
        answer.map_err(TxnError::from)?;
    }
    Ok(())
}

impl Shardable for (Key, LockMode) {
    fn start(&self) -> &Key {
        &self.0
    }

    fn cut(self, _end: &Key) -> (Self, Option<Self>) {
        (self, None)
    }
}

/// Releases whatever the transaction has or waits for anywhere.
pub(crate) async fn all(core: &Core) {
    let touched = core.state.lock().locks.touched();
    if touched.is_empty() {
        return;
    }
    let request =
        |_: &[_]| RangeBody::ReleaseLocks(ReleaseLocksRequest { txn: core.id, keys: None, weaken: Vec::new() });
    for (spans, answer) in core.client.router.scatter(touched, request).await {
        if let Err(error) = answer {
            tracing::warn!(txn = %core.id, ?spans, %error, "locks could not be released");
        }
    }
}

pub(crate) fn all_in_background(core: &Arc<Core>) {
    if core.state.lock().locks.is_empty() {
        return;
    }
    let shared = core.clone();
    core.client.env.spawn("release locks", async move { all(&shared).await });
}
