//! Single numbers that are read, written, and swapped where they are what somebody expects. Each register is replaced by a fresh
//! one after some operations: to judge one takes time that grows fast with their number.

use checker::load::Registers;
use checker::register::RegisterOp;
use keyspace::{Key, TableId};
use txn::{Transaction, TxnOptions, TxnResult};

use super::recorder::Workload;
use super::rows::{Spread, decode_one, encode, exclusive, get};
use crate::Random;
use crate::gateway::{Gateway, Outcome};

const REGISTERS: Spread = Spread { tables: [TableId(1012), TableId(1013)] };

pub(super) struct Register;

impl Workload for Register {
    type Op = RegisterOp;
    type Load = Registers;

    fn split_keys(&self) -> Vec<Key> {
        REGISTERS.split_keys()
    }

    fn more_split_keys(&self) -> Vec<Key> {
        REGISTERS.more_split_keys()
    }

    async fn perform(&self, nodes: &[Gateway], op: RegisterOp, random: &mut Random) -> Outcome<RegisterOp> {
        let locks = random.chance(0.5);
        let read_only = matches!(op, RegisterOp::Read { .. }) && random.chance(0.5);
        let options = TxnOptions { read_only, ..TxnOptions::default() };
        nodes[0].transact(options, move |txn| async move { carry_out(&txn, op, locks).await }).await
    }
}

async fn carry_out(txn: &Transaction, op: RegisterOp, locks: bool) -> TxnResult<RegisterOp> {
    let read = async |key, lock| get(txn, &REGISTERS.key(key), lock).await?.map(|row| decode_one(&row)).transpose();
    let write = |key, value: u32| txn.put(REGISTERS.key(key), Some(encode(&[value])), false);
    match op {
        RegisterOp::Read { key, .. } => Ok(RegisterOp::Read { key, value: Some(read(key, None).await?) }),
        RegisterOp::Write { key, value } => {
            write(key, value)?;
            Ok(op)
        }
        RegisterOp::Cas { key, from, to, .. } => {
            let fits = read(key, locks.then(exclusive)).await? == Some(from);
            if fits {
                write(key, to)?;
            }
            Ok(RegisterOp::Cas { key, from, to, swapped: Some(fits) })
        }
    }
}
