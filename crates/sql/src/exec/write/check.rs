//! NOT NULL and CHECK.

use expr::{Datum, Row};

use super::Writer;
use crate::exec::Context;
use crate::plan::Check;
use crate::{SqlError, SqlResult};

/// Characters of a value in "Failing row contains (…)", as PostgreSQL cuts them.
const SHOWN_CHARS_MAX: usize = 64;

impl Writer {
    /// 23502 and 23514.
    pub async fn check_row(&self, ctx: &Context, row: &Row, checks: &[Check]) -> SqlResult<()> {
        if let Some(place) = self.not_null.iter().find(|place| row[**place].is_null()) {
            return Err(self.null_violation(ctx, row, *place));
        }
        for check in checks {
            if let Datum::Bool(false) = ctx.value(&check.condition, row).await? {
                let table = self.table();
                let message =
                    format!("new row for relation \"{}\" violates check constraint \"{}\"", table.name, check.name);
                return Err(SqlError::new("23514", message)
                    .with_detail(failing_row(ctx, self, row))
                    .on_table(ctx.schema_of(table), &table.name)
                    .on_constraint(&check.name));
            }
        }
        Ok(())
    }

    fn null_violation(&self, ctx: &Context, row: &Row, place: usize) -> SqlError {
        let table = self.table();
        let column = table.column(self.format.columns[place]).map_or("", |column| &column.name);
        let relation = &table.name;
        let message =
            format!("null value in column \"{column}\" of relation \"{relation}\" violates not-null constraint");
        SqlError::new("23502", message)
            .with_detail(failing_row(ctx, self, row))
            .on_table(ctx.schema_of(table), &table.name)
            .on_column(column)
    }
}

pub(crate) fn failing_row(ctx: &Context, writer: &Writer, row: &Row) -> String {
    let mut out = "Failing row contains (".to_owned();
    for (place, column) in writer.table().visible_columns().enumerate() {
        if place > 0 {
            out.push_str(", ");
        }
        if row[place].is_null() {
            out.push_str("null");
            continue;
        }
        let text = row[place].text_form(column.ty, &ctx.eval());
        match text.char_indices().nth(SHOWN_CHARS_MAX) {
            Some((end, _)) => {
                out.push_str(&text[..end]);
                out.push_str("...");
            }
            None => out.push_str(&text),
        }
    }
    out.push_str(").");
    out
}
