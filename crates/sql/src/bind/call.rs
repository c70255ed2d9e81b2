//! Function calls: scalar, aggregate, set-returning; windows are in `window.rs`.

use expr::casts::CastContext;
use expr::functions::{self, FunctionKind};
use expr::resolve::{self, ArgSource, CallShape, ResolvedFunction};
use expr::{Aggregate, AggregateKind, Expr, SqlType};

use super::marks::Mark;
use super::scope::Clause;
use super::select::PendingSet;
use super::{Binder, literal, type_of};
use crate::SqlResult;
use crate::parse::ast;
use crate::plan::SetCall;

impl Binder<'_> {
    pub(super) fn call(&mut self, call: &ast::Call, at: ast::At) -> SqlResult<Expr> {
        let name = self.function_name(&call.name, at)?;
        if name == "count" && call.star {
            return self.aggregate_or_window(call, name, Vec::new(), at);
        }
        if call.star {
            return Err(self.error_at(
                at,
                "42809",
                format!("{name}(*) specified, but {name} is not an aggregate function"),
            ));
        }
        let kind = functions::by_name(name).first().map(|entry| entry.kind);
        if matches!(kind, Some(FunctionKind::Aggregate | FunctionKind::Window)) || call.over.is_some() {
            return self.aggregate_or_window(call, name, Vec::new(), at);
        }
        let args = self.exprs(&call.args)?;
        let found = match self.resolve_call(name, call, &args, at)? {
            Ok(found) => found,
            Err(cast_to) => {
                let [arg] = <[Expr; 1]>::try_from(args)
                    .map_err(|_| self.error_at(at, "42883", format!("function {name} does not exist")))?;
                return self.coerce(arg, cast_to, CastContext::Explicit, at);
            }
        };
        match found.function.kind {
            FunctionKind::Aggregate | FunctionKind::Window => return self.aggregate_or_window(call, name, args, at),
            FunctionKind::Procedure => {
                let hint = "To call a procedure, use CALL.";
                return Err(self.error_at(at, "42809", format!("{name}() is a procedure")).with_hint(hint));
            }
            FunctionKind::Function => {}
        }
        self.refuse_aggregate_syntax(call, name, at)?;
        if found.function.returns_set {
            return self.set_in_expression(&found, args, at);
        }
        self.scalar_call(&found, args, at)
    }

    fn function_name<'n>(&self, names: &'n [ast::Name], at: ast::At) -> SqlResult<&'n str> {
        match names {
            [name] => Ok(name.as_str()),
            [schema, name] if matches!(schema.as_str(), "pg_catalog" | "public") => Ok(name.as_str()),
            _ => {
                let written = names.iter().map(ast::Name::as_str).collect::<Vec<_>>().join(".");
                Err(self.error_at(at, "42883", format!("function {written}() does not exist")))
            }
        }
    }

    /// The overload; or (inner `Err`) the type that a call of a type's name converts to.
    fn resolve_call(
        &self,
        name: &str,
        call: &ast::Call,
        args: &[Expr],
        at: ast::At,
    ) -> SqlResult<Result<ResolvedFunction<'static>, SqlType>> {
        let oids: Vec<_> = args.iter().map(|arg| type_of(arg).oid).collect();
        let names: Vec<&str> = call.arg_names.iter().map(ast::Name::as_str).collect();
        let shape = CallShape { types: &oids, names: &names, variadic: call.variadic };
        match resolve::function(name, functions::by_name(name), shape) {
            Ok(found) => Ok(Ok(found)),
            Err(error) => match oids[..] {
                [arg] if let Some(to) = resolve::as_coercion(name, arg) => Ok(Err(SqlType::from(to))),
                _ => Err(self.placed(at)(error)),
            },
        }
    }

    fn refuse_aggregate_syntax(&self, call: &ast::Call, name: &str, at: ast::At) -> SqlResult<()> {
        let what = if call.distinct {
            "DISTINCT"
        } else if !call.order_by.is_empty() {
            "ORDER BY"
        } else if call.filter.is_some() {
            "FILTER"
        } else if call.within_group {
            "WITHIN GROUP"
        } else {
            return Ok(());
        };
        Err(self.error_at(at, "42809", format!("{what} specified, but {name} is not an aggregate function")))
    }

    /// The arguments in the order and types that the function declares.
    pub(super) fn call_args(
        &mut self,
        found: &ResolvedFunction<'_>,
        args: Vec<Expr>,
        at: ast::At,
    ) -> SqlResult<Vec<Expr>> {
        let mut given: Vec<Option<Expr>> = args.into_iter().map(Some).collect();
        let mut out = Vec::with_capacity(found.args.len());
        for (source, ty) in found.args.iter().zip(&found.arg_types) {
            let arg = match source {
                ArgSource::Given(position) => given[*position].take().expect("each argument is used once"),
                ArgSource::Default(position) => match found.function.default_of(*position) {
                    Some((text, ty)) => literal::typed(expr::Datum::text(text), ty, false).map_err(self.placed(at))?,
                    None => return Err(self.error_at(at, "XX000", "a default argument without a default")),
                },
            };
            let wanted = SqlType::from(*ty);
            let any = matches!(wanted, SqlType::ANY | SqlType::UNKNOWN);
            out.push(if any { self.settle(arg, at)? } else { self.implicit(arg, wanted, at)? });
        }
        if let Some(first) = found.variadic_from {
            let elements: Vec<Expr> = out.drain(first..).collect();
            let element = elements
                .first()
                .map(type_of)
                .or_else(|| found.function.variadic.map(SqlType::from))
                .unwrap_or(SqlType::TEXT);
            let ty = element.base().array().ok_or_else(|| {
                self.error_at(at, "42704", format!("could not find array type for data type {element}"))
            })?;
            out.push(Expr::Array { elements, ty });
        }
        Ok(out)
    }

    pub(super) fn scalar_call(
        &mut self,
        found: &ResolvedFunction<'_>,
        args: Vec<Expr>,
        at: ast::At,
    ) -> SqlResult<Expr> {
        let args = self.call_args(found, args, at)?;
        Ok(Expr::Call { function: found.function.id, args, ty: SqlType::from(found.result) })
    }

    // ---- aggregates ----

    fn aggregate_or_window(&mut self, call: &ast::Call, name: &str, _bound: Vec<Expr>, at: ast::At) -> SqlResult<Expr> {
        if call.over.is_some() {
            return self.window_call(call, name, at);
        }
        let is_aggregate = functions::by_name(name).iter().any(|entry| entry.kind == FunctionKind::Aggregate);
        if !is_aggregate {
            return Err(self.error_at(at, "42P20", format!("window function {name} requires an OVER clause")));
        }
        let clause = self.level().clause;
        match clause {
            Clause::SelectList
            | Clause::OrderBy
            | Clause::DistinctOn
            | Clause::Having
            | Clause::WindowArguments
            | Clause::WindowDefinition => {}
            Clause::AggregateArguments => {
                return Err(self.error_at(at, "42803", "aggregate function calls cannot be nested"));
            }
            other => {
                return Err(self.error_at(
                    at,
                    "42803",
                    format!("aggregate functions are not allowed in {}", other.name()),
                ));
            }
        }
        let aggregate = self.aggregate(call, name, at)?;
        let level = self.level();
        let ty = aggregate.ty;
        let known =
            level.pending.aggregates.iter().position(|other| super::grouping::same_aggregate(other, &aggregate));
        let number = known.unwrap_or_else(|| {
            level.pending.aggregates.push(aggregate);
            level.pending.aggregates.len() - 1
        });
        Ok(self.marked(Mark::Aggregate(number), ty))
    }

    /// The call itself, its arguments over the columns of FROM.
    pub(super) fn aggregate(&mut self, call: &ast::Call, name: &str, at: ast::At) -> SqlResult<Aggregate> {
        if call.within_group {
            return Err(self.error_at(at, "0A000", "ordered-set aggregates (WITHIN GROUP) are not supported"));
        }
        let args = self.in_clause(Clause::AggregateArguments, |binder| binder.exprs(&call.args))?;
        let oids: Vec<_> = args.iter().map(|arg| type_of(arg).oid).collect();
        let shape = CallShape { types: &oids, names: &[], variadic: call.variadic };
        let found = resolve::function(name, functions::by_name(name), shape).map_err(self.placed(at))?;
        if found.function.kind != FunctionKind::Aggregate {
            return Err(self.error_at(at, "42809", format!("{name} is not an aggregate function")));
        }
        let args = self.call_args(&found, args, at)?;
        let order_by = self.in_clause(Clause::AggregateArguments, |binder| binder.sort_keys(&call.order_by))?;
        if call.distinct && order_by.iter().any(|key| !args.iter().any(|arg| super::stage::same(arg, &key.expr))) {
            let message = "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list";
            return Err(self.error_at(at, "42P10", message));
        }
        let filter = match &call.filter {
            Some(written) => {
                let bound = self.in_clause(Clause::AggregateFilter, |binder| binder.expr(written))?;
                Some(self.condition(bound, "FILTER", written.at)?)
            }
            None => None,
        };
        let function = AggregateKind(found.function.id.0);
        Ok(Aggregate { function, args, distinct: call.distinct, filter, order_by, ty: SqlType::from(found.result) })
    }

    /// Binds part of a statement under the rules of another clause.
    pub(super) fn in_clause<T>(
        &mut self,
        clause: Clause,
        bind: impl FnOnce(&mut Self) -> SqlResult<T>,
    ) -> SqlResult<T> {
        let outside = std::mem::replace(&mut self.level().clause, clause);
        let result = bind(self);
        self.level().clause = outside;
        result
    }

    // ---- set-returning functions ----

    /// In a select list: a mark that `ProjectSet` replaces.
    fn set_in_expression(&mut self, found: &ResolvedFunction<'_>, args: Vec<Expr>, at: ast::At) -> SqlResult<Expr> {
        match self.level().clause {
            Clause::SelectList | Clause::OrderBy | Clause::DistinctOn | Clause::GroupBy => {}
            Clause::FromFunction => {
                return Err(self.error_at(at, "0A000", "set-returning functions must appear at top level of FROM"));
            }
            Clause::AggregateArguments => {
                return Err(self.misplaced_set(
                    at,
                    "aggregate function calls cannot contain set-returning function calls".to_owned(),
                ));
            }
            Clause::WindowArguments => {
                return Err(self.misplaced_set(
                    at,
                    "window function calls cannot contain set-returning function calls".to_owned(),
                ));
            }
            other => {
                return Err(self.error_at(
                    at,
                    "0A000",
                    format!("set-returning functions are not allowed in {}", other.name()),
                ));
            }
        }
        let (call, names) = self.set_call(found, args, at)?;
        let ty = if names.len() == 1 && call.columns.len() == 1 { call.columns[0] } else { SqlType::RECORD };
        let level = self.level();
        level.pending.sets.push(PendingSet { call, at, is_below_groups: false });
        let mark = Mark::Set(level.pending.sets.len() - 1);
        Ok(self.marked(mark, ty))
    }

    /// The call with its columns' names and types.
    pub(super) fn set_call(
        &mut self,
        found: &ResolvedFunction<'_>,
        args: Vec<Expr>,
        at: ast::At,
    ) -> SqlResult<(SetCall, Vec<String>)> {
        let args = self.call_args(found, args, at)?;
        let out: Vec<(&str, SqlType)> = found.function.out_columns().collect();
        let (names, columns) = if out.is_empty() {
            (vec![found.function.name.to_owned()], vec![SqlType::from(found.result)])
        } else {
            out.into_iter().map(|(name, ty)| (name.to_owned(), self.polymorphic_column(ty, &args))).unzip()
        };
        Ok((SetCall { function: found.function.id, args, columns }, names))
    }

    /// The type of an OUT column that is declared by the type of an argument.
    fn polymorphic_column(&self, declared: SqlType, args: &[Expr]) -> SqlType {
        match declared {
            SqlType::ANYELEMENT => args
                .iter()
                .find_map(|arg| type_of(arg).element())
                .or_else(|| args.first().map(type_of))
                .unwrap_or(SqlType::TEXT),
            SqlType::ANYARRAY => {
                args.iter().map(type_of).find(|ty| ty.element().is_some()).unwrap_or(SqlType::TEXT_ARRAY)
            }
            other => other,
        }
    }

    /// A function call in FROM, whatever it returns.
    pub(super) fn call_in_from(&mut self, call: &ast::Call, at: ast::At) -> SqlResult<(SetCall, Vec<String>)> {
        let name = self.function_name(&call.name, at)?.to_owned();
        let args = self.exprs(&call.args)?;
        match self.resolve_call(&name, call, &args, at)? {
            Ok(found) if found.function.kind == FunctionKind::Function => {
                let found = found.clone();
                self.set_call(&found, args, at)
            }
            Ok(_) => Err(self.error_at(at, "42803", "aggregate functions are not allowed in functions in FROM")),
            Err(_) => Err(self.error_at(at, "0A000", format!("a conversion to {name} in FROM is not supported"))),
        }
    }

    /// `(f(…)).*` where f returns a row of named columns.
    pub(super) fn out_columns(&mut self, call: &ast::Call, at: ast::At) -> SqlResult<Option<Vec<(String, Expr)>>> {
        let written = self.function_name(&call.name, at)?.to_owned();
        let Some(entry) = functions::by_name(&written).first() else { return Ok(None) };
        let columns: Vec<_> = entry.out_columns().collect();
        if columns.len() < 2 {
            return Ok(None);
        }
        let record = self.call(call, at)?;
        let field = |(index, (name, ty)): (usize, (&str, SqlType))| {
            (name.to_owned(), Expr::Field { arg: Box::new(record.clone()), index, ty })
        };
        Ok(Some(columns.into_iter().enumerate().map(field).collect()))
    }

    /// `(f(…)).column` where f returns a row of named columns.
    pub(super) fn out_column(&mut self, call: &ast::Call, name: &ast::Name, at: ast::At) -> SqlResult<Option<Expr>> {
        let written = self.function_name(&call.name, at)?.to_owned();
        let Some(entry) = functions::by_name(&written).first() else { return Ok(None) };
        let Some((index, (_, ty))) = entry.out_columns().enumerate().find(|(_, (column, _))| *column == name.as_str())
        else {
            return Ok(None);
        };
        let record = self.call(call, at)?;
        Ok(Some(Expr::Field { arg: Box::new(record), index, ty }))
    }
}
