//! PREPARE, EXECUTE and DEALLOCATE: the statements of the extended protocol, by SQL.

use std::sync::Arc;

use expr::Oid;

use super::no_such_statement;
use crate::parse::ast::{Expr, ExprKind, Name, Query, QueryBody, Statement, TypeName};
use crate::session::Session;
use crate::session::answer::Answer;
use crate::session::extended::{NamedStatement, check_result_type};
use crate::session::prepared::Prepared;
use crate::session::run::{Columns, Limit, Outcome, tag};
use crate::{SqlError, SqlResult};

impl Session {
    pub(super) async fn prepare(
        &mut self,
        name: &str,
        types: &[TypeName],
        statement: &Statement,
        within: &Prepared,
    ) -> SqlResult<()> {
        if self.statements.contains_key(name) {
            return Err(SqlError::new("42P05", format!("prepared statement \"{name}\" already exists")));
        }
        let mut declared = Vec::with_capacity(types.len());
        for ty in types {
            declared.push(self.bind_type(ty, &within.source)?.oid);
        }
        let now = self.server.now_micros();
        let mut prepared = Prepared::new(within.source.clone(), Some(statement.clone()), declared, now);
        prepared.from_sql = true;
        let prepared = Arc::new(prepared);
        let promised = self.promise(&prepared).await?;
        self.statements.insert(name.to_owned(), NamedStatement { prepared, promised });
        Ok(())
    }

    pub(super) async fn execute_prepared(
        &mut self,
        name: &str,
        args: &[Expr],
        within: &Prepared,
        answer: &mut Answer<'_>,
        limit: &Limit,
    ) -> SqlResult<Outcome> {
        let statement = self.statements.get(name).ok_or_else(|| no_such_statement(name))?;
        let (prepared, promised) = (statement.prepared.clone(), statement.promised.clone());
        let types: Vec<Oid> = promised.iter().flat_map(|planned| &planned.params).map(|ty| ty.oid).collect();
        if args.len() != types.len() {
            let message = format!("wrong number of parameters for prepared statement \"{name}\"");
            let detail = format!("Expected {} parameters but got {}.", types.len(), args.len());
            return Err(SqlError::new("42601", message).with_detail(detail));
        }
        let (open, catalog, planned) = self.start_planned(&prepared, limit).await?;
        let params = if args.is_empty() {
            Vec::new()
        } else {
            let list = Statement::Query(Box::new(values_query(args, &types)));
            let list = Arc::new(Prepared::new(within.source.clone(), Some(list), Vec::new(), 0));
            let values = self.plan(&list, &catalog)?;
            self.compute_row(&values, &open, &catalog, limit).await?
        };
        check_result_type(promised.as_deref(), &planned)?;
        let rows = self.run_plan(&planned, open, catalog, &params, answer, limit).await?;
        Ok(Outcome { tag: tag(&planned.plan, rows), columns: Columns::Planned(planned) })
    }

    pub(super) fn deallocate(&mut self, name: Option<&Name>) -> SqlResult<Outcome> {
        match name {
            None => {
                self.statements.clear();
                Ok(Outcome::done("DEALLOCATE ALL"))
            }
            Some(name) => match self.statements.remove(name.as_str()) {
                Some(_) => Ok(Outcome::done("DEALLOCATE")),
                None => Err(no_such_statement(name.as_str())),
            },
        }
    }
}

/// `VALUES (CAST(arg AS type), …)`.
pub(super) fn values_query(args: &[Expr], types: &[Oid]) -> Query {
    let cast = |(arg, ty): (&Expr, &Oid)| {
        let name = expr::types::by_oid(*ty).map_or("unknown", |entry| entry.name);
        let ty = TypeName {
            names: vec![Name::new("pg_catalog", arg.at), Name::new(name, arg.at)],
            modifiers: Vec::new(),
            dimensions: 0,
            setof: false,
            of_column: false,
            at: arg.at,
        };
        Expr::new(ExprKind::Cast(Box::new(arg.clone()), Box::new(ty)), arg.at)
    };
    let row = args.iter().zip(types).map(cast).collect();
    Query {
        with: None,
        body: QueryBody::Values(vec![row]),
        order_by: Vec::new(),
        limit: None,
        offset: None,
        with_ties: false,
        locking: Vec::new(),
        at: 0,
    }
}
