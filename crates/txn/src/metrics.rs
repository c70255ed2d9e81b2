//! What transactions on this node did, for `/metrics`.

use env::Counter;

pub(crate) struct Metrics {
    pub commits_read_only: Counter,
    pub commits_one_range: Counter,
    pub commits_one_round: Counter,
    pub commits_two_rounds: Counter,
    pub commits_ahead: Counter,
    pub commit_rounds: Counter,
    pub intents: Counter,
    pub numbers: Counter,
    pub rollbacks: Counter,
    pub outcomes_unknown: Counter,
    pub refreshes: Counter,
    pub refreshes_failed: Counter,
    pub statement_restarts: Counter,
    pub retries_pushed: Counter,
    pub retries_newer_version: Counter,
    pub serialization_failures: Counter,
    pub buffer_spills: Counter,
    pub route_corrections: Counter,
    pub route_retries: Counter,
}

impl Metrics {
    pub fn new(registry: &env::Metrics) -> Metrics {
        let counter = |name: &str, help: &str| registry.counter(&format!("txn_{name}"), help);
        Metrics {
            commits_read_only: counter("commits_read_only", "Transactions that committed without a write"),
            commits_one_range: counter("commits_one_range", "Transactions that committed in one range"),
            commits_one_round: counter("commits_one_round", "Commits over several ranges in one round"),
            commits_two_rounds: counter("commits_two_rounds", "Commits over several ranges in two rounds"),
            commits_ahead: counter("commits_ahead", "Commits that wrote rows ahead, where nobody else looks"),
            commit_rounds: counter("commit_rounds", "Rounds of messages that commits waited for"),
            intents: counter("intents", "Keys that commits laid down as intents, once for each number tried"),
            numbers: counter("numbers", "Numbers that transactions asked the oracle for"),
            rollbacks: counter("rollbacks", "Transactions that were rolled back"),
            outcomes_unknown: counter("outcomes_unknown", "Commits whose outcome could not be learned"),
            refreshes: counter("refreshes", "Refreshes of what a transaction had read"),
            refreshes_failed: counter("refreshes_failed", "Refreshes that found a change"),
            statement_restarts: counter("statement_restarts", "Statements that ran again after a lock was granted"),
            retries_pushed: counter("retries_pushed", "Commit numbers refused because of a read"),
            retries_newer_version: counter(
                "retries_newer_version",
                "Commit numbers refused because of a newer version",
            ),
            serialization_failures: counter("serialization_failures", "Commits that ended in 40001"),
            buffer_spills: counter("buffer_spills", "Write buffers written out because they outgrew their memory"),
            route_corrections: counter("route_corrections", "Times a range corrected the range cache"),
            route_retries: counter("route_retries", "Requests to ranges that were sent again after a pause"),
        }
    }
}
