//! Typed errors travel as what they are. The numbers below are the format: add, never change.

use super::wire::wire_enum;
use crate::KvError;

wire_enum!(KvError {
    1 => NotLeader { range, leader },
    2 => StaleEpoch { current },
    3 => RangeNotFound { range },
    4 => Ambiguous { range },
    5 => Pushed { key, above },
    6 => WriteTooOld { key, newest, by },
    7 => ReadChanged { key, at, by },
    8 => LockLost { key, by },
    9 => LockNotAvailable { key, holder, timed_out },
    10 => Deadlock { cycle },
    11 => GaveWay { key, holder },
    12 => TxnAborted,
    13 => TxnCommitted { at },
    14 => BelowGarbageFloor { at, floor },
    15 => KeyExists { key },
    16 => Unavailable { range, why },
    17 => OracleUnavailable,
    18 => TooLarge { bytes },
    19 => Evaluation { error },
    20 => Corrupt { what },
    21 => Stopping { why },
    22 => NotSupported { what },
});
