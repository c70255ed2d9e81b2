//! Conversions, and what types names stand for.

use expr::casts::{self, CastContext};
use expr::{CastMethod, Expr, SqlType, resolve, types};

use super::{Binder, literal, type_of};
use crate::parse::ast::{self, ExprKind};
use crate::{SqlError, SqlResult};

impl Binder<'_> {
    /// `expr` as a value of type `to`, if the context allows it.
    pub(super) fn coerce(&mut self, expr: Expr, to: SqlType, context: CastContext, at: ast::At) -> SqlResult<Expr> {
        match self.try_coerce(expr, to, context, at)? {
            Ok(expr) => Ok(expr),
            Err(expr) => {
                let from = types::format_type_be(type_of(&expr).oid);
                Err(self.error_at(at, "42846", format!("cannot cast type {from} to {}", types::format_type_be(to.oid))))
            }
        }
    }

    pub(super) fn implicit(&mut self, expr: Expr, to: SqlType, at: ast::At) -> SqlResult<Expr> {
        self.coerce(expr, to, CastContext::Implicit, at)
    }

    /// The inner `Err` gives the expression back where there is no such conversion.
    pub(super) fn try_coerce(
        &mut self,
        expr: Expr,
        to: SqlType,
        context: CastContext,
        at: ast::At,
    ) -> SqlResult<Result<Expr, Expr>> {
        let from = type_of(&expr);
        if from.oid == SqlType::UNKNOWN.oid && to.oid != SqlType::UNKNOWN.oid {
            return self.type_unknown(expr, to, context, at).map(Ok);
        }
        let explicit = context == CastContext::Explicit;
        if from.oid == to.oid {
            return Ok(Ok(if to.typmod >= 0 && to.typmod != from.typmod {
                cast(expr, CastMethod::Relabel, to, explicit)
            } else {
                expr
            }));
        }
        // A row in parentheses is any record.
        if to.oid == SqlType::RECORD.oid && matches!(expr, Expr::Row { .. }) {
            return Ok(Ok(expr));
        }
        Ok(match casts::pathway(from.oid, to.oid, context) {
            Some(method) => Ok(cast(expr, method, to, explicit)),
            None => Err(expr),
        })
    }

    /// A literal, parameter or NULL whose type its surroundings decide.
    fn type_unknown(&mut self, expr: Expr, to: SqlType, context: CastContext, at: ast::At) -> SqlResult<Expr> {
        let explicit = context == CastContext::Explicit;
        match expr {
            Expr::Param { index, ty: _ }
                if self.params.get(index).is_some_and(|known| known.is_none_or(|ty| ty == SqlType::UNKNOWN)) =>
            {
                self.params[index] = Some(to.base());
                let param = Expr::Param { index, ty: to.base() };
                Ok(if to.typmod >= 0 { cast(param, CastMethod::Relabel, to, explicit) } else { param })
            }
            // It got its type elsewhere in the statement, after this reference was bound.
            Expr::Param { index, ty } => match self.params.get(index).copied().flatten() {
                Some(known) => self.coerce(Expr::Param { index, ty: known }, to, context, at),
                None => Ok(cast(Expr::Param { index, ty }, CastMethod::InOut, to, explicit)),
            },
            Expr::Const { value, .. } => literal::typed(value, to, explicit).map_err(self.placed(at)),
            other => Ok(cast(other, CastMethod::InOut, to, explicit)),
        }
    }

    /// A condition: boolean, or an error that names the clause.
    pub(super) fn condition(&mut self, expr: Expr, clause: &str, at: ast::At) -> SqlResult<Expr> {
        match self.try_coerce(expr, SqlType::BOOL, CastContext::Implicit, at)? {
            Ok(expr) => Ok(expr),
            Err(expr) => {
                let message = format!(
                    "argument of {clause} must be type boolean, not type {}",
                    types::format_type_be(type_of(&expr).oid)
                );
                Err(self.error_at(at, "42804", message))
            }
        }
    }

    /// All expressions in one type, by PostgreSQL's rules for UNION, CASE and the like.
    pub(super) fn unify(&mut self, exprs: Vec<(Expr, ast::At)>, context: &str) -> SqlResult<(Vec<Expr>, SqlType)> {
        let types: Vec<SqlType> = exprs.iter().map(|(expr, _)| type_of(expr)).collect();
        let oids: Vec<_> = types.iter().map(|ty| ty.oid).collect();
        let at = exprs.first().map_or(0, |(_, at)| *at);
        let common = resolve::common_type(&oids, context).map_err(self.placed(at))?;
        let ty = SqlType::from(common).with_typmod(resolve::common_typmod(&types, common));
        let coerced =
            exprs.into_iter().map(|(expr, at)| self.implicit(expr, ty.base(), at)).collect::<SqlResult<_>>()?;
        Ok((coerced, ty))
    }

    /// What is still of unknown type when a query's output is fixed is text.
    pub(super) fn settle(&mut self, expr: Expr, at: ast::At) -> SqlResult<Expr> {
        if type_of(&expr) == SqlType::UNKNOWN { self.implicit(expr, SqlType::TEXT, at) } else { Ok(expr) }
    }

    pub(super) fn type_name(&self, name: &ast::TypeName) -> SqlResult<SqlType> {
        resolve_type(name, self.environment.source)
    }
}

fn cast(arg: Expr, method: CastMethod, ty: SqlType, explicit: bool) -> Expr {
    Expr::Cast { arg: Box::new(arg), method, ty, explicit }
}

/// The type that a written type name means.
pub fn resolve_type(name: &ast::TypeName, source: &str) -> SqlResult<SqlType> {
    let place = |error: SqlError| error.at(Some(crate::parse::position(source, name.at)));
    if name.of_column || name.setof {
        return Err(place(SqlError::not_supported("%TYPE and SETOF in a type name")));
    }
    let found = match &name.names[..] {
        [bare] => types::by_name(bare.as_str()),
        [schema, bare] if schema.as_str() == "pg_catalog" => types::by_name(bare.as_str()),
        _ => None,
    };
    let Some(entry) = found else {
        let written = name.names.iter().map(ast::Name::as_str).collect::<Vec<_>>().join(".");
        return Err(place(SqlError::new("42704", format!("type \"{written}\" does not exist"))));
    };
    let mut ty = SqlType::from(entry.oid);
    if !name.modifiers.is_empty() {
        let modifiers = name.modifiers.iter().map(modifier).collect::<Option<Vec<i32>>>();
        let modifiers = modifiers
            .ok_or_else(|| place(SqlError::new("42601", "type modifiers must be simple constants or identifiers")))?;
        ty.typmod = types::typmod_in(ty.oid, &modifiers).map_err(|error| place(error.into()))?;
    }
    if name.dimensions > 0 {
        ty = ty.array().ok_or_else(|| {
            place(SqlError::new(
                "42704",
                format!("could not find array type for data type {}", types::format_type_be(ty.oid)),
            ))
        })?;
    }
    Ok(ty)
}

fn modifier(expr: &ast::Expr) -> Option<i32> {
    match &expr.kind {
        ExprKind::Number(digits) => digits.parse().ok(),
        ExprKind::Prefix(operator, arg) if operator.symbol == "-" => modifier(arg).map(std::ops::Neg::neg),
        _ => None,
    }
}
