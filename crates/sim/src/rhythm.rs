//! Clients work in bursts: what finds faults is many of them at the same keys at once, and what costs time is all they
//! do. Everybody is at work around the begin and the end of each fault, and again and again in between; in seeds in
//! which little gets done they do not rest.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::World;
use crate::workload::Shift;
use crate::world::spawn;

/// Cheap to clone.
#[derive(Clone)]
pub struct Rhythm {
    inner: Arc<Inner>,
}

struct Inner {
    world: World,
    shift: Shift,
    /// Nobody rests before.
    until: Mutex<Duration>,
    awake: Notify,
}

/// Milliseconds of a burst, and between two.
const BURST_MS: (u64, u64) = (50, 400);
const REST_MS: (u64, u64) = (300, 4_000);

impl Rhythm {
    pub fn new(world: &World, shift: &Shift) -> Rhythm {
        let (until, awake) = (Mutex::default(), Notify::new());
        Rhythm { inner: Arc::new(Inner { world: world.clone(), shift: shift.clone(), until, awake }) }
    }

    /// Tells the clients when to work, until their shift is over.
    pub fn start(&self) {
        let Rhythm { inner } = self.clone();
        let mut random = inner.world.split_random();
        spawn(async move {
            while !inner.shift.is_over() {
                inner.burst(Duration::from_millis(random.between(BURST_MS.0, BURST_MS.1)));
                inner.shift.go_on();
                while let Some(left) = inner.left() {
                    inner.world.sleep(left).await;
                }
                inner.shift.rest();
                let rest = inner.world.sleep(Duration::from_millis(random.between(REST_MS.0, REST_MS.1)));
                tokio::select! {
                    biased;
                    () = inner.awake.notified() => {}
                    () = rest => {}
                }
            }
        });
    }

    /// Nobody rests for so long.
    pub fn rush(&self, at_least: Duration) {
        self.inner.burst(at_least);
        self.inner.awake.notify_one();
    }
}

impl Inner {
    /// Of the burst.
    fn left(&self) -> Option<Duration> {
        self.until.lock().checked_sub(self.world.elapsed()).filter(|left| !left.is_zero())
    }

    fn burst(&self, at_least: Duration) {
        let mut until = self.until.lock();
        *until = (*until).max(self.world.elapsed() + at_least);
    }
}
