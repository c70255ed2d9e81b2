//! `cairn.transactions`, `cairn.locks` and `pg_locks`: the open transactions of this node's sessions, what they have locked, and
//! whom they wait for.
//!
//! What a session waits for is known by transaction, not by key: who waits has a row that names whom he waits for.

use expr::{Datum, EvalContext, Oid, Row};
use txn::LockMode;

use super::VirtualContext;
use super::row::{Equal, row};
use crate::SqlResult;
use crate::catalog::providers::{TransactionRow, WaitRow};
use crate::catalog::rows::parse_table_lock_key;
use crate::exec::write::NamedKey;

/// One lock, or one wait.
struct Lock {
    table: Option<Oid>,
    key: Option<String>,
    mode: LockMode,
    /// Written down by a statement, not taken from anybody.
    by_use: bool,
}

pub(super) fn transactions(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |transaction: TransactionRow| {
        row! { equal.relation;
            session_id: transaction.session as i32,
            transaction_id: transaction.id.0 as i64,
            isolation: transaction.isolation,
            state: transaction.state,
            started: transaction.started.map(Datum::TimestampTz),
            statement: transaction.query,
            locks: transaction.locks.len() as i64,
            buffered_bytes: transaction.buffered_bytes as i64,
        }
    };
    open(cx).into_iter().map(make).collect()
}

pub(super) async fn locks(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> SqlResult<Vec<Row>> {
    let waits = waits(cx).await?;
    let mut rows = Vec::new();
    for transaction in open(cx) {
        for lock in locks_of(cx, &transaction) {
            let name = lock.table.and_then(|table| cx.catalog.table(table)).map(|table| table.name.clone());
            rows.push(row! { equal.relation;
                session_id: transaction.session as i32,
                transaction_id: transaction.id.0 as i64,
                table_id: lock.table,
                table_name: name,
                key: lock.key,
                mode: name_of(lock.mode),
                granted: true,
            });
        }
        for wait in waits_of(&waits, &transaction) {
            rows.push(row! { equal.relation;
                session_id: transaction.session as i32,
                transaction_id: transaction.id.0 as i64,
                granted: false,
                blocked_by: wait.holder.0 as i64,
            });
        }
    }
    Ok(rows)
}

/// PostgreSQL lists locks on tables; of those on rows only that somebody waits for another one's transaction.
pub(super) async fn pg_locks(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> SqlResult<Vec<Row>> {
    let waits = waits(cx).await?;
    let mut rows = Vec::new();
    for transaction in open(cx) {
        let virtual_id = format!("{}/{}", transaction.session, transaction.id.0);
        for lock in locks_of(cx, &transaction).into_iter().filter(|lock| lock.key.is_none()) {
            rows.push(row! { equal.relation;
                locktype: "relation",
                database: cx.database(),
                relation: lock.table,
                virtualtransaction: virtual_id.as_str(),
                pid: transaction.session as i32,
                mode: name_of(lock.mode),
                granted: true,
                fastpath: lock.by_use,
            });
        }
        if waits_of(&waits, &transaction).next().is_some() {
            rows.push(row! { equal.relation;
                locktype: "transactionid",
                virtualtransaction: virtual_id.as_str(),
                pid: transaction.session as i32,
                mode: "ShareLock",
                granted: false,
                fastpath: false,
            });
        }
    }
    Ok(rows)
}

fn open(cx: &VirtualContext<'_>) -> Vec<TransactionRow> {
    cx.views.sessions.as_ref().map(|sessions| sessions.transactions()).unwrap_or_default()
}

async fn waits(cx: &VirtualContext<'_>) -> SqlResult<Vec<WaitRow>> {
    match &cx.views.cluster {
        Some(cluster) => cluster.waits().await,
        None => Ok(Vec::new()),
    }
}

fn waits_of<'w>(waits: &'w [WaitRow], transaction: &TransactionRow) -> impl Iterator<Item = &'w WaitRow> + use<'w> {
    let (id, advisory) = (transaction.id, transaction.advisory);
    waits.iter().filter(move |wait| wait.waiter == id || wait.waiter == advisory)
}

fn locks_of(cx: &VirtualContext<'_>, transaction: &TransactionRow) -> Vec<Lock> {
    let by_use =
        transaction.uses.iter().map(|(table, mode)| Lock { table: Some(*table), key: None, mode: *mode, by_use: true });
    let taken = transaction.locks.iter().map(|(key, mode)| {
        if let Some(table) = parse_table_lock_key(key) {
            return Lock { table: Some(table), key: None, mode: *mode, by_use: false };
        }
        let eval = EvalContext::detached();
        let named = NamedKey::of(cx.own_relations(), key, &eval);
        let text = named.as_ref().and_then(NamedKey::text).unwrap_or_else(|| key.to_string());
        Lock { table: named.map(|named| named.table.oid), key: Some(text), mode: *mode, by_use: false }
    });
    by_use.chain(taken).collect()
}

fn name_of(mode: LockMode) -> &'static str {
    match mode {
        LockMode::KeyShare => "FOR KEY SHARE",
        LockMode::Share => "FOR SHARE",
        LockMode::NoKeyUpdate => "FOR NO KEY UPDATE",
        LockMode::Update => "FOR UPDATE",
        LockMode::AccessShare => "AccessShareLock",
        LockMode::RowShare => "RowShareLock",
        LockMode::RowExclusive => "RowExclusiveLock",
        LockMode::ShareUpdateExclusive => "ShareUpdateExclusiveLock",
        LockMode::TableShare => "ShareLock",
        LockMode::ShareRowExclusive => "ShareRowExclusiveLock",
        LockMode::Exclusive => "ExclusiveLock",
        LockMode::AccessExclusive => "AccessExclusiveLock",
    }
}
