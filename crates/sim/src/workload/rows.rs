//! Rows of workloads: their keys, and how they are read.

use bytes::Bytes;
use keyspace::{IndexId, Key, Span, TableId, encoding, index_span};
use txn::{KeyValue, LockMode, LockSpec, LockWait, ScanSpec, Transaction, TxnError, TxnResult, Visible};

use crate::World;

pub(super) fn row_key(table: TableId, columns: &[i64]) -> Key {
    let mut key = index_span(table, IndexId::PRIMARY).start.to_vec();
    for column in columns {
        encoding::put_int(&mut key, *column);
    }
    key.into()
}

/// All rows of a table that begin with these columns.
pub(super) fn rows_span(table: TableId, columns: &[i64]) -> Span {
    Span::prefix(row_key(table, columns))
}

/// Two tables in which numbered things are spread over ranges, however their numbers grow.
pub(super) struct Spread {
    pub tables: [TableId; 2],
}

/// Parts of each table.
const BUCKETS: u32 = 3;

impl Spread {
    pub fn key(&self, number: u32) -> Key {
        let (table, bucket) = self.place(number);
        row_key(table, &[bucket, i64::from(number)])
    }

    fn place(&self, number: u32) -> (TableId, i64) {
        (self.tables[number as usize % 2], i64::from(number / 2 % BUCKETS))
    }

    /// Where the tables are split at the begin: three ranges.
    pub fn split_keys(&self) -> Vec<Key> {
        vec![row_key(self.tables[0], &[1]), row_key(self.tables[1], &[1])]
    }

    pub fn more_split_keys(&self) -> Vec<Key> {
        let bucket = |bucket: u32| self.tables.map(|table| row_key(table, &[i64::from(bucket)]));
        let numbers = (0..16).map(|number| self.key(3 * number));
        (0..BUCKETS).flat_map(bucket).chain(numbers).collect()
    }
}

pub(super) fn exclusive() -> LockSpec {
    LockSpec { mode: LockMode::Update, wait: LockWait::Block { timeout: None }, absent_too: true }
}

pub(super) async fn get(txn: &Transaction, key: &Key, lock: Option<LockSpec>) -> TxnResult<Option<Bytes>> {
    let found = txn.get_many(std::slice::from_ref(key), lock, Visible::EarlierStatements, false).await?;
    Ok(found.into_iter().next().flatten())
}

pub(super) async fn scan(txn: &Transaction, span: Span) -> TxnResult<Vec<KeyValue>> {
    let mut scan = txn.scan(ScanSpec {
        span,
        reverse: false,
        rows_max: 0,
        program: None,
        lock: None,
        visible: Visible::EarlierStatements,
        untracked: false,
    });
    let mut rows = Vec::new();
    loop {
        let page = scan.next_page().await?;
        if page.is_empty() {
            return Ok(rows);
        }
        rows.extend(page);
    }
}

/// Numbers in a row, one after the other.
pub(super) fn encode(numbers: &[u32]) -> Bytes {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

pub(super) fn decode(bytes: &[u8]) -> TxnResult<Vec<u32>> {
    let (numbers, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        return Err(TxnError::Corrupt { what: format!("a row is not what was written: {bytes:?}") });
    }
    Ok(numbers.iter().map(|number| u32::from_be_bytes(*number)).collect())
}

/// The only number in a row.
pub(super) fn decode_one(bytes: &[u8]) -> TxnResult<u32> {
    match decode(bytes)?[..] {
        [number] => Ok(number),
        ref other => Err(TxnError::Corrupt { what: format!("a row holds {other:?}") }),
    }
}

/// Conflicts and unavailability are everyday; other errors are not.
pub(super) fn check_failure(world: &World, invariant: &'static str, error: &TxnError) {
    let is_everyday = matches!(
        error,
        TxnError::Serialization { .. }
            | TxnError::Deadlock { .. }
            | TxnError::LockNotAvailable { .. }
            | TxnError::Unavailable { .. }
            | TxnError::StatementRestart { .. }
            | TxnError::KeyExists { .. }
            | TxnError::SnapshotTooOld { .. }
    );
    if !is_everyday {
        world.violation(invariant, error.to_string());
    }
}
