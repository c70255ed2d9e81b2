//! What must hold at every instant, seen from outside by somebody who sees all nodes at once. One file per
//! invariant; what clients can see for themselves is checked by the workloads.

mod log_matching;
mod one_leader;
mod one_lease;
mod one_vote;
mod own_term;
mod replicas_equal;
mod tiling;

pub use log_matching::LogMatching;
pub use one_leader::OneLeader;
pub use one_lease::OneLease;
pub use one_vote::OneVote;
pub use replicas_equal::{Agreement, compare_replicas};
pub use tiling::{check_tiling, gap};
