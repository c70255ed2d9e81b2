//! Where ranges lie, from what nodes report.
//!
//! A range is the only authority on itself. The directory believes the descriptor with the highest epoch
//! and the leader with the highest term; it may be behind, and says so by refusing nothing: whoever asks a
//! range wrongly is told by the range. Descriptors are persisted when they change, so that a new leader
//! knows where to look before the first heartbeats arrive.

use std::collections::BTreeMap;

use bytes::Bytes;
use env::Mono;
use keyspace::{Epoch, Key, NodeId, RangeId, ReplicaId};
use rpc::cluster::{RangeSurvey, ReplicaStatus};
use rpc::codec::{self, DecodeError};
use rpc::range::RangeDescriptor;

/// Prefix of the registers that hold descriptors.
pub const RANGES: &str = "range/";

#[derive(Clone, Debug, Default)]
pub struct Directory {
    ranges: BTreeMap<RangeId, Entry>,
    by_start: BTreeMap<Key, RangeId>,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub descriptor: RangeDescriptor,
    /// Who leads, and since which term.
    pub leader: Option<(u64, NodeId)>,
    /// Replicas whose log is close behind, as the leader sees it.
    pub caught_up: Vec<ReplicaId>,
    pub size_bytes: u64,
    pub keys: u64,
    /// When a leader last reported.
    pub heard: Option<Mono>,
}

impl Directory {
    pub fn register(range: RangeId) -> String {
        format!("{RANGES}{}", range.0)
    }

    /// Takes a persisted descriptor in.
    pub fn load(&mut self, persisted: Bytes) -> Result<(), DecodeError> {
        self.observe_descriptor(&codec::decode_record(persisted)?);
        Ok(())
    }

    /// What `node` says of one of its replicas. True if the descriptor is news.
    pub fn observe(&mut self, node: NodeId, status: &ReplicaStatus, now: Mono) -> bool {
        let is_news = self.observe_descriptor(&status.descriptor);
        if status.is_leader {
            let entry = self.ranges.get_mut(&status.descriptor.id).expect("it was just observed");
            if entry.leader.is_none_or(|(term, _)| term <= status.term) {
                entry.leader = Some((status.term, node));
                entry.caught_up.clone_from(&status.caught_up);
                entry.size_bytes = status.size_bytes;
                entry.keys = status.keys;
                entry.heard = Some(now);
            }
        }
        is_news
    }

    /// True if it is news.
    pub fn observe_descriptor(&mut self, descriptor: &RangeDescriptor) -> bool {
        let id = descriptor.id;
        match self.ranges.get_mut(&id) {
            Some(entry) if !is_newer(descriptor.epoch, entry.descriptor.epoch) => return false,
            Some(entry) => {
                self.by_start.remove(&entry.descriptor.span.start);
                entry.descriptor = descriptor.clone();
            }
            None => {
                let descriptor = descriptor.clone();
                let entry =
                    Entry { descriptor, leader: None, caught_up: Vec::new(), size_bytes: 0, keys: 0, heard: None };
                self.ranges.insert(id, entry);
            }
        }
        self.by_start.insert(descriptor.span.start.clone(), id);
        true
    }

    pub fn get(&self, range: RangeId) -> Option<&Entry> {
        self.ranges.get(&range)
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.ranges.values()
    }

    /// The range that holds `key`, unless it was just split off and has not reported yet.
    pub fn locate(&self, key: &Key) -> Option<&Entry> {
        let (_, range) = self.by_start.range::<Key, _>(..=key).next_back()?;
        self.ranges.get(range).filter(|entry| entry.descriptor.span.contains(key))
    }

    pub fn survey(&self) -> Vec<RangeSurvey> {
        let survey = |entry: &Entry| RangeSurvey {
            descriptor: entry.descriptor.clone(),
            leader: entry.leader.map(|(_, node)| node),
            size_bytes: entry.size_bytes,
            keys: entry.keys,
        };
        let by_key = self.by_start.values().filter_map(|range| self.ranges.get(range));
        by_key.map(survey).collect()
    }
}

fn is_newer(new: Epoch, old: Epoch) -> bool {
    new != old && new.config >= old.config && new.span >= old.span
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyspace::Span;

    fn descriptor(id: u64, config: u64, span_version: u64, span: (&str, &str)) -> RangeDescriptor {
        RangeDescriptor {
            id: RangeId(id),
            epoch: Epoch { config, span: span_version },
            span: Span::new(span.0.into(), span.1.into()),
            replicas: Vec::new(),
        }
    }

    fn status(descriptor: RangeDescriptor, term: u64, is_leader: bool) -> ReplicaStatus {
        ReplicaStatus {
            descriptor,
            replica: ReplicaId(1),
            is_leader,
            term,
            applied: 0,
            size_bytes: 0,
            keys: 0,
            caught_up: Vec::new(),
        }
    }

    fn at(directory: &Directory, key: &str) -> Option<u64> {
        directory.locate(&key.into()).map(|entry| entry.descriptor.id.0)
    }

    #[test]
    fn a_split_shows_as_each_half_reports() {
        let mut directory = Directory::default();
        assert!(directory.observe(NodeId(1), &status(descriptor(2, 1, 1, ("a", "z")), 5, true), Mono(0)));
        assert_eq!(at(&directory, "m"), Some(2));
        // The left half comes first.
        assert!(directory.observe(NodeId(1), &status(descriptor(2, 1, 2, ("a", "m")), 5, true), Mono(0)));
        assert_eq!((at(&directory, "l"), at(&directory, "m")), (Some(2), None));
        // A replica that has not applied the split yet changes nothing.
        assert!(!directory.observe(NodeId(2), &status(descriptor(2, 1, 1, ("a", "z")), 5, false), Mono(0)));
        assert!(directory.observe(NodeId(1), &status(descriptor(3, 1, 2, ("m", "z")), 5, true), Mono(0)));
        assert_eq!((at(&directory, "l"), at(&directory, "m"), at(&directory, "z")), (Some(2), Some(3), None));
        let persisted: Vec<Bytes> = directory.entries().map(|entry| codec::encode_record(&entry.descriptor)).collect();
        let mut loaded = Directory::default();
        for record in persisted {
            loaded.load(record).unwrap();
        }
        assert_eq!((at(&loaded, "l"), at(&loaded, "m")), (Some(2), Some(3)));
    }

    #[test]
    fn the_leader_of_the_highest_term_is_believed() {
        let mut directory = Directory::default();
        let range = descriptor(2, 1, 1, ("a", "z"));
        directory.observe(NodeId(2), &status(range.clone(), 7, true), Mono(0));
        directory.observe(NodeId(1), &status(range, 6, true), Mono(0));
        assert_eq!(directory.get(RangeId(2)).unwrap().leader, Some((7, NodeId(2))));
    }
}
