//! Rows of a table through one of its indexes.
//!
//! Keys that name one row each are looked up together; spans are read page by page. An index that does not hold all the
//! columns that are wanted gives primary keys, whose rows are fetched page by page.
//!
//! Filters are evaluated by the ranges where they can be. Locks are on rows, that is on keys of the primary index, and on rows
//! that pass the filter only: they are taken in the same request where the ranges know which rows these are, else after
//! it.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use expr::program::{Program, can_push_down};
use expr::rows::{Layout, take_tuple};
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
    /// Rows are to be locked.
    lock: Option<(LockMode, LockWait)>,
    state: State,
}

#[expect(clippy::large_enum_variant, reason = "there is one for each scan of a plan")]
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

#[expect(clippy::large_enum_variant, reason = "there is one for each scan of a plan")]
enum Source {
    Points(VecDeque<Key>),
    Spans { left: VecDeque<Span>, open: Option<Open> },
}

/// A span that is being read.
struct Open {
    scan: txn::Scan,
    /// The ranges have filtered the rows and sent the wanted columns alone.
    is_pushed: bool,
    /// The rows are locked already.
    is_locked: bool,
}

/// What one request brought.
struct Page {
    entries: Vec<(Key, Bytes)>,
    is_pushed: bool,
    is_locked: bool,
}

impl Reader {
    pub fn new(node: &plan::Scan, ctx: &Context) -> SqlResult<Reader> {
        let format = ctx.shared.formats.of(&node.table)?;
        let index = format.indexes.iter().position(|index| index.id == node.index);
        let index = index.ok_or_else(|| SqlError::new("XX000", "a scan uses an index that is not there"))?;
        let place =
            |id| format.place(id).ok_or_else(|| SqlError::new("XX000", "a scan reads a column that is not there"));
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
                        return Err(SqlError::new(
                            "XX001",
                            format!("an index entry names the row {key}, which is not there"),
                        ));
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
        Scan { node, lock: node.lock, state: State::NotStarted }
    }

    /// A scan for a statement that is going to change the rows.
    pub fn locking(node: &'p plan::Scan, mode: LockMode) -> Scan<'p> {
        let lock = node.lock.or(Some((mode, LockWait::Block { timeout: None })));
        Scan { node, lock, state: State::NotStarted }
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

/// What a scan asks of the transaction, apart from where.
struct Request<'r> {
    node: &'r plan::Scan,
    reader: &'r Reader,
    lock: Option<(LockMode, LockWait)>,
}

impl Request<'_> {
    /// Rows that are locked as they are read: all of them, and no more than what is wanted.
    fn lock_spec(&self, is_filtered: bool) -> Option<LockSpec> {
        let (mode, wait) = self.lock?;
        let all_wanted = is_filtered || self.node.filter.is_none();
        (all_wanted && self.reader.is_primary()).then_some(LockSpec { mode, wait, absent_too: false })
    }

    fn open(&self, ctx: &Context, span: Span) -> Open {
        let program = self.program(ctx, &span);
        let is_pushed = program.is_some();
        let lock = self.lock_spec(is_pushed);
        // Where the filter is ours, how many rows to fetch is not known.
        let all_wanted = is_pushed || self.node.filter.is_none();
        let spec = ScanSpec {
            span,
            reverse: self.node.reverse,
            rows_max: if all_wanted { self.node.limit_hint.unwrap_or(0) } else { 0 },
            program,
            lock,
            visible: Visible::EarlierStatements,
            untracked: false,
        };
        Open { scan: ctx.txn().scan(spec), is_pushed, is_locked: lock.is_some() }
    }

    /// The filter for the ranges to evaluate, where they can: over the transaction's own writes they cannot.
    fn program(&self, ctx: &Context, span: &Span) -> Option<Bytes> {
        let filter = self.node.filter.as_ref().filter(|filter| can_push_down(filter))?;
        let Access::Direct { layout } = &self.reader.access else { return None };
        let is_located = self.lock.is_none() || self.reader.is_primary();
        if !is_located || ctx.txn().has_buffered_writes_in(span) {
            return None;
        }
        let shared = &ctx.shared;
        let program = Program {
            layout: layout.clone(),
            filter: Some(filter.clone()),
            output: (0..layout.width).collect(),
            params: ctx.params.clone(),
            statement_time: shared.statement_time,
            transaction_time: shared.transaction_time,
            settings: shared.active.eval.clone(),
        };
        Some(program.encode().into())
    }
}

impl Source {
    /// Entries, at least one; `None` at the end.
    async fn next(&mut self, ctx: &Context, request: &Request<'_>) -> SqlResult<Option<Page>> {
        match self {
            Source::Points(keys) => {
                while !keys.is_empty() {
                    let now: Vec<Key> = keys.drain(..keys.len().min(BATCH_ROWS)).collect();
                    let lock = request.lock_spec(false);
                    let values = ctx.txn().get_many(&now, lock, Visible::EarlierStatements, false).await?;
                    let found = now.into_iter().zip(values).filter_map(|(key, value)| Some((key, value?)));
                    let entries: Vec<_> = found.collect();
                    if !entries.is_empty() {
                        return Ok(Some(Page { entries, is_pushed: false, is_locked: lock.is_some() }));
                    }
                }
                Ok(None)
            }
            Source::Spans { left, open } => loop {
                let current = match open {
                    Some(current) => current,
                    None => match left.pop_front() {
                        Some(span) => open.insert(request.open(ctx, span)),
                        None => return Ok(None),
                    },
                };
                let page = current.scan.next_page().await?;
                if !page.is_empty() {
                    let entries = page.into_iter().map(|entry| (entry.key, entry.value)).collect();
                    let (is_pushed, is_locked) = (current.is_pushed, current.is_locked);
                    return Ok(Some(Page { entries, is_pushed, is_locked }));
                }
                *open = None;
            },
        }
    }
}

/// Rows that a range has put together.
fn unpack(entries: Vec<(Key, Bytes)>, width: usize) -> SqlResult<Vec<Located>> {
    let mut out = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let row = take_tuple(&value, width).map_err(|_| malformed(&key))?;
        out.push(Located { key, row });
    }
    Ok(out)
}

/// Locks rows and drops those that were skipped because somebody else has them.
pub(crate) async fn lock(ctx: &Context, rows: &mut Vec<Located>, mode: LockMode, wait: LockWait) -> SqlResult<()> {
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
        let (node, lock_wanted) = (self.node, self.lock);
        loop {
            let State::Running { reader, source } = &mut self.state else { return Ok(None) };
            ctx.breathe().await?;
            let request = Request { node, reader, lock: lock_wanted };
            let Some(page) = source.next(ctx, &request).await? else {
                self.state = State::Done;
                return Ok(None);
            };
            let mut rows = if page.is_pushed {
                // Only an index that has everything is read this way; where rows are to be located it is the primary one.
                unpack(page.entries, node.columns.len())?
            } else {
                reader.rows(ctx, page.entries, lock_wanted.is_some()).await?
            };
            if let Some(filter) = node.filter.as_ref().filter(|_| !page.is_pushed) {
                let mut kept = Vec::with_capacity(rows.len());
                for located in rows {
                    if ctx.holds(filter, &located.row).await? {
                        kept.push(located);
                    }
                }
                rows = kept;
            }
            if let Some((mode, wait)) = lock_wanted.filter(|_| !page.is_locked && !rows.is_empty()) {
                lock(ctx, &mut rows, mode, wait).await?;
            }
            if !rows.is_empty() {
                return Ok(Some(rows.into_iter().map(|located| located.row).collect()));
            }
        }
    }
}
