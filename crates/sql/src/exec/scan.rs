//! Rows of a table through one of its indexes.
//!
//! Keys that name one row each are looked up together; spans are read page by page. An index that does not hold all the
//! columns that are wanted gives primary keys, whose rows are fetched page by page.
//!
//! Locks are on rows, that is on keys of the primary index, and only on rows that pass the filter: they are taken after it.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use expr::rows::Layout;
use expr::{Datum, Row};
use keyspace::{Key, Span};
use txn::{LockMode, LockSpec, LockWait, ScanSpec, Visible};

use super::row_format::{IndexFormat, TableFormat, malformed};
use super::spans::{Targets, targets};
use super::{BATCH_ROWS, Context, Operator};
use crate::plan;
use crate::{SqlError, SqlResult};

pub(crate) struct Scan<'p> {
    node: &'p plan::Scan,
    state: State,
}

enum State {
    NotStarted,
    Running { reader: Arc<Reader>, source: Source },
    Done,
}

/// How the columns of a scan are read.
pub(crate) struct Reader {
    pub format: Arc<TableFormat>,
    index: usize,
    access: Access,
}

enum Access {
    /// An entry of the index has everything.
    Direct { layout: Layout },
    /// The entry names the row, which is fetched.
    ByRow {
        /// Primary key columns from the entry, as a sparse table row.
        to_key: Layout,
        key_places: Vec<usize>,
        layout: Layout,
    },
}

/// A row with the key of the primary index that it lies under, where that is known and wanted.
pub(crate) struct Located {
    pub key: Key,
    pub row: Row,
}

enum Source {
    Points(VecDeque<Key>),
    Spans { left: VecDeque<Span>, open: Option<txn::Scan> },
}

impl Reader {
    pub fn new(node: &plan::Scan, ctx: &Context) -> SqlResult<Reader> {
        let format = ctx.shared.formats.of(&node.table)?;
        let index = format.indexes.iter().position(|index| index.id == node.index);
        let index = index.ok_or_else(|| SqlError::new("XX000", "a scan uses an index that is not there"))?;
        let place = |id| format.place(id).ok_or_else(|| SqlError::new("XX000", "a scan reads a column that is not there"));
        let places = node.columns.iter().map(|id| place(*id)).collect::<SqlResult<Vec<_>>>()?;
        let entry = &format.indexes[index];
        let access = if entry.covers(&places) {
            Access::Direct { layout: entry.layout(&node.table, &node.columns, &places)? }
        } else {
            let key_places: Vec<usize> = format.primary().key.iter().map(|(_, place)| *place).collect();
            let key_columns: Vec<_> = key_places.iter().map(|place| format.columns[*place]).collect();
            Access::ByRow {
                to_key: entry.layout(&node.table, &key_columns, &key_places)?,
                key_places,
                layout: format.primary().layout(&node.table, &node.columns, &places)?,
            }
        };
        Ok(Reader { format, index, access })
    }

    pub fn index(&self) -> &IndexFormat {
        &self.format.indexes[self.index]
    }

    fn is_primary(&self) -> bool {
        self.index == 0
    }

    /// Rows of entries, in their order. With `locate` each comes with its key in the primary index.
    pub async fn rows(&self, ctx: &Context, entries: Vec<(Key, Bytes)>, locate: bool) -> SqlResult<Vec<Located>> {
        match &self.access {
            Access::Direct { layout } if self.is_primary() || !locate => {
                let mut out = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    let mut row = Row::new();
                    layout.decode(&key, &value, &mut row).map_err(|_| malformed(&key))?;
                    out.push(Located { key, row });
                }
                Ok(out)
            }
            Access::Direct { layout } => {
                // The row is in the entry, its key has to be made.
                let key_places: Vec<usize> = self.format.primary().key.iter().map(|(_, place)| *place).collect();
                let key_columns: Vec<_> = key_places.iter().map(|place| self.format.columns[*place]).collect();
                let to_key = self.index().layout(&self.format.table, &key_columns, &key_places)?;
                let mut out = Vec::with_capacity(entries.len());
                for (entry, value) in entries {
                    let mut row = Row::new();
                    layout.decode(&entry, &value, &mut row).map_err(|_| malformed(&entry))?;
                    out.push(Located { key: self.row_key(&to_key, &key_places, &entry, &value)?, row });
                }
                Ok(out)
            }
            Access::ByRow { to_key, key_places, layout } => {
                let keys = entries.iter().map(|(entry, value)| self.row_key(to_key, key_places, entry, value));
                let keys = keys.collect::<SqlResult<Vec<Key>>>()?;
                let values = ctx.txn().get_many(&keys, None, Visible::EarlierStatements, false).await?;
                let mut out = Vec::with_capacity(keys.len());
                for (key, value) in keys.into_iter().zip(values) {
                    let Some(value) = value else {
                        return Err(SqlError::new("XX001", format!("an index entry names the row {key}, which is not there")));
                    };
                    let mut row = Row::new();
                    layout.decode(&key, &value, &mut row).map_err(|_| malformed(&key))?;
                    out.push(Located { key, row });
                }
                Ok(out)
            }
        }
    }

    fn row_key(&self, to_key: &Layout, key_places: &[usize], entry: &Key, value: &Bytes) -> SqlResult<Key> {
        let mut parts = Row::new();
        to_key.decode(entry, value, &mut parts).map_err(|_| malformed(entry))?;
        let mut sparse = vec![Datum::Null; self.format.columns.len()];
        for (place, part) in key_places.iter().zip(parts) {
            sparse[*place] = part;
        }
        self.format.primary().key_of(&sparse)
    }
}

impl<'p> Scan<'p> {
    pub fn new(node: &'p plan::Scan) -> Scan<'p> {
        Scan { node, state: State::NotStarted }
    }

    async fn start(&mut self, ctx: &Context) -> SqlResult<()> {
        let reader = Reader::new(self.node, ctx)?;
        let source = match targets(ctx, reader.index(), &self.node.ranges, &Row::new()).await? {
            Targets::Points(keys) => Source::Points(in_order(keys, self.node.reverse)),
            Targets::Spans(spans) => Source::Spans { left: in_order(spans, self.node.reverse), open: None },
        };
        self.state = State::Running { reader: Arc::new(reader), source };
        Ok(())
    }
}

fn in_order<T>(list: Vec<T>, reverse: bool) -> VecDeque<T> {
    if reverse { list.into_iter().rev().collect() } else { list.into() }
}

impl Source {
    /// Entries, at least one; `None` at the end.
    async fn next(&mut self, ctx: &Context, node: &plan::Scan) -> SqlResult<Option<Vec<(Key, Bytes)>>> {
        match self {
            Source::Points(keys) => {
                while !keys.is_empty() {
                    let now: Vec<Key> = keys.drain(..keys.len().min(BATCH_ROWS)).collect();
                    let values = ctx.txn().get_many(&now, None, Visible::EarlierStatements, false).await?;
                    let found = now.into_iter().zip(values).filter_map(|(key, value)| Some((key, value?)));
                    let found: Vec<_> = found.collect();
                    if !found.is_empty() {
                        return Ok(Some(found));
                    }
                }
                Ok(None)
            }
            Source::Spans { left, open } => loop {
                let scan = match open {
                    Some(scan) => scan,
                    None => match left.pop_front() {
                        Some(span) => open.insert(ctx.txn().scan(spec(span, node))),
                        None => return Ok(None),
                    },
                };
                let page = scan.next_page().await?;
                if !page.is_empty() {
                    return Ok(Some(page.into_iter().map(|entry| (entry.key, entry.value)).collect()));
                }
                *open = None;
            },
        }
    }
}

fn spec(span: Span, node: &plan::Scan) -> ScanSpec {
    // A filter may let fewer rows through than were fetched: then the hint says nothing about how many to fetch.
    let rows_max = if node.filter.is_none() { node.limit_hint.unwrap_or(0) } else { 0 };
    ScanSpec {
        span,
        reverse: node.reverse,
        rows_max,
        program: None,
        lock: None,
        visible: Visible::EarlierStatements,
        untracked: false,
    }
}

/// Locks rows and drops those that were skipped because somebody else has them.
pub(crate) async fn lock(
    ctx: &Context,
    rows: &mut Vec<Located>,
    mode: LockMode,
    wait: LockWait,
) -> SqlResult<()> {
    let keys: Vec<Key> = rows.iter().map(|row| row.key.clone()).collect();
    let lock = LockSpec { mode, wait, absent_too: false };
    let found = ctx.txn().get_many(&keys, Some(lock), Visible::EarlierStatements, false).await?;
    let mut found = found.into_iter();
    // Nothing newer than what was read is there, or the statement would have been told to run again.
    rows.retain(|_| found.next().flatten().is_some());
    Ok(())
}

#[async_trait]
impl Operator for Scan<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        if matches!(self.state, State::NotStarted) {
            self.start(ctx).await?;
        }
        let node = self.node;
        loop {
            let State::Running { reader, source } = &mut self.state else { return Ok(None) };
            ctx.check_cancelled()?;
            let Some(entries) = source.next(ctx, node).await? else {
                self.state = State::Done;
                return Ok(None);
            };
            let mut rows = reader.rows(ctx, entries, node.lock.is_some()).await?;
            if let Some(filter) = &node.filter {
                let mut kept = Vec::with_capacity(rows.len());
                for located in rows {
                    if ctx.holds(filter, &located.row).await? {
                        kept.push(located);
                    }
                }
                rows = kept;
            }
            if let Some((mode, wait)) = node.lock.filter(|_| !rows.is_empty()) {
                lock(ctx, &mut rows, mode, wait).await?;
            }
            if !rows.is_empty() {
                return Ok(Some(rows.into_iter().map(|located| located.row).collect()));
            }
        }
    }
}
