//! Evaluation of bound expressions.
//!
//! An expression is walked for each row. Columns, parameters and constants are passed to functions by
//! reference; what is computed on the way lives on the stack. Three-valued logic, short circuits and the
//! strictness of functions are PostgreSQL's.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::compare::compare;
use crate::functions::{self, ArgTypes, Call, Native};
use crate::json::Jsonb;
use crate::{ArrayValue, Datum, EvalContext, EvalError, EvalResult, Expr, FunctionId, Quantifier, SqlType};

/// An operand: found in the row, the plan or the parameters, or just computed.
enum Operand<'a> {
    Found(&'a Datum),
    Made(Datum),
}

impl Operand<'_> {
    #[inline]
    fn get(&self) -> &Datum {
        match self {
            Operand::Found(datum) => datum,
            Operand::Made(datum) => datum,
        }
    }

    #[inline]
    fn into_datum(self) -> Datum {
        match self {
            Operand::Found(datum) => datum.clone(),
            Operand::Made(datum) => datum,
        }
    }
}

impl Expr {
    pub fn ty(&self) -> SqlType {
        match self {
            Expr::Const { ty, .. }
            | Expr::Column { ty, .. }
            | Expr::Param { ty, .. }
            | Expr::Call { ty, .. }
            | Expr::Cast { ty, .. }
            | Expr::Case { ty, .. }
            | Expr::Coalesce { ty, .. }
            | Expr::NullIf { ty, .. }
            | Expr::Extreme { ty, .. }
            | Expr::Array { ty, .. }
            | Expr::Row { ty, .. }
            | Expr::Field { ty, .. }
            | Expr::Subscript { ty, .. }
            | Expr::Slice { ty, .. } => *ty,
            Expr::And(_)
            | Expr::Or(_)
            | Expr::Not(_)
            | Expr::IsNull { .. }
            | Expr::IsBool { .. }
            | Expr::IsDistinct { .. }
            | Expr::AnyAll { .. }
            | Expr::InList { .. } => SqlType::BOOL,
        }
    }

    /// The value over one row.
    pub fn eval(&self, row: &[Datum], ctx: &EvalContext<'_>) -> EvalResult<Datum> {
        self.operand(row, ctx).map(Operand::into_datum)
    }

    /// The truth of a condition; `None` is unknown (NULL).
    pub fn eval_bool(&self, row: &[Datum], ctx: &EvalContext<'_>) -> EvalResult<Option<bool>> {
        match self {
            Expr::And(args) => {
                let mut result = Some(true);
                for arg in args {
                    match arg.eval_bool(row, ctx)? {
                        Some(false) => return Ok(Some(false)),
                        None => result = None,
                        Some(true) => {}
                    }
                }
                Ok(result)
            }
            Expr::Or(args) => {
                let mut result = Some(false);
                for arg in args {
                    match arg.eval_bool(row, ctx)? {
                        Some(true) => return Ok(Some(true)),
                        None => result = None,
                        Some(false) => {}
                    }
                }
                Ok(result)
            }
            Expr::Not(arg) => Ok(arg.eval_bool(row, ctx)?.map(|value| !value)),
            Expr::IsNull { arg, negated } => Ok(Some(is_null(arg.operand(row, ctx)?.get(), *negated))),
            Expr::IsBool { arg, value, negated } => Ok(Some((arg.eval_bool(row, ctx)? == *value) != *negated)),
            Expr::IsDistinct { left, right, equals, negated } => {
                Ok(Some(is_distinct(left, right, *equals, row, ctx)? != *negated))
            }
            Expr::AnyAll { left, array, operator, quantifier } => {
                any_all(left, array, *operator, *quantifier, row, ctx)
            }
            Expr::InList { left, list, equals, negated } => {
                Ok(in_list(left, list, *equals, row, ctx)?.map(|found| found != *negated))
            }
            _ => truth(self.operand(row, ctx)?.get()),
        }
    }

    fn operand<'a>(&'a self, row: &'a [Datum], ctx: &'a EvalContext<'_>) -> EvalResult<Operand<'a>> {
        Ok(match self {
            Expr::Const { value, .. } => Operand::Found(value),
            Expr::Column { index, .. } => Operand::Found(&row[*index]),
            Expr::Param { index, .. } => Operand::Found(param(*index, ctx)?),
            Expr::Call { function, args, ty } => Operand::Made(call(*function, args, *ty, row, ctx)?),
            Expr::Cast { arg, method, ty, explicit } => {
                let value = arg.operand(row, ctx)?;
                if value.get().is_null() {
                    return Ok(Operand::Made(Datum::Null));
                }
                Operand::Made(functions::cast(value.into_datum(), arg.ty(), *ty, *method, *explicit, ctx)?)
            }
            Expr::Case { whens, otherwise, .. } => {
                for (when, then) in whens {
                    if when.eval_bool(row, ctx)? == Some(true) {
                        return then.operand(row, ctx);
                    }
                }
                match otherwise {
                    Some(otherwise) => return otherwise.operand(row, ctx),
                    None => Operand::Made(Datum::Null),
                }
            }
            Expr::Coalesce { args, .. } => {
                for arg in args {
                    let value = arg.operand(row, ctx)?;
                    if !value.get().is_null() {
                        return Ok(value);
                    }
                }
                Operand::Made(Datum::Null)
            }
            Expr::NullIf { left, right, equals, .. } => {
                let (left_value, right_value) = (left.operand(row, ctx)?, right.operand(row, ctx)?);
                let equal = apply(*equals, [(left, &left_value), (right, &right_value)], ctx)?;
                if truth(&equal)? == Some(true) { Operand::Made(Datum::Null) } else { left_value }
            }
            Expr::Extreme { args, greatest, ty } => extreme(args, *greatest, *ty, row, ctx)?,
            Expr::Array { elements, ty } => Operand::Made(array(elements, *ty, row, ctx)?),
            Expr::Row { fields, .. } => {
                let fields = fields.iter().map(|field| field.eval(row, ctx)).collect::<EvalResult<Vec<_>>>()?;
                Operand::Made(Datum::Record(fields.into()))
            }
            Expr::Field { arg, index, .. } => match arg.operand(row, ctx)?.get() {
                Datum::Record(fields) => Operand::Made(fields.get(*index).cloned().unwrap_or_default()),
                _ => Operand::Made(Datum::Null),
            },
            Expr::Subscript { array, indexes, .. } => {
                let value = array.operand(row, ctx)?;
                Operand::Made(subscript(value.get(), indexes, row, ctx)?)
            }
            Expr::Slice { array, bounds, .. } => {
                let value = array.operand(row, ctx)?;
                Operand::Made(slice(value.get(), bounds, row, ctx)?)
            }
            Expr::And(_)
            | Expr::Or(_)
            | Expr::Not(_)
            | Expr::IsNull { .. }
            | Expr::IsBool { .. }
            | Expr::IsDistinct { .. }
            | Expr::AnyAll { .. }
            | Expr::InList { .. } => Operand::Made(self.eval_bool(row, ctx)?.map_or(Datum::Null, Datum::Bool)),
        })
    }
}

#[inline]
fn truth(value: &Datum) -> EvalResult<Option<bool>> {
    match value {
        Datum::Bool(value) => Ok(Some(*value)),
        Datum::Null => Ok(None),
        other => Err(EvalError::new("XX000", format!("a condition has the value {other:?}"))),
    }
}

fn param<'a>(index: usize, ctx: &'a EvalContext<'_>) -> EvalResult<&'a Datum> {
    ctx.params.get(index).ok_or_else(|| EvalError::new("08P01", format!("there is no parameter ${}", index + 1)))
}

/// A row is NULL if all its fields are, and NOT NULL if none is.
fn is_null(value: &Datum, negated: bool) -> bool {
    match value {
        Datum::Record(fields) => fields.iter().all(|field| field.is_null() != negated),
        other => other.is_null() != negated,
    }
}

fn call(function: FunctionId, args: &[Expr], ty: SqlType, row: &[Datum], ctx: &EvalContext<'_>) -> EvalResult<Datum> {
    let info = Call { ctx, types: ArgTypes::Exprs(args), result: ty };
    let Some(native) = functions::native(function) else {
        let values = args.iter().map(|arg| arg.operand(row, ctx)).collect::<EvalResult<SmallVec<[Operand; 4]>>>()?;
        let refs: SmallVec<[&Datum; 4]> = values.iter().map(Operand::get).collect();
        return functions::call_environment(function, &info, &refs);
    };
    // The usual numbers of arguments need no list.
    match args {
        [] => (native.run)(&info, &[]),
        [a] => {
            let a = a.operand(row, ctx)?;
            run(native, &info, &[a.get()])
        }
        [a, b] => {
            let (a, b) = (a.operand(row, ctx)?, b.operand(row, ctx)?);
            run(native, &info, &[a.get(), b.get()])
        }
        _ => {
            let values =
                args.iter().map(|arg| arg.operand(row, ctx)).collect::<EvalResult<SmallVec<[Operand; 4]>>>()?;
            let refs: SmallVec<[&Datum; 4]> = values.iter().map(Operand::get).collect();
            run(native, &info, &refs)
        }
    }
}

#[inline]
fn run(native: &Native, info: &Call<'_>, args: &[&Datum]) -> EvalResult<Datum> {
    if native.strict && args.iter().any(|arg| arg.is_null()) {
        return Ok(Datum::Null);
    }
    (native.run)(info, args)
}

/// Calls a binary function on operands.
fn apply(function: FunctionId, operands: [(&Expr, &Operand<'_>); 2], ctx: &EvalContext<'_>) -> EvalResult<Datum> {
    let types = operands.map(|(expr, _)| expr.ty());
    functions::call(function, &Call::new(ctx, &types, SqlType::BOOL), &operands.map(|(_, operand)| operand.get()))
}

fn is_distinct(
    left: &Expr,
    right: &Expr,
    equals: FunctionId,
    row: &[Datum],
    ctx: &EvalContext<'_>,
) -> EvalResult<bool> {
    let (a, b) = (left.operand(row, ctx)?, right.operand(row, ctx)?);
    match (a.get().is_null(), b.get().is_null()) {
        (true, true) => Ok(false),
        (false, false) => Ok(truth(&apply(equals, [(left, &a), (right, &b)], ctx)?)? != Some(true)),
        _ => Ok(true),
    }
}

/// NULL if nothing decides and there was a NULL.
fn quantified(
    mut results: impl Iterator<Item = EvalResult<Option<bool>>>,
    quantifier: Quantifier,
) -> EvalResult<Option<bool>> {
    let decisive = quantifier == Quantifier::Any;
    let unknown = results.try_fold(false, |unknown, result| match result {
        Ok(Some(value)) if value == decisive => Err(Ok(())),
        Ok(value) => Ok(unknown | value.is_none()),
        Err(error) => Err(Err(error)),
    });
    match unknown {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some(!decisive)),
        Err(Ok(())) => Ok(Some(decisive)),
        Err(Err(error)) => Err(error),
    }
}

fn any_all(
    left: &Expr,
    array: &Expr,
    operator: FunctionId,
    quantifier: Quantifier,
    row: &[Datum],
    ctx: &EvalContext<'_>,
) -> EvalResult<Option<bool>> {
    let array_value = array.operand(row, ctx)?;
    let elements = match array_value.get() {
        Datum::Array(elements) => elements,
        _ => return Ok(None),
    };
    let value = left.operand(row, ctx)?;
    let types = [left.ty(), elements.element];
    let info = Call::new(ctx, &types, SqlType::BOOL);
    quantified(
        elements.elements.iter().map(|element| truth(&functions::call(operator, &info, &[value.get(), element])?)),
        quantifier,
    )
}

fn in_list(
    left: &Expr,
    list: &[Expr],
    equals: FunctionId,
    row: &[Datum],
    ctx: &EvalContext<'_>,
) -> EvalResult<Option<bool>> {
    let value = left.operand(row, ctx)?;
    let types = [left.ty(), list.first().map_or(SqlType::UNKNOWN, Expr::ty)];
    let info = Call::new(ctx, &types, SqlType::BOOL);
    let results = list.iter().map(|item| {
        let item = item.operand(row, ctx)?;
        truth(&functions::call(equals, &info, &[value.get(), item.get()])?)
    });
    quantified(results, Quantifier::Any)
}

/// NULLs are passed over; of equal values the first stays.
fn extreme<'a>(
    args: &'a [Expr],
    greatest: bool,
    ty: SqlType,
    row: &'a [Datum],
    ctx: &'a EvalContext<'_>,
) -> EvalResult<Operand<'a>> {
    let mut best: Option<Operand<'a>> = None;
    for arg in args {
        let value = arg.operand(row, ctx)?;
        if value.get().is_null() {
            continue;
        }
        let better = best.as_ref().is_none_or(|best| {
            let order = compare(value.get(), best.get(), ty);
            if greatest { order.is_gt() } else { order.is_lt() }
        });
        if better {
            best = Some(value);
        }
    }
    Ok(best.unwrap_or(Operand::Made(Datum::Null)))
}

/// Elements of the array's own type are its inner dimensions.
fn array(elements: &[Expr], ty: SqlType, row: &[Datum], ctx: &EvalContext<'_>) -> EvalResult<Datum> {
    let values = elements.iter().map(|element| element.eval(row, ctx)).collect::<EvalResult<Vec<_>>>()?;
    let element = ty.element().unwrap_or(SqlType::TEXT).base();
    let nested = elements.first().is_some_and(|first| first.ty().element().is_some() && first.ty().oid != element.oid);
    if nested { functions::nest_arrays(element, values) } else { Ok(crate::io::array_from_elements(element, values)) }
}

/// `None` where a subscript is NULL.
fn index(expr: &Expr, row: &[Datum], ctx: &EvalContext<'_>) -> EvalResult<Option<i64>> {
    Ok(match expr.operand(row, ctx)?.get() {
        Datum::Int2(value) => Some(i64::from(*value)),
        Datum::Int4(value) => Some(i64::from(*value)),
        Datum::Int8(value) => Some(*value),
        _ => None,
    })
}

/// NULL outside of the array.
fn subscript(value: &Datum, indexes: &[Expr], row: &[Datum], ctx: &EvalContext<'_>) -> EvalResult<Datum> {
    match value {
        Datum::Array(array) => {
            let wanted = indexes.iter().map(|expr| index(expr, row, ctx)).collect::<EvalResult<Option<Vec<_>>>>()?;
            let position = wanted.and_then(|wanted| position(array, &wanted));
            Ok(position.map_or(Datum::Null, |at| array.elements[at].clone()))
        }
        Datum::Jsonb(document) => {
            let mut steps = Vec::with_capacity(indexes.len());
            for expr in indexes {
                match expr.eval(row, ctx)? {
                    Datum::Null => return Ok(Datum::Null),
                    step => steps.push(step.text_form(expr.ty(), ctx)),
                }
            }
            let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
            let found: Option<&Jsonb> = crate::json::value_at(document, &steps);
            Ok(found.map_or(Datum::Null, |found| Datum::Jsonb(found.clone().into())))
        }
        _ => Ok(Datum::Null),
    }
}

/// Row-major.
fn position(array: &ArrayValue, indexes: &[i64]) -> Option<usize> {
    if indexes.len() != array.dimensions.len() {
        return None;
    }
    indexes.iter().zip(&array.dimensions).try_fold(0, |at, (index, (length, lower))| {
        let offset = index - i64::from(*lower);
        (0..i64::from(*length)).contains(&offset).then_some(at * *length as usize + offset as usize)
    })
}

/// The part of the array within the bounds, counted from 1; dimensions that are not named stay whole.
fn slice(
    value: &Datum,
    bounds: &[(Option<Expr>, Option<Expr>)],
    row: &[Datum],
    ctx: &EvalContext<'_>,
) -> EvalResult<Datum> {
    let Datum::Array(array) = value else { return Ok(Datum::Null) };
    let empty = || Ok(crate::io::array_from_elements(array.element, Vec::new()));
    // Before bounds that lie outside, NULL bounds make the result NULL.
    let mut wanted = Vec::with_capacity(bounds.len());
    for (at, (lower, upper)) in bounds.iter().enumerate() {
        let (length, first) = array.dimensions.get(at).copied().unwrap_or((0, 1));
        let bound = |expr: &Option<Expr>, default: i64| match expr {
            Some(expr) => index(expr, row, ctx),
            None => Ok(Some(default)),
        };
        let lower = bound(lower, i64::from(first))?;
        let upper = bound(upper, i64::from(first) + i64::from(length) - 1)?;
        match (lower, upper) {
            (Some(lower), Some(upper)) => {
                wanted.push((lower.max(i64::from(first)), upper.min(i64::from(first) + i64::from(length) - 1)));
            }
            _ => return Ok(Datum::Null),
        }
    }
    if bounds.len() > array.dimensions.len() || wanted.iter().any(|(lower, upper)| lower > upper) {
        return empty();
    }
    for (length, first) in &array.dimensions[bounds.len()..] {
        wanted.push((i64::from(*first), i64::from(*first) + i64::from(*length) - 1));
    }
    let mut elements = Vec::new();
    collect(array, &wanted, &mut Vec::new(), &mut elements);
    let dimensions = wanted.iter().map(|(lower, upper)| ((upper - lower + 1) as i32, 1)).collect();
    Ok(Datum::Array(Arc::new(ArrayValue { element: array.element, dimensions, elements })))
}

fn collect(array: &ArrayValue, wanted: &[(i64, i64)], indexes: &mut Vec<i64>, out: &mut Vec<Datum>) {
    match wanted.get(indexes.len()) {
        None => out.extend(position(array, indexes).map(|at| array.elements[at].clone())),
        Some((lower, upper)) => {
            for index in *lower..=*upper {
                indexes.push(index);
                collect(array, wanted, indexes, out);
                indexes.pop();
            }
        }
    }
}
