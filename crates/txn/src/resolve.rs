//! After the decision: intents become versions, or go; then the record may go.
//!
//! Nobody waits for this. A range that does not answer keeps its intents, and the record stays for whoever meets them.

use keyspace::{Key, Span, Timestamp, TxnId};
use rpc::range::{Mutation, RangeBody, RecordOp, ResolveKeys, ResolveRequest};

use crate::client::Client;
use crate::commit::record;
use crate::route::Patience;

/// Keys between which no gap is worth a span of its own.
const HULL_KEYS: usize = 512;

/// Spans that cover the keys written, in key order.
pub(crate) fn hulls(mutations: &[Mutation]) -> Vec<Span> {
    let hull = |keys: &[Mutation]| Span::new(keys[0].key.clone(), keys[keys.len() - 1].key.successor());
    match mutations.len() {
        0..=HULL_KEYS => mutations.iter().map(|mutation| Span::point(mutation.key.clone())).collect(),
        _ => mutations.chunks(HULL_KEYS).map(hull).collect(),
    }
}

pub(crate) async fn finish(
    client: &Client,
    txn: TxnId,
    anchor: &Key,
    written: Vec<Span>,
    commit_at: Option<Timestamp>,
) {
    if resolve(client, txn, written, commit_at).await {
        let mut patience = Patience::new();
        if let Err(error) = record(client, txn, anchor, RecordOp::Forget, &mut patience).await {
            tracing::debug!(%txn, %error, "a record that is no longer needed stays");
        }
    }
}

/// `true` when every range has applied it.
async fn resolve(client: &Client, txn: TxnId, written: Vec<Span>, commit_at: Option<Timestamp>) -> bool {
    let request = |spans: &[Span]| {
        let points: Option<Vec<Key>> = spans.iter().map(|span| span.as_point().cloned()).collect();
        let keys = match points {
            Some(keys) => ResolveKeys::These(keys),
            None => ResolveKeys::Within(Span::new(spans[0].start.clone(), spans[spans.len() - 1].end.clone())),
        };
        RangeBody::Resolve(ResolveRequest { txn, commit_at, keys })
    };
    let mut all = true;
    for (_, answer) in client.router.scatter(written, request).await {
        if let Err(error) = answer {
            tracing::debug!(%txn, %error, "intents of a decided transaction stay for others to resolve");
            all = false;
        }
    }
    all
}
