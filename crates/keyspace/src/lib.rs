//! # Ids, timestamps, keys and spans
//!
//! A key is a byte string whose order is the order of what it stands for. All keys of user data and of
//! the catalog have one layout:
//!
//! ```text
//! uint(table) uint(index) column column …        table = storage id, never reused
//! ```
//!
//! `uint` is the length-prefixed big-endian form of [`encoding::put_uint`]; columns are encoded by `expr`.
//! Two properties hold for every key that the database stores, and other crates rely on them:
//!
//! * **Prefix-free**: no key is a proper prefix of another (each part says itself where it ends, and all
//!   keys of one index have the same number of parts). `mvcc` may thus append a timestamp to a key and
//!   keep all versions of it together.
//! * **Not empty**: the empty key is only ever a bound, the start of everything.

pub mod encoding;
mod ids;
mod key;
mod timestamp;

pub use ids::{Epoch, IndexId, NodeId, RangeId, ReplicaId, TableId};
pub use key::{Key, Span, index_span, row_boundary, table_span};
pub use timestamp::{Timestamp, TxnId};

/// Storage ids below this belong to the catalog and live in the system range, which is never split.
pub const FIRST_USER_TABLE: TableId = TableId(1000);

/// The range that holds the catalog, settings, node registry and the oracle's window.
pub const SYSTEM_RANGE: RangeId = RangeId(1);

/// The table whose only row is the catalog's version.
pub const CATALOG_VERSION_TABLE: TableId = TableId(1);

/// The key that every catalog change writes; its value is the change's commit number, 8 bytes big-endian.
pub fn catalog_version_key() -> Key {
    let mut key = Vec::with_capacity(5);
    encoding::put_uint(&mut key, CATALOG_VERSION_TABLE.0);
    encoding::put_uint(&mut key, IndexId::PRIMARY.0);
    encoding::put_uint(&mut key, 0);
    key.into()
}

/// Where the system range ends and user data begins.
pub fn system_span() -> Span {
    Span::new(Key::MIN, table_span(FIRST_USER_TABLE).start)
}
