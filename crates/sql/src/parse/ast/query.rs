//! Queries: SELECT, VALUES, set operations, FROM.

use super::{At, Call, ColumnDefinition, Expr, Name, ObjectName, OperatorName, SourceExpr, Statement, WindowSpec};
pub use crate::plan::SetKind;

#[derive(Clone, Debug)]
pub struct Query {
    pub with: Option<With>,
    pub body: QueryBody,
    pub order_by: Vec<OrderItem>,
    /// `None` also for `LIMIT ALL`.
    pub limit: Option<Expr>,
    pub offset: Option<Expr>,
    /// `FETCH FIRST … WITH TIES`.
    pub with_ties: bool,
    pub locking: Vec<Locking>,
    pub at: At,
}

#[derive(Clone, Debug)]
pub enum QueryBody {
    Select(Box<Select>),
    Values(Vec<Vec<Expr>>),
    SetOperation {
        kind: SetKind,
        all: bool,
        left: Box<Query>,
        right: Box<Query>,
        at: At,
    },
    /// A query in parentheses that has clauses of its own.
    Nested(Box<Query>),
}

impl QueryBody {
    /// What the statement says of its time, if this is all of it but for its subqueries.
    pub fn system_time(&self) -> Option<&SourceExpr> {
        match self {
            QueryBody::Select(select) => select.system_time.as_ref(),
            QueryBody::Values(_) => None,
            QueryBody::SetOperation { left, right, .. } => left.body.system_time().or_else(|| right.body.system_time()),
            QueryBody::Nested(query) => query.body.system_time(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct With {
    pub recursive: bool,
    pub ctes: Vec<Cte>,
    pub at: At,
}

#[derive(Clone, Debug)]
pub struct Cte {
    pub name: Name,
    pub columns: Vec<Name>,
    pub materialized: Option<bool>,
    /// A query, or a statement that changes rows.
    pub statement: Statement,
    /// `SEARCH …` or `CYCLE …` follows, which is not supported.
    pub search_or_cycle: Option<At>,
}

#[derive(Clone, Debug, Default)]
pub struct Select {
    pub distinct: Distinctness,
    pub targets: Vec<Target>,
    /// `SELECT … INTO`.
    pub into: Option<ObjectName>,
    pub from: Vec<TableRef>,
    /// `AS OF SYSTEM TIME …`: CockroachDB's, and the whole statement's.
    pub system_time: Option<SourceExpr>,
    pub filter: Option<Expr>,
    pub group_by: Vec<GroupItem>,
    pub group_distinct: bool,
    pub having: Option<Expr>,
    pub windows: Vec<(Name, WindowSpec)>,
}

#[derive(Clone, Debug, Default)]
pub enum Distinctness {
    #[default]
    All,
    Distinct,
    On(Vec<Expr>),
}

/// An entry of a select list or of RETURNING.
#[derive(Clone, Debug)]
pub struct Target {
    pub expr: Expr,
    pub alias: Option<Name>,
}

#[derive(Clone, Debug)]
pub enum GroupItem {
    Expr(Expr),
    /// `()`
    Empty,
    Rollup(Vec<Expr>, At),
    Cube(Vec<Expr>, At),
    Sets(Vec<GroupItem>, At),
}

#[derive(Clone, Debug)]
pub struct OrderItem {
    pub expr: Expr,
    pub direction: Direction,
    pub nulls_first: Option<bool>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Direction {
    Default,
    Ascending,
    Descending,
    /// `USING <`
    Using(OperatorName),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockStrength {
    KeyShare,
    Share,
    NoKeyUpdate,
    Update,
}

impl LockStrength {
    pub fn sql(self) -> &'static str {
        match self {
            LockStrength::KeyShare => "FOR KEY SHARE",
            LockStrength::Share => "FOR SHARE",
            LockStrength::NoKeyUpdate => "FOR NO KEY UPDATE",
            LockStrength::Update => "FOR UPDATE",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Locking {
    pub strength: LockStrength,
    pub of: Vec<ObjectName>,
    pub wait: txn::LockWait,
}

#[derive(Clone, Debug)]
pub struct Alias {
    pub name: Name,
    pub columns: Vec<Name>,
}

#[derive(Clone, Debug)]
pub enum TableRef {
    Relation { name: ObjectName, only: bool, alias: Option<Alias>, sampled: Option<At> },
    Query { query: Box<Query>, lateral: bool, alias: Option<Alias>, at: At },
    Functions(Box<FunctionsRef>),
    Join(Box<JoinRef>),
}

/// `f(…)`, or `ROWS FROM (f(…), g(…))`.
#[derive(Clone, Debug)]
pub struct FunctionsRef {
    pub lateral: bool,
    pub calls: Vec<FunctionRef>,
    pub ordinality: bool,
    pub alias: Option<Alias>,
    pub at: At,
}

#[derive(Clone, Debug)]
pub struct FunctionRef {
    pub call: Call,
    /// `AS (a int, b text)`
    pub columns: Vec<ColumnDefinition>,
    pub at: At,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinType {
    Inner,
    Left,
    Right,
    Full,
    Cross,
}

#[derive(Clone, Debug)]
pub struct JoinRef {
    pub join: JoinType,
    pub left: TableRef,
    pub right: TableRef,
    pub constraint: JoinConstraint,
    /// `(a JOIN b …) AS x`
    pub alias: Option<Alias>,
    pub at: At,
}

#[derive(Clone, Debug)]
pub enum JoinConstraint {
    None,
    Natural,
    On(Expr),
    Using { columns: Vec<Name>, alias: Option<Name> },
}
