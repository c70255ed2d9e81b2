//! COPY TO STDOUT.

use std::sync::Arc;

use expr::{Datum, EvalContext, Row};

use super::options::Options;
use super::{binary, csv, text};
use crate::catalog::Catalog;
use crate::exec;
use crate::parse::ast::{
    CopyHeader, CopySource, CopyStatement, Distinctness, Expr, ExprKind, Name, ObjectName, Query, QueryBody, Select,
    Statement, TableRef, Target,
};
use crate::plan::Field;
use crate::session::answer::Answer;
use crate::session::prepared::Prepared;
use crate::session::run::{Limit, Outcome};
use crate::session::{CopyFormat, Session};
use crate::{SqlError, SqlResult};

/// What is gathered before it goes to the client.
const PIECE_BYTES: usize = 64 << 10;

impl Session {
    pub(super) async fn copy_to(
        &mut self,
        copy: &CopyStatement,
        options: &Options,
        within: &Prepared,
        answer: &mut Answer<'_>,
        limit: &Limit,
    ) -> SqlResult<Outcome> {
        let system_time = match &copy.source {
            CopySource::Statement(statement) => statement.system_time(),
            CopySource::Table { .. } => None,
        };
        let (open, mut catalog) = self.start_statement_at(system_time, limit).await?;
        let planned = loop {
            let statement = self.copied(copy, &catalog)?;
            let prepared = Arc::new(Prepared::new(within.source.clone(), Some(statement), Vec::new(), 0));
            let planned = self.plan(&prepared, &catalog)?;
            match self.enter(&planned, &open, limit).await? {
                None => break planned,
                Some(changed) => catalog = changed,
            }
        };
        let Some(fields) = planned.fields().map(<[Field]>::to_vec) else {
            return Err(SqlError::new("0A000", "COPY query must have a RETURNING clause"));
        };
        let names: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
        let force = options.force_quote.flags("FORCE_QUOTE", &names)?;
        let writer = Writer { options, fields: &fields, force };
        let ctx = self.context(&open, catalog, vec![Datum::Null; planned.slots]);
        answer.leave();
        let work = async {
            let out = answer.out();
            out.copy_out(options.format, fields.len())?;
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            writer.begin(&mut piece);
            let mut root = exec::open(&planned.plan, &exec::Scope::default())?;
            let mut count = 0_u64;
            while let Some(rows) = root.next(&ctx).await? {
                for row in &rows {
                    writer.put(&mut piece, row, &ctx.eval())?;
                    count += 1;
                    if piece.len() >= PIECE_BYTES {
                        out.copy_out_data(&piece).await?;
                        piece.clear();
                    }
                }
            }
            writer.end(&mut piece);
            out.copy_out_data(&piece).await?;
            out.copy_out_done()?;
            SqlResult::Ok(count)
        };
        let count = limit.run(work).await?;
        Ok(Outcome::done(format!("COPY {count}")))
    }
}

/// `SELECT columns FROM ONLY name`.
impl Session {
    /// The query whose rows are copied.
    fn copied(&self, copy: &CopyStatement, catalog: &Arc<Catalog>) -> SqlResult<Statement> {
        match &copy.source {
            CopySource::Statement(statement) => Ok((**statement).clone()),
            CopySource::Table { name, columns } => {
                let table = self.find_table(catalog, name)?;
                crate::session::utility::require_copyable(&table)?;
                let visible = || table.visible_columns().map(|column| Name::new(column.name.clone(), 0));
                let columns = if columns.is_empty() { visible().collect() } else { columns.clone() };
                Ok(Statement::Query(Box::new(select(name, &columns))))
            }
        }
    }
}

/// `SELECT columns FROM name`
pub(in crate::session) fn select(name: &ObjectName, columns: &[Name]) -> Query {
    let target =
        |column: &Name| Target { expr: Expr::new(ExprKind::Column(vec![column.clone()]), column.at), alias: None };
    let select = Select {
        distinct: Distinctness::All,
        targets: columns.iter().map(target).collect(),
        from: vec![TableRef::Relation { name: name.clone(), only: true, alias: None, sampled: None }],
        ..Select::default()
    };
    Query {
        with: None,
        body: QueryBody::Select(Box::new(select)),
        order_by: Vec::new(),
        limit: None,
        offset: None,
        with_ties: false,
        locking: Vec::new(),
        at: 0,
    }
}

struct Writer<'a> {
    options: &'a Options,
    fields: &'a [Field],
    /// CSV: columns whose values always stand in quotes.
    force: Vec<bool>,
}

impl Writer<'_> {
    fn begin(&self, out: &mut Vec<u8>) {
        if self.options.format == CopyFormat::Binary {
            binary::put_header(out);
        } else if self.options.header != CopyHeader::No {
            for (at, field) in self.fields.iter().enumerate() {
                if at > 0 {
                    out.push(self.options.delimiter);
                }
                match self.options.format {
                    CopyFormat::Csv => {
                        csv::put(out, field.name.as_bytes(), self.options, false, self.fields.len() == 1);
                    }
                    _ => text::put(out, field.name.as_bytes(), self.options.delimiter),
                }
            }
            out.push(b'\n');
        }
    }

    fn put(&self, out: &mut Vec<u8>, row: &Row, eval: &EvalContext<'_>) -> SqlResult<()> {
        match self.options.format {
            CopyFormat::Binary => self.put_binary(out, row, eval),
            _ => {
                self.put_line(out, row, eval);
                Ok(())
            }
        }
    }

    fn put_line(&self, out: &mut Vec<u8>, row: &Row, eval: &EvalContext<'_>) {
        let mut form = Vec::new();
        for (at, (field, value)) in self.fields.iter().zip(row).enumerate() {
            if at > 0 {
                out.push(self.options.delimiter);
            }
            if value.is_null() {
                out.extend_from_slice(&self.options.null);
                continue;
            }
            form.clear();
            value.to_text_bytes(field.ty, eval, &mut form);
            match self.options.format {
                CopyFormat::Csv => csv::put(out, &form, self.options, self.force[at], self.fields.len() == 1),
                _ => text::put(out, &form, self.options.delimiter),
            }
        }
        out.push(b'\n');
    }

    fn put_binary(&self, out: &mut Vec<u8>, row: &Row, eval: &EvalContext<'_>) -> SqlResult<()> {
        out.extend_from_slice(&binary::column_count(self.fields.len())?.to_be_bytes());
        for (field, value) in self.fields.iter().zip(row) {
            if value.is_null() {
                out.extend_from_slice(&(-1_i32).to_be_bytes());
                continue;
            }
            let at = out.len();
            out.extend_from_slice(&[0; 4]);
            value.to_binary(field.ty, eval, out)?;
            let length = (out.len() - at - 4) as i32;
            out[at..at + 4].copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }

    fn end(&self, out: &mut Vec<u8>) {
        if self.options.format == CopyFormat::Binary {
            binary::put_trailer(out);
        }
    }
}
