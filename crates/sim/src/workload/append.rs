//! Lists over several ranges: transactions of up to four statements that read lists or append to them. The run is at one
//! isolation level, and is judged by what that level promises.

use bytes::Bytes;
use checker::Level;
use checker::append::{Generator, Sizes, Step, Txn};
use keyspace::{Key, Span, TableId};
use txn::{Isolation, Transaction, TxnOptions, TxnResult};

use super::recorder::Workload;
use super::rows::{Spread, decode, encode, exclusive, get, scan};
use crate::Random;
use crate::gateway::{Gateway, Outcome, statement};

const LISTS: Spread = Spread { tables: [TableId(1010), TableId(1011)] };

pub(super) struct Append {
    isolation: Isolation,
}

/// How a transaction goes about it.
#[derive(Clone, Copy)]
struct Manner {
    /// An append locks its list before it reads it.
    locks: bool,
    /// Reads go through scans.
    scans: bool,
}

impl Append {
    pub fn draw(random: &mut Random) -> (Append, Generator) {
        let isolation = match random.below(8) {
            0 => Isolation::ReadCommitted,
            1 => Isolation::RepeatableRead,
            _ => Isolation::Serializable,
        };
        let sizes =
            Sizes { keys: random.between(4, 12) as u32, steps_max: 4, appends_max: random.between(8, 64) as u32 };
        (Append { isolation }, Generator::new(sizes))
    }
}

impl Workload for Append {
    type Op = Txn;
    type Load = Generator;

    fn split_keys(&self) -> Vec<Key> {
        LISTS.split_keys()
    }

    fn more_split_keys(&self) -> Vec<Key> {
        LISTS.more_split_keys()
    }

    async fn perform(&self, nodes: &[Gateway], op: Txn, random: &mut Random) -> Outcome<Txn> {
        // Without a lock READ COMMITTED would lose appends, and may.
        let locks = random.chance(0.3) || self.isolation == Isolation::ReadCommitted;
        let manner = Manner { locks, scans: random.chance(0.2) };
        let only_reads = op.0.iter().all(|step| matches!(step, Step::Read { .. }));
        let read_only = only_reads && random.chance(0.5);
        let options = TxnOptions { isolation: self.isolation, read_only, ..TxnOptions::default() };
        let body = move |txn: std::sync::Arc<Transaction>| async move {
            let mut done = Vec::new();
            for step in &op.0 {
                done.push(statement(&txn, || carry_out(&txn, step, manner)).await?);
            }
            Ok(Txn(done))
        };
        nodes[0].work(options, body).await.map(|(done, _)| done)
    }

    fn promise(&self) -> Level {
        match self.isolation {
            Isolation::ReadCommitted => Level::ReadCommitted,
            Isolation::RepeatableRead => Level::SnapshotIsolation,
            Isolation::Serializable => Level::StrictSerializable,
        }
    }
}

async fn carry_out(txn: &Transaction, step: &Step, manner: Manner) -> TxnResult<Step> {
    match step {
        Step::Read { key, .. } => Ok(Step::Read { key: *key, seen: Some(read(txn, *key, manner).await?) }),
        Step::Append { key, value } => {
            let row = LISTS.key(*key);
            let before = match manner.locks {
                true => list(get(txn, &row, Some(exclusive())).await?)?,
                false => read(txn, *key, manner).await?,
            };
            txn.put(row, Some(encode(&[&before[..], &[*value]].concat())), false)?;
            Ok(step.clone())
        }
    }
}

async fn read(txn: &Transaction, key: u32, manner: Manner) -> TxnResult<Vec<u32>> {
    let row = LISTS.key(key);
    if !manner.scans {
        return list(get(txn, &row, None).await?);
    }
    let rows = scan(txn, Span::point(row)).await?;
    list(rows.into_iter().next().map(|row| row.value))
}

fn list(row: Option<Bytes>) -> TxnResult<Vec<u32>> {
    row.map_or(Ok(Vec::new()), |row| decode(&row))
}
