//! One number for the state of a span, to compare replicas by. It covers what a reader above the garbage
//! floor can see, so that replicas which have collected different garbage still agree, and intents and
//! records of undecided transactions.

use keyspace::{Span, Timestamp};
use storage::{Family, Snapshot};

use crate::bounds::entries_end;
use crate::version::{decode_head, split_data_key};
use crate::{Intents, Record, Result, records};

pub fn checksum(snapshot: &dyn Snapshot, span: &Span, floor: Timestamp) -> Result<u64> {
    let mut hash = Fnv::new();
    let mut iter = snapshot.iter(Family::Data, &span.start, &entries_end(&span.end));
    let mut covered: Option<Vec<u8>> = None;
    iter.seek(&span.start)?;
    while iter.valid() {
        let (key, at) = split_data_key(iter.key())?;
        if span.contains(key) {
            let is_hidden = at <= floor && covered.as_deref() == Some(key);
            let is_old_deletion = at <= floor && decode_head(at, iter.value())?.deleted;
            if !is_hidden && !is_old_deletion {
                hash.part(iter.key());
                hash.part(iter.value());
            }
            if at <= floor && !is_hidden {
                covered = Some(key.to_vec());
            }
        }
        iter.next()?;
    }
    let mut intents = Intents::new(snapshot, span)?;
    while let Some((key, intent)) = intents.next()? {
        hash.part(&key);
        hash.part(&intent.encode());
    }
    for (anchor, txn, record) in records(snapshot, span, usize::MAX)? {
        if matches!(record, Record::Pending | Record::Staging { .. }) {
            hash.part(&anchor);
            hash.part(&txn.0.to_be_bytes());
            hash.part(&record.encode());
        }
    }
    Ok(hash.0)
}

/// FNV-1a, 64 bits: the same everywhere and for ever, which is all that is asked of it.
struct Fnv(u64);

impl Fnv {
    fn new() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn part(&mut self, bytes: &[u8]) {
        self.bytes(&(bytes.len() as u64).to_be_bytes());
        self.bytes(bytes);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
