//! OIDs and storage ids: numbers that are never given out twice, allocated outside transactions, in blocks per node.

use std::ops::Range;

use expr::Oid;
use keyspace::TableId;
use parking_lot::Mutex;
use txn::{IdKind, TxnClient, TxnResult};

/// Numbers fetched at once. What is left when the node stops is lost, which nobody misses.
const BLOCK: u32 = 64;

/// One per node.
pub struct IdPool {
    client: TxnClient,
    oids: Mutex<Range<u64>>,
    storages: Mutex<Range<u64>>,
}

impl IdPool {
    pub fn new(client: TxnClient) -> IdPool {
        IdPool { client, oids: Mutex::new(0..0), storages: Mutex::new(0..0) }
    }

    pub async fn oid(&self) -> TxnResult<Oid> {
        let number = self.next(IdKind::Oid, &self.oids).await?;
        Ok(Oid(u32::try_from(number).expect("the oracle gives OIDs that fit into 32 bits")))
    }

    pub async fn storage(&self) -> TxnResult<TableId> {
        self.next(IdKind::Storage, &self.storages).await.map(TableId)
    }

    async fn next(&self, kind: IdKind, block: &Mutex<Range<u64>>) -> TxnResult<u64> {
        if let Some(number) = block.lock().next() {
            return Ok(number);
        }
        let first = self.client.oracle().allocate_ids(kind, BLOCK).await?;
        // Another session may have brought a block meanwhile: the smaller rest is dropped.
        let mut fresh = first..first + u64::from(BLOCK);
        let number = fresh.next().expect("a block is not empty");
        let mut block = block.lock();
        if block.end - block.start < fresh.end - fresh.start {
            *block = fresh;
        }
        Ok(number)
    }
}
