//! Random histories against a model that keeps every version in a list.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use keyspace::{Key, Span, Timestamp, TxnId};
use mvcc::{Cursor, Direction, Error, Intent, Limits, Record, Visit};
use proptest::prelude::*;
use storage::{Batch, Durability, Engine, Family, MemoryDisk, MemoryEngine};

/// By key, then by timestamp; `None` is a deletion.
type Model = BTreeMap<Key, BTreeMap<u64, Option<u8>>>;
type Row = (Key, u64, u8);

/// Prefix-free, with the bytes 0 and 255 where they hurt.
const KEYS: [&[u8]; 7] = [&[1, 0], &[1, 1, 0], &[1, 1, 0xff], &[1, 0xff], &[2, 0, 0], &[2, 0, 1], &[3]];

fn key() -> impl Strategy<Value = Key> {
    prop::sample::select(KEYS.to_vec()).prop_map(Key::from)
}

/// What may bound a span: keys, successors, prefixes and their ends.
fn bound() -> impl Strategy<Value = Key> {
    let prefix = prop::sample::select(vec![&[1][..], &[1, 1], &[2], &[2, 0]]).prop_map(Key::from);
    prop_oneof![
        3 => key(),
        3 => key().prop_map(|key| key.successor()),
        1 => key().prop_map(|key| key.prefix_end()),
        1 => prefix.clone(),
        1 => prefix.prop_map(|prefix| prefix.prefix_end()),
        1 => Just(Key::MIN),
        1 => Just(Key::MAX),
    ]
}

fn span() -> impl Strategy<Value = Span> {
    (bound(), bound()).prop_map(|(a, b)| Span::new(a.clone().min(b.clone()), a.max(b)))
}

/// Some keys get many versions, so that scans seek instead of stepping.
fn history() -> impl Strategy<Value = Model> {
    let versions = prop_oneof![
        prop::collection::btree_map(1..40_u64, prop::option::weighted(0.7, any::<u8>()), 0..4),
        prop::collection::btree_map(1..40_u64, prop::option::weighted(0.7, any::<u8>()), 0..35),
    ];
    prop::collection::btree_map(key(), versions, 0..KEYS.len())
}

fn engine_of(model: &Model) -> MemoryEngine {
    let engine = MemoryEngine::open(&MemoryDisk::new());
    let mut batch = Batch::new();
    for (key, versions) in model {
        for (at, value) in versions {
            let value = value.map(|byte| [byte]);
            let value = value.as_ref().map(|value| &value[..]);
            mvcc::put_version(&mut batch, key, Timestamp(*at), TxnId(*at), value, false);
        }
    }
    engine.write(&batch, Durability::Logged).unwrap();
    engine
}

fn visible(model: &Model, span: &Span, at: u64) -> Vec<Row> {
    let rows = model.iter().filter(|(key, _)| span.contains(key)).filter_map(|(key, versions)| {
        let (at, value) = versions.range(..=at).next_back()?;
        Some((key.clone(), *at, (*value)?))
    });
    rows.collect()
}

fn scan(engine: &MemoryEngine, span: &Span, at: u64, direction: Direction, rows: u64) -> (Vec<Row>, Option<Span>) {
    let mut found = Vec::new();
    let rest =
        mvcc::scan::<Error>(&*engine.snapshot(), span, Timestamp(at), direction, Limits { rows, bytes: 0 }, |row| {
            found.push((Key::from(row.key), row.at.0, row.value[0]));
            Ok(Visit::Take { bytes: 1 })
        });
    (found, rest.unwrap())
}

proptest! {
    #[test]
    fn reads_agree_with_the_model(model in history(), span in span(), at in 0..42_u64, page in 1..4_u64) {
        let engine = engine_of(&model);
        let rows = visible(&model, &span, at);
        prop_assert_eq!(&scan(&engine, &span, at, Direction::Forward, 0).0, &rows);
        let reversed: Vec<_> = rows.iter().rev().cloned().collect();
        prop_assert_eq!(&scan(&engine, &span, at, Direction::Reverse, 0).0, &reversed);
        for (direction, expected) in [(Direction::Forward, &rows), (Direction::Reverse, &reversed)] {
            let (mut paged, mut rest) = (Vec::new(), Some(span.clone()));
            while let Some(span) = rest {
                let (rows, next) = scan(&engine, &span, at, direction, page);
                paged.extend(rows);
                rest = next;
            }
            prop_assert_eq!(&paged, expected);
        }
        for key in KEYS.map(Key::from) {
            let found = mvcc::get(&*engine.snapshot(), &key, Timestamp(at)).unwrap();
            let expected = visible(&model, &Span::point(key.clone()), at).pop();
            prop_assert_eq!(found.map(|found| (key, found.at.0, found.value[0])), expected);
        }
    }

    #[test]
    fn changes_agree_with_the_model(model in history(), span in span(), from in 0..42_u64, len in 0..10_u64) {
        let to = from + len;
        let mut expected: BTreeMap<Key, u64> = BTreeMap::new();
        for (key, versions) in model.iter().filter(|(key, _)| span.contains(key)) {
            if let Some((at, _)) = versions.range(from + 1..=to.max(from + 1)).next_back().filter(|(at, _)| **at <= to) {
                expected.insert(key.clone(), *at);
            }
        }
        let engine = engine_of(&model);
        let found = mvcc::changed_in(&*engine.snapshot(), &span, Timestamp(from), Timestamp(to)).unwrap();
        prop_assert_eq!(found.map(|(key, head)| (key, head.at.0)), expected.into_iter().next());
    }

    #[test]
    fn garbage_is_what_nobody_above_the_floor_sees(model in history(), floor in 0..42_u64, max in 1..6_u64, visited in 1..9_u64) {
        let engine = engine_of(&model);
        let checksum = |engine: &MemoryEngine| mvcc::checksum(&*engine.snapshot(), &Span::all(), Timestamp(floor)).unwrap();
        let before = checksum(&engine);
        let mut span = Some(Span::all());
        while let Some(todo) = span {
            let collected = mvcc::collect_versions(&*engine.snapshot(), &todo, Timestamp(floor), max, visited).unwrap();
            engine.write(&collected.batch, Durability::Logged).unwrap();
            span = collected.resume;
            // After every chunk, not only at the end, readers above the floor see what they saw.
            for at in floor..42 {
                prop_assert_eq!(scan(&engine, &Span::all(), at, Direction::Forward, 0).0, visible(&model, &Span::all(), at));
            }
        }
        prop_assert_eq!(before, checksum(&engine), "the checksum does not see garbage");
        let left = engine.snapshot();
        for (key, versions) in &model {
            let live_below = versions.range(..=floor).next_back().is_some_and(|(_, value)| value.is_some());
            let expected = versions.range(floor + 1..).count() + usize::from(live_below);
            prop_assert_eq!(versions.keys().filter(|at| written(&*left, key, **at)).count(), expected);
        }
    }

    #[test]
    fn a_copy_is_the_span_and_nothing_else(model in history(), span in range_span(), bytes in 1..200_usize) {
        let engine = engine_of(&model);
        let snapshot = engine.snapshot();
        let target = engine_of(&model); // what was there before is cleared
        let mut batch = Batch::new();
        mvcc::clear_span(&span, &mut batch);
        target.write(&batch, Durability::Logged).unwrap();
        for at in 0..42 {
            prop_assert_eq!(scan(&target, &span, at, Direction::Forward, 0).0, Vec::new());
        }
        let mut cursor = Some(Cursor::start(&span));
        while let Some(from) = cursor {
            let (chunk, next) = mvcc::export_chunk(&*snapshot, &span, &from, bytes).unwrap();
            let mut batch = Batch::new();
            mvcc::import_chunk(&chunk, &span, &mut batch).unwrap();
            target.write(&batch, Durability::Logged).unwrap();
            let mut bad = chunk.to_vec();
            let last = bad.len() - 1;
            bad[last] ^= 1;
            prop_assert!(matches!(mvcc::import_chunk(&bad, &span, &mut Batch::new()), Err(Error::Corrupt(_))));
            cursor = next;
        }
        let checksum = |engine: &MemoryEngine| mvcc::checksum(&*engine.snapshot(), &Span::all(), Timestamp::ZERO).unwrap();
        prop_assert_eq!(checksum(&engine), checksum(&target));
    }

    #[test]
    fn a_split_key_leaves_keys_on_both_sides(model in history(), span in span()) {
        let keys: BTreeSet<&Key> = model.iter().filter(|(key, versions)| span.contains(key) && !versions.is_empty()).map(|(key, _)| key).collect();
        let found = mvcc::split_key(&*engine_of(&model).snapshot(), &span).unwrap();
        match found {
            Some(key) => prop_assert!(keys.contains(&key) && keys.first() != Some(&&key)),
            None => prop_assert!(keys.len() < 2),
        }
    }

    #[test]
    fn garbage_bytes_are_errors_and_never_panics(bytes: Vec<u8>, format in 0..3_u8) {
        let bytes = [&[format], &bytes[..]].concat();
        let _ = Intent::decode(&bytes);
        let _ = Record::decode(&bytes);
        let _ = mvcc::import_chunk(&bytes, &Span::all(), &mut Batch::new());
        let engine = MemoryEngine::open(&MemoryDisk::new());
        let mut batch = Batch::new();
        batch.put(Family::Data, [&[3][..], &(!5_u64).to_be_bytes()].concat(), bytes.clone());
        batch.put(Family::Data, [1, 2].to_vec(), bytes);
        engine.write(&batch, Durability::Logged).unwrap();
        let snapshot = engine.snapshot();
        let _ = mvcc::get(&*snapshot, &[3], Timestamp(9));
        let short = mvcc::changed_in(&*snapshot, &Span::all(), Timestamp(1), Timestamp(9));
        prop_assert!(matches!(short, Err(Error::Corrupt(_))), "a key too short for a timestamp: {:?}", short);
    }

    #[test]
    fn intents_come_back_as_they_were(txn: u64, at: u64, attempt: u32, sequence: u32, anchor: Vec<u8>, value: Option<Vec<u8>>, changes_key: bool) {
        let intent = Intent { txn: TxnId(txn), at: Timestamp(at), anchor: anchor.into(), attempt, sequence, value: value.map(Bytes::from), changes_key };
        let stored = intent.encode();
        prop_assert_eq!(Intent::decode(&stored).unwrap(), intent);
        prop_assert!(Intent::decode(&stored[..20]).is_err());
    }
}

fn written(snapshot: &dyn storage::Snapshot, key: &Key, at: u64) -> bool {
    mvcc::version_by_writer(snapshot, key, TxnId(at)).unwrap().is_some()
}

/// Ranges are bounded by keys and prefixes, not by successors.
fn range_span() -> impl Strategy<Value = Span> {
    let bound = prop_oneof![4 => key(), 1 => Just(Key::MIN), 1 => Just(Key::MAX), 1 => Just(Key::from(&[2][..]))];
    (bound.clone(), bound).prop_map(|(a, b)| Span::new(a.clone().min(b.clone()), a.max(b)))
}
