//! Schemata, tables, views, sequences.

use expr::{Row, SqlType};

use super::columns::integer_bits;
use super::{is_own, relations, yes_or_no};
use crate::catalog::pg::VirtualContext;
use crate::catalog::pg::class::relkind;
use crate::catalog::pg::row::{Equal, row};
use crate::catalog::{RelationKind, Table};

pub(super) fn catalog_name(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    vec![row! { equal.relation; catalog_name: cx.database_name() }]
}

pub(super) fn schemata(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |schema: &crate::catalog::SchemaDescriptor| {
        row! { equal.relation;
            catalog_name: cx.database_name(),
            schema_name: &schema.name,
            schema_owner: cx.role_name(schema.owner),
        }
    };
    cx.schemas().into_iter().map(make).collect()
}

pub(super) fn tables(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |table: &Table| {
        let kind = relkind(table);
        (kind != 'S').then(|| {
            row! { equal.relation;
                table_catalog: cx.database_name(),
                table_schema: cx.schema_name(table.schema),
                table_name: &table.name,
                table_type: if kind == 'v' { "VIEW" } else { "BASE TABLE" },
                is_insertable_into: yes_or_no(kind == 'r' && is_own(table)),
                is_typed: "NO",
            }
        })
    };
    relations(cx, equal, "table_schema", "table_name").into_iter().filter_map(make).collect()
}

pub(super) fn views(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |table: &Table| {
        let definition = match &table.kind {
            RelationKind::View { definition, .. } => Some(format!(" {definition};")),
            _ => None,
        };
        (relkind(table) == 'v').then(|| {
            row! { equal.relation;
                table_catalog: cx.database_name(),
                table_schema: cx.schema_name(table.schema),
                table_name: &table.name,
                view_definition: definition,
                check_option: "NONE",
                is_updatable: "NO",
                is_insertable_into: "NO",
                is_trigger_updatable: "NO",
                is_trigger_deletable: "NO",
                is_trigger_insertable_into: "NO",
            }
        })
    };
    relations(cx, equal, "table_schema", "table_name").into_iter().filter_map(make).collect()
}

pub(super) fn sequences(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |table: &Table| match &table.kind {
        // The sequence of an identity column is part of the column.
        RelationKind::Sequence(sequence) if !is_identity(cx, sequence) => Some(row! { equal.relation;
            sequence_catalog: cx.database_name(),
            sequence_schema: cx.schema_name(table.schema),
            sequence_name: &table.name,
            data_type: expr::types::format_type(sequence.ty.oid, None),
            numeric_precision: integer_bits(sequence.ty),
            numeric_precision_radix: 2,
            numeric_scale: 0,
            start_value: sequence.start.to_string(),
            minimum_value: sequence.min.to_string(),
            maximum_value: sequence.max.to_string(),
            increment: sequence.increment.to_string(),
            cycle_option: yes_or_no(sequence.cycle),
        }),
        _ => None,
    };
    relations(cx, equal, "sequence_schema", "sequence_name").into_iter().filter_map(make).collect()
}

fn is_identity(cx: &VirtualContext<'_>, sequence: &crate::catalog::SequenceDescriptor) -> bool {
    let column = sequence.owned_by.and_then(|(table, column)| cx.catalog.table(table)?.column(column));
    column.is_some_and(|column| column.identity.is_some())
}

pub(super) fn view_tables(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let of = |view: &Table| {
        let RelationKind::View { depends_on, .. } = &view.kind else { return Vec::new() };
        let used = depends_on.iter().filter(|dependency| dependency.column.is_none());
        let make = |table: &Table| {
            row! { equal.relation;
                view_catalog: cx.database_name(),
                view_schema: cx.schema_name(view.schema),
                view_name: &view.name,
                table_catalog: cx.database_name(),
                table_schema: cx.schema_name(table.schema),
                table_name: &table.name,
            }
        };
        used.filter_map(|dependency| cx.catalog.table(dependency.object)).map(make).collect()
    };
    relations(cx, equal, "view_schema", "view_name").into_iter().flat_map(of).collect()
}

pub(super) fn character_sets(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    vec![row! { equal.relation;
        character_set_name: "UTF8",
        character_repertoire: "UCS",
        form_of_use: "UTF8",
        default_collate_catalog: cx.database_name(),
    }]
}

pub(super) fn collations(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |name: &&str| {
        row! { equal.relation;
            collation_catalog: cx.database_name(),
            collation_schema: "pg_catalog",
            collation_name: *name,
            pad_attribute: "NO PAD",
        }
    };
    ["default", "C", "POSIX", "ucs_basic"].iter().map(make).collect()
}

/// How a type that a column has is called here; arrays are all called alike.
pub(super) fn data_type(ty: SqlType) -> String {
    match ty.entry() {
        Some(entry) if entry.is_array() && !entry.is_vector() => "ARRAY".to_owned(),
        Some(_) => expr::types::format_type(ty.oid, None),
        None => "USER-DEFINED".to_owned(),
    }
}
