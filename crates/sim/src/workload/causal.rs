//! Comments: blind inserts into several ranges, and reads of a whole group. A later comment is never there without an earlier one.

use checker::causal::CausalOp;
use checker::load::Comments;
use keyspace::{Key, TableId};
use txn::{Transaction, TxnOptions, TxnResult};

use super::recorder::Workload;
use super::rows::{decode_one, encode, row_key, rows_span, scan};
use crate::Random;
use crate::gateway::{Gateway, Outcome};

const TABLES: [TableId; 4] = [TableId(1021), TableId(1022), TableId(1023), TableId(1024)];

pub(super) struct Causal;

impl Workload for Causal {
    type Op = CausalOp;
    type Load = Comments;

    fn split_keys(&self) -> Vec<Key> {
        TABLES[1..].iter().map(|table| row_key(*table, &[])).collect()
    }

    fn more_split_keys(&self) -> Vec<Key> {
        TABLES.into_iter().flat_map(|table| (1..6).map(move |group| row_key(table, &[10 * group]))).collect()
    }

    async fn perform(&self, nodes: &[Gateway], op: CausalOp, random: &mut Random) -> Outcome<CausalOp> {
        let read_only = matches!(op, CausalOp::Read { .. }) && random.chance(0.7);
        let options = TxnOptions { read_only, ..TxnOptions::default() };
        let body = move |txn: std::sync::Arc<Transaction>| {
            let op = op.clone();
            async move { carry_out(&txn, op).await }
        };
        nodes[0].transact(options, body).await
    }
}

async fn carry_out(txn: &Transaction, op: CausalOp) -> TxnResult<CausalOp> {
    match op {
        CausalOp::Insert { group, id } => {
            let table = TABLES[id as usize % TABLES.len()];
            txn.put(row_key(table, &[i64::from(group), i64::from(id)]), Some(encode(&[id])), false)?;
            Ok(op)
        }
        CausalOp::Read { group, .. } => {
            let mut seen = Vec::new();
            for table in TABLES {
                for row in scan(txn, rows_span(table, &[i64::from(group)])).await? {
                    seen.push(decode_one(&row.value)?);
                }
            }
            Ok(CausalOp::Read { group, seen: Some(seen) })
        }
    }
}
