//! COPY FROM STDIN.
//!
//! The rows go the way of INSERT: a statement `INSERT INTO t (columns) VALUES ($1, …)` is planned once, and its parameters
//! are each line's fields. They are written in batches to the transaction's buffer, which spills: memory does not grow
//! with the number of lines.

use std::sync::Arc;

use async_trait::async_trait;
use expr::{Datum, EvalContext, Oid, Row, SqlType};

use super::binary::Reader;
use super::csv::Forced;
use super::lines::Lines;
use super::options::Options;
use super::{Fields, bad_format, csv, text};
use crate::catalog::Table;
use crate::exec::{self, BATCH_ROWS, Context, Operator, Scope, write};
use crate::parse::ast::{
    Alias, AssignTarget, CopyHeader, CopySource, CopyStatement, Expr, ExprKind, Insert, Name, ObjectName, Query,
    QueryBody, Select, Statement, TableRef, Target,
};
use crate::plan::{Node, Plan};
use crate::session::answer::Answer;
use crate::session::parameters::not_utf8;
use crate::session::prepared::Prepared;
use crate::session::run::{Limit, Outcome};
use crate::session::{CopyFormat, Output, Session};
use crate::{SqlError, SqlResult};

impl Session {
    pub(super) async fn copy_from(
        &mut self,
        copy: &CopyStatement,
        options: &Options,
        within: &Prepared,
        answer: &mut Answer<'_>,
        limit: &Limit,
    ) -> SqlResult<Outcome> {
        let CopySource::Table { name, columns } = &copy.source else {
            return Err(SqlError::new("42601", "COPY FROM needs a table"));
        };
        let (open, mut catalog) = self.start_statement(limit).await?;
        let (table, columns, planned) = loop {
            let table = self.find_table(&catalog, name)?;
            crate::session::utility::require_table(&table, "copy to")?;
            let columns = target_columns(&table, columns)?;
            let statement = insert(name, &columns, copy.filter.as_ref());
            let declared: Vec<Oid> = columns.iter().map(|column| column.ty.oid).collect();
            let prepared = Arc::new(Prepared::new(within.source.clone(), Some(statement), declared, 0));
            let planned = self.plan(&prepared, &catalog)?;
            match self.enter(&planned, &open, limit).await? {
                None => break (table, columns, planned),
                Some(changed) => catalog = changed,
            }
        };
        self.settle_portals(limit).await?;
        let Node::Insert(node) = &planned.plan.node else {
            return Err(SqlError::new("XX000", "COPY was planned as something else than an INSERT"));
        };
        let names: Vec<String> = columns.iter().map(|column| column.name.text.clone()).collect();
        let forced = Forced {
            not_null: options.force_not_null.flags("FORCE_NOT_NULL", &names)?,
            null: options.force_null.flags("FORCE_NULL", &names)?,
        };
        let ctx = self.context(&open, catalog, vec![Datum::Null; planned.slots]);
        answer.leave();
        let work = async {
            let out = answer.out();
            out.copy_in(options.format, columns.len()).await?;
            let cutter = Cutter::new(options, forced, &table, columns);
            let input = Input { cutter, plan: &node.input, params: ctx.params.clone(), out, is_over: false };
            let mut insert = write::Insert::new(node, Box::new(input));
            while insert.next(&ctx).await?.is_some() {}
            SqlResult::Ok(insert.changed().unwrap_or(0))
        };
        let count = limit.run(work).await?;
        Ok(Outcome::done(format!("COPY {count}")))
    }
}

/// A column that a field of each line is for.
struct Column {
    name: Name,
    ty: SqlType,
}

fn target_columns(table: &Table, names: &[Name]) -> SqlResult<Vec<Column>> {
    if names.is_empty() {
        let is_given = |column: &&crate::catalog::ColumnDescriptor| column.generated.is_none();
        let columns = table.visible_columns().filter(is_given);
        return Ok(columns.map(|column| Column { name: Name::new(column.name.clone(), 0), ty: column.ty }).collect());
    }
    let mut columns: Vec<Column> = Vec::with_capacity(names.len());
    for name in names {
        let Some(column) = table.column_named(name.as_str()) else {
            let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
            return Err(SqlError::new("42703", message));
        };
        if column.generated.is_some() {
            return Err(SqlError::new("42P10", format!("column \"{name}\" is a generated column"))
                .with_detail("Generated columns cannot be used in COPY."));
        }
        if columns.iter().any(|known| known.name == *name) {
            return Err(SqlError::new("42701", format!("column \"{name}\" specified more than once")));
        }
        columns.push(Column { name: name.clone(), ty: column.ty });
    }
    Ok(columns)
}

/// `INSERT INTO name (columns) VALUES ($1, …)`; with a filter `… SELECT * FROM (VALUES ($1, …)) AS name (columns) WHERE …`.
fn insert(name: &ObjectName, columns: &[Column], filter: Option<&Expr>) -> Statement {
    let params = (1..=columns.len() as u32).map(|number| Expr::new(ExprKind::Param(number), 0)).collect();
    let query = |body| Query {
        with: None,
        body,
        order_by: Vec::new(),
        limit: None,
        offset: None,
        with_ties: false,
        locking: Vec::new(),
        at: 0,
    };
    let values = query(QueryBody::Values(vec![params]));
    let source = match filter {
        None => values,
        Some(filter) => {
            let names = columns.iter().map(|column| column.name.clone()).collect();
            let alias = Some(Alias { name: name.name.clone(), columns: names });
            let from = TableRef::Query { query: Box::new(values), lateral: false, alias, at: 0 };
            let all = Target { expr: Expr::new(ExprKind::Star(Vec::new()), 0), alias: None };
            let select =
                Select { targets: vec![all], from: vec![from], filter: Some(filter.clone()), ..Select::default() };
            query(QueryBody::Select(Box::new(select)))
        }
    };
    let target = |column: &Column| AssignTarget { column: column.name.clone(), indirection: Vec::new() };
    Statement::Insert(Box::new(Insert {
        with: None,
        table: name.clone(),
        alias: None,
        columns: columns.iter().map(target).collect(),
        // As PostgreSQL has it, COPY gives identity columns their values whatever they are GENERATED as.
        overriding: Some(crate::parse::ast::Overriding::SystemValue),
        source: Some(source),
        on_conflict: None,
        returning: Vec::new(),
    }))
}

/// From the client's data to rows of values for the target columns.
struct Cutter<'o> {
    options: &'o Options,
    forced: Forced,
    relation: String,
    columns: Vec<Column>,
    source: Source,
    fields: Fields,
    line: u64,
    /// `\.` was there: what follows is not looked at.
    is_over: bool,
}

enum Source {
    Lines(Lines),
    Binary(Reader),
}

impl<'o> Cutter<'o> {
    fn new(options: &'o Options, forced: Forced, table: &Table, columns: Vec<Column>) -> Cutter<'o> {
        let source = match options.format {
            CopyFormat::Text => Source::Lines(Lines::new(None)),
            CopyFormat::Csv => Source::Lines(Lines::new(Some((options.quote, options.escape)))),
            CopyFormat::Binary => Source::Binary(Reader::default()),
        };
        let (relation, fields) = (table.name.clone(), Fields::default());
        Cutter { options, forced, relation, columns, source, fields, line: 0, is_over: false }
    }

    fn feed(&mut self, data: &[u8]) -> SqlResult<()> {
        match &mut self.source {
            Source::Lines(lines) if !self.is_over => lines.feed(data),
            Source::Lines(_) => Ok(()),
            Source::Binary(reader) => {
                reader.feed(data);
                Ok(())
            }
        }
    }

    /// The values of the next row; `None` until more has been fed. `last`: no more comes.
    fn next(&mut self, last: bool, eval: &EvalContext<'_>) -> SqlResult<Option<Row>> {
        loop {
            if self.is_over || !self.cut(last)? {
                return Ok(None);
            }
            if self.line == 1 && self.options.header != CopyHeader::No {
                self.check_header()?;
                continue;
            }
            return self.values(eval).map(Some);
        }
    }

    /// Cuts the next line into fields, if there is one.
    fn cut(&mut self, last: bool) -> SqlResult<bool> {
        let Cutter { options, forced, fields, .. } = self;
        let lines = match &mut self.source {
            Source::Lines(lines) => lines,
            Source::Binary(reader) => {
                let found = reader.next(self.columns.len(), fields)?;
                if !found && last {
                    reader.end()?;
                }
                self.line += u64::from(found);
                return Ok(found);
            }
        };
        let line = match lines.next() {
            Some(line) => line,
            None if last => match lines.rest()? {
                Some(line) => line,
                None => return Ok(false),
            },
            None => return Ok(false),
        };
        if line == b"\\." {
            self.is_over = true;
            return Ok(false);
        }
        self.line += 1;
        match options.format {
            CopyFormat::Csv => csv::split(line, options, forced, fields),
            _ => {
                text::split(line, options.delimiter, &options.null, fields);
                Ok(())
            }
        }
        .map_err(|error| in_line(error, &self.relation, self.line, line))?;
        if fields.len() != self.columns.len() && !(self.line == 1 && options.header != CopyHeader::No) {
            // A table without columns has lines with nothing on them.
            if self.columns.is_empty() && line.is_empty() {
                fields.clear();
                return Ok(true);
            }
            let error = match self.columns.get(fields.len()) {
                Some(column) => bad_format(format!("missing data for column \"{}\"", column.name)),
                None => bad_format("extra data after last expected column"),
            };
            return Err(in_line(error, &self.relation, self.line, line));
        }
        Ok(true)
    }

    fn check_header(&self) -> SqlResult<()> {
        if self.options.header != CopyHeader::Match {
            return Ok(());
        }
        let (got, expected) = (self.fields.len(), self.columns.len());
        if got != expected {
            let message = format!("wrong number of fields in header line: got {got}, expected {expected}");
            return Err(bad_format(message));
        }
        for (at, column) in self.columns.iter().enumerate() {
            let field = self.fields.get(at).map(String::from_utf8_lossy);
            if field.as_deref() != Some(column.name.as_str()) {
                let got = field.map_or("null value (\"\")".to_owned(), |field| format!("\"{field}\""));
                return Err(bad_format(format!(
                    "column name mismatch in header line field {}: got {got}, expected \"{}\"",
                    at + 1,
                    column.name
                )));
            }
        }
        Ok(())
    }

    fn values(&self, eval: &EvalContext<'_>) -> SqlResult<Row> {
        let mut row = Vec::with_capacity(self.columns.len());
        for (at, column) in self.columns.iter().enumerate() {
            let Some(bytes) = self.fields.get(at) else {
                row.push(Datum::Null);
                continue;
            };
            let value = match self.source {
                Source::Binary(_) => Datum::from_binary(bytes, column.ty, eval).map_err(SqlError::from),
                Source::Lines(_) => match std::str::from_utf8(bytes) {
                    Ok(text) => Datum::parse(text, column.ty, eval).map_err(SqlError::from),
                    Err(error) => Err(not_utf8(bytes, error.valid_up_to())),
                },
            };
            row.push(value.map_err(|error| self.in_column(error, at, bytes))?);
        }
        Ok(row)
    }

    fn in_column(&self, mut error: SqlError, at: usize, bytes: &[u8]) -> SqlError {
        let (relation, line, column) = (&self.relation, self.line, &self.columns[at].name);
        error.0.context = Some(match self.source {
            Source::Binary(_) => format!("COPY {relation}, line {line}, column {column}"),
            Source::Lines(_) => format!("COPY {relation}, line {line}, column {column}: \"{}\"", shown(bytes)),
        });
        error
    }
}

fn in_line(mut error: SqlError, relation: &str, line: u64, bytes: &[u8]) -> SqlError {
    error.0.context = Some(format!("COPY {relation}, line {line}: \"{}\"", shown(bytes)));
    error
}

/// At most a hundred characters of the data.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into_owned(),
    }
}

/// The input of the INSERT.
struct Input<'a, 'o> {
    cutter: Cutter<'o>,
    /// What makes the target's row of the parameters.
    plan: &'a Plan,
    params: Vec<Datum>,
    out: &'a mut dyn Output,
    is_over: bool,
}

impl Input<'_, '_> {
    /// The rows that INSERT gets for one line: one, or none where WHERE says no.
    async fn derive(&mut self, ctx: &Context, values: Row, out: &mut Vec<Row>) -> SqlResult<()> {
        for (slot, value) in self.params.iter_mut().zip(values) {
            *slot = value;
        }
        let ctx = Context { shared: ctx.shared.clone(), params: std::mem::take(&mut self.params) };
        match &self.plan.node {
            Node::Values { rows } if rows.len() == 1 => out.push(ctx.compute(&rows[0], &[]).await?),
            _ => {
                let mut root = exec::open(self.plan, &Scope::default())?;
                while let Some(rows) = root.next(&ctx).await? {
                    out.extend(rows);
                }
            }
        }
        self.params = ctx.params;
        Ok(())
    }
}

#[async_trait]
impl Operator for Input<'_, '_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        let mut batch = Vec::new();
        ctx.breathe().await?;
        while batch.len() < BATCH_ROWS {
            match self.cutter.next(self.is_over, &ctx.eval())? {
                Some(values) => self.derive(ctx, values, &mut batch).await?,
                None if self.is_over => break,
                None => match self.out.copy_data().await? {
                    Some(data) => self.cutter.feed(&data)?,
                    None => self.is_over = true,
                },
            }
        }
        Ok(Some(batch).filter(|batch| !batch.is_empty()))
    }
}
