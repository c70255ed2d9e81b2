//! The cluster's time: numbers handed out by the oracle.

use std::fmt;

/// 46 bits of Unix milliseconds, 18 bits of counter. Unique and strictly increasing across the cluster,
/// for ever. Only the oracle makes new ones; nobody computes "plus one" to get a commit timestamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    pub const COUNTER_BITS: u32 = 18;
    /// Before every number the oracle ever gives out.
    pub const ZERO: Timestamp = Timestamp(0);
    /// After every number the oracle ever gives out. A bound, never a time to read at.
    pub const MAX: Timestamp = Timestamp(u64::MAX);

    pub fn new(unix_ms: u64, counter: u32) -> Timestamp {
        assert!(unix_ms < 1 << (64 - Self::COUNTER_BITS), "milliseconds fit into 46 bits until the year 4199");
        assert!(counter < 1 << Self::COUNTER_BITS);
        Timestamp(unix_ms << Self::COUNTER_BITS | u64::from(counter))
    }

    pub fn unix_ms(self) -> u64 {
        self.0 >> Self::COUNTER_BITS
    }

    pub fn counter(self) -> u32 {
        (self.0 & ((1 << Self::COUNTER_BITS) - 1)) as u32
    }

    /// The largest number below this one: the upper end of "everything before". For comparisons only.
    pub fn before(self) -> Timestamp {
        Timestamp(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.0)
    }
}

/// A transaction's identity: its start number. One life of a transaction has one id; a retry with
/// another write set is a new transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxnId(pub u64);

impl TxnId {
    pub fn start(self) -> Timestamp {
        Timestamp(self.0)
    }
}

impl From<Timestamp> for TxnId {
    fn from(start: Timestamp) -> TxnId {
        TxnId(start.0)
    }
}

impl fmt::Display for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "txn{}", self.0)
    }
}
