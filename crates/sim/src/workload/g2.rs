//! Two transactions for each key look for rows in two tables, and each inserts one into a table of its own if there are none.

use checker::g2::G2Op;
use checker::load::Skews;
use keyspace::{Key, TableId};
use txn::{Transaction, TxnError, TxnOptions, TxnResult};

use super::recorder::Workload;
use super::rows::{decode_one, encode, row_key, rows_span, scan};
use crate::Random;
use crate::gateway::{Gateway, Outcome};

const TABLES: [TableId; 2] = [TableId(1025), TableId(1026)];
/// Values that fit the condition are multiples of this.
const DIVISOR: u32 = 3;

pub(super) struct G2;

impl Workload for G2 {
    type Op = G2Op;
    type Load = Skews;

    fn split_keys(&self) -> Vec<Key> {
        vec![row_key(TABLES[0], &[200]), row_key(TABLES[1], &[])]
    }

    fn more_split_keys(&self) -> Vec<Key> {
        TABLES.into_iter().flat_map(|table| (1..8).map(move |key| row_key(table, &[50 * key]))).collect()
    }

    async fn perform(&self, nodes: &[Gateway], op: G2Op, _random: &mut Random) -> Outcome<G2Op> {
        let body = move |txn: std::sync::Arc<Transaction>| {
            let op = op.clone();
            async move { carry_out(&txn, op).await }
        };
        nodes[0].transact(TxnOptions::default(), body).await
    }
}

async fn carry_out(txn: &Transaction, op: G2Op) -> TxnResult<G2Op> {
    match op {
        G2Op::Insert { key, row } => {
            if !find(txn, key).await?.is_empty() {
                // The transaction fails by its own wish.
                return Err(TxnError::KeyExists { key: row_key(TABLES[0], &[i64::from(key)]) });
            }
            let table = TABLES[row as usize % TABLES.len()];
            let value = encode(&[row * DIVISOR]);
            txn.put_new(row_key(table, &[i64::from(key), i64::from(row)]), value)?;
            Ok(op)
        }
        G2Op::Read { key, .. } => Ok(G2Op::Read { key, rows: Some(find(txn, key).await?) }),
    }
}

/// Rows of the key whose value fits.
async fn find(txn: &Transaction, key: u32) -> TxnResult<Vec<u32>> {
    let mut rows = Vec::new();
    for table in TABLES {
        for row in scan(txn, rows_span(table, &[i64::from(key)])).await? {
            let value = decode_one(&row.value)?;
            if value % DIVISOR == 0 {
                rows.push(value / DIVISOR);
            }
        }
    }
    Ok(rows)
}
