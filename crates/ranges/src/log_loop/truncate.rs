//! Cutting off the log. Only what a flush has made durable in the applied state may go: the log is the
//! write-ahead log of everything else. Followers that lag are given some rope before they need a snapshot.

use env::{buggify, probe};
use keyspace::RangeId;
use storage::Batch;

use super::peer::Peer;
use super::{Input, LogLoop};

impl LogLoop {
    /// Begins a flush of the engine when enough has been applied since the last one.
    pub(super) fn flush_if_due(&mut self) {
        let is_due = self.bytes_since_flush >= self.shared.env.knobs().flush_bytes
            || self.bytes_since_flush > 0 && buggify!(&self.shared.env, "a_flush_is_due", 0.001);
        if self.flushing || !is_due {
            return;
        }
        self.flushing = true;
        self.bytes_since_flush = 0;
        let applied: Vec<(RangeId, u64)> =
            self.peers.iter().map(|(range, peer)| (*range, peer.applied.index)).collect();
        let (shared, env) = (self.shared.clone(), self.shared.env.clone());
        self.shared.env.spawn("flush", async move {
            let engine = shared.engine.clone();
            let outcome = env.blocking(move || engine.flush()).await;
            let _stopped = shared.inbox.send(Input::Flushed { applied, outcome });
        });
    }

    pub(super) fn flushed(&mut self, applied: Vec<(RangeId, u64)>, outcome: storage::Result<()>) {
        self.flushing = false;
        if let Err(error) = outcome {
            // The engine answers everything with this error from now on; the next tick ends the loop.
            tracing::error!(%error, "a flush failed");
            return;
        }
        for (range, index) in applied {
            if let Some(peer) = self.touch(range) {
                peer.durable = peer.durable.max(index);
            }
        }
        self.cut_logs = true;
    }

    /// Cuts what is durable elsewhere, in the batch of this turn.
    pub(super) fn truncate_logs(&mut self, batch: &mut Batch) -> storage::Result<()> {
        if !std::mem::take(&mut self.cut_logs) {
            return Ok(());
        }
        let keep_bytes = self.shared.env.knobs().log_keep_bytes;
        for peer in self.peers.values_mut().filter(|peer| peer.halted.is_none()) {
            let through = cut_point(peer, keep_bytes);
            if through >= peer.consensus.first_index() {
                probe!("log_cut_by_a_flush");
                peer.consensus.truncate_log(through, batch)?;
                peer.log_size.cut(through);
            }
        }
        Ok(())
    }
}

/// The last entry that may go.
fn cut_point(peer: &Peer, keep_bytes: u64) -> u64 {
    let mut durable = peer.durable.min(peer.applied.index);
    if env::sabotage("cut_the_unflushed_log") {
        durable = peer.applied.index;
    }
    // Those who have not been heard of may come back, too.
    let slowest = peer.consensus.peers().values().map(|peer| peer.matched).min();
    if peer.log_size.bytes() > keep_bytes {
        if slowest.is_some_and(|slowest| slowest < durable) {
            probe!("log_cut_below_a_slow_follower");
        }
        return durable;
    }
    durable.min(slowest.unwrap_or(durable))
}
