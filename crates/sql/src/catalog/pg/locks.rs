//! `cairn.transactions`, `cairn.locks` and `pg_locks`: the open transactions of all nodes' sessions, what they have locked, and
//! whom they wait for. A node that does not answer at once is left out.

use expr::{Datum, EvalContext, Oid, Row};
use keyspace::Key;
use txn::LockMode;

use super::VirtualContext;
use super::row::{Equal, row};
use crate::SqlResult;
use crate::catalog::providers::{TransactionRow, WaitRow};
use crate::catalog::rows::parse_table_lock_key;
use crate::exec::write::NamedKey;
use crate::session::advisory::LockName;
use crate::session::neighbours;

/// What a key is that somebody has locked, or wants to.
enum Locked {
    Table(Oid),
    Advisory(LockName),
    Row { table: Option<Oid>, text: String },
}

/// One lock.
struct Lock {
    locked: Locked,
    mode: LockMode,
    /// Written down by a statement, not taken from anybody.
    by_use: bool,
}

pub(super) async fn transactions(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> SqlResult<Vec<Row>> {
    let make = |transaction: TransactionRow| {
        row! { equal.relation;
            node_id: transaction.node.0 as i64,
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
    Ok(neighbours::all_transactions(cx.views).await.into_iter().map(make).collect())
}

pub(super) async fn locks(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> SqlResult<Vec<Row>> {
    let (waits, transactions) = futures::join!(waits(cx), neighbours::all_transactions(cx.views));
    let waits = waits?;
    let mut rows = Vec::new();
    for transaction in transactions {
        let mut push = |locked: &Locked, mode: LockMode, granted: bool, blocked_by: Option<i64>| {
            let (table, key) = match locked {
                Locked::Table(table) => (Some(*table), None),
                Locked::Advisory(name) => (None, Some(format!("advisory lock {name}"))),
                Locked::Row { table, text } => (*table, Some(text.clone())),
            };
            let name = table.and_then(|table| cx.catalog.table(table)).map(|table| table.name.clone());
            rows.push(row! { equal.relation;
                node_id: transaction.node.0 as i64,
                session_id: transaction.session as i32,
                transaction_id: transaction.id.0 as i64,
                table_id: table,
                table_name: name,
                key: key,
                mode: mode_in_words(locked, mode),
                granted: granted,
                blocked_by: blocked_by,
            });
        };
        for lock in locks_of(cx, &transaction) {
            push(&lock.locked, lock.mode, true, None);
        }
        for wait in waits_of(&waits, &transaction) {
            push(&locked_at(cx, transaction.database, &wait.key), wait.mode, false, Some(wait.holder.0 as i64));
        }
    }
    Ok(rows)
}

/// PostgreSQL lists locks on tables and advisory locks; of those on rows only that somebody waits for another one's transaction.
pub(super) async fn pg_locks(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> SqlResult<Vec<Row>> {
    let (waits, transactions) = futures::join!(waits(cx), neighbours::all_transactions(cx.views));
    let waits = waits?;
    let mut rows = Vec::new();
    for transaction in transactions {
        let virtual_id = format!("{}/{}", transaction.session, transaction.id.0);
        let mut push = |locked: &Locked, mode: LockMode, granted: bool, by_use: bool| {
            let (kind, database, relation) = match locked {
                Locked::Table(table) => ("relation", Some(transaction.database), Some(*table)),
                Locked::Advisory(_) => ("advisory", Some(transaction.database), None),
                Locked::Row { .. } if granted => return,
                Locked::Row { .. } => ("transactionid", None, None),
            };
            let mode = if kind == "transactionid" { "ShareLock" } else { mode_in_words(locked, mode) };
            rows.push(row! { equal.relation;
                locktype: kind,
                database: database,
                relation: relation,
                virtualtransaction: virtual_id.as_str(),
                pid: transaction.session as i32,
                mode: mode,
                granted: granted,
                fastpath: by_use,
            });
        };
        for lock in locks_of(cx, &transaction) {
            push(&lock.locked, lock.mode, true, lock.by_use);
        }
        // Who waits for several at once waits for one lock all the same.
        let mut seen = Vec::new();
        for wait in waits_of(&waits, &transaction) {
            if !seen.contains(&&wait.key) {
                seen.push(&wait.key);
                push(&locked_at(cx, transaction.database, &wait.key), wait.mode, false, false);
            }
        }
    }
    Ok(rows)
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
        transaction.uses.iter().map(|(table, mode)| Lock { locked: Locked::Table(*table), mode: *mode, by_use: true });
    let taken = transaction.locks.iter().map(|(key, mode)| Lock {
        locked: locked_at(cx, transaction.database, key),
        mode: *mode,
        by_use: false,
    });
    by_use.chain(taken).collect()
}

fn locked_at(cx: &VirtualContext<'_>, database: Oid, key: &Key) -> Locked {
    if let Some(table) = parse_table_lock_key(key) {
        return Locked::Table(table);
    }
    if let Some(name) = LockName::of_queue_key(key) {
        return Locked::Advisory(name);
    }
    let eval = EvalContext::detached();
    let named = NamedKey::of(cx.catalog.relations(database), key, &eval);
    let text = named.as_ref().and_then(NamedKey::text).unwrap_or_else(|| key.to_string());
    Locked::Row { table: named.map(|named| named.table.oid), text }
}

/// As PostgreSQL calls it. The queues of advisory locks know modes of rows.
fn mode_in_words(locked: &Locked, mode: LockMode) -> &'static str {
    match (locked, mode) {
        (Locked::Advisory(_), LockMode::Share) => "ShareLock",
        (Locked::Advisory(_), _) => "ExclusiveLock",
        (_, mode) => name_of(mode),
    }
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
