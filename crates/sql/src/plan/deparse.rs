//! Bound expressions as SQL, for EXPLAIN: columns by name, operators in place, implicit conversions left out.

use expr::functions;
use expr::operators;
use expr::types::format_type;
use expr::{Aggregate, Datum, EvalContext, Expr, Quantifier, SortKey, SqlType};

/// An expression over columns of these names.
pub fn expression(expr: &Expr, names: &[String]) -> String {
    Deparse { names }.expr(expr)
}

pub fn list<'e>(exprs: impl IntoIterator<Item = &'e Expr>, names: &[String]) -> String {
    exprs.into_iter().map(|expr| expression(expr, names)).collect::<Vec<_>>().join(", ")
}

pub fn sort_keys(keys: &[SortKey], names: &[String]) -> String {
    let key = |key: &SortKey| {
        let mut out = expression(&key.expr, names);
        if key.descending {
            out.push_str(" DESC");
        }
        // NULLs are last in ascending order unless said otherwise.
        match (key.descending, key.nulls_first) {
            (true, false) => out.push_str(" NULLS LAST"),
            (false, true) => out.push_str(" NULLS FIRST"),
            _ => {}
        }
        out
    };
    keys.iter().map(key).collect::<Vec<_>>().join(", ")
}

pub fn aggregate(aggregate: &Aggregate, names: &[String]) -> String {
    let name = expr::aggregates::by_kind(aggregate.function).map_or("?", |entry| entry.function.name);
    let mut args = match aggregate.args.is_empty() {
        true => "*".to_owned(),
        false => list(&aggregate.args, names),
    };
    if aggregate.distinct {
        args.insert_str(0, "DISTINCT ");
    }
    if !aggregate.order_by.is_empty() {
        args.push_str(&format!(" ORDER BY {}", sort_keys(&aggregate.order_by, names)));
    }
    let filter = aggregate.filter.as_ref().map(|filter| format!(" FILTER (WHERE {})", expression(filter, names)));
    format!("{name}({args}){}", filter.unwrap_or_default())
}

struct Deparse<'n> {
    names: &'n [String],
}

impl Deparse<'_> {
    fn expr(&self, expr: &Expr) -> String {
        match expr {
            Expr::Const { value, ty } => constant(value, *ty),
            Expr::Column { index, .. } => {
                self.names.get(*index).cloned().unwrap_or_else(|| format!("column{}", index + 1))
            }
            Expr::Param { index, .. } => format!("${}", index + 1),
            Expr::Call { function, args, .. } => self.call(*function, args),
            Expr::Cast { arg, ty, explicit: true, .. } => {
                format!("({})::{}", self.expr(arg), format_type(ty.oid, Some(ty.typmod)))
            }
            Expr::Cast { arg, .. } => self.expr(arg),
            Expr::And(list) => self.joined(list, " AND "),
            Expr::Or(list) => self.joined(list, " OR "),
            Expr::Not(arg) => format!("(NOT {})", self.expr(arg)),
            Expr::IsNull { arg, negated } => format!("({} IS {}NULL)", self.expr(arg), not(*negated)),
            Expr::IsBool { arg, value, negated } => {
                let value = match value {
                    Some(true) => "TRUE",
                    Some(false) => "FALSE",
                    None => "UNKNOWN",
                };
                format!("({} IS {}{value})", self.expr(arg), not(*negated))
            }
            Expr::IsDistinct { left, right, negated, .. } => {
                format!("({} IS {}DISTINCT FROM {})", self.expr(left), not(*negated), self.expr(right))
            }
            Expr::Case { whens, otherwise, .. } => {
                let whens: String = whens
                    .iter()
                    .map(|(when, then)| format!(" WHEN {} THEN {}", self.expr(when), self.expr(then)))
                    .collect();
                let otherwise =
                    otherwise.as_ref().map_or(String::new(), |otherwise| format!(" ELSE {}", self.expr(otherwise)));
                format!("CASE{whens}{otherwise} END")
            }
            Expr::Coalesce { args, .. } => format!("COALESCE({})", self.list(args)),
            Expr::NullIf { left, right, .. } => format!("NULLIF({}, {})", self.expr(left), self.expr(right)),
            Expr::Extreme { args, greatest, .. } => {
                format!("{}({})", if *greatest { "GREATEST" } else { "LEAST" }, self.list(args))
            }
            Expr::AnyAll { left, array, operator, quantifier } => {
                let word = if *quantifier == Quantifier::Any { "ANY" } else { "ALL" };
                format!("({} {} {word} ({}))", self.expr(left), symbol(*operator), self.expr(array))
            }
            Expr::InList { left, list, negated, .. } => {
                format!("({} {}IN ({}))", self.expr(left), not(*negated), self.list(list))
            }
            Expr::Array { elements, .. } => format!("ARRAY[{}]", self.list(elements)),
            Expr::Row { fields, .. } => format!("ROW({})", self.list(fields)),
            Expr::Field { arg, index, .. } => format!("({}).f{}", self.expr(arg), index + 1),
            Expr::Subscript { array, indexes, .. } => {
                let indexes: String = indexes.iter().map(|index| format!("[{}]", self.expr(index))).collect();
                format!("{}{indexes}", self.expr(array))
            }
            Expr::Slice { array, bounds, .. } => {
                let bound = |bound: &Option<Expr>| bound.as_ref().map_or(String::new(), |bound| self.expr(bound));
                let bounds: String =
                    bounds.iter().map(|(lower, upper)| format!("[{}:{}]", bound(lower), bound(upper))).collect();
                format!("{}{bounds}", self.expr(array))
            }
        }
    }

    fn list(&self, exprs: &[Expr]) -> String {
        exprs.iter().map(|expr| self.expr(expr)).collect::<Vec<_>>().join(", ")
    }

    fn joined(&self, exprs: &[Expr], word: &str) -> String {
        format!("({})", exprs.iter().map(|expr| self.expr(expr)).collect::<Vec<_>>().join(word))
    }

    fn call(&self, function: expr::FunctionId, args: &[Expr]) -> String {
        match (operators::by_function(function), args) {
            (Some(operator), [left, right]) => format!("({} {} {})", self.expr(left), operator.name, self.expr(right)),
            (Some(operator), [arg]) if operator.left.is_none() => format!("({} {})", operator.name, self.expr(arg)),
            _ => format!("{}({})", functions::by_id(function).map_or("?", |entry| entry.name), self.list(args)),
        }
    }
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

pub fn symbol(function: expr::FunctionId) -> &'static str {
    operators::by_function(function).map_or("?", |operator| operator.name)
}

/// A count as PostgreSQL's EXPLAIN would show it if it showed counts: digits alone.
pub fn count(expr: &Expr) -> String {
    match expr {
        Expr::Const { value: Datum::Int8(n), .. } => n.to_string(),
        other => expression(other, &[]),
    }
}

fn constant(value: &Datum, ty: SqlType) -> String {
    let typed = |text: String| format!("'{}'::{}", text.replace('\'', "''"), format_type(ty.oid, Some(ty.typmod)));
    match value {
        Datum::Null => format!("NULL::{}", format_type(ty.oid, Some(ty.typmod))),
        Datum::Bool(value) => value.to_string(),
        Datum::Int4(n) => n.to_string(),
        Datum::Int2(n) => typed(n.to_string()),
        Datum::Int8(n) => typed(n.to_string()),
        Datum::Oid(n) => typed(n.to_string()),
        Datum::Text(text) => typed(text.to_string()),
        other => {
            let mut text = String::new();
            other.to_text(ty, &EvalContext::detached(), &mut text);
            typed(text)
        }
    }
}
