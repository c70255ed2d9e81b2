//! Requests to the system range's leader and to nodes. The numbers below are the format: add, never change.

use super::wire::{wire_enum, wire_struct};
use crate::cluster::*;

wire_enum!(ClusterRequest {
    1 => Timestamps { count },
    2 => AnnounceCatalogChange { txn },
    3 => AllocateIds { kind, count },
    4 => Join(request),
    5 => Heartbeat(status),
    6 => Locate { key },
    7 => Survey,
    8 => WaitsFor { edges },
    9 => CreateReplica { range, replica },
    10 => Hello { cluster, protocol, address },
    11 => StandingWaits { edges },
    12 => BreakWait { edge, cycle },
    13 => Waits,
    14 => Sessions { question },
    15 => MayHoldLocks { txn },
});
wire_enum!(ClusterReply {
    1 => Timestamps(reply),
    2 => Done,
    3 => Ids { first },
    4 => Joined { cluster, node, nodes },
    5 => Heartbeat { nodes, sessions_over, garbage_floor },
    6 => Located { descriptor, leader },
    7 => Survey(survey),
    8 => Hello { cluster, node, protocol, nodes },
    9 => Waits { edges },
    10 => WaitBroken { stood },
    11 => Sessions { answer },
    12 => MayHoldLocks { may },
});

wire_struct!(TimestampReply { first, count, catalog, unsettled });
wire_enum!(IdKind {
    1 => Node,
    2 => Range,
    3 => Replica,
    4 => Storage,
    5 => Oid,
});
wire_struct!(JoinRequest { token, rpc_address, sql_address, http_address });
wire_struct!(NodeInfo { node, rpc_address, sql_address, http_address, silent_ms, live });
wire_struct!(NodeStatus { node, info, replicas, life, oldest_read });
wire_struct!(ReplicaStatus { descriptor, replica, is_leader, term, applied, size_bytes, keys, caught_up });
wire_struct!(Survey { nodes, ranges });
wire_struct!(RangeSurvey { descriptor, leader, size_bytes, keys });
wire_struct!(WaitEdge { waiter, holder, range, wait, wanted });
