//! Functions that look things up in the catalog: definitions, comments, visibility, sizes.
//!
//! What does not exist (an OID of nothing) is NULL, as in PostgreSQL: a catalog query must not fail because something
//! was dropped beside it.

use expr::{Datum, EvalError, EvalResult, Oid, SqlType};

use super::functions::{Functions, flag, integer, oid, text};
use crate::catalog::builtin::PG_CATALOG;
use crate::catalog::pg;
use crate::catalog::quote::quote_ident;
use crate::catalog::{RelationKind, TableDescriptor};

impl Functions {
    /// `None`: it is none of these. Arguments of strict functions are not NULL.
    pub(super) fn call_catalog(&self, source: &str, args: &[&Datum]) -> EvalResult<Option<Datum>> {
        let first = || Oid(args.first().map_or(0, |arg| oid(arg)));
        Ok(Some(match source {
            "pg_get_userbyid" => self.role_name(first()),
            "pg_table_is_visible" => self.is_table_visible(first()),
            "pg_type_is_visible" => present(expr::types::by_oid(first()), |_| Datum::Bool(self.sees_built_in())),
            "pg_function_is_visible" => {
                let function = expr::functions::by_id(expr::FunctionId(first().0));
                present(function, |_| Datum::Bool(self.sees_built_in()))
            }
            // All there is of these is built in.
            "pg_operator_is_visible"
            | "pg_opclass_is_visible"
            | "pg_opfamily_is_visible"
            | "pg_collation_is_visible"
            | "pg_conversion_is_visible" => Datum::Bool(self.sees_built_in()),
            "pg_get_expr" | "pg_get_expr_ext" => {
                let table = self.catalog.table(Oid(oid(args[1])));
                let pretty = flag(args.get(2), false);
                Datum::text(pg::expression_text(&self.catalog, self.path(), table, text(args[0]), pretty))
            }
            "pg_get_indexdef" => self.index_definition(first(), 0, false),
            "pg_get_indexdef_ext" => self.index_definition(first(), integer(args[1]), flag(args.get(2), false)),
            "pg_get_constraintdef" | "pg_get_constraintdef_ext" => {
                let pretty = flag(args.get(1), false);
                let table = self.catalog.constraint(first());
                let definition = table
                    .and_then(|table| pg::constraint_definition(&self.catalog, self.path(), table, first(), pretty));
                present(definition, Datum::text)
            }
            "pg_get_viewdef" | "pg_get_viewdef_ext" | "pg_get_viewdef_wrap" => self.view_definition(first()),
            "pg_get_viewdef_name" | "pg_get_viewdef_name_ext" => self.view_definition(self.relation(text(args[0]))?),
            // obj_description with and without the catalog's name, shobj_description.
            "sql1215" | "sql1348" | "sql1993" => present(self.catalog.comment(first(), 0), Datum::text),
            "sql1216" => {
                let sub = i16::try_from(integer(args[1])).unwrap_or(0);
                present(self.catalog.comment(first(), sub), Datum::text)
            }
            "pg_get_serial_sequence" => self.serial_sequence(text(args[0]), text(args[1]))?,
            // Nothing is partitioned, and there are no extended statistics, rules or triggers.
            "pg_get_partkeydef"
            | "pg_get_partition_constraintdef"
            | "pg_get_statisticsobjdef_columns"
            | "pg_get_ruledef"
            | "pg_get_ruledef_ext"
            | "pg_get_triggerdef"
            | "pg_get_triggerdef_ext" => Datum::Null,
            "pg_get_function_result" => {
                let function = expr::functions::by_id(expr::FunctionId(first().0));
                present(function, |function| Datum::text(expr::types::format_type(function.result, None)))
            }
            "sql2325" | "pg_relation_size" | "pg_table_size" | "pg_total_relation_size" => {
                present(self.catalog.table(first()), |table| Datum::Int8(self.stored_bytes(table)))
            }
            "pg_database_size_oid" => self.database_size(first()),
            "pg_database_size_name" => match self.catalog.database(text(args[0])) {
                Some(database) => self.database_size(database.oid),
                None => {
                    return Err(EvalError::new("3D000", format!("database \"{}\" does not exist", text(args[0]))));
                }
            },
            // GRANT on objects is taken and keeps nothing: every role may do everything.
            source if source.starts_with("has_") && source.contains("_privilege") => Datum::Bool(true),
            _ => return Ok(None),
        }))
    }

    /// `pg_catalog` is always in the path, named or not; only a user's object of the same name could hide another.
    fn sees_built_in(&self) -> bool {
        self.path().schemas.contains(&PG_CATALOG)
    }

    fn role_name(&self, role: Oid) -> Datum {
        match self.catalog.role_by_oid(role) {
            Some(role) => Datum::text(&*role.name),
            None => Datum::text(format!("unknown (OID={role})")),
        }
    }

    fn is_table_visible(&self, relation: Oid) -> Datum {
        let named = match self.catalog.table(relation) {
            Some(table) => Some((table.schema, table.name.as_str())),
            None => self.catalog.index(relation).map(|(table, index)| (table.schema, index.name.as_str())),
        };
        present(named, |(schema, name)| Datum::Bool(self.catalog.is_visible(self.path(), schema, name)))
    }

    fn index_definition(&self, index: Oid, column: i64, pretty: bool) -> Datum {
        let column = usize::try_from(column).ok().filter(|column| *column > 0);
        present(self.catalog.index(index), |(table, index)| {
            Datum::text(pg::index_definition(&self.catalog, self.path(), table, index, column, pretty))
        })
    }

    fn view_definition(&self, view: Oid) -> Datum {
        match self.catalog.table(view).map(|table| &table.kind) {
            Some(RelationKind::View { definition, .. }) => Datum::text(format!(" {definition};")),
            _ => Datum::Null,
        }
    }

    fn relation(&self, name: &str) -> EvalResult<Oid> {
        let found = expr::Environment::oid_of_name(self, SqlType::REGCLASS, name)?;
        found.map(Oid).ok_or_else(|| EvalError::new("42P01", format!("relation \"{name}\" does not exist")))
    }

    /// The sequence that a column owns, qualified and quoted.
    fn serial_sequence(&self, table: &str, column: &str) -> EvalResult<Datum> {
        let oid = self.relation(table)?;
        let owner =
            self.catalog.table(oid).and_then(|table| table.columns.iter().find(|c| !c.dropped && c.name == column));
        let Some(owner) = owner else {
            let message = format!("column \"{column}\" of relation \"{table}\" does not exist");
            return Err(EvalError::new("42703", message));
        };
        let owned = self.catalog.relations(self.path().database).into_iter().find(|relation| match &relation.kind {
            RelationKind::Sequence(sequence) => sequence.owned_by == Some((oid, owner.id)),
            _ => false,
        });
        Ok(present(owned, |sequence| {
            let schema = self.catalog.schema_by_oid(sequence.schema).map_or("", |schema| &schema.name);
            Datum::text(format!("{}.{}", quote_ident(schema), quote_ident(&sequence.name)))
        }))
    }

    /// As far as this node has heard; 0 for what stores nothing.
    fn stored_bytes(&self, table: &TableDescriptor) -> i64 {
        let cluster = self.server.views().cluster.as_ref();
        let bytes = cluster.zip(table.storage()).map_or(0, |(cluster, storage)| cluster.stored_bytes(storage));
        i64::try_from(bytes).unwrap_or(i64::MAX)
    }

    fn database_size(&self, database: Oid) -> Datum {
        present(self.catalog.database_by_oid(database), |_| {
            let tables = self.catalog.relations(database);
            Datum::Int8(tables.iter().map(|table| self.stored_bytes(table)).fold(0, i64::saturating_add))
        })
    }
}

fn present<T>(value: Option<T>, make: impl FnOnce(T) -> Datum) -> Datum {
    value.map_or(Datum::Null, make)
}
