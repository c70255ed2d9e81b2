//! Scalar expressions.

use super::{At, Name, OperatorName, OrderItem, Query, TypeName};

#[derive(Clone, Debug)]
pub struct Expr {
    pub kind: ExprKind,
    /// Where PostgreSQL's errors about it point: the operator of an operation, the name of a function, else
    /// its first character.
    pub at: At,
}

#[derive(Clone, Debug)]
pub enum ExprKind {
    Null,
    Bool(bool),
    /// Digits as written: an integer or a numeric.
    Number(String),
    Text(String),
    /// `B'101'`, `X'1F'`, with the letter: `b101`, `x1F`.
    Bits(String),
    /// `$n`, from 1.
    Param(u32),
    /// `a`, `t.a`, `s.t.a`, `d.s.t.a`.
    Column(Vec<Name>),
    /// `*`, `t.*`, `s.t.*`.
    Star(Vec<Name>),
    /// `(expr).name`
    Field(Box<Expr>, Name),
    /// `(expr).*`
    FieldStar(Box<Expr>),
    Subscript(Box<Expr>, Vec<Subscript>),
    Prefix(OperatorName, Box<Expr>),
    Binary(Box<Binary>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    IsNull {
        arg: Box<Expr>,
        negated: bool,
    },
    /// `IS [NOT] TRUE | FALSE | UNKNOWN`; `None` is UNKNOWN.
    IsBool {
        arg: Box<Expr>,
        value: Option<bool>,
        negated: bool,
    },
    IsDistinct {
        left: Box<Expr>,
        right: Box<Expr>,
        negated: bool,
    },
    Between(Box<Between>),
    Like(Box<Like>),
    InList {
        arg: Box<Expr>,
        list: Vec<Expr>,
        negated: bool,
    },
    InQuery {
        arg: Box<Expr>,
        query: Box<Query>,
        negated: bool,
    },
    /// `left op ANY|ALL (array)`
    AnyArray {
        left: Box<Expr>,
        operator: OperatorName,
        array: Box<Expr>,
        all: bool,
    },
    /// `left op ANY|ALL (query)`
    AnyQuery {
        left: Box<Expr>,
        operator: OperatorName,
        query: Box<Query>,
        all: bool,
    },
    Exists(Box<Query>),
    Subquery(Box<Query>),
    ArrayQuery(Box<Query>),
    Case(Box<Case>),
    Cast(Box<Expr>, Box<TypeName>),
    Collate(Box<Expr>, Vec<Name>),
    Call(Box<Call>),
    /// `CURRENT_DATE`, `LOCALTIMESTAMP(3)`, `CURRENT_USER`, …
    Special(SpecialValue, Option<i32>),
    Coalesce(Vec<Expr>),
    NullIf(Box<(Expr, Expr)>),
    Greatest(Vec<Expr>),
    Least(Vec<Expr>),
    /// `ROW(…)` or `(a, b)`.
    Row(Vec<Expr>),
    /// `ARRAY[…]`; an inner list is an `Array` again.
    Array(Vec<Expr>),
    Grouping(Vec<Expr>),
    /// `DEFAULT` in VALUES of INSERT and in SET.
    Default,
    CurrentOf(Name),
}

#[derive(Clone, Debug)]
pub enum Subscript {
    Index(Expr),
    Slice(Option<Expr>, Option<Expr>),
}

#[derive(Clone, Debug)]
pub struct Binary {
    pub operator: OperatorName,
    pub left: Expr,
    pub right: Expr,
}

#[derive(Clone, Debug)]
pub struct Between {
    pub arg: Expr,
    pub low: Expr,
    pub high: Expr,
    pub negated: bool,
    pub symmetric: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LikeKind {
    Like,
    ILike,
    SimilarTo,
}

#[derive(Clone, Debug)]
pub struct Like {
    pub kind: LikeKind,
    pub arg: Expr,
    pub pattern: Expr,
    pub escape: Option<Expr>,
    pub negated: bool,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub operand: Option<Expr>,
    pub whens: Vec<(Expr, Expr)>,
    pub otherwise: Option<Expr>,
}

#[derive(Clone, Debug)]
pub struct Call {
    pub name: Vec<Name>,
    pub args: Vec<Expr>,
    /// Names of the trailing named arguments (`name => value`).
    pub arg_names: Vec<Name>,
    /// `count(*)`
    pub star: bool,
    pub distinct: bool,
    pub variadic: bool,
    pub order_by: Vec<OrderItem>,
    pub within_group: bool,
    pub filter: Option<Expr>,
    pub over: Option<WindowSpec>,
    /// Written in SQL's own syntax (`EXTRACT(… FROM …)`, `x AT TIME ZONE y`), not as a call.
    pub sql_syntax: bool,
}

impl Call {
    pub fn new(name: Vec<Name>, args: Vec<Expr>) -> Call {
        Call {
            name,
            args,
            arg_names: Vec::new(),
            star: false,
            distinct: false,
            variadic: false,
            order_by: Vec::new(),
            within_group: false,
            filter: None,
            over: None,
            sql_syntax: false,
        }
    }
}

/// `OVER name`, `OVER (…)` and the right side of `WINDOW name AS (…)`.
#[derive(Clone, Debug)]
pub struct WindowSpec {
    /// `OVER name` alone refers to that window as it is; inside parentheses it is the base of a new one.
    pub base: Option<Name>,
    pub is_reference: bool,
    pub partition_by: Vec<Expr>,
    pub order_by: Vec<OrderItem>,
    pub frame: Option<Frame>,
    pub at: At,
}

#[derive(Clone, Debug)]
pub struct Frame {
    pub unit: crate::plan::FrameUnit,
    pub start: Bound,
    pub end: Option<Bound>,
    pub exclude: crate::plan::FrameExclude,
    pub at: At,
}

#[derive(Clone, Debug)]
pub enum Bound {
    UnboundedPreceding,
    Preceding(Expr),
    CurrentRow,
    Following(Expr),
    UnboundedFollowing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialValue {
    CurrentDate,
    CurrentTime,
    CurrentTimestamp,
    LocalTime,
    LocalTimestamp,
    CurrentUser,
    SessionUser,
    User,
    CurrentRole,
    CurrentCatalog,
    CurrentSchema,
}

impl SpecialValue {
    /// The name of its column in a select list.
    pub fn name(self) -> &'static str {
        match self {
            SpecialValue::CurrentDate => "current_date",
            SpecialValue::CurrentTime => "current_time",
            SpecialValue::CurrentTimestamp => "current_timestamp",
            SpecialValue::LocalTime => "localtime",
            SpecialValue::LocalTimestamp => "localtimestamp",
            SpecialValue::CurrentUser => "current_user",
            SpecialValue::SessionUser => "session_user",
            SpecialValue::User => "user",
            SpecialValue::CurrentRole => "current_role",
            SpecialValue::CurrentCatalog => "current_catalog",
            SpecialValue::CurrentSchema => "current_schema",
        }
    }
}

impl Expr {
    pub fn new(kind: ExprKind, at: At) -> Expr {
        Expr { kind, at }
    }

    /// Where its text begins (`at` of an operation is its operator).
    pub fn start(&self) -> At {
        let mut expr = self;
        loop {
            expr = match &expr.kind {
                ExprKind::Binary(binary) => &binary.left,
                ExprKind::And(list) | ExprKind::Or(list) => match list.first() {
                    Some(first) => first,
                    None => return expr.at,
                },
                ExprKind::Between(between) => &between.arg,
                ExprKind::Like(like) => &like.arg,
                ExprKind::IsNull { arg, .. }
                | ExprKind::IsBool { arg, .. }
                | ExprKind::InList { arg, .. }
                | ExprKind::InQuery { arg, .. }
                | ExprKind::IsDistinct { left: arg, .. }
                | ExprKind::AnyArray { left: arg, .. }
                | ExprKind::AnyQuery { left: arg, .. }
                | ExprKind::Collate(arg, _)
                | ExprKind::Subscript(arg, _)
                | ExprKind::Field(arg, _)
                | ExprKind::FieldStar(arg) => arg,
                ExprKind::Cast(arg, _) if arg.at < expr.at => arg,
                _ => return expr.at,
            };
        }
    }
}
