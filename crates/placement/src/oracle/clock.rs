//! What the wall clock is believed to say.

use env::Mono;

/// Jumps by more than this over the last persisted bound are not followed when a leader begins.
const FORWARD_MS_MAX: u64 = 366 * 24 * 3600 * 1000;

/// The year 3000: leaves twelve centuries of 46 bits.
const LAST_MS: u64 = 32_503_680_000_000;

/// Milliseconds that never go back, and go forward no faster than the monotonic clock and an eighth, so that
/// a wall clock gone wrong cannot take the cluster's numbers along.
#[derive(Clone, Copy, Debug)]
pub struct PhysicalHint {
    ms: u64,
    at: Mono,
}

impl PhysicalHint {
    /// `persisted_ms` is 0 in a new cluster, which has nothing but the wall clock to begin with.
    pub fn after(persisted_ms: u64, wall_ms: u64, now: Mono) -> PhysicalHint {
        let ceiling = if persisted_ms == 0 { LAST_MS } else { persisted_ms + FORWARD_MS_MAX };
        PhysicalHint { ms: wall_ms.clamp(persisted_ms, ceiling.max(persisted_ms)), at: now }
    }

    pub fn ms(self) -> u64 {
        self.ms
    }

    pub fn advance(&mut self, wall_ms: u64, now: Mono) -> u64 {
        let elapsed_ms = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        let fastest = self.ms.saturating_add(elapsed_ms).saturating_add(elapsed_ms / 8);
        let ms = wall_ms.clamp(self.ms, fastest.min(LAST_MS).max(self.ms));
        // The eighth of a shorter time would be rounded away.
        if elapsed_ms >= 8 {
            *self = PhysicalHint { ms, at: now };
        }
        ms
    }
}
