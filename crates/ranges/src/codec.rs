//! Reading and writing of the bytes that this crate puts into the log, the engine and messages. Reading
//! takes slices of one shared buffer and never panics: what does not fit is [`Malformed`].

use bytes::Bytes;
use keyspace::{Epoch, Key, NodeId, RangeId, ReplicaId, Span};
use rpc::range::{RangeDescriptor, ReplicaDescriptor, ReplicaRole};
use thiserror::Error;

/// Bytes that are not what they should be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{what} {problem}")]
pub struct Malformed {
    what: &'static str,
    problem: &'static str,
}

impl From<Malformed> for storage::Error {
    fn from(malformed: Malformed) -> storage::Error {
        storage::Error::Corrupt(malformed.to_string())
    }
}

pub type Result<T> = std::result::Result<T, Malformed>;

pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub fn put_list<T>(out: &mut Vec<u8>, items: &[T], mut put: impl FnMut(&mut Vec<u8>, &T)) {
    put_varint(out, items.len() as u64);
    for item in items {
        put(out, item);
    }
}

pub fn put_descriptor(out: &mut Vec<u8>, descriptor: &RangeDescriptor) {
    put_varint(out, descriptor.id.0);
    put_varint(out, descriptor.epoch.config);
    put_varint(out, descriptor.epoch.span);
    put_bytes(out, &descriptor.span.start);
    put_bytes(out, &descriptor.span.end);
    put_list(out, &descriptor.replicas, |out, replica| {
        put_varint(out, replica.node.0);
        put_varint(out, replica.replica.0);
        out.push(match replica.role {
            ReplicaRole::Voter => 0,
            ReplicaRole::Learner => 1,
        });
    });
}

pub struct Reader {
    rest: Bytes,
    what: &'static str,
}

impl Reader {
    pub fn new(what: &'static str, bytes: Bytes) -> Reader {
        Reader { rest: bytes, what }
    }

    pub fn malformed(&self, problem: &'static str) -> Malformed {
        Malformed { what: self.what, problem }
    }

    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub fn u64(&mut self) -> Result<u64> {
        let bytes = self.take(8)?;
        Ok(u64::from_be_bytes(bytes[..].try_into().expect("eight bytes were taken")))
    }

    pub fn bool(&mut self) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.malformed("has a flag that is neither 0 nor 1")),
        }
    }

    pub fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.malformed("has a number that is too long"))
    }

    pub fn bytes(&mut self) -> Result<Bytes> {
        let len = self.varint()?;
        self.take(usize::try_from(len).map_err(|_| self.malformed("has a length that is too large"))?)
    }

    pub fn key(&mut self) -> Result<Key> {
        Ok(Key(self.bytes()?))
    }

    pub fn list<T>(&mut self, mut read: impl FnMut(&mut Reader) -> Result<T>) -> Result<Vec<T>> {
        let len = self.varint()?;
        if len > self.rest.len() as u64 {
            return Err(self.malformed("has a list that is too long"));
        }
        (0..len).map(|_| read(self)).collect()
    }

    pub fn descriptor(&mut self) -> Result<RangeDescriptor> {
        let id = RangeId(self.varint()?);
        let epoch = Epoch { config: self.varint()?, span: self.varint()? };
        let span = Span::new(self.key()?, self.key()?);
        let replicas = self.list(|reader| {
            let (node, replica) = (NodeId(reader.varint()?), ReplicaId(reader.varint()?));
            let role = if reader.bool()? { ReplicaRole::Learner } else { ReplicaRole::Voter };
            Ok(ReplicaDescriptor { node, replica, role })
        })?;
        Ok(RangeDescriptor { id, epoch, span, replicas })
    }

    /// The version byte each format begins with.
    pub fn version(&mut self, version: u8) -> Result<()> {
        if self.u8()? == version { Ok(()) } else { Err(self.malformed("has an unknown version")) }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn rest(self) -> Bytes {
        self.rest
    }

    pub fn end(self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed("is too long")) }
    }

    fn take(&mut self, len: usize) -> Result<Bytes> {
        if self.rest.len() < len {
            return Err(self.malformed("is too short"));
        }
        Ok(self.rest.split_to(len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_descriptors_come_back() {
        for value in [0, 1, 127, 128, 300, u64::MAX >> 1, u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(Reader::new("a number", out.into()).varint(), Ok(value));
        }
        let too_long = Bytes::from(vec![0xff; 10]);
        assert!(Reader::new("a number", too_long).varint().is_err());

        let replica = |n, role| ReplicaDescriptor { node: NodeId(n), replica: ReplicaId(n + 10), role };
        let descriptor = RangeDescriptor {
            id: RangeId(7),
            epoch: Epoch { config: 3, span: 4 },
            span: Span::new("a".into(), "z".into()),
            replicas: vec![replica(1, ReplicaRole::Voter), replica(2, ReplicaRole::Learner)],
        };
        let mut out = Vec::new();
        put_descriptor(&mut out, &descriptor);
        let bytes = Bytes::from(out);
        for cut in 0..bytes.len() {
            assert!(Reader::new("a descriptor", bytes.slice(..cut)).descriptor().is_err(), "cut at {cut}");
        }
        let mut reader = Reader::new("a descriptor", bytes);
        assert_eq!(reader.descriptor(), Ok(descriptor));
        reader.end().unwrap();
    }
}
