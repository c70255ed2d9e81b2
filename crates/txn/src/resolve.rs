//! After the decision: intents become versions, or go; then the record may go.
//!
//! Nobody waits for this. A range that does not answer keeps its intents, and the record stays for whoever meets them.

use futures::stream::StreamExt;
use keyspace::{Key, Timestamp, TxnId};
use rpc::range::{RangeBody, RecordOp, ResolveKeys, ResolveRequest};

use crate::client::Client;
use crate::commit::{Written, record};

/// Requests under way at once for one transaction.
const PARALLEL_MAX: usize = 8;

/// `written`: batch by batch, so that each request here is about as large as a prewrite was.
pub(crate) async fn finish(
    client: &Client,
    txn: TxnId,
    anchor: &Key,
    written: Vec<Written>,
    commit_at: Option<Timestamp>,
) {
    if env::sabotage("forget_records_early") {
        let _told_later = record(client, txn, anchor, RecordOp::Forget).await;
    }
    let resolve = |batch| resolve(client, txn, batch, commit_at);
    let all_applied = futures::stream::iter(written)
        .map(resolve)
        .buffer_unordered(PARALLEL_MAX)
        .fold(true, async |all, applied| all && applied)
        .await;
    if all_applied && let Err(error) = record(client, txn, anchor, RecordOp::Forget).await {
        tracing::debug!(%txn, %error, "a record that is no longer needed stays");
    }
}

/// `true` when every range has applied it.
async fn resolve(client: &Client, txn: TxnId, batch: Written, commit_at: Option<Timestamp>) -> bool {
    let request = |keys| RangeBody::Resolve(ResolveRequest { txn, commit_at, keys });
    let errors: Vec<_> = match batch {
        Written::Keys(keys) => {
            let answers = client.router.scatter(keys, |keys| request(ResolveKeys::These(keys.to_vec()))).await;
            answers.into_iter().filter_map(|(_, answer)| answer.err()).collect()
        }
        Written::Within(span) => {
            let answers = client.router.scatter(vec![span], |span| request(ResolveKeys::Within(span[0].clone()))).await;
            answers.into_iter().filter_map(|(_, answer)| answer.err()).collect()
        }
    };
    for error in &errors {
        tracing::debug!(%txn, %error, "intents of a decided transaction stay for others to resolve");
    }
    errors.is_empty()
}
