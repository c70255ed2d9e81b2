//! Deliberate breakages: `if env::sabotage("acknowledge_before_quorum") { … }` marks a place where one guard
//! of the protocol can be taken away, so that the simulator can show that it finds the loss. See
//! docs/sabotage.md for the list.
//!
//! Without the feature `sabotage`, which no release build has, the question is a constant `false` and the
//! compiler removes the branch.

/// Is this guard taken away? Only ever true in simulations built with the feature `sabotage`.
#[cfg(not(feature = "sabotage"))]
#[inline(always)]
#[must_use]
pub const fn sabotage(_name: &str) -> bool {
    false
}

#[cfg(feature = "sabotage")]
pub use switched::{sabotage, set_sabotage};

#[cfg(feature = "sabotage")]
mod switched {
    use std::cell::Cell;

    thread_local! {
        // A simulation runs on one thread, and several may run beside each other.
        static ACTIVE: Cell<Option<&'static str>> = const { Cell::new(None) };
    }

    #[must_use]
    pub fn sabotage(name: &str) -> bool {
        ACTIVE.get() == Some(name) && {
            crate::probe!("sabotage_reached");
            true
        }
    }

    /// Takes one guard away on this thread, or none.
    pub fn set_sabotage(name: Option<&'static str>) {
        ACTIVE.set(name);
    }
}
