//! Children and their parents: no child is ever seen without its parent (rule 21). Children are adopted at READ COMMITTED, as an
//! INSERT with a foreign key does it: the parent's row is locked and looked at as it is *now*, and the child's row is written without
//! having been read. Parents are founded all the time, and children look for the one that is just being founded: a child that
//! found its parent at a number fetched for the check must not appear below that number, at which readers still find no parent.
//! Those who look take their number early, and read late.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use keyspace::{Key, TableId, encoding};
use parking_lot::Mutex;
use txn::{Isolation, LockMode, LockSpec, LockWait, Transaction, TxnOptions, TxnResult, Visible};

use super::recorder::Recorded;
use super::rows::{check_failure, get, row_key, rows_span, scan};
use super::{RETRY, Shift};
use crate::World;
use crate::gateway::{Gateway, Gateways, Outcome};
use crate::world::spawn;

const CHILDREN: TableId = TableId(1042);
const PARENTS: TableId = TableId(1043);

/// Looks that one client has under way at once.
const LOOKS: u64 = 3;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Families {
    world: World,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    clients: u64,
    /// The parent that is being founded.
    founding: i64,
    /// Children that were begun.
    children: i64,
    adopted: BTreeSet<(i64, i64)>,
    acknowledged: u64,
}

impl Families {
    pub fn boxed(world: &World) -> Box<dyn Recorded> {
        Box::new(Families { world: world.clone(), state: Arc::default() })
    }

    async fn found(&self, gateway: &Gateway, takes: Duration) {
        self.world.sleep(takes).await;
        let parent = self.state.lock().founding;
        let outcome = gateway.transact(TxnOptions::default(), move |txn| async move {
            txn.put(row_key(PARENTS, &[parent]), Some(Bytes::from_static(b"parent")), false)
        });
        match outcome.await {
            Outcome::Failed(error) => check_failure(&self.world, "families_errors", &error),
            outcome => {
                let mut state = self.state.lock();
                state.acknowledged += u64::from(outcome == Outcome::Committed(()));
                state.founding += 1;
            }
        }
    }

    async fn adopt(&self, gateway: &Gateway, thinks: Duration) {
        let (parent, child) = {
            let mut state = self.state.lock();
            state.children += 1;
            (state.founding, state.children)
        };
        let options = TxnOptions { isolation: Isolation::ReadCommitted, ..TxnOptions::default() };
        let world = self.world.clone();
        let outcome = gateway.transact(options, move |txn| {
            let world = world.clone();
            async move {
                world.sleep(thinks).await;
                adopt(&txn, parent, child).await
            }
        });
        match outcome.await {
            Outcome::Committed(is_adopted) => {
                let mut state = self.state.lock();
                state.acknowledged += 1;
                if is_adopted {
                    state.adopted.insert((parent, child));
                }
            }
            Outcome::Failed(error) => check_failure(&self.world, "families_errors", &error),
            Outcome::Unknown => {}
        }
    }

    async fn look(&self, gateway: &Gateway, later: Duration) {
        let parent = self.state.lock().founding;
        let options = TxnOptions { read_only: true, ..TxnOptions::default() };
        let world = self.world.clone();
        let outcome = gateway.transact(options, move |txn| {
            let world = world.clone();
            async move {
                world.sleep(later).await;
                let children = scan(&txn, rows_span(CHILDREN, &[parent])).await?.len();
                Ok((children, get(&txn, &row_key(PARENTS, &[parent]), None).await?.is_some()))
            }
        });
        if let Outcome::Committed((children, is_there)) = outcome.await {
            self.state.lock().acknowledged += 1;
            if children > 0 && !is_there {
                self.world.violation("families", format!("{children} children of {parent}, and no parent"));
            }
        }
    }

    /// Everything, when all is over.
    async fn audit(&self, gateway: &Gateway) -> bool {
        let outcome = gateway.transact(TxnOptions::default(), |txn| async move {
            Ok((scan(&txn, rows_span(CHILDREN, &[])).await?, scan(&txn, rows_span(PARENTS, &[])).await?))
        });
        let Outcome::Committed((children, parents)) = outcome.await else { return false };
        let parents: BTreeSet<Key> = parents.into_iter().map(|row| row.key).collect();
        let children: BTreeSet<(i64, i64)> = children.iter().filter_map(|row| numbers(&row.key)).collect();
        for orphan in children.iter().filter(|(parent, _)| !parents.contains(&row_key(PARENTS, &[*parent]))) {
            self.world.violation("families", format!("at the end {orphan:?} has no parent"));
        }
        for lost in self.state.lock().adopted.difference(&children) {
            self.world.violation("families", format!("{lost:?} was acknowledged and is not there"));
        }
        true
    }
}

/// `false`: there is no such parent.
async fn adopt(txn: &Transaction, parent: i64, child: i64) -> TxnResult<bool> {
    let wait = LockWait::Block { timeout: None };
    let share = LockSpec { mode: LockMode::KeyShare, wait, absent_too: false };
    let found = txn.get_many(&[row_key(PARENTS, &[parent])], Some(share), Visible::Everything, true).await?;
    let is_there = found.into_iter().flatten().next().is_some();
    if is_there {
        txn.put(row_key(CHILDREN, &[parent, child]), Some(Bytes::from_static(b"child")), false)?;
    }
    Ok(is_there)
}

fn numbers(key: &Key) -> Option<(i64, i64)> {
    let mut columns = key.strip_prefix(&row_key(CHILDREN, &[])[..])?;
    Some((encoding::take_int(&mut columns)?, encoding::take_int(&mut columns)?))
}

impl Recorded for Families {
    fn name(&self) -> &'static str {
        "families"
    }

    fn split_keys(&self) -> Vec<Key> {
        vec![row_key(CHILDREN, &[]), row_key(PARENTS, &[])]
    }

    fn more_split_keys(&self) -> Vec<Key> {
        [CHILDREN, PARENTS].into_iter().flat_map(|table| (1..6).map(move |part| row_key(table, &[60 * part]))).collect()
    }

    /// Of four clients one founds, two adopt, one looks.
    fn start_client(&self, gateways: &Gateways, shift: &Shift) {
        let (families, gateways, shift) = (self.clone(), gateways.clone(), shift.clone());
        let mut random = self.world.split_random();
        let role = {
            let mut state = self.state.lock();
            state.clients += 1;
            state.clients % 4
        };
        let working = shift.clock_in();
        spawn(async move {
            while !shift.is_over() {
                let Some(gateway) = gateways.get(random.below(gateways.len() as u64) as usize) else {
                    families.world.sleep(RETRY).await;
                    continue;
                };
                let mut millis = |max| Duration::from_millis(random.below(max));
                match role {
                    0 => {
                        let looks: Vec<Duration> = (0..LOOKS).map(|_| millis(250)).collect();
                        join_all(looks.into_iter().map(|later| families.look(&gateway, later))).await;
                    }
                    1 => families.found(&gateway, millis(150)).await,
                    _ => families.adopt(&gateway, millis(150)).await,
                }
                shift.turn().await;
                // Whatever fails at once must not be tried for ever at one instant.
                families.world.sleep(Duration::from_millis(random.between(1, 20))).await;
            }
            drop(working);
        });
    }

    fn read_all<'a>(&'a self, gateway: &'a Gateway) -> BoxFuture<'a, bool> {
        Box::pin(self.audit(gateway))
    }

    fn acknowledged(&self) -> u64 {
        self.state.lock().acknowledged
    }

    /// What is wrong is seen at once.
    fn judge(&self) {}

    fn counts(&self) -> (u64, u64) {
        let acknowledged = self.state.lock().acknowledged;
        (acknowledged, acknowledged)
    }

    fn history(&self) -> String {
        String::new()
    }
}
