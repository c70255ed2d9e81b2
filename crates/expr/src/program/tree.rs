//! Expressions as bytes.

use crate::stored::{self, Malformed, take_count, take_u8};
use crate::{CastMethod, Expr, FunctionId, Quantifier, SqlType};

const DEPTH_MAX: u32 = 1500;

mod tag {
    pub const CONST: u8 = 1;
    pub const COLUMN: u8 = 2;
    pub const PARAM: u8 = 3;
    pub const CALL: u8 = 4;
    pub const CAST: u8 = 5;
    pub const AND: u8 = 6;
    pub const OR: u8 = 7;
    pub const NOT: u8 = 8;
    pub const IS_NULL: u8 = 9;
    pub const IS_BOOL: u8 = 10;
    pub const IS_DISTINCT: u8 = 11;
    pub const CASE: u8 = 12;
    pub const COALESCE: u8 = 13;
    pub const ANY_ALL: u8 = 14;
    pub const IN_LIST: u8 = 15;
}

/// Only what [`super::can_push_down`] lets through is ever put.
pub(super) fn put(out: &mut Vec<u8>, expr: &Expr) {
    match expr {
        Expr::Const { value, ty } => {
            out.push(tag::CONST);
            stored::put_type(out, *ty);
            stored::put(out, value);
        }
        Expr::Column { index, ty } => put_place(out, tag::COLUMN, *index, *ty),
        Expr::Param { index, ty } => put_place(out, tag::PARAM, *index, *ty),
        Expr::Call { function, args, ty } => {
            put_place(out, tag::CALL, function.0 as usize, *ty);
            put_list(out, args);
        }
        Expr::Cast { arg, method, ty, explicit } => {
            out.push(tag::CAST);
            stored::put_type(out, *ty);
            let method = match method {
                CastMethod::Relabel => 0,
                CastMethod::Function => 1,
                CastMethod::InOut => 2,
                CastMethod::Array => 3,
            };
            out.push(method << 1 | u8::from(*explicit));
            put(out, arg);
        }
        Expr::And(list) => {
            out.push(tag::AND);
            put_list(out, list);
        }
        Expr::Or(list) => {
            out.push(tag::OR);
            put_list(out, list);
        }
        Expr::Not(arg) => {
            out.push(tag::NOT);
            put(out, arg);
        }
        Expr::IsNull { arg, negated } => {
            out.extend_from_slice(&[tag::IS_NULL, u8::from(*negated)]);
            put(out, arg);
        }
        Expr::IsBool { arg, value, negated } => {
            let value = value.map_or(2, u8::from);
            out.extend_from_slice(&[tag::IS_BOOL, value << 1 | u8::from(*negated)]);
            put(out, arg);
        }
        Expr::IsDistinct { left, right, equals, negated } => {
            out.extend_from_slice(&[tag::IS_DISTINCT, u8::from(*negated)]);
            stored::put_uint(out, u64::from(equals.0));
            put(out, left);
            put(out, right);
        }
        Expr::Case { whens, otherwise, ty } => {
            out.push(tag::CASE);
            stored::put_type(out, *ty);
            stored::put_uint(out, whens.len() as u64);
            for (when, then) in whens {
                put(out, when);
                put(out, then);
            }
            out.push(u8::from(otherwise.is_some()));
            if let Some(otherwise) = otherwise {
                put(out, otherwise);
            }
        }
        Expr::Coalesce { args, ty } => {
            out.push(tag::COALESCE);
            stored::put_type(out, *ty);
            put_list(out, args);
        }
        Expr::AnyAll { left, array, operator, quantifier } => {
            out.extend_from_slice(&[tag::ANY_ALL, u8::from(*quantifier == Quantifier::All)]);
            stored::put_uint(out, u64::from(operator.0));
            put(out, left);
            put(out, array);
        }
        Expr::InList { left, list, equals, negated } => {
            out.extend_from_slice(&[tag::IN_LIST, u8::from(*negated)]);
            stored::put_uint(out, u64::from(equals.0));
            put(out, left);
            put_list(out, list);
        }
        other => unreachable!("an expression that cannot be pushed down was pushed down: {other:?}"),
    }
}

fn put_place(out: &mut Vec<u8>, tag: u8, index: usize, ty: SqlType) {
    out.push(tag);
    stored::put_uint(out, index as u64);
    stored::put_type(out, ty);
}

fn put_list(out: &mut Vec<u8>, list: &[Expr]) {
    stored::put_uint(out, list.len() as u64);
    list.iter().for_each(|expr| put(out, expr));
}

pub(super) fn take(input: &mut &[u8], depth: u32) -> Result<Expr, Malformed> {
    if depth > DEPTH_MAX {
        return Err(Malformed);
    }
    let depth = depth + 1;
    let boxed = |input: &mut &[u8]| take(input, depth).map(Box::new);
    Ok(match take_u8(input)? {
        tag::CONST => {
            let ty = stored::take_type(input)?;
            Expr::Const { value: stored::take(input)?, ty }
        }
        tag::COLUMN => Expr::Column { index: number(input)?, ty: stored::take_type(input)? },
        tag::PARAM => Expr::Param { index: number(input)?, ty: stored::take_type(input)? },
        tag::CALL => {
            let (function, ty) = (take_function(input)?, stored::take_type(input)?);
            Expr::Call { function, args: take_list(input, depth)?, ty }
        }
        tag::CAST => {
            let (ty, flags) = (stored::take_type(input)?, take_u8(input)?);
            let methods = [CastMethod::Relabel, CastMethod::Function, CastMethod::InOut, CastMethod::Array];
            let method = *methods.get(usize::from(flags >> 1)).ok_or(Malformed)?;
            Expr::Cast { arg: boxed(input)?, method, ty, explicit: flags & 1 != 0 }
        }
        tag::AND => Expr::And(take_list(input, depth)?),
        tag::OR => Expr::Or(take_list(input, depth)?),
        tag::NOT => Expr::Not(boxed(input)?),
        tag::IS_NULL => {
            let negated = take_u8(input)? != 0;
            Expr::IsNull { arg: boxed(input)?, negated }
        }
        tag::IS_BOOL => {
            let flags = take_u8(input)?;
            let value = [Some(false), Some(true), None].get(usize::from(flags >> 1)).copied().ok_or(Malformed)?;
            Expr::IsBool { arg: boxed(input)?, value, negated: flags & 1 != 0 }
        }
        tag::IS_DISTINCT => {
            let (negated, equals) = (take_u8(input)? != 0, take_function(input)?);
            Expr::IsDistinct { left: boxed(input)?, right: boxed(input)?, equals, negated }
        }
        tag::CASE => {
            let ty = stored::take_type(input)?;
            let whens = (0..take_count(input)?)
                .map(|_| Ok((take(input, depth)?, take(input, depth)?)))
                .collect::<Result<_, _>>()?;
            let otherwise = if take_u8(input)? != 0 { Some(boxed(input)?) } else { None };
            Expr::Case { whens, otherwise, ty }
        }
        tag::COALESCE => {
            let ty = stored::take_type(input)?;
            Expr::Coalesce { args: take_list(input, depth)?, ty }
        }
        tag::ANY_ALL => {
            let quantifier = if take_u8(input)? != 0 { Quantifier::All } else { Quantifier::Any };
            let operator = take_function(input)?;
            Expr::AnyAll { left: boxed(input)?, array: boxed(input)?, operator, quantifier }
        }
        tag::IN_LIST => {
            let (negated, equals) = (take_u8(input)? != 0, take_function(input)?);
            Expr::InList { left: boxed(input)?, list: take_list(input, depth)?, equals, negated }
        }
        _ => return Err(Malformed),
    })
}

fn take_list(input: &mut &[u8], depth: u32) -> Result<Vec<Expr>, Malformed> {
    (0..take_count(input)?).map(|_| take(input, depth)).collect()
}

fn take_function(input: &mut &[u8]) -> Result<FunctionId, Malformed> {
    u32::try_from(stored::take_uint(input)?).map(FunctionId).map_err(|_| Malformed)
}

fn number(input: &mut &[u8]) -> Result<usize, Malformed> {
    usize::try_from(stored::take_uint(input)?).map_err(|_| Malformed)
}

/// Do all columns and parameters lie within what there is?
pub(super) fn fits(expr: &Expr, columns: usize, params: usize) -> bool {
    let all = |list: &[Expr]| list.iter().all(|expr| fits(expr, columns, params));
    let one = |expr: &Expr| fits(expr, columns, params);
    match expr {
        Expr::Column { index, .. } => *index < columns,
        Expr::Param { index, .. } => *index < params,
        Expr::Call { args, .. } | Expr::And(args) | Expr::Or(args) | Expr::Coalesce { args, .. } => all(args),
        Expr::Cast { arg, .. } | Expr::Not(arg) | Expr::IsNull { arg, .. } | Expr::IsBool { arg, .. } => one(arg),
        Expr::IsDistinct { left, right, .. } => one(left) && one(right),
        Expr::AnyAll { left, array, .. } => one(left) && one(array),
        Expr::InList { left, list, .. } => one(left) && all(list),
        Expr::Case { whens, otherwise, .. } => {
            whens.iter().all(|(when, then)| one(when) && one(then)) && otherwise.as_deref().is_none_or(one)
        }
        _ => true,
    }
}

pub(super) fn type_of(expr: &Expr) -> SqlType {
    match expr {
        Expr::Const { ty, .. }
        | Expr::Column { ty, .. }
        | Expr::Param { ty, .. }
        | Expr::Call { ty, .. }
        | Expr::Cast { ty, .. } => *ty,
        Expr::Case { ty, .. } | Expr::Coalesce { ty, .. } => *ty,
        _ => SqlType::BOOL,
    }
}
