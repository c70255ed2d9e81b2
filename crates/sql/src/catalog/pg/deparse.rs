//! Bound expressions as text, in PostgreSQL's own spelling: what `pg_get_expr` shows, with all parentheses or, `pretty`, with
//! the necessary ones.

use expr::{CastMethod, Datum, EvalContext, Expr, FunctionId, Oid, Quantifier, SqlType, functions, operators, types};

use super::describe::relation_name;
use crate::catalog::quote::{quote_ident, quote_literal};
use crate::catalog::{Catalog, SearchPath, Table};
use crate::parse::ast::{ExprKind, SpecialValue};
use crate::{bind, parse};

/// The text of an expression over the table's visible columns, of type `ty` if that is given; `None` if it cannot be read
/// any more.
pub(super) fn expression(
    catalog: &Catalog,
    path: &SearchPath,
    table: Option<&Table>,
    text: &str,
    ty: Option<SqlType>,
    pretty: bool,
) -> Option<String> {
    if let ExprKind::Special(value, precision) = parse::parse_expression(text).ok()?.kind {
        return Some(special(value, precision));
    }
    let none;
    let over = match table {
        Some(table) => table,
        None => {
            none = Table::new(crate::catalog::TableDescriptor::empty(
                Oid(0),
                Oid(0),
                Oid(0),
                "",
                crate::catalog::RelationKind::Virtual,
            ));
            &none
        }
    };
    let bound = bind::bind_over_row(catalog, path, over, text, ty).ok()?;
    let columns = over.visible_columns().map(|column| column.name.as_str()).collect();
    let writer = Writer { catalog, path, columns, pretty };
    let mut out = String::new();
    writer.expr(&mut out, &bound, false);
    Some(out)
}

fn special(value: SpecialValue, precision: Option<i32>) -> String {
    let name = match value {
        SpecialValue::User => "USER".to_owned(),
        other => other.name().to_uppercase(),
    };
    match precision {
        Some(precision) => format!("{name}({precision})"),
        None => name,
    }
}

struct Writer<'a> {
    catalog: &'a Catalog,
    path: &'a SearchPath,
    columns: Vec<&'a str>,
    pretty: bool,
}

/// What stands around an expression: decides whether it needs parentheses of its own when only the necessary ones are
/// written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parent {
    Operator,
    And,
    Or,
    Not,
    Cast,
    /// `IS NULL` and the like.
    Test,
}

impl Writer<'_> {
    /// `implicit`: conversions that nobody wrote are shown.
    fn expr(&self, out: &mut String, expr: &Expr, implicit: bool) {
        match expr {
            Expr::Const { value, ty } => self.constant(out, value, *ty),
            Expr::Column { index, .. } => {
                out.push_str(&quote_ident(self.columns.get(*index).copied().unwrap_or("?column?")));
            }
            Expr::Param { index, .. } => out.push_str(&format!("${}", index + 1)),
            Expr::Call { function, args, .. } => self.call(out, *function, args),
            // A literal that is read when it is used.
            Expr::Cast { arg, ty, .. } if is_untyped(arg) => self.cast(out, arg, *ty, CastMethod::InOut),
            Expr::Cast { arg, explicit, .. } if !*explicit && !implicit => self.expr(out, arg, false),
            Expr::Cast { arg, ty, method, .. } => self.cast(out, arg, *ty, *method),
            Expr::And(list) => self.junction(out, list, " AND ", Parent::And),
            Expr::Or(list) => self.junction(out, list, " OR ", Parent::Or),
            Expr::Not(arg) => self.wrapped(out, |out| {
                out.push_str("NOT ");
                self.inside(out, arg, false, Parent::Not);
            }),
            Expr::IsNull { arg, negated } => self.test(out, arg, if *negated { "IS NOT NULL" } else { "IS NULL" }),
            Expr::IsBool { arg, value, negated } => {
                let value = match value {
                    Some(true) => "TRUE",
                    Some(false) => "FALSE",
                    None => "UNKNOWN",
                };
                self.test(out, arg, &format!("IS {}{value}", if *negated { "NOT " } else { "" }));
            }
            Expr::IsDistinct { left, right, negated, .. } => self.wrapped(out, |out| {
                self.inside(out, left, true, Parent::Operator);
                out.push_str(if *negated { " IS NOT DISTINCT FROM " } else { " IS DISTINCT FROM " });
                self.inside(out, right, true, Parent::Operator);
            }),
            Expr::Case { whens, otherwise, ty } => self.case(out, whens, otherwise.as_deref(), *ty),
            Expr::Coalesce { args, .. } => self.listed(out, "COALESCE(", args, ")"),
            Expr::NullIf { left, right, .. } => {
                out.push_str("NULLIF(");
                self.expr(out, left, true);
                out.push_str(", ");
                self.expr(out, right, true);
                out.push(')');
            }
            Expr::Extreme { args, greatest, .. } => {
                self.listed(out, if *greatest { "GREATEST(" } else { "LEAST(" }, args, ")");
            }
            Expr::AnyAll { left, array, operator, quantifier } => self.wrapped(out, |out| {
                self.inside(out, left, true, Parent::Operator);
                let quantifier = if *quantifier == Quantifier::Any { "ANY" } else { "ALL" };
                out.push_str(&format!(" {} {quantifier} (", symbol(*operator).unwrap_or("=")));
                self.expr(out, array, true);
                out.push(')');
            }),
            Expr::InList { left, list, equals, negated } => self.in_list(out, left, list, *equals, *negated),
            Expr::Array { elements, ty } if elements.is_empty() => {
                out.push_str(&format!("ARRAY[]::{}", self.type_name(*ty)));
            }
            Expr::Array { elements, .. } => self.listed(out, "ARRAY[", elements, "]"),
            Expr::Row { fields, .. } => self.listed(out, "ROW(", fields, ")"),
            Expr::Field { arg, index, .. } => {
                out.push('(');
                self.expr(out, arg, true);
                out.push_str(&format!(").f{}", index + 1));
            }
            Expr::Subscript { array, indexes, .. } => {
                self.array_base(out, array);
                for index in indexes {
                    out.push('[');
                    self.expr(out, index, false);
                    out.push(']');
                }
            }
            Expr::Slice { array, bounds, .. } => {
                self.array_base(out, array);
                for (lower, upper) in bounds {
                    out.push('[');
                    lower.iter().for_each(|lower| self.expr(out, lower, false));
                    out.push(':');
                    upper.iter().for_each(|upper| self.expr(out, upper, false));
                    out.push(']');
                }
            }
        }
    }

    fn array_base(&self, out: &mut String, array: &Expr) {
        if matches!(array, Expr::Column { .. } | Expr::Param { .. }) {
            return self.expr(out, array, true);
        }
        out.push('(');
        self.expr(out, array, true);
        out.push(')');
    }

    /// Within parentheses, unless only the necessary ones are wanted.
    fn wrapped(&self, out: &mut String, body: impl FnOnce(&mut String)) {
        if !self.pretty {
            out.push('(');
        }
        body(out);
        if !self.pretty {
            out.push(')');
        }
    }

    /// An operand: in parentheses where it would otherwise be read as something else.
    fn inside(&self, out: &mut String, expr: &Expr, implicit: bool, parent: Parent) {
        let needs = self.pretty && !self.is_simple(expr, implicit, parent);
        if needs {
            out.push('(');
        }
        self.expr(out, expr, implicit);
        if needs {
            out.push(')');
        }
    }

    fn is_simple(&self, expr: &Expr, implicit: bool, parent: Parent) -> bool {
        match expr {
            Expr::Cast { arg, explicit, .. } if !*explicit && !implicit => self.is_simple(arg, implicit, parent),
            Expr::Cast { arg, .. } => self.is_simple(arg, false, Parent::Cast),
            Expr::Call { function, args, .. } if is_operation(*function, args) => match parent {
                Parent::And | Parent::Or | Parent::Not => true,
                Parent::Operator | Parent::Cast | Parent::Test => false,
            },
            Expr::And(_) | Expr::Not(_) => matches!(parent, Parent::And | Parent::Or),
            Expr::Or(_) => parent == Parent::Or,
            Expr::IsNull { .. } | Expr::IsBool { .. } | Expr::IsDistinct { .. } => {
                matches!(parent, Parent::And | Parent::Or | Parent::Not)
            }
            Expr::AnyAll { .. } | Expr::InList { .. } => false,
            _ => true,
        }
    }

    fn junction(&self, out: &mut String, list: &[Expr], word: &str, parent: Parent) {
        self.wrapped(out, |out| {
            for (at, expr) in list.iter().enumerate() {
                if at > 0 {
                    out.push_str(word);
                }
                self.inside(out, expr, false, parent);
            }
        });
    }

    fn test(&self, out: &mut String, arg: &Expr, words: &str) {
        self.wrapped(out, |out| {
            self.inside(out, arg, true, Parent::Test);
            out.push(' ');
            out.push_str(words);
        });
    }

    fn listed(&self, out: &mut String, open: &str, list: &[Expr], close: &str) {
        out.push_str(open);
        for (at, expr) in list.iter().enumerate() {
            if at > 0 {
                out.push_str(", ");
            }
            self.expr(out, expr, true);
        }
        out.push_str(close);
    }

    fn call(&self, out: &mut String, function: FunctionId, args: &[Expr]) {
        match (symbol(function), args) {
            (Some(symbol), [left, right]) => self.wrapped(out, |out| {
                self.inside(out, left, true, Parent::Operator);
                out.push_str(&format!(" {symbol} "));
                self.inside(out, right, true, Parent::Operator);
            }),
            (Some(symbol), [arg]) => self.wrapped(out, |out| {
                out.push_str(symbol);
                out.push(' ');
                self.inside(out, arg, true, Parent::Operator);
            }),
            _ => {
                let name = functions::by_id(function).map_or("?", |entry| entry.name);
                self.listed(out, &format!("{}(", quote_ident(name)), args, ")");
            }
        }
    }

    fn cast(&self, out: &mut String, arg: &Expr, ty: SqlType, method: CastMethod) {
        // A name that was written as text is the object's.
        if let (Expr::Const { value: Datum::Text(text), .. }, SqlType::REGCLASS) = (arg, ty)
            && let Ok(oid) = text.parse()
        {
            return self.constant(out, &Datum::Oid(oid), ty);
        }
        let _how = method;
        match arg {
            Expr::Const { value, ty: own } if own.oid == ty.oid || is_untyped(arg) => self.unlabelled(out, value, *own),
            _ => self.wrapped(out, |out| self.inside(out, arg, false, Parent::Cast)),
        }
        out.push_str(&format!("::{}", self.type_name(ty)));
    }

    fn in_list(&self, out: &mut String, left: &Expr, list: &[Expr], equals: FunctionId, negated: bool) {
        let symbol = symbol(equals).unwrap_or("=");
        let (operator, quantifier) = if negated { ("<>", "ALL") } else { (symbol, "ANY") };
        // varchar is compared as text: PostgreSQL makes the list one of varchar and converts it as a whole.
        let is_varchar =
            matches!(left, Expr::Cast { arg, explicit: false, .. } if bind::type_of(arg).base() == SqlType::VARCHAR);
        self.wrapped(out, |out| {
            self.inside(out, left, true, Parent::Operator);
            out.push_str(&format!(" {operator} {quantifier} ("));
            if is_varchar {
                self.wrapped(out, |out| self.varchar_list(out, list));
                out.push_str("::text[]");
            } else {
                self.listed(out, "ARRAY[", list, "]");
            }
            out.push(')');
        });
    }

    fn varchar_list(&self, out: &mut String, list: &[Expr]) {
        out.push_str("ARRAY[");
        for (at, expr) in list.iter().enumerate() {
            if at > 0 {
                out.push_str(", ");
            }
            match expr {
                Expr::Const { value, .. } => self.constant(out, value, SqlType::VARCHAR),
                other => self.expr(out, other, true),
            }
        }
        out.push(']');
    }

    fn case(&self, out: &mut String, whens: &[(Expr, Expr)], otherwise: Option<&Expr>, ty: SqlType) {
        out.push_str("\nCASE");
        for (when, then) in whens {
            out.push_str("\n    WHEN ");
            self.expr(out, when, false);
            out.push_str(" THEN ");
            self.expr(out, then, true);
        }
        out.push_str("\n    ELSE ");
        match otherwise {
            Some(expr) => self.expr(out, expr, true),
            None => self.constant(out, &Datum::Null, ty),
        }
        out.push_str("\nEND");
    }

    // ---- constants ----

    /// With its type, unless the text alone says it.
    fn constant(&self, out: &mut String, value: &Datum, ty: SqlType) {
        let needs_label = match value {
            Datum::Null | Datum::Oid(_) => true,
            Datum::Bool(_) => false,
            Datum::Int4(number) => *number < 0,
            Datum::Numeric(_) => {
                let text = value.text_form(ty, &EvalContext::detached());
                !is_plain_numeric(&text)
            }
            _ => ty.base() != SqlType::UNKNOWN,
        };
        self.unlabelled(out, value, ty);
        if needs_label {
            out.push_str(&format!("::{}", self.type_name(ty.base())));
        }
    }

    fn unlabelled(&self, out: &mut String, value: &Datum, ty: SqlType) {
        match value {
            Datum::Null => out.push_str("NULL"),
            Datum::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Datum::Int4(number) if *number >= 0 => out.push_str(&number.to_string()),
            Datum::Oid(oid) if ty.base() == SqlType::REGCLASS => {
                let name = self.catalog.table(Oid(*oid)).map(|table| relation_name(self.catalog, self.path, table));
                out.push_str(&quote_literal(&name.unwrap_or_else(|| oid.to_string())));
            }
            Datum::Numeric(_) => {
                let text = value.text_form(ty, &EvalContext::detached());
                let is_number = text.starts_with(|c: char| c.is_ascii_digit());
                out.push_str(&if is_number { text } else { quote_literal(&text) });
            }
            other => out.push_str(&quote_literal(&other.text_form(ty, &EvalContext::detached()))),
        }
    }

    fn type_name(&self, ty: SqlType) -> String {
        types::format_type(ty.oid, Some(ty.typmod))
    }
}

/// `1.5`, which the parser reads as numeric; `1` is an integer.
fn is_plain_numeric(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && text.contains(['.', 'e', 'E'])
}

fn is_untyped(expr: &Expr) -> bool {
    matches!(expr, Expr::Const { ty, .. } if ty.base() == SqlType::UNKNOWN)
}

/// The operator that a function is behind.
fn symbol(function: FunctionId) -> Option<&'static str> {
    operators::by_function(function).map(|operator| operator.name)
}

fn is_operation(function: FunctionId, args: &[Expr]) -> bool {
    args.len() <= 2 && symbol(function).is_some()
}
