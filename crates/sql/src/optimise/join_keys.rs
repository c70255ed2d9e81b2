//! Equalities between the two sides of a join become keys to hash by.
//!
//! Both sides of a key are of one type whose equal values hash alike: where PostgreSQL compares two integer types,
//! both are widened, and `character` is compared without its trailing blanks, as text.

use expr::{CastMethod, Expr, FunctionId, SqlType, operators};

use super::deeper;
use super::push_filters::{Side, side_of};
use crate::plan::expression::{conjunction, conjuncts, is_volatile, map_columns, type_of};
use crate::plan::{JoinKey, Node, Plan};

pub fn find_join_keys(plan: &mut Plan) {
    for input in plan.node.inputs_mut() {
        deeper(|| find_join_keys(input));
    }
    let Node::Join(join) = &mut plan.node else { return };
    let left = join.left.fields.len();
    let mut rest = Vec::new();
    for condition in join.condition.take().into_iter().flat_map(conjuncts) {
        match join_key(&condition, left) {
            Some(key) => join.equal.push(key),
            None => rest.push(condition),
        }
    }
    join.condition = conjunction(rest);
}

/// The key that a condition over left row ++ right row is, if it is one.
pub fn join_key(condition: &Expr, left: usize) -> Option<JoinKey> {
    let Expr::Call { function, args, .. } = condition else { return None };
    let operator = operators::by_function(*function).filter(|operator| operator.name == "=" && operator.can_hash)?;
    let [first, second] = &args[..] else { return None };
    if is_volatile(condition) {
        return None;
    }
    let (on_left, on_right, function) = match (side_of(first, left), side_of(second, left)) {
        (Side::Left, Side::Right) => (first, second, operator.function),
        (Side::Right, Side::Left) => (second, first, operators::commutator(operator.function)?),
        _ => return None,
    };
    let mut on_right = on_right.clone();
    map_columns(&mut on_right, &mut |index| index - left);
    of_one_type(on_left.clone(), on_right, function)
}

fn of_one_type(left: Expr, right: Expr, equals: FunctionId) -> Option<JoinKey> {
    let (a, b) = (type_of(&left).base(), type_of(&right).base());
    let is_integer = |ty: SqlType| matches!(ty, SqlType::INT2 | SqlType::INT4 | SqlType::INT8);
    if is_integer(a) && is_integer(b) && a != b {
        let equals = equality_of(SqlType::INT8)?;
        return Some(JoinKey { left: cast(left, SqlType::INT8), right: cast(right, SqlType::INT8), equals });
    }
    if a == SqlType::BPCHAR && b == SqlType::BPCHAR {
        let equals = equality_of(SqlType::TEXT)?;
        return Some(JoinKey { left: cast(left, SqlType::TEXT), right: cast(right, SqlType::TEXT), equals });
    }
    let operator = operators::by_function(equals)?;
    // Of two types otherwise (float4 = float8) equal values may hash differently.
    (operator.left == Some(operator.right) || is_name(a) && is_name(b)).then_some(JoinKey { left, right, equals })
}

fn is_name(ty: SqlType) -> bool {
    matches!(ty, SqlType::NAME | SqlType::TEXT | SqlType::VARCHAR)
}

fn cast(expr: Expr, ty: SqlType) -> Expr {
    if type_of(&expr).base() == ty {
        return expr;
    }
    Expr::Cast { arg: Box::new(expr), method: CastMethod::Function, ty, explicit: false }
}

fn equality_of(ty: SqlType) -> Option<FunctionId> {
    let same =
        operators::by_name("=").iter().find(|operator| operator.left == Some(ty.oid) && operator.right == ty.oid);
    same.map(|operator| operator.function)
}
