//! Rows as values of the key-value store, and as results of push-down programs.
//!
//! ```text
//! row    = version byte 1, then for each column that is not in the key: uint(column id), value      ascending ids
//! tuple  = value value value …
//! ```
//!
//! A column that is not there has the catalog's default for rows older than it: a [`Layout`] knows it. Where columns come
//! from (the key or the value, and of which type) is said once by the layout; ranges that run programs know no schema.

use keyspace::encoding;

use crate::keys::{self, KeyColumn};
use crate::stored::{self, Malformed};
use crate::{Datum, Row};

const VERSION: u8 = 1;

/// Begins the value of a row; columns follow by [`put_column`], ids ascending.
pub fn start(out: &mut Vec<u8>) {
    out.push(VERSION);
}

/// NULL is stored too: only a column that did not exist when the row was written is absent.
pub fn put_column(out: &mut Vec<u8>, id: u32, value: &Datum) {
    stored::put_uint(out, u64::from(id));
    stored::put(out, value);
}

pub fn put_tuple(out: &mut Vec<u8>, values: &[Datum]) {
    values.iter().for_each(|value| stored::put(out, value));
}

pub fn take_tuple(mut bytes: &[u8], width: usize) -> Result<Row, Malformed> {
    let row = (0..width).map(|_| stored::take(&mut bytes)).collect::<Result<Row, Malformed>>()?;
    if bytes.is_empty() { Ok(row) } else { Err(Malformed) }
}

/// Where the columns of a scan are found in an index entry.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// Columns of the key, in its order, each with the place it has in the row (`None`: not wanted).
    pub key: Vec<(KeyColumn, Option<usize>)>,
    /// Columns of the value by ascending id: `(id, place in the row, what rows without it have)`.
    pub value: Vec<(u32, usize, Datum)>,
    /// Columns in the row.
    pub width: usize,
}

impl Layout {
    /// Fills `row` from an entry: `key` is the whole key, table and index included.
    pub fn decode(&self, key: &[u8], value: &[u8], row: &mut Row) -> Result<(), Malformed> {
        row.clear();
        row.resize(self.width, Datum::Null);
        if self.key.iter().any(|(_, place)| place.is_some()) {
            self.decode_key(key, row)?;
        }
        if !self.value.is_empty() {
            self.decode_value(value, row)?;
        }
        Ok(())
    }

    fn decode_key(&self, key: &[u8], row: &mut Row) -> Result<(), Malformed> {
        let mut rest = key;
        encoding::take_uint(&mut rest).ok_or(Malformed)?;
        encoding::take_uint(&mut rest).ok_or(Malformed)?;
        let last = self.key.iter().rposition(|(_, place)| place.is_some()).map_or(0, |last| last + 1);
        for (column, place) in &self.key[..last] {
            let value = keys::take(&mut rest, column).ok_or(Malformed)?;
            if let Some(place) = place {
                row[*place] = value;
            }
        }
        Ok(())
    }

    fn decode_value(&self, value: &[u8], row: &mut Row) -> Result<(), Malformed> {
        let (version, mut rest) = value.split_first().ok_or(Malformed)?;
        if *version != VERSION {
            return Err(Malformed);
        }
        let mut wanted = self.value.iter().peekable();
        while !rest.is_empty() {
            let id = stored::take_uint(&mut rest)?;
            // The row is older than these columns.
            while let Some((_, place, default)) = wanted.next_if(|(want, ..)| u64::from(*want) < id) {
                row[*place] = default.clone();
            }
            match wanted.peek() {
                None => return Ok(()),
                Some((want, place, _)) if u64::from(*want) == id => {
                    row[*place] = stored::take(&mut rest)?;
                    wanted.next();
                }
                Some(_) => stored::skip(&mut rest)?,
            }
        }
        for (_, place, default) in wanted {
            row[*place] = default.clone();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SqlType;

    fn layout(wanted: &[(u32, usize)]) -> Layout {
        let id = KeyColumn { ty: SqlType::INT4, descending: false, nulls_first: false };
        let value = wanted.iter().map(|(id, place)| (*id, *place, Datum::text("default"))).collect();
        Layout { key: vec![(id, Some(0))], value, width: 1 + wanted.len() }
    }

    fn entry() -> (Vec<u8>, Vec<u8>) {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        encoding::put_uint(&mut key, 1000);
        encoding::put_uint(&mut key, 1);
        encoding::put_int(&mut key, 42);
        start(&mut value);
        put_column(&mut value, 2, &Datum::text("two"));
        put_column(&mut value, 5, &Datum::Null);
        put_column(&mut value, 7, &Datum::Int8(7));
        (key, value)
    }

    fn decoded(wanted: &[(u32, usize)]) -> String {
        let (key, value) = entry();
        let mut row = Row::new();
        layout(wanted).decode(&key, &value, &mut row).unwrap();
        format!("{row:?}")
    }

    #[test]
    fn wanted_columns_are_found_and_missing_ones_have_defaults() {
        assert_eq!(decoded(&[]), "[Int4(42)]");
        assert_eq!(decoded(&[(7, 1)]), "[Int4(42), Int8(7)]");
        assert_eq!(decoded(&[(2, 2), (5, 1)]), r#"[Int4(42), Null, Text("two")]"#);
        assert_eq!(
            decoded(&[(1, 1), (6, 2), (9, 3)]),
            r#"[Int4(42), Text("default"), Text("default"), Text("default")]"#
        );
    }

    #[test]
    fn malformed_rows_are_errors() {
        let (key, value) = entry();
        let mut row = Row::new();
        for cut in 0..value.len() {
            // Cutting at a column's end gives a shorter row, everything else is found out.
            let _ = layout(&[(2, 1), (7, 2)]).decode(&key, &value[..cut], &mut row);
        }
        assert_eq!(layout(&[(2, 1)]).decode(&key, &[], &mut row), Err(Malformed));
        assert_eq!(layout(&[(2, 1)]).decode(&key, &[9], &mut row), Err(Malformed));
        assert_eq!(layout(&[(2, 1)]).decode(&key[..2], &value, &mut row), Err(Malformed));
    }
}
