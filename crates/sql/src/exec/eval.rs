//! Where operators meet `expr`: computing values, and doing what a value has to wait for.
//!
//! Evaluation itself never waits. A function that would have to (`nextval`, `pg_sleep`) stops the evaluation and leaves
//! word of what it needs ([`Asks`]); it is done, and the expression is evaluated again with the answer at hand.

use expr::{Datum, EvalContext, EvalError, Expr, FunctionId, Row};

use super::Context;
use crate::SqlResult;

impl Context {
    /// What expressions are evaluated under.
    pub fn eval(&self) -> EvalContext<'_> {
        let shared = &*self.shared;
        EvalContext {
            params: &self.params,
            statement_time: shared.statement_time,
            transaction_time: shared.transaction_time,
            settings: &shared.active.eval,
            environment: &shared.functions,
        }
    }

    pub async fn value(&self, expr: &Expr, row: &[Datum]) -> SqlResult<Datum> {
        match expr.eval(row, &self.eval()) {
            Ok(value) if !self.shared.functions.has_asked() => Ok(value),
            result => self.value_with_answers(expr, row, result).await,
        }
    }

    /// Goes on until the expression has all the answers it asks for.
    async fn value_with_answers(
        &self,
        expr: &Expr,
        row: &[Datum],
        first: Result<Datum, EvalError>,
    ) -> SqlResult<Datum> {
        let functions = &self.shared.functions;
        let mut result = first;
        loop {
            match result {
                Err(error) if functions.is_waiting(&error) => {
                    let answered = functions.answer(self).await;
                    if answered.is_err() {
                        functions.forget_answers();
                    }
                    answered?;
                }
                result => {
                    functions.forget_answers();
                    return Ok(result?);
                }
            }
            result = expr.eval(row, &self.eval());
        }
    }

    /// Is it true, neither false nor NULL?
    pub async fn holds(&self, condition: &Expr, row: &[Datum]) -> SqlResult<bool> {
        match condition.eval_bool(row, &self.eval()) {
            Ok(truth) if !self.shared.functions.has_asked() => Ok(truth == Some(true)),
            Err(error) if !self.shared.functions.is_waiting(&error) => Err(error.into()),
            _ => {
                self.shared.functions.forget_answers();
                Ok(matches!(self.value(condition, row).await?, Datum::Bool(true)))
            }
        }
    }

    pub async fn compute<'e>(&self, exprs: impl IntoIterator<Item = &'e Expr>, row: &[Datum]) -> SqlResult<Row> {
        let exprs = exprs.into_iter();
        let mut out = Vec::with_capacity(exprs.size_hint().0);
        for expr in exprs {
            out.push(self.value(expr, row).await?);
        }
        Ok(out)
    }

    /// An operator of two arguments.
    pub async fn call(&self, function: FunctionId, left: Datum, right: Datum) -> SqlResult<Datum> {
        let (a, b) = (left.natural_type(), right.natural_type());
        let args = vec![Expr::Const { value: left, ty: a }, Expr::Const { value: right, ty: b }];
        self.value(&Expr::Call { function, args, ty: expr::SqlType::BOOL }, &[]).await
    }
}

/// Arrays become one of a dimension more.
pub(crate) fn array_of(element: expr::SqlType, elements: Vec<Datum>) -> SqlResult<Datum> {
    if let Some(inner) = element.element() {
        return Ok(expr::functions::nest_arrays(inner.base(), elements)?);
    }
    let dimensions = if elements.is_empty() { Vec::new() } else { vec![(elements.len() as i32, 1)] };
    Ok(Datum::Array(std::sync::Arc::new(expr::ArrayValue { element: element.base(), dimensions, elements })))
}

/// `<>` of some type: in rows, one column decides.
pub(crate) fn is_inequality(function: FunctionId) -> bool {
    expr::operators::by_function(function).is_some_and(|operator| operator.name == "<>")
}
