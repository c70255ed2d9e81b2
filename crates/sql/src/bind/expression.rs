//! Scalar expressions.

use expr::casts::CastContext;
use expr::{Expr, SqlType, types};

use super::{Binder, literal, type_of};
use crate::SqlResult;
use crate::parse::ast::{self, ExprKind, SpecialValue, Subscript};

impl Binder<'_> {
    pub(super) fn expr(&mut self, written: &ast::Expr) -> SqlResult<Expr> {
        // A tree is at most `parse::DEPTH_MAX` high, and each level takes a few frames.
        stacker::maybe_grow(64 << 10, 2 << 20, || self.expr_here(written))
    }

    pub(super) fn exprs(&mut self, written: &[ast::Expr]) -> SqlResult<Vec<Expr>> {
        written.iter().map(|expr| self.expr(expr)).collect()
    }

    fn expr_here(&mut self, written: &ast::Expr) -> SqlResult<Expr> {
        let at = written.at;
        match &written.kind {
            ExprKind::Null => Ok(literal::null()),
            ExprKind::Bool(value) => Ok(literal::boolean(*value)),
            ExprKind::Number(digits) => Ok(literal::number(digits)),
            ExprKind::Text(text) => Ok(literal::text(text)),
            ExprKind::Bits(_) => Err(self.error_at(at, "0A000", "bit strings are not supported")),
            ExprKind::Param(number) => self.param(*number, at),
            ExprKind::Column(names) => self.column(names, at),
            // A table's row as a value: `t.* = u.*`.
            ExprKind::Star(table) if !table.is_empty() => {
                let fields = self.star(table, at)?.into_iter().map(|(_, expr, _)| expr).collect();
                Ok(Expr::Row { fields, ty: SqlType::RECORD })
            }
            ExprKind::Star(_) | ExprKind::FieldStar(_) => {
                Err(self.error_at(at, "42601", "row expansion via \"*\" is not supported here"))
            }
            ExprKind::Field(arg, name) => self.field(arg, name, at),
            ExprKind::Subscript(arg, subscripts) => self.subscript(arg, subscripts, at),
            ExprKind::Prefix(operator, arg) => {
                let symbol = self.operator_symbol(operator, at)?;
                // The grammar folds the sign into a number, so that -2147483648 is an int4.
                if let ("-", ExprKind::Number(digits)) = (symbol, &arg.kind)
                    && !digits.starts_with('-')
                {
                    return Ok(literal::number(&format!("-{digits}")));
                }
                let arg = self.expr(arg)?;
                self.prefix(symbol, arg, at)
            }
            ExprKind::Binary(binary) => {
                let symbol = self.operator_symbol(&binary.operator, at)?;
                let (left, right) = (self.expr(&binary.left)?, self.expr(&binary.right)?);
                let are_written =
                    matches!((&binary.left.kind, &binary.right.kind), (ExprKind::Row(_), ExprKind::Row(_)));
                match (symbol, left, right) {
                    // Whole rows are values, of which NULLs are equal parts; rows that are written out are not.
                    ("=" | "<>", Expr::Row { fields: left, .. }, Expr::Row { fields: right, .. })
                        if !are_written && left.len() == right.len() =>
                    {
                        self.same_rows(left, right, symbol == "=", at)
                    }
                    (_, left, right) => self.binary(symbol, left, right, at),
                }
            }
            ExprKind::And(list) => Ok(Expr::And(self.conditions(list, "AND")?)),
            ExprKind::Or(list) => Ok(Expr::Or(self.conditions(list, "OR")?)),
            ExprKind::Not(arg) => {
                let bound = self.expr(arg)?;
                Ok(Expr::Not(Box::new(self.condition(bound, "NOT", arg.at)?)))
            }
            ExprKind::IsNull { arg, negated } => self.is_null(arg, *negated),
            ExprKind::IsBool { arg, value, negated } => {
                let bound = self.expr(arg)?;
                let arg = Box::new(self.condition(bound, "IS TRUE", arg.at)?);
                Ok(Expr::IsBool { arg, value: *value, negated: *negated })
            }
            ExprKind::IsDistinct { left, right, negated } => self.is_distinct(left, right, *negated, at),
            ExprKind::Between(between) => self.between(between, at),
            ExprKind::Like(like) => {
                let (arg, pattern) = (self.expr(&like.arg)?, self.expr(&like.pattern)?);
                let escape = like.escape.as_ref().map(|escape| self.expr(escape)).transpose()?;
                self.like(like.kind, like.negated, arg, pattern, escape, at)
            }
            ExprKind::InList { arg, list, negated } => {
                let arg = self.expr(arg)?;
                let list = list.iter().map(|item| Ok((self.expr(item)?, item.at))).collect::<SqlResult<_>>()?;
                self.in_list(arg, list, *negated, at)
            }
            ExprKind::InQuery { arg, query, negated } => self.in_query(arg, query, *negated, at),
            ExprKind::AnyArray { left, operator, array, all } => {
                let symbol = self.operator_symbol(operator, at)?;
                let (left, array) = (self.expr(left)?, self.expr(array)?);
                self.any_array(symbol, left, array, *all, at)
            }
            ExprKind::AnyQuery { left, operator, query, all } => self.any_query(left, operator, query, *all, at),
            ExprKind::Exists(query) => self.exists(query),
            ExprKind::Subquery(query) => self.scalar_query(query, at),
            ExprKind::ArrayQuery(query) => self.array_query(query, at),
            ExprKind::Case(case) => self.without_sets("CASE", |binder| binder.case(case)),
            ExprKind::Cast(arg, ty) => {
                let to = self.type_name(ty)?;
                // ARRAY[] has no type of its own: the cast gives it one.
                let bound = match &arg.kind {
                    ExprKind::Array(elements) if to.element().is_some() => {
                        self.array(elements, to.element(), arg.at)?
                    }
                    _ => self.expr(arg)?,
                };
                self.coerce(bound, to, CastContext::Explicit, at)
            }
            ExprKind::Collate(arg, name) => self.collate(arg, name, at),
            ExprKind::Call(call) => self.call(call, at),
            ExprKind::Special(value, precision) => self.special(*value, *precision, at),
            ExprKind::Coalesce(args) => {
                let (args, ty) = self.without_sets("COALESCE", |binder| binder.unified(args, "COALESCE"))?;
                Ok(Expr::Coalesce { args, ty })
            }
            ExprKind::NullIf(pair) => {
                let (left, right) = (self.expr(&pair.0)?, self.expr(&pair.1)?);
                let ty = type_of(&left);
                let (left, right, equals) = self.equality(left, right, at)?;
                let ty = if ty == SqlType::UNKNOWN { type_of(&left) } else { ty };
                Ok(Expr::NullIf { left: Box::new(left), right: Box::new(right), equals, ty })
            }
            ExprKind::Greatest(args) => {
                let (args, ty) = self.unified(args, "GREATEST")?;
                Ok(Expr::Extreme { args, greatest: true, ty })
            }
            ExprKind::Least(args) => {
                let (args, ty) = self.unified(args, "LEAST")?;
                Ok(Expr::Extreme { args, greatest: false, ty })
            }
            ExprKind::Row(fields) => {
                // Fields stay of unknown type here: a comparison with another row decides it.
                let fields = self.exprs(fields)?;
                Ok(Expr::Row { fields, ty: SqlType::RECORD })
            }
            ExprKind::Array(elements) => self.array(elements, None, at),
            ExprKind::Grouping(args) => self.grouping(args, at),
            ExprKind::Default => Err(self.error_at(at, "42601", "DEFAULT is not allowed in this context")),
            ExprKind::CurrentOf(_) => Err(self.error_at(at, "0A000", "WHERE CURRENT OF is not supported")),
        }
    }

    fn param(&mut self, number: u32, at: ast::At) -> SqlResult<Expr> {
        if number == 0 || number > 65_535 {
            return Err(self.error_at(at, "42P02", format!("there is no parameter ${number}")));
        }
        let index = number as usize - 1;
        if self.params.len() <= index {
            self.params.resize(index + 1, None);
        }
        Ok(Expr::Param { index, ty: self.params[index].unwrap_or(SqlType::UNKNOWN) })
    }

    /// Binds what may be evaluated only for some rows: a set there would have no meaning.
    fn without_sets<T>(&mut self, what: &str, bind: impl FnOnce(&mut Self) -> SqlResult<T>) -> SqlResult<T> {
        let before = self.level().pending.sets.len();
        let bound = bind(self)?;
        match self.level().pending.sets.get(before).map(|set| set.at) {
            Some(at) => Err(self.misplaced_set(at, format!("set-returning functions are not allowed in {what}"))),
            None => Ok(bound),
        }
    }

    pub(super) fn misplaced_set(&self, at: ast::At, message: String) -> crate::SqlError {
        let hint = "You might be able to move the set-returning function into a LATERAL FROM item.";
        self.error_at(at, "0A000", message).with_hint(hint)
    }

    fn conditions(&mut self, list: &[ast::Expr], word: &str) -> SqlResult<Vec<Expr>> {
        let bind = |written: &ast::Expr| {
            let bound = self.expr(written)?;
            self.condition(bound, word, written.at)
        };
        list.iter().map(bind).collect()
    }

    pub(super) fn unified(&mut self, list: &[ast::Expr], context: &str) -> SqlResult<(Vec<Expr>, SqlType)> {
        let bound = list.iter().map(|item| Ok((self.expr(item)?, item.at))).collect::<SqlResult<_>>()?;
        self.unify(bound, context)
    }

    fn is_null(&mut self, written: &ast::Expr, negated: bool) -> SqlResult<Expr> {
        match self.expr(written)? {
            // A row is null if all its fields are, not null if none is: two different tests.
            Expr::Row { fields, .. } => {
                let tests = fields.into_iter().map(|field| Expr::IsNull { arg: Box::new(field), negated });
                Ok(Expr::And(tests.collect()))
            }
            arg => Ok(Expr::IsNull { arg: Box::new(self.settle(arg, written.at)?), negated }),
        }
    }

    fn is_distinct(&mut self, left: &ast::Expr, right: &ast::Expr, negated: bool, at: ast::At) -> SqlResult<Expr> {
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        if let (Expr::Row { fields: left, .. }, Expr::Row { fields: right, .. }) = (&left, &right) {
            if left.len() != right.len() {
                return Err(self.error_at(at, "42601", "unequal number of entries in row expressions"));
            }
            return self.same_rows(left.clone(), right.clone(), negated, at);
        }
        self.distinct_pair(left, right, negated, at)
    }

    /// Field by field, NULLs being the same.
    fn same_rows(&mut self, left: Vec<Expr>, right: Vec<Expr>, same: bool, at: ast::At) -> SqlResult<Expr> {
        let tests =
            left.into_iter().zip(right).map(|(a, b)| self.distinct_pair(a, b, same, at)).collect::<SqlResult<_>>()?;
        Ok(if same { Expr::And(tests) } else { Expr::Or(tests) })
    }

    fn distinct_pair(&mut self, left: Expr, right: Expr, negated: bool, at: ast::At) -> SqlResult<Expr> {
        let (left, right, equals) = self.equality(left, right, at)?;
        Ok(Expr::IsDistinct { left: Box::new(left), right: Box::new(right), equals, negated })
    }

    fn between(&mut self, between: &ast::Between, at: ast::At) -> SqlResult<Expr> {
        let (arg, low, high) = (self.expr(&between.arg)?, self.expr(&between.low)?, self.expr(&between.high)?);
        let within = |binder: &mut Self, low: &Expr, high: &Expr| {
            let above = binder.binary(if between.negated { "<" } else { ">=" }, arg.clone(), low.clone(), at)?;
            let below = binder.binary(if between.negated { ">" } else { "<=" }, arg.clone(), high.clone(), at)?;
            let both = vec![above, below];
            Ok::<Expr, crate::SqlError>(if between.negated { Expr::Or(both) } else { Expr::And(both) })
        };
        let straight = within(self, &low, &high)?;
        if !between.symmetric {
            return Ok(straight);
        }
        let turned = within(self, &high, &low)?;
        Ok(if between.negated { Expr::And(vec![straight, turned]) } else { Expr::Or(vec![straight, turned]) })
    }

    fn case(&mut self, case: &ast::Case) -> SqlResult<Expr> {
        let operand = case.operand.as_ref().map(|operand| self.expr(operand)).transpose()?;
        let mut conditions = Vec::with_capacity(case.whens.len());
        let mut results = Vec::with_capacity(case.whens.len() + 1);
        // PostgreSQL looks at ELSE first when it chooses the type.
        if let Some(otherwise) = &case.otherwise {
            results.push((self.expr(otherwise)?, otherwise.at));
        }
        for (when, then) in &case.whens {
            let condition = self.expr(when)?;
            conditions.push(match &operand {
                Some(operand) => self.binary("=", operand.clone(), condition, when.at)?,
                None => self.condition(condition, "CASE/WHEN", when.at)?,
            });
            results.push((self.expr(then)?, then.at));
        }
        let (mut results, ty) = self.unify(results, "CASE")?;
        let otherwise = case.otherwise.is_some().then(|| Box::new(results.remove(0)));
        Ok(Expr::Case { whens: conditions.into_iter().zip(results).collect(), otherwise, ty })
    }

    /// `ARRAY[…]`; `element` where the surroundings say what it holds.
    fn array(&mut self, elements: &[ast::Expr], element: Option<SqlType>, at: ast::At) -> SqlResult<Expr> {
        let mut bound = Vec::with_capacity(elements.len());
        for written in elements {
            let expr = match &written.kind {
                ExprKind::Array(inner) => self.array(inner, element, written.at)?,
                _ => self.expr(written)?,
            };
            bound.push((expr, written.at));
        }
        let inner_arrays = bound.iter().any(|(expr, _)| type_of(expr).element().is_some());
        let (elements, ty) = match element {
            Some(element) => {
                let wanted = if inner_arrays { element.array().unwrap_or(element) } else { element };
                let coerced = bound.into_iter().map(|(expr, at)| self.coerce(expr, wanted, CastContext::Explicit, at));
                (coerced.collect::<SqlResult<Vec<_>>>()?, wanted)
            }
            None if bound.is_empty() => {
                return Err(self
                    .error_at(at, "42P18", "cannot determine type of empty array")
                    .with_hint("Explicitly cast to the desired type, for example ARRAY[]::integer[]."));
            }
            None => self.unify(bound, "ARRAY")?,
        };
        let ty = if ty.element().is_some() && (inner_arrays || element.is_none()) {
            ty
        } else {
            ty.array().ok_or_else(|| {
                self.error_at(
                    at,
                    "42704",
                    format!("could not find array type for data type {}", types::format_type_be(ty.oid)),
                )
            })?
        };
        Ok(Expr::Array { elements, ty })
    }

    fn subscript(&mut self, array: &ast::Expr, subscripts: &[Subscript], at: ast::At) -> SqlResult<Expr> {
        let array = self.expr(array)?;
        let ty = type_of(&array);
        let Some(element) = ty.element() else {
            let message = format!(
                "cannot subscript type {} because it does not support subscripting",
                types::format_type_be(ty.oid)
            );
            return Err(self.error_at(at, "42804", message));
        };
        let mut index = |written: &ast::Expr| {
            let bound = self.expr(written)?;
            self.coerce(bound, SqlType::INT4, CastContext::Assignment, written.at)
        };
        let is_slice = subscripts.iter().any(|subscript| matches!(subscript, Subscript::Slice(..)));
        if !is_slice {
            let indexes = subscripts
                .iter()
                .map(|subscript| match subscript {
                    Subscript::Index(written) => index(written),
                    Subscript::Slice(..) => unreachable!("there is no slice among them"),
                })
                .collect::<SqlResult<_>>()?;
            return Ok(Expr::Subscript { array: Box::new(array), indexes, ty: element });
        }
        let mut bounds = Vec::with_capacity(subscripts.len());
        for subscript in subscripts {
            bounds.push(match subscript {
                // Beside a slice a lone index means 1 to it.
                Subscript::Index(written) => {
                    let upper = index(written)?;
                    (Some(Expr::Const { value: expr::Datum::Int4(1), ty: SqlType::INT4 }), Some(upper))
                }
                Subscript::Slice(lower, upper) => {
                    (lower.as_ref().map(&mut index).transpose()?, upper.as_ref().map(&mut index).transpose()?)
                }
            });
        }
        Ok(Expr::Slice { array: Box::new(array), bounds, ty })
    }

    fn field(&mut self, arg: &ast::Expr, name: &ast::Name, at: ast::At) -> SqlResult<Expr> {
        if let ExprKind::Call(call) = &arg.kind
            && let Some(expr) = self.out_column(call, name, arg.at)?
        {
            return Ok(expr);
        }
        let bound = self.expr(arg)?;
        if let (ExprKind::Column(row), Expr::Row { .. }) = (&arg.kind, &bound) {
            // `(t).a` is t.a.
            let column: Vec<ast::Name> = row.iter().chain([name]).cloned().collect();
            return self.column(&column, at);
        }
        let ty = type_of(&bound);
        let message = if ty == SqlType::RECORD {
            format!("could not identify column \"{name}\" in record data type")
        } else {
            format!(
                "column notation .{name} applied to type {}, which is not a composite type",
                types::format_type_be(ty.oid)
            )
        };
        Err(self.error_at(at, if ty == SqlType::RECORD { "42703" } else { "42809" }, message))
    }

    /// Text sorts by its bytes (collation "C"), which is what the names below stand for.
    fn collate(&mut self, arg: &ast::Expr, name: &[ast::Name], at: ast::At) -> SqlResult<Expr> {
        let bound = self.expr(arg)?;
        let bound = self.settle(bound, arg.at)?;
        let ty = type_of(&bound);
        if !ty.is_string() && !ty.element().is_some_and(SqlType::is_string) {
            let message = format!("collations are not supported by type {}", types::format_type_be(ty.oid));
            return Err(self.error_at(at, "42804", message));
        }
        let known = match name {
            [name] => Some(name),
            [schema, name] if schema.as_str() == "pg_catalog" => Some(name),
            _ => None,
        };
        match known.map(ast::Name::as_str) {
            Some("C" | "POSIX" | "default" | "ucs_basic") => Ok(bound),
            _ => {
                let written = name.iter().map(ast::Name::as_str).collect::<Vec<_>>().join(".");
                Err(self.error_at(at, "42704", format!("collation \"{written}\" for encoding \"UTF8\" does not exist")))
            }
        }
    }

    /// `CURRENT_DATE` and its relatives: the transaction's start in various types, and the session's names.
    fn special(&mut self, value: SpecialValue, precision: Option<i32>, at: ast::At) -> SqlResult<Expr> {
        let (ty, is_time) = match value {
            SpecialValue::CurrentDate => (SqlType::DATE, true),
            SpecialValue::CurrentTime => (SqlType::TIMETZ, true),
            SpecialValue::CurrentTimestamp => (SqlType::TIMESTAMPTZ, true),
            SpecialValue::LocalTime => (SqlType::TIME, true),
            SpecialValue::LocalTimestamp => (SqlType::TIMESTAMP, true),
            _ => (SqlType::NAME, false),
        };
        if is_time {
            let now = self.catalog_function("now", Vec::new(), at)?;
            let ty = match precision {
                Some(precision) => ty.with_typmod(types::typmod_in(ty.oid, &[precision]).map_err(self.placed(at))?),
                None => ty,
            };
            return self.coerce(now, ty, CastContext::Explicit, at);
        }
        let name = match value {
            SpecialValue::SessionUser => "session_user",
            SpecialValue::CurrentCatalog => "current_database",
            SpecialValue::CurrentSchema => "current_schema",
            _ => "current_user",
        };
        self.catalog_function(name, Vec::new(), at)
    }
}
