//! `pg_tables`, `pg_views`, `pg_indexes`, `pg_sequences`.

use expr::Row;

use super::class::relkind;
use super::row::{Equal, row};
use super::{VirtualContext, index_definition};
use crate::catalog::{RelationKind, Table};

/// Relations of one kind, those of a schema or of a name if that is asked for.
fn relations<'a>(cx: &VirtualContext<'a>, equal: &Equal<'_>, kind: char, name: &str) -> Vec<&'a Table> {
    let schema = equal.text("schemaname").map(|name| cx.catalog.schema(cx.database(), name).map(|schema| schema.oid));
    let wanted = equal.text(name);
    let all: Vec<&Table> = match schema {
        Some(Some(schema)) => cx.catalog.relations_in(schema),
        Some(None) => Vec::new(),
        None => cx.all_relations().collect(),
    };
    let fits = |table: &&Table| relkind(table) == kind && wanted.is_none_or(|wanted| table.name == wanted);
    all.into_iter().filter(fits).collect()
}

pub(super) fn tables(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |table: &Table| {
        row! { equal.relation;
            schemaname: cx.schema_name(table.schema),
            tablename: &table.name,
            tableowner: cx.role_name(table.owner),
            hasindexes: table.named_indexes().next().is_some(),
            hasrules: false,
            hastriggers: !table.foreign_keys.is_empty() || !table.referenced_by.is_empty(),
            rowsecurity: false,
        }
    };
    relations(cx, equal, 'r', "tablename").into_iter().map(make).collect()
}

pub(super) fn views(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |table: &Table| {
        let definition = match &table.kind {
            RelationKind::View { definition, .. } => Some(format!(" {definition};")),
            _ => None,
        };
        row! { equal.relation;
            schemaname: cx.schema_name(table.schema),
            viewname: &table.name,
            viewowner: cx.role_name(table.owner),
            definition: definition,
        }
    };
    relations(cx, equal, 'v', "viewname").into_iter().map(make).collect()
}

pub(super) fn indexes(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let of = |table: &Table| {
        let make = |index: &crate::catalog::IndexDescriptor| {
            row! { equal.relation;
                schemaname: cx.schema_name(table.schema),
                tablename: &table.name,
                indexname: &index.name,
                indexdef: index_definition(cx.catalog, cx.path, table, index, None, false),
            }
        };
        table.named_indexes().map(make).collect::<Vec<_>>()
    };
    relations(cx, equal, 'r', "tablename").into_iter().flat_map(of).collect()
}

pub(super) fn sequences(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |table: &Table| match &table.kind {
        RelationKind::Sequence(sequence) => Some(row! { equal.relation;
            schemaname: cx.schema_name(table.schema),
            sequencename: &table.name,
            sequenceowner: cx.role_name(table.owner),
            data_type: sequence.ty.oid,
            start_value: sequence.start,
            min_value: sequence.min,
            max_value: sequence.max,
            increment_by: sequence.increment,
            cycle: sequence.cycle,
            cache_size: sequence.cache,
        }),
        _ => None,
    };
    relations(cx, equal, 'S', "sequencename").into_iter().filter_map(make).collect()
}
