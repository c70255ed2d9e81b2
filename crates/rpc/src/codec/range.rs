//! Requests to ranges. The numbers below are the format: add, never change.

use super::wire::{wire_enum, wire_struct};
use crate::range::*;

wire_struct!(RangeDescriptor { id, epoch, span, replicas });
wire_struct!(ReplicaDescriptor { node, replica, role });
wire_enum!(ReplicaRole {
    1 => Voter,
    2 => Learner,
});

wire_struct!(RangeRequest { range, epoch, body });
wire_enum!(RangeBody {
    1 => Read(request),
    2 => Refresh(request),
    3 => ReleaseLocks(request),
    4 => CommitOneRange(request),
    5 => Prewrite(request),
    6 => Record(request),
    7 => Resolve(request),
    8 => CheckKeys(request),
    9 => Admin(request),
});
wire_enum!(RangeReply {
    1 => Read(reply),
    2 => Refreshed,
    3 => Released,
    4 => Committed { at },
    5 => Prewritten,
    6 => Record(record),
    7 => Resolved,
    8 => Checked(reply),
    9 => Admin(reply),
});

wire_struct!(ReadRequest { at, txn, reads, lock, bytes_max });
wire_enum!(ReadOp {
    1 => Get { key, program },
    2 => Scan(scan),
});
wire_struct!(ScanOp { span, reverse, rows_max, program });
wire_struct!(LockSpec { mode, wait, absent_too });
wire_enum!(LockMode {
    1 => KeyShare,
    2 => Share,
    3 => NoKeyUpdate,
    4 => Update,
    5 => AccessShare,
    6 => RowShare,
    7 => RowExclusive,
    8 => ShareUpdateExclusive,
    9 => TableShare,
    10 => ShareRowExclusive,
    11 => Exclusive,
    12 => AccessExclusive,
});
wire_enum!(LockWait {
    1 => Block { timeout },
    2 => NoWait,
    3 => SkipLocked,
});
wire_struct!(ReadReply { results, newer, waited, waits });
wire_struct!(Newer { at, key, by });
wire_struct!(Waits { locks, writers });
wire_struct!(ReadResult { rows, resume });
wire_struct!(KeyValue { key, value, at });

wire_struct!(RefreshRequest { txn, spans, from, to });
wire_struct!(ReleaseLocksRequest { txn, keys, weaken });

wire_struct!(Mutation { key, value, changes_key, must_be_absent });
wire_struct!(LockedKey { key, mode, seen });
wire_struct!(Writes { txn, at, snapshot, mutations, locked, attempt });
wire_struct!(CommitRequest { writes });
wire_struct!(PrewriteRequest { writes, anchor, stage });
wire_struct!(StageRecord { keys });

wire_struct!(RecordRequest { txn, anchor, op });
wire_enum!(RecordOp {
    1 => Commit { at, attempt },
    2 => Abort,
    3 => Heartbeat,
    4 => Query { wait },
    5 => Recover { commit, at, attempt },
    6 => Forget,
});
wire_struct!(TxnRecord { state });
wire_enum!(TxnState {
    1 => Missing,
    2 => Pending,
    3 => Staging { at, attempt, keys },
    4 => Committed { at },
    5 => Aborted,
});

wire_struct!(ResolveRequest { txn, commit_at, keys });
wire_enum!(ResolveKeys {
    1 => These(keys),
    2 => Within(span),
});
wire_struct!(CheckKeysRequest { txn, at, keys });
wire_enum!(CheckKeysReply {
    1 => AllPresent,
    2 => Absent { key },
    3 => Committed { at },
});

wire_enum!(AdminRequest {
    1 => Describe,
    2 => Split { at, right, right_replicas },
    3 => ChangeReplicas { add, remove },
    4 => TransferLeader { to },
    5 => Checksum,
});
wire_enum!(AdminReply {
    1 => Descriptors(descriptors),
    2 => Done,
    3 => Checksum { applied, hash },
});
