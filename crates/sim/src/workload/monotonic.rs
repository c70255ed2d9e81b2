//! A counter without a counter: each reads the highest number in three tables and inserts the next one into one of them. The number of
//! the commit goes into the history.

use checker::load::Numbers;
use checker::monotonic::{MonotonicOp, Row};
use keyspace::{Key, TableId};
use txn::{ScanSpec, Transaction, TxnOptions, TxnResult, Visible};

use super::recorder::Workload;
use super::rows::{decode_one, encode, row_key, rows_span, scan};
use crate::Random;
use crate::gateway::{Gateway, Outcome, statement};

const TABLES: [TableId; 3] = [TableId(1027), TableId(1028), TableId(1029)];

pub(super) struct Monotonic;

impl Workload for Monotonic {
    type Op = MonotonicOp;
    type Load = Numbers;

    fn split_keys(&self) -> Vec<Key> {
        TABLES[1..].iter().map(|table| row_key(*table, &[])).collect()
    }

    fn more_split_keys(&self) -> Vec<Key> {
        TABLES.into_iter().flat_map(|table| (1..10).map(move |value| row_key(table, &[50 * value]))).collect()
    }

    async fn perform(&self, nodes: &[Gateway], op: MonotonicOp, random: &mut Random) -> Outcome<MonotonicOp> {
        let read_only = op != MonotonicOp::Add(None) && random.chance(0.7);
        let options = TxnOptions { read_only, ..TxnOptions::default() };
        let body = |txn: std::sync::Arc<Transaction>| async move { statement(&txn, || carry_out(&txn, &op)).await };
        nodes[0].work(options, body).await.map(|(op, at)| match op {
            MonotonicOp::Add(Some(row)) => MonotonicOp::Add(Some(Row { stamp: Some(at.0), ..row })),
            other => other,
        })
    }
}

async fn carry_out(txn: &Transaction, op: &MonotonicOp) -> TxnResult<MonotonicOp> {
    match op {
        MonotonicOp::Add(_) => {
            let value = highest(txn).await? + 1;
            let table = TABLES[value as usize % TABLES.len()];
            txn.put(row_key(table, &[i64::from(value)]), Some(encode(&[value])), false)?;
            Ok(MonotonicOp::Add(Some(Row { value, stamp: None })))
        }
        MonotonicOp::Highest(_) => Ok(MonotonicOp::Highest(Some(highest(txn).await?))),
        MonotonicOp::Read(_) => {
            let mut values = Vec::new();
            for table in TABLES {
                for row in scan(txn, rows_span(table, &[])).await? {
                    values.push(decode_one(&row.value)?);
                }
            }
            values.sort_unstable();
            Ok(MonotonicOp::Read(Some(values)))
        }
    }
}

async fn highest(txn: &Transaction) -> TxnResult<u32> {
    let mut highest = 0;
    for table in TABLES {
        let mut last = txn.scan(ScanSpec {
            span: rows_span(table, &[]),
            reverse: true,
            rows_max: 1,
            program: None,
            lock: None,
            visible: Visible::EarlierStatements,
            untracked: false,
        });
        for row in last.next_page().await? {
            highest = highest.max(decode_one(&row.value)?);
        }
    }
    Ok(highest)
}
