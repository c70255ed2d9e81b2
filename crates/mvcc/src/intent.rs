//! Intents: writes of transactions that are not decided yet. At most one per key.

use bytes::Bytes;
use keyspace::{Key, Span, Timestamp, TxnId};
use storage::{Batch, Family, Iter, Snapshot};

use crate::codec::{Reader, put_bytes};
use crate::{Result, put_version};

const FORMAT: u8 = 1;
const DELETES: u8 = 1;
const CHANGES_KEY: u8 = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    pub txn: TxnId,
    /// The number it was prewritten at.
    pub at: Timestamp,
    /// Where the record of the transaction is.
    pub anchor: Key,
    /// Which try of the transaction to commit wrote it.
    pub attempt: u32,
    /// Orders the pieces of one commit.
    pub sequence: u32,
    /// `None` deletes.
    pub value: Option<Bytes>,
    pub changes_key: bool,
}

pub fn get_intent(snapshot: &dyn Snapshot, key: &[u8]) -> Result<Option<Intent>> {
    snapshot.get(Family::Intents, key)?.map(|stored| Intent::decode(&stored)).transpose()
}

pub fn put_intent(batch: &mut Batch, key: &Key, intent: &Intent) {
    assert!(!key.is_empty(), "the empty key is only a bound");
    batch.put(Family::Intents, key.0.clone(), intent.encode());
}

pub fn remove_intent(batch: &mut Batch, key: &Key) {
    batch.delete(Family::Intents, key.0.clone());
}

/// Turns the intent of `txn` on `key` into a version, or removes it if `commit_at` is `None`. `false`, and
/// nothing is done, if there is none: it was resolved before, or the key never had one.
pub fn resolve_intent(
    snapshot: &dyn Snapshot,
    batch: &mut Batch,
    key: &Key,
    txn: TxnId,
    commit_at: Option<Timestamp>,
) -> Result<bool> {
    let Some(intent) = get_intent(snapshot, key)?.filter(|intent| intent.txn == txn) else { return Ok(false) };
    if let Some(at) = commit_at {
        put_version(batch, key, at, txn, intent.value.as_deref(), intent.changes_key);
    }
    remove_intent(batch, key);
    Ok(true)
}

/// The keys of `span` that have an intent of `txn`, at most `keys_max` of them.
pub fn intents_of(snapshot: &dyn Snapshot, span: &Span, txn: TxnId, keys_max: usize) -> Result<Vec<Key>> {
    let mut keys = Vec::new();
    let mut intents = Intents::new(snapshot, span)?;
    while keys.len() < keys_max
        && let Some((key, intent)) = intents.next()?
    {
        if intent.txn == txn {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// All intents of a span, in the order of their keys.
pub struct Intents<'s> {
    iter: Box<dyn Iter + 's>,
    started: bool,
    start: Key,
}

impl<'s> Intents<'s> {
    pub fn new(snapshot: &'s dyn Snapshot, span: &Span) -> Result<Intents<'s>> {
        let iter = snapshot.iter(Family::Intents, &span.start, &span.end);
        Ok(Intents { iter, started: false, start: span.start.clone() })
    }

    #[expect(clippy::should_implement_trait, reason = "it may fail")]
    pub fn next(&mut self) -> Result<Option<(Key, Intent)>> {
        if self.started {
            self.iter.next()?;
        } else {
            self.started = true;
            self.iter.seek(&self.start)?;
        }
        if !self.iter.valid() {
            return Ok(None);
        }
        let intent = Intent::decode(self.iter.value())?;
        Ok(Some((self.iter.key().into(), intent)))
    }
}

impl Intent {
    pub fn encode(&self) -> Vec<u8> {
        let value = self.value.as_deref();
        let mut stored = Vec::with_capacity(32 + self.anchor.len() + value.map_or(0, <[u8]>::len));
        stored.push(FORMAT);
        stored.push(if value.is_none() { DELETES } else { 0 } | if self.changes_key { CHANGES_KEY } else { 0 });
        stored.extend_from_slice(&self.txn.0.to_be_bytes());
        stored.extend_from_slice(&self.at.0.to_be_bytes());
        stored.extend_from_slice(&self.attempt.to_be_bytes());
        stored.extend_from_slice(&self.sequence.to_be_bytes());
        put_bytes(&mut stored, &self.anchor);
        stored.extend_from_slice(value.unwrap_or_default());
        stored
    }

    pub fn decode(stored: &[u8]) -> Result<Intent> {
        let mut reader = Reader::new("an intent", stored);
        reader.expect_version(FORMAT)?;
        let flags = reader.flags(DELETES | CHANGES_KEY)?;
        let txn = TxnId(reader.u64()?);
        let at = Timestamp(reader.u64()?);
        let attempt = reader.u32()?;
        let sequence = reader.u32()?;
        let anchor = Key::from(reader.bytes()?);
        let deletes = flags & DELETES != 0;
        if deletes {
            reader.expect_end()?;
        }
        let value = (!deletes).then(|| Bytes::copy_from_slice(reader.rest()));
        Ok(Intent { txn, at, anchor, attempt, sequence, value, changes_key: flags & CHANGES_KEY != 0 })
    }
}
