//! Groups of keys, one in each of several ranges; each is written once and blindly, while others read whole groups.

use checker::load::Forks;
use checker::long_fork::ForkOp;
use keyspace::{Key, TableId};
use txn::{Transaction, TxnOptions, TxnResult, Visible};

use super::recorder::Workload;
use super::rows::{encode, row_key};
use crate::Random;
use crate::gateway::{Gateway, Outcome};

/// Key `n` of a group lies in table `n`.
const TABLES: [TableId; Forks::KEYS as usize] = [TableId(1017), TableId(1018), TableId(1019), TableId(1020)];

pub(super) struct LongFork;

impl Workload for LongFork {
    type Op = ForkOp;
    type Load = Forks;

    fn split_keys(&self) -> Vec<Key> {
        TABLES[1..].iter().map(|table| row_key(*table, &[])).collect()
    }

    fn more_split_keys(&self) -> Vec<Key> {
        TABLES.into_iter().flat_map(|table| (1..6).map(move |group| row_key(table, &[100 * group]))).collect()
    }

    async fn perform(&self, nodes: &[Gateway], op: ForkOp, random: &mut Random) -> Outcome<ForkOp> {
        let read_only = matches!(op, ForkOp::Read { .. }) && random.chance(0.7);
        let options = TxnOptions { read_only, ..TxnOptions::default() };
        let body = move |txn: std::sync::Arc<Transaction>| {
            let op = op.clone();
            async move { carry_out(&txn, op).await }
        };
        nodes[0].transact(options, body).await
    }
}

async fn carry_out(txn: &Transaction, op: ForkOp) -> TxnResult<ForkOp> {
    match op {
        ForkOp::Write { group, key } => {
            txn.put(row_key(TABLES[key as usize], &[i64::from(group)]), Some(encode(&[1])), false)?;
            Ok(op)
        }
        ForkOp::Read { group, .. } => {
            let keys = TABLES.map(|table| row_key(table, &[i64::from(group)]));
            let found = txn.get_many(&keys, None, Visible::EarlierStatements, false).await?;
            let seen = (0_u32..).zip(found).filter(|(_, row)| row.is_some()).map(|(key, _)| key).collect();
            Ok(ForkOp::Read { group, seen: Some(seen) })
        }
    }
}
