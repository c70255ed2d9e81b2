//! Constraints, and what they are about.

use expr::Row;

use super::{relations, yes_or_no};
use crate::catalog::ddl::unique_index_on;
use crate::catalog::pg::describe::action;
use crate::catalog::pg::row::{Equal, row};
use crate::catalog::pg::{VirtualContext, expression_text};
use crate::catalog::quote::quote_ident;
use crate::catalog::{ColumnDescriptor, ColumnId, ForeignKeyDescriptor, Table, TableDescriptor};

/// NOT NULL is a constraint here, with a name made of numbers.
fn not_null_name(table: &TableDescriptor, column: &ColumnDescriptor) -> String {
    format!("{}_{}_{}_not_null", table.schema, table.oid, column.attnum)
}

fn not_null_columns(table: &TableDescriptor) -> impl Iterator<Item = &ColumnDescriptor> {
    let is_table = matches!(table.kind, crate::catalog::RelationKind::Table { .. });
    table.visible_columns().filter(move |column| is_table && column.not_null)
}

pub(super) fn table_constraints(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |table: &Table, name: &str, kind: &str, deferrable: bool, deferred: bool| {
        row! { equal.relation;
            constraint_catalog: cx.database_name(),
            constraint_schema: cx.schema_name(table.schema),
            constraint_name: name,
            table_catalog: cx.database_name(),
            table_schema: cx.schema_name(table.schema),
            table_name: &table.name,
            constraint_type: kind,
            is_deferrable: yes_or_no(deferrable),
            initially_deferred: yes_or_no(deferred),
            enforced: "YES",
            nulls_distinct: (kind == "UNIQUE").then_some("YES"),
        }
    };
    let of = |table: &Table| {
        let mut rows = Vec::new();
        for check in &table.checks {
            rows.push(make(table, &check.name, "CHECK", false, false));
        }
        for index in table.named_indexes().filter(|index| index.constraint.is_some()) {
            rows.push(make(table, &index.name, if index.primary { "PRIMARY KEY" } else { "UNIQUE" }, false, false));
        }
        for key in &table.foreign_keys {
            rows.push(make(table, &key.name, "FOREIGN KEY", key.deferrable, key.initially_deferred));
        }
        for column in not_null_columns(table) {
            rows.push(make(table, &not_null_name(table, column), "CHECK", false, false));
        }
        rows
    };
    relations(cx, equal, "table_schema", "table_name").into_iter().flat_map(of).collect()
}

/// Keys of a table: name, columns, and for references the place of each column in the referenced key.
fn keys(cx: &VirtualContext<'_>, table: &Table) -> Vec<(String, Vec<ColumnId>, Option<Vec<i32>>)> {
    let own = table.named_indexes().filter(|index| index.constraint.is_some());
    let mut keys: Vec<_> =
        own.map(|index| (index.name.clone(), index.columns.iter().map(|key| key.column).collect(), None)).collect();
    for key in &table.foreign_keys {
        keys.push((key.name.clone(), key.columns.clone(), places_in_target(cx, key)));
    }
    keys
}

fn places_in_target(cx: &VirtualContext<'_>, key: &ForeignKeyDescriptor) -> Option<Vec<i32>> {
    let target = cx.catalog.table(key.target)?;
    let index = unique_index_on(target, &key.target_columns)?;
    let index = target.indexes.iter().find(|known| known.oid == index)?;
    let place = |id: &ColumnId| index.columns.iter().position(|key| key.column == *id).map(|at| at as i32 + 1);
    key.target_columns.iter().map(place).collect()
}

pub(super) fn key_columns(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for table in relations(cx, equal, "table_schema", "table_name") {
        for (name, columns, places) in keys(cx, table) {
            for (at, id) in columns.iter().enumerate() {
                rows.push(row! { equal.relation;
                    constraint_catalog: cx.database_name(),
                    constraint_schema: cx.schema_name(table.schema),
                    constraint_name: &name,
                    table_catalog: cx.database_name(),
                    table_schema: cx.schema_name(table.schema),
                    table_name: &table.name,
                    column_name: table.column(*id).map(|column| &column.name),
                    ordinal_position: at as i32 + 1,
                    position_in_unique_constraint: places.as_ref().map(|places| places[at]),
                });
            }
        }
    }
    rows
}

/// `(constraint's table, constraint, table that is used, columns that are used)`
fn uses<'a>(cx: &VirtualContext<'a>) -> Vec<(&'a Table, &'a str, &'a Table, Vec<ColumnId>)> {
    let mut uses = Vec::new();
    for table in cx.own_relations() {
        for check in &table.checks {
            uses.push((table, check.name.as_str(), table, check.columns.clone()));
        }
        for index in table.named_indexes().filter(|index| index.constraint.is_some()) {
            uses.push((table, index.name.as_str(), table, index.columns.iter().map(|key| key.column).collect()));
        }
        for key in &table.foreign_keys {
            if let Some(target) = cx.catalog.table(key.target) {
                uses.push((table, key.name.as_str(), target, key.target_columns.clone()));
            }
        }
    }
    uses
}

pub(super) fn used_columns(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (owner, constraint, table, columns) in uses(cx) {
        for column in columns.iter().filter_map(|id| table.column(*id)) {
            rows.push(row! { equal.relation;
                table_catalog: cx.database_name(),
                table_schema: cx.schema_name(table.schema),
                table_name: &table.name,
                column_name: &column.name,
                constraint_catalog: cx.database_name(),
                constraint_schema: cx.schema_name(owner.schema),
                constraint_name: constraint,
            });
        }
    }
    rows
}

pub(super) fn used_tables(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |(owner, constraint, table, _): (&Table, &str, &Table, Vec<ColumnId>)| {
        row! { equal.relation;
            table_catalog: cx.database_name(),
            table_schema: cx.schema_name(table.schema),
            table_name: &table.name,
            constraint_catalog: cx.database_name(),
            constraint_schema: cx.schema_name(owner.schema),
            constraint_name: constraint,
        }
    };
    uses(cx).into_iter().map(make).collect()
}

pub(super) fn references(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let of = |table: &Table, key: &ForeignKeyDescriptor| {
        let target = cx.catalog.table(key.target)?;
        let index = unique_index_on(target, &key.target_columns);
        let index = target.indexes.iter().find(|known| Some(known.oid) == index && known.constraint.is_some());
        Some(row! { equal.relation;
            constraint_catalog: cx.database_name(),
            constraint_schema: cx.schema_name(table.schema),
            constraint_name: &key.name,
            unique_constraint_catalog: index.map(|_| cx.database_name()),
            unique_constraint_schema: index.map(|_| cx.schema_name(target.schema)),
            unique_constraint_name: index.map(|index| &index.name),
            match_option: if key.match_full { "FULL" } else { "NONE" },
            update_rule: action(key.on_update).unwrap_or("NO ACTION"),
            delete_rule: action(key.on_delete).unwrap_or("NO ACTION"),
        })
    };
    let tables = cx.own_relations().into_iter();
    tables.flat_map(|table| table.foreign_keys.iter().filter_map(move |key| of(table, key))).collect()
}

pub(super) fn checks(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |table: &Table, name: &str, clause: String| {
        row! { equal.relation;
            constraint_catalog: cx.database_name(),
            constraint_schema: cx.schema_name(table.schema),
            constraint_name: name,
            check_clause: clause,
        }
    };
    let mut rows = Vec::new();
    for table in cx.own_relations() {
        for check in &table.checks {
            let clause = expression_text(cx.catalog, cx.path, Some(table), &check.condition, false);
            rows.push(make(table, &check.name, format!("({clause})")));
        }
        for column in not_null_columns(table) {
            let clause = format!("{} IS NOT NULL", quote_ident(&column.name));
            rows.push(make(table, &not_null_name(table, column), clause));
        }
    }
    rows
}
