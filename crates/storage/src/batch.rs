//! A list of writes that happen together.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::Family;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    Put {
        family: Family,
        key: Bytes,
        value: Bytes,
    },
    Delete {
        family: Family,
        key: Bytes,
    },
    /// Every key in `start..end`. Not for spans that hold live user data (see docs/architecture.md).
    DeleteRange {
        family: Family,
        start: Bytes,
        end: Bytes,
    },
}

impl Operation {
    pub fn family(&self) -> Family {
        match self {
            Operation::Put { family, .. }
            | Operation::Delete { family, .. }
            | Operation::DeleteRange { family, .. } => *family,
        }
    }

    /// Makes `entries`, which are those of its family, what they are after it.
    pub fn apply(&self, entries: &mut BTreeMap<Bytes, Bytes>) {
        match self {
            Operation::Put { key, value, .. } => {
                entries.insert(key.clone(), value.clone());
            }
            Operation::Delete { key, .. } => {
                entries.remove(key);
            }
            Operation::DeleteRange { start, end, .. } if start < end => {
                entries.extract_if(start.clone()..end.clone(), |_, _| true).for_each(drop);
            }
            Operation::DeleteRange { .. } => {}
        }
    }
}

/// In order; a later operation on a key wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    operations: Vec<Operation>,
    bytes: usize,
}

impl Batch {
    pub fn new() -> Batch {
        Batch::default()
    }

    pub fn put(&mut self, family: Family, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        let (key, value) = (key.into(), value.into());
        self.bytes += key.len() + value.len();
        self.operations.push(Operation::Put { family, key, value });
    }

    pub fn delete(&mut self, family: Family, key: impl Into<Bytes>) {
        let key = key.into();
        self.bytes += key.len();
        self.operations.push(Operation::Delete { family, key });
    }

    pub fn delete_range(&mut self, family: Family, start: impl Into<Bytes>, end: impl Into<Bytes>) {
        let (start, end) = (start.into(), end.into());
        self.bytes += start.len() + end.len();
        self.operations.push(Operation::DeleteRange { family, start, end });
    }

    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn append(&mut self, mut other: Batch) {
        self.bytes += other.bytes;
        self.operations.append(&mut other.operations);
    }

    pub fn clear(&mut self) {
        self.operations.clear();
        self.bytes = 0;
    }
}
