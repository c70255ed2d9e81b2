//! `ALTER RANGE … MOVE LEADER TO …`: by hand what placement does by itself, for whoever is about to stop a node, and for tests.

use keyspace::NodeId;

use crate::session::Server;
use crate::session::run::Limit;
use crate::{SqlError, SqlResult};

/// Returns when the leader has been asked; `cairn.ranges` shows when it has moved. Placement may move it again.
pub(super) async fn move_leader(server: &Server, range: i64, node: i64, limit: &Limit) -> SqlResult<()> {
    let Some(cluster) = server.views().cluster.clone() else {
        return Err(SqlError::not_supported("ALTER RANGE without a cluster"));
    };
    let is = |number: u64, given: i64| u64::try_from(given) == Ok(number);
    let ranges = limit.run(cluster.ranges()).await?;
    let Some(row) = ranges.iter().find(|row| is(row.range, range)) else {
        return Err(SqlError::new("42704", format!("range {range} does not exist"))
            .with_hint("SELECT range_id FROM cairn.ranges tells which there are."));
    };
    let Some(to) = row.voters.iter().copied().find(|voter| is(*voter, node)) else {
        return Err(SqlError::new("22023", format!("range {range} has no voter on node {node}"))
            .with_hint("The column voters of cairn.ranges tells where they are."));
    };
    limit.run(server.config.txn.move_leader(&row.start, NodeId(to))).await
}
