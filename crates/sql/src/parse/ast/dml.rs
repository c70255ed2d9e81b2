//! INSERT, UPDATE, DELETE.

use super::{At, Expr, Name, ObjectName, OrderItem, Query, Subscript, TableRef, Target, With};

#[derive(Clone, Debug)]
pub struct Insert {
    pub with: Option<With>,
    pub table: ObjectName,
    pub alias: Option<Name>,
    pub columns: Vec<AssignTarget>,
    pub overriding: Option<Overriding>,
    /// `None`: DEFAULT VALUES.
    pub source: Option<Query>,
    pub on_conflict: Option<OnConflict>,
    pub returning: Vec<Target>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overriding {
    UserValue,
    SystemValue,
}

/// `a`, `a[1]`, `a.b`
#[derive(Clone, Debug)]
pub struct AssignTarget {
    pub column: Name,
    pub indirection: Vec<Indirection>,
}

#[derive(Clone, Debug)]
pub enum Indirection {
    Field(Name),
    Subscript(Subscript),
}

#[derive(Clone, Debug)]
pub struct OnConflict {
    pub target: Option<ConflictTarget>,
    /// `None`: DO NOTHING.
    pub update: Option<ConflictUpdate>,
    pub at: At,
}

#[derive(Clone, Debug)]
pub enum ConflictTarget {
    Constraint(Name),
    Columns { items: Vec<OrderItem>, filter: Option<Expr>, at: At },
}

#[derive(Clone, Debug)]
pub struct ConflictUpdate {
    pub assignments: Vec<Assignment>,
    pub filter: Option<Expr>,
}

/// `a = expr`, `(a, b) = (x, y)`, `(a, b) = (SELECT …)`
#[derive(Clone, Debug)]
pub enum Assignment {
    One(AssignTarget, Expr),
    Many(Vec<AssignTarget>, Expr),
}

#[derive(Clone, Debug)]
pub struct Update {
    pub with: Option<With>,
    pub table: ObjectName,
    pub only: bool,
    pub alias: Option<Name>,
    pub assignments: Vec<Assignment>,
    pub from: Vec<TableRef>,
    pub filter: Option<Expr>,
    pub returning: Vec<Target>,
}

#[derive(Clone, Debug)]
pub struct Delete {
    pub with: Option<With>,
    pub table: ObjectName,
    pub only: bool,
    pub alias: Option<Name>,
    pub using: Vec<TableRef>,
    pub filter: Option<Expr>,
    pub returning: Vec<Target>,
}
