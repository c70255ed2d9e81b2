//! Making the rare common, in simulations only:
//!
//! * `buggify!(env, "name", 0.01)`: a rare choice that the code may make at any time by its contract, made on
//!   purpose. The simulator switches each point on in some seeds and off in others. In production it is `false`.
//! * `hesitate!(env, "name", 0.01)`: the same, and the choice is to wait, mostly a little, at times for seconds:
//!   whatever may happen in between should.
//! * `moment!(env, "name")`: at this very instant it would hurt most if the process died, or stood still, or were
//!   cut off from the others. The simulator may lie in wait here.
//!
//! All names are listed here, so that the simulator can draw a moment and can say what was never reached.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::probe::place_of;

pub const BUGGIFIED: &[&str] = &[
    "a_lock_is_lost",
    "a_flush_is_due",
    "campaigns_early",
    "messages_leave_with_the_next_turn",
    "hesitated_before_announcing",
    "hesitated_before_proposing",
    "hesitated_before_resolving",
    "hesitated_before_telling",
    "hesitated_before_the_decision",
    "hesitated_before_the_look_at_the_lease",
    "hesitated_before_the_low_water_mark",
    "hesitated_before_the_record",
    "hesitated_before_the_proof_of_numbers",
    "hesitated_in_recovery",
    "hesitated_in_refresh",
    "hesitated_with_a_snapshot",
    "no_sign_of_life",
    "the_commit_is_told_late",
];

pub const MOMENTS: &[&str] = &[
    "acknowledged",
    "elected",
    "intents_resolved",
    "numbers_taken",
    "prewrites_take_long",
    "proposed",
    "read_and_not_confirmed",
    "record_committed",
    "recovering",
    "some_prewrites_done",
    "split_applied",
    "staged",
    "synced",
    "voted",
];

static TAKEN: [AtomicU64; BUGGIFIED.len()] = [const { AtomicU64::new(0) }; BUGGIFIED.len()];
static PASSED: [AtomicU64; MOMENTS.len()] = [const { AtomicU64::new(0) }; MOMENTS.len()];

/// Is this rare choice made now? Constantly `false` outside of simulations.
#[macro_export]
macro_rules! buggify {
    ($env:expr, $name:literal, $probability:expr) => {{
        const PLACE: $crate::BuggifyPlace = $crate::BuggifyPlace::of($name);
        PLACE.taken($env, $probability)
    }};
}

/// Waits here for a while, rarely, in simulations.
#[macro_export]
macro_rules! hesitate {
    ($env:expr, $name:literal, $probability:expr) => {
        if $crate::buggify!($env, $name, $probability) {
            $env.hesitate().await;
        }
    };
}

/// An instant at which simulations may strike.
#[macro_export]
macro_rules! moment {
    ($env:expr, $name:literal) => {{
        const PLACE: $crate::MomentPlace = $crate::MomentPlace::of($name);
        PLACE.passed($env);
    }};
}

#[derive(Clone, Copy, Debug)]
pub struct BuggifyPlace(usize);

impl BuggifyPlace {
    #[must_use]
    pub const fn of(name: &str) -> BuggifyPlace {
        match place_of(BUGGIFIED, name) {
            Some(place) => BuggifyPlace(place),
            None => panic!("a buggify point has to be listed in env/src/buggify.rs"),
        }
    }

    #[must_use]
    pub fn taken(self, env: &crate::Env, probability: f64) -> bool {
        let taken = env.host.buggify(BUGGIFIED[self.0], probability);
        if taken {
            TAKEN[self.0].fetch_add(1, Ordering::Relaxed);
        }
        taken
    }
}

#[derive(Clone, Copy, Debug)]
pub struct MomentPlace(usize);

impl MomentPlace {
    #[must_use]
    pub const fn of(name: &str) -> MomentPlace {
        match place_of(MOMENTS, name) {
            Some(place) => MomentPlace(place),
            None => panic!("a moment has to be listed in env/src/buggify.rs"),
        }
    }

    pub fn passed(self, env: &crate::Env) {
        if env.host.moment(MOMENTS[self.0]) {
            PASSED[self.0].fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How often each rare choice was made in this process.
pub fn buggified() -> Vec<(&'static str, u64)> {
    BUGGIFIED.iter().zip(&TAKEN).map(|(name, count)| (*name, count.load(Ordering::Relaxed))).collect()
}

/// How often the simulator struck at each moment in this process.
pub fn moments_struck() -> Vec<(&'static str, u64)> {
    MOMENTS.iter().zip(&PASSED).map(|(name, count)| (*name, count.load(Ordering::Relaxed))).collect()
}
