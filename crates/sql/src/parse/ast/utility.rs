//! Transaction control, settings, cursors, COPY, EXPLAIN and maintenance.

use super::{
    At, Expr, Name, ObjectName, ObjectReference, Query, Setting, SettingValue, SourceExpr, Statement, TypeName,
};
use crate::session::CopyFormat;

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each statement")]
pub enum Utility {
    /// `is_start`: START TRANSACTION, which says so in its tag.
    Begin {
        modes: Vec<TransactionMode>,
        system_time: Option<SourceExpr>,
        is_start: bool,
    },
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(Name),
    Release(Name),
    RollbackTo(Name),
    PrepareTransaction(String),
    CommitPrepared(String),
    RollbackPrepared(String),
    SetTransaction {
        modes: Vec<TransactionMode>,
        system_time: Option<SourceExpr>,
    },
    /// `SET TRANSACTION SNAPSHOT 'id'`
    SetTransactionSnapshot(String),
    /// `SET SESSION CHARACTERISTICS AS TRANSACTION …`
    SetSessionCharacteristics {
        modes: Vec<TransactionMode>,
    },
    SetConstraints {
        names: Vec<ObjectName>,
        deferred: bool,
    },
    Set(SetVariable),
    /// `None`: RESET ALL.
    Reset(Option<String>),
    /// `None`: SHOW ALL.
    Show(Option<String>),
    /// ALTER SYSTEM SET / RESET
    AlterSystem(SetVariable),
    Prepare {
        name: Name,
        types: Vec<TypeName>,
        statement: Statement,
    },
    Execute {
        name: Name,
        args: Vec<Expr>,
    },
    /// `None`: ALL.
    Deallocate(Option<Name>),
    DeclareCursor(DeclareCursor),
    Fetch(Fetch),
    /// `None`: ALL.
    CloseCursor(Option<Name>),
    Copy(CopyStatement),
    Discard(Discard),
    Vacuum {
        full: bool,
        analyze: bool,
        verbose: bool,
        targets: Vec<MaintenanceTarget>,
    },
    Analyze {
        verbose: bool,
        targets: Vec<MaintenanceTarget>,
    },
    Cluster {
        table: Option<ObjectName>,
        index: Option<Name>,
    },
    Reindex {
        kind: ReindexKind,
        name: Option<ObjectName>,
        concurrently: bool,
    },
    Checkpoint,
    Listen(Name),
    /// `None`: `*`.
    Unlisten(Option<Name>),
    Notify {
        channel: Name,
        payload: Option<String>,
    },
    LockTable {
        tables: Vec<ObjectName>,
        mode: TableLockMode,
        nowait: bool,
    },
    Do {
        language: Option<Name>,
        body: String,
    },
    Call {
        name: Vec<Name>,
        args: Vec<Expr>,
    },
    Load(String),
    /// `ALTER RANGE range MOVE LEADER TO node`
    MoveLeader {
        range: i64,
        node: i64,
    },
    SecurityLabel {
        provider: Option<String>,
        object: ObjectReference,
        label: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionMode {
    Isolation(IsolationLevel),
    ReadOnly(bool),
    Deferrable(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsolationLevel {
    ReadUncommitted,
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

impl IsolationLevel {
    pub fn sql(self) -> &'static str {
        match self {
            IsolationLevel::ReadUncommitted => "read uncommitted",
            IsolationLevel::ReadCommitted => "read committed",
            IsolationLevel::RepeatableRead => "repeatable read",
            IsolationLevel::Serializable => "serializable",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct SetVariable {
    pub local: bool,
    /// Lower case, dots included; `SET TIME ZONE`, `SET NAMES`, … already have their variable's name.
    /// Of RESET: `None` in `value`; RESET ALL has the name `all`.
    pub name: String,
    /// `None`: DEFAULT.
    pub value: Option<Vec<SettingValue>>,
}

#[derive(Clone, Debug)]
pub struct DeclareCursor {
    pub name: Name,
    pub binary: bool,
    pub scroll: Option<bool>,
    pub hold: bool,
    pub query: Box<Query>,
    /// Where the query begins.
    pub at: At,
}

#[derive(Clone, Debug)]
pub struct Fetch {
    pub cursor: Name,
    pub direction: FetchDirection,
    /// MOVE: positions only.
    pub is_move: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchDirection {
    /// `i64::MAX` for ALL.
    Forward(i64),
    Backward(i64),
    Absolute(i64),
    Relative(i64),
}

#[derive(Clone, Debug)]
pub struct CopyStatement {
    pub source: CopySource,
    pub from: bool,
    pub target: CopyTarget,
    pub options: CopyOptions,
    /// COPY … FROM … WHERE
    pub filter: Option<Expr>,
}

#[derive(Clone, Debug)]
pub enum CopySource {
    Table {
        name: ObjectName,
        columns: Vec<Name>,
    },
    /// A query, or INSERT/UPDATE/DELETE … RETURNING.
    Statement(Box<Statement>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyTarget {
    /// STDIN or STDOUT.
    Client,
    File(String),
    Program(String),
}

#[derive(Clone, Debug)]
pub struct CopyOptions {
    pub format: CopyFormat,
    pub freeze: bool,
    pub delimiter: Option<String>,
    pub null: Option<String>,
    pub header: CopyHeader,
    pub quote: Option<String>,
    pub escape: Option<String>,
    /// `None`: no column; an empty list: all (`*`).
    pub force_quote: Option<Vec<Name>>,
    pub force_not_null: Option<Vec<Name>>,
    pub force_null: Option<Vec<Name>>,
    pub encoding: Option<String>,
    pub default: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CopyHeader {
    #[default]
    No,
    Yes,
    Match,
}

#[derive(Clone, Debug)]
pub struct Explain {
    pub analyze: bool,
    pub verbose: bool,
    pub costs: bool,
    pub buffers: bool,
    pub timing: bool,
    pub summary: Option<bool>,
    pub settings: bool,
    pub wal: bool,
    pub format: ExplainFormat,
    /// Options we do not know, for their error.
    pub unknown: Option<Setting>,
    pub statement: Statement,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExplainFormat {
    #[default]
    Text,
    Json,
    Xml,
    Yaml,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    All,
    Plans,
    Sequences,
    Temporary,
}

#[derive(Clone, Debug)]
pub struct MaintenanceTarget {
    pub table: ObjectName,
    pub columns: Vec<Name>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReindexKind {
    Index,
    Table,
    Schema,
    Database,
    System,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableLockMode {
    AccessShare,
    RowShare,
    RowExclusive,
    ShareUpdateExclusive,
    Share,
    ShareRowExclusive,
    Exclusive,
    AccessExclusive,
}
