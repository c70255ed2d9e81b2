//! `information_schema.columns`.

use expr::types::numeric_precision_and_scale;
use expr::{Row, SqlType};

use super::tables::data_type;
use super::{is_own, relations, yes_or_no};
use crate::catalog::pg::row::{Equal, row};
use crate::catalog::pg::{VirtualContext, default_text, expression_text};
use crate::catalog::{ColumnDescriptor, Identity, RelationKind, SequenceDescriptor, Table};

/// Bytes of the longest character.
const CHARACTER_BYTES: i32 = 4;
/// The longest value there is, in bytes.
const VALUE_BYTES: i32 = 1 << 30;
/// Where the modifier of varchar and char begins to count.
const TYPMOD_OFFSET: i32 = 4;

pub(super) fn columns(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let tables = relations(cx, equal, "table_schema", "table_name").into_iter();
    let tables = tables.filter(|table| !matches!(table.kind, RelationKind::Sequence(_)));
    tables.flat_map(|table| table.visible_columns().map(move |column| one(cx, equal, table, column))).collect()
}

fn one(cx: &VirtualContext<'_>, equal: &Equal<'_>, table: &Table, column: &ColumnDescriptor) -> Row {
    let has_default = column.default.is_some() && column.identity.is_none();
    let default = has_default.then(|| default_text(cx.catalog, cx.path, table, column)).flatten();
    let identity = column.identity.and_then(|identity| Some((identity, sequence_of(cx, table, column)?)));
    let sequence = identity.map(|(_, sequence)| sequence);
    let size = Size::of(column.ty);
    row! { equal.relation;
        table_catalog: cx.database_name(),
        table_schema: cx.schema_name(table.schema),
        table_name: &table.name,
        column_name: &column.name,
        ordinal_position: i32::from(column.attnum),
        column_default: default,
        is_nullable: yes_or_no(!column.not_null),
        data_type: data_type(column.ty),
        character_maximum_length: size.characters,
        character_octet_length: size.bytes,
        numeric_precision: size.precision,
        numeric_precision_radix: size.radix,
        numeric_scale: size.scale,
        datetime_precision: size.fraction,
        udt_catalog: cx.database_name(),
        udt_schema: "pg_catalog",
        udt_name: column.ty.entry().map(|entry| entry.name),
        dtd_identifier: column.attnum.to_string(),
        is_self_referencing: "NO",
        is_identity: yes_or_no(column.identity.is_some()),
        identity_generation: column.identity.map(|identity| match identity {
            Identity::Always => "ALWAYS",
            Identity::ByDefault => "BY DEFAULT",
        }),
        identity_start: sequence.map(|sequence| sequence.start.to_string()),
        identity_increment: sequence.map(|sequence| sequence.increment.to_string()),
        identity_maximum: sequence.map(|sequence| sequence.max.to_string()),
        identity_minimum: sequence.map(|sequence| sequence.min.to_string()),
        identity_cycle: yes_or_no(sequence.is_some_and(|sequence| sequence.cycle)),
        is_generated: if column.generated.is_some() { "ALWAYS" } else { "NEVER" },
        generation_expression: column
            .generated
            .as_ref()
            .map(|text| expression_text(cx.catalog, cx.path, Some(table), text, false)),
        is_updatable: yes_or_no(is_own(table) && matches!(table.kind, RelationKind::Table { .. })),
    }
}

fn sequence_of<'a>(
    cx: &VirtualContext<'a>,
    table: &Table,
    column: &ColumnDescriptor,
) -> Option<&'a SequenceDescriptor> {
    cx.own_relations().into_iter().find_map(|relation| match &relation.kind {
        RelationKind::Sequence(sequence) if sequence.owned_by == Some((table.oid, column.id)) => Some(sequence),
        _ => None,
    })
}

/// Bits of an integer type.
pub(super) fn integer_bits(ty: SqlType) -> Option<i32> {
    match ty.base() {
        SqlType::INT2 => Some(16),
        SqlType::INT4 => Some(32),
        SqlType::INT8 => Some(64),
        _ => None,
    }
}

/// What a type's modifier says, in the standard's words.
#[derive(Default)]
struct Size {
    characters: Option<i32>,
    bytes: Option<i32>,
    precision: Option<i32>,
    radix: Option<i32>,
    scale: Option<i32>,
    fraction: Option<i32>,
}

impl Size {
    fn of(ty: SqlType) -> Size {
        let mut size = Size::default();
        match ty.base() {
            SqlType::VARCHAR | SqlType::BPCHAR if ty.typmod >= TYPMOD_OFFSET => {
                let characters = ty.typmod - TYPMOD_OFFSET;
                size.characters = Some(characters);
                size.bytes = Some(characters.saturating_mul(CHARACTER_BYTES));
            }
            SqlType::TEXT | SqlType::VARCHAR | SqlType::BPCHAR => size.bytes = Some(VALUE_BYTES),
            SqlType::FLOAT4 => (size.precision, size.radix) = (Some(24), Some(2)),
            SqlType::FLOAT8 => (size.precision, size.radix) = (Some(53), Some(2)),
            SqlType::NUMERIC => {
                size.radix = Some(10);
                if let Some((precision, scale)) = numeric_precision_and_scale(ty.typmod) {
                    (size.precision, size.scale) = (Some(precision), Some(scale));
                }
            }
            SqlType::DATE => size.fraction = Some(0),
            SqlType::TIME | SqlType::TIMETZ | SqlType::TIMESTAMP | SqlType::TIMESTAMPTZ => {
                size.fraction = Some(if ty.typmod < 0 { 6 } else { ty.typmod });
            }
            SqlType::INTERVAL => {
                let precision = ty.typmod & 0xffff;
                size.fraction = Some(if ty.typmod < 0 || precision == 0xffff { 6 } else { precision });
            }
            other => {
                if let Some(bits) = integer_bits(other) {
                    (size.precision, size.radix, size.scale) = (Some(bits), Some(2), Some(0));
                }
            }
        }
        size
    }
}

/// What the elements of array columns are.
pub(super) fn element_types(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let of = |table: &Table, column: &ColumnDescriptor| {
        let entry = column.ty.entry().filter(|entry| entry.is_array() && !entry.is_vector())?;
        let element = SqlType::from(entry.element);
        Some(row! { equal.relation;
            object_catalog: cx.database_name(),
            object_schema: cx.schema_name(table.schema),
            object_name: &table.name,
            object_type: if matches!(table.kind, RelationKind::View { .. }) { "VIEW" } else { "TABLE" },
            collection_type_identifier: column.attnum.to_string(),
            data_type: data_type(element),
            udt_catalog: cx.database_name(),
            udt_schema: "pg_catalog",
            udt_name: element.entry().map(|entry| entry.name),
            dtd_identifier: format!("a{}", column.attnum),
        })
    };
    let tables = relations(cx, equal, "object_schema", "object_name").into_iter();
    tables.flat_map(|table| table.visible_columns().filter_map(move |column| of(table, column))).collect()
}
