//! The table locks of schema changes: writers in open transactions are waited for, and writers that come wait.
//!
//! Readers are not kept away as they are in PostgreSQL: they read at their number, under the schema of that number.

use std::sync::Arc;

use txn::LockMode;

use crate::SqlResult;
use crate::catalog::{Catalog, RelationKind, Table};
use crate::parse::ast::{
    AlterTableAction, ColumnConstraintKind, ColumnDefinition, Ddl, ObjectKind, ObjectName, TableConstraint,
    TableConstraintKind, TableElement,
};
use crate::session::Session;
use crate::session::block::Open;
use crate::session::run::Limit;

/// What PostgreSQL has ACCESS EXCLUSIVE for.
const CHANGE: LockMode = LockMode::Exclusive;

impl Session {
    /// Before a schema change decides anything: nobody writes to its tables any more. Gives the catalog to decide by.
    pub(in crate::session) async fn lock_for_ddl(
        &mut self,
        statement: &Ddl,
        open: &Open,
        mut catalog: Arc<Catalog>,
        limit: &Limit,
    ) -> SqlResult<Arc<Catalog>> {
        let mut names = Vec::new();
        tables_of(statement, &mut |name, mode| names.push((name.clone(), mode)));
        loop {
            let mut waited = false;
            for (name, mode) in &names {
                if let Some(table) = self.table_behind(&catalog, name) {
                    waited |= self.lock_table(open, &table, *mode, false, limit).await?;
                }
            }
            if !waited {
                break;
            }
            catalog = self.see_what_was_done(open, limit).await?;
        }
        if let Some(block) = &mut self.block {
            block.has_queried = true;
        }
        Ok(catalog)
    }

    /// A table by its name or by that of an index. What is not there is for the statement to complain about.
    fn table_behind(&self, catalog: &Arc<Catalog>, name: &ObjectName) -> Option<Table> {
        let is_table = |table: &Table| matches!(table.kind, RelationKind::Table { .. });
        let found = self.find_table(catalog, name).ok().filter(is_table);
        found.or_else(|| {
            let path = self.search_path(catalog);
            let schema = name.schema.as_ref().map(|schema| schema.as_str());
            catalog.index_by_name(&path, schema, name.name.as_str()).map(|(table, _)| table.clone())
        })
    }
}

fn tables_of(statement: &Ddl, found: &mut dyn FnMut(&ObjectName, LockMode)) {
    let is_of_table =
        |kind| matches!(kind, ObjectKind::Table | ObjectKind::Index | ObjectKind::Column | ObjectKind::Constraint);
    match statement {
        Ddl::CreateTable(create) => {
            for element in &create.elements {
                match element {
                    TableElement::Column(column) => of_column(column, found),
                    TableElement::Constraint(constraint) => of_constraint(constraint, found),
                    TableElement::Like { .. } => {}
                }
            }
        }
        Ddl::CreateIndex(create) if create.concurrently => found(&create.table, LockMode::ShareUpdateExclusive),
        Ddl::CreateIndex(create) => found(&create.table, LockMode::TableShare),
        Ddl::AlterTable(alter) if is_of_table(alter.kind) => {
            let modes = alter.actions.iter().map(mode_of);
            found(&alter.name, modes.reduce(LockMode::with).unwrap_or(CHANGE));
            for action in &alter.actions {
                match action {
                    AlterTableAction::AddColumn { column, .. } => of_column(column, found),
                    AlterTableAction::AddConstraint(constraint) => of_constraint(constraint, found),
                    _ => {}
                }
            }
        }
        Ddl::Rename(rename) if is_of_table(rename.object.kind) => found(&rename.object.name, CHANGE),
        Ddl::SetSchema { object, .. } | Ddl::OwnerTo { object, .. } if is_of_table(object.kind) => {
            found(&object.name, CHANGE);
        }
        Ddl::Drop(drop) if is_of_table(drop.kind) => drop.names.iter().for_each(|name| found(name, CHANGE)),
        Ddl::Truncate(truncate) => truncate.tables.iter().for_each(|name| found(name, CHANGE)),
        _ => {}
    }
}

/// What an action of ALTER TABLE takes on the table itself.
fn mode_of(action: &AlterTableAction) -> LockMode {
    match action {
        AlterTableAction::ValidateConstraint { .. }
        | AlterTableAction::SetOptions(_)
        | AlterTableAction::ResetOptions(_) => LockMode::ShareUpdateExclusive,
        AlterTableAction::AddConstraint(TableConstraint { kind: TableConstraintKind::ForeignKey { .. }, .. }) => {
            LockMode::ShareRowExclusive
        }
        _ => CHANGE,
    }
}

fn of_column(column: &ColumnDefinition, found: &mut dyn FnMut(&ObjectName, LockMode)) {
    for constraint in &column.constraints {
        if let ColumnConstraintKind::References(references) = &constraint.kind {
            found(&references.table, LockMode::ShareRowExclusive);
        }
    }
}

fn of_constraint(constraint: &TableConstraint, found: &mut dyn FnMut(&ObjectName, LockMode)) {
    if let TableConstraintKind::ForeignKey { references, .. } = &constraint.kind {
        found(&references.table, LockMode::ShareRowExclusive);
    }
}
