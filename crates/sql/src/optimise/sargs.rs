//! Conditions that an index can answer: a column compared with something that is the same for the whole scan.

use expr::{CastMethod, Datum, Expr, FunctionId, Quantifier, SqlType, operators};

use crate::catalog::{ColumnId, IndexDescriptor, IndexState, TableDescriptor};
use crate::plan::Scan;
use crate::plan::expression::{boolean, is_row_free, is_volatile, type_of};

/// One condition on one column.
#[derive(Clone, Debug)]
pub struct Sarg {
    pub column: ColumnId,
    pub kind: SargKind,
    /// Which of the conditions it is.
    pub condition: usize,
    /// It says all that the condition says: the rows of the range need not be looked at again.
    pub exact: bool,
}

#[derive(Clone, Debug)]
pub enum SargKind {
    /// Equal to one of these; a single one for plain equality.
    In(Vec<Expr>),
    /// Above this (or equal to it).
    Lower(Expr, bool),
    Upper(Expr, bool),
    /// Nothing can meet the condition.
    Never,
}

/// Longer lists are walked, not looked up one by one.
const LIST_MAX: usize = 10_000;

/// All sargs among conditions over these columns of a table.
pub fn sargs(table: &TableDescriptor, columns: &[ColumnId], conditions: &[Expr]) -> Vec<Sarg> {
    let over = Over { table, columns };
    let mut out = Vec::new();
    for (number, condition) in conditions.iter().enumerate() {
        let mut found = |column: usize, kind: SargKind, exact: bool| {
            out.push(Sarg { column: columns[column], kind, condition: number, exact });
        };
        match condition {
            Expr::Call { function, args, .. } if args.len() == 2 => {
                over.comparison(*function, &args[0], &args[1], &mut found)
            }
            Expr::InList { left, list, equals, negated: false } if list.len() <= LIST_MAX => {
                over.membership(left, list, *equals, &mut found);
            }
            Expr::AnyAll { left, array, operator, quantifier: Quantifier::Any } => {
                if let Some(list) = elements(array) {
                    over.membership(left, &list, *operator, &mut found);
                }
            }
            Expr::Column { index, .. } => found(*index, SargKind::In(vec![boolean(true)]), true),
            Expr::Not(arg) => {
                if let Expr::Column { index, .. } = **arg {
                    found(index, SargKind::In(vec![boolean(false)]), true);
                }
            }
            _ => {}
        }
    }
    out
}

/// Is there an index, unique with no NULLs in the way, whose columns all have one value: at most one row?
pub fn is_single_row(scan: &Scan) -> bool {
    let Some(filter) = &scan.filter else { return false };
    let sargs = sargs(&scan.table, &scan.columns, conditions_of(filter));
    usable(scan)
        .any(|index| index.unique && index.columns.iter().all(|part| has_one_value(&sargs, part.column).is_some()))
}

/// Is there an index whose first column is compared for equality with a value of this kind?
pub fn finds_by(scan: &Scan, value: &dyn Fn(&Expr) -> bool) -> bool {
    let Some(filter) = &scan.filter else { return false };
    let sargs = sargs(&scan.table, &scan.columns, conditions_of(filter));
    usable(scan)
        .any(|index| index.columns.first().and_then(|part| has_one_value(&sargs, part.column)).is_some_and(value))
}

pub fn conditions_of(filter: &Expr) -> &[Expr] {
    match filter {
        Expr::And(list) => list,
        single => std::slice::from_ref(single),
    }
}

pub fn usable(scan: &Scan) -> impl Iterator<Item = &IndexDescriptor> {
    scan.table.indexes.iter().filter(|index| index.state == IndexState::Public)
}

fn has_one_value(sargs: &[Sarg], column: ColumnId) -> Option<&Expr> {
    sargs.iter().find_map(|sarg| match &sarg.kind {
        SargKind::In(values) if sarg.column == column && values.len() == 1 => values.first(),
        _ => None,
    })
}

fn is_free(expr: &Expr) -> bool {
    is_row_free(expr) && !is_volatile(expr)
}

/// A column of the scan, also where it is only seen as another type of the same representation.
fn plain_column(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Column { index, .. } => Some(*index),
        Expr::Cast { arg, method: CastMethod::Relabel, ty, .. } if is_text(*ty) && is_text(type_of(arg)) => {
            plain_column(arg)
        }
        _ => None,
    }
}

fn is_text(ty: SqlType) -> bool {
    matches!(ty.base(), SqlType::TEXT | SqlType::VARCHAR)
}

struct Over<'t> {
    table: &'t TableDescriptor,
    columns: &'t [ColumnId],
}

impl Over<'_> {
    fn column_type(&self, column: usize) -> Option<SqlType> {
        self.table.column(self.columns[column]).map(|column| column.ty.base())
    }

    fn comparison(
        &self,
        function: FunctionId,
        left: &Expr,
        right: &Expr,
        found: &mut dyn FnMut(usize, SargKind, bool),
    ) {
        let (column, value, function) = match (plain_column(left), plain_column(right)) {
            (Some(column), _) if is_free(right) => (column, right, function),
            (_, Some(column)) if is_free(left) => match operators::commutator(function) {
                Some(mirrored) => (column, left, mirrored),
                None => return,
            },
            _ => return,
        };
        let (Some(operator), Some(ty)) = (operators::by_function(function), self.column_type(column)) else { return };
        if !is_ordering(ty) {
            return;
        }
        match operator.name {
            "=" => match converted(value, ty) {
                Converted::Value(value) => found(column, SargKind::In(vec![value]), true),
                Converted::Never => found(column, SargKind::Never, true),
                Converted::No => {}
            },
            "<" | "<=" | ">" | ">=" => {
                let inclusive = operator.name.ends_with('=');
                match converted(value, ty) {
                    Converted::Value(value) if operator.name.starts_with('<') => {
                        found(column, SargKind::Upper(value, inclusive), true);
                    }
                    Converted::Value(value) => found(column, SargKind::Lower(value, inclusive), true),
                    Converted::Never if is_null(value) => found(column, SargKind::Never, true),
                    _ => {}
                }
            }
            "~~" if is_text(ty) => like(column, value, found),
            _ => {}
        }
    }

    fn membership(&self, left: &Expr, list: &[Expr], equals: FunctionId, found: &mut dyn FnMut(usize, SargKind, bool)) {
        let Some(column) = plain_column(left) else { return };
        let Some(ty) = self.column_type(column).filter(|ty| is_ordering(*ty)) else { return };
        if operators::by_function(equals).is_none_or(|operator| operator.name != "=") || !list.iter().all(is_free) {
            return;
        }
        let mut values = Vec::with_capacity(list.len());
        for value in list {
            match converted(value, ty) {
                Converted::Value(value) => values.push(value),
                Converted::Never => {}
                Converted::No => return,
            }
        }
        if values.is_empty() {
            found(column, SargKind::Never, true);
        } else {
            found(column, SargKind::In(values), true);
        }
    }
}

/// Types whose operators `=`, `<` … order values as keys are ordered.
fn is_ordering(ty: SqlType) -> bool {
    matches!(
        ty,
        SqlType::BOOL
            | SqlType::INT2
            | SqlType::INT4
            | SqlType::INT8
            | SqlType::FLOAT4
            | SqlType::FLOAT8
            | SqlType::NUMERIC
            | SqlType::TEXT
            | SqlType::VARCHAR
            | SqlType::BPCHAR
            | SqlType::NAME
            | SqlType::BYTEA
            | SqlType::DATE
            | SqlType::TIME
            | SqlType::TIMETZ
            | SqlType::TIMESTAMP
            | SqlType::TIMESTAMPTZ
            | SqlType::INTERVAL
            | SqlType::UUID
            | SqlType::OID
            | SqlType::JSONB
            | SqlType::CHAR
    )
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Const { value: Datum::Null, .. })
}

pub enum Converted {
    /// The value as one of the column's type.
    Value(Expr),
    /// No value of the column's type equals it.
    Never,
    No,
}

/// A value to look for among keys of type `ty`: keys are bytes, so it must be of that very type.
pub fn converted(value: &Expr, ty: SqlType) -> Converted {
    if is_null(value) {
        return Converted::Never;
    }
    let given = type_of(value).base();
    if given == ty || is_text(given) && is_text(ty) || is_oid(given) && is_oid(ty) {
        return Converted::Value(value.clone());
    }
    let width = |ty: SqlType| match ty {
        SqlType::INT2 => Some(2),
        SqlType::INT4 => Some(4),
        SqlType::INT8 => Some(8),
        _ => None,
    };
    let (Some(from), Some(to)) = (width(given), width(ty)) else { return Converted::No };
    if let Expr::Const { value, .. } = value {
        let number = match value {
            Datum::Int2(n) => i64::from(*n),
            Datum::Int4(n) => i64::from(*n),
            Datum::Int8(n) => *n,
            _ => return Converted::No,
        };
        let fitting = match ty {
            SqlType::INT2 => i16::try_from(number).ok().map(Datum::Int2),
            SqlType::INT4 => i32::try_from(number).ok().map(Datum::Int4),
            _ => Some(Datum::Int8(number)),
        };
        return fitting.map_or(Converted::Never, |value| Converted::Value(Expr::Const { value, ty }));
    }
    if from > to {
        return Converted::No;
    }
    let arg = Box::new(value.clone());
    Converted::Value(Expr::Cast { arg, method: CastMethod::Function, ty, explicit: false })
}

fn is_oid(ty: SqlType) -> bool {
    matches!(
        ty,
        SqlType::OID
            | SqlType::REGCLASS
            | SqlType::REGTYPE
            | SqlType::REGPROC
            | SqlType::REGPROCEDURE
            | SqlType::REGNAMESPACE
            | SqlType::REGROLE
    )
}

/// The elements of an array that is written out.
fn elements(array: &Expr) -> Option<Vec<Expr>> {
    match array {
        Expr::Array { elements, .. } if elements.len() <= LIST_MAX => {
            let nested = elements.iter().any(|element| type_of(element).element().is_some());
            (!nested).then(|| elements.clone())
        }
        Expr::Const { value: Datum::Array(array), .. }
            if array.dimensions.len() <= 1 && array.elements.len() <= LIST_MAX =>
        {
            let element = |value: &Datum| Expr::Const { value: value.clone(), ty: array.element };
            Some(array.elements.iter().map(element).collect())
        }
        _ => None,
    }
}

/// `LIKE 'abc%'`: texts from `abc` up to, not including, `abd`.
fn like(column: usize, pattern: &Expr, found: &mut dyn FnMut(usize, SargKind, bool)) {
    let Expr::Const { value: Datum::Text(pattern), .. } = pattern else { return };
    let mut prefix = String::new();
    let mut chars = pattern.chars();
    loop {
        match chars.next() {
            Some('%' | '_') | None => break,
            Some('\\') => match chars.next() {
                Some(escaped) => prefix.push(escaped),
                None => return,
            },
            Some(plain) => prefix.push(plain),
        }
    }
    if prefix.is_empty() {
        return;
    }
    let text = |text: String| Expr::Const { value: Datum::text(text), ty: SqlType::TEXT };
    let after = text_after(&prefix);
    found(column, SargKind::Lower(text(prefix), true), false);
    if let Some(after) = after {
        found(column, SargKind::Upper(text(after), false), false);
    }
}

/// The first text (by bytes) after all that begin with `prefix`.
fn text_after(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(last as u32 + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}
