//! Numbers with names, so that one kind cannot be passed for another.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $letter:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($letter, "{}"), self.0)
            }
        }
    };
}

id!(
    /// One life of one data directory. An empty directory gets a new number; numbers are never reused.
    NodeId, "n"
);
id!(
    /// A raft group. Never reused.
    RangeId, "r"
);
id!(
    /// One replica of one range: what the `raft` crate calls a peer. A replica that is removed and added
    /// again gets a new number, so that messages of its earlier life are recognised.
    ReplicaId, "p"
);
id!(
    /// A storage id: the first part of every key. Never reused; not PostgreSQL's OID.
    TableId, "t"
);
id!(
    /// An index within a table; 1 is the primary index.
    IndexId, "i"
);

impl IndexId {
    pub const PRIMARY: IndexId = IndexId(1);
}

/// The version of a range's descriptor. A request carries the one its sender knows and is refused under
/// any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// Raised by each change of membership.
    pub config: u64,
    /// Raised by each change of the span (split, merge).
    pub span: u64,
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.config, self.span)
    }
}
