//! What one look-up costs: `cargo run --release -p storage --example point_reads`. Design section 11 wants a
//! present key at about 4 µs with a snapshot of its own, and an absent one well below.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a measurement reads the clock and prints")]

use std::time::Instant;

use storage::{Batch, Durability, Engine, Family, RocksEngine, RocksOptions, StoreDirectory};

const KEYS: u64 = 1_000_000;
const READS: u64 = 300_000;

fn main() {
    let path = std::env::temp_dir().join(format!("cairn-point-reads-{}", std::process::id()));
    let mut directory = StoreDirectory::open(&path).expect("a temporary directory");
    directory.set_identity(storage::Identity { token: 1, member: None }).expect("a temporary directory");
    let options = RocksOptions { cache_bytes: 256 << 20, memtable_bytes: 256 << 20, ..RocksOptions::default() };
    let engine = RocksEngine::open(directory, &options).expect("a new store");
    for chunk in 0..KEYS / 1000 {
        let mut batch = Batch::new();
        for number in chunk * 1000..(chunk + 1) * 1000 {
            batch.put(Family::Data, data_key(number), vec![7; 100]);
        }
        engine.write(&batch, Durability::Unlogged).expect("writes to a new store succeed");
    }
    report("memtable", &engine);
    engine.flush().expect("a flush of a new store succeeds");
    report("one file, warming the cache", &engine);
    report("one file, cached", &engine);
    drop(engine);
    std::fs::remove_dir_all(&path).expect("the temporary directory is ours");
}

fn report(state: &str, engine: &RocksEngine) {
    println!("{state}");
    measure("  present, a snapshot each", |number| {
        engine.snapshot().seek_suffix(&key(number), [0; 8]).unwrap().is_some()
    });
    measure("  present, the state now  ", |number| engine.seek_suffix(&key(number), [0; 8]).unwrap().is_some());
    let snapshot = engine.snapshot();
    measure("  present, one snapshot   ", |number| snapshot.seek_suffix(&key(number), [0; 8]).unwrap().is_some());
    measure("  absent, one snapshot    ", |number| {
        snapshot.seek_suffix(&key(number + KEYS), [0; 8]).unwrap().is_none()
    });
    measure("  absent intent           ", |number| snapshot.get(Family::Intents, &key(number)).unwrap().is_none());
    measure("  a snapshot alone        ", |_| {
        drop(engine.snapshot());
        true
    });
}

fn measure(what: &str, read: impl Fn(u64) -> bool) {
    let begin = Instant::now();
    let mut number = 1_u64;
    for _ in 0..READS {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        assert!(read((number >> 20) % KEYS));
    }
    println!("{what} {:6.2} µs", begin.elapsed().as_secs_f64() * 1e6 / READS as f64);
}

fn key(number: u64) -> Vec<u8> {
    [&[8, 1, 1][..], &number.to_be_bytes()].concat()
}

fn data_key(number: u64) -> Vec<u8> {
    [&key(number)[..], &(!1000_u64).to_be_bytes()].concat()
}
