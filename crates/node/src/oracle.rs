//! `txn`'s oracle over `placement`'s client.

use env::BoxFuture;
use keyspace::TxnId;
use placement::Placement;
use rpc::KvError;
use rpc::cluster::{ClusterReply, ClusterRequest, IdKind};
use txn::{Oracle, Stamp, TxnError, TxnResult};

pub struct ClusterOracle(pub Placement);

impl Oracle for ClusterOracle {
    fn fresh(&self) -> BoxFuture<'_, TxnResult<Stamp>> {
        Box::pin(async move {
            let reply = self.0.timestamps().fresh().await.map_err(unavailable)?;
            Ok(Stamp { at: reply.first, catalog: reply.catalog, unsettled: reply.unsettled })
        })
    }

    fn announce_catalog_change(&self, txn: TxnId) -> BoxFuture<'_, TxnResult<()>> {
        Box::pin(async move { self.0.timestamps().announce_catalog_change(txn).await.map_err(unavailable) })
    }

    fn allocate_ids(&self, kind: IdKind, count: u32) -> BoxFuture<'_, TxnResult<u64>> {
        Box::pin(async move {
            match self.0.leader().ask(|| ClusterRequest::AllocateIds { kind, count }).await {
                Ok(ClusterReply::Ids { first }) => Ok(first),
                Ok(_) => Err(TxnError::Unavailable { why: "an answer of another kind".into() }),
                Err(error) => Err(unavailable(error)),
            }
        })
    }
}

pub fn unavailable(error: KvError) -> TxnError {
    match error {
        KvError::NotSupported { what } => TxnError::NotSupported { what },
        KvError::Corrupt { what } => TxnError::Corrupt { what },
        other => TxnError::Unavailable { why: other.to_string() },
    }
}
