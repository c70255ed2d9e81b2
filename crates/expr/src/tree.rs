//! Bound expressions: every name is resolved, every overload chosen, every conversion explicit.

use crate::{Datum, SqlType};

/// An entry of the function table (`functions`), by PostgreSQL's `pg_proc` OID where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionId(pub u32);

#[derive(Clone, Debug)]
pub enum Expr {
    Const {
        value: Datum,
        ty: SqlType,
    },
    /// A column of the input row.
    Column {
        index: usize,
        ty: SqlType,
    },
    /// A value given when the plan runs: `$n` of a prepared statement, or a slot that an enclosing query
    /// fills for each of its rows (the planner numbers slots after the statement's own parameters).
    Param {
        index: usize,
        ty: SqlType,
    },
    /// A function or operator of the function table.
    Call {
        function: FunctionId,
        args: Vec<Expr>,
        ty: SqlType,
    },
    Cast {
        arg: Box<Expr>,
        method: CastMethod,
        ty: SqlType,
        explicit: bool,
    },
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    IsNull {
        arg: Box<Expr>,
        negated: bool,
    },
    /// `IS [NOT] TRUE | FALSE | UNKNOWN`; `value: None` is UNKNOWN.
    IsBool {
        arg: Box<Expr>,
        value: Option<bool>,
        negated: bool,
    },
    IsDistinct {
        left: Box<Expr>,
        right: Box<Expr>,
        equals: FunctionId,
        negated: bool,
    },
    /// Searched form; the simple form is bound to it.
    Case {
        whens: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
        ty: SqlType,
    },
    Coalesce {
        args: Vec<Expr>,
        ty: SqlType,
    },
    NullIf {
        left: Box<Expr>,
        right: Box<Expr>,
        equals: FunctionId,
        ty: SqlType,
    },
    /// `GREATEST` / `LEAST`.
    Extreme {
        args: Vec<Expr>,
        greatest: bool,
        ty: SqlType,
    },
    /// `left op ANY|ALL (array)`.
    AnyAll {
        left: Box<Expr>,
        array: Box<Expr>,
        operator: FunctionId,
        quantifier: Quantifier,
    },
    /// `left IN (list)` with equality `equals`; long lists of constants are probed, not walked.
    InList {
        left: Box<Expr>,
        list: Vec<Expr>,
        equals: FunctionId,
        negated: bool,
    },
    Array {
        elements: Vec<Expr>,
        ty: SqlType,
    },
    Row {
        fields: Vec<Expr>,
        ty: SqlType,
    },
    /// A field of a record, from 0.
    Field {
        arg: Box<Expr>,
        index: usize,
        ty: SqlType,
    },
    /// `array[i]`, `array[i][j]`.
    Subscript {
        array: Box<Expr>,
        indexes: Vec<Expr>,
        ty: SqlType,
    },
    /// `array[lower:upper]` in each dimension.
    Slice {
        array: Box<Expr>,
        bounds: Vec<(Option<Expr>, Option<Expr>)>,
        ty: SqlType,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantifier {
    Any,
    All,
}

/// How `pg_cast` says a conversion is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CastMethod {
    /// The same representation (varchar to text).
    Relabel,
    /// A conversion in the cast table.
    Function,
    /// Through the text form.
    InOut,
    /// Element by element.
    Array,
}

/// An aggregate call, evaluated by an aggregation operator or partially in `ranges`.
#[derive(Clone, Debug)]
pub struct Aggregate {
    pub function: AggregateKind,
    pub args: Vec<Expr>,
    pub distinct: bool,
    pub filter: Option<Expr>,
    pub order_by: Vec<SortKey>,
    pub ty: SqlType,
}

/// By name and argument type: an entry of the aggregate table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AggregateKind(pub u32);

#[derive(Clone, Debug)]
pub struct SortKey {
    pub expr: Expr,
    pub descending: bool,
    pub nulls_first: bool,
}
