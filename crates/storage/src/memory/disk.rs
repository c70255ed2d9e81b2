//! What survives a crash: the base, the tail of batches, and the faults that were ordered.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{Batch, Durability, Error, Family, Result};

/// Entries of all families; index is [`family_index`].
pub(super) type Entries = [BTreeMap<Bytes, Bytes>; 5];

pub(super) fn family_index(family: Family) -> usize {
    family as usize - 1
}

/// A disk in memory; clones share it. Outlives the engines that are opened on it.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<DiskState>>,
}

/// Faults to come. Counters count down; the call that brings one to zero fails, and the engine is dead
/// from then on, as the contract wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The n-th sync or flush from now fails (1 is the next).
    pub fail_sync: Option<u64>,
    /// The n-th write from now finds no space.
    pub full_at_write: Option<u64>,
    /// The n-th point read or cursor step from now meets a bad checksum. Not fatal by itself.
    pub corrupt_read: Option<u64>,
    /// Deliberate breakage: `sync` says it is done and does nothing.
    pub lie_about_sync: bool,
}

#[derive(Default)]
struct DiskState {
    base: Entries,
    tail: Vec<TailBatch>,
    /// How many batches of the tail are surely in the log: all logged ones among the first `synced`.
    synced: usize,
    /// Raised by each crash and each opening: older handles are dead.
    generation: u64,
    faults: Faults,
    syncs: u64,
    watch: Option<Watch>,
}

struct TailBatch {
    batch: Arc<Batch>,
    durability: Durability,
}

/// What an onlooker has not seen yet.
#[derive(Default)]
struct Watch {
    /// Nothing of what it knows is sure: a crash has come between.
    all: bool,
    written: Vec<Arc<Batch>>,
}

/// What has become of a disk since its onlooker looked last ([`MemoryDisk::look`]).
pub enum Changes {
    /// All there is. Something that was there may be gone.
    Everything(BTreeMap<Bytes, Bytes>),
    Written(Vec<Arc<Batch>>),
}

impl MemoryDisk {
    pub fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    /// The machine loses power. `random_below(n)` gives a number in `0..n`; the same numbers give the same
    /// outcome.
    pub fn crash(&self, random_below: &mut dyn FnMut(u64) -> u64) {
        let mut state = self.state.lock();
        let len = state.tail.len();
        // Half of the time nothing was flushed by itself: else losing unlogged batches would be rare.
        let flush_cut = if random_below(2) == 0 { 0 } else { between(0, len, random_below) };
        let log_cut = between(flush_cut.max(state.synced), len, random_below);
        assert!(flush_cut <= log_cut && log_cut <= len, "the log reaches at least as far as the flush");
        let tail = std::mem::take(&mut state.tail);
        for (number, written) in tail.iter().enumerate() {
            let survives = number < flush_cut || (number < log_cut && written.durability == Durability::Logged);
            if survives {
                apply(&mut state.base, &written.batch);
            }
        }
        state.synced = 0;
        state.generation += 1;
        state.faults = Faults::default();
        state.forget_what_was_seen();
    }

    /// The whole store is lost; the disk is as new.
    pub fn wipe(&self) {
        let mut state = self.state.lock();
        let (generation, watch) = (state.generation + 1, state.watch.take());
        *state = DiskState { generation, watch, ..DiskState::default() };
        state.forget_what_was_seen();
    }

    /// Another disk with what a running process sees on this one now: to look at without disturbing.
    pub fn fork(&self) -> MemoryDisk {
        let state = self.state.lock();
        let base = Family::ALL.map(|family| state.seen_by_a_process(family));
        MemoryDisk { state: Arc::new(Mutex::new(DiskState { base, ..DiskState::default() })) }
    }

    /// What a running process sees in `family` now and the onlooker (there is one) has not seen yet: everything at
    /// first, later mostly what was written since, in any family. For those who look again and again.
    pub fn look(&self, family: Family) -> Changes {
        let mut state = self.state.lock();
        match state.watch.replace(Watch::default()) {
            Some(Watch { all: false, written }) => Changes::Written(written),
            _ => Changes::Everything(state.seen_by_a_process(family)),
        }
    }

    pub fn set_faults(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    /// Flips a bit of a stored value in the base, as a bad sector would; `false` if the key is not there.
    /// An open engine does not notice: open again.
    pub fn damage(&self, family: Family, key: &[u8], bit: usize) -> bool {
        let mut state = self.state.lock();
        let Some(value) = state.base[family_index(family)].get_mut(key) else { return false };
        let mut bytes = value.to_vec();
        if bytes.is_empty() {
            return false;
        }
        let position = (bit / 8) % bytes.len();
        bytes[position] ^= 1 << (bit % 8);
        *value = bytes.into();
        state.forget_what_was_seen();
        true
    }

    /// How often a sync or flush succeeded: what tests of group commit count.
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// Takes the disk over: older handles are dead from now on. Gives the generation and the state.
    pub(super) fn open(&self) -> (u64, Entries) {
        let mut state = self.state.lock();
        state.fold_tail(); // an orderly end: nothing was lost
        state.generation += 1;
        (state.generation, state.base.clone())
    }

    pub(super) fn write(&self, generation: u64, batch: &Batch, durability: Durability) -> Result<()> {
        let mut state = self.state.lock();
        state.check(generation)?;
        if count_down(&mut state.faults.full_at_write) {
            return Err(Error::DiskFull("no space left on the simulated disk".to_owned()));
        }
        let batch = Arc::new(batch.clone());
        if let Some(watch) = state.watch.as_mut().filter(|watch| !watch.all) {
            watch.written.push(batch.clone());
        }
        state.tail.push(TailBatch { batch, durability });
        Ok(())
    }

    pub(super) fn sync(&self, generation: u64) -> Result<()> {
        let mut state = self.state.lock();
        state.check(generation)?;
        state.count_sync()?;
        if !state.faults.lie_about_sync {
            state.synced = state.tail.len();
        }
        Ok(())
    }

    pub(super) fn flush(&self, generation: u64) -> Result<()> {
        let mut state = self.state.lock();
        state.check(generation)?;
        state.count_sync()?;
        state.fold_tail();
        Ok(())
    }

    /// May this be read now?
    pub(super) fn read(&self, generation: u64) -> Result<()> {
        let mut state = self.state.lock();
        state.check(generation)?;
        if count_down(&mut state.faults.corrupt_read) {
            return Err(Error::Corrupt("a simulated bad checksum".to_owned()));
        }
        Ok(())
    }
}

impl DiskState {
    fn check(&self, generation: u64) -> Result<()> {
        if generation == self.generation { Ok(()) } else { Err(Error::Disk("the machine crashed".to_owned())) }
    }

    fn count_sync(&mut self) -> Result<()> {
        if count_down(&mut self.faults.fail_sync) {
            return Err(Error::Disk("a simulated failed fsync".to_owned()));
        }
        self.syncs += 1;
        Ok(())
    }

    fn seen_by_a_process(&self, family: Family) -> BTreeMap<Bytes, Bytes> {
        let mut entries = self.base[family_index(family)].clone();
        for written in &self.tail {
            for operation in written.batch.operations().iter().filter(|operation| operation.family() == family) {
                operation.apply(&mut entries);
            }
        }
        entries
    }

    fn forget_what_was_seen(&mut self) {
        if let Some(watch) = &mut self.watch {
            *watch = Watch { all: true, written: Vec::new() };
        }
    }

    fn fold_tail(&mut self) {
        for written in std::mem::take(&mut self.tail) {
            apply(&mut self.base, &written.batch);
        }
        self.synced = 0;
    }
}

fn apply(entries: &mut Entries, batch: &Batch) {
    for operation in batch.operations() {
        operation.apply(&mut entries[family_index(operation.family())]);
    }
}

/// A number in `low..=high`.
fn between(low: usize, high: usize, random_below: &mut dyn FnMut(u64) -> u64) -> usize {
    low + random_below((high - low) as u64 + 1) as usize
}

/// Has the counter come to zero with this call?
fn count_down(counter: &mut Option<u64>) -> bool {
    match counter {
        Some(0 | 1) => {
            *counter = None;
            true
        }
        Some(left) => {
            *left -= 1;
            false
        }
        None => false,
    }
}
