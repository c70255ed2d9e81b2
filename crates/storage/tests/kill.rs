//! A process that writes to RocksDB is killed (`SIGKILL`), and the unsynced end of the write-ahead log may be
//! cut off on top, as a power failure would. What a new process finds must be a state that the contract
//! allows: everything up to some flush cut, the logged batches up to some log cut on top, and neither cut
//! before what was flushed or synced.
//!
//! The child is this test binary again ([`the_child`]); both sides derive the operations from a seed.

use std::fs;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use storage::{Batch, Durability, Engine, Family, MemoryDisk, MemoryEngine, RocksEngine, RocksOptions, StoreDirectory};

const CHILD: &str = "CAIRN_KILL_TEST";

enum Op {
    Write(Batch, Durability),
    Sync,
    Flush,
}

/// Few keys, so that writes meet; large values in some seeds, so that small memtables fill and RocksDB flushes
/// by itself.
fn operations(seed: u64) -> Vec<Op> {
    let mut rng = StdRng::seed_from_u64(seed);
    let len_max = if seed.is_multiple_of(2) { 40_000 } else { 100 };
    (0..rng.random_range(1..60)).map(|_| operation(&mut rng, len_max)).collect()
}

fn operation(rng: &mut StdRng, len_max: usize) -> Op {
    match rng.random_range(0..10) {
        0 => return Op::Sync,
        1 => return Op::Flush,
        _ => {}
    }
    let mut batch = Batch::new();
    for _ in 0..rng.random_range(1..4) {
        let family = [Family::Data, Family::Local, Family::Log][rng.random_range(0..3)];
        match rng.random_range(0..8) {
            0 => batch.delete(family, key(rng)),
            1 => batch.delete_range(family, key(rng), key(rng)),
            _ => batch.put(family, key(rng), vec![rng.random::<u8>(); rng.random_range(0..len_max)]),
        }
    }
    Op::Write(batch, if rng.random() { Durability::Logged } else { Durability::Unlogged })
}

fn key(rng: &mut StdRng) -> Bytes {
    Bytes::copy_from_slice(&[b"key-", &rng.random_range(0..6_u64).to_be_bytes()[..]].concat())
}

fn open(path: &Path) -> RocksEngine {
    let options = RocksOptions { cache_bytes: 1 << 20, memtable_bytes: 256 << 10, background_jobs: 1 };
    let mut directory = StoreDirectory::open(path).unwrap();
    directory.set_identity(storage::Identity { token: 1, member: None }).unwrap();
    RocksEngine::open(directory, &options).unwrap()
}

/// Not a test of its own: what the child process does. It writes down what it has synced, and dies.
#[test]
fn the_child() {
    let Ok(arguments) = std::env::var(CHILD) else { return };
    let (path, seed) = arguments.split_once(' ').unwrap();
    let path = Path::new(path);
    let engine = open(&path.join("store"));
    let mut progress = Progress::default();
    for op in operations(seed.parse().unwrap()) {
        match op {
            Op::Write(batch, durability) => {
                engine.write(&batch, durability).unwrap();
                progress.written += 1;
                continue;
            }
            Op::Sync => engine.sync().unwrap(),
            Op::Flush => {
                engine.flush().unwrap();
                progress.flushed = progress.written;
            }
        }
        progress.synced = progress.written;
        progress.log = newest_log(&path.join("store"));
    }
    let Progress { written, flushed, synced, log: (name, len) } = progress;
    fs::write(path.join("progress"), format!("{written} {flushed} {synced} {len} {name}")).unwrap();
    // SAFETY: kills this very process, which is the point.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
}

/// Counts of batches, and how long the write-ahead log was at the last sync.
#[derive(Default)]
struct Progress {
    written: usize,
    flushed: usize,
    synced: usize,
    log: (String, u64),
}

#[test]
fn what_a_killed_process_leaves_is_an_allowed_state() {
    // Seed 0 ends with a flush that meets another one under way, which RocksDB does not wait for by itself in most of its runs.
    for seed in (0..40).chain(std::iter::repeat_n(0, 10)) {
        let dir = tempfile::tempdir().unwrap();
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_child"])
            .env(CHILD, format!("{} {seed}", dir.path().display()))
            .output()
            .unwrap();
        assert!(status.status.code().is_none(), "seed {seed}: the child was not killed: {status:?}");
        let progress = read_progress(dir.path());
        let mut rng = StdRng::seed_from_u64(!seed);
        let is_cut = rng.random();
        if is_cut {
            cut_log(&dir.path().join("store"), &progress.log, &mut rng);
        }
        let found = all_entries(&open(&dir.path().join("store")));
        check(seed, &progress, &found, is_cut);
    }
}

fn check(seed: u64, progress: &Progress, found: &[(Family, Bytes, Bytes)], is_cut: bool) {
    let writes: Vec<_> = operations(seed)
        .into_iter()
        .filter_map(|op| if let Op::Write(batch, durability) = op { Some((batch, durability)) } else { None })
        .collect();
    assert_eq!(writes.len(), progress.written);
    let allowed = (progress.flushed..=writes.len()).any(|flush_cut| {
        (progress.synced.max(flush_cut)..=writes.len()).any(|log_cut| found == state_at(&writes, flush_cut, log_cut))
    });
    let Progress { written, flushed, synced, .. } = progress;
    let outline = |entries: &[(Family, Bytes, Bytes)]| {
        let entry = |(family, key, value): &(Family, Bytes, Bytes)| {
            format!("{family:?} {:?}: {} of {:?}", key.last(), value.len(), value.first())
        };
        entries.iter().map(entry).collect::<Vec<_>>()
    };
    assert!(
        allowed,
        "seed {seed}: {written} batches, {flushed} flushed, {synced} synced, the log {}, and this is no state between: \
         {:#?}\nall of it would be {:#?}",
        if is_cut { "cut" } else { "whole" },
        outline(found),
        outline(&state_at(&writes, writes.len(), writes.len())),
    );
}

fn state_at(writes: &[(Batch, Durability)], flush_cut: usize, log_cut: usize) -> Vec<(Family, Bytes, Bytes)> {
    let engine = MemoryEngine::open(&MemoryDisk::new());
    for (number, (batch, durability)) in writes[..log_cut].iter().enumerate() {
        if number < flush_cut || *durability == Durability::Logged {
            engine.write(batch, Durability::Logged).unwrap();
        }
    }
    all_entries(&engine)
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

fn read_progress(path: &Path) -> Progress {
    let text = fs::read_to_string(path.join("progress")).unwrap();
    let mut words = text.split(' ');
    let mut number = || words.next().unwrap().parse::<u64>().unwrap();
    let (written, flushed, synced, len) = (number() as usize, number() as usize, number() as usize, number());
    Progress { written, flushed, synced, log: (words.next().unwrap().to_owned(), len) }
}

/// Name and length of RocksDB's newest log file.
fn newest_log(store: &Path) -> (String, u64) {
    let logs = fs::read_dir(store.join("data")).unwrap().filter_map(|entry| {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        // One that is no longer needed may go at this moment.
        let len = entry.metadata().ok()?.len();
        name.ends_with(".log").then_some((name, len))
    });
    logs.max().unwrap()
}

/// Cuts the newest log somewhere between what was synced and its end.
fn cut_log(store: &Path, synced: &(String, u64), rng: &mut StdRng) {
    let (name, len) = newest_log(store);
    let safe = if synced.0 == name { synced.1 } else { 0 };
    let kept = rng.random_range(safe..=len);
    fs::File::options().write(true).open(store.join("data").join(name)).unwrap().set_len(kept).unwrap();
}

/// The system refuses to let the child's files grow beyond 1 MiB. The write that meets this fails, and so does
/// everything after it, though the small ones would succeed: they are never tried.
#[test]
fn the_first_failed_write_is_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_child_without_space", "--nocapture"])
        .env(CHILD, dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    // What was synced before is there for the next process.
    let engine = open(dir.path());
    assert_eq!(engine.get(Family::Local, b"synced").unwrap().unwrap(), "yes");
}

#[test]
fn the_child_without_space() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let engine = open(Path::new(&path));
    let mut small = Batch::new();
    small.put(Family::Local, &b"synced"[..], &b"yes"[..]);
    engine.write(&small, Durability::Logged).unwrap();
    engine.sync().unwrap();
    limit_file_size(1 << 20);
    let mut large = Batch::new();
    large.put(Family::Log, &b"large"[..], vec![7; 4 << 20]);
    let failed = engine.write(&large, Durability::Logged).and_then(|()| engine.sync()).unwrap_err();
    assert!(failed.is_fatal(), "{failed}");
    assert_eq!(engine.write(&small, Durability::Logged), Err(failed.clone()));
    assert_eq!(engine.sync(), Err(failed.clone()));
    assert_eq!(engine.flush(), Err(failed.clone()));
    assert_eq!(engine.get(Family::Local, b"synced"), Err(failed.clone()));
    assert_eq!(engine.snapshot().get(Family::Local, b"synced"), Err(failed));
}

fn limit_file_size(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: changes a limit and a signal disposition of this process; `limit` is valid for the call.
    let code = unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit)
    };
    assert_eq!(code, 0);
}
