//! CREATE TABLE … AS.

use expr::SqlType;

use super::{Editor, columns, create_table};
use crate::parse::ast::{CreateTableAs, Name};
use crate::plan::{Insert, Node, Plan};
use crate::{SqlError, SqlResult};

/// The command tag: it counts the rows, if there were to be any.
pub(super) async fn create(editor: &mut Editor<'_>, create: &CreateTableAs) -> SqlResult<String> {
    if create.materialized {
        return Err(SqlError::not_supported("a materialized view"));
    }
    let started = create_table::start(editor, &create.name, create.if_not_exists, create.persistence).await?;
    let Some(mut table) = started else { return Ok("CREATE TABLE AS".into()) };
    table.options = create_table::storage_options(&create.options)?;
    let query = editor.bind_query(&create.query.query)?.plan;
    if create.columns.len() > query.fields.len() {
        return Err(SqlError::new("42601", "too many column names were specified"));
    }
    for (at, field) in query.fields.iter().enumerate() {
        let name = create.columns.get(at).map_or(field.name.as_str(), Name::as_str);
        columns::check_name(&table, name)?;
        let ty = if field.ty == SqlType::UNKNOWN { SqlType::TEXT } else { field.ty };
        table.add_column(name, ty);
    }
    let columns = table.columns.iter().map(|column| column.id).collect();
    let table = create_table::finish(editor, table);
    if !create.with_data {
        return Ok("CREATE TABLE AS".into());
    }
    editor.flush().await?;
    let insert = Insert {
        table,
        input: query,
        columns,
        checks: Vec::new(),
        on_conflict: None,
        returning: Vec::new(),
        only_index: None,
    };
    let plan = Plan { node: Node::Insert(Box::new(insert)), fields: Vec::new(), rows: 0.0, cost: 0.0 };
    let count = editor.cx.host.run(&editor.snapshot(), &plan, &mut |_| Ok(())).await?;
    Ok(format!("SELECT {count}"))
}
