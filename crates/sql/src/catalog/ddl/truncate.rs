//! TRUNCATE: an empty table under a new storage id.

use std::collections::BTreeSet;

use expr::Oid;

use super::editor::no_relation;
use super::{Editor, sequence};
use crate::catalog::{DescriptorKind, RelationKind, Table, TableDescriptor};
use crate::parse::ast::{DropBehavior, Truncate};
use crate::{SqlError, SqlResult};

pub(super) async fn truncate(editor: &mut Editor<'_>, truncate: &Truncate) -> SqlResult<()> {
    let tables = targets(editor, truncate)?;
    for table in &tables {
        editor.lock_with_dependents((DescriptorKind::Relation, table.oid));
        let RelationKind::Table { storage } = table.kind else { unreachable!("targets are tables") };
        let mut emptied = TableDescriptor::clone(table);
        editor.drop_storage(storage);
        emptied.kind = RelationKind::Table { storage: editor.table_storage().await? };
        editor.save_table(emptied);
        if truncate.restart_identity {
            restart_sequences(editor, table.oid).await?;
        }
    }
    Ok(())
}

/// The named tables; with CASCADE those that refer to them, and so on.
fn targets(editor: &Editor<'_>, truncate: &Truncate) -> SqlResult<Vec<Table>> {
    let mut tables: Vec<Table> = Vec::new();
    for name in &truncate.tables {
        editor.check_database(name)?;
        let table = editor.find_relation(name).ok_or_else(|| no_relation(name))?;
        if !matches!(table.kind, RelationKind::Table { .. }) {
            return Err(SqlError::new("42809", format!("\"{}\" is not a table", table.name)));
        }
        if !tables.iter().any(|known| known.oid == table.oid) {
            tables.push(table);
        }
    }
    let mut known: BTreeSet<Oid> = tables.iter().map(|table| table.oid).collect();
    let mut next = 0;
    while let Some(table) = tables.get(next).cloned() {
        next += 1;
        for child in table.referenced_by.iter().filter(|oid| !known.contains(*oid)).copied().collect::<Vec<_>>() {
            let child = editor.catalog.table(child).expect("who refers to a table is in the catalog").clone();
            if truncate.behavior == DropBehavior::Restrict {
                return Err(referenced(&table, &child));
            }
            editor.notice("00000", format!("truncate cascades to table \"{}\"", child.name));
            known.insert(child.oid);
            tables.push(child);
        }
    }
    Ok(tables)
}

fn referenced(table: &TableDescriptor, child: &TableDescriptor) -> SqlError {
    SqlError::new("0A000", "cannot truncate a table referenced in a foreign key constraint")
        .with_detail(format!("Table \"{}\" references \"{}\".", child.name, table.name))
        .with_hint(format!("Truncate table \"{}\" at the same time, or use TRUNCATE ... CASCADE.", child.name))
}

async fn restart_sequences(editor: &mut Editor<'_>, table: Oid) -> SqlResult<()> {
    let owned = editor.catalog.relations(editor.database()).into_iter().filter(|relation| {
        matches!(&relation.kind, RelationKind::Sequence(s) if s.owned_by.is_some_and(|(owner, _)| owner == table))
    });
    for relation in owned.cloned().collect::<Vec<_>>() {
        let RelationKind::Sequence(descriptor) = &relation.kind else { continue };
        let mut descriptor = descriptor.clone();
        let start = descriptor.start;
        sequence::restart_at(editor, &mut descriptor, start).await?;
        let mut restarted = TableDescriptor::clone(&relation);
        restarted.kind = RelationKind::Sequence(descriptor);
        sequence::save(editor, restarted);
    }
    Ok(())
}
