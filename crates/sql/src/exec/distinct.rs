//! DISTINCT and DISTINCT ON: the first row of each key, in the input's order.

use async_trait::async_trait;
use expr::{Expr, Row, SqlType};

use super::hash_key::KeySet;
use super::{BoxOperator, Context, Operator};
use crate::SqlResult;

pub(crate) struct Distinct<'p> {
    input: BoxOperator<'p>,
    types: Vec<SqlType>,
    on: Option<&'p [Expr]>,
    seen: Option<KeySet>,
}

impl<'p> Distinct<'p> {
    /// `types` are the input's.
    pub fn new(input: BoxOperator<'p>, types: Vec<SqlType>, on: Option<&'p [Expr]>) -> Distinct<'p> {
        let types = match on {
            None => types,
            Some(on) => on.iter().map(Expr::ty).collect(),
        };
        Distinct { input, types, on, seen: None }
    }
}

#[async_trait]
impl Operator for Distinct<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        let seen = self.seen.get_or_insert_with(|| KeySet::new(ctx, self.types.iter().copied()));
        while let Some(rows) = self.input.next(ctx).await? {
            ctx.breathe().await?;
            let mut kept = Vec::new();
            for row in rows {
                let is_new = match self.on {
                    None => seen.insert(&row)?,
                    Some(on) => seen.insert(&ctx.compute(on, &row).await?)?,
                };
                if is_new {
                    kept.push(row);
                }
            }
            if !kept.is_empty() {
                return Ok(Some(kept));
            }
        }
        Ok(None)
    }
}
