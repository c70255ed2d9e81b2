//! One replica as requests see it: what the leader keeps in memory beside the engine, shared between the
//! request path (many tasks) and the log loop (one).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use env::Env;
use keyspace::{Key, NodeId, RangeId, ReplicaId, Timestamp};
use parking_lot::RwLock;
use rpc::KvError;
use rpc::cluster::ReplicaStatus;
use rpc::range::RangeDescriptor;
use tokio::sync::watch;

use crate::announcements::Announcements;
use crate::intents::IntentIndex;
use crate::leadership::Leadership;
use crate::load::Load;
use crate::locks::{Deadlocks, Locks};
use crate::read_cache::ReadCache;
use crate::records::Records;
use crate::state::{Applied, Identity};

#[derive(Debug)]
pub struct Replica {
    pub range: RangeId,
    pub id: ReplicaId,
    pub leadership: Leadership,
    pub cache: ReadCache,
    pub announcements: Arc<Announcements>,
    pub intents: IntentIndex,
    pub locks: Locks,
    pub records: Arc<Records>,
    pub load: Load,
    descriptor: RwLock<Arc<RangeDescriptor>>,
    garbage_floor: AtomicU64,
    applied: AtomicU64,
    bytes: AtomicU64,
    versions: AtomicU64,
    /// Other replicas whose log is close behind, where this one leads.
    caught_up: RwLock<Vec<ReplicaId>>,
    defect: RwLock<Option<String>>,
}

impl Replica {
    /// `leading` is told in which term the replica leads.
    pub fn new(
        env: &Env,
        identity: &Identity,
        deadlocks: Arc<Deadlocks>,
        leading: Arc<watch::Sender<Option<u64>>>,
    ) -> Replica {
        let range = identity.descriptor.id;
        Replica {
            range,
            id: identity.replica,
            leadership: Leadership::new(leading),
            cache: ReadCache::new(env.knobs().read_cache_spans),
            announcements: Arc::default(),
            intents: IntentIndex::default(),
            locks: Locks::new(env.clone(), range, deadlocks),
            records: Arc::default(),
            load: Load::default(),
            descriptor: RwLock::new(Arc::new(identity.descriptor.clone())),
            garbage_floor: AtomicU64::new(identity.garbage_floor.0),
            applied: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            versions: AtomicU64::new(0),
            caught_up: RwLock::default(),
            defect: RwLock::default(),
        }
    }

    pub fn descriptor(&self) -> Arc<RangeDescriptor> {
        self.descriptor.read().clone()
    }

    /// Is `key` in the range's span?
    pub fn contains(&self, key: &Key) -> bool {
        self.descriptor.read().span.contains(key)
    }

    pub fn garbage_floor(&self) -> Timestamp {
        Timestamp(self.garbage_floor.load(Ordering::SeqCst))
    }

    /// Fails if garbage collection may have touched what is visible at `at` (rule 16). Asked after reading.
    pub fn check_floor(&self, at: Timestamp) -> Result<(), KvError> {
        let floor = self.garbage_floor();
        if at > floor || env::sabotage("read_below_the_floor") {
            return Ok(());
        }
        env::probe!("asked_below_the_garbage_floor");
        Err(KvError::BelowGarbageFloor { at, floor })
    }

    pub fn status(&self) -> ReplicaStatus {
        let view = self.leadership.view();
        ReplicaStatus {
            descriptor: (*self.descriptor()).clone(),
            replica: self.id,
            is_leader: view.leads,
            term: view.term,
            applied: self.applied.load(Ordering::Relaxed),
            size_bytes: self.bytes.load(Ordering::Relaxed),
            keys: self.versions.load(Ordering::Relaxed),
            caught_up: if view.leads { self.caught_up.read().clone() } else { Vec::new() },
        }
    }

    /// Where this replica believes the leader to be.
    pub fn leader(&self) -> Option<NodeId> {
        self.leadership.view().leader
    }

    pub fn not_leader(&self) -> KvError {
        KvError::NotLeader { range: self.range, leader: self.leader() }
    }

    /// Why the replica takes part in nothing any more, if so.
    pub fn defect(&self) -> Option<String> {
        self.defect.read().clone()
    }

    // ---- for the log loop alone ----

    /// Tickets must have been called in before: a span never changes under a request.
    pub(crate) fn set_descriptor(&self, descriptor: RangeDescriptor) {
        assert!(self.leadership.ticket().is_none(), "the range does not change while it is served");
        *self.descriptor.write() = Arc::new(descriptor);
    }

    pub(crate) fn set_garbage_floor(&self, floor: Timestamp) {
        self.garbage_floor.fetch_max(floor.0, Ordering::SeqCst);
    }

    pub(crate) fn set_applied(&self, applied: &Applied) {
        self.applied.store(applied.index, Ordering::Relaxed);
        self.bytes.store(applied.bytes, Ordering::Relaxed);
        self.versions.store(applied.versions, Ordering::Relaxed);
    }

    pub(crate) fn set_caught_up(&self, replicas: Vec<ReplicaId>) {
        *self.caught_up.write() = replicas;
    }

    pub(crate) fn set_defect(&self, defect: String) {
        *self.defect.write() = Some(defect);
    }

    /// Leadership is gone, and with it what only a leader keeps.
    pub(crate) fn forget_leadership(&self) {
        self.leadership.void_lease();
        self.leadership.pause();
        self.locks.clear();
        self.records.clear();
    }
}
