//! Keys and half-open spans of keys.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

use crate::{IndexId, TableId, encoding};

/// An order-preserving byte string; cheap to clone.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub Bytes);

impl Key {
    /// Not above any key.
    pub const MIN: Key = Key(Bytes::new());
    /// Above every key (keys begin with a length byte of at most 8).
    pub const MAX: Key = Key(Bytes::from_static(&[0xff]));

    pub fn new(bytes: impl Into<Bytes>) -> Key {
        Key(bytes.into())
    }

    /// The first byte string after this one.
    pub fn successor(&self) -> Key {
        let mut bytes = Vec::with_capacity(self.0.len() + 1);
        bytes.extend_from_slice(&self.0);
        bytes.push(0);
        Key(bytes.into())
    }

    /// The first byte string after everything that starts with this one; `MAX` if there is none.
    pub fn prefix_end(&self) -> Key {
        let mut bytes = self.0.to_vec();
        while let Some(last) = bytes.pop() {
            if last < 0xff {
                bytes.push(last + 1);
                return Key(bytes.into());
            }
        }
        Key::MAX
    }
}

impl Deref for Key {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

// Bytes, Vec<u8> and [u8] order, compare and hash alike, as Borrow demands.
impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Key {
    fn from(bytes: Vec<u8>) -> Key {
        Key(bytes.into())
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Key {
        Key(Bytes::copy_from_slice(bytes))
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Key {
        Key(Bytes::copy_from_slice(text.as_bytes()))
    }
}

/// `/table/index/…` where the bytes have the layout of a key, else the printable bytes.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Key::MIN {
            return f.write_str("Min");
        }
        if *self == Key::MAX {
            return f.write_str("Max");
        }
        let mut rest = &self.0[..];
        if let Some(table) = encoding::take_uint(&mut rest) {
            write!(f, "/{table}")?;
            if let Some(index) = encoding::take_uint(&mut rest) {
                write!(f, "/{index}")?;
            }
            if !rest.is_empty() {
                f.write_str("/")?;
            }
        }
        write!(f, "{}", rest.escape_ascii())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The keys from `start` (in) to `end` (out).
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub start: Key,
    pub end: Key,
}

impl Span {
    pub fn new(start: Key, end: Key) -> Span {
        Span { start, end }
    }

    pub fn point(key: Key) -> Span {
        let end = key.successor();
        Span { start: key, end }
    }

    pub fn all() -> Span {
        Span { start: Key::MIN, end: Key::MAX }
    }

    pub fn prefix(prefix: Key) -> Span {
        let end = prefix.prefix_end();
        Span { start: prefix, end }
    }

    /// The one key of a span that was made by [`Span::point`].
    pub fn as_point(&self) -> Option<&Key> {
        let is_point =
            self.end.len() == self.start.len() + 1 && self.end.last() == Some(&0) && self.end.starts_with(&self.start);
        is_point.then_some(&self.start)
    }

    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        *self.start <= *key && *key < *self.end
    }

    pub fn contains_span(&self, other: &Span) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    pub fn overlaps(&self, other: &Span) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// What both have in common; may be empty.
    pub fn intersection(&self, other: &Span) -> Span {
        Span { start: self.start.clone().max(other.start.clone()), end: self.end.clone().min(other.end.clone()) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// All keys of a table.
pub fn table_span(table: TableId) -> Span {
    let mut prefix = Vec::with_capacity(9);
    encoding::put_uint(&mut prefix, table.0);
    Span::prefix(prefix.into())
}

/// All keys of one index of a table. `start` is the prefix of each of them.
pub fn index_span(table: TableId, index: IndexId) -> Span {
    let mut prefix = Vec::with_capacity(12);
    encoding::put_uint(&mut prefix, table.0);
    encoding::put_uint(&mut prefix, index.0);
    Span::prefix(prefix.into())
}

/// Where to cut between two rows that follow each other: before the table or the index that begins between them, if
/// one does, else before the second row. Never within a row's key.
pub fn row_boundary(before: &[u8], at: &[u8]) -> Key {
    let mut rest = at;
    for _table_then_index in 0..2 {
        if encoding::take_uint(&mut rest).is_none() {
            break;
        }
        let prefix = &at[..at.len() - rest.len()];
        if !before.starts_with(prefix) {
            return Key::from(prefix);
        }
    }
    Key::from(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_and_prefixes() {
        let key = Key::from("ab");
        assert!(Span::point(key.clone()).contains(b"ab"));
        assert!(!Span::point(key.clone()).contains(b"ab\0"));
        assert_eq!(Span::point(key.clone()).as_point(), Some(&key));
        assert_eq!(Span::prefix(key.clone()).as_point(), None);
        assert_eq!(Key::from(&[1, 0xff][..]).prefix_end(), Key::from(&[2][..]));
        assert_eq!(Key::from(&[0xff, 0xff][..]).prefix_end(), Key::MAX);
    }

    #[test]
    fn cuts_go_between_tables_indexes_and_rows() {
        let row = |table, index, rest: &[u8]| [&index_span(TableId(table), IndexId(index)).start[..], rest].concat();
        let cut = |before: &[u8], at: &[u8]| row_boundary(before, at).to_string();
        assert_eq!(cut(&row(1000, 1, b"a"), &row(1000, 1, b"b")), "/1000/1/b");
        assert_eq!(cut(&row(1000, 1, b"z"), &row(1000, 2, b"b")), "/1000/2");
        assert_eq!(cut(&row(1000, 1, b"z"), &row(1001, 1, b"b")), "/1001");
        assert_eq!(cut(b"k1", b"k2"), "k2", "keys of another layout are cut as they are");
    }

    #[test]
    fn tables_do_not_overlap() {
        for (a, b) in [(1, 2), (255, 256), (999, 1000), (65_535, 65_536)] {
            let (a, b) = (table_span(TableId(a)), table_span(TableId(b)));
            assert!(!a.overlaps(&b) && a.end <= b.start, "{a} {b}");
        }
    }
}
