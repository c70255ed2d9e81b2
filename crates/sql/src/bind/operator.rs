//! Operators, comparisons of rows, and what SQL defines through operators.

use expr::{Expr, FunctionId, Quantifier, SqlType, functions, resolve};

use super::{Binder, type_of};
use crate::SqlResult;
use crate::parse::ast::{self, LikeKind, OperatorName};

impl Binder<'_> {
    pub(super) fn operator_symbol<'n>(&self, name: &'n OperatorName, at: ast::At) -> SqlResult<&'n str> {
        match &name.schema {
            Some(schema) if schema.as_str() != "pg_catalog" => {
                Err(self.error_at(at, "42883", format!("operator does not exist: {schema}.{}", name.symbol)))
            }
            _ => Ok(&name.symbol),
        }
    }

    pub(super) fn prefix(&mut self, symbol: &str, arg: Expr, at: ast::At) -> SqlResult<Expr> {
        let found = resolve::operator(symbol, None, type_of(&arg).oid).map_err(self.placed(at))?;
        let arg = self.implicit(arg, SqlType::from(found.right), at)?;
        Ok(Expr::Call { function: found.operator.function, args: vec![arg], ty: SqlType::from(found.result) })
    }

    pub(super) fn binary(&mut self, symbol: &str, left: Expr, right: Expr, at: ast::At) -> SqlResult<Expr> {
        if let (Expr::Row { .. }, Expr::Row { .. }) = (&left, &right) {
            return self.compare_rows(symbol, left, right, at);
        }
        let found =
            resolve::operator(symbol, Some(type_of(&left).oid), type_of(&right).oid).map_err(self.placed(at))?;
        let left_type = found.left.map_or_else(|| type_of(&left), SqlType::from);
        let left = self.implicit(left, left_type, at)?;
        let right = self.implicit(right, SqlType::from(found.right), at)?;
        Ok(Expr::Call { function: found.operator.function, args: vec![left, right], ty: SqlType::from(found.result) })
    }

    /// The operands as `=` wants them, and its function.
    pub(super) fn equality(&mut self, left: Expr, right: Expr, at: ast::At) -> SqlResult<(Expr, Expr, FunctionId)> {
        match self.binary("=", left, right, at)? {
            Expr::Call { function, mut args, .. } if args.len() == 2 => {
                let right = args.pop().expect("there are two");
                let left = args.pop().expect("there is one left");
                Ok((left, right, function))
            }
            _ => Err(self.error_at(at, "0A000", "comparing rows is not supported here")),
        }
    }

    /// `(a, b) op (c, d)`: pairwise for = and <>, lexicographic for the others.
    fn compare_rows(&mut self, symbol: &str, left: Expr, right: Expr, at: ast::At) -> SqlResult<Expr> {
        let (Expr::Row { fields: left, .. }, Expr::Row { fields: right, .. }) = (left, right) else {
            return Err(self.error_at(at, "XX000", "two rows are compared"));
        };
        if left.len() != right.len() {
            return Err(self.error_at(at, "42601", "unequal number of entries in row expressions"));
        }
        if left.is_empty() {
            return Err(self.error_at(at, "0A000", "cannot compare rows of zero length"));
        }
        let pairs: Vec<(Expr, Expr)> = left.into_iter().zip(right).collect();
        match symbol {
            "=" => Ok(Expr::And(pairs.into_iter().map(|(a, b)| self.binary("=", a, b, at)).collect::<SqlResult<_>>()?)),
            "<>" => {
                Ok(Expr::Or(pairs.into_iter().map(|(a, b)| self.binary("<>", a, b, at)).collect::<SqlResult<_>>()?))
            }
            "<" | "<=" | ">" | ">=" => {
                let strict = &symbol[..1];
                let mut out: Option<Expr> = None;
                for (a, b) in pairs.into_iter().rev() {
                    let Some(rest) = out else {
                        out = Some(self.binary(symbol, a, b, at)?);
                        continue;
                    };
                    let (first, same) = (self.binary(strict, a.clone(), b.clone(), at)?, self.binary("=", a, b, at)?);
                    out = Some(Expr::Or(vec![first, Expr::And(vec![same, rest])]));
                }
                out.ok_or_else(|| self.error_at(at, "0A000", "cannot compare rows of zero length"))
            }
            _ => Err(self.error_at(
                at,
                "0A000",
                format!("could not determine interpretation of row comparison operator {symbol}"),
            )),
        }
    }

    /// `left op ANY|ALL (array)`.
    pub(super) fn any_array(
        &mut self,
        symbol: &str,
        left: Expr,
        array: Expr,
        all: bool,
        at: ast::At,
    ) -> SqlResult<Expr> {
        let array_type = type_of(&array);
        let element = match array_type.element() {
            Some(element) => element.base(),
            None if array_type == SqlType::UNKNOWN => SqlType::UNKNOWN,
            None => return Err(self.error_at(at, "42809", "op ANY/ALL (array) requires array on right side")),
        };
        let found = resolve::operator(symbol, Some(type_of(&left).oid), element.oid).map_err(self.placed(at))?;
        if SqlType::from(found.result) != SqlType::BOOL {
            return Err(self.error_at(at, "42809", "op ANY/ALL (array) requires operator to yield boolean"));
        }
        let wanted = SqlType::from(found.right);
        let array_wanted = wanted
            .array()
            .ok_or_else(|| self.error_at(at, "42704", format!("could not find array type for data type {wanted}")))?;
        let left = self.implicit(left, found.left.map_or(wanted, SqlType::from), at)?;
        let array = if element == wanted { array } else { self.implicit(array, array_wanted, at)? };
        Ok(Expr::AnyAll {
            left: Box::new(left),
            array: Box::new(array),
            operator: found.operator.function,
            quantifier: if all { Quantifier::All } else { Quantifier::Any },
        })
    }

    pub(super) fn in_list(
        &mut self,
        left: Expr,
        list: Vec<(Expr, ast::At)>,
        negated: bool,
        at: ast::At,
    ) -> SqlResult<Expr> {
        let mut oids = vec![type_of(&left).oid];
        oids.extend(list.iter().map(|(item, _)| type_of(item).oid));
        let plain = !matches!(left, Expr::Row { .. }) && list.len() > 1;
        if plain && let Ok(common) = resolve::common_type(&oids, "IN") {
            let found = resolve::operator("=", Some(common), common).map_err(self.placed(at))?;
            let left = self.implicit(left, found.left.map_or(SqlType::from(common), SqlType::from), at)?;
            let wanted = SqlType::from(found.right);
            let list = list.into_iter().map(|(item, at)| self.implicit(item, wanted, at)).collect::<SqlResult<_>>()?;
            return Ok(Expr::InList { left: Box::new(left), list, equals: found.operator.function, negated });
        }
        let symbol = if negated { "<>" } else { "=" };
        let mut terms = Vec::with_capacity(list.len());
        for (item, _) in list {
            terms.push(self.binary(symbol, left.clone(), item, at)?);
        }
        Ok(match terms.len() {
            1 => terms.remove(0),
            _ if negated => Expr::And(terms),
            _ => Expr::Or(terms),
        })
    }

    /// LIKE, ILIKE and SIMILAR TO are operators over a pattern that an ESCAPE clause has been worked into.
    pub(super) fn like(
        &mut self,
        kind: LikeKind,
        negated: bool,
        arg: Expr,
        pattern: Expr,
        escape: Option<Expr>,
        at: ast::At,
    ) -> SqlResult<Expr> {
        let symbol = match (kind, negated) {
            (LikeKind::Like, false) => "~~",
            (LikeKind::Like, true) => "!~~",
            (LikeKind::ILike, false) => "~~*",
            (LikeKind::ILike, true) => "!~~*",
            (LikeKind::SimilarTo, false) => "~",
            (LikeKind::SimilarTo, true) => "!~",
        };
        let pattern = match (kind, escape) {
            (LikeKind::SimilarTo, None) => self.catalog_function("similar_to_escape", vec![pattern], at)?,
            (LikeKind::SimilarTo, Some(escape)) => {
                self.catalog_function("similar_to_escape", vec![pattern, escape], at)?
            }
            (_, Some(escape)) => self.catalog_function("like_escape", vec![pattern, escape], at)?,
            (_, None) => pattern,
        };
        self.binary(symbol, arg, pattern, at)
    }

    /// A scalar function of pg_catalog.
    pub(super) fn catalog_function(&mut self, name: &str, args: Vec<Expr>, at: ast::At) -> SqlResult<Expr> {
        let oids: Vec<_> = args.iter().map(|arg| type_of(arg).oid).collect();
        let shape = resolve::CallShape { types: &oids, names: &[], variadic: false };
        let found = resolve::function(name, functions::by_name(name), shape).map_err(self.placed(at))?;
        self.scalar_call(&found, args, at)
    }
}
