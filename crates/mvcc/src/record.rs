//! Transaction records: the one place where it is written whether a transaction is committed. A record
//! lies in the range of the transaction's anchor key.

use keyspace::{Key, Span, Timestamp, TxnId};
use storage::{Batch, Family, Snapshot};

use crate::bounds::entries_end;
use crate::codec::{Reader, put_bytes};
use crate::{Error, Result};

const FORMAT: u8 = 1;
const PENDING: u8 = 1;
const STAGING: u8 = 2;
const COMMITTED: u8 = 3;
const ABORTED: u8 = 4;

/// Pending → Staging → Committed, or Aborted from any undecided state; a decision is for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The transaction has intents and has shown a sign of life here.
    Pending,
    /// Committed as soon as each of `keys` has an intent of it at a number not above `at`.
    Staging {
        at: Timestamp,
        attempt: u32,
        keys: Vec<Key>,
    },
    Committed {
        at: Timestamp,
        /// All its intents are known to be resolved and applied: the record may go below the garbage floor.
        resolved: bool,
    },
    Aborted,
}

pub fn get_record(snapshot: &dyn Snapshot, anchor: &[u8], txn: TxnId) -> Result<Option<Record>> {
    let stored = snapshot.get(Family::Txns, &record_key(anchor, txn))?;
    stored.map(|stored| Record::decode(&stored)).transpose()
}

pub fn put_record(batch: &mut Batch, anchor: &[u8], txn: TxnId, record: &Record) {
    batch.put(Family::Txns, record_key(anchor, txn), record.encode());
}

pub fn remove_record(batch: &mut Batch, anchor: &[u8], txn: TxnId) {
    batch.delete(Family::Txns, record_key(anchor, txn));
}

/// The records whose anchors lie in `span`, at most `records_max` of them.
pub fn records(snapshot: &dyn Snapshot, span: &Span, records_max: usize) -> Result<Vec<(Key, TxnId, Record)>> {
    let mut records = Vec::new();
    let mut iter = snapshot.iter(Family::Txns, &span.start, &entries_end(&span.end));
    iter.seek(&span.start)?;
    while iter.valid() && records.len() < records_max {
        let (anchor, txn) = split_record_key(iter.key())?;
        if span.contains(anchor) {
            records.push((anchor.into(), txn, Record::decode(iter.value())?));
        }
        iter.next()?;
    }
    Ok(records)
}

pub fn record_key(anchor: &[u8], txn: TxnId) -> Vec<u8> {
    assert!(!anchor.is_empty(), "the empty key is only a bound");
    [anchor, &txn.0.to_be_bytes()].concat()
}

pub fn split_record_key(record_key: &[u8]) -> Result<(&[u8], TxnId)> {
    match record_key.split_last_chunk::<8>() {
        Some((anchor, txn)) if !anchor.is_empty() => Ok((anchor, TxnId(u64::from_be_bytes(*txn)))),
        _ => Err(Error::Corrupt("the key of a transaction record is too short".to_owned())),
    }
}

impl Record {
    /// Committed or aborted?
    pub fn is_decided(&self) -> bool {
        matches!(self, Record::Committed { .. } | Record::Aborted)
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut stored = vec![FORMAT];
        match self {
            Record::Pending => stored.push(PENDING),
            Record::Staging { at, attempt, keys } => {
                stored.push(STAGING);
                stored.extend_from_slice(&at.0.to_be_bytes());
                stored.extend_from_slice(&attempt.to_be_bytes());
                for key in keys {
                    put_bytes(&mut stored, key);
                }
            }
            Record::Committed { at, resolved } => {
                stored.push(COMMITTED);
                stored.extend_from_slice(&at.0.to_be_bytes());
                stored.push(u8::from(*resolved));
            }
            Record::Aborted => stored.push(ABORTED),
        }
        stored
    }

    pub fn decode(stored: &[u8]) -> Result<Record> {
        let mut reader = Reader::new("a transaction record", stored);
        reader.expect_version(FORMAT)?;
        let record = match reader.u8()? {
            PENDING => Record::Pending,
            STAGING => {
                let at = Timestamp(reader.u64()?);
                let attempt = reader.u32()?;
                let mut keys = Vec::new();
                while !reader.is_empty() {
                    keys.push(reader.bytes()?.into());
                }
                Record::Staging { at, attempt, keys }
            }
            COMMITTED => Record::Committed { at: Timestamp(reader.u64()?), resolved: reader.flags(1)? == 1 },
            ABORTED => Record::Aborted,
            state => return Err(reader.corrupt(&format!("has the unknown state {state}"))),
        };
        reader.expect_end()?;
        Ok(record)
    }
}
