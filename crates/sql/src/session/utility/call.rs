//! `CALL cairn.…`: what an operator asks of the cluster. Procedures of one's own are not there yet (0A000).
//!
//! They are procedures because they do something, and not in a transaction: what has begun is not taken back. Each says in
//! a notice what it did or began; `cairn.nodes`, `cairn.ranges` and `cairn.placement_log` show how far that is.

use std::sync::Arc;

use expr::Datum;

use super::prepare::values_query;
use crate::catalog::providers::Operation;
use crate::parse::ast::{Expr, Name, Statement};
use crate::session::Session;
use crate::session::output::Notice;
use crate::session::prepared::Prepared;
use crate::session::run::{Limit, Outcome, Place};
use crate::{SqlError, SqlResult};

/// Name, arguments, what it is.
type Procedure = (&'static str, usize, fn(&[u64]) -> Operation);

const PROCEDURES: [Procedure; 7] = [
    ("split_range", 1, |args| Operation::SplitRange { range: args[0] }),
    ("move_leader", 2, |args| Operation::MoveLeader { range: args[0], node: args[1] }),
    ("move_replica", 3, |args| Operation::MoveReplica { range: args[0], from: args[1], to: args[2] }),
    ("drain_node", 1, |args| Operation::DrainNode { node: args[0] }),
    ("undrain_node", 1, |args| Operation::UndrainNode { node: args[0] }),
    ("decommission_node", 1, |args| Operation::DecommissionNode { node: args[0] }),
    ("recommission_node", 1, |args| Operation::RecommissionNode { node: args[0] }),
];

impl Session {
    pub(super) async fn call(
        &mut self,
        name: &[Name],
        args: &[Expr],
        within: &Prepared,
        place: Place,
        limit: &Limit,
    ) -> SqlResult<Outcome> {
        let [schema, procedure] = name else { return Err(SqlError::not_supported("CALL of a procedure")) };
        if schema.as_str() != "cairn" {
            return Err(SqlError::not_supported("CALL of a procedure"));
        }
        let found = PROCEDURES.iter().find(|(known, count, _)| *known == procedure.as_str() && *count == args.len());
        let Some((_, _, operation)) = found else {
            let message =
                format!("procedure cairn.{} with {} arguments does not exist", procedure.as_str(), args.len());
            return Err(SqlError::new("42883", message)
                .with_hint("There are split_range(range), move_leader(range, node), move_replica(range, from, to), drain_node(node), undrain_node(node), decommission_node(node) and recommission_node(node)."));
        };
        let what = format!("CALL cairn.{}", procedure.as_str());
        self.forbid_block_here(&what, place)?;
        let (open, catalog) = self.start_statement(limit).await?;
        let role = self.state.role();
        if !catalog.role(&role.name).is_some_and(|role| role.superuser) {
            let message = format!("permission denied for procedure {}", procedure.as_str());
            return Err(SqlError::new("42501", message));
        }
        let types = vec![expr::SqlType::INT8.oid; args.len()];
        let list = Statement::Query(Box::new(values_query(args, &types)));
        let list = Arc::new(Prepared::new(within.source.clone(), Some(list), Vec::new(), 0));
        let values = self.plan(&list, &catalog)?;
        let values = self.compute_row(&values, &open, &catalog, limit).await?;
        let ids = values.iter().map(id).collect::<SqlResult<Vec<u64>>>()?;
        let cluster = self.server.views().cluster.clone();
        let cluster = cluster.ok_or_else(|| SqlError::not_supported("the operation of a cluster"))?;
        let done = limit.run(cluster.operate(operation(&ids))).await?;
        self.state.notice(Notice { severity: "NOTICE", error: SqlError::new("00000", done) });
        Ok(Outcome::done("CALL"))
    }
}

fn id(value: &Datum) -> SqlResult<u64> {
    match value {
        Datum::Int8(id) if *id > 0 => Ok(id.cast_unsigned()),
        _ => Err(SqlError::new("22023", "nodes and ranges have numbers from 1 on")),
    }
}
