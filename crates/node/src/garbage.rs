//! Removes what nobody can read any more from the ranges that are led from here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use env::{Env, Mono};
use keyspace::{RangeId, Timestamp};
use ranges::Store;
use rpc::cluster::ReplicaStatus;
use tokio::sync::watch;

use crate::heartbeat::Contact;

pub struct GarbageCollection {
    pub env: Env,
    pub store: Store,
    pub contact: Arc<Contact>,
}

/// How far a range is known to be clean.
struct Looked {
    /// Its applied position, not counting what the collection wrote itself.
    applied: u64,
    /// Since when nothing else was applied.
    quiet_since: Mono,
    /// It was looked through after everything in it had come of age: nothing more can become garbage.
    is_clean: bool,
}

impl GarbageCollection {
    pub async fn run(self, mut stopping: watch::Receiver<bool>) {
        let pause = self.pause();
        let mut looked: BTreeMap<RangeId, Looked> = BTreeMap::new();
        loop {
            tokio::select! {
                biased;
                _stopped = stopping.wait_for(|stopping| *stopping) => return,
                () = self.env.sleep(pause) => {}
            }
            let floor = self.contact.garbage_floor();
            if floor == Timestamp::ZERO {
                continue;
            }
            let led: Vec<ReplicaStatus> = self.store.statuses().into_iter().filter(|status| status.is_leader).collect();
            looked.retain(|range, _| led.iter().any(|status| status.descriptor.id == *range));
            for status in led {
                self.look_through(&status, floor, &mut looked).await;
            }
        }
    }

    fn pause(&self) -> Duration {
        (self.env.knobs().gc_ttl / 10).clamp(Duration::from_millis(100), Duration::from_secs(60))
    }

    async fn look_through(&self, status: &ReplicaStatus, floor: Timestamp, looked: &mut BTreeMap<RangeId, Looked>) {
        let (range, now) = (status.descriptor.id, self.env.now());
        let last = looked.remove(&range).filter(|last| last.applied == status.applied);
        let mut last = last.unwrap_or(Looked { applied: status.applied, quiet_since: now, is_clean: false });
        if !last.is_clean {
            match self.store.collect_garbage(range, floor).await {
                Ok(collected) => {
                    tracing::debug!(%range, versions = collected.versions, records = collected.records, "garbage is collected");
                    last.applied = self.applied(range).unwrap_or(last.applied);
                    last.is_clean = now.since(last.quiet_since) > self.env.knobs().gc_ttl + self.pause();
                }
                Err(error) => tracing::debug!(%range, %error, "garbage waits"),
            }
        }
        looked.insert(range, last);
    }

    fn applied(&self, range: RangeId) -> Option<u64> {
        self.store.statuses().into_iter().find(|status| status.descriptor.id == range).map(|status| status.applied)
    }
}
