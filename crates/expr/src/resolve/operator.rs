//! Operators by the types of their operands.

use super::polymorphic;
use super::select::{self, Candidate};
use crate::operators::{self, OperatorEntry};
use crate::types::format_type_be;
use crate::{EvalError, EvalResult, Oid, SqlType};

/// The operator that was meant, and the types that its operands must be brought to.
#[derive(Clone, Debug)]
pub struct ResolvedOperator {
    pub operator: &'static OperatorEntry,
    pub left: Option<Oid>,
    pub right: Oid,
    pub result: Oid,
}

/// `left: None` is a prefix operator. 42883 where nothing fits, 42725 where several do.
pub fn operator(name: &str, left: Option<Oid>, right: Oid) -> EvalResult<ResolvedOperator> {
    let found = match exact(name, left, right) {
        Some(found) => found,
        None => select_candidate(name, left, right)?,
    };
    let given: Vec<Oid> = left.into_iter().chain([right]).collect();
    let declared: Vec<Oid> = found.left.into_iter().chain([found.right]).collect();
    let (args, result) = polymorphic::replace(&given, &declared, found.result)?;
    let right = *args.last().expect("an operator has a right operand");
    Ok(ResolvedOperator { operator: found, left: left.map(|_| args[0]), right, result })
}

/// An unknown operand is first taken to be of the other's type.
fn exact(name: &str, left: Option<Oid>, right: Oid) -> Option<&'static OperatorEntry> {
    let unknown = SqlType::UNKNOWN.oid;
    let (left, right) = match left {
        Some(left) if left == unknown => (Some(right), right),
        Some(left) if right == unknown => (Some(left), left),
        _ => (left, right),
    };
    operators::by_name(name).iter().find(|op| op.left == left && op.right == right)
}

struct Operands(&'static OperatorEntry, [Oid; 2]);

impl Candidate for Operands {
    fn args(&self) -> &[Oid] {
        if self.0.left.is_some() { &self.1 } else { &self.1[1..] }
    }
}

fn select_candidate(name: &str, left: Option<Oid>, right: Oid) -> EvalResult<&'static OperatorEntry> {
    let same_kind = operators::by_name(name).iter().filter(|op| op.left.is_some() == left.is_some());
    let candidates = same_kind.map(|op| Operands(op, [op.left.unwrap_or_default(), op.right])).collect();
    let given: Vec<Oid> = left.into_iter().chain([right]).collect();
    let mut fitting = select::matching(candidates, &given);
    if fitting.len() <= 1 {
        return fitting.pop().map(|found| found.0).ok_or_else(|| missing(name, left, right));
    }
    select::best(fitting, &given).map(|found| found.0).ok_or_else(|| {
        EvalError::new("42725", format!("operator is not unique: {}", signature(name, left, right)))
            .with_hint("Could not choose a best candidate operator. You might need to add explicit type casts.")
    })
}

fn missing(name: &str, left: Option<Oid>, right: Oid) -> EvalError {
    let error = EvalError::new("42883", format!("operator does not exist: {}", signature(name, left, right)));
    if left.is_some() {
        error.with_hint(
            "No operator matches the given name and argument types. You might need to add explicit type casts.",
        )
    } else {
        error.with_hint(
            "No operator matches the given name and argument type. You might need to add an explicit type cast.",
        )
    }
}

fn signature(name: &str, left: Option<Oid>, right: Oid) -> String {
    let left = left.map_or(String::new(), |left| format_type_be(left) + " ");
    format!("{left}{name} {}", format_type_be(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(left: SqlType, name: &str, right: SqlType, expected: (SqlType, SqlType, SqlType)) {
        let found = operator(name, Some(left.oid), right.oid).unwrap_or_else(|e| panic!("{left} {name} {right}: {e}"));
        let (l, r, result) = expected;
        assert_eq!((found.left, found.right, found.result), (Some(l.oid), r.oid, result.oid), "{left} {name} {right}");
    }

    #[test]
    fn operands_find_their_operator() {
        use SqlType as T;
        check(T::INT4, "+", T::INT4, (T::INT4, T::INT4, T::INT4));
        check(T::INT4, "+", T::INT8, (T::INT4, T::INT8, T::INT8));
        check(T::INT2, "+", T::NUMERIC, (T::NUMERIC, T::NUMERIC, T::NUMERIC));
        check(T::NUMERIC, "*", T::FLOAT4, (T::FLOAT8, T::FLOAT4, T::FLOAT8));
        check(T::INT4, "=", T::UNKNOWN, (T::INT4, T::INT4, T::BOOL));
        check(T::UNKNOWN, "||", T::UNKNOWN, (T::TEXT, T::TEXT, T::TEXT));
        check(T::UNKNOWN, "=", T::UNKNOWN, (T::TEXT, T::TEXT, T::BOOL));
        check(T::VARCHAR, "=", T::UNKNOWN, (T::TEXT, T::TEXT, T::BOOL));
        check(T::VARCHAR, "=", T::BPCHAR, (T::BPCHAR, T::BPCHAR, T::BOOL));
        check(T::BPCHAR, "=", T::UNKNOWN, (T::BPCHAR, T::BPCHAR, T::BOOL));
        check(T::NAME, "=", T::UNKNOWN, (T::NAME, T::NAME, T::BOOL));
        check(T::OID, "=", T::INT4, (T::OID, T::OID, T::BOOL));
        check(T::REGCLASS, "=", T::OID, (T::OID, T::OID, T::BOOL));
        check(T::TIMESTAMP, "-", T::TIMESTAMP, (T::TIMESTAMP, T::TIMESTAMP, T::INTERVAL));
        check(T::DATE, "+", T::INT4, (T::DATE, T::INT4, T::DATE));
        check(T::DATE, "-", T::UNKNOWN, (T::DATE, T::DATE, T::INT4));
        check(T::TIMESTAMPTZ, "+", T::UNKNOWN, (T::TIMESTAMPTZ, T::INTERVAL, T::TIMESTAMPTZ));
        check(T::INT4_ARRAY, "@>", T::INT4_ARRAY, (T::INT4_ARRAY, T::INT4_ARRAY, T::BOOL));
        check(T::INT4_ARRAY, "||", T::INT4, (T::INT4_ARRAY, T::INT4, T::INT4_ARRAY));
        check(T::INT4_ARRAY, "||", T::INT8, (T::INT8_ARRAY, T::INT8, T::INT8_ARRAY));
        check(T::TEXT, "||", T::INT4, (T::TEXT, T::INT4, T::TEXT));
        check(T::JSONB, "->", T::UNKNOWN, (T::JSONB, T::TEXT, T::JSONB));
        check(T::JSONB, "->", T::INT4, (T::JSONB, T::INT4, T::JSONB));
    }

    #[test]
    fn errors_say_what_is_missing() {
        let error = operator("+", Some(SqlType::INT4.oid), SqlType::TEXT.oid).unwrap_err().0;
        assert_eq!((error.state.as_str(), &error.message[..]), ("42883", "operator does not exist: integer + text"));
        let error = operator("+", Some(SqlType::UNKNOWN.oid), SqlType::UNKNOWN.oid).unwrap_err().0;
        assert_eq!((error.state.as_str(), &error.message[..]), ("42725", "operator is not unique: unknown + unknown"));
        let error = operator("-", None, SqlType::TEXT.oid).unwrap_err().0;
        assert_eq!(&error.message[..], "operator does not exist: - text");
    }
}
