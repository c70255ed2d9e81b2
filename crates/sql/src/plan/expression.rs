//! What the binder and the optimiser need to know of bound expressions: their types, their parts, whether two are the
//! same.

use expr::functions::{self, Volatility};
use expr::{Datum, Expr, SqlType};

pub fn type_of(expr: &Expr) -> SqlType {
    expr.ty()
}

/// The direct parts of an expression, in the order of evaluation.
pub fn parts<'e>(expr: &'e Expr, visit: &mut dyn FnMut(&'e Expr)) {
    match expr {
        Expr::Const { .. } | Expr::Column { .. } | Expr::Param { .. } => {}
        Expr::Call { args, .. } | Expr::Coalesce { args, .. } | Expr::Extreme { args, .. } => {
            args.iter().for_each(visit)
        }
        Expr::And(args) | Expr::Or(args) => args.iter().for_each(visit),
        Expr::Array { elements: args, .. } | Expr::Row { fields: args, .. } => args.iter().for_each(visit),
        Expr::Not(arg)
        | Expr::Cast { arg, .. }
        | Expr::IsNull { arg, .. }
        | Expr::IsBool { arg, .. }
        | Expr::Field { arg, .. } => visit(arg),
        Expr::IsDistinct { left, right, .. } | Expr::NullIf { left, right, .. } => {
            visit(left);
            visit(right);
        }
        Expr::AnyAll { left, array, .. } => {
            visit(left);
            visit(array);
        }
        Expr::InList { left, list, .. } => {
            visit(left);
            list.iter().for_each(visit);
        }
        Expr::Case { whens, otherwise, .. } => {
            for (condition, result) in whens {
                visit(condition);
                visit(result);
            }
            if let Some(otherwise) = otherwise {
                visit(otherwise);
            }
        }
        Expr::Subscript { array, indexes, .. } => {
            visit(array);
            indexes.iter().for_each(visit);
        }
        Expr::Slice { array, bounds, .. } => {
            visit(array);
            for (lower, upper) in bounds {
                lower.iter().chain(upper).for_each(&mut *visit);
            }
        }
    }
}

/// The same, to change them.
pub fn parts_mut(expr: &mut Expr, visit: &mut dyn FnMut(&mut Expr)) {
    match expr {
        Expr::Const { .. } | Expr::Column { .. } | Expr::Param { .. } => {}
        Expr::Call { args, .. } | Expr::Coalesce { args, .. } | Expr::Extreme { args, .. } => {
            args.iter_mut().for_each(visit);
        }
        Expr::And(args) | Expr::Or(args) => args.iter_mut().for_each(visit),
        Expr::Array { elements: args, .. } | Expr::Row { fields: args, .. } => args.iter_mut().for_each(visit),
        Expr::Not(arg)
        | Expr::Cast { arg, .. }
        | Expr::IsNull { arg, .. }
        | Expr::IsBool { arg, .. }
        | Expr::Field { arg, .. } => visit(arg),
        Expr::IsDistinct { left, right, .. } | Expr::NullIf { left, right, .. } => {
            visit(left);
            visit(right);
        }
        Expr::AnyAll { left, array, .. } => {
            visit(left);
            visit(array);
        }
        Expr::InList { left, list, .. } => {
            visit(left);
            list.iter_mut().for_each(visit);
        }
        Expr::Case { whens, otherwise, .. } => {
            for (condition, result) in whens {
                visit(condition);
                visit(result);
            }
            if let Some(otherwise) = otherwise {
                visit(otherwise);
            }
        }
        Expr::Subscript { array, indexes, .. } => {
            visit(array);
            indexes.iter_mut().for_each(visit);
        }
        Expr::Slice { array, bounds, .. } => {
            visit(array);
            for (lower, upper) in bounds {
                lower.iter_mut().chain(upper).for_each(&mut *visit);
            }
        }
    }
}

/// Is there a part (or the whole) of which this holds?
pub fn contains(expr: &Expr, found: &mut dyn FnMut(&Expr) -> bool) -> bool {
    if found(expr) {
        return true;
    }
    let mut any = false;
    parts(expr, &mut |part| any = any || contains(part, found));
    any
}

/// Visits the whole and every part.
pub fn walk<'e>(expr: &'e Expr, visit: &mut dyn FnMut(&'e Expr)) {
    visit(expr);
    parts(expr, &mut |part| walk(part, visit));
}

/// Renumbers the columns that an expression refers to.
pub fn map_columns(expr: &mut Expr, number: &mut dyn FnMut(usize) -> usize) {
    if let Expr::Column { index, .. } = expr {
        *index = number(*index);
        return;
    }
    parts_mut(expr, &mut |part| map_columns(part, number));
}

/// Puts expressions in the place of columns: `a + b` over a projection becomes one over the projection's input.
pub fn substitute(expr: &mut Expr, exprs: &[Expr]) {
    if let Expr::Column { index, .. } = expr {
        *expr = exprs[*index].clone();
        return;
    }
    parts_mut(expr, &mut |part| substitute(part, exprs));
}

pub fn columns(expr: &Expr, visit: &mut dyn FnMut(usize)) {
    walk(expr, &mut |part| {
        if let Expr::Column { index, .. } = part {
            visit(*index);
        }
    });
}

/// How freely may it be evaluated elsewhere, earlier, or once for many rows?
pub fn volatility(expr: &Expr) -> Volatility {
    let mut most = Volatility::Immutable;
    walk(expr, &mut |part| {
        let here = match part {
            Expr::Call { function, .. } => {
                functions::by_id(*function).map_or(Volatility::Volatile, |entry| entry.volatility)
            }
            // Text forms of dates and the like depend on settings.
            Expr::Cast { .. } => Volatility::Stable,
            _ => Volatility::Immutable,
        };
        most = most.max(here);
    });
    most
}

pub fn is_volatile(expr: &Expr) -> bool {
    volatility(expr) == Volatility::Volatile
}

/// Refers to no row: the same for every row of a run of the plan.
pub fn is_row_free(expr: &Expr) -> bool {
    !contains(expr, &mut |part| matches!(part, Expr::Column { .. }))
}

pub fn constant(value: Datum, ty: SqlType) -> Expr {
    Expr::Const { value, ty }
}

pub fn boolean(value: bool) -> Expr {
    constant(Datum::Bool(value), SqlType::BOOL)
}

/// One condition of several that must all hold; flat.
pub fn conjunction(conditions: impl IntoIterator<Item = Expr>) -> Option<Expr> {
    let mut all: Vec<Expr> = Vec::new();
    for condition in conditions {
        match condition {
            Expr::And(list) => all.extend(list),
            other => all.push(other),
        }
    }
    match all.len() {
        0 | 1 => all.pop(),
        _ => Some(Expr::And(all)),
    }
}

/// The conditions that must all hold.
pub fn conjuncts(condition: Expr) -> Vec<Expr> {
    match condition {
        Expr::And(list) => list.into_iter().flat_map(conjuncts).collect(),
        other => vec![other],
    }
}

/// The same value, computed the same way.
pub fn same(a: &Expr, b: &Expr) -> bool {
    let all = |a: &[Expr], b: &[Expr]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b));
    let optional = |a: Option<&Expr>, b: Option<&Expr>| match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => same(a, b),
        _ => false,
    };
    match (a, b) {
        (Expr::Const { value: a, ty: x }, Expr::Const { value: b, ty: y }) => x == y && same_datum(a, b),
        (Expr::Column { index: a, .. }, Expr::Column { index: b, .. }) => a == b,
        (Expr::Param { index: a, .. }, Expr::Param { index: b, .. }) => a == b,
        (Expr::Call { function: f, args: a, ty: x }, Expr::Call { function: g, args: b, ty: y }) => {
            f == g && x == y && all(a, b)
        }
        (
            Expr::Cast { arg: a, method: m, ty: x, explicit: e },
            Expr::Cast { arg: b, method: n, ty: y, explicit: f },
        ) => m == n && x == y && e == f && same(a, b),
        (Expr::And(a), Expr::And(b)) | (Expr::Or(a), Expr::Or(b)) => all(a, b),
        (Expr::Not(a), Expr::Not(b)) => same(a, b),
        (Expr::IsNull { arg: a, negated: x }, Expr::IsNull { arg: b, negated: y }) => x == y && same(a, b),
        (Expr::IsBool { arg: a, value: v, negated: x }, Expr::IsBool { arg: b, value: w, negated: y }) => {
            v == w && x == y && same(a, b)
        }
        (
            Expr::IsDistinct { left: a, right: b, equals: f, negated: x },
            Expr::IsDistinct { left: c, right: d, equals: g, negated: y },
        ) => f == g && x == y && same(a, c) && same(b, d),
        (Expr::Case { whens: a, otherwise: c, ty: x }, Expr::Case { whens: b, otherwise: d, ty: y }) => {
            x == y
                && a.len() == b.len()
                && a.iter().zip(b).all(|(a, b)| same(&a.0, &b.0) && same(&a.1, &b.1))
                && optional(c.as_deref(), d.as_deref())
        }
        (Expr::Coalesce { args: a, ty: x }, Expr::Coalesce { args: b, ty: y }) => x == y && all(a, b),
        (
            Expr::NullIf { left: a, right: b, equals: f, ty: x },
            Expr::NullIf { left: c, right: d, equals: g, ty: y },
        ) => f == g && x == y && same(a, c) && same(b, d),
        (Expr::Extreme { args: a, greatest: g, ty: x }, Expr::Extreme { args: b, greatest: h, ty: y }) => {
            g == h && x == y && all(a, b)
        }
        (
            Expr::AnyAll { left: a, array: b, operator: f, quantifier: p },
            Expr::AnyAll { left: c, array: d, operator: g, quantifier: q },
        ) => f == g && p == q && same(a, c) && same(b, d),
        (
            Expr::InList { left: a, list: b, equals: f, negated: x },
            Expr::InList { left: c, list: d, equals: g, negated: y },
        ) => f == g && x == y && same(a, c) && all(b, d),
        (Expr::Array { elements: a, ty: x }, Expr::Array { elements: b, ty: y }) => x == y && all(a, b),
        (Expr::Row { fields: a, ty: x }, Expr::Row { fields: b, ty: y }) => x == y && all(a, b),
        (Expr::Field { arg: a, index: i, .. }, Expr::Field { arg: b, index: j, .. }) => i == j && same(a, b),
        (Expr::Subscript { array: a, indexes: i, .. }, Expr::Subscript { array: b, indexes: j, .. }) => {
            same(a, b) && all(i, j)
        }
        (Expr::Slice { array: a, bounds: i, .. }, Expr::Slice { array: b, bounds: j, .. }) => {
            let bound = |(a, b): (&(Option<Expr>, Option<Expr>), &(Option<Expr>, Option<Expr>))| {
                optional(a.0.as_ref(), b.0.as_ref()) && optional(a.1.as_ref(), b.1.as_ref())
            };
            same(a, b) && i.len() == j.len() && i.iter().zip(j).all(bound)
        }
        _ => false,
    }
}

fn same_datum(a: &Datum, b: &Datum) -> bool {
    use Datum as D;
    match (a, b) {
        (D::Null, D::Null) => true,
        (D::Bool(a), D::Bool(b)) => a == b,
        (D::Int2(a), D::Int2(b)) => a == b,
        (D::Int4(a), D::Int4(b)) => a == b,
        (D::Int8(a), D::Int8(b)) => a == b,
        (D::Float4(a), D::Float4(b)) => a.to_bits() == b.to_bits(),
        (D::Float8(a), D::Float8(b)) => a.to_bits() == b.to_bits(),
        (D::Numeric(a), D::Numeric(b)) => a == b,
        (D::Text(a), D::Text(b)) => a == b,
        (D::Bytea(a), D::Bytea(b)) => a == b,
        (D::Date(a), D::Date(b)) => a == b,
        (D::Time(a), D::Time(b)) | (D::Timestamp(a), D::Timestamp(b)) | (D::TimestampTz(a), D::TimestampTz(b)) => {
            a == b
        }
        (D::TimeTz(a, x), D::TimeTz(b, y)) => a == b && x == y,
        (D::Interval(a), D::Interval(b)) => a == b,
        (D::Uuid(a), D::Uuid(b)) => a == b,
        (D::Oid(a), D::Oid(b)) => a == b,
        (D::Jsonb(a), D::Jsonb(b)) => a == b,
        (D::Array(a), D::Array(b)) => {
            a.element == b.element
                && a.dimensions == b.dimensions
                && a.elements.len() == b.elements.len()
                && a.elements.iter().zip(&b.elements).all(|(a, b)| same_datum(a, b))
        }
        (D::Record(a), D::Record(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same_datum(a, b)),
        _ => false,
    }
}
