//! The system range's replica on this node, as `placement` wants to see it.

use bytes::Bytes;
use env::BoxFuture;
use keyspace::{NodeId, SYSTEM_RANGE, Timestamp, catalog_version_key};
use placement::{CatalogKey, SystemRange};
use ranges::Store;
use rpc::{KvError, KvResult};
use tokio::sync::watch;

pub struct LocalSystemRange(pub Store);

impl SystemRange for LocalSystemRange {
    fn term(&self) -> watch::Receiver<Option<u64>> {
        self.0.system_term()
    }

    fn leader_hint(&self) -> Option<NodeId> {
        self.0.leader_view(SYSTEM_RANGE)?.leader
    }

    fn leads_for_certain(&self, term: u64) -> bool {
        self.0.leads_for_certain(SYSTEM_RANGE, term)
    }

    fn confirm(&self, term: u64) -> BoxFuture<'_, KvResult<()>> {
        Box::pin(async move {
            if self.0.confirm_leadership(SYSTEM_RANGE, term).await {
                Ok(())
            } else {
                Err(KvError::NotLeader { range: SYSTEM_RANGE, leader: self.leader_hint() })
            }
        })
    }

    fn register(&self, name: &str) -> KvResult<Option<Bytes>> {
        self.0.register(SYSTEM_RANGE, name.as_bytes())
    }

    fn registers(&self, prefix: &str) -> KvResult<Vec<(String, Bytes)>> {
        let registers = self.0.registers(SYSTEM_RANGE, prefix.as_bytes())?;
        let named = |(name, value): (Bytes, Bytes)| match String::from_utf8(name.into()) {
            Ok(name) => Ok((name, value)),
            Err(_) => Err(KvError::Corrupt { what: "the name of a register".into() }),
        };
        registers.into_iter().map(named).collect()
    }

    fn put(&self, term: u64, name: String, value: Bytes) -> BoxFuture<'_, KvResult<()>> {
        Box::pin(self.0.put_register(SYSTEM_RANGE, term, name.into(), value))
    }

    fn raise(&self, term: u64, name: &'static str, value: u64) -> BoxFuture<'_, KvResult<()>> {
        Box::pin(self.0.raise_register(SYSTEM_RANGE, term, name.into(), value))
    }

    fn number(&self, name: &str) -> KvResult<u64> {
        self.0.register_number(SYSTEM_RANGE, name.as_bytes())
    }

    fn catalog_key(&self, raise_to: Option<Timestamp>) -> KvResult<CatalogKey> {
        let view = self.0.system_key(&catalog_version_key(), raise_to)?;
        Ok(CatalogKey { newest: view.newest, writer: view.writer, pending: view.pending })
    }
}
