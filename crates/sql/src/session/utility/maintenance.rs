//! VACUUM, ANALYZE, LOCK TABLE, LISTEN and the rest: what needs nothing done here says so with the right tag, and what is
//! not there says 0A000.

use std::sync::Arc;

use super::range::move_leader;
use crate::catalog::{Catalog, RelationKind, Table};
use crate::parse::ast::{MaintenanceTarget, ObjectName, Utility};
use crate::session::Session;
use crate::session::run::{Limit, Outcome, Place};
use crate::{SqlError, SqlResult};

impl Session {
    pub(super) async fn run_maintenance(
        &mut self,
        utility: &Utility,
        place: Place,
        limit: &Limit,
    ) -> SqlResult<Outcome> {
        let done = |tag: &str| Ok(Outcome::done(tag));
        match utility {
            // Versions go by themselves; statistics are gathered as data change.
            Utility::Vacuum { targets, .. } => {
                self.forbid_block_here("VACUUM", place)?;
                self.find_tables(tables_of(targets), limit).await?;
                done("VACUUM")
            }
            Utility::Analyze { targets, .. } => {
                self.find_tables(tables_of(targets), limit).await?;
                done("ANALYZE")
            }
            Utility::Cluster { table, .. } => {
                self.find_tables(table.iter().cloned().collect(), limit).await?;
                done("CLUSTER")
            }
            // Indexes are kept in order by construction.
            Utility::Reindex { concurrently, .. } => {
                if *concurrently {
                    self.forbid_block_here("REINDEX CONCURRENTLY", place)?;
                }
                done("REINDEX")
            }
            // What is acknowledged is on the disks of a quorum already.
            Utility::Checkpoint => done("CHECKPOINT"),
            Utility::Load(_) => done("LOAD"),
            Utility::LockTable { tables, mode, nowait } => {
                self.require_block("LOCK TABLE")?;
                self.lock_tables(tables, *mode, *nowait, limit).await?;
                done("LOCK TABLE")
            }
            Utility::Listen(channel) => {
                self.ensure_block();
                self.listen(Some(channel.as_str()), true);
                done("LISTEN")
            }
            Utility::Unlisten(channel) => {
                self.ensure_block();
                self.listen(channel.as_ref().map(|channel| channel.as_str()), false);
                done("UNLISTEN")
            }
            Utility::Notify { channel, payload } => {
                self.ensure_block();
                self.notify(channel.as_str(), payload.as_deref().unwrap_or(""))?;
                done("NOTIFY")
            }
            Utility::AlterSystem(variable) => {
                self.forbid_block_here("ALTER SYSTEM", place)?;
                Err(SqlError::not_supported(format!("ALTER SYSTEM SET {}", variable.name))
                    .with_hint("Give settings of a node on its command line or in its configuration file."))
            }
            Utility::MoveLeader { range, node } => {
                self.forbid_block_here("ALTER RANGE", place)?;
                move_leader(&self.server, *range, *node, limit).await?;
                done("ALTER RANGE")
            }
            Utility::PrepareTransaction(_) | Utility::CommitPrepared(_) | Utility::RollbackPrepared(_) => {
                Err(SqlError::not_supported("two-phase commit by the client (PREPARE TRANSACTION)"))
            }
            Utility::SetTransactionSnapshot(_) => Err(SqlError::not_supported("SET TRANSACTION SNAPSHOT")),
            Utility::Do { .. } => Err(SqlError::not_supported("DO")),
            Utility::SecurityLabel { .. } => {
                Err(SqlError::new("22023", "no security label providers have been loaded"))
            }
            other => unreachable!("not a maintenance statement: {other:?}"),
        }
    }

    pub(super) fn forbid_block_here(&self, what: &str, place: Place) -> SqlResult<()> {
        if !place.alone && self.block.is_none() {
            return Err(SqlError::new("25001", format!("{what} cannot run inside a transaction block")));
        }
        self.forbid_block(what)
    }

    /// 42P01 for a table that is not there.
    async fn find_tables(&mut self, names: Vec<ObjectName>, limit: &Limit) -> SqlResult<Vec<Table>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let (_, catalog) = self.start_statement(limit).await?;
        names.iter().map(|name| self.find_table(&catalog, name)).collect()
    }

    pub(in crate::session) fn find_table(&self, catalog: &Arc<Catalog>, name: &ObjectName) -> SqlResult<Table> {
        if name.database.as_ref().is_some_and(|database| *database.text != *self.state.database.name) {
            let message = format!("cross-database references are not implemented: \"{name}\"");
            return Err(SqlError::new("0A000", message));
        }
        let path = self.search_path(catalog);
        let schema = name.schema.as_ref().map(|schema| schema.as_str());
        if let Some(schema) = schema.filter(|schema| catalog.schema(path.database, schema).is_none()) {
            return Err(SqlError::new("3F000", format!("schema \"{schema}\" does not exist")));
        }
        match catalog.resolve_relation(&path, schema, name.name.as_str()) {
            Some(table) => Ok(table.clone()),
            None => Err(SqlError::new("42P01", format!("relation \"{name}\" does not exist"))),
        }
    }
}

fn tables_of(targets: &[MaintenanceTarget]) -> Vec<ObjectName> {
    targets.iter().map(|target| target.table.clone()).collect()
}

/// A relation that COPY TO reads by its name.
pub(in crate::session) fn require_copyable(table: &Table) -> SqlResult<()> {
    match require_table(table, "copy from") {
        Err(error) if matches!(table.kind, RelationKind::View { .. }) => {
            Err(error.with_hint("Try the COPY (SELECT ...) TO variant."))
        }
        Err(_) if matches!(table.kind, RelationKind::Virtual) => Ok(()),
        result => result,
    }
}

/// A relation that holds rows of its own.
pub(in crate::session) fn require_table(table: &Table, what: &str) -> SqlResult<()> {
    let kind = match &table.kind {
        RelationKind::Table { .. } => return Ok(()),
        RelationKind::View { .. } => "view",
        RelationKind::Sequence(_) => "sequence",
        RelationKind::Virtual => "system table",
    };
    Err(SqlError::new("42809", format!("cannot {what} {kind} \"{}\"", table.name)))
}
