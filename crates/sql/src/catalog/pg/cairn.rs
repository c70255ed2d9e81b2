//! The schema `cairn`: the cluster as SQL sees it.

use expr::{Oid, Row};
use keyspace::{Key, TableId, encoding};

use super::row::{Equal, row};
use super::{VirtualContext, locks, stat};
use crate::catalog::Table;
use crate::{SqlError, SqlResult};

pub(super) async fn rows(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> SqlResult<Vec<Row>> {
    match equal.relation.table.name.as_str() {
        "nodes" => nodes(cx, equal).await,
        "ranges" => ranges(cx, equal).await,
        "transactions" => locks::transactions(cx, equal).await,
        "locks" => locks::locks(cx, equal).await,
        "settings" => Ok(settings(cx, equal)),
        name => Err(SqlError::not_supported(format!("relation \"cairn.{name}\""))),
    }
}

async fn nodes(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> SqlResult<Vec<Row>> {
    let Some(cluster) = &cx.views.cluster else { return Ok(Vec::new()) };
    let nodes = cluster.nodes().await?.into_iter().map(|node| {
        row! { equal.relation;
            node_id: node.node as i64,
            rpc_address: node.rpc_address,
            sql_address: node.sql_address,
            http_address: node.http_address,
            live: node.live,
            silent_ms: node.silent_ms as i64,
            replicas: node.replicas as i64,
            leaders: node.leaders as i64,
        }
    });
    Ok(nodes.collect())
}

async fn ranges(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> SqlResult<Vec<Row>> {
    let Some(cluster) = &cx.views.cluster else { return Ok(Vec::new()) };
    let ranges = cluster.ranges().await?.into_iter().map(|range| {
        let table = table_at(cx, &range.start);
        row! { equal.relation;
            range_id: range.range as i64,
            start_key: range.start.to_string(),
            end_key: range.end.to_string(),
            table_id: table.map(|table| table.oid),
            table_name: table.map(|table| &table.name),
            leader: range.leader.map(|leader| leader as i64),
            replicas: range.replicas.iter().map(|replica| *replica as i64).collect::<Vec<i64>>(),
            voters: range.voters.iter().map(|voter| *voter as i64).collect::<Vec<i64>>(),
            size_bytes: range.size_bytes as i64,
            keys: range.keys as i64,
        }
    });
    Ok(ranges.collect())
}

/// The table of any database whose rows a range begins with.
fn table_at<'a>(cx: &VirtualContext<'a>, key: &Key) -> Option<&'a Table> {
    let mut rest: &[u8] = key;
    let storage = TableId(encoding::take_uint(&mut rest)?);
    let databases = cx.catalog.databases();
    databases.into_iter().find_map(|database| find(cx, database.oid, storage))
}

fn find<'a>(cx: &VirtualContext<'a>, database: Oid, storage: TableId) -> Option<&'a Table> {
    cx.catalog.relations(database).into_iter().find(|table| table.storage() == Some(storage))
}

fn settings(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |setting: crate::catalog::providers::SettingRow| {
        row! { equal.relation;
            name: setting.name,
            setting: setting.setting,
            unit: setting.unit,
            category: setting.category,
            description: setting.short_desc,
        }
    };
    stat::setting_rows(cx).into_iter().map(make).collect()
}
