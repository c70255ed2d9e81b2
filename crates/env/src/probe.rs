//! Coverage marks: `probe!("recovered_a_staging_transaction")` says that a rare path was taken. Their names are
//! listed here, so that a night of simulation can list the paths it never reached, too.

use std::sync::atomic::{AtomicU64, Ordering};

/// Rare paths below SQL sessions, which simulations are to reach.
pub const PROBES: &[&str] = &[
    // consensus and the log
    "a_lease_was_given_up",
    "a_lease_was_renewed",
    "a_vote_was_refused_for_a_lease",
    "campaigned",
    "did_not_campaign_for_a_lease",
    "elected",
    "leadership_lost_with_proposals_under_way",
    "log_cut_below_a_slow_follower",
    "log_cut_by_a_flush",
    "proposed_under_an_old_epoch",
    "proposed_when_no_longer_leading",
    "reads_confirmed_together",
    "restarted_with_a_vote",
    "stepped_down_on_a_stalled_disk",
    // replicas, splits, snapshots
    "a_message_waited_for_the_split",
    "asked_for_a_state_that_was_lost",
    "asked_under_an_old_epoch",
    "locks_moved_with_a_split",
    "part_of_a_snapshot_sent_again",
    "replica_created_by_introduction",
    "replica_opened_with_intents",
    "snapshot_installed",
    "snapshot_put_in_place_again_after_a_crash",
    "a_large_range_is_one_row",
    "split_by_load",
    "split_by_size",
    "split_applied_by_a_follower",
    "split_with_intents",
    "waited_for_a_new_leader_to_be_ready",
    // reads
    "a_read_was_evaluated_again",
    "a_reader_waited_for_a_writer",
    "a_reader_waited_for_an_intent",
    "a_refresh_found_a_change",
    "a_refresh_met_an_obstacle",
    "a_statement_met_a_newer_version",
    "read_cache_forgot_a_generation",
    "read_the_intent_of_a_committed_transaction",
    // locks
    "a_lock_was_lost_before_commit",
    "a_waiter_settled_what_the_holder_wrote",
    "a_writer_waited_for_a_lock",
    "deadlock_within_a_node",
    "released_a_lock_of_a_transaction_that_is_gone",
    "locks_lost_with_leadership",
    "locks_of_a_dead_session_released",
    // commit and recovery
    "a_commit_was_killed",
    "a_commit_was_told_by_its_record",
    "a_fenced_key_was_absent",
    "a_late_prewrite_was_overtaken",
    "a_number_was_refused_by_a_read",
    "a_record_was_staged_again",
    "a_refused_writer_held_readers",
    "a_share_was_divided_again",
    "aborted_an_expired_transaction",
    "an_intent_of_an_older_attempt_did_not_count",
    "an_intent_older_than_the_garbage_floor",
    "an_outcome_below_the_garbage_floor",
    "one_range_commit_was_fenced",
    "outcome_decided_in_the_background",
    "recovered_a_staging_transaction",
    "recovered_below_the_garbage_floor",
    "recovered_as_aborted",
    "recovered_as_committed",
    "repeated_one_range_commit",
    "repeated_prewrite",
    "wait_die_gave_way",
    // the oracle, the catalog, garbage
    "a_catalog_change_was_committed",
    "a_number_of_an_old_leader_was_withheld",
    "asked_below_the_garbage_floor",
    "numbers_unsettled_by_an_announcement",
    "numbers_unsettled_by_an_intent",
    "oracle_window_exhausted",
    "records_collected",
    "the_oracle_moved",
    "versions_collected",
];

/// Rare paths of SQL sessions and of changes of members, which the simulator does not have.
pub const PROBES_ELSEWHERE: &[&str] = &[
    "advisory_lock_outlived_its_queue",
    "ended_the_locks_of_a_committed_transaction",
    "notification_dropped",
    "removed_replica_learnt_it_from_a_peer",
    "sabotage_reached",
    "statement_ran_again",
    "transaction_started_over",
];

static HITS: [AtomicU64; PROBES.len()] = [const { AtomicU64::new(0) }; PROBES.len()];
static HITS_ELSEWHERE: [AtomicU64; PROBES_ELSEWHERE.len()] = [const { AtomicU64::new(0) }; PROBES_ELSEWHERE.len()];

/// Marks that this line was reached. A name that is not listed in `env/src/probe.rs` does not compile.
#[macro_export]
macro_rules! probe {
    ($name:literal) => {{
        const PLACE: $crate::ProbePlace = $crate::ProbePlace::of($name);
        PLACE.hit();
    }};
}

/// Where a probe is counted.
#[derive(Clone, Copy, Debug)]
pub enum ProbePlace {
    Simulated(usize),
    Elsewhere(usize),
}

impl ProbePlace {
    #[must_use]
    pub const fn of(name: &str) -> ProbePlace {
        if let Some(place) = place_of(PROBES, name) {
            return ProbePlace::Simulated(place);
        }
        match place_of(PROBES_ELSEWHERE, name) {
            Some(place) => ProbePlace::Elsewhere(place),
            None => panic!("a probe has to be listed in env/src/probe.rs"),
        }
    }

    pub fn hit(self) {
        let count = match self {
            ProbePlace::Simulated(place) => &HITS[place],
            ProbePlace::Elsewhere(place) => &HITS_ELSEWHERE[place],
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// The place of a name in a list, at compile time.
pub(crate) const fn place_of(names: &[&str], name: &str) -> Option<usize> {
    let mut place = 0;
    while place < names.len() {
        if are_equal(names[place].as_bytes(), name.as_bytes()) {
            return Some(place);
        }
        place += 1;
    }
    None
}

const fn are_equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Every probe of [`PROBES`] with how often it was reached in this process, never included.
pub fn probe_hits() -> Vec<(&'static str, u64)> {
    PROBES.iter().zip(&HITS).map(|(name, count)| (*name, count.load(Ordering::Relaxed))).collect()
}

/// How often a guard that is taken away was missing in this process ([`crate::sabotage`]).
pub fn sabotage_reached() -> u64 {
    let place = PROBES_ELSEWHERE.iter().position(|name| *name == "sabotage_reached");
    place.map_or(0, |place| HITS_ELSEWHERE[place].load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_listed_twice() {
        let mut all: Vec<&str> = PROBES.iter().chain(PROBES_ELSEWHERE).copied().collect();
        all.sort_unstable();
        let before = all.len();
        all.dedup();
        assert_eq!(all.len(), before);
    }

    #[test]
    fn a_probe_is_counted_under_its_name() {
        let count = || probe_hits().into_iter().find(|(name, _)| *name == "campaigned").map(|(_, count)| count);
        let before = count();
        crate::probe!("campaigned");
        assert!(count() > before);
    }
}
