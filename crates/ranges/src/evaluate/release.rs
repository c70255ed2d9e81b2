//! Giving up locks.

use rpc::KvResult;
use rpc::range::ReleaseLocksRequest;

use super::Evaluation;

/// Needs no epoch: a lock that moved to another range in a split ends there when the router asks there too.
pub async fn release(request: &Evaluation<'_>, release: ReleaseLocksRequest) -> KvResult<()> {
    request.admit().await?;
    match release.keys {
        Some(keys) => request.replica.locks.release(release.txn, &keys),
        None => request.replica.locks.end(release.txn),
    }
    request.replica.locks.weaken(release.txn, &release.weaken);
    Ok(())
}
