//! Drawing from sequences: small transactions of their own, so that nobody waits for the end of another's.

use std::collections::VecDeque;
use std::sync::Arc;

use expr::Oid;
use txn::{Isolation, LockMode, LockSpec, LockWait, Transaction, TxnOptions, Visible};

use super::Server;
use crate::catalog::sequence::{SequenceState, value_key};
use crate::catalog::{Catalog, RelationKind, SequenceDescriptor, Table};
use crate::{Retry, SqlError, SqlResult};

/// Times to try while others draw too.
const TRIES_MAX: u32 = 100;

/// Up to `count` numbers, or as many as the sequence's CACHE says if that is more; one at least.
pub(super) async fn draw(server: &Server, catalog: &Catalog, oid: Oid, count: u64) -> SqlResult<VecDeque<i64>> {
    let (table, sequence) = find(catalog, oid)?;
    let count = count.max(sequence.cache.max(1) as u64).min(10_000);
    let mut tries = 0;
    loop {
        match try_draw(server, &table, &sequence, count).await {
            Err(error) if error.0.retry != Retry::No && tries < TRIES_MAX => tries += 1,
            result => return result,
        }
    }
}

/// `setval`.
pub(super) async fn set(server: &Server, catalog: &Catalog, oid: Oid, value: i64, is_called: bool) -> SqlResult<()> {
    let (table, sequence) = find(catalog, oid)?;
    if !(sequence.min..=sequence.max).contains(&value) {
        let (min, max) = (sequence.min, sequence.max);
        let message = format!("setval: value {value} is out of bounds for sequence \"{}\" ({min}..{max})", table.name);
        return Err(SqlError::new("22003", message));
    }
    let mut tries = 0;
    loop {
        match try_set(server, &sequence, SequenceState { last_value: value, is_called }).await {
            Err(error) if error.0.retry != Retry::No && tries < TRIES_MAX => tries += 1,
            result => return result,
        }
    }
}

fn find(catalog: &Catalog, oid: Oid) -> SqlResult<(Table, SequenceDescriptor)> {
    match catalog.table(oid) {
        Some(table) => match &table.kind {
            RelationKind::Sequence(sequence) => Ok((table.clone(), sequence.clone())),
            _ => Err(SqlError::new("42809", format!("\"{}\" is not a sequence", table.name))),
        },
        None => Err(SqlError::new("42P01", format!("relation with OID {oid} does not exist"))),
    }
}

async fn begin(server: &Server) -> SqlResult<Transaction> {
    let options = TxnOptions { isolation: Isolation::ReadCommitted, ..TxnOptions::default() };
    let txn = server.config.txn.begin(options).await?;
    txn.begin_statement().await?;
    Ok(txn)
}

/// The sequence's state, locked.
async fn read(txn: &Transaction, sequence: &SequenceDescriptor) -> SqlResult<SequenceState> {
    let key = value_key(sequence.storage);
    let wait = LockWait::Block { timeout: None };
    let lock = LockSpec { mode: LockMode::Update, wait, absent_too: true };
    let found = txn.get_many(&[key], Some(lock), Visible::Everything, true).await?;
    match found.into_iter().next().flatten() {
        None => Ok(SequenceState::initial(sequence)),
        Some(value) => {
            let state = SequenceState::decode(&value);
            state.ok_or_else(|| SqlError::new("XX001", "a sequence's value cannot be read"))
        }
    }
}

async fn try_draw(
    server: &Server,
    table: &Arc<crate::catalog::TableDescriptor>,
    sequence: &SequenceDescriptor,
    count: u64,
) -> SqlResult<VecDeque<i64>> {
    let txn = begin(server).await?;
    let mut state = read(&txn, sequence).await?;
    let (first, count) = state.advance(&table.name, sequence, count)?;
    txn.put(value_key(sequence.storage), Some(state.encode()), false)?;
    txn.commit().await?;
    Ok((0..count).map(|at| first + at as i64 * sequence.increment).collect())
}

async fn try_set(server: &Server, sequence: &SequenceDescriptor, state: SequenceState) -> SqlResult<()> {
    let txn = begin(server).await?;
    read(&txn, sequence).await?;
    txn.put(value_key(sequence.storage), Some(state.encode()), false)?;
    txn.commit().await?;
    Ok(())
}
