//! Inserts into sets that lie over several ranges, and reads of whole sets all the time. A full set is replaced by an empty one.

use checker::load::Sets;
use checker::set::SetOp;
use keyspace::{Key, TableId};
use txn::{Transaction, TxnOptions, TxnResult};

use super::recorder::Workload;
use super::rows::{decode_one, encode, row_key, rows_span, scan};
use crate::Random;
use crate::gateway::{Gateway, Outcome};

/// A set has a part in each.
const TABLES: [TableId; 3] = [TableId(1014), TableId(1015), TableId(1016)];

pub(super) struct Set;

impl Workload for Set {
    type Op = SetOp;
    type Load = Sets;

    fn split_keys(&self) -> Vec<Key> {
        TABLES[1..].iter().map(|table| row_key(*table, &[])).collect()
    }

    fn more_split_keys(&self) -> Vec<Key> {
        TABLES.into_iter().flat_map(|table| (0..6).map(move |set| row_key(table, &[set]))).collect()
    }

    async fn perform(&self, nodes: &[Gateway], op: SetOp, random: &mut Random) -> Outcome<SetOp> {
        let read_only = matches!(op, SetOp::Read { .. }) && random.chance(0.7);
        let options = TxnOptions { read_only, ..TxnOptions::default() };
        let body = move |txn: std::sync::Arc<Transaction>| {
            let op = op.clone();
            async move { carry_out(&txn, op).await }
        };
        nodes[0].transact(options, body).await
    }
}

async fn carry_out(txn: &Transaction, op: SetOp) -> TxnResult<SetOp> {
    match op {
        SetOp::Add { set, value } => {
            let table = TABLES[value as usize % TABLES.len()];
            txn.put_new(row_key(table, &[i64::from(set), i64::from(value)]), encode(&[value]))?;
            Ok(op)
        }
        SetOp::Read { set, .. } => {
            let mut seen = Vec::new();
            for table in TABLES {
                for row in scan(txn, rows_span(table, &[i64::from(set)])).await? {
                    seen.push(decode_one(&row.value)?);
                }
            }
            Ok(SetOp::Read { set, seen: Some(seen) })
        }
    }
}
