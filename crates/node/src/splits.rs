//! Splits the ranges that are led from here when they have grown too large, or too busy. The system range never.
//!
//! * **By size**: above `Knobs::range_bytes_max`, in the middle, at a row. The size is true: whoever leads a range counts
//!   it once after each split (`ranges/size.rs`), and again before it is split.
//! * **By load**: when more than `Knobs::range_load_max` keys a second were asked for during `Knobs::range_load_seconds`,
//!   where a sample of them says that a cut leaves either side with about half (`ranges/load.rs`), and only where
//!   somebody else votes, who could lead one of the sides: on a single node two ranges are no faster than one.
//!
//! The range's leader decides by itself, as only it knows; the ids of the new range come from the system range's leader.
//! A split that fails is decided anew.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use env::{Env, Mono, probe};
use keyspace::{Key, RangeId, SYSTEM_RANGE};
use placement::Placement;
use ranges::Store;
use ranges::load::{Window, halving_key};
use rpc::KvResult;
use rpc::cluster::ReplicaStatus;
use tokio::sync::watch;
use txn::TxnClient;

pub struct Splits {
    pub env: Env,
    pub store: Store,
    pub txn: TxnClient,
    pub placement: Placement,
}

/// What is remembered of a range that is led from here.
#[derive(Default)]
struct Seen {
    /// The span version under which it is known to be counted; asked of the range's register once.
    counted: Option<u64>,
    /// It was too large, at this many bytes, and cannot be cut: all of it is one row.
    stuck_bytes: Option<u64>,
    /// The last seconds, while each of them was too busy.
    busy: VecDeque<Window>,
}

/// Of the size at which a range could not be cut, so much more before it is counted again, in percent.
const STUCK_GROWTH_PERCENT: u64 = 25;
/// Time over which requests are counted.
const LOAD_WINDOW: Duration = Duration::from_secs(1);

impl Splits {
    pub async fn run(self, mut stopping: watch::Receiver<bool>) {
        let mut seen: BTreeMap<RangeId, Seen> = BTreeMap::new();
        let mut window_began = self.env.now();
        loop {
            tokio::select! {
                biased;
                _stopped = stopping.wait_for(|stopping| *stopping) => return,
                () = self.env.sleep(self.env.knobs().node_heartbeat) => {}
            }
            let load_is_due = self.load_is_due(&mut window_began);
            let led: Vec<ReplicaStatus> = self.store.statuses().into_iter().filter(|status| status.is_leader).collect();
            seen.retain(|range, _| led.iter().any(|status| status.descriptor.id == *range));
            for status in led {
                let range = status.descriptor.id;
                let outcome = self.consider(&status, seen.entry(range).or_default(), load_is_due).await;
                if let Err(error) = outcome {
                    tracing::debug!(%range, %error, "the range is looked at again later");
                }
            }
        }
    }

    fn load_is_due(&self, window_began: &mut Mono) -> bool {
        let now = self.env.now();
        let is_due = now.since(*window_began) >= LOAD_WINDOW;
        if is_due {
            *window_began = now;
        }
        is_due
    }

    async fn consider(&self, status: &ReplicaStatus, seen: &mut Seen, load_is_due: bool) -> KvResult<()> {
        let range = status.descriptor.id;
        let mut bytes = status.size_bytes;
        let span = status.descriptor.epoch.span;
        if seen.counted != Some(span) {
            if !self.store.is_counted(range)? {
                bytes = self.store.measure(range).await?.bytes;
            }
            seen.counted = Some(span);
        }
        if range == SYSTEM_RANGE {
            return Ok(());
        }
        if load_is_due {
            self.note_load(range, seen);
        }
        if bytes > self.env.knobs().range_bytes_max {
            self.split_by_size(range, seen, bytes).await?;
        } else if seen.busy.len() >= self.env.knobs().range_load_seconds && status.descriptor.replicas.len() > 1 {
            self.split_by_load(range, seen).await?;
        }
        Ok(())
    }

    fn note_load(&self, range: RangeId, seen: &mut Seen) {
        let window = self.store.take_load(range);
        if window.requests <= self.env.knobs().range_load_max {
            seen.busy.clear();
            return;
        }
        seen.busy.push_back(window);
        if seen.busy.len() > self.env.knobs().range_load_seconds {
            seen.busy.pop_front();
        }
    }

    async fn split_by_size(&self, range: RangeId, seen: &mut Seen, bytes: u64) -> KvResult<()> {
        if seen.stuck_bytes.is_some_and(|stuck| bytes < stuck / 100 * (100 + STUCK_GROWTH_PERCENT)) {
            return Ok(());
        }
        let measured = self.store.measure(range).await?;
        if measured.bytes <= self.env.knobs().range_bytes_max {
            return Ok(());
        }
        match measured.middle {
            None => {
                probe!("a_large_range_is_one_row");
                seen.stuck_bytes = Some(measured.bytes);
            }
            Some(at) => {
                let limit = self.env.knobs().range_bytes_max;
                if self.split(range, at, format!("it has {} bytes, more than {limit}", measured.bytes)).await {
                    probe!("split_by_size");
                }
            }
        }
        Ok(())
    }

    async fn split_by_load(&self, range: RangeId, seen: &mut Seen) -> KvResult<()> {
        let requests: u64 = seen.busy.iter().map(|window| window.requests).sum();
        let why = format!("{} keys were asked for a second", requests / seen.busy.len().max(1) as u64);
        let samples: Vec<_> = seen.busy.drain(..).flat_map(|window| window.samples).collect();
        let Some(key) = halving_key(&samples) else { return Ok(()) };
        // What was asked for need not be a row; where the next one begins nothing is cut in two.
        let Some(at) = self.store.row_at(range, &key)? else { return Ok(()) };
        if self.split(range, at, why).await {
            probe!("split_by_load");
        }
        Ok(())
    }

    async fn split(&self, range: RangeId, at: Key, why: String) -> bool {
        match self.txn.split_at(at.clone()).await {
            Ok(()) => {
                tracing::info!(%range, %at, why, "a range was split");
                self.placement.note(range, format!("split at {at}"), why);
                true
            }
            Err(error) => {
                tracing::debug!(%range, %at, why, %error, "a range was not split");
                false
            }
        }
    }
}
