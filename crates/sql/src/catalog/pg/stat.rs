//! What sessions and statistics show: `pg_stat_activity`, `pg_settings`, `pg_stat_user_tables`, …
//!
//! Nobody counts what is read and written per table yet: the counters are 0, times NULL.

use expr::{Datum, Oid, Row, SqlType};

use super::VirtualContext;
use super::row::{Equal, ToDatum, array, row};
use crate::catalog::providers::{ActivityRow, SettingRow};
use crate::catalog::{DatabaseDescriptor, RelationKind, Table};

fn own_tables<'a>(cx: &VirtualContext<'a>, equal: &Equal<'_>) -> Vec<&'a Table> {
    let is_table = |table: &&Table| matches!(table.kind, RelationKind::Table { .. });
    match equal.oid("relid") {
        Some(oid) => cx.catalog.table(oid).filter(is_table).into_iter().collect(),
        None => cx.own_relations().into_iter().filter(is_table).collect(),
    }
}

macro_rules! table_row {
    ($cx:expr, $relation:expr, $table:expr) => {
        row! { $relation;
            relid: $table.oid,
            schemaname: $cx.schema_name($table.schema),
            relname: &$table.name,
            seq_scan: 0_i64,
            seq_tup_read: 0_i64,
            idx_scan: 0_i64,
            idx_tup_fetch: 0_i64,
            n_tup_ins: 0_i64,
            n_tup_upd: 0_i64,
            n_tup_del: 0_i64,
            n_tup_hot_upd: 0_i64,
            n_live_tup: 0_i64,
            n_dead_tup: 0_i64,
            n_mod_since_analyze: 0_i64,
            n_ins_since_vacuum: 0_i64,
            vacuum_count: 0_i64,
            autovacuum_count: 0_i64,
            analyze_count: 0_i64,
            autoanalyze_count: 0_i64,
        }
    };
}

pub(super) fn tables(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    own_tables(cx, equal).into_iter().map(|table| table_row!(cx, equal.relation, table)).collect()
}

pub(super) fn user_tables(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    own_tables(cx, equal).into_iter().map(|table| table_row!(cx, equal.relation, table)).collect()
}

pub(super) fn user_indexes(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let of = |table: &Table| {
        let make = |index: &crate::catalog::IndexDescriptor| {
            row! { equal.relation;
                relid: table.oid,
                indexrelid: index.oid,
                schemaname: cx.schema_name(table.schema),
                relname: &table.name,
                indexrelname: &index.name,
                idx_scan: 0_i64,
                idx_tup_read: 0_i64,
                idx_tup_fetch: 0_i64,
            }
        };
        table.named_indexes().map(make).collect::<Vec<_>>()
    };
    own_tables(cx, equal).into_iter().flat_map(of).collect()
}

pub(super) fn databases(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let sessions = activity_rows(cx);
    let make = |database: &DatabaseDescriptor| {
        let backends = sessions.iter().filter(|session| session.database == database.oid).count();
        row! { equal.relation;
            datid: database.oid,
            datname: &database.name,
            numbackends: backends as i32,
            xact_commit: 0_i64,
            xact_rollback: 0_i64,
            blks_read: 0_i64,
            blks_hit: 0_i64,
            tup_returned: 0_i64,
            tup_fetched: 0_i64,
            tup_inserted: 0_i64,
            tup_updated: 0_i64,
            tup_deleted: 0_i64,
            conflicts: 0_i64,
            temp_files: 0_i64,
            temp_bytes: 0_i64,
            deadlocks: 0_i64,
        }
    };
    cx.catalog.databases().into_iter().map(|database| make(database)).collect()
}

fn activity_rows(cx: &VirtualContext<'_>) -> Vec<ActivityRow> {
    cx.views.sessions.as_ref().map(|sessions| sessions.activity()).unwrap_or_default()
}

pub(super) fn activity(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let time = |at: i64| Datum::TimestampTz(at);
    let make = |session: ActivityRow| {
        let database = cx.catalog.database_by_oid(session.database).map(|database| database.name.clone());
        row! { equal.relation;
            datid: session.database,
            datname: database,
            pid: session.session as i32,
            usesysid: session.user,
            usename: cx.role_name(session.user),
            application_name: session.application_name,
            client_addr: session.client_address,
            client_port: session.client_port,
            backend_start: time(session.session_start),
            xact_start: session.transaction_start.map(time),
            query_start: session.query_start.map(time),
            state_change: session.state_change.map(time),
            wait_event_type: (session.state != "active").then_some("Client"),
            wait_event: (session.state != "active").then_some("ClientRead"),
            state: session.state,
            query: session.query,
            backend_type: "client backend",
        }
    };
    activity_rows(cx).into_iter().map(make).collect()
}

pub(super) fn settings(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    setting_rows(cx)
        .into_iter()
        .map(|setting| {
            row! { equal.relation;
                name: setting.name,
                setting: setting.setting,
                unit: setting.unit,
                category: setting.category,
                short_desc: setting.short_desc,
                context: setting.context,
                vartype: setting.vartype,
                source: setting.source,
                min_val: setting.min_val,
                max_val: setting.max_val,
                enumvals: setting.enumvals,
                boot_val: setting.boot_val,
                reset_val: setting.reset_val,
                pending_restart: false,
            }
        })
        .collect()
}

pub(super) fn setting_rows(cx: &VirtualContext<'_>) -> Vec<SettingRow> {
    cx.views.sessions.as_ref().map(|sessions| sessions.settings(cx.session)).unwrap_or_default()
}

pub(super) fn prepared(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let statements = cx.views.sessions.as_ref().map(|sessions| sessions.prepared_statements(cx.session));
    statements
        .unwrap_or_default()
        .into_iter()
        .map(|statement| {
            let types = statement.parameter_types.iter().map(|oid: &Oid| oid.to_datum()).collect();
            row! { equal.relation;
                name: statement.name,
                statement: statement.statement,
                prepare_time: Datum::TimestampTz(statement.prepared_at),
                parameter_types: array(SqlType::REGTYPE, types),
                from_sql: statement.from_sql,
                generic_plans: 0_i64,
                custom_plans: 0_i64,
            }
        })
        .collect()
}

pub(super) fn cursors(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let cursors = cx.views.sessions.as_ref().map(|sessions| sessions.cursors(cx.session));
    cursors
        .unwrap_or_default()
        .into_iter()
        .map(|cursor| {
            row! { equal.relation;
                name: cursor.name,
                statement: cursor.statement,
                is_holdable: cursor.is_holdable,
                is_binary: cursor.is_binary,
                is_scrollable: cursor.is_scrollable,
                creation_time: Datum::TimestampTz(cursor.created_at),
            }
        })
        .collect()
}
