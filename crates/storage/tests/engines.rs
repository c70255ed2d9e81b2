//! The two engines under the same random operations: they give the same answers. And the memory engine's
//! crashes stay within the contract. (RocksDB's: tests/kill.rs.)

use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;
use storage::{
    Batch, Durability, Engine, Family, Iter, MemoryDisk, MemoryEngine, RocksEngine, RocksOptions, Snapshot,
    StoreDirectory,
};

type Pair = (Bytes, Bytes);

#[derive(Clone, Debug)]
enum Change {
    Put(Family, Bytes, Bytes),
    Delete(Family, Bytes),
    DeleteRange(Family, Bytes, Bytes),
}

#[derive(Clone, Debug)]
enum Op {
    Write(Vec<Change>, Durability),
    Sync,
    Flush,
    Reopen,
    OpenSnapshot,
    CloseSnapshot,
    Get(Family, Bytes),
    SeekSuffix(Bytes, u64),
    Walk { family: Family, bounds: (Bytes, Bytes), steps: Vec<Step> },
}

#[derive(Clone, Debug)]
enum Step {
    Seek(Bytes),
    SeekForPrev(Bytes),
    Next,
    Prev,
}

// ---- generators: few keys, so that operations meet ----

fn prefix() -> impl Strategy<Value = Bytes> {
    // Prefix-free, and bytes 0 and 255 are among them.
    prop::sample::select(vec![&[1, 0][..], &[1, 1], &[2, 0xff], &[3, 0], &[0xff, 1]]).prop_map(Bytes::from_static)
}

fn suffix() -> impl Strategy<Value = u64> {
    prop::sample::select(vec![0, 1, 2, 255, 256, u64::MAX - 1, u64::MAX])
}

fn key(family: Family) -> BoxedStrategy<Bytes> {
    match family {
        Family::Data => {
            (prefix(), suffix()).prop_map(|(key, suffix)| [&key[..], &suffix.to_be_bytes()].concat().into()).boxed()
        }
        _ => prop::collection::vec(prop::sample::select(vec![0_u8, 1, 0xff]), 1..4).prop_map(Bytes::from).boxed(),
    }
}

fn family() -> impl Strategy<Value = Family> {
    prop::sample::select(vec![Family::Data, Family::Data, Family::Intents, Family::Local, Family::Log])
}

fn bounds(family: Family) -> impl Strategy<Value = (Bytes, Bytes)> {
    let bound =
        move || prop_oneof![4 => key(family), 1 => Just(Bytes::new()), 1 => Just(Bytes::from_static(&[0xff; 12]))];
    (bound(), bound())
}

fn change() -> impl Strategy<Value = Change> {
    family().prop_flat_map(|family| {
        prop_oneof![
            6 => (key(family), prop::collection::vec(any::<u8>(), 0..4))
                .prop_map(move |(key, value)| Change::Put(family, key, value.into())),
            2 => key(family).prop_map(move |key| Change::Delete(family, key)),
            1 => bounds(family).prop_map(move |(start, end)| Change::DeleteRange(family, start, end)),
        ]
    })
}

fn durability() -> impl Strategy<Value = Durability> {
    prop::sample::select(vec![Durability::Logged, Durability::Unlogged])
}

fn step(family: Family) -> impl Strategy<Value = Step> {
    prop_oneof![
        key(family).prop_map(Step::Seek),
        key(family).prop_map(Step::SeekForPrev),
        Just(Step::Next),
        Just(Step::Prev),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (prop::collection::vec(change(), 1..5), durability()).prop_map(|(changes, how)| Op::Write(changes, how)),
        1 => Just(Op::Sync),
        1 => Just(Op::Flush),
        1 => Just(Op::Reopen),
        2 => Just(Op::OpenSnapshot),
        2 => Just(Op::CloseSnapshot),
        4 => family().prop_flat_map(|family| key(family).prop_map(move |key| Op::Get(family, key))),
        4 => (prefix(), suffix()).prop_map(|(prefix, suffix)| Op::SeekSuffix(prefix, suffix)),
        6 => family().prop_flat_map(|family| {
            (bounds(family), prop::collection::vec(step(family), 1..12))
                .prop_map(move |(bounds, steps)| Op::Walk { family, bounds, steps })
        }),
    ]
}

// ---- running them ----

fn batch_of(changes: &[Change]) -> Batch {
    let mut batch = Batch::new();
    for change in changes {
        match change.clone() {
            Change::Put(family, key, value) => batch.put(family, key, value),
            Change::Delete(family, key) => batch.delete(family, key),
            Change::DeleteRange(family, start, end) => batch.delete_range(family, start, end),
        }
    }
    batch
}

/// What the operation shows on the snapshot.
fn observe(snapshot: &dyn Snapshot, op: &Op) -> Vec<Option<Pair>> {
    match op {
        Op::Get(family, key) => vec![snapshot.get(*family, key).unwrap().map(|value| (key.clone(), value))],
        Op::SeekSuffix(prefix, suffix) => {
            let found = snapshot.seek_suffix(prefix, suffix.to_be_bytes()).unwrap();
            vec![found.map(|(suffix, value)| (Bytes::copy_from_slice(&suffix), value))]
        }
        Op::Walk { family, bounds: (start, end), steps } => {
            let mut iter = snapshot.iter(*family, start, end);
            steps.iter().map(|step| walk(&mut *iter, step)).collect()
        }
        _ => Vec::new(),
    }
}

fn walk(iter: &mut dyn Iter, step: &Step) -> Option<Pair> {
    match step {
        Step::Seek(key) => iter.seek(key).unwrap(),
        Step::SeekForPrev(key) => iter.seek_for_prev(key).unwrap(),
        Step::Next if iter.valid() => iter.next().unwrap(),
        Step::Prev if iter.valid() => iter.prev().unwrap(),
        Step::Next | Step::Prev => {}
    }
    iter.valid().then(|| (Bytes::copy_from_slice(iter.key()), Bytes::copy_from_slice(iter.value())))
}

fn all_entries(engine: &dyn Engine) -> Vec<(Family, Bytes, Bytes)> {
    let snapshot = engine.snapshot();
    let mut entries = Vec::new();
    for family in Family::ALL {
        let mut iter = snapshot.iter(family, &[], &[0xff; 20]);
        iter.seek(&[]).unwrap();
        while iter.valid() {
            entries.push((family, Bytes::copy_from_slice(iter.key()), Bytes::copy_from_slice(iter.value())));
            iter.next().unwrap();
        }
    }
    entries
}

const SMALL: RocksOptions = RocksOptions { cache_bytes: 1 << 20, memtable_bytes: 1 << 20, background_jobs: 1 };

fn open_rocks(path: &Path, options: &RocksOptions) -> RocksEngine {
    RocksEngine::open(open_directory(path), options).unwrap()
}

fn open_directory(path: &Path) -> StoreDirectory {
    let mut directory = StoreDirectory::open(path).unwrap();
    directory.set_identity(storage::Identity { token: 1, member: None }).unwrap();
    directory
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn both_engines_give_the_same_answers(ops in prop::collection::vec(op(), 1..80)) {
        let dir = tempfile::tempdir().unwrap();
        let disk = MemoryDisk::new();
        let mut memory = MemoryEngine::open(&disk);
        let mut rocks = open_rocks(dir.path(), &SMALL);
        let mut snapshots: Vec<[Box<dyn Snapshot>; 2]> = Vec::new();
        for op in &ops {
            let engines: [&dyn Engine; 2] = [&memory, &rocks];
            match op {
                Op::Write(changes, durability) => {
                    let batch = batch_of(changes);
                    engines.iter().for_each(|engine| engine.write(&batch, *durability).unwrap());
                }
                Op::Sync => engines.iter().for_each(|engine| engine.sync().unwrap()),
                Op::Flush => engines.iter().for_each(|engine| engine.flush().unwrap()),
                Op::OpenSnapshot => snapshots.push(engines.map(|engine| engine.snapshot())),
                Op::CloseSnapshot => { snapshots.pop(); }
                Op::Reopen => {
                    snapshots.clear();
                    drop(rocks);
                    rocks = open_rocks(dir.path(), &SMALL);
                    memory = MemoryEngine::open(&disk);
                    prop_assert_eq!(all_entries(&memory), all_entries(&rocks));
                }
                Op::Get(..) | Op::SeekSuffix(..) | Op::Walk { .. } => {
                    let fresh = engines.map(|engine| engine.snapshot());
                    for [memory, rocks] in snapshots.iter().chain([&fresh]) {
                        prop_assert_eq!(observe(&**memory, op), observe(&**rocks, op), "{:?}", op);
                    }
                    if let Op::SeekSuffix(prefix, suffix) = op {
                        let [memory, rocks] =
                            engines.map(|engine| engine.seek_suffix(prefix, suffix.to_be_bytes()).unwrap());
                        prop_assert_eq!(memory, rocks, "now: {:?}", op);
                    }
                }
            }
        }
        prop_assert_eq!(all_entries(&memory), all_entries(&rocks));
    }

    /// The memory engine's crash is one of the allowed states too; and, over many crashes, a nasty one.
    #[test]
    fn the_memory_engine_after_a_crash_is_in_an_allowed_state(
        ops in prop::collection::vec(crash_op(), 1..20),
        choices in prop::collection::vec(any::<u64>(), 3),
    ) {
        let disk = MemoryDisk::new();
        let engine = MemoryEngine::open(&disk);
        let mut written: Vec<(Batch, Durability)> = Vec::new();
        let (mut flushed, mut synced) = (0, 0);
        for op in &ops {
            match op {
                Op::Write(changes, durability) => {
                    let batch = batch_of(changes);
                    engine.write(&batch, *durability).unwrap();
                    written.push((batch, *durability));
                }
                Op::Flush => { engine.flush().unwrap(); (flushed, synced) = (written.len(), written.len()); }
                _ => { engine.sync().unwrap(); synced = written.len(); }
            }
        }
        let mut choices = choices.into_iter();
        disk.crash(&mut |bound| choices.next().unwrap_or(0) % bound);
        prop_assert!(engine.write(&Batch::new(), Durability::Logged).is_err(), "the old handle is dead");
        let found = all_entries(&MemoryEngine::open(&disk));
        let allowed = (flushed..=written.len()).any(|flush_cut| {
            (synced.max(flush_cut)..=written.len()).any(|log_cut| found == state_at(&written, flush_cut, log_cut))
        });
        prop_assert!(allowed);
    }
}

fn crash_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (prop::collection::vec(change(), 1..4), durability()).prop_map(|(changes, how)| Op::Write(changes, how)),
        1 => Just(Op::Sync),
        1 => Just(Op::Flush),
    ]
}

fn state_at(written: &[(Batch, Durability)], flush_cut: usize, log_cut: usize) -> Vec<(Family, Bytes, Bytes)> {
    let engine = MemoryEngine::open(&MemoryDisk::new());
    for (number, (batch, durability)) in written[..log_cut].iter().enumerate() {
        if number < flush_cut || *durability == Durability::Logged {
            engine.write(batch, Durability::Logged).unwrap();
        }
    }
    all_entries(&engine)
}
