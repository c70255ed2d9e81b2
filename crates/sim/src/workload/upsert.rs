//! Rows under a unique key that lies in another range than the row: who finds none inserts one, who finds one counts it up.

use checker::load::Upserts;
use checker::upsert::{Row, UpsertOp};
use keyspace::{Key, TableId};
use txn::{Transaction, TxnOptions, TxnResult};

use super::recorder::Workload;
use super::rows::{decode_one, encode, exclusive, get, row_key, rows_span, scan};
use crate::Random;
use crate::gateway::{Gateway, Outcome};

/// Key to the row's id, without duplicates.
const UNIQUE: TableId = TableId(1033);
/// Key and id to the count.
const ROWS: TableId = TableId(1034);

pub(super) struct Upsert;

impl Workload for Upsert {
    type Op = UpsertOp;
    type Load = Upserts;

    fn split_keys(&self) -> Vec<Key> {
        vec![row_key(UNIQUE, &[30]), row_key(ROWS, &[])]
    }

    fn more_split_keys(&self) -> Vec<Key> {
        [UNIQUE, ROWS].into_iter().flat_map(|table| (1..10).map(move |key| row_key(table, &[10 * key]))).collect()
    }

    async fn perform(&self, nodes: &[Gateway], op: UpsertOp, random: &mut Random) -> Outcome<UpsertOp> {
        let locks = random.chance(0.5);
        let body = move |txn: std::sync::Arc<Transaction>| {
            let op = op.clone();
            async move { carry_out(&txn, op, locks).await }
        };
        nodes[0].transact(TxnOptions::default(), body).await
    }
}

async fn carry_out(txn: &Transaction, op: UpsertOp, locks: bool) -> TxnResult<UpsertOp> {
    match op {
        UpsertOp::Upsert { key, id, .. } => {
            let unique = row_key(UNIQUE, &[i64::from(key)]);
            let count_of = |id: u32| row_key(ROWS, &[i64::from(key), i64::from(id)]);
            let found = get(txn, &unique, locks.then(exclusive)).await?.map(|row| decode_one(&row)).transpose()?;
            match found {
                Some(found) => {
                    let count = get(txn, &count_of(found), None).await?.map_or(Ok(0), |row| decode_one(&row))?;
                    txn.put(count_of(found), Some(encode(&[count + 1])), false)?;
                }
                None => {
                    txn.put_new(unique, encode(&[id]))?;
                    txn.put_new(count_of(id), encode(&[1]))?;
                }
            }
            Ok(UpsertOp::Upsert { key, id, created: Some(found.is_none()) })
        }
        UpsertOp::Read { key, .. } => {
            let mut rows = Vec::new();
            let span = rows_span(ROWS, &[i64::from(key)]);
            let prefix = span.start.len();
            for row in scan(txn, span).await? {
                let id = keyspace::encoding::take_int(&mut &row.key[prefix..]).and_then(|id| u32::try_from(id).ok());
                rows.push(Row { id: id.unwrap_or(u32::MAX), count: decode_one(&row.value)? });
            }
            Ok(UpsertOp::Read { key, rows: Some(rows) })
        }
    }
}
