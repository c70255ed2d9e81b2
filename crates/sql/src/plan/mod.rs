//! Plans: one typed tree for queries and for statements that change rows, from `bind` through
//! `optimise` to `exec`.
//!
//! Expressions refer to the columns of a node's input by position; a join's input is the left row followed by the
//! right one. A correlated subquery is an [`Node::Apply`]: for each row of the outer side it fills parameter slots and
//! runs the inner plan again; the optimiser turns most of them into joins.

mod deparse;
mod explain;
pub(crate) mod expression;
pub(crate) mod index;
mod inputs;

use std::sync::Arc;

pub use explain::{ExplainStyle, explain};

use expr::{Aggregate, Expr, FunctionId, Oid, SortKey, SqlType};
use keyspace::IndexId;
use txn::{LockMode, LockWait};

use crate::catalog::{ColumnId, Table};

/// A node and what comes out of it.
#[derive(Clone, Debug)]
pub struct Plan {
    pub node: Node,
    pub fields: Vec<Field>,
    /// Estimates for EXPLAIN and join order.
    pub rows: f64,
    pub cost: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub name: String,
    pub ty: SqlType,
    /// Table OID and attribute number where it is a plain column (RowDescription carries them).
    pub origin: Option<(Oid, i16)>,
}

#[derive(Clone, Debug)]
pub enum Node {
    /// Rows of expressions; one row without columns is the input of a SELECT without FROM.
    Values {
        rows: Vec<Vec<Expr>>,
    },
    Scan(Scan),
    /// A table made from memory, with equality conditions it may use for look-ups.
    VirtualScan {
        table: Table,
        columns: Vec<ColumnId>,
        equal: Vec<(ColumnId, Expr)>,
        filter: Option<Expr>,
    },
    /// Set-returning functions in FROM (`ROWS FROM`), side by side.
    FunctionScan {
        calls: Vec<SetCall>,
        ordinality: bool,
    },
    Filter {
        input: Box<Plan>,
        condition: Expr,
    },
    Project {
        input: Box<Plan>,
        exprs: Vec<Expr>,
    },
    /// Set-returning functions in the select list: each entry is an expression or a call.
    ProjectSet {
        input: Box<Plan>,
        exprs: Vec<SetExpr>,
    },
    Join(Join),
    /// For each row of `input`, looks rows of a table up by key and joins them.
    LookupJoin {
        input: Box<Plan>,
        kind: JoinKind,
        scan: Box<Scan>,
        condition: Option<Expr>,
    },
    Apply(Apply),
    Aggregate {
        input: Box<Plan>,
        keys: Vec<Expr>,
        grouping_sets: Option<Vec<Vec<usize>>>,
        aggregates: Vec<Aggregate>,
        ordered: bool,
    },
    Window {
        input: Box<Plan>,
        calls: Vec<WindowCall>,
    },
    Sort {
        input: Box<Plan>,
        keys: Vec<SortKey>,
        limit: Option<Expr>,
    },
    Limit {
        input: Box<Plan>,
        limit: Option<Expr>,
        offset: Option<Expr>,
        with_ties: Option<Vec<SortKey>>,
    },
    Distinct {
        input: Box<Plan>,
        on: Option<Vec<Expr>>,
    },
    SetOperation {
        kind: SetKind,
        all: bool,
        left: Box<Plan>,
        right: Box<Plan>,
    },
    /// `WITH RECURSIVE`: `step` reads the rows of the round before through `WorkingTable { id }`.
    Recursive {
        id: usize,
        base: Box<Plan>,
        step: Box<Plan>,
        distinct: bool,
    },
    WorkingTable {
        id: usize,
    },
    /// Materialised CTEs, run at first use or (when they change rows) to their end, in order.
    With {
        ctes: Vec<Cte>,
        body: Box<Plan>,
    },
    CteScan {
        id: usize,
    },
    /// Locks the rows of tables below it (`FOR UPDATE …`): `columns` locate each table's key columns in the input.
    LockRows {
        input: Box<Plan>,
        targets: Vec<LockTarget>,
        /// No more than so many rows are wanted, and locked.
        limit: Option<Expr>,
    },
    Insert(Box<Insert>),
    Update(Box<Update>),
    Delete(Box<Delete>),
}

/// Rows of one table through one index.
#[derive(Clone, Debug)]
pub struct Scan {
    pub table: Table,
    pub index: IndexId,
    /// Output: these columns, in this order.
    pub columns: Vec<ColumnId>,
    pub ranges: KeyRanges,
    /// Over the output columns; pushed down to the ranges where nothing is buffered.
    pub filter: Option<Expr>,
    pub reverse: bool,
    /// Rows at most, when nothing above needs more (an upper bound to fetch by, not a semantic limit).
    pub limit_hint: Option<u64>,
    pub lock: Option<(LockMode, LockWait)>,
}

/// What part of an index. Expressions refer to no columns of the scan itself: constants, parameters, and in a
/// `LookupJoin` the columns of the outer row.
#[derive(Clone, Debug)]
pub enum KeyRanges {
    All,
    /// Each: equality on the leading columns, then optionally bounds on the next one. Sorted and made disjoint when run.
    Some(Vec<KeyRange>),
    /// A condition is known to be false.
    Nothing,
}

#[derive(Clone, Debug, Default)]
pub struct KeyRange {
    pub equal: Vec<Expr>,
    pub lower: Option<(Expr, bool)>,
    pub upper: Option<(Expr, bool)>,
}

#[derive(Clone, Debug)]
pub struct SetCall {
    pub function: FunctionId,
    pub args: Vec<Expr>,
    /// Its columns' types.
    pub columns: Vec<SqlType>,
}

#[derive(Clone, Debug)]
pub enum SetExpr {
    Scalar(Expr),
    Set(SetCall),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
    /// Left rows with / without a match; output is the left row only.
    Semi,
    Anti,
}

#[derive(Clone, Debug)]
pub struct Join {
    pub kind: JoinKind,
    pub left: Box<Plan>,
    pub right: Box<Plan>,
    /// Equalities `left = right` (each over its own side) by which rows are hashed or merged; empty: nested loop.
    pub equal: Vec<JoinKey>,
    /// What else must hold, over left row ++ right row.
    pub condition: Option<Expr>,
}

#[derive(Clone, Debug)]
pub struct JoinKey {
    pub left: Expr,
    pub right: Expr,
    pub equals: FunctionId,
}

/// A subquery evaluated per row of the outer side. Output: the outer row, then what `kind` says.
#[derive(Clone, Debug)]
pub struct Apply {
    pub outer: Box<Plan>,
    pub inner: Box<Plan>,
    /// Parameter slot ← expression over the outer row.
    pub bindings: Vec<(usize, Expr)>,
    pub kind: ApplyKind,
    /// Run the inner plan only for rows where this holds (a subquery inside a CASE branch); else NULL.
    pub guard: Option<Expr>,
}

#[derive(Clone, Debug)]
pub enum ApplyKind {
    /// One value: NULL for no row, 21000 for more than one.
    Scalar,
    Exists,
    /// `left op ANY|ALL (subquery)`: three-valued.
    Compare {
        left: Vec<Expr>,
        operators: Vec<FunctionId>,
        all: bool,
    },
    /// `ARRAY(subquery)`.
    Array,
    /// LATERAL: the outer row joined with each inner row.
    Lateral {
        left_join: bool,
        condition: Option<Expr>,
    },
}

#[derive(Clone, Debug)]
pub struct WindowCall {
    pub function: WindowFunction,
    pub args: Vec<Expr>,
    pub filter: Option<Expr>,
    pub partition_by: Vec<Expr>,
    pub order_by: Vec<SortKey>,
    pub frame: WindowFrame,
    pub ty: SqlType,
}

#[derive(Clone, Debug)]
pub enum WindowFunction {
    Aggregate(Aggregate),
    /// row_number, rank, lag … by PostgreSQL's OID.
    Builtin(FunctionId),
}

#[derive(Clone, Debug)]
pub struct WindowFrame {
    pub unit: FrameUnit,
    pub start: FrameBound,
    pub end: FrameBound,
    pub exclude: FrameExclude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameUnit {
    Rows,
    Range,
    Groups,
}

#[derive(Clone, Debug)]
pub enum FrameBound {
    UnboundedPreceding,
    Preceding(Expr),
    CurrentRow,
    Following(Expr),
    UnboundedFollowing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameExclude {
    NoOthers,
    CurrentRow,
    Group,
    Ties,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetKind {
    Union,
    Intersect,
    Except,
}

#[derive(Clone, Debug)]
pub struct Cte {
    pub id: usize,
    pub name: String,
    pub plan: Plan,
}

#[derive(Clone, Debug)]
pub struct LockTarget {
    pub table: Table,
    /// Where in the input row the columns of the primary key are.
    pub key: Vec<usize>,
    pub mode: LockMode,
    pub wait: LockWait,
}

#[derive(Clone, Debug)]
pub struct Insert {
    pub table: Table,
    /// Gives a value for each entry of `columns` (defaults and identity already filled in by the binder).
    pub input: Plan,
    pub columns: Vec<ColumnId>,
    pub checks: Vec<Check>,
    pub on_conflict: Option<OnConflict>,
    /// Over the new row's visible columns (all columns of `RowLayout`); empty: no RETURNING.
    pub returning: Vec<Expr>,
    /// The rows are there: only this index, which is new, gets its entries. `columns` are all live ones then, the hidden
    /// row id among them.
    pub only_index: Option<IndexId>,
}

/// In UPDATE, DELETE, ON CONFLICT and RETURNING a row of the target table is all its live columns in `attnum` order,
/// the hidden row id, if there is one, last.
#[derive(Clone, Debug)]
pub struct Update {
    pub table: Table,
    /// The target's row (all columns as above), then whatever FROM gives.
    pub input: Plan,
    /// New values, over the input row.
    pub assignments: Vec<(ColumnId, Expr)>,
    pub checks: Vec<Check>,
    /// Over the new row ++ the rest of the input row.
    pub returning: Vec<Expr>,
}

#[derive(Clone, Debug)]
pub struct Delete {
    pub table: Table,
    pub input: Plan,
    pub returning: Vec<Expr>,
}

#[derive(Clone, Debug)]
pub struct Check {
    pub name: Arc<str>,
    /// Over the new row; violated when false (NULL passes).
    pub condition: Expr,
}

#[derive(Clone, Debug)]
pub struct OnConflict {
    /// The arbiter indexes; empty: any unique index.
    pub arbiters: Vec<IndexId>,
    pub action: ConflictAction,
}

#[derive(Clone, Debug)]
pub enum ConflictAction {
    DoNothing,
    /// Over existing row ++ proposed row (`excluded`).
    Update {
        assignments: Vec<(ColumnId, Expr)>,
        condition: Option<Expr>,
    },
}
