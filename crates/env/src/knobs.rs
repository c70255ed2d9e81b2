//! Constants that the simulator may draw anew for each seed, so that rare sizes and timings are common.

use std::time::Duration;

/// One field per constant; the defaults are production's.
#[derive(Clone, Debug)]
pub struct Knobs {
    /// Length of one raft tick.
    pub raft_tick: Duration,
    /// Raft ticks without a message from the leader before a follower campaigns. Drawn again, between
    /// this and twice this, for each replica and term.
    pub election_ticks: u64,
    /// Raft ticks between two heartbeats of a leader.
    pub heartbeat_ticks: u64,
    /// May a leader answer without asking a quorum each time, as long as no vote can have been given to anybody else? Off:
    /// nothing is assumed of clocks.
    pub leader_lease: bool,
    /// Ticks by which a lease is shorter than the time in which no vote is given, before drift.
    pub lease_spare_ticks: u64,
    /// By so many thousandths the rates of two nodes' monotonic clocks may differ. chrony slews by 83 at most.
    pub clock_drift_permille: u32,
    /// How far ahead of the numbers handed out the oracle persists its bound.
    pub oracle_window: Duration,
    /// Bytes in one raft log entry at most; a larger commit is cut into pieces.
    pub entry_bytes_max: usize,
    /// Log entries in one turn of the log loop up to which it syncs by itself, where nobody else votes; more are
    /// synced on another thread while the loop goes on. Zero: always on another thread.
    pub inline_sync_entries: usize,
    /// Bytes of applied log kept for followers that lag before the log is cut and they need a snapshot.
    pub log_keep_bytes: u64,
    /// Bytes of applied data after which the data engine is flushed so that the log can be cut.
    pub flush_bytes: u64,
    /// Bytes in one page of a scan's answer.
    pub scan_page_bytes: usize,
    /// Rows in one page of a scan's answer.
    pub scan_page_rows: usize,
    /// Spans the read-timestamp cache holds exactly for one range before it coarsens.
    pub read_cache_spans: usize,
    /// Age of a transaction's last sign of life after which others may abort it.
    pub txn_expiry: Duration,
    /// Time between two signs of life of a transaction that has intents.
    pub txn_heartbeat: Duration,
    /// Bytes of buffered writes a transaction holds in memory before they spill.
    pub write_buffer_bytes: usize,
    /// Memory one statement may hold before it spills or fails with 53200.
    pub statement_bytes: usize,
    /// Time a request may take between nodes before its caller asks again.
    pub rpc_timeout: Duration,
    /// Time after which a range that does not answer is reported to the client.
    pub range_unavailable: Duration,
    /// Time between two heartbeats of a node to the system range's leader.
    pub node_heartbeat: Duration,
    /// Age of a node's last heartbeat after which its session, and with it its locks, is over.
    pub node_expiry: Duration,
    /// Age of a node's last heartbeat after which its replicas are replaced.
    pub repair_after: Duration,
    /// Bytes of versions from which on a range is split in the middle.
    pub range_bytes_max: u64,
    /// Keys asked for in a second from which on a range that others vote in is split where that halves the load, ...
    pub range_load_max: u64,
    /// ... if it was so in each of this many seconds, one after the other.
    pub range_load_seconds: usize,
    /// Versions older than this may be collected.
    pub gc_ttl: Duration,
    /// Test setting: split each new table into this many ranges.
    pub split_new_tables: u32,
}

impl Knobs {
    /// Silence of a leader after which it may be replaced.
    pub fn election_timeout(&self) -> Duration {
        ticks(self.raft_tick, self.election_ticks)
    }

    /// How long a leader that a quorum acknowledged is sure to be the only one, from when it asked; `None` if it never is.
    /// It is shorter than the time in which those who acknowledged it vote for nobody, whatever the rates of their clocks.
    pub fn lease(&self) -> Option<Duration> {
        let longest = ticks(self.raft_tick, self.election_ticks.saturating_sub(self.lease_spare_ticks));
        let lease = longest * 1000u32.saturating_sub(self.clock_drift_permille) / 1000;
        (self.leader_lease && !lease.is_zero()).then_some(lease)
    }
}

fn ticks(tick: Duration, count: u64) -> Duration {
    tick * u32::try_from(count).unwrap_or(u32::MAX)
}

impl Default for Knobs {
    fn default() -> Knobs {
        Knobs {
            raft_tick: Duration::from_millis(100),
            election_ticks: 10,
            heartbeat_ticks: 2,
            leader_lease: true,
            lease_spare_ticks: 1,
            clock_drift_permille: 100,
            oracle_window: Duration::from_secs(3),
            entry_bytes_max: 1 << 20,
            inline_sync_entries: 16,
            log_keep_bytes: 64 << 20,
            flush_bytes: 256 << 20,
            scan_page_bytes: 1 << 20,
            scan_page_rows: 10_000,
            read_cache_spans: 4096,
            txn_expiry: Duration::from_secs(5),
            txn_heartbeat: Duration::from_secs(1),
            write_buffer_bytes: 64 << 20,
            statement_bytes: 256 << 20,
            rpc_timeout: Duration::from_secs(2),
            range_unavailable: Duration::from_secs(15),
            node_heartbeat: Duration::from_millis(500),
            node_expiry: Duration::from_secs(5),
            repair_after: Duration::from_secs(300),
            range_bytes_max: 128 << 20,
            range_load_max: 10_000,
            range_load_seconds: 10,
            gc_ttl: Duration::from_secs(600),
            split_new_tables: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_before_anybody_may_vote() {
        let knobs = Knobs::default();
        let lease = knobs.lease().unwrap();
        assert_eq!(lease, Duration::from_millis(810));
        // Even where one clock is slewed as fast as chrony does and the other as slowly.
        assert!(lease.div_f64(1.0 - 0.083) < knobs.election_timeout().div_f64(1.0 + 0.083));
        assert_eq!(Knobs { leader_lease: false, ..knobs.clone() }.lease(), None);
        assert_eq!(Knobs { lease_spare_ticks: 99, ..knobs }.lease(), None);
    }
}
