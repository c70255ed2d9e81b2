//! The catalog snapshots of a node.
//!
//! A number of the oracle comes with the version of the catalog that holds at it. If the node has decoded that version
//! already, no message is needed; else one scan of the descriptors brings it, in which descriptors whose rows are
//! unchanged are taken over from the snapshot before. Sessions keep the `Arc` they got and hand it in again: the
//! shared lock here is taken only when the catalog has changed.
//!
//! A transaction that has changed the catalog holds a catalog with its own changes in it (what `ddl::execute` gave it;
//! what it held at the savepoint after ROLLBACK TO). Handed in, it comes back on whatever base holds.

use std::collections::VecDeque;
use std::sync::Arc;

use keyspace::{Key, Timestamp, TxnId, catalog_version_key};
use parking_lot::RwLock;
use tokio::sync::Mutex;
use txn::{Isolation, ScanSpec, Stamp, Transaction, TxnClient, TxnError, TxnOptions, TxnResult, Visible};

use super::rows::{descriptor_span, parse_descriptor_key};
use super::{Catalog, Descriptor, DescriptorKind};

/// Snapshots kept: transactions that began before the last few changes still find theirs.
const SNAPSHOTS_MAX: usize = 8;

pub struct CatalogCache {
    client: TxnClient,
    /// The newest version last.
    snapshots: RwLock<VecDeque<Arc<Catalog>>>,
    /// One session reads a new version; the others wait for it.
    loading: Mutex<()>,
}

impl CatalogCache {
    pub fn new(client: TxnClient) -> Arc<CatalogCache> {
        Arc::new(CatalogCache { client, snapshots: RwLock::default(), loading: Mutex::new(()) })
    }

    /// The catalog that holds at `stamp`; with the transaction's own changes, if `held`, which is what the caller used
    /// last, has such.
    pub async fn at(&self, stamp: Stamp, held: Option<&Arc<Catalog>>) -> TxnResult<Arc<Catalog>> {
        self.at_for(stamp, held, None).await
    }

    /// The same on behalf of a transaction that is being committed: it may have announced a change of the catalog
    /// itself, and must not wait for that.
    pub async fn at_for(
        &self,
        stamp: Stamp,
        held: Option<&Arc<Catalog>>,
        reads_for: Option<TxnId>,
    ) -> TxnResult<Arc<Catalog>> {
        let version = if stamp.unsettled { self.read_version(stamp.at, reads_for).await? } else { stamp.catalog };
        if let Some(held) = held.filter(|held| held.base() == version) {
            return Ok(held.clone());
        }
        let base = self.committed(stamp.at, version, reads_for).await?;
        match held.filter(|held| held.version().is_none()) {
            Some(held) => Ok(Arc::new(held.rebase(&base))),
            None => Ok(base),
        }
    }

    pub fn client(&self) -> &TxnClient {
        &self.client
    }

    async fn committed(&self, at: Timestamp, version: Timestamp, reads_for: Option<TxnId>) -> TxnResult<Arc<Catalog>> {
        if let Some(snapshot) = self.cached(version) {
            return Ok(snapshot);
        }
        let _one_at_a_time = self.loading.lock().await;
        match self.cached(version) {
            Some(snapshot) => Ok(snapshot),
            None => self.load(at, version, reads_for).await,
        }
    }

    fn cached(&self, version: Timestamp) -> Option<Arc<Catalog>> {
        self.snapshots.read().iter().rev().find(|snapshot| snapshot.base() == version).cloned()
    }

    async fn load(&self, at: Timestamp, version: Timestamp, reads_for: Option<TxnId>) -> TxnResult<Arc<Catalog>> {
        let base = self.snapshots.read().back().cloned();
        let txn = self.begin_at(at, reads_for).await?;
        let catalog = read(&txn, base.as_deref()).await;
        txn.rollback().await;
        let mut catalog = catalog?;
        catalog.set_base(version);
        let catalog = Arc::new(catalog);
        let mut snapshots = self.snapshots.write();
        let place = snapshots.partition_point(|snapshot| snapshot.base() < version);
        snapshots.insert(place, catalog.clone());
        if snapshots.len() > SNAPSHOTS_MAX {
            snapshots.pop_front();
        }
        Ok(catalog)
    }

    /// Waits for a change that is being committed, then says which one is the last at or below `at`.
    async fn read_version(&self, at: Timestamp, reads_for: Option<TxnId>) -> TxnResult<Timestamp> {
        let txn = self.begin_at(at, reads_for).await?;
        let value = txn.get_many(&[catalog_version_key()], None, Visible::EarlierStatements, false).await;
        txn.rollback().await;
        let Some(value) = value?.pop().flatten() else { return Ok(Timestamp::ZERO) };
        let number: [u8; 8] = value[..].try_into().map_err(|_| corrupt(&catalog_version_key()))?;
        Ok(Timestamp(u64::from_be_bytes(number)))
    }

    async fn begin_at(&self, at: Timestamp, reads_for: Option<TxnId>) -> TxnResult<Transaction> {
        let isolation = Isolation::RepeatableRead;
        let options = TxnOptions { isolation, read_only: true, as_of: Some(at), reads_for, ..TxnOptions::default() };
        self.client.begin(options).await
    }
}

/// All descriptors at the transaction's number. Rows that `base` has at the same number are not decoded again.
async fn read(txn: &Transaction, base: Option<&Catalog>) -> TxnResult<Catalog> {
    let mut catalog = Catalog::default();
    let mut scan = txn.scan(ScanSpec {
        span: descriptor_span(),
        reverse: false,
        rows_max: 0,
        program: None,
        lock: None,
        visible: Visible::EarlierStatements,
        untracked: false,
    });
    loop {
        let page = scan.next_page().await?;
        if page.is_empty() {
            return Ok(catalog);
        }
        for row in page {
            let (kind, oid) = parse_descriptor_key(&row.key).ok_or_else(|| corrupt(&row.key))?;
            let descriptor = match base.and_then(|base| base.get(kind, oid)) {
                Some((at, descriptor)) if at == row.at => descriptor,
                _ => decode(kind, &row.key, &row.value)?,
            };
            catalog.put(row.at, descriptor);
        }
    }
}

fn decode(kind: DescriptorKind, key: &Key, value: &[u8]) -> TxnResult<Descriptor> {
    let descriptor = Descriptor::decode(value).filter(|descriptor| descriptor.kind() == kind);
    descriptor.ok_or_else(|| corrupt(key))
}

fn corrupt(key: &Key) -> TxnError {
    TxnError::Corrupt { what: format!("the catalog's row {key} cannot be read") }
}
