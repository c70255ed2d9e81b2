//! The catalog that each number names (rules 31 and 32): a number comes with the commit number of the last change
//! of the catalog at or below it, so that nobody has to look. Some clients change the catalog; others begin
//! transactions and look whether what their number said is what the version key says at that number.
//!
//! That changes get through at all while numbers are asked for all the time is a promise, too: when all faults are
//! over one has to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use keyspace::{TableId, Timestamp, catalog_version_key};
use txn::{TxnError, TxnOptions};

use super::rows::{check_failure, get, row_key};
use super::{RETRY, Shift};
use crate::World;
use crate::gateway::{Gateway, Gateways, Outcome};
use crate::world::spawn;

/// Where the descriptors of this workload are: nobody reads them.
const DESCRIPTORS: TableId = TableId(1003);

/// Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    world: World,
    changes: Arc<AtomicU64>,
}

impl Catalog {
    pub fn new(world: &World) -> Catalog {
        Catalog { world: world.clone(), changes: Arc::default() }
    }

    /// Changes that were acknowledged.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// One client that changes the catalog now and then, and one that looks.
    pub fn start_clients(&self, node: usize, gateways: &Gateways, shift: &Shift) {
        for changes in [true, false] {
            let (catalog, gateways, shift) = (self.clone(), gateways.clone(), shift.clone());
            let mut random = self.world.split_random();
            let working = shift.clock_in();
            spawn(async move {
                while !shift.is_over() {
                    let pause = match gateways.get(node) {
                        None => RETRY,
                        Some(gateway) if changes => {
                            catalog.change(&gateway, random.below(10) as i64).await;
                            Duration::from_millis(random.below(3_000))
                        }
                        Some(gateway) => {
                            catalog.look(&gateway).await;
                            Duration::from_millis(random.below(60))
                        }
                    };
                    catalog.world.sleep(pause).await;
                    shift.turn().await;
                }
                drop(working);
            });
        }
    }

    /// Changes a descriptor, which lies in another range than the version.
    async fn change(&self, gateway: &Gateway, descriptor: i64) -> bool {
        let outcome = gateway.transact(TxnOptions::default(), move |txn| async move {
            txn.put(row_key(DESCRIPTORS, &[descriptor]), Some(Bytes::from_static(b"columns")), false)?;
            txn.mark_catalog_change(catalog_version_key());
            Ok(())
        });
        match outcome.await {
            Outcome::Committed(()) => {
                env::probe!("a_catalog_change_was_committed");
                self.changes.fetch_add(1, Ordering::SeqCst);
                true
            }
            Outcome::Failed(error) => {
                self.world.note(format!("a catalog change failed: {error:?}"));
                check_failure(&self.world, "catalog_errors", &error);
                false
            }
            Outcome::Unknown => false,
        }
    }

    async fn look(&self, gateway: &Gateway) {
        let options = TxnOptions { read_only: true, ..TxnOptions::default() };
        let outcome = gateway.transact(options, |txn| async move {
            let stamp = txn.stamp();
            Ok((stamp, version(get(&txn, &catalog_version_key(), None).await?)?))
        });
        if let Outcome::Committed((stamp, found)) = outcome.await
            && !stamp.unsettled
            && stamp.catalog != found
        {
            let what = format!("{} came with the catalog of {}, and it is that of {found}", stamp.at, stamp.catalog);
            self.world.violation("catalog_of_a_number", what);
        }
    }

    /// Nothing is in the way of a change any more but other clients.
    pub async fn can_change(&self, gateways: &Gateways) -> bool {
        for node in (0..gateways.len()).cycle().take(TRIES) {
            if let Some(gateway) = gateways.get(node)
                && self.change(&gateway, 0).await
            {
                return true;
            }
            self.world.sleep(RETRY).await;
        }
        false
    }
}

/// For more than ten seconds: a leader that is new to a record waits a whole expiry before it calls the coordinator dead.
const TRIES: usize = 120;

fn version(value: Option<Bytes>) -> Result<Timestamp, TxnError> {
    let Some(value) = value else { return Ok(Timestamp::ZERO) };
    let number = value[..].try_into().map_err(|_| TxnError::Corrupt { what: format!("a version is {value:?}") })?;
    Ok(Timestamp(u64::from_be_bytes(number)))
}
