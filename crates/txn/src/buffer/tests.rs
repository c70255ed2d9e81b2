//! The buffer against a simple model: a list of all writes, searched from the end.

use proptest::prelude::*;

use super::*;
use crate::MemoryScratch;

#[derive(Clone, Debug)]
enum Act {
    Put {
        key: u8,
        value: Option<u8>,
    },
    NextStatement,
    /// Back to the sequence so many before the running one.
    Undo {
        back: u64,
    },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => (0..24_u8, proptest::option::weighted(0.8, any::<u8>())).prop_map(|(key, value)| Act::Put { key, value }),
        3 => Just(Act::NextStatement),
        1 => (0..4_u64).prop_map(|back| Act::Undo { back }),
    ];
    proptest::collection::vec(act, 0..120)
}

fn key(number: u8) -> Key {
    Key::from(vec![b'k', number])
}

fn value(number: u8) -> Bytes {
    Bytes::from(vec![number; 3 + usize::from(number)])
}

/// Every write in order: sequence, key, value.
type Model = Vec<(Sequence, u8, Option<u8>)>;

fn model_get(model: &Model, number: u8, below: Sequence) -> Option<Option<Bytes>> {
    let newest = model.iter().rev().find(|(sequence, key, _)| *key == number && *sequence < below);
    newest.map(|(_, _, written)| written.map(value))
}

fn check(buffer: &Buffer, model: &Model, below: Sequence, span: &Span) -> Result<(), TestCaseError> {
    let expected: Vec<_> = (0..24)
        .filter(|number| span.contains(&key(*number)))
        .filter_map(|number| Some((key(number), model_get(model, number, below)?)))
        .collect();
    for reverse in [false, true] {
        for rows_max in [1, 3, 100] {
            let (mut found, mut rest) = (Vec::new(), Some(span.clone()));
            while let Some(span) = rest.take() {
                let page = buffer.page(&span, reverse, below, rows_max).unwrap();
                prop_assert!(page.entries.len() <= rows_max);
                found.extend(page.entries);
                rest = page.rest;
            }
            if reverse {
                found.reverse();
            }
            prop_assert_eq!(&found, &expected);
        }
    }
    for number in 0..24 {
        prop_assert_eq!(buffer.get(&key(number), below).unwrap(), model_get(model, number, below));
    }
    if !expected.is_empty() {
        prop_assert!(buffer.may_show(span, below));
    }
    Ok(())
}

proptest! {
    #[test]
    fn reads_as_a_list_of_writes_would(acts in acts(), limit in prop_oneof![Just(1 << 20), 250..3000_usize], from in 0..24_u8, to in 0..26_u8) {
        let mut buffer = Buffer::new(limit, Some(Arc::new(MemoryScratch::default())), None);
        let mut model = Model::new();
        let mut now = Sequence(1);
        for act in acts {
            match act {
                Act::Put { key: number, value: written } => {
                    let write = Write { value: written.map(value), changes_key: false, must_be_absent: false };
                    // Everything may be gone back to: nothing is dropped.
                    buffer.put(key(number), write, now, Sequence(0)).unwrap();
                    model.push((now, number, written));
                }
                Act::NextStatement => now = Sequence(now.0 + 1),
                Act::Undo { back } => {
                    let from = Sequence(now.0.saturating_sub(back).max(1));
                    buffer.undo(from, now);
                    model.retain(|(sequence, _, _)| *sequence < from);
                    now = Sequence(now.0 + 1);
                }
            }
        }
        let span = Span::new(key(from.min(to)), key(from.max(to)));
        for below in [Sequence::MAX, now, Sequence(now.0.saturating_sub(2))] {
            check(&buffer, &model, below, &Span::all())?;
            check(&buffer, &model, below, &span)?;
        }
        let mut batch = Batch::new(usize::MAX);
        let rest = buffer.fill_batch(&Span::all(), &mut batch, |key, write| (key, write)).unwrap();
        let batch = batch.writes;
        prop_assert_eq!(rest, None);
        let newest: Vec<_> = batch.into_iter().map(|(key, write)| (key, write.value)).collect();
        prop_assert_eq!(newest, buffer.page(&Span::all(), false, Sequence::MAX, usize::MAX).unwrap().entries);
    }
}

fn write(value: Option<&'static str>, changes_key: bool, must_be_absent: bool) -> Write {
    Write { value: value.map(Bytes::from), changes_key, must_be_absent }
}

/// What an earlier write asked of the commit is not forgotten when a later one hides it, in memory or in a run.
#[test]
fn one_write_stands_for_all() {
    for limit in [1 << 20, 1] {
        let mut buffer = Buffer::new(limit, Some(Arc::new(MemoryScratch::default())), None);
        let k = Key::from("k");
        buffer.put(k.clone(), write(Some("new"), false, true), Sequence(1), Sequence(0)).unwrap();
        let twice = buffer.put(k.clone(), write(Some("again"), false, true), Sequence(2), Sequence(0));
        assert_eq!(twice, Err(TxnError::KeyExists { key: k.clone() }));
        buffer.put(k.clone(), write(None, true, false), Sequence(3), Sequence(0)).unwrap();
        buffer.put(k.clone(), write(Some("back"), false, true), Sequence(4), Sequence(0)).unwrap();
        let mut batch = Batch::new(usize::MAX);
        buffer.fill_batch(&Span::all(), &mut batch, |key, write| (key, write)).unwrap();
        let batch = batch.writes;
        assert_eq!(batch, [(k, write(Some("back"), true, true))]);
    }
}

#[test]
fn versions_that_nobody_can_see_are_dropped() {
    let mut buffer = Buffer::new(1 << 20, None, None);
    for statement in 1..1000 {
        let text = Bytes::from(statement.to_string());
        let write = Write { value: Some(text), changes_key: false, must_be_absent: false };
        buffer.put(Key::from("counter"), write, Sequence(statement), Sequence(statement)).unwrap();
    }
    assert!(buffer.keys[&Key::from("counter")].len() <= 3);
    assert_eq!(buffer.get(b"counter", Sequence(999)).unwrap(), Some(Some(Bytes::from("998"))));
}

#[test]
fn without_room_and_without_scratch_it_says_so() {
    let budget = Budget::new(1 << 20);
    let fill = |buffer: &mut Buffer| -> TxnResult<u32> {
        for number in 0..20_000_u32 {
            let key = Key::from(number.to_be_bytes().to_vec());
            buffer.put(key, write(Some("some value"), false, false), Sequence(1), Sequence(0))?;
        }
        Ok(20_000)
    };
    let mut alone = Buffer::new(1 << 30, None, Some(&budget));
    assert!(matches!(fill(&mut alone), Err(TxnError::OutOfMemory { .. })));
    assert!(budget.used_bytes() <= budget.limit_bytes());
    // With a place to write to, a full budget spills; the other buffer keeps what it has.
    let mut spills = Buffer::new(1 << 30, Some(Arc::new(MemoryScratch::default())), Some(&budget));
    drop(alone);
    assert_eq!(fill(&mut spills), Ok(20_000));
    assert!(!spills.runs.is_empty() && spills.bytes() < 1 << 20);
}
