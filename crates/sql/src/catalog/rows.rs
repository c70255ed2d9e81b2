//! Where the catalog's rows are: tables of the system range, each with one index.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | 1 version | `0` | commit number of the last change, 8 bytes big-endian |
//! | 2 descriptor | kind, oid | the descriptor (format.rs) |
//! | 3 name | class, parent, name | oid: what makes names unique, and what two creators of one name wait for each other on |
//! | 4 dropped | storage id; index id, if it is only that | what is to be cleared once the garbage floor is above the row's own number (rule 35) |
//! | 5 setting | name | a cluster setting's text |
//! | 6 advisory | database, space, number | the holders of an advisory lock (session/advisory/record.rs) |
//! | 7 ahead | 0, as in 4 | rows were written there ahead of a commit |
//! | | 1, as in 4 | and that commit is done, or the rows are cleared; without it nobody will ever see them |
//! | 8 table lock | oid | never a value: what a table's lock queue hangs on (session/table_locks) |
//!
//! Lower numbers than 100 are the catalog's; `placement` keeps its tables from 100 on.

use bytes::Bytes;
use expr::Oid;
use keyspace::encoding::{put_bytes, put_uint, take_bytes, take_uint};
use keyspace::{IndexId, Key, Span, TableId, index_span};

use txn::AheadRows;

use super::DescriptorKind;

const DESCRIPTOR: TableId = TableId(2);
const NAME: TableId = TableId(3);
const DROPPED: TableId = TableId(4);
const SETTING: TableId = TableId(5);
const AHEAD: TableId = TableId(7);
const TABLE_LOCK: TableId = TableId(8);

/// Kinds of names; each has a space of its own below its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameClass {
    /// Parent: none.
    Database = 1,
    /// Parent: the database.
    Schema = 2,
    /// Tables, views, sequences and indexes. Parent: the schema.
    Relation = 3,
    /// Parent: none.
    Role = 4,
    /// Parent: the database.
    Extension = 5,
}

fn prefix(table: TableId) -> Vec<u8> {
    let mut key = Vec::with_capacity(32);
    put_uint(&mut key, table.0);
    put_uint(&mut key, IndexId::PRIMARY.0);
    key
}

pub fn descriptor_key(kind: DescriptorKind, oid: Oid) -> Key {
    let mut key = prefix(DESCRIPTOR);
    put_uint(&mut key, kind as u64);
    put_uint(&mut key, u64::from(oid.0));
    key.into()
}

pub fn table_lock_key(table: Oid) -> Key {
    let mut key = prefix(TABLE_LOCK);
    put_uint(&mut key, u64::from(table.0));
    key.into()
}

/// What [`table_lock_key`] put in.
pub fn parse_table_lock_key(key: &[u8]) -> Option<Oid> {
    let mut rest = key.strip_prefix(&prefix(TABLE_LOCK)[..])?;
    let table = Oid(take_uint(&mut rest)?.try_into().ok()?);
    rest.is_empty().then_some(table)
}

/// All descriptors, what contains before what is contained.
pub fn descriptor_span() -> Span {
    index_span(DESCRIPTOR, IndexId::PRIMARY)
}

/// What [`descriptor_key`] put in.
pub fn parse_descriptor_key(key: &[u8]) -> Option<(DescriptorKind, Oid)> {
    let mut rest = key.strip_prefix(&prefix(DESCRIPTOR)[..])?;
    let kind = DescriptorKind::from_code(take_uint(&mut rest)?)?;
    let oid = Oid(take_uint(&mut rest)?.try_into().ok()?);
    rest.is_empty().then_some((kind, oid))
}

pub fn name_key(class: NameClass, parent: Oid, name: &str) -> Key {
    let mut key = prefix(NAME);
    put_uint(&mut key, class as u64);
    put_uint(&mut key, u64::from(parent.0));
    put_bytes(&mut key, name.as_bytes());
    key.into()
}

pub fn name_value(oid: Oid) -> Bytes {
    let mut value = vec![FORMAT];
    put_uint(&mut value, u64::from(oid.0));
    value.into()
}

pub fn parse_name_value(value: &[u8]) -> Option<Oid> {
    let mut rest = value.strip_prefix(&[FORMAT])?;
    let oid = Oid(take_uint(&mut rest)?.try_into().ok()?);
    rest.is_empty().then_some(oid)
}

pub fn dropped_key(storage: TableId, index: Option<IndexId>) -> Key {
    let mut key = prefix(DROPPED);
    put_uint(&mut key, storage.0);
    if let Some(index) = index {
        put_uint(&mut key, index.0);
    }
    key.into()
}

pub fn dropped_span() -> Span {
    index_span(DROPPED, IndexId::PRIMARY)
}

pub fn dropped_value() -> Bytes {
    Bytes::from_static(&[FORMAT])
}

/// A table's storage, or one index in it.
pub fn parse_dropped_key(key: &[u8]) -> Option<(TableId, Option<IndexId>)> {
    let mut rest = key.strip_prefix(&prefix(DROPPED)[..])?;
    let storage = TableId(take_uint(&mut rest)?);
    let index = if rest.is_empty() { None } else { Some(IndexId(take_uint(&mut rest)?)) };
    rest.is_empty().then_some((storage, index))
}

/// See [`txn::Transaction::own`].
pub fn ahead_rows(storage: TableId, index: Option<IndexId>) -> AheadRows {
    let key = |kind| {
        let mut key = prefix(AHEAD);
        put_uint(&mut key, kind);
        put_uint(&mut key, storage.0);
        if let Some(index) = index {
            put_uint(&mut key, index.0);
        }
        Key::from(key)
    };
    let note = (key(0), Bytes::from_static(&[FORMAT]));
    AheadRows { note, claim: key(1), given_up: dropped_key(storage, index) }
}

pub fn setting_key(name: &str) -> Key {
    let mut key = prefix(SETTING);
    put_bytes(&mut key, name.as_bytes());
    key.into()
}

pub fn setting_span() -> Span {
    index_span(SETTING, IndexId::PRIMARY)
}

pub fn setting_value(text: &str) -> Bytes {
    let mut value = vec![FORMAT];
    value.extend_from_slice(text.as_bytes());
    value.into()
}

/// The name and the text of a setting's row.
pub fn parse_setting(key: &[u8], value: &[u8]) -> Option<(String, String)> {
    let mut rest = key.strip_prefix(&prefix(SETTING)[..])?;
    let name = String::from_utf8(take_bytes(&mut rest)?).ok()?;
    let text = std::str::from_utf8(value.strip_prefix(&[FORMAT])?).ok()?.to_owned();
    rest.is_empty().then_some((name, text))
}

/// The first byte of each small value.
const FORMAT: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_round_trip_and_lie_in_the_system_range() {
        let key = descriptor_key(DescriptorKind::Relation, Oid(16_384));
        assert_eq!(parse_descriptor_key(&key), Some((DescriptorKind::Relation, Oid(16_384))));
        assert!(descriptor_span().contains(&key));
        for index in [None, Some(IndexId(2000))] {
            assert_eq!(parse_dropped_key(&dropped_key(TableId(1000), index)), Some((TableId(1000), index)));
        }
        assert_eq!(parse_name_value(&name_value(Oid(10))), Some(Oid(10)));
        let setting = (setting_key("gc.ttl"), setting_value("10min"));
        assert_eq!(parse_setting(&setting.0, &setting.1), Some(("gc.ttl".into(), "10min".into())));
        for key in [key, name_key(NameClass::Role, Oid(0), "root"), setting.0, dropped_key(TableId(1), None)] {
            assert!(keyspace::system_span().contains(&key), "{key}");
        }
    }

    #[test]
    fn a_name_is_no_prefix_of_a_longer_one() {
        let (short, long) =
            (name_key(NameClass::Relation, Oid(2200), "t"), name_key(NameClass::Relation, Oid(2200), "t2"));
        assert!(!long.starts_with(&short));
    }
}
