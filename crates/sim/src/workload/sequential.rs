//! Parts of a key, each in a range of its own and written by a transaction of its own over any node; others read them in the
//! opposite order.

use checker::load::Parts;
use checker::sequential::SequentialOp;
use keyspace::{Key, TableId};
use txn::TxnOptions;

use super::recorder::Workload;
use super::rows::{encode, get, row_key};
use crate::Random;
use crate::gateway::{Gateway, Outcome};

/// Part `n` lies in table `n`.
const TABLES: [TableId; Parts::PARTS as usize] = [TableId(1030), TableId(1031), TableId(1032)];

pub(super) struct Sequential;

impl Workload for Sequential {
    type Op = SequentialOp;
    type Load = Parts;

    fn split_keys(&self) -> Vec<Key> {
        TABLES[1..].iter().map(|table| row_key(*table, &[])).collect()
    }

    fn more_split_keys(&self) -> Vec<Key> {
        TABLES.into_iter().flat_map(|table| (1..8).map(move |key| row_key(table, &[50 * key]))).collect()
    }

    async fn perform(&self, nodes: &[Gateway], op: SequentialOp, _random: &mut Random) -> Outcome<SequentialOp> {
        match op {
            SequentialOp::Write { key, parts } => {
                for part in 0..parts {
                    match write(&nodes[part as usize % nodes.len()], key, part).await {
                        Outcome::Committed(()) => {}
                        // The parts before it are there.
                        Outcome::Failed(error) if part == 0 => return Outcome::Failed(error),
                        _ => return Outcome::Unknown,
                    }
                }
                Outcome::Committed(op)
            }
            SequentialOp::Read { key, parts, .. } => {
                let mut seen = Vec::new();
                for part in (0..parts).rev() {
                    match read(&nodes[part as usize % nodes.len()], key, part).await {
                        Outcome::Committed(true) => seen.push(part),
                        Outcome::Committed(false) => {}
                        Outcome::Failed(error) => return Outcome::Failed(error),
                        Outcome::Unknown => return Outcome::Unknown,
                    }
                }
                Outcome::Committed(SequentialOp::Read { key, parts, seen: Some(seen) })
            }
        }
    }
}

fn part_key(key: u32, part: u32) -> Key {
    row_key(TABLES[part as usize], &[i64::from(key)])
}

async fn write(gateway: &Gateway, key: u32, part: u32) -> Outcome<()> {
    let body = move |txn: std::sync::Arc<txn::Transaction>| async move {
        txn.put(part_key(key, part), Some(encode(&[part])), false)
    };
    gateway.transact(TxnOptions::default(), body).await
}

async fn read(gateway: &Gateway, key: u32, part: u32) -> Outcome<bool> {
    let options = TxnOptions { read_only: true, ..TxnOptions::default() };
    let body = move |txn: std::sync::Arc<txn::Transaction>| async move {
        Ok(get(&txn, &part_key(key, part), None).await?.is_some())
    };
    gateway.transact(options, body).await
}
