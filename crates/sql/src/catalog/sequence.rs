//! A sequence's value: one key under the sequence's storage id, advanced outside transactions.
//!
//! A value that is not there means that nothing was drawn yet. `nextval` reads the state, [`advances`](SequenceState::advance)
//! it by as many numbers as it wants and writes it back, in a transaction of its own.

use bytes::Bytes;
use keyspace::encoding::{put_int, put_uint, take_int};
use keyspace::{IndexId, Key, TableId};

use super::SequenceDescriptor;
use crate::{SqlError, SqlResult};

const FORMAT: u8 = 1;

/// Where the sequence's value is.
pub fn value_key(storage: TableId) -> Key {
    let mut key = Vec::with_capacity(12);
    put_uint(&mut key, storage.0);
    put_uint(&mut key, IndexId::PRIMARY.0);
    put_uint(&mut key, 0);
    key.into()
}

/// What `SELECT last_value, is_called FROM sequence` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceState {
    pub last_value: i64,
    /// `last_value` has been drawn; else it is the next one.
    pub is_called: bool,
}

impl SequenceState {
    /// Before the first draw.
    pub fn initial(sequence: &SequenceDescriptor) -> SequenceState {
        SequenceState { last_value: sequence.start, is_called: false }
    }

    pub fn encode(self) -> Bytes {
        let mut out = vec![FORMAT, u8::from(self.is_called)];
        put_int(&mut out, self.last_value);
        out.into()
    }

    /// `None`: malformed.
    pub fn decode(bytes: &[u8]) -> Option<SequenceState> {
        let [FORMAT, is_called @ (0 | 1), rest @ ..] = bytes else { return None };
        let mut rest = rest;
        let last_value = take_int(&mut rest)?;
        rest.is_empty().then_some(SequenceState { last_value, is_called: *is_called == 1 })
    }

    /// Draws up to `count` numbers: the first one and how many there are. Fewer only before the sequence's end; 2200H
    /// when not even one is left.
    pub fn advance(&mut self, name: &str, sequence: &SequenceDescriptor, count: u64) -> SqlResult<(i64, u64)> {
        let first = if self.is_called { self.following(name, sequence)? } else { self.last_value };
        let limit = if sequence.increment > 0 { sequence.max } else { sequence.min };
        let room = i128::from(limit) - i128::from(first);
        let steps_max = (room / i128::from(sequence.increment)).clamp(0, i128::from(i64::MAX)) as u64;
        let steps = count.saturating_sub(1).min(steps_max);
        let last = i128::from(first) + i128::from(steps) * i128::from(sequence.increment);
        self.last_value = i64::try_from(last).expect("it lies between the sequence's bounds");
        self.is_called = true;
        Ok((first, steps + 1))
    }

    fn following(self, name: &str, sequence: &SequenceDescriptor) -> SqlResult<i64> {
        let next = self.last_value.checked_add(sequence.increment);
        match next.filter(|next| (sequence.min..=sequence.max).contains(next)) {
            Some(next) => Ok(next),
            None if sequence.cycle && sequence.increment > 0 => Ok(sequence.min),
            None if sequence.cycle => Ok(sequence.max),
            None => {
                let (which, bound) =
                    if sequence.increment > 0 { ("maximum", sequence.max) } else { ("minimum", sequence.min) };
                let message = format!("nextval: reached {which} value of sequence \"{name}\" ({bound})");
                Err(SqlError::new("2200H", message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expr::SqlType;

    use super::*;

    fn sequence(increment: i64, min: i64, max: i64, cycle: bool) -> SequenceDescriptor {
        let start = if increment > 0 { min } else { max };
        let (storage, ty) = (TableId(1000), SqlType::INT8);
        SequenceDescriptor { storage, ty, start, increment, min, max, cache: 1, cycle, owned_by: None }
    }

    #[test]
    fn draws_to_the_end_and_no_further() {
        let descriptor = sequence(1, 1, 3, false);
        let mut state = SequenceState::initial(&descriptor);
        assert_eq!(state.advance("s", &descriptor, 1), Ok((1, 1)));
        assert_eq!(state.advance("s", &descriptor, 5), Ok((2, 2)), "two are left");
        assert_eq!(state.advance("s", &descriptor, 1).unwrap_err().state(), "2200H");
        assert_eq!(state, SequenceState { last_value: 3, is_called: true });
    }

    #[test]
    fn cycles_and_descends() {
        let descriptor = sequence(-2, 1, 6, true);
        let mut state = SequenceState::initial(&descriptor);
        let drawn: Vec<i64> = (0..5).map(|_| state.advance("s", &descriptor, 1).unwrap().0).collect();
        assert_eq!(drawn, [6, 4, 2, 6, 4]);
    }

    #[test]
    fn the_edges_of_the_integers() {
        let descriptor = sequence(i64::MAX, i64::MIN, i64::MAX, false);
        let mut state = SequenceState::initial(&descriptor);
        assert_eq!(state.advance("s", &descriptor, 3), Ok((i64::MIN, 3)));
        assert!(state.advance("s", &descriptor, 1).is_err());
        assert_eq!(SequenceState::decode(&state.encode()), Some(state));
        assert_eq!(SequenceState::decode(&state.encode()[..3]), None);
    }
}
