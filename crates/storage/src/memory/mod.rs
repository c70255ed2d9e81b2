//! # The engine of tests and of the simulator
//!
//! Two things, because a crash takes one and leaves the other: [`MemoryDisk`] is what survives a crash,
//! [`MemoryEngine`] is an open handle on it, with the state as a running process sees it.
//!
//! ## What a crash leaves
//! The disk keeps a *base* (the state at the last explicit flush) and the *tail* of batches written since.
//! [`MemoryDisk::crash`] draws two cut points in the tail, as nasty as RocksDB may be and never kinder:
//!
//! ```text
//!   base │ L1  U2  L3  U4  L5  U6  L7        L = logged, U = unlogged, synced up to L3
//!        │         ▲ flush cut: L1 U2 L3     RocksDB may have flushed by itself at any batch
//!        │                     ▲ log cut     at or after both the last sync and the flush cut
//!   left │ L1  U2  L3      L5                logged batches between the cuts replay on top
//! ```
//!
//! * The flush cut lies anywhere in the tail, all families at the same batch.
//! * The log cut lies at or after the last synced batch and the flush cut: a suffix of the logged batches
//!   is lost, never a hole.
//! * Unlogged batches after the flush cut are gone.
//!
//! A handle from before the crash answers every call with an error.
//!
//! Faults to order: see [`Faults`].

mod disk;
mod engine;
mod versioned;

pub use disk::{Changes, Faults, MemoryDisk};
pub use engine::MemoryEngine;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Durability, Engine, Error, Family};

    fn put(engine: &MemoryEngine, key: &'static str, durability: Durability) -> crate::Result<()> {
        let mut batch = Batch::new();
        batch.put(Family::Local, key, "value");
        engine.write(&batch, durability)
    }

    fn keys_after(disk: &MemoryDisk, choices: &[u64]) -> Vec<&'static str> {
        let mut choices = choices.iter();
        disk.crash(&mut |bound| choices.next().copied().unwrap_or_default().min(bound - 1));
        let engine = MemoryEngine::open(disk);
        ["synced", "memory", "tail"]
            .into_iter()
            .filter(|key| engine.get(Family::Local, key.as_bytes()).unwrap().is_some())
            .collect()
    }

    #[test]
    fn a_crash_takes_what_it_may_and_leaves_what_it_must() {
        const LUCKY: u64 = u64::MAX;
        // Choices: flushed by itself or not, where (if it did), how much of the log was written.
        for (choices, left) in [
            (&[0, 0][..], &["synced"][..]),
            (&[0, LUCKY], &["synced", "tail"]),
            (&[1, 2, 0], &["synced", "memory"]),
            (&[1, LUCKY], &["synced", "memory", "tail"]),
        ] {
            let disk = MemoryDisk::new();
            let engine = MemoryEngine::open(&disk);
            put(&engine, "synced", Durability::Logged).unwrap();
            engine.sync().unwrap();
            put(&engine, "memory", Durability::Unlogged).unwrap();
            put(&engine, "tail", Durability::Logged).unwrap();
            assert_eq!(keys_after(&disk, choices), left, "{choices:?}");
            assert!(matches!(engine.sync(), Err(Error::Disk(_))), "a handle from before the crash is dead");
        }
    }

    #[test]
    fn the_first_failure_is_the_last() {
        for faults in
            [Faults { fail_sync: Some(1), ..Faults::default() }, Faults { full_at_write: Some(2), ..Faults::default() }]
        {
            let disk = MemoryDisk::new();
            let engine = MemoryEngine::open(&disk);
            disk.set_faults(faults);
            let failed = put(&engine, "synced", Durability::Logged)
                .and_then(|()| put(&engine, "tail", Durability::Logged))
                .and_then(|()| engine.sync())
                .unwrap_err();
            assert!(failed.is_fatal());
            assert_eq!(put(&engine, "tail", Durability::Logged), Err(failed.clone()));
            assert_eq!(engine.get(Family::Local, b"synced"), Err(failed));
        }
    }

    #[test]
    fn a_bad_block_is_an_error_once_and_not_the_end() {
        let disk = MemoryDisk::new();
        let engine = MemoryEngine::open(&disk);
        disk.set_faults(Faults { corrupt_read: Some(2), ..Faults::default() });
        assert!(engine.get(Family::Local, b"a").is_ok());
        assert!(matches!(engine.get(Family::Local, b"a"), Err(Error::Corrupt(_))));
        assert!(engine.get(Family::Local, b"a").is_ok());
    }

    #[test]
    fn an_onlooker_sees_what_was_written_and_everything_after_a_crash() {
        let disk = MemoryDisk::new();
        let engine = MemoryEngine::open(&disk);
        put(&engine, "synced", Durability::Logged).unwrap();
        engine.sync().unwrap();
        let Changes::Everything(entries) = disk.look(Family::Local) else { panic!("it was never looked at") };
        assert_eq!(entries.keys().collect::<Vec<_>>(), ["synced"]);
        put(&engine, "tail", Durability::Logged).unwrap();
        engine.flush().unwrap();
        put(&engine, "memory", Durability::Unlogged).unwrap();
        let Changes::Written(batches) = disk.look(Family::Local) else { panic!("nothing was lost") };
        assert_eq!(batches.len(), 2);
        assert!(matches!(disk.look(Family::Local), Changes::Written(batches) if batches.is_empty()));
        disk.crash(&mut |_| 0);
        let Changes::Everything(entries) = disk.look(Family::Local) else { panic!("something may be gone") };
        assert_eq!(entries.keys().collect::<Vec<_>>(), ["synced", "tail"]);
    }

    #[test]
    fn a_cursor_that_reads_ahead_shows_its_snapshot() {
        let engine = MemoryEngine::open(&MemoryDisk::new());
        let write = |numbers: std::ops::Range<u8>, value: &'static str| {
            let mut batch = Batch::new();
            numbers.for_each(|number| batch.put(Family::Local, vec![number], value));
            engine.write(&batch, Durability::Logged).unwrap();
        };
        write(0..200, "old");
        let snapshot = engine.snapshot();
        let mut iter = snapshot.iter(Family::Local, &[], &[255]);
        iter.seek(&[]).unwrap();
        for number in 0..200 {
            write(number..number + 1, "new");
            write(200 + number / 4..201 + number / 4, "added");
            assert_eq!((iter.key(), iter.value()), (&[number][..], &b"old"[..]));
            if number == 100 {
                iter.prev().unwrap();
                assert_eq!(iter.key(), [99]);
                iter.next().unwrap();
            }
            iter.next().unwrap();
        }
        assert!(!iter.valid());
        drop(iter);
        drop(snapshot);
        assert_eq!(engine.get(Family::Local, &[7]).unwrap().unwrap(), "new");
    }
}
