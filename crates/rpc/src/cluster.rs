//! Requests to the leader of the system range (the oracle, the registry, the directory), and to any node.

use bytes::Bytes;
use keyspace::{Key, NodeId, RangeId, ReplicaId, Timestamp, TxnId};

use crate::KvResult;
use crate::range::{LockMode, RangeDescriptor};

#[derive(Clone, Debug)]
pub enum ClusterRequest {
    /// `count` consecutive numbers. Lost answers waste numbers, nothing else.
    Timestamps { count: u32 },
    /// A schema change is about to ask for its number (rule 31): until it is staged or half a second
    /// passes, every answer of the oracle is marked unsettled.
    AnnounceCatalogChange { txn: TxnId },
    /// Storage ids, range ids, replica ids or node ids, never given out before; allocated outside transactions.
    AllocateIds { kind: IdKind, count: u32 },
    /// A process with an empty data directory asks to become a node.
    Join(JoinRequest),
    /// A node's sign of life and what it holds.
    Heartbeat(NodeStatus),
    /// Where the range lies that holds this key.
    Locate { key: Key },
    /// All ranges and nodes, as far as the answering node knows.
    Survey,
    /// Edges of the waits-for graph as one node sees them now (rule 10).
    WaitsFor { edges: Vec<WaitEdge> },
    /// To a node: every wait that stands there now.
    Waits,
    /// To a node: which of these waits, of those it reported, still stand?
    StandingWaits { edges: Vec<WaitEdge> },
    /// To a node: end this wait with [`KvError::Deadlock`](crate::KvError::Deadlock), if it still stands. `cycle`
    /// begins with the waiter.
    BreakWait { edge: WaitEdge, cycle: Vec<TxnId> },
    /// To a node: create a replica that waits for a snapshot or log from its leader.
    CreateReplica { range: RangeDescriptor, replica: ReplicaId },
    /// To a node: may this transaction of one of its sessions still hold locks that it is going to give up?
    MayHoldLocks { txn: TxnId },
    /// To a node: a question to its sessions, in `sql`'s own words.
    Sessions { question: Bytes },
    /// To any node: who are you and whom do you know? Answered without a quorum.
    Hello { cluster: Option<u64>, protocol: u32, address: String },
}

pub type ClusterResponse = KvResult<ClusterReply>;

#[derive(Clone, Debug)]
pub enum ClusterReply {
    Timestamps(TimestampReply),
    Done,
    /// The first of the allocated ids.
    Ids {
        first: u64,
    },
    Joined {
        cluster: u64,
        node: NodeId,
        nodes: Vec<NodeInfo>,
    },
    Heartbeat {
        nodes: Vec<NodeInfo>,
        /// Of each of these nodes, the sessions that began before this number are over: the node was declared
        /// dead, or lives another life. Their locks are given up.
        sessions_over: Vec<(NodeId, Timestamp)>,
        /// Nobody reads at or below it any more (rule 16).
        garbage_floor: Timestamp,
    },
    Located {
        descriptor: RangeDescriptor,
        leader: Option<NodeId>,
    },
    Survey(Survey),
    Hello {
        cluster: Option<u64>,
        node: Option<NodeId>,
        protocol: u32,
        nodes: Vec<NodeInfo>,
    },
    Waits {
        edges: Vec<WaitEdge>,
    },
    Sessions {
        answer: Bytes,
    },
    MayHoldLocks {
        may: bool,
    },
    /// Did the wait still stand? It is broken now.
    WaitBroken {
        stood: bool,
    },
}

/// Numbers and the catalog that holds at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampReply {
    pub first: Timestamp,
    pub count: u32,
    /// The commit number of the last catalog change at or below `first`.
    pub catalog: Timestamp,
    /// A catalog change is being committed: read the version key instead of trusting `catalog`.
    pub unsettled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    Node,
    Range,
    Replica,
    Storage,
    /// PostgreSQL's OIDs, from 16384.
    Oid,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRequest {
    /// Drawn at random by the joining process and kept in its directory: a repeated join gets the same
    /// node id.
    pub token: u64,
    pub rpc_address: String,
    pub sql_address: String,
    pub http_address: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    pub node: NodeId,
    pub rpc_address: String,
    pub sql_address: String,
    pub http_address: String,
    /// Milliseconds since its last heartbeat, as the system range's leader counts; 0 when not known.
    pub silent_ms: u64,
    pub live: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    pub node: NodeId,
    pub info: NodeInfo,
    /// Every replica on the node.
    pub replicas: Vec<ReplicaStatus>,
    /// A number that the oracle gave to this life of the node before its first session began; zero until it
    /// has one. Sessions of an earlier life are over.
    pub life: Timestamp,
    /// The oldest number an open transaction of this node reads at.
    pub oldest_read: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    pub descriptor: RangeDescriptor,
    pub replica: ReplicaId,
    pub is_leader: bool,
    pub term: u64,
    pub applied: u64,
    pub size_bytes: u64,
    pub keys: u64,
    /// For a leader: replicas whose log is close behind.
    pub caught_up: Vec<ReplicaId>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    pub nodes: Vec<NodeInfo>,
    pub ranges: Vec<RangeSurvey>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeSurvey {
    pub descriptor: RangeDescriptor,
    pub leader: Option<NodeId>,
    pub size_bytes: u64,
    pub keys: u64,
}

/// `waiter` waits for `holder` on `range`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WaitEdge {
    pub waiter: TxnId,
    pub holder: TxnId,
    pub range: RangeId,
    /// Which wait of this waiter: a victim is only chosen if this very wait still stands.
    pub wait: u64,
    /// The key, and the mode in which it is to be locked; `None` for a session that waits as another transaction of its own.
    pub wanted: Option<(Key, LockMode)>,
}
